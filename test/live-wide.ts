/** Minutes of many invented shares, so that limit orders wait at the simulator: 50 walks over four sessions. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { random } from "../src/base/random.ts";
import { dmn } from "./live-graph.ts";

const SYMBOLS = 50, MINUTES = 390, MINUTE_MS = 60_000;
/** Sessions of a week in winter: New York opens at 14:30 UTC. */
const DAYS = ["2024-01-08", "2024-01-09", "2024-01-10", "2024-01-11"];

/** Dataset "wide". */
export function fetchWide(root: string): void {
  const rows = ["time,symbol,open,high,low,close,volume"], draw = random(5, "wide");
  const prices = Array.from({ length: SYMBOLS }, () => 50 + 100 * draw.uniform());
  for (const day of DAYS) {
    const open = Date.parse(`${day}T14:30:00Z`);
    for (let minute = 0; minute < MINUTES; minute++) {
      const time = new Date(open + minute * MINUTE_MS).toISOString();
      for (let s = 0; s < SYMBOLS; s++) {
        const from = prices[s], to = from * (1 + 1e-3 * (draw.uniform() - 0.5));
        prices[s] = to;
        rows.push([time, `W${String(s).padStart(2, "0")}`, from.toFixed(4), (Math.max(from, to) * 1.0001).toFixed(4),
          (Math.min(from, to) * 0.9999).toFixed(4), to.toFixed(4), 5_000].join());
      }
    }
  }
  const place = path.join(root, "wide.csv");
  fs.writeFileSync(place, `${rows.join("\n")}\n`);
  const { code, said } = dmn(root, "fetch", "--source", "csv", "--path", place, "--dataset", "wide", "--timeframe", "1m",
    "--calendar", "us-equity", "--stamps", "start");
  assert.equal(code, 0, said);
}
