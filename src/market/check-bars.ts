/**
 * What the store refuses to keep. Sources check too: the boundary is guarded where rows enter and
 * where they rest.
 */
import { UserError } from "../base/error.ts";
import { formatTime } from "../base/units.ts";
import { COLUMNS, type Bars, type ColumnName, type CorporateAction } from "./bars.ts";
import type { DatasetFacts } from "./manifest.ts";

/** Rows of one instrument that fit HDF5's memory here, one column at a time (512 MiB). */
const MAX_ROWS = 1 << 26;

/**
 * What a column may hold; NaN means absent, everywhere but in the close. Columns that are not here
 * take any number.
 */
const RULES: Readonly<Partial<Record<ColumnName, "positive" | "not negative">>> = {
  open: "positive", high: "positive", low: "positive", close: "positive", vwap: "positive",
  tickPrice: "not negative", bid: "not negative", ask: "not negative", volume: "not negative",
  trades: "not negative", bidSize: "not negative", askSize: "not negative", size: "not negative",
};

const REMEDY = "correct the rows at their source, then run the same fetch again";

/** Throws UserError naming instrument, row, column and value of the first thing wrong. */
export function checkBars(bars: Bars, facts: Pick<DatasetFacts, "kind" | "timeframe">): void {
  const symbol = bars.instrument.symbol;
  if (bars.kind !== facts.kind || bars.timeframe !== facts.timeframe) {
    throw new UserError(
      `${symbol} came as ${bars.timeframe} ${bars.kind} into ${facts.timeframe} ${facts.kind}`,
      "fetch each kind and timeframe into a dataset of its own");
  }
  if (bars.time.length === 0) {
    throw new UserError(`${symbol} has no rows`,
      "leave it out of --symbols, or widen --from and --to");
  }
  if (bars.time.length > MAX_ROWS) {
    throw new UserError(
      `${symbol} has ${bars.time.length} rows, more than ${MAX_ROWS} fit one instrument`,
      "fetch fewer days into a dataset: --from DAY --to DAY");
  }
  checkTimes(symbol, bars.time, bars.kind === "ticks");
  if (bars.kind === "bars" && bars.columns.close === undefined) {
    throw new UserError(`${symbol} has no column "close"`, REMEDY);
  }
  for (const name of Object.keys(bars.columns) as ColumnName[]) checkColumn(bars, name);
}

function checkTimes(symbol: string, times: Float64Array, mayRepeat: boolean): void {
  for (let i = 0; i < times.length; i++) {
    if (!Number.isFinite(times[i])) {
      throw new UserError(`${symbol}: row ${i + 1} has the time ${times[i]}`, REMEDY);
    }
    if (i === 0 || times[i] > times[i - 1] || (mayRepeat && times[i] === times[i - 1])) continue;
    const what = times[i] === times[i - 1] ? "appears twice"
      : `comes after ${formatTime(times[i - 1])}`;
    throw new UserError(`${symbol}: the row of ${formatTime(times[i])} ${what} (row ${i + 1})`,
      REMEDY);
  }
}

function checkColumn(bars: Bars, name: ColumnName): void {
  const { instrument: { symbol }, time } = bars, values = bars.columns[name] as Float64Array;
  if (COLUMNS[name]?.kind !== bars.kind) {
    throw new UserError(`${symbol}: ${bars.kind} have no column "${name}"`, REMEDY);
  }
  if (values.length !== time.length) {
    throw new UserError(
      `${symbol}: column "${name}" has ${values.length} values for ${time.length} rows`, REMEDY);
  }
  const rule = RULES[name], least = rule === undefined ? -Infinity : 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value > least && value < Infinity) continue;
    if (value === 0 && rule === "not negative") continue;
    if (Number.isNaN(value) && name !== "close") continue;
    throw new UserError(`${symbol}: ${name} of ${formatTime(time[i])} is ${value} (row ${i + 1})`,
      `a ${name} is a ${rule ?? "finite"} number; ${REMEDY}`);
  }
}

/** Actions by ascending ex-date. Throws UserError for one that cannot be applied. */
export function checkActions(
  symbol: string, actions: readonly CorporateAction[],
): CorporateAction[] {
  for (const { kind, exTime, value } of actions) {
    if (Number.isFinite(exTime) && value > 0 && value < Infinity) continue;
    const when = Number.isFinite(exTime) ? formatTime(exTime) : String(exTime);
    throw new UserError(`${symbol}: the ${kind} of ${when} has the value ${value}`, REMEDY);
  }
  return actions.map(({ kind, exTime, value }) => ({ kind, exTime, value }))
    .sort((a, b) => a.exTime - b.exTime);
}
