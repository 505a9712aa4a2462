// What comes from one agent's program: the lines of its protocol, or its terminal. It
// follows the end until one scrolls up; what came before is asked for.

import { attribute, button, h, text } from "../element";
import type { Frame, Part } from "../frame";
import { icon } from "../glyphs";
import { Screen, type Library } from "../screen";
import { aside, bytes, HELD, Held, painted, protocol, type Block } from "../wire";

export interface Told {
  agent: string;
  /** Whether it is lines of a protocol; else what a program wrote to its terminal. */
  protocol: boolean;
  /** Of a terminal that is painted. */
  size: [rows: number, columns: number] | null;
  blocks: Block[];
  /** Bytes of a line that has not ended. */
  begun: number;
  /** What came on standard error since the last line. */
  stderr: string;
  /** Whether it is known when what came. */
  timed: boolean;
}

export class Terminal implements Part {
  readonly element: HTMLElement;
  readonly tools: HTMLElement;
  private asked = false;
  private screen: Screen | undefined;
  private held = new Held();
  private topic = "";
  private told: Told | undefined; // what was taken in last
  private end = 0; // the byte that was written last …
  private written = new Map<number, number>(); // … and how many characters of each block
  private beside = ""; // … and of the standard error since the last line
  private laid = true;
  private asking = false;
  private head = h("div", { class: "mx-older", hidden: true });
  private missing = h("span", { class: "mx-sm mx-2" });
  private earlier = button("Load it", "link");
  private status = h("p", { class: "mx-begun mx-sm mx-2", hidden: true });
  private none = h("p", { class: "mx-soon mx-2" });
  private latest = button("Latest", "line", { class: "mx-btn line mx-latest", hidden: true }, icon("down"));
  private ways: HTMLButtonElement[];

  constructor(private frame: Frame) {
    this.head.append(this.missing, this.earlier);
    this.element = h("div", { class: "mx-term" }, this.head, this.none, this.status, this.latest);
    this.latest.addEventListener("click", () => this.follow(), { signal: frame.signal });
    this.earlier.addEventListener("click", () => void this.older(), { signal: frame.signal });
    this.ways = [true, false].map((laid) => this.way(laid));
    this.tools = h("span", { class: "mx-seg", role: "group", "aria-label": "How lines are shown", hidden: true }, ...this.ways);
  }

  topics(): string[] {
    const name = this.frame.store.current?.name;
    return name ? [`terminal:${name}`] : [];
  }

  draw(): void {
    const [topic = ""] = this.topics();
    if (!this.asked) this.ask();
    if (topic !== this.topic) this.turn(topic);
    const told = this.frame.store.data<Told>(topic);
    this.say(told);
    if (!told || !this.screen || told === this.told) return;
    if ((told.blocks.at(-1)?.end ?? 0) < this.end) this.turn(topic); // an earlier moment
    const first = !this.told;
    this.told = told;
    const from = this.held.take(told.blocks);
    const fresh = this.held.blocks.filter((block) => block.end > this.end);
    if (first) this.begin();
    else if (from < this.end || (!fresh.length && !told.stderr.startsWith(this.beside))) this.rewrite();
    else this.write(fresh);
    this.say(told);
  }

  focus(): void {
    this.screen?.focus();
  }

  /** Its code is large, so it is brought when somebody looks. */
  private ask(): void {
    this.asked = true;
    this.frame.store.library<Library>("xterm").then(
      (library) => this.open(library),
      (failure) => (this.frame.store.refused = `The terminal can't be drawn: ${failure}`),
    );
  }

  private open(library: Library): void {
    if (this.frame.signal.aborted) return;
    this.screen = new Screen(library, this.frame.signal, () => this.frame.redraw());
    this.head.after(this.screen.element);
    this.frame.redraw();
  }

  /** All anew. */
  private turn(topic: string): void {
    [this.topic, this.told, this.end] = [topic, undefined, 0];
    this.held.clear();
    this.written.clear();
  }

