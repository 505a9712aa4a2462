import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { panned, ticks, zoomed } from "../src/axis";
import { scene, tell, under, type Bar } from "../src/bars";
import { ANSWER } from "../src/link";
import { density, entryAt, timeOf, type Moments } from "../src/moments";
import type { Told } from "../src/spans";
import { drawn, row, run, shown } from "./model";

const BEGAN = 1_767_225_600;
const FAMILY = [row("lead", null, 0, { state: "busy" }), row("api", "lead", 1), row("ui", "lead", 1)];
const RUN = { ...run(...FAMILY), opened: BEGAN, closed: true };

/** Ten bins of ten seconds, ten entries in each, but for the fourth, which is empty. */
function moments(): Moments {
  let last = -1;
  const bins = Array.from({ length: 10 }, (_, at) => {
    const n = at === 3 ? 0 : 10;
    last += n;
    return { id: `b${at}`, n, last: n ? last : -1 };
  });
  return { first: BEGAN, width: 10, bins, last, now: BEGAN + 100 };
}

let ends: (() => void)[] = [];
const show = async (...args: Parameters<typeof shown>) => {
  const made = shown(...args);
  ends.push(made.end);
  await drawn();
  return made;
};
const find = <T extends HTMLElement = HTMLElement>(el: HTMLElement, css: string) => el.querySelector<T>(css)!;
const press = (on: HTMLElement, key: string, more = {}) =>
  on.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  HTMLCanvasElement.prototype.getContext = () => null; // nothing is painted here, and that is said once
});
afterEach(() => {
  ends.forEach((end) => end());
  ends = [];
  document.body.replaceChildren();
  vi.useRealTimers();
});

describe("which entry was when", () => {
  test("every entry is found again at its own time", () => {
    const told = moments();
    const entries = Array.from({ length: 90 }, (_, at) => at);

    expect(entries.map((entry) => entryAt(told, timeOf(told, entry) + 0.0001))).toEqual(entries);
  });

  test("before the beginning there is none, in a pause the one before it, after the end the last", () => {
    const told = moments();

    expect([BEGAN - 1, BEGAN + 35, BEGAN + 39.9, BEGAN + 500].map((at) => entryAt(told, at))).toEqual([-1, 29, 29, 89]);
  });

  test("the profile counts all entries, and ends before now when nothing happened since", () => {
    const heights = density(moments(), BEGAN, BEGAN + 200, 20);

    expect(heights.slice(0, 10)).toEqual([1, 1, 1, 0, 1, 1, 1, 1, 1, 1]);
    expect(heights.slice(10)).toEqual(new Array(10).fill(0));
  });

  test("bins that are wider or narrower than what is drawn leave no holes, and what was before the beginning is left out", () => {
    const many = { ...moments(), bins: moments().bins.map((bin) => ({ ...bin, n: 10 })) };
    for (const pieces of [7, 11, 13, 60]) {
      const heights = density(many, BEGAN, BEGAN + 100, pieces);
      expect(heights.map((height) => height.toFixed(6))).toEqual(new Array(pieces).fill("1.000000"));
    }
    expect(density(moments(), BEGAN + 30, BEGAN + 100, 7)).toEqual([0, 1, 1, 1, 1, 1, 1]);
  });
});

