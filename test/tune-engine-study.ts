/** A small study whose workers an engine places: what the tests of Ray and Slurm share. */
import assert from "node:assert/strict";
import * as os from "node:os";
import * as path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../src/base/clock.ts";
import { startCoordinator, type Coordinator } from "../src/tune/coordinator.ts";
import { keepWorkers } from "../src/tune/engines/elastic.ts";
import type { Engine, WorkerAsk } from "../src/tune/engines/engine.ts";
import { openStudyKeys, workerSecret } from "../src/tune/keys.ts";
import { searchOf } from "../src/tune/search.ts";
import { createStudy } from "../src/tune/study-journal.ts";
import type { Terms } from "../src/tune/study.ts";
import { freePorts } from "./live-graph.ts";
import { STEPS, VERSION } from "./tune-engine-worker.ts";

export const termsOf = (name: string, trials: number): Terms => ({ name, trials, seed: 6, stepsMax: STEPS, lag: null, retries: 3,
  version: VERSION, work: null, objectives: [{ name: "loss", direction: "minimise" }], sampler: { name: "random", settings: {} },
    pruner: null,
  space: { x: { kind: "float", low: 0, high: 1 } } });

export interface OpenStudy extends AsyncDisposable {
  readonly coordinator: Coordinator;
  readonly secret: string;
  /** A worker of test/tune-engine-worker.ts. */
  readonly ask: (id: string) => WorkerAsk;
}

export async function openTestStudy(folder: string, terms: Terms, workersMax: number, stepMs: number): Promise<OpenStudy> {
  const store = createStudy({ folder: path.join(folder, terms.name), terms, at: systemClock.now() });
  const keys = openStudyKeys(path.join(folder, terms.name)), secret = workerSecret(keys);
  const coordinator = await startCoordinator({ store, search: searchOf(terms), clock: systemClock, port: await freePorts(), keys,
    workersMax, beatMs: 500, idleMs: 1_000 });
  return { coordinator, secret,
    ask: (id) => ({ id, cpus: 1, gpus: 0, memoryBytes: null, environment: { DMN_TUNE_KEYS: secret, DMN_STEP_MS: String(stepMs) },
      command: [process.execPath, path.join(import.meta.dirname, "tune-engine-worker.ts"), coordinator.address, terms.name,
        id] }),
    async [Symbol.asyncDispose]() {
      await coordinator.stop();
      await store[Symbol.asyncDispose]();
    } };
}

/** The study from its first worker to its last, `strike` once so many trials are finished. */
export async function placed(engine: Engine, { coordinator, ask }: OpenStudy, half: number, strike: () => void): Promise<void> {
  const stopping = new AbortController(), name = coordinator.study.terms.name;
  const kept = keepWorkers({ engine, coordinator, study: name, clock: systemClock, ask, signal: stopping.signal, say: () =>
    undefined,
    limits: { pollMs: engine.name === "ray" ? 100 : 500 } });
  try {
    while (coordinator.study.finishedCount < half) await Promise.race([delay(20), kept.then(() =>
      assert.fail("nobody works any more"))]);
    strike();
    await Promise.all([coordinator.over, kept]);
  } finally {
    stopping.abort();
    await kept.catch(() => { /* said above */ });
  }
}

/** Every trial has exactly one result, and it is the objective's. */
export function checkResults({ coordinator: { study } }: OpenStudy, trials: number): void {
  assert.equal(study.count, trials);
  for (let k = 0; k < trials; k++) {
    const { state, point, values, attempts } = study.trial(k);
    assert.equal(state, "complete", `trial ${k}: ${study.trial(k).reason}`);
    assert.equal(attempts.filter(({ outcome }) => outcome === "told").length, 1, `trial ${k} was told once`);
    assert.deepEqual(values, [(Number(point["x"]) - 1 / 3) ** 2]);
  }
}

export const scratch = (name: string): string => path.join(os.tmpdir(), `dmn-${name}-${process.pid}`);
