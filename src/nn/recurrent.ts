/** Recurrent layers, time first: x (T, B, F). */
import type { Random } from "../base/random.ts";
import { assert } from "../base/assert.ts";
import { lstm } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { glorotInit, type Initialiser } from "./init.ts";
import { widthOf } from "./layers.ts";
import type { Scope } from "./model.ts";

/**
 * Rows (no more than columns) that are orthonormal: Gaussian rows, each made orthogonal to those
 * before it (Saxe, McClelland and Ganguli 2014). A state that is multiplied by such a matrix
 * neither explodes nor dies.
 */
export const orthogonalInit: Initialiser = (values, shape, stream: Random) => {
  const [rows, columns] = shape;
  assert(shape.length === 2 && rows <= columns, "orthogonal rows are no more than columns");
  for (let k = 0; k < values.length; k++) values[k] = stream.normal();
  for (let r = 0; r < rows; r++) {
    const row = values.subarray(r * columns, (r + 1) * columns);
    // Twice: what rounding leaves of the first pass, the second takes away (Giraud et al. 2005).
    for (let pass = 0; pass < 2; pass++) {
      for (let q = 0; q < r; q++) subtractProjection(row, values, q * columns);
      const norm = Math.sqrt(dot(row, row, 0));
      for (let k = 0; k < columns; k++) row[k] /= norm;
    }
  }
};

/** Sum of a[k] * b[start + k]. */
function dot(a: Float32Array, b: Float32Array, start: number): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[start + k];
  return sum;
}

function subtractProjection(row: Float32Array, values: Float32Array, start: number): void {
  const along = dot(row, values, start);
  for (let k = 0; k < row.length; k++) row[k] -= along * values[start + k];
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