describe("the slider", () => {
  /** A dashboard whose agents are shown as a list. */
  const dashboard = async (more = {}) => {
    const made = await show({ ...RUN, ...more }, { shows: "dashboard", topics: { slider: moments() } });
    [...made.el.querySelectorAll("button")].find((each) => each.textContent === "List")!.click();
    await drawn();
    return made;
  };
  type Model = Awaited<ReturnType<typeof dashboard>>["model"];
  const asked = (model: Model) => model.ops("ask").filter((each) => each.topic === "slider").map((each) => (each.given as { at: number }).at);
  /** The kernel's answer to the last question: the lead was idle then. */
  const answer = async (model: Model) => {
    const last = model.ops("ask").filter((each) => each.topic === "slider").at(-1)!;
    const { at } = last.given as { at: number };
    const rows = { ...RUN, rows: [row("lead", null, 0, { state: "busy", now: `as of ${at}` })] };
    model.tell({ k: "answer", id: last.id, data: { at, now: BEGAN + at, topics: { rows } } });
    await drawn();
    await drawn();
  };

  test("says where it is, how many events there are, and that this is now", async () => {
    const { el } = await dashboard();
    const track = find(el, ".mx-track");

    expect(find(el, ".mx-scrub").textContent).toContain("90 events");
    expect([track.getAttribute("aria-valuenow"), track.getAttribute("aria-valuemax")]).toEqual(["89", "89"]);
    expect(track.getAttribute("aria-valuetext")).toBe("now");
    expect(find(el, ".mx-scrub .primary").hidden).toBe(true);
  });

  test("← asks for the entry before, everything is drawn as it was then, and End is live again", async () => {
    const { el, model } = await dashboard();
    press(find(el, ".mx-track"), "ArrowLeft");
    await drawn();
    expect(el.querySelectorAll(".mx-row")).toHaveLength(3); // nothing is empty while the answer is on its way
    await answer(model);

    expect(asked(model)).toEqual([88]);
    expect(find(el, ".madrox").classList.contains("is-past")).toBe(true);
    expect([...el.querySelectorAll<HTMLElement>(".mx-row")].map((each) => each.dataset.agent)).toEqual(["lead"]);
    expect(find(el, ".mx-row").textContent).toContain("as of 88");
    expect(find(el, ".mx-note").textContent).toContain("You are looking at 1:28");
    expect(find(el, ".mx-track").getAttribute("aria-valuetext")).toBe("1:28 of 1:40");

    press(find(el, ".mx-track"), "End");
    await drawn();
    expect(find(el, ".madrox").classList.contains("is-past")).toBe(false);
    expect(el.querySelectorAll(".mx-row")).toHaveLength(3);
    expect(find(el, ".mx-note")).toBeNull();
  });

  test("the keys go an event, a minute, to the start", async () => {
    const { el, model } = await dashboard();
    const track = find(el, ".mx-track");
    const seen = [];
    for (const key of ["PageUp", "ArrowRight", "PageDown", "Home", "ArrowLeft", "ArrowUp"]) {
      press(track, key);
      await drawn();
      if (find(el, ".madrox").classList.contains("is-past")) await answer(model);
      seen.push(track.getAttribute("aria-valuenow"));
    }

    expect(seen).toEqual(["29", "30", "89", "0", "0", "1"]);
  });

  test("a key with a modifier, or on another element, is left to the page", async () => {
    const { el, model } = await dashboard();
    press(find(el, ".mx-track"), "ArrowLeft", { ctrlKey: true });
    press(find(el, ".mx-scrub button"), "ArrowLeft");

    expect(asked(model)).toEqual([]);
  });

  test("while one moment is on its way the others wait, and the newest wins", async () => {
    const { el, model } = await dashboard();
    for (let step = 0; step < 5; step++) press(find(el, ".mx-track"), "ArrowLeft");
    expect(asked(model)).toEqual([88]);
    await answer(model);

    expect(asked(model)).toEqual([88, 84]);
  });

  test("what is wanted while a moment is on its way is asked for after it", async () => {
    const { el, model } = await dashboard();
    const topics = () => (model.ops("ask").filter((each) => each.topic === "slider").at(-1)!.given as { topics: string[] }).topics;
    press(find(el, ".mx-track"), "ArrowLeft");
    find(el, "[data-tab=inbox]").click();
    await drawn();
    expect(topics()).not.toContain("inbox:lead");
    await answer(model);

    expect(asked(model)).toEqual([88, 88]);
    expect(topics()).toContain("inbox:lead");
  });

  test("an answer that comes after one has gone back to live changes nothing", async () => {
    const { el, model } = await dashboard();
    press(find(el, ".mx-track"), "ArrowLeft");
    press(find(el, ".mx-track"), "End");
    await answer(model);

    expect(find(el, ".madrox").classList.contains("is-past")).toBe(false);
    expect(el.querySelectorAll(".mx-row")).toHaveLength(3);
  });

  test("while the kernel reads a long ledger, how far it is is said and counted on, until the moment is there", async () => {
    const { el, model } = await dashboard();
    press(find(el, ".mx-track"), "ArrowLeft");
    const { id } = model.ops("ask").at(-1)!;
    const said = [];
    for (const read of [12_500, 730_000]) {
      model.tell({ k: "reading", id, read, of: 1_000_000 });
      await drawn();
      said.push(find(el, ".mx-note").textContent);
    }
    expect(said).toEqual(["12,500", "730,000"].map((read) => `Reading the ledger: ${read} of 1,000,000 events. Until then everything below stays as it is.`));
    expect(find(el, ".mx-track").getAttribute("aria-busy")).toBe("true");
    expect(el.querySelectorAll(".mx-row")).toHaveLength(3);

    await answer(model);
    expect(find(el, ".mx-note").textContent).toContain("You are looking at 1:28");
    expect(find(el, ".mx-track").hasAttribute("aria-busy")).toBe(false);
    expect(model.ops("drop")).toEqual([]);
  });

  test("what is read for long may take longer than an answer may, as long as the kernel reads on", async () => {
    const { el, model } = await dashboard();
    press(find(el, ".mx-track"), "ArrowLeft");
    const { id } = model.ops("ask").at(-1)!;
    for (let at = 1; at <= 3; at++) {
      vi.advanceTimersByTime(ANSWER - 1000);
      model.tell({ k: "reading", id, read: at, of: 90 });
    }
    await drawn();
    expect(find(el, ".mx-note").textContent).toContain("3 of 90 events");

    vi.advanceTimersByTime(ANSWER);
    model.beat({ rows: 0, slider: 0 });
    await drawn();
    await drawn();
    expect(find(el, ".mx-note").textContent).toContain("The past can't be shown: the kernel has not answered");
    expect(find(el, ".madrox").classList.contains("is-past")).toBe(false);
  });

  test("a moment that is read for is given up when another one is wanted, or the present", async () => {
    const { el, model } = await dashboard();
    const track = find(el, ".mx-track");
    press(track, "ArrowLeft");
    const first = model.ops("ask").at(-1)!.id;
    press(track, "Home");
    model.tell({ k: "reading", id: first, read: 40, of: 89 });
    await drawn();
    expect(model.ops("drop")).toMatchObject([{ id: first }]);
    expect(asked(model)).toEqual([88, 0]); // and the other one is asked for at once

    const second = model.ops("ask").at(-1)!.id;
    press(track, "End");
    model.tell({ k: "reading", id: second, read: 1, of: 2 });
    await drawn();
    expect(model.ops("drop")).toMatchObject([{ id: first }, { id: second }]);
    expect(asked(model)).toEqual([88, 0]);
    expect(find(el, ".madrox").classList.contains("is-past")).toBe(false);
    expect(find(el, ".mx-note")).toBeNull(); // nobody is told that something failed
  });

  test("a moment before the first agent can be left again", async () => {
    const { el, model } = await dashboard();
    press(find(el, ".mx-track"), "Home");
    const last = model.ops("ask").at(-1)!;
    model.tell({ k: "answer", id: last.id, data: { at: 0, now: BEGAN, topics: { rows: { ...RUN, rows: [] } } } });
    await drawn();
    await drawn();

    expect(el.querySelectorAll(".mx-row")).toHaveLength(0);
    find(el, ".mx-scrub .primary").click();
    await drawn();
    expect(el.querySelectorAll(".mx-row")).toHaveLength(3);
    expect(document.activeElement).toBe(find(el, ".mx-track"));
  });

  test("Stop all acts in the past, on who is there now; nothing else does", async () => {
    const { el, model } = await dashboard({ closed: false });
    press(find(el, ".mx-track"), "Home");
    await answer(model);
    const stop = find<HTMLButtonElement>(el, ".mx-head .stop");
    expect([stop.hidden, stop.disabled]).toEqual([false, false]);
    expect([...el.querySelectorAll<HTMLButtonElement>(".mx-verbs button")].every((each) => each.disabled)).toBe(true);

    stop.click();
    expect(find(el, ".mx-note").textContent).toContain("Stop 3 agents?");
    find(el, ".mx-note .danger").click();
    expect(model.ops("act")).toMatchObject([{ verb: "stop_all" }]);
  });

  test("a moment that can't be shown says why, and the present is back", async () => {
    const { el, model } = await dashboard();
    press(find(el, ".mx-track"), "ArrowLeft");
    model.tell({ k: "answer", id: model.ops("ask").at(-1)!.id, error: "the ledger is gone" });
    await drawn();
    await drawn();

    expect(find(el, ".mx-note").textContent).toContain("The past can't be shown: the ledger is gone");
    expect(find(el, ".madrox").classList.contains("is-past")).toBe(false);
  });

  test("Space plays from the beginning, shows a pause, and ends live", async () => {
    const { el, model } = await dashboard();
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] }); // frames need the real ones
    press(find(el, ".mx-track"), " ");
    expect(find(el, ".mx-scrub button").getAttribute("aria-label")).toBe("Pause");
    vi.advanceTimersByTime(15_000);
    vi.useRealTimers();
    await answer(model);
    expect(asked(model)[0]).toBe(0);
    expect(asked(model).at(-1)).toBeGreaterThan(30);
    expect(asked(model).at(-1)).toBeLessThan(60);

    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    press(find(el, ".mx-track"), " ");
    press(find(el, ".mx-track"), " ");
    vi.advanceTimersByTime(35_000);
    vi.useRealTimers();
    await drawn();
    expect(find(el, ".madrox").classList.contains("is-past")).toBe(false);
    expect(find(el, ".mx-scrub button").getAttribute("aria-label")).toBe("Play from here");
  });

  test("without a kernel it stands still", async () => {
    const { el, model } = await dashboard();
    vi.advanceTimersByTime(16_000);
    await drawn();
    press(find(el, ".mx-track"), "ArrowLeft");

    expect(find(el, ".mx-track").hasAttribute("aria-disabled")).toBe(true);
    expect(asked(model)).toEqual([]);
  });
});

