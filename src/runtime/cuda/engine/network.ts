/**
 * What `dmn train-export` wrote, read back as what it was: a graph and its parameters.
 *
 *   model.onnx ─┬─ metadata "dmn.graph" ── parse ──────────────> Graph (B and T open)
 *               └─ initialisers ─┬─ NAME ───────────────────────> parameter NAME
 *                                └─ of the k-th LSTM node:
 *                                   (1, 4H, K), gates i, o, f, g ─> wx, wh, b of the k-th lstm, i, f, o, g
 *
 * The float16 file's weights become float32 here: what a plan computes in is its own choice. Only files
 * whose graph and weights agree are taken; ONNX Runtime runs the others.
 */
import { messageOf, UserError } from "../../../base/error.ts";
import { isSameShape, shapeText, type Shape } from "../../../graph/dimension.ts";
import { openSizes, type Graph, type Named } from "../../../graph/graph.ts";
import { orderNodes } from "../../../graph/order.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import { parseGraph } from "../../../graph/text.ts";
import { DATA_TYPE, metadataOf, readModel } from "../../ort/onnx.ts";
import type { GraphProto, NodeProto, TensorProto } from "../../ort/onnx-pb.ts";
import type { Values } from "../../runtime.ts";

/** Where exports keep the text of their graph. */
const GRAPH_KEY = "dmn.graph";
/** What every exported network may leave open: rows and steps. */
const OPEN = ["B", "T"];

