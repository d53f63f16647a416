/**
 * Backpropagation through an LSTM layer. All that does not depend on the future is computed for all
 * steps at once; the loop, backwards in time, keeps seven ops, and the weight gradients are one
 * product each:
 *
 *   dh = dy_t + dh_{t+1}    dc = dc_{t+1} + dh u_t     u = o (1 - tanh^2 c)
 *   da = (dc, dc, dh, dc) k_t     k = (g i(1-i), c_{t-1} f(1-f), tanh c o(1-o), i(1-g^2))
 *   dh_t = da Wh^T          dc_t = dc f_t
 *   dx = da Wx^T            dWx = x^T da               dWh = h_{t-1}^T da         db = sum da
 *
 * A block of its own, because a runtime that runs the layer in its own way runs this in its own way
 * too.
 */
import { assert } from "../../base/assert.ts";
import { multiply } from "../dimension.ts";
import { add, concat, matmul, mul, reshape, scan, slice, split, sub, sum, tanh, transpose }
  from "../ops.ts";
import type { Block } from "./index.ts";
import type { Tensor } from "../tensor.ts";

/** (T, B, F) -> (T*B, F) */
const rowsOf = (x: Tensor): Tensor => reshape(x, [multiply(x.shape[0], x.shape[1]), x.shape[2]]);

/** (T, B, H): the value before each step. */
function before(first: Tensor, after: Tensor): Tensor {
  const [T] = after.shape;
  assert(typeof T === "number", "the gradient needs the number of steps");
  const start = reshape(first, [1, ...first.shape]);
  return T === 1 ? start : concat([start, slice(after, 0, 0, T - 1)], 0);
}

export const lstmGradient: Block<"lstmGradient"> = {
  decompose([x, wx, wh, h0, c0, hidden, cells, gates, dHidden, dLastHidden, dLastCell]) {
    const H = wh.shape[0] as number;
    const [i, f, o, g] = split(gates, 2, [H, H, H, H]);
    const tanhCell = tanh(cells);
    const rest = (gate: Tensor): Tensor => mul(gate, sub(1, gate));
    const k = concat([mul(g, rest(i)), mul(before(c0, cells), rest(f)), mul(tanhCell, rest(o)),
      mul(i, sub(1, mul(g, g)))], 2);
    const u = mul(o, sub(1, mul(tanhCell, tanhCell)));
    const { finals: [dh0, dc0], stacked: [da] } = scan({
      states: [dLastHidden, dLastCell], sequences: [dHidden, k, u, f],
      captured: [transpose(wh, [1, 0])], isReverse: true,
      step([dhNext, dcNext], [dy, kt, ut, ft], [whT]) {
        const dh = add(dy, dhNext);
        const dc = add(dcNext, mul(dh, ut));
        const dat = mul(concat([dc, dc, dh, dc], 1), kt);
        return { nextStates: [matmul(dat, whT), mul(dc, ft)], emits: [dat] };
      },
    });
    const daRows = rowsOf(da);
    return [
      reshape(matmul(daRows, wx, { transposeB: true }), x.shape),
      matmul(rowsOf(x), daRows, { transposeA: true }),
      matmul(rowsOf(before(h0, hidden)), daRows, { transposeA: true }),
      reshape(sum(daRows, [0]), [4 * H]),
      dh0, dc0,
    ];
  },
};
