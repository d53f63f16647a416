/**
 * What every runtime is asked to compute: every primitive and every block, with seeded inputs. One
 * row is a name, the inputs, and the function that builds the outputs from them. Open sizes ("B",
 * "T") are tried at two sizes.
 */
import assert from "node:assert/strict";
import { random, type Random } from "../../src/base/random.ts";
import type { BlockName } from "../../src/graph/block.ts";
import { sizesOf, type Dimension, type Shape, type Sizes } from "../../src/graph/dimension.ts";
import { makeGraph, type Graph } from "../../src/graph/graph.ts";
import type { PrimitiveName } from "../../src/graph/op.ts";
import * as ops from "../../src/graph/ops.ts";
import { makeNode, type Tensor } from "../../src/graph/tensor.ts";
import type { Tensors, Values } from "../../src/runtime/runtime.ts";

/**
 * How an input is drawn. `apart`: no two values of a case closer than 0.01, none closer to a whole
 * number: away from the kinks of abs, max, floor and from ties. `positive`: 0.5 to 2. `bit`: 0 or
 * 1.
 */
type Draw = "normal" | "apart" | "positive" | "bit";
interface Drawn { readonly shape: Shape; readonly draw: Draw }

export interface RuntimeCase {
  readonly name: string;
  readonly inputs: Readonly<Record<string, Drawn>>;
  build(inputs: Readonly<Record<string, Tensor>>): readonly Tensor[];
}

const normal = (...shape: Shape): Drawn => ({ shape, draw: "normal" });
const apart = (...shape: Shape): Drawn => ({ shape, draw: "apart" });
const positive = (...shape: Shape): Drawn => ({ shape, draw: "positive" });
const bit = (...shape: Shape): Drawn => ({ shape, draw: "bit" });

type Build<Names extends string> = (inputs: Readonly<Record<Names, Tensor>>) => Tensor | readonly Tensor[];

function row<Names extends string>(name: string, inputs: Readonly<Record<Names, Drawn>>, build: Build<Names>): RuntimeCase {
  return { name, inputs, build: (tensors) => [build(tensors)].flat() };
}

const unary = (op: (x: Tensor) => Tensor, draw: (...shape: Shape) => Drawn): RuntimeCase[] => [
  row("(2, 3)", { x: draw(2, 3) }, ({ x }) => op(x)),
  row("a scalar", { x: draw() }, ({ x }) => op(x)),
  row("open sizes", { x: draw("T", "B", 2) }, ({ x }) => op(x)),
];

const binary = (op: (a: ops.Operand, b: ops.Operand) => Tensor, draw: (...shape: Shape) => Drawn): RuntimeCase[] => [
  row("equal shapes", { a: draw(2, 3), b: draw(2, 3) }, ({ a, b }) => op(a, b)),
  row("both broadcast", { a: draw(4, 1, 3), b: draw(2, 1) }, ({ a, b }) => op(a, b)),
  row("a scalar on the left", { b: draw(2, 2) }, ({ b }) => op(0.7, b)),
  row("open sizes", { a: draw("B", "T", 2), b: draw("T", 1) }, ({ a, b }) => op(a, b)),
];

const reduction = (op: (x: Tensor, axes?: readonly number[]) => Tensor): RuntimeCase[] => [
  row("the middle axis", { x: apart(2, 3, 4) }, ({ x }) => op(x, [1])),
  row("two axes", { x: apart(2, 3, 4) }, ({ x }) => op(x, [2, 0])),
  row("everything", { x: apart(3, 2) }, ({ x }) => op(x)),
  row("an open axis", { x: apart("B", "T", 3) }, ({ x }) => op(x, [1])),
];

const matmul: RuntimeCase[] = [false, true].flatMap((transposeA) => [false, true].flatMap((transposeB) => {
  const a = (...batch: Shape): Drawn => normal(...batch, ...(transposeA ? [4, 3] : [3, 4]));
  const b = (...batch: Shape): Drawn => normal(...batch, ...(transposeB ? [2, 4] : [4, 2]));
  const how = `${transposeA ? "A'" : "A"} ${transposeB ? "B'" : "B"}`;
  const build: Build<"a" | "b"> = (inputs) => ops.matmul(inputs.a, inputs.b, { transposeA, transposeB });
  return [
    row(how, { a: a(), b: b() }, build),
    row(`${how}, batches broadcast`, { a: a(2, 1), b: b(3) }, build),
    row(`${how}, one B for all`, { a: a("T", "B"), b: b() }, build),
  ];
}));

