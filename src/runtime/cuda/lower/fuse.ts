/**
 * Which values share a kernel. Anchors (products, loops, sorts) have kernels of their own; what lies between
 * is taken from the last to the first, so that who reads a value is known when it is placed:
 *
 *   read by one kernel       computed there, in registers
 *   read by several          stored; by one of its readers, or by a kernel of as many elements
 *   moves and numbers        computed wherever they are read
 *   sums over rows           a loop of the kernel that walks those rows, if it reads them row by row
 *
 *   x ── exp ──┬── sum ──┐            one kernel over rows: a loop for the sum, a loop for the quotient
 *              └── div <─┘
 *
 * Kernels and what they read from each other stay without cycles: a value joins a kernel only if none of its
 * other readers comes before that kernel.
 */
import type { Tensor } from "../../../graph/tensor.ts";
import { countOf, broadcastView, denseView, reshapeView, sliceView, transposeView,
  type View } from "../../view.ts";
import type { Element } from "./emitter.ts";
import type { Fused, Space } from "./kernel.ts";
import { coordinatesOf, linearPlace, makeVariable, ORIGIN, placeOf, placeText, plus, times, type Place }
  from "./place.ts";
import { operandCoordinates, rowOf, shapeOf } from "./table.ts";

/** What an anchor reads: a tensor in memory, as a view if it can walk it. */
export interface Read {
  readonly tensor: Tensor;
  readonly accepts: (view: View<Tensor>) => boolean;
  /** How it must be stored; null: either way. */
  readonly element: Element | null;
}

export interface Anchor {
  readonly outputs: readonly Tensor[];
  readonly reads: readonly Read[];
  /** Whether elementwise work on its only output can be done before that is written. */
  readonly hasEpilogue: boolean;
}

/** Values that share a kernel, or an anchor (with its epilogue). */
export class Group implements Fused {
  space: Space;
  readonly stores = new Set<Tensor>();
  readonly inlined = new Set<Tensor>();
  readonly anchor: Anchor | null;
  /** Of the anchor's reads. */
  views: readonly View<Tensor>[] = [];
  /** Who reads what this stores. */
  readonly after = new Set<Group>();
  /** Tensors that must be there before it starts. */
  readonly operands = new Set<Tensor>();
  /** An anchor whose sums this group finishes. */
  product: Anchor | null = null;

  constructor(space: Space, anchor: Anchor | null = null) {
    this.space = space;
    this.anchor = anchor;
  }
}

export interface Scope {
  resolve(tensor: Tensor): Tensor;
  /** Whether it is in memory before the run. */
  isGiven(tensor: Tensor): boolean;
  anchorOf(tensor: Tensor): Anchor | null;
}

/** Rows longer than this are sums of their own, unless there are many. */
const LONG_ROW = 8192, MANY_ROWS = 64;
/** Ops of one kernel, tensors that it stores. */
const MOST_INLINED = 96, MOST_STORES = 8;
/** Additions that are done again rather than stored, per element. */
const CHEAP = 6;
/** Additions that cost as much as a launch. */
const LAUNCH_COST = 3e7;

/** Groups in an order in which they can run. `results` are stored. */
export function fuse(results: readonly Tensor[], scope: Scope): Group[] {
  const fusion = new Fusion(scope);
  for (const result of results) fusion.store(result);
  for (const tensor of unitsOf(results, scope).toReversed()) fusion.take(tensor);
  return fusion.inOrder();
}

/** One tensor per node or anchor that `results` reach, operands first. */
function unitsOf(results: readonly Tensor[], scope: Scope): Tensor[] {
  const ordered: Tensor[] = [], seen = new Set<object>();
  const stack: { tensor: Tensor; operands: readonly Tensor[]; next: number }[] = [];
  const visit = (given: Tensor): void => {
    const tensor = scope.resolve(given);
    if (scope.isGiven(tensor)) return;
    const anchor = scope.anchorOf(tensor), key = anchor ?? tensor.node;
    if (seen.has(key)) return;
    seen.add(key);
    stack.push({ tensor, operands: anchor?.reads.map((read) => read.tensor) ?? tensor.node.inputs, next: 0 });
  };
  for (const result of results) {
    visit(result);
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      if (top.next < top.operands.length) visit(top.operands[top.next++]);
      else ordered.push(stack.pop()!.tensor);
    }
  }
  return ordered;
}

class Fusion {
  readonly #scope: Scope;
  readonly #groups: Group[] = [];
  readonly #readers = new Map<Tensor, Set<Group>>();
  readonly #stored = new Set<Tensor>();
  readonly #costs = new Map<Tensor, number>();

