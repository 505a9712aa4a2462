// The raw wire or screen of one agent.

import type { Frame } from "../frame";
import { Soon } from "./soon";

export class Terminal extends Soon {
  constructor(_frame: Frame) {
    super("Here will be the raw wire or screen of this agent.");
  }
}
