/**
 * Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000), one layer.
 *
 *   a_t = x_t Wx + h_{t-1} Wh + b        gates in the order i, f, o, g, so that one sigmoid covers three of them
 *   i, f, o = sigmoid   g = tanh         c_t = f c_{t-1} + i g        h_t = o tanh(c_t)
 *
 * Backward, all that does not depend on the future is computed for all steps at once; the reverse scan keeps seven
 * ops and the weight gradients are one product each over T*B rows:
 *
 *   dh = dy_t + dh_{t+1}    dc = dc_{t+1} + dh u_t         u = o (1 - tanh^2 c)
 *   da = (dc, dc, dh, dc) k_t                              k = (g i(1-i), c_{t-1} f(1-f), tanh c o(1-o), i(1-g^2))
 *   dh_t = da Wh^T          dc_t = dc f_t                  dWx = x^T da   dWh = h_{t-1}^T da   db = sum da
 */
import { assert } from "../../base/assert.ts";
import { multiply, type Dimension } from "../dimension.ts";
import { add, concat, matmul, mul, reshape, scan, sigmoid, slice, split, sub, sum, tanh, transpose, zeros }
  from "../ops.ts";
import type { Block } from "./index.ts";
import type { Tensor } from "../tensor.ts";

/** (T, B, F) -> (T*B, F) */
const rowsOf = (x: Tensor): Tensor => reshape(x, [multiply(x.shape[0], x.shape[1]), x.shape[2]]);

const hiddenOf = (wh: { shape: readonly Dimension[] }): number => wh.shape[0] as number;

export const lstm: Block<"lstm"> = {
  decompose([x, wx, wh, bias, h0, c0]) {
    const [T, B] = x.shape;
    const H = hiddenOf(wh);
    const projected = reshape(add(matmul(rowsOf(x), wx), bias), [T, B, 4 * H]);
    const { finals, stacked } = scan({
      states: [h0, c0], sequences: [projected], captured: [wh],
      step([h, c], [p], [w]) {
        const a = add(matmul(h, w), p);
        const ifo = sigmoid(slice(a, 1, 0, 3 * H)), g = tanh(slice(a, 1, 3 * H, H));
        const [i, f, o] = split(ifo, 1, [H, H, H]);
        const cell = add(mul(f, c), mul(i, g));
        const hidden = mul(o, tanh(cell));
        return { nextStates: [hidden, cell], emits: [hidden, cell, concat([ifo, g], 1)] };
      },
    });
    return [stacked[0], finals[0], finals[1], stacked[1], stacked[2]];
  },

  gradient([x, wx, wh, , h0, c0], [hidden, , , cells, gates], [dHidden, dLastHidden, dLastCell, dCells, dGates]) {
    assert(dCells === null && dGates === null, "cells and gates are kept for this gradient only");
    const [T, B] = x.shape;
    const H = hiddenOf(wh);
    assert(typeof T === "number", "gradients need the number of steps");
    const [i, f, o, g] = split(gates, 2, [H, H, H, H]);
    const before = (first: Tensor, all: Tensor): Tensor =>
      T === 1 ? reshape(first, [1, B, H]) : concat([reshape(first, [1, B, H]), slice(all, 0, 0, T - 1)], 0);
    const tanhCell = tanh(cells);
    const rest = (gate: Tensor): Tensor => mul(gate, sub(1, gate));
    const k = concat([mul(g, rest(i)), mul(before(c0, cells), rest(f)), mul(tanhCell, rest(o)),
      mul(i, sub(1, mul(g, g)))], 2);
    const u = mul(o, sub(1, mul(tanhCell, tanhCell)));
    const { finals: [dh0, dc0], stacked: [da] } = scan({
      states: [dLastHidden ?? zeros([B, H]), dLastCell ?? zeros([B, H])],
      sequences: [dHidden ?? zeros([T, B, H]), k, u, f], captured: [transpose(wh, [1, 0])], isReverse: true,
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
