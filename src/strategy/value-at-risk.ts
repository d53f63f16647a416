/**
 * Value at risk of a book of weights over observed returns, 95 %, one period.
 *
 *     window (rows, N) x weights (N) -> scenario returns (rows) -> the loss that 5 % of them exceed
 *
 * Asked at every change of weights: nothing is allocated (one book at a time, in shared scratch), and whether
 * limits hold is often known without the scenarios: none of them can have moved further from those of the
 * last book measured than the change of weight times the largest return, summed over instruments.
 */
import { BLOCK_ROWS, WINDOW_ROWS_PADDED, type ReturnWindow } from "./risk-window.ts";

const TAIL = 0.05;
/** 95 % quantile of the standard normal. */
const Z = 1.6448536269514722;
/** More than rounding can add up to. */
const SLACK = 1e-9;

export interface ValueAtRisk {
  /** Minus the 5 % quantile of the scenarios, linear between order statistics; at least 0. */
  historical: number;
  /** 1.645 sample standard deviations of the scenarios, mean 0. */
  parametric: number;
}

const scenarios = new Float64Array(WINDOW_ROWS_PADDED);
const worst = new Float64Array(WINDOW_ROWS_PADDED);

/** The window has at least 2 rows of weights.length returns. Results are fractions of equity. */
export function valueAtRiskOf(weights: Float64Array, window: ReturnWindow): ValueAtRisk {
  play(weights, window);
  return { historical: Math.max(0, -tailQuantile(window.rows)), parametric: parametricOf(window.rows) };
}

/** Finds books that break a limit, remembering the last one measured. One of these belongs to one window. */
export class RiskScreen {
  readonly #window: ReturnWindow;
  /** Rows observed when the numbers below were made. */
  #observed = 0;
  /** (N) largest |return| and deviation x 1.645 of each instrument. */
  readonly #largest: Float64Array;
  readonly #deviation: Float64Array;
  /** (N) the last book measured, and its risk. */
  readonly #weights: Float64Array;
  #risk: ValueAtRisk | null = null;

  constructor(window: ReturnWindow) {
    this.#window = window;
    [this.#largest, this.#deviation, this.#weights] =
      Array.from({ length: 3 }, () => new Float64Array(window.count));
  }

  /** The value at risk where one of the limits is broken; null where both hold. */
  excess(weights: Float64Array, historicalMax: number, parametricMax: number): ValueAtRisk | null {
    if (this.#observed === this.#window.observed) {
      if (this.#mustHold(weights, historicalMax, parametricMax)) return null;
    } else this.#measureInstruments();
    const risk = valueAtRiskOf(weights, this.#window);
    this.#weights.set(weights);
    this.#risk = risk;
    return risk.historical <= historicalMax && risk.parametric <= parametricMax ? null : { ...risk };
  }

  #mustHold(weights: Float64Array, historicalMax: number, parametricMax: number): boolean {
    if (this.#risk === null) return false;
    let historical = 0, parametric = 0;
    for (let i = 0; i < weights.length; i++) {
      const change = Math.abs(weights[i] - this.#weights[i]);
      historical += change * this.#largest[i];
      parametric += change * this.#deviation[i];
    }
    return (this.#risk.historical + historical) * (1 + SLACK) <= historicalMax
      && (this.#risk.parametric + parametric) * (1 + SLACK) <= parametricMax;
  }

  #measureInstruments(): void {
    const { rows, count, observed } = this.#window;
    for (let i = 0; i < count; i++) {
      const column = this.#window.column(i);
      scenarios.set(column);
      this.#largest[i] = column.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      this.#deviation[i] = parametricOf(rows);
    }
    this.#observed = observed;
  }
}

/** Scenario t = sum of weight x return; eight rows at a time, so that no sum waits for the last one. */
function play(weights: Float64Array, { values, rows }: ReturnWindow): void {
  const count = weights.length;
  for (let t = 0, at = 0; t < rows; t += BLOCK_ROWS) {
    let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
    for (let i = 0; i < count; i++, at += BLOCK_ROWS) {
      const weight = weights[i];
      a += weight * values[at];
      b += weight * values[at + 1];
      c += weight * values[at + 2];
      d += weight * values[at + 3];
      e += weight * values[at + 4];
      f += weight * values[at + 5];
      g += weight * values[at + 6];
      h += weight * values[at + 7];
    }
    scenarios[t] = a;
    scenarios[t + 1] = b;
    scenarios[t + 2] = c;
    scenarios[t + 3] = d;
    scenarios[t + 4] = e;
    scenarios[t + 5] = f;
    scenarios[t + 6] = g;
    scenarios[t + 7] = h;
  }
}

/** Only the worst scenarios matter: they are kept in order, the rest is forgotten. */
function tailQuantile(rows: number): number {
  const at = TAIL * (rows - 1), low = Math.floor(at), last = low + 1;
  for (let place = 0; place <= last; place++) worst[place] = Infinity;
  let edge = Infinity;
  for (let t = 0; t < rows; t++) {
    const value = scenarios[t];
    if (value >= edge) continue;
    let place = last;
    for (; place > 0 && worst[place - 1] > value; place--) worst[place] = worst[place - 1];
    worst[place] = value;
    edge = worst[last];
  }
  return worst[low] + (at - low) * (worst[last] - worst[low]);
}

function parametricOf(rows: number): number {
  let sum = 0, moment = 0;
  for (let t = 0; t < rows; t++) sum += scenarios[t];
  const mean = sum / rows;
  for (let t = 0; t < rows; t++) { const off = scenarios[t] - mean; moment += off * off; }
  return Z * Math.sqrt(moment / (rows - 1));
}
