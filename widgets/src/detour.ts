// Ways to a kernel that does not hear its widgets, because a cell is running and their
// messages queue behind it: a subshell of our own, and then the interrupt of that cell.

import type { Model } from "./library";

/** The part of JupyterLab's kernel connection that we use; other front ends have none of it. */
interface Kernel {
  readonly status: string;
  subshellId?: string | null;
  clone(): Kernel;
  requestCreateSubshell(content: object): { done: Promise<{ content: { subshell_id: string } }> };
  requestDeleteSubshell(content: { subshell_id: string }): { done: Promise<unknown> };
  requestExecute(content: object): { done: Promise<{ content: { status: string } }> };
  interrupt(): Promise<void>;
  dispose(): void;
}

const kernel = (model: Model): Kernel | undefined => (model.widget_manager as { kernel?: Kernel } | undefined)?.kernel;

/** Hand a message over in a subshell made for it. Rejects where there is none to be had. */
export async function bySubshell(model: Model, content: object): Promise<void> {
  const main = kernel(model);
  if (!main) throw new Error("this front end has no subshells");
  const made = await main.requestCreateSubshell({}).done;
  let shell: Kernel | undefined;
  try {
    shell = main.clone();
    shell.subshellId = made.content.subshell_id;
    const silent = { silent: true, store_history: false, allow_stdin: false };
    const reply = await shell.requestExecute({ code: code(String(model.get("_place") ?? ""), content), ...silent }).done;
    if (reply.content.status !== "ok") throw new Error("the kernel did not take it");
  } finally {
    void main.requestDeleteSubshell({ subshell_id: made.content.subshell_id }).done.catch(() => {});
    shell?.dispose();
  }
}

/** Interrupt the cell that keeps the kernel from hearing us; false when none does, or when we can't. */
export async function interruptCell(model: Model): Promise<boolean> {
  const main = kernel(model);
  if (main?.status !== "busy") return false;
  await main.interrupt();
  return true;
}

/** One fixed call. Its arguments are hexadecimal: nothing that is in a message is ever code. */
function code(place: string, content: object): string {
  const hex = (text: string) => [...new TextEncoder().encode(text)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `__import__("madrox_nb.detour").detour.hear("${hex(place)}", "${hex(JSON.stringify(content))}")`;
}
