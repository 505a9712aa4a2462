import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { line } from "../src/line";
import type { Request } from "../src/parts/approvals";
import type { Phase, TeamRun } from "../src/parts/team";
import { drawn, row, run, shown } from "./model";
import examples from "./lines.json";

const asked = (id: string, more: Partial<Request> = {}): Request => ({
  ...{ id, agent: "api", turn: "api.t1", tool: "Edit", kind: "edit", what: "service.py", asked: 0, times: 1 },
  ...{ came: "open", words: "", why: "", by: "" },
  ...more,
});
const told = (open: Request[], answered: Request[] = [], more = 0) => ({ open, open_more: more, answered });
const FAMILY = [row("lead", null, 0, { state: "busy" }), row("api", "lead", 1, { state: "waiting" }), row("old", "lead", 1, { state: "stopped" })];

let ends: (() => void)[] = [];
const show = async (shows: string, data: object = {}, rows = FAMILY) => {
  const made = shown(run(...rows), { shows, topics: { [shows]: data as never } });
  ends.push(made.end);
  await drawn();
  return made;
};
type Made = Awaited<ReturnType<typeof show>>;
const named = (el: HTMLElement, name: string) => [...el.querySelectorAll("button")].find((each) => each.textContent === name)!;
const acts = ({ model }: Made) => model.ops("act").map(({ verb, given }) => [verb, given]);
/** What the kernel answers to the last question, or with what a verb ended. */
const answer = async ({ model }: Made, what: string, data: unknown) => {
  const { id } = model.ops("ask").filter((each) => each.what === what).at(-1)!;
  model.tell({ k: "answer", id, data });
  await settled();
};
const done = async ({ model }: Made, error: string | null = null) => {
  const { id } = model.ops("act").at(-1)!;
  model.tell({ k: "done", id, error });
  await settled();
};
const settled = async () => {
  await Promise.resolve();
  await drawn();
};
const say = (input: HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement, value: string) => {
  input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.dispatchEvent(new Event("change", { bubbles: true }));
};
const key = (on: Element, key: string, more: KeyboardEventInit = {}) =>
  on.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  ends.forEach((end) => end());
  ends = [];
  document.body.replaceChildren();
  vi.useRealTimers();
});

