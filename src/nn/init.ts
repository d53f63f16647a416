/** Initial values of parameters: a kind and a seed, never a global generator. */
import { assert } from "../base/assert.ts";
import { random, type Random } from "../base/random.ts";

/** Fills `values` (row major, of this shape) from a stream of its own. */
export type Initialiser = (values: Float32Array, shape: readonly number[], stream: Random) => void;

export const zerosInit: Initialiser = (values) => { values.fill(0); };
export const onesInit: Initialiser = (values) => { values.fill(1); };

/** Uniform in +-bound. */
export const uniformInit = (bound: number): Initialiser => (values, _shape, stream) => {
  for (let k = 0; k < values.length; k++) values[k] = (2 * stream.uniform() - 1) * bound;
};

/**
 * Uniform in +-sqrt(6 / (fan in + fan out)) (Glorot and Bengio 2010); the last two axes are fan in,
 * fan out.
 */
export const glorotInit: Initialiser = (values, shape, stream) => {
  assert(shape.length >= 2, "fans need two axes");
  uniformInit(Math.sqrt(6 / (shape.at(-2)! + shape.at(-1)!)))(values, shape, stream);
};

/** The stream of one parameter: by seed and name, so that adding a parameter changes no other. */
export const parameterStream = (seed: number, name: string): Random =>
  random(seed, "parameter", name);
