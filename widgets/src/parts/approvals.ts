// What agents ask to be allowed. The effect first; then allow once, always for …, and apart: deny.
// What is looked at stays in place until one looks at another: no answer ever falls on a
// request that has slipped under the hand.

import { drawEffect, sums, type Effect } from "../effect";
import { attribute, button, h, text } from "../element";
import { sentence, some, span } from "../format";
import type { Frame, Part } from "../frame";
import { glyph, icon } from "../glyphs";
import { now } from "../head";
import { line } from "../line";
import { menu, type Choice } from "../menu";
import type { Data } from "../topics";
import { Policy } from "./policy";

export interface Request {
  id: string;
  agent: string;
  turn: string;
  tool: string;
  kind: "edit" | "run" | "use";
  what: string;
  asked: number;
  times: number;
  came: "open" | "allowed" | "denied" | "late" | "gone";
  words: string;
  why: string;
  /** Who answered. */
  by: string;
}

export interface Told extends Data {
  open: Request[];
  open_more: number;
  answered: Request[];
}

const ASKS = { edit: "asks to edit", run: "asks to run a command with", use: "asks to use" };
/** Effects that a page remembers. */
const KEPT = 20;
const SIGNS = { allowed: "check", denied: "cross", late: "clock", gone: "off" } as const;

export class Approvals implements Part {
  readonly element: HTMLElement;
  private list = h("div", { class: "inbox", role: "listbox", "aria-label": "Approvals", tabindex: 0 });
  private detail = h("div", { class: "req" });
  private none = h("p", { class: "mx-soon mx-2" });
  private what = h("div", { class: "what" });
  private effect = h("div", { class: "eff" });
  private error = h("div", { class: "mx-err", role: "alert", hidden: true });
  private acts = h("div", { class: "mx-acts" });
  private policy: Policy;
  private why = h("input", { type: "text", "aria-label": "Why not", placeholder: "Why not? The agent is told." });
  /** Which request is looked at. */
  private at = "";
  private denying = "";
  private answering = "";
  /** Ends when the buttons are made anew. */
  private drawn = new AbortController();
  private effects = new Map<string, Effect | string | undefined>();
  private shown = { list: "", what: "", acts: "" };

  constructor(private frame: Frame) {
    this.policy = new Policy(frame, () => this.acts.querySelector<HTMLElement>('[data-act="always"]')?.focus());
    this.element = h("div", { class: "mx-appr" }, this.list, this.detail);
    this.list.addEventListener("keydown", (event) => this.walk(event), { signal: frame.signal });
    this.why.addEventListener("keydown", (event) => this.typed(event), { signal: frame.signal });
  }

  topics(): string[] {
    return ["rows", "approvals"];
  }

  count() {
    const agents = this.frame.store.rows.filter((row) => row.state === "waiting").length;
    const told = this.element.isConnected ? this.frame.store.data<Told>("approvals") : undefined; // else it is not kept up
    return { number: told ? told.open.length + told.open_more : agents, wait: true };
  }

  focus(): void {
    this.list.focus();
  }

  draw(): void {
    const told = this.frame.store.data<Told>("approvals");
    const all = told ? [...told.open, ...told.answered] : [];
    if (!all.some((each) => each.id === this.at)) this.at = told?.open[0]?.id ?? all[0]?.id ?? "";
    this.drawList(told);
    const request = all.find((each) => each.id === this.at);
    this.drawRequest(request, told);
  }

  // the list

  private drawList(told: Told | undefined): void {
    const time = now(this.frame);
    const key = JSON.stringify([told, this.at, told?.open.map((each) => span(time - each.asked))]);
    if (key === this.shown.list) return;
    this.shown.list = key;
    const group = (title: string) => h("div", { class: "grp", role: "presentation" }, title);
    const { open = [], answered = [], open_more: more = 0 } = told ?? {};
    this.list.replaceChildren(
      ...(open.length ? [group("Waiting for you"), ...open.map((each) => this.item(each, span(time - each.asked)))] : []),
      ...(more ? [group(`${more} more wait`)] : []),
      ...(answered.length ? [group("Answered"), ...answered.map((each) => this.item(each, each.words))] : []),
    );
    attribute(this.list, "aria-activedescendant", this.at ? this.key(this.at) : null);
  }

