// The agents as a graph or as a list, searched, filtered and folded alike in both.

import { attribute, button, h } from "../element";
import type { Frame, Part } from "../frame";
import { icon, type Icon } from "../glyphs";
import { List } from "./list";

type Look = "graph" | "list";

export class Tree implements Part {
  readonly element: HTMLElement;
  private folded = new Set<string>();
  private list: List;
  private look: Look;
  private search = h("input", { type: "search", placeholder: "Find an agent", "aria-label": "Find an agent" });
  private segments = new Map<Look, HTMLButtonElement>();
  private body = h("div", { class: "mx-tree-body" });

  constructor(private frame: Frame) {
    this.look = "list";
    this.list = new List(frame, this.folded, () => this.search.focus());
    this.element = h("div", { class: "mx-tree" }, this.toolbar(), this.body);
  }

  topics(): string[] {
    return ["rows"];
  }

  draw(): void {
    for (const [look, segment] of this.segments) attribute(segment, "aria-pressed", String(look === this.look));
    if (this.body.firstElementChild !== this.list.element) this.body.replaceChildren(this.list.element);
    this.list.draw();
  }

  focus(): void {
    this.list.focus();
  }

  private toolbar(): HTMLElement {
    const segment = (look: Look, sign: Icon, word: string) => {
      const made = h("button", { type: "button" }, icon(sign), word);
      made.addEventListener("click", () => this.show(look));
      this.segments.set(look, made);
      return made;
    };
    const looks = h(
      "span",
      { class: "mx-seg", role: "group", "aria-label": "Show the agents as" },
      segment("graph", "graph", "Graph"),
      segment("list", "list", "List"),
    );
    this.search.addEventListener("input", () => {
      this.frame.filter.text = this.search.value;
      this.frame.redraw();
    });
    const field = h("label", { class: "mx-field mx-grow" }, icon("search"), this.search);
    return h("div", { class: "mx-tool" }, looks, field, button("Filter", "", {}, icon("filter")));
  }

  private show(look: Look): void {
    this.look = look;
    this.frame.redraw();
  }
}
