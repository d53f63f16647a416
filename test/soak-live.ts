/**
 * Hours of `dmn live`, watched: is its memory flat, was every bar decided on, did anything die or complain?
 *
 *   one real hour        node test/soak-live.ts 60 ROOT --replay DATASET --pace 1.3
 *   24 simulated hours   node test/soak-live.ts 30 ROOT --replay MINUTES --pace max --from DAY --to DAY
 *                        (1,440 minute bars are four sessions of us-equity; it ends with the replay)
 *
 * The first argument is the longest that it may take, in minutes; ROOT is a data root that has the dataset and the
 * models (or none, with --models a=tsmom,b=macd); the rest goes to `dmn live`. After a fifth of the run, memory is
 * fitted with a line (least squares), per process and with the error of its slope. Ends with 1 where something is not
 * as it should be. Its arithmetic is held to known lines by soak-live.test.ts.
 */
import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { places } from "../src/base/data-root.ts";
import { askGraph, readAccess } from "../src/live/control.ts";
import { livePlaces } from "../src/live/recorder/places.ts";
import { readBars, readManifest } from "../src/market/store.ts";
import type { LiveReport } from "../src/workflow/live/live.ts";
import { readSession } from "../src/workflow/live/session-file.ts";

const HOUR_MS = 3_600_000;
const SAMPLES = 180, SAMPLE_MS_MIN = 1_000, WARM_UP = 0.2;
/** Growth between warm-up and end that collections of garbage explain. */
const FLAT_MIB = 8, FLAT_SHARE = 0.05;
/** Words of alerts and logs that nothing in a soak explains. */
const UNEXPLAINED = /a bug ends this process|unhandled|UNHANDLED|gap-lost|"code":"(damaged|dropped|books-mismatch)"/;

interface Sample { readonly at: number; readonly MiB: ReadonlyMap<string, number> }
interface Line { readonly perHour: number; readonly error: number; readonly growth: number; readonly mean: number }

/** Least squares of MiB over hours; `error`: one standard error of the slope, samples taken as independent. */
export function slopeOf(points: readonly (readonly [atMs: number, MiB: number])[]): Line {
  const n = points.length, hours = points.map(([at]) => at / HOUR_MS), values = points.map(([, MiB]) => MiB);
  const meanX = hours.reduce((sum, x) => sum + x, 0) / n, mean = values.reduce((sum, y) => sum + y, 0) / n;
  const xx = hours.reduce((sum, x) => sum + (x - meanX) ** 2, 0);
  const perHour = hours.reduce((sum, x, k) => sum + (x - meanX) * (values[k] - mean), 0) / xx;
  const left = values.reduce((sum, y, k) => sum + (y - mean - perHour * (hours[k] - meanX)) ** 2, 0);
  return { perHour, mean, error: Math.sqrt(left / (n - 2) / xx), growth: perHour * (hours[n - 1] - hours[0]) };
}

export const isFlat = ({ growth, mean }: Line): boolean => growth <= Math.max(FLAT_MIB, FLAT_SHARE * mean);

/** Resident memory by process; null while they start and end. */
async function sample(root: string): Promise<Sample | null> {
  const access = readAccess(root);
  if (access === null) return null;
  let report: LiveReport;
  try {
    report = (await askGraph(root, { action: "status", by: "soak", subject: "", value: "" }, null)).status as LiveReport;
  } catch { return null; }
  const all = [{ name: "supervisor", pid: access.pid }, ...report.processes.map(({ name, pid }) => ({ name, pid }))];
  const { stdout } = spawnSync("ps", ["-o", "pid=,rss=", "-p", all.map(({ pid }) => pid ?? "").join()], { encoding: "utf8" });
  const rows = stdout.split("\n").map((row) => row.trim().split(/\s+/).map(Number));
  const resident = new Map(rows.map(([pid, KiB]) => [pid, KiB / 1_024]));
  // Where one is not there (any more), the sum would be of fewer.
  if (all.some(({ pid }) => !(resident.get(pid ?? 0)! > 0))) return null;
  return { at: performance.now(), MiB: new Map(all.map(({ name, pid }) => [name, resident.get(pid!)!])) };
}

/** Closes of the replay up to the last decision that nobody decided on. */
async function undecided(root: string, { session: id, decidedAt }: LiveReport): Promise<{ steps: number; missing: number[] }> {
  const { history, symbols } = readSession(root), closes = new Set<number>();
  if (history === null || decidedAt === null) return { steps: 0, missing: [] };
  const manifest = readManifest(root, history.dataset);
  for (const symbol of symbols) {
    const { time } = await readBars(root, manifest, symbol, { from: history.from, to: decidedAt });
    for (const at of time) closes.add(at);
  }
  using database = new DatabaseSync(livePlaces.database(root, "trading_history"), { readOnly: true });
  const rows = database.prepare("SELECT DISTINCT at FROM decisions WHERE session = ?").all(id) as { at: number }[];
  const decided = new Set(rows.map(({ at }) => at));
  return { steps: closes.size, missing: [...closes].filter((at) => !decided.has(at)).sort((a, b) => a - b) };
}

