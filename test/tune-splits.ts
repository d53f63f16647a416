/** Other ways of telling good trials from the rest, that many-tpe.ts is measured against; plain, not fast. */
import { random } from "../src/base/random.ts";
import { hypervolume } from "../src/tune/hypervolume.ts";
import { dominates } from "../src/tune/pareto.ts";
import { coveringOrder, spreadDirections } from "../src/tune/pruners/directions.ts";
import { countGood, type Split } from "../src/tune/samplers/split.ts";
import type { Finished } from "../src/tune/trial.ts";

type Choose = (losses: readonly Float64Array[], wanted: number) => number[];

/** All trials complete and feasible; a tenth of them good, at most 25 where `isFew`. */
function splitBy(choose: Choose, isFew = false): Split {
  const losses: Float64Array[] = [];
  return {
    tell: (trial: Finished) => { losses.push(trial.losses); },
    mark: (isGood) => {
      isGood.fill(0);
      const wanted = isFew ? countGood(losses.length) : Math.ceil(0.1 * losses.length);
      for (const k of choose(losses, wanted)) isGood[k] = 1;
    },
  };
}

/** Optuna's MOTPE: by non-dominated rank; of the last rank the greedy subset by exact hypervolumes. M <= 3. */
export const exactSplit = (): Split => splitBy((losses, wanted) => {
  let left = [...losses.keys()];
  const good: number[] = [];
  for (;;) {
    const front = left.filter((k) => !left.some((j) => dominates(losses[j], losses[k])));
    if (good.length + front.length > wanted) return [...good, ...greedySubset(losses, front, wanted - good.length)];
    good.push(...front);
    left = left.filter((k) => !front.includes(k));
  }
});

/** `count` of `among`, each time the one that adds most to the hypervolume below 1.1 x the worst of them. */
function greedySubset(losses: readonly Float64Array[], among: readonly number[], count: number): number[] {
  const reference = Array.from(losses[0], (_, m) => {
    const worst = Math.max(...among.map((k) => losses[k][m]));
    return Math.max(1.1 * worst, 0.9 * worst) || 1e-12;
  });
  const chosen: number[] = [], bounds = among.map(() => Infinity);
  let volume = 0;
  while (chosen.length < count) {
    const first = bounds.indexOf(Math.max(...bounds));
    const more = hypervolume([...chosen, among[first]].map((k) => losses[k]), reference).value - volume;
    if (more < bounds[first]) {
      bounds[first] = more;
      continue;
    }
    bounds[first] = -Infinity;
    chosen.push(among[first]);
    volume += more;
  }
  return chosen;
}

/** In turns each of some hundred directions takes its best (as pruners/directions.ts does). */
export const coveringSplit = (): Split => {
  let directions: readonly Float64Array[] = [];
  return splitBy((losses, wanted) => {
    if (directions.length === 0) directions = spreadDirections(losses[0].length);
    return coveringOrder(losses, directions, wanted);
  });
};

/** ParEGO (Knowles 2006): one random direction per suggestion, augmented Tchebycheff with rho 0.05. */
export const preferenceSplit = (seed: number): Split => {
  let asked = 0;
  return splitBy((losses, wanted) => {
    const draws = random(seed, "preference", asked++), M = losses[0].length;
    const weights = Array.from({ length: M }, () => -Math.log(1 - draws.uniform()));
    const sorted = weights.map((_, m) => losses.map((row) => row[m]).sort((a, b) => a - b));
    const worth = losses.map((row) => {
      const terms = weights.map((weight, m) => weight * (row[m] - sorted[m][0])
        / (sorted[m][Math.ceil(0.95 * (losses.length - 1))] - sorted[m][0] || 1));
      return Math.max(...terms) + 0.05 * terms.reduce((sum, term) => sum + term);
    });
    return [...losses.keys()].sort((a, b) => worth[a] - worth[b]).slice(0, wanted);
  }, true);
};
