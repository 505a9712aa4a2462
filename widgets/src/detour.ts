// The ways of a verb to a kernel that does not hear its widgets: while a cell blocks and the
// page is told not to give widgets a shell of their own, a subshell of ours carries it; where
// there is none, the cell is interrupted, and then the kernel hears what waited.

import type { Model } from "./library";

/** How long a verb may go unacknowledged before it takes the next way: over the comm, and by a subshell. */
export const WAYS = [400, 1_500] as const;
/** What a person wants at once, even at the price of the cell that is in its way. */
const URGENT = ["interrupt", "stop", "stop_all"];
/** Nothing else may stand in the line that the kernel runs. */
const SAFE = /^[\w.-]+$/;

/** See to it that a verb without arguments is heard. It may arrive twice; the kernel does nothing twice. */
export function insist(model: Model, unheard: () => boolean, id: string, verb: string, agent: string): void {
  const last = () => {
    if (unheard() && URGENT.includes(verb)) void interruptCell(model);
  };
  setTimeout(() => {
    if (!unheard()) return;
    const late = setTimeout(last, WAYS[1]);
    bySubshell(model, id, verb, agent).catch(() => (clearTimeout(late), last()));
  }, WAYS[0]);
}

async function bySubshell(model: Model, id: string, verb: string, agent: string): Promise<void> {
  const kernel = model.widget_manager?.kernel;
  const words = [String(model.get("_key")), id, verb, ...(agent ? [agent] : [])];
  if (!kernel?.requestCreateSubshell || !words.every((word) => SAFE.test(word))) throw new Error("there is no such way");
  const { content } = await kernel.requestCreateSubshell({}).done;
  let own: typeof kernel | undefined;
  try {
    own = kernel.clone();
    own.subshellId = content.subshell_id;
    const code = `__import__("madrox_nb.widgets").widgets.pressed(${words.map((word) => `"${word}"`).join(", ")})`;
    await own.requestExecute({ code, silent: true, store_history: false, allow_stdin: false }).done;
  } finally {
    kernel.requestDeleteSubshell?.({ subshell_id: content.subshell_id }).done.catch(() => {});
    own?.dispose?.();
  }
}

/** Only where a cell is in the way. */
async function interruptCell({ widget_manager }: Model): Promise<void> {
  const kernel = widget_manager?.kernel;
  try {
    if (kernel?.status === "busy") await kernel.interrupt?.();
  } catch {
    // it can't be done from here: then the verb's own time tells
  }
}
