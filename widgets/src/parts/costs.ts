// What was spent over time, and by whom.

import type { Frame } from "../frame";
import { Soon } from "./soon";

export class Costs extends Soon {
  constructor(_frame: Frame) {
    super("Here will be what was spent over time, by agent, subtree, role, harness and model.");
  }
}
