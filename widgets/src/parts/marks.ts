// Hundreds of agents, each a mark on a canvas: a disc works, a ring waits for you, a cross
// failed, the rest is small. The line below names the one under the hand.

import { attribute, h, text } from "../element";
import { doing, look } from "../format";
import type { Frame } from "../frame";
import { now } from "../head";
import { SIZES, type Plan } from "../plan";

export class Marks {
  readonly element: HTMLElement;
  private canvas = h("canvas");
  private line = h("div", { class: "mx-marked mx-sm mx-2" });
  private plan: Plan | undefined;
  private laid: Plan | undefined; // the plan of what stands on the canvas
  private key = "";
  private drawn = new Map<string, string>();
  private hovered = "";
  private active = "";

  constructor(
    private frame: Frame,
    choose: (name: string) => void,
  ) {
    const says = { class: "mx-marks", tabindex: 0, role: "img", hidden: true };
    this.element = h("div", says, h("div", { class: "mx-sheet" }, this.canvas), this.line);
    const at = (event: MouseEvent) => this.under(event.offsetX, event.offsetY);
    this.canvas.addEventListener("mousemove", (event) => this.hover(at(event)), { signal: frame.signal });
    this.canvas.addEventListener("mouseleave", () => this.hover(""), { signal: frame.signal });
    this.canvas.addEventListener("click", (event) => at(event) && choose(at(event)), { signal: frame.signal });
  }

  draw(plan: Plan, active: string): void {
    [this.plan, this.active] = [plan, active];
    const counted = `${plan.places.size} agents as marks. The list says the same in text.`;
    attribute(this.element, "aria-label", counted);
    this.name();
    const colours = this.colours();
    const paint = this.sheet(plan, Object.values(colours).join());
    const chosen = this.frame.store.current?.name;
    for (const [name, { row, x, y }] of paint ? plan.places : []) {
      const framed = name === active || name === chosen;
      const seen = look(row);
      const drawn = framed ? `${seen} framed` : seen;
      if (this.drawn.get(name) === drawn) continue; // of thousands, few change at a time
      this.drawn.set(name, drawn);
      mark(paint!, seen, x, y, colours[seen] ?? colours.idle!, framed ? colours.accent! : "");
    }
  }

  /** The canvas, empty when all has to be drawn anew: in other places, another size or other colours. */
  private sheet(plan: Plan, colours: string): CanvasRenderingContext2D | null {
    const fine = globalThis.devicePixelRatio || 1;
    const { width, height } = plan;
    const size = { width: Math.round(width * fine), height: Math.round(height * fine) };
    const paint = this.canvas.getContext("2d");
    const key = `${size.width} ${size.height} ${colours}`;
    if (plan === this.laid && key === this.key) return paint;
    [this.laid, this.key, this.drawn] = [plan, key, new Map()];
    Object.assign(this.canvas, size); // which empties it
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    paint?.scale(fine, fine);
    return paint;
  }

  /** Read anew each time: the notebook's theme may have changed. */
  private colours(): Record<string, string> {
    const style = getComputedStyle(this.element);
    const of = (name: string) => style.getPropertyValue(`--mx-${name}`).trim() || "#888";
    const [wait, small] = [of("wait"), of("stop")];
    return { busy: of("busy"), waiting: wait, stalled: wait, failed: of("fail"), idle: small, accent: of("accent") };
  }

  private under(x: number, y: number): string {
    const [w, h] = SIZES.mark;
    for (const [name, place] of this.plan?.places ?? []) {
      if (x >= place.x && x < place.x + w && y >= place.y && y < place.y + h) return name;
    }
    return "";
  }

  private hover(name: string): void {
    this.hovered = name;
    this.name();
  }

  private name(): void {
    const row = this.plan?.places.get(this.hovered || this.active)?.row;
    text(this.line, row ? `${row.name}: ${doing(row, now(this.frame))}` : "");
  }
}

const RADIUS: Record<string, number> = { busy: 2.6, waiting: 2.4, stalled: 2.4 };
const OUTLINED = ["failed", "waiting", "stalled"];

/** One mark in the place of what stood there. Many small paths are drawn faster than one of thousands of pieces. */
function mark(paint: CanvasRenderingContext2D, seen: string, x: number, y: number, colour: string, frame: string): void {
  const [w, h] = SIZES.mark;
  paint.clearRect(x, y, w, h);
  paint.lineWidth = 1.5;
  paint.beginPath();
  trace(paint, seen, x + w / 2, y + h / 2);
  paint.fillStyle = paint.strokeStyle = colour;
  if (OUTLINED.includes(seen)) paint.stroke();
  else paint.fill();
  if (!frame) return;
  paint.strokeStyle = frame;
  paint.strokeRect(x + 0.75, y + 0.75, w - 1.5, h - 1.5);
}

function trace(paint: CanvasRenderingContext2D, seen: string, x: number, y: number): void {
  if (seen !== "failed") {
    paint.arc(x, y, RADIUS[seen] ?? 1.5, 0, 2 * Math.PI);
    return;
  }
  for (const side of [1, -1]) {
    paint.moveTo(x - 2.2, y - 2.2 * side);
    paint.lineTo(x + 2.2, y + 2.2 * side);
  }
}
