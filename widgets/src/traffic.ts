// Messages on their way: a dot along the edge, which stays lit for a moment.

import { h } from "./element";
import { edge, route, type Plan } from "./plan";

export interface Message {
  id: string;
  from: string;
  to: string;
}

const RUN = 700;
const GLOW = 1200;
/** Dots at once; beyond that the edges alone tell. */
const MOST = 12;
const SECOND = 1000;

export class Traffic {
  private seen: Set<string> | undefined;
  private lit = new Map<string, number>(); // child of the edge → until when
  private dots = new Map<string, { element: HTMLElement; count: number; began: number }>();

  constructor(
    private world: HTMLElement,
    private redraw: () => void,
  ) {}

  /** Show what is new. What was there when one began to look has arrived already, and so has what one saw before. */
  show(messages: Message[], plan: Plan, moves: boolean): void {
    const fresh = this.seen ? messages.filter((each) => !this.seen!.has(each.id)) : [];
    this.seen ??= new Set();
    for (const { id } of messages) this.seen.add(id); // kept: a moment of the past holds fewer
    for (const { from, to } of fresh) {
      const way = route(plan, from, to);
      if (!way.length) continue;
      for (const { child } of way) this.light(child);
      if (moves) this.run(`${from} ${to}`, plan, way);
    }
  }

  /** Whether the edge that leads to this agent is lit. */
  hot(child: string): boolean {
    return (this.lit.get(child) ?? 0) > Date.now();
  }

  private light(child: string): void {
    this.lit.set(child, Date.now() + GLOW);
    setTimeout(this.redraw, GLOW + 20);
  }

  private run(key: string, plan: Plan, way: ReturnType<typeof route>): void {
    const known = this.dots.get(key);
    if (known && Date.now() - known.began < SECOND) {
      known.element.textContent = String(++known.count);
      known.element.classList.add("many");
      return;
    }
    if (this.dots.size >= MOST) return;
    const element = h("i", { class: "mx-pulse", "aria-hidden": "true" });
    const path = way.map(({ child, up }) => edge(plan, plan.places.get(child)!.row.parent!, child, up)).join("");
    element.style.offsetPath = `path("${path}")`;
    this.world.append(element);
    this.dots.set(key, { element, count: 1, began: Date.now() });
    const steps = [{ offsetDistance: "0%" }, { offsetDistance: "100%" }];
    const motion = element.animate?.(steps, { duration: RUN * way.length, easing: "cubic-bezier(.2,0,0,1)" });
    const end = () => {
      element.remove();
      this.dots.delete(key);
    };
    if (motion) motion.finished.then(end, end);
    else setTimeout(end, RUN);
  }
}
