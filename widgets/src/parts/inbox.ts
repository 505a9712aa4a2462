// The messages of one agent, the newest first.

import { arrange, attribute, h, text } from "../element";
import { clock } from "../format";
import type { Frame, Part } from "../frame";
import { icon } from "../glyphs";
import { scrolls } from "../scrolling";

interface Message {
  id: string;
  sender: string;
  answers: string;
  asks: boolean;
  read: boolean;
  at: number;
  text: string;
  text_more: number;
}
interface Told {
  agent: string;
  messages: Message[];
  more: number;
}

export class Inbox implements Part {
  readonly element: HTMLElement;
  private mail = h("div", { class: "mx-mail", role: "list", tabindex: 0, "aria-label": "Messages, the newest first" });
  private none = h("p", { class: "mx-soon mx-2" });
  private rows = new Map<string, { element: HTMLElement; message: Message }>();
  private topic = "";

  constructor(private frame: Frame) {
    this.element = h("div", { class: "mx-inbox" }, this.mail, this.none);
  }

  topics(): string[] {
    const name = this.frame.store.current?.name;
    return name ? [`inbox:${name}`] : [];
  }

  count() {
    return { number: this.frame.store.current?.unread ?? 0 };
  }

  draw(): void {
    const topic = this.topics()[0] ?? "";
    if (topic !== this.topic) this.rows.clear();
    this.topic = topic;
    const told = this.frame.store.data<Told>(topic);
    arrange(this.mail, (told?.messages ?? []).map((message) => this.row(message)));
    const rest = told?.more ? `${told.more} older messages stand in the ledger: m.messages()` : "";
    text(this.none, !told ? "Reading." : told.messages.length ? rest : `Nobody has written to ${told.agent} yet.`);
    attribute(this.none, "hidden", !!told?.messages.length && !rest);
  }

  private row(message: Message): HTMLElement {
    const known = this.rows.get(message.id);
    if (known?.message === message) return known.element;
    const element = letter(message);
    this.rows.set(message.id, { element, message });
    return element;
  }
}

function letter({ sender, answers, asks, read, at, text, text_more }: Message): HTMLElement {
  const when = `${clock(new Date(at * 1000))} · ${read ? "read" : "unread"}`;
  const what = [answers && `answers ${answers}`, asks && "asks for a turn"].filter(Boolean).join(", ");
  const head = h("span", { class: "mx-cut" }, h("b", { class: read ? "" : "mx-bold" }, sender), what ? ` ${what}` : "");
  const more = text_more ? h("span", { class: "mx-2" }, ` … ${text_more.toLocaleString("en-US")} more characters`) : null;
  const said = h("p", { dir: "auto" }, text, more);
  return h("div", { role: "listitem", class: read ? "mx-2" : "" }, icon(read ? "check" : "mail"), head, h("span", { class: "mx-2" }, when), scrolls(said));
}
