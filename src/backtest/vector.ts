import type { BacktestInput } from "./input.ts";
import type { BacktestResult } from "./result.ts";

/** Weights for all dates at once, no orders. (signature first; the body follows) */
export function runVector(_input: BacktestInput): Promise<BacktestResult> {
  return Promise.reject(new Error("the vector engine is being built"));
}
