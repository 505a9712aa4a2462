// What stands behind one agent.

import { copying } from "../copying";
import { h } from "../element";
import type { Frame, Part } from "../frame";

interface Told {
  agent: string;
  facts: [what: string, value: string][];
}

/** What one may want to take elsewhere. */
const COPIED = ["Session", "Workspace"];

export class Details implements Part {
  readonly element = h("dl", { class: "mx-dl", tabindex: 0, "aria-label": "Details" });
  private drawn: Told | undefined;

  constructor(private frame: Frame) {}

  topics(): string[] {
    const name = this.frame.store.current?.name;
    return name ? [`details:${name}`] : [];
  }

  draw(): void {
    const told = this.frame.store.data<Told>(this.topics()[0] ?? "");
    if (told === this.drawn) return;
    this.drawn = told;
    if (!told) return this.element.replaceChildren();
    const line = `%madrox send ${told.agent} "…"`;
    const facts = told.facts.flatMap(([what, value]) => [h("dt", {}, what), fact(what, value)]);
    const cell = h("dd", {}, h("code", {}, line), copying(() => line, `Copy ${line}`));
    this.element.replaceChildren(...facts, h("dt", {}, "In a cell"), cell);
  }
}

function fact(what: string, value: string): HTMLElement {
  if (!COPIED.includes(what)) return h("dd", {}, value);
  const shown = h("code", {}, value);
  return h("dd", {}, shown, copying(() => value, `Copy the ${what.toLowerCase()}`, shown));
}
