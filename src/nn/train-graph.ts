/**
 * An architecture as graphs: one to train it, one to validate it, one to export it.
 *
 *   trainGraph       features, target, masks, ... ──> loss, ...     state: flat vectors, step
 *   evaluationGraph  features ──> position                          state: the same `parameters`
 *   inferenceGraph   features (B and T open) ──> position, ...      state: parameters by name
 *
 * A whole training step (forward, backward, clip, Adam, constraints) is one graph, because one call
 * of a runtime is then all that a step costs.
 */
import { assert } from "../base/assert.ts";
import { gradient } from "../graph/gradient.ts";
import { makeGraph, type Graph } from "../graph/graph.ts";
import { add, input, mul, sign } from "../graph/ops.ts";
import { simplify } from "../graph/simplify.ts";
import type { Tensor } from "../graph/tensor.ts";
import { volatilityTargetOf } from "./heads.ts";
import type { Settings } from "./hyperparameter.ts";
import { LOSS_TERMS, lossParts, positionKindOf, type LossName, type PositionKind } from "./loss.ts";
import type { Architecture, Heads, ModelSize, ParameterSpec } from "./model.ts";
import { accumulate, flattenGradients, isFinite, updateParameters, type Accumulated,
  type OptimizerFeeds, type OptimizerState } from "./optimizer.ts";
import { collect, countParameters, evaluationScope, inferenceScope, modelInputs, sliceParameters,
  trainingScope, type Carried, type InferenceParts, type NamedShape } from "./scope.ts";

export interface TrainOptions {
  /** What the loss is made of; each has a fed `lossWeight/TERM`. */
  readonly terms: readonly LossName[];
  /**
   * Gradients of several runs are averaged; fed `apply` (1: update now). Adds state `gradientSum`
   * and `gradientCount`. A pooled loss (Sharpe) is then the mean of its micro-batches' losses, not
   * the loss of them joined.
   */
  readonly accumulate?: boolean;
  /** See `carriedStates`. */
  readonly carry?: boolean;
}

/**
 * A training step.
 *
 * Fed: features (B, T, F), target, weight, scale (B, T), instrument (B), `dropout/NAME` masks (0 or
 * 1 / (1 - rate)), keep (B, 1) where state is carried, and the scalars rate, decay, clip, costBps
 * and `lossWeight/TERM`. What a graph does not use is not among its `inputs`. State: parameters, m,
 * v (P), step (), and `state/NAME` (B, H) where it is carried. Outputs: loss, `term/TERM`, position
 * (B, T), gradientNorm.
 */
export interface TrainGraph {
  readonly graph: Graph;
  /** In the order of the flat vectors. */
  readonly specs: readonly ParameterSpec[];
  /** P */
  readonly count: number;
  /** Masks by NAME. */
  readonly dropouts: readonly NamedShape[];
  readonly positionKind: PositionKind;
}

const positionOf = (heads: Heads, kind: PositionKind): Tensor =>
  (kind === "sign" ? sign(heads.score) : heads.position);

/**
 * Truncated backpropagation through time (Williams and Peng 1990): row b of a run goes on from the
 * state in which row b of the run before ended, unless the fed `keep` is 0 there. No gradient flows
 * from a run into the one before.
 */
const carriedStates = (architecture: Architecture, { B }: ModelSize): Carried => {
  assert(architecture.hasState, `${architecture.name} has no state to carry`);
  return { keep: input("keep", [B, 1]), initial: new Map(), final: new Map() };
};

/** Nothing, or each carried state with what it is after the run. */
function statePairs(carried: Carried | null): { tensor: Tensor; next: Tensor }[] {
  if (carried === null) return [];
  return [...carried.initial].map(([name, tensor]) => {
    const next = carried.final.get(name);
    assert(next !== undefined, `state ${name} is known after the last step`);
    return { tensor, next };
  });
}

/** Builds the training step of an architecture at fixed B and T, with the heads that settings say. */
export function trainGraph(architecture: Architecture, size: ModelSize, settings: Settings,
  options: TrainOptions): TrainGraph {
  const { specs, dropouts } = collect(architecture, size, settings);
  const P = countParameters(specs);
  const vector = (name: string): Tensor => input(name, [P]);
  const scalarInput = (name: string): Tensor => input(name, []);
  const state: OptimizerState =
    { parameters: vector("parameters"), m: vector("m"), v: vector("v"), step: scalarInput("step") };
  const feeds: OptimizerFeeds =
    { rate: scalarInput("rate"), decay: scalarInput("decay"), clip: scalarInput("clip") };
  const rows = (name: string): Tensor => input(name, [size.B, size.T]);
  const given = { target: rows("target"), weight: rows("weight"), scale: rows("scale"),
    costBps: scalarInput("costBps") };

  const parameters = sliceParameters(specs, state.parameters);
  const masks: Tensor[] = [];
  const inputs = modelInputs(size);
  const carried = options.carry === true ? carriedStates(architecture, size) : null;
  const heads =
    architecture.build(trainingScope(parameters, masks, carried), inputs, size, settings);
  const positionKind = positionKindOf(options.terms);
  const position = positionOf(heads, positionKind);

  const parts = lossParts({ ...heads, position, ...given }, volatilityTargetOf(settings));
  const { loss, terms, weights } = weighLosses(options.terms, parts);
  const flat = flattenGradients(gradient(loss, specs.map(({ name }) => parameters.get(name)!)));
  const isAccumulated = options.accumulate === true;
  const step = updateStep(state, feeds, specs, { loss, flat, isAccumulated });
  const graph = simplify(makeGraph(`${architecture.name} training`, {
    inputs: [inputs.features, inputs.instrument, given.target, given.weight, given.scale, ...masks,
      feeds.rate, feeds.decay, feeds.clip, given.costBps, ...weights, ...step.inputs,
      ...(carried === null ? [] : [carried.keep])],
    state: [...step.state, ...statePairs(carried)],
    outputs: { loss, ...terms, position, gradientNorm: step.gradientNorm },
  }));
  return { graph, specs, count: P, dropouts, positionKind };
}

