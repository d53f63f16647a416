/**
 * Products with a weight that never changes, with what stands around them, as one launch of gemm/gemm.ts:
 *
 *   layerNorm ── linear ── mul (a number) ── gelu | tanh | sigmoid ── add (residual)
 *
 * The norm's statistics come from the product that wrote its input, if one did.
 */
import type { Node, Tensor } from "../../../graph/tensor.ts";
import { reshapeView, type View } from "../../view.ts";
import { planGemm, type Gemm, type GemmPlan } from "../gemm/gemm.ts";
import type { Activation, Matrix, RowStatistics } from "../gemm/matrix.ts";
import { planConvert, planStatistics } from "../gemm/norm.ts";
import type { Launch } from "../launch.ts";
import { ELEMENT_BYTES } from "./emitter.ts";
import type { Read } from "./fuse.ts";
import type { LoweredAnchor, Lowering } from "./lowering.ts";
import { countIn, ELEMENTS, isOp, uniformOf, unshaped, type Pattern } from "./pattern.ts";
import { shapeOf } from "./table.ts";

/** A product that was found. */
interface Linear {
  readonly x: Tensor;
  readonly w: Tensor;
  readonly bias: Tensor | null;
  readonly norm: { readonly scale: Tensor; readonly shift: Tensor; readonly epsilon: number } | null;
  readonly scale: number;
  readonly activation: Activation;
  readonly residual: { readonly tensor: Tensor; readonly period: number | null } | null;
  readonly out: Tensor;
}

/**
 * Products of fewer multiplications and a smaller weight than this are as fast where their neighbours can
 * join them.
 */
const SMALL = 2 ** 22, SMALL_WEIGHT = 2 ** 16;

/** Finds every such product of a pattern's graph, first to last. */
export function findLinears(pattern: Pattern): void {
  const made = new Map<Tensor, LinearAnchor>();
  for (const node of pattern.order) {
    const linear = linearAt(node, pattern, (x) => made.get(unshaped(x))?.canMeasure(x) === true);
    if (linear === null || pattern.anchors.has(linear.out)) continue;
    const source = linear.norm === null ? null : made.get(unshaped(linear.x))!;
    const anchor = new LinearAnchor(linear, pattern, source);
    pattern.anchors.set(linear.out, anchor);
    made.set(linear.out, anchor);
  }
}

/** `isMeasured`: whether a product writes a tensor and can write its rows' statistics as well. */
function linearAt(node: Node, pattern: Pattern, isMeasured: (x: Tensor) => boolean): Linear | null {
  if (!isOp(node, "linear") && !isOp(node, "matmul")) return null;
  const [given, w] = node.inputs, bias = node.op === "linear" ? node.inputs[2] : null;
  const { constants } = pattern;
  if (node.op === "matmul" && (node.attributes.transposeA || node.attributes.transposeB)) return null;
  if (w.shape.length !== 2 || !constants.isStatic(w) || constants.isStatic(given)) return null;
  if (bias !== null && !constants.isStatic(bias)) return null;
  if (!isLarge(w, given)) return null;
  const norm = normOf(given, pattern, isMeasured);
  return { x: norm?.x ?? given, w, bias, norm: norm?.norm ?? null, ...chainAfter(node.outputs[0], pattern) };
}

interface Normed { readonly x: Tensor; readonly norm: NonNullable<Linear["norm"]> }

/** The norm of a product's input, if products are all that reads it. */
function normOf(given: Tensor, pattern: Pattern, isMeasured: (x: Tensor) => boolean): Normed | null {
  const { node } = unshaped(given), { constants } = pattern;
  if (node.op !== "layerNorm" || pattern.precision === "float32") return null;
  const [x, scale, shift] = node.inputs;
  if (!isMeasured(x) || !constants.isStatic(scale) || !constants.isStatic(shift)) return null;
  const isProduct = (reader: Node, tensor: Tensor): boolean => {
    if (reader.op === "reshape") return isForProducts(reader.outputs[0]);
    return reader.op === "linear" && reader.inputs[0] === tensor && isLarge(reader.inputs[1], tensor)
      && constants.isStatic(reader.inputs[1]) && constants.isStatic(reader.inputs[2]);
  };
  const isForProducts = (tensor: Tensor): boolean => !pattern.isResult(tensor)
    && pattern.readersOf(tensor).every((reader) => isProduct(reader, tensor));
  return isForProducts(node.outputs[0]) ? { x, norm: { scale, shift, epsilon: node.attributes.epsilon } }
    : null;
}

