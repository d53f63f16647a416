/**
 * Graphs run by ONNX Runtime on the CPU, whole training steps among them. State lives in two sets
 * of tensors: a run reads one and writes the other, so nothing is copied or allocated between
 * steps.
 *
 *   feeds ──┐                        ┌── outputs (the program's own buffers)
 *           ├─ session.run ──────────┤
 *   now ────┘                        └── next        then now and next change places
 *
 * ONNX Runtime's Node binding runs a session synchronously on the calling thread, whatever its
 * promise says: training belongs in a worker. The package is loaded when a graph is compiled, so
 * that other commands start without it.
 */
import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { assert } from "../../base/assert.ts";
import { countOf, isSameShape, shapeText, sizesOf, type Shape, type Sizes } from "../../graph/dimension.ts";
import { matchSizes, openSizes, type Graph, type Named } from "../../graph/graph.ts";
import { checkNames, type Program, type Runtime, type Tensors, type Values } from "../runtime.ts";
import { encodeOnnx, nextName } from "./encode.ts";
import { emptyTensor, programOptions, toTensor, valuesOf, type Bag, type Kind, type Ort }
  from "./session.ts";

export interface OrtOptions {
  /** Threads inside an op; more pay from 128 hidden units on. */
  readonly threads?: number;
  readonly precision?: Kind;
}

/** In ONNX an output cannot have the name of an input; in a graph it can. */
const resultName = (output: string): string => `result/${output}`;

/**
 * ONNX Runtime on the CPU. Compiling takes tens of milliseconds; a program holds native memory
 * until it is disposed of.
 */
export function ortRuntime({ threads = 1, precision = "float32" }: OrtOptions = {}): Runtime {
  return {
    name: "ort",
    async compile(graph) {
      const ort = await import("onnxruntime-node");
      const outputs = graph.outputs.map(({ name, tensor }) => ({ name: resultName(name), tensor }));
      const bytes = encodeOnnx({ ...graph, outputs }, { precision, isOwn: true });
      const session = await ort.InferenceSession.create(bytes, programOptions(threads));
      return makeProgram(ort, graph, session, precision);
    },
  };
}

function makeProgram(ort: Ort, graph: Graph, session: InferenceSession, kind: Kind): Program {
  const isOpen = openSizes(graph).length > 0;
  const changing = graph.state.filter(({ tensor, next }) => next !== tensor);
  const fixed = graph.state.filter(({ tensor, next }) => next === tensor);
  const make = ({ tensor: { shape } }: Named, sizes?: Sizes): OrtTensor =>
    emptyTensor(ort, kind, sizesOf(shape, sizes));
  const kept = bagOf(fixed, make);
  let now = bagOf(changing, make);
  let next = bagOf(changing, make);
  let outputs: { key: string; bag: Bag } | null = null;

  function outputsFor(sizes: Sizes): Bag {
    const key = Object.entries(sizes).join();
    if (outputs?.key !== key) outputs = { key, bag: bagOf(graph.outputs, (named) => make(named, sizes)) };
    return outputs.bag;
  }

  function stateOf(name: string): OrtTensor {
    const found = now[name] ?? kept[name];
    assert(found !== undefined, `graph ${graph.name} has no state ${name}`);
    return found;
  }

  return {
    async run(feeds) {
      const sizes = checkFeeds(graph, feeds, isOpen);
      const given: Bag = { ...kept, ...now };
      for (const { name } of graph.inputs) given[name] = toTensor(ort, kind, feeds[name]);
      const results = outputsFor(sizes);
      const fetches: Bag = {};
      for (const { name } of graph.outputs) fetches[resultName(name)] = results[name];
      for (const { name } of changing) fetches[nextName(name)] = next[name];
      await session.run(given, fetches);
      [now, next] = [next, now];
      return Object.fromEntries(graph.outputs.map(({ name }) => [name, valuesOf(results[name])]));
    },

    async read(names) {
      return Object.fromEntries(names.map((name) => {
        const { shape, values } = valuesOf(stateOf(name));
        return [name, { shape, values: values.slice() }];
      }));
    },

    async write(state) {
      for (const [name, { shape, values }] of Object.entries(state)) {
        const { dims, data } = stateOf(name);
        assert(isSameShape(shape, dims) && values.length === data.length,
          `state ${name} is ${shapeText(dims)}, not ${shapeText(shape)}`);
        (data as Float32Array).set(values);
      }
    },

    async [Symbol.asyncDispose]() { await session.release(); },
  };
}

function bagOf(named: readonly Named[], make: (one: Named) => OrtTensor): Bag {
  return Object.fromEntries(named.map((one) => [one.name, make(one)]));
}

/** Asserts that a graph is fed what it takes; the sizes of its open dimensions. */
function checkFeeds(graph: Graph, feeds: Tensors, isOpen: boolean): Sizes {
  checkNames(graph, feeds);
  const sizes = isOpen ? matchSizes(graph.inputs.map(({ name, tensor }) =>
    ({ expected: tensor.shape, found: feeds[name].shape }))) : {};
  for (const { name, tensor } of graph.inputs) checkFeed(name, feeds[name], tensor.shape, sizes);
  return sizes;
}

function checkFeed(name: string, { shape, values }: Values, expected: Shape, sizes: Sizes): void {
  assert(isSameShape(shape, sizesOf(expected, sizes)),
    `the input ${name} is ${shapeText(expected)}, not ${shapeText(shape)}`);
  assert(values.length === countOf(shape),
    `the input ${name} has ${values.length} values for ${shapeText(shape)}`);
}
