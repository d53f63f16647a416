/**
 * Cells of a CSV line, read from bytes without making strings. A number of at most 15 digits and 15
 * decimals is exact in one division: mantissa and power of ten are both exact doubles, so their
 * quotient is the nearest double (Clinger, "How to read floating point numbers accurately", 1990,
 * the fast path). Anything longer goes to Number().
 */
import { MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_SECOND } from "../../base/units.ts";

const [ZERO, NINE, DOT, MINUS, PLUS, COLON] = [0x30, 0x39, 0x2e, 0x2d, 0x2b, 0x3a];
const [COMMA, NEWLINE, RETURN] = [0x2c, 0x0a, 0x0d];
const DIGITS_EXACT = 15;
/** Every whole number below it is exact, and so were all the steps that made it. */
const MANTISSA_END = 10 ** DIGITS_EXACT;
const POWERS_OF_TEN = Float64Array.from({ length: DIGITS_EXACT + 1 }, (_, k) => 10 ** k);

/** Ends a cell: a comma, or the end of the line. */
export const isEnd = (byte: number): boolean =>
  byte === COMMA || byte === NEWLINE || byte === RETURN;

/**
 * Reads the number that starts at `at` into values[k], NaN when it is none or empty. Returns where
 * the cell ends. `bytes` must hold the whole line with its newline.
 */
export function readNumber(bytes: Uint8Array, at: number, values: Float64Array, k: number): number {
  const start = at;
  const isNegative = bytes[at] === MINUS;
  if (isNegative) at++;
  let mantissa = 0, decimals = 0, digit = bytes[at] - ZERO;
  const first = at;
  while (digit >= 0 && digit <= 9) {
    mantissa = mantissa * 10 + digit;
    digit = bytes[++at] - ZERO;
  }
  let seen = at - first;
  if (bytes[at] === DOT) {
    const point = at;
    digit = bytes[++at] - ZERO;
    while (digit >= 0 && digit <= 9) {
      mantissa = mantissa * 10 + digit;
      digit = bytes[++at] - ZERO;
    }
    decimals = at - point - 1;
    seen += decimals;
  }
  if (!isEnd(bytes[at]) || seen === 0 || mantissa >= MANTISSA_END || decimals > DIGITS_EXACT) {
    return readAnyNumber(bytes, start, values, k);
  }
  const value = decimals === 0 ? mantissa : mantissa / POWERS_OF_TEN[decimals];
  values[k] = isNegative ? -value : value;
  return at;
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

/** Long numbers, exponents, and what is not a number. */
function readAnyNumber(bytes: Uint8Array, start: number, values: Float64Array, k: number): number {
  let end = start;
  while (!isEnd(bytes[end])) end++;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
  const value = NUMBER.test(text) ? Number(text) : NaN;
  values[k] = Number.isFinite(value) ? value : NaN;
  return end;
}

/** Two digits as a number; above 99 or NaN when they are none. */
function pair(bytes: Uint8Array, at: number): number {
  const high = bytes[at] - ZERO, low = bytes[at + 1] - ZERO;
  return high >= 0 && high <= 9 && low >= 0 && low <= 9 ? high * 10 + low : NaN;
}

/** Reads stamps; remembers the last day, because neighbouring rows share it. */
export class StampReader {
  /** UTC ms of the stamp just read; NaN when it was not a stamp. */
  stamp = NaN;
  /** Whether it was a bare date. */
  isDate = false;
  #digits = -1;
  #dayMs = NaN;

  /** Reads the stamp that starts at `at`; returns where its cell ends. */
  read(bytes: Uint8Array, at: number): number {
    const year = pair(bytes, at) * 100 + pair(bytes, at + 2);
    const month = pair(bytes, at + 5), dayOfMonth = pair(bytes, at + 8);
    const digits = (year * 100 + month) * 100 + dayOfMonth;
    const hasDashes = bytes[at + 4] === MINUS && bytes[at + 7] === MINUS;
    if (Number.isNaN(digits) || !hasDashes) return this.#refuse(bytes, at);
    if (digits !== this.#digits) {
      this.#digits = digits;
      this.#dayMs = isReal(year, month, dayOfMonth) ? Date.UTC(year, month - 1, dayOfMonth) : NaN;
    }
    this.stamp = this.#dayMs;
    this.isDate = isEnd(bytes[at + 10]);
    return this.isDate ? at + 10 : this.#readTime(bytes, at + 10);
  }

  /**
   * "T" or " ", HH:MM[:SS[.fraction]], then "Z" or an offset such as +00:00. A stamp without a zone
   * is no moment.
   */
  #readTime(bytes: Uint8Array, at: number): number {
    if (bytes[at] !== 0x54 && bytes[at] !== 0x20) return this.#refuse(bytes, at);
    const hour = pair(bytes, at + 1), minute = pair(bytes, at + 4);
    if (!(hour <= 23 && minute <= 59) || bytes[at + 3] !== COLON) return this.#refuse(bytes, at);
    let time = hour * MS_PER_HOUR + minute * MS_PER_MINUTE, end = at + 6;
    if (bytes[end] === COLON) {
      const second = pair(bytes, end + 1);
      if (!(second <= 59)) return this.#refuse(bytes, at);
      time += second * MS_PER_SECOND;
      end += 3;
      if (bytes[end] === DOT) {
        let fraction = 0, scale = 1;
        for (end++; bytes[end] >= ZERO && bytes[end] <= NINE; end++) {
          fraction = fraction * 10 + bytes[end] - ZERO;
          scale *= 10;
        }
        if (scale === 1 || scale > 1e9) return this.#refuse(bytes, at);
        time += (fraction * MS_PER_SECOND) / scale;
      }
    }
    if (bytes[end] === 0x5a) end++;
    else if (bytes[end] === PLUS || bytes[end] === MINUS) {
      const hours = pair(bytes, end + 1), minutes = pair(bytes, end + 4);
      const isOffset = hours <= 14 && minutes <= 59 && bytes[end + 3] === COLON;
      if (!isOffset) return this.#refuse(bytes, at);
      time -= (bytes[end] === PLUS ? 1 : -1) * (hours * MS_PER_HOUR + minutes * MS_PER_MINUTE);
      end += 6;
    } else return this.#refuse(bytes, at);
    if (!isEnd(bytes[end])) return this.#refuse(bytes, at);
    this.stamp += time;
    return end;
  }

  #refuse(bytes: Uint8Array, at: number): number {
    this.stamp = NaN;
    while (!isEnd(bytes[at])) at++;
    return at;
  }
}

function isReal(year: number, month: number, dayOfMonth: number): boolean {
  if (year < 1000 || month < 1 || month > 12 || dayOfMonth < 1) return false;
  return dayOfMonth <= (Date.UTC(year, month, 1) - Date.UTC(year, month - 1, 1)) / MS_PER_DAY;
}
