/**
 * The page's script: the picture of equity and drawdown, drawn by hand as SVG. Sent as text (client.ts).
 *
 *   equity    line over a dotted start, filled down to it         share one time axis, one pointer
 *   drawdown  filled from 0 down
 */
import type { PageDocument, PageElement } from "./browser.ts";
import type { Desk } from "./client.ts";
import { moment, money, percent, signedMoney } from "./client-format.ts";

declare const document: PageDocument;

export function svg(name: string, attributes: Record<string, string | number>,
  ...children: PageElement[]): PageElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key of Object.keys(attributes)) element.setAttribute(key, String(attributes[key]));
  element.append(...children);
  return element;
}

/** Points within the chosen range, with the drawdown from the highest equity up to each of all. */
export function visible(desk: Desk): { at: number[]; equity: number[]; fall: number[] } {
  const at: number[] = [], equity: number[] = [], fall: number[] = [];
  const last = desk.curve.at.at(-1) ?? 0, from = desk.rangeMs === null ? -Infinity : last - desk.rangeMs;
  let peak = -Infinity;
  for (let k = 0; k < desk.curve.at.length; k++) {
    const value = desk.curve.equity[k];
    peak = Math.max(peak, value);
    // At least the last two: one point is no line.
    if (desk.curve.at[k] < from && k < desk.curve.at.length - 2) continue;
    at.push(desk.curve.at[k]);
    equity.push(value);
    fall.push(peak > 0 ? value / peak - 1 : 0);
  }
  return { at, equity, fall };
}

/** About `count` round numbers between low and high. */
export function ticksOf(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough) ?? rough;
  const ticks: number[] = [];
  for (let k = Math.ceil(low / step); k * step <= high + step * 1e-9 && ticks.length < 20;
    k++) ticks.push(k * step);
  return ticks;
}

/** Steps of time that people read: as many as have room. */
export function timeTicks(from: number, to: number, count: number): number[] {
  const seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200,
    86_400,
    172_800, 604_800, 2_592_000, 7_776_000, 31_536_000, 63_072_000, 157_680_000, 315_360_000];
  const step = 1000 * (seconds.find((one) => (to - from) / 1000 / one <= count) ?? 315_360_000);
  const ticks: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to && ticks.length < 20; at += step) ticks.push(at);
  return ticks;
}

/** Where everything is, px: two panels over each other that share a time axis. */
export interface Scale {
  readonly at: number[]; readonly equity: number[]; readonly fall: number[];
  readonly width: number; readonly height: number; readonly left: number; readonly right: number;
  readonly start: number; readonly low: number; readonly high: number; readonly worst: number;
  readonly x: (time: number) => number;
  readonly y: (equity: number) => number;
  readonly z: (fall: number) => number;
}

export function scaleOf(desk: Desk, width: number): Scale {
  const { at, equity, fall } = visible(desk), isNarrow = width < 560, start = desk.curve.equity[0];
  // Room for the longest number on the axis.
  const digits = Math.max(start, ...equity).toLocaleString("en-US", { maximumFractionDigits: 0 }).length;
  const left = Math.max(isNarrow ? 56 : 68, 14 + digits * 7), right = width - 6;
  const top = 8, tall = isNarrow ? 190 : 250;
  const base = top + tall + 26, deep = isNarrow ? 52 : 64;
  const from = at[0], to = Math.max(at[at.length - 1], from + 1);
  const least = Math.min(start, ...equity), most = Math.max(start, ...equity);
  const room = Math.max((most - least) * 0.08, Math.abs(start) * 2e-4, 1e-9);
  const low = least - room, high = most + room, worst = Math.min(-1e-4, ...fall);
  return { at, equity, fall, width, left, right, start, low, high, worst, height: base + deep + 26,
    x: (time) => left + (time - from) / (to - from) * (right - left),
    y: (value) => top + (high - value) / (high - low) * tall,
    z: (value) => base + value / (worst * 1.08) * deep };
}

export function label(content: string, attributes: Record<string, string | number>): PageElement {
  const element = svg("text", attributes);
  element.textContent = content;
  return element;
}

/** Hairlines with their numbers, and moments below. */
export function axesOf({ at, width, height, left, right, low, high, worst, x, y, z }: Scale): PageElement[] {
  const parts: PageElement[] = [];
  const rule = (place: number, content: string): void => {
    parts.push(svg("line", { class: "rule", x1: left, x2: right, y1: place, y2: place }),
      label(content, { x: left - 8, y: place + 4, "text-anchor": "end" }));
  };
  for (const tick of ticksOf(low, high, 4)) {
    rule(y(tick), tick.toLocaleString("en-US", { maximumFractionDigits: high - low < 8 ? 2 : 0 }));
  }
  for (const tick of [0, worst]) rule(z(tick), percent(tick, worst > -0.01 ? 2 : 1));
  const from = at[0], to = at[at.length - 1], isNarrow = width < 560;
  const [begin, end] = to - from > 300 * 86_400_000 ? [0, 7] : to - from > 2 * 86_400_000 ? [5, 10]
    : to - from < 600_000 ? [11, 19] : [11, 16];
  for (const tick of timeTicks(from, to, isNarrow ? 4 : 8)) {
    if (x(tick) < left + 16 || x(tick) > right - 20) continue;
    parts.push(label(new Date(tick).toISOString().slice(begin, end),
      { x: x(tick), y: height - 4, "text-anchor": "middle" }));
  }
  return parts;
}

