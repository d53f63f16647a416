/**
 * Plans lstm-tile.cu: LSTM stacks at large batch on tensor cores. A pass runs several layers at once, every
 * block of it a slice of one layer's units for one group of sequences.
 *
 *   x -> lstm_tile_input -> pass 0: layers 0, 1 -> pass 1: layers 2, 3 -> lstm_tile_head | _last | _all
 *
 *   B = 512, H = 512, L = 2: 4 groups of 128 sequences x 2 layers x 16 slices of 32 units = 128 blocks
 *   B = 4096: the same blocks, 8 tiles of 128 sequences one after the other
 */
import type { Argument, BufferSpec, DeviceFacts, KernelSource, Launch } from "../launch.ts";
import type { LstmLayerWeights, LstmPlan, LstmPlanner, LstmStack, LstmWeights } from "./stack.ts";
import { toBfloat16Bits, toFloat16Bits } from "../gemm/pack.ts";
import { inputLaunch, resultLaunch, stepsKept, words, type Ends } from "./ends.ts";
import { joinBytes, packBias, pointer, putHead } from "./pack.ts";

/** How a stack is cut: what the kernel is compiled for, and how many blocks a pass has. */
export interface TileShape {
  /** Units as the kernel pads them, and how many a block owns: 32, or 16 with products split over K. */
  readonly hidden: number;
  readonly units: 16 | 32;
  /** Features as the kernel pads them. */
  readonly inputs: number;
  /** Sequences of a matrix product, and such sets of a block that alternate. */
  readonly columns: 8 | 16 | 32 | 64 | 128;
  readonly halves: 1 | 2;
  /** Blocks of a cluster, which share what they load. */
  readonly pair: 1 | 2;
  /** Values of k of a load, and loads that fit shared memory. */
  readonly chunk: 64 | 128;
  readonly slots: number;
  /** Layers of a pass, groups of sequences, tiles of columns x halves sequences in all. */
  readonly layers: number;
  readonly groups: number;
  readonly tiles: number;
  /** Dynamic shared memory of a block, bytes. */
  readonly sharedBytes: number;
  /** What a run takes by the model of `stepUs`, microseconds. */
  readonly estimateUs: number;
}

const roundUp = (value: number, multiple: number): number => Math.ceil(value / multiple) * multiple;
/** Blocks of a cluster, which share what they load. */
const PAIR = 2;
const SLOTS_MAX = 32, LAYERS_MAX = 8;

/** Shapes that fit the device, the fastest first. */
export function tileShapes(stack: LstmStack, device: DeviceFacts): TileShape[] {
  const { B, T, F, H, L } = stack, units = H > 512 ? 16 : 32, isSplit = units === 16;
  const hidden = roundUp(H, isSplit ? 128 : 64), slices = hidden / units;
  const blocksMax = PAIR * (device.activeClusters[PAIR] ?? 0);
  const shapes: TileShape[] = [];
  for (const columns of [8, 16, 32, 64, 128] as const) {
    if (isSplit && (columns < 16 || columns > 64)) continue;
    for (const halves of columns > 64 ? [1] as const : [1, 2] as const) {
      const chunk = columns < 64 && hidden % 128 === 0 && !isSplit ? 128 : 64;
      const inputs = roundUp(F, isSplit ? 2 * chunk : chunk), tiles = Math.ceil(B / (columns * halves));
      for (let passes = 1; passes <= L; passes++) {
        const layers = Math.ceil(L / passes);
        if (layers > LAYERS_MAX || Math.ceil(L / layers) !== passes) continue;
        const groups = Math.min(Math.floor(blocksMax / (layers * slices)), tiles);
        const memory = sharedMemory({ hidden, units, inputs, columns, chunk }, L > 1, device);
        if (groups < 1 || memory === null) continue;
        const rounds = Math.ceil(tiles / groups), inner = L > 1 ? hidden : inputs;
        // Fast in one or two rounds; in four, weights that stream were faster (1,359 us, not 1,508).
        if (columns === 128 && (passes > 1 || rounds > 2)) continue;
        const estimateUs = passes * (18 + (rounds * T + layers - 1)
          * stepUs(4 * units * (inner + hidden), columns, halves, isSplit));
        shapes.push({ hidden, units, inputs, columns, halves, pair: PAIR, chunk, layers, groups, tiles,
          estimateUs, ...memory });
      }
    }
  }
  return shapes.sort((left, right) => left.estimateUs - right.estimateUs);
}

/**
 * A step's time of a block with that many weights, microseconds, as an H200 took it: what h takes to travel
 * (128 columns: and what no product hides of its gates), and the products (1024 weights times a set of
 * columns: so many cycles at 1755 MHz), of which less hides the more columns there are. Split over K, a
 * product needs twice the bytes.
 */
