/**
 * Corporate actions: prices are kept as they were traded, and adjusted when they are read.
 *
 *   rows before the ex-date  x factor     of a split     1 / ratio                 (volume x ratio)
 *   rows from it on          unchanged    of a dividend  1 - cash / close before (volume as it is)
 *
 * Factors multiply backwards, so the newest price is the traded one and the return over an ex-date
 * is what a holder earned (CRSP's "factor to adjust price", CRSP US Stock data descriptions guide).
 * A row counts as before when its session's day is before the ex-date: pre-market bars of the
 * ex-date already trade without the action. A dividend is cash per share of the day before; one
 * that shares its ex-date with a split is paid on the old shares.
 */
import { UserError } from "../base/error.ts";
import { formatDay } from "../base/units.ts";
import type { Bars, ColumnName, CorporateAction } from "./bars.ts";
import type { Calendar } from "./calendar.ts";
import type { Adjustment } from "./sources/source.ts";

export type AdjustMode = "none" | "split" | "total";

/** What an action does to a column of rows before it; other columns stay as they are. */
const EFFECT = {
  open: "price", high: "price", low: "price", close: "price", vwap: "price", bid: "price",
  ask: "price",
  tickPrice: "price", volume: "shares", bidSize: "shares", askSize: "shares", size: "shares",
} as const satisfies Partial<Record<ColumnName, "price" | "shares">>;

/** Which kinds of action prices that come like this from their source still carry. */
const OWED: Readonly<Record<Adjustment, readonly CorporateAction["kind"][]>> = {
  raw: ["split", "dividend"], split: ["dividend"],
  "total-return": [], "ratio-back-adjusted": [], unknown: [],
};

/** The actions that a source's prices still carry, as jumps: quality.ts expects them. */
export function owedActions(
  adjustment: Adjustment, actions: readonly CorporateAction[],
): CorporateAction[] {
  return actions.filter((action) => OWED[adjustment].includes(action.kind));
}

/**
 * The price factor of each action by itself, from the whole history: (A), 1 where no row is before
 * it. Throws UserError for a dividend that is not below the price it is paid from.
 */
export function actionFactors(
  bars: Bars, actions: readonly CorporateAction[], adjustment: Adjustment, calendar: Calendar,
): Float64Array {
  const factors = new Float64Array(actions.length).fill(1);
  for (const [k, action] of actions.entries()) {
    if (action.kind === "split") {
      factors[k] = 1 / action.value;
      continue;
    }
    // Where prices are split-adjusted already, so must the cash be: per share of today's count.
    const laterSplits = adjustment === "split" ? splitsFrom(actions, action.exTime) : 1;
    const price = lastPriceBefore(bars, firstRowOfExDate(bars.time, action.exTime, calendar));
    if (Number.isNaN(price)) continue;
    factors[k] = 1 - action.value / laterSplits / price;
    if (!(factors[k] > 0)) throw tooLarge(bars.instrument.symbol, action, price, calendar);
  }
  return factors;
}

function splitsFrom(actions: readonly CorporateAction[], exTime: number): number {
  return actions.reduce((product, one) =>
    one.kind === "split" && one.exTime >= exTime ? product * one.value : product, 1);
}

function tooLarge(
  symbol: string, action: CorporateAction, price: number, calendar: Calendar,
): UserError {
  const exDay = formatDay(calendar.sessionDay(action.exTime));
  return new UserError(
    `${symbol}: the dividend of ${action.value} on ${exDay} is not below the price before (${price})`,
    "correct or remove this corporate action at its source, then fetch again");
}

/** First row that no longer carries an action. */
export function firstRowOfExDate(times: Float64Array, exTime: number, calendar: Calendar): number {
  const exDay = calendar.sessionDay(exTime);
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (calendar.sessionDay(times[middle]) < exDay) low = middle + 1; else high = middle;
  }
  return low;
}

/** Close, mid quote or trade of the last row before `row` that has one; NaN: none has. */
function lastPriceBefore(bars: Bars, row: number): number {
  const { close, bid, ask, tickPrice } = bars.columns;
  for (let i = row - 1; i >= 0; i--) {
    const price = close !== undefined ? close[i]
      : bid !== undefined && ask !== undefined ? (bid[i] + ask[i]) / 2 : tickPrice?.[i] ?? NaN;
    if (price > 0) return price;
  }
  return NaN;
}

/**
 * Bars as if every action after a row had happened before it. Works on any slice of rows: `factors`
 * (A) come from the whole history (actionFactors). Columns without effect are shared, not copied.
 */
export function adjustBars(
  bars: Bars, actions: readonly CorporateAction[], factors: Float64Array,
  facts: {
    readonly mode: AdjustMode; readonly adjustment: Adjustment; readonly calendar: Calendar;
  },
): Bars {
  const owed = facts.mode === "none" ? [] : OWED[facts.adjustment];
  const applied = actions.flatMap((action, k) =>
    owed.includes(action.kind) && (facts.mode === "total" || action.kind === "split")
      ? [{ row: firstRowOfExDate(bars.time, action.exTime, facts.calendar), price: factors[k],
        shares: action.kind === "split" ? action.value : 1 }]
      : []);
  if (applied.every((one) => one.row === 0)) return bars;
  const columns: Partial<Record<ColumnName, Float64Array>> = { ...bars.columns };
  const effects = Object.entries(EFFECT) as [keyof typeof EFFECT, "price" | "shares"][];
  for (const [name, effect] of effects) {
    const values = bars.columns[name];
    if (values !== undefined) columns[name] = scaleBackwards(values, applied, effect);
  }
  return { ...bars, columns };
}

/** Applies to each row the product of all later factors, newest first: a slice equals the whole's. */
function scaleBackwards(
  values: Float64Array, applied: readonly { row: number; price: number; shares: number }[],
  effect: "price" | "shares",
): Float64Array {
  const scaled = values.slice();
  let product = 1, k = applied.length - 1;
  for (let i = values.length - 1; i >= 0; i--) {
    for (; k >= 0 && applied[k].row > i; k--) product *= applied[k][effect];
    scaled[i] = values[i] * product;
  }
  return scaled;
}
