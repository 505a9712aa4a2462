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
  search: '<circle cx="6" cy="6" r="4"/><path d="m9 9 3.5 3.5"/>',
  filter: '<path d="M1.5 3h11M3.5 7h7M5.5 11h3"/>',
  graph: '<rect x="1" y="5" width="4" height="4" rx="1"/><rect x="9" y="1" width="4" height="4" rx="1"/><rect x="9" y="9" width="4" height="4" rx="1"/><path d="M5 7h2M9 3H7v8h2"/>',
  list: '<path d="M2 3h10M4 7h8M6 11h6"/>',
  fit: '<path d="M1.5 5V1.5H5M9 1.5h3.5V5M12.5 9v3.5H9M5 12.5H1.5V9"/>',
  more: '<circle cx="2.5" cy="7" r=".6"/><circle cx="7" cy="7" r=".6"/><circle cx="11.5" cy="7" r=".6"/>',
  stop: '<rect x="3" y="3" width="8" height="8" rx="1"/>',
  minus: '<path d="M2 7h10"/>',
  pause: '<path d="M4.5 2.5v9M9.5 2.5v9"/>',
  plus: '<path d="M7 2v10M2 7h10"/>',
  warn: '<path d="M7 1.5 13 12.5H1z"/><path d="M7 6v3M7 10.8v.1"/>',
  cross: '<path d="m3.5 3.5 7 7m0-7-7 7"/>',
  clock: '<circle cx="7" cy="7" r="5"/><path d="M7 4v3l2 1.5"/>',
  play: '<path d="M4 2.5v9l7-4.5z"/>',
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

export type Icon = keyof typeof ICONS;

export function icon(name: Icon): SVGSVGElement {
  return svg(`<svg class="mx-ic" viewBox="0 0 14 14" ${HIDDEN}>`, ICONS[name]);
}

const HIDDEN = 'aria-hidden="true"';

/** Only ever given the constants above. */
function svg(open: string, inner = ""): SVGSVGElement {
  const template = document.createElement("template");
  template.innerHTML = `${open}${inner}</svg>`;
  return template.content.firstElementChild as SVGSVGElement;
}
