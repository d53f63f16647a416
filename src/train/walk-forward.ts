/**
 * Test windows -> folds: what a network of each window may have seen.
 *
 *     |.... train and validation ....|trainTo|embargo|testFrom ..... testTo|
 *
 * The sequences of a fold are cut by `cutFold` (dataset/sequence.ts) with the same rule: the last
 * label is the return up to the close of `trainTo`, which lies before the test.
 */
import { UserError } from "../base/error.ts";
import { day, dayOf, formatDay, MS_PER_DAY, type Day } from "../base/units.ts";

/** Days of decisions, both inclusive. */
export interface TestWindow {
  readonly from: Day;
  readonly to: Day;
}

export interface FoldDays {
  /** Year of its first test day, with month and day where a year has several. */
  readonly name: string;
  /** Last day whose return is a label of training or validation. */
  readonly trainTo: Day;
  readonly testFrom: Day;
  readonly testTo: Day;
}

/**
 * Consecutive windows of `years` years from the first of January of `from` to `last`; the last may
 * be shorter.
 */
export function stridedWindows(from: number, years: number, last: Day): TestWindow[] {
  const windows: TestWindow[] = [];
  const start = (year: number): number => Date.UTC(year, 0, 1) / MS_PER_DAY;
  for (let year = from; start(year) <= last; year += years) {
    windows.push({ from: day(start(year)), to: day(Math.min(start(year + years) - 1, last)) });
  }
  return windows;
}

/**
 * One fold per window. `closes`: ascending times of all sessions of the data, UTC ms. UserError
 * when a window has nothing before it, or windows overlap.
 */
export function foldsOf(windows: readonly TestWindow[], closes: Float64Array,
  embargo = 0): FoldDays[] {
  const years = windows.map(({ from }) => formatDay(from).slice(0, 4));
  return windows.map(({ from, to }, k) => {
    if (to < from || (k > 0 && from <= windows[k - 1].to)) {
      throw new UserError(
        `the test from ${formatDay(from)} to ${formatDay(to)} is empty or overlaps the one before`,
        "give --windows ascending years, and a shorter --window-years");
    }
    const before = closes.findIndex((close) => dayOf(close) >= from);
    const last = (before < 0 ? closes.length : before) - 1 - embargo;
    if (last < 1) {
      throw new UserError(`there is nothing to train on before ${formatDay(from)}`,
        "choose later --windows, or an earlier start of the data");
    }
    const isAlone = years.filter((year) => year === years[k]).length === 1;
    return { name: isAlone ? years[k] : formatDay(from), trainTo: dayOf(closes[last]),
      testFrom: from, testTo: to };
  });
}
