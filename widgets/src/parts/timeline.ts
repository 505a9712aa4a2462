// Turns, tool calls, messages and waits of each agent on one axis of time.

import { panned, ticks, zoomed, type Stretch } from "../axis";
import { ROW, scene, tell, under, type Box, type Scene } from "../bars";
import { attribute, button, h, text } from "../element";
import { look as sign } from "../format";
import type { Frame, Part } from "../frame";
import { glyph, icon, type Icon } from "../glyphs";
import { now } from "../head";
import { paint, Tints } from "../paint";
import { Spans, type Told } from "../spans";
import type { Row } from "../store";

const [LABELS, RIGHT, AXIS] = [108, 12, 24]; // pixels; labels have more where it is wide, as in time.css
const USUAL = { width: 700, height: 216 }; // where the place is not known yet
const [CLOSER, WIDER] = [0.8, 1.25];

export class Timeline implements Part {
  readonly element: HTMLElement;
  readonly tools: HTMLElement;
  private canvas = h("canvas", { tabindex: 0, role: "application", "aria-roledescription": "timeline" });
  private labels = h("div", { class: "labs" });
  private inner: HTMLElement;
  private space = h("div");
  private scroller: HTMLElement;
  private told = h("div", { class: "mx-tell mx-pop", role: "status", hidden: true });
  private tints = new Tints();
  private spans: Spans;
  private zoom: Stretch | null = null; // null shows all there is
  private scene: Scene = { boxes: [], messages: [] };
  private focused: string | null = null; // the bar that the keys are on
  private drawn: { rows: Row[]; first: number; stretch: Stretch; whole: Stretch; pixels: number } | undefined;

  constructor(private frame: Frame) {
    this.spans = new Spans(frame.store, frame.redraw);
    this.tools = h("span", { class: "mx-tools" }, legend(), this.zooms());
    this.inner = h("div", { class: "mx-time-in" }, this.labels, this.canvas, this.told);
    this.scroller = h("div", { class: "mx-time" }, this.inner, this.space);
    this.element = h("div", { class: "mx-times" }, this.tints.element, this.scroller, legend());
    this.hear();
  }

  topics(): string[] {
    return ["rows", "timeline"];
  }

  focus(): void {
    this.canvas.focus();
  }

  draw(): void {
    const told = this.frame.store.data<Told>("timeline");
    if (!told) return;
    const rows = this.frame.filter.of(this.frame.store);
    const height = rows.length * ROW + AXIS;
    this.scroller.style.height = `${height}px`;
    const seen = this.scroller.clientHeight || USUAL.height;
    const pixels = Math.max(80, (this.scroller.clientWidth || USUAL.width) - this.margin - RIGHT);
    this.inner.style.height = `${seen}px`;
    this.space.style.height = `${Math.max(0, height - seen)}px`;
    const first = Math.min(Math.floor(this.scroller.scrollTop / ROW), Math.max(0, rows.length - 1));
    const shown = rows.slice(first, first + Math.ceil((seen - AXIS) / ROW));
    const whole = this.whole(told);
    const stretch = this.stretch(whole);
    this.spans.need(told, stretch, pixels);
    this.drawn = { rows: shown, first, stretch, whole, pixels };
    this.place(shown);
    this.chart(told, shown, seen);
  }

  /** Where the bars begin: right of the names. */
  private get margin(): number {
    return this.labels.offsetWidth || LABELS;
  }

  /** All of the run: until now, or until its last entry when it is over. */
  private whole(told: Told): Stretch {
    const { present, link } = this.frame.store;
    const since = present.opened ?? told.first;
    const until = present.closed ? told.now : Math.max(told.now, Date.now() / 1000 + link.ahead);
    return { since, until: Math.max(until, since + 1) };
  }

  /** What is looked at. Who looks at the newest goes on doing so. */
  private stretch(whole: Stretch): Stretch {
    const { zoom, drawn } = this;
    if (!zoom) return whole;
    const follows = drawn && zoom.until >= drawn.whole.until - 0.001;
    this.zoom = panned(zoom, follows ? whole.until - zoom.until : 0, whole);
    return this.zoom;
  }

