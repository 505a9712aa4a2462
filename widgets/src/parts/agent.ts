// One agent: who it is, its tabs, what it does now, and the box to send to it.

import { attribute, button, h, text } from "../element";
import { doing, look, money, own, tokens, UNPRICED } from "../format";
import type { Frame, Part } from "../frame";
import { glyph } from "../glyphs";
import { ENDED, now } from "../head";
import { lineFor, type Row } from "../store";
import { Tabs } from "../tabs";
import { Box } from "./box";
import { Fork } from "./fork";
import { Limit } from "./limit";
import { ASKS, More, type AgentForm } from "./more";

type Tab = ConstructorParameters<typeof Tabs>[0][number];

export class Agent implements Part {
  readonly element: HTMLElement;
  readonly tabs: Tabs;
  private box: Box;
  private sign = h("span", { class: "sg" });
  private name = h("span", { class: "nm mx-cut" });
  private state = h("span", { class: "mx-sm" });
  private verbs = h("span", { class: "mx-verbs" });
  private more: More;
  private forms: Record<AgentForm, Fork | Limit>;
  private about = h("span", { class: "mx-cut" });
  private spent = h("span", { class: "mx-num" });
  private nobody = h("p", { class: "mx-soon mx-2" }, "Nobody is there to look at yet.");
  private whole: HTMLElement;
  private offered = "";

  constructor(
    private frame: Frame,
    tabs: Tab[],
  ) {
    const body = h("div", { class: "mx-agent-body" });
    this.tabs = new Tabs(tabs, tabs[0]!.name, "Agent", body, frame.redraw);
    this.tabs.bar.hidden = tabs.length === 1 && !tabs[0]!.part.tools; // they stand at its end
    this.box = new Box(frame);
    this.more = new More(frame, (form) => this.open(form));
    const who = h(
      "div",
      { class: "mx-who" },
      h("div", {}, this.sign, this.name, this.state, h("span", { class: "mx-grow" }), this.verbs, this.more.element),
      h("div", { class: "mx-sm mx-2" }, this.about, h("span", { class: "mx-grow" }), this.spent),
    );
    this.forms = { fork: new Fork(frame, this.more.button, who), limit: new Limit(frame, this.more.button, who) };
    this.whole = h("div", { class: "mx-agent" }, who, this.tabs.bar, body, this.box.element);
    this.whole.addEventListener(ASKS, (event) => this.open((event as CustomEvent<AgentForm>).detail));
    this.element = h("div", { class: "mx-agent" }, this.nobody, this.whole);
  }

  topics(): string[] {
    return ["rows", ...this.tabs.part.topics()];
  }

  draw(): void {
    const row = this.frame.store.current;
    attribute(this.nobody, "hidden", !!row);
    attribute(this.whole, "hidden", !row);
    if (!row) return;
    this.who(row);
    this.offer(row);
    this.tabs.draw();
    this.box.draw(row);
    attribute(this.more.element, "hidden", !row.can.length);
    for (const form of Object.values(this.forms)) form.draw();
  }

  focus(): void {
    this.box.focus();
  }

  private open(form: AgentForm): void {
    this.forms[form].open(this.frame.store.current!.name);
  }

  private who(row: Row): void {
    const { link } = this.frame.store;
    const seen = look(row);
    if (this.sign.dataset.look !== seen) this.sign.replaceChildren(glyph(seen, true));
    this.sign.dataset.look = seen;
    text(this.name, row.name);
    text(this.state, doing({ ...row, now: "", short: "" }, now(this.frame), link.state === "cut"));
    attribute(this.state, "class", `mx-sm s-${seen}`);
    const place = row.parent ? `child of ${row.parent}` : "top of the tree";
    text(this.about, `${row.role} · ${row.harness} ${row.model ?? ""}`.trim() + ` · ${place}`);
    const cost = own(row) === UNPRICED ? UNPRICED : money(row.own_usd, true, "$");
    text(this.spent, row.tokens ? `${tokens(row.tokens)} tok · ${cost}` : "");
  }

  /** Only verbs that are legal now. */
  private offer(row: Row): void {
    const { store } = this.frame;
    const key = `${row.name} ${row.can.join()} ${store.acts} ${store.link.busy(row.name)}`;
    if (key === this.offered) return;
    this.offered = key;
    const held = this.verbs.contains(document.activeElement);
    const off = !store.acts || store.link.busy(row.name);
    const made = VERBS.filter(([verb]) => row.can.includes(verb)).map(([verb, word]) => {
      const says = { disabled: off, "aria-label": `${word} ${row.name}`, title: lineFor(verb, row.name) };
      const one = button(word, verb === "stop" ? "danger bare" : "", says);
      one.addEventListener("click", () => this.frame.act(verb, row.name));
      return one;
    });
    this.verbs.replaceChildren(...made);
    if (held && !ENDED.includes(row.state)) made[0]?.focus();
  }
}

/** What stands in the head; the one verb that fits what happens stands above the box. */
const VERBS: [verb: string, word: string][] = [
  ["suspend", "Suspend"],
  ["stop", "Stop…"],
];
