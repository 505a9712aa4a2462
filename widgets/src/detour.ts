// The way of a verb to a kernel that does not hear its widgets: while a cell blocks and the
// page is told not to give widgets a shell of their own, a subshell of ours carries it.

import type { Model } from "./library";

/** How long a verb may go unacknowledged before it takes this way. */
export const DETOUR = 400;

/** Nothing else may stand in the line that the kernel runs. */
const SAFE = /^[\w.-]+$/;

/** Carry a verb without arguments; says whether there was such a way. The kernel does nothing twice. */
export async function detour(model: Model, id: string, verb: string, agent: string): Promise<boolean> {
  const kernel = model.widget_manager?.kernel;
  const words = [String(model.get("_key")), id, verb, ...(agent ? [agent] : [])];
  if (!kernel?.requestCreateSubshell || !words.every((word) => SAFE.test(word))) return false;
  const { content } = await kernel.requestCreateSubshell({}).done;
  const own = kernel.clone();
  own.subshellId = content.subshell_id;
  const code = `__import__("madrox_nb.widgets").widgets.pressed(${words.map((word) => `"${word}"`).join(", ")})`;
  await own.requestExecute({ code, silent: true, store_history: false, allow_stdin: false }).done;
  await kernel.requestDeleteSubshell?.({ subshell_id: content.subshell_id }).done;
  return true;
}