  private chart(told: Told, rows: Row[], seen: number): void {
    const { store } = this.frame;
    const { stretch, whole, pixels } = this.drawn!;
    const { bars, messages } = this.spans.read(told);
    const places = new Map(rows.map((row, at) => [row.name, at]));
    this.scene = scene(bars, messages, { ...stretch, pixels, now: whole.until, rows: places });
    const size = { width: `${pixels}px`, height: `${seen}px` };
    Object.assign(this.canvas.style, size);
    attribute(this.canvas, "class", this.zoom ? "can-pan" : "");
    attribute(this.canvas, "aria-label", `Timeline of ${rows.length} agents. Arrows go from bar to bar, plus and minus zoom, 0 shows all`);
    const selected = places.get(store.current?.name ?? "") ?? null;
    const past = store.at !== null && store.when !== null;
    const look = {
      ...{ pixels, height: seen - AXIS, stretch, selected: this.frame.alone ? null : selected, past },
      ...{ ticks: ticks(stretch, whole.since, pixels), at: past ? now(this.frame) : whole.until },
      ...{ focused: this.box(), font: `11px ${getComputedStyle(this.element).fontFamily}` },
    };
    paint(this.canvas, this.scene, look, this.tints.read());
  }

  private place(rows: Row[]): void {
    const selected = this.frame.alone ? "" : this.frame.store.current?.name;
    rows.forEach((row, at) => {
      const label = (this.labels.children[at] as HTMLElement | undefined) ?? this.label();
      const state = sign(row);
      if (label.dataset.state !== state) label.firstElementChild!.replaceWith(glyph(state, true));
      label.dataset.state = state;
      label.dataset.agent = row.name;
      label.style.top = `${at * ROW}px`;
      text(label.lastElementChild!, row.name);
      attribute(label, "class", `lab${row.name === selected ? " sel" : ""}`);
      attribute(label, "title", row.name);
    });
    while (this.labels.children.length > rows.length) this.labels.lastElementChild!.remove();
  }

  private label(): HTMLElement {
    // the keys go by the chart, so that a hundred agents are no hundred stops
    const made = h("button", { type: "button", class: "lab", tabindex: -1 }, h("i"), h("span", { class: "mx-cut" }));
    made.addEventListener("click", () => this.frame.look(made.dataset.agent!));
    this.labels.append(made);
    return made;
  }

  // what is under the pointer, and where the keys are

  private box(): Box | undefined {
    return this.scene.boxes.find(({ bar }) => bar.id === this.focused);
  }

  private tellOf(box: Box | undefined): void {
    attribute(this.told, "hidden", !box);
    if (!box || !this.drawn) return;
    const { whole, pixels } = this.drawn;
    text(this.told, tell(box.bar, whole.until, whole.since));
    const left = Math.max(0, Math.min(box.x, pixels - 60));
    const right = left > pixels / 2;
    this.told.style.left = right ? "auto" : `${this.margin + left}px`;
    this.told.style.right = right ? `${Math.max(0, pixels - box.x - box.w) + RIGHT}px` : "auto";
    this.told.style.top = box.y < 2 * ROW ? `${box.y + ROW}px` : `${box.y - ROW - 12}px`;
  }

