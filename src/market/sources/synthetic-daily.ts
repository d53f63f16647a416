/**
 * Daily bars of an invented instrument: prices with trends, which momentum can find.
 *
 *   r_t  = v_t / sqrt(252) * ( (m + d_t) / sqrt(252) + (e_t - theta e_{t-1}) / sqrt(1 + theta^2) )
 *   d_t  : AR(1), half-life DRIFT_HALF_LIFE: the slowly switching drift, in Sharpe ratios a year
 *   v_t  : exp of an AR(1) around the instrument's own level: stochastic volatility
 *   e_t  = class factor + market factor + own shock, each Student-t (4 degrees, variance 1)
 *   theta: short mean reversion
 *
 * Every session draws the same count of numbers from the instrument's own streams, from the origin
 * of its group on, so an instrument asked for alone, or for longer, has the same bits. Calibration:
 * research.md, section 4 (averages of futures over five windows); the figures reached are in
 * test/synthetic.test.ts.
 */
import { random, type Random } from "../../base/random.ts";
import { TRADING_DAYS_PER_YEAR } from "../../base/units.ts";
import type { Bars } from "../bars.ts";
import type { Session } from "../calendar.ts";
import type { SyntheticInstrument } from "./synthetic-instruments.ts";

/** Changes with any change of the numbers below or of the order of draws. */
export const DAILY_MODEL = 1;

/** Sessions; nine months. */
const DRIFT_HALF_LIFE = 189;
/** Standard deviation of the drift, Sharpe ratios a year. */
const DRIFT_DEVIATION = 0.77;
/** Part of the drift's variance that instruments of one class share. */
const DRIFT_CLASS_SHARE = 0.5;
const VOLATILITY_HALF_LIFE = 60;
/** Standard deviation of log volatility. */
const VOLATILITY_DEVIATION = 0.35;
/** Correlation of instruments of one class, and of all with all, through their factors. */
const CLASS_SHARE = 0.42;
const MARKET_SHARE = 0.03;
const REVERSION = 0.05;
/** Shocks beyond it are cut: t(4) has no fourth moment. */
const SHOCK_MAX = 12;
/** A close never falls by more in a day. */
const LOSS_MAX = 0.5;
const MISSING_CHANCE = 0.003;
/** Part of a day's variance that comes before the open. */
const NIGHT_SHARE = 0.25;
const DECIMALS = 1e6;

const YEAR_ROOT = Math.sqrt(TRADING_DAYS_PER_YEAR);
const decay = (halfLife: number): number => Math.exp(Math.log(0.5) / halfLife);

/** Student-t with 4 degrees of freedom, variance 1, from two uniforms (Bailey, Math. Comp. 62, 1994). */
function shock(stream: Random): number {
  const radius = Math.sqrt(2 * (1 / Math.sqrt(1 - stream.uniform()) - 1));
  const value = radius * Math.cos(2 * Math.PI * stream.uniform());
  return Math.max(-SHOCK_MAX, Math.min(SHOCK_MAX, value));
}

/** An AR(1) of mean 0 and variance 1, one value a session. */
function wave(stream: Random, halfLife: number, length: number): Float64Array {
  const keep = decay(halfLife), noise = Math.sqrt(1 - keep ** 2), values = new Float64Array(length);
  let value = stream.normal();
  for (let t = 0; t < length; t++) {
    value = keep * value + noise * stream.normal();
    values[t] = value;
  }
  return values;
}

