// How far a team is: a column for each phase, what comes out of it, who works there, what it waits for.

import { attribute, button, h } from "../element";
import { sentence, look, span } from "../format";
import type { Frame, Part } from "../frame";
import { glyph, icon } from "../glyphs";
import { now } from "../head";
import { FLAG, line } from "../line";
import type { Data } from "../topics";

interface Output {
  name: string;
  agent: string;
  state: "to come" | "running" | "ok" | "missing" | "failed" | "stopped" | "skipped";
  why: string;
  attempt: number;
}

export interface Phase {
  name: string;
  outcome: "" | "ok" | "failed" | "skipped";
  began: number | null;
  took: number | null;
  outputs: Output[];
  more: number;
  waits: string;
  /** Whose shares of it did not succeed. */
  again: string[];
}

export interface TeamRun {
  id: string;
  title: string;
  task: string;
  state: "running" | "ok" | "failed" | "stopped" | "standby";
  why: string;
  by_lead: boolean;
  agents: string[];
  phases: Phase[];
}

interface Told extends Data {
  runs: TeamRun[];
  more: number;
}

/** Phases in one line, where it is wide. */
const MOST = 5;
const STATE = { running: "under way", ok: "done", failed: "failed", stopped: "stopped", standby: "stands by" };

export class Team implements Part {
  readonly element = h("div", { class: "mx-team" });
  /** The run that is looked at; the newest until one is chosen. */
  private chosen = "";
  private asking = "";
  private doing = "";
  private error = "";
  private shown = "";

  constructor(private frame: Frame) {}

  topics(): string[] {
    return ["rows", "team"];
  }

  draw(): void {
    const { store } = this.frame;
    const told = store.data<Told>("team");
    const run = told?.runs.find((each) => each.id === this.chosen) ?? told?.runs[0];
    const time = now(this.frame);
    const states = run?.agents.map((name) => store.get(name)).map((row) => row && look(row));
    const times = run?.phases.map((phase) => (phase.began && !phase.outcome ? span(time - phase.began) : ""));
    const key = JSON.stringify([told, run?.id, states, times, store.acts, this.asking, this.doing, this.error]);
    if (key === this.shown) return;
    this.shown = key;
    const held = this.element.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset.act : undefined;
    this.element.replaceChildren(...(run ? this.drawRun(told!, run, time) : [none(told)]));
    if (held) (this.element.querySelector<HTMLElement>(`[data-act="${held}"]`) ?? this.element.querySelector<HTMLElement>("[data-act]"))?.focus();
  }

  focus(): void {
    this.element.querySelector<HTMLElement>("[data-act]")?.focus();
  }

  private drawRun(told: Told, run: TeamRun, time: number): Node[] {
    const title = h("b", { class: "mx-bold tt" }, run.title);
    const task = h("span", { class: "mx-2 mx-cut mx-grow", title: run.task }, run.task || run.id);
    const state = h("span", { class: `mx-sm ${run.state === "failed" ? "s-failed" : "mx-2"}`, title: run.why }, `${run.id} · ${STATE[run.state]}`);
    const head = h("div", { class: "hd" }, ...this.others(told, run), title, task, state, ...this.verbs(run));
    const flow = h("ol", { class: "flow" }, ...run.phases.map((phase, at) => this.phase(run, phase, at, time)));
    flow.style.setProperty("--in-line", String(inLine(run.phases.length)));
    const failed = this.error && h("div", { class: "mx-err", role: "alert" }, glyph("failed"), h("span", {}, this.error));
    return [...(this.asking === run.id ? [this.ask(run)] : []), head, ...(failed ? [failed] : []), flow];
  }

  /** The other runs, when there are some. */
  private others(told: Told, run: TeamRun): Node[] {
    if (told.runs.length < 2) return [];
    const select = h("select", { class: "mx-select", "aria-label": "Which run", "data-act": "which" });
    for (const each of told.runs) select.append(h("option", { value: each.id, selected: each.id === run.id }, each.id));
    select.addEventListener("change", () => {
      [this.chosen, this.error, this.asking] = [select.value, "", ""];
      this.frame.redraw();
    });
    return [select];
  }

  private verbs(run: TeamRun): Node[] {
    const off = !this.frame.store.acts || !!this.doing;
    if (run.state === "running") {
      const stop = button("Stop…", "danger bare", { disabled: off, "data-act": "stop", "aria-label": `Stop ${run.id}` });
      stop.addEventListener("click", () => this.question(run.id));
      return [stop];
    }
    if (!run.phases.some((phase) => phase.again.length)) return [];
    const retry = button("Retry what failed", "line", { disabled: off, "data-act": "retry" });
    retry.addEventListener("click", () => void this.act("team_retry", { team: run.id }, "Not tried again"));
    return [retry];
  }

  private question(id: string): void {
    this.asking = id;
    this.draw();
    this.element.querySelector<HTMLElement>('[data-act="keep"]')?.focus();
  }

