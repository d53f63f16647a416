/**
 * Dropout masks, fast: 0 or 1 / (1 - rate), a pure function of (seed, epoch, step, name).
 *
 * Philox names the stream: its four words start a xoshiro128++ generator (Blackman, Vigna,
 * "Scrambled linear pseudorandom number generators", ACM TOMS 47, 2021), which makes a word in under
 * 3 ns where a Philox word takes 30. Nothing is carried from step to step, so any mask can be made
 * alone. One 32-bit word decides two values, 16 bits each: the rate is rounded to a multiple of
 * 1/65536, and what is kept is scaled by the rounded one.
 */
import { assert } from "../base/assert.ts";
import { random } from "../base/random.ts";

/**
 * Fills a mask of any shape: each value is 0 with probability `rate` in [0, 1), else 1 / (1 -
 * rate). `name` is the mask's, e.g. "dropout/lstm".
 */
export function fillMask(mask: Float32Array, rate: number, seed: number, epoch: number,
  step: number, name: string): void {
  const stream = random(seed, "dropout", epoch, step, name);
  fillMaskFrom(mask, rate, [stream.word(), stream.word(), stream.word(), stream.word()]);
}

/** The same from a given state of the generator, four words that are not all zero. */
export function fillMaskFrom(mask: Float32Array, rate: number,
  state: readonly [number, number, number, number]):
void {
  assert(rate >= 0 && rate < 1, `dropout rate ${rate}`);
  const cut = Math.min(Math.round(rate * 65536), 65535);
  // No branch to guess wrong: the sign of (16 random bits) - cut chooses the bits, or none.
  const bits = new Int32Array(mask.buffer, mask.byteOffset, mask.length);
  const kept = new Int32Array(Float32Array.of(65536 / (65536 - cut)).buffer)[0];
  const even = bits.length & ~1;
  let [s0, s1, s2, s3] = state.map((word) => word | 0);
  for (let at = 0; at < bits.length; at += 2) {
    const sum = (s0 + s3) | 0, shifted = s1 << 9, word = ((sum << 7 | sum >>> 25) + s0) | 0;
    s2 ^= s0; s3 ^= s1; s1 ^= s2; s0 ^= s3;
    s2 ^= shifted;
    s3 = s3 << 11 | s3 >>> 21;
    bits[at] = kept & ~(((word & 0xffff) - cut) >> 31);
    if (at < even) bits[at + 1] = kept & ~(((word >>> 16) - cut) >> 31);
  }
}
