// The footer: one slider moves everything through the ledger.

import type { Frame } from "../frame";
import { Soon } from "./soon";

export class Slider extends Soon {
  constructor(_frame: Frame) {
    super("");
  }
}
