import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { Row } from "../src/store";
import { drawn, row, run, shown } from "./model";

let ends: (() => void)[] = [];
const FACTS = [["Session", "9f2c"], ["Workspace", "/w/api"], ["Limits", "$1.72 of $2.00 (lead)"]];
const show = async (more: Partial<Row> = {}, shows = "details", branch = "") => {
  const topics = { "details:api": { agent: "api", facts: FACTS, branch }, "conversation:api": { agent: "api", items: [], above: 0, speaking: "" } };
  const made = shown(run(row("lead"), row("api", "lead", 1, more), row("two words")), { shows, agent: "api", topics: topics as never });
  ends.push(made.end);
  await drawn();
  return made;
};
type Made = Awaited<ReturnType<typeof show>>;
const named = (el: HTMLElement, name: string) => [...el.querySelectorAll("button")].find((each) => each.textContent === name && !each.hidden)!;
const acts = ({ model }: Made) => model.ops("act").map(({ verb, agent, given }) => [verb, agent, given]);
const settled = async () => {
  await Promise.resolve();
  await drawn();
};
const answer = async ({ model }: Made, what: string, data: unknown) => {
  model.tell({ k: "answer", id: model.ops("ask").filter((each) => each.what === what).at(-1)!.id, data });
  await settled();
};
const done = async ({ model }: Made, error: string | null = null) => {
  model.tell({ k: "done", id: model.ops("act").at(-1)!.id, error });
  await settled();
};
const say = (input: HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement, value: string) => {
  input.value = value;
  for (const kind of ["input", "change"]) input.dispatchEvent(new Event(kind, { bubbles: true }));
};
const at = (form: HTMLElement, label: string) =>
  form.querySelector<HTMLInputElement>(`#${[...form.querySelectorAll("label")].find((each) => each.textContent === label)!.htmlFor}`)!;
const dialog = ({ el }: Made, name: string) => el.querySelector<HTMLElement>(`[role=dialog][aria-label="${name}"]`)!;

beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => {
  ends.forEach((end) => end());
  ends = [];
  document.body.replaceChildren();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("the verbs of one agent", () => {
  const verbs = ({ el }: Made) => [...el.querySelectorAll(".mx-verbs button")].map((each) => each.textContent);

  test("only those are drawn that its state and its CLI allow, each with its line", async () => {
    const made = await show({ can: ["stop", "suspend"] });
    expect(verbs(made)).toEqual(["Suspend", "Stop…"]);
    expect(named(made.el, "Suspend").title).toBe("%madrox suspend api");
    named(made.el, "Suspend").click();
    expect(acts(made)).toEqual([["suspend", "api", {}]]);

    made.model.rows(1, [row("api", "lead", 1, { can: ["stop"] })]);
    await settled();
    expect(verbs(made)).toEqual(["Stop…"]);
  });

  test.each([
    ["suspended", "Resume"],
    ["stopped", "Resume"],
    ["failed", "Try again"],
  ])("who has %s goes on by one press where it can, and else there is none", async (state, word) => {
    const made = await show({ state, can: ["resume"] });
    named(made.el, word).click();
    expect(acts(made)).toEqual([["resume", "api", {}]]);
    made.model.rows(1, [row("api", "lead", 1, { state, can: [] })]);
    await settled();
    expect(named(made.el, word)).toBeUndefined();
    expect(made.el.querySelector<HTMLElement>(".mx-also")!.hidden).toBe(true);
  });

  test("a turn that its CLI can't end early has no Interrupt", async () => {
    const made = await show({ state: "busy", can: ["stop"] });
    expect(named(made.el, "Interrupt")).toBeUndefined();
  });

  test("the menu holds forms, and the lines of its verbs to copy", async () => {
    const write = vi.fn(() => Promise.resolve());
    vi.stubGlobal("navigator", { ...navigator, clipboard: { writeText: write } });
    const made = await show({ can: ["stop", "suspend", "fork"] });
    made.el.querySelector<HTMLElement>("[aria-label=More]")!.click();
    const items = [...made.el.querySelectorAll<HTMLElement>("[role=menuitem]")];
    expect(items.map((each) => each.textContent)).toEqual([
      ...["Fork…", "Limits…", '%madrox send api "…"', "%madrox suspend api", "%madrox fork api", "%madrox stop api --tree --force"],
    ]);
    items[3]!.click();
    expect(write).toHaveBeenCalledWith("%madrox suspend api");
    expect(acts(made)).toEqual([]);
  });

  test("a page that may not copy shows the line", async () => {
    vi.stubGlobal("navigator", { ...navigator, clipboard: { writeText: () => Promise.reject(new Error("no")) } });
    const made = await show({ can: ["stop"] });
    made.el.querySelector<HTMLElement>("[aria-label=More]")!.click();
    [...made.el.querySelectorAll<HTMLElement>("[role=menuitem]")].at(-1)!.click();
    await settled();
    await settled();
    expect(made.el.querySelector(".mx-note")!.textContent).toContain("%madrox stop api --tree --force");
  });
});

describe("its forms", () => {
  test("a fork is named, may be given other permissions, and is looked at when it is there", async () => {
    const made = await show({ can: ["stop", "fork"] });
    named(made.el, "Fork…").click();
    const form = dialog(made, "Fork an agent");
    expect(form.textContent).toContain("api is not touched");
    say(at(form, "Name"), "other");
    say(at(form, "May"), "deny");
    expect(form.querySelector("pre")!.textContent).toBe("%madrox fork api --as other --permissions deny");
    named(form, "Fork").click();
    expect(acts(made)).toEqual([["fork", "api", { as_: "other", permissions: "deny" }]]);
    await done(made, "api has no conversation to fork yet");
    expect(form.querySelector("[role=alert]")!.textContent).toContain("Not forked: api has no conversation");
    named(form, "Fork").click();
    await done(made);
    expect(dialog(made, "Fork an agent")).toBeNull();
  });

  test("a limit is set on the agent, or on whoever holds one for it", async () => {
    const made = await show({ can: ["stop"] });
    named(made.el, "Raise…").click();
    const form = dialog(made, "Limits");
    await answer(made, "limits", { holders: [{ holder: "api", limits: {} }, { holder: "lead", limits: { usd: "$1.72 of $2.00" } }, { holder: "", limits: {} }] });
    expect(named(form, "Set").disabled).toBe(true);
    say(at(form, "Of"), "lead");
    expect(form.textContent).toContain("$1.72 of $2.00");
    say(at(form, "US dollars"), "5");
    expect(form.querySelector("pre")!.textContent).toBe("%madrox limit lead --usd 5");
    named(form, "Set").click();
    expect(acts(made)).toEqual([["limit", "", { holder: "lead", usd: "5" }]]);
    say(at(form, "Of"), "");
    expect(form.querySelector("pre")!.textContent).toBe("%madrox limit --usd 5");
  });

  test("a form about one agent goes when another one is looked at", async () => {
    const made = await show({ can: ["stop", "fork"] }, "dashboard");
    made.el.querySelector<HTMLElement>("[aria-label=More]")!.click();
    named(made.el, "Fork…").click();
    expect(dialog(made, "Fork an agent")).not.toBeNull();
    made.el.querySelector<HTMLElement>("[data-agent=lead]")!.click();
    await settled();
    expect(dialog(made, "Fork an agent")).toBeNull();
  });
});

describe("its details", () => {
  const facts = ({ el }: Made) => Object.fromEntries([...el.querySelectorAll("dt")].map((each) => [each.textContent, each.nextElementSibling!.firstChild!.textContent]));

  test("what runs for it is asked once for each state, and again on demand", async () => {
    const made = await show({ state: "busy" });
    const asked = () => made.model.ops("ask").filter((each) => each.what === "process").length;
    await answer(made, "process", { text: "pid 48, 312 MB, 4.2 s of CPU" });
    expect(facts(made).Process).toBe("pid 48, 312 MB, 4.2 s of CPU");
    made.model.rows(1, [row("api", "lead", 1, { state: "busy", tokens: 99 })]);
    await settled();
    expect(asked()).toBe(1);
    named(made.el, "Look again").click();
    await settled();
    expect(asked()).toBe(2);
    made.model.rows(2, [row("api", "lead", 1, { state: "suspended" })]);
    await settled();
    await settled();
    expect(facts(made).Process).toBeUndefined();
  });

  test("facts change in place: what has the focus keeps it", async () => {
    const made = await show({ can: ["stop", "fork"] });
    named(made.el, "Fork…").focus();
    const held = document.activeElement;
    made.model.whole("details:api", 1, { agent: "api", facts: [["Session", "77aa"], ...FACTS.slice(1)], branch: "" });
    await settled();
    expect(facts(made).Session).toBe("77aa");
    expect(document.activeElement).toBe(held);
  });

  test("with a worktree the difference is shown file by file, and hidden again", async () => {
    expect(named((await show()).el, "Diff")).toBeUndefined();
    const made = await show({}, "details", "madrox/api");
    named(made.el, "Diff").click();
    const file = { path: "src/a.py", said: "", added: 1, removed: 0, more: 0, lines: [["+", null, null, "<b>new</b>"]] };
    await answer(made, "diff", { kind: "edit", files: [file], files_more: 0, rest: "", rest_more: 0 });
    const changes = made.el.querySelector<HTMLElement>(".mx-changes")!;
    expect(changes.textContent).toBe("+1−0src/a.py+<b>new</b>");
    named(made.el, "Hide the diff").click();
    expect(changes.hidden).toBe(true);
  });

  test("a difference that can't be told says why", async () => {
    const made = await show({}, "details", "madrox/api");
    named(made.el, "Diff").click();
    made.model.tell({ k: "answer", id: made.model.ops("ask").at(-1)!.id!, error: "git is not there" });
    await settled();
    expect(made.el.querySelector(".mx-changes")!.textContent).toBe("git is not there");
  });
});

describe("@name in the box", () => {
  const send = async (said: string) => {
    const made = await show();
    say(made.el.querySelector<HTMLTextAreaElement>(".mx-box textarea")!, said);
    named(made.el, "Send").click();
    return made;
  };

  test.each([
    ["@lead use half-even rounding", "lead", "use half-even rounding"],
    ["@two words go on", "two words", "go on"],
    ["@fronted use it", "fronted", "use it"],
    [" @lead as it is", "api", " @lead as it is"],
    ["@app.route('/') is wrong", "api", "@app.route('/') is wrong"],
    ["@lead", "api", "@lead"],
  ])("%s is for %s", async (said, to, text) => {
    expect(acts(await send(said))).toEqual([["send", to, { text }]]);
  });

  test("to whom there is not it is not sent: why, who was meant, and that the text is kept", async () => {
    const made = await send("@fronted use it");
    await done(made, "no agent named 'fronted'. Did you mean 'frontend'?");
    expect(made.el.querySelector(".mx-foot [role=alert]")!.textContent).toBe(
      "Not sent: no agent named 'fronted'. Did you mean 'frontend'? Your text is kept.",
    );
    expect(made.el.querySelector<HTMLTextAreaElement>(".mx-box textarea")!.value).toBe("@fronted use it");
  });
});
