/**
 * Tiles: ops whose tensors do not fit in the cache, done a few rows of the batch at a time.
 *
 *     x (B, ...) ── op ── op ── op ── y (B, ...)          each op reads and writes main memory
 *     x (B/c, c, ...) ── Scan { op ── op ── op } ── y     c rows at a time: between ops it stays in cache
 *
 * An op belongs to a tile when each row of its result (axis 0) depends on the same row of its
 * operands only, or on operands without rows (masks, scalars). Ops join the tile of an operand as
 * long as no path leaves the tile and comes back. Products with weights stay outside: they are
 * faster in one piece.
 *
 * Measured on a transformer's training step (width 64, 4 heads, 2 layers, T 63, B 128): 113 against
 * 143 ms.
 */
import { countOf, type Shape } from "../../graph/dimension.ts";
import { resultsOf, type Graph } from "../../graph/graph.ts";
import { reshape, scan } from "../../graph/ops.ts";
import { orderNodes } from "../../graph/order.ts";
import { makeNode, type Attributes, type Node, type OpName, type Tensor } from "../../graph/tensor.ts";

/**
 * Elements of a tensor from which on memory is the limit (4 MiB), and of a tile's largest tensor
 * (256 KiB: some of them fit in a core's second cache). Milliseconds of the step above, one thread:
 *
 *     LARGE  2^18  2^20  2^22  none       TILE  2^14  2^16  2^18
 *             120   121   147   149              121   121   132
 */
const LARGE = 1 << 20;
const TILE = 1 << 16;
/** Large results in a tile that make its loop worth its while. */
const WORTH = 3;

const ELEMENTWISE: ReadonlySet<OpName> = new Set(["neg", "exp", "log", "sqrt", "sin", "tanh", "sigmoid",
  "abs", "sign", "floor", "add", "sub", "mul", "div", "max", "greater", "where", "elu", "gelu", "softmax"]);

interface Tile {
  readonly nodes: Node[];
  /** Tiles that this one needs. */
  readonly needs: Set<Tile>;
  readonly rows: number;
}

const rowsOf = (shape: Shape): number => (shape.length > 1 && typeof shape[0] === "number" ? shape[0] : 0);

/** Whether an operand has the rows of the result, rather than being the same for all of them. */
const hasRows = (operand: Shape, result: Shape): boolean =>
  operand.length === result.length && operand[0] === result[0];
const isShared = (operand: Shape, result: Shape): boolean =>
  operand.length < result.length || (operand.length === result.length && operand[0] === 1);

function isTileable(node: Node): boolean {
  const result = node.outputs[0].shape;
  if (rowsOf(result) < 2 || node.outputs.length !== 1 || node.inputs.length === 0) return false;
  const fits = (): boolean => node.inputs.some(({ shape }) => hasRows(shape, result))
    && node.inputs.every(({ shape }) => hasRows(shape, result) || isShared(shape, result));
  if (ELEMENTWISE.has(node.op)) return fits();
  switch (node.op) {
    case "sum": case "reduceMax": return !node.attributes.axes.includes(0);
    case "matmul": return result.length > 2 && node.inputs.every(({ shape }) => hasRows(shape, result));
    case "layerNorm": return result.length > 2;
    case "transpose": return node.attributes.permutation[0] === 0;
    case "reshape": return node.inputs[0].shape[0] === result[0] && node.inputs[0].shape.length > 1;
    case "slice": case "concat": return node.attributes.axis !== 0;
    default: return false;
  }
}

/** The graph with what is larger than the cache (`large` elements) computed in tiles. */
export function tileGraph(graph: Graph, large = LARGE): Graph {
  const tiles = findTiles(orderNodes(resultsOf(graph)), large);
  if (tiles.size === 0) return graph;
  const kept = new Set(resultsOf(graph));
  const users = new Map<Tensor, Node[]>();
  for (const node of orderNodes(resultsOf(graph))) {
    for (const tensor of node.inputs) users.set(tensor, [...(users.get(tensor) ?? []), node]);
  }
  const isSeen = (tensor: Tensor, tile: Tile): boolean =>
    kept.has(tensor) || (users.get(tensor) ?? []).some((user) => tiles.get(user) !== tile);
  const made = new Map<Tensor, Tensor>();
  function now(tensor: Tensor): Tensor {
    const known = made.get(tensor);
    if (known !== undefined) return known;
    const { node } = tensor, tile = tiles.get(node);
    if (tile === undefined) {
      const inputs = node.inputs.map(now);
      const outputs = inputs.every((one, k) => one === node.inputs[k]) ? node.outputs
        : makeNode<OpName>(node.op, inputs, node.attributes);
      node.outputs.forEach((output, k) => made.set(output, outputs[k]));
    } else {
      const written = writeTile(tile, now, (output) => isSeen(output, tile));
      written.forEach((after, before) => made.set(before, after));
    }
    return made.get(tensor)!;
  }
  return { ...graph, outputs: graph.outputs.map((one) => ({ ...one, tensor: now(one.tensor) })),
    state: graph.state.map((one) => ({ ...one, next: now(one.next) })) };
}

