/**
 * Points that fill the space evenly: a Sobol' sequence (direction numbers of Joe & Kuo 2008), each dimension
 * shifted by an exclusive or drawn from the seed, which keeps its evenness.
 *
 *   random  . ..  .    . .         .     quasi-random  . . . . . . . .    any 2^k points in a row that
 *           0                      1                   0            1     begin at a multiple of 2^k
 *
 * Trial k has point k, whatever was told. Dimensions beyond the table's (and there the whole point is no
 * longer even) and parameters under conditions use what their place in the space gives them.
 */
import { random } from "../../base/random.ts";
import { makePoint } from "../space.ts";
import { fromUnit } from "../transform.ts";
import type { Sampler, SamplerOptions } from "./sampler.ts";

/** Degree s, coefficients a, and m_1 .. m_s of dimensions 2, 3, ... (new-joe-kuo-6.21201, first lines). */
const JOE_KUO: readonly (readonly [number, number, readonly number[]])[] = [
  [1, 0, [1]], [2, 1, [1, 3]], [3, 1, [1, 3, 1]], [3, 2, [1, 1, 1]], [4, 1, [1, 1, 3, 3]],
  [4, 4, [1, 3, 5, 13]], [5, 2, [1, 1, 5, 5, 17]], [5, 4, [1, 1, 5, 5, 5]], [5, 7, [1, 1, 7, 11, 19]],
  [5, 11, [1, 1, 5, 1, 1]], [5, 13, [1, 1, 1, 3, 11]], [5, 14, [1, 3, 5, 5, 31]],
  [6, 1, [1, 3, 3, 9, 7, 49]], [6, 13, [1, 1, 1, 15, 21, 21]], [6, 16, [1, 3, 1, 13, 27, 49]],
  [6, 19, [1, 1, 1, 15, 7, 5]], [6, 22, [1, 3, 1, 15, 13, 25]], [6, 25, [1, 1, 5, 5, 19, 61]],
  [7, 1, [1, 3, 7, 11, 23, 15, 103]], [7, 4, [1, 3, 7, 13, 13, 15, 69]],
];
/** Bits of a coordinate. */
const BITS = 32;
export const SOBOL_DIMENSIONS = JOE_KUO.length + 1;

/** (BITS) direction numbers v_1 .. of dimension d < SOBOL_DIMENSIONS, as fractions of 2^32. */
function directionNumbers(d: number): Uint32Array {
  const v = new Uint32Array(BITS);
  if (d === 0) return v.map((_, k) => 2 ** (BITS - 1 - k));
  const [s, a, m] = JOE_KUO[d - 1];
  for (let k = 0; k < BITS; k++) {
    if (k < s) { v[k] = m[k] * 2 ** (BITS - 1 - k); continue; }
    let next = v[k - s] ^ (v[k - s] >>> s);
    for (let i = 1; i < s; i++) if ((a >>> (s - 1 - i) & 1) === 1) next ^= v[k - i];
    v[k] = next;
  }
  return v;
}

const NUMBERS = Array.from({ length: SOBOL_DIMENSIONS }, (_, d) => directionNumbers(d));

/** Coordinate d < SOBOL_DIMENSIONS of point k >= 0 (in Gray code order) as a fraction of 2^32. */
export function sobol(k: number, d: number): number {
  let word = 0;
  for (let gray = (k ^ (k >>> 1)) >>> 0, bit = 0; gray !== 0; gray >>>= 1, bit++) {
    if ((gray & 1) === 1) word ^= NUMBERS[d][bit];
  }
  return word >>> 0;
}

export function quasiRandomSampler({ space, seed }: SamplerOptions): Sampler {
  const shifts = Array.from({ length: SOBOL_DIMENSIONS }, (_, d) => random(seed, "quasi-random", d).word());
  return {
    tell: () => {},
    suggest: (number) => {
      const draws = random(seed, "quasi-random", "beyond", number);
      return { parent: null, point: makePoint(space, (one, d) => fromUnit(one,
        d < SOBOL_DIMENSIONS ? ((sobol(number, d) ^ shifts[d]) >>> 0) / 2 ** BITS : draws.uniform())) };
    },
  };
}
