/**
 * How fast bars become features: the same indicators as TA-Lib computes, the whole technical recipe as a
 * batch and bar by bar, and a market of 5,000 instruments from nothing to Parquet within 4 GiB.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type { Bars } from "../../market/bars.ts";
import { calendar } from "../../market/calendar.ts";
import { bind, computeFeatures, type BarRow, type Panel } from "../../features/panel.ts";
import { readRecipe, type Recipe } from "../../features/recipe.ts";
import type { RecipeFeature } from "../../features/recipes.ts";
import type { Bench } from "../bench.ts";
import { runDmn } from "./command.ts";
import { madeUpBars } from "./market.ts";
import { askPeer, besidePeer, type PeerAnswer } from "./peer.ts";
import { benchRow, timeRounds, type BenchRow } from "./row.ts";

/** What TA-Lib has too; test/peers/technical.py computes these columns, in this order. */
const COMMON: readonly RecipeFeature[] = [
  { family: "rsi", windows: [2, 7, 14, 21, 28, 50] },
  { family: "macd", speeds: [[12, 26, 9]] },
  { family: "bollinger", windows: [10, 20, 50, 100], outputs: ["upper", "middle", "lower"] },
  { family: "momentum", windows: [10] },
  { family: "roc", windows: [1, 2, 3, 5, 10, 21, 42, 63, 126, 252] },
  { family: "atr", windows: [14] },
  { family: "natr", windows: [7, 14, 21, 50] },
  { family: "adx", windows: [7, 14, 28] },
  { family: "stochastic", windows: [5, 9, 14, 21, 50], smooth: 3 },
  { family: "williams_r", windows: [14] },
  { family: "cci", windows: [14, 20, 50] },
  { family: "mfi", windows: [7, 14, 28] },
  { family: "sma", windows: [5, 10, 20, 50, 100, 200], outputs: ["average"] },
  { family: "ema", windows: [5, 10, 20, 50, 100, 200], outputs: ["average"] },
];

const MARKET = { calendar: calendar("us-equity"), timeframe: "1d" } as const;
const SUITE = "features";

export async function run(bench: Bench): Promise<BenchRow[]> {
  const rows = bench.isQuick ? 20_000 : 200_000, rounds = bench.isQuick ? 3 : 7;
  const bars = madeUpBars("BENCH", rows);
  const technical = bind(await readRecipe(bench.context.root, "technical"), MARKET);
  const dmn = bind(await readRecipe(bench.context.root, "dmn"), MARKET);
  const out = [
    await commonColumns(bench, bars, rounds),
    await batch("technical recipe, batch", technical, bars, rounds),
    await batch("dmn recipe, batch", dmn, bars, rounds),
    await stream("technical recipe, bar by bar", technical, bars, rounds, 100_000),
    await stream("dmn recipe, bar by bar", dmn, bars, rounds, null),
  ];
  if (!bench.isQuick) out.push(...wholeMarket(bench));
  return out;
}

async function commonColumns(bench: Bench, bars: Bars, rounds: number): Promise<BenchRow> {
  const panel = bind(await commonRecipe(), MARKET);
  const values = bars.time.length * panel.columns.length;
  const { values: speeds, peer } = await besidePeer(bench,
    async () => (await timeRounds(rounds, 2, () => computeFeatures(panel, bars)))
      .map((seconds) => values / seconds),
    () => talib(bars, rounds, panel.columns.length));
  return benchRow({
    suite: SUITE, name: `${panel.columns.length} columns TA-Lib has too, one core`, unit: "values/s",
    better: "higher", values: speeds, note: `${bars.time.length} bars`,
  }, {}, peer);
}

/** Through a file, as a user would. */
async function commonRecipe(): Promise<Recipe> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-bench-"));
  try {
    const place = path.join(folder, "common.json");
    fs.writeFileSync(place, JSON.stringify({ name: "common", features: COMMON }));
    return await readRecipe(folder, place);
  } finally { fs.rmSync(folder, { recursive: true }); }
}

function talib(bars: Bars, rounds: number, columns: number): PeerAnswer {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-bench-"));
  try {
    const place = path.join(folder, "bars.bin");
    const { open, high, low, close, volume } = bars.columns;
    const parts = [open, high, low, close, volume].map((part) => Buffer.from(part!.buffer));
    fs.writeFileSync(place, Buffer.concat(parts));
    return askPeer("technical.py", [place, ...[bars.time.length, rounds, columns].map(String)]);
  } finally { fs.rmSync(folder, { recursive: true }); }
}

async function batch(name: string, panel: Panel, bars: Bars, rounds: number): Promise<BenchRow> {
  const values = bars.time.length * panel.columns.length;
  const seconds = await timeRounds(rounds, 1, () => computeFeatures(panel, bars));
  return benchRow({
    suite: SUITE, name: `${name}, one core`, unit: "values/s", better: "higher",
    values: seconds.map((one) => values / one),
    note: `${bars.time.length} bars x ${panel.columns.length} columns`,
  });
}

async function stream(
  name: string, panel: Panel, bars: Bars, rounds: number, target: number | null,
): Promise<BenchRow> {
  const bar: { -readonly [K in keyof BarRow]: BarRow[K] } = { time: 0 };
  const { open, high, low, close, volume } = bars.columns;
  const seconds = await timeRounds(rounds, 1, () => {
    const memory = panel.start();
    for (let t = 0; t < bars.time.length; t++) {
      bar.time = bars.time[t];
      bar.open = open![t];
      bar.high = high![t];
      bar.low = low![t];
      bar.close = close![t];
      bar.volume = volume![t];
      memory.push(bar);
    }
  });
  return benchRow({
    suite: SUITE, name: `${name}, one core`, unit: "rows/s", better: "higher",
    values: seconds.map((one) => bars.time.length / one), note: `${panel.columns.length} columns a row`,
  }, { target });
}

/**
 * Synthetic market to Parquet with the product's own commands, each in its own process whose peak memory is
 * read.
 */
function wholeMarket(bench: Bench): BenchRow[] {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-bench-"));
  try {
    const fetched = runDmn(folder, ["fetch", "--source", "synthetic", "--dataset", "wide",
      "--symbols", "SYN:5000", "--from", "2010-01-01", "--to", "2019-07-31"]);
    const made = runDmn(folder, ["features", "--dataset", "wide", "--recipe", "dmn"]);
    bench.context.signal.throwIfAborted();
    const what = "5,000 instruments x 2,500 days, dmn recipe";
    const row = (name: string, unit: string, value: number, maximum: number | null): BenchRow => benchRow({
      suite: SUITE, name: `${what}: ${name}`, unit, better: "lower", values: [value],
      note: "fetch + features",
    }, { maximum });
    return [
      row("fetch synthetic", "s", fetched.seconds, null),
      row("features to Parquet", "s", made.seconds, null),
      row("peak memory", "GiB", Math.max(fetched.peakGib, made.peakGib), 4),
    ];
  } finally { fs.rmSync(folder, { recursive: true }); }
}
