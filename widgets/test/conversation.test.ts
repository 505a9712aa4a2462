import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { legible } from "../src/element";
import signs from "./legible.json";
import { marked } from "../src/markdown";
import type { Item } from "../src/parts/item";
import type { Data } from "../src/topics";
import { drawn, row, run, shown } from "./model";

const said = (id: string, text: string, more: Partial<Item> = {}): Item => ({ ...{ id, at: 0, kind: "said", text, text_more: 0 }, ...more });
const call = (id: string, more: Partial<Item>): Item => ({
  ...{ id, at: 0, kind: "call", tool: "Bash", argument: "npm test", ok: null, took: null },
  ...{ input: "npm test", input_more: 0, output: "", output_more: 0 },
  ...more,
});
const told = (items: Item[], more: Data = {}) => ({ agent: "ui", items, above: 0, speaking: "", ...more });
const key = { items: "id" };
const list = (u: Item[], order?: string[]) => ({ items: { u: u as unknown as Data[], ...(order ? { order } : {}) } });

let ends: (() => void)[] = [];
const show = async (data: Data) => {
  const made = shown(run(row("ui", null, 0, { state: "busy" })), { shows: "conversation", agent: "ui", topics: { "conversation:ui": data } });
  ends.push(made.end);
  await drawn();
  return made;
};
const talk = (el: HTMLElement) => el.querySelector<HTMLElement>(".mx-talk")!;
const named = (el: HTMLElement, name: string) => [...el.querySelectorAll("button")].find((each) => each.textContent === name)!;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  ends.forEach((end) => end());
  ends = [];
  document.body.replaceChildren();
  vi.useRealTimers();
});