  constructor(scope: Scope) { this.#scope = scope; }

  store(tensor: Tensor): void { this.#stored.add(this.#scope.resolve(tensor)); }

  #readersOf(tensor: Tensor): Set<Group> {
    const readers = this.#readers.get(tensor) ?? new Set<Group>();
    this.#readers.set(tensor, readers);
    return readers;
  }

  #read(given: Tensor, by: Group): void {
    this.#readersOf(this.#scope.resolve(given)).add(by);
  }

  #newGroup(space: Space, anchor: Anchor | null = null): Group {
    const group = new Group(space, anchor);
    this.#groups.push(group);
    return group;
  }

  take(tensor: Tensor): void {
    const anchor = this.#scope.anchorOf(tensor);
    if (anchor !== null) { this.#takeAnchor(anchor); return; }
    const readers = this.#readersOf(tensor), isStored = this.#stored.has(tensor);
    if (readers.size === 0 && !isStored) return;
    const { kind } = rowOf(tensor.node);
    if (kind === "reduction") { this.#takeReduction(tensor, readers, isStored); return; }
    if (!isStored && this.#isInlined(tensor, readers)) {
      for (const reader of readers) this.#compute(tensor, reader, false);
      return;
    }
    const shape = shapeOf(tensor), count = countOf(shape);
    const isFit = ({ space, anchor: own }: Group): boolean => own === null && (space.kind === "map"
      ? countOf(space.shape) === count
      : space.kind === "rows" && [1, space.width].includes(countOf(space.shape) / count));
    const home = this.#homeFor(tensor, readers, isFit) ?? this.#newGroup({ kind: "map", shape });
    this.#compute(tensor, home, true);
  }

  /** Says that a group computes a tensor, and so reads its operands. */
  #compute(tensor: Tensor, group: Group, isStored: boolean): void {
    (isStored ? group.stores : group.inlined).add(tensor);
    for (const input of tensor.node.inputs) this.#read(input, group);
    if (!isStored) return;
    for (const reader of this.#readersOf(tensor)) if (reader !== group) group.after.add(reader);
  }

  #isInlined(tensor: Tensor, readers: ReadonlySet<Group>): boolean {
    const { kind } = rowOf(tensor.node);
    if (kind === "number" || kind === "iota" || kind === "move") return true;
    const cost = this.#costOf(tensor), count = countOf(shapeOf(tensor));
    if (readers.size > 1 && (cost > CHEAP || kind === "pieces")) return false;
    return [...readers].every(({ inlined, space }) => {
      const walked = countOf(space.shape);
      return inlined.size < MOST_INLINED && (walked < 8 * count || cost * walked < LAUNCH_COST);
    });
  }

  /** What a value costs to compute from what is in memory, about: capped. */
  #costOf(given: Tensor): number {
    const tensor = this.#scope.resolve(given);
    const known = this.#costs.get(tensor);
    if (known !== undefined) return known;
    const row = rowOf(tensor.node);
    const isLoaded = this.#scope.isGiven(tensor) || this.#scope.anchorOf(tensor) !== null
      || row.kind === "reduction";
    this.#costs.set(tensor, 1);
    const own = row.kind === "elementwise" ? row.cost : row.kind === "pieces" ? 2 : 0;
    const cost = isLoaded ? 1
      : tensor.node.inputs.reduce((sum, input) => Math.min(200, sum + this.#costOf(input)), own);
    this.#costs.set(tensor, cost);
    return cost;
  }

  /** A group that may store a tensor: one of its readers, or another that walks as many elements. */
  #homeFor(tensor: Tensor, readers: ReadonlySet<Group>, isFit: (group: Group) => boolean): Group | null {
    const isFree = (group: Group): boolean => isFit(group) && group.stores.size < MOST_STORES
      && group.inlined.size < MOST_INLINED && !group.operands.has(tensor)
      && [...readers].every((reader) => reader === group || !this.#reaches(reader, group));
    const reader = [...readers].find(isFree);
    if (reader !== undefined) return reader;
    const inputs = new Set(tensor.node.inputs.map((input) => this.#scope.resolve(input)));
    const isAkin = (group: Group): boolean => group.product === null
      && [...inputs].some((input) => this.#readers.get(input)?.has(group) === true);
    return this.#groups.findLast((group) => isAkin(group) && isFree(group)) ?? null;
  }

  /** Whether `to` runs after `from`. */
  #reaches(from: Group, to: Group): boolean {
    const seen = new Set<Group>([from]), stack = [from];
    while (stack.length > 0) {
      for (const next of stack.pop()!.after) {
        if (next === to) return true;
        if (!seen.has(next)) { seen.add(next); stack.push(next); }
      }
    }
    return false;
  }

  #takeReduction(tensor: Tensor, readers: ReadonlySet<Group>, isStored: boolean): void {
    const [x] = tensor.node.inputs, shape = shapeOf(x);
    const { axes } = tensor.node.attributes as { axes: readonly number[] };
    const width = rowWidth(shape, axes), rows = countOf(shape) / Math.max(1, width);
    if (width === 0 || (width > LONG_ROW && rows < MANY_ROWS)) {
      const isFit = (group: Group): boolean => this.#joins(group, tensor, shape, axes);
      const home = this.#homeFor(tensor, readers, isFit) ?? this.#newGroup({ kind: "reduce", shape, axes });
      home.space = { kind: "reduce", shape, axes };
      this.#compute(tensor, home, isStored || readers.size > 1 || !readers.has(home));
      return;
    }
    const isFit = (group: Group): boolean => this.#walksRows(group, tensor, rows, width);
    const home = this.#homeFor(tensor, readers, isFit) ?? this.#newGroup({ kind: "rows", shape, width });
    if (home.space.kind !== "rows") {
      const ofElements = countOf(home.space.shape) === rows ? shape : home.space.shape;
      home.space = { kind: "rows", width, shape: ofElements };
    }
    this.#compute(tensor, home, isStored || readers.size > 1 || !readers.has(home));
  }

  /**
   * Whether a group joins the same elements (or may: it finishes the results one by one), and reads this
   * result only where it finishes it.
   */
  #joins(group: Group, tensor: Tensor, shape: readonly number[], axes: readonly number[]): boolean {
    const { space, anchor, product, stores, inlined } = group, count = countIn(tensor);
    if (anchor !== null || product !== null || space.kind === "rows") return false;
    const isSame = space.kind === "reduce" ? space.shape.join() === shape.join()
      && space.axes.join() === axes.join()
      : countOf(space.shape) === count;
    if (!isSame) return false;
    const place = placeOf(makeVariable("o", count));
    const others = [...stores, ...inlined].filter((one) => rowOf(one.node).kind === "reduction");
    const within = others.map(({ node: { inputs: [x] } }) =>
      [x, placeOf(makeVariable("e", countIn(x)))] as const);
    return this.#reads(group, tensor, within, ORIGIN).length === 0
      && this.#reads(group, tensor, [...stores].map((store) => [store, place] as const), ORIGIN)
        .every((found) => placeText(found) === placeText(place));
  }

  /** Whether a group walks these rows (or can), and reads the reduction's result only at its own row. */
  #walksRows(group: Group, tensor: Tensor, rows: number, width: number): boolean {
    const { space, anchor, product } = group;
    if (anchor !== null || product !== null || space.kind === "reduce") return false;
    const count = countOf(space.shape);
    if (space.kind === "rows" ? space.width !== width || count !== rows * width
      : count !== rows * width && count !== rows) return false;
    const row = makeVariable("r", rows), column = makeVariable("c", width);
    const ofRow = placeOf(row), ofElement = plus(times(ofRow, width), placeOf(column));
    return this.#reads(group, tensor, [...group.stores].map((store) =>
      [store, countOf(shapeOf(store)) === rows ? ofRow : ofElement] as const), ofElement)
      .every((place) => placeText(place) === placeText(ofRow));
  }

  /** Where a group reads a tensor, its stores being at these places; `element`: where its reductions read. */
  #reads(group: Group, wanted: Tensor, stores: readonly (readonly [Tensor, Place])[],
    element: Place): Place[] {
    const found: Place[] = [], seen = new Set<string>(), ids = new Map<Tensor, number>();
    const walk = (given: Tensor, at: readonly Place[]): void => {
      const tensor = this.#scope.resolve(given);
      if (!ids.has(tensor)) ids.set(tensor, ids.size);
      const key = `${ids.get(tensor)}@${at.map(placeText).join()}`;
      if (seen.has(key)) return;
      seen.add(key);
      if (tensor === wanted) { found.push(linearPlace(at, shapeOf(tensor))); return; }
      if (!group.inlined.has(tensor) && !group.stores.has(tensor)) return;
      const { node } = tensor, row = rowOf(node);
      if (row.kind === "elementwise") {
        for (const input of node.inputs) walk(input, operandCoordinates(input, at));
      } else if (row.kind === "move") walk(node.inputs[0], row.coordinates(node, at));
      else if (row.kind === "pieces") {
        for (const { from } of row.pieces(node, at)) if (from !== null) walk(from.tensor, from.coordinates);
      } else if (row.kind === "reduction") {
        walk(node.inputs[0], coordinatesOf(element, shapeOf(node.inputs[0])));
      }
    };
    for (const [store, place] of stores) walk(store, coordinatesOf(place, shapeOf(store)));
    return found;
  }

  #takeAnchor(anchor: Anchor): void {
    const isUsed = (output: Tensor): boolean => this.#readersOf(output).size > 0 || this.#stored.has(output);
    if (!anchor.outputs.some(isUsed)) return;
    const group = (anchor.hasEpilogue ? this.#epilogueOf(anchor) : null)
      ?? this.#newGroup({ kind: "map", shape: shapeOf(anchor.outputs[0]) }, anchor);
    if (group.anchor !== null) {
      for (const output of anchor.outputs) {
        if (isUsed(output)) group.stores.add(output);
        for (const reader of this.#readersOf(output)) group.after.add(reader);
      }
    }
    group.views = anchor.reads.map(({ tensor, accepts }) => {
      const view = this.#viewOf(tensor);
      const chosen = accepts(view) ? view : denseView(this.#scope.resolve(tensor), shapeOf(tensor));
      group.operands.add(chosen.source);
      this.store(chosen.source);
      this.#read(chosen.source, group);
      return chosen;
    });
  }

  /** The elementwise group that alone reads an anchor's output, element by element, if there is one. */
  #epilogueOf(anchor: Anchor): Group | null {
    const [output] = anchor.outputs, readers = [...this.#readersOf(output)];
    if (readers.length !== 1 || this.#stored.has(output)) return null;
    const [group] = readers, count = countOf(shapeOf(output));
    if (group.anchor !== null || group.product !== null || group.space.kind !== "map"
      || countOf(group.space.shape) !== count) return null;
    const at = placeOf(makeVariable("i", count));
    const places = this.#reads(group, output, [...group.stores].map((store) => [store, at] as const), at);
    if (!places.every((place) => placeText(place) === placeText(at))) return null;
    group.product = anchor;
    group.inlined.add(output);
    return group;
  }

  /** A tensor as a view of what is (or will be) in memory: moves are strides where they can be. */
  #viewOf(given: Tensor): View<Tensor> {
    const tensor = this.#scope.resolve(given), { node } = tensor;
    const whole = denseView(tensor, shapeOf(tensor));
    const isThere = this.#scope.isGiven(tensor) || this.#stored.has(tensor)
      || this.#scope.anchorOf(tensor) !== null;
    if (isThere || rowOf(node).kind !== "move") return whole;
    const [x] = node.inputs, source = rowOf(this.#scope.resolve(x).node).kind;
    if (source === "number" || source === "iota") return whole;
    const view = this.#viewOf(x);
    switch (node.op) {
      case "reshape": return reshapeView(view, shapeOf(tensor)) ?? whole;
      case "transpose": return transposeView(view, node.attributes.permutation);
      case "slice": return sliceView(view, node.attributes.axis, node.attributes.start,
        node.attributes.length);
      case "broadcast": return broadcastView(view, shapeOf(tensor));
      default: return whole;
    }
  }

  /** Every group after those whose stores it reads; of several that can run, the one that was made last. */
  inOrder(): Group[] {
    const waits = new Map<Group, number>(this.#groups.map((group) => [group, 0]));
    for (const { after } of this.#groups) for (const next of after) waits.set(next, waits.get(next)! + 1);
    const ready = this.#groups.filter((group) => waits.get(group) === 0);
    const ordered: Group[] = [];
    const ranks = new Map(this.#groups.map((group, k) => [group, k]));
    while (ready.length > 0) {
      ready.sort((a, b) => ranks.get(a)! - ranks.get(b)!);
      const group = ready.pop()!;
      ordered.push(group);
      for (const next of group.after) {
        waits.set(next, waits.get(next)! - 1);
        if (waits.get(next) === 0) ready.push(next);
      }
    }
    return ordered;
  }
}

const countIn = (tensor: Tensor): number => countOf(shapeOf(tensor));

/** Elements that a reduction joins if they follow each other: the last axes; 0: they do not. */
function rowWidth(shape: readonly number[], axes: readonly number[]): number {
  const wide = shape.flatMap((size, axis) => (size > 1 ? [axis] : []));
  const cut = wide.filter((axis) => axes.includes(axis));
  const isLast = cut.length > 0 && cut.every((axis, k) => axis === wide[wide.length - cut.length + k]);
  return isLast ? countOf(cut.map((axis) => shape[axis])) : 0;
}