  private item(each: Request, right: string): HTMLElement {
    const open = each.came === "open";
    const sign = each.came === "open" ? glyph("waiting", true) : icon(SIGNS[each.came]);
    const often = each.times > 1 ? (open ? `asked ${times(each.times)}` : `${each.times} times`) : "";
    const second = [each.what || each.tool, open ? "" : reason(each), often].filter(Boolean).join(" · ");
    const made = h(
      "div",
      { class: `it${open ? "" : " old"}`, role: "option", id: this.key(each.id), "aria-selected": String(each.id === this.at), "data-id": each.id },
      sign,
      h("span", { class: "mx-cut" }, h("b", { class: "mx-bold" }, each.agent), ` ${each.tool}`),
      h("span", { class: "mx-2 rt" }, right),
      h("span", { class: "l2 mx-cut", title: second }, second),
    );
    made.addEventListener("click", () => this.look(each.id));
    return made;
  }

  private key(id: string): string {
    return `${this.frame.store.link.page}-${id}`;
  }

  private look(id: string): void {
    if (id !== this.at) [this.denying, this.error.hidden] = ["", true];
    for (const [key, known] of this.effects) if (typeof known === "string") this.effects.delete(key); // ask again
    this.at = id;
    this.draw();
    this.list.querySelector('[aria-selected="true"]')?.scrollIntoView?.({ block: "nearest" });
  }

