// What stands behind one agent.

import type { Frame } from "../frame";
import { Soon } from "./soon";

export class Details extends Soon {
  constructor(_frame: Frame) {
    super("Here will be what stands behind this agent.");
  }
}
