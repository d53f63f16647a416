/**
 * A worker with a cheap objective, as engines place it: node tune-engine-worker.ts COORDINATOR STUDY NAME, keys in
 * DMN_TUNE_KEYS. Four steps of DMN_STEP_MS each; the value is (x - 1/3)^2, worse by what is left to do.
 */
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../src/base/clock.ts";
import { readWorkerSecret } from "../src/tune/keys.ts";
import { runWorker } from "../src/tune/worker.ts";

export const VERSION = "engines", STEPS = 4;

if (import.meta.main) {
  const [address, study, worker] = process.argv.slice(2);
  const stepMs = Number(process.env["DMN_STEP_MS"] ?? 50), stopping = new AbortController();
  process.on("SIGTERM", () => { stopping.abort(new Error("SIGTERM")); });
  const end = await runWorker({ address, study, worker, version: VERSION, signal: stopping.signal, clock: systemClock,
    keys: readWorkerSecret(process.env["DMN_TUNE_KEYS"] ?? ""), patienceMs: 30_000,
    prepare: () => Promise.resolve(async (work) => {
      const value = (Number(work.point["x"]) - 1 / 3) ** 2;
      for (let step = 1; step <= STEPS; step++) {
        await delay(stepMs, undefined, { signal: work.signal });
        if (!await work.report(step, [value + STEPS - step])) break;
      }
      return { values: [value], violations: {}, statistics: { steps: STEPS } };
    }) });
  process.stdout.write(`${end.trials} trials, ${end.why}\n`);
}
