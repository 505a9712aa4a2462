// What a timeline draws, without drawing it: which rectangles, and what is under the pointer.

import type { Stretch } from "./axis";
import { span } from "./format";

/** One bar as the kernel tells it (madrox_nb/parts/timeline.py); times are seconds since 1970. */
export interface Bar {
  id: string;
  /** Agent and kind. */
  a: string;
  k: Kind;
  /** From when to when; null while it goes on. */
  b: number;
  e: number | null;
  s?: string; // what it is about
  x?: boolean; // it failed
  h?: number; // when the agent was heard last, in a turn under way
  n?: number; // how many bars it stands for
}
export type Kind = "turn" | "tool" | "wait" | "silent" | "off" | "end";

export interface Sent {
  id: string;
  t: number;
  from: string;
  to: string;
}

export const ROW = 18; // pixels of a row, as in time.css
export const SILENT = 120; // seconds, as in madrox_nb/spans.py
const HEIGHT: Record<Kind, number> = { turn: 10, tool: 6, wait: 10, silent: 10, off: 2, end: 10 };
/** Later ones lie over earlier ones. */
export const ORDER: Kind[] = ["off", "turn", "silent", "tool", "wait", "end"];

export interface Box {
  bar: Bar;
  x: number;
  y: number;
  w: number;
  h: number;
}

export interface Scene {
  /** What is drawn, in the order of drawing. */
  boxes: Box[];
  messages: { sent: Sent; x: number; from: number | null; to: number }[];
}

interface Window extends Stretch {
  pixels: number;
  now: number;
  /** Agent → its row among those that are seen; others are not drawn. */
  rows: Map<string, number>;
}

/** What falls into a window. Bars of one row and kind that end in the same pixel are drawn once. */
export function scene(bars: Iterable<Bar>, messages: Iterable<Sent>, window: Window): Scene {
  const { since, until, pixels, now, rows } = window;
  const scale = pixels / (until - since);
  const byKind = new Map<Kind, Box[]>(ORDER.map((kind) => [kind, []]));
  const filled = new Map<string, number>();
  for (const bar of withSilence(bars, now)) {
    const row = rows.get(bar.a);
    const ends = bar.e ?? now;
    if (row === undefined || bar.b > until || ends < since) continue;
    const left = Math.max(-2, (bar.b - since) * scale);
    const right = Math.min(pixels + 2, Math.max((ends - since) * scale, left + 1.5));
    const key = `${row} ${bar.k}`;
    if (!bar.x && right - left < 2 && (filled.get(key) ?? -Infinity) > right - 1) continue;
    filled.set(key, right);
    const h = HEIGHT[bar.k];
    byKind.get(bar.k)!.push({ bar, x: left, y: row * ROW + (ROW - h) / 2, w: right - left, h });
  }
  const seen = [];
  for (const sent of messages) {
    const to = rows.get(sent.to);
    if (sent.t < since || sent.t > until || to === undefined) continue;
    const from = rows.get(sent.from);
    const middle = (row: number) => row * ROW + ROW / 2;
    seen.push({ sent, x: (sent.t - since) * scale, from: from === undefined ? null : middle(from), to: middle(to) });
  }
  return { boxes: ORDER.flatMap((kind) => byKind.get(kind)!), messages: seen };
}

/** A turn in which nothing has been heard for long is silent until something is. */
function* withSilence(bars: Iterable<Bar>, now: number): Iterable<Bar> {
  const working = new Set<string>();
  const turns: Bar[] = [];
  for (const bar of bars) {
    if (bar.e === null && (bar.k === "tool" || bar.k === "wait")) working.add(bar.a);
    if (bar.h !== undefined && now - bar.h >= SILENT) turns.push(bar);
    yield bar;
  }
  for (const { id, a, h } of turns) if (!working.has(a)) yield { id: `${id}~`, a, k: "silent", b: h!, e: null };
}

/** The bar under a point: the topmost, with some pixels to spare for those that are thin. */
export function under(scene: Scene, x: number, y: number): Box | undefined {
  const spare = 3;
  const topmost = [...scene.boxes].reverse();
  const hit = (box: Box, more: number) =>
    x >= box.x - more && x <= box.x + box.w + more && Math.floor(y / ROW) === Math.floor((box.y + box.h / 2) / ROW);
  return topmost.find((box) => hit(box, 0)) ?? topmost.find((box) => hit(box, spare));
}

const WORDS: Record<Kind, string> = { turn: "turn", tool: "", wait: "waits for you", silent: "silent", off: "suspended", end: "failed" };

/** `api: Edit service.py, 0:42 at 3:12`. */
export function tell({ a, k, b, e, s, x, n }: Bar, now: number, origin: number): string {
  const what = [WORDS[k], s].filter(Boolean).join(": ");
  const many = n ? `, ${n} of them` : "";
  const took = k === "end" ? "" : `, ${span((e ?? now) - b)}${e === null ? " so far" : ""}`;
  return `${a}: ${what}${x && k !== "end" ? ", failed" : ""}${many}${took} at ${span(b - origin)}`;
}
