import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { WAYS } from "../src/detour";
import { PATIENCE } from "../src/link";
import { drawn, row, run, shown } from "./model";

/** A small true fake of JupyterLab's kernel connection: it keeps what it was asked for. */
class Kernel {
  status = "busy";
  subshellId: string | null = null;
  asked: string[] = [];
  code: string[] = [];
  constructor(private has: { subshells: boolean }) {}
  clone() {
    return this;
  }
  requestCreateSubshell() {
    this.asked.push("create");
    return { done: this.has.subshells ? Promise.resolve({ content: { subshell_id: "s1" } }) : Promise.reject(new Error("none")) };
  }
  requestDeleteSubshell({ subshell_id }: { subshell_id: string }) {
    this.asked.push(`delete ${subshell_id}`);
    return { done: Promise.resolve({}) };
  }
  requestExecute({ code }: { code: string }) {
    this.asked.push(`execute in ${this.subshellId}`);
    this.code.push(code);
    return { done: Promise.resolve({ content: { status: "ok" } }) };
  }
  async interrupt() {
    this.asked.push("interrupt");
  }
  dispose() {}
}

/** What a front end that shows widgets outside JupyterLab puts in the kernel's place. */
const refuses = (kernel: Kernel, key: keyof Kernel) => {
  if (key === "status") return kernel.status;
  return () => {
    throw new Error("not implemented");
  };
};

let made: ReturnType<typeof shown>;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  made.end();
  document.body.replaceChildren();
  vi.useRealTimers();
});

const press = async (kernel: Kernel | undefined, word = "Interrupt") => {
  made = shown(run(row("api", null, 0, { state: "busy" })), { shows: "conversation", agent: "api", kernel });
  await drawn();
  const buttons = [...made.el.querySelectorAll("button")];
  buttons.find((each) => each.textContent!.startsWith(word))!.click();
  if (word === "Stop") [...made.el.querySelectorAll("button")].find((each) => each.textContent === "Stop api")!.click();
  return made.model.ops("act")[0]!;
};
const after = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe("a verb while a cell blocks", () => {
  test("goes over the comm alone when that is heard", async () => {
    const kernel = new Kernel({ subshells: true });
    const { id } = await press(kernel);
    made.model.tell({ k: "ack", id });
    await after(PATIENCE);

    expect(kernel.asked).toEqual([]);
  });

  test("goes by a subshell of its own when it is not, as one fixed call", async () => {
    const kernel = new Kernel({ subshells: true });
    const act = await press(kernel);
    await after(WAYS[0]);
    made.model.tell({ k: "ack", id: act.id });
    await after(PATIENCE);

    expect(kernel.asked).toEqual(["create", "execute in s1", "delete s1"]);
    expect(kernel.code).toEqual([`__import__("madrox_nb.widgets").widgets.pressed("abc123", "${act.id}", "interrupt", "api")`]);
  });

  test.each(["Interrupt", "Stop"])("interrupts the cell at last: %s", async (word) => {
    const kernel = new Kernel({ subshells: false });
    await press(kernel, word);
    await after(WAYS[0]);

    expect(kernel.asked).toEqual(["create", "interrupt"]);
  });

  test("waits for a subshell that was asked before it interrupts", async () => {
    const kernel = new Kernel({ subshells: true });
    await press(kernel);
    await after(WAYS[0] + WAYS[1] - 1);
    expect(kernel.asked).not.toContain("interrupt");
    await after(1);

    expect(kernel.asked).toContain("interrupt");
  });

  test("interrupts nothing where no cell runs", async () => {
    const kernel = new Kernel({ subshells: false });
    kernel.status = "idle";
    await press(kernel);
    await after(PATIENCE);

    expect(kernel.asked).toEqual(["create"]);
  });

  test("a cell is not interrupted for what can wait", async () => {
    const kernel = new Kernel({ subshells: false });
    await press(kernel);
    made.model.tell({ k: "ack", id: made.model.ops("act")[0]!.id });
    const box = made.el.querySelector("textarea")!;
    box.value = "hello";
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true, bubbles: true }));
    await after(PATIENCE);

    expect(made.model.ops("act").at(-1)!.verb).toBe("send");
    expect(kernel.asked).toEqual([]);
  });

  test.each([
    ["none at all", undefined],
    ["one that has no subshells", Object.assign(new Kernel({ subshells: false }), { requestCreateSubshell: undefined })],
    ["one that refuses whatever it is asked", new Proxy(new Kernel({ subshells: false }), { get: refuses })],
  ])("another front end has the comm alone, and says what else to do: its kernel is %s", async (_, kernel) => {
    await press(kernel);
    await after(WAYS[0] + WAYS[1] + PATIENCE);
    await drawn();

    expect(made.el.textContent).toContain("run %madrox interrupt api");
    expect(made.model.ops("act")).toHaveLength(1);
  });
});
