/**
 * The processes of a toy study, for tests that kill them:
 *
 *   node test/tune-process.ts coordinator FOLDER PORT WORKERS TRIALS LAG PAUSE_MS     (LAG 0: as completed)
 *   node test/tune-process.ts worker ADDRESS ID PAUSE_MS
 */
import { systemClock } from "../src/base/clock.ts";
import { UserError } from "../src/base/error.ts";
import { startCoordinator } from "../src/tune/coordinator.ts";
import { keepWorkers } from "../src/tune/engines/elastic.ts";
import { localEngine } from "../src/tune/engines/local.ts";
import { openStudyKeys, readWorkerSecret, workerSecret } from "../src/tune/keys.ts";
import { searchOf } from "../src/tune/search.ts";
import { createStudy, isStudy, openStudy } from "../src/tune/study-journal.ts";
import { runWorker } from "../src/tune/worker.ts";
import { toyRun, toyTerms } from "./tune-toy.ts";

const [role, ...words] = process.argv.slice(2);
const stopping = new AbortController();
process.on("SIGTERM", () => { stopping.abort(new Error("SIGTERM")); });
const say = (text: string): void => { process.stdout.write(`${text}\n`); };

async function coordinate(): Promise<void> {
  const [folder, port, workers, trials, lag, pauseMs] = words;
  const terms = toyTerms({ name: "kill", trials: Number(trials), lag: Number(lag) || null });
  const at = systemClock.now();
  await using store = isStudy(folder) ? openStudy({ folder, terms, at }) : createStudy({ folder, terms, at });
  const keys = openStudyKeys(folder);
  await using coordinator = await startCoordinator({ store, search: searchOf(store.study.begun), clock: systemClock,
    port: Number(port), keys, workersMax: Number(workers), beatMs: 1_000, leaseMs: 10_000, say });
  await using engine = localEngine({ folder });
  await keepWorkers({ engine, coordinator, study: "kill", clock: systemClock, signal: stopping.signal, say,
    limits: { pollMs: 100, failuresMax: 1_000 },
    ask: (id) => ({ id, cpus: 1, gpus: 0, memoryBytes: null, environment: { DMN_TUNE_KEYS: workerSecret(keys) },
      command: [process.execPath, import.meta.filename, "worker", coordinator.address, id, pauseMs] }) });
  if (!stopping.signal.aborted) await coordinator.over;
}

async function work(): Promise<void> {
  const [address, worker, pauseMs] = words;
  const end = await runWorker({ address, study: "kill", worker, version: "v1", signal: stopping.signal, say,
    keys: readWorkerSecret(process.env.DMN_TUNE_KEYS!), patienceMs: 60_000,
    prepare: () => Promise.resolve(toyRun(Number(pauseMs))) });
  say(`${end.why} after ${end.trials} trials`);
}

try { await (role === "worker" ? work() : coordinate()); } catch (error) {
  if (!(error instanceof UserError)) throw error;
  say(`${error.problem}\n${error.hint}`);
  process.exitCode = 2;
}
