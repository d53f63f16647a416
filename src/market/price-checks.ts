/**
 * Prices that look wrong, measured against what is usual for this instrument at that time:
 *
 *   sigma(t) = 1.4826 x median |log return| around t, at least half of the whole history's
 *
 * over three blocks of 21 rows. The factor makes it a standard deviation for normal returns
 * (Hampel, "The influence curve and its role in robust estimation", JASA 69, 1974),
 * and a single bad value cannot move it. Intraday, returns over a closed market and returns inside
 * a session are two scales, and a return over missing bars may be sqrt(bars) larger.
 */
import { actionFactors, firstRowOfExDate } from "./adjust.ts";
import {
  COLUMNS, TICK_SIDES, TIMEFRAMES, type Bars, type ColumnName, type CorporateAction,
} from "./bars.ts";
import type { Calendar } from "./calendar.ts";

export interface StaleRun {
  /** Times of its first and last row, UTC ms. */
  readonly from: number;
  readonly to: number;
  readonly rows: number;
  /** The close that did not change. */
  readonly value: number;
}

export interface Jump {
  readonly time: number;
  /** Closes before and at `time`, as stored. */
  readonly before: number;
  readonly after: number;
  /** Simple return without what recorded actions explain, fraction. */
  readonly change: number;
  readonly sigmas: number;
  /** "2:1 split": what would explain it; null when nothing does. */
  readonly looksLike: string | null;
}

export interface BadTick {
  readonly time: number;
  readonly column: ColumnName;
  readonly value: number;
  readonly reason: string;
}

interface Sink<T> { add(finding: T): void }

/** A return of so many robust sigmas is a jump; Student-t shocks (df 5) make 1 in some 40,000. */
const JUMP_SIGMAS = 14;
/** And at least this much (log): prices move in ticks. */
const JUMP_LEAST = 0.01;
/** A spike has come back when no more than this part of it is left. */
const RETURNED_PART = 0.25;
/** Rows with the same close that make a stale run: a week of sessions, half an hour of minutes. */
const STALE_ROWS_DAILY = 5, STALE_ROWS_INTRADAY = 30;
const BLOCK = 21;
const MAD_TO_SIGMA = 1.4826;
/** A ratio this near to a split's (log) looks like it. */
const SPLIT_TOLERANCE = 0.06;
/** New shares for old; reversed too. Smaller ones (5:4) drown in true returns. */
const SPLITS: readonly (readonly [number, number])[] = [
  [2, 1], [3, 1], [4, 1], [5, 1], [6, 1], [7, 1], [8, 1], [10, 1], [15, 1], [20, 1], [25, 1],
  [30, 1], [50, 1],
  [3, 2], [5, 2],
];
const PRICES = (Object.keys(COLUMNS) as ColumnName[]).filter((name) =>
  COLUMNS[name].unit === "price" && name !== "price" && name !== "panama");

/** What returns are taken of: closes, for ticks the trades; NaN and <= 0 left out. */
interface Series {
  readonly row: Int32Array;
  readonly price: Float64Array;
  /** Log return from the element before, without recorded actions; 0 for the first. */
  readonly change: Float64Array;
  /** Robust standard deviation that this return is to be measured with. */
  readonly sigma: Float64Array;
}

function seriesOf(bars: Bars, calendar: Calendar, actions: readonly CorporateAction[]): Series {
  const { close, tickPrice, side } = bars.columns;
  const values = close ?? tickPrice ?? new Float64Array(0);
  const isTrade = (i: number): boolean => close !== undefined
    || side?.[i] === TICK_SIDES.indexOf("trade");
  const row = new Int32Array(values.length);
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i] > 0 && isTrade(i)) row[count++] = i;
  const rows = row.subarray(0, count), price = Float64Array.from(rows, (i) => values[i]);
  const explained = explainedChanges(bars, calendar, actions);
  const change = price.map((value, k) =>
    k === 0 ? 0 : Math.log(value / price[k - 1]) - between(explained, rows[k - 1], rows[k]));
  return { row: rows, price, change, sigma: sigmas(bars, calendar, rows, change) };
}

