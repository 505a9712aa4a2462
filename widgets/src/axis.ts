// A stretch of time and what one does with it: zoom, pan, marks at round times.

import { span } from "./format";

/** From when to when, in seconds since 1970. */
export interface Stretch {
  since: number;
  until: number;
}

/** The least that may be looked at, in seconds. */
const LEAST = 0.5;
const ROUND = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400];

/** `factor` < 1 looks closer; what is at `at` stays where it is. */
export function zoomed({ since, until }: Stretch, factor: number, at: number, whole: Stretch): Stretch {
  const wide = Math.min(Math.max((until - since) * factor, LEAST), whole.until - whole.since);
  const part = (at - since) / (until - since);
  return within({ since: at - wide * part, until: at + wide * (1 - part) }, whole);
}

export function panned({ since, until }: Stretch, by: number, whole: Stretch): Stretch {
  return within({ since: since + by, until: until + by }, whole);
}

/** The same length, moved so that it does not leave the whole. */
function within({ since, until }: Stretch, whole: Stretch): Stretch {
  const wide = Math.min(until - since, whole.until - whole.since);
  const begins = Math.min(Math.max(since, whole.since), whole.until - wide);
  return { since: begins, until: begins + wide };
}

/** Marks at round times since `origin`, at least `room` pixels apart. */
export function ticks({ since, until }: Stretch, origin: number, pixels: number, room = 90): { at: number; label: string }[] {
  const least = ((until - since) / Math.max(pixels, 1)) * room;
  const step = ROUND.find((each) => each >= least) ?? Math.ceil(least / 86_400) * 86_400;
  const found = [];
  for (let at = Math.ceil((since - origin) / step) * step; at <= until - origin; at += step)
    found.push({ at: origin + at, label: span(at) });
  return found;
}
