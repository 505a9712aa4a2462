// The dashboard: the agents beside one of them, the dock below, and under everything the
// slider. The edges between them can be moved; the cell never grows by itself.

import { h } from "./element";
import type { Frame, Part } from "./frame";
import { DOCK, OF_AN_AGENT, PARTS, tabs } from "./parts";
import { Agent } from "./parts/agent";
import { separator } from "./separator";
import { Tabs } from "./tabs";

export class Dashboard implements Part {
  readonly element: HTMLElement;
  private tree: Part;
  private agent: Agent;
  private dock: Tabs;
  private slider: Part;
  private main: HTMLElement;

  constructor(
    private frame: Frame,
    private root: HTMLElement,
  ) {
    this.tree = PARTS.tree!.make(frame);
    this.agent = new Agent(frame, tabs(frame, OF_AN_AGENT));
    this.slider = PARTS.slider!.make(frame);
    const body = h("div", { class: "mx-dock-body" });
    this.dock = new Tabs(tabs(frame, DOCK), DOCK[0]!, "Views", body, frame.redraw);
    this.main = h(
      "div",
      { class: "mx-main" },
      h("section", { class: "mx-pane mx-left", "aria-label": "Agents" }, this.tree.element),
      this.beside(),
      h("section", { class: "mx-pane mx-right", "aria-label": "Agent" }, this.agent.element),
    );
    const dock = h("section", { class: "mx-dock", "aria-label": "Views" }, this.dock.bar, body);
    this.element = h("div", { class: "mx-frame" }, this.main, this.below("main"), dock, this.slider.element, this.below("dock"));
  }

  topics(): string[] {
    const shown = [this.tree, this.agent, this.dock.part, this.slider];
    return [...new Set(["rows", ...shown.flatMap((part) => part.topics())])];
  }

  draw(): void {
    for (const piece of [this.tree, this.agent, this.dock, this.slider]) this.frame.attempt(piece);
  }

  focus(): void {
    this.tree.focus?.();
  }

  /** Bring a tab of the agent to the front; `box` is where one writes to it. */
  look(tab?: string): void {
    if (tab === "box") this.agent.focus();
    else if (tab) this.agent.tabs.go(tab);
  }

  open(part: string): void {
    this.dock.go(part);
  }

  /** The edge between the agents and the one that is looked at. */
  private beside(): HTMLElement {
    return separator(
      {
        ...{ label: "Width of the agents", runs: "vertical", range: [25, 75, 56], step: 4 },
        at: (event) => {
          const { left, width } = this.main.getBoundingClientRect();
          return ((event.clientX - left) / width) * 100;
        },
        set: (value) => this.root.style.setProperty("--mx-left", `${value}%`),
      },
      this.frame.signal,
    );
  }

  /** The lower edge of the panes, or of the dock: of the whole view. */
  private below(what: "main" | "dock"): HTMLElement {
    const [label, usual] = what === "main" ? ["Height of the agents", 400] : ["Height of the views", 216];
    return separator(
      {
        ...{ label: String(label), runs: "horizontal", range: [120, 900, Number(usual)], step: 16 },
        at: (event) => {
          const above = what === "main" ? this.main : this.dock.panel;
          return event.clientY - above.getBoundingClientRect().top;
        },
        set: (value) => this.root.style.setProperty(`--mx-${what}`, `${value}px`),
      },
      this.frame.signal,
    );
  }
}
