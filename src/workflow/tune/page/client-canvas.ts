/**
 * The page's script, part one: axes and marks on a canvas. Every function here is sent to the browser as
 * its own text (client.ts), so it may use only the other functions sent, the language, and the globals
 * declared below.
 */
import { logTicks } from "../../../backtest/page/client-charts.ts";
import { ticks } from "../../../backtest/page/graphics.ts";
import type { Axis, Chart, Desk, Frame, Ink, PageDocument, PageWindow } from "./browser.ts";

declare const document: PageDocument;
declare const window: PageWindow;

export function paint(name: string): string {
  return window.getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

/** Four significant digits, as people write them: 0.003, 12.35, 1.2e-7, 12,350. */
export function sayNumber(value: number): string {
  if (Number.isNaN(value)) return "n/a";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  const short = Number(value.toPrecision(4)), size = Math.abs(short);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return short.toExponential().replace("e+", "e");
  return size >= 1000 ? short.toLocaleString("en-US") : String(short);
}

export function sayOn(axis: Axis, value: number): string {
  if (axis.choices !== null) return axis.choices[value] ?? "n/a";
  if (axis.isWhole && Number.isFinite(value)) return Math.round(value).toLocaleString("en-US");
  return sayNumber(value);
}

export function realAxis(name: string, low: number, high: number, isLog = false): Axis {
  return { name, low, high, isLog, choices: null, isWhole: false };
}

/** Place of a value along an axis: 0 at its low end, 1 at its high one; beyond them at the end. */
export function placeOn(axis: Axis, value: number): number {
  if (axis.choices !== null) return (value + 0.5) / axis.choices.length;
  if (axis.high === axis.low) return 0.5;
  const share = axis.isLog ? Math.log(value / axis.low) / Math.log(axis.high / axis.low)
    : (value - axis.low) / (axis.high - axis.low);
  return Math.max(0, Math.min(1, share));
}

/** The other way. */
export function valueAt(axis: Axis, share: number): number {
  if (axis.isLog) return axis.low * Math.pow(axis.high / axis.low, share);
  return axis.low + share * (axis.high - axis.low);
}

export function ticksOf(axis: Axis, count: number): number[] {
  if (axis.choices !== null) return axis.choices.map((_, k) => k);
  if (axis.high === axis.low) return [axis.low];
  if (!axis.isLog) {
    return ticks(axis.low, axis.high, count).filter((one) => !axis.isWhole || Number.isInteger(one));
  }
  const all = logTicks(axis.low, axis.high), every = Math.ceil(all.length / Math.max(2, count));
  return all.filter((_, k) => k % every === 0);
}

/** A clean surface in units of the page's pixels, whatever the screen's are. */
export function inkOf(chart: Chart, isOver: boolean): Ink {
  const canvas = isOver ? chart.over : chart.base, ratio = Math.min(window.devicePixelRatio || 1, 2);
  const width = Math.round(chart.width * ratio), height = Math.round(chart.height * ratio);
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const ink = canvas.getContext("2d");
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
  ink.clearRect(0, 0, chart.width, chart.height);
  ink.font = "12px system-ui, sans-serif";
  ink.globalAlpha = 1;
  ink.setLineDash([]);
  return ink;
}

/** Values at which a chart has a line across. */
export function rowsOf(chart: Chart, y: Axis): number[] {
  return ticksOf(y, Math.max(2, Math.floor((chart.height - 34) / 36)));
}

/** Where the values of a chart go, in pixels: grown by the widest number of its vertical axis. */
export function frameOf(chart: Chart, ink: Ink, y: Axis): Frame {
  const wide = Math.max(...rowsOf(chart, y).map((value) => ink.measureText(sayOn(y, value)).width), 16);
  const left = Math.min(chart.width * 0.4, wide + 12);
  return { left, top: 10, right: chart.width - 12, bottom: chart.height - 24 };
}

export function acrossOf({ left, right }: Frame, x: Axis, value: number): number {
  return left + placeOn(x, value) * (right - left);
}

export function upOf({ top, bottom }: Frame, y: Axis, value: number): number {
  return bottom - placeOn(y, value) * (bottom - top);
}

/** Hairlines and numbers of both axes. */
export function drawAxes(chart: Chart, ink: Ink, x: Axis, y: Axis): Frame {
  const frame = frameOf(chart, ink, y), { left, right, bottom } = frame;
  ink.strokeStyle = paint("rule");
  ink.fillStyle = paint("muted");
  ink.lineWidth = 1;
  ink.textAlign = "right";
  ink.textBaseline = "middle";
  ink.beginPath();
  for (const value of rowsOf(chart, y)) {
    const at = Math.round(upOf(frame, y, value)) + 0.5;
    ink.moveTo(left, at);
    ink.lineTo(right, at);
    ink.fillText(sayOn(y, value), left - 7, at);
  }
  ink.stroke();
  ink.textAlign = "center";
  ink.textBaseline = "top";
  let free = 0;
  for (const value of ticksOf(x, Math.max(2, Math.floor((right - left) / 70)))) {
    const text = sayOn(x, value), half = ink.measureText(text).width / 2;
    const at = Math.min(acrossOf(frame, x, value), chart.width - half);
    if (at - half < free) continue;
    ink.fillText(text, at, bottom + 7);
    free = at + half + 6;
  }
  return frame;
}

/** Look of a trial: 0 complete, 1 pruned, 2 infeasible, 3 without a value, 4 on the front, 5 preferred. */
export function lookOf(desk: Desk, row: number): number {
  if (row === desk.preferred) return 5;
  if (desk.isFront[row] === 1) return 4;
  const state = desk.states[desk.state[row]];
  return state === "complete" ? 0 : state === "pruned" ? 1 : state === "infeasible" ? 2 : 3;
}

/** Marks of one look, all at once: shape and colour say the same. */
export function drawMarks(ink: Ink, look: number, xy: readonly number[]): void {
  if (xy.length === 0) return;
  const color = ["gross", "benchmark", "loss", "muted", "strategy", "other2"][look];
  ink.fillStyle = paint(color);
  ink.strokeStyle = paint(color);
  ink.lineWidth = 1.4;
  const crowd = xy.length > 6000 ? 0.45 : xy.length > 1500 ? 0.7 : 0.9;
  ink.globalAlpha = look === 5 ? 1 : look === 4 ? Math.max(crowd, 0.7) : crowd;
  ink.beginPath();
  for (let k = 0; k < xy.length; k += 2) {
    const x = xy[k], y = xy[k + 1];
    if (look === 1) {
      ink.moveTo(x - 3, y - 3); ink.lineTo(x + 3, y + 3); ink.moveTo(x + 3, y - 3); ink.lineTo(x - 3, y + 3);
    } else if (look === 2) {
      ink.rect(x - 2.5, y - 2.5, 5, 5);
    } else if (look === 3) {
      ink.moveTo(x, y - 3); ink.lineTo(x, y + 3);
    } else if (look === 5) {
      ink.moveTo(x, y - 7); ink.lineTo(x + 7, y); ink.lineTo(x, y + 7); ink.lineTo(x - 7, y); ink.closePath();
    } else {
      const radius = look === 4 ? 3.4 : 2.4;
      ink.moveTo(x + radius, y);
      ink.arc(x, y, radius, 0, 7);
    }
  }
  if (look === 1 || look === 2 || look === 3) ink.stroke(); else ink.fill();
  ink.globalAlpha = 1;
}

/** Dots of all trials at (x, y), each look in its turn; who has no value is a tick at the foot. */
export function drawCloud(desk: Desk, chart: Chart, ink: Ink, x: Axis, y: Axis,
  xs: ArrayLike<number>, ys: ArrayLike<number>, hasFoot: boolean): void {
  const frame = frameOf(chart, ink, y), marks: number[][] = [[], [], [], [], [], []];
  const lane = x.choices === null ? 0 : (0.6 * (frame.right - frame.left)) / x.choices.length;
  for (let row = 0; row < desk.number.length; row++) {
    if (Number.isNaN(xs[row]) || (Number.isNaN(ys[row]) && !hasFoot)) continue;
    // Trials of one choice lie side by side, always the same way.
    const aside = (((desk.number[row] * 7919) % 101) / 101 - 0.5) * lane;
    const px = acrossOf(frame, x, xs[row]) + aside;
    const py = Number.isNaN(ys[row]) ? frame.bottom - 3 : upOf(frame, y, ys[row]);
    marks[Number.isNaN(ys[row]) ? 3 : lookOf(desk, row)].push(px, py);
    chart.spots.push(px, px, py, row);
  }
  [3, 2, 1, 0, 4, 5].forEach((look) => drawMarks(ink, look, marks[look]));
}
