import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Cell, Notebook } from "../src/library";
import { REST } from "../src/saved";
import { row, run, shown } from "./model";

const WIDGET = "application/vnd.jupyter.widget-view+json";

/** A notebook of two outputs, of which the second is ours: what is shown, and what would be saved. */
class Page implements Notebook {
  slots = new Set<(sender: unknown, state: string) => void>();
  shows: { data?: Record<string, unknown> }[] = ["another", "ours"].map((model_id) => ({ data: { [WIDGET]: { model_id } } }));
  keeps = this.shows.map(({ data }) => new Map<string, unknown>([["data", data]]));
  saveState = {
    connect: (slot: (sender: unknown, state: string) => void) => void this.slots.add(slot),
    disconnect: (slot: (sender: unknown, state: string) => void) => void this.slots.delete(slot),
  };
  get model() {
    const { shows, keeps } = this;
    const outputs = { length: shows.length, get: (at: number) => shows[at]!, set: (at: number, made: object) => void (shows[at] = made) };
    const cell: Cell = { outputs, sharedModel: { ymodel: { get: () => ({ get: (at: number) => keeps[at]! }) } } };
    return { cells: [{}, cell] };
  }
  save() {
    for (const slot of this.slots) slot(null, "started");
  }
  saved = () => this.keeps.map((each) => (each.get("data") as Record<string, string>)["text/plain"]);
}

let page: Page;
let made: ReturnType<typeof shown>;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  page = new Page();
  made = shown(run(row("api")), { context: page });
});
afterEach(() => {
  made.end();
  document.body.replaceChildren();
  vi.useRealTimers();
});

let seq = 0;
const news = (state = "busy") => made.model.rows(++seq, [row("api", null, 0, { state })]);
const after = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const answer = (text: string) => {
  const { id } = made.model.ops("keep").at(-1)!;
  made.model.tell({ k: "answer", id, data: { model: "ours", data: { "text/plain": text } } });
  return after(0);
};

test("what is saved is written in our own output, and what is shown stays", async () => {
  news();
  await after(REST[0]);
  await answer("api busy");
  page.save();

  expect(page.saved()).toEqual([undefined, "api busy"]);
  expect(page.shows[1]!.data).toEqual({ [WIDGET]: { model_id: "ours" } });
});

test("it asks after news alone, and not more often than every ten seconds", async () => {
  await after(REST[1]);
  expect(made.model.ops("keep")).toHaveLength(0);
  for (let at = 0; at < 20; at++) {
    news();
    await after(1_000);
    if (made.model.ops("keep").length) await answer("api busy");
  }

  expect(made.model.ops("keep")).toHaveLength(2);
});

test("at the end of the run the view gives way, and what another shows stays", async () => {
  made.model.change("rows", ++seq, { set: { closed: true } });
  await after(0);
  await answer("api stopped");

  expect(page.shows.map(({ data }) => data!["text/plain"])).toEqual([undefined, "api stopped"]);
  expect(page.shows[1]!.data).not.toHaveProperty(WIDGET);
});

test("a view that ended leaves nothing behind", async () => {
  made.end();
  expect(page.slots.size).toBe(0);
});