  private hear(): void {
    const { signal } = this.frame;
    const on = <K extends keyof HTMLElementEventMap>(kind: K, heard: (event: HTMLElementEventMap[K]) => void, passive = true) =>
      this.canvas.addEventListener(kind, heard, { signal, passive });
    this.scroller.addEventListener("scroll", this.frame.redraw, { signal, passive: true });
    on("wheel", (event) => this.wheeled(event), false);
    on("pointerdown", (event) => this.grabbed(event));
    on("pointermove", (event) => this.tellOf(under(this.scene, event.offsetX, event.offsetY)));
    on("pointerleave", () => this.tellOf(this.box()));
    on("blur", () => this.go(undefined));
    on("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.pressed(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
    }, false);
    const sizes = globalThis.ResizeObserver && new ResizeObserver(this.frame.redraw);
    sizes?.observe(this.scroller);
    signal.addEventListener("abort", () => sizes?.disconnect());
  }

  /** The wheel zooms only with Ctrl or ⌘, and pans sideways; else it scrolls as everywhere. */
  private wheeled(event: WheelEvent): void {
    if (!this.drawn) return;
    this.tellOf(undefined); // what was under the pointer is not any more
    const { stretch, pixels } = this.drawn;
    const wide = stretch.until - stretch.since;
    const aside = event.shiftKey ? event.deltaY : event.deltaX;
    if (event.ctrlKey || event.metaKey) {
      this.scale(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 100)) * 0.25), stretch.since + (event.offsetX / pixels) * wide);
    } else if (this.zoom && Math.abs(aside) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
      this.pan((aside / pixels) * wide);
    } else return;
    event.preventDefault();
  }

  /** A drag pans; without moving it is a click, which looks at the agent. */
  private grabbed(event: PointerEvent): void {
    const { pointerId, clientX } = event;
    let last = clientX;
    let moved = false;
    const move = ({ clientX: at }: PointerEvent) => {
      moved ||= Math.abs(at - clientX) > 3;
      const { stretch, pixels } = this.drawn!;
      if (moved && this.zoom) this.pan(((last - at) / pixels) * (stretch.until - stretch.since));
      last = at;
    };
    const end = ({ offsetY, type }: PointerEvent) => {
      this.canvas.removeEventListener("pointermove", move);
      const row = this.drawn?.rows[Math.floor(offsetY / ROW)];
      if (!moved && type === "pointerup" && row) this.frame.look(row.name);
    };
    this.canvas.setPointerCapture(pointerId);
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", end, { once: true });
    this.canvas.addEventListener("pointercancel", end, { once: true });
  }

  /** Whether the key meant something here. */
  private pressed(key: string): boolean {
    if (!this.drawn) return false;
    const wide = this.drawn.stretch.until - this.drawn.stretch.since;
    const steps: Record<string, () => void> = {
      ArrowLeft: () => this.along(-1),
      ArrowRight: () => this.along(1),
      ArrowUp: () => this.across(-1),
      ArrowDown: () => this.across(1),
      Home: () => this.pan(-Infinity),
      End: () => this.pan(Infinity),
      PageUp: () => this.pan(-wide * 0.8),
      PageDown: () => this.pan(wide * 0.8),
      "+": () => this.scale(CLOSER),
      "=": () => this.scale(CLOSER),
      "-": () => this.scale(WIDER),
      "0": () => this.fit(),
      Enter: () => this.focused && this.frame.look(this.box()!.bar.a),
    };
    steps[key]?.();
    return key in steps;
  }

  /** The next or the previous bar of the same agent. */
  private along(by: number): void {
    const box = this.box();
    if (!box) return this.across(1);
    const row = this.scene.boxes.filter(({ bar }) => bar.a === box.bar.a).sort((a, b) => a.bar.b - b.bar.b);
    this.go(row[row.findIndex(({ bar }) => bar.id === box.bar.id) + by] ?? box);
  }

  /** The bar of the next or the previous agent that is nearest in time. */
  private across(by: number): void {
    const { rows } = this.drawn!;
    const box = this.box();
    const at = box ? rows.findIndex((row) => row.name === box.bar.a) : by > 0 ? -1 : rows.length;
    const begins = box?.bar.b ?? 0;
    for (let row = rows[at + by], next = at + by; row; row = rows[(next += by)]) {
      const found = this.scene.boxes.filter(({ bar }) => bar.a === row!.name);
      if (!found.length) continue;
      found.sort((a, b) => Math.abs(a.bar.b - begins) - Math.abs(b.bar.b - begins));
      return this.go(found[0]);
    }
    this.scroller.scrollBy?.(0, by * ROW); // the next one is further down, or up
  }

  private go(box: Box | undefined): void {
    this.focused = box?.bar.id ?? null;
    this.tellOf(box);
    this.frame.redraw();
  }

  // zoom and pan

  /** A factor below 1 looks closer. Without a time the newest stays where it is, or the bar that is told. */
  private scale(factor: number, at?: number): void {
    const { stretch, whole } = this.drawn!;
    const next = zoomed(stretch, factor, at ?? this.box()?.bar.b ?? stretch.until, whole);
    const all = next.until - next.since >= whole.until - whole.since;
    this.zoom = all ? null : next;
    this.drawn = { ...this.drawn!, stretch: next }; // several in one frame add up
    this.frame.redraw();
  }

  private pan(by: number): void {
    const { stretch, whole } = this.drawn!;
    if (!this.zoom) return;
    const most = whole.until - whole.since;
    this.zoom = panned(stretch, Math.max(-most, Math.min(most, by)), whole);
    this.drawn = { ...this.drawn!, stretch: this.zoom };
    this.frame.redraw();
  }

  private fit(): void {
    this.zoom = null;
    this.frame.redraw();
  }

  private zooms(): HTMLElement {
    const one = (sign: Icon, label: string, does: () => void) => {
      const made = button("", "icon", { "aria-label": label, title: label }, icon(sign));
      made.addEventListener("click", () => this.drawn && does());
      return made;
    };
    const closer = one("plus", "Zoom in", () => this.scale(CLOSER * CLOSER));
    const wider = one("minus", "Zoom out", () => this.scale(WIDER * WIDER));
    return h("span", { class: "mx-zoom" }, wider, closer, one("fit", "Show all", () => this.fit()));
  }
}

const SIGNS = { turn: "turn", tool: "tool", wait: "waits for you", silent: "silent", off: "suspended", message: "message" };

function legend(): HTMLElement {
  const signs = Object.entries(SIGNS).map(([kind, word]) => h("span", {}, h("i", { class: kind }), word));
  return h("div", { class: "mx-legend", "aria-hidden": "true" }, ...signs);
}
