import { nativeRuntime } from "../src/runtime/native/program.ts";
import { checkRuntime } from "./conformance/runtime.ts";

checkRuntime("native, 1 thread", nativeRuntime(), 1e-5);
