/**
 * Numbers that must not be mixed up carry their unit in the type where they cross a boundary.
 * Inside loops and typed arrays the unit is in the name (`costBps`, `timeMs`).
 */
declare const unit: unique symbol;
type Unit<Name extends string> = number & { readonly [unit]: Name };

/** Milliseconds since 1970-01-01T00:00Z. */
export type TimeMs = Unit<"TimeMs">;
/** A calendar day as whole days since 1970-01-01, no time zone. */
export type Day = Unit<"Day">;

export const MS_PER_SECOND = 1_000;
export const MS_PER_MINUTE = 60_000;
export const MS_PER_HOUR = 3_600_000;
export const MS_PER_DAY = 86_400_000;
/** Trading days a year, for every annualisation of daily numbers. */
export const TRADING_DAYS_PER_YEAR = 252;
export const BPS = 1e-4;

export const timeMs = (value: number): TimeMs => value as TimeMs;
export const day = (value: number): Day => value as Day;

/** The UTC day that contains a time. */
export const dayOf = (time: number): Day => Math.floor(time / MS_PER_DAY) as Day;

/** "2024-02-29" -> Day; null for anything that is not a real date in that form. */
export function parseDay(text: string): Day | null {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  if (!match) return null;
  const ms = Date.UTC(Number(match[1]), Number(match[2]) - 1, Number(match[3]));
  return formatDay(dayOf(ms)) === text ? dayOf(ms) : null;
}

export function formatDay(value: Day | number): string {
  return new Date(value * MS_PER_DAY).toISOString().slice(0, 10);
}

/** UTC, without milliseconds when they are zero: 2013-10-08T13:31:00Z. */
export function formatTime(value: TimeMs | number): string {
  return new Date(value).toISOString().replace(".000Z", "Z");
}