function stepUs(weights: number, columns: TileShape["columns"], halves: 1 | 2, isSplit: boolean): number {
  const cycles = { 8: 18, 16: 20, 32: 24, 64: 36, 128: 64 }[columns];
  const products = weights / 1024 * cycles / 1755;
  const share = halves === 1 ? { 8: 0.69, 16: 0.65, 32: 0.66, 64: 1, 128: 0.54 }[columns]
    : { 8: 1.6, 16: 1.5, 32: 1.77, 64: 2.28, 128: Infinity }[columns];
  return ((columns === 128 ? 3.9 : 1.5) + share * products) * (isSplit ? 1.75 : 1);
}

/** How many chunks fit beside the weights, and what a block then needs; null: too few. */
function sharedMemory({ hidden, units, inputs, columns, chunk }:
  Pick<TileShape, "hidden" | "units" | "inputs" | "columns" | "chunk">, isDeep: boolean, device: DeviceFacts):
  Pick<TileShape, "slots" | "sharedBytes"> | null {
  const wx = 8 * units * Math.max(inputs, isDeep ? hidden : 0), chunkBytes = chunk * columns * 2;
  const fixed = wx + units * columns * 2 + (units === 16 ? 256 * columns : 0) + 64;
  const fitting = Math.min(SLOTS_MAX, Math.floor((device.sharedBytesMax - fixed) / (chunkBytes + 16)));
  // Even where warpgroups take chunks in turn: a slot then always serves the same one.
  const slots = units === 16 ? fitting - fitting % 2 : fitting;
  // Loaders of h or of inputs pass over each other's chunks, and must not come round the ring by that;
  // loaders of both do not, and want two chunks each.
  const least = units === 16 ? 8 : columns === 128 ? 4 : Math.max(hidden, inputs) / chunk + 2;
  return slots < least ? null : { slots, sharedBytes: fixed + slots * (chunkBytes + 16) };
}

/** Null: float32, given states, no wgmma (another architecture than sm_90a), or a stack that does not fit. */
export const planLstmTile: LstmPlanner = (stack, device, prefix) => {
  if (stack.precision === "float32" || stack.states !== null || device.capability !== 90) return null;
  if (stack.H > 1024) return null;
  const shape = tileShapes(stack, device).at(0);
  return shape === undefined ? null : planTileShape(stack, shape, prefix);
};

/** The plan of a stack in a given shape; for measurements of others than the first. */
export function planTileShape(stack: LstmStack, shape: TileShape, prefix: string): LstmPlan {
  const { L, T, result } = stack, { hidden, columns, halves, tiles, inputs, units } = shape;
  const blocks = tiles * halves, slices = hidden / units;
  const buffer = (name: string, bytes: number, role: BufferSpec["role"]): BufferSpec =>
    ({ name: `${prefix}.${name}`, bytes, role });
  const layerNumbers = Array.from({ length: L }, (_, layer) => layer);
  const buffers = [
    ...layerNumbers.flatMap((layer) => [
      buffer(`wx${layer}`, 4 * hidden * (layer === 0 ? inputs : hidden) * 2, "weight"),
      buffer(`wh${layer}`, 4 * hidden * hidden * 2, "weight"),
      buffer(`bias${layer}`, 4 * hidden * 4, "weight"),
      buffer(`h${layer}`, blocks * columns * hidden * 2 * stepsKept(stack, layer), "scratch"),
    ]),
    buffer("input", blocks * columns * inputs * 2 * T, "scratch"),
    buffer("flags", L * blocks * slices * 4, "scratch"),
    { ...buffer("zeros", hidden * columns * 2, "scratch"), fill: 0 },
    { ...buffer("arrivals", 8, "scratch"), fill: 0 },
  ];
  if (result.kind === "head") {
    buffers.push(buffer("head.w", result.columns * hidden * 4, "weight"),
      buffer("head.b", result.columns * 4, "weight"));
  }
  const ends: Ends = { columns, hidden, inputs, blocks, slices, source: source(shape, stack, 0) };
  const launches = [inputLaunch(stack, ends, prefix)];
  for (let layer = 0; layer < L; layer += shape.layers) {
    launches.push(passLaunch(stack, shape, prefix, layer));
  }
  launches.push(resultLaunch(stack, ends, prefix));
  return { buffers, launches, completions: 1, pack: (weights) => packTile(stack, shape, weights, prefix) };
}

/** Where halves alternate, or warpgroups do, warps of their own write h. */
const publishes = ({ halves, columns }: TileShape): boolean => halves === 2 || columns === 128;

function source(shape: TileShape, { L, precision }: LstmStack, layer: number): KernelSource {
  const { hidden, units, columns, halves, pair, chunk, slots, inputs } = shape;
  return { name: "lstm-tile.cu", text: null, defines: {
    HIDDEN: hidden, COLUMNS: columns, HALVES: halves, SPLIT: units === 16 ? 1 : 0, PAIR: pair,
    PUBLISH: publishes(shape) ? 1 : 0, CHUNK: chunk,
    SLOTS: slots, BFLOAT: precision === "bfloat16" ? 1 : 0,
    INPUT_CHUNKS: (layer === 0 ? inputs : hidden) / chunk,
    WX_BYTES: 8 * units * Math.max(inputs, L > 1 ? hidden : 0),
  } };
}

