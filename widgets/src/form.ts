// A form: it opens where the hand is, shows the line that does the same, and says in itself
// what did not happen. Its text is kept until it is done or cancelled.

import { copying } from "./copying";
import { attribute, button, h, text } from "./element";
import { sentence } from "./format";
import type { Frame } from "./frame";
import { glyph } from "./glyphs";
import { scrolls } from "./scrolling";

export interface Filled {
  verb: string;
  /** Whom it is about; nobody unless it is said. */
  agent?: string;
  given: Record<string, string>;
  /** The `%madrox` line that does the same. */
  line: string;
  /** Why it can't be sent yet; empty when it can. */
  lacks: string;
}

export interface Shape {
  /** What it is called, such as "Spawn an agent". */
  title: string;
  /** What its button says. */
  does: string;
  /** How an error begins, such as "Not spawned". */
  not: string;
  rows: Node[];
  /** Behind what it opens; without it, behind the row of its button. */
  after?: HTMLElement;
  read(): Filled;
  /** What is done when it went well. */
  done?(filled: Filled): void;
}

/** Open a form at `anchor`; its button closes it again. */
export class Form {
  readonly element: HTMLElement;
  private typed = scrolls(h("pre"));
  private error = h("div", { class: "mx-err", role: "alert", hidden: true });
  private send: HTMLButtonElement;
  private under = false;
  private shown = "";

  constructor(
    private frame: Frame,
    private anchor: HTMLElement,
    private shape: Shape,
  ) {
    this.send = button(shape.does, "primary");
    const cancel = button("Cancel");
    const copy = copying(() => this.shape.read().line, "Copy the line", this.typed);
    const ends = h("div", { class: "all ends" }, this.error, cancel, this.send);
    const line = h("div", { class: "all mx-type" }, this.typed, copy);
    const body = h("div", { class: "mx-form" }, ...shape.rows, line, ends);
    this.element = h("div", { class: "mx-pop mx-form-pop", role: "dialog", "aria-label": shape.title }, body);
    this.element.addEventListener("input", () => this.draw());
    this.element.addEventListener("keydown", (event) => this.pressed(event));
    cancel.addEventListener("click", () => this.close());
    this.send.addEventListener("click", () => void this.submit());
  }

  open(): void {
    (this.shape.after ?? this.anchor.parentElement ?? this.anchor).after(this.element);
    attribute(this.anchor, "aria-expanded", "true");
    this.draw();
    this.element.querySelector<HTMLElement>("input, textarea, select")?.focus();
  }

  get isOpen(): boolean {
    return this.element.isConnected;
  }

  close(): void {
    this.element.remove();
    attribute(this.anchor, "aria-expanded", "false");
    this.anchor.focus();
  }

  draw(): void {
    const { line, lacks } = this.shape.read();
    if (line !== this.shown) {
      const magic = line.split(" ", 1)[0]!;
      this.typed.replaceChildren(h("b", {}, magic), line.slice(magic.length));
    }
    this.shown = line;
    const off = !this.frame.store.acts || this.under;
    attribute(this.send, "disabled", off || !!lacks);
    attribute(this.send, "title", this.frame.store.acts ? lacks || null : "not connected, or this is the past");
    text(this.send, this.under ? `${this.shape.does} …` : this.shape.does);
  }

  /** As in the box: Enter makes a line where there are lines, Shift or Ctrl with it sends. */
  private pressed(event: KeyboardEvent): void {
    const sends = event.key === "Enter" && (event.shiftKey || event.ctrlKey || event.metaKey);
    if (event.key === "Escape") this.close();
    else if (sends && !this.send.disabled) void this.submit();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private async submit(): Promise<void> {
    const filled = this.shape.read();
    [this.under, this.error.hidden] = [true, true];
    this.draw();
    const error = await this.frame.store.tell(filled.verb, filled.agent ?? "", filled.given, filled.line);
    this.under = false;
    if (error) {
      const said = `${this.shape.not}: ${sentence(error)} What you wrote is kept.`;
      this.error.replaceChildren(glyph("failed"), h("span", {}, said));
      this.error.hidden = false;
      this.draw();
      return;
    }
    this.close();
    this.shape.done?.(filled);
  }
}

let made = 0;

/** A label and what it labels, as two cells of a form. */
export function field(label: string, control: HTMLElement, note?: Node): Node[] {
  const id = `mx-field-${++made}`;
  control.id = id;
  return [h("label", { for: id }, label), note ? h("span", { class: "pair" }, control, note) : control];
}

export interface Option {
  value: string;
  label?: string;
  /** It can't be chosen now, and is told all the same. */
  off?: boolean;
}

/** A list to choose from; the first choice until another one is made. */
export function choose(options: Option[], chosen = ""): HTMLSelectElement {
  const made = h("select", { class: "mx-select" });
  offer(made, options, chosen);
  return made;
}

/** Put these choices into a list. What was chosen stays chosen; if it is gone, the first one is. */
export function offer(select: HTMLSelectElement, options: Option[], chosen = select.value): void {
  select.replaceChildren(...options.map(({ value, label, off }) => h("option", { value, disabled: !!off }, label ?? value)));
  // said last: an option that is moved takes along that it was chosen for a moment
  select.value = options.some(({ value, off }) => value === chosen && !off) ? chosen : options[0]?.value ?? "";
}

/** A line to write in, with suggestions; anything else may be written too. */
export function write(placeholder = "", type = "text"): HTMLInputElement {
  return h("input", { class: "mx-input", type, placeholder, autocomplete: "off", spellcheck: "false" });
}
