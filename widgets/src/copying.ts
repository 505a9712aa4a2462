// The clipboard, where the page may write there.

import { button } from "./element";
import { icon } from "./glyphs";

/** A button that copies; where it may not, `fallback` is selected instead. */
export function copying(what: () => string, label: string, fallback?: Element): HTMLButtonElement {
  const made = button("", "icon", { "aria-label": label, title: "Copy" }, icon("copy"));
  made.addEventListener("click", async () => {
    made.replaceChildren(icon((await copied(what(), fallback)) ? "check" : "copy"));
  });
  return made;
}

/** Whether it stands in the clipboard now; where it may not, `fallback` is selected. */
export async function copied(text: string, fallback?: Element): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    if (fallback) getSelection()?.selectAllChildren(fallback);
    return false;
  }
}
