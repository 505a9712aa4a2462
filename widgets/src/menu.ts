// A menu that opens where the hand is. Arrows walk it; Esc, or the focus going elsewhere,
// closes it and the focus is back on its button.

import { attribute, h } from "./element";

export interface Choice {
  /** What stands before it, set apart by a line. */
  title?: string;
  label: string;
  sign?: Node;
  note?: string;
  checked?: boolean;
  pick(): void;
}

/** Open `choices` below `anchor`, or close them. One that is checked stays open. */
export function menu(anchor: HTMLElement, label: string, choices: () => Choice[], signal: AbortSignal): void {
  attribute(anchor, "aria-haspopup", "menu");
  attribute(anchor, "aria-expanded", "false");
  let box: HTMLElement | undefined;
  const close = (back: boolean) => {
    box?.remove();
    box = undefined;
    attribute(anchor, "aria-expanded", "false");
    if (back) anchor.focus();
  };
  const fill = () => {
    const at = box ? [...box.querySelectorAll("button")].indexOf(document.activeElement as HTMLButtonElement) : 0;
    box!.replaceChildren(...choices().flatMap((choice, n) => entry(choice, n, () => picked(choice))));
    [...box!.querySelectorAll("button")].at(Math.max(0, at))?.focus();
  };
  const picked = (choice: Choice) => {
    choice.pick();
    if (choice.checked === undefined) close(true);
    else fill();
  };
  const open = () => {
    box = h("div", { class: "mx-pop mx-menu", role: "menu", "aria-label": label });
    box.addEventListener("keydown", (event) => walk(event, box!, () => close(true)));
    box.addEventListener("focusout", (event) => {
      const to = event.relatedTarget as Node | null;
      // a menu that is filled anew loses its focus to nobody
      if (to && !box?.contains(to) && to !== anchor) close(false);
    });
    (anchor.parentElement ?? anchor).after(box);
    attribute(anchor, "aria-expanded", "true");
    fill();
  };
  anchor.addEventListener("click", () => (box ? close(true) : open()), { signal });
  document.addEventListener(
    "pointerdown",
    (event) => {
      const on = event.target as Node;
      if (box && !box.contains(on) && !anchor.contains(on)) close(false);
    },
    { signal },
  );
}

function entry({ title, label, sign, note, checked }: Choice, at: number, pick: () => void): HTMLElement[] {
  const role = checked === undefined ? "menuitem" : "menuitemcheckbox";
  const mark = checked === undefined ? null : h("span", { class: "mx-mark" }, checked ? "✓" : "");
  const told = note ? h("span", { class: "mx-2" }, note) : null;
  const says = { type: "button", role, tabindex: -1, "aria-checked": checked === undefined ? null : String(checked) };
  const made = h("button", says, mark, sign, h("span", { class: "mx-grow" }, label), told);
  made.addEventListener("click", pick);
  const cap = title ? [...(at ? [h("hr")] : []), h("span", { class: "cap" }, title)] : [];
  return [...cap, made];
}

function walk(event: KeyboardEvent, box: HTMLElement, close: () => void): void {
  const items = [...box.querySelectorAll("button")];
  const at = items.indexOf(document.activeElement as HTMLButtonElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (event.key === "Escape") close();
  else if (to !== undefined) items.at(to % items.length)?.focus();
  else return;
  event.preventDefault();
  event.stopPropagation();
}
