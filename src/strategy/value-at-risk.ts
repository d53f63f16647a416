/**
 * Value at risk of a book of weights over observed returns, 95 %, one period.
 *
 *     window (rows, N) x weights (N) -> scenario returns (rows) -> the loss that 5 % of them exceed
 *
 * Asked at every change of weights, so it allocates nothing: one book at a time, in shared scratch arrays.
 */
import { WINDOW_STRIDE, type ReturnWindow } from "./risk-window.ts";

const TAIL = 0.05;
/** 95 % quantile of the standard normal. */
const Z = 1.6448536269514722;

export interface ValueAtRisk {
  /** Minus the 5 % quantile of the scenarios, linear between order statistics; at least 0. */
  historical: number;
  /** 1.645 sample standard deviations of the scenarios, mean 0. */
  parametric: number;
}

const scenarios = new Float64Array(WINDOW_STRIDE);
const worst = new Float64Array(WINDOW_STRIDE);

/** The window has at least 2 rows of weights.length returns. Results are fractions of equity, in `into`. */
export function valueAtRiskOf(weights: Float64Array, window: ReturnWindow, into: ValueAtRisk): ValueAtRisk {
  const { rows } = window;
  multiply(weights, window.values, rows);
  into.historical = Math.max(0, -tailQuantile(rows));
  into.parametric = Z * Math.sqrt(momentOf(rows) / (rows - 1));
  return into;
}

/** Scenario t = sum of weight x return; eight rows at a time, so that eight sums wait for nobody. */
function multiply(weights: Float64Array, values: Float64Array, rows: number): void {
  for (let t = 0; t < rows; t += 8) {
    let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
    for (let i = 0, at = t; i < weights.length; i++, at += WINDOW_STRIDE) {
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

/** Sum of squared deviations from the mean. */
function momentOf(rows: number): number {
  let sum = 0, moment = 0;
  for (let t = 0; t < rows; t++) sum += scenarios[t];
  const mean = sum / rows;
  for (let t = 0; t < rows; t++) moment += (scenarios[t] - mean) ** 2;
  return moment;
}
