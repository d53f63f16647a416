/**
 * Backtest results made from a seed, in the shape the engines give, so that the page can be tried
 * without one.
 */
import type { AssetClass } from "../src/market/instrument.ts";
import type {
  BacktestResult,
  Curve,
  GroupRow,
  Summary,
  WindowResult,
} from "../src/backtest/result.ts";
import { Random } from "../src/base/random.ts";
import { drawdown } from "../src/metrics/rolling.ts";

const DAY = 86_400_000;

export interface Make {
  readonly days?: number;
  readonly seed?: number;
  readonly strategy?: string;
  /** Mean annual return, fraction. */
  readonly drift?: number;
  readonly windowYears?: number;
  readonly instruments?: number;
  readonly change?: Partial<BacktestResult>;
}

const CLASSES: readonly AssetClass[] = ["equity", "bond", "fx", "energy", "metal", "agriculture"];

/** Weekdays from 1995-01-02, one row each, about the volatility of a diversified trend follower. */
export function makeResult(make: Make = {}): BacktestResult {
  const { days = 6500, seed = 1, strategy = "tsmom", drift = 0.047, windowYears = 5 } = make;
  const curve = makeCurve(days, seed, drift);
  const windows = makeWindows(curve, windowYears);
  const benchmarkReturn = makeCurve(days, seed + 1000, 0.035).netReturn;
  const benchmarkCurve = { ...curve, netReturn: benchmarkReturn };
  const benchmarkWindows = makeWindows(benchmarkCurve, windowYears);
  const average = meanOf(windows);
  const sorted = curve.netReturn.toSorted();
  const tail = Math.max(1, Math.floor(days * 0.05));
  return {
    strategy,
    dataset: "synthetic",
    isSynthetic: true,
    engine: "vector",
    timeframe: "1d",
    periodsPerYear: 252,
    costBps: 2,
    lag: 0,
    volatilityTarget: 0.15,
    average,
    windows,
    risk: {
      valueAtRisk95: -sorted[tail] || 0,
      skewness: -0.31,
      kurtosis: 5.82,
      informationRatio: 0.21,
      deflatedSharpe: 0.981,
      trials: 3,
      conditionalValueAtRisk95: -sorted.slice(0, tail).reduce((sum, r) => sum + r, 0) / tail,
    },
    benchmark: {
      name: "long-only",
      average: meanOf(benchmarkWindows),
      windows: benchmarkWindows,
      netReturn: benchmarkReturn,
    },
    curve,
    ...makeGroups(seed, make.instruments ?? 28, days),
    costLadder: [0, 1, 2, 3, 5, 10].map((costBps) => ({
      costBps,
      annualReturn: average.annualReturn + 0.0026 * (2 - costBps),
      sharpe: average.sharpe + 0.0571 * (2 - costBps),
    })),
    differences: [],
    notes: [
      "Synthetic market: prices come from a random generator, seed 7.",
      "SYN03 starts in 1998 and misses the first window.",
    ],
    ...make.change,
  };
}

function makeCurve(days: number, seed: number, drift: number): Curve {
  const random = new Random(seed, ["report", drift]);
  const time = new Float64Array(days);
  let moment = Date.UTC(1995, 0, 2, 23);
  const netReturn = new Float64Array(days);
  const cost = new Float64Array(days);
  const grossExposure = new Float64Array(days);
  const netExposure = new Float64Array(days);
  const turnover = new Float64Array(days);
  let volatility = 0.003;
  let lean = 0.2;
  for (let t = 0; t < days; t++) {
    time[t] = moment;
    do moment += DAY;
    while ([0, 6].includes(new Date(moment).getUTCDay()));
    volatility = 0.97 * volatility + 0.03 * 0.003 * Math.exp(0.9 * random.normal());
    lean = 0.995 * lean + 0.02 * random.normal();
    grossExposure[t] = 1.9 - 120 * volatility + 0.02 * random.normal();
    netExposure[t] = grossExposure[t] * Math.tanh(lean);
    turnover[t] = 0.03 + 0.09 * random.uniform() ** 6;
    cost[t] = turnover[t] * 0.0002;
    netReturn[t] = drift / 252 + volatility * random.normal() - cost[t];
  }
  const grossReturn = netReturn.map((value, t) => value + cost[t]);
  return {
    time,
    netReturn,
    grossReturn,
    cost,
    grossExposure,
    netExposure,
    turnover,
    active: new Float64Array(days).fill(28),
  };
}

function summaryOf(returns: Float64Array): Summary {
  const n = returns.length;
  const mean = returns.reduce((sum, r) => sum + r, 0) / n;
  const volatility =
    Math.sqrt(returns.reduce((sum, r) => sum + (r - mean) ** 2, 0) / (n - 1)) * Math.sqrt(252);
  const downside =
    Math.sqrt(returns.reduce((sum, r) => sum + Math.min(r, 0) ** 2, 0) / n) * Math.sqrt(252);
  const annualReturn = returns.reduce((product, r) => product * (1 + r), 1) ** (252 / n) - 1;
  const maxDrawdown = -Math.min(...drawdown(returns), 0);
  return {
    annualReturn,
    volatility,
    sharpe: (mean * 252) / volatility,
    sortino: (mean * 252) / downside,
    maxDrawdown,
    calmar: annualReturn / maxDrawdown,
    positiveShare: returns.filter((r) => r > 0).length / n,
    turnover: 24.97,
  };
}

function makeWindows(curve: Curve, years: number): WindowResult[] {
  const dates = Array.from(curve.time, (time) => new Date(time).toISOString().slice(0, 10));
  const windows: WindowResult[] = [];
  for (let from = 0, to = 0; from < dates.length; from = to) {
    const end = String(Number(dates[from].slice(0, 4)) + years);
    while (to < dates.length && dates[to] < end) to++;
    windows.push({
      ...summaryOf(curve.netReturn.slice(from, to)),
      from: dates[from],
      to: dates[to - 1],
      instruments: 23 + windows.length,
      periods: to - from,
    });
  }
  return windows;
}

function meanOf(windows: readonly WindowResult[]): Summary {
  const mean = (key: keyof Summary): number =>
    windows.reduce((sum, window) => sum + window[key], 0) / windows.length;
  return {
    annualReturn: mean("annualReturn"),
    volatility: mean("volatility"),
    sharpe: mean("sharpe"),
    sortino: mean("sortino"),
    maxDrawdown: mean("maxDrawdown"),
    calmar: mean("calmar"),
    positiveShare: mean("positiveShare"),
    turnover: mean("turnover"),
  };
}

function makeGroups(
  seed: number,
  count: number,
  periods: number,
): { instruments: GroupRow[]; classes: GroupRow[] } {
  const random = new Random(seed, ["groups"]);
  const row = (name: string, assetClass: AssetClass, scale: number): GroupRow => {
    const sharpe = 0.35 + 0.4 * random.normal();
    return {
      name,
      assetClass,
      periods,
      contribution: sharpe * scale,
      annualReturn: sharpe * 0.15,
      volatility: 0.15 + 0.004 * random.normal(),
      sharpe,
      sortino: sharpe * 1.45,
      maxDrawdown: 0.3 + 0.1 * random.uniform(),
      calmar: sharpe * 0.4,
      positiveShare: 0.5 + 0.03 * random.uniform(),
      turnover: 25 + 4 * random.normal(),
    };
  };
  return {
    instruments: Array.from({ length: count }, (_, k) =>
      row(`SYN${String(k).padStart(2, "0")}`, CLASSES[k % CLASSES.length], 0.06),
    ),
    classes: CLASSES.map((name) => row(name, name, 0.3)),
  };
}
