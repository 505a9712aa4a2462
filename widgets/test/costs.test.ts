import { afterEach, describe, expect, test } from "vitest";

import { apart } from "../src/chart";
import { courses, label, sentence, stacked, type Told } from "../src/courses";
import { drawn, row, run, shown } from "./model";

const BEGAN = 1_767_225_600;
const at = (seconds: number) => BEGAN + seconds;
const FAMILY = [
  row("lead", null, 0, { subtree_usd: 6, subtree_exact: false, limit_usd: 10, limit_used: 6, tokens: 1_310_000, own_usd: 1 }),
  row("backend", "lead", 1, { role: "dev", harness: "codex", own_usd: 1, limit_usd: 2, limit_used: 1.72 }),
  row("api", "backend", 2, { role: "dev", harness: "codex", own_usd: 2 }),
  row("ui", "lead", 1, { role: "dev", own_usd: 2, model: "opus" }),
  row("audit", "ui", 2, { own_usd: null, tokens: 212_000, model: "qwen" }),
];
const TOLD: Told = {
  first: at(0),
  width: 10,
  spenders: [
    { id: "s0", agent: "lead", model: "sonnet" },
    { id: "s1", agent: "backend", model: "sonnet" },
    { id: "s2", agent: "api", model: "" },
    { id: "s3", agent: "ui", model: "opus" },
  ],
  bins: [
    { id: "b0", spent: { s0: 1 } },
    { id: "b1", spent: { s1: 1, s2: 0.5 } },
    { id: "b2", spent: {} },
    { id: "b3", spent: { s2: 1.5, s3: 2 } },
  ],
  sources: [{ agent: "lead", from: "cli" }, { agent: "audit", from: "no price" }],
  over: at(40),
};
const ends = (by: Parameters<typeof courses>[2], rows = FAMILY) =>
  Object.fromEntries(courses(TOLD, rows, by, at(0), at(40)).of.map(({ name, spent }) => [name, spent.at(-1)]));

describe("the courses", () => {
  test("add up what was spent until when, from the beginning until now", () => {
    const { times, of } = courses(TOLD, FAMILY, "subtree", at(-5), at(60));

    expect(times).toEqual([at(-5), at(0), at(10), at(20), at(30), at(40), at(60)]);
    expect(of.find(({ name }) => name === "backend")!.spent).toEqual([0, 0, 0, 1.5, 1.5, 3, 3]);
  });

  test("by subtree, agent, role, harness and model hold the same sum", () => {
    expect(ends("subtree")).toEqual({ lead: 1, backend: 3, ui: 2 });
    expect(ends("agent")).toEqual({ lead: 1, backend: 1, api: 2, ui: 2 });
    expect(ends("role")).toEqual({ general: 1, dev: 5 });
    expect(ends("harness")).toEqual({ claude: 3, codex: 3 });
    expect(ends("model")).toEqual({ sonnet: 2, "no model": 2, opus: 2 });
  });

  test("of several who lead, each is a subtree of its own", () => {
    expect(ends("subtree", [row("lead"), row("backend"), row("api", "backend", 1), row("ui")])).toEqual({ lead: 1, backend: 3, ui: 2 });
  });

  test("the biggest four are told apart and the rest is one", () => {
    const spenders = Array.from({ length: 7 }, (_, n) => ({ id: `s${n}`, agent: `a${n}`, model: "" }));
    const bins = [{ id: "b0", spent: Object.fromEntries(spenders.map(({ id }, n) => [id, n + 1])) }];
    const { of } = courses({ ...TOLD, spenders, bins }, spenders.map(({ agent }) => row(agent)), "agent", at(0), at(10));

    expect(of.map(({ name, spent }) => [name, spent.at(-1)])).toEqual([["a3", 4], ["a4", 5], ["a5", 6], ["a6", 7], ["others", 6]]);
  });

  test("who is gone from the tree, or one of too many, is among the others", () => {
    const spenders = [...TOLD.spenders.slice(0, 3), { id: "s3", agent: "", model: "" }];
    const { of } = courses({ ...TOLD, spenders }, FAMILY, "agent", at(0), at(40));

    expect(of.map(({ name }) => name)).toEqual(["lead", "backend", "api", "others"]);
  });

  test("a course with an unknown part says so, and each stands on those before it", () => {
    const { of } = courses(TOLD, FAMILY, "subtree", at(0), at(40));

    expect(of.map(label)).toEqual(["lead 1.00", "backend 3.00", "ui ≥ 2.00"]);
    expect(stacked(of).map((each) => each.at(-1))).toEqual([1, 4, 6]);
  });

  test("labels keep apart, in their order", () => {
    expect(apart([{ y: 10 }, { y: 50 }, { y: 48 }], 13, 60).map(({ y }) => y)).toEqual([50, 37, 10]);
  });
});

