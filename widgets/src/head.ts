// The header of the dashboard, and the line that says what needs the person.

import { attribute, bar, button, h, text } from "./element";
import { dollars, percent } from "./figures";
import { clock, counts, look, share, some, span, stateWord, total, unpriced, UNPRICED, wish } from "./format";
import type { Frame } from "./frame";
import { glyph, icon } from "./glyphs";
import { menu, type Choice } from "./menu";
import type { Row } from "./store";
import { Voice } from "./voice";

/** Where the kernel's clock stands, in seconds since 1970; of the past, where it stood. */
export const now = (frame: Frame): number => frame.store.when ?? Date.now() / 1000 + frame.store.link.ahead;

/** Run name, counts that filter, cost against its limit, time, link, and the way to stop everybody. */
export class Head {
  private name = h("span", { class: "name mx-cut" });
  private counts = h("div", { class: "mx-counts", role: "group", "aria-label": "Filter the agents by state" });
  private spent = h("span");
  private limit = h("span", { class: "mx-2" });
  private part = h("span", { class: "mx-2" });
  private used = bar();
  private cost = h("div", { class: "mx-cost" }, h("span", {}, h("span", {}, this.spent, this.limit), this.part), this.used.element);
  private elapsed = h("span", { class: "el mx-sm", title: "Since the first agent" });
  private live = h("span", { class: "mx-live", role: "status" });
  private stop = button("Stop all…", "danger stop", {}, icon("stop"));
  readonly element = h(
    "div",
    { class: "mx-head" },
    ...[this.name, this.counts, h("span", { class: "mx-grow" }), this.cost, this.elapsed, this.live, this.stop],
    h("span", { class: "brk" }),
  );
  private shown = "";

  constructor(private frame: Frame) {
    this.stop.addEventListener("click", () => frame.act("stop_all", ""));
  }

  draw(): void {
    const { store } = this.frame;
    const { title, opened, limit_usd: limit } = store.run;
    text(this.name, title);
    this.count();
    this.money(store.rows, limit);
    text(this.elapsed, opened === null ? "" : span(now(this.frame) - opened));
    drawLink(this.live, this.frame);
    const { closed, rows } = store.present; // it acts on these, whatever moment is looked at
    const living = rows.some((row) => !ENDED.includes(row.state));
    attribute(this.stop, "hidden", closed || !living || this.frame.alone);
    attribute(this.stop, "disabled", store.link.state !== "live");
  }

  private money(rows: Row[], limit: number | null): void {
    const spent = total(rows);
    const part = spent === UNPRICED ? 0 : unpriced(rows);
    const tops = rows.filter((row) => row.depth === 0).reduce((sum, row) => sum + (row.subtree_usd ?? 0), 0);
    const used = share(tops, limit);
    text(this.spent, limit ? spent || "$0.00" : spent);
    text(this.limit, limit ? ` of $${dollars(limit)}` : "");
    text(this.part, used !== null ? percent(used) : part ? `${some(part, "agent")} unpriced` : "");
    this.used.draw(used, `${percent(used ?? 0)} of the run's limit of $${limit}`);
  }

  private count(): void {
    const { rows } = this.frame.store;
    const { states } = this.frame.filter;
    const stalled = rows.filter((row) => look(row) === "stalled").length;
    const found = counts(rows);
    const key = JSON.stringify([found, stalled, [...states]]);
    if (key === this.shown) return;
    this.shown = key;
    const held = (document.activeElement as HTMLElement | null)?.dataset.state;
    this.counts.replaceChildren(...found.map(([state, count]) => this.counter(state, count, stalled)));
    const again = (rule: string) => this.counts.querySelector<HTMLElement>(rule);
    if (held) (again(`[data-state="${held}"]`) ?? again("button"))?.focus(); // the last of a state may be gone
  }

  private counter(state: string, count: number, stalled: number): HTMLElement {
    const flag = state === "busy" && stalled ? `, ${stalled} of them stalled` : "";
    const word = h("span", { class: "mx-sr" }, stateWord(state) + flag);
    const on = this.frame.filter.states.has(state);
    const says = { "aria-pressed": String(on), "data-state": state, title: `${count} ${stateWord(state)}${flag}. Show only these` };
    const made = h("button", { type: "button", ...says }, glyph(state), String(count), " ", word);
    made.addEventListener("click", () => {
      this.frame.filter.toggle("states", state);
      this.frame.redraw();
    });
    return made;
  }
}

/** `live`, `past`, or since when nothing was heard. */
export function drawLink(element: HTMLElement, { store }: Frame): void {
  const { state, heard } = store.link;
  const last = heard ? `last heard ${clock(heard)}` : "no kernel";
  text(element, state === "cut" ? last : store.at !== null ? "past" : store.run.closed ? "finished" : state);
  attribute(element, "class", `mx-live${state === "connecting" ? " wait" : ""}`);
}

