/**
 * A plan computes tensors from tensors whose values are given, node by node. Graphs, steps of a
 * scan and blocks (by their decomposition) are all plans.
 */
import { assert } from "../../base/assert.ts";
import { isSameShape, sizesOf, type Sizes } from "../../graph/dimension.ts";
import type { PrimitiveName } from "../../graph/op.ts";
import { input } from "../../graph/ops.ts";
import { orderNodes } from "../../graph/order.ts";
import { decompose } from "../../graph/rewrite.ts";
import { isBlock, type Node, type Tensor } from "../../graph/tensor.ts";
import { KERNELS, makeDense, type Dense, type Kernel } from "./kernels.ts";

export interface Plan {
  /** Computes `results` from what the given arrays hold now. */
  readonly run: () => void;
  readonly results: readonly Dense[];
}

/**
 * Plans `results`, which reach no `input` but the given. No array is written but by its own node.
 */
export function makePlan(given: readonly (readonly [Tensor, Dense])[], results: readonly Tensor[],
  sizes: Sizes): Plan {
  const values = new Map(given);
  const steps: (() => void)[] = [];
  const valueOf = (tensor: Tensor): Dense => {
    const value = values.get(tensor);
    assert(value !== undefined, `a tensor of ${tensor.node.op} has no value`);
    return value;
  };
  for (const node of orderNodes(results)) {
    if (node.outputs.every((output) => values.has(output))) continue;
    const { step, outputs } = planNode(node, node.inputs.map(valueOf), sizes);
    steps.push(step);
    node.outputs.forEach((output, k) => values.set(output, outputs[k]));
  }
  return { run: () => { for (const step of steps) step(); }, results: results.map(valueOf) };
}

function planNode(node: Node, inputs: readonly Dense[], sizes: Sizes):
{ step: () => void; outputs: readonly Dense[] } {
  if (isBlock(node.op)) {
    const places = node.inputs.map(({ shape }, k) => input(`${node.op}/${k}`, shape));
    const results = decompose(node, places);
    assert(results.length === node.outputs.length
      && results.every((result, k) => isSameShape(result.shape, node.outputs[k].shape)),
    `${node.op} decomposes into other shapes than its own`);
    const plan = makePlan(places.map((place, k) => [place, inputs[k]] as const), results, sizes);
    return { step: plan.run, outputs: plan.results };
  }
  const outputs = node.outputs.map(({ shape }) => makeDense(sizesOf(shape, sizes)));
  const kernel = KERNEL_OF[node.op] as (...call: Parameters<Kernel<never>>) => () => void;
  return { step: kernel(inputs, outputs, node.attributes as never, sizes), outputs };
}

/** The states of a step are the finals' arrays until the next step; a body may swap its states. */
const scan: Kernel<"scan"> = (inputs, outputs, { body, isReverse }, sizes) => {
  const places = [...body.states, ...body.elements, ...body.captured]
    .map((place) => [place, makeDense(sizesOf(place.shape, sizes))] as const);
  const plan = makePlan(places, [...body.nextStates, ...body.emits], sizes);
  const S = body.states.length, E = body.elements.length;
  const argument = places.map(([, { values }]) => values);
  const steps = inputs[S].shape[0];
  return () => {
    for (let k = 0; k < S; k++) outputs[k].values.set(inputs[k].values);
    for (let k = S + E; k < argument.length; k++) argument[k].set(inputs[k].values);
    for (let step = 0; step < steps; step++) {
      const t = isReverse ? steps - 1 - step : step;
      for (let k = 0; k < S; k++) argument[k].set(outputs[k].values);
      for (let k = S; k < S + E; k++) {
        const size = argument[k].length;
        argument[k].set(inputs[k].values.subarray(t * size, (t + 1) * size));
      }
      plan.run();
      plan.results.forEach(({ values }, k) => {
        outputs[k].values.set(values, k < S ? 0 : t * values.length);
      });
    }
  };
};

const KERNEL_OF = { ...KERNELS, scan } as const satisfies { [Name in PrimitiveName]: Kernel<Name> };
