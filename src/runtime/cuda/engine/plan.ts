/**
 * What one bucket of a model runs, as data: the network's own launches, and what stands around them.
 *
 *   windows   copy_rows ──> x ─┐
 *   ring      ring_step ──> x ─┴─> the network's launches ──> outputs (mapped) ──> tell_done, if they do not
 *                └─> unroll_ring ──> x, where they cannot read a ring             say it themselves, or
 *                                                                                 few answers are looked at
 *
 * Rows of a bucket that nobody asks about are computed and not read: windows do not see each other.
 */
import { UserError } from "../../../base/error.ts";
import { shapeText, sizesOf } from "../../../graph/dimension.ts";
import type { Graph, Named } from "../../../graph/graph.ts";
import { lastStep } from "../../../graph/last-step.ts";
import { orderNodes } from "../../../graph/order.ts";
import { bindSizes } from "../../../graph/rewrite.ts";
import type { Tensors } from "../../runtime.ts";
import { u32, type Argument, type BufferSpec, type CudaPrecision, type DeviceFacts,
  type KernelSource, type Launch, type LaunchList } from "../launch.ts";
import { isAnswer } from "./models.ts";
import type { ExportedNetwork } from "./network.ts";
import { HEADER_BYTES, rowWords } from "./ring.ts";

/** How features reach a model: whole windows at each run, or new rows into a ring. */
export type Feed = "windows" | "ring";

export interface PlanRequest {
  readonly B: number;
  readonly T: number;
  readonly precision: CudaPrecision;
  readonly device: DeviceFacts;
  readonly feed: Feed;
}

/** A network's launches as whoever lowers it returns them. */
export interface LoweredNetwork {
  readonly list: LaunchList;
  /** Buffers of the graph's inputs and outputs, by their names. */
  readonly inputs: Readonly<Record<string, string>>;
  readonly outputs: Readonly<Record<string, string>>;
  /** Whether the features are read from a ring (its start: BUFFERS.start). */
  readonly isRing: boolean;
  /** By how much BUFFERS.done is more after a run; 0: it stays as it was. */
  readonly completions: number;
  /** Whether each number of the only output is stored once, as the last that a run does. */
  readonly isSeen?: boolean;
  pack(parameters: Tensors): ReadonlyMap<string, Uint8Array>;
}
/** `ring`: whether features come in a ring; BUFFERS.start and BUFFERS.done may be read and counted up. */
export type LowerNetwork = (graph: Graph,
  options: { precision: CudaPrecision; device: DeviceFacts; isRing: boolean }) => LoweredNetwork;

/** What a caller feeds or reads, in mapped memory. */
export interface PlanPort {
  readonly name: string;
  readonly buffer: string;
  readonly shape: readonly number[];
}

export interface ModelPlan {
  readonly B: number;
  readonly list: LaunchList;
  /** Buffers that lie in mapped host memory. */
  readonly mapped: readonly BufferSpec[];
  /** Fed at each run; the features of a ring are not among them. */
  readonly inputs: readonly PlanPort[];
  readonly outputs: readonly PlanPort[];
  /** Where the ring lies; null without one. */
  readonly ring: string | null;
  /** By how much `done` is more after a run; 0: answers are looked at themselves. */
  readonly completions: number;
  pack(): ReadonlyMap<string, Uint8Array>;
}

/** Buffers that the engine adds. */
export const BUFFERS = {
  header: "engine/header", done: "engine/done", windows: "engine/windows", rows: "engine/rows",
  ring: "engine/ring", start: "engine/start", runs: "engine/runs",
} as const;

/** The input that windows are made of. */
export const FEATURES = "features";
const FEED: KernelSource = { name: "feed.cu", text: null, defines: {} };

/** The graph that is run: answers of the last step only, at these sizes. */
export function boundGraph({ graph, name }: ExportedNetwork, { B, T }: { B: number; T: number }): Graph {
  const outputs = graph.outputs.filter((output) => isAnswer(output.name));
  if (outputs.length === 0) {
    throw new UserError(`${name} answers nothing that a strategy reads (position, volatility, confidence)`,
      "export a network with `dmn train-export`.");
  }
  const bound = bindSizes(lastStep({ ...graph, outputs }), { B, T });
  const read = new Set(orderNodes(bound.outputs.map(({ tensor }) => tensor)));
  const isRead = ({ tensor }: Named): boolean => read.has(tensor.node);
  return { ...bound, inputs: bound.inputs.filter(isRead), state: bound.state.filter(isRead) };
}

/** F. UserError when the network reads no windows of features. */
export function featuresOf({ graph, name }: ExportedNetwork): number {
  const shape = graph.inputs.find((input) => input.name === FEATURES)?.tensor.shape;
  const F = shape?.[2];
  if (shape?.length === 3 && shape[0] === "B" && shape[1] === "T" && typeof F === "number") return F;
  throw new UserError(shape === undefined ? `${name} reads no ${FEATURES}`
    : `${name} reads ${FEATURES} of shape ${shapeText(shape)}, not (B, T, F)`,
  "run it with --device cpu, or export a network with `dmn train-export`.");
}

