import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { PATIENCE, SILENCE } from "../src/link";
import { drawn, row, run, shown } from "./model";

const FAMILY = [
  row("lead", null, 0, { state: "busy", now: "reads 2 replies", subtree_usd: 6.34, subtree_exact: false }),
  row("backend", "lead", 1),
  row("api", "backend", 2, { state: "waiting", now: "asks: Edit service.py (api.a1)" }),
  row("ui", "lead", 1, { state: "busy", now: "Bash npm test" }),
  row("old", "lead", 1, { state: "stopped", own_usd: null }),
];

let ends: (() => void)[] = [];
const show = async (...args: Parameters<typeof shown>) => {
  const made = shown(...args);
  ends.push(made.end);
  await drawn();
  return made;
};
const rows = (el: HTMLElement) => [...el.querySelectorAll<HTMLElement>(".mx-row")];
const names = (el: HTMLElement) => rows(el).map((each) => each.dataset.agent);
const find = (el: HTMLElement, name: string) => rows(el).find((each) => each.dataset.agent === name)!;
const verb = (el: HTMLElement, name: string) => find(el, name).querySelector("button")!;
const list = (el: HTMLElement) => el.querySelector<HTMLElement>(".mx-list")!;
const press = (key: string) =>
  document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const active = (el: HTMLElement) => el.querySelector<HTMLElement>(".mx-row.is-on[aria-selected=true]")?.dataset.agent;
const labelled = (el: HTMLElement, name: string) =>
  [...el.querySelectorAll("button")].find((each) => each.textContent === name)!;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  ends.forEach((end) => end());
  ends = [];
  document.body.replaceChildren();
  vi.useRealTimers();
});

