// The moments of a run on the slider: which entry was the newest when, and how much
// happened. The kernel tells bins of time with their last entry; between them we interpolate.

import type { Data } from "./topics";

/** The topic `slider` (madrox_nb/parts/slider.py). */
export interface Moments extends Data {
  /** When the run began. */
  first: number;
  /** Seconds of a bin. */
  width: number;
  /** How many entries each bin holds, and the number of the last one; -1 where there is none. */
  bins: { id: string; n: number; last: number }[];
  /** The newest entry, and when it was. */
  last: number;
  now: number;
}

/** Where bin `at` begins and ends, and which entries it holds. */
function part(told: Moments, at: number) {
  const begins = told.first + told.width * at;
  const ends = at === told.bins.length - 1 ? Math.max(told.now, begins) : begins + told.width;
  const { n, last } = told.bins[at]!;
  return { begins, ends, n, last };
}

/** The newest entry at that time; -1 before the first one. */
export function entryAt(told: Moments, time: number): number {
  let before = -1;
  for (let at = 0; at < told.bins.length; at++) {
    const { begins, ends, n, last } = part(told, at);
    if (time < begins) break;
    if (n && time < ends) return Math.max(before, last - n + Math.floor(((time - begins) / (ends - begins)) * n));
    if (n) before = last;
  }
  return before;
}

/** About when that entry was. */
export function timeOf(told: Moments, entry: number): number {
  for (let at = 0; at < told.bins.length; at++) {
    const { begins, ends, n, last } = part(told, at);
    if (n && entry <= last) return begins + (Math.max(0, entry - (last - n)) / n) * (ends - begins);
  }
  return told.now;
}

/** Heights between 0 and 1, one for each of `many` pieces of the time from `begin` to `end`. */
export function density(told: Moments, begin: number, end: number, many: number): number[] {
  const heights = new Array<number>(many).fill(0);
  const piece = Math.max(end - begin, told.width) / many;
  told.bins.forEach((_, at) => {
    const { begins, ends, n } = part(told, at);
    const from = Math.min((begins - begin) / piece, many - 1);
    const to = Math.max((ends - begin) / piece, from + 1e-6); // the last bin may have just begun
    // what a bin holds is spread over the pieces it lies in, so that there are no holes between bins
    for (let each = Math.max(0, Math.floor(from)); each < Math.min(many, to); each++) {
      heights[each]! += (n * (Math.min(to, each + 1) - Math.max(from, each))) / (to - from);
    }
  });
  const most = Math.max(...heights, Number.EPSILON);
  return heights.map((height) => Math.sqrt(height / most)); // a burst must not flatten all the rest
}