const bar = (id: string, a: string, k: Bar["k"], b: number, e: number | null, more: Partial<Bar> = {}): Bar => ({
  ...{ id, a, k, b: BEGAN + b, e: e === null ? null : BEGAN + e },
  ...more,
});
const WINDOW = { since: BEGAN, until: BEGAN + 100, pixels: 1000, now: BEGAN + 100, rows: new Map([["lead", 0], ["api", 1]]) };

describe("what a timeline draws", () => {
  test("each bar in its row, from when to when, tools over turns", () => {
    const { boxes } = scene([bar("t2", "api", "tool", 20, 30), bar("t1", "api", "turn", 10, null)], [], WINDOW);

    expect(boxes.map(({ bar, x, y, w }) => [bar.k, x, y, w])).toEqual([
      ["turn", 100, 22, 900],
      ["tool", 200, 24, 100],
    ]);
  });

  test("what is outside, or of an agent that is not shown, is left out", () => {
    const bars = [bar("1", "api", "turn", -9, -1), bar("2", "api", "turn", 101, null), bar("3", "nobody", "turn", 1, 2)];

    expect(scene(bars, [], WINDOW).boxes).toEqual([]);
  });

  test("a turn in which nothing was heard for two minutes is silent, unless a tool is at work", () => {
    const turn = bar("t1", "api", "turn", 0, null, { h: BEGAN + 10 });
    const late = { ...WINDOW, until: BEGAN + 200, now: BEGAN + 140 };

    expect(scene([turn], [], late).boxes.map(({ bar }) => bar.k)).toEqual(["turn", "silent"]);
    expect(scene([turn], [], { ...late, now: BEGAN + 129 }).boxes.map(({ bar }) => bar.k)).toEqual(["turn"]);
    expect(scene([turn, bar("t2", "api", "tool", 10, null)], [], late).boxes.map(({ bar }) => bar.k)).toEqual(["turn", "tool"]);
  });

  test("ten thousand bars in a few pixels are drawn as few, and a failure among them is kept", () => {
    const many = Array.from({ length: 10_000 }, (_, at) => bar(`t${at}`, "api", "tool", at / 100, at / 100 + 0.005, at === 5000 ? { x: true } : {}));
    const { boxes } = scene(many, [], WINDOW);

    expect(boxes.length).toBeLessThan(1100);
    expect(boxes.some(({ bar }) => bar.id === "t5000")).toBe(true);
  });

  test("a message is a line between two rows; from somebody who is not shown only its end", () => {
    const sent = [{ id: "m1", t: BEGAN + 50, from: "lead", to: "api" }, { id: "m2", t: BEGAN + 60, from: "you", to: "lead" }];

    expect(scene([], sent, WINDOW).messages.map(({ x, from, to }) => [x, from, to])).toEqual([
      [500, 9, 27],
      [600, null, 9],
    ]);
  });

  test("the topmost bar under the pointer is found, a thin one with some pixels to spare", () => {
    const made = scene([bar("t1", "api", "turn", 10, 50), bar("t2", "api", "tool", 20, 20.1)], [], WINDOW);

    expect(under(made, 201, 27)?.bar.id).toBe("t2");
    expect(under(made, 300, 27)?.bar.id).toBe("t1");
    expect(under(made, 300, 9)).toBeUndefined();
    expect(under(scene([bar("t2", "api", "tool", 20, 20.1)], [], WINDOW), 203, 27)?.bar.id).toBe("t2");
  });

  test("it is told with who, what, how long and when", () => {
    const told = (each: Bar) => tell(each, BEGAN + 100, BEGAN);

    expect(told(bar("t", "api", "tool", 12, 54, { s: "Edit service.py" }))).toBe("api: Edit service.py, 0:42 at 0:12");
    expect(told(bar("t", "api", "wait", 40, null, { s: "Bash rm" }))).toBe("api: waits for you: Bash rm, 1:00 so far at 0:40");
    expect(told(bar("t", "api", "turn", 0, 9, { x: true, n: 3 }))).toBe("api: turn, failed, 3 of them, 0:09 at 0:00");
  });
});

