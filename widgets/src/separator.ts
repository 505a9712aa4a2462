// The edge between two panes: dragged by the pointer, or moved by the arrow keys.

import { attribute, h } from "./element";

interface Edge {
  label: string;
  /** Which way the edge itself runs. */
  runs: "vertical" | "horizontal";
  /** The least, the greatest and the usual value, in pixels or percent. */
  range: [least: number, most: number, usual: number];
  /** How much one key press moves it. */
  step: number;
  /** What the pointer's position would make of it. */
  at(event: PointerEvent): number;
  set(value: number): void;
}

export function separator(edge: Edge, signal: AbortSignal): HTMLElement {
  const [least, most, usual] = edge.range;
  const says = { role: "separator", "aria-orientation": edge.runs, "aria-label": edge.label };
  const element = h("div", { class: `mx-sep ${edge.runs}`, tabindex: 0, ...says, "aria-valuemin": least, "aria-valuemax": most });
  let value = usual;
  const move = (to: number) => {
    value = Math.round(Math.min(most, Math.max(least, to)));
    attribute(element, "aria-valuenow", value);
    edge.set(value);
  };
  const drag = (event: PointerEvent) => move(edge.at(event));
  element.addEventListener(
    "pointerdown",
    (event) => {
      event.preventDefault();
      element.setPointerCapture(event.pointerId);
      element.addEventListener("pointermove", drag);
    },
    { signal },
  );
  const release = () => element.removeEventListener("pointermove", drag);
  element.addEventListener("pointerup", release, { signal });
  element.addEventListener("pointercancel", release, { signal });
  element.addEventListener("dblclick", () => move(usual), { signal });
  element.addEventListener(
    "keydown",
    (event) => {
      const less = edge.runs === "vertical" ? "ArrowLeft" : "ArrowUp";
      const more = edge.runs === "vertical" ? "ArrowRight" : "ArrowDown";
      const to = { [less]: value - edge.step, [more]: value + edge.step, Home: least, End: most, Enter: usual }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      move(to);
    },
    { signal },
  );
  move(usual);
  return element;
}
