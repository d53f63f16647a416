/** The study's part of `dmn bench tune`: its journal, and the way between a worker and the coordinator. */
import { fork } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../base/clock.ts";
import { random } from "../../base/random.ts";
import { Conductor } from "../../tune/conductor.ts";
import { sayAll } from "../../tune/events.ts";
import { optunaJournal } from "../../tune/optuna-journal.ts";
import { searchOf } from "../../tune/search.ts";
import { createStudy, type StudyStore } from "../../tune/study-journal.ts";
import type { Terms } from "../../tune/study.ts";
import { runWorker, type RunTrial } from "../../tune/worker.ts";
import type { Bench } from "../bench.ts";
import { askPeer, besidePeer } from "./peer.ts";
import { benchRow, machineName, quantile, type BenchRow } from "./row.ts";

const SUITE = "tune", M = 11, D = 10, MiB = 2 ** 20;
/** Workers whose results share a write to the disk, as they do when they ask at the same time. */
const WORKERS = 16;
const STEPS = 10;
const PERIODS = 252;

/** What the other process is asked; it answers once and, but for `coordinate`, ends. */
export type ChildQuestion =
  | { readonly ask: "open"; readonly folder: string }
  | { readonly ask: "coordinate"; readonly folder: string };
export interface Opened {
  readonly seconds: number;
  readonly memoryBytes: number;
  /** Until there is a suggestion. */
  readonly firstSeconds: number;
}
export interface Coordinating { readonly address: string }

export const benchTerms = (trials: number, sampler: string): Terms => ({
  name: "bench",
  objectives: Array.from({ length: M }, (_, m) => ({ name: `objective${m}`, direction: "minimise" })),
  space: Object.fromEntries(Array.from({ length: D }, (_, d) =>
    [`x${d}`, { kind: "float", low: 0, high: 1 }])),
  sampler: { name: sampler, settings: {} }, pruner: null, seed: 1, trials, stepsMax: STEPS, lag: null,
  retries: 1, version: "bench", work: null });

export async function studyRows(bench: Bench): Promise<BenchRow[]> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-bench-tune-"));
  try {
    return [await tellRow(bench, folder), ...await openRows(bench, folder), ...await wireRows(bench, folder)];
  } finally { fs.rmSync(folder, { recursive: true, force: true }); }
}

/** Results on the disk a second, `together` of them in one write. */
async function tellRow(bench: Bench, folder: string): Promise<BenchRow> {
  const tells = bench.isQuick ? 320 : 3_200, rounds = bench.isQuick ? 2 : 5;
  const measure = async (): Promise<number[]> => {
    const place = fs.mkdtempSync(path.join(folder, "tells-")), values: number[] = [];
    await using store = createStudy({ folder: path.join(place, "bench"), at: 0,
      terms: benchTerms((rounds + 1) * tells, "random") });
    for (let round = 0; round <= rounds; round++) {
      const start = performance.now();
      fill(store, tells, WORKERS);
      if (round > 0) values.push(1_000 * tells / (performance.now() - start));
    }
    return values;
  };
  const question = { what: "journal", objectives: M, dimensions: D, trials: bench.isQuick ? 20 : 200,
    rounds: 3, folder };
  const { values, peer } = await besidePeer(bench, measure,
    () => askPeer("tune_peer.py", [JSON.stringify(question)]));
  return benchRow({ suite: SUITE, name: "asked, told and on the disk",
    unit: "trials/s", better: "higher", values,
    note: `M = ${M}, D = ${D}, random points; a write for ${WORKERS} workers; the peer is one process` },
  { target: 2_000 }, peer);
}

/** Asks and tells so many trials; what `together` workers ask and say is one write. */
function fill(store: StudyStore, trials: number, together: number): void {
  let token = 1;
  const { study } = store, draw = random(4, "bench", study.count);
  const conductor = new Conductor({ study, search: searchOf(study.begun), leaseMs: 60_000,
    newToken: () => token++, record: (event) => { store.record(event); } }, 0);
  for (let told = 0; told < trials; told += together) {
    for (let w = 0; w < together; w++) {
      const { trial, attempt, token: of } = conductor.ask(`worker-${w}`, told)!;
      conductor.tell({ trial, attempt, token: of, worker: `worker-${w}`, how: "done", reason: "",
        values: sayAll(Array.from({ length: M }, () => draw.uniform())), violations: {},
        statistics: { cpuSeconds: draw.uniform(), memoryBytes: 1e8 } }, told);
    }
    store.commit();
  }
}

async function openRows(bench: Bench, folder: string): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const trials of bench.isQuick ? [1_000] : [10_000, 100_000]) {
    const place = path.join(folder, `open-${trials}`, "bench"), log = path.join(folder, `open-${trials}.log`);
    const isLarge = trials === 100_000, hasPeers = bench.hasPeers && !isLarge;
    {
      await using store = createStudy({ folder: place, at: 0, terms: benchTerms(trials + 1, "nsga3") });
      fillRandom(store, trials);
      if (hasPeers) fs.writeFileSync(log, [...optunaJournal(store.study), ""].join("\n"));
    }
    const opened: Opened[] = [], rounds = bench.isQuick ? 1 : 3;
    const open = async (isSnapshot: boolean): Promise<number[]> => {
      const found: Opened[] = [];
      for (let round = 0; round < rounds; round++) {
        if (!isSnapshot) fs.rmSync(path.join(place, "snapshot"), { force: true });
        found.push(await askChild<Opened>({ ask: "open", folder: place }));
      }
      opened.push(...found);
      return found.map(({ seconds }) => seconds);
    };
    const claims = isLarge ? { maximum: 2 } : {}, name = `${trials.toLocaleString("en-US")} trials`;
    const facts = { suite: SUITE, better: "lower", unit: "s", note: `M = ${M}, D = ${D}` } as const;
    rows.push(benchRow({ ...facts, name: `${name} from snapshot`, values: await open(true) }, claims));
    const { values, peer } = await besidePeer({ ...bench, hasPeers }, () => open(false),
      () => askPeer("tune_peer.py", [JSON.stringify({ what: "open", place: log, rounds: 2 })]));
    rows.push(benchRow({ ...facts, name: `${name} from journal`, values }, claims, peer));
    if (isLarge) rows.push(...largeRows(facts, name, opened));
  }
  return rows;
}

