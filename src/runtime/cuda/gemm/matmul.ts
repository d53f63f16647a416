/**
 * Products that gemm.ts does not take: both sides from memory, any sizes, transposed or not, leading axes
 * broadcast; float32 everywhere, and 16 bits where there is no wgmma (matmul.cu).
 */
import { assert } from "../../../base/assert.ts";
import { broadcastShapes } from "../../../graph/dimension.ts";
import { u32, type Argument, type CudaPrecision, type DeviceFacts, type Launch } from "../launch.ts";
import { ACTIVATIONS, bytesOf } from "./matrix.ts";
import { planStatistics } from "./norm.ts";
import { packGemm } from "./pack.ts";
import { epilogueArguments, weightBuffers, type Gemm, type GemmPlan } from "./product.ts";

/**
 * out (..., M, N) = a (..., M, K) b (..., K, N), the primitive `matmul` of src/graph/op.ts: leading axes
 * broadcast by NumPy's rule, a or b stored with their last two axes swapped. All three lie densely.
 */
export interface Matmul {
  /** Leading axes of each, then its matrix as stored: (M, K), or (K, M) when transposed. */
  readonly aShape: readonly number[];
  readonly bShape: readonly number[];
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly precision: CudaPrecision;
  readonly a: string;
  readonly b: string;
  readonly out: string;
  /** Of (N) in float32, added to every row; a `linear` whose weight may change. */
  readonly bias?: string;
}

/** One leading axis: its size, and how many elements a and b move along it (0: broadcast). */
interface BatchAxis { readonly size: number; readonly a: number; readonly b: number }

/** Leading axes of a product that the kernel walks. */
const AXES = 4;

/** Plans a product of two tensors; it owns no buffers. */
export function planMatmul(matmul: Matmul, _device: DeviceFacts): Launch {
  const { transposeA, transposeB, precision, a, b, out, bias } = matmul;
  const { aShape, bShape } = asOneMatrix(matmul);
  const [rowsA, columnsA] = aShape.slice(-2), [rowsB, columnsB] = bShape.slice(-2);
  const [M, K] = transposeA ? [columnsA, rowsA] : [rowsA, columnsA];
  const N = transposeB ? rowsB : columnsB;
  const gemm: Gemm = { M, N, K, precision, a: { buffer: a, stride: columnsA },
    out: { buffer: out, stride: N }, epilogue: { hasBias: bias !== undefined } };
  return launchOf(gemm, { isAcross: transposeA, line: columnsA, buffer: a },
    { isAcross: !transposeB, line: columnsB, buffer: b }, batchOf(aShape, bShape),
    epilogueArguments(gemm, { bias }, null));
}

/** A weight for all of a's leading axes makes them rows of one matrix. */
function asOneMatrix({ aShape, bShape, transposeA }: Matmul): Pick<Matmul, "aShape" | "bShape"> {
  const isShared = bShape.slice(0, -2).every((size) => size === 1);
  if (!isShared || transposeA) return { aShape, bShape };
  const rows = aShape.slice(0, -1).reduce((product, size) => product * size, 1);
  return { aShape: [rows, aShape.at(-1)!], bShape: bShape.slice(-2) };
}

/** Leading axes, broadcast, neighbours joined where both sides walk on evenly; four of them. */
function batchOf(aShape: readonly number[], bShape: readonly number[]): BatchAxis[] {
  const [aLead, bLead] = [aShape.slice(0, -2), bShape.slice(0, -2)];
  const sizes = broadcastShapes(aLead, bLead) as number[];
  const aSteps = stepsOf(aShape, sizes.length), bSteps = stepsOf(bShape, sizes.length);
  const axes: BatchAxis[] = [];
  sizes.forEach((size, k) => {
    const last = axes.at(-1);
    if (size === 1) return;
    if (last && last.a === aSteps[k] * size && last.b === bSteps[k] * size) {
      axes[axes.length - 1] = { size: last.size * size, a: aSteps[k], b: bSteps[k] };
    } else axes.push({ size, a: aSteps[k], b: bSteps[k] });
  });
  assert(axes.length <= AXES, `a product over ${axes.length} leading axes`);
  return [...Array.from({ length: AXES - axes.length }, () => ({ size: 1, a: 0, b: 0 })), ...axes];
}