  private say(told: Told | undefined): void {
    const { store } = this.frame;
    this.offer();
    const some = !!told?.blocks.length || !!told?.stderr;
    attribute(this.none, "hidden", some && !!this.screen);
    if (this.screen || !told) text(this.none, told ? NOTHING[store.at === null ? "now" : "then"] : "Reading its wire.");
    const line = told?.begun ? `A line has begun: ${bytes(told.begun)} so far.` : "";
    const past = store.at !== null && told && !told.timed ? "Nobody noted when this came: this is how it is now." : "";
    const size = told?.size ? `${told.size[1]} × ${told.size[0]}` : "";
    const said = [past, line, size].filter(Boolean).join(" ");
    text(this.status, said);
    attribute(this.status, "hidden", !said);
    attribute(this.tools, "hidden", !told?.protocol);
    for (const [at, way] of this.ways.entries()) attribute(way, "aria-pressed", String((at === 0) === this.laid));
    attribute(this.latest, "hidden", this.screen?.follows ?? true);
    if (this.screen) attribute(this.screen.element, "hidden", !some);
  }

  private offer(): void {
    const { missing, size } = this.held;
    const full = size >= HELD;
    attribute(this.head, "hidden", !missing);
    if (!missing || this.asking) return;
    const why = missing.at === this.held.blocks[0]!.at ? "earlier" : "left out, this view was too slow";
    text(this.missing, `${bytes(missing.count)} ${why}${full ? ": they stand in its wire.log" : ""} `);
    attribute(this.earlier, "hidden", full);
  }

  // what is written

  private begin(): void {
    this.forget();
    attribute(this.screen!.element, "hidden", false);
    this.screen!.begin(this.told!.size, this.label);
    this.write(this.held.blocks);
  }

  private rewrite(): void {
    this.forget();
    this.screen!.again([...this.texts(this.held.blocks), this.rest()], this.told!.size, this.label);
  }

  private write(blocks: Block[]): void {
    const said = [...this.texts(blocks), this.rest()].join("");
    if (said) this.screen!.write(said);
  }

  private forget(): void {
    [this.end, this.beside] = [0, ""];
    this.written.clear();
  }

  /** These blocks as the terminal shows them, from where it ends; what lies between is named. */
  private texts(blocks: Block[]): string[] {
    return blocks.flatMap((block) => {
      const gap = this.end && block.at > this.end ? [`\r\n\x1b[90m── ${bytes(block.at - this.end)} left out ──\x1b[0m\r\n`] : [];
      const known = this.written.get(block.at) ?? 0;
      this.end = block.end;
      this.written.set(block.at, block.text.length);
      return [...gap, this.shown(block, known)];
    });
  }

  private shown(block: Block, known: number): string {
    if (!this.told!.protocol) return painted(block.text.slice(known));
    const [from, said] = [block.text.slice(0, known).split("\n").length - 1, this.beside];
    this.beside = "";
    return protocol(block, this.laid, from, said);
  }

  /** What came on standard error since the last line, as far as it is not shown. */
  private rest(): string {
    const { stderr } = this.told!;
    const said = aside(stderr.slice(this.beside.length));
    this.beside = stderr;
    return said;
  }

  private get label(): string {
    const { agent, protocol: lines } = this.told!;
    return `${lines ? "Wire" : "Terminal"} of ${agent}. The arrow keys scroll it`;
  }

  // what one does

  private way(laid: boolean): HTMLButtonElement {
    const made = h("button", { type: "button" }, laid ? "Laid out" : "Raw");
    made.addEventListener("click", () => {
      this.laid = laid;
      if (this.told && this.screen) this.rewrite();
      this.frame.redraw();
    });
    return made;
  }

  private follow(): void {
    this.screen?.latest();
    this.screen?.focus();
    this.frame.redraw();
  }

  /** The page before what is missing; what is looked at stays where it is. */
  private async older(): Promise<void> {
    const { topic } = this;
    const { missing } = this.held;
    if (!missing || this.asking) return;
    this.asking = true;
    try {
      const page = await this.frame.store.ask<{ blocks: Block[] }>(topic, "older", { before: missing.at });
      if (topic !== this.topic) return;
      this.held.take(page.blocks, HELD * 2);
      this.screen!.follows = false;
      this.rewrite();
    } catch (failure) {
      this.frame.store.refused = (failure as Error).message;
    } finally {
      this.asking = false;
      this.frame.redraw();
    }
  }
}

const NOTHING = { now: "Nothing has come from its program yet.", then: "Nothing had come from its program by then." };