describe("approvals", () => {
  const CHANGE = { id: "api.a1", kind: "edit", files: [{ path: "service.py", said: "", added: 1, removed: 1, more: 7, lines: [["@", null, null, ""], ["-", 2, null, "<b>two</b>"], ["+", null, 2, "three"]] }] };

  test("the effect comes first: the lines that would change, with their numbers, as text", async () => {
    const made = await show("approvals", told([asked("api.a1")]));
    expect(made.el.querySelector(".eff")!.textContent).toBe("Reading what it would do.");
    await answer(made, "effect", CHANGE);
    const lines = [...made.el.querySelectorAll(".mx-diff > div")].map((each) => [each.className, each.textContent]);
    expect(lines).toEqual([["h", "…"], ["d", "2−<b>two</b>"], ["a", "2+three"]]);
    expect(made.el.querySelector(".mx-diff b")).toBeNull();
    expect(made.el.querySelector(".mx-diff .cap")!.textContent).toBe("7 more lines");
    expect(made.el.querySelector(".what")!.textContent).toContain("api" + "asks to edit" + "service.py");
    expect(made.el.querySelector(".ids")!.textContent).toContain("+1−1");
  });

  test("a command is told in full, and what was left out is said", async () => {
    const made = await show("approvals", told([asked("api.a1", { kind: "run", tool: "Bash", what: "make" })]));
    await answer(made, "effect", { id: "api.a1", kind: "run", text: "make && rm -rf /\u202e", text_more: 5000, rest: "", rest_more: 0 });
    expect(made.el.querySelector(".mx-diff pre")!.textContent).toBe("make && rm -rf /‹U+202E›");
    expect(made.el.querySelector(".mx-diff .cap")!.textContent).toBe("5,000 more characters are not shown");
  });

  test("a question that failed says why, and is asked again when one looks again", async () => {
    const made = await show("approvals", told([asked("api.a1")]));
    const { id } = made.model.ops("ask").at(-1)!;
    made.model.tell({ k: "answer", id, error: "gone" });
    await settled();
    expect(made.el.querySelector(".eff")!.textContent).toBe("What it would do can't be shown: gone");
    made.el.querySelector<HTMLElement>(".it")!.click();
    expect(made.model.ops("ask").filter((each) => each.what === "effect")).toHaveLength(2);
  });

  test("allow once is one verb for that request, and a second press sends none", async () => {
    const made = await show("approvals", told([asked("api.a1")]));
    const once = named(made.el, "Allow once");
    once.click();
    once.click();
    named(made.el, "Allow once").click();
    expect(acts(made)).toEqual([["approve", { approval: "api.a1" }]]);
  });

  test("after an answer the request stays in its place, so that no press falls on the next one", async () => {
    const made = await show("approvals", told([asked("api.a1"), asked("api.a2")]));
    named(made.el, "Allow once").click();
    await done(made);
    made.model.whole("approvals", 1, told([asked("api.a2")], [asked("api.a1", { came: "allowed", words: "allowed once" })]));
    await settled();
    expect(named(made.el, "Allow once")).toBeUndefined();
    expect(made.el.querySelector(".mx-acts")!.textContent).toBe("Allowed onceNext request");
    named(made.el, "Next request").click();
    expect(made.el.querySelector('[aria-selected="true"]')!.getAttribute("data-id")).toBe("api.a2");
    expect(document.activeElement!.getAttribute("role")).toBe("listbox");
  });

  test("always asks for whom", async () => {
    const made = await show("approvals", told([asked("api.a1")]));
    named(made.el, "Always for …").click();
    const choices = [...made.el.querySelectorAll('[role="menuitem"]')].map((each) => each.textContent);
    expect(choices).toEqual(["Edit by api", "Edit by api and its subtree to come", "Edit by anybody", "Write it as a policy…"]);
    made.el.querySelectorAll<HTMLElement>('[role="menuitem"]')[1]!.click();
    expect(acts(made)).toEqual([["approve", { approval: "api.a1", always: "subtree" }]]);
  });

  test("a request is written as a policy: a rule to choose, its lines to copy, and the request still waits", async () => {
    const made = await show("approvals", told([asked("api.a1"), asked("api.a2")]));
    named(made.el, "Always for …").click();
    named(made.el, "Write it as a policy…").click();
    const policy = made.el.querySelector<HTMLElement>(".mx-policy")!;
    const lines = ["src/a.py", "src/*"].map((what) => ({ rule: `Edit(${what})`, line: `[policy]\n"Edit(${what})" = "allow"` }));
    await answer(made, "policy", { rules: lines });
    expect(policy.querySelector("pre")!.textContent).toBe('[policy]\n"Edit(src/a.py)" = "allow"');
    say(policy.querySelector("select")!, "Edit(src/*)");
    expect(policy.querySelector("pre")!.textContent).toBe('[policy]\n"Edit(src/*)" = "allow"');
    expect(policy.textContent).toContain("This request still waits for you.");
    expect(acts(made)).toEqual([]);
    made.el.querySelector<HTMLElement>('[data-id="api.a2"]')!.click();
    await settled();
    expect(policy.hidden).toBe(true);
  });

  test("what a difference does not show of an edit stands below it", async () => {
    const made = await show("approvals", told([asked("api.a1")]));
    await answer(made, "effect", { ...CHANGE, rest: '{"mode": "0777"}', rest_more: 0 });
    expect(made.el.querySelector(".mx-diff pre")!.textContent).toBe('{"mode": "0777"}');
  });

  test("deny asks why, tells it, and keeps the words when it could not", async () => {
    const made = await show("approvals", told([asked("api.a1")]));
    named(made.el, "Deny…").click();
    const why = made.el.querySelector<HTMLInputElement>('[aria-label="Why not"]')!;
    expect(document.activeElement).toBe(why);
    expect(acts(made)).toEqual([]);
    why.value = "use a copy";
    named(made.el, "Deny").click();
    expect(acts(made)).toEqual([["deny", { approval: "api.a1", why: "use a copy" }]]);
    await done(made, "api.a1 needs no answer any more: denied by timeout");
    expect(made.el.querySelector('[role="alert"]:not([hidden])')!.textContent).toBe(
      "Not denied: api.a1 needs no answer any more: denied by timeout. Your words are kept.",
    );
    expect(made.el.querySelector<HTMLInputElement>('[aria-label="Why not"]')!.value).toBe("use a copy");
  });

  test("Esc takes a refusal back", async () => {
    const made = await show("approvals", told([asked("api.a1")]));
    named(made.el, "Deny…").click();
    key(made.el.querySelector('[aria-label="Why not"]')!, "Escape");
    expect(named(made.el, "Deny…")).toBe(document.activeElement);
    expect(acts(made)).toEqual([]);
  });

  test("no single key answers: in the list keys only go from request to request", async () => {
    const made = await show("approvals", told([asked("api.a1"), asked("api.a2")]));
    const list = made.el.querySelector<HTMLElement>('[role="listbox"]')!;
    list.focus();
    for (const each of ["Enter", " ", "a", "y", "d", "ArrowDown", "Enter", "End", "Home"]) key(list, each);
    expect(acts(made)).toEqual([]);
    expect(list.getAttribute("aria-activedescendant")).toContain("api.a1");
    key(list, "ArrowDown");
    expect(list.getAttribute("aria-activedescendant")).toContain("api.a2");
  });

  test("each ending has its own sign and words", async () => {
    const ended = [
      asked("api.a1", { came: "allowed", words: "allowed always, this agent" }),
      asked("api.a2", { came: "denied", words: "denied", why: "keep them", by: "you" }),
      asked("api.a3", { came: "late", words: "timed out" }),
      asked("api.a4", { came: "gone", words: "withdrawn", times: 3 }),
      asked("api.a5", { came: "allowed", words: "allowed by rule", why: "as api.a1: allowed by you", by: "policy" }),
    ];
    const made = await show("approvals", told([], ended));
    const items = [...made.el.querySelectorAll(".it")];
    expect(items.map((each) => each.querySelector(".rt")!.textContent)).toEqual(["allowed always, this agent", "denied", "timed out", "withdrawn", "allowed by rule"]);
    expect(new Set(items.map((each) => each.querySelector("svg")!.innerHTML)).size).toBe(4);
    expect(items[1]!.textContent).toContain("“keep them”");
    expect(items[3]!.textContent).toContain("3 times");
    expect(items[4]!.querySelector(".l2")!.textContent).toBe("service.py · as api.a1: allowed by you");
  });

  test("in the past and without a kernel nothing can be answered", async () => {
    const made = await show("approvals", told([asked("api.a1")]));
    vi.advanceTimersByTime(20_000);
    await settled();
    expect(["Allow once", "Always for …", "Deny…"].map((name) => named(made.el, name).disabled)).toEqual([true, true, true]);
  });
});

