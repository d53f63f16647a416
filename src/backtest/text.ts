import type { BacktestResult } from "./result.ts";

/** The report for a terminal, 100 columns at most. (signature first; the body follows) */
export function reportText(result: BacktestResult): string {
  return result.strategy;
}