/** Plans one bucket. Nothing is allocated and nothing compiled. */
export function planModel(network: ExportedNetwork, request: PlanRequest, lower: LowerNetwork): ModelPlan {
  const { B, T, precision, device, feed } = request;
  const graph = boundGraph(network, request), F = featuresOf(network);
  const lowered = lower(graph, { precision, device, isRing: feed === "ring" });
  const port = ({ name, tensor }: Named, buffers: Readonly<Record<string, string>>): PlanPort =>
    ({ name, buffer: buffers[name], shape: sizesOf(tensor.shape) });
  const inputs = graph.inputs.map((input) => port(input, lowered.inputs));
  const outputs = graph.outputs.map((output) => port(output, lowered.outputs));
  const x = inputs.find(({ name }) => name === FEATURES)?.buffer ?? null;
  const head = x === null ? { buffers: [], mapped: [], launches: [], ring: null }
    : feed === "ring" ? ringHead(x, { B, T, F }, lowered.isRing) : windowsHead(x, { B, T, F }, device);
  const isSeen = lowered.isSeen === true;
  const tail = isSeen || lowered.completions > 0 ? { buffers: [], launches: [] } : doneTail();
  const others = inputs.filter(({ name }) => name !== FEATURES);
  const isMapped = new Set([...others, ...outputs].map(({ buffer }) => buffer));
  const added: BufferSpec[] = [{ name: BUFFERS.header, bytes: HEADER_BYTES, role: "input" },
    { name: BUFFERS.done, bytes: 4, role: "output" }, ...head.mapped];
  const own = lowered.list.buffers.filter(({ name }) => !Object.values<string>(BUFFERS).includes(name));
  const given = { ...(head.ring === x ? RING : SCRATCH) };
  const windows: PlanPort[] = feed === "ring" || x === null ? []
    : [{ name: FEATURES, buffer: BUFFERS.windows, shape: [B, T, F] }];
  return {
    B, outputs, inputs: [...windows, ...others], ring: head.ring,
    completions: isSeen ? 0 : Math.max(1, lowered.completions),
    mapped: [...added, ...own.filter(({ name }) => isMapped.has(name))],
    list: { name: `${graph.name} B ${B} T ${T} ${precision} ${feed}`,
      // The features are not fed to the launches: the engine writes them.
      buffers: [...added, ...head.buffers,
        ...own.map((buffer) => (buffer.name === x ? { ...buffer, ...given } : buffer)), ...tail.buffers],
      launches: [...head.launches, ...lowered.list.launches, ...tail.launches] },
    pack: () => lowered.pack(Object.fromEntries(graph.state.map(({ name }) =>
      [name, network.parameters[name]]))),
  };
}

/** A ring outlives a run, and starts as zeros. */
const RING = { role: "state", fill: 0 } as const;
/** So do windows that were never asked about: they are computed with the others. */
const SCRATCH = { role: "scratch", fill: 0 } as const;

interface Size { readonly B: number; readonly T: number; readonly F: number }
/** What comes before a network's own launches. */
interface Head {
  readonly buffers: readonly BufferSpec[];
  readonly mapped: readonly BufferSpec[];
  readonly launches: readonly Launch[];
  readonly ring: string | null;
}

const addressOf = (buffer: string): Argument => ({ kind: "address", buffer });

const launchOf = (kernel: string, grid: Launch["grid"], block: number, fields: readonly Argument[],
  isDependent = false, sharedBytes = 0): Launch =>
  ({ source: FEED, kernel, grid, block, sharedBytes, isDependent, arguments: fields });

/** Threads of a block of feed.cu, and 16-byte pieces that one moves at a time. */
const BLOCK = 256, PIECES = 4;

function windowsHead(x: string, { B, T, F }: Size, { multiprocessors }: DeviceFacts): Head {
  const bytes = 4 * B * T * F, blocks = Math.ceil(bytes / (16 * PIECES * BLOCK));
  return { buffers: [], ring: null, mapped: [{ name: BUFFERS.windows, bytes, role: "input" }],
    launches: [launchOf("copy_rows", [Math.min(blocks, 4 * multiprocessors), 1, 1], BLOCK,
      [addressOf(x), addressOf(BUFFERS.windows), addressOf(BUFFERS.header), u32(T * F)])] };
}

/** Tells the host that a run is done, for launches that do not. */
const doneTail = (): Pick<Head, "buffers" | "launches"> => ({
  buffers: [{ name: BUFFERS.runs, bytes: 4, ...SCRATCH }],
  launches: [launchOf("tell_done", [1, 1, 1], 32, [addressOf(BUFFERS.done), addressOf(BUFFERS.runs)], true)],
});

function ringHead(x: string, { B, T, F }: Size, isRing: boolean): Head {
  const ring = isRing ? x : BUFFERS.ring;
  const step = launchOf("ring_step", [B, 1, 1], BLOCK, [addressOf(ring), addressOf(BUFFERS.start),
    addressOf(BUFFERS.rows), u32(T), u32(F), u32(rowWords(F))], false, 16);
  const unroll = launchOf("unroll_ring", [T, B, 1], BLOCK, [addressOf(x), addressOf(ring),
    addressOf(BUFFERS.start), u32(T), u32(F)], true);
  return { ring, launches: isRing ? [step] : [step, unroll],
    buffers: [{ name: BUFFERS.start, bytes: 4, role: "state", fill: 0 },
      ...(isRing ? [] : [{ name: ring, bytes: 4 * B * T * F, ...RING }])],
    mapped: [{ name: BUFFERS.rows, bytes: 4 * B * rowWords(F), role: "input" }] };
}
