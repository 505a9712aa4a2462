import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { PATIENCE } from "../src/link";
import { Store } from "../src/store";
import { View } from "../src/view";
import { card, FAMILY, named, press, who } from "./family";
import { drawn, FakeModel, row, run, shown } from "./model";

let ends: (() => unknown)[] = [];
const show = async (rows = run(...FAMILY), more: Parameters<typeof shown>[1] = {}) => {
  const made = shown(rows, { shows: "dashboard", ...more });
  ends.push(made.end);
  await drawn();
  return made;
};
/** What this page wants, but for what the views below want. */
const wanted = (model: Awaited<ReturnType<typeof show>>["model"]) =>
  model.ops("want").at(-1)!.topics!.filter((topic) => !["timeline", "slider"].includes(topic));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
});
afterEach(() => {
  ends.forEach((end) => end());
  ends = [];
  document.body.replaceChildren();
  vi.useRealTimers();
});

describe("the frame", () => {
  test("it wants what it shows and nothing else", async () => {
    const { el, model } = await show();
    expect(wanted(model)).toEqual(["conversation:lead", "rows", "traffic"]);

    card(el, "ui").click();
    named(el, "List").click();
    el.querySelector<HTMLElement>("[data-tab=inbox]")!.click();
    await drawn();
    expect(wanted(model)).toEqual(["inbox:ui", "rows"]);
  });

  test("a piece that can't be drawn is told above, and the others are drawn all the same", async () => {
    const { el, model } = await show();
    const said = vi.spyOn(console, "error").mockImplementation(() => undefined);
    ends.push(() => said.mockRestore());
    model.whole("conversation:lead", 1, { items: [null] });
    model.rows(1, [row("ui", "lead", 1, { state: "failed", short: "exit code 1" })]);
    await drawn();
    expect(el.querySelector(".mx-note.err")!.textContent).toContain("This view could not be drawn. The agents are not affected. TypeError");
    expect(card(el, "ui").textContent).toContain("failed: exit code 1");

    model.whole("conversation:lead", 2, { items: [], before: 0 });
    await drawn();
    expect(el.querySelector(".mx-note.err")).toBeNull();
  });

  test("two views want what both show, and one that is closed takes only its own", async () => {
    const { model, view } = await show();
    const second = view();
    await drawn();
    second.el.querySelector<HTMLElement>("[data-tab=details]")!.click();
    await drawn();
    expect(wanted(model)).toEqual(["conversation:lead", "details:lead", "rows", "traffic"]);

    second.close();
    expect(wanted(model)).toEqual(["conversation:lead", "rows", "traffic"]);
  });

  test("a kernel that has forgotten what this page wants is told again", async () => {
    const { model } = await show();
    const before = model.ops("want").length;
    model.beat({ rows: 0 });

    expect(model.ops("want")).toHaveLength(before + 1);
    expect(wanted(model)).toContain("conversation:lead");
  });

  test("what needs the person is told in order, and leads there", async () => {
    const { el } = await show();
    const items = [...el.querySelectorAll<HTMLElement>(".mx-needs .item")];
    expect(items.map((each) => each.textContent)).toEqual([
      "api asks: Edit service.py",
      "old failed: API overloaded",
      "tired at 86 % of $2.00",
    ]);

    items[0]!.click();
    await drawn();
    expect(who(el)).toBe("api");
    expect(el.querySelector<HTMLElement>(".mx-dock [aria-selected=true]")!.dataset.tab).toBe("approvals");
  });

  test("what is told in a few words has the whole as its name", async () => {
    const { el } = await show();
    const [asks, failed] = [...el.querySelectorAll(".mx-needs .item")] as [Element, Element];

    expect(asks.getAttribute("aria-label")).toBe("api asks: Edit src/refunds/service.py");
    expect(failed.getAttribute("aria-label")).toBe("old failed: API overloaded after 5 retries");
    expect(failed.getAttribute("title")).toBe("old failed: API overloaded after 5 retries");
  });

  test("of twelve things four are told, and the others in a menu that leads there", async () => {
    const many = Array.from({ length: 12 }, (_, n) => row(`a${n}`, null, 0, { state: "failed", short: "overloaded" }));
    const { el, model } = await show(run(...many));
    const needs = el.querySelector<HTMLElement>(".mx-needs")!;
    expect(needs.querySelectorAll(".item")).toHaveLength(4);

    named(el, "and 8 more").click();
    const more = [...needs.querySelectorAll<HTMLElement>("[role=menuitem]")];
    expect(more.map((each) => each.textContent)).toEqual(many.slice(4).map(({ name }) => `${name} failed: overloaded`));
    expect(needs.querySelectorAll(".item")).toHaveLength(4);

    model.rows(1, [row("a0", null, 0, { state: "failed", short: "exit code 1" })]);
    await drawn();
    expect(needs.querySelectorAll("[role=menuitem]")).toHaveLength(8); // what changes meanwhile does not shut it
    more[7]!.click();
    await drawn();
    expect(who(el)).toBe("a11");
    expect(needs.querySelector("[role=menu]")).toBeNull();
  });

  test("when nothing needs the person there is no such line", async () => {
    const { el } = await show(run(row("lead")));

    expect(el.querySelector<HTMLElement>(".mx-needs")!.hidden).toBe(true);
  });

  test("stopping everybody asks first, with numbers and the focus on the safe answer", async () => {
    const { el, model } = await show();
    named(el, "Stop all…").click();
    expect(el.querySelector("[role=alertdialog]")!.textContent).toContain("Stop 5 agents? 3 are in the middle of a turn.");
    expect(document.activeElement!.textContent).toBe("Keep running");
    expect(model.ops("act")).toHaveLength(0);

    named(el, "Stop 5 agents").click();
    expect(model.ops("act")).toMatchObject([{ verb: "stop_all", agent: "" }]);
  });

  test("edges between panes are moved by keys and put back by Enter", async () => {
    const { el } = await show();
    const edge = el.querySelector<HTMLElement>(".mx-sep.vertical")!;
    edge.focus();
    press("ArrowRight");
    press("ArrowRight");
    expect(edge.getAttribute("aria-valuenow")).toBe("64");
    expect((el.firstElementChild as HTMLElement).style.getPropertyValue("--mx-left")).toBe("64%");
    press("End");
    expect(edge.getAttribute("aria-valuenow")).toBe("75");
    press("Enter");
    expect(edge.getAttribute("aria-valuenow")).toBe("56");
  });

  test("tabs are one stop, walked by arrows", async () => {
    const { el } = await show();
    const tabs = [...el.querySelectorAll<HTMLElement>(".mx-right [role=tab]")];
    expect(tabs.map((tab) => tab.tabIndex)).toEqual([0, -1, -1, -1]);

    tabs[0]!.focus();
    press("ArrowLeft");
    await drawn();
    expect(document.activeElement!.textContent).toContain("Details");
    expect(tabs.map((tab) => tab.tabIndex)).toEqual([-1, -1, -1, 0]);
    expect(document.getElementById(tabs[3]!.getAttribute("aria-controls")!)!.getAttribute("role")).toBe("tabpanel");
  });

  test("a part that can't be told says why, and the others go on", async () => {
    const { el, model } = await show();
    model.tell({ k: "news", t: [{ t: "conversation:lead", s: 0, error: "KeyError: 'x'" }] });
    await drawn();

    expect(el.querySelector("[role=alert]")!.textContent).toContain("The agents are not affected. KeyError: 'x'");
    expect(card(el, "ui")).not.toBeNull();
  });

  test("disconnected, every verb is off and the text box says so", async () => {
    const { el } = await show();
    vi.advanceTimersByTime(15_000);
    await drawn();

    expect(named(el, "Stop all…").disabled).toBe(true);
    expect(named(el, "Send").disabled).toBe(true);
    expect(el.querySelector(".mx-doing")!.textContent).toContain("Sending is off while disconnected.");
    expect(card(el, "lead").textContent).toContain("reads 2 replies");
  });
});

