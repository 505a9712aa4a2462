// What stands behind one agent, and what one may do with that.

import { copying } from "../copying";
import { drawEffect, sums, type Effect } from "../effect";
import { arrange, attribute, button, h, text } from "../element";
import type { Frame, Part } from "../frame";
import { ENDED } from "../head";
import { line } from "../line";
import type { Row } from "../store";
import { ASKS, formsOf, type AgentForm } from "./more";

interface Told {
  agent: string;
  facts: [what: string, value: string][];
  branch: string;
}

/** A fact that stays where it is while its value changes. */
interface Fact {
  name: HTMLElement;
  value: HTMLElement;
  shown: HTMLElement;
}

/** What one may want to take elsewhere. */
const COPIED: Record<string, string> = { Session: "the session", Workspace: "the workspace", "In a cell": "the line" };
const FORMS: Record<string, AgentForm> = { Session: "fork", Limits: "limit" };

export class Details implements Part {
  readonly element = h("div", { class: "mx-details", tabindex: 0, role: "region", "aria-label": "Details" });
  private list = h("dl", { class: "mx-dl" });
  private changes = h("div", { class: "mx-changes", hidden: true });
  private facts = new Map<string, Fact>();
  private forms = new Map<AgentForm, HTMLButtonElement>();
  private diff = button("Diff", "link");
  private agent = "";
  /** What runs for it, and of whom in which state that was asked. */
  private running = "";
  private asked = "";

  constructor(private frame: Frame) {
    this.element.append(this.list, this.changes);
    this.diff.addEventListener("click", () => void (this.changes.hidden ? this.compare() : this.fold()));
  }

  topics(): string[] {
    const name = this.frame.store.current?.name;
    return name ? [`details:${name}`] : [];
  }

  draw(): void {
    const row = this.frame.store.current;
    const told = this.frame.store.data<Told>(this.topics()[0] ?? "");
    if (!row || !told) return this.list.replaceChildren();
    if (told.agent !== this.agent) this.turn(told.agent);
    this.look(row);
    const facts: Told["facts"] = [...told.facts, ...(this.running ? ([["Process", this.running]] as Told["facts"]) : [])];
    const all: Told["facts"] = [...facts, ["In a cell", `${line("send", [told.agent])} "…"`]];
    arrange(this.list, all.flatMap(([what, value]) => this.fact(what, value)));
    for (const [form, each] of this.forms) attribute(each, "hidden", !this.frame.store.acts || !formsOf(row).includes(form));
    attribute(this.diff, "hidden", !told.branch || this.frame.store.link.state !== "live");
  }

  private turn(agent: string): void {
    this.agent = agent;
    this.facts.clear();
    this.forms.clear();
    [this.running, this.asked] = ["", ""];
    this.fold();
  }

  private fact(what: string, value: string): HTMLElement[] {
    const known = this.facts.get(what) ?? this.made(what);
    this.facts.set(what, known);
    text(known.shown, value);
    if (what === "Limits") text(this.forms.get("limit")!, value === "none" ? "Set…" : "Raise…");
    return [known.name, known.value];
  }

  private made(what: string): Fact {
    const shown = COPIED[what] ? h("code") : h("span");
    const value = h("dd", {}, shown);
    if (COPIED[what]) value.append(copying(() => shown.textContent ?? "", `Copy ${COPIED[what]}`, shown));
    if (what === "Workspace") value.append(this.diff);
    if (what === "Process") value.append(this.again());
    if (FORMS[what]) value.append(this.form(FORMS[what]));
    return { name: h("dt", {}, what), value, shown };
  }

  private form(form: AgentForm): HTMLElement {
    const made = button("Fork…", "link");
    made.addEventListener("click", () => made.dispatchEvent(new CustomEvent<AgentForm>(ASKS, { bubbles: true, detail: form })));
    this.forms.set(form, made);
    return made;
  }

  // its processes

  private again(): HTMLElement {
    const made = button("Look again", "link");
    made.addEventListener("click", () => ((this.asked = ""), this.frame.redraw()));
    return made;
  }

  /** Asked once for each state: the kernel looks at every process of the machine. */
  private look(row: Row): void {
    const { store } = this.frame;
    const key = `${row.name} ${row.state}`;
    if (key === this.asked || !store.acts) return;
    this.asked = key;
    if (ENDED.includes(row.state) || row.state === "suspended") return void (this.running = "");
    const told = (said: string) => key === this.asked && ((this.running = said), this.frame.redraw());
    store.ask<{ text: string }>(`details:${row.name}`, "process", {}).then(
      ({ text }) => told(text),
      (failure: Error) => told(`can't be told: ${failure.message}`),
    );
  }

  // what it has changed

  private async compare(): Promise<void> {
    const { agent } = this;
    text(this.diff, "Hide the diff");
    this.changes.hidden = false;
    this.changes.replaceChildren(h("p", { class: "mx-2" }, "Asking git."));
    try {
      const told = await this.frame.store.ask<Effect>(`details:${agent}`, "diff", {});
      if (agent !== this.agent) return;
      const made = told.files?.length ? [h("p", { class: "mx-sm" }, ...sums(told)), drawEffect(told, true)] : [h("p", { class: "mx-2" }, "Nothing has changed since its branch began.")];
      this.changes.replaceChildren(...made);
      // by hand: to scroll it into view would move the page around us too
      this.element.scrollTop += this.changes.getBoundingClientRect().top - this.element.getBoundingClientRect().top;
    } catch (failure) {
      if (agent === this.agent) this.changes.replaceChildren(h("p", { class: "mx-2" }, (failure as Error).message));
    }
  }

  private fold(): void {
    text(this.diff, "Diff");
    this.changes.hidden = true;
    this.changes.replaceChildren();
  }
}
