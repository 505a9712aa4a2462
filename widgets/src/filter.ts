// Which agents are shown: those that fit, and those above them, so that each keeps its place.

import { look } from "./format";
import type { Row, Store } from "./store";

type Facet = "states" | "roles" | "harnesses";

export class Filter {
  text = "";
  readonly states = new Set<string>();
  readonly roles = new Set<string>();
  readonly harnesses = new Set<string>();

  get on(): boolean {
    return !!(this.text || this.states.size || this.roles.size || this.harnesses.size);
  }

  /** The same for the same filter. */
  get key(): string {
    return JSON.stringify([this.text, ...[this.states, this.roles, this.harnesses].map((facet) => [...facet])]);
  }

  toggle(facet: Facet, value: string): void {
    if (!this[facet].delete(value)) this[facet].add(value);
  }

  clear(): void {
    this.text = "";
    for (const facet of [this.states, this.roles, this.harnesses]) facet.clear();
  }

  fits(row: Row): boolean {
    const within = (wanted: Set<string>, value: string) => !wanted.size || wanted.has(value);
    const words = `${row.name} ${row.role} ${row.harness} ${row.model ?? ""} ${row.now}`.toLowerCase();
    const state = this.states.has("stalled") && look(row) === "stalled" ? "stalled" : row.state;
    return (
      within(this.states, state) &&
      within(this.roles, row.role) &&
      within(this.harnesses, row.harness) &&
      words.includes(this.text.toLowerCase().trim())
    );
  }

  /** Whether it is only shown because it stands above one that fits. */
  passes(row: Row): boolean {
    return this.on && !this.fits(row);
  }

  /** The rows that fit and all above them, in tree order. */
  of(store: Store): Row[] {
    if (!this.on) return store.rows;
    const kept = new Set<string>();
    for (const row of store.rows) {
      if (!this.fits(row)) continue;
      for (let at: Row | undefined = row; at && !kept.has(at.name); at = store.get(at.parent ?? "")) kept.add(at.name);
    }
    return store.rows.filter((row) => kept.has(row.name));
  }
}
