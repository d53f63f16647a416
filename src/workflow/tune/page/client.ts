/**
 * The page's script, part three: start, pointing, choosing and brushing; and how functions become a script
 * (as in backtest/page/client.ts: each function is sent as its own text, so what runs in the browser is what
 * the compiler checked).
 */
import { stillScript } from "../../../backtest/page/client.ts";
import { logTicks } from "../../../backtest/page/client-charts.ts";
import { ticks } from "../../../backtest/page/graphics.ts";
import type { Chart, Desk, PageCanvas, PageDocument, PageEvent, PageWindow } from "./browser.ts";
import * as canvas from "./client-canvas.ts";
import { sayNumber, sayOn, valueAt } from "./client-canvas.ts";
import * as charts from "./client-charts.ts";
import { axesOf, drawChart, drawPointed, isWithin, nearestRow } from "./client-charts.ts";
import type { Payload } from "./payload.ts";

declare const document: PageDocument;
declare const window: PageWindow;

function bytesOf(text: string): ArrayBuffer {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
  return bytes.buffer;
}

function openDesk(payload: Payload): Desk {
  const whole = (text: string): Int32Array => new Int32Array(bytesOf(text));
  const small = (text: string): Uint8Array => new Uint8Array(bytesOf(text));
  const real = (text: string): Float32Array => new Float32Array(bytesOf(text));
  const { attempts, curves } = payload, M = payload.objectives.length;
  return {
    ...payload, number: whole(payload.number), state: small(payload.state), isFront: small(payload.isFront),
    values: payload.values.map(real), best: payload.best.map(real), points: payload.points.map(real),
    attempts: { lane: whole(attempts.lane), row: whole(attempts.row), outcome: small(attempts.outcome),
      from: real(attempts.from), to: real(attempts.to) },
    curves: { row: whole(curves.row), start: whole(curves.start), step: whole(curves.step),
      values: curves.values.map(real) },
    charts: [], ranges: payload.objectives.map(() => null),
    chosen: { slice: 0, curve: 0, x: 0, y: Math.min(1, M - 1) }, row: -1, isPinned: false,
  };
}

function openCharts(desk: Desk): void {
  for (const box of document.querySelectorAll("[data-chart]")) {
    const [kind, index] = (box.dataset["chart"] ?? "").split(" ");
    const [base, over] = [...box.querySelectorAll("canvas")] as PageCanvas[];
    const chart: Chart = { kind: kind as Chart["kind"], index: Number(index), box, base, over,
      isLine: kind === "parallel" || kind === "curves", isSeen: false, isDrawn: false, width: 0, height: 0,
      spots: [] };
    desk.charts.push(chart);
    startPointing(desk, chart);
    if (kind === "parallel") startBrush(desk, chart);
  }
  const refresh = (): void => { redraw(desk, () => true); };
  const seen = new window.IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      const chart = desk.charts.find((one) => one.box === target);
      if (chart === undefined) continue;
      chart.isSeen = isIntersecting;
      if (isIntersecting && !chart.isDrawn) { sizeBox(desk, chart); drawChart(desk, chart); }
    }
  }, { rootMargin: "300px" });
  for (const chart of desk.charts) {
    seen.observe(chart.box);
    new window.ResizeObserver(() => {
      if (!chart.isDrawn || chart.box.clientWidth === chart.width) return;
      sizeBox(desk, chart);
      drawChart(desk, chart);
    }).observe(chart.box);
  }
  // The button of the theme, the system's theme, and print.
  new window.MutationObserver(refresh).observe(document.documentElement, { attributes: true });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
  window.addEventListener("beforeprint", () => {
    for (const chart of desk.charts) { sizeBox(desk, chart); drawChart(desk, chart); }
  });
}

/** Heights that depend on what is drawn; the others are in the style sheet. */
function sizeBox(desk: Desk, { kind, box }: Chart): void {
  const M = desk.objectives.length, wide = box.clientWidth;
  if (kind === "parallel") box.style.height = (wide < 72 * M + 40 ? 30 + 44 * M : 360) + "px";
  if (kind === "timeline") box.style.height = 40 + Math.max(3, desk.workers.length) * 20 + "px";
  if (kind === "matrix") box.style.height = Math.round(Math.min(wide * 0.8, 110 * M)) + "px";
}

