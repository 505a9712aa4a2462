// A request written as a rule of the configuration: to be copied, for a page changes no settings.

import { copying } from "../copying";
import { button, h, text } from "../element";
import { choose, offer } from "../form";
import type { Frame } from "../frame";

interface Told {
  rules: { rule: string; line: string }[];
}

export class Policy {
  readonly element: HTMLElement;
  private rules = choose([]);
  private typed = h("pre");
  private about = h("p", { class: "mx-2" });
  private told: Told["rules"] = [];
  private id = "";

  constructor(
    private frame: Frame,
    closed: () => void,
  ) {
    const done = button("Close", "line");
    done.addEventListener("click", () => (this.close(), closed()));
    this.rules.setAttribute("aria-label", "What to allow");
    this.rules.addEventListener("change", () => this.draw());
    const line = h("div", { class: "mx-type" }, this.typed, copying(() => this.typed.textContent ?? "", "Copy the rule", this.typed));
    const head = h("div", { class: "hd" }, this.rules, h("span", { class: "mx-grow" }), done);
    this.element = h("div", { class: "mx-policy", role: "region", "aria-label": "Rule of a policy", hidden: true }, head, line, this.about);
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
      closed();
    });
  }

  async open(id: string): Promise<void> {
    this.id = id;
    this.element.hidden = false;
    this.fill([], "Looking at what it would touch.");
    try {
      const { rules } = await this.frame.store.ask<Told>("approvals", "policy", { id });
      if (id === this.id) this.fill(rules, ABOUT);
    } catch (failure) {
      if (id === this.id) this.fill([], `No rule can be told: ${(failure as Error).message}`);
    }
    this.rules.focus();
  }

  close(): void {
    this.element.hidden = true;
    this.id = "";
  }

  /** Close unless it is about this request. */
  keep(id: string): void {
    if (this.id && this.id !== id) this.close();
  }

  private fill(rules: Told["rules"], about: string): void {
    this.told = rules;
    offer(this.rules, rules.map(({ rule }) => ({ value: rule })));
    text(this.about, about);
    this.draw();
  }

  private draw(): void {
    text(this.typed, this.told.find(({ rule }) => rule === this.rules.value)?.line ?? "");
  }
}

const ABOUT =
  "In madrox.toml beside the notebook, below its [policy] if it has one: the first rule that fits counts. It holds for every agent, from the next kernel on. This request still waits for you.";
