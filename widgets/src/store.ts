// What one model knows. One store per model, made in `initialize`, so that all views of
// it agree and none misses a message that came before it was drawn.

import { library as fetched, type Model } from "./library";
import { FLAG, line } from "./line";
import { Link, type Reading } from "./link";
import { Topic, type Data, type News } from "./topics";

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
  held: boolean;
  since: number | null;
  limit_usd: number | null;
  limit_used: number;
  /** `reason` in a few words. */
  short: string;
  /** `96 % of $2.00`, once most of a limit that stands on it is used. */
  nearly: string;
  /** The verbs that its state and its CLI allow now. */
  can: string[];
}

/** The topic `rows`. */
export interface Rows extends Data {
  title: string;
  rows: Row[];
  lines: [what: string, code: string][];
  limit_usd: number | null;
  opened: number | null;
  closed: boolean;
}

const NOTHING: Rows = { title: "", rows: [], lines: [], limit_usd: null, opened: null, closed: false };

export class Store {
  readonly link: Link;
  /** Why the last verb was not carried out. */
  refused = "";
  /** The agent that is looked at; empty while there is none. */
  selected = "";
  /** The entry of the ledger that is looked at instead of the present. */
  at: number | null = null;
  /** When that was, as soon as it is here. */
  when: number | null = null;
  /** How many of how many events are read for it, when that takes long. */
  reading: { read: number; of: number } | null = null;
  children = new Map<string | null, string[]>();
  /** Another number once somebody came, went or stands elsewhere. */
  shape = 0;

  private topics = new Map<string, Topic>();
  private past = new Map<string, Data>();
  private byName = new Map<string, Row>();
  private arranged: Row[] | undefined;
  private wants = new Map<object, string[]>();
  private wanted = "";
  private moving = false;
  private listeners = new Set<() => void>();

  constructor(
    private model: Model,
    private signal: AbortSignal,
  ) {
    const saved = model.get("_snap") as { t?: News[] } | undefined;
    for (const news of saved?.t ?? []) this.topic(news.t).hear(news);
    this.selected = String(model.get("_agent") ?? "");
    this.link = new Link(model, signal, {
      news: (news) => this.hear(news),
      beat: (seqs) => this.beat(seqs),
      changed: () => this.changed(),
    });
  }

  /** What this widget shows: the dashboard, or the name of a part. */
  get shows(): string {
    return String(this.model.get("_shows") || "dashboard");
  }

  // topics

  /** What is known of a topic: of the present, or of the moment that is looked at. */
  data<T extends object>(topic: string): T | undefined {
    const present = this.at === null || !this.past.size || WHOLE.includes(topic);
    return (present ? this.topics.get(topic)?.data : this.past.get(topic)) as T | undefined;
  }

  /** Why a topic can't be shown. */
  error(topic: string): string {
    return this.topics.get(topic)?.error ?? "";
  }

  /** From now on this view wants these topics, and no others. */
  want(view: object, topics: string[]): void {
    if (topics.length) this.wants.set(view, topics);
    else this.wants.delete(view);
    const wanted = [...new Set([...this.wants.values()].flat())].sort();
    if (wanted.join() === this.wanted) return;
    this.wanted = wanted.join();
    this.link.send({ op: "want", page: this.link.page, topics: wanted });
    if (this.at !== null) void this.look();
  }

  resync(): void {
    this.link.send({ op: "resync", topics: [...this.topics.keys()] });
  }

  private topic(name: string): Topic {
    const known = this.topics.get(name) ?? new Topic();
    this.topics.set(name, known);
    return known;
  }

  private hear(news: News[]): void {
    const lacking = news.filter((each) => this.topic(each.t).hear(each)).map((each) => each.t);
    if (lacking.length) this.link.send({ op: "resync", topics: lacking });
  }

  private beat(seqs: Record<string, number> = {}): void {
    const lacking = [...this.topics].filter(([name, topic]) => topic.beat(seqs[name])).map(([name]) => name);
    if (lacking.length) this.link.send({ op: "resync", topics: lacking });
    const wanted = this.wanted ? this.wanted.split(",") : [];
    // a kernel that has forgotten this page, or never heard it, is told again
    if (wanted.some((name) => !(name in seqs))) this.link.send({ op: "want", page: this.link.page, topics: wanted });
  }

  // agents

  get run(): Rows {
    return this.data<Rows>("rows") ?? NOTHING;
  }

  /** The same of now, while the past is looked at. */
  get present(): Rows {
    return (this.topics.get("rows")?.data as Rows | undefined) ?? NOTHING;
  }

  get rows(): Row[] {
    this.arrange();
    return this.arranged!;
  }

  get(name: string): Row | undefined {
    this.arrange();
    return this.byName.get(name);
  }

