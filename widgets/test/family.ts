// A family of agents in every kind of state, and how a test finds its way on the dashboard.

import { row } from "./model";

export const FAMILY = [
  row("lead", null, 0, { state: "busy", now: "reads 2 replies", limit_usd: 10, limit_used: 6.34, subtree_usd: 6.34 }),
  row("backend", "lead", 1, { role: "backend_developer", harness: "codex" }),
  row("api", "backend", 2, { state: "waiting", now: "asks: Edit src/refunds/service.py (api.a1)", harness: "codex" }),
  row("ui", "lead", 1, { state: "busy", now: "Bash npm test", unread: 2 }),
  row("old", "lead", 1, { state: "failed", reason: "API overloaded after 5 retries", short: "API overloaded" }),
  row("tired", "lead", 1, { state: "suspended", limit_usd: 2, limit_used: 1.72, nearly: "86 % of $2.00" }),
];

export const press = (key: string, more: KeyboardEventInit = {}) =>
  document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
export const named = (el: HTMLElement, name: string) =>
  [...el.querySelectorAll("button")].find((each) => (each.getAttribute("aria-label") ?? each.textContent) === name)!;
export const card = (el: HTMLElement, name: string) => el.querySelector<HTMLElement>(`.mx-graph [data-agent="${name}"]`)!;
export const who = (el: HTMLElement) => el.querySelector(".mx-who .nm")!.textContent;
