/**
 * The page's script, part one: charts. Every function here is sent to the browser as its own text
 * (client.ts), so it may use only the other functions sent, the language, and the globals declared
 * below; no constants, no imports.
 *
 * All charts share one time axis: a drag on any zooms all, the pointer on any is read in all
 * legends.
 */
import type { Desk, Drawn, PageDocument, PageWindow, Plot, PlotMaker } from "./browser.ts";
import { digitsOf, formatMoment, formatRatio, formatValue } from "./format.ts";

declare const document: PageDocument;
declare const window: PageWindow;
declare const uPlot: PlotMaker;

export function paint(name: string): string {
  return window
    .getComputedStyle(document.documentElement)
    .getPropertyValue("--" + name)
    .trim();
}

/** Draws a chart anew: at the start, and when its vertical scale changes kind. */
export function drawChart(desk: Desk, drawn: Drawn): void {
  const limits = drawn.plot?.scales["x"];
  drawn.plot?.destroy();
  const options = {
    width: drawn.box.clientWidth,
    height: drawn.box.clientHeight,
    padding: [10, 8, 0, 0],
    legend: { show: false },
    tzDate: (seconds: number) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: {
      y: false,
      sync: { key: "report", setSeries: false },
      drag: { x: true, y: false, setScale: true, dist: 6 },
    },
    scales: { x: { time: true }, y: scaleY(drawn) },
    axes: [axisX(desk), axisY(drawn)],
    // Drawn last is on top: the strategy, which is the first of the legend, is the last of uPlot's
    // list.
    series: [{}, ...drawn.series.map((_, k) => lineOf(drawn, k)).reverse()],
    hooks: {
      setCursor: [(plot: Plot) => readOut(desk, drawn, plot.cursor.idx)],
      setScale: [(plot: Plot, name: string) => name === "x" && zoomAll(desk, plot)],
      drawAxes: [(plot: Plot) => drawMarks(desk, drawn, plot)],
      draw: [(plot: Plot) => readOut(desk, drawn, plot.cursor.idx)],
    },
  };
  drawn.plot = new uPlot(options, [desk.time, ...drawn.columns.toReversed()], drawn.box);
  if (limits !== undefined && limits.min !== null && limits.max !== null) {
    drawn.plot.setScale("x", { min: limits.min, max: limits.max });
  }
}

export function scaleY(drawn: Drawn): unknown {
  const widen = (_plot: Plot, low: number | null, high: number | null): [number, number] => {
    if (low === null || high === null) return drawn.isLog ? [0.9, 1.1] : [0, 1];
    if (drawn.isLog) {
      const room = Math.max(high / low, 1.01) ** 0.05;
      return [low / room, high * room];
    }
    const least = drawn.form === "growth" ? low : Math.min(low, 0);
    const most = drawn.form === "growth" ? high : Math.max(high, 0);
    const room = (most - least || Math.abs(most) || 0.01) * 0.05;
    return [least < 0 || drawn.form === "growth" ? least - room : 0, most > 0 ? most + room : 0];
  };
  return { distr: drawn.isLog ? 3 : 1, range: widen };
}

export function axisX(desk: Desk): unknown {
  return {
    stroke: () => paint("muted"),
    grid: { show: false },
    font: "12px system-ui, sans-serif",
    size: 30,
    // A whole date needs more room than a year.
    space: (_plot: Plot, _axis: number, low: number, high: number) =>
      high - low < 86400 * 400 ? 86 : 58,
    ticks: { stroke: () => paint("rule"), width: 1, size: 5 },
    values: (_plot: Plot, splits: number[], _axis: number, _space: number, step: number) =>
      splits.map((seconds) => {
        const text = formatMoment(seconds * 1000, desk.isIntraday);
        if (step >= 360 * 86400) return text.slice(0, 4);
        if (step >= 28 * 86400) return text.slice(0, 7);
        return step >= 86400 ? text.slice(0, 10) : text.slice(5);
      }),
  };
}

