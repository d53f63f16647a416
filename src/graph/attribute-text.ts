/** How names, numbers and the attributes of every op are written in a graph's text (text.ts). */
import { shapeText, type Dimension, type Shape } from "./dimension.ts";
import type { ScanBody } from "./op.ts";
import type { Attributes, Node, OpName } from "./tensor.ts";

/** Changes whenever an older reader would misunderstand the text. */
export const TEXT_FORMAT = 1;

/** "0.1", "-0", "inf": gives the same double when read. */
export function numberText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return Object.is(value, -0) ? "-0" : String(value);
}

/** A word as it is, all else quoted. */
export const nameText = (name: string): string =>
  (/^(?!(inf|nan)$)[A-Za-z_][\w/.-]*$/.test(name) ? name : JSON.stringify(name));

const axesText = (axes: readonly number[]): string => `[${axes.join(", ")}]`;

/** How each kind of attribute is written; parse-text.ts has the table of how it is read. */
const ATTRIBUTE_TEXT = {
  name: nameText, number: numberText, boolean: (value: boolean) => String(value), axes: axesText,
  shape: shapeText, dimension: (size: Dimension) => String(size),
  /** Written as indented lines below its node. */
  body: () => "",
} as const;
export type AttributeKind = keyof typeof ATTRIBUTE_TEXT;

/** The kind of an attribute follows from its type. */
type KindOf<Value> = [Value] extends [boolean] ? "boolean" : [Value] extends [number] ? "number"
  : [Value] extends [string] ? "name" : [Value] extends [Dimension] ? "dimension"
  : [Value] extends [readonly number[]] ? "axes" : [Value] extends [Shape] ? "shape"
  : [Value] extends [ScanBody] ? "body" : never;

const NONE = {} as const;

/** Attributes of every op, in the order in which they are written. */
export const ATTRIBUTES = {
  input: { name: "name", shape: "shape" }, constant: { value: "number" },
  iota: { size: "dimension" },
  neg: NONE, exp: NONE, log: NONE, sqrt: NONE, sin: NONE, tanh: NONE, sigmoid: NONE, abs: NONE,
  sign: NONE, floor: NONE, stop: NONE,
  add: NONE, sub: NONE, mul: NONE, div: NONE, max: NONE, greater: NONE, where: NONE,
  sum: { axes: "axes" }, reduceMax: { axes: "axes" }, sort: NONE,
  matmul: { transposeA: "boolean", transposeB: "boolean" },
  reshape: { shape: "shape" }, transpose: { permutation: "axes" }, broadcast: { shape: "shape" },
  slice: { axis: "number", start: "number", length: "number" },
  pad: { axis: "number", before: "number", after: "number" }, concat: { axis: "number" },
  scan: { body: "body", isReverse: "boolean" },
  linear: NONE, softmax: NONE, layerNorm: { epsilon: "number" }, gelu: NONE, elu: NONE,
  lstm: NONE, lstmGradient: NONE,
  attention: { scale: "number", isCausal: "boolean" },
  adamw: { beta1: "number", beta2: "number", epsilon: "number" },
} as const satisfies {
  readonly [Op in OpName]: {
    readonly [Key in keyof Attributes[Op]]: KindOf<Attributes[Op][Key]> } };

/** Names and kinds of an op's attributes that stand on its own line. */
export const lineAttributes = (op: OpName): [string, Exclude<AttributeKind, "body">][] =>
  Object.entries(ATTRIBUTES[op] as Readonly<Record<string, AttributeKind>>)
    .filter((entry): entry is [string, Exclude<AttributeKind, "body">] => entry[1] !== "body");

/** "axis=1 start=0 length=40"; bodies are left out. */
export function attributesText(node: Node): string {
  const values = node.attributes as unknown as Readonly<Record<string, unknown>>;
  return lineAttributes(node.op).map(([key, kind]) =>
    `${key}=${(ATTRIBUTE_TEXT[kind] as (value: unknown) => string)(values[key])}`).join(" ");
}