/** A running sum that decays: h = d h + x w. */
const leaky = (isReverse: boolean): RuntimeCase =>
  row(isReverse ? "in reverse" : "one state", { h: normal(2, 3), x: normal(4, 2, 3), d: normal(3) }, ({ h, x, d }) => {
    const { finals, stacked } = ops.scan({ states: [h], sequences: [x], captured: [d], isReverse,
      step: ([state], [element], [decay]) => {
        const next = ops.add(ops.mul(state, decay), element);
        return { nextStates: [next], emits: [ops.tanh(next)] };
      } });
    return [...finals, ...stacked];
  });

const scans: RuntimeCase[] = [leaky(false), leaky(true),
  row("two states that swap, two sequences, captured weights, several emits",
    { h: normal(2, 3), c: normal(2, 3), x: normal("T", 2, 3), y: normal("T", 3), w: normal(3, 3), v: normal(3) },
    ({ h, c, x, y, w, v }) => {
      const { finals, stacked } = ops.scan({ states: [h, c], sequences: [x, y], captured: [w, v],
        step: ([a, b], [u, e], [weights, shift]) => {
          const next = ops.tanh(ops.add(ops.add(ops.matmul(a, weights), shift), u));
          return { nextStates: [b, next], emits: [ops.mul(next, e), a, ops.sum(ops.mul(b, u), [1])] };
        } });
      return [...finals, ...stacked];
    }),
  row("no emits, in reverse, an open batch", { h: normal("B", 2), x: normal("T", "B", 2), w: normal(2, 2) }, ({ h, x, w }) =>
    ops.scan({ states: [h], sequences: [x], captured: [w], isReverse: true,
      step: ([state], [element], [weights]) =>
        ({ nextStates: [ops.sin(ops.add(ops.matmul(state, weights), element))], emits: [] }) }).finals),
  row("in reverse, emitting its state", { h: normal(2), x: normal(4, 2), w: normal(2) }, ({ h, x, w }) =>
    ops.scan({ states: [h], sequences: [x], captured: [w], isReverse: true, step: ([state], [element], [weight]) => {
      const next = ops.tanh(ops.add(ops.mul(state, weight), element));
      return { nextStates: [next], emits: [next] };
    } }).stacked),
  row("no state", { x: normal(3, 2) }, ({ x }) => ops.scan({ states: [], sequences: [x],
    step: (_, [element]) => ({ nextStates: [], emits: [ops.exp(element)] }) }).stacked),
  row("a loop in a loop", { h: normal(2), x: normal(3, 4, 2) }, ({ h, x }) => ops.scan({ states: [h], sequences: [x],
    step: ([outer], [rows]) => {
      const { finals, stacked } = ops.scan({ states: [outer], sequences: [rows], step: ([inner], [element]) => {
        const next = ops.sigmoid(ops.add(inner, element));
        return { nextStates: [next], emits: [ops.mul(next, next)] };
      } });
      return { nextStates: finals, emits: stacked };
    } }).stacked),
];

