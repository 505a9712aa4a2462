// What the kernel tells of a topic, put together again (madrox_nb/parts/difference.py).

export type Data = Record<string, unknown>;
type Item = Record<string, unknown>;

export interface Change {
  set?: Data;
  add?: Record<string, string>;
  lists?: Record<string, { u: Item[]; gone?: string[]; order?: string[] }>;
  key?: Record<string, string>;
}

export interface News {
  t: string;
  s: number;
  snap?: Data;
  d?: Change;
  error?: string;
}

/** `data` with a change in it. The old object and its lists stay as they are. */
export function changed(data: Data, { set, add, lists, key }: Change): Data {
  const made = { ...data, ...set };
  for (const [field, text] of Object.entries(add ?? {})) made[field] = String(made[field] ?? "") + text;
  for (const [field, { u, order }] of Object.entries(lists ?? {})) {
    const name = key![field]!;
    const known = new Map((made[field] as Item[] | undefined)?.map((item) => [item[name] as string, item]));
    for (const item of u) known.set(item[name] as string, item);
    const names = order ?? [...known.keys()];
    made[field] = names.flatMap((each) => known.get(each) ?? []);
  }
  return made;
}

/** One topic as far as this page was told. */
export class Topic {
  data: Data | undefined;
  error = "";
  /** A change was missed, and the whole that mends it is not here yet. */
  stale = false;
  private seq = -1;

  /** Take news in; says whether the whole has to be asked for. */
  hear({ s, snap, d, error }: News): boolean {
    if (error !== undefined) {
      this.error = error;
      return false;
    }
    this.error = "";
    if (snap) {
      [this.data, this.seq, this.stale] = [snap, s, false];
      return false;
    }
    if (!d || !this.data || s <= this.seq) return !this.data && !this.stale && (this.stale = true);
    const missed = s !== this.seq + 1 && !this.stale;
    this.stale ||= missed;
    // lists and values are true all the same; text that was added to what is missing is not
    this.data = changed(this.data, this.stale ? { ...d, add: {} } : d);
    this.seq = s;
    return missed;
  }

  /** A heartbeat says how many changes there were; whether the whole has to be asked for. */
  beat(s: number | undefined): boolean {
    if (s === undefined) return false;
    this.stale ||= this.seq !== s;
    return this.stale;
  }
}
