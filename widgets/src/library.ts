// Code that is too large to travel with every widget. The kernel sends it over the
// model's comm, once a page: no address, no server extension, no internet.

/** The part of anywidget's model that we use. */
export interface Model {
  /** JupyterLab's and Notebook's; other pages have none. */
  readonly widget_manager?: { kernel?: Kernel; context?: Notebook };
  get(key: string): unknown;
  on(event: "msg:custom", listener: Listener): void;
  off(event: "msg:custom", listener: Listener): void;
  send(content: unknown): void;
}
/** The part of JupyterLab's kernel connection that we use. */
export interface Kernel {
  readonly status?: string;
  subshellId?: string | null;
  clone(): Kernel;
  dispose?(): void;
  interrupt?(): Promise<void>;
  requestCreateSubshell?(content: object): { done: Promise<{ content: { subshell_id: string } }> };
  requestDeleteSubshell?(content: object): { done: Promise<unknown> };
  requestExecute(content: object): { done: Promise<unknown> };
}
/** The part of JupyterLab's notebook that we use; what is saved is a document of its own (`ymodel`). */
export interface Notebook {
  readonly saveState?: Record<"connect" | "disconnect", (slot: (sender: unknown, state: string) => void) => void>;
  readonly model?: { cells?: Iterable<Cell> };
}
export interface Cell {
  readonly outputs?: { length: number; get(at: number): { data?: Record<string, unknown> }; set(at: number, output: object): void };
  readonly sharedModel?: { ymodel?: { get(key: string): { get(at: number): Shared } | undefined } };
}
interface Shared {
  get(key: string): unknown;
  set?(key: string, value: unknown): void;
}
export type Listener = (message: { k: string } & Record<string, unknown>, buffers?: DataView[]) => void;

interface Library {
  code: Promise<unknown>;
  arrived: (code: DataView) => void;
  /** When it was asked for last; one that never was may be on its way unasked. */
  asked: number;
}

/** How long to wait for one that is on its way, and then for an answer, before asking again. */
export const AGAIN = [150, 3000] as const;

const page = globalThis as { madroxLibraries?: Map<string, Library> };
const known = (page.madroxLibraries ??= new Map());

/** The module of that name, of the build that this model's kernel has. */
export function library<T>(model: Model, name: string, signal: AbortSignal): Promise<T> {
  const key = `${name}@${model.get("_build")}`;
  const found = known.get(key) ?? expected(key);
  let here = false;
  let timer: ReturnType<typeof setTimeout>;
  const listener: Listener = (message, buffers) => {
    if (message.k === "library" && message.name === name && buffers?.[0]) found.arrived(buffers[0]);
  };
  const again = () => {
    if (here || signal.aborted) return;
    if (Date.now() - found.asked >= AGAIN[1]) {
      found.asked = Date.now(); // twenty widgets of a reloaded page ask once
      send(model, { op: "library", id: key, name });
    }
    timer = setTimeout(again, AGAIN[1]);
  };
  const done = () => {
    here = true;
    clearTimeout(timer);
    model.off("msg:custom", listener);
  };
  model.on("msg:custom", listener);
  signal.addEventListener("abort", done);
  timer = setTimeout(again, name === "widget" ? AGAIN[0] : 0);
  return found.code.finally(done) as Promise<T>;
}

function expected(key: string): Library {
  let arrived: Library["arrived"] = () => {};
  const code = new Promise((ready, failed) => {
    arrived = (text) => run(text).then(ready, failed);
  });
  const made = { code, arrived, asked: 0 };
  known.set(key, made);
  return made;
}

async function run(code: DataView): Promise<unknown> {
  const url = URL.createObjectURL(new Blob([code as BlobPart], { type: "text/javascript" }));
  try {
    return await import(/* @vite-ignore */ url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Whether it could be sent; a model restored from a file has nobody to send to. */
export function send(model: Model, content: unknown): boolean {
  try {
    model.send(content);
    return true;
  } catch {
    return false;
  }
}
