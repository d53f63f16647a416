import { ortRuntime } from "../src/runtime/ort/program.ts";
import { checkRuntime } from "./conformance/runtime.ts";

// float64 differs from the oracle by the order of its sums; float32 by 24-bit rounding over the longest chain of ops.
checkRuntime("ort in float64", ortRuntime({ precision: "float64" }), 1e-12);
checkRuntime("ort in float32", ortRuntime(), 1e-5);
