/** Sentences a reader of the result must know. */
import { formatDay, MS_PER_DAY, TRADING_DAYS_PER_YEAR } from "../base/units.ts";
import { RISK_REASONS, type RiskReason } from "../strategy/risk.ts";
import type { Alignment } from "./align.ts";
import { sizingOf, type BacktestInput, type BacktestSettings } from "./input.ts";
import type { WindowResult } from "./result.ts";
import type { Stretch } from "./simulate.ts";
import { alarms } from "./summary.ts";
import type { RunFacts } from "./vector.ts";

interface Facts extends RunFacts {
  readonly windows: readonly WindowResult[];
  readonly stretches: readonly Stretch[];
  readonly alignment: Alignment;
}

/** Within these first dates of a window everybody who is there from its start has been decided on. */
const START_DATES = 21;

const plural = (count: number, noun: string): string =>
  `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;

export function vectorNotes(input: BacktestInput, facts: Facts): string[] {
  const { dataset, settings } = input, { time, count, eligible } = facts.alignment;
  const notes: string[] = [];
  if (dataset.isSynthetic) {
    notes.push("The market is synthetic: made by a random generator, not by anybody's trading.");
  }
  notes.push(...alarms(facts.windows, settings.periodsPerYear));
  const never = input.instruments.filter((_, i) => !eligible[i].includes(1)).map((one) =>
    one.instrument.symbol);
  if (never.length > 0) {
    notes.push(`Never decided on, having too few bars before or in these days: ${few(never)}.`);
  }
  if (facts.stretches[0].isCarried) {
    const start = formatDay(Math.floor(time[0] / MS_PER_DAY));
    notes.push(`The book runs from ${start} and carries its positions into each window; every trade is `
      + "charged, the first one too.");
  } else notes.push(`Each window starts with no positions; its first trades are charged.`);
  if (facts.stretches.some(({ from, instruments, isReported }) =>
    isReported && Math.max(...count.subarray(from, from + START_DATES)) < instruments)) {
    notes.push("N counts every instrument decided on in a window, late starters too: the papers' convention, "
      + "known only at its end. It scales all weights of the window alike.");
  }
  notes.push(settings.lag === 0
    ? "A position decided at a close is held from that close to the next; its return is booked on the day of "
      + "the decision."
    : "A position decided at a close is held from the next close to the one after; its return is booked on "
      + "the day of the decision.");
  if (dataset.timeframe !== "1d") {
    notes.push(...intradayNotes(dataset.timeframe, settings));
  }
  if (facts.clipped > 0) {
    const were = facts.clipped === 1 ? "was" : "were";
    notes.push(`${plural(facts.clipped, "weight")} would have been larger than ${settings.weightMax} `
      + `and ${were} clipped.`);
  }
  if (facts.unscaled > 0) {
    notes.push(`${plural(facts.unscaled, "decision")} had no volatility to scale by and got weight 0.`);
  }
  const { method = "volatility" } = settings;
  if (method !== "volatility") {
    notes.push(`The weights of a date are optimised together (${method}), at the risk they had before, with `
      + "the correlations of the 250 bars up to it.");
  }
  for (const [reason, dates] of facts.limited) {
    notes.push(`On ${plural(dates, "date")}: ${RISK_REASONS[reason as RiskReason]}.`);
  }
  return notes;
}

function intradayNotes(timeframe: string, settings: BacktestSettings): string[] {
  const perSession = (periods: number): string =>
    Math.round(periods / TRADING_DAYS_PER_YEAR).toLocaleString("en-US");
  const counted = perSession(settings.periodsPerYear);
  const expected = perSession(sizingOf(settings).periodsPerYear);
  const notes = [`Returns run from close to close of ${timeframe} bars, the night included as one of `
    + `them; a year is counted as ${TRADING_DAYS_PER_YEAR} sessions of ${counted}, as many as there were on `
    + "average."];
  if (counted !== expected) {
    notes.push(`Weights are sized for the calendar's ${expected} bars a session: an instrument with more of `
      + "them is more volatile than its target, one with fewer is less.");
  }
  return notes;
}

function few(names: readonly string[]): string {
  return names.length <= 8 ? names.join(", ")
    : `${names.slice(0, 8).join(", ")} and ${names.length - 8} more`;
}
