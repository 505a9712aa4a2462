// Turns, tool calls, messages and waits of each agent on one axis of time.

import type { Frame } from "../frame";
import { Soon } from "./soon";

export class Timeline extends Soon {
  constructor(_frame: Frame) {
    super("Here will be the turns, tool calls, messages and waits of each agent on one axis of time.");
  }
}
