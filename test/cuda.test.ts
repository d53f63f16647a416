/**
 * Any graph on the GPU: the runtimes' suite, on this machine's GPU or, where it has none, on the emulated one
 * (test/emulator), which runs the same generated kernels on the CPU.
 */
import { test } from "node:test";
import { cudaRuntime } from "../src/runtime/cuda/program.ts";
import { checkRuntime } from "./conformance/runtime.ts";
import { someCuda } from "./cuda-device.ts";

const found = someCuda();
if (typeof found === "string") {
  test("graphs on the GPU", { skip: found }, () => undefined);
} else {
  // float32 products and sums, as on the CPU: 24-bit rounding over the longest chain of ops.
  checkRuntime(found.name, cudaRuntime({ cuda: found.cuda }), 1e-5);
}