function isLarge(w: Tensor, x: Tensor): boolean {
  const [K, N] = shapeOf(w);
  return K >= 8 && N >= 8 && (countIn(x) * N >= SMALL || K * N >= SMALL_WEIGHT);
}

type After = Pick<Linear, "scale" | "activation" | "residual" | "out">;
const ACTIVATION_OPS: ReadonlySet<string> = new Set<Activation>(["gelu", "tanh", "sigmoid"]);

/** What follows a product and can be done on its way out. */
function chainAfter(first: Tensor, pattern: Pattern): After {
  let found: After = { scale: 1, activation: "none", residual: null, out: first }, tensor = first;
  for (;;) {
    const reader = pattern.onlyReader(tensor);
    if (reader === null) return found;
    const [out] = reader.outputs;
    if (reader.op !== "reshape") {
      const more = countIn(out) === countIn(first) ? stepAfter(reader, tensor, found, first, pattern) : null;
      if (more === null) return found;
      found = { ...found, ...more, out };
    }
    tensor = out;
  }
}

/** What one more op adds to a chain; null: it ends before it. */
function stepAfter(reader: Node, tensor: Tensor, { scale, activation, residual }: After, first: Tensor,
  pattern: Pattern): Partial<After> | null {
  if (residual !== null) return null;
  const other = reader.inputs.find((input) => input !== tensor), [out] = reader.outputs;
  if (reader.op === "mul" && activation === "none" && other !== undefined) {
    const factor = uniformOf(other);
    return factor === null ? null : { scale: scale * factor };
  }
  if (ACTIVATION_OPS.has(reader.op) && activation === "none") return { activation: reader.op as Activation };
  // A float32 result takes no residual: the two would differ in type.
  if (reader.op !== "add" || other === undefined || pattern.isResult(out)) return null;
  const found = residualOf(other, out, shapeOf(first).at(-1)!, pattern);
  return found === null ? null : { residual: found };
}

/** A tensor that is added, as rows of N: of the result, or fewer that repeat and never change. */
function residualOf(other: Tensor, out: Tensor, N: number, { constants }: Pattern): Linear["residual"] {
  if (shapeOf(other).at(-1) !== N || shapeOf(out).at(-1) !== N) return null;
  const rows = countIn(other) / N, isStatic = constants.isStatic(other);
  if (countIn(other) === countIn(out)) return { tensor: other, period: isStatic ? rows : null };
  const wide = shapeOf(other).slice(shapeOf(other).findIndex((size) => size > 1));
  const isRepeated = wide.join() === shapeOf(out).slice(-wide.length).join();
  return isStatic && rows > 1 && isRepeated ? { tensor: other, period: rows } : null;
}

/** A tensor as rows of a buffer; null: its rows are not evenly apart, or not whole. */
function matrixOf(view: View<Tensor>, columns: number): { stride: number; column: number } | null {
  const rows = view.shape.reduce((a, b) => a * b, 1) / columns;
  const flat = reshapeView(view, [rows, columns]);
  if (flat === null || (columns > 1 && flat.strides[1] !== 1)) return null;
  return { stride: rows > 1 ? flat.strides[0] : columns, column: flat.offset };
}

class LinearAnchor implements LoweredAnchor {
  readonly outputs: readonly Tensor[];
  readonly reads: readonly Read[];
  readonly hasEpilogue = false;
  readonly isHalf = true;
  readonly #linear: Linear;
  readonly #pattern: Pattern;
  readonly #source: LinearAnchor | null;
  readonly #prefix: string;
  #wantsStatistics = false;
  /** Of the rows it wrote. */
  statistics: RowStatistics | null = null;

