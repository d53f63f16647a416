/**
 * Where a tensor's elements are: a source (an array of floats that some stage writes) and strides. Reshapes,
 * slices, transposes and broadcasts are other views of the same source, and cost nothing until somebody needs
 * their elements in a row.
 */
import { assert } from "../base/assert.ts";

/** An array: it lies in the arena, or in registers only when no other stage asks for it. */
export interface Source {
  readonly floats: number;
  /** The stage that writes it; -1: there before the run. */
  readonly stage: number;
  /** Whether the stage is a fused group, within which it may be read as it is made. */
  readonly isFused: boolean;
  /** Null while it is in registers only. */
  storage: Storage | null;
}

export interface Storage {
  readonly floats: number;
  readonly first: number;
  last: number;
  /** From the start of the arena; set when the arena is laid out. */
  offset: number;
}

/** `Of`: what a runtime calls an array. */
export interface View<Of = Source> {
  readonly source: Of;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

export const countOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

export const denseStrides = (shape: readonly number[]): number[] =>
  shape.map((_, axis) => countOf(shape.slice(axis + 1)));

export const denseView = <Of>(source: Of, shape: readonly number[]): View<Of> =>
  ({ source, offset: 0, shape, strides: denseStrides(shape) });

/** Whether the elements of the view follow each other. */
export function isDense({ shape, strides }: Pick<View, "shape" | "strides">): boolean {
  const dense = denseStrides(shape);
  return shape.every((size, axis) => size === 1 || strides[axis] === dense[axis]);
}

/** The same elements in another shape; null when their places cannot be said in strides. */
export function reshapeView<Of>(view: View<Of>, shape: readonly number[]): View<Of> | null {
  if (isDense(view)) return { ...view, shape, strides: denseStrides(shape) };
  const strides: number[] = [];
  let axis = 0;
  const old = view.shape.map((size, k) => ({ size, stride: view.strides[k] })).filter(({ size }) => size > 1);
  for (let k = 0; k < shape.length;) {
    if (shape[k] === 1) { strides.push(0); k++; continue; }
    // Axes from `axis` on that merge into one run, matched by new axes of the same product.
    let from = old[axis].size, to = shape[k], end = k + 1, last = axis;
    while (from !== to) {
      if (from < to) {
        last++;
        if (old[last - 1].stride !== old[last].stride * old[last].size) return null;
        from *= old[last].size;
      } else to *= shape[end++];
    }
    let stride = old[last].stride * to;
    for (; k < end; k++) {
      stride /= shape[k];
      strides.push(stride);
    }
    axis = last + 1;
  }
  return { ...view, shape, strides };
}

export const transposeView = <Of>(view: View<Of>, permutation: readonly number[]): View<Of> => ({ ...view,
  shape: permutation.map((axis) => view.shape[axis]),
  strides: permutation.map((axis) => view.strides[axis]) });

export function sliceView<Of>(view: View<Of>, axis: number, start: number, length: number): View<Of> {
  const from = start < 0 ? start + view.shape[axis] : start;
  assert(from >= 0 && from + length <= view.shape[axis],
    `slices ${length} from ${start} of ${view.shape[axis]}`);
  return { ...view, offset: view.offset + from * view.strides[axis], shape: view.shape.with(axis, length) };
}

/** The view repeated to a wider shape, by NumPy's rule. */
export function broadcastView<Of>(view: View<Of>, shape: readonly number[]): View<Of> {
  const extra = shape.length - view.shape.length;
  const strides = shape.map((size, axis) => {
    const own = axis - extra;
    return own < 0 || (view.shape[own] === 1 && size > 1) ? 0 : view.strides[own];
  });
  return { ...view, shape, strides };
}

/** How an elementwise op over rows of W values (the shape's last axis) reads an operand of its shape. */
export type Reading =
  /** In step with the result. */
  | { readonly kind: "dense" }
  | { readonly kind: "splat" }
  /** One value per row, in step with the rows. */
  | { readonly kind: "row" }
  /** Row r is row (r / div) % mod of a matrix whose rows are `step` apart; div 0: always row 0. */
  | { readonly kind: "repeat"; readonly width: number; readonly div: number; readonly mod: number;
    readonly step: number };

/** Null: the elements must be put in a row first. */
export function readingOf(view: View): Reading | null {
  const { shape, strides } = view;
  const wide = shape.map((size, axis) => (size > 1 ? strides[axis] : 0));
  if (wide.every((stride) => stride === 0)) return { kind: "splat" };
  if (isDense(view)) return { kind: "dense" };
  const last = shape.length - 1, W = shape[last], rows = countOf(shape) / W;
  if (W > 1 && wide[last] > 1) return null;
  const width = W > 1 && wide[last] === 1 ? W : 1;
  // The axes of the rows that are walked: they must be neighbours and walk evenly.
  let div = 0, mod = 1, step = 0, inner = 1;
  for (let axis = last - 1; axis >= 0; axis--) {
    if (shape[axis] === 1) continue;
    if (wide[axis] !== 0) {
      if (div === 0) { div = inner; step = wide[axis]; }
      else if (wide[axis] !== step * mod || inner !== div * mod) return null;
      mod *= shape[axis];
    }
    inner *= shape[axis];
  }
  if (width === 1 && W > 1 && div === 1 && mod === rows && step === 1) return { kind: "row" };
  return { kind: "repeat", width, div, mod, step };
}
