/**
 * Who trades on the synthetic market. Three groups, each with its own first day:
 *
 *   the 28 of the daily market (1990-01-01)   six classes, volatility 0.9 % to 30 % a year;
 *                                             some start late
 *   SYN0001, SYN0002, ... (2010-01-01)        as many as asked for (SYN:5000): sizes beyond any
 *                                             real panel
 *   the 4 of the minute market (2019-01-02)   stocks, for the live demo
 */
import { UserError } from "../../base/error.ts";
import { random } from "../../base/random.ts";
import { suggestion } from "../../base/suggest.ts";
import { parseDay, type Day } from "../../base/units.ts";
import { instrument, type AssetClass, type Instrument } from "../instrument.ts";

export interface SyntheticInstrument {
  readonly instrument: Instrument;
  /** Its class's common shocks are the stream of this name. */
  readonly factor: string;
  /** Long-run volatility, fraction a year. */
  readonly volatilityAnnual: number;
  /** Long-run Sharpe ratio of holding it. */
  readonly sharpe: number;
  readonly firstDay: Day;
  /** Where the random streams of its group begin. */
  readonly origin: Day;
  readonly priceAtOrigin: number;
}

const dayOfText = (text: string): Day => {
  const value = parseDay(text);
  if (value === null) throw new RangeError(text);
  return value;
};
export const DAILY_ORIGIN = dayOfText("1990-01-01");
export const DAILY_END = dayOfText("2019-12-31");
const POPULATION_ORIGIN = dayOfText("2010-01-01");
export const MINUTE_ORIGIN = dayOfText("2019-01-02");
/** The last 21 sessions are what one gets unless a range is asked for. */
export const MINUTE_START = dayOfText("2019-12-02");
/** SYN:100000 at most. */
const POPULATION_MAX = 100_000;

type Row = readonly [symbol: string, description: string, assetClass: AssetClass,
  volatilityAnnual: number, sharpe: number, firstDay: string, price: number,
  halfSpreadBps: number];

/** Classes as in a futures fund; holding equities and bonds paid, the rest hardly. */
const DAILY: readonly Row[] = [
  ["EQ1", "equity index", "equity", 0.165, 0.30, "1990-01-01", 350, 0.4],
  ["EQ2", "equity index", "equity", 0.185, 0.30, "1990-01-01", 2400, 0.4],
  ["EQ3", "equity index", "equity", 0.21, 0.25, "1990-01-01", 1800, 0.7],
  ["EQ4", "equity index", "equity", 0.24, 0.25, "1990-01-01", 15000, 0.9],
  ["EQ5", "equity index", "equity", 0.27, 0.20, "1994-06-01", 7400, 1.1],
  ["EQ6", "equity index", "equity", 0.22, 0.20, "2000-03-01", 300, 1.4],
  ["BD1", "bond, 30 years", "bond", 0.096, 0.35, "1990-01-01", 95, 1.0],
  ["BD2", "bond, 10 years", "bond", 0.06, 0.45, "1990-01-01", 98, 0.6],
  ["BD3", "bond, 5 years", "bond", 0.04, 0.50, "1990-01-01", 100, 0.4],
  ["BD4", "bond, 10 years", "bond", 0.066, 0.40, "1990-01-01", 90, 0.5],
  ["BD5", "bond, 10 years", "bond", 0.031, 0.50, "1998-10-01", 130, 0.3],
  ["BD6", "bond, 2 years", "rate", 0.009, 0.50, "2003-01-02", 105, 0.2],
  ["FX1", "currency", "fx", 0.097, 0.05, "1990-01-01", 1.2, 0.3],
  ["FX2", "currency", "fx", 0.10, 0.05, "1990-01-01", 1.6, 0.4],
  ["FX3", "currency", "fx", 0.108, 0.00, "1990-01-01", 0.8, 0.4],
  ["FX4", "currency", "fx", 0.117, 0.10, "1990-01-01", 0.7, 0.5],
  ["FX5", "currency", "fx", 0.115, 0.10, "1996-01-02", 0.1, 1.0],
  ["EN1", "crude oil", "energy", 0.27, 0.10, "1990-01-01", 20, 2.1],
  ["EN2", "heating oil", "energy", 0.28, 0.10, "1990-01-01", 60, 3.8],
  ["EN3", "natural gas", "energy", 0.30, -0.10, "1991-05-01", 2, 5.0],
  ["MT1", "gold", "metal", 0.158, 0.15, "1990-01-01", 400, 0.4],
  ["MT2", "copper", "metal", 0.26, 0.15, "1990-01-01", 110, 1.5],
  ["MT3", "platinum", "metal", 0.21, 0.10, "1992-02-03", 490, 2.4],
  ["AG1", "corn", "agriculture", 0.23, -0.05, "1990-01-01", 240, 4.0],
  ["AG2", "soybeans", "agriculture", 0.205, 0.05, "1990-01-01", 570, 2.6],
  ["AG3", "wheat", "agriculture", 0.235, -0.10, "1990-01-01", 400, 6.4],
  ["AG4", "sugar", "agriculture", 0.29, 0.05, "1990-01-01", 13, 3.7],
  ["AG5", "live cattle", "agriculture", 0.115, 0.10, "1990-01-01", 78, 1.4],
];