/** Elements from one to the next along each of `count` leading axes; 0 where the tensor repeats. */
function stepsOf(shape: readonly number[], count: number): number[] {
  const lead = shape.slice(0, -2), steps = Array.from({ length: count }, () => 0);
  let step = shape.at(-1)! * shape.at(-2)!;
  for (let k = 1; k <= lead.length; k++) {
    if (lead.at(-k)! > 1) steps[count - k] = step;
    step *= lead.at(-k)!;
  }
  return steps;
}

/** Plans a product with a frozen weight for GPUs, sizes and precisions that gemm.cu does not take. */
export function planMatmulGemm(gemm: Gemm, device: DeviceFacts, prefix: string): GemmPlan {
  const { M, N, K, precision, a, out } = gemm;
  const weight = `${prefix}.w`, stride = Math.ceil(K / 8) * 8;
  const own = gemm.wantsStatistics === true
    ? planStatistics({ rows: M, D: N, precision, x: out }, device, prefix) : null;
  const hasBias = gemm.epilogue.hasBias || gemm.normalise !== undefined;
  const names = { bias: hasBias ? `${prefix}.bias` : undefined, sums: `${prefix}.sums` };
  const left = { isAcross: false, line: a.stride * (a.step ?? 1), buffer: a.buffer,
    offset: (a.first ?? 0) * a.stride + (a.column ?? 0) };
  const right = { isAcross: false, line: stride, buffer: weight };
  const product = launchOf(gemm, left, right, batchOf([M, K], [K, N]), epilogueArguments(gemm, names, null));
  return {
    buffers: [...weightBuffers(gemm, prefix), ...own?.buffers ?? []],
    launches: [product, ...own?.launches ?? []],
    statistics: own?.statistics ?? null,
    pack: (weights) => packGemm(gemm, weights, prefix),
  };
}

/** A factor as it lies: lines of neighbours, along K or across it. */
interface Side {
  readonly isAcross: boolean;
  /** Elements from line to line. */
  readonly line: number;
  readonly buffer: string;
  readonly offset?: number;
}

function launchOf(gemm: Gemm, a: Side, b: Side, batch: readonly BatchAxis[],
  epilogue: readonly Argument[]): Launch {
  const { M, N, K, precision, normalise, isOutFloat = false } = gemm;
  const { hasBias, activation, residual } = gemm.epilogue;
  const count = batch.reduce((product, { size }) => product * size, 1);
  const tilesOf = (tile: number): number => Math.ceil(M / tile) * Math.ceil(N / tile) * count;
  const tile = Math.min(M, N) > 64 && tilesOf(128) >= 100 ? 128 : 64;
  const isFloat = precision === "float32";
  const sideBytes = ({ isAcross }: Side): number =>
    (isAcross ? 32 : tile) * ((isAcross ? tile : 32) * 2 + 16);
  const isWhole = (side: Side, across: number, steps: readonly number[]): boolean =>
    [side.line, side.offset ?? 0, side.isAcross ? across : K, ...steps]
      .every((elements) => elements % 8 === 0);
  const isVector = isWhole(a, M, batch.map((axis) => axis.a)) && isWhole(b, N, batch.map((axis) => axis.b));
  const address = ({ buffer, offset = 0 }: Side): Argument =>
    ({ kind: "address", buffer, offset: offset * bytesOf(precision) });
  return {
    source: { name: "matmul.cu", text: null, defines: {
      FLOAT: isFloat ? 1 : 0, BFLOAT: precision === "bfloat16" ? 1 : 0, TILE: tile,
      A_ACROSS: a.isAcross ? 1 : 0, B_ACROSS: b.isAcross ? 1 : 0, VECTOR: isVector && !isFloat ? 1 : 0,
      OUT_FLOAT: isOutFloat ? 1 : 0, ACTIVATION: ACTIVATIONS[activation ?? "none"],
      NORMALISED: normalise ? 1 : 0, IN_TILES: normalise?.statistics.tiles ?? 1,
      HAS_BIAS: hasBias || normalise ? 1 : 0, RESIDUAL: residual === undefined ? 0 : 1,
    } },
    kernel: "matmul", grid: [tilesOf(tile), 1, 1], block: 256,
    sharedBytes: isFloat ? 2 * 2 * 16 * (tile + 4) * 4 : 3 * (sideBytes(a) + sideBytes(b)),
    isDependent: true,
    arguments: [address(a), address(b), ...epilogue, u32(a.line), u32(b.line),
      ...batch.flatMap((axis) => [u32(axis.size), u32(axis.a), u32(axis.b)])],
  };
}
