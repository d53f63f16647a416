/** What a graph becomes before it is a tape: stages in order, each one op of the native library. */
import type { Source, Storage, View } from "../view.ts";

/** Codes of native/rows.h, in its order. */
export const CODES = ["neg", "exp", "log", "sqrt", "sin", "tanh", "sigmoid", "abs", "sign", "floor", "copy",
  "add", "sub", "mul", "div", "max", "greater", "where", "muladd",
  "rowSum", "rowMax", "expand", "load", "total", "columns"] as const;
export type Code = (typeof CODES)[number];

/** An operand of a fused step: a value of a group, or memory. */
export type Operand =
  | { readonly kind: "value"; readonly value: Value }
  /** A value per element, or per row, in step. */
  | { readonly kind: "memory"; readonly source: Source; readonly offset: number; readonly isPerRow: boolean }
  | { readonly kind: "splat"; readonly source: Source; readonly offset: number };

/** What a step of a group makes. */
export interface Value {
  readonly isPerRow: boolean;
  /** Null: a copy that only this group needs (load, expand). */
  readonly source: Source | null;
}

export interface Step {
  readonly code: Code;
  readonly isPerRow: boolean;
  readonly operands: readonly Operand[];
  /** Null for sums into accumulators. */
  readonly value: Value | null;
  readonly load?: { readonly source: Source; readonly offset: number; readonly div: number;
    readonly mod: number; readonly step: number };
  readonly sum?: { readonly source: Source; readonly floats: number };
}

/** Steps over one set of elements. */
export interface Group {
  readonly kind: "rows";
  readonly stage: number;
  /** Elements. */
  readonly count: number;
  /** Values in a row, once a step has needed rows. */
  width: number | null;
  readonly steps: Step[];
  /** Values by source, and what they were made of: loads and expansions, by a key. */
  readonly values: Map<Source, Value>;
  readonly made: Map<string, Value>;
  /** Sources read, for choosing a group that reads them anyway. */
  readonly reads: Set<Source>;
}

export interface Matrix { readonly view: View; readonly row: number; readonly column: number }

/** How many matrices lie along an axis, and how far apart in each array. */
export interface BatchAxis {
  readonly size: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

export interface Product {
  readonly kind: "product";
  readonly size: readonly [M: number, N: number, K: number];
  /** At most two axes of matrices. */
  readonly batch: readonly BatchAxis[];
  readonly a: Matrix;
  readonly b: Matrix;
  readonly c: Matrix;
  readonly bias: View | null;
}

export interface Copy {
  readonly kind: "copy";
  readonly parts: readonly { readonly to: View; readonly from: View }[];
}

export interface Reduction {
  readonly kind: "reduction";
  readonly isSum: boolean;
  readonly from: View;
  readonly axes: readonly number[];
  readonly to: Source;
}

/** Places in the order of native/lstm.h; null: not there or not wanted. */
export interface Recurrence {
  readonly kind: "lstm" | "lstmGradient";
  readonly size: readonly [T: number, B: number, F: number, H: number];
  readonly places: readonly (View | null)[];
  /** Cells and gates lie as the kernels like it: nobody else reads them. */
  readonly isPrivate: boolean;
}

export type Stage = Group | Product | Copy | Reduction | Recurrence;

export type { Source, Storage, View };
