/** NSGA-III on DTLZ problems as in Deb & Jain 2014, table III: IGD of the survivors to the targeted points. */
import { layers } from "../src/tune/reference.ts";
import { Nsga3 } from "../src/tune/samplers/nsga3.ts";
import { SAMPLERS } from "../src/tune/samplers/samplers.ts";
import { completeSettings } from "../src/tune/choice.ts";
import { dtlz, dtlzTarget, evaluateAt, igd, spaceOf } from "./tune-problems.ts";

export interface PublishedRow {
  readonly problem: 1 | 2;
  readonly M: number;
  readonly divisions: number;
  readonly inner: number;
  readonly population: number;
  readonly generations: number;
  /** Best, median, worst of 20 runs; null: nobody published it. */
  readonly published: readonly [number, number, number] | null;
}
const row = (problem: 1 | 2, M: number, [divisions, inner]: readonly [number, number], population: number,
  generations: number, published: PublishedRow["published"]): PublishedRow =>
  ({ problem, M, divisions, inner, population, generations, published });

export const PUBLISHED: readonly PublishedRow[] = [
  row(1, 3, [12, 0], 92, 400, [4.880e-4, 1.308e-3, 4.880e-3]),
  row(2, 3, [12, 0], 92, 250, [1.262e-3, 1.357e-3, 2.114e-3]),
  row(1, 5, [6, 0], 212, 600, [5.116e-4, 9.799e-4, 1.979e-3]),
  row(2, 5, [6, 0], 212, 350, [4.254e-3, 4.982e-3, 5.862e-3]),
  row(1, 8, [3, 2], 156, 750, [2.044e-3, 3.979e-3, 8.721e-3]),
  row(2, 8, [3, 2], 156, 500, [1.371e-2, 1.571e-2, 1.811e-2]),
  row(1, 10, [3, 2], 276, 1000, [2.215e-3, 3.462e-3, 6.869e-3]),
  row(2, 10, [3, 2], 276, 750, [1.350e-2, 1.528e-2, 1.697e-2]),
  row(2, 11, [2, 1], 80, 750, null),
];

/** Those of the table. Whoever changes the sampler tries 101 and on while at it, and runs these once at the end. */
export const SEEDS: readonly number[] = Array.from({ length: 11 }, (_, k) => 12 + k);

/** IGD after `population` times `generations` trials, one after the other. */
export function runIgd({ problem, M, divisions, inner, population, generations }: PublishedRow,
  mode: "steady" | "generations", seed: number): number {
  const task = dtlz(problem, M), points = layers(M, divisions, inner), trials = population * generations;
  const settings = completeSettings("sampler", SAMPLERS,
    { name: "nsga3", settings: { mode, divisions, inner, population, startup: population } });
  const sampler = new Nsga3({ space: spaceOf(task), objectives: M, seed }, settings);
  for (let number = 0; number < trials; number++) {
    const { point } = sampler.suggest(number, [])!;
    sampler.tell({ number, point, state: "complete", losses: evaluateAt(task, point), violation: 0, step: 1, parent: null });
  }
  const { losses } = sampler.survivors();
  const rows = (values: Float64Array): Float64Array[] =>
    Array.from({ length: values.length / M }, (_, n) => values.subarray(n * M, (n + 1) * M));
  return igd(rows(points).map((z) => dtlzTarget(problem, z)), rows(losses));
}

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1];
