import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { card, FAMILY, named, press, who } from "./family";
import { drawn, row, run, shown } from "./model";

let ends: (() => void)[] = [];
const show = async (rows = run(...FAMILY), more: Parameters<typeof shown>[1] = {}) => {
  const made = shown(rows, { shows: "dashboard", ...more });
  ends.push(made.end);
  await drawn();
  return made;
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
});
afterEach(() => {
  ends.forEach((end) => end());
  ends = [];
  document.body.replaceChildren();
  vi.useRealTimers();
});

describe("the graph", () => {
  test("each agent is a card with what it does and costs", async () => {
    const { el } = await show();

    expect(card(el, "ui").textContent).toContain("claude · Bash npm test");
    expect(card(el, "lead").textContent).toContain("Σ 6.34");
    expect(card(el, "api").className).toContain("ask");
    expect(card(el, "old").className).toContain("bad");
    expect(card(el, "tired").className).toContain("off");
    expect(card(el, "api").getAttribute("aria-label")).toContain("api: waiting for you");
    expect(el.querySelectorAll(".mx-edge")).toHaveLength(5);
  });

  test("children stand right of their parent, siblings in the order of their spawning", async () => {
    const { el } = await show();
    const at = (name: string) => [parseFloat(card(el, name).style.left), parseFloat(card(el, name).style.top)] as const;

    expect(at("backend")[0]).toBe(at("ui")[0]);
    expect(at("api")[0]).toBeGreaterThan(at("backend")[0]);
    expect(at("backend")[1]).toBeLessThan(at("ui")[1]);
    expect(at("ui")[1]).toBeLessThan(at("old")[1]);
  });

  test("arrows walk by position, Enter goes to the box, and one card is a stop", async () => {
    const { el } = await show();
    card(el, "lead").focus();
    const walked = ["ArrowRight", "ArrowDown", "ArrowDown", "ArrowUp", "ArrowLeft"].map((key) => {
      press(key);
      return (document.activeElement as HTMLElement).dataset.agent;
    });
    expect(walked).toEqual(["backend", "ui", "old", "ui", "lead"]);
    expect(el.querySelectorAll(".mx-card[tabindex='0']")).toHaveLength(1);

    press("ArrowRight");
    press("Enter");
    await drawn();
    expect(who(el)).toBe("backend");
    expect(document.activeElement!.tagName).toBe("TEXTAREA");
  });

  test("left folds what is open, and the card says how many are below it", async () => {
    const { el } = await show();
    card(el, "lead").focus();
    press("ArrowRight");
    press("ArrowLeft");
    await drawn();
    expect(card(el, "api")).toBeNull();
    expect(card(el, "backend").textContent).toContain("+1");

    card(el, "backend").querySelector<HTMLElement>(".mx-more")!.click();
    await drawn();
    expect(card(el, "api")).not.toBeNull();
  });

  test("a message lights its edges, and what was there before one looked does not", async () => {
    const traffic = { messages: [{ id: "m1", from: "ui", to: "lead" }] };
    const { el, model } = await show(run(...FAMILY), { topics: { traffic } });
    expect(el.querySelectorAll(".mx-edge.hot")).toHaveLength(0);

    const list = { u: [{ id: "m2", from: "api", to: "ui" }], order: ["m1", "m2"] };
    model.change("traffic", 1, { lists: { messages: list }, key: { messages: "id" } });
    await drawn();
    expect(el.querySelectorAll(".mx-edge.hot")).toHaveLength(3); // api → backend → lead → ui
    expect(el.querySelectorAll(".mx-pulse")).toHaveLength(1);
  });

  test("who comes back from the past sees no old message arrive again", async () => {
    const messages = [{ id: "m1", from: "ui", to: "lead" }, { id: "m2", from: "api", to: "ui" }];
    const { el, model } = await show(run(...FAMILY), { topics: { traffic: { messages } } });
    for (const [s, there] of [messages.slice(0, 1), messages].entries()) {
      model.whole("traffic", s + 1, { messages: there });
      await drawn();
    }

    expect(el.querySelectorAll(".mx-edge.hot, .mx-pulse")).toHaveLength(0);
  });

  test("several messages on one way are one dot with their number, and there are twelve at most", async () => {
    const { el, model } = await show(run(...FAMILY), { topics: { traffic: { messages: [] } } });
    const three = [1, 2, 3].map((n) => ({ id: `m${n}`, from: "api", to: "backend" }));
    model.change("traffic", 1, { lists: { messages: { u: three, order: ["m1", "m2", "m3"] } }, key: { messages: "id" } });
    await drawn();
    expect([...el.querySelectorAll(".mx-pulse")].map((dot) => dot.textContent)).toEqual(["3"]);
  });

  test("pills above sixty agents, marks above four hundred", async () => {
    const many = (count: number) => run(row("top"), ...Array.from({ length: count }, (_, n) => row(`a${n}`, "top", 1)));
    const pills = await show(many(60));
    expect(pills.el.querySelectorAll(".mx-pill")).toHaveLength(61);

    const marks = await show(many(400));
    expect(marks.el.querySelectorAll(".mx-card, .mx-pill")).toHaveLength(0);
    expect(marks.el.querySelector(".mx-marks")!.getAttribute("aria-label")).toContain("401 agents as marks");
  });

  test("of hundreds of marks only those are painted anew that look different", async () => {
    const cleared: string[] = [];
    const paper = new Proxy({}, { get: () => () => ({ width: 0 }), set: () => true });
    const marked = new Proxy(paper, { get: (_, what) => (...at: unknown[]) => void (what === "clearRect" && cleared.push(at.join())) });
    const { getContext } = HTMLCanvasElement.prototype;
    HTMLCanvasElement.prototype.getContext = function () {
      return (this.closest(".mx-marks") ? marked : paper) as never;
    };
    ends.push(() => (HTMLCanvasElement.prototype.getContext = getContext));
    const { el, model } = await show(run(row("top"), ...Array.from({ length: 400 }, (_, n) => row(`a${n}`, "top", 1))));
    expect(cleared).toHaveLength(401);

    cleared.length = 0;
    model.rows(1, [row("a5", "top", 1, { state: "busy" }), row("a6", "top", 1, { tokens: 9 })]);
    await drawn();
    expect(cleared).toHaveLength(1);

    el.querySelector(".mx-marks")!.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true })); // a0 gets a frame, top keeps that of the chosen one
    await drawn();
    expect(cleared).toHaveLength(2);
  });

  test("places change at most twice a second, states at once", async () => {
    const { el, model } = await show();
    const order = [...FAMILY.map((each) => each.name), "db"];
    model.rows(1, [row("db", "lead", 1), row("ui", "lead", 1, { state: "failed", reason: "gone" })], order);
    await drawn();
    expect(card(el, "db")).toBeNull();
    expect(card(el, "ui").className).toContain("bad");

    vi.advanceTimersByTime(501);
    await drawn();
    expect(card(el, "db")).not.toBeNull();
  });
});

