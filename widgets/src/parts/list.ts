// The tree as rows: one tab stop, arrow keys, and never more rows in the page than fit.

import { attribute, h } from "../element";
import type { Frame } from "../frame";
import type { Row } from "../store";
import { HEAD, RowView, Twice, verbFor } from "./row";

const HEIGHT = 26; // of a row, as in tree.css
const VISIBLE = 16; // rows that fit where the list's height is not known yet
const MARGIN = 8; // rows drawn beyond each edge

let lists = 0; // ids must differ between two views of one page

export class List {
  readonly element: HTMLElement;
  private body = h("div", { role: "presentation" });
  private views = new Map<string, RowView>();
  private order: string[] = []; // what is not folded away
  private active = ""; // where the arrow keys are
  private id = `mx-list-${++lists}`;
  private urgent = new Twice();

  /** `folded` are the agents whose children are hidden; `search` takes the focus to the search. */
  constructor(
    private frame: Frame,
    private folded: Set<string>,
    private search: () => void,
  ) {
    const kind = frame.alone ? "mx-list" : "mx-list pane";
    this.element = h("div", { class: kind, role: "tree", "aria-label": "Agents", tabindex: 0 }, HEAD(), this.body);
    const on = <K extends keyof HTMLElementEventMap>(kind: K, listener: (event: HTMLElementEventMap[K]) => void) =>
      this.element.addEventListener(kind, listener, { signal: frame.signal });
    on("scroll", frame.redraw);
    on("click", (event) => this.clicked(event.target as Element));
    on("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.pressed(event)) return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  private get store() {
    return this.frame.store;
  }

  draw(): void {
    this.order = this.unfolded();
    if (!this.order.includes(this.active)) this.active = this.order[0] ?? "";
    const held = this.element.contains(document.activeElement) && document.activeElement !== this.element;
    const first = Math.max(0, Math.floor(this.element.scrollTop / HEIGHT) - MARGIN);
    const fit = Math.ceil(this.element.clientHeight / HEIGHT) || VISIBLE;
    const drawn = this.order.slice(first, first + Math.min(fit, 60) + 2 * MARGIN);
    this.body.style.paddingTop = `${first * HEIGHT}px`;
    this.body.style.paddingBottom = `${(this.order.length - first - drawn.length) * HEIGHT}px`;
    this.place(drawn);
    attribute(this.element, "aria-activedescendant", drawn.includes(this.active) ? this.rowId(this.active) : null);
    if (held && !this.element.contains(document.activeElement)) this.element.focus(); // its button went away
  }

  /** Give the focus to the tree, as after an answered question, and there to an agent, as after a search. */
  focus(name?: string): void {
    if (name !== undefined) this.go(name);
    this.element.focus();
  }

  private unfolded(): string[] {
    const order: string[] = [];
    const { filter, store } = this.frame;
    let hidden = Infinity; // deeper rows belong to a folded one
    for (const row of filter.of(store)) {
      if (row.depth > hidden) continue;
      hidden = this.folded.has(row.name) && !filter.on ? row.depth : Infinity;
      order.push(row.name);
    }
    return order;
  }

  private place(names: string[]): void {
    const wanted = new Set(names);
    for (const [name, view] of this.views) {
      if (wanted.has(name)) continue;
      view.element.remove();
      this.views.delete(name);
    }
    names.forEach((name, at) => {
      const view = this.views.get(name) ?? new RowView(name, this.rowId(name));
      this.views.set(name, view);
      const selected = this.frame.alone ? this.active : this.store.current?.name;
      view.draw(this.frame, !this.folded.has(name), { active: name === this.active, selected: name === selected });
      // moving an element drops its focus, so only what stands elsewhere is moved
      if (this.body.children[at] !== view.element) this.body.insertBefore(view.element, this.body.children[at] ?? null);
    });
  }

  private rowId(name: string): string {
    return `${this.id}-${encodeURIComponent(name)}`;
  }

  private clicked(target: Element): void {
    const name = target.closest<HTMLElement>(".mx-row")?.dataset.agent;
    const row = name === undefined ? undefined : this.store.get(name);
    if (!row) return;
    this.active = row.name;
    if (target.closest(".tw")) this.fold(row.name, !this.folded.has(row.name));
    const verb = target.closest("button") && verbFor(row);
    if (verb) this.frame.act(verb, row.name);
    else this.element.focus({ preventScroll: true });
    if (!verb) this.store.select(row.name);
    this.draw();
  }

  /** Whether the key meant something here. */
  private pressed(event: KeyboardEvent): boolean {
    const row = this.store.get(this.active);
    if (!row) return false;
    if (event.target !== this.element) return this.pressedOnVerb(event.key);
    const at = this.order.indexOf(row.name);
    const children = this.store.children.get(row.name) ?? [];
    const open = children.length > 0 && !this.folded.has(row.name);
    switch (event.key) {
      case "ArrowDown":
        return this.go(this.order[at + 1]);
      case "ArrowUp":
        return this.go(this.order[at - 1]);
      case "Home":
        return this.go(this.order[0]);
      case "End":
        return this.go(this.order.at(-1));
      case "ArrowRight":
        return open ? this.go(children[0]) : this.fold(row.name, false);
      case "ArrowLeft":
        return open ? this.fold(row.name, true) : this.go(row.parent ?? undefined);
      case "Enter":
        return this.enter(row.name);
      case "/":
        this.search();
        return true;
      case "I":
        return this.urge(row);
      default:
        return event.key.length === 1 && event.key !== " " && this.find(event.key.toLowerCase(), at);
    }
  }

  /** Where the agent is shown beside the list, look at it there; else go to its verb. */
  private enter(name: string): boolean {
    if (this.frame.alone) this.views.get(name)?.verb.focus();
    else this.frame.look(name, "box");
    return true;
  }

  private urge(row: Row): boolean {
    if (this.urgent.pressed() && verbFor(row) === "interrupt") this.frame.act("interrupt", row.name);
    return true;
  }

  /** On a row's button: Enter and Space are the button's own; the way back is ours. */
  private pressedOnVerb(key: string): boolean {
    if (!["Escape", "ArrowLeft", "ArrowUp", "ArrowDown", "Home", "End"].includes(key)) return false;
    this.element.focus();
    return true;
  }

  private go(name: string | undefined): boolean {
    if (name !== undefined && this.store.get(name)) {
      this.active = name;
      this.reveal(this.order.indexOf(name));
      this.draw();
    }
    return true;
  }

  private fold(name: string, folded: boolean): boolean {
    if (folded && this.store.children.has(name)) this.folded.add(name);
    else this.folded.delete(name);
    this.draw();
    return true;
  }

  /** The next agent whose name begins so. */
  private find(letter: string, at: number): boolean {
    const ahead = [...this.order.slice(at + 1), ...this.order.slice(0, at)];
    return this.go(ahead.find((name) => name.toLowerCase().startsWith(letter)));
  }

  private reveal(at: number): void {
    const list = this.element;
    const room = list.clientHeight - 24; // below the sticky heads
    if (at * HEIGHT < list.scrollTop) list.scrollTop = at * HEIGHT;
    else if ((at + 1) * HEIGHT > list.scrollTop + room) list.scrollTop = (at + 1) * HEIGHT - room;
  }
}
