/**
 * What is odd about an instrument's rows: `dmn fetch --check` prints it.
 *
 *   gaps         sessions of the calendar without any row, between the first row and the last
 *   closed days  rows on days without a session; rows outside regular hours are only counted
 *   stale runs   the same close again and again, with no volume or the same volume
 *   jumps        a return of many robust sigmas, told apart from recorded splits
 *   bad ticks    values that cannot be: x10, spike and return, high < low, crossed quotes
 *
 * The last three are price-checks.ts.
 * A minute without a trade is not an error: inside sessions only the share of missing bars is
 * reported. Lists are bounded (SHOWN_MAX, the earliest); `counts` are not.
 */
import { day, type Day } from "../base/units.ts";
import { TIMEFRAMES, type Bars, type CorporateAction } from "./bars.ts";
import type { Calendar, Session } from "./calendar.ts";
import {
  findBadTicks, findJumps, findStaleRuns, type BadTick, type Jump, type StaleRun,
} from "./price-checks.ts";

export type { BadTick, Jump, StaleRun } from "./price-checks.ts";

/** Findings listed of each sort. */
export const SHOWN_MAX = 100;

/** Sessions in a row without any row: the days of the first and the last one. */
export interface Gap {
  readonly from: Day;
  readonly to: Day;
  readonly sessions: number;
}

export interface QualityCounts {
  readonly gaps: number;
  readonly staleRuns: number;
  readonly jumps: number;
  readonly badTicks: number;
  readonly closedDays: number;
}

export interface QualityReport {
  readonly symbol: string;
  readonly rows: number;
  /** Times of the first and last row, UTC ms; NaN when there is no row. */
  readonly from: number;
  readonly to: number;
  readonly sessionsExpected: number;
  readonly sessionsMissing: number;
  /**
   * Bars that the sessions between first and last row would hold; NaN for ticks. Missing sessions
   * count in full.
   */
  readonly barsExpected: number;
  readonly barsMissing: number;
  /** Intraday rows outside regular hours, on days with a session. */
  readonly extendedRows: number;
  readonly gaps: readonly Gap[];
  readonly staleRuns: readonly StaleRun[];
  readonly jumps: readonly Jump[];
  readonly badTicks: readonly BadTick[];
  /** Days without a session that have rows. */
  readonly closedDays: readonly Day[];
  readonly counts: QualityCounts;
}

/** Collects findings: all are counted, the first SHOWN_MAX are kept. */
export class Findings<T> {
  readonly shown: T[] = [];
  count = 0;
  add(finding: T): void {
    if (this.count++ < SHOWN_MAX) this.shown.push(finding);
  }
}

/**
 * Inspects one instrument. `actions` are those that the prices still carry (adjust.ts,
 * owedActions): their jumps are expected. Costs O(T log T) time and O(T) memory.
 */
export function inspect(
  bars: Bars, calendar: Calendar, actions: readonly CorporateAction[] = [],
): QualityReport {
  const coverage = findGaps(bars, calendar);
  const badTicks = new Findings<BadTick>(), jumps = new Findings<Jump>();
  const staleRuns = new Findings<StaleRun>();
  const spikes = findBadTicks(bars, calendar, actions, badTicks);
  findJumps(bars, calendar, actions, spikes, jumps);
  findStaleRuns(bars, staleRuns);
  const { gaps, closedDays, ...facts } = coverage;
  return {
    symbol: bars.instrument.symbol, rows: bars.time.length,
    from: bars.time[0] ?? NaN, to: bars.time[bars.time.length - 1] ?? NaN, ...facts,
    gaps: gaps.shown, staleRuns: staleRuns.shown, jumps: jumps.shown, badTicks: badTicks.shown,
    closedDays: closedDays.shown,
    counts: {
      gaps: gaps.count, staleRuns: staleRuns.count, jumps: jumps.count, badTicks: badTicks.count,
      closedDays: closedDays.count,
    },
  };
}

/** The first part of `inspect` alone, at a tenth of its cost: what every fetch reports. */
export function missingSessions(bars: Bars, calendar: Calendar): number {
  return findGaps(bars, calendar).sessionsMissing;
}

interface Coverage {
  sessionsExpected: number;
  sessionsMissing: number;
  barsExpected: number;
  barsMissing: number;
  extendedRows: number;
  readonly gaps: Findings<Gap>;
  readonly closedDays: Findings<Day>;
}

/** One pass over the days from the first row's to the last row's, with the rows of each. */
function findGaps(bars: Bars, calendar: Calendar): Coverage {
  const found: Coverage = {
    sessionsExpected: 0, sessionsMissing: 0, barsExpected: 0, barsMissing: 0, extendedRows: 0,
    gaps: new Findings<Gap>(), closedDays: new Findings<Day>(),
  };
  const { time } = bars, rows = time.length;
  if (rows === 0) return found;
  const last = calendar.sessionDay(time[rows - 1]);
  let gap = null as Gap | null, row = 0;
  for (let today = calendar.sessionDay(time[0]); today <= last; today = day(today + 1)) {
    const first = row;
    while (row < rows && calendar.sessionDay(time[row]) === today) row++;
    const session = calendar.session(today);
    if (session === null) {
      if (row > first) found.closedDays.add(today);
      continue;
    }
    countBars(found, bars, session, first, row);
    found.sessionsExpected++;
    if (row > first) {
      if (gap !== null) found.gaps.add(gap);
      gap = null;
      continue;
    }
    gap = { from: gap?.from ?? today, to: today, sessions: (gap?.sessions ?? 0) + 1 };
    found.sessionsMissing++;
  }
  return found;
}

/** Bars a session should hold and does not; the first and last count only between their rows. */
function countBars(
  found: Coverage, bars: Bars, session: Session, first: number, end: number,
): void {
  const { time, timeframe } = bars, length = TIMEFRAMES[timeframe];
  if (timeframe === "tick") { found.barsExpected = found.barsMissing = NaN; }
  if (timeframe === "1d") {
    found.barsExpected++;
    if (end === first) found.barsMissing++;
    return;
  }
  let regular = 0;
  for (let i = first; i < end; i++) {
    if (time[i] > session.open && time[i] <= session.close) regular++;
  }
  found.extendedRows += end - first - regular;
  if (timeframe === "tick") return;
  const from = first === 0 ? Math.max(session.open, time[0] - length) : session.open;
  const to = end === time.length ? Math.min(session.close, time[end - 1]) : session.close;
  const expected = Math.max(0, Math.ceil((to - from) / length));
  found.barsExpected += expected;
  found.barsMissing += Math.max(0, expected - regular);
}
