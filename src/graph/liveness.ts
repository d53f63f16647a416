/**
 * When tensors are needed, and where they may lie. A runtime that owns its memory takes one arena
 * and these offsets from it; the peak is what a graph needs beside its inputs, state and constants.
 *
 *     step   0  1  2  3  4     Intervals include the step that writes and the last that reads.
 *     %0     ########          Results live to the end. Reshapes (and stop) share their input's
 *     %1        #####          place; an elementwise op takes that of an operand of its shape which
 *     %2           ########    nobody reads after it. No other op writes where it reads.
 *
 * Offsets: the largest buffers are placed first, each into the smallest gap that is free through
 * its life (greedy by size: Pisarchyk and Lee 2020, "Efficient memory management for deep neural
 * net inference").
 */
import { countOf, isSameShape, sizeOf, type Sizes } from "./dimension.ts";
import { resultsOf, type Graph } from "./graph.ts";
import { isElementwise } from "./op.ts";
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
  results.forEach((result) => { read(result, order.length); });

  const bytesOf = ({ shape }: Tensor): number =>
    Math.ceil(sizeOf(countOf(shape), sizes) * elementBytes / alignment) * alignment;
  const sumBytes = [...new Set(homes.values())].reduce((sum, home) => sum + bytesOf(home), 0)
    + [...bodies.values()].reduce((sum, body) => sum + body.peakBytes, 0);
  writeInPlace(order, homes, lastOf);
  const intervals = order.flatMap((node, first): Interval[] => {
    const own = node.outputs.filter((output) => homes.get(output) === output).map((tensor) => ({
      tensor, first, last: Math.min(lastOf.get(tensor) ?? first, order.length - 1),
      bytes: bytesOf(tensor) }));
    const scratch = bodies.get(node)?.peakBytes ?? 0;
    return scratch === 0 ? own : [...own, { tensor: null, first, last: first, bytes: scratch }];
  });
  const buffers = placeBuffers(intervals);
  return {
    order, buffers, homes, used, bodies, liveBytes: mostAlive(intervals, order.length),
    peakBytes: Math.max(0, ...buffers.map(({ offset, bytes }) => offset + bytes)), sumBytes,
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

/** Elementwise results move to where an operand of their shape is read for the last time. */
function writeInPlace(order: readonly Node[], homes: Map<Tensor, Tensor>,
  lastOf: Map<Tensor, number>): void {
  order.forEach(({ op, inputs, outputs: [output] }, step) => {
    if (!isElementwise(op) || homes.get(output) !== output) return;
    const home = inputs.filter(({ shape }) => isSameShape(shape, output.shape))
      .map((input) => homes.get(input))
      .find((place) => place !== undefined && lastOf.get(place) === step);
    if (home === undefined) return;
    for (const [tensor, place] of homes) if (place === output) homes.set(tensor, home);
    lastOf.set(home, lastOf.get(output) ?? step);
  });
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