describe("a kernel that does not hear its widgets", () => {
  const kernel = () => {
    const ran: string[] = [];
    const made = {
      clone: () => ({ ...made }),
      requestCreateSubshell: () => ({ done: Promise.resolve({ content: { subshell_id: "s1" } }) }),
      requestDeleteSubshell: () => ({ done: Promise.resolve() }),
      requestExecute: ({ code }: { code: string }) => (ran.push(code), { done: Promise.resolve() }),
    };
    return { made, ran };
  };
  const press = async (name: string, acknowledged = false) => {
    const model = new FakeModel({ _snap: { t: [{ t: "rows", s: 0, snap: run(row(name, null, 0, { state: "busy" })) }] }, _key: "abc123" });
    const { made, ran } = kernel();
    Object.assign(model, { widget_manager: { kernel: made } });
    const life = new AbortController();
    ends.push(() => life.abort());
    const store = new Store(model, life.signal);
    model.beat();
    void store.act("interrupt", name);
    if (acknowledged) model.tell({ k: "ack", id: model.ops("act")[0]!.id! });
    await vi.advanceTimersByTimeAsync(1000);
    return { ran, id: model.ops("act")[0]!.id };
  };

  test("is told by a subshell of ours, with the same id", async () => {
    const { ran, id } = await press("lead");
    expect(ran).toEqual([`__import__("madrox_nb.widgets").widgets.pressed("abc123", "${id}", "interrupt", "lead")`]);
  });

  test("one that has acknowledged is not told again", async () => {
    expect((await press("lead", true)).ran).toEqual([]);
  });

  test("no name an agent may have becomes code", async () => {
    expect((await press('x"); import os; ("')).ran).toEqual([]);
  });
});

