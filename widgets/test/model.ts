// A small true fake of the model: what the kernel sends reaches the listeners, what the
// view sends is kept.

import tree from "../src/tree";
import type { Message, Model, Row, Snapshot } from "../src/store";

export class FakeModel implements Model {
  sent: { op: string; id?: string; verb?: string; agent?: string }[] = [];
  private listeners = new Set<(message: Message) => void>();

  constructor(private snap: Partial<Snapshot>) {}

  get() {
    return this.snap;
  }
  on(_event: "msg:custom", listener: (message: Message) => void) {
    this.listeners.add(listener);
  }
  off(_event: "msg:custom", listener: (message: Message) => void) {
    this.listeners.delete(listener);
  }
  send(content: unknown) {
    this.sent.push(content as { op: string });
  }

  /** What the kernel sends. */
  tell(message: Message) {
    for (const listener of this.listeners) listener(message);
  }
  ops(op: string) {
    return this.sent.filter((content) => content.op === op);
  }
  get heard() {
    return this.listeners.size;
  }
}

export function row(name: string, parent: string | null = null, depth = 0, more: Partial<Row> = {}): Row {
  return {
    ...{ name, parent, depth, state: "idle", stalled: false, role: "general", harness: "claude", model: "sonnet" },
    ...{ permissions: "edits", now: "", queued: 0, unread: 0, own_usd: 1, subtree_usd: 1, subtree_exact: true },
    ...{ tokens: 10, reason: "" },
    ...more,
  };
}

export function snapshot(...rows: Row[]): Snapshot {
  const lines: Snapshot["lines"] = [
    ["One agent", "%madrox spawn lead --role architect"],
    ["Try it without a key", "%madrox spawn lead --harness rehearsal"],
  ];
  return { s: 0, title: "checkout-refunds", rows, lines: rows.length ? [] : lines };
}

/** A model with one view of it, connected unless told otherwise. */
export function shown(snap: Partial<Snapshot>, connected = true) {
  const model = new FakeModel(snap);
  const life = new AbortController();
  const widget = tree();
  widget.initialize({ model, signal: life.signal });
  const view = () => {
    const el = document.createElement("div");
    document.body.append(el);
    const seen = new AbortController();
    widget.render({ model, el, signal: AbortSignal.any([life.signal, seen.signal]) });
    return { el, close: () => seen.abort() };
  };
  const { el, close } = view();
  if (connected) model.tell({ k: "hb", s: 0 });
  return { model, el, close, view, end: () => life.abort() };
}

/** The next frame is drawn. */
export const drawn = () => new Promise((done) => requestAnimationFrame(done));
