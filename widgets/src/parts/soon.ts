// A part that is not drawn yet says in words what will be there.

import { h } from "../element";
import type { Part } from "../frame";

export class Soon implements Part {
  readonly element: HTMLElement;

  constructor(what: string) {
    this.element = h("p", { class: "mx-soon mx-2" }, what);
  }

  topics(): string[] {
    return [];
  }

  draw(): void {}
}
