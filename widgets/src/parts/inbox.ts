// The messages of one agent.

import type { Frame } from "../frame";
import { Soon } from "./soon";

export class Inbox extends Soon {
  constructor(_frame: Frame) {
    super("Here will be the messages of this agent.");
  }
}