/** The sum of terms times their fed weights, and the terms as outputs. */
function weighLosses(names: readonly LossName[], parts: ReturnType<typeof lossParts>):
{ loss: Tensor; terms: Record<string, Tensor>; weights: Tensor[] } {
  assert(names.length > 0 && new Set(names).size === names.length, "a loss has terms, each once");
  const values = names.map((name) => LOSS_TERMS[name].of(parts));
  const weights = names.map((name) => input(`lossWeight/${name}`, []));
  return {
    loss: values.map((value, k) => mul(value, weights[k])).reduce((a, b) => add(a, b)),
    terms: Object.fromEntries(names.map((name, k) => [`term/${name}`, values[k]])),
    weights,
  };
}

/** From a flat gradient to the next states, with or without accumulation. */
function updateStep(state: OptimizerState, feeds: OptimizerFeeds, specs: readonly ParameterSpec[],
  { loss, flat, isAccumulated }: { loss: Tensor; flat: Tensor; isAccumulated: boolean }):
  { state: { tensor: Tensor; next: Tensor }[]; inputs: Tensor[]; gradientNorm: Tensor } {
  const pairs = <Names extends string>(now: Record<Names, Tensor>, next: Record<Names, Tensor>):
  { tensor: Tensor; next: Tensor }[] =>
    (Object.keys(now) as Names[]).map((name) => ({ tensor: now[name], next: next[name] }));
  if (!isAccumulated) {
    const { next, gradientNorm } = updateParameters(state, flat, feeds, specs, isFinite(loss));
    return { state: pairs({ ...state }, { ...next }), inputs: [], gradientNorm };
  }
  const held: Accumulated =
    { sum: input("gradientSum", flat.shape), count: input("gradientCount", []) };
  const apply = input("apply", []);
  const { mean, shouldUpdate, next: nextHeld } = accumulate(held, flat, isFinite(loss), apply);
  const { next, gradientNorm } = updateParameters(state, mean, feeds, specs, shouldUpdate);
  const kept = [...pairs({ ...state }, { ...next }), ...pairs({ ...held }, { ...nextHeld })];
  return { state: kept, inputs: [apply], gradientNorm };
}

export interface EvaluationOptions {
  readonly positionKind?: PositionKind;
  /** Also output `view/NAME`. */
  readonly hasViews?: boolean;
  /** State goes from run to run: fed `keep`, state `state/NAME`, as in training. */
  readonly carry?: boolean;
}

/**
 * The forward pass at fixed B and T from the flat vector, dropout off: state parameters (P), so
 * that a validation program takes a training program's state as it is. Outputs position (B, T),
 * volatility and confidence when asked for, and `view/NAME`.
 */
export function evaluationGraph(architecture: Architecture, size: ModelSize, settings: Settings,
  { positionKind = "tanh", hasViews = false, carry = false }: EvaluationOptions = {}): Graph {
  const { specs } = collect(architecture, size, settings);
  const parameters = input("parameters", [countParameters(specs)]);
  const inputs = modelInputs(size);
  const carried = carry ? carriedStates(architecture, size) : null;
  const scope = evaluationScope(sliceParameters(specs, parameters), carried);
  const heads = architecture.build(scope, inputs, size, settings);
  return simplify(makeGraph(`${architecture.name} evaluation`, {
    inputs: [inputs.features, inputs.instrument, ...(carried === null ? [] : [carried.keep])],
    state: [{ tensor: parameters }, ...statePairs(carried)],
    outputs: answersOf(heads, positionKind, hasViews),
  }));
}

function answersOf(heads: Heads, kind: PositionKind, hasViews: boolean): Record<string, Tensor> {
  const { volatility, confidence } = heads;
  const views = Object.entries(heads.views).map(([name, view]) => [`view/${name}`, view] as const);
  return {
    position: positionOf(heads, kind),
    ...(volatility === null ? {} : { volatility }),
    ...(confidence === null ? {} : { confidence }),
    ...(hasViews ? Object.fromEntries(views) : {}),
  };
}

export interface InferenceOptions {
  readonly positionKind?: PositionKind;
  /**
   * Recurrent state is fed as `state/NAME` and returned as `final/NAME` (one name cannot be both in
   * an ONNX file).
   */
  readonly carry?: boolean;
}

/**
 * The network alone: B and T open, parameters as state under their own names, dropout off. Outputs
 * position, volatility, confidence (B, T) as there are, `view/NAME`, and `final/NAME` (B, H) when
 * state is carried.
 */
export function inferenceGraph(architecture: Architecture, size: Omit<ModelSize, "B" | "T">,
  settings: Settings, { positionKind = "tanh", carry = false }: InferenceOptions = {}): Graph {
  assert(!carry || architecture.hasState, `${architecture.name} has no state to carry`);
  const open: ModelSize = { ...size, B: "B", T: "T" };
  const parts: InferenceParts = { parameters: [], initial: [], final: {} };
  const inputs = modelInputs(open);
  const scope = inferenceScope(parts, carry);
  const heads = architecture.build(scope, inputs, open, settings);
  const finals = Object.fromEntries(!carry ? []
    : Object.entries(parts.final).map(([name, value]) => [`final/${name}`, value]));
  return simplify(makeGraph(architecture.name, {
    inputs: [inputs.features, inputs.instrument, ...parts.initial],
    state: parts.parameters.map((tensor) => ({ tensor })),
    outputs: { ...answersOf(heads, positionKind, true), ...finals },
  }));
}
