// What one model knows: the rows, the link to the kernel, the verbs under way. One store
// per model, made in `initialize`, so that all views of it agree and none misses a
// message that came before it was drawn. The protocol stands in madrox_nb/widgets.py.

export interface Row {
  name: string;
  parent: string | null;
  depth: number;
  state: string;
  stalled: boolean;
  role: string;
  harness: string;
  model: string | null;
  permissions: string;
  now: string;
  queued: number;
  unread: number;
  own_usd: number | null; // null: unknown
  subtree_usd: number | null;
  subtree_exact: boolean;
  tokens: number;
  reason: string;
}

export interface Snapshot {
  s: number;
  title: string;
  rows: Row[];
  lines: [what: string, code: string][];
}

export type Message =
  | ({ k: "snap" } & Snapshot)
  | { k: "d"; s: number; u: Row[]; gone?: string[]; order?: string[] }
  | { k: "hb"; s: number }
  | { k: "ack"; id: string }
  | { k: "done"; id: string; error: string | null }
  | { k: "error"; text: string };

/** The part of anywidget's model that we use. */
export interface Model {
  get(key: "_snap"): unknown;
  on(event: "msg:custom", listener: (message: Message) => void): void;
  off(event: "msg:custom", listener: (message: Message) => void): void;
  send(content: unknown): void;
}

export type Verb = "interrupt" | "stop";
export type Link = "connecting" | "live" | "cut";

/** Silence after which the kernel counts as gone: three heartbeats. */
export const SILENCE = 15_000;
/** How long a verb may go unacknowledged before that is said. */
export const PATIENCE = 3_000;

interface Pending {
  verb: Verb;
  agent: string;
  timer: ReturnType<typeof setTimeout>;
}

export class Store {
  title = "";
  lines: Snapshot["lines"] = [];
  rows: Row[] = [];
  children = new Map<string | null, string[]>();
  link: Link = "connecting";
  heard: Date | null = null;
  /** Why the picture could not be drawn. */
  error = "";
  /** Why the last verb was not carried out. */
  refused = "";

  private seq = 0;
  private stale = false; // a delta was missed, and the snapshot that mends it is not here yet
  private byName = new Map<string, Row>();
  private pending = new Map<string, Pending>();
  private listeners = new Set<() => void>();
  private silence: ReturnType<typeof setTimeout> | undefined;
  private page = Math.random().toString(36).slice(2, 10); // two pages may share one model
  private asked = 0;

  constructor(
    private model: Model,
    signal: AbortSignal,
  ) {
    const listener = (message: Message) => this.receive(message);
    model.on("msg:custom", listener);
    signal.addEventListener("abort", () => {
      model.off("msg:custom", listener);
      clearTimeout(this.silence);
      for (const { timer } of this.pending.values()) clearTimeout(timer);
    });
    const saved = model.get("_snap") as Partial<Snapshot> | undefined;
    if (saved?.rows) this.load(saved as Snapshot);
    this.listen();
    this.send({ op: "hello" });
  }

  get(name: string): Row | undefined {
    return this.byName.get(name);
  }

  /** Call `listener` after every change, until `signal` ends it. */
  subscribe(listener: () => void, signal: AbortSignal): void {
    this.listeners.add(listener);
    signal.addEventListener("abort", () => this.listeners.delete(listener));
  }

  /** Everyone below `name`. */
  below(name: string): Row[] {
    const rows: Row[] = [];
    for (const child of this.children.get(name) ?? []) rows.push(this.byName.get(child)!, ...this.below(child));
    return rows;
  }

  /** Ask the kernel for a verb. What becomes of it is told in `busy` and `refused`. */
  act(verb: Verb, agent: string): void {
    const id = `${this.page}.${++this.asked}`;
    const timer = setTimeout(() => this.finish(id, unanswered(verb, agent)), PATIENCE);
    this.pending.set(id, { verb, agent, timer });
    this.refused = "";
    if (!this.send({ op: "act", id, verb, agent })) this.finish(id, "the kernel is not connected");
    this.changed();
  }

  /** Whether a verb for this agent is under way. */
  busy(agent: string): boolean {
    return [...this.pending.values()].some((pending) => pending.agent === agent);
  }

  dismiss(): void {
    this.refused = "";
    this.changed();
  }

  resync(): void {
    this.send({ op: "resync" });
  }

  private receive(message: Message): void {
    this.listen();
    this.link = "live";
    this.heard = new Date();
    switch (message.k) {
      case "snap":
        this.load(message);
        break;
      case "d":
        this.apply(message);
        break;
      case "hb":
        if (this.stale || message.s !== this.seq) this.resync();
        break;
      case "ack":
        clearTimeout(this.pending.get(message.id)?.timer);
        break;
      case "done":
        this.finish(message.id, message.error ?? "");
        break;
      case "error":
        this.error = message.text;
    }
    this.changed();
  }

  private load(snapshot: Snapshot): void {
    this.seq = snapshot.s;
    this.stale = false;
    this.title = snapshot.title;
    this.lines = snapshot.lines;
    this.byName = new Map(snapshot.rows.map((row) => [row.name, row]));
    this.arrange(snapshot.rows.map((row) => row.name));
    this.error = "";
  }

  /** Rows are absolute: after a gap they are still true, only not all there is to know. */
  private apply(delta: Extract<Message, { k: "d" }>): void {
    if (delta.s <= this.seq) return; // the snapshot knew it already
    if (delta.s !== this.seq + 1 && !this.stale) {
      this.stale = true;
      this.resync();
    }
    this.seq = delta.s;
    for (const row of delta.u) this.byName.set(row.name, row);
    for (const name of delta.gone ?? []) this.byName.delete(name);
    this.arrange(delta.order ?? [...this.byName.keys()]);
    this.error = "";
  }

  private arrange(order: string[]): void {
    const rows = order.flatMap((name) => this.byName.get(name) ?? []);
    this.byName = new Map(rows.map((row) => [row.name, row]));
    this.rows = rows;
    this.children = new Map();
    for (const { name, parent } of rows) {
      const siblings = this.children.get(parent);
      if (siblings) siblings.push(name);
      else this.children.set(parent, [name]);
    }
  }

  private finish(id: string, error: string): void {
    const pending = this.pending.get(id);
    if (!pending) return; // asked on another page, or given up here
    clearTimeout(pending.timer);
    this.pending.delete(id);
    if (error) this.refused = `${pending.agent} was not ${DONE[pending.verb]}: ${error}`;
    this.changed();
  }

  private listen(): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => {
      this.link = "cut";
      this.changed();
    }, SILENCE);
  }

  /** Whether it could be sent; a model restored from a file has nobody to send to. */
  private send(content: unknown): boolean {
    try {
      this.model.send(content);
      return true;
    } catch {
      return false;
    }
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }
}

const DONE: Record<Verb, string> = { interrupt: "interrupted", stop: "stopped" };

function unanswered(verb: Verb, agent: string): string {
  return `the kernel has not answered yet. It may still do it; if not, run %madrox ${verb} ${agent}`;
}
