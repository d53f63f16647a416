/**
 * Stages -> the ints that native/engine.c reads, once every array has its place in the arena. Every
 * range that an op will touch is asserted to lie in the arena here, because C asks nothing.
 */
import { assert } from "../../base/assert.ts";
import { isSameShape } from "../../graph/dimension.ts";
import { CODES, type Code, type Copy, type Group, type Matrix, type Operand, type Product,
  type Recurrence, type Reduction, type Stage, type Value } from "./stage.ts";
import { countOf, isDense, type Source, type Storage, type View } from "../view.ts";

/** Codes of native/engine.c, in its order. */
const OPS = ["end", "barrier", "gemm", "rows", "copy", "reduce", "lstm", "lstmGradient"] as const;
const AXES = 6;
/** Codes that take full rows, whatever they make; with "total" those that walk an array: no splat will do. */
const TAKES_ROWS: ReadonlySet<Code> = new Set(["rowSum", "rowMax", "columns"]);
/** Elements that a fused group takes at a time: about ten registers of them are in the first cache. */
const STRIP = 1024;

/** Arrays by greedy best fit, the largest first, above `start`: the end of the arena. */
export function layOut(storages: readonly Storage[], start: number): number {
  const placed: Storage[] = [];
  let end = start;
  const sized = storages.map((storage, index) => ({ storage, index }))
    .sort((a, b) => b.storage.floats - a.storage.floats || a.index - b.index);
  for (const { storage } of sized) {
    const floats = lines(storage.floats);
    let at = start, best = -1, bestGap = Infinity;
    for (const other of placed) {
      if (other.first > storage.last || other.last < storage.first) continue;
      const gap = other.offset - at;
      if (gap >= floats && gap < bestGap) { best = at; bestGap = gap; }
      at = Math.max(at, other.offset + lines(other.floats));
    }
    storage.offset = best < 0 ? at : best;
    end = Math.max(end, storage.offset + floats);
    placed.push(storage);
    placed.sort((a, b) => a.offset - b.offset);
  }
  return end;
}

/** Rounded up to whole cache lines. */
export const lines = (floats: number): number => Math.ceil(floats / 16) * 16;

/** The tape of these stages in an arena of so many floats. */
export function writeTape(stages: readonly Stage[], floats: number): Int32Array {
  const writer = new TapeWriter(floats);
  let wasSolo = true;
  for (const stage of stages) {
    const isSolo = stage.kind === "rows" && stage.count / (stage.width ?? 1) <= stripOf(stage);
    if (!wasSolo || !isSolo) writer.op("barrier", []);
    wasSolo = isSolo;
    switch (stage.kind) {
      case "rows": writer.rows(stage); break;
      case "product": writer.product(stage); break;
      case "copy": writer.copy(stage); break;
      case "reduction": writer.reduction(stage); break;
      default: writer.recurrence(stage);
    }
  }
  writer.op("barrier", []);
  return Int32Array.from([...writer.ints, 0, 0]);
}

const stripOf = ({ width }: Group): number => Math.max(1, Math.floor(STRIP / (width ?? 1)));

class TapeWriter {
  readonly ints: number[] = [];
  readonly #floats: number;
  constructor(floats: number) { this.#floats = floats; }

  op(name: (typeof OPS)[number], ints: readonly number[]): void {
    for (const value of ints) {
      assert(Number.isInteger(value) && Math.abs(value) < 2 ** 31, `${name} of ${value}`);
    }
    this.ints.push(OPS.indexOf(name), ints.length, ...ints);
  }

  /** Where `count` floats from `offset` on lie in the arena. */
  #range({ storage, floats }: Source, offset: number, count: number): number {
    assert(storage !== null && storage.offset >= 0, "an array has a place");
    assert(offset >= 0 && count >= 1 && offset + count <= floats && storage.offset + floats <= this.#floats,
      `${count} floats from ${offset} of ${floats}`);
    return storage.offset + offset;
  }

