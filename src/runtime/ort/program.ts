/**
 * Graphs run by ONNX Runtime on the CPU, whole training steps among them. State lives in two sets of tensors: a run
 * reads one and writes the other, so nothing is copied or allocated between steps.
 *
 *   feeds ──┐                        ┌── outputs (the program's own buffers)
 *           ├─ session.run ──────────┤
 *   now ────┘                        └── next        then now and next change places
 *
 * ONNX Runtime's Node binding runs a session synchronously on the calling thread, whatever its promise says: training
 * belongs in a worker. The package is loaded when a graph is compiled, so that other commands start without it.
 */
import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { assert } from "../../base/assert.ts";
import { countOf, shapeText, sizeOf, sizesOf, type Shape, type Sizes } from "../../graph/dimension.ts";
import { matchSizes, openSizes, type Graph, type Named } from "../../graph/graph.ts";
import type { Program, Runtime, Tensors, Values } from "../runtime.ts";
import { encodeOnnx, nextName } from "./encode.ts";

export interface OrtOptions {
  /** Threads inside an op; more pay from 128 hidden units on. */
  readonly threads?: number;
  readonly precision?: "float32" | "float64";
}
type Ort = typeof import("onnxruntime-node");
type Kind = "float32" | "float64";
/** Tensors by name, as a session takes and returns them. */
type Bag = Record<string, OrtTensor>;

/**
 * How sessions are made. The arena halves the time of a step; patterns of memory only cost memory; spinning threads burn
 * what other folds could use; numbers below 1e-38 are slow and mean nothing here.
 */
export const sessionOptions = (threads: number): InferenceSession.SessionOptions => ({
  executionProviders: ["cpu"], executionMode: "sequential", graphOptimizationLevel: "all",
  intraOpNumThreads: threads, interOpNumThreads: 1, enableCpuMemArena: true, enableMemPattern: false,
  logSeverityLevel: 3,
  extra: { session: { set_denormal_as_zero: "1", intra_op: { allow_spinning: "0" } } },
});

/** In ONNX an output cannot have the name of an input; in a graph it can. */
const resultName = (output: string): string => `result/${output}`;

/** ONNX Runtime on the CPU. A compiled program takes tens of milliseconds to make and holds native memory. */
export function ortRuntime({ threads = 1, precision = "float32" }: OrtOptions = {}): Runtime {
  return {
    name: "ort",
    async compile(graph) {
      const ort = await import("onnxruntime-node");
      const outputs = graph.outputs.map(({ name, tensor }) => ({ name: resultName(name), tensor }));
      const bytes = encodeOnnx({ ...graph, outputs }, { precision, isOwn: true });
      const session = await ort.InferenceSession.create(bytes, sessionOptions(threads));
      return makeProgram(ort, graph, session, precision);
    },
  };
}

function makeProgram(ort: Ort, graph: Graph, session: InferenceSession, kind: Kind): Program {
  const isOpen = openSizes(graph).length > 0;
  const changing = graph.state.filter(({ tensor, next }) => next !== tensor);
  const fixed = graph.state.filter(({ tensor, next }) => next === tensor);
  const shapes = new Map(graph.state.map(({ name, tensor }) => [name, sizesOf(tensor.shape)]));
  const empty = (shape: Shape, sizes?: Sizes): OrtTensor => emptyTensor(ort, kind, sizesOf(shape, sizes));
  const kept: Bag = bagOf(fixed, ({ tensor }) => empty(tensor.shape));
  let now: Bag = bagOf(changing, ({ tensor }) => empty(tensor.shape));
  let next: Bag = bagOf(changing, ({ tensor }) => empty(tensor.shape));
  let outputs: { key: string; bag: Bag } | null = null;

  function outputsFor(sizes: Sizes): Bag {
    const key = JSON.stringify(sizes);
    if (outputs?.key !== key) outputs = { key, bag: bagOf(graph.outputs, ({ tensor }) => empty(tensor.shape, sizes)) };
    return outputs.bag;
  }

  const stateOf = (name: string): OrtTensor => {
    const found = now[name] ?? kept[name];
    assert(found !== undefined, `graph ${graph.name} has no state ${name}`);
    return found;
  };

  return {
    async run(feeds) {
      for (const name of Object.keys(feeds)) {
        assert(graph.inputs.some((one) => one.name === name), `graph ${graph.name} has no input ${name}`);
      }
      const sizes = isOpen ? matchSizes(graph.inputs.map(({ name, tensor }) =>
        ({ expected: tensor.shape, found: fed(feeds, name).shape }))) : {};
      const bag: Bag = { ...kept, ...now };
      for (const { name, tensor } of graph.inputs) bag[name] = toTensor(ort, kind, fed(feeds, name), name, tensor.shape, sizes);
      const fetched = outputsFor(sizes);
      const fetches: Bag = {};
      for (const [name, tensor] of Object.entries(fetched)) fetches[resultName(name)] = tensor;
      for (const { name } of changing) fetches[nextName(name)] = next[name];
      await session.run(bag, fetches);
      [now, next] = [next, now];
      return Object.fromEntries(Object.entries(fetched).map(([name, tensor]) => [name, valuesOf(tensor)]));
    },
    async read(names) {
      return Object.fromEntries(names.map((name) => {
        const { shape, values } = valuesOf(stateOf(name));
        return [name, { shape, values: values.slice() }];
      }));
    },
    async write(state) {
      for (const [name, { shape, values }] of Object.entries(state)) {
        const target = stateOf(name);
        assert(shapeText(shape) === shapeText(shapes.get(name)!) && values.length === target.size,
          `state ${name} is ${shapeText(shapes.get(name)!)}, not ${shapeText(shape)}`);
        (target.data as Float32Array).set(values);
      }
    },
    async [Symbol.asyncDispose]() { await session.release(); },
  };
}

function bagOf<Entry extends Named>(named: readonly Entry[], make: (entry: Entry) => OrtTensor): Bag {
  return Object.fromEntries(named.map((entry) => [entry.name, make(entry)]));
}

/** A tensor of zeros. */
export function emptyTensor(ort: Ort, kind: Kind, dims: readonly number[]): OrtTensor {
  const count = countOf(dims) as number;
  return kind === "float32" ? new ort.Tensor(kind, new Float32Array(count), dims)
    : new ort.Tensor(kind, new Float64Array(count), dims);
}

function fed(feeds: Tensors, name: string): Values {
  assert(Object.hasOwn(feeds, name), `the input ${name} is not fed`);
  return feeds[name];
}

/** A feed as the session takes it: its own array, unless it must become another kind of float. */
function toTensor(ort: Ort, kind: Kind, { shape, values }: Values, name: string, expected: Shape,
  sizes: Sizes): OrtTensor {
  assert(shape.length === expected.length && shape.every((size, axis) => size === sizeOf(expected[axis], sizes)),
    `the input ${name} is ${shapeText(expected)}, not ${shapeText(shape)}`);
  assert(values.length === countOf(shape), `the input ${name} has ${values.length} values for ${shapeText(shape)}`);
  return kind === "float32"
    ? new ort.Tensor(kind, values instanceof Float32Array ? values : Float32Array.from(values), shape)
    : new ort.Tensor(kind, values instanceof Float64Array ? values : Float64Array.from(values), shape);
}

const valuesOf = (tensor: OrtTensor): Values =>
  ({ shape: tensor.dims, values: tensor.data as Float32Array | Float64Array });