describe("what is shown", () => {
  test("rows in tree order, with their level, state and money", async () => {
    const { el } = await show(run(...FAMILY));

    expect(names(el)).toEqual(["lead", "backend", "api", "ui", "old"]);
    expect(find(el, "api").getAttribute("aria-level")).toBe("3");
    expect(find(el, "api").textContent).toContain("waits for you · Edit service.py");
    expect(find(el, "api").querySelector("svg[aria-label='waiting for you']")).not.toBeNull();
    expect(find(el, "lead").textContent).toContain("≥ 6.34");
    expect(find(el, "old").textContent).toContain("unpriced");
    expect(find(el, "ui").getAttribute("aria-posinset")).toBe("2");
    expect(find(el, "ui").getAttribute("aria-setsize")).toBe("3");
  });

  test("the header counts states, leaves zero out, and sums what the run cost", async () => {
    const { el } = await show(run(...FAMILY));
    const counts = [...el.querySelectorAll(".mx-counts > button")].map((each) => each.textContent);

    expect(counts).toEqual(["2 busy", "1 waiting for you", "1 idle", "1 stopped"]);
    expect(el.querySelector(".mx-cost")!.textContent).toBe("≥ $6.341 agent unpriced");
    expect(el.querySelector(".mx-head .name")!.textContent).toBe("checkout-refunds");
  });

  test("a row has the agent's role, model and what waits in its inbox", async () => {
    const { el } = await show(run(row("lead", null, 0, { role: "architect", model: "opus", queued: 1, unread: 2 }), row("safe")));
    const cells = (name: string) => [...find(el, name).querySelectorAll<HTMLElement>(".wide")].map((each) => each.textContent);
    const heads = [...el.querySelectorAll(".mx-lh > span")].map((each) => each.textContent);

    expect(heads).toEqual(["Agent", "Role", "Harness", "Model", "Now", "Queue", "Own $", "Σ $", "Limit", ""]);
    expect(cells("lead")).toEqual(["architect", "opus", "2", ""]);
    expect(cells("safe")).toEqual(["general", "sonnet", "–", ""]);
    expect(find(el, "lead").querySelector(".mx-q")!.getAttribute("title")).toBe("2 unread messages, 1 turn queued");
  });

  test("why it failed is told in a few words, and in full where the hand rests", async () => {
    const reason = "python3 exited on its own with code 1. Its last words: no such module";
    const { el } = await show(run(row("e2e", null, 0, { state: "failed", reason, short: "exit code 1" })));
    const now = find(el, "e2e").querySelector(".now")!;

    expect([now.textContent, now.getAttribute("title")]).toEqual(["failed: exit code 1", reason]);
  });

  test("who may take no turns says so, and who has nearly used a limit is only idle", async () => {
    const since = Date.now() / 1000;
    const held = row("lead", null, 0, { held: true, now: "limit reached: $2.01 of $2.00", since });
    const { el } = await show(run(held, row("kid", "lead", 1, { nearly: "96 % of $2.00", since })));
    const now = (name: string) => find(el, name).querySelector(".now")!.textContent;

    expect([now("lead"), now("kid")]).toEqual(["limit reached: $2.01 of $2.00", "idle 0:00"]);
  });

  test("an agent that may do everything is marked", async () => {
    const { el } = await show(run(row("lead", null, 0, { permissions: "all" }), row("safe")));
    const marked = (name: string) => !find(el, name).querySelector(".mx-tag")!.hasAttribute("hidden");

    expect([marked("lead"), marked("safe")]).toEqual([true, false]);
  });

  test("markup in a name, a reason and the title stays text", async () => {
    const evil = '<img src=x onerror="globalThis.pwned = 1">';
    const { el } = await show({ ...run(row(evil, null, 0, { state: "failed", reason: evil, role: evil })), title: evil });

    expect(el.querySelector("img")).toBeNull();
    expect(find(el, evil).querySelector(".nm")!.textContent).toContain(evil);
  });

  test("an empty run says what to run", async () => {
    const { el } = await show(run());

    expect(el.textContent).toContain("No agents yet");
    expect([...el.querySelectorAll("pre")].map((each) => each.textContent)).toEqual([
      "%madrox spawn lead --role architect",
      "%madrox spawn lead --harness rehearsal",
    ]);
    expect(el.querySelector<HTMLElement>(".mx-tree")!.hidden).toBe(true);
  });

  test("an empty run tells what was found on the machine, once the kernel has said it", async () => {
    const { el, model } = await show(run());
    const told = () => el.querySelector<HTMLElement>(".mx-center > p:last-child")!;
    expect(told().hidden).toBe(true);

    const { id } = model.ops("ask").find((each) => each.what === "found")!;
    model.tell({ k: "answer", id, data: { here: ["claude", "rehearsal"], absent: ["codex"] } });
    await drawn();
    expect(told().hidden).toBe(false);
    expect(told().textContent).toContain("Found here: claude, rehearsal. Not found: codex.");
  });

  test("the keys of the notebook are kept away from the widget", async () => {
    const { el } = await show(run(...FAMILY));

    expect(el.firstElementChild!.getAttribute("data-lm-suppress-shortcuts")).toBe("true");
  });

  test("five thousand agents put a few dozen rows into the page, the right ones", async () => {
    const many = Array.from({ length: 5000 }, (_, i) => row(`a${i}`));
    const { el } = await show(run(...many));
    expect(rows(el).length).toBeLessThan(40);

    list(el).scrollTop = 26 * 3000;
    list(el).dispatchEvent(new Event("scroll"));
    await drawn();
    expect(names(el)).toContain("a3000");
    expect(rows(el).length).toBeLessThan(40);
  });
});

