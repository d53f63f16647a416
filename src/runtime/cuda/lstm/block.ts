/**
 * Plans lstm-block.cu: layers of at most 64 units, each whole in one block, so that no step waits for another
 * multiprocessor. One launch per layer; hidden states of a layer below pass through memory.
 *
 *   B <= multiprocessors: one block a sequence; above: eight sequences a block
 */
import type { Argument, BufferSpec, CudaPrecision, KernelSource, Launch } from "../launch.ts";
import type { LstmPlanner, LstmStack, LstmWeights } from "./stack.ts";
import { integers, joinBytes, packBias, packFragments, pointer, putHead } from "./pack.ts";

/** Padded features above which a warp's weights do not fit its registers. */
const INPUTS_MAX = 288;

interface BlockShape {
  readonly units: 32 | 64;
  readonly columns: 1 | 8;
}

/** Null: float32, more than 64 units or 288 features. */
export const planLstmBlock: LstmPlanner = (stack, device, prefix) => {
  const { B, T, F, H, L, precision, result } = stack;
  if (precision === "float32" || device.capability < 80) return null;
  if (H > 64 || paddedInputs(F) > INPUTS_MAX) return null;
  const shape: BlockShape = { units: H > 32 ? 64 : 32, columns: B > device.multiprocessors ? 8 : 1 };
  const layers = Array.from({ length: L }, (_, layer) => layer);
  const weight = (name: string, bytes: number): BufferSpec =>
    ({ name: `${prefix}.${name}`, bytes, role: "weight" });
  const buffers: BufferSpec[] = layers.flatMap((layer) => [
    weight(`weights.${layer}`, shape.units * (paddedInputs(layer === 0 ? F : H) + shape.units) * 8),
    weight(`bias.${layer}`, shape.units * 16),
  ]);
  for (const layer of layers.slice(1)) {
    buffers.push({ name: `${prefix}.hidden.${layer - 1}`, bytes: T * B * H * 2, role: "scratch" });
  }
  if (result.kind === "head") {
    buffers.push(weight("head.w", result.columns * shape.units * 4), weight("head.b", result.columns * 4));
  }
  buffers.push({ name: `${prefix}.arrivals`, bytes: 8, role: "scratch", fill: 0 });
  return { buffers, completions: 1,
    launches: layers.map((layer) => blockLaunch(stack, shape, prefix, layer)),
    pack: (weights) => packBlocks(stack, shape, weights, prefix) };
};

const paddedInputs = (F: number): number => Math.ceil(F / 32) * 32;

function blockLaunch(stack: LstmStack, { units, columns }: BlockShape, prefix: string,
  layer: number): Launch {
  const { B, T, F, H, L, result, states } = stack, isLast = layer === L - 1;
  const inputs = paddedInputs(layer === 0 ? F : H), isHead = isLast && result.kind === "head";
  const isWide = stack.precision === "bfloat16", isAll = isLast && result.kind === "all";
  const defines: Record<string, number> = { HIDDEN: units, INPUTS: inputs, COLUMNS: columns,
    WIDE_INPUT: isWide && layer === 0 ? 1 : 0, WIDE_RESULT: isWide && isAll ? 1 : 0 };
  const source: KernelSource = { name: "lstm-block.cu", text: null, defines };
  const state = (buffer: string | undefined): Argument[] => pointer(buffer, layer * B * H * 4);
  const all = isAll ? result.buffer : isLast ? null : `${prefix}.hidden.${layer}`;
  return { source, kernel: "lstm_block", grid: [Math.ceil(B / columns), 1, 1], block: units * 4,
    sharedBytes: 2 * (inputs * (defines.WIDE_INPUT === 1 ? 32 : 16) + units * columns * 2
      + (columns === 1 ? units * 128 : 0)),
    isDependent: layer === 0 && states === null,
    arguments: [
      ...pointer(`${prefix}.weights.${layer}`), ...pointer(`${prefix}.bias.${layer}`),
      ...pointer(layer === 0 ? stack.x : null),
      ...pointer(layer === 0 ? null : `${prefix}.hidden.${layer - 1}`),
      ...pointer(layer === 0 ? stack.ringStart : null),
      ...state(states?.h0), ...state(states?.c0), ...state(states?.hn), ...state(states?.cn),
      ...pointer(isLast && result.kind === "last" ? result.buffer : null), ...pointer(all),
      ...pointer(isHead ? `${prefix}.head.w` : null), ...pointer(isHead ? `${prefix}.head.b` : null),
      ...pointer(isHead ? result.buffer : null), ...pointer(isLast ? stack.done : null),
      ...pointer(`${prefix}.arrivals`),
      ...integers(B, T, layer === 0 ? F : H, H),
      ...integers(isHead ? result.columns : 0, isHead && result.activation === "tanh" ? 1 : 0),
    ] };
}

/** In bfloat16 only features need its range (lstm-block.cu). */
function packBlocks({ H, precision, result }: LstmStack, { units }: BlockShape, { layers, head }: LstmWeights,
  prefix: string): ReadonlyMap<string, Uint8Array> {
  const packed = new Map<string, Uint8Array>();
  // A warp owns one octet of units and all of k: slices of two tiles, one warp each.
  const fragments = (w: Float32Array, rows: number, of: CudaPrecision): Uint16Array =>
    packFragments(w, H, { units, rows, tiles: 2, warps: 1 }, of);
  for (const [layer, { wx, wh, bias }] of layers.entries()) {
    const inputs = paddedInputs(wx.length / (4 * H));
    packed.set(`${prefix}.weights.${layer}`, joinBytes([
      fragments(wx, inputs, layer === 0 ? precision : "float16"), fragments(wh, units, "float16")]));
    packed.set(`${prefix}.bias.${layer}`, joinBytes([packBias(bias, units)]));
  }
  if (result.kind === "head" && head !== null) putHead(packed, head, H, units, prefix);
  return packed;
}