describe("the axis", () => {
  const whole = { since: 0, until: 1000 };

  test("zooming keeps what is under the pointer in its place, and ends at the whole", () => {
    expect(zoomed(whole, 0.5, 250, whole)).toEqual({ since: 125, until: 625 });
    expect(zoomed({ since: 125, until: 625 }, 4, 250, whole)).toEqual(whole);
    expect(zoomed({ since: 0, until: 1 }, 0.001, 0.5, whole)).toEqual({ since: 0.25, until: 0.75 });
  });

  test("panning stops at both ends", () => {
    expect(panned({ since: 100, until: 200 }, -500, whole)).toEqual({ since: 0, until: 100 });
    expect(panned({ since: 100, until: 200 }, 5000, whole)).toEqual({ since: 900, until: 1000 });
  });

  test("marks stand at round times since the beginning, with room for their words", () => {
    expect(ticks({ since: 7, until: 879 }, 7, 990).map((each) => each.label)).toEqual(
      ["0:00", "2:00", "4:00", "6:00", "8:00", "10:00", "12:00", "14:00"],
    );
  });
});

describe("the timeline", () => {
  const bars = [bar("t1", "lead", "turn", 0, 60), bar("t2", "lead", "tool", 10, 20, { s: "Bash ls" }), bar("t3", "api", "turn", 30, null)];
  const told = (more: Partial<Told> = {}): Told => ({ bars, messages: [], first: BEGAN, now: BEGAN + 100, more: 0, above: 0, ...more });
  const timeline = (more: Partial<Told> = {}) => show(RUN, { shows: "timeline", topics: { timeline: told(more) } });

  test("has a row for each agent, as in the tree", async () => {
    const { el } = await timeline();

    expect([...el.querySelectorAll<HTMLElement>(".lab")].map((each) => each.dataset.agent)).toEqual(["lead", "api", "ui"]);
    expect(find(el, "canvas").getAttribute("aria-label")).toContain("Timeline of 3 agents");
  });

  test("the arrows go from bar to bar and tell what each is", async () => {
    const { el } = await timeline();
    const said = [];
    for (const key of ["ArrowDown", "ArrowRight", "ArrowRight", "ArrowDown", "ArrowUp"]) {
      press(find(el, "canvas"), key);
      await drawn();
      said.push(find(el, ".mx-tell").textContent);
    }

    expect(said).toEqual([
      "lead: turn, 1:00 at 0:00",
      "lead: Bash ls, 0:10 at 0:10",
      "lead: Bash ls, 0:10 at 0:10",
      "api: turn, 1:10 so far at 0:30",
      "lead: Bash ls, 0:10 at 0:10",
    ]);
  });

  test("plus looks closer, 0 shows all again, and the wheel zooms only with Ctrl", async () => {
    const { el } = await timeline();
    const canvas = find(el, "canvas");
    const wheel = async (more = {}) => {
      const event = new WheelEvent("wheel", { deltaY: -100, cancelable: true, ...more });
      canvas.dispatchEvent(event);
      await drawn();
      return [event.defaultPrevented, canvas.classList.contains("can-pan")];
    };

    expect(await wheel()).toEqual([false, false]);
    expect(await wheel({ ctrlKey: true })).toEqual([true, true]);
    press(canvas, "0");
    await drawn();
    expect(canvas.classList.contains("can-pan")).toBe(false);
    press(canvas, "+");
    await drawn();
    expect(canvas.classList.contains("can-pan")).toBe(true);
  });

  test("older bars are asked for once, with a window and what a pixel is, and then drawn", async () => {
    const { el, model } = await timeline({ more: 500, bars: bars.slice(2) });
    vi.advanceTimersByTime(500);
    const asks = () => model.ops("ask").filter((each) => each.what === "window");
    expect(asks()).toMatchObject([{ topic: "timeline", given: { since: BEGAN - 50, until: BEGAN + 150 } }]);

    model.tell({ k: "answer", id: asks()[0]!.id, data: { bars: bars.slice(0, 2), messages: [], step: 0.1 } });
    await drawn();
    await drawn();
    press(find(el, "canvas"), "ArrowDown");
    await drawn();
    expect(find(el, ".mx-tell").textContent).toBe("lead: turn, 1:00 at 0:00");
    vi.advanceTimersByTime(5000);
    expect(asks()).toHaveLength(1);
  });

  test("a bar that went on when it was asked for, and is not among the newest now, is asked for again", async () => {
    const { model } = await timeline({ more: 500, bars: bars.slice(0, 1) });
    vi.advanceTimersByTime(500);
    const asks = () => model.ops("ask").filter((each) => each.what === "window");
    model.tell({ k: "answer", id: asks()[0]!.id, data: { bars: bars.slice(2), messages: [], step: 0.1 } });
    await drawn();
    await drawn();
    vi.advanceTimersByTime(500);

    expect(asks()).toHaveLength(2);
  });

  test("a name with markup is text", async () => {
    const evil = "<img src=x>";
    const made = { ...run(row(evil)), opened: BEGAN, closed: true };
    const { el } = await show(made, { shows: "timeline", topics: { timeline: told({ bars: [bar("t", evil, "turn", 0, 9, { s: evil })] }) } });
    press(find(el, "canvas"), "ArrowDown");

    expect(el.querySelector("img")).toBeNull();
    expect(find(el, ".mx-tell").textContent).toBe(`${evil}: turn: ${evil}, 0:09 at 0:00`);
  });
});