/** Draws again what has changed: at once where it is seen, else when it comes into sight. */
function redraw(desk: Desk, isChanged: (chart: Chart) => boolean): void {
  for (const chart of desk.charts.filter(isChanged)) {
    chart.isDrawn = false;
    if (chart.isSeen) drawChart(desk, chart);
  }
}

function point(desk: Desk, row: number): void {
  if (row === desk.row) return;
  desk.row = row;
  for (const chart of desk.charts) if (chart.isDrawn && chart.isSeen) drawPointed(desk, chart);
  const readout = document.getElementById("readout");
  if (readout === null) return;
  readout.hidden = row < 0;
  const [head, values, settings] = [...readout.querySelectorAll("span")];
  if (row < 0) return;
  const front = desk.isFront[row] === 1 ? ", on the front" : "";
  head.textContent = `Trial ${desk.number[row]}: ${desk.states[desk.state[row]]}${front}`
    + (row === desk.preferred ? ", preferred" : "");
  values.textContent = desk.objectives
    .map((one, m) => `${one.name} ${sayNumber(desk.values[m][row])}`).join(" · ");
  settings.textContent = desk.parameters.map((one, k) => ({ one, value: desk.points[k][row] }))
    .filter(({ value }) => !Number.isNaN(value))
    .map(({ one, value }) => `${one.name} ${sayOn(one, value)}`).join(" · ");
}

function startPointing(desk: Desk, chart: Chart): void {
  const at = (event: PageEvent): number => {
    const { left, top } = chart.box.getBoundingClientRect();
    return nearestRow(chart, event.clientX - left, event.clientY - top);
  };
  if (chart.kind === "matrix") { startMatrix(desk, chart); return; }
  chart.box.addEventListener("pointermove", (event) => { if (!desk.isPinned) point(desk, at(event)); });
  chart.box.addEventListener("pointerleave", () => { if (!desk.isPinned) point(desk, -1); });
  chart.box.addEventListener("click", (event) => {
    const row = at(event);
    desk.isPinned = row >= 0 && !(desk.isPinned && row === desk.row);
    point(desk, row);
  });
  chart.box.addEventListener("keydown", (event) => {
    const step = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (step === 0) return;
    event.preventDefault();
    const rows = [...new Set(chart.spots.filter((_, k) => k % 4 === 3))].sort((a, b) => a - b);
    const now = rows.indexOf(desk.row), first = step > 0 ? 0 : rows.length - 1;
    desk.isPinned = true;
    point(desk, rows[now < 0 ? first : (now + step + rows.length) % rows.length] ?? -1);
  });
}

/** A press on a small picture shows its pair. */
function startMatrix(desk: Desk, chart: Chart): void {
  chart.box.addEventListener("click", (event) => {
    const { left, top } = chart.box.getBoundingClientRect(), cells = desk.objectives.length;
    const x = Math.floor(((event.clientX - left) / chart.width) * cells);
    const y = Math.floor(((event.clientY - top) / chart.height) * cells);
    if (x < y) choosePair(desk, x, y);
  });
}

function choosePair(desk: Desk, x: number, y: number): void {
  desk.chosen.x = x;
  desk.chosen.y = y;
  for (const select of document.querySelectorAll("[data-choose]")) {
    if (select.dataset["choose"] === "x") select.value = String(x);
    if (select.dataset["choose"] === "y") select.value = String(y);
  }
  redraw(desk, ({ kind }) => kind === "pair" || kind === "matrix");
}

function startChoices(desk: Desk): void {
  for (const select of document.querySelectorAll("[data-choose]")) {
    select.addEventListener("change", () => {
      const what = select.dataset["choose"], m = Number(select.value);
      if (what === "slice") desk.chosen.slice = m;
      else if (what === "curve") desk.chosen.curve = m;
      else {
        choosePair(desk, what === "x" ? m : desk.chosen.x, what === "y" ? m : desk.chosen.y);
        return;
      }
      redraw(desk, ({ kind }) => kind === (what === "slice" ? "slice" : "curves"));
    });
  }
}