export const PRIMITIVE_CASES: Readonly<Record<PrimitiveName, readonly RuntimeCase[]>> = {
  input: [
    row("passes through", { x: normal(2, 2) }, ({ x }) => x),
    row("twice, of open size", { x: normal("B", "T") }, ({ x }) => [x, x]),
  ],
  constant: [
    row("alone", {}, () => ops.constant(-1.25)),
    row("broadcast", { x: normal(2) }, ({ x }) => ops.add(x, ops.broadcast(3, [4, 2]))),
  ],
  iota: [
    row("of known size", {}, () => ops.iota(5)),
    row("of open size", { x: normal("B", "T") }, ({ x }) => ops.mul(x, ops.iota("T"))),
  ],
  neg: unary(ops.neg, normal), exp: unary(ops.exp, normal), log: unary(ops.log, positive),
  sqrt: unary(ops.sqrt, positive), sin: unary(ops.sin, normal), tanh: unary(ops.tanh, normal),
  sigmoid: unary(ops.sigmoid, normal), abs: unary(ops.abs, apart), sign: unary(ops.sign, apart),
  floor: unary(ops.floor, apart),
  stop: [...unary(ops.stop, normal), row("times itself", { x: normal(3) }, ({ x }) => ops.mul(x, ops.stop(x)))],
  add: binary(ops.add, normal), sub: binary(ops.sub, normal), mul: binary(ops.mul, normal),
  div: binary(ops.div, positive), max: binary(ops.maximum, apart), greater: binary(ops.greater, apart),
  where: [
    row("a choice", { c: bit(2, 3), a: normal(2, 3), b: normal(2, 3) }, ({ c, a, b }) => ops.where(c, a, b)),
    row("all three broadcast", { c: bit(3, 1), a: normal(2, 1, 1), b: normal(4) }, ({ c, a, b }) => ops.where(c, a, b)),
    row("open sizes", { c: bit("T", 1), a: normal("B", "T", 2) }, ({ c, a }) => ops.where(c, a, 0)),
  ],
  sum: reduction(ops.sum),
  reduceMax: reduction(ops.reduceMax),
  sort: [
    row("rows, stopped before", { x: apart(3, 5) }, ({ x }) => ops.sort(ops.stop(x))),
    row("one axis, stopped after", { x: apart(7) }, ({ x }) => ops.mul(x, ops.stop(ops.sort(x)))),
  ],
  matmul,
  reshape: [
    row("to one axis", { x: normal(2, 3) }, ({ x }) => ops.reshape(x, [6])),
    row("to a scalar", { x: normal(1, 1) }, ({ x }) => ops.reshape(x, [])),
    row("open sizes joined", { x: normal("T", "B", 3) }, ({ x }) => ops.reshape(x, ["B*T", 3])),
    row("open sizes parted", { x: normal("B*T", 4), y: normal("B", "T") }, ({ x, y }) =>
      ops.add(ops.reshape(x, ["B", "T", 2, 2]), ops.reshape(y, ["B", "T", 1, 1]))),
  ],
  transpose: [
    row("a matrix", { x: normal(2, 3) }, ({ x }) => ops.transpose(x, [1, 0])),
    row("four axes", { x: normal("B", "T", 2, 3) }, ({ x }) => ops.transpose(x, [2, 0, 3, 1])),
  ],
  broadcast: [
    row("a new axis and an old one", { x: normal(3, 1) }, ({ x }) => ops.broadcast(x, [2, 3, 4])),
    row("to open sizes", { x: normal(2), y: normal("B", "T") }, ({ x, y }) =>
      [ops.broadcast(x, ["B", "T", 2]), ops.neg(y)]),
  ],
  slice: [
    row("the middle", { x: normal(2, 5) }, ({ x }) => ops.slice(x, 1, 1, 3)),
    row("from the end", { x: normal(5, 2) }, ({ x }) => ops.slice(x, 0, -2, 2)),
    row("the last of an open axis", { x: normal("B", "T", 2) }, ({ x }) => ops.slice(x, 1, -1, 1)),
    row("overlapping parts of one tensor", { x: normal(5) }, ({ x }) =>
      ops.mul(ops.mul(ops.slice(x, 0, 0, 3), ops.slice(x, 0, 1, 3)), ops.slice(x, 0, -3, 3))),
    row("parts along two axes", { x: normal(3, 3) }, ({ x }) => ops.mul(ops.slice(x, 0, 2, 1), ops.slice(x, 1, 0, 1))),
  ],
  pad: [
    row("both sides", { x: normal(2, 3) }, ({ x }) => ops.pad(x, 1, 2, 1)),
    row("in front, beside an open axis", { x: normal("B", 2) }, ({ x }) => ops.pad(x, 1, 1, 0)),
  ],
  concat: [
    row("along the last axis", { a: normal(2, 1), b: normal(2, 3) }, ({ a, b }) => ops.concat([a, b, a], 1)),
    row("beside open axes", { a: normal("T", 2, "B"), b: normal("T", 1, "B") }, ({ a, b }) => ops.concat([a, b], 1)),
  ],
  scan: scans,
};

