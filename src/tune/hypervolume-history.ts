/**
 * How the dominated volume grew, trial by trial, from one set of samples.
 *
 *   a point's box reaches from it to the reference; samples are drawn from the boxes (box by volume, place
 *   uniformly), and a sample that lies in c boxes counts 1/c, so every place of the union counts the same.
 *   The first box that holds a sample is when it was won.
 *
 * Karp, Luby, Madras, "Monte Carlo approximation algorithms for enumeration problems", 1989, with the boxes
 * in order. The history ascends, whatever the samples were.
 */
import { random } from "../base/random.ts";
import { firstAbove } from "./hypervolume.ts";

const SAMPLES = 4000;

/**
 * (n) Share of the volume dominated by all n points that the first k + 1 of them dominate, for points of (M)
 * losses, each below the reference (M) in every loss; the last is 1. O(n M samples).
 */
export function volumeHistory(points: readonly Float64Array[], reference: Float64Array): Float64Array {
  const out = new Float64Array(points.length), M = reference.length, draw = random(0, "volume-history");
  // Volumes relative to the greatest: at eleven objectives they may underflow.
  const logs = points.map((losses) =>
    losses.reduce((sum, loss, m) => sum + Math.log(reference[m] - loss), 0));
  const greatest = logs.reduce((a, b) => Math.max(a, b), -Infinity), until = new Float64Array(points.length);
  logs.forEach((log, k) => { until[k] = (until[k - 1] ?? 0) + Math.exp(log - greatest); });
  const flat = new Float64Array(points.length * M), at = new Float64Array(M);
  points.forEach((losses, k) => { flat.set(losses, k * M); });
  for (let i = 0; i < SAMPLES && points.length > 0; i++) {
    const own = firstAbove(until, draw.uniform() * until[until.length - 1]);
    for (let m = 0; m < M; m++) {
      at[m] = reference[m] - draw.uniform() * (reference[m] - points[own][m]);
    }
    let first = -1, count = 0;
    for (let k = 0; k < points.length; k++) {
      let m = 0;
      while (m < M && flat[k * M + m] <= at[m]) m++;
      if (m < M) continue;
      if (first < 0) first = k;
      count++;
    }
    out[first] += 1 / count;
  }
  for (let k = 1; k < out.length; k++) out[k] += out[k - 1];
  const total = out[out.length - 1];
  return out.map((won) => won / total);
}
