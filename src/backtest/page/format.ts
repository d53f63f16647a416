/**
 * How a number reads, one way for the page and for the script inside it: these functions are also
 * sent to the browser as text (client.ts), so each stands alone and uses nothing but the language.
 */

/** What a series or a column holds. `count` is a whole number, `growth` a multiple of the start. */
export type Form = "percent" | "ratio" | "growth" | "count";

/** 0.0468 -> "4.68%"; a value that is not a number reads "n/a". */
export function formatPercent(value: number, digits: number): string {
  if (Number.isNaN(value)) return "n/a";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  const text = (value * 100).toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text) + "%";
}

/** 1.0133 -> "1.01" with two digits; "n/a" and "∞" as above. */
export function formatRatio(value: number, digits: number): string {
  if (Number.isNaN(value)) return "n/a";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

/** A value in the form of its series, in as many digits as a reader compares. */
export function formatValue(value: number, form: Form): string {
  if (form === "percent") return formatPercent(value, 2);
  if (form === "count" && Number.isFinite(value)) return Math.round(value).toLocaleString("en-US");
  return formatRatio(value, form === "growth" ? 3 : 2);
}

/** Digits after the point that ticks of this distance need: 2.5 -> 1, 0.05 -> 2, 20 -> 0. */
export function digitsOf(step: number): number {
  let digits = 0;
  while (digits < 5 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6)
    digits++;
  return digits;
}

/** UTC: 2008-10-10, with the time of day where a day has more than one period. */
export function formatMoment(timeMs: number, isIntraday: boolean): string {
  const text = new Date(timeMs).toISOString();
  return isIntraday ? `${text.slice(0, 10)} ${text.slice(11, 16)}` : text.slice(0, 10);
}
