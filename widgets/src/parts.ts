// Every part, by the name under which a widget shows it and the kernel knows it.

import type { Frame, Part } from "./frame";
import { Agent } from "./parts/agent";
import { Approvals } from "./parts/approvals";
import { Conversation } from "./parts/conversation";
import { Costs } from "./parts/costs";
import { Details } from "./parts/details";
import { Inbox } from "./parts/inbox";
import { Slider } from "./parts/slider";
import { Team } from "./parts/team";
import { Terminal } from "./parts/terminal";
import { Timeline } from "./parts/timeline";
import { Tree } from "./parts/tree";

interface Made {
  title: string;
  make(frame: Frame): Part;
}

/** What stands in the dock, in this order. */
export const DOCK = ["timeline", "costs", "approvals", "team"];
/** The tabs of one agent. */
export const OF_AN_AGENT = ["conversation", "terminal", "inbox", "details"];

export const PARTS: Record<string, Made> = {
  tree: { title: "Agents", make: (frame) => new Tree(frame) },
  agent: { title: "Agent", make: (frame) => new Agent(frame, tabs(frame, OF_AN_AGENT)) },
  conversation: { title: "Conversation", make: (frame) => new Conversation(frame) },
  terminal: { title: "Terminal", make: (frame) => new Terminal(frame) },
  inbox: { title: "Inbox", make: (frame) => new Inbox(frame) },
  details: { title: "Details", make: (frame) => new Details(frame) },
  timeline: { title: "Timeline", make: (frame) => new Timeline(frame) },
  costs: { title: "Costs", make: (frame) => new Costs(frame) },
  approvals: { title: "Approvals", make: (frame) => new Approvals(frame) },
  team: { title: "Team run", make: (frame) => new Team(frame) },
  slider: { title: "Moment of the run", make: (frame) => new Slider(frame) },
};

/** These parts, as tabs. */
export function tabs(frame: Frame, names: string[]) {
  return names.map((name) => ({ name, title: PARTS[name]!.title, part: PARTS[name]!.make(frame) }));
}

/** What a widget that is no dashboard shows: a part; of an agent, with all that one sees of it. */
export function alone(frame: Frame, name: string): Part {
  if (OF_AN_AGENT.includes(name)) return new Agent(frame, tabs(frame, [name]));
  return (PARTS[name] ?? PARTS.tree!).make(frame);
}
