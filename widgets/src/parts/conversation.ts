// What one agent was asked, said and did, as it streams.

import type { Frame } from "../frame";
import { Soon } from "./soon";

export class Conversation extends Soon {
  constructor(_frame: Frame) {
    super("Here will be what this agent was asked, said and did.");
  }
}