/** A drag along an axis sets its range, a press takes it away. */
function startBrush(desk: Desk, chart: Chart): void {
  let m = -1, begin = 0;
  const along = (event: PageEvent): number => {
    const { left, top } = chart.box.getBoundingClientRect(), { isLying, from, to } = axesOf(desk, chart);
    const share = ((isLying ? event.clientX - left : event.clientY - top) - from) / (to - from);
    return Math.max(0, Math.min(1, share));
  };
  chart.box.addEventListener("pointerdown", (event) => {
    const { left, top } = chart.box.getBoundingClientRect(), { isLying, at } = axesOf(desk, chart);
    const across = isLying ? event.clientY - top : event.clientX - left;
    m = at.findIndex((place) => Math.abs(place - across) < 18);
    if (m < 0) return;
    begin = along(event);
    chart.box.setPointerCapture(event.pointerId);
  });
  chart.box.addEventListener("pointermove", (event) => {
    if (m < 0) return;
    const { isMaximised } = desk.objectives[m], ends = [begin, along(event)]
      .map((share) => valueAt(desk.ends[m], isMaximised ? share : 1 - share)).sort((a, b) => a - b);
    if (Math.abs(begin - along(event)) > 0.015) setRange(desk, m, [ends[0], ends[1]]);
  });
  const end = (event: PageEvent): void => {
    if (m >= 0 && Math.abs(begin - along(event)) <= 0.015) setRange(desk, m, null);
    m = -1;
  };
  chart.box.addEventListener("pointerup", end);
  chart.box.addEventListener("pointercancel", () => { m = -1; });
}

/** Sets the range of one objective; pictures, the two fields, the count and the table follow. */
function setRange(desk: Desk, m: number, range: [number, number] | null): void {
  desk.ranges[m] = range;
  for (const field of document.querySelectorAll("[data-range]")) {
    if (Number(field.dataset["range"]) !== m) continue;
    const value = range === null ? NaN : range[field.dataset["end"] === "low" ? 0 : 1];
    field.value = Number.isFinite(value) ? String(Number(value.toPrecision(5))) : "";
  }
  showRanges(desk);
}

function showRanges(desk: Desk): void {
  const rows = [...desk.number.keys()].filter((row) => desk.isFront[row] === 1);
  const within = new Set(rows.filter((row) => isWithin(desk, row)).map((row) => String(desk.number[row])));
  const output = document.getElementById("brushed");
  const [some, all] = [within.size, rows.length].map((one) => one.toLocaleString("en-US"));
  if (output !== null) output.textContent = `${some} of ${all}`;
  for (const line of document.getElementById("members")?.querySelectorAll("tbody tr") ?? []) {
    line.hidden = !within.has(line.querySelector("th")?.dataset["value"] ?? "");
  }
  redraw(desk, ({ kind }) => kind === "parallel" || kind === "pair" || kind === "matrix");
}

function startRanges(desk: Desk): void {
  for (const field of document.querySelectorAll("[data-range]")) {
    field.addEventListener("change", () => {
      const m = Number(field.dataset["range"]);
      const [low, high] = [...document.querySelectorAll(`[data-range="${m}"]`)].map((one) => one.value);
      desk.ranges[m] = low === "" && high === "" ? null
        : [low === "" ? -Infinity : Number(low), high === "" ? Infinity : Number(high)];
      showRanges(desk);
    });
  }
  document.getElementById("clear")?.addEventListener("click", () => {
    desk.objectives.forEach((_, m) => setRange(desk, m, null));
  });
}

function startPage(): void {
  const payload = document.getElementById("payload");
  if (payload === null) return;
  const desk = openDesk(JSON.parse(payload.textContent ?? "{}") as Payload);
  openCharts(desk);
  startChoices(desk);
  startRanges(desk);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    desk.isPinned = false;
    point(desk, -1);
  });
}

const FUNCTIONS = [
  ticks, logTicks, ...Object.values(canvas), ...Object.values(charts), bytesOf, openDesk, openCharts, sizeBox,
  redraw, point, startPointing, startMatrix, choosePair, startChoices, startBrush, setRange, showRanges,
  startRanges, startPage,
];

/** Runs at the end of the body: theme and tables as on every page, then the charts. */
export function tuneScript(): string {
  return `${stillScript()}\n(() => {"use strict";\n${FUNCTIONS.map(String).join("\n")}\nstartPage();\n})();`;
}
