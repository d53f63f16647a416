/**
 * ONNX files. A model is one message (onnx.proto); this file makes its parts and reads them back.
 *
 *   ModelProto ── irVersion, opsetImport, metadataProps
 *      └─ GraphProto ── input, output: ValueInfoProto    initializer: TensorProto (raw, little endian)
 *           └─ NodeProto ── opType, names of inputs and outputs, attributes (Scan's body is a GraphProto)
 *
 * Standard: onnx.ai/onnx/repo-docs/IR.html. Numbers of enumerations are the standard's.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { UserError } from "../../base/error.ts";
import type { Shape } from "../../graph/dimension.ts";
import { AttributeProtoSchema, GraphProtoSchema, ModelProtoSchema, NodeProtoSchema,
  OperatorSetIdProtoSchema, TensorProtoSchema, ValueInfoProtoSchema } from "./onnx-pb.ts";
import type { AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto }
  from "./onnx-pb.ts";

export type Precision = "float32" | "float16" | "float64";

/** TensorProto.DataType */
export const DATA_TYPE = { float32: 1, int64: 7, bool: 9, float16: 10, float64: 11 } as const;
const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, graph: 5, ints: 7 } as const;

/** IR 10 and operator set 22 are of 2024; every op we write is in them. */
const IR_VERSION = 10n;
export const OPSET = 22;
/** ONNX Runtime's own ops, for training graphs only. */
export const CONTRIB = "com.microsoft";

/** A number that is a float even where it is whole. */
export interface Real { readonly real: number }
export const real = (value: number): Real => ({ real: value });

/** Numbers are integers unless `real`. */
export type AttributeValue = number | Real | string | readonly number[] | GraphProto;
export type NodeAttributes = Readonly<Record<string, AttributeValue>>;

function attributeOf(name: string, value: AttributeValue): AttributeProto {
  const make = (type: keyof typeof ATTRIBUTE_TYPE, rest: Partial<AttributeProto>): AttributeProto =>
    create(AttributeProtoSchema, { name, type: ATTRIBUTE_TYPE[type], ...rest } as never);
  if (typeof value === "number") return make("int", { i: BigInt(value) });
  if (typeof value === "string") return make("string", { s: new TextEncoder().encode(value) });
  if ("real" in value) return make("float", { f: value.real });
  if ("$typeName" in value) return make("graph", { g: value });
  return make("ints", { ints: value.map(BigInt) });
}

export function makeOnnxNode(opType: string, input: readonly string[], output: readonly string[],
  attributes: NodeAttributes = {}, domain = ""): NodeProto {
  return create(NodeProtoSchema, { opType, name: output[0], input: [...input], output: [...output],
    attribute: Object.entries(attributes).map(([name, value]) => attributeOf(name, value)),
    ...(domain === "" ? {} : { domain }) });
}

/** Raw little-endian bytes of numbers in a precision. */
export function encodeFloats(values: ArrayLike<number>, precision: Precision): Uint8Array<ArrayBuffer> {
  const array = precision === "float64" ? Float64Array.from(values)
    : precision === "float32" ? Float32Array.from(values) : Float16Array.from(values);
  return new Uint8Array(array.buffer);
}

export const floatTensor = (name: string, dims: readonly number[], values: ArrayLike<number>,
  precision: Precision): TensorProto => create(TensorProtoSchema,
  { name, dims: dims.map(BigInt), dataType: DATA_TYPE[precision],
    rawData: encodeFloats(values, precision) });

export const integerTensor = (name: string, dims: readonly number[],
  values: readonly number[]): TensorProto => create(TensorProtoSchema, { name, dims: dims.map(BigInt),
  dataType: DATA_TYPE.int64, rawData: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) });

/** A named value with its shape; open sizes are named ("B"). */
export const valueInfo = (name: string, shape: Shape, precision: Precision): ValueInfoProto =>
  create(ValueInfoProtoSchema, { name, type: { tensorType: { elemType: DATA_TYPE[precision],
    shape: { dim: shape.map((dimension) => ({ value: typeof dimension === "number"
      ? { case: "dimValue" as const, value: BigInt(dimension) }
      : { case: "dimParam" as const, value: dimension } })) } } } });

export const makeOnnxGraph = (name: string, { input, output, node, initializer = [] }: {
  input: ValueInfoProto[]; output: ValueInfoProto[]; node: NodeProto[]; initializer?: TensorProto[];
}): GraphProto => create(GraphProtoSchema, { name, input, output, node, initializer });

/** The bytes of a model. Same graph and metadata, same bytes. */
export function writeModel(graph: GraphProto, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const domains = domainsOf(graph);
  return toBinary(ModelProtoSchema, create(ModelProtoSchema, {
    irVersion: IR_VERSION, producerName: "dmn", graph,
    opsetImport: [...domains].sort().map((domain) =>
      create(OperatorSetIdProtoSchema, { domain, version: domain === "" ? BigInt(OPSET) : 1n })),
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
  }));
}

function domainsOf(graph: GraphProto): Set<string> {
  const inner = graph.node.flatMap((node) =>
    [node.domain, ...node.attribute.flatMap(({ g }) => (g === undefined ? [] : [...domainsOf(g)]))]);
  return new Set(["", ...inner]);
}

/** A model from bytes; `name` is what the person knows them by. UserError when they are not one. */
export function readModel(bytes: Uint8Array, name: string): ModelProto & { graph: GraphProto } {
  const refuse = (problem: string, cause?: unknown): never => {
    throw new UserError(`${name} ${problem}`,
      "Export it again with `dmn train-export`, or copy it again from where it came.", { cause });
  };
  if (bytes.length === 0) refuse("is empty; an ONNX model was expected.");
  let model: ModelProto;
  try { model = fromBinary(ModelProtoSchema, bytes); } catch (error) {
    return refuse("is damaged or is not an ONNX model.", error);
  }
  const { graph } = model;
  if (graph === undefined || graph.output.length === 0 || model.opsetImport.length === 0) {
    return refuse("is damaged or is not an ONNX model: it has no graph.");
  }
  return { ...model, graph };
}

export const metadataOf = (model: ModelProto): Record<string, string> =>
  Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value]));

/** One line per node, scans' bodies indented: `hidden = LSTM(x, w) hidden_size=64`. */
export function describeOnnx(bytes: Uint8Array): string[] {
  return describeGraph(readModel(bytes, "the model").graph, "");
}

function describeGraph(graph: GraphProto, indent: string): string[] {
  return graph.node.flatMap((node) => {
    const plain = node.attribute.filter(({ g }) => g === undefined)
      .map((one) => ` ${one.name}=${attributeText(one)}`).join("");
    const bodies = node.attribute.flatMap(({ g }) => (g === undefined ? [] : [g]));
    return [`${indent}${node.output.join(", ")} = ${node.opType}(${node.input.join(", ")})${plain}`,
      ...bodies.flatMap((body) => describeGraph(body, `${indent}  `))];
  });
}

function attributeText(attribute: AttributeProto): string {
  switch (attribute.type) {
    case ATTRIBUTE_TYPE.float: return String(Math.fround(attribute.f));
    case ATTRIBUTE_TYPE.int: return String(attribute.i);
    case ATTRIBUTE_TYPE.string: return new TextDecoder().decode(attribute.s);
    default: return `[${attribute.ints.join(",")}]`;
  }
}
