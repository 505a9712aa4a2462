// Costs over time as stacked areas, drawn by uPlot. Labels stand at the right end, so there is no legend.

import type uPlot from "uplot";

import { label, stacked, type Courses } from "./courses";
import { h } from "./element";
import { short } from "./figures";
import { span } from "./format";

/** `libraries/uplot.ts` */
export interface Library {
  default: typeof uPlot;
  css: string;
}

export interface Drawing {
  courses: Courses;
  limit: number | null;
  /** Where the axis says 0:00. */
  origin: number;
}

const RIGHT = 104; // pixels for the labels
const LINE = 13; // pixels between two of them
/** A limit is drawn when this part of it is used; before that all else would be a line at the bottom. */
const NEAR = 0.2;
const TINTS = ["c0", "c1", "c2", "c3", "c4", "total", "ink", "grid", "warn", "stop", "ground"] as const;

export class Chart {
  readonly element = h("div", { class: "mx-chart" });
  private tints = h("span", { class: "mx-tints", "aria-hidden": "true" });
  private probes = new Map(TINTS.map((tint) => [tint, this.tints.appendChild(h("i", { class: `ct-${tint}` }))]));
  private plot: uPlot | undefined;
  private drawn: Drawing | undefined;
  private series = -1;
  private look = "";

  constructor(private library: Library) {
    const root = this.element;
    root.append(h("style", {}, library.css), this.tints);
  }

  draw(drawing: Drawing, width: number, height: number): void {
    this.drawn = drawing;
    const { times, of } = drawing.courses;
    const look = TINTS.map((tint) => this.colour(tint)).join();
    if (!this.plot || this.series !== of.length || look !== this.look) this.make(of.length, look, width, height);
    else if (this.plot.width !== width || this.plot.height !== height) this.plot.setSize({ width, height });
    const stack = stacked(of).reverse(); // the highest is drawn first, the others over it
    this.plot!.setData([times, ...(stack.length ? stack : [times.map(() => 0)])] as uPlot.AlignedData);
  }

  close(): void {
    this.plot?.destroy();
  }

  private make(series: number, look: string, width: number, height: number): void {
    this.plot?.destroy();
    [this.series, this.look] = [series, look];
    const many = Math.max(1, series);
    const axis = { stroke: this.colour("ink"), font: `11px ${getComputedStyle(this.element).fontFamily}`, ticks: { show: false } };
    const grid = { stroke: this.colour("grid"), width: 1 };
    this.plot = new this.library.default(
      {
        ...{ width, height, padding: [10, RIGHT, 0, 0], legend: { show: false }, cursor: { show: false }, ms: 1 },
        scales: { x: { time: false }, y: { range: (_plot: uPlot, _least: number, most: number) => [0, this.top(most)] } },
        axes: [
          { ...axis, grid: { show: false }, size: 26, gap: 9, space: 90, values: (_plot: uPlot, at: number[]) => at.map((each) => span(each - this.drawn!.origin)), splits: (_plot: uPlot, _axis: number, least: number, most: number, step: number) => this.splits(least, most, step), incrs: STEPS },
          { ...axis, grid, size: 40, space: 34, values: (_plot: uPlot, at: number[]) => at.map((each) => short(each)) },
        ],
        series: [{}, ...Array.from({ length: many }, (_, at) => this.area(many - 1 - at, at === 0))],
        hooks: { draw: [(plot: uPlot) => this.finish(plot)] },
      } as unknown as uPlot.Options,
      [[0], ...Array.from({ length: many }, () => [0])] as uPlot.AlignedData,
      this.element,
    );
  }

  private area(at: number, top: boolean): object {
    const line = top ? { stroke: this.colour("total"), width: 1.5 } : { stroke: this.colour("ground"), width: 1 };
    return { fill: this.colour(`c${Math.min(at, 4)}` as (typeof TINTS)[number]), points: { show: false }, ...line };
  }

  private top(most: number): number {
    const { limit } = this.drawn!;
    const near = limit !== null && most >= limit * NEAR;
    return Math.max(most * 1.08, near ? limit * 1.04 : 0, 0.01);
  }

  /** Round times since the beginning, not since midnight. */
  private splits(least: number, most: number, step: number): number[] {
    const { origin } = this.drawn!;
    const found = [];
    for (let at = Math.ceil((least - origin) / step) * step; at <= most - origin; at += step) found.push(origin + at);
    return found;
  }

  /** The lines of the limit, and the name of each area beside its end. */
  private finish(plot: uPlot): void {
    const { courses, limit } = this.drawn!;
    const { ctx } = plot;
    const density = window.devicePixelRatio || 1;
    const right = plot.bbox.left + plot.bbox.width;
    const labels: { text: string; y: number }[] = [];
    ctx.save();
    const most = plot.scales.y!.max ?? 0;
    for (const [part, tint, word, dash] of [[0.8, "warn", "warn at", [2, 3]], [1, "stop", "stop at", [5, 3]]] as const) {
      if (limit === null || limit > most) continue;
      const y = plot.valToPos(limit * part, "y", true);
      ctx.strokeStyle = this.colour(tint);
      ctx.lineWidth = density;
      ctx.setLineDash(dash.map((each) => each * density));
      ctx.beginPath();
      ctx.moveTo(plot.bbox.left, y);
      ctx.lineTo(right, y);
      ctx.stroke();
      labels.push({ text: `${word} ${short(limit * part)}`, y });
    }
    let below = 0;
    for (const course of courses.of) {
      const end = below + (course.spent.at(-1) ?? 0);
      labels.push({ text: label(course), y: plot.valToPos((below + end) / 2, "y", true) });
      below = end;
    }
    ctx.font = `${11 * density}px ${getComputedStyle(this.element).fontFamily}`;
    ctx.fillStyle = this.colour("ink");
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    const room = (RIGHT - 8) * density;
    for (const { text, y } of apart(labels, LINE * density, plot.bbox.top + plot.bbox.height)) ctx.fillText(cut(ctx, text, room), right + 6 * density, y);
    ctx.restore();
  }

  private colour(tint: (typeof TINTS)[number]): string {
    return getComputedStyle(this.probes.get(tint)!).color;
  }
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 240, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400];

/** From the lowest up, each at least a line above the one below it. */
export function apart<T extends { y: number }>(labels: T[], line: number, bottom: number): T[] {
  let below = bottom + line / 2;
  return [...labels].sort((a, b) => b.y - a.y).map((each) => ({ ...each, y: (below = Math.min(each.y, below - line)) }));
}

/** The text with its end left out where it does not fit; its last word, the number, stays. */
function cut(ctx: CanvasRenderingContext2D, text: string, room: number): string {
  const [, name, number] = /^(.*?)( (?:≥ )?\S+)$/.exec(text) ?? [null, text, ""];
  for (let left = name!.length; left > 0; left--) {
    const tried = left === name!.length ? text : `${name!.slice(0, left)}…${number}`;
    if (ctx.measureText(tried).width <= room) return tried;
  }
  return text;
}
