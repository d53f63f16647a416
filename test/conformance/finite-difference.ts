/**
 * Gradients against central finite differences, both in float64 (the reference runtime). With a
 * step of 1e-5 the truncation error is about 1e-10 of the third derivative and the rounding error
 * about 1e-11 of the loss, so 1e-6 of the largest entry leaves room and still finds a wrong sign,
 * factor, axis or missing term.
 */
import assert from "node:assert/strict";
import { random } from "../../src/base/random.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { makeGraph } from "../../src/graph/graph.ts";
import { orderNodes } from "../../src/graph/order.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { reference } from "../../src/runtime/reference.ts";
import type { Tensors, Values } from "../../src/runtime/runtime.ts";

export interface GradientCheck {
  /** Of the largest entry of each gradient. */
  readonly tolerance?: number;
  /** Times max(1, |x|). */
  readonly step?: number;
  /** Per tensor; more elements than this are sampled. */
  readonly coordinates?: number;
  readonly seed?: number;
}

export const nameOf = (tensor: Tensor): string => {
  assert(tensor.node.op === "input", "differentiates by `input` nodes");
  return tensor.node.attributes.name;
};

/**
 * Fails at the first coordinate where `gradient(loss, wrt)` is not what finite differences of
 * `loss` () say. `wrt` are `input` nodes of known size; `values` has a value for every input that
 * the loss reaches, by name.
 */
export async function checkGradient(loss: Tensor, wrt: readonly Tensor[], values: Tensors,
  { tolerance = 1e-6, step = 1e-5, coordinates = 24, seed = 0 }: GradientCheck = {}): Promise<void> {
  const inputs = orderNodes([loss]).flatMap((node) => (node.op === "input" ? node.outputs : []));
  const feeds = Object.fromEntries(inputs.map((tensor) => {
    const { shape, values: found } = values[nameOf(tensor)];
    return [nameOf(tensor), { shape, values: Float64Array.from(found) }];
  }));
  const gradients = Object.fromEntries(gradient(loss, wrt).map((tensor, k) => [nameOf(wrt[k]), tensor]));
  await using slopes = await reference.compile(makeGraph("gradients", { inputs, outputs: { ...gradients, loss } }));
  const found = await slopes.run(feeds);
  const size = Math.abs(found["loss"].values[0]);
  await using program = await reference.compile(makeGraph("loss", { inputs, outputs: { loss } }));
  const lossNow = async (): Promise<number> => (await program.run(feeds))["loss"].values[0];

  for (const tensor of wrt) {
    const name = nameOf(tensor);
    const { shape, values: slope } = found[name];
    assert.deepEqual(shape, tensor.shape, `the gradient of ${name} has its shape`);
    // An input that the loss does not reach: nothing to move, zero throughout.
    const x = Object.hasOwn(feeds, name) ? feeds[name].values : new Float64Array(slope.length);
    const scale = Math.max(1e-4 * Math.max(1, size), ...slope.map(Math.abs));
    for (const k of chooseCoordinates(x.length, coordinates, seed, name)) {
      const middle = x[k], width = step * Math.max(1, Math.abs(middle));
      x[k] = middle + width;
      const above = await lossNow(), top = x[k];
      x[k] = middle - width;
      const below = await lossNow(), bottom = x[k];
      x[k] = middle;
      const expected = (above - below) / (top - bottom);
      assert(Math.abs(slope[k] - expected) <= tolerance * scale,
        `d loss / d ${name}[${k}] is ${slope[k]}, finite differences say ${expected}`);
    }
  }
}

function chooseCoordinates(count: number, limit: number, seed: number, name: string): number[] {
  const every = Array.from({ length: count }, (_, k) => k);
  return count <= limit ? every : random(seed, "coordinates", name).shuffle(every).slice(0, limit);
}

/**
 * Fails when two arrays differ by more than `tolerance` of the expected one's largest element (or
 * of 1).
 */
export function assertClose(found: Values, expected: Values, tolerance: number, name: string): void {
  assert.deepEqual([...found.shape], [...expected.shape], `shape of ${name}`);
  assert.equal(found.values.length, expected.values.length, `size of ${name}`);
  const values = Float64Array.from(expected.values);
  const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  values.forEach((value, k) => {
    assert(Math.abs(found.values[k] - value) <= tolerance * scale, `${name}[${k}] is ${found.values[k]}, not ${value}`);
  });
}
