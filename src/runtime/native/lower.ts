/**
 * Graph -> stages. Nodes are taken in order; an elementwise node, or a reduction that rows can do,
 * joins a group that runs when its operands are there, if there is one over the same elements; else
 * it starts a new one.
 *
 *     add mul ── sum(last axis) ── mul ── sub ── matmul ── add tanh
 *     [         one group, one pass         ]  [product]  [ group ]
 */
import { assert } from "../../base/assert.ts";
import type { PrimitiveName } from "../../graph/op.ts";
import { constant } from "../../graph/ops.ts";
import type { Node, Tensor } from "../../graph/tensor.ts";
import type { BatchAxis, Code, Group, Operand, Stage, Step, Value } from "./stage.ts";
import { broadcastView, countOf, denseView, isDense, readingOf, reshapeView, sliceView, transposeView,
  type Reading, type Source, type View } from "../view.ts";

/** Limits of native/rows.h: 64 places per group. A step may add four. */
const MOST_STEPS = 40, MOST_PLACES = 56;

const ELEMENTWISE: ReadonlySet<string> = new Set<PrimitiveName>(["neg", "exp", "log", "sqrt", "sin",
  "tanh", "sigmoid", "abs", "sign", "floor", "add", "sub", "mul", "div", "max", "greater", "where"]);

/** What pads are made of. */
const ZERO = constant(0);

const shapeOf = (tensor: Tensor): readonly number[] => tensor.shape as readonly number[];

export interface Lowered {
  readonly stages: readonly Stage[];
  /** Views of the results, in order. */
  readonly results: readonly View[];
}

/** Lowers what `results` reach; `given` are inputs, state and constants. */
export function lower(order: readonly Node[], results: readonly Tensor[],
  given: (tensor: Tensor) => Source | null): Lowered {
  const lowering = new Lowering(given, order, results);
  for (const node of order) lowering.take(node);
  return { stages: lowering.stages, results: results.map((tensor) => lowering.viewOf(tensor)) };
}

class Lowering {
  readonly stages: Stage[] = [];
  readonly #views = new Map<Tensor, View>();
  readonly #copies = new Map<Tensor, View>();
  readonly #given: (tensor: Tensor) => Source | null;
  readonly #used: ReadonlySet<Tensor>;
  /** Who reads a tensor; null: it is a result. */
  readonly #readers = new Map<Tensor, (Node | null)[]>();

  constructor(given: (tensor: Tensor) => Source | null, order: readonly Node[], results: readonly Tensor[]) {
    this.#given = given;
    this.#used = new Set([...results, ...order.flatMap(({ inputs }) => inputs)]);
    const read = (tensor: Tensor, by: Node | null): void => {
      this.#readers.set(tensor, [...this.#readers.get(tensor) ?? [], by]);
    };
    for (const node of order) for (const input of node.inputs) read(input, node);
    for (const result of results) read(result, null);
  }

  viewOf(tensor: Tensor): View {
    const view = this.#views.get(tensor);
    assert(view !== undefined, `${tensor.node.op} is lowered before it is read`);
    return view;
  }

