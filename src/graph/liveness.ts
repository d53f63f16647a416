/**
 * When tensors are needed, and where they may lie. A runtime that owns its memory takes one arena
 * and these offsets from it; the peak is what a graph needs beside its inputs, state and constants.
 *
 *     step   0  1  2  3  4     Intervals include the step that writes and the last that reads: no
 *     %0     ########          op writes where it reads. Results live to the end. Reshapes (and
 *     %1        #####          stop) share their input's place.
 *     %2           ########
 *
 * Offsets: the largest buffers are placed first, each into the smallest gap that is free through
 * its life (greedy by size: Pisarchyk and Lee 2020, "Efficient memory management for deep neural
 * net inference").
 */
import { sizeOf, countOf, type Sizes } from "./dimension.ts";
import { resultsOf, type Graph } from "./graph.ts";
import { orderNodes } from "./order.ts";
import type { Node, Tensor } from "./tensor.ts";

export interface Buffer {
  /** What lies here; null: scratch of the scan at step `first`, laid out by its own plan. */
  readonly tensor: Tensor | null;
  readonly bytes: number;
  /** Steps, inclusive: indices into `order`. */
  readonly first: number;
  readonly last: number;
  /** From the start of the arena, a multiple of the alignment. */
  readonly offset: number;
}

export interface MemoryPlan {
  /** Inputs before users. */
  readonly order: readonly Node[];
  readonly buffers: readonly Buffer[];
  /**
   * Whose buffer a tensor lies in; absent: in the feeds or the state, a constant, or never read.
   */
  readonly homes: ReadonlyMap<Tensor, Tensor>;
  /** Outputs that are read by a node or returned; a runtime need not write others. */
  readonly used: ReadonlySet<Tensor>;
  /** Of each scan's body, for one step; its placeholders are not in it. */
  readonly bodies: ReadonlyMap<Node, MemoryPlan>;
  /** Size of the arena. */
  readonly peakBytes: number;
  /** Most bytes alive at one step: no arena can be smaller. */
  readonly liveBytes: number;
  /** What it would take if nothing shared memory. */
  readonly sumBytes: number;
}

export interface MemoryOptions {
  /** Bytes of one element: 4 for float32. */
  readonly elementBytes?: number;
  readonly alignment?: number;
}

/** Plans a graph's memory. Sizes for its open dimensions ("B", "T") are needed. */
export function planMemory(graph: Graph, sizes: Sizes = {}, options: MemoryOptions = {}):
MemoryPlan {
  return planResults(resultsOf(graph), sizes, options);
}

function planResults(results: readonly Tensor[], sizes: Sizes, options: MemoryOptions): MemoryPlan {
  const { elementBytes = 4, alignment = 256 } = options;
  const order = orderNodes(results);
  const bodies = new Map<Node, MemoryPlan>();
  for (const node of order) {
    if (node.op !== "scan") continue;
    const { nextStates, emits } = node.attributes.body;
    bodies.set(node, planResults([...nextStates, ...emits], sizes, options));
  }
  const used = new Set([...results, ...order.flatMap(({ inputs }) => inputs)]);
  const homes = findHomes(order, used);
  const lastOf = new Map<Tensor, number>();
  const read = (tensor: Tensor, step: number): void => {
    const home = homes.get(tensor);
    if (home !== undefined) lastOf.set(home, step);
  };
  order.forEach(({ inputs }, step) => { inputs.forEach((input) => { read(input, step); }); });
  results.forEach((result) => { read(result, order.length - 1); });

  const aligned = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;
  const intervals = order.flatMap((node, first): Interval[] => {
    const own = node.outputs.filter((output) => homes.get(output) === output).map((tensor) => ({
      tensor, first, last: lastOf.get(tensor) ?? first,
      bytes: aligned(sizeOf(countOf(tensor.shape), sizes) * elementBytes) }));
    const scratch = bodies.get(node)?.peakBytes ?? 0;
    return scratch === 0 ? own : [...own, { tensor: null, first, last: first, bytes: scratch }];
  });
  const buffers = placeBuffers(intervals);
  return {
    order, buffers, homes, used, bodies, liveBytes: mostAlive(intervals, order.length),
    peakBytes: Math.max(0, ...buffers.map(({ offset, bytes }) => offset + bytes)),
    sumBytes: intervals.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** Where each used tensor lies: with the first tensor of its chain of reshapes. */
function findHomes(order: readonly Node[], used: ReadonlySet<Tensor>): Map<Tensor, Tensor> {
  const homes = new Map<Tensor, Tensor>();
  for (const node of order) {
    if (node.op === "input" || node.op === "constant") continue;
    const isView = node.op === "reshape" || node.op === "stop";
    for (const output of node.outputs) {
      const home = isView ? homes.get(node.inputs[0]) : output;
      if (home !== undefined && used.has(output)) homes.set(output, home);
    }
  }
  return homes;
}

type Interval = Omit<Buffer, "offset">;

/** Best fit, the largest first; of equals the earlier first, so that a plan is always the same. */
function placeBuffers(intervals: readonly Interval[]): Buffer[] {
  const bySize = intervals.map((interval, index) => ({ interval, index }))
    .sort((a, b) => b.interval.bytes - a.interval.bytes || a.index - b.index);
  /** By offset. */
  const placed: Buffer[] = [];
  const found: Buffer[] = [];
  for (const { interval, index } of bySize) {
    const offset = bestGap(interval, placed);
    const buffer = { ...interval, offset };
    found[index] = buffer;
    const at = placed.findIndex((other) => other.offset > offset);
    placed.splice(at < 0 ? placed.length : at, 0, buffer);
  }
  return found;
}

/**
 * The offset of the smallest gap that fits among buffers alive at the same time; else after them
 * all.
 */
function bestGap({ first, last, bytes }: Interval, placed: readonly Buffer[]): number {
  let end = 0, best = -1, bestBytes = Infinity;
  for (const other of placed) {
    if (other.first > last || other.last < first) continue;
    const gap = other.offset - end;
    if (gap >= bytes && gap < bestBytes) {
      best = end;
      bestBytes = gap;
    }
    end = Math.max(end, other.offset + other.bytes);
  }
  return best < 0 ? end : best;
}

function mostAlive(intervals: readonly Interval[], steps: number): number {
  const change = new Float64Array(steps + 1);
  for (const { first, last, bytes } of intervals) {
    change[first] += bytes;
    change[last + 1] -= bytes;
  }
  let alive = 0, most = 0;
  for (const bytes of change) {
    alive += bytes;
    most = Math.max(most, alive);
  }
  return most;
}
