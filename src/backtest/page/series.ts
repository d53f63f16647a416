/**
 * From results to what the browser draws: columns over one shared time axis, packed.
 *
 *   BacktestResult --+-- growth, drawdown, rolling ...  (metrics/rolling.ts)
 *   others ----------+        |
 *                             v
 *   Payload { time: base64 float64 (D), charts: [{ series: [{ values: base64 float32 (D) }] }] }
 *
 * float32 keeps seven digits of a drawn value at four bytes: 8,000 days of 15 series are 640 kB of
 * text. Values are made in float64 and rounded once, after compounding. Up to ROWS_MAX rows every
 * row is sent. Above, time is cut in even buckets and each keeps the rows of the least and the
 * greatest value of four series that a reader looks for extremes in; the page says so.
 */
import { TRADING_DAYS_PER_YEAR } from "../../base/units.ts";
import {
  drawdown,
  growth,
  rollingMoments,
  rollingSharpe,
  rollingVolatility,
} from "../../metrics/rolling.ts";
import type { BacktestResult } from "../result.ts";
import type { Form } from "./format.ts";

export const ROWS_MAX = 20_000;
const BUCKETS = 2_500;

export interface Series {
  readonly label: string;
  /** Name of a colour in theme.ts. */
  readonly color: string;
  /** (D) in float64, or one number for a level line. */
  readonly values: Float64Array | number;
  readonly isDashed?: boolean;
  readonly isFilled?: boolean;
  readonly isFaint?: boolean;
}

export interface Chart {
  readonly id: string;
  readonly title: string;
  /** What the chart shows, for a reader who cannot see it, and for everybody below the title. */
  readonly caption: string;
  readonly form: Form;
  readonly series: readonly Series[];
  readonly canLog?: boolean;
}

/** Colours of the compared strategies, in order; a sixth comes round again, dashed. */
const OTHERS = ["other1", "other2", "other3", "other4", "other5"];

export interface Rolling {
  readonly window: number;
  readonly label: string;
}

/** Sessions of a rolling window: a year, a quarter, a month, a week, a day. */
const WINDOW_SESSIONS = [252, 63, 21, 5, 1] as const;

/** A deviation of fewer returns than these is noise. */
const WINDOW_PERIODS_MIN = 10;

/** The longest window, of at most `most` sessions, that fits into the run one and a half times. */
export function rollingWindow(result: BacktestResult, most = TRADING_DAYS_PER_YEAR): Rolling {
  const unit = result.timeframe === "1d" ? "day" : "session";
  const windows = WINDOW_SESSIONS.filter((sessions) => sessions <= most).map((sessions) => ({
    window: Math.round((sessions * result.periodsPerYear) / TRADING_DAYS_PER_YEAR),
    label: `${sessions}-${unit}`,
  })).filter(({ window }) => window >= WINDOW_PERIODS_MIN);
  return windows.find(({ window }) => result.curve.time.length >= 1.5 * window) ?? windows.at(-1)!;
}

/** Every chart of the page, in the page's order. */
export function charts(result: BacktestResult, others: readonly BacktestResult[]): Chart[] {
  return [
    ...valueCharts(result, others),
    ...rollingCharts(result, others),
    ...tradingCharts(result),
  ];
}

/** Another result in the same page: its name and its line, the same in every chart and table. */
export interface Compared {
  readonly result: BacktestResult;
  readonly label: string;
  readonly color: string;
  readonly isDashed: boolean;
  /** It is the strategy that is also the benchmark, and stands for it. */
  readonly isBenchmark: boolean;
}

export function comparedWith(
  result: BacktestResult,
  others: readonly BacktestResult[],
): Compared[] {
  let used = 0;
  return others.map((other) => {
    const isBenchmark = other.strategy === result.benchmark?.name;
    const place = isBenchmark ? -1 : used++;
    return {
      result: other,
      isBenchmark,
      label: isBenchmark ? `${other.strategy} (benchmark)` : other.strategy,
      color: isBenchmark ? "benchmark" : OTHERS[place % OTHERS.length],
      isDashed: place >= OTHERS.length,
    };
  });
}

/**
 * The same series maker over the strategy, its benchmark and the compared strategies, on the
 * strategy's times.
 */
function compared(
  result: BacktestResult,
  others: readonly BacktestResult[],
  make: (returns: Float64Array) => Float64Array,
  isFilled = false,
): Series[] {
  const series: Series[] = [
    { label: result.strategy, color: "strategy", values: make(result.curve.netReturn), isFilled },
  ];
  const lines = comparedWith(result, others);
  if (result.benchmark !== null && !lines.some((line) => line.isBenchmark)) {
    series.push({
      label: `${result.benchmark.name} (benchmark)`,
      color: "benchmark",
      values: make(result.benchmark.netReturn),
    });
  }
  for (const { result: other, label, color, isDashed } of lines) {
    series.push({
      label,
      color,
      isDashed,
      values: asOf(result.curve.time, other.curve.time, make(other.curve.netReturn)),
    });
  }
  return series;
}

