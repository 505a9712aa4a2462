// What a screen reader is told unasked: what needs the person, and never more often than one
// can listen to.

import { h, text } from "./element";

/** Between two things that are said, in ms. What comes in between is said together: the last of it. */
export const BREATH = 5000;

export class Voice {
  readonly element = h("div", { class: "mx-sr", role: "status", "aria-live": "polite" });
  private said = "";
  private next = "";
  private free = 0; // when something may be said again
  private waiting: ReturnType<typeof setTimeout> | undefined;

  constructor(signal: AbortSignal) {
    signal.addEventListener("abort", () => clearTimeout(this.waiting));
  }

  /** Say it, unless that is what was said last. Empty: there is nothing left to say. */
  say(words: string): void {
    this.next = words;
    if (words === this.said || this.waiting !== undefined) return;
    this.waiting = setTimeout(() => this.speak(), Math.max(0, this.free - Date.now()));
  }

  private speak(): void {
    this.waiting = undefined;
    if (this.next === this.said) return;
    text(this.element, (this.said = this.next));
    if (this.said) this.free = Date.now() + BREATH;
  }
}
