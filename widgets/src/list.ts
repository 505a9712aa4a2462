// The tree as rows: one tab stop, arrow keys, and never more rows in the page than fit.

import { attribute, button, h, text } from "./element";
import { look, own, some, stateWord, subtree, UNPRICED } from "./format";
import { glyph, icon } from "./glyphs";
import type { Row, Store, Verb } from "./store";

const HEIGHT = 26; // of a row, as in tree.css
const VISIBLE = 16; // rows that fit at the list's greatest height
const MARGIN = 8; // rows drawn beyond each edge

/** The one verb that fits an agent in this state. */
export function verbFor(state: string): Verb | null {
  if (state === "busy" || state === "waiting") return "interrupt";
  return ["idle", "starting", "suspended"].includes(state) ? "stop" : null;
}

let lists = 0; // ids must differ between two views of one page

export class List {
  readonly element: HTMLElement;
  private body = h("div", { role: "presentation" });
  private views = new Map<string, RowView>();
  private folded = new Set<string>();
  private order: string[] = []; // what is not folded away
  private active = "";
  private id = `mx-list-${++lists}`;

  constructor(
    private store: Store,
    private act: (verb: Verb, agent: string) => void,
    redraw: () => void,
    signal: AbortSignal,
  ) {
    this.element = h("div", { class: "mx-list", role: "tree", "aria-label": "Agents", tabindex: 0 }, HEAD(), this.body);
    const on = <K extends keyof HTMLElementEventMap>(kind: K, listener: (event: HTMLElementEventMap[K]) => void) =>
      this.element.addEventListener(kind, listener, { signal });
    on("scroll", redraw);
    on("click", (event) => this.clicked(event.target as Element));
    on("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.pressed(event)) return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  draw(): void {
    this.order = this.unfolded();
    if (!this.store.get(this.active) || !this.order.includes(this.active)) this.active = this.order[0] ?? "";
    const held = this.element.contains(document.activeElement) && document.activeElement !== this.element;
    const first = Math.max(0, Math.floor(this.element.scrollTop / HEIGHT) - MARGIN);
    const drawn = this.order.slice(first, first + VISIBLE + 2 * MARGIN);
    this.body.style.paddingTop = `${first * HEIGHT}px`;
    this.body.style.paddingBottom = `${(this.order.length - first - drawn.length) * HEIGHT}px`;
    this.place(drawn);
    attribute(this.element, "aria-activedescendant", drawn.includes(this.active) ? this.rowId(this.active) : null);
    if (held && !this.element.contains(document.activeElement)) this.element.focus(); // its button went away
  }

  /** Give the focus to the tree, as after an answered question. */
  focus(): void {
    this.element.focus();
  }

  private unfolded(): string[] {
    const order: string[] = [];
    let hidden = Infinity; // deeper rows belong to a folded one
    for (const row of this.store.rows) {
      if (row.depth > hidden) continue;
      hidden = this.folded.has(row.name) ? row.depth : Infinity;
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
      view.draw(this.store, !this.folded.has(name), name === this.active);
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
    const verb = target.closest("button") && verbFor(row.state);
    if (verb) this.act(verb, row.name);
    else this.element.focus({ preventScroll: true });
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
        this.views.get(row.name)?.verb.focus();
        return true;
      default:
        return event.key.length === 1 && event.key !== " " && this.find(event.key.toLowerCase(), at);
    }
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

const HEAD = () =>
  h(
    "div",
    { class: "mx-lh", "aria-hidden": "true" },
    h("span", {}, "Agent"),
    h("span", { class: "mid" }, "State"),
    h("span", { class: "mid" }, "Role"),
    h("span", { class: "mid" }, "Harness"),
    h("span", { class: "wide" }, "Model"),
    h("span", {}, "Now"),
    h("span", { class: "mx-num" }, "Own $"),
    h("span", { class: "mx-num" }, "Σ $"),
    h("span"),
  );

/** One row. Its elements live as long as it is shown: a button pressed while the row changes stays pressed. */
class RowView {
  readonly element: HTMLElement;
  readonly verb = button("", "", { tabindex: -1 });
  private twisty = h("span", { class: "tw" });
  private sign = h("span", { class: "sg" });
  private name = h("span", { class: "mx-cut" });
  private tag = h(
    "span",
    { class: "mx-tag", hidden: true, title: "all permissions: it may run anything without asking" },
    "all",
    h("span", {}, " permissions"),
  );
  private queue = h("span", { class: "mx-q", hidden: true });
  private state = h("span");
  private role = h("span", { class: "mid mx-sm mx-2 mx-cut" });
  private harness = h("span", { class: "mid mx-sm mx-cut" });
  private model = h("span", { class: "wide mx-sm mx-2 mx-cut" });
  private now = h("span");
  private own = h("span");
  private sum = h("span");

  constructor(name: string, id: string) {
    const nm = h("span", { class: "nm" }, this.twisty, this.sign, this.name, this.tag, this.queue);
    const does = h("span", { class: "does" }, this.verb);
    this.element = h(
      "div",
      { class: "mx-row", role: "treeitem", id, "data-agent": name },
      ...[nm, this.state, this.role, this.harness, this.model, this.now, this.own, this.sum, does],
    );
  }

  draw(store: Store, open: boolean, active: boolean): void {
    const row = store.get(this.element.dataset.agent!)!;
    const parent = store.children.has(row.name);
    this.place(store, row, parent ? open : null, active);
    this.tell(row, store.link === "cut");
    this.count(row, parent);
    this.offer(row, store);
  }

  private place(store: Store, row: Row, open: boolean | null, active: boolean): void {
    const siblings = store.children.get(row.parent)!;
    attribute(this.element, "aria-level", row.depth + 1);
    attribute(this.element, "aria-setsize", siblings.length);
    attribute(this.element, "aria-posinset", siblings.indexOf(row.name) + 1);
    attribute(this.element, "aria-expanded", open === null ? null : String(open));
    attribute(this.element, "aria-selected", String(active));
    (this.element.firstElementChild as HTMLElement).style.paddingLeft = `${row.depth * 16}px`;
    if ((open !== null) !== this.twisty.hasChildNodes()) this.twisty.replaceChildren(...(open === null ? [] : [icon("right")]));
  }

  private tell(row: Row, cut: boolean): void {
    const seen = look(row);
    if (this.sign.dataset.look !== seen) this.sign.replaceChildren(glyph(seen, true));
    this.sign.dataset.look = seen;
    const lasts = row.state === "stopped" || row.state === "failed";
    text(this.state, cut && !lasts ? `was ${row.state}` : stateWord(seen));
    attribute(this.state, "class", `st mid mx-cut s-${seen}`);
    const now = row.now || row.reason;
    text(this.now, now);
    attribute(this.now, "title", now || null);
    attribute(this.now, "class", `now mx-cut s-${ASKING.includes(seen) ? seen : "x"}`);
    text(this.name, row.name);
    attribute(this.name, "title", row.name);
    attribute(this.name, "class", `mx-cut ${row.depth < 2 ? "mx-bold" : ""}`.trim());
    text(this.role, row.role);
    text(this.harness, row.harness);
    attribute(this.harness, "title", `${row.harness} ${row.model ?? ""}`.trim());
    text(this.model, row.model ?? "–");
    attribute(this.tag, "hidden", row.permissions !== "all");
  }

  private count(row: Row, parent: boolean): void {
    money(this.own, own(row), "");
    money(this.sum, subtree(row, parent), parent ? "mx-bold" : "mx-2");
    const waiting = Math.max(row.queued, row.unread);
    attribute(this.queue, "hidden", waiting === 0);
    if (this.queue.dataset.count === String(waiting)) return;
    this.queue.dataset.count = String(waiting);
    this.queue.title = `${some(row.unread, "unread message")}, ${some(row.queued, "turn")} queued`;
    this.queue.replaceChildren(icon("mail"), String(waiting));
  }

  private offer(row: Row, store: Store): void {
    const verb = verbFor(row.state);
    attribute(this.verb, "hidden", verb === null);
    text(this.verb, verb === "interrupt" ? "Interrupt" : "Stop…");
    attribute(this.verb, "class", verb === "interrupt" ? "mx-btn" : "mx-btn danger bare");
    attribute(this.verb, "aria-label", `${verb === "interrupt" ? "Interrupt" : "Stop"} ${row.name}`);
    attribute(this.verb, "disabled", store.link !== "live" || store.busy(row.name));
  }
}

const ASKING = ["waiting", "stalled", "failed"];

function money(cell: HTMLElement, value: string, kind: string): void {
  text(cell, value);
  attribute(cell, "class", `mx-num ${value === UNPRICED ? "mx-unp" : value === "–" ? "mx-2" : kind}`.trim());
}
