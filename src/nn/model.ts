/**
 * What an architecture is (models/*.ts fulfil it): a name, its hyperparameters, and a pure function
 * from inputs to heads. The same function builds the training graph, the exported graph and the
 * tests' graphs; the scope decides what a parameter and a dropout mask are there.
 *
 *   features (B, T, F) ─┐
 *   instrument (B)     ─┴─ build(scope, inputs, settings) ─> position, volatility, confidence (B, T)
 */
import { assert } from "../base/assert.ts";
import type { Dimension, Shape } from "../graph/dimension.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Hyperparameters, Settings } from "./hyperparameter.ts";
import type { Initialiser } from "./init.ts";

export interface ParameterSpec {
  /** Path, e.g. "lstm/0/wx". Unique. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Initialiser;
  /**
   * After each update the Euclidean norm of the parameter is cut to this (the papers' max-norm).
   */
  readonly maxNorm?: number;
}

/** What the layers ask for while a model is built. */
export interface Scope {
  parameter(name: string, shape: readonly number[], init: Initialiser,
    options?: { maxNorm?: number }): Tensor;
  /**
   * x with dropout in training (its mask is fed as `dropout/NAME`, shaped as x), x itself
   * elsewhere.
   */
  dropout(name: string, x: Tensor): Tensor;
  /**
   * Initial recurrent state (B, H): zero, or where state is carried what `state/NAME` holds.
   */
  initialState(name: string, shape: Shape): Tensor;
  /** Says what that state is after the last step. */
  finalState(name: string, value: Tensor): void;
  /** A scope whose names start with `name/`. */
  within(name: string): Scope;
}

export interface ModelInputs {
  /** (B, T, F) */
  readonly features: Tensor;
  /** (B), index of the instrument as a number: 0..instruments-1. */
  readonly instrument: Tensor;
}

export interface ModelSize {
  /** B, T: numbers in training, "B" and "T" in exports. */
  readonly B: Dimension;
  readonly T: Dimension;
  /** F */
  readonly features: number;
  /** Instruments that the model was told apart in training (static embedding). */
  readonly instruments: number;
}

/** (B, T) each. Heads that a model does not have are null. */
export interface Heads {
  /** In [-1, 1]: tanh(score). */
  readonly position: Tensor;
  /**
   * The position before its tanh: what regression and classification losses read as their
   * prediction.
   */
  readonly score: Tensor;
  /** > 0, of the target (the volatility-scaled next return). */
  readonly volatility: Tensor | null;
  /** In (0, 1): probability that the position has the right sign. */
  readonly confidence: Tensor | null;
  /** For people: e.g. { selection: (B, T, F), attention: (B, T, T) }. */
  readonly views: Readonly<Record<string, Tensor>>;
}

export interface Architecture {
  readonly name: string;
  /** One sentence, and the paper. */
  readonly description: string;
  /** Settings that every architecture has (heads) come from `TRAINING` in train/, not from here. */
  readonly hyperparameters: Hyperparameters;
  /** Rows per sequence when nothing is said. */
  readonly lookback: number;
  /** Whether the model has recurrent state that can be carried from bar to bar. */
  readonly hasState: boolean;
  build(scope: Scope, inputs: ModelInputs, size: ModelSize, settings: Settings): Heads;
}

/** A parameter's number of elements. */
export const sizeOfParameter = ({ shape }: ParameterSpec): number =>
  shape.reduce((a, b) => a * b, 1);

/** A setting that is known to be a number. */
export function numberOf(settings: Settings, name: string): number {
  const value = settings[name];
  assert(typeof value === "number", `setting ${name} is a number`);
  return value;
}