describe("the run of a team", () => {
  const output = (name: string, agent: string, state: string, more = {}) => ({ name, agent, state, why: "", attempt: 1, ...more });
  const phase = (name: string, more: object) => ({ name, outcome: "", began: null, took: null, outputs: [], more: 0, waits: "Needs nothing", again: [], ...more });
  const team = (more: Partial<TeamRun> = {}) => ({
    ...{ id: "trio.1", title: "trio", task: "a clock", state: "running", why: "", by_lead: false, agents: ["lead", "api", "old"] },
    phases: [
      phase("plan", { outcome: "ok", began: 10, took: 96, outputs: [output("plan.md", "lead", "ok"), output("risks.md", "lead", "missing")] }),
      phase("build", { began: 20, outputs: [output("a.py", "api", "running"), output("b.py", "lead", "running")], waits: "Needs plan" }),
      phase("check", { outcome: "failed", began: 30, outputs: [output("c.md", "old", "failed", { why: "API overloaded", attempt: 2 })], again: ["old"] }),
      phase("tell", { outputs: [output("d.md", "lead", "to come")], waits: "Needs build and check" }),
    ],
    ...more,
  });

  test("a column a phase: what comes out, whose it is, how far, and in words what it needs", async () => {
    const made = await show("team", { runs: [team()], more: 0 });
    const columns = [...made.el.querySelectorAll(".mx-ph")];
    expect(columns.map((each) => each.querySelector("header b")!.textContent)).toEqual(["1 plan", "2 build", "3 check", "4 tell"]);
    expect(columns.map((each) => each.querySelector("footer")!.textContent)).toEqual(["Needs nothing", "Needs plan", "Needs nothing", "Needs build and check"]);
    expect(columns.map((each) => [...each.querySelectorAll(".mx-steps i")].map((step) => step.className).join())).toEqual(["y,y", "n,n", "x", ""]);
    expect(columns.map((each) => each.querySelector("header .mx-2")!.textContent).filter((_, at) => at !== 1)).toEqual(["done, 1:36", "failed", "not started"]);
    expect([...made.el.querySelectorAll(".own")].map((each) => each.textContent)).toEqual(["lead", "lead, missing", "api, waits for you", "lead", "old, failed", "lead"]);
    expect(made.el.textContent).toContain("2. try");
  });

  test("stopping asks first, with numbers and the focus on the safe answer", async () => {
    const made = await show("team", { runs: [team()], more: 0 });
    made.el.querySelector<HTMLElement>('[aria-label="Stop trio.1"]')!.click();
    expect(document.activeElement!.textContent).toBe("Keep running");
    expect(made.el.querySelector('[role="alertdialog"]')!.textContent).toContain("2 turns are interrupted");
    key(document.activeElement!, "Escape");
    expect(made.el.querySelector('[role="alertdialog"]')).toBeNull();
    made.el.querySelector<HTMLElement>('[aria-label="Stop trio.1"]')!.click();
    named(made.el, "Stop the team").click();
    expect(acts(made)).toEqual([["team_stop", { team: "trio.1" }]]);
  });

  test("what failed is tried again, all of it or one share, and only when the run is over", async () => {
    const under = await show("team", { runs: [team()], more: 0 });
    expect(named(under.el, "Retry old")).toBeUndefined();
    const made = await show("team", { runs: [team({ state: "failed" })], more: 0 });
    named(made.el, "Retry old").click();
    await done(made, "trio.1 is under way");
    expect(made.el.querySelector('[role="alert"]')!.textContent).toBe("Not tried again: trio.1 is under way.");
    named(made.el, "Retry what failed").click();
    expect(acts(made)).toEqual([
      ["team_retry", { team: "trio.1", what: "check.old" }],
      ["team_retry", { team: "trio.1" }],
    ]);
  });

  test("of several runs one is looked at, the newest first", async () => {
    const made = await show("team", { runs: [team({ id: "trio.2", task: "two" }), team({ task: "one" })], more: 0 });
    expect(made.el.querySelector(".hd")!.textContent).toContain("two");
    say(made.el.querySelector("select")!, "trio.1");
    await settled();
    expect(made.el.querySelector(".hd")!.textContent).toContain("one");
  });

  test("the lines of phases are filled alike, and no arrow leads into the first of a line", async () => {
    const phases = (many: number) => Array.from({ length: many }, (_, n) => ({ ...(team().phases[0] as Phase), name: `p${n}` }));
    const lines = async (many: number) => {
      const { el } = await show("team", { runs: [team({ phases: phases(many) })], more: 0 });
      const first = [...el.querySelectorAll(".mx-ph")].flatMap((each, at) => (each.classList.contains("first") ? [at] : []));
      return [el.querySelector<HTMLElement>(".flow")!.style.getPropertyValue("--in-line"), first];
    };

    expect(await lines(4)).toEqual(["4", [0]]);
    expect(await lines(6)).toEqual(["3", [0, 3]]);
    expect(await lines(7)).toEqual(["4", [0, 4]]);
    expect(await lines(11)).toEqual(["4", [0, 4, 8]]);
  });

  test("without a team it says how one is started", async () => {
    expect((await show("team", { runs: [], more: 0 })).el.textContent).toContain("%madrox team NAME --task");
  });
});