/** Lines of this run's logs that nothing explains. */
function complaints(root: string, sinceMs: number): string[] {
  const folder = livePlaces.logs(root);
  const files = fs.readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".log"))
    .map((name) => path.join(folder, name)).filter((file) => fs.statSync(file).mtimeMs >= sinceMs);
  return files.flatMap((file) => fs.readFileSync(file, "utf8").split("\n").filter((line) =>
    UNEXPLAINED.test(line) && !(Date.parse(/"time":"([^"]+)"/.exec(line)?.[1] ?? "") < sinceMs)));
}

const say = (line: string): void => { process.stdout.write(`${line}\n`); };

function tellMemory(samples: readonly Sample[]): boolean {
  const warm = samples.filter(({ at }) => at >= samples[0].at + WARM_UP * (samples.at(-1)!.at - samples[0].at));
  let isAllFlat = true;
  for (const name of samples.at(-1)!.MiB.keys()) {
    const points = warm.flatMap(({ at, MiB }) => MiB.has(name) ? [[at, MiB.get(name)!] as const] : []);
    if (points.length < 3) continue;
    const line = slopeOf(points), flat = isFlat(line);
    isAllFlat &&= flat;
    say(`${name.padEnd(16)} ${line.mean.toFixed(0).padStart(5)} MiB  ${line.perHour.toFixed(1).padStart(8)} +- `
      + `${line.error.toFixed(1)} MiB/h  ${line.growth.toFixed(1).padStart(6)} MiB in all  ${flat ? "flat" : "GROWS"}`);
  }
  const totals = warm.map(({ MiB }) => [...MiB.values()].reduce((sum, one) => sum + one, 0));
  say(`all together ${Math.max(...totals).toFixed(0)} MiB at most, ${warm.length} samples`);
  return isAllFlat;
}

async function main([minutes, root, ...flags]: readonly string[]): Promise<boolean> {
  const limitMs = Number(minutes) * 60_000, begun = Date.now(), startMs = performance.now();
  const dmn = path.join(import.meta.dirname, "..", "bin", "dmn.js");
  const child = spawn(process.execPath, [dmn, "live", "--data-dir", root, "--duration", String(limitMs / 1_000), "--json",
    ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.on("data", (piece: Buffer) => { out += piece.toString(); });
  const ended = new Promise<number | null>((resolve) => { child.once("close", resolve); });
  const samples: Sample[] = [], everyMs = Math.max(SAMPLE_MS_MIN, limitMs / SAMPLES);
  const over = { is: false };
  void ended.then(() => { over.is = true; });
  while (!over.is) {
    const taken = await sample(root);
    if (taken !== null) samples.push(taken);
    await Promise.race([ended, new Promise((resolve) => { setTimeout(resolve, everyMs); })]);
  }
  const code = await ended;
  if (code !== 0) { say(`dmn live ended with ${code}`); return false; }
  const report = JSON.parse(out) as LiveReport, { alerts, restarts, decisions, orders, fills, openOrders } = report;
  const { steps, missing } = await undecided(root, report), lines = complaints(root, begun);
  const took = (performance.now() - startMs) / 60_000;
  say(`${took.toFixed(1)} minutes, load ${os.loadavg()[0].toFixed(1)}; ended: ${report.ended}; `
    + `${decisions} decisions, ${orders} orders, ${fills} fills, ${openOrders} open, ${report.tradingState}`);
  const isFlatAll = samples.length > 5 && tellMemory(samples);
  const first = missing.slice(0, 3).map((at) => ` ${new Date(at).toISOString()}`);
  say(`steps ${steps}, without a decision ${missing.length}${first.join()}`);
  say(`restarts ${restarts}; alerts ${alerts.critical} critical, ${alerts.warning} warnings; unexplained lines ${lines.length}`);
  for (const line of lines.slice(0, 5)) say(`  ${line.slice(0, 200)}`);
  const isGood = isFlatAll && missing.length === 0 && restarts === 0 && lines.length === 0
    && report.tradingState === "ACTIVE";
  say(`${isGood ? "as it should be" : "NOT as it should be"} (records: ${places.storage(root)})`);
  return isGood;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  process.exit(await main(process.argv.slice(2)) ? 0 : 1);
}
