// The form that asks several agents the same.

import { h } from "../element";
import { field, Form, type Filled } from "../form";
import type { Frame } from "../frame";
import { glyph } from "../glyphs";
import { ENDED } from "../head";
import { line } from "../line";

export class Broadcast {
  private form: Form;
  private to = h("div", { class: "all tos", role: "group", "aria-label": "To whom" });
  private said = h("textarea", { class: "mx-input", rows: 3, placeholder: "What all of them are asked" });
  private boxes = new Map<string, HTMLInputElement>();

  constructor(
    private frame: Frame,
    anchor: HTMLElement,
  ) {
    const rows = [...field("Text", this.said), h("span", { class: "all mx-2" }, "To"), this.to];
    const shape = { title: "Broadcast", does: "Send to all", not: "Not sent" };
    this.form = new Form(frame, anchor, { ...shape, rows, read: () => this.read(), done: () => (this.said.value = "") });
  }

  toggle(): void {
    if (this.form.isOpen) return this.form.close();
    this.offer();
    this.form.open();
  }

  draw(): void {
    if (this.form.isOpen) this.form.draw();
  }

  /** Those that live; what was ticked before stays ticked, and first of all those at the top. */
  private offer(): void {
    const ticked = new Set([...this.boxes].filter(([, box]) => box.checked).map(([name]) => name));
    const first = this.boxes.size === 0;
    this.boxes.clear();
    const living = this.frame.store.rows.filter((row) => !ENDED.includes(row.state));
    this.to.replaceChildren(
      ...living.map((row) => {
        const box = h("input", { type: "checkbox" });
        box.checked = first ? row.depth === 0 : ticked.has(row.name);
        this.boxes.set(row.name, box);
        return h("label", {}, box, glyph(row.state, true), row.name);
      }),
    );
  }

  private read(): Filled {
    const names = [...this.boxes].filter(([, box]) => box.checked).map(([name]) => name);
    const said = this.said.value;
    const lacks = names.length === 0 ? "say to whom" : said.trim() ? "" : "say what";
    return { verb: "broadcast", given: { agents: names.join("\n"), text: said }, line: line("broadcast", names, {}, said || "…"), lacks };
  }
}
