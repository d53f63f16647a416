/**
 * Chooses the kernel of an LSTM stack: the first in the order that measurements justify which can do it.
 *
 *   H <= 64            lstm-block.cu   no exchange between multiprocessors
 *   B <= 32 (or 64)    lstm-grid.cu    every layer at once, h through L2
 */
import type { DeviceFacts } from "../launch.ts";
import type { LstmPlan, LstmPlanner, LstmStack } from "./stack.ts";
import { planLstmBlock } from "./block.ts";
import { planLstmGrid } from "./grid.ts";

const PLANNERS: readonly LstmPlanner[] = [planLstmBlock, planLstmGrid];

/** The plan of a stack, or null where no kernel can do it: the caller then unrolls the layers' ops. */
export function planLstmStack(stack: LstmStack, device: DeviceFacts, prefix: string): LstmPlan | null {
  for (const planner of PLANNERS) {
    const plan = planner(stack, device, prefix);
    if (plan !== null) return plan;
  }
  return null;
}