describe("the sentence", () => {
  test("says when the limit is reached, and what has no price", () => {
    expect(sentence(TOLD, FAMILY, 10, at(240), at(0))).toBe(
      "At the pace of the last 4 min, 10 is reached at about 6:40. audit (212 k tok, qwen) is not wholly in this picture: no price is known.",
    );
  });

  test("without a limit says what an hour costs; without costs, that there were none", () => {
    const priced = FAMILY.slice(0, 4);

    expect(sentence(TOLD, priced, null, at(240), at(0))).toBe("At the pace of the last 4 min, an hour costs 90.00. No limit is set for the run.");
    expect(sentence(TOLD, priced, 10, at(4000), at(0))).toBe("Nothing was spent in the last 5 min.");
    expect(sentence(TOLD, priced, 5, at(240), at(0))).toBe("The limit of 5 is reached.");
  });
});

describe("the costs", () => {
  const all: (() => void)[] = [];
  const costs = async () => {
    const made = shown({ ...run(...FAMILY), opened: BEGAN, limit_usd: 10 }, { shows: "costs", topics: { costs: TOLD } });
    all.push(made.end);
    await drawn();
    return made;
  };
  afterEach(() => {
    all.splice(0).forEach((end) => end());
    document.body.replaceChildren();
  });
  const cells = (line: Element) => [...line.querySelectorAll("td")].map((each) => each.textContent);

  test("the table has own, Σ, limit, tokens and the source of the price, unknown as a word", async () => {
    const { el } = await costs();
    const lines = [...el.querySelectorAll("tbody tr")].map(cells);

    expect(lines[0]).toEqual(["lead", "1.00", "≥ 6.00", "60 % of 10", "1.31 M", "cli"]);
    expect(lines[1]!.slice(0, 4)).toEqual(["backend", "1.00", "1.00", "86 % of 2"]);
    expect(lines[4]).toEqual(["audit", "unpriced", "–", "–", "212 k", "no price"]);
    expect(cells(el.querySelector("tfoot tr")!)).toEqual(["Run", "", "≥ 6.00", "60 % of 10", "1.52 M", ""]);
  });

  test("what is written beside the picture is what stands in the table", async () => {
    const parts = [0.555, 0.315, 0.61, 0.36, 0.155]; // summed as they came, they are a little less than 1.995
    const bins = parts.map((usd, n) => ({ id: `b${n}`, spent: { s0: usd } }));
    const family = [row("lead", null, 0, { subtree_usd: 1.995 }), row("api", "lead", 1)];
    const { of } = courses({ ...TOLD, bins }, family, "subtree", at(0), at(40));
    expect(of[0]!.spent.at(-1)).toBeLessThan(1.995);

    const made = shown({ ...run(...family), opened: BEGAN }, { shows: "costs", topics: { costs: { ...TOLD, bins } } });
    all.push(made.end);
    await drawn();
    expect(label(of[0]!)).toBe("lead 2.00");
    expect(cells(made.el.querySelector("tbody tr")!)[2]).toBe("2.00");
  });

  test("what it is stacked by can be chosen, and is said of the picture", async () => {
    const { el } = await costs();
    const button = [...el.querySelectorAll("button")].find((each) => each.textContent === "harness")!;
    button.click();
    await drawn();

    expect(button.getAttribute("aria-pressed")).toBe("true");
    expect(el.querySelector(".mx-plot")!.getAttribute("aria-label")).toBe("Cost over time, stacked by harness: ≥ $6.00 of 10 dollars");
  });

  test("a row that did not change is left as it is", async () => {
    const { el, model } = await costs();
    const [lead, api] = [0, 2].map((each) => el.querySelectorAll("tbody tr")[each]!.firstElementChild);
    model.rows(1, [row("api", "backend", 2, { own_usd: 9 })]);
    await drawn();

    expect(el.querySelectorAll("tbody tr")[0]!.firstElementChild).toBe(lead);
    expect(el.querySelectorAll("tbody tr")[2]!.firstElementChild).not.toBe(api);
  });
});
