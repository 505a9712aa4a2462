// What the notebook keeps of a view, on the page (madrox_nb/saved.py): text and HTML as of the
// moment when it is saved, and at the end of the run in the live view's place. A page that
// was reloaded knows no display by its id any more, so it looks for its own outputs.

import type { Cell, Model } from "./library";
import type { Store } from "./store";

/** How long to wait for more news before asking what they look like as text, and how often at most. */
export const REST = [1_000, 10_000] as const;
const WIDGET = "application/vnd.jupyter.widget-view+json";

/** `model` is the widget that the outputs name; `data` stands beside it there. */
interface Kept {
  model: string;
  data: Record<string, string>;
}

export class Saved {
  private kept: Kept | undefined;
  private told: number; // news that it holds
  private asked = 0; // when
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** Does nothing where the page is no notebook of JupyterLab's. */
  constructor(
    private model: Model,
    private store: Store,
    signal: AbortSignal,
  ) {
    this.told = store.present.closed ? -1 : 0; // one that is over has nothing new to tell
    const saving = model.widget_manager?.context?.saveState;
    if (!saving) return;
    const save = (_: unknown, state: string) => void (state === "started" && this.write());
    saving.connect(save);
    store.subscribe(() => this.plan(), signal);
    signal.addEventListener("abort", () => {
      saving.disconnect(save);
      clearTimeout(this.timer);
    });
  }

  private plan(): void {
    const { told, state } = this.store.link;
    if (this.timer !== undefined || state !== "live" || told === this.told) return;
    const rest = this.store.present.closed ? 0 : Math.max(REST[0], this.asked + REST[1] - Date.now());
    this.timer = setTimeout(() => void this.ask(), rest);
  }

  private async ask(): Promise<void> {
    [this.told, this.asked] = [this.store.link.told, Date.now()];
    const { closed } = this.store.present;
    try {
      this.kept = await this.store.link.keep<Kept>();
      if (closed) this.freeze();
    } catch {
      // a kernel that is gone, or too much to tell: what was kept before stays
    }
    this.timer = undefined;
    this.plan();
  }

  /** Into what is saved, and not into what is shown: that would be drawn anew, and what was typed there lost. */
  private write(): void {
    for (const [cell, at] of this.outputs()) {
      const saved = cell.sharedModel?.ymodel?.get("outputs")?.get(at);
      if (typeof saved?.set === "function") saved.set("data", { ...(saved.get("data") as object), ...this.kept!.data });
    }
  }

  /** The live view gives way, for good. */
  private freeze(): void {
    const { data } = this.kept!;
    for (const [cell, at] of this.outputs()) cell.outputs!.set(at, { output_type: "display_data", data, metadata: {} });
  }

  private outputs(): [Cell, number][] {
    const found: [Cell, number][] = [];
    for (const cell of this.model.widget_manager?.context?.model?.cells ?? []) {
      for (let at = 0; at < (cell.outputs?.length ?? 0); at++) {
        const shows = cell.outputs!.get(at).data?.[WIDGET] as { model_id?: string } | undefined;
        if (this.kept && shows?.model_id === this.kept.model) found.push([cell, at]);
      }
    }
    return found;
  }
}
