// What one agent was asked, said and did, as it streams. It follows the newest line until
// one scrolls up; what came before is asked for.

import { arrange, attribute, button, h, text } from "../element";
import { icon } from "../glyphs";
import type { Frame, Part } from "../frame";
import { marked } from "../markdown";
import { ItemView, type Item } from "./item";

interface Told {
  agent: string;
  items: Item[];
  above: number;
  speaking: string;
}

/** How near to its end a view counts as being there. */
const NEAR = 24;

export class Conversation implements Part {
  readonly element: HTMLElement;
  private views = new Map<string, ItemView>();
  private older: Item[] = [];
  private above: number | null = null; // how many come before what was asked for
  private agent = "";
  private follows = true;
  private top = 0;
  private speech = h("div", { class: "mx-md", hidden: true });
  private spoken = "";
  private head = h("div", { class: "mx-older", hidden: true });
  private earlier = button("", "link");
  private none = h("p", { class: "mx-soon mx-2" });
  private talk: HTMLElement;
  private latest = button("Latest", "line", { class: "mx-btn line mx-latest", hidden: true }, icon("down"));

  constructor(private frame: Frame) {
    this.head.append(this.earlier);
    const says = { class: "mx-talk", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: 0 };
    this.talk = h("div", says);
    this.element = h("div", { class: "mx-conversation" }, this.talk, this.latest);
    this.talk.addEventListener("scroll", () => this.scrolled(), { signal: frame.signal });
    this.latest.addEventListener("click", () => this.follow(), { signal: frame.signal });
    this.earlier.addEventListener("click", () => void this.more(), { signal: frame.signal });
  }

  topics(): string[] {
    const name = this.frame.store.current?.name;
    return name ? [`conversation:${name}`] : [];
  }

  draw(): void {
    const [topic] = this.topics();
    const told = topic ? this.frame.store.data<Told>(topic) : undefined;
    if (topic !== this.agent) this.turn(topic ?? "");
    const items = told ? [...this.older, ...told.items] : [];
    this.begin(told, items.length);
    for (const item of items) this.view(item).draw(item);
    this.speak(told?.speaking ?? "");
    const shown = [this.head, ...items.map((item) => this.views.get(item.id)!.element), this.speech, this.none];
    arrange(this.talk, shown);
    if (this.follows) this.talk.scrollTop = this.talk.scrollHeight;
    this.top = this.talk.scrollTop;
    attribute(this.latest, "hidden", this.follows);
  }

  focus(): void {
    this.talk.focus();
  }

  /** Another agent: begin anew, at its newest line. */
  private turn(topic: string): void {
    [this.agent, this.follows, this.older, this.above] = [topic, true, [], null];
    this.views.clear();
    this.spoken = "";
  }

  private begin(told: Told | undefined, count: number): void {
    const above = this.above ?? told?.above ?? 0;
    attribute(this.head, "hidden", above === 0);
    this.earlier.textContent = `${above} earlier`;
    attribute(this.none, "hidden", count > 0 || !!told?.speaking);
    this.none.textContent = told ? "Nothing was said yet." : "Reading the ledger.";
  }

  private view(item: Item): ItemView {
    const known = this.views.get(item.id) ?? new ItemView(this.frame, this.agent);
    this.views.set(item.id, known);
    return known;
  }

  private speak(said: string): void {
    attribute(this.speech, "hidden", !said);
    if (said === this.spoken) return;
    this.spoken = said;
    this.speech.replaceChildren(marked(said));
    const last = this.speech.lastElementChild ?? this.speech;
    (last.matches("pre, ul, ol, blockquote") ? (last.lastElementChild ?? last) : last).append(h("span", { class: "mx-caret" }));
  }

  private scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.talk;
    const up = scrollTop < this.top; // text that grows, or a pane that is made smaller, is no scrolling
    this.top = scrollTop;
    const follows = scrollHeight - scrollTop - clientHeight < NEAR || (this.follows && !up);
    if (follows === this.follows) return;
    this.follows = follows;
    attribute(this.latest, "hidden", follows);
  }

  private follow(): void {
    this.follows = true;
    this.draw();
    this.talk.focus();
  }

  /** The page before the oldest item; what is looked at stays where it is. */
  private async more(): Promise<void> {
    const topic = this.agent;
    const first = this.older[0] ?? this.frame.store.data<Told>(topic)?.items[0];
    if (!first) return;
    this.earlier.disabled = true;
    try {
      const page = await this.frame.store.ask<{ items: Item[]; above: number }>(topic, "older", { before: first.id });
      if (topic !== this.agent) return;
      const below = this.talk.scrollHeight - this.talk.scrollTop;
      [this.older, this.above, this.follows] = [[...page.items, ...this.older], page.above, false];
      this.draw();
      this.talk.scrollTop = this.talk.scrollHeight - below;
    } catch (failure) {
      text(this.earlier, (failure as Error).message);
    } finally {
      this.earlier.disabled = false;
    }
  }
}
