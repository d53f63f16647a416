/**
 * LSTM layers that are trained, in the form that ONNX Runtime's CPU kernels run fastest. The
 * mathematics is that of blocks/lstm.ts and lstm-gradient.ts; what differs is what is computed
 * where:
 *
 *   columns       features down, batch across: gates (4H, B) split and join by copying whole rows of memory
 *   one product   z = Wt u, u = (x_t, 1, h_{t-1}): no product of all steps first, no bias to add or sum
 *   forward       what backward needs of a step is computed while the step is in the cache:
 *                   ki = ig (1 - i)   kf = f c (1 - f)   ko = h (1 - o)
 *                   kg = i (1 - g^2)  k1 = o - h tanh c
 *   backward      dh = dy + dh'   dc = dc' + dh k1   dz = (dc ki, dc kf, dh ko, dc kg)
 *                 and dW += dz u^T right there, as a state of the loop: dz never leaves the cache
 *
 * Measured against coefficients for all steps at once, batch-major (F 8, H 64; F 60, H 64, two
 * layers): 13 against 21 ms, 35 against 53 ms a step on one thread.
 */
import { resultsOf, type Graph } from "../../graph/graph.ts";
import { add, broadcast, concat, matmul, mul, reshape, scan, sigmoid, slice, split, sub, tanh, transpose,
  zeros } from "../../graph/ops.ts";
import { orderNodes } from "../../graph/order.ts";
import { rebuildGraph } from "../../graph/rewrite.ts";
import type { Node, Tensor } from "../../graph/tensor.ts";

/** What the forward loop leaves for the backward one: (T, H, B) each, u is (T, F + 1 + H, B). */
interface Saved {
  readonly u: Tensor;
  /** ki, kf, ko, kg, k1, f */
  readonly coefficients: readonly Tensor[];
}

/**
 * The graph with trained LSTM layers and their gradients as loops of primitives. A layer whose
 * cells or gates are read by anything but its own gradient stays as it is, and is written by its
 * decomposition: the same numbers, slower. No architecture of models/ does that; `dmn graph
 * --training --as onnx` shows which form was taken (one Scan forward with 8 outputs, or a product
 * of all steps before it).
 */
export function rewriteTraining(graph: Graph): Graph {
  const { used, usersOf } = usesOf(graph);
  const saved = new Map<Node, Saved>();
  const isTrained = (node: Node): boolean => node.outputs.slice(3).some((kept) => used.has(kept))
    && node.outputs.slice(3).every((kept) => !resultsOf(graph).includes(kept)
      && (usersOf.get(kept) ?? []).every((user) => isGradientOf(user, node)));
  return rebuildGraph(graph, (node, inputs) => {
    if (node.op === "lstm" && isTrained(node)) {
      const { outputs, ...kept } = forward(inputs);
      saved.set(node, kept);
      // Cells and gates: nobody asks for them any more.
      return [...outputs, ...node.outputs.slice(3).map(({ shape }) => zeros(shape))];
    }
    if (node.op !== "lstmGradient") return null;
    const kept = saved.get(node.inputs[5].node);
    return kept === undefined ? null : backward(inputs, kept, used.has(node.outputs[0]));
  });
}

function usesOf(graph: Graph): { used: Set<Tensor>; usersOf: Map<Tensor, Node[]> } {
  const usersOf = new Map<Tensor, Node[]>();
  for (const node of orderNodes(resultsOf(graph))) {
    for (const tensor of node.inputs) usersOf.set(tensor, [...(usersOf.get(tensor) ?? []), node]);
  }
  return { used: new Set([...usersOf.keys(), ...resultsOf(graph)]), usersOf };
}

/** Whether a node is the gradient of this very layer: same input, weights, states and outputs. */
function isGradientOf(user: Node, layer: Node): boolean {
  const { inputs: [x, wx, wh, , h0, c0], outputs: [hidden, , , cells, gates] } = layer;
  return user.op === "lstmGradient"
    && [x, wx, wh, h0, c0, hidden, cells, gates].every((tensor, k) => user.inputs[k] === tensor);
}

/** (T, B, F) <-> (T, F, B); two in a row cancel when the graph is simplified. */
const turn = (x: Tensor): Tensor => transpose(x, [0, 2, 1]);
const turnState = (x: Tensor): Tensor => transpose(x, [1, 0]);

function forward([x, wx, wh, bias, h0, c0]: readonly Tensor[]): Saved & { outputs: readonly Tensor[] } {
  const H = wh.shape[0] as number, B = x.shape[1];
  const { finals, stacked: [hidden, u, ...coefficients] } = scan({
    states: [turnState(c0), turnState(h0)], sequences: [turn(x)],
    captured: [transpose(concat([wx, reshape(bias, [1, 4 * H]), wh], 0), [1, 0]), broadcast(1, [1, B])],
    step([c, h], [xt], [wt, one]) {
      const ut = concat([xt, one, h], 0);
      const z = matmul(wt, ut);
      const ifo = sigmoid(slice(z, 0, 0, 3 * H)), g = tanh(slice(z, 0, 3 * H, H));
      const [i, f, o] = split(ifo, 0, [H, H, H]);
      const fc = mul(f, c), ig = mul(i, g);
      const cell = add(fc, ig), tanhCell = tanh(cell);
      const next = mul(o, tanhCell);
      return { nextStates: [cell, next], emits: [next, ut, sub(ig, mul(ig, i)), sub(fc, mul(fc, f)),
        sub(next, mul(next, o)), sub(i, mul(ig, g)), sub(o, mul(next, tanhCell)), f] };
    },
  });
  return { u, coefficients, outputs: [turn(hidden), turnState(finals[1]), turnState(finals[0])] };
}

/** Adjoints of x (zeros when nobody asks), wx, wh, bias, h0, c0. */
function backward(inputs: readonly Tensor[], { u, coefficients }: Saved, isInputAsked: boolean): Tensor[] {
  const [x, wx, wh] = inputs, [dHidden, dLastHidden, dLastCell] = inputs.slice(8);
  const H = wh.shape[0] as number, F = wx.shape[0] as number;
  const { finals: [dh0, dc0, dw], stacked: [dx] } = scan({
    states: [turnState(dLastHidden), turnState(dLastCell), zeros([4 * H, F + 1 + H])],
    sequences: [turn(dHidden), u, ...coefficients], captured: [wh, wx], isReverse: true,
    step([dhNext, dcNext, dwSum], [dy, ut, ki, kf, ko, kg, k1, f], [w, wOfInput]) {
      const dh = add(dhNext, dy);
      const dc = add(dcNext, mul(dh, k1));
      const dz = concat([mul(dc, ki), mul(dc, kf), mul(dh, ko), mul(dc, kg)], 0);
      return { nextStates: [matmul(w, dz), mul(dc, f), add(matmul(dz, ut, { transposeB: true }), dwSum)],
        emits: isInputAsked ? [matmul(wOfInput, dz)] : [] };
    },
  });
  const [dwx, dbias, dwh] = split(transpose(dw, [1, 0]), 0, [F, 1, H]);
  return [isInputAsked ? turn(dx) : zeros(x.shape), dwx, dwh, reshape(dbias, [4 * H]),
    turnState(dh0), turnState(dc0)];
}

