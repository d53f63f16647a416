/** Minutes of invented shares with a closing bell between them, for the real graph. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { random } from "../src/base/random.ts";
import { parseDay } from "../src/base/units.ts";
import { calendar } from "../src/market/calendar.ts";
import { dmn } from "./live-graph.ts";

const MINUTE_MS = 60_000, VOLUME = 5_000;

/** As many random walks as wanted, over whole sessions from a day on. */
export function fetchMinutes(root: string, dataset: string, symbols: number, from: string, to: string): void {
  const rows = ["time,symbol,open,high,low,close,volume"], draw = random(5, dataset);
  const prices = Array.from({ length: symbols }, () => 50 + 100 * draw.uniform());
  for (const { open, close } of calendar("us-equity").sessions(parseDay(from)!, parseDay(to)!)) {
    for (let time: number = open; time < close; time += MINUTE_MS) {
      const stamp = new Date(time).toISOString();
      for (let s = 0; s < symbols; s++) {
        const before = prices[s], after = before * (1 + 1e-3 * (draw.uniform() - 0.5));
        prices[s] = after;
        rows.push([stamp, `W${String(s).padStart(2, "0")}`, before.toFixed(4), (Math.max(before, after) * 1.0001).toFixed(4),
          (Math.min(before, after) * 0.9999).toFixed(4), after.toFixed(4), VOLUME].join());
      }
    }
  }
  const place = path.join(root, `${dataset}.csv`);
  fs.writeFileSync(place, `${rows.join("\n")}\n`);
  const { code, said } = dmn(root, "fetch", "--source", "csv", "--path", place, "--dataset", dataset, "--timeframe", "1m",
    "--calendar", "us-equity", "--stamps", "start");
  assert.equal(code, 0, said);
}