describe("the past", () => {
  const look = async () => {
    const model = new FakeModel({ _snap: { t: [{ t: "rows", s: 0, snap: run(...FAMILY) }] }, _shows: "dashboard" });
    const life = new AbortController();
    ends.push(() => life.abort());
    const store = new Store(model, life.signal);
    const el = document.createElement("div");
    document.body.append(el);
    new View(el, store, life.signal);
    model.beat();
    store.go(581);
    await drawn();
    return { el, model, store };
  };
  const answer = (model: FakeModel, rows: ReturnType<typeof run>, n = -1) =>
    model.tell({ k: "answer", id: model.ops("ask").at(n)!.id!, data: { topics: { rows } } });

  test("everything is drawn as it was, only stopping all acts, and back to live is one button", async () => {
    const { el, model } = await look();
    expect(model.ops("ask")).toMatchObject([{ what: "at", given: { at: 581 } }]);
    answer(model, run(row("lead", null, 0, { state: "idle" })));
    await drawn();
    await drawn();
    expect(el.querySelector(".madrox")!.className).toContain("is-past");
    expect([...el.querySelectorAll(".mx-counts button")].map((each) => each.textContent)).toEqual(["1 idle"]);
    expect(el.querySelector(".mx-live")!.textContent).toBe("past");
    expect(named(el, "Send").disabled).toBe(true);
    expect(named(el, "Stop… lead").disabled).toBe(true);
    named(el, "Stop all…").click();
    expect(el.querySelector("[role=alertdialog]")!.textContent).toContain("Stop 5 agents?");
    named(el, "Keep running").click();

    named(el, "Back to live").click();
    await drawn();
    expect(el.querySelectorAll(".mx-counts button")).toHaveLength(5);
  });

  test("while one moment is on its way the next waits, and the newest wins", async () => {
    const { model, store } = await look();
    store.go(582);
    store.go(590);
    expect(model.ops("ask")).toHaveLength(1);
    answer(model, run(row("lead")));
    await drawn();

    expect(model.ops("ask").map(({ given }) => (given as { at: number }).at)).toEqual([581, 590]);
  });

  test("a past that can't be shown is told, and the present is there", async () => {
    const { el, model, store } = await look();
    model.tell({ k: "answer", id: model.ops("ask")[0]!.id!, error: "no entry 581" });
    await drawn();
    await drawn();

    expect(el.querySelector("[role=alert]")!.textContent).toContain("The past can't be shown: no entry 581");
    expect(store.at).toBeNull();
  });
});

describe("the box", () => {
  const box = (el: HTMLElement) => el.querySelector("textarea")!;
  const write = (el: HTMLElement, said: string) => (box(el).value = said);

  test("Shift+Enter sends what is written, Enter alone does not, and it is gone when it was taken", async () => {
    const { el, model } = await show();
    write(el, "go on\nplease");
    box(el).focus();
    press("Enter");
    expect(model.ops("act")).toHaveLength(0);
    press("Enter", { shiftKey: true });
    const [sent] = model.ops("act");
    expect(sent).toMatchObject({ verb: "send", agent: "lead", given: { text: "go on\nplease" } });
    expect(box(el).value).toBe("go on\nplease");

    model.tell({ k: "done", id: sent!.id!, error: null });
    await drawn();
    expect(box(el).value).toBe("");
  });

  test("a refusal stands where the hand was, and the text is kept", async () => {
    const { el, model } = await show();
    write(el, "hello");
    named(el, "Send").click();
    model.tell({ k: "done", id: model.ops("act")[0]!.id!, error: "lead takes no turns" });
    await drawn();

    expect(el.querySelector(".mx-foot [role=alert]")!.textContent).toBe("Not sent: lead takes no turns. Your text is kept.");
    expect(box(el).value).toBe("hello");
    expect(el.querySelector(".mx-note")).toBeNull();
  });

  test("a send that nobody acknowledges is told after three seconds", async () => {
    const { el } = await show();
    write(el, "hello");
    named(el, "Send").click();
    vi.advanceTimersByTime(PATIENCE);
    await drawn();

    expect(el.querySelector(".mx-foot [role=alert]")!.textContent).toContain("%madrox send lead");
  });

  test("each agent keeps what was begun for it", async () => {
    const { el } = await show();
    write(el, "for lead");
    card(el, "ui").click();
    await drawn();
    expect(box(el).value).toBe("");
    card(el, "lead").click();
    await drawn();

    expect(box(el).value).toBe("for lead");
  });

  test("the verb that fits what happens stands above it", async () => {
    const { el, model } = await show();
    const verb = () => el.querySelector<HTMLElement>(".mx-doing button")!;
    expect(verb().textContent).toBe("Interrupt");
    verb().click();
    expect(model.ops("act")).toMatchObject([{ verb: "interrupt", agent: "lead" }]);

    card(el, "tired").click();
    await drawn();
    expect(verb().textContent).toBe("Resume");
    card(el, "backend").click();
    await drawn();
    expect(verb().hidden).toBe(true);
    card(el, "old").click();
    await drawn();
    expect(el.querySelector<HTMLElement>(".mx-box")!.hidden).toBe(true);
  });
});