  /** Everyone below `name`. */
  below(name: string): Row[] {
    const rows: Row[] = [];
    for (const child of this.children.get(name) ?? []) rows.push(this.get(child)!, ...this.below(child));
    return rows;
  }

  /** The agent that is looked at: the one that was chosen, else the first. */
  get current(): Row | undefined {
    return this.get(this.selected) ?? this.rows[0];
  }

  select(name: string): void {
    this.selected = name;
    this.changed();
  }

  private arrange(): void {
    const { rows } = this.run;
    if (rows === this.arranged) return;
    const before = this.arranged ?? [];
    this.arranged = rows;
    if (rows.length !== before.length || rows.some((row, at) => !stands(row, before[at]!))) this.shape++;
    this.byName = new Map(rows.map((row) => [row.name, row]));
    this.children = new Map();
    for (const { name, parent } of rows) {
      const siblings = this.children.get(parent);
      if (siblings) siblings.push(name);
      else this.children.set(parent, [name]);
    }
  }

  // verbs and questions

  /** Whether verbs make sense now: the kernel is there, and it is the present that is shown. */
  get acts(): boolean {
    return this.link.state === "live" && this.at === null;
  }

  /** Ask the kernel for a verb. A refusal is told in `refused`. */
  async act(verb: string, agent: string, given: Record<string, string> = {}): Promise<void> {
    this.refused = "";
    this.changed();
    const error = await this.tell(verb, agent, given);
    if (error) this.refused = `${agent || "Nothing"} was not ${DONE[verb] ?? `asked to ${verb}`}: ${error}`;
    this.changed();
  }

  /** The same for a form, which tells itself why it was refused; empty when it was not. */
  async tell(verb: string, agent: string, given: Record<string, string> = {}, line = lineFor(verb, agent)): Promise<string> {
    const unanswered = `the kernel has not answered yet. It may still do it; if not, run ${line}`;
    const ended = this.link.act(verb, agent, given, unanswered);
    this.changed();
    return ended;
  }

  ask<T>(topic: string, what: string, given: Record<string, unknown> = {}, reading?: Reading): Promise<T> {
    return this.link.ask<T>(topic, what, given, reading);
  }

  library<T>(name: string): Promise<T> {
    return fetched<T>(this.model, name, this.signal);
  }

  dismiss(): void {
    this.refuse("");
  }

  /** Say in the strip what did not happen. */
  refuse(said: string): void {
    this.refused = said;
    this.changed();
  }

  // the past

  /** Look at the run as it was at an entry of its ledger; null is the present. */
  go(at: number | null): void {
    if (at === this.at) return;
    this.at = at;
    if (at !== null) void this.look();
    else [this.past, this.when] = [new Map(), null];
    this.changed();
  }

  /**
   * Ask for the moment that is wanted. While one is on its way the next waits, and the newest wins; one for
   * which the kernel has to read for long is given up when another is wanted, or the present.
   */
  private async look(): Promise<void> {
    if (this.moving || this.at === null) return;
    this.moving = true;
    const { at, wanted } = this;
    const topics = ["rows", ...this.wanted.split(",").filter((name) => name && name !== "rows")];
    const reading: Reading = (read, of) => {
      this.reading = this.at === at ? { read, of } : null;
      return this.at === at;
    };
    try {
      const told = await this.ask<{ now: number; topics: Record<string, Data> }>("slider", "at", { at, topics }, reading);
      if (this.at !== null) [this.past, this.when] = [new Map(Object.entries(told.topics)), told.now];
    } catch (failure) {
      if (this.at === at) this.refused = `The past can't be shown: ${(failure as Error).message}`;
      if (this.at === at) this.go(null);
    }
    [this.moving, this.reading] = [false, null];
    if (this.at !== null && (this.at !== at || this.wanted !== wanted)) void this.look();
    this.changed();
  }

  // who listens

  /** Call `listener` after every change, until `signal` ends it. */
  subscribe(listener: () => void, signal: AbortSignal): void {
    this.listeners.add(listener);
    signal.addEventListener("abort", () => this.listeners.delete(listener));
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }
}

function stands(row: Row, before: Row): boolean {
  return row === before || (row.name === before.name && row.parent === before.parent);
}

/** Topics that show the whole run, whatever moment of it is looked at. */
const WHOLE = ["timeline", "slider"];

/** The line that carries a verb out on one agent, or on all. */
export const lineFor = (verb: string, agent: string) => {
  if (verb === "stop" || verb === "stop_all") return line("stop", [agent], { [agent ? "tree" : "all"]: FLAG, force: FLAG });
  return line(verb, [agent]);
};

const DONE: Record<string, string> = {
  ...{ interrupt: "interrupted", stop: "stopped", suspend: "suspended", resume: "resumed", stop_all: "stopped" },
};
