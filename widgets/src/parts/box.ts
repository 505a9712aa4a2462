// The foot of an agent: what happens now with the one verb that fits, and the box to send to it.

import { attribute, button, h, text } from "../element";
import { doing, look, sentence, wish } from "../format";
import type { Frame } from "../frame";
import { glyph, icon } from "../glyphs";
import { ENDED, now } from "../head";
import type { Row } from "../store";

export class Box {
  readonly element: HTMLElement;
  private sign = h("span", { class: "sg" });
  private does = h("span", { class: "mx-cut" });
  private verb = button("", "line");
  private error = h("div", { class: "mx-err", role: "alert", hidden: true });
  private input = h("textarea", { rows: 1 });
  private sent = button("Send", "primary");
  private line = h("div", { class: "mx-box" }, this.input, h("kbd", { class: "mx-kbd opt" }, "Shift+Enter"), this.sent);
  private agent = "";
  private drafts = new Map<string, string>();
  private sending = "";

  constructor(private frame: Frame) {
    const says = h("div", { class: "mx-doing" }, this.sign, this.does, h("span", { class: "mx-grow" }), this.verb);
    this.element = h("div", { class: "mx-foot" }, says, this.error, this.line);
    this.sent.addEventListener("click", () => void this.send());
    this.verb.addEventListener("click", () => this.press());
    this.input.addEventListener("input", () => this.fit());
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.shiftKey || event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      event.stopPropagation();
      void this.send();
    });
  }

  draw(row: Row): void {
    this.turn(row.name);
    const { store } = this.frame;
    const seen = look(row);
    if (this.sign.dataset.look !== seen) this.sign.replaceChildren(glyph(seen));
    this.sign.dataset.look = seen;
    const cut = store.link.state !== "live";
    text(this.does, cut ? "Sending is off while disconnected." : store.at !== null ? "This is the past." : says(row, this.frame));
    const verb = fitting(row);
    attribute(this.verb, "hidden", !verb || cut || store.at !== null);
    if (verb && this.verb.dataset.verb !== verb[0]) this.verb.replaceChildren(...(verb[0] === "interrupt" ? [icon("stop")] : []), verb[1]);
    this.verb.dataset.verb = verb?.[0] ?? "";
    attribute(this.verb, "disabled", store.link.busy(row.name));
    const gone = ENDED.includes(row.state);
    attribute(this.line, "hidden", gone);
    attribute(this.input, "disabled", !store.acts);
    attribute(this.sent, "disabled", !store.acts || this.sending === row.name);
    const queue = ["busy", "waiting", "starting"].includes(row.state);
    const hint = cut ? "Not connected" : store.acts ? `${queue ? "Queue a turn for" : "Send to"} ${row.name}` : "This is the past";
    attribute(this.input, "placeholder", hint);
    attribute(this.input, "aria-label", `Message to ${row.name}`);
  }

  focus(): void {
    (this.line.hidden ? this.verb : this.input).focus();
  }

  /** Each agent keeps what was begun for it. */
  private turn(agent: string): void {
    if (agent === this.agent) return;
    if (this.agent) this.drafts.set(this.agent, this.input.value);
    this.agent = agent;
    this.input.value = this.drafts.get(agent) ?? "";
    this.error.hidden = true;
    this.fit();
  }

  private async send(): Promise<void> {
    const { store } = this.frame;
    const [agent, said] = [this.agent, this.input.value];
    const [to, text] = addressed(said, agent, store.rows);
    if (!text.trim() || this.sending || !store.acts) return;
    this.sending = agent;
    this.error.hidden = true;
    const error = await store.tell("send", to, { text });
    this.sending = "";
    if (error) this.refuse(agent, error);
    else this.forget(agent, said);
    this.frame.redraw();
  }

  private refuse(agent: string, error: string): void {
    if (agent !== this.agent) return;
    this.error.replaceChildren(glyph("failed"), h("span", {}, `Not sent: ${sentence(error)} Your text is kept.`));
    this.error.hidden = false;
  }

  /** What was typed meanwhile stays. */
  private forget(agent: string, said: string): void {
    if (agent !== this.agent) this.drafts.delete(agent);
    else if (this.input.value === said) this.input.value = "";
    this.fit();
  }

  private press(): void {
    const verb = this.verb.dataset.verb!;
    if (verb === "review") this.frame.open("approvals");
    else this.frame.act(verb, this.agent);
  }

  private fit(): void {
    this.input.style.height = "auto";
    if (this.input.scrollHeight) this.input.style.height = `${Math.min(120, Math.max(24, this.input.scrollHeight))}px`;
  }
}

/** The one verb that fits what happens. */
function fitting({ state, can }: Row): [verb: string, word: string] | undefined {
  if (state === "waiting") return ["review", "Review"];
  if (can.includes("interrupt")) return ["interrupt", "Interrupt"];
  return can.includes("resume") ? ["resume", state === "failed" ? "Try again" : "Resume"] : undefined;
}

/** Whom a text is for: `@name` at its beginning names another agent, who may not be there. */
function addressed(said: string, agent: string, rows: Row[]): [to: string, text: string] {
  const names = rows.map(({ name }) => name).sort((one, other) => other.length - one.length);
  const known = names.find((name) => said.startsWith(`@${name}`) && /^\s/.test(said.slice(name.length + 1)));
  const name = known ?? /^@([\w.-]+)\s/.exec(said)?.[1];
  return name === undefined ? [agent, said] : [name, said.slice(name.length + 1).trimStart()];
}

function says(row: Row, frame: Frame): string {
  if (row.state === "waiting") return row.now ? `Waits for you: ${wish(row.now)}` : "Waits for you";
  if (row.state === "suspended") return "Suspended. A message wakes it.";
  const told = doing({ ...row, short: row.reason }, now(frame)); // here is room for all of it
  return told.charAt(0).toUpperCase() + told.slice(1);
}