export function linesOf({ at, equity, fall, left, right, start, x, y, z }: Scale): PageElement[] {
  const path = (place: (k: number) => number): string =>
    at.map((time, k) => (k === 0 ? "M" : "L") + x(time).toFixed(1) + " " + place(k).toFixed(1)).join("");
  const foot = (level: number): string => "L" + right + " " + level.toFixed(1) + "L" + left + " "
    + level.toFixed(1) + "Z";
  const upper = path((k) => y(equity[k])), lower = path((k) => z(fall[k]));
  return [svg("path", { class: "area", d: upper + foot(y(start)) }),
    svg("line", { class: "start", x1: left, x2: right, y1: y(start), y2: y(start) }),
    svg("path", { class: "line", d: upper }),
    svg("path", { class: "fall", d: lower + foot(z(0)) }), svg("path", { class: "fall-line", d: lower }),
    svg("circle", { class: "dot", cx: right, cy: y(equity[equity.length - 1]), r: 4 })];
}

export function drawCurve(desk: Desk): void {
  const box = document.getElementById("plot")!, isEmpty = desk.curve.at.length < 2;
  document.getElementById("plot-empty")!.hidden = !isEmpty;
  if (isEmpty) { box.replaceChildren(); return; }
  const scale = scaleOf(desk, Math.max(box.clientWidth, 200));
  const { at, left, right, height, width, x, y } = scale;
  const parts = [...axesOf(scale), ...linesOf(scale)];
  const k = desk.pointed === null ? at.length - 1 : nearest(at, desk.pointed);
  if (desk.pointed !== null) {
    parts.push(svg("line", { class: "pointer", x1: x(at[k]), x2: x(at[k]), y1: 8, y2: height - 26 }),
      svg("circle", { class: "dot", cx: x(at[k]), cy: y(scale.equity[k]), r: 4 }));
  }
  desk.shown = at;
  desk.toTime = (offset) => at[0] + (offset - left) / (right - left) * (at[at.length - 1] - at[0]);
  const viewBox = "0 0 " + width + " " + height;
  box.replaceChildren(svg("svg", { width, height, viewBox, "aria-hidden": "true" }, ...parts));
  readOut(desk, at, scale.equity, scale.fall, k);
}

export function nearest(at: number[], time: number): number {
  let best = 0;
  for (let k = 1; k < at.length; k++) if (Math.abs(at[k] - time) < Math.abs(at[best] - time)) best = k;
  return best;
}

/** The numbers at the pointer, or the newest. */
export function readOut(desk: Desk, at: number[], equity: number[], fall: number[], k: number): void {
  const put = (id: string, content: string): void => { document.getElementById(id)!.textContent = content; };
  const gain = equity[k] - desk.curve.equity[0];
  put("read-at", moment(at[k], desk.now) + " UTC");
  put("read-equity", money(equity[k]));
  put("read-gain", signedMoney(gain));
  put("read-fall", percent(-fall[k]));
  document.getElementById("plot")!.setAttribute("aria-label", "Equity " + money(equity[k]) + ", "
    + signedMoney(gain) + " since the start, drawdown " + percent(-fall[k]) + ", at "
      + moment(at[k], desk.now)
    + " UTC. Arrow keys read earlier and later points.");
}

/** The pointer and the arrow keys choose a moment; leaving shows the newest again. */
export function startPointer(desk: Desk): void {
  const box = document.getElementById("plot")!;
  const point = (time: number | null): void => { desk.pointed = time; drawCurve(desk); };
  box.addEventListener("pointermove", (event) => {
    point(desk.toTime((event.clientX ?? 0) - box.getBoundingClientRect().left));
  });
  box.addEventListener("pointerleave", () => { point(null); });
  box.addEventListener("blur", () => { point(null); });
  box.addEventListener("keydown", (event) => {
    const step = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (step === 0 || desk.shown.length === 0) return;
    event.preventDefault();
    const k = desk.pointed === null ? desk.shown.length - 1 : nearest(desk.shown, desk.pointed);
    point(desk.shown[Math.min(Math.max(k + step, 0), desk.shown.length - 1)]);
  });
}
