// How costs came about: who spent how much when, put together by subtree, agent, role,
// harness or model. Nothing is drawn here.

import { legible } from "./element";
import { percent, short } from "./figures";
import { money, own, some, span, tokens, UNPRICED } from "./format";
import type { Row } from "./store";
import type { Data } from "./topics";

/** The topic `costs` (madrox_nb/parts/costs.py). */
export interface Told extends Data {
  first: number;
  width: number; // seconds of a bin
  spenders: { id: string; agent: string; model: string }[];
  /** What was spent in each bin, by the id of a spender, in US dollars. */
  bins: { id: string; spent: Record<string, number> }[];
  sources: { agent: string; from: string }[];
  /** When the run was over; null while it goes on. */
  over: number | null;
}

export const BY = ["subtree", "agent", "role", "harness", "model"] as const;
export type By = (typeof BY)[number];

export interface Course {
  name: string;
  /** What was spent until each of the times. */
  spent: number[];
  /** Part of it has no known price. */
  exact: boolean;
}

export interface Courses {
  times: number[];
  /** At most five, in the order of the tree: the biggest four, and the rest in one. */
  of: Course[];
}

const BIGGEST = 4;
export const REST = "others";

/** Who spent how much until when, from the beginning of the run until `now`. */
export function courses(told: Told, rows: Row[], by: By, began: number, now: number): Courses {
  const group = groups(rows, by);
  const names = told.spenders.map(({ agent, model }) => (by === "model" ? model || "no model" : (group.get(agent) ?? REST)));
  const order = [...new Set([...rows.map((row) => group.get(row.name)!).filter(() => by !== "model"), ...names])];
  const spent = new Map(order.map((name) => [name, new Array<number>(told.bins.length).fill(0)]));
  const nameOf = new Map(told.spenders.map(({ id }, at) => [id, names[at]!]));
  told.bins.forEach((bin, at) => {
    for (const [id, usd] of Object.entries(bin.spent)) spent.get(nameOf.get(id) ?? REST)![at]! += usd;
  });
  const unpriced = new Set(rows.filter((row) => own(row) === UNPRICED).map((row) => (by === "model" ? row.model : group.get(row.name))));
  const all = order.map((name) => ({ name, spent: summed(spent.get(name)!), exact: !unpriced.has(name) }));
  const ends = told.bins.map((_, at) => Math.min(told.first + told.width * (at + 1), now));
  const last = ends.at(-1);
  const carry = last !== undefined && now > last;
  const before = began < told.first ? [began, told.first] : [told.first];
  const times = [...before, ...ends, ...(carry ? [now] : [])];
  const padded = all.map((each) => ({ ...each, spent: [...before.map(() => 0), ...each.spent, ...(carry ? each.spent.slice(-1) : [])] }));
  return { times, of: biggest(padded.filter((each) => total(each) > 0)) };
}

/** Agent → the group it belongs to. */
function groups(rows: Row[], by: By): Map<string, string> {
  if (by !== "subtree") return new Map(rows.map((row) => [row.name, by === "agent" || by === "model" ? row.name : row[by]]));
  const top = rows.filter((row) => row.depth === 0);
  const level = top.length === 1 ? 1 : 0; // below the one who leads, or each who leads
  const found = new Map<string, string>();
  for (const { name, parent, depth } of rows) found.set(name, depth <= level ? name : (found.get(parent ?? "") ?? name));
  return found;
}

function summed(each: number[]): number[] {
  let sum = 0;
  return each.map((usd) => (sum += usd));
}

const total = (course: Course): number => course.spent.at(-1) ?? 0;

function biggest(all: Course[]): Course[] {
  const kept = new Set([...all].sort((a, b) => total(b) - total(a)).slice(0, BIGGEST));
  const rest = all.filter((each) => !kept.has(each));
  if (!rest.length) return all;
  const sum = rest[0]!.spent.map((_, at) => rest.reduce((usd, each) => usd + each.spent[at]!, 0));
  return [...all.filter((each) => kept.has(each)), { name: REST, spent: sum, exact: rest.every((each) => each.exact) }];
}

/** `quality ≥ 0.73` */
export function label(course: Course): string {
  return `${legible(course.name)} ${money(total(course), course.exact)}`;
}

/** From the bottom up, each on top of those before it. */
export function stacked(of: Course[]): number[][] {
  const stack: number[][] = [];
  for (const { spent } of of) stack.push(spent.map((usd, at) => usd + (stack.at(-1)?.[at] ?? 0)));
  return stack;
}

const MINUTES = 5;

/** When the limit is reached if it goes on so, and what is not in the picture. */
export function sentence(told: Told, rows: Row[], limit: number | null, now: number, started: number): string {
  return [pace(told, rows, limit, now, started), missing(rows)].filter(Boolean).join(" ");
}

function pace(told: Told, rows: Row[], limit: number | null, now: number, started: number): string {
  const since = now - Math.max(MINUTES * 60, told.width * 2);
  const bins = told.bins.filter((_, at) => told.first + told.width * (at + 1) > since);
  const usd = bins.reduce((sum, bin) => sum + Object.values(bin.spent).reduce((a, b) => a + b, 0), 0);
  const seconds = Math.min(now - since, now - told.first);
  const minutes = Math.max(1, Math.round(seconds / 60));
  const last = minutes === 1 ? "minute" : `${minutes} min`;
  if (!usd || seconds <= 0) return told.bins.length ? `Nothing was spent in the last ${last}.` : "";
  const all = rows.filter((row) => row.depth === 0).reduce((sum, row) => sum + (row.subtree_usd ?? 0), 0);
  const rate = usd / Math.max(seconds, 60);
  if (!limit) return `At the pace of the last ${last}, an hour costs ${money(rate * 3600)}. No limit is set for the run.`;
  if (all >= limit) return `The limit of ${short(limit)} is reached.`;
  return `At the pace of the last ${last}, ${short(limit)} is reached at about ${span(now - started + (limit - all) / rate)}.`;
}

function missing(rows: Row[]): string {
  const unpriced = rows.filter((row) => own(row) === UNPRICED);
  if (!unpriced.length) return "";
  const told = unpriced.slice(0, 2).map((row) => `${row.name} (${tokens(row.tokens)} tok${row.model ? `, ${row.model}` : ""})`);
  const more = unpriced.length - told.length;
  const whom = more ? `${told.join(", ")} and ${some(more, "other")}` : told.join(" and ");
  return `${whom} ${unpriced.length === 1 ? "is" : "are"} not wholly in this picture: no price is known.`;
}

/** `63 % of 10`, in two pieces. */
export function used(usd: number, limit: number): [string, string] {
  return [percent(usd / limit), ` of ${short(limit)}`];
}
