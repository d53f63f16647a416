import type { BacktestInput } from "./input.ts";
import type { BacktestResult } from "./result.ts";

/** The event engine's input is the vector engine's. */
export type EventInput = BacktestInput;

export function runEvent(_input: EventInput): Promise<BacktestResult> {
  return Promise.reject(new Error("the event engine is being built"));
}