describe("changes", () => {
  test("a delta changes its row and leaves the others as they are", async () => {
    const { el, model } = await show(run(...FAMILY));
    const [kept, button] = [find(el, "backend"), verb(el, "ui")];
    model.rows(1, [row("ui", "lead", 1, { state: "idle" })]);
    await drawn();

    expect(find(el, "ui").textContent).toContain("idle");
    expect(find(el, "backend")).toBe(kept);
    expect(verb(el, "ui")).toBe(button);
  });

  test("a new agent takes its place and a gone one leaves", async () => {
    const { el, model } = await show(run(...FAMILY));
    model.rows(1, [row("db", "backend", 2)], ["lead", "backend", "api", "db", "ui"]);
    await drawn();

    expect(names(el)).toEqual(["lead", "backend", "api", "db", "ui"]);
  });

  test("a gap asks for everything once, and the snapshot mends it", async () => {
    const { el, model } = await show(run(...FAMILY));
    model.rows(3, []);
    model.rows(4, []);
    expect(model.ops("resync")).toMatchObject([{ topics: ["rows"] }]);

    model.whole("rows", 4, run(row("solo")));
    await drawn();
    expect(names(el)).toEqual(["solo"]);
    model.rows(5, [row("solo", null, 0, { state: "busy" })]);
    expect(model.ops("resync")).toHaveLength(1);
  });

  test("a gap at the end is found by the next heartbeat, which goes on asking", async () => {
    const { model } = await show(run(...FAMILY));
    model.beat({ rows: 2 });
    model.beat({ rows: 2 });

    expect(model.ops("resync")).toHaveLength(2);
  });

  test("what was sent before the view was drawn is in it, and two views agree", async () => {
    const { model, el, view } = await show(run(...FAMILY));
    model.rows(1, [row("ui", "lead", 1, { state: "failed", short: "overloaded" })]);
    const second = view().el;
    await drawn();

    expect(find(second, "ui").textContent).toContain("overloaded");
    expect(find(el, "ui").textContent).toContain("overloaded");
  });

  test("a closed view is gone and the other lives on; a closed model hears nothing more", async () => {
    const { model, el, close, view, end } = await show(run(...FAMILY));
    const second = view().el;
    close();
    model.rows(1, [row("ui", "lead", 1, { state: "failed" })]);
    await drawn();

    expect(el.childElementCount).toBe(0);
    expect(find(second, "ui").textContent).toContain("failed");
    end();
    expect(model.heard).toBe(0);
  });

  test("a view that could not be drawn says so, and the next picture clears it", async () => {
    const { model, el } = await show(run(...FAMILY));
    model.tell({ k: "news", t: [{ t: "rows", s: 0, error: "KeyError: 'lead'" }] });
    await drawn();
    expect(el.textContent).toContain("This view could not be drawn. The agents are not affected. KeyError: 'lead'");

    labelled(el, "Draw again").click();
    expect(model.ops("resync")).toHaveLength(1);
    model.whole("rows", 1, run(...FAMILY));
    await drawn();
    expect(el.textContent).not.toContain("could not be drawn");
  });
});

describe("verbs", () => {
  test("each agent has the one verb that fits", async () => {
    const { el } = await show(run(...FAMILY));
    const offered = rows(el).map((each) => each.querySelector<HTMLButtonElement>("button:not([hidden])")?.textContent);

    expect(offered).toEqual(["Interrupt", "Stop…", "Interrupt", "Interrupt", undefined]);
  });

  test("interrupt is sent at once and stays pressed until it is done", async () => {
    const { el, model } = await show(run(...FAMILY));
    verb(el, "ui").click();
    await drawn();
    const [asked] = model.ops("act");
    expect(asked).toMatchObject({ verb: "interrupt", agent: "ui" });
    expect(verb(el, "ui").disabled).toBe(true);

    model.tell({ k: "ack", id: asked!.id! });
    vi.advanceTimersByTime(PATIENCE);
    model.tell({ k: "done", id: asked!.id!, error: null });
    await drawn();
    expect(verb(el, "ui").disabled).toBe(false);
    expect(el.querySelector(".mx-note")).toBeNull();
  });

  test("a refusal is told where the hand was, and can be closed", async () => {
    const { el, model } = await show(run(...FAMILY));
    verb(el, "ui").click();
    model.tell({ k: "done", id: model.ops("act")[0]!.id!, error: "there is nothing to interrupt" });
    await drawn();
    expect(el.querySelector("[role=alert]")!.textContent).toContain(
      "ui was not interrupted: there is nothing to interrupt",
    );

    labelled(el, "Close").click();
    await drawn();
    expect(el.querySelector(".mx-note")).toBeNull();
  });

  test("a verb that nobody acknowledges is told, with the line that does the same", async () => {
    const { el } = await show(run(...FAMILY));
    verb(el, "ui").click();
    vi.advanceTimersByTime(PATIENCE);
    await drawn();

    expect(el.querySelector("[role=alert]")!.textContent).toContain("run %madrox interrupt ui");
  });

  test("stopping asks first, with numbers and the focus on the safe answer", async () => {
    const { el, model } = await show(run(...FAMILY));
    verb(el, "backend").click();

    const asked = el.querySelector("[role=alertdialog]")!;
    expect(asked.textContent).toContain("Stop backend and the 1 below it? 1 is in the middle of a turn.");
    expect(document.activeElement!.textContent).toBe("Keep running");
    expect(model.ops("act")).toHaveLength(0);

    labelled(el, "Stop 2 agents").click();
    await drawn();
    expect(model.ops("act")).toMatchObject([{ verb: "stop", agent: "backend" }]);
    expect(el.querySelector("[role=alertdialog]")).toBeNull();
    expect(document.activeElement).toBe(list(el));
  });

  test("Escape keeps it running", async () => {
    const { el, model } = await show(run(...FAMILY));
    verb(el, "backend").click();
    press("Escape");

    expect(el.querySelector("[role=alertdialog]")).toBeNull();
    expect(model.ops("act")).toHaveLength(0);
    expect(document.activeElement).toBe(list(el));
  });
});