  private ask(run: TeamRun): HTMLElement {
    const under = run.phases.flatMap((phase) => phase.outputs.filter((each) => each.state === "running").map((each) => each.agent));
    const working = new Set(under).size;
    const keep = button("Keep running", "line", { "data-act": "keep" });
    const stop = button("Stop the team", "danger now", { "data-act": "stop-now" });
    const told = `${working} ${working === 1 ? "turn is" : "turns are"} interrupted. The agents, their files and what is done stay; %madrox team ${run.id} --resume goes on.`;
    const strip = h(
      "div",
      { class: "mx-note err", role: "alertdialog", "aria-label": `Stop ${run.id}?` },
      h("span", { class: "mx-grow" }, h("b", { class: "mx-bold" }, `Stop ${run.id}?`), ` ${told}`),
      ...[keep, stop],
    );
    keep.addEventListener("click", () => this.question(""));
    strip.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.question("");
    });
    stop.addEventListener("click", () => {
      this.asking = "";
      void this.act("team_stop", { team: run.id }, "Not stopped");
    });
    return strip;
  }

  private async act(verb: string, given: Record<string, string>, not: string): Promise<void> {
    [this.doing, this.error] = [verb, ""];
    this.frame.redraw();
    const error = await this.frame.store.tell(verb, "", given, lineOf(verb, given));
    [this.doing, this.error] = ["", error && `${not}: ${sentence(error)}`];
    this.frame.redraw();
  }

  // one phase

  private phase(run: TeamRun, phase: Phase, at: number, time: number): HTMLElement {
    const done = phase.outputs.filter((each) => each.state === "ok").length;
    const under = phase.outputs.some((each) => each.state === "running");
    const head = h("header", {}, h("b", { class: "mx-bold mx-cut", title: phase.name }, `${at + 1} ${words(phase.name)}`), h("span", { class: "mx-grow" }), h("span", { class: "mx-2" }, progress(phase, done, time)));
    const bar = h("div", { class: "mx-steps", role: "img", "aria-label": `${done} of ${phase.outputs.length} done` }, ...phase.outputs.map((each) => h("i", { class: STEP[each.state] ?? "" })));
    const more = phase.more ? [h("li", { class: "mx-2" }, `and ${phase.more} more`)] : [];
    const again = run.state === "running" ? [] : phase.again.map((agent) => this.retry(run, phase, agent));
    return h(
      "li",
      { class: `mx-ph${under ? " now" : ""}${at % inLine(run.phases.length) ? "" : " first"}` },
      head,
      h("div", { class: "st" }, bar),
      h("ul", {}, ...phase.outputs.map((each) => this.output(each)), ...more),
      h("footer", {}, words(phase.waits), ...again),
    );
  }

  private retry(run: TeamRun, phase: Phase, agent: string): HTMLElement {
    const made = button(`Retry ${agent}`, "link", { disabled: !this.frame.store.acts || !!this.doing, "data-act": `${phase.name}.${agent}` });
    made.addEventListener("click", () => {
      void this.act("team_retry", { team: run.id, what: `${phase.name}.${agent}` }, "Not tried again");
    });
    return made;
  }

  private output(each: Output): HTMLElement {
    const row = this.frame.store.get(each.agent);
    const seen = each.state === "running" ? (row ? look(row) : "busy") : each.state;
    const bad = ["failed", "missing", "stopped"].includes(each.state);
    const late = { waiting: ", waits for you", stalled: ", silent" }[seen] ?? (bad ? `, ${each.state}` : "");
    const owner = h("button", { type: "button", class: `own ${seen === "missing" ? "s-waiting" : late ? `s-${seen}` : "mx-2"}`, "data-act": `look ${each.name} ${each.agent}` }, `${each.agent}${late}`);
    owner.addEventListener("click", () => this.frame.look(each.agent));
    const name = h("span", { class: `what ${each.state === "ok" ? "mx-2" : ""}`.trim(), title: each.why || each.name }, each.name);
    const again = each.attempt > 1 ? h("span", { class: "mx-2 mx-xs" }, `${each.attempt}. try`) : null;
    return h("li", {}, sign(each, seen), h("div", {}, name, h("span", { class: "by" }, again, owner)));
  }
}

function sign(each: Output, seen: string): Node {
  if (each.state === "ok") return labelled(icon("check"), "done");
  if (each.state === "skipped") return labelled(icon("off"), "skipped");
  if (each.state === "missing") return labelled(icon("warn"), "missing");
  if (each.state === "to come") return labelled(glyph("starting"), "to come");
  return glyph(each.state === "running" && !["waiting", "stalled", "failed"].includes(seen) ? "busy" : seen, true);
}

function labelled(sign: SVGSVGElement, label: string): SVGSVGElement {
  attribute(sign, "aria-hidden", null);
  attribute(sign, "role", "img");
  attribute(sign, "aria-label", label);
  return sign;
}

const STEP: Record<string, string> = { ok: "y", missing: "y", running: "n", failed: "x", stopped: "x" };

function progress(phase: Phase, done: number, time: number): string {
  const { outcome, outputs, began, took } = phase;
  if (outcome === "skipped") return "skipped";
  if (outcome) return `${outcome === "ok" ? "done" : "failed"}${took === null ? "" : `, ${span(took)}`}`;
  if (began === null) return "not started";
  return `${done} of ${outputs.length}, ${span(time - began)}`;
}

/** `%madrox team trio.1 --retry review.lead` */
function lineOf(verb: string, { team = "", what = "" }: Record<string, string>): string {
  return line("team", [team], { [verb === "team_stop" ? "stop" : "retry"]: what || FLAG });
}

/** Phases that stand beside one another: no line is nearly empty. */
function inLine(phases: number): number {
  return Math.ceil(phases / Math.ceil(phases / MOST)) || 1;
}

const words = (name: string) => name.replaceAll("_", " ");

function none(told: Told | undefined): HTMLElement {
  const said = told ? "No team was started. %madrox teams lists those that there are; %madrox team NAME --task … starts one." : "Reading the teams.";
  return h("p", { class: "mx-soon mx-2" }, said);
}
