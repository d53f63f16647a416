/**
 * Graph -> launch list: whatever the IR can say, at known sizes, in a precision.
 *
 *   graph ── simplify ──> lowering.ts: groups ──> generated kernels, products, loops ──> one arena
 *
 * What depends on frozen state and constants only is computed once, on the CPU, when parameters are packed.
 * State that changes is replaced at the end of a run, when nobody reads it any more.
 */
import { assert } from "../../../base/assert.ts";
import { shapeText } from "../../../graph/dimension.ts";
import { resultsOf, type Graph, type Named } from "../../../graph/graph.ts";
import { input } from "../../../graph/ops.ts";
import { simplify } from "../../../graph/simplify.ts";
import { makeTensor, type Tensor } from "../../../graph/tensor.ts";
import type { Tensors } from "../../runtime.ts";
import type { CudaPrecision, DeviceFacts, Launch, LaunchList } from "../launch.ts";
import { shareScratch } from "./arena.ts";
import { Builder, buffersOf, type Memory } from "./builder.ts";
import { findAttentions } from "./attention.ts";
import { countOf } from "../../view.ts";
import { findLinears } from "./linear.ts";
import { Lowering, type LoweringOptions } from "./lowering.ts";
import { Pattern } from "./pattern.ts";
import { findStacks } from "./recurrence.ts";
import { Statics } from "./statics.ts";
import { shapeOf } from "./table.ts";

export interface LowerOptions {
  readonly precision: CudaPrecision;
  readonly device: DeviceFacts;
  /** Names of state that no run changes and whose values are packed when they are known. */
  readonly frozen?: ReadonlySet<string>;
  /** An input (B, T, F) that lies as a ring of steps, where an LSTM stack can read that: see `isRing`. */
  readonly ring?: { readonly input: string; readonly start: string };
  /**
   * Buffer of one u32 that the last launch counts up, where an LSTM stack with a head is that: see
   * `completions`.
   */
  readonly done?: string;
  /** The most numbers of an output that who waits looks at one by one instead: see `isSeen`. */
  readonly seenMax?: number;
}

/** Float32 in a buffer of the list. */
export interface Port {
  readonly buffer: string;
  readonly shape: readonly number[];
}

export interface Lowered {
  readonly list: LaunchList;
  /** By the graph's names. */
  readonly inputs: ReadonlyMap<string, Port>;
  readonly outputs: ReadonlyMap<string, Port>;
  /** State that is not frozen. */
  readonly state: ReadonlyMap<string, Port>;
  /** Whether the ring is read as it lies; else the input must be in order. */
  readonly isRing: boolean;
  /** What a run adds to `done`; 0: nothing. */
  readonly completions: number;
  /**
   * Whether a run stores each number of the only output once, as the last it does: a number that is there
   * says so itself. (A word after it must wait until the host has all that was before it.)
   */
  readonly isSeen: boolean;
  /** Bytes of every weight buffer, from the values of all frozen state. */
  pack(parameters: Tensors): ReadonlyMap<string, Uint8Array>;
}

/** Lowers a graph whose sizes are all numbers. Asserts that they are. */
export function lowerGraph(graph: Graph,
  { precision, device, frozen = new Set(), ring, done, seenMax = 0 }: LowerOptions): Lowered {
  const simple = simplify(graph), builder = new Builder();
  const kept = simple.state.filter(({ name }) => !frozen.has(name));
  const inputs = portsOf("input", simple.inputs, builder),
    outputs = portsOf("output", simple.outputs, builder);
  const state = portsOf("state", kept, builder);
  const given = new Map<Tensor, Memory>();
  for (const { name, tensor } of simple.inputs) given.set(tensor, memoryAt(inputs.get(name)!.buffer));
  for (const { name, tensor } of kept) given.set(tensor, memoryAt(state.get(name)!.buffer));
  const statics = new Statics(simple, frozen, builder);
  const memoryOf = (tensor: Tensor): Memory | null => given.get(tensor) ?? statics.memoryOf(tensor);

  const isFew = simple.outputs.length === 1 && countOf(shapeOf(simple.outputs[0].tensor)) <= seenMax;
  const pattern = new Pattern(resultsOf(simple), { precision, device, constants: statics });
  const stacks = findStacks(pattern, {
    ring: ring === undefined ? null
      : { start: ring.start, input: simple.inputs.find(({ name }) => name === ring.input)!.tensor },
    done: done === undefined || simple.outputs.length !== 1 ? null
      : { buffer: isFew ? null : done, output: simple.outputs[0].tensor },
  });
  findAttentions(pattern);
  findLinears(pattern);
  const changing = kept.filter(({ tensor, next }) => next !== tensor);
  const options = { builder, device, precision };
  const lowering = new Lowering({ ...options, given: memoryOf, anchors: pattern.anchors });
  const { launches, memories } = lowering.lower([
    ...simple.outputs.map(({ name, tensor }) => ({ tensor, home: memoryAt(outputs.get(name)!.buffer) })),
    // A next state that is there already may be overwritten before it is copied.
    ...changing.map(({ next }) =>
      ({ home: null, tensor: memoryOf(next) === null ? next : makeTensor("stop", [next], {}) })),
  ]);
  const last = copyLaunches(changing.map(({ name, tensor }, k) => ({ shape: shapeOf(tensor),
    from: memories[simple.outputs.length + k], to: memoryAt(state.get(name)!.buffer) })), options);
  const all = builder.finish([...launches, ...last]), used = new Set(all.flatMap(buffersOf));
  const ending = changing.length > 0 ? undefined : stacks.find((stack) => stack.isDone);
  const buffers = [...builder.buffers.values()]
    .filter(({ role, name }) => role !== "weight" || used.has(name));
  return { list: shareScratch({ name: graph.name, buffers, launches: all }), inputs, outputs, state,
    isRing: stacks.some((stack) => stack.isRing),
    completions: isFew ? 0 : ending?.plan?.completions ?? 0, isSeen: isFew && ending !== undefined,
    pack: (parameters) => statics.pack(parameters, used) };
}

/** Makes the buffers of what is fed, returned or kept: float32, state zero before the first run. */
function portsOf(role: "input" | "output" | "state", named: readonly Named[], builder: Builder): Map<string,
  Port> {
  return new Map(named.map(({ name, tensor: { shape } }) => {
    assert(shape.every((size) => typeof size === "number"), `${name} ${shapeText(shape)} has open sizes`);
    const buffer = `${role}/${name}`, fill = role === "state" ? { fill: 0 } : {};
    builder.buffer({ name: buffer, role, bytes: Math.max(4, 4 * countOf(shape)), ...fill });
    return [name, { buffer, shape }];
  }));
}

const memoryAt = (buffer: string): Memory => ({ buffer, offset: 0, element: "f32", isAligned: true });

interface Copy { readonly shape: readonly number[]; readonly from: Memory; readonly to: Memory }

/** Copies from memory to memory. */
function copyLaunches(copies: readonly Copy[],
  options: Omit<LoweringOptions, "given" | "anchors">): Launch[] {
  const places = copies.map(({ shape }, k) => input(`copy${k}`, shape));
  const from = new Map(places.map((place, k) => [place, copies[k].from]));
  return new Lowering({ ...options, given: (tensor) => from.get(tensor) ?? null })
    .lower(places.map((tensor, k) => ({ tensor, home: copies[k].to }))).launches;
}
