/**
 * Divisions of rows in time: train first, a gap, then test. Nothing is trained on a label that overlaps the
 * test.
 *
 *     expanding  |train......|gap|test|            sliding  |train|gap|test|
 *                |train...........|gap|test|                     |train|gap|test|
 *
 * The gap has two reasons: **purge** rows whose label (the return after the decision) reaches into the test,
 * and **embargo** rows after which their influence is gone. The test may read features from the gap, never
 * labels. Lopez de Prado, "Advances in Financial Machine Learning" (2018), chapter 7.
 */
import { UserError } from "../base/error.ts";

/** Rows [from, to). */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface Fold {
  readonly train: Range;
  readonly test: Range;
}

export interface WalkForward {
  /** Rows of a test part. */
  readonly test: number;
  /** Rows of the first (expanding) or of each (sliding) training part. */
  readonly train: number;
  readonly purge?: number;
  readonly embargo?: number;
  readonly isExpanding?: boolean;
  /** Keep a last test part that is shorter than `test`. */
  readonly hasShortLast?: boolean;
}

/** Folds of rows 0..rows-1, in order; test parts follow each other without a gap and never overlap. */
export function walkForward(rows: number, options: WalkForward): Fold[] {
  const { test, train, purge = 0, embargo = 0, isExpanding = true, hasShortLast = false } = options;
  const gap = purge + embargo;
  if (train < 1 || test < 1 || train + gap + (hasShortLast ? 1 : test) > rows) {
    throw new UserError(`${rows} rows are too few for ${train} to train on, a gap of ${gap} `
      + `and ${test} to test on`,
      "choose shorter parts or a longer range of days");
  }
  const folds: Fold[] = [];
  for (let from = train + gap; from < rows; from += test) {
    const to = Math.min(from + test, rows);
    if (to - from < test && !hasShortLast) break;
    folds.push({ train: { from: isExpanding ? 0 : from - gap - train, to: from - gap }, test: { from, to } });
  }
  return folds;
}

/**
 * The last `share` of an instrument's rows is for validation: whole rows, at least one of each when there are
 * two.
 */
export function splitValidation(rows: number, share = 0.1): { train: Range; validation: Range } {
  const most = Math.max(rows - 1, 0);
  const at = Math.max(Math.min(Math.floor(rows * (1 - share) + 1e-9), most), Math.min(1, most));
  return { train: { from: 0, to: at }, validation: { from: at, to: rows } };
}
