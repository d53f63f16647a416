/** Sentences a reader of the result must know. */
import { formatDay, MS_PER_DAY } from "../base/units.ts";
import { RISK_REASONS, type RiskReason } from "../strategy/risk.ts";
import type { BacktestInput } from "./input.ts";
import type { WindowResult } from "./result.ts";
import type { Stretch } from "./simulate.ts";
import { alarms } from "./summary.ts";
import type { RunFacts } from "./vector.ts";

interface Facts extends RunFacts {
  readonly windows: readonly WindowResult[];
  readonly stretches: readonly Stretch[];
  readonly time: Float64Array;
  readonly eligible: readonly Uint8Array[];
}

const plural = (count: number, noun: string): string =>
  `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;

export function vectorNotes(input: BacktestInput, facts: Facts): string[] {
  const { dataset, settings } = input;
  const notes: string[] = [];
  if (dataset.isSynthetic) {
    notes.push("The market is synthetic: made by a random generator, not by anybody's trading.");
  }
  notes.push(...alarms(facts.windows, settings.periodsPerYear));
  const never = input.instruments.filter((_, i) => !facts.eligible[i].includes(1)).map((one) =>
    one.instrument.symbol);
  if (never.length > 0) {
    notes.push(`${plural(never.length, "instrument")} had too few bars to be decided on: ${few(never)}.`);
  }
  if (facts.stretches[0].isCarried) {
    const start = formatDay(Math.floor(facts.time[0] / MS_PER_DAY));
    notes.push(`The book runs from ${start} and carries its positions into each window; every trade is `
      + "charged, the first one too.");
  } else notes.push(`Each window starts with no positions; its first trades are charged.`);
  notes.push(settings.lag === 0
    ? "A position decided at a close is held from that close to the next; its return is booked on the day of "
      + "the decision."
    : "A position decided at a close is held from the next close to the one after; its return is booked on "
      + "the day of the decision.");
  if (dataset.timeframe !== "1d") {
    notes.push(`Returns run from close to close of ${dataset.timeframe} bars, the night included as one of `
      + `them; a year has ${Math.round(settings.periodsPerYear).toLocaleString("en-US")} of them.`);
  }
  if (facts.clipped > 0) {
    const were = facts.clipped === 1 ? "was" : "were";
    notes.push(`${plural(facts.clipped, "weight")} would have been larger than ${settings.leverageMax} `
      + `and ${were} clipped.`);
  }
  if (facts.unscaled > 0) {
    notes.push(`${plural(facts.unscaled, "decision")} had no volatility to scale by and got weight 0.`);
  }
  for (const [reason, dates] of facts.limited) {
    notes.push(`On ${plural(dates, "date")}: ${RISK_REASONS[reason as RiskReason]}.`);
  }
  return notes;
}

function few(names: readonly string[]): string {
  return names.length <= 8 ? names.join(", ")
    : `${names.slice(0, 8).join(", ")} and ${names.length - 8} more`;
}
