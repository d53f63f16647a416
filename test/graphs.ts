/** Graphs that several tests look at. */
import { random, type Random } from "../src/base/random.ts";
import type { Dimension } from "../src/graph/dimension.ts";
import { gradient } from "../src/graph/gradient.ts";
import { makeGraph, type Graph } from "../src/graph/graph.ts";
import * as op from "../src/graph/ops.ts";
import { makeNode, type OpName, type Tensor } from "../src/graph/tensor.ts";

/** Every op at least once, a scan inside a scan among them. */
export function everyOpGraph(): Graph {
  const x = op.input("x", [3, 4]), w = op.input("w", [4, 4]), bias = op.input("bias", [4]);
  const step = op.input("step", []), rate = op.input("rate", []);
  const unary = ["neg", "exp", "log", "sqrt", "sin", "tanh", "sigmoid", "abs", "sign", "floor", "stop", "sort",
    "softmax", "gelu", "elu"] as const satisfies OpName[];
  const outputs: Record<string, Tensor> = Object.fromEntries(unary.map((name) => [name, makeNode(name, [x], {})[0]]));
  for (const name of ["add", "sub", "mul", "div", "max", "greater"] as const) {
    outputs[name] = makeNode(name, [x, bias], {})[0];
  }
  const inner = (tensor: Tensor): Tensor => op.scan({ states: [op.zeros([1])], sequences: [tensor], step: ([s], [e]) => {
    const next = op.add(s, op.reshape(e, [1]));
    return { nextStates: [next], emits: [] };
  } }).finals[0];
  const nested = op.scan({ states: [bias], sequences: [x], captured: [w], isReverse: true, step([s], [e], [c]) {
    const row = op.matmul(op.reshape(op.mul(s, e), [1, 4]), c);
    return { nextStates: [op.reshape(row, [4])], emits: [inner(op.reshape(row, [4]))] };
  } });
  const [adamParameter, , adamV] = makeNode("adamw", [bias, bias, bias, bias, step, rate, rate],
    { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
  const seen = op.attention(x, x, x), recurrent = lstmOf(x, w).hidden;
  return makeGraph("every-op", {
    inputs: [x, w, bias, rate], state: [{ tensor: step, next: op.add(step, 1) }],
    outputs: {
      ...outputs, nested: nested.finals[0], emitted: nested.stacked[0], adamParameter, adamV,
      where: op.where(op.greater(x, 0), x, bias), iota: op.iota(5), sum: op.sum(x, [0]), most: op.reduceMax(x, [0, 1]),
      matmul: op.matmul(x, w, { transposeB: true }), reshape: op.reshape(x, [2, 6]), turned: op.transpose(x, [1, 0]),
      wide: op.broadcast(bias, [2, 4]), last: op.slice(x, 1, -2, 2), padded: op.pad(x, 0, 1, 2),
      joined: op.concat([x, w], 0), linear: op.linear(x, w, bias), layerNorm: op.layerNorm(x, bias, bias),
      attention: seen.output, attentionWeights: seen.weights, lstm: recurrent,
      lstmGradient: gradient(op.total(recurrent), [w])[0],
    },
  });
}

function lstmOf(x: Tensor, w: Tensor): op.LstmOutputs {
  const wide = op.reshape(w, [4, 4]), state = op.slice(op.slice(x, 0, 0, 1), 1, 0, 1);
  return op.lstm(op.reshape(x, [3, 1, 4]), wide, op.slice(wide, 0, 0, 1), op.reshape(op.slice(wide, 0, 0, 1), [4]),
    state, state);
}

/** An LSTM of 3 inputs and 2 units over (T, B, 3), of which only the hidden rows are used. */
export function lstmGraph({ B, T }: { B: Dimension; T: Dimension }): Graph {
  const x = op.input("x", [T, B, 3]), h0 = op.input("h0", [B, 2]);
  const wx = op.input("lstm/wx", [3, 8]), wh = op.input("lstm/wh", [2, 8]), bias = op.input("lstm/bias", [8]);
  return makeGraph("lstm", { inputs: [x, h0], state: [wx, wh, bias].map((tensor) => ({ tensor })),
    outputs: { hidden: op.lstm(x, wx, wh, bias, h0, h0).hidden } });
}

/** A value of the given shape made from `x`: the random graphs' way to have fitting operands. */
type Grow = (stream: Random, pick: () => Tensor) => Tensor;

const shapes = (tensor: Tensor): number[] => tensor.shape as number[];
/** The same number of elements in (2, 6) again, so that everything stays combinable. */
const home = (tensor: Tensor): Tensor => op.reshape(tensor, [2, 6]);

const GROWTH: readonly Grow[] = [
  (_, pick) => op.add(pick(), pick()), (_, pick) => op.sub(pick(), pick()), (_, pick) => op.mul(pick(), pick()),
  (_, pick) => op.div(pick(), op.add(op.abs(pick()), 1)), (_, pick) => op.maximum(pick(), pick()),
  (_, pick) => op.neg(pick()), (_, pick) => op.tanh(pick()), (_, pick) => op.stop(pick()),
  (stream, pick) => op.mul(pick(), [0, 1, -1, 0.5, 3][stream.below(5)]),
  (stream, pick) => op.add(pick(), [0, 1, -2][stream.below(3)]),
  (stream, pick) => op.sub([0, 1][stream.below(2)], pick()), (_, pick) => op.sub(pick(), 0),
  (_, pick) => op.div(pick(), 1), (_, pick) => op.where(op.greater(pick(), pick()), pick(), pick()),
  (_, pick) => home(op.transpose(op.transpose(op.reshape(pick(), [3, 2, 2]), [2, 0, 1]), [1, 0, 2])),
  (_, pick) => home(op.reshape(op.reshape(pick(), [12]), [4, 3])),
  (_, pick) => op.add(pick(), op.sum(pick(), [1])), (_, pick) => op.add(pick(), op.reduceMax(pick(), [0])),
  (_, pick) => op.mul(pick(), op.broadcast(op.sum(pick()), [2, 6])),
  (_, pick) => home(op.sum(op.reshape(pick(), [2, 1, 6]), [1])),
  (_, pick) => op.add(pick(), op.sum(op.broadcast(op.sum(pick(), [0]), [2, 6]), [0])),
  (stream, pick) => op.slice(op.concat([pick(), pick(), pick()], 1), 1, stream.below(13), 6),
  (stream, pick) => op.slice(op.pad(pick(), 1, 8, 8), 1, stream.below(17), 6),
  (_, pick) => op.concat([op.slice(op.concat([pick(), pick()], 0), 0, -3, 1), op.slice(pick(), 0, 0, 1)], 0),
  (_, pick) => op.add(pick(), op.mul(op.constant(2), op.add(op.exp(op.constant(-1)), op.constant(0.5)))),
  (_, pick) => op.scan({ states: [op.sum(pick(), [0])], sequences: [pick()], step: ([s], [e]) => {
    const next = op.tanh(op.add(op.mul(s, 1), op.add(op.reshape(e, [1, 6]), 0)));
    return { nextStates: [next], emits: [op.reshape(op.neg(op.neg(next)), [6])] };
  } }).stacked[0],
];

/** A random graph over two inputs (2, 6): `size` ops, every tensor (2, 6), redundancies on purpose. */
export function randomGraph(seed: number, size = 25): Graph {
  const stream = random(seed, "graph");
  const inputs = [op.input("a", [2, 6]), op.input("b", [2, 6])];
  const pool: Tensor[] = [...inputs];
  for (let k = 0; k < size; k++) {
    const made = GROWTH[stream.below(GROWTH.length)](stream, () => pool[stream.below(pool.length)]);
    if (shapes(made).join() !== "2,6") throw new Error(`growth gives ${shapes(made).join()}`);
    pool.push(made);
  }
  const outputs = { y: pool.at(-1)!, z: pool.at(-2)!, sum: op.total(pool.slice(2).reduce((a, b) => op.add(a, b))) };
  return makeGraph("random", { inputs, outputs });
}
