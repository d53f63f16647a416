/** An LSTM stack in float64, by the equations and no others: the oracle of GPU kernels. */
import assert from "node:assert/strict";
import type { LstmStack, LstmWeights } from "../../src/runtime/cuda/lstm/stack.ts";

export interface LstmAnswer {
  /** (T, B, H) of the last layer. */
  readonly all: Float64Array;
  /** (B, columns) of the head, where there is one. */
  readonly head: Float64Array | null;
  /** (L, B, H) each, after the last step. */
  readonly hn: Float64Array;
  readonly cn: Float64Array;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** x (B, T, F), step 0 in row `ringStart`; states (L, B, H) or zeros. Gates i, f, o, g. */
export function lstmReference({ B, T, F, H, L, result }: Pick<LstmStack, "B" | "T" | "F" | "H" | "L" | "result">,
  { layers, head }: LstmWeights, x: ArrayLike<number>,
  { ringStart = 0, h0, c0 }: { ringStart?: number; h0?: ArrayLike<number>; c0?: ArrayLike<number> } = {}): LstmAnswer {
  const hn = new Float64Array(L * B * H), cn = new Float64Array(L * B * H);
  let below = (t: number, b: number, k: number): number => x[(b * T + (ringStart + t) % T) * F + k];
  let all = new Float64Array();
  for (let layer = 0; layer < L; layer++) {
    const { wx, wh, bias } = layers[layer], inputs = layer === 0 ? F : H, out = new Float64Array(T * B * H);
    for (let b = 0; b < B; b++) {
      const start = (layer * B + b) * H, gates = new Float64Array(4 * H);
      let h = Float64Array.from({ length: H }, (_, k) => h0?.[start + k] ?? 0);
      const c = Float64Array.from({ length: H }, (_, k) => c0?.[start + k] ?? 0);
      for (let t = 0; t < T; t++) {
        gates.set(bias);
        for (let k = 0; k < inputs; k++) {
          const value = below(t, b, k);
          for (let row = 0; row < 4 * H; row++) gates[row] += value * wx[k * 4 * H + row];
        }
        for (let k = 0; k < H; k++) for (let row = 0; row < 4 * H; row++) gates[row] += h[k] * wh[k * 4 * H + row];
        h = h.map((_, k) => {
          c[k] = sigmoid(gates[H + k]) * c[k] + sigmoid(gates[k]) * Math.tanh(gates[3 * H + k]);
          return sigmoid(gates[2 * H + k]) * Math.tanh(c[k]);
        });
        out.set(h, (t * B + b) * H);
      }
      hn.set(h, start);
      cn.set(c, start);
    }
    const sequence = out;
    below = (t, b, k) => sequence[(t * B + b) * H + k];
    all = sequence;
  }
  if (head === null || result.kind !== "head") return { all, head: null, hn, cn };
  const { columns, activation } = result, answers = Float64Array.from({ length: B * columns }, (_, at) => {
    const b = Math.floor(at / columns), column = at % columns;
    let sum = head.b[column];
    for (let k = 0; k < H; k++) sum += all[((T - 1) * B + b) * H + k] * head.w[k * columns + column];
    return activation === "tanh" ? Math.tanh(sum) : sum;
  });
  return { all, head: answers, hn, cn };
}

/** Asserts that the norm of the difference is at most so much of the norm of what is expected. */
export function assertNear(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  let error = 0, norm = 0;
  for (let k = 0; k < expected.length; k++) {
    error += (actual[k] - expected[k]) ** 2;
    norm += expected[k] ** 2;
  }
  assert.equal(actual.length, expected.length);
  assert.ok(Math.sqrt(error / norm) <= tolerance, `relative error ${Math.sqrt(error / norm)}`);
}
