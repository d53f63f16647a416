/**
 * One model worker: feature rows in, predictions out, through the same `askStrategy` as the backtest.
 *
 *   features ──> windows ──> the newest complete step ──> infer ─(rim)─> inferred ──> prediction
 *                              ^ only one at a time: steps that pass meanwhile are skipped but for
 *                                the newest, and counted
 *
 * It decides on fresh rows only: history, late and revised rows correct the windows. A model that fails or
 * says what it may not says nothing; the aggregator decides without it. Another model takes over between two
 * steps (`swap`), after it was loaded beside the old one by the rim.
 */
import { UserError } from "../../base/error.ts";
import type { Batch } from "../../dataset/batch.ts";
import type { Decision, Strategy } from "../../strategy/strategy.ts";
import type { Actor, Said } from "../actor.ts";
import { BAR_FLAGS, type AlertFact, type FeaturesFact, type PredictionFact, type Spoken, type Tick }
  from "../message.ts";
import type { Session } from "../session.ts";
import { columnsIn, eligibilityOf, takeRows, WindowRows, type Eligibility } from "./windows.ts";

/** Windows of this many rows are kept at least, so that a model with a longer one can be swapped in. */
const LONGEST_LEAST = 256;

/** The batch is valid until the answer: its arrays are filled again for the next step. */
export interface Infer {
  readonly kind: "infer"; readonly at: number; readonly strategy: Strategy; readonly batch: Batch;
}
/** Load and warm this strategy beside the one that works. */
export interface Prepare { readonly kind: "prepare"; readonly name: string }
/** Free a strategy that has answered its last question. */
export interface Release { readonly kind: "release"; readonly strategy: Strategy }
export type ModelEffect = Infer | Prepare | Release;
export type ModelOutcome =
  | { readonly kind: "inferred"; readonly at: number; readonly decision: Decision }
  | { readonly kind: "not-inferred"; readonly at: number; readonly reason: string }
  | { readonly kind: "prepared"; readonly strategy: Strategy; readonly version: string }
  | { readonly kind: "not-prepared"; readonly name: string; readonly reason: string };

export interface ModelOptions {
  readonly session: Session;
  readonly worker: string;
  readonly strategy: Strategy;
  /** First 8 digits of the model file's hash. */
  readonly version: string;
  /** Columns of a features row: the panel's names. */
  readonly names: readonly string[];
  /** Senders of `features`; a step is complete when all have spoken. */
  readonly shards?: number;
  /** Default: what this strategy alone needs. */
  readonly eligibility?: Eligibility;
}

export interface ModelActor extends Actor<ModelEffect, ModelOutcome> {
  /** Takes over between two steps. Returns why it may not, as a sentence, or null. */
  swap(strategy: Strategy, version: string): string | null;
  /** Steps that passed while it was answering an older one. */
  readonly skipped: number;
}

/** UserError when the strategy does not fit the session: another recipe, hash or features. */
export function modelActor(options: ModelOptions): ModelActor {
  const problem = misfit(options.strategy, options);
  if (problem !== null) {
    throw new UserError(problem, "train it on this recipe again, or start the session with another model");
  }
  return new Worker(options);
}

/** Why a strategy cannot work in a session; null: it can. */
function misfit(strategy: Strategy, { session, names }: ModelOptions): string | null {
  const { name, recipe, recipeHash, features } = strategy;
  if (recipe !== session.recipe) return `${name} reads recipe ${recipe}, the session's is ${session.recipe}`;
  if (recipeHash !== undefined && recipeHash !== session.recipeHash) {
    return `${name} was trained on another version of recipe ${recipe} `
      + `(${recipeHash.slice(0, 8)}, the session's is ${session.recipeHash.slice(0, 8)})`;
  }
  const missing = features.find((one) => !names.includes(one));
  return missing === undefined ? null
    : `${name} reads the feature "${missing}", which the session does not make`;
}

interface Step {
  readonly at: number;
  /** Instruments with a fresh row. */
  readonly instruments: number[];
  /** Messages heard of it. */
  heard: number;
}

interface Working {
  readonly strategy: Strategy;
  readonly version: string;
  readonly columns: Int32Array;
}

class Worker implements ModelActor {
  readonly name: string;
  readonly hears = ["features", "control"] as const;
  skipped = 0;
  readonly #options: ModelOptions;
  readonly #eligibility: Eligibility;
  readonly #windows: readonly WindowRows[];
  readonly #longest: number;
  /** (N) close of the last fresh row. */
  readonly #freshAt: Float64Array;
  #working: Working;
  #next: Working | null = null;
  /** Strategies that are not asked again, until the rim is told. */
  readonly #left: Strategy[] = [];
  /** The newest step, complete or not; null once it is being answered. */
  #step: Step | null = null;
  #decidedAt = -Infinity;
  #asked: { readonly at: number; readonly instrument: Int32Array } | null = null;
  #features = new Float32Array(0);

