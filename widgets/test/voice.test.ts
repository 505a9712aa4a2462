import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { BREATH, Voice } from "../src/voice";
import { row, run, shown } from "./model";

describe("what a screen reader is told unasked", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test("the first is said at once, what follows when one could have listened: the last of it", () => {
    const voice = new Voice(new AbortController().signal);
    voice.say("one");
    vi.advanceTimersByTime(0);
    expect(voice.element.textContent).toBe("one");

    for (const words of ["two", "three"]) voice.say(words);
    vi.advanceTimersByTime(BREATH - 1);
    expect(voice.element.textContent).toBe("one");
    vi.advanceTimersByTime(1);
    expect(voice.element.textContent).toBe("three");
  });
});

describe("what needs the person", () => {
  beforeEach(() => void vi.useFakeTimers());
  let end = () => {};
  afterEach(() => (end(), void vi.useRealTimers()));
  const asks = (name: string, now: string) => row(name, null, 0, { state: "waiting", now });

  test("is said when something new comes, and not again when one of it is answered", () => {
    const made = shown(run(row("lead"), asks("api", "asks: Edit a.py (api.a1)")), { shows: "dashboard" });
    end = made.end;
    const said = () => {
      vi.advanceTimersByTime(BREATH + 100);
      return made.el.querySelector("[aria-live=polite]")!.textContent;
    };
    expect(said()).toBe("Needs you: api asks: Edit a.py");
    made.model.rows(1, [row("api"), asks("lead", "asks: Bash (lead.a1)")]);
    expect(said()).toBe("Needs you: lead asks: Bash");
    made.model.rows(2, [asks("api", "asks: Edit b.py (api.a2)")]);
    expect(said()).toBe("Needs you: lead asks: Bash. api asks: Edit b.py");
    made.model.rows(3, [row("api")]);
    expect(said()).toBe("Needs you: lead asks: Bash. api asks: Edit b.py");
    made.model.rows(4, [row("lead")]);
    expect(said()).toBe("");
  });
});
