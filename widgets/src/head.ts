// The header of the dashboard, and the line that says what needs the person.

import { attribute, bar, button, h, text } from "./element";
import { clock, counts, look, percent, share, some, span, stateWord, total, unpriced, UNPRICED } from "./format";
import type { Frame } from "./frame";
import { glyph, icon } from "./glyphs";
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
    text(this.limit, limit ? ` of $${limit.toFixed(2)}` : "");
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
  /** The part of the dock that answers it. */
  part?: string;
}
type Need = [Row, Reason];

const REASONS: Reason[] = [
  {
    fits: (row) => row.state === "waiting",
    sign: () => glyph("waiting"),
    said: (row, since) => asked(row.now) || `waits${since}`,
    part: "approvals",
  },
  {
    fits: (row) => row.state === "failed",
    sign: () => glyph("failed"),
    said: (row) => `failed${row.reason ? `: ${row.reason}` : ""}`,
  },
  {
    fits: (row) => look(row) === "stalled",
    sign: () => glyph("stalled"),
    said: (_, since) => `silent${since}`,
  },
  {
    fits: (row) => !ENDED.includes(row.state) && (share(row.limit_used, row.limit_usd) ?? 0) >= 0.8,
    sign: () => icon("warn"),
    said: (row) => `at ${percent(row.limit_used / row.limit_usd!)} of $${row.limit_usd!.toFixed(2)}`,
    part: "costs",
  },
];

const MOST = 4;

/** Approvals, failures, silence, limits: in that order, in one line, absent when there is nothing. */
export class Needs {
  /** It stands beside the line, because what is hidden, or drawn anew, is not heard. */
  readonly voice: Voice;
  readonly element = h("div", { class: "mx-needs", role: "group", "aria-label": "Needs you", hidden: true });
  private all = false;
  private shown = "";
  private told = new Set<string>();

  constructor(private frame: Frame) {
    this.voice = new Voice(frame.signal);
  }

  draw(): void {
    const { rows } = this.frame.store;
    const found = REASONS.flatMap((reason) => rows.filter(reason.fits).map((row): Need => [row, reason]));
    attribute(this.element, "hidden", !found.length);
    const told = this.all ? found : found.slice(0, MOST); // of thousands, only these are put into words
    const time = now(this.frame);
    const said = told.map(([row, reason]) => reason.said(row, row.since === null ? "" : ` ${span(time - row.since)}`));
    const key = JSON.stringify([found.length, told.map(([row]) => row.name), said]);
    if (key === this.shown) return;
    this.shown = key;
    const held = [...this.element.children].indexOf(document.activeElement as Element);
    this.tell(found);
    const items = told.map((need, at) => this.item(need, said[at]!));
    this.element.replaceChildren(h("span", { class: "lbl" }, "Needs you"), ...items);
    if (found.length > MOST) this.element.append(this.rest(found.length - MOST));
    if (held >= 0) (this.element.children[held] as HTMLElement | undefined)?.focus();
  }

  /** Aloud, when something is new: not what counts on, nor what is left when one is answered. */
  private tell(found: Need[]): void {
    const known = this.told;
    this.told = new Set(found.map(([row, reason]) => `${row.name} ${reason.part === "costs" ? "limit" : reason.said(row, "")}`));
    const fresh = [...this.told].some((need) => !known.has(need));
    if (!found.length || this.frame.store.at !== null) this.voice.say("");
    else if (fresh) this.voice.say(spoken(found));
  }

  private item([row, { sign, part }]: Need, said: string): HTMLElement {
    const told = h("span", { class: "mx-cut" }, h("b", { class: "mx-bold" }, row.name), ` ${said}`);
    const made = h("button", { type: "button", class: "item", title: `${row.name} ${said}` }, sign(), told);
    made.addEventListener("click", () => {
      this.frame.look(row.name);
      if (part) this.frame.open(part);
    });
    return made;
  }

  private rest(count: number): HTMLElement {
    const made = button(this.all ? "Fewer" : `${count} more`, "link");
    made.addEventListener("click", () => {
      this.all = !this.all;
      this.draw();
    });
    return made;
  }
}

/** The first two, and how many there are besides. */
function spoken(needs: Need[]): string {
  if (!needs.length) return "";
  const told = needs.slice(0, 2).map(([row, reason]) => `${row.name} ${reason.said(row, "")}`);
  const more = needs.length - told.length;
  return `Needs you: ${told.join(". ")}${more ? `, and ${more} more` : ""}`;
}

/** `asks: Edit service.py (api.a1)` without the request's id, which nobody needs to read here. */
export function asked(now: string): string {
  return now.replace(/ \([^()\s]+\)$/, "");
}

export const ENDED = ["stopped", "failed"];
