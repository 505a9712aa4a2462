// The tree widget: one store per model, one view per place where it is shown.

import { h } from "./element";
import { List } from "./list";
import { broken, confirmStop, disconnected, empty, Head, refused } from "./strips";
import { Store, type Model, type Verb } from "./store";

interface Context {
  model: Model;
  signal: AbortSignal;
}

export default (): { initialize(context: Context): void; render(context: Context & { el: HTMLElement }): void } => {
  let store: Store;
  return {
    initialize({ model, signal }) {
      store = new Store(model, signal);
    },
    render({ el, signal }) {
      new TreeView(el, store, signal);
    },
  };
};

class TreeView {
  private root = h("div", { class: "madrox", role: "region", "data-lm-suppress-shortcuts": "true" });
  private head: Head;
  private list: List;
  private strip = h("div");
  private nobody = h("div");
  private asked = ""; // the agent that the confirm strip is about
  private said = ""; // what the strip shows, so that it is not drawn twice
  private frame = 0;

  constructor(
    private el: HTMLElement,
    private store: Store,
    signal: AbortSignal,
  ) {
    const redraw = () => (this.frame ||= requestAnimationFrame(() => this.draw()));
    this.head = new Head(store);
    this.list = new List(store, (verb, agent) => this.act(verb, agent), redraw, signal);
    this.root.append(this.head.element, this.strip, this.nobody, this.list.element);
    this.root.addEventListener("keydown", (event) => event.key === "Escape" && this.leave(), { signal });
    el.append(this.root);
    store.subscribe(redraw, signal);
    signal.addEventListener("abort", () => {
      cancelAnimationFrame(this.frame);
      this.root.remove();
    });
    this.draw();
  }

  private draw(): void {
    this.frame = 0;
    const { rows, link, title } = this.store;
    this.root.classList.toggle("is-cut", link === "cut");
    this.root.setAttribute("aria-label", `madrox run ${title}`);
    this.head.draw();
    this.drawStrip();
    this.list.element.hidden = rows.length === 0;
    this.nobody.hidden = rows.length > 0 || !this.store.lines.length;
    if (!this.nobody.hidden && !this.nobody.hasChildNodes()) this.nobody.append(empty(this.store));
    this.list.draw();
  }

  /** One strip at a time: what is wrong with the link first, then a question, then what was refused. */
  private drawStrip(): void {
    const store = this.store;
    if (this.asked && !store.get(this.asked)) this.asked = "";
    const [said, make] =
      store.link === "cut"
        ? [`cut ${store.heard?.getTime()}`, () => disconnected(store)]
        : store.error
          ? [`error ${store.error}`, () => broken(store)]
          : this.asked
            ? [`asked ${this.asked}`, () => confirmStop(store, { agent: this.asked, answer: (yes) => this.answered(yes) })]
            : store.refused
              ? [`refused ${store.refused}`, () => refused(store)]
              : ["", null];
    if (said === this.said) return;
    this.said = said;
    this.strip.replaceChildren(...(make ? [make()] : []));
    if (said.startsWith("asked")) this.strip.querySelector("button")?.focus();
  }

  private act(verb: Verb, agent: string): void {
    if (verb === "interrupt") this.store.act(verb, agent);
    else this.asked = agent;
    this.drawStrip();
  }

  private answered(yes: boolean): void {
    const agent = this.asked;
    this.asked = "";
    if (yes) this.store.act("stop", agent);
    this.draw();
    this.list.focus();
  }

  /** Esc at the root gives the focus back to the notebook around it. */
  private leave(): void {
    const outside = this.el.closest<HTMLElement>("[tabindex]");
    if (outside) outside.focus();
    else if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
  }
}
