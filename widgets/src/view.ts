// One view of a run: the dashboard, or one part alone in its cell. It draws at most once a
// frame, tells the kernel what it wants to be told, and asks before agents are ended.

import { attribute, h, text } from "./element";
import { Filter } from "./filter";
import type { Frame, Part } from "./frame";
import { drawLink, Head, Needs } from "./head";
import { Dashboard } from "./layout";
import { broken, confirmStop, disconnected, empty, past, reading, refused } from "./notes";
import { alone, PARTS } from "./parts";
import type { Store } from "./store";

/** How often the durations on the page are counted on. */
const SECOND = 1000;

export class View implements Frame {
  readonly filter = new Filter();
  readonly alone: boolean;
  private root = h("div", { class: "madrox", role: "region", "data-lm-suppress-shortcuts": "true" });
  private head: { element: HTMLElement; draw(): void };
  private needs: Needs;
  private strip = h("div");
  private nobody = h("div");
  private body: Part;
  private dashboard: Dashboard | undefined;
  private asked: string | null = null; // whom the confirm strip is about; "" is everybody
  private broke = ""; // why a piece could not be drawn
  private said = ""; // what the strip shows, so that it is not drawn twice
  private frame = 0;

  constructor(
    private el: HTMLElement,
    readonly store: Store,
    readonly signal: AbortSignal,
  ) {
    const { shows } = store;
    this.alone = shows !== "dashboard";
    this.head = shows === "dashboard" || shows === "tree" ? new Head(this) : title(this, PARTS[shows]?.title ?? shows);
    this.needs = new Needs(this);
    if (this.alone) this.body = alone(this, shows);
    else this.body = this.dashboard = new Dashboard(this, this.root);
    if (this.alone && this.body.tools) this.head.element.append(this.body.tools);
    this.root.classList.add(`shows-${shows}`);
    this.root.append(this.head.element, this.strip, this.needs.voice.element, this.needs.element, this.nobody, this.body.element);
    this.root.addEventListener("keydown", (event) => this.pressed(event), { signal });
    this.root.addEventListener("focusin", ({ target }) => shield(target as Element), { signal });
    el.append(this.root);
    this.live(signal);
    this.draw();
  }

  readonly redraw = (): void => {
    this.frame ||= requestAnimationFrame(() => this.draw());
  };

  attempt(piece: { draw(): void }): void {
    try {
      piece.draw();
    } catch (error) {
      console.error("madrox_nb could not draw", error);
      this.broke ||= String(error);
    }
  }

  act(verb: string, agent: string): void {
    if (verb === "stop") this.asked = agent;
    else if (verb === "stop_all") this.asked = "";
    else void this.store.act(verb, agent);
    this.drawStrip();
  }

  look(agent: string, tab?: string): void {
    this.store.select(agent);
    this.dashboard?.look(tab);
    this.redraw();
  }

  open(part: string): void {
    this.dashboard?.open(part);
    this.redraw();
  }

  private live(signal: AbortSignal): void {
    this.store.subscribe(this.redraw, signal);
    const ticking = setInterval(() => {
      if (!document.hidden && this.store.link.state === "live") this.redraw();
    }, SECOND);
    signal.addEventListener("abort", () => {
      clearInterval(ticking);
      cancelAnimationFrame(this.frame);
      this.store.want(this, []);
      this.root.remove();
    });
  }

  private draw(): void {
    this.frame = 0;
    if (this.signal.aborted) return;
    const { store } = this;
    const { rows, lines } = store.present; // before the first agent there was a moment too
    this.root.classList.toggle("is-cut", store.link.state === "cut");
    this.root.classList.toggle("is-past", store.at !== null);
    this.root.classList.toggle("is-done", store.present.closed);
    attribute(this.root, "aria-label", `madrox run ${store.run.title}`);
    this.broke = "";
    this.attempt(this.head);
    if (!this.alone) this.attempt(this.needs);
    const nobody = rows.length === 0 && lines.length > 0;
    attribute(this.nobody, "hidden", !nobody);
    if (nobody && !this.nobody.hasChildNodes()) this.nobody.append(empty(store));
    attribute(this.body.element, "hidden", rows.length === 0);
    if (rows.length) this.attempt(this.body);
    this.drawStrip();
    store.want(this, this.body.topics());
  }

  /** One strip at a time: the link first, then a question, what was refused, what is read, the past. */
  private drawStrip(): void {
    const { store } = this;
    if (this.asked && !store.get(this.asked)) this.asked = null;
    const error = ["rows", ...this.body.topics()].map((topic) => store.error(topic)).find(Boolean) || this.broke;
    const [said, make] =
      store.link.state === "cut"
        ? [`cut ${store.link.heard?.getTime()}`, () => disconnected(store)]
        : this.asked !== null
          ? [`asked ${this.asked}`, () => confirmStop(store, { agent: this.asked!, answer: (yes) => this.answered(yes) })]
          : store.refused
            ? [`refused ${store.refused}`, () => refused(store)]
            : error
              ? [`error ${error}`, () => broken(store, error)]
              : store.reading && store.at !== null
                ? [`reading ${store.reading.read}`, () => reading(store)]
                : store.at !== null
                  ? [`past ${store.when} ${Math.floor(Date.now() / SECOND)}`, () => past(store)]
                  : ["", null];
    if (said === this.said) return;
    this.said = said;
    this.strip.replaceChildren(...(make ? [make()] : []));
    if (said.startsWith("asked")) this.strip.querySelector<HTMLElement>(".mx-btn.line")?.focus();
  }

  private answered(yes: boolean): void {
    const agent = this.asked!;
    this.asked = null;
    if (yes) void this.store.act(agent ? "stop" : "stop_all", agent);
    this.draw();
    this.body.focus?.();
  }

  /** Plain keys are for us: the notebook around us would take them, Enter in a text too, for its cell. */
  private pressed(event: KeyboardEvent): void {
    if (event.key === "Escape") this.leave();
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  }

  /** Esc at the root gives the focus back to the notebook around it. */
  private leave(): void {
    const outside = this.el.closest<HTMLElement>("[tabindex]");
    if (outside) outside.focus();
    else if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
  }
}

/**
 * JupyterLab's keys delete and run cells. It looks at the focused element first and at those around it later, so
 * the sign on the root alone comes too late.
 */
function shield(focused: Element): void {
  attribute(focused, "data-lm-suppress-shortcuts", "true");
}

/** The strip above a part that stands alone. */
function title(frame: Frame, what: string): { element: HTMLElement; draw(): void } {
  const run = h("span", { class: "mx-2 mx-sm mx-cut" });
  const live = h("span", { class: "mx-live", role: "status" });
  const element = h("div", { class: "mx-tool" }, h("b", { class: "mx-bold" }, what), run, h("span", { class: "mx-grow" }), live);
  return {
    element,
    draw() {
      text(run, frame.store.run.title);
      drawLink(live, frame);
    },
  };
}
