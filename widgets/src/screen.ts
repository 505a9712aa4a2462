// The terminal on the page: xterm, in the notebook's colours. It shows, and takes no input:
// what is typed in it scrolls, and answers that a program asks of its terminal go nowhere.

import type { FitAddon as Fit } from "@xterm/addon-fit";
import type { ITheme, Terminal as Xterm } from "@xterm/xterm";
import { h } from "./element";

export interface Library {
  Terminal: typeof Xterm;
  FitAddon: typeof Fit;
  css: string;
}

/** Where JupyterLab and VS Code say which theme it is. */
const THEME = ["data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind", "data-vscode-theme-id"];
/** Lines that can be scrolled back. */
export const SCROLLBACK = 10_000;

export class Screen {
  readonly element = h("div", { class: "mx-screen" });
  /** Whether its last line is in sight. */
  follows = true;
  private term: Xterm;
  private fitting: Fit;
  private size: [rows: number, columns: number] | null = null;

  constructor(
    { Terminal, FitAddon, css }: Library,
    signal: AbortSignal,
    private moved: () => void,
  ) {
    const root = h("style", {});
    root.textContent = css;
    this.term = new Terminal({
      ...{ disableStdin: true, scrollback: SCROLLBACK, fontSize: 12, lineHeight: 1.2, cursorStyle: "bar", cursorInactiveStyle: "none" },
      ...{ screenReaderMode: true, minimumContrastRatio: 4.5, linkHandler: { activate: () => {} } },
    });
    this.fitting = new FitAddon();
    this.term.loadAddon(this.fitting);
    this.term.attachCustomKeyEventHandler((event) => this.pressed(event));
    this.term.onScroll(() => this.scrolled());
    this.element.append(root);
    const sizes = new ResizeObserver(() => this.fit());
    const themes = new MutationObserver(() => this.dress());
    sizes.observe(this.element);
    themes.observe(document.body, { attributes: true, attributeFilter: THEME });
    globalThis.matchMedia?.("(forced-colors: active)").addEventListener("change", () => this.dress(), { signal });
    globalThis.matchMedia?.("(prefers-color-scheme: dark)").addEventListener("change", () => this.dress(), { signal });
    signal.addEventListener("abort", () => {
      sizes.disconnect();
      themes.disconnect();
      this.term.dispose();
    });
  }

  /** Begin anew, with the size that the program thinks it has; null: as wide as there is room. */
  begin(size: [rows: number, columns: number] | null, label: string): void {
    this.size = size;
    if (this.term.element) this.term.reset();
    else this.open();
    this.term.textarea?.setAttribute("aria-label", label);
    this.term.options.convertEol = !size;
    this.follows = true;
    this.fit();
  }

  write(text: string): void {
    const { follows } = this;
    this.term.write(text, () => {
      if (follows) this.term.scrollToBottom();
      this.scrolled();
    });
  }

  /** Write all of it anew, and stay where one looks: so many lines above the end. */
  again(texts: string[], size: [number, number] | null, label: string): void {
    const { viewportY, baseY } = this.term.buffer.active;
    const above = baseY - viewportY;
    const { follows } = this;
    this.begin(size, label);
    this.follows = follows;
    this.term.write(texts.join(""), () => {
      this.term.scrollToLine(Math.max(0, this.term.buffer.active.baseY - above));
      this.scrolled();
    });
  }

  latest(): void {
    this.follows = true;
    this.term.scrollToBottom();
    this.scrolled();
  }

  focus(): void {
    this.term.focus();
  }

  /** What is on it, as text. */
  get text(): string {
    const { active } = this.term.buffer;
    return Array.from({ length: active.length }, (_, y) => active.getLine(y)?.translateToString(true) ?? "").join("\n").trimEnd();
  }

  private open(): void {
    this.dress();
    this.term.open(this.element);
    // it says nothing unasked: a screen reader goes through its lines like through any text
    this.element.querySelector("[aria-live]")?.setAttribute("aria-live", "off");
    this.element.addEventListener("wheel", () => requestAnimationFrame(() => this.scrolled()), { passive: true });
  }

  private fit(): void {
    if (!this.term.element || !this.element.clientHeight) return;
    this.dress(); // what changed while another tab was open
    if (this.size) this.term.resize(this.size[1], this.size[0]);
    else this.fitting.fit();
  }

  private scrolled(): void {
    const { viewportY, baseY } = this.term.buffer.active;
    const follows = viewportY >= baseY;
    if (follows === this.follows) return;
    this.follows = follows;
    this.moved();
  }

  /** Keys scroll; all others are the page's, so that Tab and Esc lead out. */
  private pressed(event: KeyboardEvent): boolean {
    if (event.type !== "keydown" || event.ctrlKey || event.metaKey || event.altKey) return false;
    const scroll = {
      ...{ ArrowUp: () => this.term.scrollLines(-1), ArrowDown: () => this.term.scrollLines(1) },
      ...{ PageUp: () => this.term.scrollPages(-1), PageDown: () => this.term.scrollPages(1) },
      ...{ Home: () => this.term.scrollToTop(), End: () => this.latest() },
    }[event.key];
    if (scroll) {
      event.preventDefault();
      event.stopPropagation();
      scroll();
      this.scrolled();
    }
    return false;
  }

  private dress(): void {
    if (!this.element.isConnected) return; // out of the page nothing has a colour
    const theme = colours(this.element);
    if (JSON.stringify(theme) !== JSON.stringify(this.term.options.theme)) this.term.options.theme = theme;
    this.term.options.fontFamily = getComputedStyle(this.element).fontFamily || "monospace";
  }
}

/** xterm paints by itself, so that it has to be told what our tokens come to. */
function colours(element: Element): ITheme {
  const probe = h("i");
  element.append(probe);
  const token = (name: string) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const ink = { foreground: token("--mx-ink"), background: token("--mx-bg"), cursor: token("--mx-bg"), blue: token("--mx-accent-ink"), brightBlack: token("--mx-ink-2") };
  const states = { green: token("--mx-busy"), yellow: token("--mx-wait"), red: token("--mx-fail"), selectionBackground: token("--mx-sel") };
  probe.remove();
  return Object.fromEntries(Object.entries({ ...ink, ...states }).map(([name, colour]) => [name, hex(colour)]));
}

/** Any colour of CSS as xterm knows it. */
function hex(colour: string): string {
  const pen = document.createElement("canvas").getContext("2d");
  if (!pen) return "#888888";
  pen.canvas.width = pen.canvas.height = 1;
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  return `#${[...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
