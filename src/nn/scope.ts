/**
 * What a parameter, a dropout mask and a recurrent state are, by use. A model asks its scope and
 * never knows:
 *
 *                   parameter                            dropout              initial state
 *     collecting    a placeholder; its spec is kept      its shape is kept    zero
 *     training      a slice of the flat `parameters`     a fed mask           zero, or carried
 *     evaluation    a slice of the flat `parameters`     none                 zero, or carried
 *     inference     a state input of its own name        none                 zero, or fed
 */
import { assert } from "../base/assert.ts";
import type { Shape } from "../graph/dimension.ts";
import { input, mul, reshape, slice, where, zeros } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { isAuxiliary } from "./heads.ts";
import type { Settings } from "./hyperparameter.ts";
import { parameterStream } from "./init.ts";
import { sizeOfParameter, type Architecture, type Heads, type ModelInputs, type ModelSize,
  type ParameterSpec, type Scope } from "./model.ts";

export interface NamedShape {
  readonly name: string;
  readonly shape: Shape;
}

/** What a scope does with full names; `scopeOf` adds the paths. */
interface Meaning {
  parameter(spec: ParameterSpec): Tensor;
  dropout(name: string, x: Tensor): Tensor;
  initialState(name: string, shape: Shape): Tensor;
  finalState(name: string, value: Tensor): void;
}

function scopeOf(meaning: Meaning, path = ""): Scope {
  return {
    parameter: (name, shape, init, options = {}) =>
      meaning.parameter({ name: path + name, shape, init, ...options }),
    dropout: (name, x) => meaning.dropout(path + name, x),
    initialState: (name, shape) => meaning.initialState(path + name, shape),
    finalState: (name, value) => { meaning.finalState(path + name, value); },
    within: (name) => scopeOf(meaning, `${path}${name}/`),
  };
}

/** The inputs every architecture is built on: features (B, T, F), instrument (B). */
export const modelInputs = ({ B, T, features }: ModelSize): ModelInputs =>
  ({ features: input("features", [B, T, features]), instrument: input("instrument", [B]) });

export interface Collected {
  /** In the order of the flat vector: what the position depends on first, auxiliary heads last. */
  readonly specs: readonly ParameterSpec[];
  /** Masks that training is fed, as `dropout/NAME`. */
  readonly dropouts: readonly NamedShape[];
  /** Recurrent states (B, H). */
  readonly states: readonly NamedShape[];
  readonly heads: Heads;
}

/**
 * Builds an architecture once to learn what it asks for. Asserts when a name is asked for twice.
 */
export function collect(architecture: Architecture, size: ModelSize, settings: Settings):
Collected {
  const specs: ParameterSpec[] = [], dropouts: NamedShape[] = [], states: NamedShape[] = [];
  const add = <One extends { readonly name: string }>(list: One[], one: One): void => {
    assert(!list.some(({ name }) => name === one.name),
      `${architecture.name} asks for ${one.name} twice`);
    list.push(one);
  };
  const scope = scopeOf({
    parameter(spec) { add(specs, spec); return input(spec.name, spec.shape); },
    dropout(name, x) { add(dropouts, { name, shape: x.shape }); return x; },
    initialState(name, shape) { add(states, { name, shape }); return zeros(shape); },
    finalState() { /* of no use here */ },
  });
  const heads = architecture.build(scope, modelInputs(size), size, settings);
  const ordered = [false, true].flatMap((isLast) =>
    specs.filter(({ name }) => isAuxiliary(name) === isLast));
  return { specs: ordered, dropouts, states, heads };
}

/** The parameters an architecture has at these settings, in the order of the flat vector. */
export const collectParameters = (architecture: Architecture, size: ModelSize, settings: Settings):
readonly ParameterSpec[] => collect(architecture, size, settings).specs;

/** P: elements of the flat vector. */
export const countParameters = (specs: readonly ParameterSpec[]): number =>
  specs.reduce((count, spec) => count + sizeOfParameter(spec), 0);

