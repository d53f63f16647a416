/**
 * Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000), one
 * layer.
 *
 *   a_t = x_t Wx + h_{t-1} Wh + b        gates i, f, o, g: one sigmoid covers three
 *   i, f, o = sigmoid   g = tanh         c_t = f c_{t-1} + i g        h_t = o tanh(c_t)
 */
import { assert } from "../../base/assert.ts";
import { multiply } from "../dimension.ts";
import { add, concat, matmul, mul, reshape, scan, sigmoid, slice, split, tanh, zeros }
  from "../ops.ts";
import { makeNode } from "../tensor.ts";
import type { Block } from "./index.ts";

export const lstm: Block<"lstm"> = {
  decompose([x, wx, wh, bias, h0, c0]) {
    const [T, B, F] = x.shape, H = wh.shape[0] as number;
    const projected = add(matmul(reshape(x, [multiply(T, B), F]), wx), bias);
    const { finals, stacked } = scan({
      states: [h0, c0], sequences: [reshape(projected, [T, B, 4 * H])], captured: [wh],
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

  gradient([x, wx, wh, , h0, c0], [hidden, , , cells, gates], [dHidden, dLastH, dLastC, ...kept]) {
    assert(kept.every((adjoint) => adjoint === null),
      "cells and gates are kept for this gradient only");
    return makeNode("lstmGradient", [x, wx, wh, h0, c0, hidden, cells, gates,
      dHidden ?? zeros(hidden.shape), dLastH ?? zeros(h0.shape), dLastC ?? zeros(c0.shape)], {});
  },
};
