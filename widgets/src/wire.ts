// What came from a program, as far as this page holds it, and how a line of it reads.

import { legible } from "./element";
import { precisely } from "./format";

/** A piece of the wire: its bytes, and what they say. Only the last one grows. */
export interface Block {
  at: number;
  end: number;
  text: string;
  /** Of a protocol: from which of its lines on they came when, in seconds since 1970 … */
  came?: [line: number, when: number][];
  /** … and what had come on standard error before which line. */
  stderr?: [line: number, text: string][];
}

/** Characters held, the oldest go first: they can be fetched again. */
export const HELD = 500_000;
/** Characters of one value of a protocol's line that are shown with it laid out. */
const LONGEST = 4_000;

/** Blocks in order. Between two of them may be what was left out. */
export class Held {
  private known = new Map<number, Block>();

  get blocks(): Block[] {
    return [...this.known.values()].sort((one, other) => one.at - other.at);
  }

  get size(): number {
    return this.blocks.reduce((sum, { text }) => sum + text.length, 0);
  }

  /** What is missing nearest to the end: the bytes before `at`; null when nothing is. */
  get missing(): { at: number; count: number } | null {
    const { blocks } = this;
    for (let n = blocks.length - 1; n >= 0; n--) {
      const { at } = blocks[n]!;
      const end = blocks[n - 1]?.end ?? 0;
      if (at > end) return { at, count: at - end };
    }
    return null;
  }

  /** Take these in; says from which byte on what is shown is another than before. */
  take(blocks: Block[], most = HELD): number {
    let from = Infinity;
    for (const block of blocks) {
      const before = this.known.get(block.at);
      if (before && JSON.stringify(before) === JSON.stringify(block)) continue;
      from = Math.min(from, before && grew(before, block) ? before.end : block.at);
      this.known.set(block.at, block);
    }
    let size = 0;
    for (const { at, text } of this.blocks.reverse()) if ((size += text.length) > most) this.known.delete(at);
    return from;
  }

  clear(): void {
    this.known.clear();
  }
}

/** Whether all that was shown of it is still so. */
function grew(before: Block, block: Block): boolean {
  const [was, is] = [before.stderr ?? [], block.stderr ?? []];
  const more = block.text.length > before.text.length && block.text.startsWith(before.text);
  return more && JSON.stringify(is.slice(0, was.length)) === JSON.stringify(was);
}

/** `1.2 MB`. */
export function bytes(count: number): string {
  for (const [unit, size] of [["MB", 1e6], ["KB", 1e3]] as const) if (count >= size) return `${(count / size).toFixed(1)} ${unit}`;
  return `${count} bytes`;
}

const [DIM, INK, PLAIN] = ["\x1b[90m", "\x1b[34m", "\x1b[0m"];
const HEADS = ["type", "method", "subtype", "event", "sessionUpdate"];

const INDENT = 13; // as wide as a time with its space

/**
 * Lines of a protocol as a terminal shows them: as they came, or laid out with what they are first. Before each
 * stands when it came. `from` is the first that is not shown yet, `said` what already is of the standard error
 * before it.
 */
export function protocol({ text, came = [], stderr = [] }: Block, laid: boolean, from = 0, said = ""): string {
  const lines = text.split("\n");
  const rest = lines.pop()!; // behind the last line's end: nothing, or the middle of a very long line
  const [times, beside] = [new Map(came), new Map(stderr)];
  let stamp = "";
  const shown = lines.map((line, at) => {
    const when = times.get(at);
    if (when !== undefined) stamp = `${DIM}${precisely(when)}${PLAIN} `;
    if (at < from) return "";
    const told = beside.get(at) ?? "";
    const fresh = at === from && told.startsWith(said) ? told.slice(said.length) : told;
    return `${aside(fresh)}${stamp}← ${laid ? out(line) : legible(line)}\r\n`;
  });
  return shown.join("") + legible(rest);
}

/** Lines of standard error, told apart by a rule. When they came nobody has noted. */
export function aside(said: string): string {
  if (!said) return "";
  const lines = said.replace(/\n$/, "").split("\n");
  return lines.map((line) => `${" ".repeat(INDENT)}${DIM}│${PLAIN} ${legible(line)}\r\n`).join("");
}

function out(line: string): string {
  let found: unknown;
  try {
    found = JSON.parse(line);
  } catch {
    return legible(line);
  }
  if (!found || typeof found !== "object" || Array.isArray(found)) return legible(line);
  const told = found as Record<string, unknown>;
  const heads = HEADS.filter((key) => typeof told[key] === "string");
  const rest = Object.entries(told).filter(([key]) => !heads.includes(key));
  const head = legible(heads.map((key) => told[key]).join(" "));
  return [`${INK}${head || "·"}${PLAIN}`, ...rest.flatMap(([key, value]) => laidOut(key, value, 1))].join("\r\n");
}

function laidOut(key: string, value: unknown, depth: number): string[] {
  const name = `${"  ".repeat(Math.min(depth, 12))}${DIM}${legible(key)}${PLAIN}`;
  if (value === null || typeof value !== "object") return [`${name} ${said(value, depth)}`];
  const inside = Object.entries(value);
  if (!inside.length) return [`${name} ${Array.isArray(value) ? "[]" : "{}"}`];
  return [name, ...inside.flatMap(([each, what]) => laidOut(each, what, depth + 1))];
}

function said(value: unknown, depth: number): string {
  const text = String(value);
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length.toLocaleString("en")} characters)` : text;
  return cut.split("\n").map(legible).join(`\r\n${"  ".repeat(Math.min(depth, 12) + 1)}`);
}

const TURNS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** What a program wrote to its terminal; what would turn the direction of writing is shown as a sign. */
export function painted(text: string): string {
  return text.replace(TURNS, "\ufffd");
}