export function axisY(drawn: Drawn): unknown {
  return {
    stroke: () => paint("muted"),
    grid: { stroke: () => paint("rule"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui, sans-serif",
    size: 54,
    space: 34,
    gap: 8,
    values: (_plot: Plot, splits: number[]) => {
      const step = splits.length > 1 ? Math.abs(splits[1] - splits[0]) : 1;
      const digits = digitsOf(drawn.form === "percent" ? step * 100 : step);
      return splits.map((value) =>
        drawn.form === "percent"
          ? formatRatio(value * 100, digits) + "%"
          : formatRatio(value, Math.max(digits, drawn.form === "count" ? 0 : 1)),
      );
    },
    ...(drawn.isLog
      ? {
          splits: (_plot: Plot, _axis: number, low: number, high: number) => logTicks(low, high),
          filter: (_plot: Plot, splits: number[]) => splits,
        }
      : {}),
  };
}

/**
 * Round numbers between low and high for a scale of equal ratios: the coarsest set that gives at
 * least four.
 */
export function logTicks(low: number, high: number): number[] {
  const sets = [
    [1],
    [1, 3],
    [1, 2, 5],
    [1, 1.5, 2, 3, 5, 7],
    [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9],
  ];
  for (const set of sets) {
    const out: number[] = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const digit of set) {
        const value = digit * Math.pow(10, power);
        if (value >= low && value <= high) out.push(Number(value.toPrecision(6)));
      }
    }
    if (out.length >= 4) return out;
  }
  const step = Math.pow(10, Math.floor(Math.log10((high - low) / 2 || 1)));
  const out: number[] = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++)
    out.push(Number((k * step).toPrecision(8)));
  return out.filter((_, k) => k % Math.ceil(out.length / 6) === 0);
}

export function lineOf(drawn: Drawn, index: number): unknown {
  const one = drawn.series[index];
  const stroke = (): string => paint(one.color) + (one.isFaint ? "80" : "");
  return {
    stroke,
    width: index === 0 ? 1.6 : 1,
    show: drawn.isShown[index],
    points: { show: drawn.columns[index].length < 2 },
    spanGaps: false,
    ...(one.isDashed ? { dash: [5, 4] } : {}),
    ...(one.isFilled && index === 0 ? { fill: () => paint(one.color) + "26" } : {}),
  };
}

/** Hairlines where walk-forward windows begin and at zero, under the curves. */
export function drawMarks(desk: Desk, drawn: Drawn, plot: Plot): void {
  const { left, top, width, height } = plot.bbox;
  plot.ctx.save();
  plot.ctx.strokeStyle = paint("rule");
  plot.ctx.lineWidth = 1;
  plot.ctx.setLineDash([2, 3]);
  for (const mark of desk.marks) {
    const x = Math.round(plot.valToPos(mark, "x", true)) + 0.5;
    if (x <= left + 2 || x >= left + width) continue;
    plot.ctx.beginPath();
    plot.ctx.moveTo(x, top);
    plot.ctx.lineTo(x, top + height);
    plot.ctx.stroke();
  }
  const { min, max } = plot.scales["y"];
  if (!drawn.isLog && min !== null && max !== null && min < 0 && max > 0) {
    const y = Math.round(plot.valToPos(0, "y", true)) + 0.5;
    plot.ctx.strokeStyle = paint("muted");
    plot.ctx.setLineDash([]);
    plot.ctx.beginPath();
    plot.ctx.moveTo(left, y);
    plot.ctx.lineTo(left + width, y);
    plot.ctx.stroke();
  }
  plot.ctx.restore();
}

/**
 * Writes date and values under the pointer in the legend; without a pointer, those of the last
 * period in sight.
 */
export function readOut(desk: Desk, drawn: Drawn, index: number | null): void {
  let row = index ?? desk.time.length - 1;
  const most = drawn.plot?.scales["x"].max ?? null;
  if (index === null && most !== null) while (row > 0 && desk.time[row] > most) row--;
  const moment = drawn.figure.querySelector("output.moment");
  if (moment !== null) moment.textContent = formatMoment(desk.time[row] * 1000, desk.isIntraday);
  let k = 0;
  for (const output of drawn.figure.querySelectorAll(".legend b")) {
    output.textContent = formatValue(drawn.columns[k++][row] ?? NaN, drawn.form);
  }
}

/** Carries the time axis of one chart to all the others. */
export function zoomAll(desk: Desk, source: Plot): void {
  if (desk.isZooming) return;
  const { min, max } = source.scales["x"];
  if (min === null || max === null) return;
  desk.isZooming = true;
  for (const drawn of desk.drawn) {
    if (drawn.plot !== null && drawn.plot !== source) drawn.plot.setScale("x", { min, max });
  }
  desk.isZooming = false;
  const isAll = min <= desk.time[0] && max >= desk.time[desk.time.length - 1];
  for (const button of document.querySelectorAll("[data-years]")) {
    const isOf =
      button.dataset["years"] === "all"
        ? isAll
        : !isAll &&
          max >= desk.time[desk.time.length - 1] &&
          Math.abs(max - min - Number(button.dataset["years"]) * 31557600) < 86400;
    button.setAttribute("aria-pressed", String(isOf));
  }
}