function passLaunch(stack: LstmStack, shape: TileShape, prefix: string, layer: number): Launch {
  const { L, T } = stack, { hidden, units, tiles, halves, groups, pair, sharedBytes } = shape;
  const slices = hidden / units, layers = Math.min(shape.layers, L - layer);
  const fields = Array.from({ length: LAYERS_MAX }, (_, index): Argument[] => {
    if (index >= layers) return words(0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    const name = (part: string): Argument[] => pointer(`${prefix}.${part}${layer + index}`);
    // The second word fills the struct up to its alignment.
    return [...name("wx"), ...name("wh"), ...name("bias"), ...name("h"),
      ...words(stepsKept(stack, layer + index), 0)];
  });
  return { source: source(shape, stack, layer), kernel: "lstm_tile", grid: [groups * layers * slices, 1, 1],
    block: halves === 2 ? 512 : 384, sharedBytes, cluster: pair, isCooperative: true,
    arguments: [...fields.flat(), ...pointer(layer === 0 ? `${prefix}.input` : `${prefix}.h${layer - 1}`),
      ...pointer(`${prefix}.zeros`), ...pointer(`${prefix}.flags`, layer * tiles * halves * slices * 4),
      ...words(T, layers, groups, tiles)] };
}

/** The unit (of a block) and gate of a row: r and r + 8 of 16 are i, f (even r) or o, g of unit r / 2. */
function unitAndGate(row: number): { unit: number; gate: number } {
  return { unit: (row >> 4) * 4 + ((row & 7) >> 1), gate: 2 * (row & 1) + ((row >> 3) & 1) };
}

/** w (K, 4H) as (slice, k / 8, row, 8) 16-bit values, what products read from shared memory. */
export function packTileRows(w: Float32Array, H: number, inputs: number,
  { hidden, units }: Pick<TileShape, "hidden" | "units">): Float32Array {
  const K = w.length / (4 * H), rows = 4 * units, packed = new Float32Array(4 * hidden * inputs);
  let at = 0;
  for (let slice = 0; slice < hidden / units; slice++) {
    for (let eighth = 0; eighth < inputs / 8; eighth++) {
      for (let row = 0; row < rows; row++) {
        const { unit, gate } = unitAndGate(row), column = gate * H + slice * units + unit;
        for (let k = eighth * 8; k < eighth * 8 + 8; k++, at++) {
          if (k < K && slice * units + unit < H) packed[at] = w[k * 4 * H + column];
        }
      }
    }
  }
  return packed;
}

/** w (H, 4H) as (slice, warpgroup, step of 16, thread, 8) 16-bit values, A operands in registers. */
export function packTileFragments(w: Float32Array, H: number,
  { hidden, units, chunk }: TileShape): Float32Array {
  const isSplit = units === 16, steps = hidden / (isSplit ? 32 : 16);
  const packed = new Float32Array(4 * hidden * hidden);
  let at = 0;
  for (let slice = 0; slice < hidden / units; slice++) {
    for (let group = 0; group < 2; group++) {
      for (let step = 0; step < steps; step++) {
        const own = Math.floor(step * 16 / chunk) * chunk;
        const first = isSplit ? step * 16 + own + group * chunk : step * 16;
        for (let thread = 0; thread < 128; thread++) {
          const lane = thread & 31, base = (isSplit ? 0 : 64 * group) + 16 * (thread >> 5) + (lane >> 2);
          for (let value = 0; value < 8; value++, at++) {
            const { unit, gate } = unitAndGate(base + 8 * ((value >> 1) & 1));
            const k = first + 2 * (lane & 3) + 8 * (value >> 2) + (value & 1), owner = slice * units + unit;
            if (k < H && owner < H) packed[at] = w[(k * 4 + gate) * H + owner];
          }
        }
      }
    }
  }
  return packed;
}

function packTile({ H, precision, result }: LstmStack, shape: TileShape, { layers, head }: LstmWeights,
  prefix: string): ReadonlyMap<string, Uint8Array> {
  const { hidden, inputs } = shape, packed = new Map<string, Uint8Array>();
  const narrow = (values: Float32Array): Uint8Array =>
    joinBytes([precision === "bfloat16" ? toBfloat16Bits(values) : toFloat16Bits(values)]);
  layers.forEach(({ wx, wh, bias }: LstmLayerWeights, layer) => {
    packed.set(`${prefix}.wx${layer}`, narrow(packTileRows(wx, H, layer === 0 ? inputs : hidden, shape)));
    packed.set(`${prefix}.wh${layer}`, narrow(packTileFragments(wh, H, shape)));
    packed.set(`${prefix}.bias${layer}`, joinBytes([packBias(bias, hidden)]));
  });
  if (result.kind === "head" && head !== null) putHead(packed, head, H, hidden, prefix);
  return packed;
}
