/** What tests of pruners share. */
import { makePruner } from "../src/tune/pruners/pruners.ts";
import type { Pruner, Report } from "../src/tune/pruners/pruner.ts";

export const everyone = (): boolean => true;
export const report = (number: number, step: number, losses: ArrayLike<number> | number, violation = 0): Report =>
  ({ number, step, losses: Float64Array.from(typeof losses === "number" ? [losses] : losses), violation });
export const make = (name: string, settings: Record<string, number> = {}, objectives = 1, stepsMax = 1000): Pruner =>
  makePruner({ name, settings }, { objectives, stepsMax, seed: 1, study: "dmn" });