export interface ExportedNetwork {
  /** What messages call it. */
  readonly name: string;
  /** Inputs and outputs of open sizes B and T; its state is its parameters, which stay as they are. */
  readonly graph: Graph;
  /** Float32, by state name; of the graph's shapes. */
  readonly parameters: Readonly<Record<string, Values>>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads an exported file. UserError when it is damaged, was not exported by this program, or when its
 * graph and its weights disagree.
 */
export function readNetwork(bytes: Uint8Array, name: string): ExportedNetwork {
  const model = readModel(bytes, name), metadata = metadataOf(model);
  if (!Object.hasOwn(metadata, GRAPH_KEY)) {
    throw new UserError(`${name} was not exported by dmn: it does not carry its graph`,
      "run it with --device cpu, or export a network with `dmn train-export`.");
  }
  const refuse = refusal(name), whole = parsed(metadata[GRAPH_KEY], refuse);
  const strange = openSizes(whole).find((size) => !OPEN.includes(size));
  if (strange !== undefined) refuse(`leaves a size open that is neither rows nor steps: ${strange}`);
  const changing = whole.state.find(({ tensor, next }) => tensor !== next);
  if (changing !== undefined) refuse(`changes ${changing.name} as it runs, as a training step does`);
  const graph = withoutUnread(whole);
  const weights = weightsOf(model.graph, graph, refuse);
  const parameters = Object.fromEntries(graph.state.map(({ name: parameter, tensor }) => {
    const found = weights(parameter);
    if (!isSameShape(found.shape, tensor.shape)) {
      const wanted = shapeText(tensor.shape);
      refuse(`has ${parameter} of shape ${shapeText(found.shape)}, and its graph says ${wanted}`);
    }
    return [parameter, found];
  }));
  return { name, graph, parameters, metadata };
}

type Refuse = (problem: string, cause?: unknown) => never;

const refusal = (name: string): Refuse => (problem, cause) => {
  throw new UserError(`${name} ${problem}`,
    "export it again with `dmn train-export`, or run it with --device cpu.", { cause });
};

function parsed(text: string, refuse: Refuse): Graph {
  try { return parseGraph(text); } catch (error) {
    return refuse(`carries a damaged graph: ${messageOf(error).split("\n")[0]}`, error);
  }
}

/** The graph without inputs and parameters that no output needs: the file may lack them as well. */
function withoutUnread(graph: Graph): Graph {
  const read = new Set(orderNodes(graph.outputs.map(({ tensor }) => tensor)));
  const isRead = ({ tensor }: Named): boolean => read.has(tensor.node);
  return { ...graph, inputs: graph.inputs.filter(isRead), state: graph.state.filter(isRead) };
}

/** The parameter of a name, float32, as its graph has it. */
function weightsOf(file: GraphProto, graph: Graph, refuse: Refuse): (parameter: string) => Values {
  const initialisers = new Map(file.initializer.map((tensor) => [tensor.name, tensor]));
  const makers = new Map(file.node.flatMap((node) => node.output.map((output) => [output, node] as const)));
  const reordered = lstmWeights(file, graph, (value) => sourceOf(value, initialisers, makers), refuse);
  return (parameter) => {
    const own = initialisers.get(parameter);
    if (own !== undefined) return { shape: own.dims.map(Number), values: floatsOf(own, refuse) };
    const found = reordered.get(parameter);
    if (found === undefined) return refuse(`has no weights for ${parameter}`);
    const values = floatsOf(found.tensor, refuse), { shape } = found;
    if (values.length !== (shape as number[]).reduce((a, b) => a * b, 1)) {
      refuse(`has ${values.length} weights for ${parameter}, which is ${shapeText(shape)}`);
    }
    return { shape: shape as number[], values: originalGates(values, (shape.at(-1) as number) / 4) };
  };
}

/** The initialiser that a value is, perhaps cast to float32 or lengthened by zeros. */
function sourceOf(value: string, initialisers: ReadonlyMap<string, TensorProto>,
  makers: ReadonlyMap<string, NodeProto>): TensorProto | undefined {
  const own = initialisers.get(value);
  if (own !== undefined) return own;
  const maker = makers.get(value);
  return maker !== undefined && ["Cast", "Concat"].includes(maker.opType)
    ? sourceOf(maker.input[0], initialisers, makers) : undefined;
}

/**
 * Where the weights of LSTM layers lie in the file, by parameter. Both lists of layers run from inputs to
 * outputs, so that a layer has the same place in each.
 */
function lstmWeights(file: GraphProto, graph: Graph, source: (value: string) => TensorProto | undefined,
  refuse: Refuse): ReadonlyMap<string, { tensor: TensorProto; shape: Shape }> {
  const layers = orderNodes(graph.outputs.map(({ tensor }) => tensor)).filter(({ op }) => op === "lstm");
  const nodes = file.node.filter(({ opType }) => opType === "LSTM");
  const found = new Map<string, { tensor: TensorProto; shape: Shape }>();
  if (nodes.length === 0) return found;
  if (nodes.length !== layers.length) {
    refuse(`has ${nodes.length} LSTM layers and a graph of ${layers.length}`);
  }
  layers.forEach(({ inputs }, k) => {
    inputs.slice(1, 4).forEach((parameter: Tensor, place) => {
      const tensor = source(nodes[k].input[1 + place]);
      if (parameter.node.op !== "input" || tensor === undefined) return;
      found.set(parameter.node.attributes.name, { tensor, shape: parameter.shape });
    });
  });
  return found;
}

/** The gate of ours at each place of ONNX's order, as the encoder has it. */
const GATES = [0, 2, 1, 3] as const;

/** (4H, K) in ONNX's order of gates -> (K, 4H) in ours. */
function originalGates(values: Float32Array, H: number): Float32Array {
  const columns = 4 * H, K = values.length / columns, made = new Float32Array(values.length);
  GATES.forEach((gate, place) => {
    for (let h = 0; h < H; h++) {
      const from = (place * H + h) * K, to = gate * H + h;
      for (let k = 0; k < K; k++) made[k * columns + to] = values[from + k];
    }
  });
  return made;
}

/** An initialiser's numbers as float32: a view of the file where they are float32 and lie even. */
function floatsOf({ name, dims, dataType, rawData }: TensorProto, refuse: Refuse): Float32Array {
  const count = dims.map(Number).reduce((a, b) => a * b, 1);
  const isHalf = dataType === DATA_TYPE.float16, width = isHalf ? 2 : 4;
  if (!isHalf && dataType !== DATA_TYPE.float32) refuse(`holds ${name} in neither float32 nor float16`);
  if (rawData.length !== count * width) {
    refuse(`holds ${rawData.length} bytes of ${name}, not ${count * width}`);
  }
  // A copy, because the file's bytes lie as they like; not `slice`, which is a view where they are a Buffer.
  const own = new Uint8Array(rawData).buffer;
  return isHalf ? Float32Array.from(new Float16Array(own)) : new Float32Array(own);
}