/** What recorded actions do to the log price at the row where they show: [row, change]. */
function explainedChanges(
  bars: Bars, calendar: Calendar, actions: readonly CorporateAction[],
): [number, number][] {
  if (actions.length === 0) return [];
  const factors = actionFactors(bars, actions, "raw", calendar);
  return actions.map((action, k) =>
    [firstRowOfExDate(bars.time, action.exTime, calendar), Math.log(factors[k])]);
}

function between(
  explained: readonly (readonly [number, number])[], after: number, upTo: number,
): number {
  let sum = 0;
  for (const [row, change] of explained) if (row > after && row <= upTo) sum += change;
  return sum;
}

function sigmas(
  bars: Bars, calendar: Calendar, rows: Int32Array, change: Float64Array,
): Float64Array {
  const { time, timeframe } = bars, sigma = new Float64Array(rows.length);
  const isDaily = timeframe === "1d", length = TIMEFRAMES[timeframe];
  /** sqrt of bars that the return spans; NaN where it spans a closed market. */
  const span = new Float64Array(rows.length).fill(1);
  if (!isDaily) {
    let before = rows.length > 0 ? calendar.sessionDay(time[rows[0]]) : 0;
    for (let k = 1; k < rows.length; k++) {
      const today = calendar.sessionDay(time[rows[k]]);
      const bars = length === 0 ? 1 : Math.max(1, (time[rows[k]] - time[rows[k - 1]]) / length);
      span[k] = today === before ? Math.sqrt(bars) : NaN;
      before = today;
    }
  }
  const inside: number[] = [], across: number[] = [];
  for (let k = 1; k < rows.length; k++) (Number.isNaN(span[k]) ? across : inside).push(k);
  for (const part of [inside, across]) {
    const local = localSigma(Float64Array.from(part, (k) => Math.abs(change[k]) / (span[k] || 1)));
    part.forEach((k, j) => { sigma[k] = local[j] * (span[k] || 1); });
  }
  return sigma;
}

/** Robust sigma of each block of 21 and its neighbours, from absolute returns. */
function localSigma(sizes: Float64Array): Float64Array {
  const whole = MAD_TO_SIGMA * median(sizes), sigma = new Float64Array(sizes.length);
  for (let at = 0; at < sizes.length; at += BLOCK) {
    const near = median(sizes.subarray(Math.max(0, at - BLOCK), at + 2 * BLOCK));
    sigma.fill(Math.max(MAD_TO_SIGMA * near, whole / 2), at, at + BLOCK);
  }
  return sigma;
}

