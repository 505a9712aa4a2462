// Elements from code. Text is always a text node: no name an agent may have is ever markup.

type Attributes = Record<string, string | number | boolean | null | undefined>;
type Child = Node | string | null | false | undefined;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) attribute(element, name, value);
  element.append(...children.filter((child): child is Node | string => !!child));
  return element;
}

/** A button of the house; it never submits anything. */
export function button(text: string, kind = "", attributes: Attributes = {}, ...icons: Node[]): HTMLButtonElement {
  return h("button", { type: "button", class: `mx-btn ${kind}`.trim(), ...attributes }, ...icons, text);
}

/** Set an attribute if it is another one; `null`, `undefined` and `false` remove it. */
export function attribute(element: Element, name: string, value: Attributes[string]): void {
  const text = value === true ? "" : value === false || value == null ? null : String(value);
  if (element.getAttribute(name) === text) return;
  if (text === null) element.removeAttribute(name);
  else element.setAttribute(name, text);
}

/** Change the text if it is another one, so that an unchanged cell costs no layout. */
export function text(element: Element, value: string): void {
  if (element.textContent !== value) element.textContent = value;
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
