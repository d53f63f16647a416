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
    if (desk.curve.at[k] < from) continue;
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
    172_800, 604_800, 2_592_000, 7_776_000, 31_536_000];
  const step = 1000 * (seconds.find((one) => (to - from) / 1000 / one <= count) ?? 31_536_000);
  const ticks: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to && ticks.length < 20; at += step) ticks.push(at);
  return ticks;
}

export function drawCurve(desk: Desk): void {
  const box = document.getElementById("plot");
  if (box === null) return;
  const { at, equity, fall } = visible(desk), width = Math.max(box.clientWidth, 200);
  const isEmpty = at.length < 2;
  document.getElementById("plot-empty")!.hidden = !isEmpty;
  if (isEmpty) { box.replaceChildren(); return; }
  const isNarrow = width < 560, left = isNarrow ? 56 : 68, right = 6, top = 8, high = isNarrow ? 190 : 250;
  const gap = 26, deep = isNarrow ? 52 : 64, height = top + high + gap + deep + 26;
  const from = at[0], to = Math.max(at[at.length - 1], from + 1), start = desk.curve.equity[0];
  const low = Math.min(...equity, start), most = Math.max(...equity, start);
  const room = Math.max((most - low) * 0.08, Math.abs(start) * 2e-4, 1e-9),
    worst = Math.min(...fall, -1e-4) * 1.08;
  const x = (time: number): number => left + (time - from) / (to - from) * (width - left - right);
  const y = (value: number): number => top + (most + room - value) / (most - low + 2 * room) * high;
  const base = top + high + gap, z = (value: number): number => base + value / worst * deep;
  const line = (value: (k: number) => number): string =>
    at.map((time, k) => (k === 0 ? "M" : "L") + x(time).toFixed(1) + " " + value(k).toFixed(1)).join("");
  const parts: PageElement[] = [];
  const text = (content: string, attributes: Record<string, string | number>): void => {
    const element = svg("text", attributes);
    element.textContent = content;
    parts.push(element);
  };
  for (const tick of ticksOf(low - room, most + room, 4)) {
    parts.push(svg("line", { class: "rule", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }));
    text(tick.toLocaleString("en-US", { maximumFractionDigits: most - low < 8 ? 2 : 0 }),
      { x: left - 8, y: y(tick) + 4, "text-anchor": "end" });
  }
  for (const tick of [0, worst / 1.08]) {
    parts.push(svg("line", { class: "rule", x1: left, x2: width - right, y1: z(tick), y2: z(tick) }));
    text(percent(tick, Math.abs(worst) < 0.01 ? 2 : 1),
      { x: left - 8, y: z(tick) + 4, "text-anchor": "end" });
  }
  const isLong = to - from > 2 * 86_400_000, isShort = to - from < 600_000;
  for (const tick of timeTicks(from, to, isNarrow ? 4 : 8)) {
    const stamp = new Date(tick).toISOString();
    if (x(tick) > left + 14 && x(tick) < width - 22) {
      text(isLong ? stamp.slice(5, 10) : isShort ? stamp.slice(11, 19) : stamp.slice(11, 16),
        { x: x(tick), y: height - 4, "text-anchor": "middle" });
    }
  }
  const end = " L" + x(to).toFixed(1) + " ", foot = (level: number): string =>
    end + level.toFixed(1) + " L" + x(from).toFixed(1) + " " + level.toFixed(1) + "Z";
  parts.push(svg("path", { class: "area", d: line((k) => y(equity[k])) + foot(y(start)) }),
    svg("line", { class: "start", x1: left, x2: width - right, y1: y(start), y2: y(start) }),
    svg("path", { class: "line", d: line((k) => y(equity[k])) }),
    svg("path", { class: "fall", d: line((k) => z(fall[k])) + foot(z(0)) }),
    svg("path", { class: "fall-line", d: line((k) => z(fall[k])) }),
    svg("circle", { class: "dot", cx: x(to), cy: y(equity[equity.length - 1]), r: 4 }));
  const k = desk.pointed === null ? -1 : nearest(at, desk.pointed);
  if (k >= 0) {
    parts.push(svg("line", { class: "pointer", x1: x(at[k]), x2: x(at[k]), y1: top, y2: base + deep }),
      svg("circle", { class: "dot", cx: x(at[k]), cy: y(equity[k]), r: 4 }));
  }
  desk.toTime = (offset) => from + (offset - left) / (width - left - right) * (to - from);
  desk.shown = at;
  box.replaceChildren(svg("svg", { width, height, viewBox: "0 0 " + width + " " + height,
    "aria-hidden": "true" },
    ...parts));
  readOut(desk, at, equity, fall, k < 0 ? at.length - 1 : k);
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