describe("the link", () => {
  test("a view connects before it offers anything", async () => {
    const { el, model } = await show(run(...FAMILY), { connected: false });
    expect(model.ops("hello")).toHaveLength(1);
    expect(el.querySelector(".mx-live")!.textContent).toBe("connecting");
    expect(verb(el, "ui").disabled).toBe(true);

    model.beat();
    await drawn();
    expect(el.querySelector(".mx-live")!.textContent).toBe("live");
    expect(verb(el, "ui").disabled).toBe(false);
  });

  test("after fifteen silent seconds it looks dead, and a heartbeat brings it back", async () => {
    const { el, model } = await show(run(...FAMILY));
    vi.advanceTimersByTime(SILENCE - 1);
    model.beat();
    vi.advanceTimersByTime(SILENCE - 1);
    await drawn();
    expect(el.querySelector(".is-cut")).toBeNull();

    vi.advanceTimersByTime(1);
    await drawn();
    expect(el.querySelector(".is-cut")).not.toBeNull();
    expect(el.textContent).toContain("Disconnected. The kernel was last heard at");
    expect(find(el, "ui").textContent).toContain("was busy");
    expect(find(el, "old").textContent).not.toContain("was stopped");
    expect(verb(el, "ui").disabled).toBe(true);

    model.beat();
    await drawn();
    expect(el.querySelector(".is-cut")).toBeNull();
    expect(verb(el, "ui").disabled).toBe(false);
  });
});

describe("keys", () => {
  test("arrows, Home and End walk the rows", async () => {
    const { el } = await show(run(...FAMILY));
    list(el).focus();
    const walked = ["ArrowDown", "ArrowDown", "ArrowUp", "End", "Home"].map((key) => (press(key), active(el)));

    expect(walked).toEqual(["backend", "api", "backend", "old", "lead"]);
    expect(list(el).getAttribute("aria-activedescendant")).toBe(find(el, "lead").id);
  });

  test("left folds and goes to the parent, right unfolds and goes to the first child", async () => {
    const { el } = await show(run(...FAMILY));
    list(el).focus();
    press("ArrowRight");
    expect(active(el)).toBe("backend");
    press("ArrowLeft");
    expect(names(el)).toEqual(["lead", "backend", "ui", "old"]);
    expect(find(el, "backend").getAttribute("aria-expanded")).toBe("false");
    press("ArrowLeft");
    expect(active(el)).toBe("lead");
    press("ArrowDown");
    press("ArrowRight");
    press("ArrowRight");
    expect(active(el)).toBe("api");
  });

  test("Enter goes to the verb and an arrow comes back", async () => {
    const { el, model } = await show(run(...FAMILY));
    list(el).focus();
    press("Enter");
    expect(document.activeElement).toBe(verb(el, "lead"));
    press("ArrowLeft");
    expect(document.activeElement).toBe(list(el));
    expect(model.ops("act")).toHaveLength(0);
  });

  test("a letter finds the next agent that begins with it", async () => {
    const { el } = await show(run(...FAMILY));
    list(el).focus();
    press("u");

    expect(active(el)).toBe("ui");
  });

  test("the focus stays in the tree when the verb that held it goes away", async () => {
    const { el, model } = await show(run(...FAMILY));
    list(el).focus();
    press("End");
    press("ArrowUp");
    press("Enter");
    model.rows(1, [], ["lead", "backend", "api", "old"]);
    await drawn();

    expect(document.activeElement).toBe(list(el));
  });

  test("Escape gives the focus back to the notebook", async () => {
    const { el } = await show(run(...FAMILY));
    el.tabIndex = -1;
    list(el).focus();
    press("Escape");

    expect(document.activeElement).toBe(el);
  });

  test("the expander folds by mouse too, and a leaf has nothing to fold", async () => {
    const { el } = await show(run(...FAMILY));
    find(el, "api").querySelector<HTMLElement>(".tw")!.click();
    expect(names(el)).toHaveLength(5);
    find(el, "lead").querySelector<HTMLElement>(".tw")!.click();
    expect(names(el)).toEqual(["lead"]);
  });
});
