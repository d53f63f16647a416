/**
 * What the Transformer's planners share: how a matrix lies in a buffer, what a product may do on its way out,
 * and the row statistics by which a layer norm costs no pass of its own.
 *
 *   LN(x) W = rstd (x W' - mean 1'W') + bias'    W' = scale W (rounded), bias' = shift W + bias
 *
 * The product that writes x also writes, per row and tile of columns, the sum and the squared distance from
 * the tile's mean; the product that reads x joins them (Chan et al. 1979) while its tensor cores work.
 */
import type { BufferSpec, CudaPrecision, Launch } from "../launch.ts";

/** Rows of a buffer. Row r, column c is element (first + r * step) * stride + column + c. */
export interface Matrix {
  readonly buffer: string;
  /** Elements from one row to the next in the buffer; planners say what alignment they want. */
  readonly stride: number;
  /** First row; 0. The last step of windows (B, T, D): first T - 1, step T. */
  readonly first?: number;
  /** Rows from one to the next; 1. */
  readonly step?: number;
  /** First column; 0. */
  readonly column?: number;
}

/** What a product does between its sums and its result, in this order. */
export interface Epilogue {
  /** One value per column is added (the weight's `bias`). */
  readonly hasBias: boolean;
  /** Everything so far times this; 1. */
  readonly scale?: number;
  /** gelu: the tanh approximation of src/graph/blocks/gelu.ts. */
  readonly activation?: Activation;
  /**
   * Added last: a matrix as the result, in the same element type; with a period, row r adds the residual's
   * row r % period (positions).
   */
  readonly residual?: Matrix & { readonly period?: number };
}
export type Activation = "none" | "gelu" | "tanh" | "sigmoid";
export const ACTIVATIONS: Readonly<Record<Activation, number>> = { none: 0, gelu: 1, tanh: 2, sigmoid: 3 };

/**
 * Sums of a matrix' rows, by tiles of columns: float32 (tiles, rows, 2), the sum of the tile's columns and
 * the sum of squared distances from its mean.
 */
export interface RowStatistics {
  readonly buffer: string;
  /** Of the matrix it belongs to, all of them. */
  readonly rows: number;
  readonly columns: number;
  readonly tiles: number;
}

/** Kernels of one op, and the weights and scratch that are its own (names begin with the given prefix). */
export interface Plan<Weights> {
  readonly buffers: readonly BufferSpec[];
  readonly launches: readonly Launch[];
  /** The bytes of each weight buffer, in the layout that its kernel reads. */
  pack(weights: Weights): ReadonlyMap<string, Uint8Array>;
}

export const bytesOf = (precision: CudaPrecision): number => (precision === "float32" ? 4 : 2);
