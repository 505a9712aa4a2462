// One agent as a row of the list.

import { attribute, bar, button, h, text } from "../element";
import { percent, short } from "../figures";
import { detail, doing, look, own, queue, queued, share, subtree, UNPRICED } from "../format";
import type { Frame } from "../frame";
import { glyph, icon } from "../glyphs";
import { now } from "../head";
import type { Row, Store } from "../store";

/** The one verb that fits an agent in this state. */
export function verbFor({ can }: Row): "interrupt" | "stop" | null {
  return can.includes("interrupt") ? "interrupt" : can.includes("stop") ? "stop" : null;
}

/** Levels that are set apart; deeper ones would leave no room for the name. */
const DEEPEST = 6;

/** The names of the columns. */
export const HEAD = () =>
  h(
    "div",
    { class: "mx-lh", "aria-hidden": "true" },
    h("span", {}, "Agent"),
    h("span", { class: "wide" }, "Role"),
    h("span", { class: "ha" }, "Harness"),
    h("span", { class: "wide" }, "Model"),
    h("span", {}, "Now"),
    h("span", { class: "wide mx-num" }, "Queue"),
    h("span", { class: "mx-num" }, "Own $"),
    h("span", { class: "mx-num" }, "Σ $"),
    h("span", { class: "bud" }, "Limit"),
    h("span", { class: "does" }),
  );

/** One row. Its elements live as long as it is shown: a button pressed while the row changes stays pressed. */
export class RowView {
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
  private mail = h("span", { class: "mx-q", hidden: true });
  private role = h("span", { class: "wide mx-sm mx-2 mx-cut" });
  private harness = h("span", { class: "ha mx-sm mx-cut" });
  private model = h("span", { class: "wide mx-sm mx-2 mx-cut" });
  private now = h("span");
  private queue = h("span", { class: "wide mx-num mx-2" });
  private own = h("span");
  private sum = h("span");
  private budget = bar();
  private limit = h("span", { class: "wide mx-xs mx-2" });

  constructor(name: string, id: string) {
    const nm = h("span", { class: "nm" }, this.twisty, this.sign, this.name, this.tag, this.mail);
    const bud = h("span", { class: "bud" }, h("span", { class: "mx-grow" }, this.budget.element), this.limit);
    const does = h("span", { class: "does" }, this.verb);
    this.element = h(
      "div",
      { class: "mx-row", role: "treeitem", id, "data-agent": name },
      ...[nm, this.role, this.harness, this.model, this.now, this.queue, this.own, this.sum, bud, does],
    );
  }

  draw(frame: Frame, open: boolean, at: { active: boolean; selected: boolean }): void {
    const { store } = frame;
    const row = store.get(this.element.dataset.agent!)!;
    const parent = store.children.has(row.name);
    this.place(store, row, parent ? open : null);
    attribute(this.element, "aria-selected", String(at.selected));
    attribute(this.element, "class", `mx-row${at.active ? " is-on" : ""}${frame.filter.passes(row) ? " way" : ""}`);
    this.tell(row);
    this.does(frame, row);
    this.count(row, parent);
    this.offer(row, store);
  }

  private place(store: Store, row: Row, open: boolean | null): void {
    branch(this.element, store, row, open);
    (this.element.firstElementChild as HTMLElement).style.paddingLeft = `${Math.min(row.depth, DEEPEST) * 16}px`;
    if ((open !== null) !== this.twisty.hasChildNodes()) this.twisty.replaceChildren(...(open === null ? [] : [icon("right")]));
  }

  private tell(row: Row): void {
    const seen = look(row);
    if (this.sign.dataset.look !== seen) this.sign.replaceChildren(glyph(seen, true));
    this.sign.dataset.look = seen;
    text(this.name, row.name);
    attribute(this.name, "title", row.name);
    attribute(this.name, "class", `mx-cut ${row.depth < 2 ? "mx-bold" : ""}`.trim());
    text(this.role, row.role);
    attribute(this.role, "title", row.role);
    text(this.harness, row.harness);
    attribute(this.harness, "title", `${row.harness} ${row.model ?? ""}`.trim());
    text(this.model, row.model ?? "–");
    attribute(this.model, "title", row.model);
    attribute(this.tag, "hidden", row.permissions !== "all");
  }

  private does(frame: Frame, row: Row): void {
    const seen = look(row);
    const [time, past] = [now(frame), frame.store.link.state === "cut"];
    const whole = detail(row, time, past);
    text(this.now, frame.alone ? whole : doing(row, time, past));
    attribute(this.now, "title", row.reason || whole);
    attribute(this.now, "class", `now mx-cut s-${ASKING.includes(seen) ? seen : "x"}`);
  }

  private count(row: Row, parent: boolean): void {
    money(this.own, own(row), "");
    money(this.sum, subtree(row, parent), parent ? "mx-bold" : "mx-2");
    const part = share(row.limit_used, row.limit_usd);
    this.budget.draw(part, `${percent(part ?? 0)} of the limit of $${row.limit_usd} for its subtree`);
    text(this.limit, row.limit_usd === null ? "" : `of ${short(row.limit_usd)}`);
    this.wait(queue(row), queued(row));
  }

  private wait(count: number, says: string): void {
    text(this.queue, count ? String(count) : "–");
    attribute(this.mail, "hidden", count === 0);
    attribute(this.mail, "title", says);
    if (this.mail.dataset.count === String(count)) return;
    this.mail.dataset.count = String(count);
    this.mail.replaceChildren(icon("mail"), String(count));
  }

  private offer(row: Row, store: Store): void {
    const verb = verbFor(row);
    attribute(this.verb, "hidden", verb === null);
    text(this.verb, verb === "interrupt" ? "Interrupt" : "Stop…");
    attribute(this.verb, "class", verb === "interrupt" ? "mx-btn" : "mx-btn danger bare");
    attribute(this.verb, "aria-label", `${verb === "interrupt" ? "Interrupt" : "Stop"} ${row.name}`);
    attribute(this.verb, "disabled", !store.acts || store.link.busy(row.name));
  }
}

/** Twice within a second: no single key interrupts anybody. */
export class Twice {
  private last = 0;

  /** Whether this is the second time. */
  pressed(): boolean {
    const again = Date.now() - this.last < 1000;
    this.last = again ? 0 : Date.now();
    return again;
  }
}

/** Where in the tree it stands, for who hears it; `open` is null for one without children. */
export function branch(item: Element, store: Store, row: Row, open: boolean | null): void {
  const siblings = store.children.get(row.parent)!;
  attribute(item, "aria-level", row.depth + 1);
  attribute(item, "aria-setsize", siblings.length);
  attribute(item, "aria-posinset", siblings.indexOf(row.name) + 1);
  attribute(item, "aria-expanded", open === null ? null : String(open));
}

const ASKING = ["waiting", "stalled", "failed"];

function money(cell: HTMLElement, value: string, kind: string): void {
  text(cell, value);
  attribute(cell, "class", `mx-num ${value === UNPRICED ? "mx-unp" : value === "–" ? "mx-2" : kind}`.trim());
}
