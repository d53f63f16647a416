/**
 * Which days are tested: whole years one after the other, or one range. Refuses what the data cannot answer.
 */
import { UserError } from "../base/error.ts";
import { day, formatDay, MS_PER_DAY, type Day } from "../base/units.ts";
import type { Window } from "./input.ts";

export interface WindowChoice {
  /** First years of the windows, ascending; empty: one window over everything. */
  readonly years: readonly number[];
  /** Length of each; null: up to the next one, five years for a single one. */
  readonly windowYears: number | null;
  readonly from: Day | null;
  readonly to: Day | null;
}

/** Years of a window when nothing says otherwise: what the papers use. */
const YEARS_DEFAULT = 5;

const firstDayOf = (year: number): Day => day(Date.UTC(year, 0, 1) / MS_PER_DAY);

/** `first` and `last`: days of the dataset's first and last bar. */
export function chooseWindows(choice: WindowChoice, dataset: string, first: Day, last: Day): Window[] {
  const from = day(Math.max(choice.from ?? first, first)), to = day(Math.min(choice.to ?? last, last));
  const span = `${dataset} has bars from ${formatDay(first)} to ${formatDay(last)}`;
  if (choice.from !== null && choice.to !== null && choice.from > choice.to) {
    throw new UserError(`the range from ${formatDay(choice.from)} to ${formatDay(choice.to)} is empty`,
      "give --from a day before --to");
  }
  if (from > to) {
    const asked = choice.from !== null && choice.from > last ? `after ${formatDay(choice.from)}`
      : `before ${formatDay(choice.to!)}`;
    throw new UserError(`there is no bar ${asked}: ${span}`, "choose --from and --to inside of that");
  }
  if (choice.years.length === 0) return [{ from, to }];
  return yearWindows(choice.years, choice.windowYears, dataset, first, last)
    .map((window) => ({ from: day(Math.max(window.from, from)), to: day(Math.min(window.to, to)) }))
    .filter((window, k) => {
      if (window.from <= window.to) return true;
      throw new UserError(`the window from ${choice.years[k]} lies outside of --from and --to`,
        `leave ${choice.years[k]} out of --windows, or widen the range`);
    });
}

function yearWindows(years: readonly number[], length: number | null, dataset: string, first: Day,
  last: Day): Window[] {
  const gaps = years.slice(1).map((year, k) => year - years[k]);
  const step = length ?? (gaps.length > 0 ? Math.min(...gaps) : YEARS_DEFAULT);
  const at = gaps.findIndex((gap) => gap < step);
  if (at >= 0 || step < 1) {
    const k = Math.max(at, 0);
    throw new UserError(`windows of ${Math.max(step, 1)} years from ${years[k]} and ${years[k + 1]} overlap`,
      `choose --window-years ${Math.max(1, gaps[k])} or other --windows, each year once`);
  }
  return years.map((year) => {
    if (firstDayOf(year) > last) {
      throw new UserError(`${year} has no bars; ${dataset} ends ${formatDay(last)}`,
        "leave it out of --windows, or fetch more");
    }
    if (firstDayOf(year + step) <= first) {
      throw new UserError(`the ${step} years from ${year} have no bars; `
        + `${dataset} starts ${formatDay(first)}`,
        "leave it out of --windows, or fetch more");
    }
    return { from: firstDayOf(year), to: day(firstDayOf(year + step) - 1) };
  });
}