/** Tiles worth their while, by node. */
function findTiles(nodes: readonly Node[], large: number): Map<Node, Tile> {
  const tiles = new Map<Node, Tile>();
  /** Tiles that a node outside all tiles needs. */
  const needs = new Map<Node, Set<Tile>>();
  const neededBy = (node: Node): Set<Tile> => {
    const tile = tiles.get(node);
    return tile === undefined ? needs.get(node)! : new Set([tile]);
  };
  for (const node of nodes) {
    const tile = isTileable(node) ? tileFor(node, tiles, neededBy) : null;
    if (tile === null) needs.set(node, new Set(node.inputs.flatMap((one) => [...neededBy(one.node)])));
    else {
      for (const { node: operand } of node.inputs) {
        for (const other of neededBy(operand)) if (other !== tile) tile.needs.add(other);
      }
      tile.nodes.push(node);
      tiles.set(node, tile);
    }
  }
  const isWorth = (tile: Tile): boolean =>
    tile.nodes.filter(({ outputs: [{ shape }] }) => (countOf(shape) as number) >= large).length >= WORTH;
  return new Map([...tiles].filter(([, tile]) => isWorth(tile)));
}

/** The tile of an operand that the node may join without making a circle, or a new one. */
function tileFor(node: Node, tiles: ReadonlyMap<Node, Tile>, neededBy: (node: Node) => Set<Tile>): Tile {
  const rows = rowsOf(node.outputs[0].shape);
  for (const { node: operand } of node.inputs.toReversed()) {
    const tile = tiles.get(operand);
    if (tile === undefined || tile.rows !== rows) continue;
    const isCircle = node.inputs.some((other) => tiles.get(other.node) !== tile
      && [...neededBy(other.node)].some((needed) => reaches(needed, tile)));
    if (!isCircle) return tile;
  }
  return { nodes: [], needs: new Set(), rows };
}

function reaches(from: Tile, to: Tile, seen = new Set<Tile>()): boolean {
  if (from === to) return true;
  if (seen.has(from)) return false;
  seen.add(from);
  return [...from.needs].some((next) => reaches(next, to, seen));
}

/** Rows at a time: a divisor of the rows that keeps the largest tensor within the tile's size. */
function rowsAtATime({ nodes, rows }: Tile): number {
  const largest = Math.max(...nodes.map(({ outputs: [{ shape }] }) => countOf(shape) as number)) / rows;
  let best = 1;
  for (let c = 2; c < rows; c++) if (rows % c === 0 && c * largest <= TILE) best = c;
  return best;
}

function writeTile(tile: Tile, now: (tensor: Tensor) => Tensor, isSeen: (tensor: Tensor) => boolean):
Map<Tensor, Tensor> {
  const c = rowsAtATime(tile), count = tile.rows / c;
  const inside = new Set(tile.nodes);
  const outside = [...new Set(tile.nodes.flatMap(({ inputs }) => inputs))]
    .filter(({ node }) => !inside.has(node));
  const isWalked = (tensor: Tensor): boolean => tile.nodes.some((node) => node.inputs.includes(tensor)
    && hasRowsIn(tensor, node));
  const sequences = outside.filter(isWalked), captured = outside.filter((one) => !isWalked(one));
  const seen = tile.nodes.map(({ outputs: [output] }) => output).filter(isSeen);
  const { stacked } = scan({ states: [], captured: captured.map(now),
    sequences: sequences.map((one) => reshape(now(one), [count, c, ...one.shape.slice(1)])),
    step(_, elements, shared) {
      const local = new Map<Tensor, Tensor>([...sequences.map((one, k) => [one, elements[k]] as const),
        ...captured.map((one, k) => [one, shared[k]] as const)]);
      for (const node of tile.nodes) {
        const inputs = node.inputs.map((one) => local.get(one)!);
        local.set(node.outputs[0], makeNode<OpName>(node.op, inputs, attributesAt(node, c))[0]);
      }
      return { nextStates: [], emits: seen.map((one) => local.get(one)!) };
    } });
  return new Map(seen.map((one, k) => [one, reshape(stacked[k], one.shape)]));
}

/** Only reshape says how many rows there are. */
function attributesAt(node: Node, c: number): Attributes[OpName] {
  return node.op === "reshape" ? { shape: node.attributes.shape.with(0, c) } : node.attributes;
}

/**
 * Whether a node walks along the rows of this operand: all do, but for what is broadcast and for
 * weights.
 */
function hasRowsIn(operand: Tensor, { op, inputs, outputs: [{ shape }] }: Node): boolean {
  if (ELEMENTWISE.has(op)) return hasRows(operand.shape, shape);
  return op !== "layerNorm" || operand === inputs[0];
}