describe("a card", () => {
  test("says what its agent does and who runs it, or that it may take no turns", async () => {
    const held = row("held", "lead", 1, { held: true, now: "limit reached: $2.01 of $2.00 (lead)" });
    const { el } = await show(run(...FAMILY, held));
    const second = (name: string) => card(el, name).querySelector(".r2")!.textContent;

    expect(second("ui")).toBe("claude · Bash npm test");
    expect(second("api")).toBe("codex · waits for you");
    expect(second("old")).toBe("claude · failed: API overloaded");
    expect(second("held")).toBe("claude · limit reached");
    expect(card(el, "ui").querySelector(".mx-q")!.textContent).toBe("2");
  });
});

describe("the size of the graph", () => {
  test("0 shows all of it at once, and again as it is drawn; marks have one size", async () => {
    const { el, model } = await show();
    const graph = el.querySelector<HTMLElement>(".mx-graph")!;
    for (const side of ["clientWidth", "clientHeight"]) Object.defineProperty(graph, side, { value: 100, configurable: true });
    const scale = () => el.querySelector<HTMLElement>(".world")!.style.transform;
    card(el, "lead").focus();
    press("0");
    await drawn();
    expect(Number(/scale\((.*)\)/.exec(scale())![1])).toBeLessThan(0.4);

    press("0");
    await drawn();
    expect(scale()).toBe("");
    expect(named(el, "Fit").hidden).toBe(false);

    const many = Array.from({ length: 401 }, (_, n) => row(`a${n}`));
    vi.advanceTimersByTime(501);
    model.rows(1, many, many.map(({ name }) => name));
    await drawn();
    expect(named(el, "Fit").hidden).toBe(true);
  });
});

