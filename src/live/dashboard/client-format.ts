/**
 * How numbers read on the page. Sent to the browser as text (client.ts), so each function stands alone or
 * uses only others that are sent. A number that there is none of is "–".
 */

/** 100512.5 -> "100,512.50"; from a hundred thousand on without cents. */
export function money(value: number | null): string {
  if (value === null) return "–";
  const digits = Math.abs(value) >= 99999.995 ? 0 : 2;
  const text = Math.abs(value).toLocaleString("en-US",
    { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return value < 0 && Number(text.replaceAll(",", "")) !== 0 ? "−" + text : text;
}

/** The same with its sign: "+512.50", "−3.10", "0.00". */
export function signedMoney(value: number | null): string {
  const text = money(value);
  return value !== null && value > 0 && /[1-9]/.test(text) ? "+" + text : text;
}

/** 0.0123 -> "1.23%". */
export function percent(value: number | null, digits = 2): string {
  if (value === null) return "–";
  const text = (Math.abs(value) * 100).toFixed(digits) + "%";
  return value < 0 && /[1-9]/.test(text) ? "−" + text : text;
}

export function signedPercent(value: number | null, digits = 2): string {
  const text = percent(value, digits);
  return value !== null && value > 0 && /[1-9]/.test(text) ? "+" + text : text;
}

/** Units held: up to four digits behind the point, no more than there are. */
export function units(value: number | null): string {
  if (value === null) return "–";
  const text = Math.abs(value).toLocaleString("en-US", { maximumFractionDigits: 4 });
  return value < 0 && text !== "0" ? "−" + text : text;
}

/** Four digits that matter: 0.1234, 12.34, 1,234. */
export function price(value: number | null): string {
  if (value === null) return "–";
  const digits = value >= 1000 ? 2 : value >= 1 ? 2 : 4;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Microseconds: "87 µs", "1.25 ms", "2.1 s". */
export function micros(value: number | null): string {
  if (value === null) return "–";
  if (value < 999.5) return value.toFixed(value < 9.95 ? 1 : 0) + " µs";
  if (value < 999_500) return (value / 1000).toFixed(value < 9950 ? 2 : value < 99_500 ? 1 : 0) + " ms";
  return (value / 1e6).toFixed(1) + " s";
}

/** 1234567 -> "1.23 M", 12345 -> "12.3 k", 950 -> "950"; what no broker grants is "unlimited". */
export function short(value: number | null): string {
  if (value === null) return "–";
  if (value >= 1e12) return "unlimited";
  if (value < 9999.5) return value.toLocaleString("en-US", { maximumFractionDigits: value < 10 ? 1 : 0 });
  if (value < 999_950) return (value / 1000).toFixed(1) + " k";
  return value < 999.95e6 ? (value / 1e6).toFixed(2) + " M" : (value / 1e9).toFixed(2) + " bn";
}

/** UTC time of day, with as much of its date as differs from `today`'s. */
export function moment(at: number | null, today: number | null): string {
  if (at === null) return "–";
  const text = new Date(at).toISOString(), time = text.slice(11, 19);
  const day = today === null ? "" : new Date(today).toISOString().slice(0, 10);
  if (day === text.slice(0, 10)) return time;
  return text.slice(day.slice(0, 4) === text.slice(0, 4) ? 5 : 0, 10) + " " + time;
}

/** "gain" or "loss" for the colour of a number, "" for none and for zero. */
export function tone(value: number | null): string {
  return value === null || Math.abs(value) < 1e-9 ? "" : value > 0 ? "gain" : "loss";
}
