// How far a team is: its phases, who works in them, what waits for what.

import type { Frame } from "../frame";
import { Soon } from "./soon";

export class Team extends Soon {
  constructor(_frame: Frame) {
    super("Here will be the phases of a team's run: who works in them, what waits for what.");
  }
}
