/** Two panels of the same rows side by side: when a strategy and its benchmark read different recipes. */
import { assert } from "../base/assert.ts";
import type { Features } from "../features/feature.ts";

/** Columns of `a`, then those of `b` that `a` does not have. Both have the same rows. */
export function joinFeatures(a: Features, b: Features): Features {
  assert(a.time.length === b.time.length, `panels of ${a.time.length} and ${b.time.length} rows do not join`);
  const extra = b.names.map((name, at) => ({ name, at })).filter(({ name }) => !a.names.includes(name));
  const widthA = a.names.length, widthB = b.names.length, width = widthA + extra.length;
  const values = new Float32Array(a.time.length * width);
  for (let row = 0; row < a.time.length; row++) {
    for (let f = 0; f < widthA; f++) values[row * width + f] = a.values[row * widthA + f];
    extra.forEach(({ at }, k) => { values[row * width + widthA + k] = b.values[row * widthB + at]; });
  }
  return { names: [...a.names, ...extra.map(({ name }) => name)], time: a.time, values,
    warmup: Math.max(a.warmup, b.warmup) };
}
