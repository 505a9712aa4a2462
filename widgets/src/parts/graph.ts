// The agents as a graph: cards, then pills, then marks on a canvas, as their number grows.
// The list says the same in text.

import { attribute, h } from "../element";
import { some } from "../format";
import type { Frame } from "../frame";
import { beside, edge, plan, SIZES, type Place, type Plan } from "../plan";
import type { Row } from "../store";
import { Traffic, type Message } from "../traffic";
import { Card } from "./card";
import { Marks } from "./marks";
import { Twice, verbFor } from "./row";

const CALM = 500; // between two changes of places, in ms
const ZOOMS = [0.4, 2] as const;
const SVG = "http://www.w3.org/2000/svg";

let graphs = 0;

export class Graph {
  readonly element: HTMLElement;
  private edges = document.createElementNS(SVG, "svg");
  private world = h("div", { class: "world" });
  private room = h("div", { class: "room", role: "tree", "aria-label": "Agents" }, this.world);
  private cards = new Map<string, Card>();
  private lines = new Map<string, SVGPathElement>();
  private marks: Marks;
  private traffic: Traffic;
  private plan: Plan = { level: "card", places: new Map(), width: 0, height: 0 };
  private edged: Plan | undefined;
  private shape = "";
  private seen: Row[] = [];
  private asked = "";
  private moved = 0;
  private factor = 1;
  private scaled = 1; // as it is drawn
  private active = "";
  private begun = false;
  private urgent = new Twice();
  private id = `mx-graph-${++graphs}`;

  constructor(
    private frame: Frame,
    private folded: Set<string>,
    private search: () => void,
  ) {
    this.edges.setAttribute("class", "edges");
    this.edges.setAttribute("aria-hidden", "true");
    this.world.append(this.edges);
    this.marks = new Marks(frame, (name) => this.choose(name));
    this.traffic = new Traffic(this.world, frame.redraw);
    this.element = h("div", { class: "mx-graph", role: "group" }, this.room, this.marks.element);
    const on = <K extends keyof HTMLElementEventMap>(kind: K, listener: (event: HTMLElementEventMap[K]) => void) =>
      this.element.addEventListener(kind, listener, { signal: frame.signal });
    on("click", (event) => this.clicked(event.target as Element));
    on("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.pressed(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.element.addEventListener("wheel", (event) => this.rolled(event), { signal: frame.signal, passive: false });
  }

  topics(): string[] {
    return ["traffic"];
  }

  draw(): void {
    const { store } = this.frame;
    this.replan();
    const { level, places } = this.plan;
    attribute(this.element, "aria-label", `${some(places.size, "agent")} as a graph. The list says the same in text.`);
    attribute(this.room, "hidden", level === "mark");
    attribute(this.marks.element, "hidden", level !== "mark");
    if (!places.has(this.active)) this.active = store.current?.name ?? "";
    if (level === "mark") {
      this.marks.draw(this.plan, this.active);
      return;
    }
    this.place();
    const messages = store.data<{ messages: Message[] }>("traffic")?.messages;
    if (messages) this.traffic.show(messages, this.plan, this.moves);
    this.drawCards();
    this.drawEdges();
    this.scale();
  }

  focus(name?: string): void {
    if (name !== undefined) this.go(name);
    if (this.plan.level === "mark") this.marks.element.focus();
    else this.cards.get(this.active)?.element.focus();
  }

  /** Whether it can be drawn larger and smaller: marks have one size. */
  get scales(): boolean {
    return this.plan.level !== "mark";
  }

  /** All of it at once, and again as it is drawn. */
  fit(): void {
    const { clientWidth: w, clientHeight: h } = this.element;
    const all = Math.min(1, w / this.plan.width, h / this.plan.height);
    this.factor = this.factor === all ? 1 : all;
    this.frame.redraw();
  }

  zoom(by: number): void {
    this.factor = Math.min(ZOOMS[1], Math.max(Math.min(ZOOMS[0], this.factor), this.factor * by));
    this.frame.redraw();
  }

  private unfolded(): Row[] {
    const { filter, store } = this.frame;
    if (filter.on) return filter.of(store);
    let hidden = Infinity;
    return store.rows.filter(({ name, depth }) => {
      if (depth > hidden) return false;
      hidden = this.folded.has(name) ? depth : Infinity;
      return true;
    });
  }

  /** Places change at most twice a second, but at once by hand; what is shown at a place always does. */
  private replan(): void {
    const { filter, store } = this.frame;
    const asked = `${filter.key} ${store.at}`; // what the hand has changed: what is filtered, and the moment
    if (asked !== this.asked) [this.asked, this.moved] = [asked, 0];
    const { rows } = store;
    const shape = this.shapeOf(rows);
    const rest = this.moved + CALM - Date.now();
    if (shape !== this.shape && rest > 0 && this.plan.places.size) setTimeout(this.frame.redraw, rest);
    else if (shape !== this.shape) {
      [this.plan, this.shape, this.moved] = [plan(this.unfolded(), this.element.clientWidth), shape, Date.now()];
    }
    if (rows === this.seen) return;
    this.seen = rows;
    for (const place of this.plan.places.values()) place.row = store.get(place.row.name) ?? place.row;
  }

  /** What the places depend on. With a filter that is what the agents do, too. */
  private shapeOf(rows: Row[]): string {
    const { filter, store } = this.frame;
    const shown = filter.on ? filter.of(store).map((row) => row.name) : [rows.length, ...this.folded];
    return [store.shape, this.element.clientWidth, filter.key, ...shown].join("\n");
  }

  private place(): void {
    const { places, width, height } = this.plan;
    for (const [name, card] of this.cards) {
      if (places.has(name)) continue;
      card.element.remove();
      this.cards.delete(name);
      this.lines.get(name)?.remove();
      this.lines.delete(name);
    }
    for (const name of places.keys()) {
      if (this.cards.has(name)) continue;
      const card = new Card(name, `${this.id}-${encodeURIComponent(name)}`);
      this.cards.set(name, card);
      this.world.append(card.element);
    }
    this.world.style.width = `${width}px`;
    this.world.style.height = `${height}px`;
  }

  private drawCards(): void {
    const { store } = this.frame;
    for (const [name, place] of this.plan.places) {
      const hidden = this.folded.has(name) && !this.frame.filter.on ? store.below(name).length : 0;
      const open = store.children.has(name) ? !hidden : null;
      const at = { active: name === this.active, selected: name === store.current?.name, hidden, open };
      this.cards.get(name)!.draw(this.frame, place, this.plan.level, at);
    }
  }

  private drawEdges(): void {
    const moved = this.plan !== this.edged;
    this.edged = this.plan;
    for (const [name, { row }] of this.plan.places) {
      if (!row.parent || !this.plan.places.has(row.parent)) continue;
      let line = this.lines.get(name);
      if (!line) {
        line = document.createElementNS(SVG, "path");
        this.lines.set(name, line);
        this.edges.append(line);
      }
      if (moved) attribute(line, "d", edge(this.plan, row.parent, name));
      attribute(line, "class", `mx-edge${this.traffic.hot(name) ? " hot" : ""}`);
    }
  }

  // size

  private scale(): void {
    const { factor, element } = this;
    const middle = [element.scrollLeft + element.clientWidth / 2, element.scrollTop + element.clientHeight / 2] as const;
    const grows = factor / this.scaled;
    this.scaled = factor;
    this.world.style.transform = factor === 1 ? "" : `scale(${factor})`;
    this.room.style.width = `${this.plan.width * factor}px`;
    this.room.style.height = `${this.plan.height * factor}px`;
    // what is in the middle stays there
    if (grows !== 1) element.scrollTo?.(middle[0] * grows - element.clientWidth / 2, middle[1] * grows - element.clientHeight / 2);
    if (this.begun) return;
    this.begun = true; // where the tree begins, once: later one is where one scrolled to
    const top = this.plan.places.values().next().value;
    if (top) this.element.scrollTop = top.y - this.element.clientHeight / 2 + SIZES[this.plan.level][1];
  }

  /** The wheel zooms only with Ctrl: without it the page scrolls. */
  private rolled(event: WheelEvent): void {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1);
  }