/** One reason why an agent needs the person. */
interface Reason {
  fits(row: Row): boolean;
  sign(): Node;
  said(row: Row, since: string): string;
  /** The same in full, where `said` is short. */
  whole?(row: Row): string;
  /** The part of the dock that answers it. */
  part?: string;
}
type Need = [Row, Reason];

const REASONS: Reason[] = [
  {
    fits: (row) => row.state === "waiting",
    sign: () => glyph("waiting"),
    said: (row, since) => (row.now ? `asks: ${brief(wish(row.now))}` : `waits${since}`),
    whole: (row) => (row.now ? `asks: ${wish(row.now)}` : "waits for you"),
    part: "approvals",
  },
  {
    fits: (row) => row.state === "failed",
    sign: () => glyph("failed"),
    said: (row) => `failed${row.short ? `: ${row.short}` : ""}`,
    whole: (row) => `failed: ${row.reason || "no reason was given"}`,
  },
  {
    fits: (row) => look(row) === "stalled",
    sign: () => glyph("stalled"),
    said: (_, since) => `silent${since}`,
  },
  {
    fits: (row) => !ENDED.includes(row.state) && !!row.nearly,
    sign: () => icon("warn"),
    said: (row) => `at ${row.nearly}`,
    part: "costs",
  },
];

/** `Edit src/refunds/service.py` as `Edit service.py`. */
function brief(wished: string): string {
  return wished.replace(/^(\w+) \S*\/([^\s/]+)$/, "$1 $2");
}

const MOST = 4;

/** Approvals, failures, silence, limits: in that order, in one line, absent when there is nothing. */
export class Needs {
  /** It stands beside the line, because what is hidden, or drawn anew, is not heard. */
  readonly voice: Voice;
  private items = h("span", { class: "items" });
  private more = button("", "link");
  private rest = h("span", { hidden: true }, this.more);
  readonly element: HTMLElement;
  private found: Need[] = [];
  private shown = "";
  private told = new Set<string>();

  constructor(private frame: Frame) {
    this.voice = new Voice(frame.signal);
    const label = h("span", { class: "lbl" }, "Needs you");
    const says = { class: "mx-needs", role: "group", "aria-label": "Needs you", hidden: true };
    this.element = h("div", says, label, this.items, this.rest);
    menu(this.more, "What else needs you", () => this.found.slice(MOST).map((need) => this.choice(need)), frame.signal);
  }

  draw(): void {
    const { rows } = this.frame.store;
    this.found = REASONS.flatMap((reason) => rows.filter(reason.fits).map((row): Need => [row, reason]));
    const more = this.found.length - MOST;
    attribute(this.element, "hidden", !this.found.length);
    attribute(this.rest, "hidden", more <= 0);
    text(this.more, `and ${more} more`);
    const told = this.found.slice(0, MOST); // of thousands, only these are put into words
    const said = told.map((need) => this.said(need));
    const key = JSON.stringify([this.found.length, told.map(([row]) => row.name), said]);
    if (key === this.shown) return;
    this.shown = key;
    const held = [...this.items.children].indexOf(document.activeElement as Element);
    this.tell();
    this.items.replaceChildren(...told.map((need, at) => this.item(need, said[at]!)));
    if (held >= 0) (this.items.children[held] as HTMLElement | undefined)?.focus();
  }

  /** Aloud, when something is new: not what counts on, nor what is left when one is answered. */
  private tell(): void {
    const known = this.told;
    this.told = new Set(this.found.map(([row, reason]) => `${row.name} ${reason.part === "costs" ? "limit" : reason.said(row, "")}`));
    const fresh = [...this.told].some((need) => !known.has(need));
    if (!this.found.length || this.frame.store.at !== null) this.voice.say("");
    else if (fresh) this.voice.say(spoken(this.found));
  }

  private said([row, reason]: Need): string {
    return reason.said(row, row.since === null ? "" : ` ${span(now(this.frame) - row.since)}`);
  }

  private item(need: Need, said: string): HTMLElement {
    const [row, { sign, whole }] = need;
    const told = h("span", { class: "mx-cut" }, h("b", { class: "mx-bold" }, row.name), ` ${said}`);
    const full = `${row.name} ${whole?.(row) ?? said}`;
    const made = h("button", { type: "button", class: "item", title: full, "aria-label": full }, sign(), told);
    made.addEventListener("click", () => this.go(need));
    return made;
  }

  private choice(need: Need): Choice {
    const [row, { sign }] = need;
    return { sign: sign(), label: `${row.name} ${this.said(need)}`, pick: () => this.go(need) };
  }

  private go([row, { part }]: Need): void {
    this.frame.look(row.name);
    if (part) this.frame.open(part);
  }
}

/** The first two, and how many there are besides. */
function spoken(needs: Need[]): string {
  const told = needs.slice(0, 2).map(([row, reason]) => `${row.name} ${reason.said(row, "")}`);
  const more = needs.length - told.length;
  return `Needs you: ${told.join(". ")}${more ? `, and ${more} more` : ""}`;
}

export const ENDED = ["stopped", "failed"];