describe("what an agent writes", () => {
  const html = (text: string) => {
    const box = document.createElement("div");
    box.append(marked(text));
    return box;
  };

  test.each([
    "<script>globalThis.pwned = 1</script>",
    '<img src=x onerror="globalThis.pwned = 1">',
    '<iframe srcdoc="<script>parent.pwned = 1</script>"></iframe>',
    "[x](javascript:globalThis.pwned=1)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "![track](https://example.org/pixel.png)",
    '<a href="x" id="jp-main" style="position:fixed">y</a>',
    "<style>body{display:none}</style>",
    "<form action=//evil><input name=q></form>",
    "`<img src=x onerror=alert(1)>`",
    "[a](https://x.org '\"><script>alert(1)</script>')",
  ])("runs nothing, loads nothing, moves nothing: %s", (text) => {
    const box = html(text);

    expect(box.querySelector("script, img, iframe, style, form, input, object, embed, svg, math")).toBeNull();
    for (const each of box.querySelectorAll("*")) {
      for (const { name, value } of each.attributes) {
        expect(["href", "target", "rel", "title", "start", "class"]).toContain(name);
        if (name === "href") expect(value).toMatch(/^(https?|mailto):/);
      }
    }
    expect((globalThis as { pwned?: number }).pwned).toBeUndefined();
  });

  test("markdown is drawn: lists, code, tables, links that leave the page", () => {
    const box = html("# Plan\n\n- one `x`\n\n```py\nprint(1)\n```\n\n| a |\n|---|\n| 1 |\n\n[site](https://example.org)");

    expect(box.querySelector("li code")!.textContent).toBe("x");
    expect(box.querySelector("pre code")!.textContent).toBe("print(1)\n");
    expect(box.querySelector("td")!.textContent).toBe("1");
    expect(box.querySelector("h1")).toBeNull();
    expect(box.querySelector("a")!.outerHTML).toContain('rel="noopener noreferrer nofollow"');
  });

  test("terminal sequences go, and what turns the direction of writing is seen", () => {
    for (const [said, shown] of signs) expect(legible(said!)).toBe(shown);
    expect(html("\x1b[1mx \u202e y").textContent).toBe("x ‹U+202E› y\n");
  });
});

describe("a conversation", () => {
  test("shows who asked, what was answered, what was called and sent", async () => {
    const { el } = await show(
      told([
        said("e1", "Fix **it**", { kind: "prompt", who: "lead", turn: "ui.t1" }),
        said("e2", "I look."),
        call("e3", { ok: true, took: 1.25, output: "214 passed" }),
        said("e4", "done?", { kind: "message", to: "lead", message: "ui.m1" }),
        said("e5", "overloaded", { kind: "note", bad: true }),
      ]),
    );

    expect(el.querySelector(".mx-turn")!.textContent).toContain("leadui.t1");
    expect(el.querySelector(".mx-ask strong")!.textContent).toBe("it");
    expect(el.querySelector("summary")!.textContent).toBe("Bashnpm test214 passed1.3 s");
    expect(el.querySelector(".mx-msg")!.textContent).toBe("to lead: done?ui.m1");
    expect(el.querySelector(".mx-talk .mx-err")!.textContent).toBe("overloaded");
  });

  test("streams: what is being said grows and becomes an item, and nothing else is made anew", async () => {
    const { el, model } = await show(told([said("e1", "first")]));
    const first = talk(el).querySelector(".mx-md")!;
    model.change("conversation:ui", 1, { set: { speaking: "One " } });
    model.change("conversation:ui", 2, { add: { speaking: "test" } });
    await drawn();
    expect(talk(el).querySelector(":scope > .mx-md")!.textContent).toContain("One test");
    expect(el.querySelectorAll(".mx-caret")).toHaveLength(1);

    model.change("conversation:ui", 3, { set: { speaking: "" }, lists: list([said("e2", "One test fails.")], ["e1", "e2"]), key });
    await drawn();
    expect([...talk(el).querySelectorAll(".mx-md:not([hidden])")].map((each) => each.textContent!.trim())).toEqual(["first", "One test fails."]);
    expect(talk(el).querySelector(".mx-md")).toBe(first);
  });

  test("text that was added to what was missed is not shown; the whole is asked for", async () => {
    const { el, model } = await show(told([], { speaking: "a" }));
    model.change("conversation:ui", 2, { add: { speaking: "c" } });
    await drawn();
    expect(talk(el).textContent).not.toContain("ac");
    expect(model.ops("resync")).toMatchObject([{ topics: ["conversation:ui"] }]);
  });

  test("calls are folded, a failed one is open, and eight lines are shown at first", async () => {
    const output = Array.from({ length: 126 }, (_, n) => `line ${n}`).join("\n");
    const { el } = await show(told([call("e1", { ok: true, output: "x\ny" }), call("e2", { ok: false, output })]));
    const [good, bad] = [...el.querySelectorAll("details")];

    expect([good!.open, bad!.open]).toEqual([false, true]);
    expect(bad!.querySelectorAll("pre")[1]!.textContent!.split("\n")).toHaveLength(8);
    named(bad!, "118 more lines").click();
    expect(bad!.querySelectorAll("pre")[1]!.textContent).toBe(output);
  });

  test("a call that was opened while under way stays open when its result comes", async () => {
    const { el, model } = await show(told([call("e1", {})]));
    expect(el.querySelector("summary")!.textContent).toContain("under way");
    el.querySelector("summary")!.click();
    el.querySelector("details")!.open = true;
    model.change("conversation:ui", 1, { lists: list([call("e1", { ok: true, took: 2, output: "fine" })]), key });
    await drawn();

    expect(el.querySelector("details")!.open).toBe(true);
    expect(el.querySelector("details")!.textContent).toContain("fine");
  });

  test("a long text comes in pages, as plain text", async () => {
    const { el, model } = await show(told([said("e7", "begin", { text_more: 9_000_000 })]));
    named(el, "9,000,000 more characters").click();
    const [asked] = model.ops("ask");
    expect(asked).toMatchObject({ topic: "conversation:ui", what: "text", given: { id: "e7", field: "text", start: 5 } });

    model.tell({ k: "answer", id: asked!.id!, data: { text: "<b>next</b>", more: 8_999_989 } });
    await drawn();
    expect(el.querySelector("pre.mx-rest")!.textContent).toBe("<b>next</b>");
    named(el, "8,999,989 more characters").click();
    expect(model.ops("ask")[1]).toMatchObject({ given: { start: 16 } });
  });

  test("earlier items are asked for and stand above", async () => {
    const { el, model } = await show(told([said("e9", "late")], { above: 120 }));
    named(el, "120 earlier").click();
    const [asked] = model.ops("ask");
    expect(asked).toMatchObject({ what: "older", given: { before: "e9" } });
    model.tell({ k: "answer", id: asked!.id!, data: { items: [said("e8", "early")], above: 20 } });
    await drawn();
    await drawn();

    expect([...talk(el).querySelectorAll(".mx-md:not([hidden])")].map((each) => each.textContent!.trim())).toEqual(["early", "late"]);
    expect(named(el, "20 earlier")).toBeDefined();
  });

  test("it stops following when one scrolls up, and offers the latest", async () => {
    const { el, model } = await show(told([said("e1", "x")]));
    const view = talk(el);
    Object.defineProperties(view, { scrollHeight: { value: 1000, configurable: true }, clientHeight: { value: 300 } });
    model.change("conversation:ui", 1, { set: { speaking: "some" } });
    await drawn();
    expect(view.scrollTop).toBe(1000);
    view.scrollTop = 100;
    view.dispatchEvent(new Event("scroll"));
    model.change("conversation:ui", 2, { set: { speaking: "more" } });
    await drawn();
    expect(view.scrollTop).toBe(100);

    el.querySelector<HTMLElement>(".mx-latest")!.click();
    expect(view.scrollTop).toBe(1000);
    expect(el.querySelector<HTMLElement>(".mx-latest")!.hidden).toBe(true);
  });

  test("two hundred long items are drawn once, and a change draws one of them", async () => {
    const items = Array.from({ length: 200 }, (_, n) => said(`e${n}`, `word `.repeat(4000)));
    const { el, model } = await show(told(items));
    const before = [...talk(el).querySelectorAll(".mx-md p")];
    model.change("conversation:ui", 1, { lists: list([said("e199", "changed")]), key });
    await drawn();
    const after = [...talk(el).querySelectorAll(".mx-md p")];

    expect(after.at(-1)!.textContent).toBe("changed");
    expect(after.slice(0, 199)).toEqual(before.slice(0, 199));
  });
});

describe("beside it", () => {
  test("an inbox shows the newest first, and its tab how many are unread", async () => {
    const messages = [
      { ...{ id: "m2", sender: "you", answers: "", asks: true, read: false, at: 1 }, text: "<i>now</i>", text_more: 0 },
      { ...{ id: "m1", sender: "api", answers: "ui.m1", asks: false, read: true, at: 0 }, text: "done", text_more: 7 },
    ];
    const topics = { "inbox:ui": { agent: "ui", messages, more: 0 } };
    const made = shown(run(row("ui", null, 0, { unread: 1 })), { shows: "inbox", agent: "ui", topics });
    ends.push(made.end);
    await drawn();
    const letters = [...made.el.querySelectorAll("[role=listitem]")].map((each) => each.textContent!.replace(/\d\d:\d\d:\d\d/, "T"));

    expect(letters).toEqual(["you asks for a turnT · unread<i>now</i>", "api answers ui.m1T · readdone … 7 more characters"]);
  });

  test("details are told by name, and what one takes elsewhere can be copied", async () => {
    const topics = { "details:ui": { agent: "ui", facts: [["Session", "9f2c"], ["Turns", "2 ok"]] } };
    const made = shown(run(row("ui")), { shows: "details", agent: "ui", topics });
    ends.push(made.end);
    await drawn();

    expect([...made.el.querySelectorAll("dt")].map((each) => each.textContent)).toEqual(["Session", "Turns", "In a cell"]);
    expect(made.el.querySelector("[aria-label='Copy the session']")).not.toBeNull();
    expect(made.el.querySelector("dd:last-child code")!.textContent).toBe('%madrox send ui "…"');
  });
});
