// What stands above the rows: the header, and one strip when something must be said or asked.

import { attribute, button, h, text } from "./element";
import { clock, counts, look, some, stateWord, total, unpriced, UNPRICED } from "./format";
import { glyph, icon } from "./glyphs";
import type { Store } from "./store";

/** Run name, counts, cost, link. */
export class Head {
  private name = h("span", { class: "name mx-cut" });
  private counts = h("div", { class: "mx-counts", role: "group", "aria-label": "Agents by state" });
  private cost = h("span", { class: "mx-cost" });
  private live = h("span", { class: "mx-live", role: "status" });
  readonly element = h(
    "div",
    { class: "mx-head" },
    ...[this.name, this.counts, h("span", { class: "mx-grow" }), this.cost, this.live, h("span", { class: "brk" })],
  );
  private shown = "";

  constructor(private store: Store) {}

  draw(): void {
    const { title, rows, link, heard } = this.store;
    text(this.name, title);
    this.count();
    const spent = total(rows);
    const part = spent === UNPRICED ? 0 : unpriced(rows);
    text(this.cost, spent + (part ? `, ${some(part, "agent")} unpriced` : ""));
    const last = heard ? `last heard ${clock(heard)}` : "no kernel";
    text(this.live, link === "cut" ? last : link);
    attribute(this.live, "class", `mx-live${link === "connecting" ? " wait" : ""}`);
  }

  private count(): void {
    const rows = this.store.rows;
    const stalled = rows.filter((row) => look(row) === "stalled").length;
    const found = counts(rows);
    const key = JSON.stringify([found, stalled]);
    if (key === this.shown) return;
    this.shown = key;
    this.counts.replaceChildren(
      ...found.map(([state, count]) => {
        const flag = state === "busy" && stalled ? `, ${stalled} of them stalled` : "";
        const word = h("span", { class: "mx-sr" }, stateWord(state) + flag);
        return h("span", { title: `${count} ${stateWord(state)}${flag}` }, glyph(state), String(count), " ", word);
      }),
    );
  }
}

export interface Question {
  agent: string;
  /** Called with the answer: true for the act, false for leaving everything as it is. */
  answer: (yes: boolean) => void;
}

/** Asks in place before an agent is stopped, with numbers and the focus on the safe answer. */
export function confirmStop(store: Store, question: Question): HTMLElement {
  const names = [question.agent, ...store.below(question.agent).filter((row) => !ENDED.includes(row.state)).map((row) => row.name)];
  const working = names.filter((name) => WORKING.includes(store.get(name)?.state ?? "")).length;
  const below = names.length - 1;
  const keep = button("Keep running", "line");
  const stop = button(below ? `Stop ${some(names.length, "agent")}` : `Stop ${question.agent}`, "danger now");
  const whom = below ? `Stop ${question.agent} and the ${below} below it?` : `Stop ${question.agent}?`;
  const turns = working ? ` ${working} ${working === 1 ? "is" : "are"} in the middle of a turn.` : "";
  const told = h("span", { class: "mx-grow" }, h("b", { class: "mx-bold" }, whom), `${turns} Files and the ledger are kept.`);
  const strip = h("div", { class: "mx-note err", role: "alertdialog", "aria-label": whom }, told, keep, stop);
  keep.addEventListener("click", () => question.answer(false));
  stop.addEventListener("click", () => question.answer(true));
  strip.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    question.answer(false);
  });
  return strip;
}

export function disconnected(store: Store): HTMLElement {
  const since = store.heard ? `The kernel was last heard at ${clock(store.heard)}.` : "No kernel answers.";
  const said = `${since} This is the last known picture; the agents may have moved on.`;
  const again = button("Try again", "line");
  again.addEventListener("click", () => store.resync());
  return note("", icon("off"), "Disconnected.", said, again);
}

export function broken(store: Store): HTMLElement {
  const again = button("Draw again", "line");
  again.addEventListener("click", () => store.resync());
  return note("err", glyph("failed"), "This view could not be drawn.", `The agents are not affected. ${store.error}`, again);
}

export function refused(store: Store): HTMLElement {
  const close = button("Close", "line");
  close.addEventListener("click", () => store.dismiss());
  return note("err", glyph("failed"), "", store.refused, close);
}

/** What to run when there is nobody yet. */
export function empty(store: Store): HTMLElement {
  const lines = store.lines.map(([what, code]) => h("div", { class: "line" }, h("span", { class: "mx-sm" }, what), typed(code)));
  const hint = h("p", { class: "mx-2" }, "Run one of these in a cell. The tree appears here.");
  return h("div", { class: "mx-center" }, h("h3", {}, "No agents yet"), hint, ...lines);
}

function typed(code: string): HTMLElement {
  const [magic, rest] = [code.split(" ", 1)[0]!, code.slice(code.split(" ", 1)[0]!.length)];
  const pre = h("pre", {}, h("b", {}, magic), rest);
  const copy = button("", "icon", { "aria-label": `Copy ${code}`, title: "Copy" }, icon("copy"));
  copy.addEventListener("click", async () => {
    copy.replaceChildren(icon((await copied(code, pre)) ? "check" : "copy"));
  });
  return h("div", { class: "mx-type" }, pre, copy);
}

/** Whether the clipboard took it; a page that may not write there gets the line selected instead. */
async function copied(code: string, pre: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(code);
    return true;
  } catch {
    getSelection()?.selectAllChildren(pre);
    return false;
  }
}

function note(kind: string, sign: Node, title: string, said: string, ...does: Node[]): HTMLElement {
  const told = h("span", { class: "mx-grow" }, title && h("b", { class: "mx-bold" }, title), title && " ", said);
  return h("div", { class: `mx-note ${kind}`.trim(), role: kind ? "alert" : "status" }, sign, told, ...does);
}

const ENDED = ["stopped", "failed"];
const WORKING = ["busy", "waiting"];
