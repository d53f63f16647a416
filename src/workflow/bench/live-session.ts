/**
 * A real session, all its processes, against the simulator: what its own meters say, and what it needs.
 *
 *     vendor's bytes ─> feed ─> features ─> models ─> decision ─> execution ─> journal ─> POST leaves
 *     └────────────────────────────────── tick to order ─────────────────────────────────────────┘
 *
 * One small LSTM is what the promise is about; the three default models are measured beside it. Datasets and
 * models that the data root has are copied, others are made, all in a folder of its own.
 */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as net from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { LATENCY_TARGETS, type Hop } from "../../live/actors/performance.ts";
import { portsFrom } from "../../live/topology.ts";
import { PACKAGE_ROOT } from "../package-root.ts";
import type { LiveReport } from "../live/live.ts";
import { latencyRow, SUITE } from "./live-rows.ts";
import { benchRow, type BenchRow } from "./row.ts";

export interface SessionSizes { readonly seconds: number; readonly pace: number }
/** "small": one LSTM. "ensemble": two LSTMs, a transformer and the meta-learner. */
type Members = "small" | "ensemble";
const SMALL = ["--models", "lstm-1=model:live-lstm/seed-0", "--mixture", "equal"];
const DATASET = "synthetic", MODELS = ["live-lstm", "live-transformer"];

export async function sessionRows(root: string, sizes: SessionSizes): Promise<BenchRow[]> {
  const own = fs.mkdtempSync(path.join(tmpdir(), "dmn-bench-live-"));
  try {
    for (const place of [`datasets/${DATASET}`, ...MODELS.map((name) => `models/${name}`)]) {
      if (fs.existsSync(path.join(root, place))) fs.cpSync(path.join(root, place), path.join(own, place),
        { recursive: true });
    }
    // The ensemble first: it trains what is missing.
    const ensemble = await trade(own, "ensemble", sizes), small = await trade(own, "small", sizes);
    return [...reportRows(small, "small", sizes), ...reportRows(ensemble, "ensemble", sizes)];
  } finally { fs.rmSync(own, { recursive: true, force: true }); }
}

async function trade(root: string, members: Members, { seconds, pace }: SessionSizes): Promise<LiveReport> {
  fs.rmSync(path.join(root, "storage"), { recursive: true, force: true });
  const door = path.join(PACKAGE_ROOT, "bin", "dmn.js"), base = await freePorts();
  const ran = spawnSync(process.execPath,
    [door, "live", "--replay", DATASET, "--pace", String(pace), "--duration", String(seconds),
    "--port-base", String(base), "--headless", "--json", "--data-dir", root,
      ...(members === "small" ? SMALL : [])],
  { encoding: "utf8", maxBuffer: 1 << 26,
    env: { ...process.env, APCA_API_KEY_ID: "", APCA_API_SECRET_KEY: "" } });
  if (ran.status !== 0) throw new Error(`dmn live failed: ${ran.stderr.slice(-2_000)}`);
  return JSON.parse(ran.stdout) as LiveReport;
}

/** A base of which all ports of the graph are free. */
async function freePorts(): Promise<number> {
  const span = 32;
  for (let base = 20_000 + process.pid % 1_000 * span; ; base = base + 2 * span > 60_000 ? 20_000 : base
    + span) {
    const free = await Promise.all(Object.values(portsFrom(base)).map(isFree));
    if (free.every(Boolean)) return base;
  }
}

async function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>(), server = net.createServer();
  server.once("error", () => { resolve(false); });
  server.listen({ host: "127.0.0.1", port, exclusive: true },
    () => { server.close(() => { resolve(true); }); });
  return promise;
}

/** The rows of one session. Exported for its test. */
export function reportRows(report: LiveReport, members: Members,
  { seconds, pace }: SessionSizes): BenchRow[] {
  const { hops, processes, decisions, orders } = report;
  const note = `session of ${seconds} s, ${pace} bars a second of 28 instruments, ${decisions} decisions, `
    + `${orders} orders, ${members}`;
  const timed = hops.filter(({ name, count }) => count > 0 && Object.hasOwn(LATENCY_TARGETS, name));
  const title = (name: string): string => `session, ${members}: ${name}`;
  const latencies = timed.map((hop) =>
    latencyRow(title(hop.name), hop, claimOf(hop, members), NOTES[hop.name] ?? note));
  if (members === "ensemble") return [...latencies.filter(({ name }) => name.endsWith("tick to order")),
    ...ownRows()];
  return [...latencies, ...ownRows(), networkRow()];

  function ownRows(): BenchRow[] {
    const cpu = processes.reduce((sum, { cpuShare }) => sum + cpuShare, 0);
    const memory = processes.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0) / 2 ** 20;
    const each = (of: (one: LiveReport["processes"][number]) => string): string =>
      processes.map((one) => `${one.name} ${of(one)}`).join(", ");
    return [
      benchRow({ suite: SUITE, name: title("CPU of all processes"), unit: "cores", better: "lower",
        values: [cpu],
        note: `${each(({ cpuShare }) => `${(100 * cpuShare).toFixed(1)} %`)}; ${note}` }),
      benchRow({ suite: SUITE, name: title("memory of all processes"), unit: "MiB", better: "lower",
        values: [memory],
        note: `resident, shared pages counted each time: ${each(({ memoryBytes }) =>
          (memoryBytes / 2 ** 20).toFixed(0))}; ${note}` }),
    ];
  }
  function networkRow(): BenchRow {
    const bytes = hops.reduce((sum, hop) => sum + hop.bytes, 0) / report.seconds;
    const largest = [...hops].sort((a, b) => b.bytes - a.bytes).slice(0, 4)
      .map(({ name, bytes: own }) => `${name} ${(own / 1024 / report.seconds).toFixed(1)}`).join(", ");
    return benchRow({ suite: SUITE, name: title("network, heard by all"), unit: "KiB/s", better: "lower",
      values: [bytes / 1024],
      note: `KiB/s of ${largest}; with the history at the start; ${note}` });
  }
}

/** The promise is about one small model; the ensemble is shown without. */
const claimOf = ({ name }: Hop, members: Members) =>
  members === "small" ? LATENCY_TARGETS[name as keyof typeof LATENCY_TARGETS] : null;

const NOTES: Readonly<Record<string, string>> = {
  "tick to order": "from the vendor's bytes at the feed's socket to the first POST of the step leaving, "
    + "its intent on the disk",
  "order to broker": "all orders of a step at once, some twenty: the last waits for the others",
};
