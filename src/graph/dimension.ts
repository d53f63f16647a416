/**
 * Sizes of tensors. A dimension is a number, or a product of names whose sizes are known when the
 * graph is run:
 *
 *   64      "B"      "B*T"      "4*B*T"
 *
 * Products are canonical (factor first, names sorted), so that equal dimensions are equal values
 * (`===`). Training graphs have numbers only; a graph that is exported has "B" (batch rows) and "T"
 * (time steps).
 */
import { assert } from "../base/assert.ts";

export type Dimension = number | string;
export type Shape = readonly Dimension[];

/** Names of a dimension and its whole-number factor. */
function factorsOf(dimension: Dimension): { factor: number; names: string[] } {
  if (typeof dimension === "number") return { factor: dimension, names: [] };
  const names = dimension.split("*");
  const hasFactor = /^\d/.test(names[0]);
  return hasFactor ? { factor: Number(names[0]), names: names.slice(1) } : { factor: 1, names };
}

function dimensionOf(factor: number, names: readonly string[]): Dimension {
  if (names.length === 0 || factor === 0) return factor;
  const sorted = [...names].sort().join("*");
  return factor === 1 ? sorted : `${factor}*${sorted}`;
}

/** The product of dimensions; 1 for none. */
export function multiply(...dimensions: Shape): Dimension {
  let factor = 1;
  const names: string[] = [];
  for (const dimension of dimensions) {
    const parts = factorsOf(dimension);
    factor *= parts.factor;
    names.push(...parts.names);
  }
  return dimensionOf(factor, names);
}

/** The dimension that times `by` is `dimension`; null: there is none. */
export function divide(dimension: Dimension, by: Dimension): Dimension | null {
  const whole = factorsOf(dimension), part = factorsOf(by);
  const factor = whole.factor / part.factor, names = [...whole.names];
  for (const name of part.names) {
    const at = names.indexOf(name);
    if (at < 0) return null;
    names.splice(at, 1);
  }
  return Number.isInteger(factor) ? dimensionOf(factor, names) : null;
}

/** Number of elements of a shape. */
export const countOf = (shape: Shape): Dimension => multiply(...shape);

/** Names that a shape mentions, in order of appearance. */
export function namesOf(shape: Shape): string[] {
  return [...new Set(shape.flatMap((dimension) => factorsOf(dimension).names))];
}

export type Sizes = Readonly<Record<string, number>>;

/** The number a dimension stands for when names have these sizes. */
export function sizeOf(dimension: Dimension, sizes: Sizes = {}): number {
  const { factor, names } = factorsOf(dimension);
  return names.reduce((product, name) => {
    assert(Object.hasOwn(sizes, name), `dimension ${name} has no size`);
    return product * sizes[name];
  }, factor);
}

export const sizesOf = (shape: Shape, sizes: Sizes = {}): number[] =>
  shape.map((dimension) => sizeOf(dimension, sizes));

export const isSameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((dimension, axis) => dimension === b[axis]);

/** "(B, T, 8)" */
export const shapeText = (shape: Shape): string => `(${shape.join(", ")})`;

/**
 * The common shape of elementwise operands, by NumPy's rule: aligned at the last axis, equal or 1.
 * Asserts when there is none.
 */
export function broadcastShapes(...shapes: readonly Shape[]): Shape {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let found: Dimension = 1;
    for (const shape of shapes) {
      const at = axis - (rank - shape.length);
      const dimension = at < 0 ? 1 : shape[at];
      if (dimension === 1) continue;
      assert(found === 1 || found === dimension,
        `shapes ${shapes.map(shapeText).join(" and ")} do not broadcast at axis ${axis}`);
      found = dimension;
    }
    return found;
  });
}