describe("search and filter", () => {
  test("what fits is shown with all above it, in the graph and in the list", async () => {
    const { el } = await show();
    const search = el.querySelector<HTMLInputElement>("input[type=search]")!;
    search.value = "api";
    search.dispatchEvent(new Event("input"));
    await drawn();
    expect([...el.querySelectorAll<HTMLElement>(".mx-card")].map((each) => each.dataset.agent)).toEqual(["lead", "backend", "api"]);
    expect([...el.querySelectorAll<HTMLElement>(".mx-card.way")].map((each) => each.dataset.agent)).toEqual(["lead", "backend"]);

    named(el, "List").click();
    await drawn();
    expect([...el.querySelectorAll<HTMLElement>(".mx-row.way")].map((each) => each.dataset.agent)).toEqual(["lead", "backend"]);
    expect([...el.querySelectorAll<HTMLElement>(".mx-row")].map((each) => each.dataset.agent)).toEqual(["lead", "backend", "api"]);
  });

  test("a count in the header filters by state, and pressed again shows all", async () => {
    const { el } = await show();
    named(el, "List").click();
    const failed = el.querySelector<HTMLElement>("[data-state=failed]")!;
    failed.click();
    await drawn();
    expect([...el.querySelectorAll<HTMLElement>(".mx-row")].map((each) => each.dataset.agent)).toEqual(["lead", "old"]);
    expect(el.querySelector("[data-state=failed]")!.getAttribute("aria-pressed")).toBe("true");

    el.querySelector<HTMLElement>("[data-state=failed]")!.click();
    await drawn();
    expect(el.querySelectorAll(".mx-row")).toHaveLength(6);
  });

  test("the menu filters by harness, is walked by arrows, and Esc gives the focus back", async () => {
    const { el } = await show();
    named(el, "List").click();
    const filter = [...el.querySelectorAll("button")].find((each) => each.textContent === "Filter")!;
    filter.click();
    const items = () => [...el.querySelectorAll<HTMLElement>("[role=menuitemcheckbox]")];
    expect(document.activeElement).toBe(items()[0]);
    press("ArrowDown");
    expect(document.activeElement).toBe(items()[1]);

    items().find((each) => each.textContent!.includes("codex"))!.click();
    await drawn();
    expect([...el.querySelectorAll<HTMLElement>(".mx-row")].map((each) => each.dataset.agent)).toEqual(["lead", "backend", "api"]);
    press("Escape");
    expect(el.querySelector("[role=menu]")).toBeNull();
    expect(document.activeElement).toBe(filter);
  });

  test("the menu finds those who are silent among the busy", async () => {
    const rows = [row("lead", null, 0, { state: "busy" }), row("mute", "lead", 1, { state: "busy", stalled: true }), row("ui", "lead", 1)];
    const { el } = await show(run(...rows));
    named(el, "List").click();
    [...el.querySelectorAll("button")].find((each) => each.textContent === "Filter")!.click();
    const items = [...el.querySelectorAll<HTMLElement>("[role=menuitemcheckbox]")];
    expect(items.slice(0, 3).map((each) => each.textContent)).toEqual(["busy2", "idle1", "busy, stalled1"]);

    items[2]!.click();
    await drawn();
    expect([...el.querySelectorAll<HTMLElement>(".mx-row:not(.way)")].map((each) => each.dataset.agent)).toEqual(["mute"]);
  });

  test("when nobody fits it says so, and shows all again", async () => {
    const { el } = await show();
    const search = el.querySelector<HTMLInputElement>("input[type=search]")!;
    search.value = "nobody of that name";
    search.dispatchEvent(new Event("input"));
    await drawn();
    expect(el.querySelector(".mx-tree-body")!.textContent).toContain("No agent fits.");

    named(el, "Show all").click();
    await drawn();
    expect(el.querySelectorAll(".mx-card")).toHaveLength(6);
  });
});
