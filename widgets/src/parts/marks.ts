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
    for (const [seen, path] of marks(plan)) mark(paint, seen, path, colours[seen] ?? colours.idle!);
    for (const name of [active, chosen]) {
      const at = plan.places.get(name ?? "");
      if (at) frame(paint, at.x, at.y, colours.accent!);
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

/** One path for all of one look: thousands are drawn in five strokes. */
function marks(plan: Plan): Map<string, Path2D> {
  const paths = new Map<string, Path2D>();
  for (const { row, x, y } of plan.places.values()) {
    const seen = look(row);
    const path = paths.get(seen) ?? new Path2D();
    paths.set(seen, path);
    trace(path, seen, x + 4.5, y + 4.5);
  }
  return paths;
}

const RADIUS: Record<string, number> = { busy: 2.6, waiting: 2.4, stalled: 2.4 };

function trace(path: Path2D, seen: string, x: number, y: number): void {
  if (seen === "failed") {
    for (const side of [1, -1]) {
      path.moveTo(x - 2.2, y - 2.2 * side);
      path.lineTo(x + 2.2, y + 2.2 * side);
    }
    return;
  }
  const radius = RADIUS[seen] ?? 1.5;
  path.moveTo(x + radius, y);
  path.arc(x, y, radius, 0, 2 * Math.PI);
}

function mark(paint: CanvasRenderingContext2D, seen: string, path: Path2D, colour: string): void {
  paint.fillStyle = paint.strokeStyle = colour;
  paint.lineWidth = 1.5;
  if (["failed", "waiting", "stalled"].includes(seen)) paint.stroke(path);
  else paint.fill(path);
}

function frame(paint: CanvasRenderingContext2D, x: number, y: number, colour: string): void {
  paint.strokeStyle = colour;
  paint.lineWidth = 1.5;
  paint.strokeRect(x + 0.25, y + 0.25, 8.5, 8.5);
}
