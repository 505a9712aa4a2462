import { describe, expect, test } from "vitest";

import { dollars, hundredths, percent, short } from "../src/figures";
import { money } from "../src/format";

/** Their sum is 1.995, a little less in some orders. The same as in tests/test_figures.py. */
const PARTS = [0.555, 0.315, 0.61, 0.36, 0.155];
const orders = (parts: number[]): number[][] =>
  parts.length < 2 ? [parts] : parts.flatMap((part, at) => orders(parts.filter((_, other) => other !== at)).map((rest) => [part, ...rest]));

describe("figures", () => {
  test("the same parts are one amount in every order", () => {
    const sums = new Set(orders(PARTS).map((order) => order.reduce((sum, part) => sum + part, 0)));

    expect(sums.size).toBeGreaterThan(1);
    expect(new Set([...sums].map(dollars))).toEqual(new Set(["2.00"]));
    expect(new Set([...sums].map((usd) => money(usd)))).toEqual(new Set(["2.00"]));
  });

  test("half a cent is one, as in the kernel", () => {
    expect([0.125, 1.005, 0.0049, 1203.5].map(dollars)).toEqual(["0.13", "1.01", "0.00", "1203.50"]);
  });

  test("a percentage is rounded in the same way", () => {
    expect([0.555, 0.125, 0.285, 1].map(percent)).toEqual(["56 %", "13 %", "29 %", "100 %"]);
  });

  test("a limit stands without noughts", () => {
    expect([10, 2.5, 1.995].map(short)).toEqual(["10", "2.5", "2"]);
  });

  test("as many hundredths as there are stay so", () => {
    const all = Array.from({ length: 10_000 }, (_, n) => n);

    expect(all.map((n) => hundredths(n / 100))).toEqual(all);
  });
});
