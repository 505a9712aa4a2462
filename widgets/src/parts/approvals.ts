// One inbox for what all agents ask to be allowed.

import type { Frame } from "../frame";
import { Soon } from "./soon";

export class Approvals extends Soon {
  constructor(_frame: Frame) {
    super("Here will be what agents ask to be allowed, with what would be done.");
  }
}
