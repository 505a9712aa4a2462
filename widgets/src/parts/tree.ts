// The agents as a graph or as a list, searched, filtered and folded alike in both.

import { attribute, button, h } from "../element";
import { look, ORDER, stateWord } from "../format";
import type { Frame, Part } from "../frame";
import { glyph, icon, type Icon } from "../glyphs";
import { menu, type Choice } from "../menu";
import { Broadcast } from "./broadcast";
import { Graph } from "./graph";
import { List } from "./list";
import { Spawn } from "./spawn";

type Look = "graph" | "list";

export class Tree implements Part {
  readonly element: HTMLElement;
  private folded = new Set<string>();
  private list: List;
  private graph: Graph;
  private look: Look;
  private search = h("input", { type: "search", placeholder: "Find an agent", "aria-label": "Find an agent" });
  private segments = new Map<Look, HTMLButtonElement>();
  private filter = button("Filter", "", {}, icon("filter"));
  private fit = button("", "icon", { "aria-label": "Fit", title: "Fit (0)" }, icon("fit"));
  private spawn = button("Spawn", "line", { "aria-haspopup": "dialog" }, icon("plus"));
  private broadcast = button("Broadcast", "", { "aria-haspopup": "dialog" });
  private forms: { draw(): void }[];
  private body = h("div", { class: "mx-tree-body" });
  private none = h("p", { class: "mx-soon mx-2" }, "No agent fits. ");

  constructor(private frame: Frame) {
    this.look = frame.alone ? "list" : "graph";
    const search = () => this.search.focus();
    this.list = new List(frame, this.folded, search);
    this.graph = new Graph(frame, this.folded, search);
    this.element = h("div", { class: "mx-tree" }, this.toolbar(), this.body);
    const [spawn, broadcast] = [new Spawn(frame, this.spawn), new Broadcast(frame, this.broadcast)];
    this.forms = [spawn, broadcast];
    this.spawn.addEventListener("click", () => spawn.toggle());
    this.broadcast.addEventListener("click", () => broadcast.toggle());
    const all = button("Show all", "link");
    all.addEventListener("click", () => this.clear());
    this.none.append(all);
  }

  topics(): string[] {
    return this.look === "graph" ? ["rows", ...this.graph.topics()] : ["rows"];
  }

  draw(): void {
    const { filter, store } = this.frame;
    for (const [look, segment] of this.segments) attribute(segment, "aria-pressed", String(look === this.look));
    attribute(this.filter, "class", `mx-btn${filter.on ? " on" : ""}`);
    if (document.activeElement !== this.search) this.search.value = filter.text;
    const nobody = filter.on && !filter.of(store).length;
    const shown = nobody ? this.none : this[this.look].element;
    if (this.body.firstElementChild !== shown) this.body.replaceChildren(shown);
    if (!nobody) this[this.look].draw();
    attribute(this.fit, "hidden", this.look === "list" || !this.graph.scales);
    for (const each of [this.spawn, this.broadcast]) attribute(each, "disabled", !store.acts);
    for (const form of this.forms) form.draw();
  }

  focus(): void {
    this[this.look].focus();
  }

  private toolbar(): HTMLElement {
    const { signal } = this.frame;
    this.search.addEventListener("input", () => this.find(this.search.value), { signal });
    this.search.addEventListener("keydown", (event) => this.searched(event), { signal });
    this.fit.addEventListener("click", () => this.graph.fit(), { signal });
    menu(this.filter, "Filter", () => this.choices(), signal);
    const looks = h(
      "span",
      { class: "mx-seg", role: "group", "aria-label": "Show the agents as" },
      this.segment("graph", "graph", "Graph"),
      this.segment("list", "list", "List"),
    );
    const field = h("label", { class: "mx-field mx-grow" }, icon("search"), this.search);
    return h("div", { class: "mx-tool" }, looks, field, this.filter, h("span", { class: "mx-grow" }), this.fit, this.broadcast, this.spawn);
  }

  private segment(look: Look, sign: Icon, word: string): HTMLButtonElement {
    const made = h("button", { type: "button" }, icon(sign), word);
    made.addEventListener("click", () => {
      this.look = look;
      this.frame.redraw();
    });
    this.segments.set(look, made);
    return made;
  }

  private find(text: string): void {
    this.frame.filter.text = text;
    this.frame.redraw();
  }

  /** Down, or Enter, goes to what was found; Esc shows all again. */
  private searched(event: KeyboardEvent): void {
    if (event.key === "Escape" && this.search.value) this.find((this.search.value = ""));
    else if (event.key === "ArrowDown" || event.key === "Enter") this.goToFound();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Those above what fits are shown too, but are not what was looked for. */
  private goToFound(): void {
    const { filter, store } = this.frame;
    this[this.look].focus(store.rows.find((row) => filter.fits(row))?.name);
  }

  private clear(): void {
    this.frame.filter.clear();
    this.search.value = "";
    this.frame.redraw();
  }

  private choices(): Choice[] {
    const { filter, store } = this.frame;
    const of = (title: string, facet: "states" | "roles" | "harnesses", values: string[], sign?: (value: string) => Node) =>
      [...new Set(values)].map((value, at) => ({
        ...{ title: at ? undefined : title, label: facet === "states" ? stateWord(value) : value, sign: sign?.(value) },
        ...{ note: String(values.filter((each) => each === value).length), checked: filter[facet].has(value) },
        pick: () => (filter.toggle(facet, value), this.frame.redraw()),
      }));
    const states = store.rows.map((row) => row.state).sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
    const stalled = store.rows.map(look).filter((state) => state === "stalled");
    const made: Choice[] = [
      ...of("State", "states", [...states, ...stalled], glyph),
      ...of("Role", "roles", store.rows.map((row) => row.role)),
      ...of("Harness", "harnesses", store.rows.map((row) => row.harness)),
    ];
    return filter.on ? [...made, { title: " ", label: "Show all", pick: () => this.clear() }] : made;
  }
}
