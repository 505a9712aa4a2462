import { afterEach, describe, expect, test } from "vitest";

import { aside, Held, painted, protocol, type Block } from "../src/wire";
import { drawn, row, run, shown } from "./model";

const block = (at: number, text: string, more: Partial<Block> = {}): Block => ({ at, end: at + text.length, text, ...more });

describe("what is held of a wire", () => {
  test("a block that grew counts from where it had ended", () => {
    const held = new Held();
    held.take([block(0, "one\n")]);

    expect(held.take([block(0, "one\ntwo\n"), block(8, "three\n")])).toBe(4);
    expect(held.take([block(0, "one\ntwo\n"), block(8, "three\n")])).toBe(Infinity);
  });

  test("a block that is another than before is written anew", () => {
    const held = new Held();
    held.take([block(0, "one\n")]);

    expect(held.take([block(0, "uno\n")])).toBe(0);
    expect(held.take([block(0, "uno\n", { stderr: [[0, "late\n"]] })])).toBe(0);
    expect(held.take([block(0, "uno\ndue\n", { stderr: [[0, "late\n"], [1, "too\n"]] })])).toBe(4);
    expect(held.take([block(0, "uno\ndue\ntre\n", { stderr: [[0, "never\n"]] })])).toBe(0);
  });

  test("what was left out is known, the nearest to the end first", () => {
    const held = new Held();
    held.take([block(100, "one\n"), block(300, "two\n")]);
    expect(held.missing).toEqual({ at: 300, count: 196 });

    held.take([block(104, "x".repeat(196))]);
    expect(held.missing).toEqual({ at: 100, count: 100 });

    held.take([block(0, "y".repeat(100))]);
    expect(held.missing).toBeNull();
  });

  test("the oldest go when there is too much", () => {
    const held = new Held();
    held.take([block(0, "x".repeat(60)), block(60, "y".repeat(60))], 100);

    expect(held.blocks.map(({ at }) => at)).toEqual([60]);
  });
});

describe("how a line reads", () => {
  const plain = (text: string) => text.replace(/\x1b\[\d*m/g, "");

  test("laid out, what it is comes first and each value has its place", () => {
    const line = '{"id":7,"type":"said","message":{"text":"a\\nb","parts":[]}}\n';

    expect(plain(protocol(block(0, line), true)).split("\r\n")).toEqual(["← said", "  id 7", "  message", "    text a", "      b", "    parts []", ""]);
  });

  test("raw, it is the line", () => {
    expect(protocol(block(0, '{"id":7}\n'), false)).toBe('← {"id":7}\r\n');
  });

  test("what is no JSON stays as it is", () => {
    expect(protocol(block(0, "Traceback\n[1, 2]\n"), true)).toBe("← Traceback\r\n← [1, 2]\r\n");
  });

  test("when it came stands before it, and what came on standard error before that", () => {
    const when = new Date(2026, 0, 2, 12, 14, 20, 342).getTime() / 1000;
    const told = block(0, "a\nb\nc\n", { came: [[0, when], [2, when + 1]], stderr: [[2, "INFO \x1b[2Jone\ntwo\n"]] });
    const lines = ["12:14:20.342 ← a", "12:14:20.342 ← b", "             │ INFO one", "             │ two", "12:14:21.342 ← c", ""];

    expect(plain(protocol(told, false)).split("\r\n")).toEqual(lines);
    expect(plain(protocol(told, false, 2)).split("\r\n")).toEqual(lines.slice(2));
    expect(plain(protocol(told, false, 2, "INFO \x1b[2Jone\n")).split("\r\n")).toEqual(lines.slice(3));
  });

  test.each([true, false])("no sequence that an agent wrote reaches the terminal (%s)", (laid) => {
    const said = `${JSON.stringify({ type: "x\x1b]0;own\x07", "k\x1b[2J": "v\x1b[31m\u202e" })}\nplain \x1b[2J\u202e\n`;
    const told = protocol(block(0, said), laid) + aside("beside \x1b[2J\u202e\n");

    expect(plain(told)).not.toMatch(/[\x1b\x07\u202e]/);
    expect(told).toContain("‹U+202E›");
  });

  test("a value of ten million characters is cut, and says so", () => {
    const told = protocol(block(0, `${JSON.stringify({ text: "x".repeat(10_000_000) })}\n`), true);

    expect(told.length).toBeLessThan(5_000);
    expect(told).toContain("(10,000,000 characters)");
  });

  test("what turns the direction of writing is a sign on a screen", () => {
    expect(painted("a\u202eb\x1b[31mc")).toBe("a\ufffdb\x1b[31mc");
  });
});

describe("the terminal", () => {
  let end = () => {};
  afterEach(() => end());

  test("asks for its code when somebody looks, and says what it waits for", async () => {
    const told = { agent: "api", protocol: true, size: null, blocks: [block(50_000, "{}\n")], begun: 1_200_000, stderr: "", timed: true };
    const made = shown(run(row("api")), { shows: "terminal", agent: "api", topics: { "terminal:api": told } });
    end = made.end;
    await drawn();

    expect(made.model.ops("want").at(-1)!.topics).toEqual(["rows", "terminal:api"]);
    expect(made.el.querySelector(".mx-begun")!.textContent).toBe("A line has begun: 1.2 MB so far.");
  });
});
