// The footer: one slider moves everything through the ledger.

import { attribute, button, h, text } from "../element";
import { some, span } from "../format";
import type { Frame, Part } from "../frame";
import { icon } from "../glyphs";
import { density, entryAt, timeOf, type Moments } from "../moments";

const TICK = 100; // ms between two steps of what is played
const PLAYED = 30; // seconds in which a whole run is played
const BARS = 110;
const MINUTE = 60;

export class Slider implements Part {
  readonly element: HTMLElement;
  private play = button("", "icon", { "aria-label": "Play from here", title: "Play (space)" });
  private time = h("span", { class: "at" });
  private bars = document.createElementNS(SVG, "path");
  private fill = h("i");
  private knob = h("span", { class: "knob" });
  private track: HTMLElement;
  private number = h("span", { class: "mx-2" });
  private back = button("Back to live", "primary", { hidden: true });
  private playing: ReturnType<typeof setInterval> | undefined;
  private drawn = "";

  constructor(private frame: Frame) {
    const svg = document.createElementNS(SVG, "svg");
    for (const [name, value] of Object.entries({ viewBox: "0 0 1000 13", preserveAspectRatio: "none", "aria-hidden": "true" }))
      svg.setAttribute(name, value);
    this.bars.setAttribute("class", "mx-dens");
    svg.append(this.bars);
    const says = { role: "slider", tabindex: 0, "aria-label": "Moment of the run", "aria-valuemin": 0 };
    this.track = h("div", { class: "mx-track", ...says }, svg as unknown as Node, h("span", { class: "rail" }, this.fill), this.knob);
    this.element = h("div", { class: "mx-scrub" }, this.play, this.time, this.track, this.number, this.back);
    this.play.addEventListener("click", () => this.toggle());
    this.back.addEventListener("click", () => this.live());
    this.element.addEventListener("keydown", (event) => this.keyed(event));
    this.drag();
    frame.signal.addEventListener("abort", () => this.pause());
  }

  topics(): string[] {
    return ["slider"];
  }

  draw(): void {
    const told = this.told;
    attribute(this.element, "hidden", !told);
    if (!told) return;
    const { store } = this.frame;
    const past = store.at !== null;
    if (!past) this.pause();
    const shown = past ? (store.when ?? timeOf(told, store.at!)) : this.end(told);
    const whole = span(this.end(told) - this.begin(told));
    const at = span(shown - this.begin(told));
    const part = `${100 * (past ? this.share(told, timeOf(told, store.at!)) : 1)}%`;
    text(this.time, at);
    [this.fill.style.width, this.knob.style.left] = [part, part];
    attribute(this.track, "aria-valuemax", told.last);
    attribute(this.track, "aria-valuenow", store.at ?? told.last);
    attribute(this.track, "aria-valuetext", past ? `${at} of ${whole}` : "now");
    attribute(this.track, "aria-disabled", this.off || null);
    attribute(this.track, "aria-busy", store.reading ? "true" : null);
    attribute(this.play, "disabled", this.off);
    text(this.number, some(told.last + 1, "event"));
    attribute(this.back, "hidden", !past);
    this.sign();
    this.profile(told);
  }

  focus(): void {
    this.track.focus();
  }

  private get told(): Moments | undefined {
    const told = this.frame.store.data<Moments>("slider");
    return told && told.last >= 0 ? told : undefined;
  }

  /** Without a kernel there is nobody to tell what was. */
  private get off(): boolean {
    return this.frame.store.link.state === "cut";
  }

  /** Where the slider begins: with the first agent, as the time in the header does. */
  private begin(told: Moments): number {
    return this.frame.store.present.opened ?? told.first;
  }

  /** Where it ends: now, or with the last entry of a run that is over. */
  private end(told: Moments): number {
    const { present, link } = this.frame.store;
    return present.closed ? told.now : Math.max(told.now, Date.now() / 1000 + link.ahead);
  }

