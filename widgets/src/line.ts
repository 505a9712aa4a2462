// The `%madrox` line that does what a form does, so that it can be copied into a cell.

/** One word of a line: quoted where a shell would not take it for one. */
export function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}

/** `%madrox verb name --option value`; options that are empty are left out. A text stands at the end. */
export function line(verb: string, names: string[], options: Record<string, string> = {}, text = ""): string {
  const said = Object.entries(options).filter(([, value]) => value.trim());
  const words = [...names.filter(Boolean), ...said.flatMap(([name, value]) => (value === FLAG ? [`--${name}`] : [`--${name}`, value]))];
  const head = ["%madrox", verb, ...words.map(word)].join(" ");
  if (!text.trim()) return head;
  // words behind -- stand as they are, in one line; what has more lines is a cell
  return text.includes("\n") ? `%${head}\n${text}` : `${head} -- ${text}`;
}

/** Stands for the value of an option that takes none. */
export const FLAG = "\0";
