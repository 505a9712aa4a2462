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
    const chosen = this.frame.store.current?.name;
    const counted = `${plan.places.size} agents as marks. The list says the same in text.`;
    attribute(this.element, "aria-label", counted);
    this.name();
    const paint = this.sheet(plan);
    if (!paint) return;
    const colours = this.colours();
    for (const { row, x, y } of plan.places.values()) {
      const seen = look(row);
      mark(paint, seen, x + 4.5, y + 4.5, colours[seen] ?? colours.idle!);
      if (row.name === active || row.name === chosen) frame(paint, x, y, colours.accent!);
    }
  }

  private sheet({ width, height }: Plan): CanvasRenderingContext2D | null {
    const fine = globalThis.devicePixelRatio || 1;
    if (this.canvas.width !== width * fine || this.canvas.height !== height * fine) {
      Object.assign(this.canvas, { width: width * fine, height: height * fine });
      Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    }
    const paint = this.canvas.getContext("2d");
    paint?.setTransform(fine, 0, 0, fine, 0, 0);
    paint?.clearRect(0, 0, width, height);
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

function mark(paint: CanvasRenderingContext2D, seen: string, x: number, y: number, colour: string): void {
  paint.beginPath();
  paint.fillStyle = paint.strokeStyle = colour;
  paint.lineWidth = 1.5;
  if (seen === "failed") {
    paint.moveTo(x - 2.2, y - 2.2);
    paint.lineTo(x + 2.2, y + 2.2);
    paint.moveTo(x - 2.2, y + 2.2);
    paint.lineTo(x + 2.2, y - 2.2);
    paint.stroke();
    return;
  }
  const open = seen === "waiting" || seen === "stalled";
  paint.arc(x, y, seen === "busy" ? 2.6 : open ? 2.4 : 1.5, 0, 2 * Math.PI);
  if (open) paint.stroke();
  else paint.fill();
}

function frame(paint: CanvasRenderingContext2D, x: number, y: number, colour: string): void {
  paint.strokeStyle = colour;
  paint.lineWidth = 1.5;
  paint.strokeRect(x + 0.25, y + 0.25, 8.5, 8.5);
}
