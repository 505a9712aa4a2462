// A small true fake of the model: what the kernel sends reaches the listeners, what the
// view sends is kept.

import widget from "../src/widget";
import type { Kernel, Listener, Model, Notebook } from "../src/library";
import type { Row, Rows } from "../src/store";
import type { Change, Data } from "../src/topics";

type Sent = { op: string; id?: string; topics?: string[]; [more: string]: unknown };

export class FakeModel implements Model {
  sent: Sent[] = [];
  private listeners = new Set<Listener>();

  constructor(
    private traits: Record<string, unknown>,
    public widget_manager?: Model["widget_manager"],
  ) {}

  get(key: string) {
    return this.traits[key];
  }
  on(_event: "msg:custom", listener: Listener) {
    this.listeners.add(listener);
  }
  off(_event: "msg:custom", listener: Listener) {
    this.listeners.delete(listener);
  }
  send(content: unknown) {
    this.sent.push(content as Sent);
  }

  /** What the kernel sends. */
  tell(message: { k: string; [more: string]: unknown }) {
    for (const listener of [...this.listeners]) listener(message);
  }
  /** A change of one topic. */
  change(t: string, s: number, d: Change) {
    this.tell({ k: "news", t: [{ t, s, d }] });
  }
  /** All of one topic. */
  whole(t: string, s: number, snap: Data) {
    this.tell({ k: "news", t: [{ t, s, snap }] });
  }
  /** A change of these agents, and their order when it is another one. */
  rows(s: number, u: Row[], order?: string[]) {
    const list = order ? { u: u as unknown as Data[], order } : { u: u as unknown as Data[] };
    this.change("rows", s, { lists: { rows: list }, key: { rows: "name" } });
  }
  /** A heartbeat. */
  beat(s: Record<string, number> = { rows: 0 }) {
    this.tell({ k: "hb", s });
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
    ...{ tokens: 10, reason: "", held: false, since: null, limit_usd: null, limit_used: 0 },
    ...{ short: "", nearly: "" },
    ...{ can: MAY[more.state ?? "idle"] ?? ["stop"] },
    ...more,
  };
}

/** What a CLI that can do all is offered. */
const MAY: Record<string, string[]> = {
  ...{ busy: ["stop", "interrupt"], waiting: ["stop", "interrupt"], idle: ["stop", "suspend"] },
  ...{ suspended: ["stop", "resume"], stopped: [], failed: [] },
};

export function run(...rows: Row[]): Rows {
  const lines: Rows["lines"] = [
    ["One agent", "%madrox spawn lead --role architect"],
    ["Try it without a key", "%madrox spawn lead --harness rehearsal"],
  ];
  return { title: "checkout-refunds", rows, lines: rows.length ? [] : lines, limit_usd: null, opened: null, closed: false };
}

interface Shown {
  shows?: string;
  agent?: string;
  connected?: boolean;
  topics?: Record<string, Data>;
  kernel?: Kernel;
  context?: Notebook;
}

/** A model with one view of it, connected unless told otherwise. */
export function shown(rows: Rows, { shows = "tree", agent = "", connected = true, topics = {}, kernel, context }: Shown = {}) {
  const told = Object.entries({ rows, ...topics }).map(([t, snap]) => ({ t, s: 0, snap }));
  const model = new FakeModel({ _snap: { t: told }, _shows: shows, _agent: agent, _key: "abc123" }, kernel || context ? { kernel, context } : undefined);
  const life = new AbortController();
  const made = widget();
  made.initialize({ model, signal: life.signal });
  const view = () => {
    const el = document.createElement("div");
    document.body.append(el);
    const seen = new AbortController();
    made.render({ model, el, signal: AbortSignal.any([life.signal, seen.signal]) });
    return { el, close: () => seen.abort() };
  };
  const { el, close } = view();
  if (connected) model.beat(Object.fromEntries(told.map(({ t }) => [t, 0])));
  return { model, el, close, view, end: () => life.abort() };
}

/** The next frame is drawn. */
export const drawn = () => new Promise((done) => requestAnimationFrame(done));
