// What was spent over time, and by whom.

import { Chart, type Library } from "../chart";
import { BY, courses, sentence, used, type By, type Told } from "../courses";
import { attribute, h, text } from "../element";
import { look, own, share, subtree, tokens, total, UNPRICED } from "../format";
import type { Frame, Part } from "../frame";
import { glyph } from "../glyphs";
import { now } from "../head";
import type { Row } from "../store";

const HEADS = ["Agent", "Own $", "Σ $", "Limit", "Tokens", "Price from"];
const NOTHING = "–";
/** Rows of the table; for more there is `m.costs()`. */
const MOST = 300;
const [WIDTH, HEIGHT] = [460, 158];

export class Costs implements Part {
  readonly element: HTMLElement;
  readonly tools: HTMLElement;
  private by: By = "subtree";
  private segments = new Map<By, HTMLElement>();
  private chart: Chart | undefined;
  private place = h("div", { class: "mx-plot", role: "img" });
  private said = h("p", { class: "mx-sm mx-2" });
  private figure = h("figure", {}, this.place, this.said);
  private body = h("tbody");
  private sum = h("tr", { class: "sum" });
  private lines = new Map<string, { line: HTMLTableRowElement; shown: string }>();

  constructor(private frame: Frame) {
    const heads = HEADS.map((head) => h("th", { scope: "col" }, head));
    const table = h("table", { class: "mx-tab" }, h("thead", {}, h("tr", {}, ...heads)), this.body, h("tfoot", {}, this.sum));
    const seen = h("div", { class: "mx-costs-table", tabindex: 0, role: "region", "aria-label": "Costs by agent" }, table);
    this.element = h("div", { class: "mx-costs" }, this.figure, seen);
    this.tools = h("span", { class: "mx-tools" }, h("span", { class: "mx-sm mx-2 stack" }, "Stack by"), this.segment());
    const sizes = globalThis.ResizeObserver && new ResizeObserver(frame.redraw);
    sizes?.observe(this.figure);
    frame.signal.addEventListener("abort", () => (sizes?.disconnect(), this.chart?.close()));
    frame.store.library<Library>("uplot").then(
      (library) => {
        this.chart = new Chart(library);
        this.place.append(this.chart.element);
        frame.redraw();
      },
      (failure: Error) => this.place.append(`The chart can't be drawn (${failure.message}). The table says the same.`),
    );
  }

  topics(): string[] {
    return ["rows", "costs"];
  }

  draw(): void {
    const { store } = this.frame;
    const told = store.data<Told>("costs");
    for (const [by, segment] of this.segments) attribute(segment, "aria-pressed", String(by === this.by));
    if (!told) return;
    this.table(told);
    const limit = this.limit;
    const origin = store.run.opened ?? told.first;
    const time = told.over ?? now(this.frame);
    const shown = courses(told, store.rows, this.by, origin, time);
    const spent = total(store.rows) || "nothing";
    attribute(this.place, "aria-label", `Cost over time, stacked by ${this.by}: ${spent}${limit ? ` of ${limit} dollars` : ""}`);
    text(this.said, sentence(told, store.rows, limit, time, origin));
    attribute(this.place, "hidden", !told.bins.length);
    if (!told.bins.length) text(this.said, "Nothing has been spent yet, as far as prices are known.");
    else this.chart?.draw({ courses: shown, limit, origin }, this.place.clientWidth || WIDTH, HEIGHT);
  }

  /** The limit of the run; of the one who leads it, when only that has one. */
  private get limit(): number | null {
    const { run, rows } = this.frame.store;
    const tops = rows.filter((row) => row.depth === 0);
    return run.limit_usd ?? (tops.length === 1 ? tops[0]!.limit_usd : null);
  }

  // the table

  private table(told: Told): void {
    const { store } = this.frame;
    const sources = new Map(told.sources.map(({ agent, from }) => [agent, from]));
    const rows = store.rows.slice(0, MOST);
    const names = new Set(rows.map((row) => row.name));
    for (const [name, { line }] of this.lines) if (!names.has(name)) line.remove(), this.lines.delete(name);
    rows.forEach((row, at) => {
      const line = this.line(row, sources.get(row.name) ?? NOTHING);
      if (this.body.children[at] !== line) this.body.insertBefore(line, this.body.children[at] ?? null);
    });
    const more = store.rows.length - rows.length;
    const count = store.rows.reduce((sum, row) => sum + row.tokens, 0);
    const spent = total(store.rows).replace("$", "") || NOTHING;
    const limit = store.run.limit_usd;
    const tops = store.rows.filter((row) => row.depth === 0).reduce((sum, row) => sum + (row.subtree_usd ?? 0), 0);
    const cells = ["", spent, limit ? used(tops, limit).join("") : NOTHING, count ? tokens(count) : NOTHING, ""];
    const name = more ? `Run, with ${more} more agents` : "Run";
    this.sum.replaceChildren(...[name, ...cells].map((cell) => h("td", {}, cell)));
  }

  private line(row: Row, source: string): HTMLElement {
    const selected = !this.frame.alone && this.frame.store.current?.name === row.name;
    const parent = this.frame.store.children.has(row.name);
    const key = JSON.stringify([look(row), row.depth, own(row), row.subtree_usd, parent, row.limit_usd, row.limit_used, row.tokens, source, selected]);
    const known = this.lines.get(row.name) ?? { line: h("tr"), shown: "" };
    if (!this.lines.has(row.name)) known.line.addEventListener("click", () => this.frame.look(row.name));
    this.lines.set(row.name, known);
    if (known.shown === key) return known.line;
    known.shown = key;
    const quiet = (cell: string) => h("td", { class: cell === NOTHING ? "mx-2" : null }, cell);
    const part = share(row.limit_used, row.limit_usd);
    const limit = part === null ? quiet(NOTHING) : h("td", { class: part >= 1 ? "s-failed" : part >= 0.8 ? "s-waiting" : null });
    if (part !== null) {
      const [told, of] = used(row.limit_used, row.limit_usd!);
      limit.append(told, h("span", { class: "mx-2" }, of));
    }
    const unpriced = own(row) === UNPRICED;
    const name = h("span", { class: "ag" }, glyph(look(row), true), row.name);
    name.style.paddingLeft = `${Math.min(row.depth, 8) * 14}px`;
    attribute(known.line, "class", selected ? "sel" : null);
    known.line.replaceChildren(
      h("td", {}, name),
      unpriced ? h("td", { class: "s-waiting" }, own(row)) : quiet(own(row)),
      quiet(subtree(row, parent)),
      limit,
      quiet(row.tokens ? tokens(row.tokens) : NOTHING),
      h("td", { class: unpriced ? "s-waiting" : "mx-2" }, source),
    );
    return known.line;
  }

  private segment(): HTMLElement {
    const made = BY.map((by) => {
      const one = h("button", { type: "button" }, by);
      one.addEventListener("click", () => {
        this.by = by;
        this.frame.redraw();
      });
      this.segments.set(by, one);
      return one;
    });
    return h("span", { class: "mx-seg", role: "group", "aria-label": "Stack the costs by" }, ...made);
  }
}
