// The code that draws, brought by the loader: one store per model, one view per place where
// it is shown.

import type { Model } from "./library";
import { Saved } from "./saved";
import { Store } from "./store";
import { View } from "./view";
import css from "./css/widget.css?inline";

interface Context {
  model: Model;
  signal: AbortSignal;
}

export default (): { initialize(context: Context): void; render(context: Context & { el: HTMLElement }): void } => {
  let store: Store;
  return {
    initialize({ model, signal }) {
      store = new Store(model, signal);
      new Saved(model, store, signal);
    },
    render({ el, signal }) {
      dress(el);
      new View(el, store, signal);
    },
  };
};

/** Our style, once in each document. A newer build's comes after, and wins. */
function dress(el: HTMLElement): void {
  const root = el.getRootNode();
  const place = root instanceof ShadowRoot ? root : document.head;
  if ([...place.querySelectorAll("style[data-madrox]")].some((style) => style.textContent === css)) return;
  const style = document.createElement("style");
  style.dataset.madrox = "";
  style.textContent = css;
  place.append(style);
}
