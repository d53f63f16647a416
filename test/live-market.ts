/** Markets, sessions and messages for the tests of the live actors. */
import * as fs from "node:fs";
import { gunzipSync } from "node:zlib";
import { random } from "../src/base/random.ts";
import { calendar } from "../src/market/calendar.ts";
import type { Bars, Timeframe } from "../src/market/bars.ts";
import { bind, type Panel } from "../src/features/panel.ts";
import { readRecipe } from "../src/features/recipe.ts";
import { BAR_FIELDS, BAR_FLAGS, type MarketFact } from "../src/live/message.ts";
import { PORTS, type Session } from "../src/live/session.ts";
import { barsOf } from "./market-rows.ts";
import { shared } from "./shared.ts";

export const WIDTH = BAR_FIELDS.length;
/** 2024-03-04, a Monday: the open in New York, UTC ms. */
export const OPEN = Date.UTC(2024, 2, 4, 14, 30);
export const MINUTE = 60_000;

export function session(given: Partial<Session> = {}): Session {
  return {
    id: "test", venue: "simulator", feed: "simulator", wire: "alpaca", strategyName: "test", symbols: ["AAA", "BBB", "CCC"],
    timeframe: "1m", calendar: "us-equity", recipe: "dmn", recipeHash: "0123456789abcdef", history: null,
    clock: { kind: "wall", isStepped: false, barsPerSecond: null },
    models: [{ worker: "lstm-1", strategy: "model:a" }, { worker: "lstm-2", strategy: "model:b" }],
    quorum: 1, deadlineMs: 100, mixture: "equal", isConfidenceWeighted: false, risk: {},
    sizing: { volatilityTarget: 0.15, weightMax: null, portfolioTarget: null, method: "volatility", isFractional: true,
      capital: 100_000 },
    execution: { style: "market", slices: 1, timeoutMs: 1_000, callsPerMinute: 200 }, ports: { ...PORTS },
    host: "127.0.0.1", seed: 1, faults: "none", simulatorUrl: null, ...given,
  };
}

export async function panelOf(recipe: string, timeframe: Timeframe = "1m"): Promise<Panel> {
  return bind(await readRecipe("/nowhere", recipe), { calendar: calendar("us-equity"), timeframe });
}

/** One bar of one instrument, as in a row of MarketFact. */
export interface Row { readonly at: number; readonly instrument: number; readonly values: readonly number[] }

/** A random walk of N instruments over T minutes; each bar is missing with probability `holes`. */
export function walk(seed: number, N: number, T: number, holes = 0, from = OPEN): Row[] {
  const draw = random(seed, "walk"), price = Array.from({ length: N }, (_, i) => 50 + 10 * i), rows: Row[] = [];
  for (let t = 1; t <= T; t++) {
    for (let i = 0; i < N; i++) {
      const open = price[i], close = price[i] = open * Math.exp(0.002 * draw.normal());
      const isThere = draw.uniform() >= holes;
      const values = [open, Math.max(open, close) * 1.0005, Math.min(open, close) * 0.9995, close, 1_000 + draw.below(9_000),
        (open + close) / 2, 10 + draw.below(90)];
      if (isThere) rows.push({ at: from + t * MINUTE, instrument: i, values });
    }
  }
  return rows;
}

/** Rows of one close as the feed says them. */
export function market(rows: readonly Row[], flag: number | readonly number[] = BAR_FLAGS.fresh): MarketFact {
  return { kind: "market", at: rows[0].at, instrument: Int32Array.from(rows, ({ instrument }) => instrument),
    bars: Float64Array.from(rows.flatMap(({ values }) => values)),
    flags: Uint8Array.from(rows, (_, k) => typeof flag === "number" ? flag : flag[k]) };
}

/** Steps of rows, in order of time. */
export function steps(rows: readonly Row[]): Row[][] {
  return [...Map.groupBy(rows, ({ at }) => at)].sort(([a], [b]) => a - b).map(([, own]) => own);
}

/** One instrument's rows as bars. */
export function barsOfRows(rows: readonly Row[], instrument: number, timeframe: Timeframe = "1m"): Bars {
  const own = rows.filter((row) => row.instrument === instrument).sort((a, b) => a.at - b.at);
  return barsOf(`I${instrument}`, own.map(({ at }) => at),
    Object.fromEntries(BAR_FIELDS.map((name, j) => [name, own.map(({ values }) => values[j])])), { timeframe });
}

/** A CSV of ../shared/data/equities-minute-dev as rows stamped with closes; null where it is absent. */
export function developmentRows(file: string, lengthMs: number): { symbols: string[]; rows: Row[] } | null {
  const place = shared(`data/equities-minute-dev/${file}`);
  if (place === null) return null;
  const lines = gunzipSync(fs.readFileSync(place)).toString().trimEnd().split("\n").slice(1);
  const symbols: string[] = [];
  const rows = lines.map((line): Row => {
    const [stamp, symbol, ...numbers] = line.split(",");
    if (!symbols.includes(symbol)) symbols.push(symbol);
    return { at: Date.parse(stamp) + lengthMs, instrument: symbols.indexOf(symbol), values: [...numbers.map(Number), NaN, NaN] };
  });
  return { symbols, rows };
}
