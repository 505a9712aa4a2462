// What else one may do with an agent: forms, and the lines of its verbs to take into a cell.

import { copied } from "../copying";
import { button, h } from "../element";
import type { Frame } from "../frame";
import { icon } from "../glyphs";
import { line } from "../line";
import { menu, type Choice } from "../menu";
import { lineFor, type Row } from "../store";

/** The forms about one agent. */
export type AgentForm = "fork" | "limit";

/** Told by a part of the agent that wants one of its forms opened; its detail is which. */
export const ASKS = "mx-asks";

/** The menu behind ⋯. */
export class More {
  readonly button = button("", "icon", { "aria-label": "More", title: "More" }, icon("more"));
  readonly element = h("span", { class: "mx-also" }, h("span", {}, this.button));

  constructor(
    private frame: Frame,
    private open: (form: AgentForm) => void,
  ) {
    menu(this.button, "More", () => this.choices(), frame.signal);
  }

  private choices(): Choice[] {
    const row = this.frame.store.current!;
    const forms = this.frame.store.acts ? formsOf(row) : [];
    const lines = linesOf(row).map((code, at): Choice => ({
      ...(at ? {} : { title: "Copy a line into a cell" }),
      label: code,
      pick: () => void this.copy(code),
    }));
    return [...forms.map((form): Choice => ({ label: WORDS[form], pick: () => this.open(form) })), ...lines];
  }

  private async copy(code: string): Promise<void> {
    if (!(await copied(code))) this.frame.store.refuse(`The page may not write to the clipboard. The line is ${code}`);
  }
}

const WORDS: Record<AgentForm, string> = { fork: "Fork…", limit: "Limits…" };

/** Those that make sense now. */
export function formsOf(row: Row): AgentForm[] {
  return [...(row.can.includes("fork") ? (["fork"] as const) : []), ...(row.can.includes("stop") ? (["limit"] as const) : [])];
}

function linesOf({ name, can }: Row): string[] {
  const said = can.includes("stop") ? [`${line("send", [name])} "…"`] : [];
  return [...said, ...["interrupt", "suspend", "resume", "fork", "stop"].filter((verb) => can.includes(verb)).map((verb) => lineFor(verb, name))];
}
