/** Stacks for the tensor-core LSTMs' tests, and their plans on the emulated GPU beside float64. */
import assert from "node:assert/strict";
import { random } from "../../src/base/random.ts";
import type { Cuda } from "../../src/runtime/cuda/driver/device.ts";
import type { CudaPrecision } from "../../src/runtime/cuda/launch.ts";
import type { LstmPlan, LstmStack, LstmWeights } from "../../src/runtime/cuda/lstm/stack.ts";
import { lstmReference } from "./lstm-reference.ts";
import { runLaunches } from "./run.ts";

export const stackOf = (sizes: Partial<LstmStack>): LstmStack => ({ B: 512, T: 60, F: 200, H: 512, L: 2, precision: "float16",
  x: "x", ringStart: null, states: null, result: { kind: "head", buffer: "out", columns: 1, activation: "tanh" },
  done: null, ...sizes });

/** Few steps out of a ring, runs counted. */
export const SHORT = stackOf({ T: 3, F: 10, L: 2, ringStart: "start", done: "done" });

/** The tolerances, relative over the batch. */
export const TOLERANCE = { float16: 2e-3, bfloat16: 1e-2, float32: 0 } satisfies Record<CudaPrecision, number>;

export const floats = (bytes: Uint8Array): Float32Array => new Float32Array(bytes.slice().buffer);

/** Numbers that float16 holds nearly, small enough for gates that are not saturated. */
function weightsOf({ F, H, L, result }: LstmStack): LstmWeights {
  const chance = random(5, "tile"), columns = result.kind === "head" ? result.columns : 0;
  const values = (count: number, scale: number): Float32Array =>
    Float32Array.from({ length: count }, () => (2 * chance.uniform() - 1) * scale);
  const layers = Array.from({ length: L }, (_, layer) => ({ wx: values((layer === 0 ? F : H) * 4 * H, 0.3),
    wh: values(H * 4 * H, 0.2), bias: values(4 * H, 0.5) }));
  return { layers, head: columns === 0 ? null : { w: values(H * columns, 0.3), b: values(columns, 0.3) } };
}

/** What a plan of SHORT's kind says after `times` runs, each counted, and what float64 says. */
export function runStack(cuda: Cuda, stack: LstmStack, plan: LstmPlan, ringStart: number, times: number):
  { out: Uint8Array; expected: ReturnType<typeof lstmReference> } {
  const weights = weightsOf(stack), chance = random(6, "x"), { B, T, F, H, result } = stack;
  const x = Float32Array.from({ length: B * T * F }, () => 2 * chance.uniform() - 1);
  const bytes = { head: B * 4 * (result.kind === "head" ? result.columns : 0), last: B * H * 4, all: T * B * H * 2 };
  const outputs = runLaunches(cuda, { launches: plan.launches, buffers: [...plan.buffers,
    { name: "x", bytes: x.byteLength, role: "input" }, { name: "start", bytes: 4, role: "input" },
    { name: "out", bytes: bytes[result.kind], role: "output" }, { name: "done", bytes: 4, role: "state" }] },
  { x, start: Uint32Array.of(ringStart), done: Uint32Array.of(0), ...Object.fromEntries(plan.pack(weights)) }, times);
  const done = new Uint32Array((outputs.get("done") as Uint8Array).slice().buffer);
  assert.deepEqual([...done], [times * plan.completions]);
  return { out: outputs.get("out") as Uint8Array, expected: lstmReference(stack, weights, x, { ringStart }) };
}