  take(node: Node): void {
    const [output] = node.outputs;
    const source = this.#given(output);
    if (source !== null) {
      this.#views.set(output, denseView(source, shapeOf(output)));
      return;
    }
    if (ELEMENTWISE.has(node.op)) {
      this.#elementwise(node);
      return;
    }
    const [x] = node.inputs;
    switch (node.op) {
      case "stop": this.#views.set(output, this.viewOf(x)); break;
      case "reshape": this.#views.set(output, reshapeView(this.viewOf(x), shapeOf(output))
        ?? reshapeView(this.#dense(x), shapeOf(output))!); break;
      case "transpose":
        this.#views.set(output, transposeView(this.viewOf(x), node.attributes.permutation));
        break;
      case "slice": {
        const { axis, start, length } = node.attributes;
        this.#views.set(output, sliceView(this.viewOf(x), axis, start, length));
        break;
      }
      case "broadcast": this.#views.set(output, broadcastView(this.viewOf(x), shapeOf(output))); break;
      case "pad": this.#pad(node.inputs[0], output, node.attributes); break;
      case "concat": this.#concat(node.inputs, output, node.attributes.axis); break;
      case "sum": case "reduceMax": this.#reduce(node.op === "sum", x, output, node.attributes.axes); break;
      case "matmul": this.#matmul(node.inputs, output, node.attributes); break;
      case "linear": this.#matmul(node.inputs, output, { transposeA: false, transposeB: false }); break;
      case "lstm": case "lstmGradient": this.#recurrence(node); break;
      default: assert(false, `there is no native ${node.op}`);
    }
  }

  /** A new array that stage `stage` writes in memory. */
  #array(shape: readonly number[], stage = this.stages.length): Source {
    const floats = countOf(shape);
    return { floats, stage, isFused: false, storage: { floats, first: stage, last: stage, offset: -1 } };
  }

