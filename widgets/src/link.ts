// One model's line to the kernel: signs of life, verbs under way, questions. The protocol
// is written down in docs/widgets.md.

import { insist } from "./detour";
import { send, type Listener, type Model } from "./library";
import type { News } from "./topics";

export type LinkState = "connecting" | "live" | "cut";
type Given = Record<string, unknown>;

/** Silence after which the kernel counts as gone: three heartbeats. */
export const SILENCE = 15_000;
/** How long a verb may go unacknowledged before that is said. */
export const PATIENCE = 3_000;
/** How long an answer may take, unless the kernel says that it reads for it. */
export const ANSWER = 30_000;
const UNANSWERED = "the kernel has not answered";

interface Waiting {
  timer: ReturnType<typeof setTimeout>;
  agent: string;
  done(error: string, data?: unknown): void;
  reading?: Reading | undefined;
}
/** Hears how much of the ledger is read for an answer that takes long; says whether it is still wanted. */
export type Reading = (read: number, of: number) => boolean;

export class Link {
  state: LinkState = "connecting";
  heard: Date | null = null;
  /** Seconds that the kernel's clock is ahead of this page's. */
  ahead = 0;
  /** How many messages of news came. */
  told = 0;
  /** Two pages may share one model. */
  readonly page = Math.random().toString(36).slice(2, 10);

  private waiting = new Map<string, Waiting>();
  private unheard = new Set<string>();
  private silence: ReturnType<typeof setTimeout> | undefined;
  private asked = 0;

  /** `news` hears of topics, `beat` how many changes of each there were; `changed` of all else. */
  constructor(
    private model: Model,
    signal: AbortSignal,
    private on: { news(news: News[]): void; beat(seqs: Record<string, number>): void; changed(): void },
  ) {
    const listener: Listener = (message) => this.receive(message);
    model.on("msg:custom", listener);
    signal.addEventListener("abort", () => {
      model.off("msg:custom", listener);
      clearTimeout(this.silence);
      for (const { timer } of this.waiting.values()) clearTimeout(timer);
    });
    this.listen();
    this.send({ op: "hello" });
  }

  send(content: { op: string } & Given): boolean {
    return send(this.model, content);
  }

  /** Ask the kernel for a verb; how it ended: nothing, or why it was not done. */
  act(verb: string, agent: string, given: Given, unanswered: string): Promise<string> {
    return new Promise((ended) => {
      const id = this.wait(agent, PATIENCE, unanswered, ended);
      if (!this.send({ op: "act", id, verb, agent, given })) this.finish(id, "the kernel is not connected");
      else if (!Object.keys(given).length) insist(this.model, () => this.unheard.has(id), id, verb, agent);
    });
  }

  /** Ask a part for something once. Rejects with what the kernel says, or when it is no longer wanted. */
  ask<T>(topic: string, what: string, given: Given, reading?: Reading): Promise<T> {
    return this.question({ op: "ask", topic, what, given }, reading);
  }

  /** Ask what a notebook shall keep of the view. */
  keep<T>(): Promise<T> {
    return this.question({ op: "keep" });
  }

  /** Whether a verb for this agent is under way. */
  busy(agent: string): boolean {
    return [...this.waiting.values()].some((each) => each.agent === agent);
  }

  private question<T>(content: { op: string } & Given, reading?: Reading): Promise<T> {
    return new Promise((answered, failed) => {
      const done = (error: string, data: unknown) => (error ? failed(new Error(error)) : answered(data as T));
      const id = this.wait("", ANSWER, UNANSWERED, done, reading);
      if (!this.send({ ...content, id })) this.finish(id, "the kernel is not connected");
    });
  }

  private wait(agent: string, most: number, unanswered: string, done: Waiting["done"], reading?: Reading): string {
    const id = `${this.page}.${++this.asked}`;
    this.unheard.add(id);
    this.waiting.set(id, { agent, done, reading, timer: setTimeout(() => this.finish(id, unanswered), most) });
    return id;
  }

  private receive(message: Parameters<Listener>[0]): void {
    this.listen();
    this.state = "live";
    this.heard = new Date();
    switch (message.k) {
      case "news":
        this.told++;
        this.on.news(message.t as News[]);
        break;
      case "hb":
        this.ahead = typeof message.now === "number" ? message.now - Date.now() / 1000 : 0;
        this.on.beat(message.s as Record<string, number>);
        break;
      case "ack":
        this.unheard.delete(message.id as string);
        clearTimeout(this.waiting.get(message.id as string)?.timer);
        break;
      case "reading":
        this.read(message.id as string, message.read as number, message.of as number);
        break;
      case "done":
      case "answer":
        this.finish(message.id as string, (message.error as string | null) ?? "", message.data);
    }
    this.on.changed();
  }

  /** The kernel reads for an answer: wait on, or say that nobody does. */
  private read(id: string, read: number, of: number): void {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    waiting.timer = setTimeout(() => this.finish(id, UNANSWERED), ANSWER);
    if (waiting.reading?.(read, of) !== false) return;
    this.send({ op: "drop", id });
    this.finish(id, "nobody waits for it any more");
  }

  private finish(id: string, error: string, data?: unknown): void {
    const waiting = this.waiting.get(id);
    if (!waiting) return; // asked on another page, or given up here
    clearTimeout(waiting.timer);
    this.waiting.delete(id);
    this.unheard.delete(id);
    waiting.done(error, data);
    this.on.changed();
  }

  private listen(): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => {
      this.state = "cut";
      this.on.changed();
    }, SILENCE);
  }
}
