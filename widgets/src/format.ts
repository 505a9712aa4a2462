// The words and figures of a picture, the same as in the saved form (madrox_nb/views.py).

import { dollars } from "./figures";
import type { Row } from "./store";

export const ORDER = ["busy", "waiting", "starting", "idle", "suspended", "stopped", "failed"];

const NOTHING = "–";
export const UNPRICED = "unpriced";

/** Dollars with two decimals; `≥` when part is unknown, a word when all of it is. */
export function money(usd: number | null, exact = true, sign = ""): string {
  if (usd === null || (!exact && usd === 0)) return UNPRICED;
  return `${exact ? "" : "≥ "}${sign}${dollars(usd)}`;
}

/** What the agent itself spent; a dash when it has used nothing yet. */
export function own(row: Row): string {
  return row.tokens || (row.own_usd ?? 0) > 0 ? money(row.own_usd) : NOTHING;
}

/** What its subtree spent; a dash for an agent that has none. */
export function subtree(row: Row, parent: boolean): string {
  return parent ? money(row.subtree_usd, row.subtree_exact) : NOTHING;
}

/** What the run spent: `≥ $6.34`; empty before anything was used. */
export function total(rows: Row[]): string {
  const tops = rows.filter((row) => row.depth === 0);
  const usd = tops.reduce((sum, row) => sum + (row.subtree_usd ?? 0), 0);
  if (usd === 0 && !rows.some((row) => row.tokens)) return "";
  return money(usd, unpriced(rows) === 0 && tops.every((row) => row.subtree_exact), "$");
}

export function unpriced(rows: Row[]): number {
  return rows.filter((row) => own(row) === UNPRICED).length;
}

/** How many agents are in each state, in the order they are told; absent when nobody is. */
export function counts(rows: Row[]): [state: string, count: number][] {
  const found = new Map<string, number>();
  for (const { state } of rows) found.set(state, (found.get(state) ?? 0) + 1);
  const later = [...found.keys()].filter((state) => !ORDER.includes(state)).sort();
  return [...ORDER, ...later].flatMap((state) => (found.has(state) ? [[state, found.get(state)!]] : []));
}

/** Which sign an agent wears: stalled is a flag on busy. */
export function look(row: Row): string {
  return row.stalled && row.state === "busy" ? "stalled" : row.state;
}

export function stateWord(state: string): string {
  return state === "waiting" ? "waiting for you" : state === "stalled" ? "busy, stalled" : state;
}

export function some(count: number, what: string): string {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

/** 12:18:40, in the reader's own time. */
export function clock(date: Date): string {
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((n) => String(n).padStart(2, "0")).join(":");
}

/** 12:18:40.342 of a time in seconds since 1970. */
export function precisely(seconds: number): string {
  const date = new Date(Math.round(seconds * 1000));
  return `${clock(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** 2:14, or 1:02:14. */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${String(m).padStart(h ? 2 : 1, "0")}:${String(s).padStart(2, "0")}`;
  return h ? `${h}:${tail}` : tail;
}

/** 950, 822 k, 1.31 M. */
export function tokens(count: number): string {
  if (count < 1000) return String(count);
  return count < 999_500 ? `${Math.round(count / 1000)} k` : `${(count / 1_000_000).toFixed(2)} M`;
}

/** What it does now, with how long it has been waiting for something; `now` is the kernel's time. */
export function doing(row: Row, now: number, past = false): string {
  const since = row.since === null ? "" : ` ${span(now - row.since)}`;
  const was = past ? "was " : "";
  if (row.state === "busy") return row.stalled ? `silent${since}` : row.now || `${was}busy${since}`;
  if (row.state === "waiting") return `${past ? "waited" : "waits"} for you${since}`;
  if (row.state === "failed") return `failed${row.short ? `: ${row.short}` : ""}`;
  if (row.state === "idle") return row.held ? "limit reached" : `${was}idle${since}`;
  return row.state === "stopped" ? row.short || "stopped" : row.state;
}

/** The same and what it is about, for where there is room: `waits for you 1:12 · Edit service.py`. */
export function detail(row: Row, now: number, past = false): string {
  const told = doing(row, now, past);
  const and = (more: string) => (more ? `${told} · ${more}` : told);
  if (row.state === "waiting" || look(row) === "stalled") return and(wish(row.now));
  if (row.state === "busy" && past) return row.now ? `was busy · ${row.now}` : told;
  return row.held ? row.now || told : told;
}

/** What is asked for: of `asks: Edit service.py (api.a1)` the middle; nobody needs to read the request's id here. */
export function wish(now: string): string {
  return now.replace(/^asks: /, "").replace(/ \([^()\s]+\)$/, "");
}

/** How many messages lie in its inbox, turns that wait among them. */
export const queue = (row: Row): number => Math.max(row.queued, row.unread);

/** `2 unread messages, 1 turn queued` */
export const queued = (row: Row): string => `${some(row.unread, "unread message")}, ${some(row.queued, "turn")} queued`;

/** With a full stop, unless it ends in a sign of its own. */
export function sentence(said: string): string {
  return /[.?]$/.test(said) ? said : `${said}.`;
}

/** The part of its limit in dollars that is used; null without one. */
export function share(used: number, limit: number | null): number | null {
  return limit ? used / limit : null;
}
