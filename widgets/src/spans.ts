// The bars that a page knows: the newest, which the kernel tells by itself, and older ones,
// asked for when they come into view.

import type { Stretch } from "./axis";
import type { Bar, Sent } from "./bars";
import type { Store } from "./store";
import type { Data } from "./topics";

/** The topic `timeline` (madrox_nb/parts/timeline.py). */
export interface Told extends Data {
  bars: Bar[];
  messages: Sent[];
  first: number;
  now: number;
  /** How many more bars and messages there are than these. */
  more: number;
  /** Bars that nobody has any more. */
  above: number;
}

interface Window extends Stretch {
  bars: Bar[];
  messages: Sent[];
  /** Seconds of a pixel. */
  step: number;
  /** Until when it is complete. */
  asOf: number;
}

/** Milliseconds between two questions. */
const PATIENCE = 400;
/** And after one that was not answered. */
const FAILED = 5_000;

export class Spans {
  private window: Window | undefined;
  private asking = false;
  private asked = 0;
  private joined: { told: Told; window: Window | undefined; bars: Bar[]; messages: Sent[] } | undefined;

  constructor(
    private store: Store,
    private changed: () => void,
  ) {}

  /** All that is known, oldest first. */
  read(told: Told): { bars: Bar[]; messages: Sent[] } {
    const { window, joined } = this;
    if (joined?.told === told && joined.window === window) return joined;
    const both = <T extends { id: string }>(older: T[], newer: T[]) => [
      ...new Map([...older, ...newer].map((each) => [each.id, each])).values(),
    ];
    const bars = both(window?.bars ?? [], told.bars);
    const messages = both(window?.messages ?? [], told.messages);
    this.joined = { told, window, bars, messages };
    return this.joined;
  }

  /** Ask for what is not known of a stretch, where `pixels` are drawn. */
  need(told: Told, stretch: Stretch, pixels: number): void {
    const step = (stretch.until - stretch.since) / Math.max(pixels, 1);
    if (!told.more || this.asking || this.store.link.state === "cut" || this.known(told, stretch, step)) return;
    const wait = this.asked + PATIENCE - Date.now();
    this.asking = true;
    setTimeout(() => void this.ask(told.now, stretch, step), Math.max(0, wait));
  }

  private known(told: Told, { since, until }: Stretch, step: number): boolean {
    const { window } = this;
    const oldest = told.bars[0]?.b ?? told.now;
    if (since >= oldest && told.messages.length && since >= told.messages[0]!.t) return true;
    if (!window || since < window.since || (until > window.until && window.until < window.asOf)) return false;
    if (step < window.step / 2 || step > window.step * 4) return false;
    const newest = new Set(told.bars.map((bar) => bar.id));
    const ended = window.bars.some((bar) => bar.e === null && !newest.has(bar.id)); // unseen by us
    return !ended && oldest <= window.asOf && (told.messages[0]?.t ?? 0) <= window.asOf;
  }

  private async ask(asOf: number, { since, until }: Stretch, step: number): Promise<void> {
    const margin = (until - since) / 2; // a little pan asks for nothing
    const given = { since: Math.max(0, since - margin), until: until + margin, step: step / 2 };
    this.asked = Date.now();
    try {
      const { bars, messages } = await this.store.ask<Pick<Window, "bars" | "messages">>("timeline", "window", given);
      this.window = { ...given, step, bars, messages, asOf };
    } catch {
      this.asked = Date.now() + FAILED; // what is known stays
    }
    this.asking = false;
    this.changed();
  }
}
