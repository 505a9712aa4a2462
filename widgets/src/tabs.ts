// Tabs: one stop of the Tab key, arrows between them, one panel below.

import { attribute, h, text } from "./element";
import type { Part } from "./frame";

interface Tab {
  name: string;
  title: string;
  part: Part;
}

let made = 0;

export class Tabs {
  readonly bar: HTMLElement;
  readonly panel: HTMLElement;
  private buttons = new Map<string, { button: HTMLElement; count: HTMLElement }>();
  private end = h("span", { class: "mx-end" });
  private id = `mx-tabs-${++made}`;

  constructor(
    private tabs: Tab[],
    public open: string,
    label: string,
    panel: HTMLElement,
    private changed: () => void,
  ) {
    this.panel = panel;
    for (const [name, value] of Object.entries({ role: "tabpanel", id: `${this.id}-panel` })) panel.setAttribute(name, value);
    const list = h("div", { class: "mx-tablist", role: "tablist", "aria-label": label });
    this.bar = h("div", { class: "mx-tabs" }, list, this.end); // what stands at the end is no tab
    for (const { name, title } of tabs) {
      const count = h("span", { class: "mx-count", hidden: true });
      const to = { role: "tab", id: `${this.id}-${name}`, "data-tab": name, "aria-controls": `${this.id}-panel` };
      const button = h("button", { type: "button", ...to }, title, count);
      button.addEventListener("click", () => this.go(name));
      this.buttons.set(name, { button, count });
      list.append(button);
    }
    list.addEventListener("keydown", (event) => this.pressed(event));
  }

  get part(): Part {
    return this.tabs.find((tab) => tab.name === this.open)!.part;
  }

  go(name: string): void {
    if (!this.buttons.has(name)) return;
    this.open = name;
    this.changed();
  }

  draw(): void {
    for (const { name, part } of this.tabs) {
      const { button, count } = this.buttons.get(name)!;
      attribute(button, "aria-selected", String(name === this.open));
      attribute(button, "tabindex", name === this.open ? 0 : -1);
      const told = part.count?.();
      attribute(count, "hidden", !told?.number);
      attribute(count, "class", `mx-count${told?.wait ? " wait" : ""}`);
      text(count, String(told?.number ?? ""));
    }
    attribute(this.panel, "aria-labelledby", `${this.id}-${this.open}`);
    const { element, tools } = this.part;
    if (this.panel.firstElementChild !== element) this.panel.replaceChildren(element);
    if (this.end.firstElementChild !== (tools ?? null)) this.end.replaceChildren(...(tools ? [tools] : []));
    this.part.draw();
  }

  private pressed(event: KeyboardEvent): void {
    const at = this.tabs.findIndex((tab) => tab.name === this.open);
    const steps: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 };
    const to = steps[event.key];
    if (to === undefined || !(event.target as Element).closest("[role=tab]")) return;
    event.preventDefault();
    const next = this.tabs.at(to % this.tabs.length)!;
    this.go(next.name);
    this.buttons.get(next.name)!.button.focus();
  }
}
