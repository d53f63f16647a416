/** How fast a CSV file becomes a dataset, and rows come back from it. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { silentProgress } from "../../base/progress.ts";
import { formatDay, MS_PER_DAY } from "../../base/units.ts";
import { readBars, readManifest } from "../../market/store.ts";
import type { Bench } from "../bench.ts";
import { fetch } from "../fetch.ts";
import { madeUpBars } from "./market.ts";
import { runDmn } from "./command.ts";
import { askPeer, besidePeer, figureOf } from "./peer.ts";
import { benchRow, timeRounds, type BenchRow } from "./row.ts";

const SUITE = "store";

export async function run(bench: Bench): Promise<BenchRow[]> {
  const { isQuick } = bench;
  const symbols = isQuick ? 10 : 100, days = isQuick ? 1_000 : 10_000, rounds = isQuick ? 2 : 3;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-bench-"));
  const context = { ...bench.context, progress: silentProgress };
  try {
    const csv = path.join(folder, "bars.csv");
    writeCsv(csv, symbols, days);
    const rows = symbols * days;
    let round = 0;
    // A folder of its own each round: what is stored already is recognised and not written again.
    const load = (): Promise<unknown> => fetch(
      { source: "csv", dataset: "bench", path: csv, calendar: "24x5" },
      { ...context, root: path.join(folder, `round-${++round}`) });
    const { values, peer } = await besidePeer(bench,
      async () => (await timeRounds(rounds, 1, load)).map((seconds) => rows / seconds),
      () => askPeer("store.py", [csv, path.join(folder, "peer"), String(rounds)]));
    const mib = Math.round(fs.statSync(csv).size / 2 ** 20);
    const note = `${symbols} instruments x ${days} days, OHLCV, ${mib} MiB`;
    return [
      benchRow({
        suite: SUITE, name: "CSV to HDF5, checked and fsynced", unit: "rows/s", better: "higher",
        values, note,
      }, {}, peer),
      ...wholeCommand(bench, csv, folder, rows, note),
      ...await reading(path.join(folder, "round-1"), rounds * 5, note),
    ];
  } finally { fs.rmSync(folder, { recursive: true }); }
}

/** The same as a person waits for it: from typing to the prompt, start of the program included. */
function wholeCommand(bench: Bench, csv: string, folder: string, rows: number, note: string): BenchRow[] {
  if (bench.isQuick) return [];
  const rounds = [1, 2, 3, 4, 5];
  const ours = rounds.map((round) => runDmn(path.join(folder, `command-${round}`),
    ["fetch", "--source", "csv", "--dataset", "bench", "--path", csv, "--calendar", "24x5"]).seconds);
  const theirs: number[] = [];
  let peer = "";
  for (const _ of bench.hasPeers ? rounds : []) {
    const start = performance.now();
    const answer = figureOf(bench, askPeer("store.py", [csv, path.join(folder, "peer"), "0"]));
    if (answer === null) break;
    theirs.push((performance.now() - start) / 1000);
    peer = answer.peer;
  }
  return [benchRow({
    suite: SUITE, name: "the same, whole command", unit: "s", better: "lower", values: ours,
    note: `${note}, ${rows} rows`,
  }, {}, theirs.length === 0 ? null : { peer, values: theirs })];
}

async function reading(root: string, rounds: number, note: string): Promise<BenchRow[]> {
  const manifest = readManifest(root, "bench");
  const { symbol, rows, to } = manifest.instruments[0];
  const whole = await timeRounds(rounds, 2, () => readBars(root, manifest, symbol));
  const from = to - 365 * MS_PER_DAY;
  const year = await timeRounds(rounds, 2, () => readBars(root, manifest, symbol, { from }));
  return [
    benchRow({ suite: SUITE, name: "one instrument back, all columns", unit: "rows/s", better: "higher",
      values: whole.map((seconds) => rows / seconds), note }),
    benchRow({ suite: SUITE, name: "its last year", unit: "ms", better: "lower",
      values: year.map((seconds) => 1000 * seconds), note }),
  ];
}

/** A long file, sorted by day, as vendors write it. Only weekdays, so that no calendar objects. */
function writeCsv(place: string, symbols: number, days: number): void {
  const series = Array.from({ length: symbols },
    (_, k) => madeUpBars(`S${String(k).padStart(3, "0")}`, days));
  const file = fs.openSync(place, "w");
  fs.writeSync(file, "timestamp,symbol,open,high,low,close,volume\n");
  let lines: string[] = [];
  for (let t = 0, today = 7305; t < days; today++) {
    if ((today + 4) % 7 === 0 || (today + 4) % 7 === 6) continue;
    for (const { instrument, columns } of series) {
      const price = (values: Float64Array | undefined): string => values![t].toFixed(4);
      lines.push(`${formatDay(today)},${instrument.symbol},${price(columns.open)},${price(columns.high)},`
        + `${price(columns.low)},${price(columns.close)},${columns.volume![t]}`);
    }
    t++;
    if (lines.length > 50_000 || t === days) { fs.writeSync(file, `${lines.join("\n")}\n`); lines = []; }
  }
  fs.closeSync(file);
}