/** What a class of instruments shares, or all of them: one value a session, drawn once. */
export class Factors {
  readonly #seed: number;
  readonly #length: number;
  readonly #series = new Map<string, Float64Array>();
  constructor(seed: number, length: number) { this.#seed = seed; this.#length = length; }

  shocks(name: string): Float64Array {
    return this.#once("shocks", name, (stream) =>
      Float64Array.from({ length: this.#length }, () => shock(stream)));
  }

  drift(name: string): Float64Array {
    return this.#once("drift", name, (stream) => wave(stream, DRIFT_HALF_LIFE, this.#length));
  }

  #once(what: string, name: string, make: (stream: Random) => Float64Array): Float64Array {
    const key = `${what} ${name}`;
    const found = this.#series.get(key) ?? make(random(this.#seed, "synthetic", what, name));
    this.#series.set(key, found);
    return found;
  }
}

/** (S) each: closes before rounding, one a session from the origin; volatility, fraction a day. */
interface Path {
  readonly close: Float64Array;
  readonly volatility: Float64Array;
}

function simulate(who: SyntheticInstrument, seed: number, factors: Factors, length: number): Path {
  const stream = random(seed, "synthetic", who.instrument.symbol, "path");
  const common = factors.shocks(who.factor), market = factors.shocks("market");
  const commonDrift = factors.drift(who.factor);
  const driftLoading = DRIFT_DEVIATION * Math.sqrt(DRIFT_CLASS_SHARE);
  const ownDrift = DRIFT_DEVIATION * Math.sqrt(1 - DRIFT_CLASS_SHARE);
  const marketLoading = (who.factor.includes("bond") ? -1 : 1) * Math.sqrt(MARKET_SHARE);
  const classLoading = Math.sqrt(CLASS_SHARE);
  const ownLoading = Math.sqrt(1 - CLASS_SHARE - MARKET_SHARE);
  const driftDecay = decay(DRIFT_HALF_LIFE), driftNoise = Math.sqrt(1 - driftDecay ** 2);
  const volatilityDecay = decay(VOLATILITY_HALF_LIFE);
  const volatilityNoise = VOLATILITY_DEVIATION * Math.sqrt(1 - volatilityDecay ** 2);
  const reversionScale = 1 / Math.sqrt(1 + REVERSION ** 2);
  const close = new Float64Array(length), volatility = new Float64Array(length);
  let drift = stream.normal(), level = VOLATILITY_DEVIATION * stream.normal();
  let before = 0, price = who.priceAtOrigin;
  for (let t = 0; t < length; t++) {
    drift = driftDecay * drift + driftNoise * stream.normal();
    level = volatilityDecay * level + volatilityNoise * stream.normal();
    // The mean of v^2, not of log v, is the instrument's own.
    const daily = (who.volatilityAnnual / YEAR_ROOT) * Math.exp(level - VOLATILITY_DEVIATION ** 2);
    const now = marketLoading * market[t] + classLoading * common[t] + ownLoading * shock(stream);
    const sharpe = who.sharpe + driftLoading * commonDrift[t] + ownDrift * drift;
    const change = daily * (sharpe / YEAR_ROOT + (now - REVERSION * before) * reversionScale);
    before = now;
    price *= 1 + Math.max(-LOSS_MAX, change);
    close[t] = price;
    volatility[t] = daily;
  }
  return { close, volatility };
}

const round = (price: number): number => Math.round(price * DECIMALS) / DECIMALS;

/** Highest (sign 1) or lowest (sign -1) log price of a Brownian bridge that moves by `x`. */
export function extreme(x: number, variance: number, uniform: number, sign: 1 | -1): number {
  return (x + sign * Math.sqrt(x * x - 2 * variance * Math.log(1 - uniform))) / 2;
}

/** Bars of sessions [first, end) of `sessions`, which start at the instrument's origin. */
export function dailyBars(who: SyntheticInstrument, seed: number, factors: Factors,
  sessions: readonly Session[], first: number): Bars {
  const length = sessions.length;
  const path = simulate(who, seed, factors, length);
  const stream = random(seed, "synthetic", who.instrument.symbol, "bars");
  const [time, open, high, low, close, volume] =
    Array.from({ length: 6 }, () => new Float64Array(length));
  let rows = 0, last = who.priceAtOrigin;
  for (let t = 0; t < length; t++) {
    const before = last, daily = path.volatility[t];
    last = path.close[t];
    const night = Math.log(last / before) * NIGHT_SHARE
      + daily * Math.sqrt(NIGHT_SHARE * (1 - NIGHT_SHARE)) * stream.normal();
    const activity = stream.normal(), up = stream.uniform(), down = stream.uniform();
    const isMissing = stream.uniform() < MISSING_CHANCE;
    if (t < first || isMissing || sessions[t].day < who.firstDay) continue;
    const start = before * Math.exp(night), move = Math.log(last / start);
    const variance = daily * daily * (1 - NIGHT_SHARE);
    time[rows] = sessions[t].close;
    open[rows] = round(start);
    close[rows] = round(last);
    high[rows] = round(start * Math.exp(extreme(move, variance, up, 1)));
    low[rows] = round(start * Math.exp(extreme(move, variance, down, -1)));
    volume[rows] = Math.ceil(20_000 * Math.exp(0.5 * activity + Math.abs(move) / daily / 2));
    rows++;
  }
  const cut = (values: Float64Array): Float64Array => values.slice(0, rows);
  const columns = { open: cut(open), high: cut(high), low: cut(low), close: cut(close),
    volume: cut(volume) };
  return { instrument: who.instrument, kind: "bars", timeframe: "1d", time: cut(time), columns };
}
