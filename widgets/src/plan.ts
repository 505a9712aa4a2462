// Where each agent stands in the graph: from left to right by depth, siblings in the order
// of their spawning. A new agent never reorders others.

import { stratify, tree } from "d3-hierarchy";
import type { Row } from "./store";

export type Level = "card" | "pill" | "mark";

/** Width and height of one agent, and the room between two. */
export const SIZES = { card: [170, 44, 37, 9], pill: [100, 18, 24, 4], mark: [9, 9, 0, 0] } as const;
const MARGIN = 12;

/** The most agents that are drawn as cards, and as pills; more are marks. */
export const MOST = { card: 60, pill: 400 };

export interface Place {
  row: Row;
  x: number;
  y: number;
}

export interface Plan {
  level: Level;
  places: Map<string, Place>;
  width: number;
  height: number;
}

export function level(count: number): Level {
  return count <= MOST.card ? "card" : count <= MOST.pill ? "pill" : "mark";
}

/** Places for these rows, which hold everyone's parent. `room` is the width that marks may fill. */
export function plan(rows: Row[], room: number): Plan {
  const as = level(rows.length);
  if (!rows.length) return { level: as, places: new Map(), width: 0, height: 0 };
  return as === "mark" ? marks(rows, room) : branches(rows, as);
}

const ROOT = "\0"; // no agent's name

function branches(rows: Row[], as: "card" | "pill"): Plan {
  const [w, h, gapX, gapY] = SIZES[as];
  const known = new Set(rows.map((row) => row.name));
  const parent = (row: Row | { name: string; parent?: undefined }) =>
    row.name === ROOT ? null : row.parent && known.has(row.parent) ? row.parent : ROOT;
  const root = stratify<Row | { name: string; parent?: undefined }>()
    .id((row) => row.name)
    .parentId(parent)([{ name: ROOT }, ...rows]);
  const placed = tree<Row | { name: string; parent?: undefined }>()
    .nodeSize([h + gapY, w + gapX])
    .separation(() => 1)(root);
  const nodes = placed.descendants().filter((node) => node.depth > 0);
  const top = Math.min(...nodes.map((node) => node.x));
  const places = new Map<string, Place>();
  for (const node of nodes) {
    const at = { x: MARGIN + node.y - (w + gapX), y: MARGIN + node.x - top };
    places.set(node.data.name, { row: node.data as Row, ...at });
  }
  const most = (of: (place: Place) => number) => Math.max(...[...places.values()].map(of));
  return { level: as, places, width: most(({ x }) => x) + w + MARGIN, height: most(({ y }) => y) + h + MARGIN };
}

/** In tree order, line by line. */
function marks(rows: Row[], room: number): Plan {
  const [w, h] = SIZES.mark;
  const columns = Math.max(1, Math.floor((Math.max(room, 120) - 2 * MARGIN) / w));
  const places = new Map<string, Place>();
  rows.forEach((row, n) => {
    places.set(row.name, { row, x: MARGIN + (n % columns) * w, y: MARGIN + Math.floor(n / columns) * h });
  });
  const lines = Math.ceil(rows.length / columns);
  return { level: "mark", places, width: 2 * MARGIN + columns * w, height: 2 * MARGIN + lines * h };
}

/** The line from a parent to its child, or back. */
export function edge(plan: Plan, parent: string, child: string, back = false): string {
  const [w, h] = SIZES[plan.level];
  const [from, to] = [plan.places.get(parent)!, plan.places.get(child)!];
  const [x1, y1, x2, y2] = [from.x + w, from.y + h / 2, to.x, to.y + h / 2];
  const middle = (x1 + x2) / 2;
  return back ? `M${x2} ${y2}C${middle} ${y2} ${middle} ${y1} ${x1} ${y1}` : `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

/** The edges over which a message goes, each as its child and whether it goes towards the parent. */
export function route(plan: Plan, from: string, to: string): { child: string; up: boolean }[] {
  const above = (name: string) => {
    const line: string[] = [];
    for (let at = plan.places.get(name); at && !line.includes(at.row.name); at = plan.places.get(at.row.parent ?? "")) line.push(at.row.name);
    return line;
  };
  const [up, down] = [above(from), above(to)];
  const common = up.find((name) => down.includes(name));
  if (common === undefined) return [];
  return [
    ...up.slice(0, up.indexOf(common)).map((child) => ({ child, up: true })),
    ...down.slice(0, down.indexOf(common)).reverse().map((child) => ({ child, up: false })),
  ];
}

/** The agent that stands next to `name` in that direction. */
export function beside(plan: Plan, name: string, key: "ArrowUp" | "ArrowDown"): string | undefined {
  const at = plan.places.get(name);
  if (!at) return undefined;
  const sign = key === "ArrowDown" ? 1 : -1;
  const ahead = [...plan.places.values()].filter(({ x, y }) => x === at.x && (y - at.y) * sign > 0);
  ahead.sort((a, b) => (a.y - b.y) * sign);
  return ahead[0]?.row.name;
}
