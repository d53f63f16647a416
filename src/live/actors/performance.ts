/**
 * How the session does: meters of all processes merged by name and held against the founding latency table,
 * the equity's returns per bar, and each model's predictions against the bars that followed them.
 *
 *   account ──> last equity of each bar ──> returns ──> Sharpe, drawdown
 *   prediction(t) ──> market(t + 1): position x (close / close before - 1) ──> hits, mean return
 */
import { calendar } from "../../market/calendar.ts";
import { TIMEFRAMES } from "../../market/bars.ts";
import type { Actor } from "../actor.ts";
import { BAR_FIELDS, BAR_FLAGS, type MarketFact, type MeterFact, type MeterRow,
  type ModelScore, type PerformanceFact } from "../message.ts";
import type { EquityPoint } from "../recorder/database.ts";
import type { Session } from "../session.ts";

/** Microseconds: what to aim at and what not to exceed (live.md section 2), by the name of a meter row. */
export const LATENCY_TARGETS = {
  "market: feed -> features": [50, 200], "features: features -> model": [100, 500],
  "prediction: model -> decision": [200, 1000], "target: decision -> execution": [100, 500],
  "ingestion": [100, 500], "feature engineering": [500, 2000], "inference": [1000, 5000], "risk": [100, 500],
  "order to broker": [1000, 5000], "monitoring": [500, 2000], "tick to order": [5000, 15_000],
} as const satisfies Record<string, readonly [number, number]>;

/**
 * A merged row with its target; NaN where the founding table has none. Verdicts: p50 against target, p99
 * maximum.
 */
export interface Hop extends MeterRow {
  readonly targetUs: number;
  readonly maximumUs: number;
  readonly verdict: "within" | "above target" | "above maximum" | "no target";
}
/** Fewer returns than this make no Sharpe ratio. */
const RETURNS_MIN = 20;
/** Time that goes back further was the machine's, told before the market's time was known. */
const CLOCK_JUMP_MS = 3_600_000;
/** The decision is scored like a model, under this name. */
export const ENSEMBLE = "ensemble";
const CLOSE = BAR_FIELDS.indexOf("close");

export interface PerformanceActor extends Actor {
  /** Merged rows, in the order of the founding table, then the others by name. */
  readonly hops: () => Hop[];
}

export interface PerformanceOptions {
  readonly session: Session;
  /** What the session has recorded before: a monitor that comes back goes on from there. */
  readonly recorded?: readonly EquityPoint[];
}

export function performanceActor({ session, recorded = [] }: PerformanceOptions): PerformanceActor {
  const meters = new Map<string, MeterFact>(), equity = startEquity(session), scores = startScores(session);
  for (const point of recorded) equity.observe(point);
  return {
    name: "performance", hears: ["account", "market", "prediction", "decision", "mixture", "meter"],
    hops: () => hopsOf([...meters.values()].flatMap(({ rows }) => rows)),
    handle(message) {
      switch (message.kind) {
        case "meter": meters.set(message.process, message); return [];
        case "prediction":
          scores.predict(message.model, message.version, message.instrument, message.position);
          return [];
        case "decision": scores.predict(ENSEMBLE, "", message.instrument, message.position); return [];
        case "mixture":
          message.models.forEach((model, k) => { scores.weigh(model, message.weights[k]); });
          return [];
        case "market": scores.observe(message); return [];
        case "account":
          return equity.observe(message) ? [{ ...equity.report(), models: scores.report() }] : [];
        default: return [];
      }
    },
  };
}

/**
 * Counts add up, means are weighted by them, of quantiles the worst is taken (exact merging is the
 * bench's).
 */
export function hopsOf(rows: readonly MeterRow[]): Hop[] {
  const byName = Map.groupBy(rows, ({ name }) => name), known = Object.keys(LATENCY_TARGETS);
  const rank = (name: string): number => known.includes(name) ? known.indexOf(name) : known.length;
  return [...byName].map(([name, group]) => toHop(name, group))
    .sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name));
}