  constructor(options: ModelOptions) {
    const { strategy, names, session, worker } = options;
    this.name = worker;
    this.#options = options;
    this.#eligibility = options.eligibility ?? eligibilityOf([strategy], false);
    this.#working = this.#workingOf(strategy, options.version);
    this.#longest = Math.max(LONGEST_LEAST, this.#eligibility.lookback, strategy.lookback);
    const needed = columnsIn(names, [...new Set([...this.#eligibility.features, ...strategy.features])],
      worker);
    this.#freshAt = new Float64Array(session.symbols.length).fill(NaN);
    this.#windows = session.symbols.map(() => new WindowRows(names.length, needed, this.#longest));
  }

  handle(message: Spoken | Tick | ModelOutcome, now: number): Said<ModelEffect> {
    switch (message.kind) {
      case "features": return this.#take(message, now);
      case "inferred": return [...this.#predict(message.at, message.decision), ...this.#goOn(now)];
      case "not-inferred":
        return [this.#alert(now, "warning", "model-failed", message.reason), ...this.#goOn(now)];
      case "control":
        if (message.action !== "swap-model" || message.subject !== this.name) return [];
        return [{ kind: "prepare", name: message.value }];
      case "prepared": {
        const problem = this.swap(message.strategy, message.version);
        if (problem !== null) this.#leave(message.strategy);
        return [problem === null
          ? this.#alert(now, "info", "model-swapped",
            `${this.name} goes on with ${message.strategy.name} (${message.version})`)
          : this.#alert(now, "warning", "swap-refused", `${this.name} keeps its model: ${problem}`),
        ...this.#released()];
      }
      case "not-prepared":
        return [this.#alert(now, "warning", "swap-refused",
          `${this.name} keeps its model: ${message.reason}`)];
      default: return [];
    }
  }

  swap(strategy: Strategy, version: string): string | null {
    const problem = misfit(strategy, this.#options);
    if (problem !== null) return problem;
    if (strategy.lookback > this.#longest) {
      return `${strategy.name} looks back ${strategy.lookback} rows, ${this.#longest} are kept`;
    }
    // One that never came to answer.
    if (this.#next !== null) this.#leave(this.#next.strategy);
    this.#next = this.#workingOf(strategy, version);
    if (this.#asked === null) this.#switch();
    return null;
  }

  #switch(): void {
    if (this.#next === null) return;
    this.#leave(this.#working.strategy);
    this.#working = this.#next;
    this.#next = null;
  }

  /** Most strategies hold nothing that must be freed. */
  #leave(strategy: Strategy): void {
    if (strategy.close !== undefined) this.#left.push(strategy);
  }

  #released(): Release[] { return this.#left.splice(0).map((strategy) => ({ kind: "release", strategy })); }

  #workingOf(strategy: Strategy, version: string): Working {
    return { strategy, version, columns: columnsIn(this.#options.names, strategy.features, strategy.name) };
  }

  #take(message: FeaturesFact, now: number): Said<ModelEffect> {
    const { at, flags } = message;
    const before = this.skipped;
    const isNew = at > this.#decidedAt && at > (this.#step?.at ?? -Infinity);
    const isFresh = flags.length === 0 || flags.includes(BAR_FLAGS.fresh);
    if (isNew && isFresh) {
      if (this.#step !== null) this.skipped++;
      this.#step = { at, instruments: [], heard: 0 };
    }
    const step = this.#step?.at === at ? this.#step : null;
    if (step !== null && isFresh) step.heard++;
    takeRows(message, this.#windows, this.#freshAt, step?.instruments ?? null);
    const said = this.#asked === null ? this.#ask(now) : [];
    // Said at the first skipped step, the second, the fourth, ...
    const isTold = this.skipped > before && Math.log2(this.skipped) % 1 === 0;
    return isTold ? [this.#alert(now, "warning", "model-slow", `${this.name} has skipped ${this.skipped} `
      + "steps, because it was still answering an older one"), ...said] : said;
  }

  /** Asks about the newest step, if it is complete. */
  #ask(now: number): Said<ModelEffect> {
    const step = this.#step;
    if (step === null || step.heard < (this.#options.shards ?? 1)) return [];
    this.#step = null;
    const { at } = step, { strategy, columns } = this.#working, T = strategy.lookback;
    this.#decidedAt = at;
    const least = Math.max(this.#eligibility.lookback, T);
    const isDecided = at >= (strategy.decidesFrom ?? -Infinity);
    const instrument = Int32Array.from(step.instruments.sort((a, b) => a - b)
      .filter((i) => isDecided && this.#windows[i].runAt(at) >= least));
    const B = instrument.length, perRow = T * columns.length;
    this.#asked = { at, instrument };
    if (B === 0) {
      return [...this.#predict(at, { position: new Float32Array(0), volatility: new Float32Array(0),
        confidence: new Float32Array(0) }), ...this.#goOn(now)];
    }
    if (this.#features.length < B * perRow) this.#features = new Float32Array(B * perRow);
    for (let b = 0; b < B; b++) this.#windows[instrument[b]].copy(at, T, columns, this.#features, b * perRow);
    const batch: Batch = { names: strategy.features, instrument, symbols: this.#options.session.symbols,
      time: new Float64Array(B).fill(at), features: this.#features.subarray(0, B * perRow), lookback: T };
    return [{ kind: "infer", at, strategy, batch }];
  }

  /** The answer is there, or will not come: the newest step is next. */
  #goOn(now: number): Said<ModelEffect> {
    this.#asked = null;
    this.#switch();
    return [...this.#released(), ...this.#ask(now)];
  }

  #predict(at: number, { position, volatility, confidence }: Decision): PredictionFact[] {
    if (this.#asked?.at !== at) return [];
    return [{ kind: "prediction", at, model: this.name, version: this.#working.version,
      instrument: this.#asked.instrument, position, volatility, confidence }];
  }

  #alert(at: number, severity: AlertFact["severity"], code: string, text: string): AlertFact {
    return { kind: "alert", at, severity, code, text, process: this.name };
  }
}
