// Puts a scene on a canvas. Colours are read from the style of the page, so themes are followed.

import type { Stretch } from "./axis";
import { ROW, type Box, type Kind, type Scene } from "./bars";
import { h } from "./element";

const TINTS = ["turn", "tool", "wait", "silent", "off", "end", "message", "row", "grid", "ink", "ground"] as const;
type Tint = (typeof TINTS)[number];
export type Colours = Record<Tint, string>;

/** Hidden elements that say which colours the style means. */
export class Tints {
  readonly element = h("span", { class: "mx-tints", "aria-hidden": "true" });
  private probes = TINTS.map((tint) => {
    const probe = h("i", { class: `tl-${tint}` });
    this.element.append(probe);
    return [tint, probe] as const;
  });

  read(): Colours {
    return Object.fromEntries(this.probes.map(([tint, probe]) => [tint, getComputedStyle(probe).color])) as Colours;
  }
}

export interface Look {
  pixels: number;
  height: number; // without the axis
  stretch: Stretch;
  ticks: { at: number; label: string }[];
  /** The row of the agent that is looked at. */
  selected: number | null;
  /** The moment that is looked at; what came later is dimmed. */
  at: number;
  past: boolean;
  focused: Box | undefined;
  font: string;
}

const AXIS = 24;
/** Above so many messages their lines would hide the bars. */
const LINES = 400;

/** Draw everything anew. */
export function paint(canvas: HTMLCanvasElement, scene: Scene, look: Look, colours: Colours): void {
  const ctx = canvas.getContext("2d");
  if (!ctx) return;
  const density = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(look.pixels * density), Math.round((look.height + AXIS) * density)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  ctx.setTransform(density, 0, 0, density, 0, 0);
  ctx.clearRect(0, 0, look.pixels, look.height + AXIS);
  const x = (at: number) => ((at - look.stretch.since) / (look.stretch.until - look.stretch.since)) * look.pixels;
  ground(ctx, look, colours, x);
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, 0, look.pixels, look.height);
  ctx.clip();
  for (const box of scene.boxes) PAINTERS[box.bar.k](ctx, box, colours);
  failures(ctx, scene, colours);
  messages(ctx, scene, colours);
  if (look.focused) outline(ctx, look.focused, colours);
  ctx.restore();
  moment(ctx, look, colours, x(look.at));
}

function ground(ctx: CanvasRenderingContext2D, look: Look, colours: Colours, x: (at: number) => number): void {
  if (look.selected !== null) {
    ctx.fillStyle = colours.row;
    ctx.fillRect(0, look.selected * ROW, look.pixels, ROW);
  }
  ctx.font = look.font;
  ctx.textBaseline = "middle";
  for (const { at, label } of look.ticks) {
    const left = Math.round(x(at)) + 0.5;
    line(ctx, colours.grid, 1, [left, 0], [left, look.height]);
    const wide = ctx.measureText(label).width;
    ctx.fillStyle = colours.ink;
    ctx.fillText(label, Math.min(Math.max(0, left - wide / 2), look.pixels - wide), look.height + AXIS / 2);
  }
}

type Painter = (ctx: CanvasRenderingContext2D, box: Box, colours: Colours) => void;

const solid =
  (tint: Tint): Painter =>
  (ctx, { x, y, w, h }, colours) => {
    ctx.fillStyle = colours[tint];
    ctx.fillRect(x, y, w, h);
  };

const PAINTERS: Record<Kind, Painter> = {
  turn: solid("turn"),
  tool: solid("tool"),
  end: () => {}, // its mark is drawn with the failures
  wait(ctx, { x, y, w, h }, colours) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(x, y, w, h);
    ctx.fillStyle = colours.ground;
    ctx.fill();
    ctx.clip();
    for (let left = x - h; left < x + w; left += 5) line(ctx, colours.wait, 2, [left, y + h], [left + h, y]);
    ctx.restore();
    ctx.strokeStyle = colours.wait;
    ctx.lineWidth = 1;
    ctx.strokeRect(x + 0.5, y + 0.5, Math.max(0.5, w - 1), h - 1);
  },
  silent(ctx, { x, y, w, h }, colours) {
    ctx.fillStyle = colours.ground;
    ctx.fillRect(x, y, w, h);
    ctx.setLineDash([3, 2.5]);
    ctx.strokeStyle = colours.silent;
    ctx.lineWidth = 1.25;
    ctx.strokeRect(x + 0.5, y + 0.5, Math.max(0.5, w - 1), h - 1);
    ctx.setLineDash([]);
  },
  off(ctx, { x, y, w, h }, colours) {
    ctx.setLineDash([1.5, 3.5]);
    line(ctx, colours.off, 1.5, [x, y + h / 2], [x + w, y + h / 2]);
    ctx.setLineDash([]);
  },
};

/** The red end of what failed. */
function failures(ctx: CanvasRenderingContext2D, { boxes }: Scene, colours: Colours): void {
  for (const { bar, x, y, w, h } of boxes) {
    if (!bar.x) continue;
    const [right, more] = [x + w, bar.k === "tool" ? 0 : 1];
    line(ctx, colours.end, 2, [right, y - more], [right, y + h + more]);
  }
}

/** A thin line from who sent it, and a dot at who got it. */
function messages(ctx: CanvasRenderingContext2D, scene: Scene, colours: Colours): void {
  ctx.globalAlpha = scene.messages.length > LINES ? 0.2 : 0.75;
  for (const { x, from, to } of scene.messages) if (from !== null) line(ctx, colours.message, 1, [x, from], [x, to]);
  ctx.globalAlpha = 1;
  ctx.fillStyle = colours.message;
  ctx.beginPath();
  for (const { x, to } of scene.messages) {
    ctx.moveTo(x + 2.5, to);
    ctx.arc(x, to, 2.5, 0, Math.PI * 2);
  }
  ctx.fill();
}

function outline(ctx: CanvasRenderingContext2D, { x, y, w, h }: Box, colours: Colours): void {
  ctx.strokeStyle = colours.message;
  ctx.lineWidth = 2;
  ctx.strokeRect(x - 2, y - 2, w + 4, h + 4);
}

/** Where one looks; what came after it is still to be seen, but not yet. */
function moment(ctx: CanvasRenderingContext2D, look: Look, colours: Colours, at: number): void {
  if (look.past) {
    ctx.globalAlpha = 0.6;
    ctx.fillStyle = colours.ground;
    ctx.fillRect(Math.max(0, at), 0, look.pixels, look.height);
    ctx.globalAlpha = 1;
  }
  const left = Math.min(at, look.pixels - 1);
  if (left >= 0) line(ctx, colours.message, 1.5, [left, 0], [left, look.height]);
}

function line(ctx: CanvasRenderingContext2D, colour: string, wide: number, from: [number, number], to: [number, number]): void {
  ctx.strokeStyle = colour;
  ctx.lineWidth = wide;
  ctx.beginPath();
  ctx.moveTo(...from);
  ctx.lineTo(...to);
  ctx.stroke();
}
