/**
 * Chooses the kernel of an LSTM stack.
 *
 *   H <= 64               lstm-block.cu   no exchange between multiprocessors
 *   B <= 8, H <= 512      lstm-wave.cu    a cluster of blocks for each layer, h through its shared memory
 *   small B, H <= 1024    lstm-grid.cu    every layer at once, h through L2
 *   large B               lstm-tile.cu    wgmma, weights on chip
 *   larger B or H         lstm-stream.cu  wgmma, weights from L2
 *
 * Between the last three their models of measured times decide.
 */
import type { DeviceFacts } from "../launch.ts";
import type { LstmPlan, LstmPlanner, LstmStack } from "./stack.ts";
import { planLstmBlock } from "./block.ts";
import { gridShapes, planLstmGrid } from "./grid.ts";
import { planLstmStream, streamShapes } from "./stream.ts";
import { planLstmTile, tileShapes } from "./tile.ts";
import { planLstmWave } from "./wave.ts";

/** The plan of a stack, or null where no kernel can do it: the caller then unrolls the layers' ops. */
export function planLstmStack(stack: LstmStack, device: DeviceFacts, prefix: string): LstmPlan | null {
  const planners: LstmPlanner[] = [planLstmBlock, planLstmWave, ...byEstimate(stack, device)];
  for (const planner of planners) {
    const plan = planner(stack, device, prefix);
    if (plan !== null) return plan;
  }
  return null;
}

function byEstimate(stack: LstmStack, device: DeviceFacts): LstmPlanner[] {
  const choices: [LstmPlanner, readonly { readonly estimateUs: number }[]][] = [
    [planLstmGrid, gridShapes(stack, device)], [planLstmTile, tileShapes(stack, device)],
    [planLstmStream, streamShapes(stack, device)]];
  const estimates = choices.map(([planner, shapes]) =>
    ({ planner, us: shapes.at(0)?.estimateUs ?? Infinity }));
  return estimates.sort((left, right) => left.us - right.us).map(({ planner }) => planner);
}