function valueCharts(result: BacktestResult, others: readonly BacktestResult[]): Chart[] {
  const series = compared(result, others, growth);
  const hasCosts = result.curve.cost.some((cost) => cost !== 0);
  if (hasCosts) {
    const gross = {
      label: "before costs",
      color: "gross",
      values: growth(result.curve.grossReturn),
      isDashed: true,
    };
    series.splice(1, 0, gross);
  }
  return [
    {
      id: "equity",
      title: "Growth of 1",
      form: "growth",
      canLog: true,
      series,
      caption: hasCosts
        ? "Compounded, after costs; dashed: the same before costs."
        : "Compounded; this run has no costs.",
    },
    {
      id: "drawdown",
      title: "Drawdown",
      form: "percent",
      series: compared(result, others, drawdown, true),
      caption: "Distance below the highest value so far.",
    },
  ];
}

function rollingCharts(result: BacktestResult, others: readonly BacktestResult[]): Chart[] {
  const { window, label } = rollingWindow(result);
  const perYear = result.periodsPerYear;
  const volatility = compared(result, others, (returns) =>
    rollingVolatility(returns, window, perYear),
  );
  if (Number.isFinite(result.volatilityTarget)) {
    volatility.push({
      label: "target",
      color: "target",
      values: result.volatilityTarget,
      isDashed: true,
    });
  }
  return [
    {
      id: "sharpe",
      title: `Rolling ${label} Sharpe`,
      form: "ratio",
      series: compared(result, others, (returns) => rollingSharpe(returns, window, perYear)),
      caption: `Annualised, over the last ${window.toLocaleString("en-US")} periods; empty until there `
        + "are that many.",
    },
    {
      id: "volatility",
      title: `Rolling ${label} volatility`,
      form: "percent",
      series: volatility,
      caption: "Annualised; each instrument is scaled to the target.",
    },
  ];
}

function tradingCharts(result: BacktestResult): Chart[] {
  const { curve } = result;
  const mean = rollingWindow(result, 21);
  return [
    {
      id: "exposure",
      title: "Exposure",
      form: "percent",
      caption: "Sum of weights over the number of instruments.",
      series: [
        { label: "gross", color: "strategy", values: curve.grossExposure },
        { label: "net", color: "benchmark", values: curve.netExposure },
      ],
    },
    {
      id: "turnover",
      title: "Turnover",
      form: "percent",
      caption: `Absolute change of weight in a period, and its ${mean.label} mean.`,
      series: [
        { label: "mean", color: "strategy", values: rollingMoments(curve.turnover, mean.window).mean },
        { label: "each period", color: "gross", values: curve.turnover, isFaint: true },
      ],
    },
  ];
}

/** (D) the last of `values` known at each of `at`; NaN before the first. Both times ascend. */
export function asOf(at: Float64Array, time: Float64Array, values: Float64Array): Float64Array {
  let next = 0;
  return at.map((moment) => {
    while (next < time.length && time[next] <= moment) next++;
    return next === 0 ? NaN : values[next - 1];
  });
}

/** Rows to draw, ascending, or null for all of them. */
export function decimate(result: BacktestResult): Uint32Array | null {
  const { curve } = result;
  const D = curve.time.length;
  if (D <= ROWS_MAX) return null;
  const kept = new Set<number>([0, D - 1]);
  const watched = [growth(curve.netReturn), curve.grossExposure, curve.netExposure, curve.turnover];
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const from = Math.floor((bucket * D) / BUCKETS);
    const to = Math.floor(((bucket + 1) * D) / BUCKETS);
    for (const values of watched) {
      let least = from;
      let greatest = from;
      for (let t = from; t < to; t++) {
        if (values[t] < values[least]) least = t;
        if (values[t] > values[greatest]) greatest = t;
      }
      kept.add(least).add(greatest);
    }
  }
  return Uint32Array.from(kept).sort();
}

export interface PackedSeries {
  readonly color: string;
  readonly values: string | number;
  readonly isDashed: boolean;
  readonly isFilled: boolean;
  readonly isFaint: boolean;
}

/** What the page carries for its script: numbers and names of colours, no text of a user's. */
export interface Payload {
  readonly isIntraday: boolean;
  /** Base64 of little-endian float64 seconds (D). */
  readonly time: string;
  /** Seconds where a walk-forward window begins. */
  readonly marks: readonly number[];
  readonly charts: readonly {
    readonly id: string;
    readonly form: Form;
    readonly canLog: boolean;
    readonly series: readonly PackedSeries[];
  }[];
}

export function pack(
  result: BacktestResult,
  drawn: readonly Chart[],
  rows: Uint32Array | null,
): Payload {
  const pick = (values: Float64Array): Float64Array =>
    rows === null ? values : Float64Array.from(rows, (row) => values[row]);
  return {
    isIntraday: result.timeframe !== "1d",
    time: base64(pick(result.curve.time).map((time) => time / 1000)),
    marks: result.windows.map((window) => Date.parse(window.from) / 1000).filter(Number.isFinite),
    charts: drawn.map((chart) => ({
      id: chart.id,
      form: chart.form,
      canLog: chart.canLog === true,
      series: chart.series.map((one) => ({
        color: one.color,
        isDashed: one.isDashed === true,
        isFilled: one.isFilled === true,
        isFaint: one.isFaint === true,
        values:
          typeof one.values === "number" ? one.values : base64(Float32Array.from(pick(one.values))),
      })),
    })),
  };
}

function base64(values: Float64Array | Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64");
}
