/**
 * Plans lstm-wave.cu: up to eight sequences, for each group of them a cluster of blocks for each layer's
 * recurrence and another for the products with its inputs; one cluster for the products with x of all groups.
 *
 *   H = 512, L = 2, B = 1: X0 -> R0 -> X1 -> R1, four clusters of 16 blocks of 32 units
 *                   B = 8: X0 -> two of R0 -> X1 -> R1, each of four sequences
 */
import type { BufferSpec, DeviceFacts, KernelSource, Launch } from "../launch.ts";
import type { LstmPlanner, LstmStack, LstmWeights } from "./stack.ts";
import { integers, joinBytes, packBias, packFragments, pointer, putHead } from "./pack.ts";

const TILES = 8, WARPS = 8, SHARES = 4;

/** Layer 0's input weights of a block lie in registers. */
const INPUTS_MAX = 512;

/** Sequences of a group, the fastest first; of all groups, what X0 keeps up with. */
const COLUMNS = [1, 4] as const, COLUMNS_MAX = 8;

interface WaveShape {
  readonly units: 256 | 512;
  readonly slices: 8 | 16;
  readonly inputs: number;
  readonly columns: number;
  readonly groups: number;
  readonly sharedBytes: number;
}

/** Null: float32, no clusters, more than 512 units, or more layers and groups than clusters at once. */
export const planLstmWave: LstmPlanner = (stack, device, prefix) => {
  const { T, H, L, precision, result } = stack, shape = waveShape(stack, device);
  if (precision === "float32" || shape === null) return null;
  const { units, inputs, columns, groups } = shape;
  const weight = (name: string, bytes: number): BufferSpec =>
    ({ name: `${prefix}.${name}`, bytes, role: "weight" });
  const buffers: BufferSpec[] = [
    weight("weights", (units * (inputs + units) + (L - 1) * 2 * units * units) * 8),
    weight("bias", L * units * 16),
    { name: `${prefix}.projections`, bytes: groups * L * T * columns * units * 16, role: "scratch",
      fill: 0xff },
    { name: `${prefix}.epoch`, bytes: 4 * groups, role: "scratch", fill: 0 },
    { name: `${prefix}.arrivals`, bytes: 8, role: "scratch", fill: 0 },
  ];
  if (L > 1) {
    buffers.push({ name: `${prefix}.sequences`, bytes: 2 * groups * (L - 1) * T * columns * units * 2,
      role: "scratch", fill: 0xff });
  }
  if (result.kind === "head") {
    buffers.push(weight("head.w", result.columns * units * 4), weight("head.b", result.columns * 4));
  }
  return { buffers, completions: 1, launches: [waveLaunch(stack, shape, prefix)],
    pack: (weights) => packWave(H, shape, weights, stack, prefix) };
};

function waveShape({ B, F, H, L }: LstmStack, device: DeviceFacts): WaveShape | null {
  if (device.capability < 90 || H > 512) return null;
  const units = H > 256 ? 512 : 256, slices = units === 512 ? 16 : 8, inputs = Math.ceil(F / 32) * 32;
  if (inputs > INPUTS_MAX) return null;
  for (const columns of COLUMNS) {
    const groups = Math.ceil(B / columns), clusters = 1 + groups * (2 * L - 1);
    if (groups * columns > COLUMNS_MAX || clusters > (device.activeClusters[slices] ?? 0)) continue;
    // Partial sums, two slots of h and staging; barriers and sums of heads, head weights, two chunks of x.
    const sharedBytes = (4096 + 4 * units + 128) * columns + 256 + 4 * units + 32 * inputs;
    return { units, slices, inputs, columns, groups, sharedBytes };
  }
  return null;
}

function waveLaunch(stack: LstmStack, shape: WaveShape, prefix: string): Launch {
  const { B, T, F, H, L, result, states } = stack, isHead = result.kind === "head";
  const { units, slices, inputs, columns, groups, sharedBytes } = shape;
  const all = 2 ** Math.ceil(Math.log2(groups * columns));
  const source: KernelSource = { name: "lstm-wave.cu", text: null,
    defines: { HIDDEN: units, INPUTS: inputs, COLUMNS: columns, ALL: all,
      BFLOAT16: stack.precision === "bfloat16" ? 1 : 0 } };
  return { source, kernel: "lstm_wave", grid: [(1 + groups * (2 * L - 1)) * slices, 1, 1], block: WARPS * 32,
    sharedBytes, cluster: slices, isCooperative: true, isDependent: states === null,
    arguments: [
      ...pointer(`${prefix}.weights`), ...pointer(`${prefix}.bias`), ...pointer(stack.x),
      ...pointer(stack.ringStart), ...pointer(L > 1 ? `${prefix}.sequences` : null),
      ...pointer(`${prefix}.projections`), ...pointer(`${prefix}.epoch`),
      ...pointer(states?.h0), ...pointer(states?.c0), ...pointer(states?.hn), ...pointer(states?.cn),
      ...pointer(result.kind === "last" ? result.buffer : null),
      ...pointer(result.kind === "all" ? result.buffer : null),
      ...pointer(isHead ? `${prefix}.head.w` : null), ...pointer(isHead ? `${prefix}.head.b` : null),
      ...pointer(isHead ? result.buffer : null), ...pointer(stack.done), ...pointer(`${prefix}.arrivals`),
      ...integers(B, T, F, H, L),
      ...integers(isHead ? result.columns : 0, isHead && result.activation === "tanh" ? 1 : 0),
      ...integers(groups * (isHead ? Math.min(slices, result.columns) : slices)),
    ] };
}

function packWave(H: number, { units, inputs }: WaveShape, { layers, head }: LstmWeights,
  { precision, result }: LstmStack, prefix: string): ReadonlyMap<string, Uint8Array> {
  // Layer 0: a warp owns a tile of its input weights and all of k. Elsewhere pairs of warps share k.
  const fragments = (w: Float32Array, rows: number, warps: number): Uint16Array =>
    packFragments(w, H, { units, rows, tiles: TILES, warps }, precision);
  const packed = new Map([
    [`${prefix}.weights`, joinBytes(layers.flatMap(({ wx, wh }, layer) =>
      [layer === 0 ? fragments(wx, inputs, 1) : fragments(wx, units, SHARES),
        fragments(wh, units, SHARES)]))],
    [`${prefix}.bias`, joinBytes(layers.map(({ bias }) => packBias(bias, units)))],
  ]);
  if (result.kind === "head" && head !== null) putHead(packed, head, H, units, prefix);
  return packed;
}
