/**
 * How fast a GPU could possibly run a graph: no program is below any of three bounds, so that the largest is
 * the floor. "2 times the floor" says how much there is left to win, which a ratio to a peer does not.
 *
 *   arithmetic   multiplications and additions of all products, at the rate of a large matrix product
 *   memory       weights, inputs and outputs once, at the rate of a copy
 *   steps        what must happen one after the other. An LSTM of L layers and T steps: T + L - 1 steps,
 *                each of which hands its hidden state to every multiprocessor that works on the layer. Other
 *                networks: every product needs all of the product before it, from all multiprocessors
 *
 * Rates and times are an H200's, measured: ceilings of a float16 product (random data) and of a copy; the
 * cheapest hand-over between multiprocessors that hold a layer's recurrent weights.
 */
import { countOf, sizeOf, type Shape } from "../../graph/dimension.ts";
import { resultsOf, type Graph, type Named } from "../../graph/graph.ts";
import { orderNodes } from "../../graph/order.ts";
import type { Node } from "../../graph/tensor.ts";
import type { CudaPrecision } from "../../runtime/cuda/launch.ts";

/** Operations a second: 790 TFLOP/s in 16 bits, half of it in TF32. */
const FLOPS = { float16: 790e12, bfloat16: 790e12, float32: 395e12 } as const;
/** Bytes a second: HBM3e, a copy. */
const MEMORY = 4.3e12;
const BYTES = { float16: 2, bfloat16: 2, float32: 4 } as const;

/** Microseconds to hand a state over, and the most recurrent weights of a layer that this reaches. */
const EXCHANGES = [
  { what: "within a multiprocessor", us: 0.007, bytesMax: 227 * 1024 },
  { what: "within a cluster of 16", us: 0.2, bytesMax: 16 * 227 * 1024 },
  { what: "through L2", us: 0.37, bytesMax: Infinity },
] as const;
/** Microseconds until all multiprocessors have what all of them made. */
const GRID_EXCHANGE_US = 0.86;

export interface Floor {
  /** Microseconds: the largest of the three. */
  readonly us: number;
  readonly arithmeticUs: number;
  readonly memoryUs: number;
  readonly stepsUs: number;
  readonly flops: number;
  readonly bytes: number;
  /** "61 steps within a cluster of 16" */
  readonly why: string;
}

/** The floor of a graph whose sizes are bound, in that precision; inputs and outputs are float32. */
export function floorOf(graph: Graph, precision: CudaPrecision): Floor {
  const nodes = orderNodes(resultsOf(graph));
  const flops = nodes.reduce((sum, node) => sum + flopsOf(node), 0);
  const count = (named: readonly Named[]): number =>
    named.reduce((sum, { tensor }) => sum + size(tensor.shape), 0);
  const bytes = count(graph.state) * BYTES[precision] + 4 * (count(graph.inputs) + count(graph.outputs));
  const steps = stepsOf(nodes, precision);
  const bounds = [
    { us: 1e6 * flops / FLOPS[precision], why: `${(flops / 1e9).toPrecision(3)} GFLOP` },
    { us: 1e6 * bytes / MEMORY, why: `${(bytes / 1e6).toPrecision(3)} MB` },
    steps,
  ] as const;
  const [{ us: arithmeticUs }, { us: memoryUs }, { us: stepsUs }] = bounds;
  const [largest] = [...bounds].sort((a, b) => b.us - a.us);
  return { us: largest.us, why: largest.why, arithmeticUs, memoryUs, stepsUs, flops, bytes };
}

const size = (shape: Shape): number => sizeOf(countOf(shape));

/** Multiplications and additions of a product; of what else there is, none. */
function flopsOf(node: Node): number {
  const { inputs, outputs } = node;
  switch (node.op) {
    case "linear": return 2 * size(outputs[0].shape) * size([inputs[0].shape.at(-1)!]);
    case "matmul": {
      const inner = inputs[0].shape.at(node.attributes.transposeA ? -2 : -1)!;
      return 2 * size(outputs[0].shape) * size([inner]);
    }
    case "attention": {
      const [q, , v] = inputs;
      return 2 * size([q.shape.at(-2)!]) * (size(q.shape) + size(v.shape));
    }
    case "lstm": {
      const [{ shape: [T, B] }, wx, wh] = inputs;
      return 2 * size([T, B]) * (size(wx.shape) + size(wh.shape));
    }
    default: return 0;
  }
}

function stepsOf(nodes: readonly Node[], precision: CudaPrecision): { us: number; why: string } {
  const layers = nodes.filter(({ op }) => op === "lstm");
  if (layers.length === 0) {
    const depth = depthOf(nodes);
    return { us: depth * GRID_EXCHANGE_US, why: `${depth} products one after the other` };
  }
  const T = size([layers[0].inputs[0].shape[0]]), count = T + layers.length - 1;
  const bytes = Math.max(...layers.map(({ inputs }) => size(inputs[2].shape) * BYTES[precision]));
  const { us, what } = EXCHANGES.find(({ bytesMax }) => bytes <= bytesMax)!;
  return { us: count * us, why: `${count} steps ${what}` };
}

/** Products on the longest way from an input to a result. */
function depthOf(nodes: readonly Node[]): number {
  const depths = new Map<Node, number>();
  for (const node of nodes) {
    const before = Math.max(0, ...node.inputs.map((input) => depths.get(input.node)!));
    depths.set(node, before + (flopsOf(node) > 0 ? 1 : 0));
  }
  return Math.max(0, ...depths.values());
}
