// The form that limits what an agent and all below it may use, or gives them more.

import { attribute, h, text } from "../element";
import { choose, field, Form, offer, write, type Filled } from "../form";
import type { Frame } from "../frame";
import { line } from "../line";

/** What the kernel tells of whoever's limits hold for an agent, its own first. */
interface Told {
  holders: { holder: string; limits: Record<string, string> }[];
}

const KINDS = { usd: "US dollars", tokens: "Tokens", minutes: "Minutes", turns: "Turns" };
type Kind = keyof typeof KINDS;

export class Limit {
  private form: Form;
  private whose = choose([]);
  private amounts = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, write()])) as Record<Kind, HTMLInputElement>;
  private now = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, h("span", { class: "mx-2" })])) as Record<Kind, HTMLElement>;
  private about = h("p", { class: "all mx-2" }, "What it and all below it may use in all; minutes count from now. “none” takes a limit away.");
  private agent = "";
  private told: Told = { holders: [] };

  constructor(
    private frame: Frame,
    anchor: HTMLElement,
    after: HTMLElement,
  ) {
    const kinds = Object.keys(KINDS) as Kind[];
    for (const kind of kinds) attribute(this.amounts[kind], "inputmode", "decimal");
    const rows = [...field("Of", this.whose), ...kinds.flatMap((kind) => field(KINDS[kind], this.amounts[kind], this.now[kind])), this.about];
    const shape = { title: "Limits", does: "Set", not: "Not set", after, rows };
    this.form = new Form(frame, anchor, { ...shape, read: () => this.read(), done: () => this.empty() });
    this.whose.addEventListener("change", () => this.fill());
  }

  open(agent: string): void {
    if (agent !== this.agent) this.empty();
    [this.agent, this.told] = [agent, { holders: [] }];
    offer(this.whose, [{ value: agent }], agent);
    this.fill();
    this.form.open();
    void this.look();
  }

  draw(): void {
    if (!this.form.isOpen) return;
    if (this.frame.store.current?.name === this.agent) this.form.draw();
    else this.form.close();
  }

  private async look(): Promise<void> {
    const { agent } = this;
    try {
      const told = await this.frame.store.ask<Told>("forms", "limits", { agent });
      if (agent !== this.agent) return;
      this.told = told;
      offer(this.whose, told.holders.map(({ holder }) => ({ value: holder, label: holder || "the run" })));
      this.fill();
    } catch {
      // the form works without: what is wrong in it, the kernel says when it is sent
    }
  }

  /** What stands now beside what is to be. */
  private fill(): void {
    const limits = this.told.holders.find(({ holder }) => holder === this.whose.value)?.limits ?? {};
    for (const kind of Object.keys(KINDS) as Kind[]) text(this.now[kind], limits[kind] ?? "no limit");
    this.form.draw();
  }

  private empty(): void {
    for (const amount of Object.values(this.amounts)) amount.value = "";
  }

  private read(): Filled {
    const said = Object.entries(this.amounts).map(([kind, { value }]) => [kind, value.trim()] as const);
    const given = Object.fromEntries(said.filter(([, value]) => value));
    const lacks = Object.keys(given).length ? "" : "say how much";
    const holder = this.whose.value;
    return { verb: "limit", given: { holder, ...given }, line: line("limit", [holder], given), lacks };
  }
}
