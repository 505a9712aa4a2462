// What a tool would do, drawn: the lines that an edit would change, or a command in full.

import { h } from "./element";
import { some } from "./format";

type Line = [sign: string, before: number | null, after: number | null, text: string];

interface Changed {
  path: string;
  said: string;
  added: number;
  removed: number;
  lines: Line[];
  more: number;
}

/** What the kernel answers to `effect`. */
export interface Effect {
  id: string;
  kind: "edit" | "run" | "use";
  files?: Changed[];
  files_more?: number;
  text?: string;
  text_more?: number;
  rest?: string;
  rest_more?: number;
}

const KIND: Record<string, string> = { "+": "a", "-": "d", "@": "h" };

/** `named` heads each file with its name, also where there is only one. */
export function drawEffect(effect: Effect, named = false): HTMLElement {
  const made = effect.kind === "edit" ? [...drawEdit(effect, named || (effect.files ?? []).length > 1), ...drawBesides(effect)] : drawCall(effect);
  return h("div", { class: "mx-diff", tabindex: 0, role: "region", "aria-label": SAYS[effect.kind] }, ...made);
}

/** +5 −3, over all files. */
export function sums(effect: Effect): Node[] {
  const of = (what: "added" | "removed") => (effect.files ?? []).reduce((sum, file) => sum + file[what], 0);
  if (effect.kind !== "edit") return [];
  return [h("span", { class: "s-busy" }, `+${of("added")}`), h("span", { class: "s-failed" }, `−${of("removed")}`)];
}

const SAYS = { edit: "Proposed change", run: "Command", use: "Arguments" };

function drawEdit({ files = [], files_more: rest = 0 }: Effect, named: boolean): Node[] {
  const made = files.flatMap((file) => [
    ...(named || file.said ? [caption([named ? file.path : "", file.said].filter(Boolean).join(": "))] : []),
    ...file.lines.map(drawLine),
    ...(file.more ? [caption(`${some(file.more, "more line")}`)] : []),
    ...(file.lines.length ? [] : [caption("nothing changes")]),
  ]);
  return rest ? [...made, caption(`${some(rest, "more file")}`)] : made;
}

function drawLine([sign, before, after, text]: Line): HTMLElement {
  const number = (at: number | null) => h("span", {}, at === null ? "" : String(at));
  const mark = h("em", {}, sign === "+" ? "+" : sign === "-" ? "−" : "");
  const code = h("code", {}, sign === "@" ? text || "…" : text);
  return h("div", { class: KIND[sign] ?? "" }, number(before), number(after), mark, code);
}

/** What an edit is given that its difference does not show. */
function drawBesides({ rest = "", rest_more: more = 0 }: Effect): Node[] {
  return rest ? [caption("with"), ...whole(rest, more)] : [];
}

function whole(text: string, more: number): Node[] {
  return [h("pre", {}, text), ...(more ? [caption(`${more.toLocaleString("en")} more characters are not shown`)] : [])];
}

function drawCall(effect: Effect): Node[] {
  const command = effect.text ? whole(effect.text, effect.text_more ?? 0) : [];
  const rest = effect.rest ? whole(effect.rest, effect.rest_more ?? 0) : [];
  if (command.length && rest.length) return [...command, caption("with"), ...rest];
  return command.length || rest.length ? [...command, ...rest] : [caption("it takes no arguments")];
}

function caption(text: string): HTMLElement {
  return h("p", { class: "cap" }, text);
}