function toHop(name: string, group: readonly MeterRow[]): Hop {
  const sum = (of: (row: MeterRow) => number): number => group.reduce((total, row) => total + of(row), 0);
  const worst = (of: (row: MeterRow) => number): number => Math.max(...group.map(of));
  const count = sum((row) => row.count), bytes = sum((row) => row.bytes);
  const [targetUs, maximumUs] = Object.hasOwn(LATENCY_TARGETS, name)
    ? LATENCY_TARGETS[name as keyof typeof LATENCY_TARGETS] : [NaN, NaN];
  const p50 = worst((row) => row.p50), p99 = worst((row) => row.p99);
  return {
    name, count, errors: sum((row) => row.errors), bytes, p50, p99,
    mean: count === 0 ? NaN : sum((row) => row.count === 0 ? 0 : row.mean * row.count) / count,
    p95: worst((row) => row.p95), p999: worst((row) => row.p999), max: worst((row) => row.max),
    perSecond: sum((row) => row.perSecond),
    compression: bytes === 0 ? 1 : sum((row) => row.bytes * row.compression) / bytes,
    targetUs, maximumUs,
    verdict: Number.isNaN(targetUs) || Number.isNaN(p50) ? "no target" : p99 > maximumUs ? "above maximum"
      : p50 > targetUs ? "above target" : "within",
  };
}

/** The last equity of each bar; returns between them (Welford, so that a year needs no memory). */
function startEquity(session: Session) {
  const lengthMs = Math.max(TIMEFRAMES[session.timeframe], 1000);
  const root = Math.sqrt(calendar(session.calendar).periodsPerYear(session.timeframe));
  let at = NaN, last = NaN, settled = NaN, peak = -Infinity, n = 0, mean = 0, squares = 0;
  return {
    /** False when nothing has changed. */
    observe(account: EquityPoint): boolean {
      if (!Number.isFinite(account.equity)) return false;
      if (account.at < at) {
        if (at - account.at < CLOCK_JUMP_MS) return false;
        at = last = settled = NaN;
      }
      const isNewBar = Math.floor(account.at / lengthMs) !== Math.floor(at / lengthMs);
      if (isNewBar && !Number.isNaN(last)) {
        if (settled > 0) {
          const change = last / settled - 1, off = change - mean;
          mean += off / ++n;
          squares += off * (change - mean);
        }
        settled = last;
      }
      const hasChanged = isNewBar || account.equity !== last;
      at = account.at;
      last = account.equity;
      peak = Math.max(peak, last);
      return hasChanged;
    },
    report(): Omit<PerformanceFact, "models"> {
      const deviation = n < RETURNS_MIN ? NaN : Math.sqrt(squares / (n - 1));
      return { kind: "performance", at, equity: last, peak, drawdown: peak > 0 ? 1 - last / peak : 0,
        sharpe: deviation > 0 ? mean / deviation * root : NaN };
    },
  };
}

interface Score { version: string; weight: number; scored: number; hits: number; sum: number;
  /** (N) position awaiting its next bar; NaN: none. */
  readonly waiting: Float32Array }

function startScores(session: Session) {
  const scores = new Map<string, Score>(), count = session.symbols.length;
  const closes = new Float64Array(count).fill(NaN), closedAt = new Float64Array(count).fill(-Infinity);
  function scoreOf(model: string): Score {
    let score = scores.get(model);
    if (score === undefined) {
      const waiting = new Float32Array(count).fill(NaN);
      score = { version: "", weight: NaN, scored: 0, hits: 0, sum: 0, waiting };
      scores.set(model, score);
    }
    return score;
  }
  return {
    predict(model: string, version: string, instrument: Int32Array, position: Float32Array): void {
      const score = scoreOf(model);
      score.version = version;
      instrument.forEach((i, k) => { score.waiting[i] = position[k]; });
    },
    weigh(model: string, weight: number): void { scoreOf(model).weight = weight; },
    /** A revised or older bar corrects a past that was scored already: it is passed over. */
    observe({ at, instrument, bars, flags }: MarketFact): void {
      instrument.forEach((i, k) => {
        const close = bars[k * BAR_FIELDS.length + CLOSE], before = closes[i];
        if (at <= closedAt[i] || !(close > 0) || flags[k] === BAR_FLAGS.revised) return;
        closes[i] = close;
        closedAt[i] = at;
        if (Number.isNaN(before)) return;
        for (const score of scores.values()) settle(score, i, close / before - 1);
      });
    },
    report: (): ModelScore[] => [...scores].map(([model, { version, weight, scored, hits, sum }]) =>
      ({ model, version, weight, scored, hits, meanReturn: scored === 0 ? NaN : sum / scored })),
  };
}

function settle(score: Score, i: number, change: number): void {
  const position = score.waiting[i];
  score.waiting[i] = NaN;
  if (Number.isNaN(position) || position === 0) return;
  score.scored++;
  score.sum += position * change;
  if (position * change > 0) score.hits++;
}