function largeRows(facts: Pick<BenchRow, "suite" | "better" | "unit" | "note">, name: string,
  opened: readonly Opened[]): BenchRow[] {
  return [
    benchRow({ ...facts, name: `${name}, memory`, unit: "MiB",
      values: opened.map(({ memoryBytes }) => memoryBytes / MiB) }, { maximum: 60 }),
    benchRow({ ...facts, name: `${name}, next suggestion`,
      values: opened.map(({ firstSeconds }) => firstSeconds),
      note: `${facts.note}; nsga3 is told them all first` }),
  ];
}

/** Finished trials of random points: their suggestions are not what is measured. */
function fillRandom(store: StudyStore, trials: number): void {
  const draw = random(5, "bench", "fill"), names = Object.keys(store.study.begun.space);
  for (let trial = 0; trial < trials; trial++) {
    const point = Object.fromEntries(names.map((name) => [name, draw.uniform()]));
    store.record({ event: "asked", at: trial, trial, point, parent: null, seen: trial });
    store.record({ event: "leased", at: trial, trial, attempt: 0, token: trial,
      worker: `worker-${trial % WORKERS}` });
    store.record({ event: "told", at: trial, trial, attempt: 0, state: "complete", violation: 0, reason: "",
      values: Array.from({ length: M }, () => draw.uniform()), isLate: false,
      statistics: { cpuSeconds: draw.uniform(), memoryBytes: 1e8 } });
    if (trial % 1_000 === 999) store.commit();
  }
  store.commit();
}

/** A coordinator in its own process, workers in this one: what a report and the next trial wait for. */
async function wireRows(bench: Bench, folder: string): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const workers of [1, WORKERS]) {
    const trials = bench.isQuick ? 10 * workers : 300, place = path.join(folder, `wire-${workers}`, "bench");
    {
      const at = systemClock.now();
      await using _ = createStudy({ folder: place, at, terms: benchTerms(trials, "nsga3") });
    }
    const reports: number[] = [], turns: number[] = [];
    await using child = startChild({ ask: "coordinate", folder: place });
    const { address } = await child.answer as Coordinating;
    const signal = bench.context.signal;
    await Promise.all(Array.from({ length: workers }, async (_, w) => {
      let ended = NaN;
      const run: RunTrial = async (work) => {
        if (!Number.isNaN(ended)) turns.push(performance.now() - ended);
        const values = Array.from({ length: M }, (__, m) => m + w / PERIODS);
        for (let step = 1; step <= STEPS; step++) {
          const start = performance.now();
          await work.report(step, values);
          reports.push(performance.now() - start);
        }
        ended = performance.now();
        return { values, violations: {}, statistics: {} };
      };
      await runWorker({ address, study: "bench", worker: `worker-${w}`, version: "bench", signal,
        prepare: () => Promise.resolve(run) });
    }));
    const who = workers === 1 ? "1 worker" : `${workers} workers`;
    const note = `${trials} trials of ${STEPS} reports, M = ${M}; on the disk before it is answered`;
    const limits = workers === 1 ? { target: 1, maximum: 5 } : { target: null, maximum: null };
    rows.push(latency(`report and answer, ${who}`, reports.slice(STEPS * workers), limits, note),
      latency(`told and next trial, ${who}`, turns.slice(workers),
        { target: null, maximum: null }, `${note}; nsga3`));
  }
  return rows;
}

/** Passes when the median is within the target and the slowest percent within the maximum, ms. */
function latency(name: string, values: readonly number[],
  { target, maximum }: Pick<BenchRow, "target" | "maximum">, note: string): BenchRow {
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((share) => quantile(values, share));
  const pass = target === null || maximum === null ? null : p50 <= target && p99 <= maximum;
  return { suite: SUITE, name, unit: "ms", better: "lower", value: p50, p50, p99, p999, rounds: values.length,
    target, maximum, pass, peer: null, peerValue: null, ratio: null, machine: machineName(), note };
}

const CHILD = fileURLToPath(new URL(`./tune-child${path.extname(import.meta.filename)}`, import.meta.url));

interface Child extends AsyncDisposable { readonly answer: Promise<unknown> }
function startChild(question: ChildQuestion): Child {
  const child = fork(CHILD, [], { execArgv: [...process.execArgv, "--expose-gc"] });
  const ended = new Promise<void>((resolve) => { child.once("exit", () => { resolve(); }); });
  const answer = new Promise<unknown>((resolve, reject) => {
    child.once("message", resolve);
    child.once("exit", (code) => { reject(new Error(`a process of the bench ended with ${code}`)); });
  });
  child.send(question);
  return { answer, async [Symbol.asyncDispose]() { child.kill(); await ended; } };
}
async function askChild<Answer>(question: ChildQuestion): Promise<Answer> {
  await using child = startChild(question);
  return await child.answer as Answer;
}
