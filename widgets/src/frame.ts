// What a part is, and what the view around it does for it.

import type { Filter } from "./filter";
import type { Store } from "./store";

/** One thing that can be looked at: alone in a cell, or as a piece of the dashboard. */
export interface Part {
  readonly element: HTMLElement;
  /** The topics that it draws from now; the kernel sends these and no others. */
  topics(): string[];
  /** Draw what the store knows. Called at most once a frame, and only while it is shown. */
  draw(): void;
  /** What stands at the right end of its tab, or of its title. */
  readonly tools?: HTMLElement;
  /** A number beside its name; `wait` when it asks for the person. */
  count?(): { number: number; wait?: boolean };
  /** Take the focus. */
  focus?(): void;
}

/** What a part may ask of the view in which it stands. */
export interface Frame {
  readonly store: Store;
  readonly filter: Filter;
  /** Ends when the view is closed. */
  readonly signal: AbortSignal;
  /** Whether the part stands alone in its cell. */
  readonly alone: boolean;
  /** Draw again, soon. */
  redraw(): void;
  /** Draw a piece. What it throws is told above; the other pieces are drawn all the same. */
  attempt(piece: { draw(): void }): void;
  /** Carry a verb out; one that ends agents is asked about first. */
  act(verb: string, agent: string): void;
  /** Look at an agent: its tab of that name, if it is told. */
  look(agent: string, tab?: string): void;
  /** Bring a part of the dock to the front. */
  open(part: string): void;
}