describe("the form that spawns", () => {
  const SUGGESTED = {
    ...{ name: "lead.2", roles: [{ name: "debugger", says: "finds bugs" }, { name: "general", says: "does what it is told" }] },
    ...{ harnesses: [{ name: "claude", here: true, model: "opus" }, { name: "gemini", here: false, model: "" }, { name: "mine", here: true, model: "" }] },
    ...{ permissions: ["deny", "ask", "edits", "all"], left: 0.95, left_in: "backend" },
  };
  const open = async () => {
    const made = await show("tree");
    named(made.el, "Spawn").click();
    await answer(made, "spawn", SUGGESTED);
    const form = made.el.querySelector<HTMLElement>('[aria-label="Spawn an agent"]')!;
    const at = (label: string) => form.querySelector<HTMLInputElement>(`#${[...form.querySelectorAll("label")].find((each) => each.textContent === label)!.htmlFor}`)!;
    return { ...made, form, at };
  };

  test("an empty form gives nothing away: no harness, no parent, and never all permissions", async () => {
    const made = await open();
    named(made.form, "Spawn").click();
    expect(acts(made)).toEqual([["spawn", {}]]);
    expect(made.form.querySelector("pre")!.textContent).toBe("%madrox spawn");
  });

  test("what is filled in is sent, and the line says the same", async () => {
    const made = await open();
    say(made.at("Name"), "money");
    say(made.at("Role"), "debugger");
    say(made.at("Under"), "api");
    say(made.at("Limits"), "0.9");
    expect(made.form.querySelector("pre")!.textContent).toBe("%madrox spawn money --role debugger --parent api --usd 0.9");
    expect(made.form.textContent).toContain("finds bugs");
    named(made.form, "Spawn").click();
    expect(acts(made)).toEqual([["spawn", { name: "money", role: "debugger", parent: "api", usd: "0.9" }]]);
    await done(made);
    expect(made.el.querySelector('[role="dialog"]')).toBeNull();
  });

  test("it suggests what there is: living parents, roles, permissions, what is left, and what is not installed", async () => {
    const made = await open();
    const options = (label: string) => [...made.at(label).querySelectorAll("option")].map((each) => each.value);
    expect(options("Under")).toEqual(["", "lead", "api"]);
    expect(options("Role")).toEqual(["debugger", "general"]);
    expect(options("May")).toEqual(["", "deny", "ask", "edits", "all"]);
    expect(made.at("Harness").querySelector<HTMLOptionElement>('[value="gemini"]')!.disabled).toBe(true);
    expect(made.at("Name").placeholder).toBe("lead.2");
    expect(made.form.textContent).toContain("$0.95 left in backend");
    expect(made.at("Harness").querySelector<HTMLOptionElement>('[value="mine"]')!.disabled).toBe(false);
    say(made.at("Harness"), "claude");
    expect(made.form.querySelector<HTMLInputElement>("[aria-label=Model]")!.placeholder).toBe("model: opus, by the settings");
  });

  test("a refusal is told in the form: what did not happen, why, and that the text is kept", async () => {
    const made = await open();
    say(made.at("Name"), "lead");
    named(made.form, "Spawn").click();
    await done(made, "the name 'lead' is taken");
    expect(made.form.querySelector('[role="alert"]')!.textContent).toBe("Not spawned: the name 'lead' is taken. What you wrote is kept.");
    expect(made.at("Name").value).toBe("lead");
  });

  test("Esc and Cancel close it and the focus goes back; what was written is there the next time", async () => {
    const made = await open();
    say(made.at("Name"), "money");
    key(made.at("Name"), "Escape");
    expect(made.el.querySelector('[role="dialog"]')).toBeNull();
    expect(document.activeElement).toBe(named(made.el, "Spawn"));
    named(made.el, "Spawn").click();
    expect(made.at("Name").value).toBe("money");
    expect(acts(made)).toEqual([]);
  });
});