const lstmCase = (name: string, T: Dimension, B: Dimension, F: number, H: number): RuntimeCase =>
  row(name, { x: normal(T, B, F), wx: normal(F, 4 * H), wh: normal(H, 4 * H), bias: normal(4 * H), h0: normal(B, H),
    c0: normal(B, H) }, ({ x, wx, wh, bias, h0, c0 }) => {
    const { hidden, lastHidden, lastCell } = ops.lstm(x, wx, wh, bias, h0, c0);
    return [hidden, lastHidden, lastCell];
  });

const lstmGradientCase = (name: string, T: number, B: Dimension, F: number, H: number): RuntimeCase =>
  row(name, { x: normal(T, B, F), wx: normal(F, 4 * H), wh: normal(H, 4 * H), h0: normal(B, H), c0: normal(B, H),
    hidden: normal(T, B, H), cells: normal(T, B, H), gates: normal(T, B, 4 * H), dHidden: normal(T, B, H),
    dLastHidden: normal(B, H), dLastCell: normal(B, H) },
  ({ x, wx, wh, h0, c0, hidden, cells, gates, dHidden, dLastHidden, dLastCell }) => makeNode("lstmGradient",
    [x, wx, wh, h0, c0, hidden, cells, gates, dHidden, dLastHidden, dLastCell], {}));

const attentionCase = (name: string, shape: Shape, isCausal: boolean): RuntimeCase =>
  row(name, { q: normal(...shape, 4), k: normal(...shape, 4), v: normal(...shape, 3) }, ({ q, k, v }) => {
    const { output, weights } = ops.attention(q, k, v, { isCausal });
    return [output, weights];
  });

const adamwCase = (name: string, count: number, epsilon: number): RuntimeCase =>
  row(name, { parameter: normal(count), slope: normal(count), m: normal(count), v: positive(count), step: positive(),
    rate: positive(), decay: positive() }, ({ parameter, slope, m, v, step, rate, decay }) =>
    makeNode("adamw", [parameter, slope, m, v, ops.add(step, 2), ops.mul(rate, 0.01), ops.mul(decay, 0.1)],
      { beta1: 0.9, beta2: 0.999, epsilon }));

export const BLOCK_CASES: Readonly<Record<BlockName, readonly RuntimeCase[]>> = {
  linear: [
    row("rows", { x: normal(3, 2), w: normal(2, 4), bias: normal(4) }, ({ x, w, bias }) => ops.linear(x, w, bias)),
    row("open sizes", { x: normal("B", "T", 2), w: normal(2, 3), bias: normal(3) }, ({ x, w, bias }) => ops.linear(x, w, bias)),
  ],
  softmax: [
    row("rows", { x: normal(3, 4) }, ({ x }) => ops.softmax(x)),
    row("large values", { x: normal(2, 3) }, ({ x }) => ops.softmax(ops.add(ops.mul(x, 5), 1000))),
    row("an open axis", { x: normal("B", "T") }, ({ x }) => ops.softmax(x)),
  ],
  layerNorm: [
    row("rows", { x: normal(3, 5), scale: normal(5), bias: normal(5) }, ({ x, scale, bias }) => ops.layerNorm(x, scale, bias)),
    row("open sizes", { x: normal("B", "T", 4), scale: normal(4), bias: normal(4) }, ({ x, scale, bias }) =>
      ops.layerNorm(x, scale, bias, 1e-3)),
  ],
  gelu: [
    row("(2, 3)", { x: normal(2, 3) }, ({ x }) => ops.gelu(x)),
    row("open sizes", { x: normal("B", "T") }, ({ x }) => ops.gelu(x)),
  ],
  elu: [
    row("(2, 3)", { x: normal(2, 3) }, ({ x }) => ops.elu(x)),
    row("open sizes", { x: normal("B", "T") }, ({ x }) => ops.elu(x)),
    row("far from 0", { x: normal(2, 3) }, ({ x }) => ops.elu(ops.mul(x, 1000))),
  ],
  lstm: [lstmCase("a window", 5, 2, 3, 4), lstmCase("one step", 1, 3, 2, 2), lstmCase("open sizes", "T", "B", 3, 2)],
  lstmGradient: [lstmGradientCase("a window", 4, 2, 3, 2), lstmGradientCase("one step", 1, 2, 2, 2)],
  attention: [attentionCase("causal", [5], true), attentionCase("of everything, two heads", [2, 3], false),
    attentionCase("causal, open sizes", ["B", 2, "T"], true)],
  adamw: [adamwCase("as ever", 5, 1e-8), adamwCase("a large epsilon", 3, 0.1)],
};

