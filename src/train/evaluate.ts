/**
 * What a network is worth on sequences it was not trained on: the Sharpe ratio of the equally
 * weighted portfolio over all instruments ("diversified"), because that is what will be traded; a
 * batch's pooled ratio is not it.
 *
 *   positions (S, T) x target ──> captured, net of costs ──> mean per date ──> Sharpe
 */
import { assert } from "../base/assert.ts";
import { BPS, TRADING_DAYS_PER_YEAR } from "../base/units.ts";
import type { SequenceSet } from "../dataset/sequence.ts";
import { returnNumbers } from "../metrics/returns.ts";
import type { Settings } from "../nn/hyperparameter.ts";
import type { PositionKind } from "../nn/loss.ts";
import type { Architecture, ModelSize } from "../nn/model.ts";
import { evaluationGraph } from "../nn/train-graph.ts";
import type { Program, Runtime, Tensors, Values } from "../runtime/runtime.ts";
import { chainsOf, cutSteps, dealChains, NO_SEQUENCE } from "./streams.ts";

export interface ValidationSharpe {
  /** Annualised; NaN when positions or returns do not vary. */
  readonly gross: number;
  /**
   * After `costBps` for each change of weight; an instrument's first position is not charged, as in
   * the loss.
   */
  readonly net: number;
}

/** (days) by date: means over the instruments that are there. */
export interface DailyReturns {
  readonly time: Float64Array;
  readonly gross: Float64Array;
  readonly net: Float64Array;
}

/**
 * Portfolio returns of positions (S, T) on a set whose sequences of an instrument follow each other
 * in time.
 */
export function dailyReturns(set: SequenceSet, positions: ArrayLike<number>,
  costBps: number): DailyReturns {
  const sums = new Map<number, { gross: number; net: number; count: number }>();
  const held = new Float64Array(set.symbols.length).fill(NaN);
  for (let s = 0, at = 0; s < set.count; s++) {
    const i = set.instrument[s];
    for (let t = 0; t < set.lookback; t++, at++) {
      if (set.weight[at] === 0) continue;
      const gross = positions[at] * set.target[at], weight = positions[at] * set.scale[at];
      const cost = Number.isNaN(held[i]) ? 0 : Math.abs(weight - held[i]) * costBps * BPS;
      held[i] = weight;
      const day = sums.get(set.time[at]);
      if (day === undefined) sums.set(set.time[at], { gross, net: gross - cost, count: 1 });
      else { day.gross += gross; day.net += gross - cost; day.count++; }
    }
  }
  const days = [...sums].sort(([a], [b]) => a - b);
  return { time: Float64Array.from(days, ([time]) => time),
    gross: Float64Array.from(days, ([, { gross, count }]) => gross / count),
    net: Float64Array.from(days, ([, { net, count }]) => net / count) };
}

/** Of positions (S, T): the ratio of the days' means. See `dailyReturns` for what a set must be. */
export function diversifiedSharpe(set: SequenceSet, positions: ArrayLike<number>,
  costBps = 0): ValidationSharpe {
  const { gross, net } = dailyReturns(set, positions, costBps);
  const sharpe = (series: Float64Array): number =>
    returnNumbers(series, TRADING_DAYS_PER_YEAR).sharpe;
  return { gross: sharpe(gross), net: costBps === 0 ? sharpe(gross) : sharpe(net) };
}

type Visit = (outputs: Tensors, indices: readonly number[]) => void;

/** A compiled forward pass, without dropout, at one fixed batch size. */
export interface Evaluator extends AsyncDisposable {
  /** Takes over a network's flat parameters (P). */
  load(parameters: Values): Promise<void>;
  /**
   * (S, T) of every sequence; `visit` also sees each batch's outputs (views) and which sequence
   * stands in each row, NO_SEQUENCE for none.
   */
  positions(set: SequenceSet, visit?: Visit): Promise<Float32Array>;
}

/**
 * Sequences per call: enough to keep the machine busy, few enough for its caches and for its memory
 * (128 through attention over 252 steps are 130 MB).
 */
const EVALUATION_BATCH = 32;

export interface EvaluatorOptions {
  readonly positionKind: PositionKind;
  readonly hasViews?: boolean;
  /** A sequence goes on from the state in which the one that it follows ended. */
  readonly carry?: boolean;
}

/** Compiles it for sets that are `like` this one: the same inputs, lookback and instruments. */
export async function makeEvaluator(runtime: Runtime, architecture: Architecture,
  settings: Settings, like: SequenceSet,
  { positionKind, hasViews = false, carry = false }: EvaluatorOptions): Promise<Evaluator> {
  const T = like.lookback, F = like.names.length;
  const B = Math.max(1, Math.min(EVALUATION_BATCH, carry ? chainsOf(like).length : like.count));
  const size: ModelSize = { B, T, features: F, instruments: like.symbols.length };
  const graph = evaluationGraph(architecture, size, settings, { positionKind, hasViews, carry });
  const program: Program = await runtime.compile(graph);
  const all = { features: { shape: [B, T, F], values: new Float32Array(B * T * F) },
    instrument: { shape: [B], values: new Float32Array(B) },
    keep: { shape: [B, 1], values: new Float32Array(B) } };
  const feeds: Tensors = Object.fromEntries(graph.inputs.map(({ name }) => {
    assert(Object.hasOwn(all, name), `evaluation feeds ${name}`);
    return [name, all[name as keyof typeof all]];
  }));
  return {
    load: (parameters) => program.write({ parameters }),
    async positions(set, visit) {
      assert(set.lookback === T && set.names.length === F, "sets have one shape");
      const positions = new Float32Array(set.count * T);
      const steps = carry ? dealChains(chainsOf(set), B) : cutSteps([...set.instrument.keys()], B);
      for (const indices of steps) {
        all.features.values.fill(0);
        indices.forEach((s, b) => {
          if (s === NO_SEQUENCE) return;
          all.features.values.set(set.features.subarray(s * T * F, (s + 1) * T * F), b * T * F);
          all.instrument.values[b] = set.instrument[s];
          all.keep.values[b] = set.follows[s];
        });
        const outputs = await program.run(feeds);
        indices.forEach((s, b) => {
          if (s === NO_SEQUENCE) return;
          positions.set(outputs.position.values.subarray(b * T, (b + 1) * T), s * T);
        });
        visit?.(outputs, indices);
      }
      return positions;
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}