  private get moves(): boolean {
    const { link, at } = this.frame.store;
    const still = globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
    return !still && !document.hidden && link.state === "live" && at === null;
  }

  // hands

  private clicked(target: Element): void {
    const name = target.closest<HTMLElement>("[data-agent]")?.dataset.agent;
    if (name === undefined) return;
    if (target.closest(".mx-more")) this.fold(name, false);
    this.choose(name);
  }

  private choose(name: string): void {
    this.active = name;
    this.frame.store.select(name);
  }

  /** Whether the key meant something here. */
  private pressed(key: string): boolean {
    const place = this.plan.places.get(this.active);
    if (!place) return false;
    const names = [...this.plan.places.keys()];
    const marks = this.plan.level === "mark"; // they stand in lines, not in branches
    switch (key) {
      case "ArrowUp":
      case "ArrowDown":
        return this.go(beside(this.plan, this.active, key));
      case "ArrowRight":
        return marks ? this.go(names[names.indexOf(this.active) + 1]) : this.open(place);
      case "ArrowLeft":
        return marks ? this.go(names[names.indexOf(this.active) - 1]) : this.shut(place);
      case "Home":
        return this.go(names[0]);
      case "End":
        return this.go(names.at(-1));
      case "Enter":
        this.frame.look(this.active, "box");
        return true;
      case "/":
        this.search();
        return true;
      case "I":
        return this.urge(place.row);
      case "0":
        this.fit();
        return true;
      case "+":
      case "=":
        this.zoom(1.2);
        return true;
      case "-":
        this.zoom(1 / 1.2);
        return true;
      default:
        return key.length === 1 && key !== " " && this.find(key.toLowerCase(), names);
    }
  }

  private urge(row: Row): boolean {
    if (this.urgent.pressed() && verbFor(row) === "interrupt") this.frame.act("interrupt", row.name);
    return true;
  }

  private open({ row }: Place): boolean {
    if (this.folded.has(row.name)) return this.fold(row.name, false);
    return this.go(this.frame.store.children.get(row.name)?.find((child) => this.plan.places.has(child)));
  }

  private shut({ row }: Place): boolean {
    const children = this.frame.store.children.has(row.name) && !this.folded.has(row.name);
    return children && !this.frame.filter.on ? this.fold(row.name, true) : this.go(row.parent ?? undefined);
  }

  private fold(name: string, folded: boolean): boolean {
    if (folded) this.folded.add(name);
    else this.folded.delete(name);
    this.moved = 0; // by hand, at once
    this.frame.redraw();
    return true;
  }

  private find(letter: string, names: string[]): boolean {
    const at = names.indexOf(this.active);
    const ahead = [...names.slice(at + 1), ...names.slice(0, at)];
    return this.go(ahead.find((name) => name.toLowerCase().startsWith(letter)));
  }

  private go(name: string | undefined): boolean {
    if (name === undefined || !this.plan.places.has(name)) return true;
    this.active = name;
    this.draw();
    const card = this.cards.get(name)?.element;
    if (card && this.plan.level !== "mark") {
      card.focus({ preventScroll: true });
      card.scrollIntoView?.({ block: "nearest", inline: "nearest" });
    }
    return true;
  }
}
