// Shape first, colour second: every state has its own sign, drawn so that no font decides.

import { stateWord } from "./format";

const ring = '<circle cx="6" cy="6" r="4.25" fill="none" stroke="currentColor" stroke-width="1.5"';

const STATES = new Map([
  ["idle", `${ring}/>`],
  ["starting", `${ring} stroke-dasharray="2 1.8"/>`],
  ["busy", '<circle cx="6" cy="6" r="5" fill="currentColor"/>'],
  ["waiting", `${ring}/><path d="M6 1.5a4.5 4.5 0 0 0 0 9z" fill="currentColor"/>`],
  [
    "stalled",
    '<circle cx="6" cy="6" r="5.5" fill="currentColor"/>' +
      '<path d="M6 3v3.4M6 8.6v.3" stroke="var(--mx-bg)" stroke-width="1.6" stroke-linecap="round"/>',
  ],
  ["suspended", '<path d="M4 2v8M8 2v8" stroke="currentColor" stroke-width="2.4"/>'],
  ["stopped", '<rect x="2" y="2" width="8" height="8" rx="1" fill="currentColor"/>'],
  ["failed", '<path d="m2.5 2.5 7 7m0-7-7 7" stroke="currentColor" stroke-width="1.9" stroke-linecap="round"/>'],
]);

const ICONS = {
  right: '<path d="m5 3 4 4-4 4"/>',
  down: '<path d="m3 5 4 4 4-4"/>',
  mail: '<rect x="1.5" y="3" width="11" height="8" rx="1"/><path d="m2 4 5 4 5-4"/>',
  copy: '<rect x="5" y="5" width="7" height="7" rx="1"/><path d="M9 5V2H2v7h3"/>',
  check: '<path d="m2.5 7.5 3 3 6-7"/>',
  off: '<path d="M2 2l10 10M4 7a3 3 0 0 0 3 3h1M10 7a3 3 0 0 0-3-3"/>',
};

/** The sign of a state, labelled unless the word stands beside it. */
export function glyph(state: string, labelled = false): SVGSVGElement {
  const label = labelled ? `role="img" aria-label="${STATES.has(state) ? stateWord(state) : "unknown"}"` : HIDDEN;
  return svg(`<svg class="mx-g s-${STATES.has(state) ? state : "idle"}" viewBox="0 0 12 12" ${label}>`, STATES.get(state));
}

export function icon(name: keyof typeof ICONS): SVGSVGElement {
  return svg(`<svg class="mx-ic" viewBox="0 0 14 14" ${HIDDEN}>`, ICONS[name]);
}

const HIDDEN = 'aria-hidden="true"';

/** Only ever given the constants above. */
function svg(open: string, inner = ""): SVGSVGElement {
  const template = document.createElement("template");
  template.innerHTML = `${open}${inner}</svg>`;
  return template.content.firstElementChild as SVGSVGElement;
}
