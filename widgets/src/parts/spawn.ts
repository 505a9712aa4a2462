// The form that starts an agent.

import { attribute, h, text } from "../element";
import { dollars } from "../figures";
import { choose, field, Form, offer, write, type Filled } from "../form";
import type { Frame } from "../frame";
import { ENDED } from "../head";
import { line } from "../line";

/** What the kernel suggests. */
interface Suggested {
  name: string;
  roles: { name: string; says: string }[];
  harnesses: { name: string; here: boolean; model: string }[];
  permissions: string[];
  left: number | null;
  left_in: string;
}

const GENERAL = "general";
export const MAY: Record<string, string> = {
  deny: "deny: reads in its own workspace, nothing else",
  ask: "ask: asks before it edits or runs",
  edits: "edits: edits in its own workspace, asks about the rest",
  all: "all: everything, unasked",
};

export class Spawn {
  private form: Form;
  private name = write("numbered");
  private role = choose([{ value: GENERAL }], GENERAL);
  private says = h("span", { class: "all mx-2 mx-xs says" });
  private harness = choose([{ value: "", label: "first installed" }]);
  private model = write("model: its own choice");
  private models = h("datalist");
  private parent = choose([]);
  private permissions = choose([{ value: "", label: "as its parent; at the top, by the settings" }]);
  private prompt = h("textarea", { class: "mx-input", rows: 1, placeholder: "Its first task, if there is one" });
  private usd = write("$");
  private tokens = write("tokens");
  private minutes = write("minutes");
  private left = h("span", { class: "all mx-2 mx-xs says", hidden: true });
  private limits = h("span", { class: "pair mx-grow" }, this.tokens, this.minutes);
  private about: Suggested["roles"] = [];
  private set: Record<string, string> = {};

  constructor(
    private frame: Frame,
    anchor: HTMLElement,
  ) {
    this.models.id = `mx-models-${frame.store.link.page}`;
    this.model.setAttribute("list", this.models.id);
    this.model.setAttribute("aria-label", "Model");
    for (const [what, each] of Object.entries({ "US dollars": this.usd, Tokens: this.tokens, Minutes: this.minutes })) {
      each.inputMode = "decimal";
      each.setAttribute("aria-label", `${what} that it and all below it may use`);
    }
    this.form = new Form(frame, anchor, {
      ...{ title: "Spawn an agent", does: "Spawn", not: "Not spawned" },
      rows: [
        ...field("Name", this.name),
        ...field("Role", this.role),
        this.says,
        ...field("Harness", this.harness, this.model),
        this.models,
        ...field("Under", this.parent),
        ...field("May", this.permissions),
        ...field("Task", this.prompt),
        ...field("Limits", this.usd, this.limits),
        this.left,
      ],
      read: () => this.read(),
      done: ({ given }) => given.name && frame.look(given.name),
    });
    this.harness.addEventListener("change", () => void this.suggestModels());
    this.parent.addEventListener("change", () => void this.suggest());
    this.role.addEventListener("change", () => this.describe());
  }

  toggle(): void {
    if (this.form.isOpen) return this.form.close();
    this.parents();
    this.form.open();
    void this.suggest();
    void this.suggestModels();
  }

  draw(): void {
    if (this.form.isOpen) this.form.draw();
  }

  private read(): Filled {
    const value = (control: { value: string }) => control.value.trim();
    const role = this.role.value === GENERAL ? "" : this.role.value;
    const all = {
      ...{ role, harness: this.harness.value, model: value(this.model), parent: this.parent.value },
      ...{ permissions: this.permissions.value, usd: value(this.usd), tokens: value(this.tokens) },
      ...{ minutes: value(this.minutes), prompt: value(this.prompt) },
    };
    const name = value(this.name);
    const given = Object.fromEntries(Object.entries({ name, ...all }).filter(([, said]) => said));
    return { verb: "spawn", given, line: line("spawn", [name], all), lacks: "" };
  }

  /** Whoever lives may have children; the one that is looked at is meant first. */
  private parents(): void {
    const living = this.frame.store.rows.filter((row) => !ENDED.includes(row.state));
    const choices = [{ value: "", label: "nobody: at the top of the tree" }, ...living.map((row) => ({ value: row.name, label: `${"  ".repeat(row.depth)}${row.name}` }))];
    offer(this.parent, choices);
  }

  private async suggest(): Promise<void> {
    const parent = this.parent.value;
    try {
      const told = await this.frame.store.ask<Suggested>("forms", "spawn", { parent });
      if (parent === this.parent.value) this.fill(told);
    } catch {
      // the form works without: what is wrong in it, the kernel says when it is sent
    }
  }

  private fill(told: Suggested): void {
    const under = this.parent.value;
    this.about = told.roles;
    attribute(this.name, "placeholder", told.name);
    offer(this.role, told.roles.map(({ name }) => ({ value: name })));
    const harnesses = told.harnesses.map(({ name, here }) => ({ value: name, label: here ? name : `${name}, not installed`, off: !here }));
    offer(this.harness, [{ value: "", label: "first installed" }, ...harnesses]);
    const usual = { value: "", label: under ? `as ${under}, at most edits` : "by the settings" };
    offer(this.permissions, [usual, ...told.permissions.map((value) => ({ value, label: MAY[value] ?? value }))]);
    this.set = Object.fromEntries(told.harnesses.map(({ name, model }) => [name, model]));
    text(this.left, told.left === null ? "" : `$${dollars(told.left)} left in ${told.left_in || "the run"}`);
    attribute(this.left, "hidden", told.left === null);
    this.describe();
    this.hint();
    this.form.draw();
  }

  /** The model that the settings give where none is said. */
  private hint(): void {
    const usual = this.set[this.harness.value];
    attribute(this.model, "placeholder", usual ? `model: ${usual}, by the settings` : "model: its own choice");
  }

  private describe(): void {
    text(this.says, this.about.find(({ name }) => name === this.role.value)?.says ?? "");
    attribute(this.says, "hidden", !this.says.textContent);
  }

  private async suggestModels(): Promise<void> {
    const harness = this.harness.value;
    this.hint();
    const told = await this.frame.store.ask<{ models: string[] }>("forms", "models", { harness }).catch(() => ({ models: [] as string[] }));
    if (harness === this.harness.value) this.models.replaceChildren(...told.models.map((value) => h("option", { value })));
  }
}
