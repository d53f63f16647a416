/**
 * Plans lstm-grid.cu: every layer at once, spread over as many multiprocessors as there are, hidden states
 * exchanged through L2. For batches up to 32 (64); needs no clusters.
 *
 *   B = 16, H = 512, L = 2: 2 groups of 8 x 2 layers x 32 slices of 16 units
 *   B = 32: the same with four groups; a block works on two of them in turn
 *   H = 1024, L = 4: layers 0, 1 in one launch (2 x 64 slices of 16), layers 2, 3 in the next
 */
import type { BufferSpec, DeviceFacts, KernelSource, Launch } from "../launch.ts";
import type { LstmPlan, LstmPlanner, LstmStack, LstmWeights } from "./stack.ts";
import { integers, joinBytes, packBias, packFragments, pointer, putHead } from "./pack.ts";

/** How a stack is cut: what the kernel is compiled for, and how many layers and groups a launch has. */
export interface GridShape {
  /** Units and features as the kernel pads them. */
  readonly units: number;
  readonly inputs: number;
  readonly warps: number;
  /** Tiles of 16 gate rows of a block: a block owns 4 units for each. */
  readonly tiles: number;
  /** Sequences of a group: 1, 2, 4 or 8; groups of a block, which it works on in turn: 1, 2, 4 or 6. */
  readonly columns: number;
  readonly sets: number;
  /** Blocks of a layer and set of groups; layers of a launch; sets of groups of a launch, and in all. */
  readonly slices: number;
  readonly layers: number;
  readonly blocks: number;
  readonly allBlocks: number;
  readonly sharedBytes: number;
  /** What a run takes, microseconds: measured steps, see `stepUs`. */
  readonly estimateUs: number;
}

const TILES = [2, 4, 8] as const, SETS = [1, 2, 4, 6] as const;

/** Shapes that fit the device, the fastest first. */
export function gridShapes(stack: LstmStack, device: DeviceFacts): GridShape[] {
  const { B, L } = stack, widest = B > 4 ? 8 : B > 2 ? 4 : B, shapes: GridShape[] = [];
  for (let passes = 1; passes <= L; passes++) {
    const layers = Math.ceil(L / passes);
    if (Math.ceil(L / layers) !== passes) continue;
    for (const columns of B > 4 ? [4, 8] : [widest]) {
      for (const tiles of TILES) {
        for (const sets of SETS) {
          const shape = gridShape(stack, device, passes, columns, tiles, sets);
          if (shape !== null) shapes.push(shape);
        }
      }
    }
  }
  return shapes.sort((left, right) => left.estimateUs - right.estimateUs);
}

function gridShape({ B, T, F, H, L }: LstmStack, device: DeviceFacts, passes: number, columns: number,
  tiles: number, sets: number): GridShape | null {
  const warps = H > 128 && Math.ceil(H / 128) % 2 === 0 ? 8 : 4, multiple = 32 * warps;
  const units = Math.ceil(H / multiple) * multiple, inputs = Math.ceil(F / multiple) * multiple;
  const layers = Math.ceil(L / passes), slices = units / (4 * tiles);
  const allBlocks = Math.ceil(B / (columns * sets));
  const blocks = Math.min(Math.floor(device.multiprocessors / (layers * slices)), allBlocks);
  const memory = gridMemory(units, inputs, warps, tiles, columns, sets);
  if (blocks < 1 || units % (4 * tiles) !== 0 || memory.bytes > device.sharedBytesMax) return null;
  if (tiles * (units / (32 * warps)) * 8 > 128) return null;
  // Sets need registers to spare, and a way to share them out unevenly (sm_90a).
  if (sets > 1 && (device.capability !== 90 || columns < 8 || !memory.holdsInput)) return null;
  const rounds = Math.ceil(allBlocks / blocks) * passes;
  const step = stepUs({ units, tiles, columns, sets }, memory.holdsInput);
  return { units, inputs, warps, tiles, columns, sets, slices, layers, blocks, allBlocks,
    sharedBytes: memory.bytes, estimateUs: 3 + rounds * (4 + tiles + (T + layers - 1) * step) };
}

/**
 * A step on an H200, fitted to measured runs of 256 to 1024 units (mostly within 5%): the exchange, products,
 * weights read from shared memory, what is gathered; and what each further set adds.
 */
function stepUs({ units, tiles, columns, sets }: Pick<GridShape, "units" | "tiles" | "columns" | "sets">,
  holdsInput: boolean): number {
  const products = tiles * units / 1024, gathered = columns * units / 4096;
  return 0.74 + 0.03 * products + (holdsInput ? 0 : 0.6) + 0.15 * gathered
    + (sets - 1) * (0.25 + 0.1 * products);
}

/** Dynamic shared memory of a block as GRID_SHARED of the kernel; whether weights of inputs fit registers. */
function gridMemory(units: number, inputs: number, warps: number, tiles: number, columns: number,
  sets: number): { bytes: number; holdsInput: boolean } {
  const hidden = units / (32 * warps), most = Math.max(hidden, inputs / (32 * warps));
  const tasks = (tiles / 2) * (columns > 4 ? 2 : 1), holdsInput = tiles * (hidden + most) * 8 <= 128;
  return { holdsInput,
    bytes: 2 * sets * warps * tasks * 512 + sets * tasks * 128
      + (holdsInput ? 0 : warps * tiles * most * 1024) };
}