describe("the form that broadcasts", () => {
  test("asks those that are ticked, and nothing without words", async () => {
    const made = await show("tree");
    named(made.el, "Broadcast").click();
    const form = made.el.querySelector<HTMLElement>('[role="dialog"]')!;
    const ticked = () => [...form.querySelectorAll("label")].filter((each) => each.querySelector("input")?.checked).map((each) => each.textContent);
    expect(ticked()).toEqual(["lead"]);
    expect(form.querySelectorAll("[type=checkbox]")).toHaveLength(2);
    expect(named(form, "Send to all").disabled).toBe(true);
    form.querySelectorAll<HTMLElement>("[type=checkbox]")[1]!.click();
    say(form.querySelector("textarea")!, "How far are you?");
    expect(form.querySelector("pre")!.textContent).toBe("%madrox broadcast lead api -- How far are you?");
    named(form, "Send to all").click();
    expect(acts(made)).toEqual([["broadcast", { agents: "lead\napi", text: "How far are you?" }]]);
  });
});

test.each(examples)("the line is $line", ({ form, line: expected }) => {
  expect(line(...(form as unknown as Parameters<typeof line>))).toBe(expected);
});

test("a text of several lines becomes a cell", () => {
  expect(line("broadcast", ["a"], {}, "one\ntwo")).toBe("%%madrox broadcast a\none\ntwo");
});
