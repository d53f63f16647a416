/**
 * As much of the browser and of uPlot as the page's script uses, as types. The compiler's "dom"
 * library would put hundreds of names (`name`, `event`, `status` ...) in scope of every file of
 * this project; this does not.
 */
export interface PageElement {
  readonly dataset: Record<string, string | undefined>;
  readonly clientWidth: number;
  readonly clientHeight: number;
  textContent: string | null;
  getAttribute(name: string): string | null;
  setAttribute(name: string, value: string): void;
  removeAttribute(name: string): void;
  append(...children: PageElement[]): void;
  closest(selector: string): PageElement | null;
  querySelector(selector: string): PageElement | null;
  querySelectorAll(selector: string): Iterable<PageElement>;
  addEventListener(kind: string, listen: (event: PageEvent) => void): void;
}

export interface PageEvent {
  readonly key?: string;
  readonly shiftKey?: boolean;
  readonly target: PageElement | null;
  preventDefault(): void;
}

export interface PageDocument {
  readonly documentElement: PageElement;
  getElementById(id: string): PageElement | null;
  querySelectorAll(selector: string): Iterable<PageElement>;
}

export interface PageWindow {
  readonly localStorage: {
    getItem(name: string): string | null;
    setItem(name: string, value: string): void;
  };
  matchMedia(query: string): {
    readonly matches: boolean;
    addEventListener(kind: "change", listen: () => void): void;
  };
  getComputedStyle(element: PageElement): { getPropertyValue(name: string): string };
  addEventListener(kind: string, listen: () => void): void;
  readonly ResizeObserver: new (listen: () => void) => { observe(element: PageElement): void };
}

/** uPlot 1.6, the members used. Times in seconds, `null` is a gap. */
export interface Plot {
  readonly cursor: { readonly idx: number | null; readonly left: number };
  readonly scales: Record<string, { min: number | null; max: number | null }>;
  readonly bbox: { left: number; top: number; width: number; height: number };
  readonly ctx: {
    save(): void;
    restore(): void;
    beginPath(): void;
    moveTo(x: number, y: number): void;
    lineTo(x: number, y: number): void;
    stroke(): void;
    setLineDash(dash: number[]): void;
    strokeStyle: string;
    lineWidth: number;
  };
  setScale(name: string, limits: { min: number; max: number }): void;
  setSize(size: { width: number; height: number }): void;
  setSeries(index: number, options: { show: boolean }): void;
  setCursor(place: { left: number; top: number }): void;
  valToPos(value: number, scale: string, isCanvas?: boolean): number;
  redraw(): void;
  destroy(): void;
}

export interface PlotMaker {
  new (options: unknown, columns: unknown, target: PageElement): Plot;
  tzDate(date: Date, zone: string): Date;
}

/** One chart on the page. */
export interface Drawn {
  readonly form: "percent" | "ratio" | "growth" | "count";
  readonly figure: PageElement;
  readonly box: PageElement;
  readonly title: string;
  readonly columns: (number | null)[][];
  readonly series: readonly {
    color: string;
    isDashed: boolean;
    isFilled: boolean;
    isFaint: boolean;
  }[];
  readonly isShown: boolean[];
  isLog: boolean;
  plot: Plot | null;
}

/** All that the script knows. */
export interface Desk {
  readonly time: number[];
  readonly marks: readonly number[];
  readonly isIntraday: boolean;
  readonly drawn: Drawn[];
  /** True while one chart's zoom is carried to the others. */
  isZooming: boolean;
}
