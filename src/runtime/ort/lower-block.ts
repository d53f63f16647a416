/** Blocks that ONNX has an op for. A block without a row here is written as its decomposition. */
import type { BlockName } from "../../graph/block.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { Emitter } from "./emitter.ts";
import type { Lowering, NodeOf } from "./lower.ts";
import { real, type Precision } from "./onnx.ts";

export const BLOCK_LOWERINGS: { readonly [Op in BlockName]: Lowering<Op> | null } = {
  adamw: null,
  attention: null,
  elu: (_, [x], { emit }) => [emit("Elu", [x])],
  gelu: (_, [x], { emit }) => [emit("Gelu", [x], { approximate: "tanh" })],
  layerNorm: ({ attributes: { epsilon } }, inputs, { emit }) =>
    [emit("LayerNormalization", inputs, { axis: -1, epsilon: real(epsilon) })],
  linear: lowerLinear,
  lstm: lowerLstm,
  lstmGradient: null,
  softmax: (_, [x], { emit }) => [emit("Softmax", [x], { axis: -1 })],
};

/** Blocks for which ONNX Runtime's CPU provider has no float64 kernel. */
const NO_DOUBLE: ReadonlySet<BlockName> = new Set(["elu", "gelu", "layerNorm", "lstm"]);

/** Whether a block is written as an op in this precision. */
export const hasLowering = (op: BlockName, precision: Precision): boolean =>
  BLOCK_LOWERINGS[op] !== null && !(precision === "float64" && NO_DOUBLE.has(op));

/**
 * Whether an lstm is read only where ONNX's LSTM has outputs: not its cells and gates of every
 * step.
 */
export const isPlainLstm = (used: ReadonlySet<Tensor>, outputs: readonly Tensor[]): boolean =>
  !used.has(outputs[3]) && !used.has(outputs[4]);

/** Rows of all leading axes in one Gemm, which adds the bias on the way. */
function lowerLinear({ inputs: [x], outputs: [y] }: NodeOf<"linear">, [name, w, bias]: readonly string[],
  { emit, integers, sizes }: Emitter): string[] {
  if (x.shape.length === 2) return [emit("Gemm", [name, w, bias])];
  const rows = emit("Reshape", [name, integers([-1, x.shape.at(-1) as number])]);
  return [emit("Reshape", [emit("Gemm", [rows, w, bias]), sizes(y.shape)])];
}

/** Our gates i, f, o, g are i, o, f, c in ONNX. */
const GATES = [0, 2, 1, 3] as const;

/**
 * ONNX LSTM-22: X (T, B, F), W (1, 4H, F), R (1, 4H, H), B (1, 8H: of input and of state),
 *   h0, c0 (1, B, H)
 *   -> Y (T, 1, B, H), h (1, B, H), c (1, B, H)
 */
function lowerLstm({ inputs }: NodeOf<"lstm">, [x, , , , h0, c0]: readonly string[],
  emitter: Emitter): string[] {
  const { emit, emitAll, integers, floats } = emitter;
  const [wx, wh, bias] = inputs.slice(1, 4).map((tensor) => reorderGates(tensor, emitter));
  const first = integers([0]), H = inputs[2].shape[0] as number;
  const biases = emit("Concat", [bias, floats([1, 4 * H], new Float64Array(4 * H))], { axis: 1 });
  const states = [h0, c0].map((state) => emit("Unsqueeze", [state, first]));
  const [hidden, lastHidden, lastCell] = emitAll("LSTM", [x, wx, wh, biases, "", ...states],
    { count: 3, attributes: { hidden_size: H } });
  return [emit("Squeeze", [hidden, integers([1])]), emit("Squeeze", [lastHidden, first]),
    emit("Squeeze", [lastCell, first])];
}

/**
 * (K, 4H) -> (1, 4H, K), a bias (4H) -> (1, 4H), in ONNX's order; here and now if it is baked in.
 */
function reorderGates(tensor: Tensor, emitter: Emitter): string {
  const { emit, emitAll, integers, nameOf, trained, fresh } = emitter;
  const H = (tensor.shape.at(-1) as number) / 4;
  const name = tensor.node.op === "input" ? tensor.node.attributes.name : "";
  const baked = emitter.baked.get(name);
  if (baked !== undefined) {
    const [K, columns] = tensor.shape.length === 2 ? baked.shape : [1, baked.shape[0]];
    const made = new Float64Array(K * columns);
    GATES.forEach((gate, place) => {
      for (let h = 0; h < H; h++) {
        const to = (place * H + h) * K, from = gate * H + h;
        for (let k = 0; k < K; k++) made[to + k] = baked.values[k * columns + from];
      }
    });
    const shape = tensor.shape.length === 2 ? [1, columns, K] : [1, columns];
    return trained(name, shape, made, fresh("trained"));
  }
  const axis = tensor.shape.length - 1;
  const gates = emitAll("Split", [nameOf(tensor), integers([H, H, H, H])],
    { count: 4, attributes: { axis } });
  const ordered = emit("Concat", GATES.map((gate) => gates[gate]), { axis });
  const turned = axis === 1 ? emit("Transpose", [ordered], { perm: [1, 0] }) : ordered;
  return emit("Unsqueeze", [turned, integers([0])]);
}
