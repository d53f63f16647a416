/**
 * Plans lstm-stream.cu: LSTM stacks at large batch on tensor cores, weights fetched for every product.
 *
 *   x -> lstm_tile_input -> lstm_stream, all layers at once -> lstm_tile_head | _last | _all
 *
 *   B = 4096, H = 512, L = 2: 16 blocks of 256 sequences x 2 layers x 8 pairs of slices = 256 pairs of items
 *   a wave, which 66 pairs of multiprocessors take in turn
 */
import type { BufferSpec, DeviceFacts, KernelSource, Launch } from "../launch.ts";
import type { LstmLayerWeights, LstmPlan, LstmPlanner, LstmStack, LstmWeights } from "./stack.ts";
import { toBfloat16Bits, toFloat16Bits } from "../gemm/pack.ts";
import { inputLaunch, resultLaunch, stepsKept, words, type Ends } from "./ends.ts";
import { joinBytes, packBias, pointer, putHead } from "./pack.ts";
import { packTileRows } from "./tile.ts";

export interface StreamShape {
  /** Units and features as the kernel pads them. */
  readonly hidden: number;
  readonly inputs: number;
  /** Sequences of a product. */
  readonly columns: 64 | 128 | 256;
  /** Chunks that the ring holds. */
  readonly slots: number;
  /** Blocks of columns, and pairs of thread blocks. */
  readonly tiles: number;
  readonly pairs: number;
  /** Dynamic shared memory of a block, bytes. */
  readonly sharedBytes: number;
  /** What a run takes by measured times of items, microseconds. */
  readonly estimateUs: number;
}

const UNITS = 32, PAIR = 2, CHUNK = 64, LAYERS_MAX = 8;
const roundUp = (value: number, multiple: number): number => Math.ceil(value / multiple) * multiple;

/** Shapes that fit the device, the fastest first. */
export function streamShapes(stack: LstmStack, device: DeviceFacts): StreamShape[] {
  const { B, T, F, H, L } = stack;
  const hidden = roundUp(H, PAIR * UNITS), inputs = Math.max(CHUNK, roundUp(F, 16));
  if (hidden / UNITS > UNITS || L > LAYERS_MAX) return [];
  const shapes: StreamShape[] = [];
  for (const columns of [64, 128, 256] as const) {
    if (columns > 64 && columns >= 2 * B) continue;
    const tiles = Math.ceil(B / columns), items = L * (hidden / UNITS / PAIR) * tiles;
    const pairs = Math.min(device.activeClusters[PAIR] ?? 0, items);
    const fixed = UNITS * columns * 2 + 32, slot = CHUNK * (4 * UNITS + columns) * 2 + 16;
    const slots = Math.floor((device.sharedBytesMax - fixed) / slot);
    if (slots < 2 || pairs < 1) continue;
    // Of a wave: where each pair has one item, the largest; else all of them in turn.
    const widest = hidden + (L > 1 ? Math.max(hidden, inputs) : inputs);
    const mean = hidden + (inputs + (L - 1) * hidden) / L;
    const waveUs = items <= pairs ? itemUs(widest, columns) : items / pairs * CLOCK * itemUs(mean, columns);
    shapes.push({ hidden, inputs, columns, slots, tiles, pairs, sharedBytes: fixed + slots * slot,
      estimateUs: 15 + (T + L - 1) * waveUs });
  }
  return shapes.sort((left, right) => left.estimateUs - right.estimateUs);
}

/** An item's time with K values of k in all, microseconds, as an H200 took it: gates, and products. */
function itemUs(K: number, columns: StreamShape["columns"]): number {
  const [gates, step] = ({ 64: [1, 0.105], 128: [0.5, 0.118], 256: [2, 0.175] } as const)[columns];
  return gates + step * K / 16;
}
/** What an item takes longer where every multiprocessor always multiplies: the GPU then lowers its clock. */
const CLOCK = 1.13;

/** Null: float32, given states, no wgmma (not sm_90a), more than 1024 units or 8 layers. */
export const planLstmStream: LstmPlanner = (stack, device, prefix) => {
  if (stack.precision === "float32" || stack.states !== null || device.capability !== 90) return null;
  const shape = streamShapes(stack, device).at(0);
  return shape === undefined ? null : planStreamShape(stack, shape, prefix);
};

