// What has a scroll bar of its own is reached by Tab, while there is something to scroll.

import { attribute } from "./element";

const sizes =
  typeof ResizeObserver === "undefined"
    ? undefined
    : new ResizeObserver((seen) => {
        for (const { target } of seen) attribute(target, "tabindex", overflows(target) ? 0 : null);
      });

export function scrolls<E extends Element>(element: E): E {
  sizes?.observe(element);
  return element;
}

function overflows({ scrollHeight, clientHeight, scrollWidth, clientWidth }: Element): boolean {
  return scrollHeight > clientHeight || scrollWidth > clientWidth;
}