  private share(told: Moments, time: number): number {
    const [begins, ends] = [this.begin(told), this.end(told)];
    return Math.min(1, Math.max(0, (time - begins) / Math.max(ends - begins, 0.001)));
  }

  private profile(told: Moments): void {
    const heights = density(told, this.begin(told), this.end(told), BARS).map((height) => Math.ceil(height * 12 - 0.01));
    const key = heights.join();
    if (key === this.drawn) return;
    this.drawn = key;
    const wide = 1000 / BARS;
    const bar = (height: number, at: number) => (height ? `M${at * wide} 13v${-height}h${wide - 2}v${height}z` : "");
    this.bars.setAttribute("d", heights.map(bar).join(""));
  }

  // moving

  /** Go to that entry; at or after the newest one everything is live. */
  private go(entry: number): void {
    const told = this.told;
    if (!told || this.off) return;
    this.frame.store.go(entry >= told.last ? null : Math.max(0, entry));
  }

  private live(): void {
    this.pause();
    this.frame.store.go(null);
    this.track.focus();
  }

  private keyed(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.pressed(event)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Whether the key meant something here. */
  private pressed({ key, target }: KeyboardEvent): boolean {
    const told = this.told;
    if (!told || target !== this.track) return false;
    const at = this.frame.store.at ?? told.last;
    const minute = (sign: number) => entryAt(told, timeOf(told, at) + sign * MINUTE);
    if (key === " ") this.toggle();
    else if (key === "ArrowLeft" || key === "ArrowDown") this.go(at - 1);
    else if (key === "ArrowRight" || key === "ArrowUp") this.go(at + 1);
    else if (key === "PageUp") this.go(Math.min(at - 1, minute(-1)));
    else if (key === "PageDown") this.go(Math.max(at + 1, minute(1)));
    else if (key === "Home") this.go(0);
    else if (key === "End") this.live();
    else return false;
    return true;
  }

  private drag(): void {
    const move = (event: PointerEvent) => {
      const told = this.told;
      const { left, width } = this.track.getBoundingClientRect();
      if (!told || !width) return;
      const part = Math.min(1, Math.max(0, (event.clientX - left) / width));
      const time = this.begin(told) + part * (this.end(told) - this.begin(told));
      this.go(part === 1 ? told.last : entryAt(told, time));
    };
    const { signal } = this.frame;
    const end = () => this.track.removeEventListener("pointermove", move);
    const begin = (event: PointerEvent) => {
      this.pause();
      this.track.focus({ preventScroll: true }); // the keys go on from where it is let go
      this.track.setPointerCapture(event.pointerId);
      this.track.addEventListener("pointermove", move);
      move(event);
    };
    this.track.addEventListener("pointerdown", begin, { signal });
    this.track.addEventListener("pointerup", end, { signal });
    this.track.addEventListener("pointercancel", end, { signal });
  }

  // playing

  private toggle(): void {
    if (this.playing) return this.pause();
    const told = this.told;
    if (!told || this.off) return;
    let at = this.frame.store.at ?? 0; // the present is the end of it: play it from the beginning
    this.go(at);
    let time = timeOf(told, at);
    this.playing = setInterval(() => {
      const newest = this.told;
      if (!newest || document.hidden || this.off) return;
      time += ((this.end(newest) - this.begin(newest)) / PLAYED) * (TICK / 1000);
      at = Math.max(at, entryAt(newest, time));
      this.go(time < newest.now ? at : newest.last);
    }, TICK);
    this.sign();
  }

  private pause(): void {
    clearInterval(this.playing);
    this.playing = undefined;
    this.sign();
  }

  private sign(): void {
    const [name, label] = this.playing ? (["pause", "Pause"] as const) : (["play", "Play from here"] as const);
    if (this.play.dataset.sign === name) return;
    this.play.dataset.sign = name;
    attribute(this.play, "aria-label", label);
    attribute(this.play, "title", this.playing ? "Pause (space)" : "Play (space)");
    this.play.replaceChildren(icon(name));
  }
}

const SVG = "http://www.w3.org/2000/svg";
