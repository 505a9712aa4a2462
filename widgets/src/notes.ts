// The strip under the header, when something must be said or asked. One at a time.

import { copying } from "./copying";
import { button, h } from "./element";
import { clock, some, span } from "./format";
import { glyph, icon } from "./glyphs";
import { ENDED } from "./head";
import { lineFor, type Row, type Store } from "./store";

export interface Question {
  /** Whom it is about, with all below it; everybody when it is empty. */
  agent: string;
  /** Called with the answer: true for the act, false for leaving everything as it is. */
  answer: (yes: boolean) => void;
}

/** Asks in place before agents are stopped, with numbers and the focus on the safe answer. */
export function confirmStop(store: Store, question: Question): HTMLElement {
  const living = (rows: Row[]) => rows.filter((row) => !ENDED.includes(row.state));
  const top = question.agent ? [store.get(question.agent)!] : [];
  const ended = [...top, ...living(question.agent ? store.below(question.agent) : store.present.rows)];
  const working = ended.filter((row) => WORKING.includes(row.state)).length;
  const below = ended.length - 1;
  const keep = button("Keep running", "line");
  const many = below || !question.agent;
  const stop = button(many ? `Stop ${some(ended.length, "agent")}` : `Stop ${question.agent}`, "danger now");
  const whom = !question.agent
    ? `Stop ${some(ended.length, "agent")}?`
    : below
      ? `Stop ${question.agent} and the ${below} below it?`
      : `Stop ${question.agent}?`;
  const turns = working ? ` ${working} ${working === 1 ? "is" : "are"} in the middle of a turn.` : "";
  const told = h("span", { class: "mx-grow" }, h("b", { class: "mx-bold" }, whom), `${turns} Files and the ledger are kept.`);
  const same = h("code", {}, lineFor(question.agent ? "stop" : "stop_all", question.agent));
  told.append(" ", same);
  const copy = copying(() => same.textContent!, "Copy the line", same);
  const strip = h("div", { class: "mx-note err", role: "alertdialog", "aria-label": whom }, told, copy, keep, stop);
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
  const since = store.link.heard ? `The kernel was last heard at ${clock(store.link.heard)}.` : "No kernel answers.";
  const said = `${since} This is the last known picture; the agents may have moved on.`;
  const again = button("Try again", "line");
  again.addEventListener("click", () => store.resync());
  return note("", icon("off"), "Disconnected.", said, again);
}

/** Everything below is as it was then; only what ends agents still acts, on the present. */
export function past(store: Store): HTMLElement {
  const { opened, closed } = store.present;
  const whole = opened === null || closed ? "" : ` of ${span(Date.now() / 1000 + store.link.ahead - opened)}`;
  const at = opened === null || store.when === null ? `entry ${store.at}` : `${span(store.when - opened)}${whole}`;
  const goes = closed ? "" : " The run goes on, and Stop all acts on the run as it is now.";
  const strip = note("past", icon("clock"), `You are looking at ${at}.`, `Everything below is as it was then.${goes}`);
  strip.setAttribute("role", "note"); // the slider says where it is; two voices would be one too many
  return strip;
}

/** The moment that is wanted lies far back in a long run. */
export function reading(store: Store): HTMLElement {
  const { read, of } = store.reading!;
  const far = `${read.toLocaleString("en")} of ${some(of, "event")}.`;
  const strip = note("past", icon("clock"), "Reading the ledger:", `${far} Until then everything below stays as it is.`);
  strip.setAttribute("role", "note"); // it counts on, and nobody wants each number read out
  return strip;
}

export function broken(store: Store, why: string): HTMLElement {
  const again = button("Draw again", "line");
  again.addEventListener("click", () => store.resync());
  return note("err", glyph("failed"), "This view could not be drawn.", `The agents are not affected. ${why}`, again);
}

export function refused(store: Store): HTMLElement {
  const close = button("Close", "line");
  close.addEventListener("click", () => store.dismiss());
  return note("err", glyph("failed"), "", store.refused, close);
}

/** What to run when there is nobody yet. */
export function empty(store: Store): HTMLElement {
  const lines = store.run.lines.map(([what, code]) => h("div", { class: "line" }, h("span", { class: "mx-sm" }, what), typed(code)));
  const hint = h("p", { class: "mx-2" }, "Run one of these in a cell. The tree appears here.");
  const found = h("p", { class: "mx-2 mx-sm", hidden: true });
  void tellFound(store, found);
  return h("div", { class: "mx-center" }, h("h3", {}, "No agents yet"), hint, ...lines, found);
}

/** Names of harnesses: those whose program is on the machine, and those whose is not. */
interface Found {
  here: string[];
  absent: string[];
}

/** What was found on the machine; nothing where the kernel does not say. */
async function tellFound(store: Store, place: HTMLElement): Promise<void> {
  const found = await store.ask<Found>("forms", "found").catch(() => null);
  if (!found) return;
  const absent = found.absent.length ? ` Not found: ${found.absent.join(", ")}.` : "";
  place.append(`Found here: ${found.here.join(", ")}.${absent} `, h("code", {}, "%madrox doctor"), " tells how to get them.");
  place.hidden = false;
}

function typed(code: string): HTMLElement {
  const [magic, rest] = [code.split(" ", 1)[0]!, code.slice(code.split(" ", 1)[0]!.length)];
  const pre = h("pre", {}, h("b", {}, magic), rest);
  return h("div", { class: "mx-type" }, pre, copying(() => code, `Copy ${code}`, pre));
}

function note(kind: string, sign: Node, title: string, said: string, ...does: Node[]): HTMLElement {
  const told = h("span", { class: "mx-grow" }, title && h("b", { class: "mx-bold" }, title), title && " ", said);
  return h("div", { class: `mx-note ${kind}`.trim(), role: kind ? "alert" : "status" }, sign, told, ...does);
}

const WORKING = ["busy", "waiting"];