  constructor(linear: Linear, pattern: Pattern, source: LinearAnchor | null) {
    this.#linear = linear;
    this.#pattern = pattern;
    this.#prefix = pattern.name("linear");
    this.#source = source;
    if (source !== null) source.#wantsStatistics = true;
    this.outputs = [linear.out];
    const K = shapeOf(linear.w)[0], N = shapeOf(linear.w)[1];
    const rowsOf = (tensor: Tensor, columns: number): Read =>
      ({ tensor, element: null, accepts: (view) => matrixOf(view, columns) !== null });
    const { residual } = linear;
    if (residual?.period != null) pattern.constants.store(unshaped(residual.tensor),
      ELEMENTS[pattern.precision]);
    this.reads = [rowsOf(linear.x, K), ...(residual === null ? [] : [rowsOf(residual.tensor, N)])];
  }

  /** Whether it can write the statistics of x's rows, x being what it writes in some shape. */
  canMeasure(x: Tensor): boolean {
    const N = shapeOf(this.#linear.w)[1];
    return N % 64 === 0 && shapeOf(x).at(-1) === N;
  }

  emit({ views }: { readonly views: readonly View<Tensor>[] }, lowering: Lowering): Launch[] {
    const linear = this.#linear, { precision, device, constants } = this.#pattern;
    const [K, N] = shapeOf(linear.w), M = countIn(linear.x) / K;
    const before: Launch[] = [];
    const out = lowering.memoryOf(linear.out);
    const [a, residual] = views.map((view, k) => this.#operand(view, k === 0 ? K : N, lowering, before));
    const statistics = linear.norm === null ? null
      : this.#source?.statistics ?? this.#ownStatistics(M, K, a, lowering, before);
    const gemm: Gemm = {
      M, N, K, precision, a, out: { buffer: out.buffer, stride: N }, isOutFloat: precision !== "float32"
        && out.element === "f32",
      epilogue: { hasBias: linear.bias !== null, scale: linear.scale, activation: linear.activation,
        ...(linear.residual === null ? {} : { residual: { ...residual,
          ...(linear.residual.period === null ? {} : { period: linear.residual.period }) } }) },
      ...(linear.norm === null ? {}
        : { normalise: { statistics: statistics!, epsilon: linear.norm.epsilon } }),
      wantsStatistics: this.#wantsStatistics,
    };
    const plan: GemmPlan = planGemm(gemm, device, this.#prefix);
    this.statistics = plan.statistics;
    for (const buffer of plan.buffers) lowering.builder.buffer(buffer);
    const weights = [linear.w, ...(linear.bias === null ? [] : [linear.bias]),
      ...(linear.norm === null ? [] : [linear.norm.scale, linear.norm.shift])];
    constants.packWith(weights, ([w, ...rest]) => {
      const bias = linear.bias === null ? {} : { bias: rest[0] };
      const norm = linear.norm === null ? {} : { norm: { scale: rest.at(-2)!, shift: rest.at(-1)! } };
      return plan.pack({ w, ...bias, ...norm });
    });
    return [...before, ...plan.launches];
  }

  /** An operand in the precision: float32 is converted first. */
  #operand(view: View<Tensor>, columns: number, lowering: Lowering, before: Launch[]): Matrix {
    const { precision, device } = this.#pattern, memory = lowering.memoryOf(view.source);
    const { stride, column } = matrixOf(view, columns)!;
    const from: Matrix = { buffer: memory.buffer, stride, column: column
      + memory.offset / ELEMENT_BYTES[memory.element] };
    if (memory.element === ELEMENTS[precision] || precision === "float32") return from;
    const rows = view.shape.reduce((a, b) => a * b, 1) / columns, padded = Math.ceil(columns / 8) * 8;
    const to: Matrix = { buffer: lowering.builder.scratch(rows * padded * 2, "half"), stride: padded };
    before.push(planConvert({ rows, columns, precision, from, to }, device));
    return to;
  }

  #ownStatistics(rows: number, D: number, x: Matrix, lowering: Lowering, before: Launch[]): RowStatistics {
    const { precision, device } = this.#pattern;
    const plan = planStatistics({ rows, D, precision, x }, device, `${this.#prefix}.x`);
    for (const buffer of plan.buffers) lowering.builder.buffer(buffer);
    before.push(...plan.launches);
    return plan.statistics;
  }
}
