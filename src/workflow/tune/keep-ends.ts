/**
 * Of a population: ends that nobody will go on from any more are deleted while it runs. Those of the front
 * stay: they are the networks that its values are of.
 */
import * as fs from "node:fs";
import type { Study } from "../../tune/fold.ts";
import { paretoFront } from "../../tune/pareto.ts";
import { keptCheckpoints } from "../../tune/samplers/population.ts";
import { partFolder } from "./trial-files.ts";
import { PARTS_MAX } from "./network-work.ts";

const EVERY_MS = 2_000;

/** Looks now and then until it is disposed of, and a last time then. */
export function keepEnds(study: Study, folder: (trial: number) => string): Disposable {
  const { sampler, lag } = study.begun, population = Number(sampler.settings["population"]);
  if (sampler.name !== "population") return { [Symbol.dispose]() { /* there are none */ } };
  const gone = new Set<number>();
  const look = (): void => {
    const trials = Array.from({ length: study.count }, (_, k) => study.trial(k));
    const kept = keptCheckpoints(trials, population, lag);
    for (const { number } of paretoFront(study.finished())) kept.add(number);
    for (const { number, state } of trials) {
      if (state === "waiting" || state === "running" || kept.has(number) || gone.has(number)) continue;
      for (let part = 0; part < PARTS_MAX; part++) {
        fs.rmSync(partFolder(folder(number), part), { recursive: true, force: true });
      }
      gone.add(number);
    }
  };
  const timer = setInterval(look, EVERY_MS);
  timer.unref();
  return { [Symbol.dispose]() { clearInterval(timer); look(); } };
}
