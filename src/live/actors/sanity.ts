/** Whether an answer of a member can be believed. One per member: it remembers what was said before. */
import type { PredictionFact } from "../message.ts";

/** Positions a hair outside [-1, 1] are float32 rounding (as in strategy/decision.ts). */
const SLACK = 1 + 1e-6;

export class Sanity {
  /** (N) position last said of each instrument; NaN: none. */
  readonly #last: Float32Array;
  readonly #constantSteps: number;
  /** Steps in a row at which nothing changed. */
  #same = 0;
  #version: string | null = null;

  constructor(instruments: number, constantSteps: number) {
    this.#last = new Float32Array(instruments).fill(NaN);
    this.#constantSteps = constantSteps;
  }

  /** Another model is on its way: the next version is taken as it comes. */
  expectVersion(): void { this.#version = null; }

  /** Half a sentence that says what is wrong, or null. */
  check(answer: PredictionFact, symbols: readonly string[]): string | null {
    const problem = shapeOf(answer, symbols.length) ?? valueOf(answer, symbols);
    if (problem !== null) return problem;
    this.#version ??= answer.version;
    if (this.#version !== answer.version) {
      return `speaks as version ${answer.version} instead of ${this.#version}, and nobody swapped it`;
    }
    return this.#repeated(answer);
  }

  #repeated({ instrument, position }: PredictionFact): string | null {
    if (instrument.length === 0) return null;
    let isSame = true;
    for (let k = 0; k < instrument.length; k++) {
      if (this.#last[instrument[k]] !== position[k]) isSame = false;
      this.#last[instrument[k]] = position[k];
    }
    this.#same = isSame ? this.#same + 1 : 0;
    return this.#same < this.#constantSteps ? null : `has said the same for ${this.#constantSteps} steps`;
  }
}

function shapeOf({ instrument, position, volatility, confidence }: PredictionFact,
  symbols: number): string | null {
  const n = instrument.length;
  const isComplete = [position, volatility, confidence].every(({ length }) => length === n);
  if (!isComplete) return `gave not ${n} of each value`;
  for (let k = 0; k < n; k++) {
    if (!(instrument[k] >= 0 && instrument[k] < symbols)) return `named instrument ${instrument[k]}`;
    if (k > 0 && instrument[k] <= instrument[k - 1]) return "named instruments out of order";
  }
  return null;
}

function valueOf({ instrument, position, volatility, confidence }: PredictionFact,
  symbols: readonly string[]): string | null {
  for (let k = 0; k < instrument.length; k++) {
    const symbol = symbols[instrument[k]], p = position[k], v = volatility[k], c = confidence[k];
    if (!(Math.abs(p) <= SLACK)) return `gave the position ${p} for ${symbol}`;
    if (!(v >= 0 && v < Infinity)) return `gave the volatility ${v} for ${symbol}`;
    if (!(c >= 0 && c <= 1)) return `gave the confidence ${c} for ${symbol}`;
  }
  return null;
}
