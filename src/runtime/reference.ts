/**
 * The oracle: an interpreter in float64 that says what a graph means. Blocks are computed by their
 * decomposition, so it knows no fast path that could be wrong. Slow by design; small graphs run in
 * microseconds to milliseconds.
 */
import { assert } from "../base/assert.ts";
import { shapeText, sizesOf, type Sizes } from "../graph/dimension.ts";
import { matchSizes, resultsOf, type Graph } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { makeDense, type Dense } from "./reference/kernels.ts";
import { makePlan, type Plan } from "./reference/plan.ts";
import { checkNames, type Program, type Runtime, type Tensors, type Values } from "./runtime.ts";

export const reference: Runtime = {
  name: "reference",
  compile: (graph) => Promise.resolve(programOf(graph)),
};

/** A graph planned for one set of sizes. */
interface Bound {
  readonly sizes: Sizes;
  /** Arrays of inputs and state, by name. */
  readonly given: ReadonlyMap<string, Dense>;
  readonly plan: Plan;
}

function programOf(graph: Graph): Program {
  const state = new Map<string, Dense>();
  let bound: Bound | null = null;

  function stateTensor(name: string): Tensor {
    const one = graph.state.find((candidate) => candidate.name === name);
    assert(one !== undefined, `graph ${graph.name} has no state ${name}`);
    return one.tensor;
  }

  return {
    run(feeds) {
      checkNames(graph, feeds);
      const values: Tensors = { ...Object.fromEntries(state), ...feeds };
      const sizes = sizesFor(graph, values);
      if (bound === null || !isSameSizes(bound.sizes, sizes)) bound = bindGraph(graph, sizes);
      const { given, plan } = bound;
      for (const [name, { values: array }] of given) {
        // State that was never written stays as it was made: zero.
        if (Object.hasOwn(values, name)) array.set(values[name].values);
      }
      plan.run();
      const results = plan.results.map(copyOf);
      graph.state.forEach(({ name, tensor, next }, k) => {
        if (next !== tensor) state.set(name, results[graph.outputs.length + k]);
      });
      const outputs = graph.outputs.map(({ name }, k) => [name, results[k]] as const);
      return Promise.resolve(Object.fromEntries(outputs));
    },

    read(names) {
      return Promise.resolve(Object.fromEntries(names.map((name) => {
        const zero = (): Dense => makeDense(sizesOf(stateTensor(name).shape));
        return [name, copyOf(state.get(name) ?? zero())];
      })));
    },

    write(given) {
      for (const [name, one] of Object.entries(given)) {
        checkShape(name, one, stateTensor(name));
        state.set(name, copyOf(one));
      }
      return Promise.resolve();
    },

    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

const copyOf = ({ shape, values }: Values): Dense =>
  ({ shape: [...shape], values: Float64Array.from(values) });

function bindGraph(graph: Graph, sizes: Sizes): Bound {
  const given = [...graph.inputs, ...graph.state].map(({ name, tensor }) =>
    ({ name, tensor, array: makeDense(sizesOf(tensor.shape, sizes)) }));
  const arrays = given.map(({ tensor, array }) => [tensor, array] as const);
  return {
    sizes,
    given: new Map(given.map(({ name, array }) => [name, array])),
    plan: makePlan(arrays, resultsOf(graph), sizes),
  };
}

/** Sizes of the open dimensions, and that feeds and written state agree on them. */
function sizesFor(graph: Graph, values: Tensors): Sizes {
  const known = [...graph.inputs, ...graph.state].filter(({ name }) => Object.hasOwn(values, name));
  for (const { name, tensor } of known) checkShape(name, values[name], tensor);
  const sizes = matchSizes(known.map(({ name, tensor }) =>
    ({ expected: tensor.shape, found: values[name].shape })));
  for (const { name, tensor } of known) {
    const expected = sizesOf(tensor.shape, sizes);
    assert(expected.every((size, axis) => size === values[name].shape[axis]),
      `${name} ${shapeText(tensor.shape)} is ${shapeText(values[name].shape)}, `
      + `but the other inputs make it ${shapeText(expected)}`);
  }
  return sizes;
}

/** Everything about a shape that can be told without the other inputs. */
function checkShape(name: string, { shape, values }: Values, { shape: expected }: Tensor): void {
  assert(shape.length === expected.length
    && expected.every((size, axis) => typeof size === "string" || size === shape[axis]),
  `${name} is ${shapeText(expected)}, not ${shapeText(shape)}`);
  const count = shape.reduce((product, size) => product * size, 1);
  assert(values.length === count,
    `${name} ${shapeText(shape)} has ${values.length} values, not ${count}`);
}

const isSameSizes = (a: Sizes, b: Sizes): boolean =>
  Object.keys(a).length === Object.keys(b).length
  && Object.entries(a).every(([name, size]) => b[name] === size);
