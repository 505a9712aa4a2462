// All that travels with every widget: it brings the code that draws, and until that is
// here keeps what the kernel says and shows the saved text.

import { library, type Listener, type Model } from "./library";

interface Context {
  model: Model;
  signal: AbortSignal;
}
interface View extends Context {
  el: HTMLElement;
}
interface Widget {
  initialize(context: Context): void;
  render(context: View): void;
}

/** After which the text is shown that stands for the picture. */
const PATIENCE = 300;

export default (): { initialize(context: Context): void; render(context: View): Promise<void> } => {
  let widget: Promise<Widget>;
  return {
    initialize({ model, signal }) {
      const kept = keeping(model, signal);
      widget = library<{ default: () => Widget }>(model, "widget", signal).then((code) => {
        const made = code.default();
        made.initialize({ model: kept, signal });
        return made;
      });
      widget.catch(() => {}); // each view says it
    },
    async render(view) {
      const text = setTimeout(() => view.el.replaceChildren(saved(view.model)), PATIENCE);
      try {
        const made = await widget;
        if (!view.signal.aborted) made.render({ ...view, el: cleared(view.el) });
      } catch (failure) {
        cleared(view.el).append(saved(view.model), `This view could not be drawn: ${failure}`);
      } finally {
        clearTimeout(text);
      }
    },
  };
};

/** The model, which hands whatever it was told so far to the first who listens. */
function keeping(model: Model, signal: AbortSignal): Model {
  const told: Parameters<Listener>[] = [];
  const keep: Listener = (message, buffers) => message.k !== "library" && told.push([message, buffers]);
  model.on("msg:custom", keep);
  signal.addEventListener("abort", () => model.off("msg:custom", keep));
  return {
    get widget_manager() {
      return model.widget_manager;
    },
    get: (key) => model.get(key),
    send: (content) => model.send(content),
    off: (event, listener) => model.off(event, listener),
    on(event, listener) {
      model.off("msg:custom", keep);
      told.splice(0).forEach((each) => listener(...each));
      model.on(event, listener);
    },
  };
}

function saved(model: Model): HTMLElement {
  const pre = document.createElement("pre");
  pre.textContent = String(model.get("_text") ?? "");
  return pre;
}

function cleared(el: HTMLElement): HTMLElement {
  el.replaceChildren();
  return el;
}
