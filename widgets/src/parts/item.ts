// One piece of a conversation: what was asked, an answer, a tool call, a message, a note.

import { attribute, button, h, text } from "../element";
import { clock, span } from "../format";
import type { Frame } from "../frame";
import { glyph, icon } from "../glyphs";
import { marked } from "../markdown";
import { scrolls } from "../scrolling";

/** As `madrox_nb/conversation.py` has it; which fields there are depends on its kind. */
export interface Item {
  id: string;
  at: number;
  kind: "prompt" | "said" | "call" | "message" | "note";
  turn?: string;
  who?: string;
  to?: string;
  message?: string;
  bad?: boolean;
  text?: string;
  text_more?: number;
  tool?: string;
  argument?: string;
  ok?: boolean | null;
  took?: number | null;
  input?: string;
  input_more?: number;
  output?: string;
  output_more?: number;
}

type Cut = "text" | "input" | "output";

/** Lines of a result that are shown at once. */
const LINES = 8;

export class ItemView {
  readonly element = h("div");
  private drawn: Item | undefined;

  constructor(
    private frame: Frame,
    private topic: string,
  ) {}

  /** An item that is the same object is the same: nothing is made anew. */
  draw(item: Item): void {
    if (item === this.drawn) return;
    const before = this.drawn;
    this.drawn = item;
    if (item.kind === "call") this.call(item, before);
    else this.element.replaceChildren(...this.made(item));
  }

  private made(item: Item): Node[] {
    switch (item.kind) {
      case "prompt":
        return [this.turn(item), this.prose(item, "mx-md mx-ask")];
      case "message":
        return [this.sent(item)];
      case "note":
        return [h("div", { class: item.bad ? "mx-err" : "mx-said mx-2 mx-sm" }, item.bad ? glyph("failed") : null, h("span", {}, item.text ?? ""))];
      default:
        return [this.prose(item, "mx-md")];
    }
  }

  private turn({ who, turn, at }: Item): HTMLElement {
    const when = h("span", { title: new Date(at * 1000).toLocaleString() }, clock(new Date(at * 1000)));
    return h("div", { class: "mx-turn" }, h("b", {}, who ?? ""), h("span", {}, turn ?? ""), h("span", { class: "mx-grow" }), when);
  }

  private prose(item: Item, kind: string): HTMLElement {
    const made = h("div", { class: kind, dir: "auto" });
    made.append(marked(item.text ?? ""));
    if (item.text_more) made.append(this.rest(item, "text"));
    return made;
  }

  private sent({ to, text, message }: Item): HTMLElement {
    const told = h("span", { class: "mx-grow" }, "to ", h("b", { class: "mx-bold" }, to ?? ""), `: ${text ?? ""}`);
    return h("div", { class: "mx-msg" }, icon("mail"), scrolls(told), h("span", { class: "mx-2" }, message ?? ""));
  }

  // tool calls

  /** Folded, but a failed one; what the person opened or shut stays so when its result comes. */
  private call(item: Item, before: Item | undefined): void {
    const old = this.element.querySelector("details");
    const touched = old?.dataset.touched === "yes";
    const open = touched ? old!.open : item.ok === false;
    const ended = item.ok === true ? "ok" : item.ok === false ? "failed" : "under way";
    const time = item.took == null ? "" : item.took < 60 ? `${item.took.toFixed(1)} s` : span(item.took);
    const summary = h(
      "summary",
      {},
      icon("right"),
      h("b", { class: "mx-bold" }, item.tool ?? ""),
      h("code", { class: "mx-cut mx-grow" }, item.argument ?? ""),
      h("span", { class: item.ok === false ? "s-failed" : "mx-2" }, told(item) || ended),
      h("span", { class: "mx-2" }, time),
    );
    const made = h("details", { class: "mx-call", open }, summary);
    if (touched) made.dataset.touched = "yes";
    summary.addEventListener("click", () => (made.dataset.touched = "yes"));
    made.addEventListener("toggle", () => made.open && made.childElementCount === 1 && this.unfold(made, item));
    if (open) this.unfold(made, item);
    const held = !!before && this.element.contains(document.activeElement);
    this.element.replaceChildren(made);
    if (held) summary.focus();
  }

  /** What went in and what came out is made only when somebody looks. */
  private unfold(details: HTMLElement, item: Item): void {
    details.append(this.page("in", item, "input"));
    if (item.ok !== null) details.append(this.page("out", item, "output"));
  }

  private page(name: string, item: Item, field: Cut): HTMLElement {
    const lines = (item[field] ?? "").split("\n");
    const pre = h("pre", { tabindex: 0, dir: "auto" }, lines.slice(0, LINES).join("\n"));
    const room = h("div", {}, pre);
    const more = lines.length - LINES;
    if (more > 0) {
      const all = button(`${more} more lines`, "link");
      all.addEventListener("click", () => {
        text(pre, lines.join("\n"));
        all.replaceWith(...(item[`${field}_more`] ? [this.rest(item, field, pre)] : []));
      });
      room.append(all);
    } else if (item[`${field}_more`]) room.append(this.rest(item, field, pre));
    return h("div", { class: "io" }, h("span", {}, name), room);
  }

  // what is left out

  /** A button that brings the next page of a text that was cut, as plain text. */
  private rest(item: Item, field: Cut, into?: HTMLElement): HTMLElement {
    const pre = into ?? h("pre", { class: "mx-rest", tabindex: 0, hidden: true, dir: "auto" });
    let start = (item[field] ?? "").length;
    const more = button(left(item[`${field}_more`] ?? 0), "link");
    more.addEventListener("click", async () => {
      attribute(more, "disabled", true);
      try {
        const page = await this.frame.store.ask<{ text: string; more: number }>(this.topic, "text", { id: item.id, field, start });
        start += page.text.length;
        pre.append(h("span", {}, page.text));
        attribute(pre, "hidden", null);
        if (page.more) more.textContent = left(page.more);
        else more.remove();
      } catch (failure) {
        text(more, (failure as Error).message);
      }
      attribute(more, "disabled", null);
    });
    return into ? more : h("div", {}, pre, more);
  }
}

function left(count: number): string {
  return `${count.toLocaleString("en-US")} more characters`;
}

/** The result in a few words: its last line, when that is short. */
function told({ ok, output, output_more }: Item): string {
  const last = output_more ? "" : (output ?? "").trim().split("\n").at(-1)!.trim();
  return ok != null && last && last.length <= 32 ? last : "";
}