/** "op: name" of every case. */
export const RUNTIME_CASES: readonly RuntimeCase[] = Object.entries({ ...PRIMITIVE_CASES, ...BLOCK_CASES })
  .flatMap(([op, cases]) => cases.map((one) => ({ ...one, name: `${op}: ${one.name}` })));

export const SIZES: readonly Sizes[] = [{ B: 3, T: 4 }, { B: 2, T: 6 }];

/** The case as a graph, its open sizes left open. */
export function graphOf(one: RuntimeCase): Graph {
  const inputs = Object.fromEntries(Object.entries(one.inputs).map(([name, { shape }]) => [name, ops.input(name, shape)]));
  const outputs = one.build(inputs).map((tensor, k) => [`y${k}`, tensor] as const);
  return makeGraph(one.name, { inputs: Object.values(inputs), outputs: Object.fromEntries(outputs) });
}

/**
 * A scalar that every output of the graph enters with weights of its own, sin(1), sin(2), ..., so
 * that no two errors cancel. All its sizes are known.
 */
export function projectionOf({ outputs }: Graph): Tensor {
  let used = 0;
  return outputs.map(({ tensor }) => {
    const flat = ops.flatten(tensor), count = flat.shape[0] as number;
    used += count;
    return ops.total(ops.mul(flat, ops.sin(ops.add(ops.iota(count), used - count + 1))));
  }).reduce((a, b) => ops.add(a, b));
}

/** Seeded values for a case's inputs. */
export function valuesOf(one: RuntimeCase, sizes: Sizes): Record<string, Values> {
  return Object.fromEntries(Object.entries(one.inputs).map(([name, { shape, draw }], k) => {
    const found = sizesOf(shape, sizes);
    const values = new Float64Array(found.reduce((a, b) => a * b, 1));
    DRAWS[draw](values, random(3, "case", one.name, name), k);
    return [name, { shape: found, values }];
  }));
}

const fill = (values: Float64Array, draw: (k: number) => number): void => { values.forEach((_, k) => { values[k] = draw(k); }); };

const DRAWS: Readonly<Record<Draw, (values: Float64Array, stream: Random, place: number) => void>> = {
  normal: (values, stream) => { fill(values, () => stream.normal()); },
  positive: (values, stream) => { fill(values, () => 0.5 + 1.5 * stream.uniform()); },
  bit: (values, stream) => { fill(values, (k) => (k < 2 ? k : stream.below(2))); },
  // A grid of odd multiples of 0.05 (so never whole, 0 or 0.7), the second input's shifted;
  // shuffled.
  apart: (values, stream, place) => {
    const grid = stream.shuffle(Array.from(values, (_, k) => k - Math.floor(values.length / 2)));
    fill(values, (k) => 0.1 * grid[k] + 0.05 + 0.02 * place);
  },
};

/** A graph at a size worth timing, with its feeds. */
export interface TimedCase { readonly name: string; readonly graph: Graph; readonly feeds: Tensors }

/** The sizes of training (T 63, B 128) unless smaller ones are said. */
export function timedCases({ T = 63, B = 128, H = 64, F = 8 } = {}): TimedCase[] {
  const D = H;
  const cases = [
    lstmCase("lstm", T, B, F, H),
    lstmGradientCase("lstmGradient", T, B, F, H),
    attentionCase("attention", [B, 4, T], true),
    row("linear", { x: normal(T * B, F), w: normal(F, 4 * H), bias: normal(4 * H) }, ({ x, w, bias }) => ops.linear(x, w, bias)),
    row("layerNorm", { x: normal(T * B, D), scale: normal(D), bias: normal(D) }, ({ x, scale, bias }) =>
      ops.layerNorm(x, scale, bias)),
    row("gelu", { x: normal(T * B, D) }, ({ x }) => ops.gelu(x)),
    row("softmax", { x: normal(T * B, D) }, ({ x }) => ops.softmax(x)),
    adamwCase("adamw", 4 * H * (F + H + 1), 1e-8),
  ];
  return cases.map((one) => {
    const graph = graphOf(one);
    assert.equal(graph.inputs.length, Object.keys(one.inputs).length);
    return { name: one.name, graph, feeds: valuesOf(one, {}) };
  });
}