/** Each parameter's tensor, cut from the flat vector (P). */
export function sliceParameters(specs: readonly ParameterSpec[], flat: Tensor):
ReadonlyMap<string, Tensor> {
  let start = 0;
  return new Map(specs.map((spec) => {
    const length = sizeOfParameter(spec);
    const tensor = reshape(slice(flat, 0, start, length), spec.shape);
    start += length;
    return [spec.name, tensor] as const;
  }));
}

/** Parameters from the flat vector; dropout by fed masks. `masks` gathers the inputs it makes. */
export const trainingScope = (parameters: ReadonlyMap<string, Tensor>, masks: Tensor[],
  carried: Carried | null): Scope => scopeOf({
  ...fixedScope(parameters, carried),
  dropout(name, x) {
    const mask = input(`dropout/${name}`, x.shape);
    masks.push(mask);
    return mul(x, mask);
  },
});

/** Parameters from the flat vector, no dropout: what validation runs. */
export const evaluationScope = (parameters: ReadonlyMap<string, Tensor>,
  carried: Carried | null): Scope => scopeOf(fixedScope(parameters, carried));

/** Recurrent states that a program keeps from one run to the next, as its state `state/NAME`. */
export interface Carried {
  /** (B, 1), fed: not 0 where a row goes on from what it held in the run before; 0 starts anew. */
  readonly keep: Tensor;
  readonly initial: Map<string, Tensor>;
  readonly final: Map<string, Tensor>;
}

const fixedScope = (parameters: ReadonlyMap<string, Tensor>,
  carried: Carried | null): Meaning => ({
  parameter({ name }) {
    const tensor = parameters.get(name);
    assert(tensor !== undefined, `parameter ${name} was not asked for when they were collected`);
    return tensor;
  },
  dropout: (_name, x) => x,
  initialState(name, shape) {
    if (carried === null) return zeros(shape);
    const tensor = input(`state/${name}`, shape);
    carried.initial.set(name, tensor);
    return where(carried.keep, tensor, zeros(shape));
  },
  finalState(name, value) { carried?.final.set(name, value); },
});

/** What an inference scope gathers while a model is built. */
export interface InferenceParts {
  readonly parameters: Tensor[];
  /** Initial states that are fed (`state/NAME`), when carried. */
  readonly initial: Tensor[];
  readonly final: Record<string, Tensor>;
}

/** Parameters as inputs of their own names; states fed and returned when `isCarried`. */
export const inferenceScope = (parts: InferenceParts, isCarried: boolean): Scope => scopeOf({
  parameter(spec) {
    const tensor = input(spec.name, spec.shape);
    parts.parameters.push(tensor);
    return tensor;
  },
  dropout: (_name, x) => x,
  initialState(name, shape) {
    if (!isCarried) return zeros(shape);
    const tensor = input(`state/${name}`, shape);
    parts.initial.push(tensor);
    return tensor;
  },
  finalState(name, value) { parts.final[name] = value; },
});

/**
 * The flat vector (P) at the start of training: each parameter from a stream of its own, by seed
 * and name.
 */
export function initialiseParameters(specs: readonly ParameterSpec[], seed: number): Float32Array {
  const flat = new Float32Array(countParameters(specs));
  let start = 0;
  for (const spec of specs) {
    const end = start + sizeOfParameter(spec);
    spec.init(flat.subarray(start, end), spec.shape, parameterStream(seed, spec.name));
    start = end;
  }
  return flat;
}

/** The flat vector (P) as named parameters, copied. Asserts when its length is another. */
export function unflatten(specs: readonly ParameterSpec[], flat: Float32Array):
Record<string, { shape: readonly number[]; values: Float32Array }> {
  const P = countParameters(specs);
  assert(flat.length === P, `${flat.length} values for ${P} parameters`);
  let start = 0;
  return Object.fromEntries(specs.map((spec) => {
    const values = flat.slice(start, start += sizeOfParameter(spec));
    return [spec.name, { shape: spec.shape, values }];
  }));
}