/** Above it what travels between blocks would take a tenth of a GPU. */
const BATCH_MAX = 512;

/** Null: float32, "all" with an odd H, more than 512 sequences, or a stack that does not fit. */
export const planLstmGrid: LstmPlanner = (stack, device, prefix) => {
  const { B, H, precision, result } = stack;
  if (precision === "float32" || device.capability < 80 || B > BATCH_MAX) return null;
  if (result.kind === "all" && H % 2 !== 0) return null;
  const shape = gridShapes(stack, device).at(0);
  return shape === undefined ? null : planGridShape(stack, shape, prefix);
};

/** The plan of a stack in a given shape; for measurements of others than the first. */
export function planGridShape(stack: LstmStack, shape: GridShape, prefix: string): LstmPlan {
  const { L, T, result } = stack, { columns, units, inputs, sets, allBlocks } = shape;
  const groups = allBlocks * sets, stepBytes = (rows: number): number => rows * columns * 2;
  const launches: Launch[] = [];
  for (let block = 0; block < allBlocks; block += shape.blocks) {
    for (let layer = 0; layer < L; layer += shape.layers) {
      launches.push(gridLaunch(stack, shape, prefix, launches.length, layer, block));
    }
  }
  const weight = (name: string, bytes: number): BufferSpec =>
    ({ name: `${prefix}.${name}`, bytes, role: "weight" });
  const buffers: BufferSpec[] = [
    weight("weights", (units * (inputs + units) + (L - 1) * 2 * units * units) * 8),
    weight("bias", L * units * 16),
    { name: `${prefix}.sequences`, role: "scratch", fill: 0xff,
      bytes: 2 * groups * T * (stepBytes(inputs) + L * stepBytes(units)) },
    { name: `${prefix}.epoch`, role: "scratch", fill: 0, bytes: 4 * groups * launches.length },
    { name: `${prefix}.arrivals`, role: "scratch", fill: 0, bytes: 8 },
  ];
  if (result.kind === "head") {
    buffers.push(weight("head.w", result.columns * units * 4), weight("head.b", result.columns * 4));
  }
  return { buffers, launches, completions: 1, pack: (weights) => packGrid(stack, shape, weights, prefix) };
}

function gridLaunch(stack: LstmStack, shape: GridShape, prefix: string, index: number, layer: number,
  block: number): Launch {
  const { B, T, F, H, L, result, states } = stack;
  const { units, inputs, tiles, columns, sets, warps, slices, allBlocks } = shape;
  const blocks = Math.min(shape.blocks, allBlocks - block), groups = allBlocks * sets;
  const layers = Math.min(shape.layers, L - layer), isHead = result.kind === "head";
  const source: KernelSource = { name: "lstm-grid.cu", text: null, defines: { HIDDEN: units, INPUTS: inputs,
    TILES: tiles, COLUMNS: columns, WARPS: warps, SETS: sets, DELAY: sets > 1 ? 0 : units > 512 ? 700 : 450,
    BFLOAT16: stack.precision === "bfloat16" ? 1 : 0 } };
  return { source, kernel: "lstm_grid", grid: [blocks * layers * slices, 1, 1],
    block: (warps + (sets > 1 ? 4 : 0)) * 32, sharedBytes: shape.sharedBytes, isCooperative: true,
    isDependent: index === 0 && states === null,
    arguments: [
      ...pointer(`${prefix}.weights`), ...pointer(`${prefix}.bias`), ...pointer(stack.x),
      ...pointer(stack.ringStart), ...pointer(`${prefix}.sequences`),
      ...pointer(`${prefix}.epoch`, 4 * groups * index),
      ...pointer(states?.h0), ...pointer(states?.c0), ...pointer(states?.hn), ...pointer(states?.cn),
      ...pointer(result.kind === "last" ? result.buffer : null),
      ...pointer(result.kind === "all" ? result.buffer : null),
      ...pointer(isHead ? `${prefix}.head.w` : null), ...pointer(isHead ? `${prefix}.head.b` : null),
      ...pointer(isHead ? result.buffer : null), ...pointer(stack.done), ...pointer(`${prefix}.arrivals`),
      ...integers(B, T, F, H, groups, block * sets, layer, layers, L),
      ...integers(isHead ? result.columns : 0, isHead && result.activation === "tanh" ? 1 : 0),
      ...integers(allBlocks * (isHead ? Math.min(slices, result.columns) : slices)),
    ] };
}

function packGrid({ H, precision, result }: LstmStack, shape: GridShape, { layers, head }: LstmWeights,
  prefix: string): ReadonlyMap<string, Uint8Array> {
  const { units, inputs, tiles, warps } = shape;
  const fragments = (w: Float32Array, rows: number): Uint16Array =>
    packFragments(w, H, { units, rows, tiles, warps }, precision);
  const packed = new Map([
    [`${prefix}.weights`, joinBytes(layers.flatMap(({ wx, wh }, layer) =>
      [fragments(wx, layer === 0 ? inputs : units), fragments(wh, units)]))],
    [`${prefix}.bias`, joinBytes(layers.map(({ bias }) => packBias(bias, units)))],
  ]);
  if (result.kind === "head" && head !== null) putHead(packed, head, H, units, prefix);
  return packed;
}
