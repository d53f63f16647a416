/**
 * Counter-based randomness: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). A number is a pure function of (seed, stream, counter), so any part of a simulation
 * can be drawn alone, in any order, on any worker, with the same bits.
 *
 *   random(7, "synthetic", "SYN03", "shocks")    one independent stream per purpose, named
 */
const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** One Philox4x32-10 block: counter (4 words) and key (2 words) to 4 words, in `out`. */
export function philox(counter: Uint32Array, key: Uint32Array, out: Uint32Array): void {
  let c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  let k0 = key[0], k1 = key[1];
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(M0, c0), low0 = Math.imul(M0, c0) >>> 0;
    const high1 = multiplyHigh(M1, c2), low1 = Math.imul(M1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  out[0] = c0; out[1] = c1; out[2] = c2; out[3] = c3;
}

/** High 32 bits of the 64-bit product of two unsigned 32-bit words. */
function multiplyHigh(a: number, b: number): number {
  const aHigh = a >>> 16, aLow = a & 0xffff, bHigh = b >>> 16, bLow = b & 0xffff;
  const low = aLow * bLow;
  const middle1 = aHigh * bLow + (low >>> 16);
  const middle2 = aLow * bHigh + (middle1 % 0x10000);
  return (aHigh * bHigh + Math.floor(middle1 / 0x10000) + Math.floor(middle2 / 0x10000)) >>> 0;
}

/** 64-bit FNV-1a of a stream's name, as two words. */
function hashName(parts: readonly (string | number)[]): [number, number] {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(JSON.stringify(parts))) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  }
  return [Number(hash & 0xffffffffn), Number(hash >> 32n)];
}

export class Random {
  readonly #key: Uint32Array;
  readonly #counter: Uint32Array;
  readonly #block = new Uint32Array(4);
  #used = 4;
  #spareNormal = NaN;

  constructor(seed: number, name: readonly (string | number)[]) {
    const [low, high] = hashName(name);
    this.#key = Uint32Array.of(seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0);
    this.#counter = Uint32Array.of(0, 0, low, high);
  }

  /** A whole number in [0, 2^32). */
  word(): number {
    if (this.#used === 4) {
      philox(this.#counter, this.#key, this.#block);
      this.#used = 0;
      this.#counter[0]++;
      if (this.#counter[0] === 0) this.#counter[1]++;
    }
    return this.#block[this.#used++];
  }

  /** Uniform in [0, 1), 53 bits. */
  uniform(): number {
    const high = this.word() >>> 5, low = this.word() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /** A whole number in [0, limit). */
  below(limit: number): number { return Math.floor(this.uniform() * limit); }

  /** Standard normal (Box-Muller). */
  normal(): number {
    if (!Number.isNaN(this.#spareNormal)) {
      const spare = this.#spareNormal;
      this.#spareNormal = NaN;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** Student-t with whole degrees of freedom > 2, scaled to variance 1. */
  studentT(degrees: number): number {
    const z = this.normal();
    let chi2 = 0;
    for (let k = 0; k < degrees; k++) chi2 += this.normal() ** 2;
    return z * Math.sqrt((degrees - 2) / chi2);
  }

  /** Fisher-Yates, in place. */
  shuffle<T>(values: T[]): T[] {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [values[i], values[j]] = [values[j], values[i]];
    }
    return values;
  }
}

/** The stream of a seed and a name. Equal arguments give equal numbers, on every machine. */
export function random(seed: number, ...name: (string | number)[]): Random {
  return new Random(seed, name);
}