  private walk(event: KeyboardEvent): void {
    const ids = [...this.list.querySelectorAll<HTMLElement>("[data-id]")].map((each) => each.dataset.id!);
    const at = ids.indexOf(this.at);
    const to = { ArrowDown: at + 1, ArrowUp: Math.max(0, at - 1), Home: 0, End: ids.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const id = ids[Math.min(to, ids.length - 1)];
    if (id) this.look(id);
  }

  // one request

  private drawRequest(request: Request | undefined, told: Told | undefined): void {
    if (!request) {
      text(this.none, told ? "Nothing was asked yet. What agents may do unasked is said by their permissions." : "Reading the requests.");
      if (this.detail.firstElementChild !== this.none) this.detail.replaceChildren(this.none);
      return;
    }
    if (this.detail.firstElementChild !== this.what) this.detail.replaceChildren(this.what, this.effect, this.error, this.policy.element, this.acts);
    this.policy.keep(request.came === "open" ? request.id : "");
    this.drawWhat(request);
    this.drawActs(request, told!);
  }

  private drawWhat(request: Request): void {
    const found = this.know(request);
    const key = JSON.stringify([request.id, request.came, request.times, typeof found, !!found]);
    if (key === this.shown.what) return;
    this.shown.what = key;
    const object = request.kind === "edit" ? request.what : request.kind === "use" ? request.tool : "";
    const about = h("span", { class: "mx-sm mx-2 ids" }, ...(found && typeof found !== "string" ? sums(found) : []), `${request.id} · ${request.turn}`);
    this.what.replaceChildren(
      h("b", { class: "mx-bold" }, request.agent),
      h("span", {}, request.came === "open" ? ASKS[request.kind] : ASKS[request.kind].replace("asks", "asked")),
      h("code", { class: "mx-cut", title: object }, object || request.tool),
      h("span", { class: "mx-grow" }),
      about,
    );
    const drawn = typeof found === "object" ? drawEffect(found) : h("p", { class: "mx-soon mx-2" }, found ?? "Reading what it would do.");
    this.effect.replaceChildren(drawn);
  }

  /** What it would do; asked for once, and again when it is answered: then the file is another. */
  private know(request: Request): Effect | string | undefined {
    const key = `${request.id} ${request.came === "open"}`;
    if (!this.effects.has(key)) {
      if (this.effects.size >= KEPT) this.effects.delete([...this.effects.keys()][0]!);
      this.effects.set(key, undefined);
      const known = (told: Effect | string) => (this.effects.set(key, told), this.frame.redraw());
      this.frame.store.ask<Effect>("approvals", "effect", { id: request.id }).then(known, (failure: Error) => {
        known(`What it would do can't be shown: ${failure.message}`);
      });
    }
    return this.effects.get(key);
  }

  private drawActs(request: Request, told: Told): void {
    const { store } = this.frame;
    const off = !store.acts || this.answering === request.id;
    const denying = this.denying === request.id;
    const next = request.came === "open" ? undefined : told.open[0];
    const key = JSON.stringify([request.id, request.came, request.words, request.why, off, denying, next?.id, store.at]);
    if (key === this.shown.acts) return;
    this.shown.acts = key;
    this.drawn.abort();
    const held = this.acts.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset.act : undefined;
    if (request.came !== "open") this.acts.replaceChildren(...this.over(request, next));
    else if (denying) this.acts.replaceChildren(...this.reason(request, off));
    else this.acts.replaceChildren(...this.answers(request, off));
    // where the focus was the safe thing comes to stand: never an answer
    if (held) (this.acts.querySelector<HTMLElement>(`[data-act="${held}"]`) ?? this.acts.querySelector<HTMLElement>('[data-act="next"]') ?? this.list).focus();
  }

  private answers(request: Request, off: boolean): Node[] {
    const once = button("Allow once", "primary", { disabled: off, "data-act": "once" });
    const always = button("Always for …", "line", { disabled: off, "data-act": "always" });
    always.append(icon("down"));
    const deny = button("Deny…", "danger", { disabled: off, "data-act": "deny" });
    once.addEventListener("click", () => void this.answer(request, "approve"));
    deny.addEventListener("click", () => this.deny(request));
    const place = h("span", { class: "mx-always" }, h("span", {}, always));
    this.drawn = new AbortController();
    menu(always, "Allow always for", () => this.choices(request), AbortSignal.any([this.frame.signal, this.drawn.signal]));
    return [once, place, h("span", { class: "mx-grow" }), deny];
  }

  private choices(request: Request): Choice[] {
    const choice = (label: string, always: string, title?: string): Choice => ({
      ...{ label, title },
      pick: () => void this.answer(request, "approve", { always }),
    });
    const below = this.frame.store.children.get(request.agent)?.length;
    return [
      choice(`${request.tool} by ${request.agent}`, "agent", "Allow until this run ends, for"),
      choice(`${request.tool} by ${request.agent} and its subtree${below ? "" : " to come"}`, "subtree"),
      choice(`${request.tool} by anybody`, "tool"),
      { title: "From the next kernel on", label: "Write it as a policy…", pick: () => void this.policy.open(request.id) },
    ];
  }

  private reason(request: Request, off: boolean): Node[] {
    const field = h("label", { class: "mx-field mx-grow" }, this.why);
    const cancel = button("Cancel", "", { "data-act": "cancel" });
    const deny = button("Deny", "danger now", { disabled: off, "data-act": "deny" });
    cancel.addEventListener("click", () => this.stay());
    deny.addEventListener("click", () => void this.answer(request, "deny", { why: this.why.value.trim() }));
    return [field, cancel, deny];
  }

  private over(request: Request, next: Request | undefined): Node[] {
    const said = request.words.charAt(0).toUpperCase() + request.words.slice(1);
    const why = reason(request);
    const told = h("span", { class: "mx-grow mx-2" }, `${said || "Answered"}${why && `: ${why}`}`);
    if (!next || !this.frame.store.acts) return [told];
    const go = button("Next request", "line", { "data-act": "next" });
    go.addEventListener("click", () => (this.look(next.id), this.list.focus()));
    return [told, go];
  }

  private deny(request: Request): void {
    [this.denying, this.why.value] = [request.id, ""];
    this.draw();
    this.why.focus();
  }

  private stay(): void {
    this.denying = "";
    this.draw();
    this.acts.querySelector<HTMLElement>('[data-act="deny"]')?.focus();
  }

  private typed(event: KeyboardEvent): void {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    this.stay();
  }

  private async answer(request: Request, verb: "approve" | "deny", given: Record<string, string> = {}): Promise<void> {
    if (this.answering) return;
    [this.answering, this.error.hidden] = [request.id, true];
    this.draw();
    const said = Object.fromEntries(Object.entries(given).filter(([, value]) => value));
    const same = line(verb, [request.id], said);
    const error = await this.frame.store.tell(verb, "", { approval: request.id, ...said }, same);
    this.answering = "";
    if (error) {
      const what = verb === "approve" ? "Not allowed" : "Not denied";
      const kept = verb === "deny" && given.why ? " Your words are kept." : "";
      this.error.replaceChildren(glyph("failed"), h("span", {}, `${what}: ${sentence(error)}${kept}`));
      this.error.hidden = false;
    } else this.denying = "";
    this.frame.redraw();
  }
}

/** Why it was answered so; what the person has said is quoted. */
const reason = ({ why, by }: Request) => (why && by === "you" ? `“${why}”` : why);

const times = (number: number) => (number === 2 ? "twice" : some(number, "time"));
