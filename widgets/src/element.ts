// Elements from code. Text is always a text node: no name an agent may have is ever markup.

type Attributes = Record<string, string | number | boolean | null | undefined>;
type Child = Node | string | null | false | undefined;

/** Terminal sequences, and signs that have no look of their own but change that of others. */
const CONTROL =
  /\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
const TURNS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

/** `text` as it may be shown: without terminal sequences; what turns the direction of writing is told as its number. */
export function legible(text: string): string {
  if (text.search(CONTROL) < 0) return text;
  const told = (sign: string) => (TURNS.test(sign) ? `‹U+${sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}›` : "");
  return text.replace(CONTROL, told);
}

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) attribute(element, name, value);
  for (const child of children) if (child) element.append(typeof child === "string" ? legible(child) : child);
  return element;
}

/** A button of the house; it never submits anything. */
export function button(text: string, kind = "", attributes: Attributes = {}, ...icons: Node[]): HTMLButtonElement {
  return h("button", { type: "button", class: `mx-btn ${kind}`.trim(), ...attributes }, ...icons, text);
}

/** Put these children in, in this order, without moving or making anew what stands there already. */
export function arrange(parent: Element, children: Element[]): void {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, at) => {
    // moving an element drops its focus and its scroll, so only what stands elsewhere is moved
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
}

/** Attributes that a person reads or hears. */
const SAID = new Set(["title", "aria-label", "aria-valuetext", "placeholder"]);

/** Set an attribute if it is another one; `null`, `undefined` and `false` remove it. */
export function attribute(element: Element, name: string, value: Attributes[string]): void {
  const given = value === true ? "" : value === false || value == null ? null : String(value);
  const text = given !== null && SAID.has(name) ? legible(given) : given;
  if (element.getAttribute(name) === text) return;
  if (text === null) element.removeAttribute(name);
  else element.setAttribute(name, text);
}

/** Change the text if it is another one, so that an unchanged cell costs no layout. */
export function text(element: Element, value: string): void {
  const shown = legible(value);
  if (element.textContent !== shown) element.textContent = shown;
}

/** A bar that shows which part of something is used; null hides it. */
export function bar(kind = ""): { element: HTMLElement; draw(part: number | null, label: string): void } {
  const fill = h("i");
  const element = h("span", { class: "mx-bar", role: "img", hidden: true }, fill);
  return {
    element,
    draw(part, label) {
      attribute(element, "hidden", part === null);
      if (part === null) return;
      attribute(element, "class", `mx-bar ${kind} ${part >= 1 ? "over" : part >= 0.8 ? "warn" : ""}`.trim());
      attribute(element, "aria-label", label);
      fill.style.width = `${Math.min(100, part * 100)}%`;
    },
  };
}
