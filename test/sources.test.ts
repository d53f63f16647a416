/** Every source, held to the one contract. The market that goes in is invented (test/conformance/market.ts). */
import * as fs from "node:fs";
import * as path from "node:path";
import { TIMEFRAMES, type ColumnName } from "../src/market/bars.ts";
import { formatDay, dayOf } from "../src/base/units.ts";
import { alpaca } from "../src/market/sources/alpaca.ts";
import { csvSource } from "../src/market/sources/csv.ts";
import { massive } from "../src/market/sources/massive.ts";
import { syntheticSource } from "../src/market/sources/synthetic.ts";
import { testSource, type OpenedSource } from "./conformance/source.ts";
import type { Market } from "./conformance/market.ts";
import { openOutside, testContext } from "./outside.ts";

const BAR_COLUMNS: readonly ColumnName[] = ["open", "high", "low", "close", "volume", "vwap", "trades"];

testSource({
  name: "massive", columns: BAR_COLUMNS, hasActions: true, intraday: "5m",
  open: (market) => openOutside(massive, { market, pageRows: 17 }),
});

testSource({
  name: "alpaca", columns: BAR_COLUMNS, hasActions: true, intraday: "5m",
  open: (market) => openOutside(alpaca, { market, pageRows: 17 }),
});

testSource({
  name: "csv", columns: BAR_COLUMNS, hasActions: false, intraday: "5m",
  open: (market) => Promise.resolve(openCsv(market)),
});

testSource({
  name: "synthetic", columns: ["open", "high", "low", "close", "volume"], hasActions: false, intraday: "1m", ownMarket: true,
  open: () => Promise.resolve(opened(testContext(), { source: syntheticSource, request: {} })),
});

/** The market as a file: dates for daily bars, starts of bars for shorter ones. */
function openCsv(market: Market): OpenedSource {
  const held = testContext();
  const lines = [`timestamp,symbol,${BAR_COLUMNS.join(",")}`];
  for (const [symbol, { bars }] of market) {
    bars.time.forEach((close, t) => {
      const stamp = bars.timeframe === "1d" ? formatDay(dayOf(close))
        : new Date(close - TIMEFRAMES[bars.timeframe]).toISOString();
      lines.push([stamp, symbol, ...BAR_COLUMNS.map((name) => bars.columns[name]?.[t])].join(","));
    });
  }
  const file = path.join(held.context.root, "market.csv");
  fs.writeFileSync(file, `${lines.join("\n")}\n`);
  return opened(held, { source: csvSource, request: { path: file, calendar: "us-equity" } });
}

function opened(held: ReturnType<typeof testContext>, what: Pick<OpenedSource, "source" | "request">): OpenedSource {
  return {
    ...what, context: held.context, abort: held.abort,
    [Symbol.asyncDispose]() { held[Symbol.dispose](); return Promise.resolve(); },
  };
}
