/**
 * Collects the nodes and constants of an ONNX graph while it is being written. One emitter per
 * (sub)graph; constants and open sizes belong to the outermost, where inner graphs see them:
 *
 *   root  initialisers, sizes "B" "T" (int64 [1], by Shape of an input, once each)
 *    └─ body of a scan: its own nodes; may name anything of the root's that was made before it
 */
import { assert } from "../../base/assert.ts";
import { multiply, type Shape } from "../../graph/dimension.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { DATA_TYPE, floatTensor, integerTensor, makeOnnxNode, type NodeAttributes, type Precision }
  from "./onnx.ts";
import type { NodeProto, TensorProto } from "./onnx-pb.ts";

export interface EmitOptions {
  readonly attributes?: NodeAttributes;
  /** How many outputs. */
  readonly count?: number;
  readonly domain?: string;
}

export interface Emitter {
  /** What is computed in. */
  readonly precision: Exclude<Precision, "float16">;
  /** Whether ONNX Runtime's own ops may be used (never in files that leave us). */
  readonly isOwn: boolean;
  readonly nodes: NodeProto[];
  readonly initialisers: Map<string, TensorProto>;
  /** Names of tensors that have been written. */
  readonly names: Map<Tensor, string>;
  /**
   * Values of inputs that are baked in, by input name: what a lowering may re-order while it
   * writes.
   */
  readonly baked: ReadonlyMap<string, { shape: readonly number[]; values: ArrayLike<number> }>;
  /** Adds a node; names of its outputs. */
  readonly emitAll: (op: string, inputs: readonly string[], options?: EmitOptions) => string[];
  /** Adds a node; the name of its first output. */
  readonly emit: (op: string, inputs: readonly string[], attributes?: NodeAttributes,
    domain?: string) => string;
  /** A constant (), as an initialiser. */
  readonly scalar: (value: number) => string;
  /** A constant of this shape; not shared. */
  readonly floats: (shape: readonly number[], values: ArrayLike<number>) => string;
  /**
   * Trained numbers of a parameter: a constant in the precision that they are stored in, as one to compute
   * with. `name` is the constant's own.
   */
  readonly trained: (parameter: string, shape: readonly number[], values: ArrayLike<number>,
    name: string) => string;
  /** int64 constant (). */
  readonly integer: (value: number) => string;
  /** int64 constant of one axis. */
  readonly integers: (values: readonly number[]) => string;
  /** A shape as an int64 vector, computed where it is open. */
  readonly sizes: (shape: Shape) => string;
  readonly nameOf: (tensor: Tensor) => string;
  /** An emitter for the body of a scan. */
  readonly inner: () => Emitter;
  /** A name that nothing else has. */
  readonly fresh: (stem: string) => string;
}

/** `opens` says where a size can be read: "B" -> the name of an input and the axis. */
export function makeEmitter({ precision, stored, isOwn, baked, opens }:
Pick<Emitter, "precision" | "isOwn" | "baked"> & {
  /** What a parameter's numbers are stored in. */
  readonly stored: (parameter: string) => Precision;
  readonly opens: ReadonlyMap<string, { input: string; axis: number }>;
}): Emitter {
  const initialisers = new Map<string, TensorProto>();
  const shared = new Map<string, string>();
  let count = 0;
  const fresh = (stem: string): string => `${stem}_${++count}`;
  const once = (key: string, make: () => string): string => {
    const known = shared.get(key);
    if (known !== undefined) return known;
    const made = make();
    shared.set(key, made);
    return made;
  };
  const keep = (tensor: TensorProto): string => {
    initialisers.set(tensor.name, tensor);
    return tensor.name;
  };

  function emitterOf(nodes: NodeProto[], outer: Emitter | null): Emitter {
    const names = new Map<Tensor, string>();
    const emitter: Emitter = {
      precision, isOwn, baked, nodes, initialisers, names, fresh,
      emitAll(op, inputs, { attributes = {}, count: outputs = 1, domain = "" } = {}) {
        const stem = fresh(op.toLowerCase());
        const made = Array.from({ length: outputs }, (_, k) => (outputs === 1 ? stem : `${stem}.${k}`));
        nodes.push(makeOnnxNode(op, inputs, made, attributes, domain));
        return made;
      },
      emit: (op, inputs, attributes, domain) => emitter.emitAll(op, inputs, { attributes, domain })[0],
      scalar: (value) => once(`scalar ${value}`, () =>
        keep(floatTensor(fresh("constant"), [], [value], precision))),
      floats: (shape, values) => keep(floatTensor(fresh("constant"), shape, values, precision)),
      trained(parameter, shape, values, name) {
        const tensor = keep(floatTensor(name, shape, values, stored(parameter)));
        return stored(parameter) === precision ? tensor
          : emitter.emit("Cast", [tensor], { to: DATA_TYPE[precision] });
      },
      integer: (value) => once(`integer ${value}`, () =>
        keep(integerTensor(fresh("integer"), [], [value]))),
      integers: (values) => once(`integers ${values.join()}`, () =>
        keep(integerTensor(fresh("integers"), [values.length], values))),
      sizes: (shape) => (outer ?? emitter) === emitter ? openSizes(emitter, shape) : outer!.sizes(shape),
      nameOf(tensor) {
        const name = names.get(tensor);
        assert(name !== undefined, `${tensor.node.op} is used before it is written`);
        return name;
      },
      inner: () => emitterOf([], outer ?? emitter),
    };
    return emitter;
  }

  function openSizes(root: Emitter, shape: Shape): string {
    if (shape.every((dimension) => typeof dimension === "number")) return root.integers(shape);
    return once(`sizes ${shape.join()}`, () => {
      const parts = shape.map((dimension) => {
        if (typeof dimension === "number") return root.integers([dimension]);
        return dimension.split("*")
          .map((part) => (/^\d/.test(part) ? root.integers([Number(part)]) : sizeOfName(root, part)))
          .reduce((product, size) => root.emit("Mul", [product, size]));
      });
      return parts.length === 1 ? parts[0] : root.emit("Concat", parts, { axis: 0 });
    });
  }

  function sizeOfName(root: Emitter, name: string): string {
    return once(`size ${name}`, () => {
      const place = opens.get(name);
      assert(place !== undefined, `no input has an axis of size ${name}`);
      return root.emit("Shape", [place.input], { start: place.axis, end: place.axis + 1 });
    });
  }

  return emitterOf([], null);
}

/** Whether a shape has at most one open size, which ONNX can then work out itself (-1). */
export const isInferable = (shape: Shape): boolean =>
  shape.filter((dimension) => typeof dimension === "string").length === 1 && multiply(...shape) !== 0;
