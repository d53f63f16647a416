/** Recurrent layers, time first: x (T, B, F). */
import { assert } from "../base/assert.ts";
import { lstm } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { glorotInit, type Initialiser } from "./init.ts";
import { widthOf } from "./layers.ts";
import type { Scope } from "./model.ts";

/**
 * Rows (no more than columns) that are orthonormal: Gaussian rows, each made orthogonal to those
 * before it (Saxe, McClelland and Ganguli 2014). A state that is multiplied by such a matrix
 * neither explodes nor dies. One pass in float64 is enough: a Gaussian (H, 4H) has a condition
 * number of about 3.
 */
export const orthogonalInit: Initialiser = (values, shape, stream) => {
  const [rows, columns] = shape;
  assert(shape.length === 2 && rows <= columns, "orthogonal rows are no more than columns");
  const done: Float64Array[] = [];
  for (let r = 0; r < rows; r++) {
    const row = Float64Array.from({ length: columns }, () => stream.normal());
    for (const before of done) {
      const along = dot(row, before);
      for (let k = 0; k < columns; k++) row[k] -= along * before[k];
    }
    const norm = Math.sqrt(dot(row, row));
    for (let k = 0; k < columns; k++) row[k] /= norm;
    done.push(row);
    values.set(row, r * columns);
  }
};

/** Sum of a[k] b[k], in four sums that do not wait for each other; any length. */
function dot(a: Float64Array, b: Float64Array): number {
  const { length } = a, whole = length - length % 4;
  let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  for (let k = 0; k < whole; k += 4) {
    s0 += a[k] * b[k];
    s1 += a[k + 1] * b[k + 1];
    s2 += a[k + 2] * b[k + 2];
    s3 += a[k + 3] * b[k + 3];
  }
  for (let k = whole; k < length; k++) s0 += a[k] * b[k];
  return s0 + s1 + s2 + s3;
}

/**
 * Gate biases (i, f, o, g): 1 for the forget gates, so that a new network remembers (Gers et al.
 * 2000), else 0.
 */
const forgetInit: Initialiser = (values, [width]) => {
  values.fill(0).fill(1, width / 4, width / 2);
};

export interface LstmSettings {
  readonly hidden: number;
  readonly layers: number;
  /**
   * Initial hidden and cell state (B, H) of every layer; the scope's own (zero, or carried) when
   * not given.
   */
  readonly initial?: { readonly hidden: Tensor; readonly cell: Tensor };
}

/**
 * LSTM layers with dropout between them: x (T, B, F) -> (T, B, H). Initial values as in Keras, in
 * which the papers' code is written: Glorot for wx, orthogonal for wh. Parameters lstm/LAYER/{wx
 * (F, 4H), wh (H, 4H), b (4H)}.
 */
export function lstmLayers(scope: Scope, x: Tensor,
  { hidden, layers, initial }: LstmSettings): Tensor {
  const B = x.shape[1];
  let y = x;
  for (let layer = 0; layer < layers; layer++) {
    const own = scope.within("lstm").within(String(layer));
    const h0 = initial?.hidden ?? own.initialState("hidden", [B, hidden]);
    const c0 = initial?.cell ?? own.initialState("cell", [B, hidden]);
    const output = lstm(layer === 0 ? y : own.dropout("dropout", y),
      own.parameter("wx", [widthOf(y), 4 * hidden], glorotInit),
      own.parameter("wh", [hidden, 4 * hidden], orthogonalInit),
      own.parameter("b", [4 * hidden], forgetInit), h0, c0);
    if (initial === undefined) {
      own.finalState("hidden", output.lastHidden);
      own.finalState("cell", output.lastCell);
    }
    y = output.hidden;
  }
  return y;
}