  /** Where a walk over axes starts; its first and its last element are in the array. */
  #walk(source: Source, offset: number, axes: readonly { size: number; stride: number }[]): number {
    let reach = 0;
    for (const { size, stride } of axes) {
      assert(size >= 1 && stride >= 0, `an axis of ${size} elements, ${stride} apart`);
      reach += (size - 1) * stride;
    }
    return this.#range(source, offset, reach + 1);
  }

  #view({ source, offset, shape, strides }: View): number {
    return this.#walk(source, offset, shape.map((size, axis) => ({ size, stride: strides[axis] })));
  }

  /** Where `floats` elements in a row start. */
  #dense(view: View, floats: number): number {
    assert(isDense(view) && countOf(view.shape) === floats, `an op takes ${floats} elements in a row`);
    return this.#view(view);
  }

  product({ size, batch, a, b, c, bias }: Product): void {
    const [M, N, K] = size, none = { size: 1, a: 0, b: 0, c: 0 };
    assert(batch.length <= 2 && c.column === 1, "rows of products lie in a row");
    const [outer, inner] = [none, none, ...batch].slice(-2);
    const matrix = (name: "a" | "b" | "c", { view, row, column }: Matrix, rows: number, columns: number):
    number[] =>
      [this.#walk(view.source, view.offset, [{ size: rows, stride: row }, { size: columns, stride: column },
        { size: outer.size, stride: outer[name] }, { size: inner.size, stride: inner[name] }]),
      row, column, outer[name], inner[name]];
    this.op("gemm", [...size, outer.size, inner.size, ...matrix("a", a, M, K), ...matrix("b", b, K, N),
      ...matrix("c", c, M, N), bias === null ? -1 : this.#dense(bias, N)]);
  }

  copy({ parts }: Copy): void {
    for (const { to, from } of parts) {
      const axes = mergeAxes(to, from);
      const fill = (values: readonly number[], rest: number): number[] =>
        [...Array.from({ length: AXES - values.length }, () => rest), ...values];
      assert(axes.length <= AXES, `a move over ${axes.length} axes`);
      this.op("copy", [this.#view(to), this.#view(from), ...fill(axes.map(({ size }) => size), 1),
        ...fill(axes.map((axis) => axis.to), 0), ...fill(axes.map((axis) => axis.from), 0)]);
    }
  }

  reduction({ isSum, from, axes, to }: Reduction): void {
    const all = from.shape
      .map((size, axis) => ({ size, stride: from.strides[axis], isCut: axes.includes(axis) }))
      .filter(({ size }) => size > 1);
    const table = (isCut: boolean): number[] => {
      const chosen = all.filter((axis) => axis.isCut === isCut);
      assert(chosen.length <= AXES, "a reduction over too many axes");
      const none = AXES - chosen.length;
      return [...Array.from({ length: none }, () => 1), ...chosen.map(({ size }) => size),
        ...Array.from({ length: none }, () => 0), ...chosen.map(({ stride }) => stride)];
    };
    const kept = countOf(all.filter(({ isCut }) => !isCut).map(({ size }) => size));
    assert(to.floats === kept, `${kept} results for ${to.floats} places`);
    const places = [this.#range(to, 0, kept), this.#view(from)];
    this.op("reduce", [isSum ? 1 : 0, ...places, ...table(false), ...table(true)]);
  }

  recurrence({ kind, size, places, isPrivate }: Recurrence): void {
    const floats = floatsOfPlaces(size), needed = NEEDED[kind];
    assert(places.length === floats.length, "as many places as native/lstm.h has");
    const offsets = places.map((view, k) => {
      assert(view !== null || !needed.includes(k), `${kind} without its place ${k}`);
      return view === null ? -1 : this.#dense(view, floats[k]);
    });
    this.op(kind, [...size, ...offsets, isPrivate ? 1 : 0]);
  }

  rows(group: Group): void {
    const W = group.width ?? 1, R = group.count / W, strip = stripOf(group);
    assert(W >= 1 && R >= 1 && Number.isInteger(R), `${R} rows of ${W}`);
    const { register, registers } = assignRegisters(group);
    const places: number[][] = [];
    const known = new Map<string, number>();
    const place = (kind: number, a: number, b: number): number => {
      const key = `${kind} ${a} ${b}`;
      const number = known.get(key) ?? places.push([kind, a, b]) - 1;
      known.set(key, number);
      return number;
    };
    const placeOf = (value: Value): number => {
      if (value.source?.storage != null) {
        const step = value.isPerRow ? 1 : W;
        return place(1, this.#range(value.source, 0, R * step), step);
      }
      const number = register.get(value);
      assert(number !== undefined && number < registers, "a value has a register");
      return place(0, number, 0);
    };
    const operandOf = (operand: Operand, code: Code, isPerRow: boolean): number => {
      const wanted = code === "expand" || (isPerRow && !TAKES_ROWS.has(code));
      const isOne = group.count === 1 || (code !== "total" && !TAKES_ROWS.has(code));
      const isFit = operand.kind === "splat" ? isOne
        : wanted === (operand.kind === "value" ? operand.value : operand).isPerRow;
      assert(isFit, `${code} reads a ${operand.kind} of other rows`);
      if (operand.kind === "value") return placeOf(operand.value);
      if (operand.kind === "splat") return place(2, this.#range(operand.source, operand.offset, 1), 0);
      const step = operand.isPerRow ? 1 : W;
      return place(1, this.#range(operand.source, operand.offset, R * step), step);
    };
    let sums = 0;
    const accumulators: number[] = [];
    const code = group.steps.flatMap((step) => {
      const [a = 0, b = 0, c = 0] = step.operands.map((one) => operandOf(one, step.code, step.isPerRow));
      const target = step.value === null ? 0 : placeOf(step.value);
      const head = [CODES.indexOf(step.code), step.isPerRow ? 1 : 0, target];
      if (step.sum !== undefined) {
        const { source, floats } = step.sum;
        accumulators.push(sums, floats, this.#range(source, 0, floats));
        sums += floats;
        return [...head, a, 0, 0, sums - floats, 0, 0];
      }
      if (step.load === undefined) return [...head, a, b, c, 0, 0, 0];
      const { source, offset, div, mod, step: apart } = step.load;
      assert(div >= 0 && mod >= 1, `row (r / ${div}) % ${mod}`);
      const start = this.#walk(source, offset,
        [{ size: mod, stride: apart }, { size: step.isPerRow ? 1 : W, stride: 1 }]);
      return [...head, 0, apart, 0, div, mod, start];
    });
    assert(places.length <= 64, `a group of ${places.length} places`);
    if (places.length === 0) place(0, 0, 0);
    this.op("rows", [R, W, strip, registers, places.length, group.steps.length, accumulators.length / 3, sums,
      ...places.flat(), ...code, ...accumulators]);
  }
}

/** Places of native/lstm.h that each op reads or writes without asking whether they are there. */
const NEEDED: Readonly<Record<Recurrence["kind"], readonly number[]>> =
  { lstm: [0, 1, 2, 3, 4, 5, 6, 9, 10], lstmGradient: [0, 1, 2, 4, 5, 6, 9, 10, 11, 12, 13] };

/** How many floats each place of native/lstm.h has, in its order. */
function floatsOfPlaces([T, B, F, H]: Recurrence["size"]): number[] {
  const state = B * H, hidden = T * state;
  const given = [T * B * F, F * 4 * H, H * 4 * H, 4 * H, state, state];
  return [...given, hidden, state, state, hidden, 4 * hidden, hidden, state, state, ...given];
}

/** Registers for the values of a group that no other stage reads. */
function assignRegisters(group: Group): { register: Map<Value, number>; registers: number } {
  const last = new Map<Value, number>();
  group.steps.forEach(({ operands }, k) => {
    for (const operand of operands) if (operand.kind === "value") last.set(operand.value, k);
  });
  const register = new Map<Value, number>(), free: number[] = [];
  let registers = 0;
  group.steps.forEach((step, k) => {
    const { value } = step;
    // What is loaded once for all strips keeps its register.
    const isLasting = step.load?.div === 0;
    if (value !== null && value.source?.storage == null) {
      const number = (isLasting ? undefined : free.pop()) ?? registers++;
      register.set(value, number);
      if (!last.has(value)) free.push(number);
      if (isLasting) last.delete(value);
    }
    for (const { value: done } of new Set(step.operands.filter((operand) => operand.kind === "value"))) {
      if (last.get(done) === k && register.has(done)) {
        last.delete(done);
        free.push(register.get(done)!);
      }
    }
  });
  return { register, registers };
}

/** Axes of a move, those that both sides walk as one joined. */
function mergeAxes(to: View, from: View): { size: number; to: number; from: number }[] {
  assert(isSameShape(to.shape, from.shape), "a move keeps its shape");
  const merged: { size: number; to: number; from: number }[] = [];
  to.shape.forEach((size, axis) => {
    if (size === 1) return;
    const own = { size, to: to.strides[axis], from: from.strides[axis] }, before = merged.at(-1);
    if (before !== undefined && before.to === own.to * size && before.from === own.from * size) {
      merged[merged.length - 1] = { ...own, size: before.size * size };
    } else merged.push(own);
  });
  return merged;
}
