// The form that makes a second agent of one: its conversation, its files, its role.

import { h, text } from "../element";
import { choose, field, Form, offer, write, type Filled } from "../form";
import type { Frame } from "../frame";
import { line } from "../line";
import { MAY } from "./spawn";

export class Fork {
  private form: Form;
  private name = write("numbered");
  private permissions = choose([]);
  private about = h("p", { class: "all mx-2" });
  private agent = "";

  constructor(
    private frame: Frame,
    anchor: HTMLElement,
    after: HTMLElement,
  ) {
    const rows = [...field("Name", this.name), ...field("May", this.permissions), this.about];
    const shape = { title: "Fork an agent", does: "Fork", not: "Not forked", after, rows };
    this.form = new Form(frame, anchor, { ...shape, read: () => this.read(), done: ({ given }) => given.as_ && frame.look(given.as_) });
  }

  open(agent: string): void {
    this.agent = agent;
    offer(this.permissions, [{ value: "", label: `as ${agent}, at most edits` }, ...Object.entries(MAY).map(([value, label]) => ({ value, label }))], "");
    text(this.about, `It begins with what ${agent} knows and a copy of its files. ${agent} is not touched.`);
    this.form.open();
  }

  draw(): void {
    if (!this.form.isOpen) return;
    if (this.frame.store.current?.name === this.agent) this.form.draw();
    else this.form.close();
  }

  private read(): Filled {
    const [name, permissions] = [this.name.value.trim(), this.permissions.value];
    const given = Object.fromEntries(Object.entries({ as_: name, permissions }).filter(([, said]) => said));
    return { verb: "fork", agent: this.agent, given, line: line("fork", [this.agent], { as: name, permissions }), lacks: "" };
  }
}
