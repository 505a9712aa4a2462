// One agent in the graph: a card while there are few, a pill when there are many.

import { attribute, bar, h, text } from "../element";
import { percent } from "../figures";
import { doing, look, money, own, queue, queued, share, some, stateWord, UNPRICED } from "../format";
import type { Frame } from "../frame";
import { glyph, icon } from "../glyphs";
import { now } from "../head";
import type { Level, Place } from "../plan";
import type { Row } from "../store";
import { branch } from "./row";

export class Card {
  readonly element: HTMLButtonElement;
  private sign = h("span", { class: "sg" });
  private name = h("span", { class: "mx-cut" });
  private mail = h("span", { class: "mx-q", hidden: true });
  private sigma = h("span", { class: "mx-2", title: "with its subtree" }, "Σ ");
  private cost = h("span");
  private harness = h("span", { class: "mx-cut" });
  private does = h("span", { class: "mx-cut" });
  private budget = bar("b");
  private folded = h("span", { class: "mx-more", hidden: true });
  private waiting = -1;
  private drawn: Row | undefined;
  private key = "";

  constructor(name: string, id: string) {
    const money = h("span", { class: "mx-sm usd" }, this.sigma, this.cost);
    const first = h("span", { class: "r" }, this.sign, this.name, this.mail, money);
    const second = h("span", { class: "r2" }, h("span", { class: "of" }, this.harness, h("span", {}, " · ")), this.does);
    const is = { type: "button", role: "treeitem", "data-agent": name, id };
    this.element = h("button", is, first, second, this.budget.element, this.folded);
  }

  draw(frame: Frame, { row, x, y }: Place, level: Level, at: { active: boolean; selected: boolean; hidden: number; open: boolean | null }): void {
    const { store } = frame;
    const told = doing(row, now(frame), store.link.state === "cut");
    const parent = store.children.has(row.name);
    const way = frame.filter.passes(row);
    const key = `${x} ${y} ${level} ${way} ${at.active} ${at.selected} ${at.hidden} ${at.open} ${parent} ${told}`;
    if (row === this.drawn && key === this.key) return; // of many, few change at a time
    [this.drawn, this.key] = [row, key];
    const seen = look(row);
    if (this.sign.dataset.look !== seen) this.sign.replaceChildren(glyph(seen));
    this.sign.dataset.look = seen;
    text(this.name, row.name);
    text(this.harness, row.harness);
    text(this.does, told);
    this.money(row, parent);
    this.wait(queue(row), queued(row));
    const used = share(row.limit_used, row.limit_usd);
    this.budget.draw(level === "card" ? used : null, `${percent(used ?? 0)} of the limit of $${row.limit_usd} for its subtree`);
    attribute(this.folded, "hidden", at.hidden === 0);
    text(this.folded, `+${at.hidden}`);
    this.element.style.left = `${x}px`;
    this.element.style.top = `${y}px`;
    attribute(this.element, "class", `mx-${level} ${KIND[seen] ?? ""}${way ? " way" : ""}${at.selected ? " sel" : ""}`.trim());
    attribute(this.element, "tabindex", at.active ? 0 : -1);
    attribute(this.element, "aria-selected", String(at.selected));
    branch(this.element, store, row, at.open);
    attribute(this.element, "title", `${row.name} · ${row.role} · ${row.harness} ${row.model ?? ""}`.trim());
    attribute(this.element, "aria-label", this.spoken(row, told, at.hidden));
  }

  private money(row: Row, parent: boolean): void {
    const value = parent ? money(row.subtree_usd, row.subtree_exact) : own(row);
    attribute(this.sigma, "hidden", !parent || value === UNPRICED);
    text(this.cost, value === "–" ? "" : value);
    attribute(this.cost, "class", value === UNPRICED ? "mx-unp" : "");
  }

  private wait(count: number, says: string): void {
    attribute(this.mail, "hidden", count === 0);
    attribute(this.mail, "title", says);
    if (count === this.waiting) return;
    this.waiting = count;
    this.mail.replaceChildren(icon("mail"), String(count));
  }

  private spoken(row: Row, told: string, hidden: number): string {
    const above = row.parent ? `, child of ${row.parent}` : "";
    const more = hidden ? `, ${some(hidden, "agent")} below it folded away` : "";
    const state = stateWord(look(row));
    const does = told.startsWith(row.state) ? told : `${state}, ${told}`;
    return `${row.name}: ${does}, ${row.role}${above}${more}`;
  }
}

/** Amber asks, red went wrong, dashed has no process. */
const KIND: Record<string, string> = {
  ...{ waiting: "ask", stalled: "ask", failed: "bad", stopped: "off", suspended: "off" },
};