  /** Says that a stage reads (or writes) a view in memory. */
  #touch({ source }: { source: Source }, stage: number): void {
    source.storage ??= { floats: source.floats, first: source.stage, last: source.stage, offset: -1 };
    source.storage.last = Math.max(source.storage.last, stage);
  }

  #push(stage: Stage, reads: readonly (View | null)[]): void {
    for (const view of reads) if (view !== null) this.#touch(view, this.stages.length);
    this.stages.push(stage);
  }

  /** A tensor's elements in a row. */
  #dense(tensor: Tensor): View {
    const view = this.viewOf(tensor);
    if (isDense(view)) return view;
    const known = this.#copies.get(tensor) ?? this.#copyOf(view);
    this.#copies.set(tensor, known);
    return known;
  }

  #copyOf(from: View): View {
    const to = denseView(this.#array(from.shape), from.shape);
    this.#push({ kind: "copy", parts: [{ to, from }] }, [from]);
    return to;
  }

  #pad(x: Tensor, output: Tensor, { axis, before }: { axis: number; before: number }): void {
    const shape = shapeOf(output), from = this.viewOf(x), zero = this.#given(ZERO)!;
    const to = denseView(this.#array(shape), shape);
    const length = from.shape[axis], after = shape[axis] - before - length;
    const zeros = (start: number, size: number): { to: View; from: View }[] => (size === 0 ? [] : [{
      to: sliceView(to, axis, start, size),
      from: broadcastView(denseView(zero, []), shape.with(axis, size)) }]);
    const parts = [...zeros(0, before), ...zeros(before + length, after),
      { to: sliceView(to, axis, before, length), from }];
    this.#push({ kind: "copy", parts }, [from]);
    this.#views.set(output, to);
  }

  #concat(inputs: readonly Tensor[], output: Tensor, axis: number): void {
    const shape = shapeOf(output), to = denseView(this.#array(shape), shape);
    let start = 0;
    const parts = inputs.map((input) => {
      const from = this.viewOf(input), length = from.shape[axis];
      start += length;
      return { to: sliceView(to, axis, start - length, length), from };
    });
    this.#push({ kind: "copy", parts }, parts.map(({ from }) => from));
    this.#views.set(output, to);
  }

  #matmul(inputs: readonly Tensor[], output: Tensor,
    { transposeA, transposeB }: { transposeA: boolean; transposeB: boolean }): void {
    const shape = shapeOf(output), [M, N] = shape.slice(-2);
    const flip = (view: View): View => {
      const axes = view.shape.map((_, axis) => axis);
      return transposeView(view, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
    };
    const read = (tensor: Tensor, isFlipped: boolean): View =>
      (isFlipped ? flip(this.viewOf(tensor)) : this.viewOf(tensor));
    const a = read(inputs[0], transposeA), b = read(inputs[1], transposeB);
    const bias = inputs.length > 2 ? this.#dense(inputs[2]) : null;
    const K = a.shape.at(-1)!;
    const c = denseView(this.#array(shape), shape);
    const outer = shape.slice(0, -2);
    const wide = (view: View): View => broadcastView(view, [...outer, ...view.shape.slice(-2)]);
    const [wa, wb] = [wide(a), wide(b)];
    let batch = outer.map((size, k) => ({ size, a: wa.strides[k], b: wb.strides[k], c: c.strides[k] }))
      .filter(({ size }) => size > 1);
    batch = mergeBatch(batch);
    const [rowA, columnA] = wa.strides.slice(-2), [rowB, columnB] = wb.strides.slice(-2);
    let rows = M;
    const inner = batch.at(-1);
    if (inner !== undefined && inner.b === 0 && inner.a === rowA * M && inner.c === N * M) {
      rows = M * inner.size;
      batch = batch.slice(0, -1);
    }
    assert(batch.length <= 2, "a product over three axes of matrices");
    this.#push({ kind: "product", size: [rows, N, K], batch, bias, a: { view: a, row: rowA, column: columnA },
      b: { view: b, row: rowB, column: columnB }, c: { view: c, row: N, column: 1 } }, [a, b, bias]);
    this.#views.set(output, c);
  }

  #recurrence(node: Node): void {
    const inputs = node.inputs.map((input) => this.#dense(input));
    const [T, B, F] = inputs[0].shape, [H] = inputs[2].shape;
    const made = node.outputs.map((output, k) => {
      // The gradient reads what forward kept, so forward writes all it keeps.
      const isNeeded = this.#used.has(output) || (node.op === "lstm" && k !== 1 && k !== 2);
      if (!isNeeded) return null;
      const view = denseView(this.#array(shapeOf(output)), shapeOf(output));
      this.#views.set(output, view);
      return view;
    });
    const none = (count: number): null[] => Array.from({ length: count }, () => null);
    // native/lstm.h: x wx wh bias h0 c0 | hidden lastHidden lastCell cells gates | adjoints | results
    const [x, wx, wh, fourth, fifth, ...rest] = inputs;
    const places = node.op === "lstm" ? [x, wx, wh, fourth, fifth, ...rest, ...made, ...none(9)]
      : [x, wx, wh, null, fourth, fifth, rest[0], null, null, rest[1], rest[2], ...rest.slice(3), ...made];
    assert(places.length === 20, "as many places as native/lstm.h has");
    const forward = node.op === "lstm" ? node : node.inputs[6].node;
    this.#push({ kind: node.op as "lstm" | "lstmGradient", size: [T, B, F, H], places,
      isPrivate: H % 16 === 0 && this.#isPrivate(forward, node) }, inputs);
  }

  /** Whether cells and gates of an lstm go to its gradient only; `node` is one of the two. */
  #isPrivate(forward: Node, node: Node): boolean {
    const [, , , cells, gates] = forward.outputs;
    const isOnly = (tensor: Tensor, at: number): boolean => (this.#readers.get(tensor) ?? [])
      .every((reader) => reader?.op === "lstmGradient" && reader.inputs[at] === tensor
        && reader.inputs.filter((input) => input === tensor).length === 1
        && reader.inputs[6] === cells && reader.inputs[7] === gates);
    return forward.op === "lstm" && isOnly(cells, 6) && isOnly(gates, 7)
      && (node === forward || (node.inputs[6] === cells && node.inputs[7] === gates));
  }

  #reduce(isSum: boolean, x: Tensor, output: Tensor, axes: readonly number[]): void {
    const view = this.viewOf(x), shape = view.shape;
    const isCut = (axis: number): boolean => axes.includes(axis);
    const wide = shape.flatMap((size, axis) => (size > 1 ? [axis] : []));
    const cut = wide.filter(isCut), kept = wide.filter((axis) => !isCut(axis));
    const last = wide.at(-1), W = last === undefined ? 1 : shape[last];
    const set = (source: Source): void => { this.#views.set(output, denseView(source, shapeOf(output))); };
    if (cut.length === 1 && cut[0] === last && kept.length > 0) {
      const squeezed = this.#walkable(view, wide.map((axis) => shape[axis]));
      const found = this.#joinWith([squeezed], squeezed.shape, W);
      const [operand] = found.operands;
      set(this.#step(found.group, isSum ? "rowSum" : "rowMax", true, [operand]));
      return;
    }
    if (isSum && (kept.length === 0 || (kept.length === 1 && kept[0] === last))) {
      const squeezed = this.#walkable(view, wide.length === 0 ? [1] : wide.map((axis) => shape[axis]));
      const isTotal = kept.length === 0;
      const found = this.#joinWith([squeezed], squeezed.shape, isTotal ? null : W);
      const source = this.#array(shapeOf(output), found.group.stage);
      found.group.steps.push({ code: isTotal ? "total" : "columns", isPerRow: found.isPerRow,
        operands: found.operands, value: null, sum: { source, floats: source.floats } });
      set(source);
      return;
    }
    const to = this.#array(shapeOf(output));
    this.#push({ kind: "reduction", isSum, from: view, axes, to }, [view]);
    set(to);
  }

  /** A view that a reduction can walk, axes of one left out: one value for all elements is no array. */
  #walkable(view: View, shape: readonly number[]): View {
    const squeezed = reshapeView(view, shape)!, kind = readingOf(squeezed)?.kind;
    const isArray = kind !== undefined && (kind !== "splat" || countOf(shape) === 1);
    return isArray ? squeezed : this.#copyOf(squeezed);
  }

  #elementwise(node: Node): void {
    const [output] = node.outputs, shape = shapeOf(output);
    const views = node.inputs.map((input) => {
      const view = broadcastView(this.viewOf(input), shape);
      return readingOf(view) === null ? broadcastView(this.#dense(input), shape) : view;
    });
    const safe = views.map((view) => (readingOf(view) === null ? this.#copyOf(view) : view));
    const { group, operands, isPerRow } = this.#joinWith(safe, shape, null);
    const source = this.#step(group, node.op as Code, isPerRow, operands);
    this.#views.set(output, denseView(source, shape));
  }

  /** A step with a result. */
  #step(group: Group, code: Code, isPerRow: boolean, operands: readonly Operand[]): Source {
    const floats = isPerRow ? group.count / group.width! : group.count;
    const source: Source = { floats, stage: group.stage, isFused: true, storage: null };
    const value: Value = { isPerRow, source };
    group.values.set(source, value);
    group.steps.push({ code, isPerRow, operands, value });
    return source;
  }

  /**
   * The group that a step over these operands, all of one shape, joins, and the operands as that group
   * reads them. `rows`: the width of rows that the step itself needs.
   */
  #joinWith(views: readonly View[], shape: readonly number[], rows: number | null):
    { group: Group; operands: Operand[]; isPerRow: boolean } {
    const readings = views.map((view) => readingOf(view)
      ?? assert(false, "operands are readable") as never);
    const count = countOf(shape);
    const hasRows = readings.some(({ kind }) => kind === "row" || kind === "repeat");
    const width = rows ?? (hasRows ? shape.at(-1)! : null);
    const place = { count, width };
    let best: { group: Group; isPerRow: boolean; score: number } | null = null;
    for (const stage of this.stages) {
      if (stage.kind !== "rows") continue;
      const fit = this.#fit(stage, views, readings, place, rows !== null);
      if (fit !== null && (best === null || fit.score > best.score)) best = { group: stage, ...fit };
    }
    const isNew = best === null;
    const group = best?.group ?? { kind: "rows", stage: this.stages.length, count, width, steps: [],
      values: new Map(), made: new Map(), reads: new Set() } satisfies Group;
    if (isNew) this.stages.push(group);
    const isPerRow = best?.isPerRow ?? false;
    if (!isPerRow) group.width ??= width;
    const operands = views.map((view, k) => this.#operand(group, view, readings[k], isPerRow));
    return { group, operands, isPerRow };
  }

  /** Whether a step may join a group, and how much it shares with it. */
  #fit(group: Group, views: readonly View[], readings: readonly Reading[],
    { count, width }: { count: number; width: number | null }, isReduction: boolean):
    { isPerRow: boolean; score: number } | null {
    const isPerRow = count !== group.count && group.width !== null && count * group.width === group.count;
    if (count !== group.count && (!isPerRow || isReduction)) return null;
    if (group.steps.length >= MOST_STEPS || placesOf(group) > MOST_PLACES) return null;
    const structured = width !== null && !(isPerRow && readings.every(({ kind }) => kind !== "row"));
    if (structured && (isPerRow || (group.width !== null && group.width !== width))) return null;
    if (isPerRow && readings.some(({ kind }) => kind === "repeat" || kind === "row")) return null;
    // A group without rows may have values that rows of this width would call one per row; there are none.
    let score = count <= 16 ? 1 : 0;
    for (const [k, { source, offset, shape }] of views.entries()) {
      const own = group.values.get(source);
      if (own !== undefined) {
        const isDirect = readings[k].kind === "dense" && own.isPerRow === isPerRow && offset === 0
          && source.floats === countOf(shape);
        const isExpanded = readings[k].kind === "row" && own.isPerRow && !isPerRow && offset === 0
          && source.floats === group.count / group.width!;
        if (!isDirect && !isExpanded) return null;
        score += 4;
      } else if (source.stage >= group.stage) return null;
      else if (group.reads.has(source)) score += 2;
    }
    return score === 0 ? null : { isPerRow, score };
  }

  #operand(group: Group, view: View, reading: Reading, isPerRow: boolean): Operand {
    const { source, offset } = view;
    const own = group.values.get(source);
    if (own === undefined) {
      group.reads.add(source);
      this.#touch(view, group.stage);
    }
    const inStep = (perRow: boolean): Operand => (own === undefined
      ? { kind: "memory", source, offset, isPerRow: perRow } : { kind: "value", value: own });
    const expand = (operand: Operand, key: readonly (string | number | Source)[]): Operand =>
      this.#made(group, key, { code: "expand", isPerRow: false, operands: [operand] });
    if (reading.kind === "dense") return inStep(isPerRow);
    if (reading.kind === "splat") return { kind: "splat", source, offset };
    if (reading.kind === "row") return expand(inStep(true), ["expand", source, offset]);
    const { width, div, mod, step } = reading;
    const isNarrow = width === 1 && group.width !== 1;
    const loaded = this.#made(group, ["load", source, offset, width, div, mod, step],
      { code: "load", isPerRow: isNarrow, operands: [], load: { source, offset, div, mod, step } });
    return isNarrow ? expand(loaded, ["expand load", source, offset, div, mod, step]) : loaded;
  }

  readonly #numbers = new Map<Source, number>();
  /** A load or an expansion, once per group. */
  #made(group: Group, key: readonly (string | number | Source)[], step: Omit<Step, "value">): Operand {
    const text = key.map((part) => {
      if (typeof part !== "object") return part;
      const number = this.#numbers.get(part) ?? this.#numbers.size;
      this.#numbers.set(part, number);
      return number;
    }).join();
    let value = group.made.get(text);
    if (value === undefined) {
      value = { isPerRow: step.isPerRow, source: null };
      group.made.set(text, value);
      group.steps.push({ ...step, value });
    }
    return { kind: "value", value };
  }
}

const placesOf = (group: Group): number => group.steps.length + group.reads.size;

/** Neighbouring axes that walk as one. */
function mergeBatch(batch: readonly BatchAxis[]): BatchAxis[] {
  const merged: BatchAxis[] = [];
  for (const axis of batch) {
    const before = merged.at(-1);
    const isEven = before !== undefined && (["a", "b", "c"] as const)
      .every((name) => before[name] === axis[name] * axis.size);
    if (isEven) merged[merged.length - 1] = { ...axis, size: before.size * axis.size };
    else merged.push(axis);
  }
  return merged;
}