function median(values: Float64Array): number {
  if (values.length === 0) return 0;
  const sorted = values.slice().sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const isLarge = (series: Series, k: number): boolean =>
  Math.abs(series.change[k]) > Math.max(JUMP_LEAST, JUMP_SIGMAS * series.sigma[k]);

/** Reports values that cannot be, and returns the rows of spikes, which are not jumps. */
export function findBadTicks(
  bars: Bars, calendar: Calendar, actions: readonly CorporateAction[], found: Sink<BadTick>,
): ReadonlySet<number> {
  const series = seriesOf(bars, calendar, actions), spikes = new Set<number>();
  const name: ColumnName = bars.kind === "ticks" ? "tickPrice" : "close";
  for (let k = 1; k < series.row.length; k++) {
    // A bad first row is seen only as a jump that nothing takes back.
    if (!isLarge(series, k) || k + 1 >= series.row.length) continue;
    const left = Math.abs(series.change[k] + series.change[k + 1]);
    if (spikes.has(series.row[k - 1])
      || left > RETURNED_PART * Math.abs(series.change[k])) continue;
    spikes.add(series.row[k]);
    found.add({ time: bars.time[series.row[k]], column: name, value: series.price[k],
      reason: spikeReason(series.change[k], left) });
  }
  findImpossible(bars, spikes, found);
  return spikes;
}

function spikeReason(change: number, left: number): string {
  const tens = change / Math.LN10, nearest = Math.round(tens);
  if (nearest !== 0 && Math.abs(tens - nearest) * Math.LN10 < SPLIT_TOLERANCE + left) {
    return nearest > 0 ? `x${10 ** nearest} of its neighbours`
      : `1/${10 ** -nearest} of its neighbours`;
  }
  const percent = ((Math.exp(change) - 1) * 100).toFixed(1);
  return `${change > 0 ? "+" : ""}${percent}% and back in the next row`;
}

/** Rows that contradict themselves. */
function findImpossible(bars: Bars, spikes: ReadonlySet<number>, found: Sink<BadTick>): void {
  const { open, high, low, close, bid, ask } = bars.columns, { time } = bars;
  const add = (i: number, column: ColumnName, values: Float64Array, reason: string): void => {
    found.add({ time: time[i], column, value: values[i], reason });
  };
  for (let i = 0; i < time.length; i++) {
    for (const name of PRICES) {
      const values = bars.columns[name];
      // A quote of zero is a side without a quote.
      if (values !== undefined && (values[i] < 0 || (values[i] === 0 && bars.kind === "bars"))) {
        add(i, name, values, values[i] < 0 ? "below zero" : "zero");
      }
    }
    if (bid && ask && bid[i] > ask[i] && ask[i] > 0) {
      add(i, "bid", bid, `above the ask of ${ask[i]}`);
    }
    if (!high || !low || spikes.has(i)) continue;
    if (high[i] < low[i]) { add(i, "high", high, `below the low of ${low[i]}`); continue; }
    for (const [name, values] of [["open", open], ["close", close]] as const) {
      if (values && (values[i] > high[i] || values[i] < low[i])) {
        add(i, name, values, `outside low ${low[i]} .. high ${high[i]}`);
      }
    }
  }
}

/** Large returns that stay, and what would explain them. */
export function findJumps(
  bars: Bars, calendar: Calendar, actions: readonly CorporateAction[],
  spikes: ReadonlySet<number>, found: Sink<Jump>,
): void {
  if (bars.kind !== "bars") return;
  const series = seriesOf(bars, calendar, actions);
  for (let k = 1; k < series.row.length; k++) {
    if (!isLarge(series, k) || spikes.has(series.row[k]) || spikes.has(series.row[k - 1])) continue;
    found.add({
      time: bars.time[series.row[k]], before: series.price[k - 1], after: series.price[k],
      change: Math.exp(series.change[k]) - 1, sigmas: Math.abs(series.change[k]) / series.sigma[k],
      looksLike: splitLike(series.change[k]),
    });
  }
}

/** The split whose ratio is nearest to a log price change, if any is near. */
function splitLike(change: number): string | null {
  let best: string | null = null, nearest = SPLIT_TOLERANCE;
  for (const [fresh, old] of SPLITS) {
    const distance = Math.abs(Math.abs(change) - Math.log(fresh / old));
    if (distance >= nearest) continue;
    nearest = distance;
    best = change < 0 ? `${fresh}:${old} split` : `${old}:${fresh} reverse split`;
  }
  return best;
}

/** The same close over and over, while volume is absent, zero or frozen too. */
export function findStaleRuns(bars: Bars, found: Sink<StaleRun>): void {
  const { close, volume } = bars.columns, { time } = bars;
  if (close === undefined) return;
  const least = bars.timeframe === "1d" ? STALE_ROWS_DAILY : STALE_ROWS_INTRADAY;
  const repeats = (i: number): boolean => close[i] === close[i - 1]
    && (volume === undefined || !(volume[i] > 0) || volume[i] === volume[i - 1]);
  for (let i = 1, start = 0; i <= time.length; i++) {
    if (i < time.length && repeats(i)) continue;
    const rows = i - start;
    if (rows >= least) found.add({ from: time[start], to: time[i - 1], rows, value: close[start] });
    start = i;
  }
}