const MINUTE: readonly Row[] = [
  ["SYNA", "stock, large", "equity", 0.18, 0.3, "2019-01-02", 300, 0.3],
  ["SYNB", "stock, large", "equity", 0.26, 0.3, "2019-01-02", 140, 0.6],
  ["SYNC", "stock, volatile", "equity", 0.42, 0.3, "2019-01-02", 60, 2.0],
  ["SYND", "stock, small", "equity", 0.34, 0.3, "2019-01-02", 25, 4.0],
];

function instrumentOf(row: Row, origin: Day): SyntheticInstrument {
  const [symbol, description, assetClass, volatilityAnnual, sharpe, firstDay, priceAtOrigin,
    halfSpreadBps] = row;
  return {
    instrument: instrument(symbol, { assetClass, halfSpreadBps,
      description: `synthetic ${description}` }),
    // The short bond moves with the bonds.
    factor: assetClass === "rate" ? "bond" : assetClass, volatilityAnnual, sharpe,
    firstDay: dayOfText(firstDay), origin, priceAtOrigin,
  };
}

const POPULATION_CLASSES: readonly AssetClass[] = ["equity", "bond", "fx", "energy", "metal",
  "agriculture"];

/** SYN0001 and its like: everything about it follows from its name and the seed. */
function populationMember(symbol: string, seed: number): SyntheticInstrument {
  const draw = random(seed, "synthetic", symbol, "facts");
  const assetClass = POPULATION_CLASSES[draw.below(POPULATION_CLASSES.length)];
  return {
    instrument: instrument(symbol, { assetClass, halfSpreadBps: 1 + 4 * draw.uniform(),
      description: "synthetic, one of many" }),
    factor: `population ${assetClass}`,
    volatilityAnnual: 0.05 * Math.exp(Math.log(6) * draw.uniform()),
    sharpe: 0.4 * draw.uniform(), firstDay: POPULATION_ORIGIN, origin: POPULATION_ORIGIN,
    priceAtOrigin: 20 + 180 * draw.uniform(),
  };
}

const MEMBER = /^SYN\d{4,6}$/, MEMBERS = /^SYN:(\d{1,6})$/;
const memberName = (k: number): string => `SYN${String(k).padStart(4, "0")}`;

/** Those asked for, in order; none: all of the group. Throws UserError with a suggestion. */
export function syntheticInstruments(symbols: readonly string[], isMinute: boolean,
  seed: number): readonly SyntheticInstrument[] {
  const rows = isMinute ? MINUTE : DAILY, origin = isMinute ? MINUTE_ORIGIN : DAILY_ORIGIN;
  if (symbols.length === 0) return rows.map((row) => instrumentOf(row, origin));
  const names = new Set(symbols.flatMap((symbol) => isMinute ? [symbol] : expand(symbol)));
  return [...names].map((symbol) => {
    const row = rows.find(([name]) => name === symbol);
    if (row !== undefined) return instrumentOf(row, origin);
    if (!isMinute && MEMBER.test(symbol)) return populationMember(symbol, seed);
    const more = isMinute ? "" : " SYN:100 makes a hundred nameless ones.";
    throw new UserError(
      `the synthetic ${isMinute ? "minute" : "daily"} market has no symbol "${symbol}"`,
      suggestion(symbol, rows.map(([name]) => name)) + more);
  });
}

function expand(symbol: string): string[] {
  const many = MEMBERS.exec(symbol);
  if (many === null) return [symbol];
  const count = Number(many[1]);
  if (count < 1 || count > POPULATION_MAX) {
    throw new UserError(`"${symbol}" asks for ${count} synthetic instruments`,
      `ask for SYN:1 to SYN:${POPULATION_MAX}`);
  }
  return Array.from({ length: count }, (_, k) => memberName(k + 1));
}