/** The plan of a stack in a given shape; for measurements of others than the first. */
export function planStreamShape(stack: LstmStack, shape: StreamShape, prefix: string): LstmPlan {
  const { L, T, result } = stack, { hidden, inputs, columns, tiles } = shape, slices = hidden / UNITS;
  const buffer = (name: string, bytes: number, role: BufferSpec["role"]): BufferSpec =>
    ({ name: `${prefix}.${name}`, bytes, role });
  const buffers = [
    ...Array.from({ length: L }, (_, layer) => [
      buffer(`wx${layer}`, 4 * hidden * (layer === 0 ? inputs : hidden) * 2, "weight"),
      buffer(`wh${layer}`, 4 * hidden * hidden * 2, "weight"),
      buffer(`bias${layer}`, 4 * hidden * 4, "weight"),
      buffer(`h${layer}`, tiles * columns * hidden * 2 * stepsKept(stack, layer), "scratch"),
    ]).flat(),
    buffer("input", tiles * columns * inputs * 2 * T, "scratch"),
    buffer("c", L * tiles * columns * hidden * 4, "scratch"),
    buffer("flags", L * tiles * slices * 4, "scratch"),
    { ...buffer("arrivals", 8, "scratch"), fill: 0 },
  ];
  if (result.kind === "head") {
    buffers.push(buffer("head.w", result.columns * hidden * 4, "weight"),
      buffer("head.b", result.columns * 4, "weight"));
  }
  const ends: Ends = { columns, hidden, inputs, blocks: tiles, slices, source: source(shape, stack) };
  return { buffers, completions: 1, pack: (weights) => packStream(stack, shape, weights, prefix),
    launches: [inputLaunch(stack, ends, prefix), streamLaunch(stack, shape, prefix),
      resultLaunch(stack, ends, prefix)] };
}

function source({ hidden, columns, slots, inputs }: StreamShape, { precision }: LstmStack): KernelSource {
  return { name: "lstm-stream.cu", text: null, defines: { HIDDEN: hidden, COLUMNS: columns, CHUNK,
    SLOTS: slots, INPUT_STEPS: inputs / 16, BFLOAT: precision === "bfloat16" ? 1 : 0 } };
}

function streamLaunch(stack: LstmStack, shape: StreamShape, prefix: string): Launch {
  const { L, T } = stack, { pairs, tiles, sharedBytes } = shape;
  const layers = Array.from({ length: LAYERS_MAX }, (_, layer) => {
    if (layer >= L) return words(0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    const names = ["wx", "wh", "bias", "h"].flatMap((part) => pointer(`${prefix}.${part}${layer}`));
    // The second word fills the struct up to its alignment.
    return [...names, ...words(stepsKept(stack, layer), 0)];
  });
  return { source: source(shape, stack), kernel: "lstm_stream", grid: [pairs * PAIR, 1, 1], block: 384,
    sharedBytes, cluster: PAIR, isCooperative: true,
    arguments: [...layers.flat(), ...pointer(`${prefix}.input`), ...pointer(`${prefix}.c`),
      ...pointer(`${prefix}.flags`), ...words(T, L, pairs, tiles)] };
}

function packStream({ H, precision, result }: LstmStack, { hidden, inputs }: StreamShape,
  { layers, head }: LstmWeights, prefix: string): ReadonlyMap<string, Uint8Array> {
  const packed = new Map<string, Uint8Array>();
  const rows = (w: Float32Array, K: number): Uint8Array => {
    const values = packTileRows(w, H, K, { hidden, units: UNITS });
    return joinBytes([precision === "bfloat16" ? toBfloat16Bits(values) : toFloat16Bits(values)]);
  };
  layers.forEach(({ wx, wh, bias }: LstmLayerWeights, layer) => {
    packed.set(`${prefix}.wx${layer}`, rows(wx, layer === 0 ? inputs : hidden));
    packed.set(`${prefix}.wh${layer}`, rows(wh, hidden));
    packed.set(`${prefix}.bias${layer}`, joinBytes([packBias(bias, hidden)]));
  });
  if (result.kind === "head" && head !== null) putHead(packed, head, H, hidden, prefix);
  return packed;
}
