/**
 * The nodes of a graph. A node is an op with inputs and attributes; a tensor is one of its outputs.
 * Nodes are immutable values that point backwards, so a graph is whatever its outputs reach:
 *
 *   Tensor ──node──> Node { op, inputs: Tensor[], attributes }     node.outputs[index] === tensor
 *
 * All elements are real numbers. Which float they are is the runtime's choice (float64 in
 * `reference`).
 */
import { assert } from "../base/assert.ts";
import { messageOf } from "../base/error.ts";
import { BLOCK_SIGNATURES, type BlockAttributes, type BlockName } from "./block.ts";
import { shapeText, type Shape } from "./dimension.ts";
import { PRIMITIVES, type PrimitiveAttributes, type PrimitiveName, type Signature } from "./op.ts";

export type OpName = PrimitiveName | BlockName;
export type Attributes = PrimitiveAttributes & BlockAttributes;

interface NodeOf<Op extends OpName> {
  readonly op: Op;
  readonly inputs: readonly Tensor[];
  readonly attributes: Attributes[Op];
  readonly outputs: readonly Tensor[];
}
/** Discriminated by `op`: inside `case "sum":` the attributes are those of sum. */
export type Node = { [Op in OpName]: NodeOf<Op> }[OpName];

export interface Tensor {
  readonly node: Node;
  /** Which output of the node. */
  readonly index: number;
  readonly shape: Shape;
}

const SIGNATURES: { readonly [Op in OpName]: Signature<Attributes[Op]> } =
  { ...PRIMITIVES, ...BLOCK_SIGNATURES };

export const isBlock = (op: OpName): op is BlockName => Object.hasOwn(BLOCK_SIGNATURES, op);

/**
 * A new node, its inputs counted and their shapes checked by the op's signature. Everything that
 * builds graphs ends here.
 */
export function makeNode<Op extends OpName>(op: Op, inputs: readonly Tensor[],
  attributes: Attributes[Op]): readonly Tensor[] {
  const given = inputs.map((input) => input.shape);
  const call = (): string => `${op}(${given.map(shapeText).join(", ")})`;
  const { arity, shapes: shapesOf } = SIGNATURES[op];
  if (arity !== null && given.length !== arity) assert(false, `${call()} takes ${arity} inputs`);
  let shapes: readonly Shape[];
  try { shapes = shapesOf(given, attributes); } catch (error) {
    assert(false, `${call()}: ${messageOf(error)}`);
  }
  const outputs: Tensor[] = [];
  const node = { op, inputs, attributes, outputs } as unknown as Node;
  shapes.forEach((shape, index) => { outputs.push({ node, index, shape }); });
  return outputs;
}

/** The only output of a node with one. */
export function makeTensor<Op extends OpName>(op: Op, inputs: readonly Tensor[],
  attributes: Attributes[Op]): Tensor {
  const outputs = makeNode(op, inputs, attributes);
  assert(outputs.length === 1, `${op} has ${outputs.length} outputs`);
  return outputs[0];
}
