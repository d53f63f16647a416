/**
 * As much of the browser as the page's script uses, as types: the compiler's "dom" library would put
 * hundreds of names in scope of every file of this project.
 */
export interface PageElement {
  readonly dataset: Record<string, string | undefined>;
  readonly clientWidth: number;
  readonly clientHeight: number;
  readonly style: { height: string };
  textContent: string | null;
  hidden: boolean;
  value: string;
  getAttribute(name: string): string | null;
  setAttribute(name: string, value: string): void;
  closest(selector: string): PageElement | null;
  querySelector(selector: string): PageElement | null;
  querySelectorAll(selector: string): Iterable<PageElement>;
  getBoundingClientRect(): { left: number; top: number };
  setPointerCapture(pointer: number): void;
  addEventListener(kind: string, listen: (event: PageEvent) => void): void;
}
export interface PageEvent {
  readonly key: string;
  readonly clientX: number;
  readonly clientY: number;
  readonly pointerId: number;
  readonly pointerType: string;
  readonly target: PageElement | null;
  preventDefault(): void;
}
export interface PageCanvas extends PageElement {
  width: number;
  height: number;
  getContext(kind: "2d"): Ink;
}
export interface PageDocument {
  readonly documentElement: PageElement;
  getElementById(id: string): PageElement | null;
  querySelectorAll(selector: string): Iterable<PageElement>;
  addEventListener(kind: string, listen: (event: PageEvent) => void): void;
}
export interface PageWindow {
  readonly devicePixelRatio: number;
  matchMedia(query: string): { addEventListener(kind: "change", listen: () => void): void };
  getComputedStyle(element: PageElement): { getPropertyValue(name: string): string };
  requestAnimationFrame(draw: () => void): void;
  addEventListener(kind: string, listen: () => void): void;
  readonly ResizeObserver: new (listen: () => void) => { observe(element: PageElement): void };
  readonly MutationObserver: new (listen: () => void) =>
    { observe(element: PageElement, what: { attributes: boolean }): void };
  readonly IntersectionObserver: new (
    listen: (seen: readonly { isIntersecting: boolean; target: PageElement }[]) => void,
    options: { rootMargin: string }) => { observe(element: PageElement): void };
}
/** The members of a 2-d canvas context that are used. */
export interface Ink {
  fillStyle: string;
  strokeStyle: string;
  lineWidth: number;
  globalAlpha: number;
  font: string;
  textAlign: "left" | "center" | "right";
  textBaseline: "alphabetic" | "middle" | "top";
  setTransform(a: number, b: number, c: number, d: number, e: number, f: number): void;
  clearRect(x: number, y: number, width: number, height: number): void;
  fillRect(x: number, y: number, width: number, height: number): void;
  strokeRect(x: number, y: number, width: number, height: number): void;
  beginPath(): void;
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  arc(x: number, y: number, radius: number, from: number, to: number): void;
  closePath(): void;
  rect(x: number, y: number, width: number, height: number): void;
  fill(): void;
  stroke(): void;
  setLineDash(dash: number[]): void;
  fillText(text: string, x: number, y: number): void;
  strokeText(text: string, x: number, y: number): void;
  measureText(text: string): { width: number };
}

/** One objective, parameter or count as an axis: where its values lie. */
export interface Axis {
  readonly name: string;
  readonly low: number;
  readonly high: number;
  readonly isLog: boolean;
  /** Of a choice: its values are places in this list. */
  readonly choices: readonly string[] | null;
  readonly isWhole: boolean;
}
/** Where values go, in pixels of the chart. */
export interface Frame {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}
/** A drawing surface: its base, what is pointed at above it, and what can be pointed at. */
export interface Chart {
  readonly kind: "history" | "volume" | "parallel" | "matrix" | "pair" | "slice" | "timeline" | "curves";
  /** Objective, parameter: which of them it shows. */
  readonly index: number;
  readonly box: PageElement;
  readonly base: PageCanvas;
  readonly over: PageCanvas;
  /** The marks of one trial belong together as a line. */
  readonly isLine: boolean;
  isSeen: boolean;
  isDrawn: boolean;
  width: number;
  height: number;
  /** Flat, four a mark: left, right, y, row; a dot has left = right. */
  spots: number[];
}
/** All that the script knows: columns of the trials drawn, and what the reader has chosen. */
export interface Desk {
  readonly objectives: readonly (Axis & { readonly isMaximised: boolean })[];
  readonly parameters: readonly Axis[];
  /** (M) the objectives' axes from the front's least to its greatest. */
  readonly ends: readonly Axis[];
  /** (n) */
  readonly number: Int32Array;
  /** (n) place in STATES. */
  readonly state: Uint8Array;
  /** (n) 1: on the front. */
  readonly isFront: Uint8Array;
  /** (M)(n), (M)(n), (D)(n); NaN where there is none. */
  readonly values: readonly Float32Array[];
  readonly best: readonly Float32Array[];
  readonly points: readonly Float32Array[];
  readonly states: readonly string[];
  /** Row of the preferred trial; -1: none. */
  readonly preferred: number;
  readonly count: number;
  readonly volume: readonly (readonly [number, number])[];
  readonly workers: readonly string[];
  /** Seconds from the beginning; four columns of attempts. */
  readonly attempts: { readonly lane: Int32Array; readonly row: Int32Array; readonly outcome: Uint8Array;
    readonly from: Float32Array; readonly to: Float32Array };
  readonly outcomes: readonly string[];
  readonly seconds: number;
  /** Curves end to end: row, first place, and (M) values at `step`. */
  readonly curves: { readonly row: Int32Array; readonly start: Int32Array; readonly step: Int32Array;
    readonly values: readonly Float32Array[] };
  readonly stepsMax: number;
  readonly charts: Chart[];
  /** (M) [low, high] that the reader allows; null: everything. */
  readonly ranges: ([number, number] | null)[];
  /** Objective of slices and of curves; the two of the pair. */
  readonly chosen: { slice: number; curve: number; x: number; y: number };
  /** Row that is pointed at; -1: none. */
  row: number;
  isPinned: boolean;
}
