/**
 * The primitive `matmul` in float, of whatever lies in memory in whatever strides (kernels/product.cuh). What
 * is done to each element of the result afterwards is done before it is written.
 *
 * tile 64 x 64 of the result per block; too few tiles and many terms: chunks of the terms, joined in order
 * 
 *   thin   at most 8 rows (or columns): a network's step for one or few sequences
 */
import type { Tensor } from "../../../graph/tensor.ts";
import { countOf, broadcastView, transposeView, type View } from "../../view.ts";
import type { Launch } from "../launch.ts";
import { C_TYPES, Emitter, ELEMENT_BYTES } from "./emitter.ts";
import type { Group } from "./fuse.ts";
import type { Surroundings } from "./kernel.ts";
import { foldKernel } from "./reduce.ts";
import { coordinatesOf, linearPlace, makeVariable, placeOf, placeText, plus, times, type Place,
  type Variable }
  from "./place.ts";
import { addressOf, type Memory } from "./builder.ts";
import type { LoweredAnchor, Lowering } from "./lowering.ts";
import { shapeOf } from "./table.ts";

const TILE = 64, THIN = 8, LANES = 4;

/** One operand: the matrix of pair z starts at `start`, element (row, column) is a sum of strides further. */
interface Operand {
  readonly view: View<Tensor>;
  readonly start: Place;
  readonly row: number;
  readonly column: number;
}

interface Plan {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Of the leading axes. */
  readonly batch: readonly number[];
  readonly kind: "tile" | "thin columns" | "thin terms";
  /** Thin: the operand of the few, and of the many, are a and b unless they have changed places. */
  readonly isTurned: boolean;
  readonly splits: number;
}

/** `strides`: how far apart neighbours are of the operand of the many. */
function planProduct(shape: readonly number[], K: number, multiprocessors: number,
  strides: (isTurned: boolean) => number): Plan {
  const [M, N] = shape.slice(-2), batch = shape.slice(0, -2), count = countOf(batch);
  if (Math.min(M, N) <= THIN) {
    const isTurned = N < M;
    const kind = strides(isTurned) === 1 ? "thin columns" : "thin terms";
    return { M, N, K, batch, isTurned, splits: 1, kind };
  }
  const tiles = Math.ceil(M / TILE) * Math.ceil(N / TILE) * count;
  const splits = tiles * 2 > multiprocessors || K < 512 ? 1
    : Math.max(1, Math.min(Math.ceil(multiprocessors / tiles), Math.floor(K / 128), 32));
  return { M, N, K, batch, kind: "tile", isTurned: false, splits };
}

/** A matmul as an anchor. */
export function productAnchor(output: Tensor, lowering: Lowering): LoweredAnchor {
  const { node } = output;
  const { transposeA, transposeB } = node.attributes as { transposeA: boolean; transposeB: boolean };
  const [a, b] = node.inputs, K = shapeOf(a).at(transposeA ? -2 : -1)!;
  const { multiprocessors } = lowering.device;
  const planOf = (strides: (isTurned: boolean) => number): Plan =>
    planProduct(shapeOf(output), K, multiprocessors, strides);
  const anyView = { accepts: (): boolean => true, element: null };
  return {
    outputs: [output], reads: [{ tensor: a, ...anyView }, { tensor: b, ...anyView }],
    hasEpilogue: true,
    emit(group) {
      const [viewA, viewB] = group.views;
      const flip = (view: View<Tensor>, isFlipped: boolean): View<Tensor> => (isFlipped ? transposeView(view,
        [...view.shape.slice(0, -2).keys(), view.shape.length - 1, view.shape.length - 2]) : view);
      const [left, right] = [flip(viewA, transposeA), flip(viewB, transposeB)];
      const plan = planOf((isTurned) => (isTurned ? left.strides.at(-2)! : right.strides.at(-1)!));
      const z = makeVariable("z", countOf(plan.batch));
      const operand = (view: View<Tensor>): Operand => {
        const wide = broadcastView(view, [...plan.batch, ...view.shape.slice(-2)]);
        const digits = coordinatesOf(placeOf(z), plan.batch);
        const start = plus(...digits.map((digit, k) => times(digit, wide.strides[k])),
          { constant: view.offset, terms: [] });
        const [row, column] = wide.strides.slice(-2);
        return { view, start, row, column };
      };
      return new ProductEmitter(output, group, lowering, plan, z, operand(left), operand(right)).launches();
    },
  };
}

class ProductEmitter {
  readonly #fields: string[] = [];
  readonly #memories: { tensor: Tensor | null; memory: Pick<Memory, "buffer" | "offset"> }[] = [];
  readonly #names = new Map<Tensor, string>();
  readonly #output: Tensor;
  readonly #group: Group;
  readonly #lowering: Lowering;
  readonly #plan: Plan;
  readonly #z: Variable;
  readonly #a: Operand;
  readonly #b: Operand;

  constructor(output: Tensor, group: Group, lowering: Lowering, plan: Plan, z: Variable, a: Operand,
    b: Operand) {
    this.#output = output;
    this.#group = group;
    this.#lowering = lowering;
    this.#plan = plan;
    this.#z = z;
    this.#a = a;
    this.#b = b;
  }

  launches(): Launch[] {
    const { plan, body, grid, sharedBytes } = this.#plan.kind === "tile" ? this.#tile() : this.#thin();
    const { M, N, K, batch, splits } = plan, count = countOf(batch) * M * N;
    const main = this.#lowering.builder.launch({ what: "product", block: 256, fields: this.#fields,
      comment: `(${M}, ${K}) x (${K}, ${N})${batch.length > 0 ? `, ${countOf(batch)} times` : ""}`, body },
    grid, sharedBytes, this.#memories.map(({ memory }) => addressOf(memory)));
    if (splits === 1) return [main];
    const partial = this.#memories.at(-1)!.memory;
    // Whatever finishes the sums finishes them where they are joined.
    const fold = foldKernel(this.#group, [{ tensor: this.#output, name: "total", join: "add" }],
      { O: count, chunks: splits }, this.#lowering);
    return [main, this.#lowering.kernelLaunch(fold, partial)];
  }

  #parameter(tensor: Tensor): string {
    const known = this.#names.get(tensor);
    if (known !== undefined) return known;
    const name = `x${this.#names.size}`, memory = this.#lowering.memoryOf(tensor);
    this.#names.set(tensor, name);
    this.#fields.push(`const ${C_TYPES[memory.element]}* ${name}`);
    this.#memories.push({ tensor, memory });
    return name;
  }

  /** "a.x0 + start" of both operands. */
  #operands(): readonly [string, string] {
    const text = ({ view, start }: Operand): string => {
      const place = placeText(start);
      return `a.${this.#parameter(view.source)}${place === "0u" ? "" : ` + ${place}`}`;
    };
    return [text(this.#a), text(this.#b)];
  }

  #tile(): { plan: Plan; body: string[]; grid: [number, number, number]; sharedBytes: number } {
    const plan = this.#plan, { M, N, K, splits } = plan, pairs = countOf(plan.batch);
    const [a, b] = this.#operands(), chunk = Math.ceil(K / splits / 16) * 16;
    const isWide = N % LANES === 0, across = Math.ceil(N / TILE);
    const m = makeVariable("m", M), n = makeVariable("n", isWide ? N / LANES : N);
    const lane = makeVariable("l", LANES);
    const head = [
      ...this.#pairLines(across), `const u32 m0 = blockIdx.y * ${TILE}u, n0 = tile * ${TILE}u;`,
      ...(splits === 1 ? [] : ["const u32 s = blockIdx.z;"]),
      ...(splits === 1 ? []
        : [`const u32 begin = s * ${chunk}u, end = begin + ${chunk}u < ${K}u ? begin + ${chunk}u : ${K}u;`]),
      "float sums[4][4];",
      `product_tile<${[M, N, this.#a.row, this.#a.column, this.#b.row, this.#b.column].join(", ")}>`
        + `(${a}, ${b}, m0, n0, ${splits === 1 ? `0, ${K}u` : "begin, end"}, sums);`,
    ];
    const finish = splits > 1 ? this.#partial(N, M)
      : this.#finish([m, n], isWide ? lane : null,
        (place) => plus(times(placeOf(m), N), place), "sums[p][l]");
    const rowLoop = ["UNROLL for (u32 p = 0; p < 4u; p++) {",
      "  const u32 m = m0 + 4u * (threadIdx.x / 16u) + p;", `  if (m >= ${M}u) break;`];
    const body = isWide
      ? [...head, `const u32 n = n0 / 4u + threadIdx.x % 16u;`, `if (n >= ${N / LANES}u) return;`, ...rowLoop,
        ...finish.map((line) => `  ${line}`), "}"]
      : [...head, ...rowLoop, "  UNROLL for (u32 l = 0; l < 4u; l++) {",
        "    const u32 n = n0 + 4u * (threadIdx.x % 16u) + l;", `    if (n >= ${N}u) break;`,
        ...finish.map((line) => `    ${line}`), "  }", "}"];
    return { plan, body, sharedBytes: 2 * 16 * 68 * 4,
      grid: [across * pairs, Math.ceil(M / TILE), splits] };
  }

  /** Which pair of matrices a block multiplies, and which of the `across` tiles side by side. */
  #pairLines(across: number): string[] {
    return countOf(this.#plan.batch) === 1 ? ["const u32 z = 0, tile = blockIdx.x;"]
      : [`const u32 z = blockIdx.x / ${across}u, tile = blockIdx.x % ${across}u;`];
  }

  /** Chunks of the terms: (splits, pairs, M, N) sums. */
  #partial(N: number, M: number): string[] {
    const { splits, batch } = this.#plan, count = countOf(batch) * M * N;
    const name = this.#lowering.builder.scratch(splits * count * ELEMENT_BYTES.f32, "partial");
    this.#fields.push("float* partial");
    this.#memories.push({ tensor: null, memory: { buffer: name, offset: 0 } });
    const at = (n: string): string => `a.partial + s * ${count}u + z * ${M * N}u + m * ${N}u + ${n}`;
    return N % LANES === 0
      ? [`store_lanes(${at("4u * n")}, Lanes<4>{{sums[p][0], sums[p][1], sums[p][2], sums[p][3]}});`]
      : [`put(${at("n")}, sums[p][l]);`];
  }

  #thin(): { plan: Plan; body: string[]; grid: [number, number, number]; sharedBytes: number } {
    const plan = this.#plan, { M, N, K, kind, isTurned } = plan;
    const few = isTurned ? N : M, many = isTurned ? M : N;
    const [a, b] = this.#operands();
    const turn = ({ row, column }: Operand): Pick<Operand, "row" | "column"> =>
      (isTurned ? { row: column, column: row } : { row, column });
    const [rows, columns] = isTurned ? [turn(this.#b), turn(this.#a)] : [this.#a, this.#b];
    const [x, y] = isTurned ? [b, a] : [a, b];
    const isColumns = kind === "thin columns", across = Math.ceil(many / (isColumns ? 32 : 8));
    const strides = [rows.row, rows.column, columns.row, columns.column];
    const m = makeVariable("m", M), n = makeVariable("n", N);
    const [fewName, manyName] = isTurned ? ["n", "m"] : ["m", "n"];
    const finish = this.#finish([m, n], null,
      () => plus(times(placeOf(m), N), placeOf(n)), `sums[${fewName}]`);
    const head = isColumns ? [
      ...this.#pairLines(across), "const u32 first = tile * 32u;", `float sums[${few}];`,
      `product_thin_columns<${[few, many, ...strides].join(", ")}>(${x}, ${y}, first, 0, ${K}u, sums);`,
      `const u32 ${manyName} = first + lane_of();`, `if (warp_of() != 0 || ${manyName} >= ${many}u) return;`,
    ] : [
      ...this.#pairLines(across), `const u32 ${manyName} = tile * 8u + warp_of();`,
      `if (${manyName} >= ${many}u) return;`,
      `float sums[${few}];`,
      `product_thin_terms<${[few, ...strides].join(", ")}>(${x}, ${y}, ${manyName}, 0, ${K}u, sums);`,
      "if (lane_of() != 0) return;",
    ];
    return { plan, sharedBytes: 1024, grid: [across * countOf(plan.batch), 1, 1],
      body: [...head, `UNROLL for (u32 ${fewName} = 0; ${fewName} < ${few}u; ${fewName}++) {`,
        ...finish.map((line) => `  ${line}`), "}"] };
  }

  /** What is done to sums of row m and column n (or four of them) of pair z, and the stores. */
  #finish([m, n]: readonly Variable[], lane: Variable | null, within: (column: Place) => Place,
    sum: string): string[] {
    const { M, N } = this.#plan, group = this.#group, lowering = this.#lowering;
    const stores = group.anchor === null ? [...group.stores] : [this.#output];
    const around: Surroundings = lowering;
    const canLane = lane !== null && stores.every((tensor) => around.isAligned(tensor));
    const column = lane === null ? placeOf(n) : plus(times(placeOf(n), LANES), placeOf(lane));
    const at = plus(times(placeOf(this.#z), M * N), within(column));
    const start = plus(times(placeOf(this.#z), M * N),
      within(lane === null ? placeOf(n) : times(placeOf(n), LANES)));
    const own = placeText(linearPlace(coordinatesOf(at, shapeOf(this.#output)), shapeOf(this.#output)));
    const emitter = new Emitter({
      resolve: (tensor) => around.resolve(tensor),
      parameterOf: (tensor) => {
        const isOwn = group.stores.has(tensor) || group.inlined.has(tensor);
        return isOwn || around.elementOf(tensor) === null ? null : this.#parameter(tensor);
      },
      isAligned: (tensor) => around.isAligned(tensor),
      nameOf: (tensor, coordinates) => (tensor === this.#output
        && placeText(linearPlace(coordinates, shapeOf(tensor))) === own ? sum : null),
    }, lane);
    emitter.open(this.#z, m, n);
    if (lane !== null) emitter.open(lane);
    const declare: string[] = [], after: string[] = [];
    stores.forEach((tensor, k) => {
      const memory = lowering.memoryOf(tensor),
        value = emitter.value(tensor, coordinatesOf(at, shapeOf(tensor)));
      this.#fields.push(`${C_TYPES[memory.element]}* y${k}`);
      this.#memories.push({ tensor, memory });
      if (lane === null || !canLane) emitter.line(`put(a.y${k} + ${placeText(at)}, ${value});`);
      else {
        declare.push(`Lanes<4> y${k};`);
        emitter.line(`y${k}.at[l] = ${value};`);
        after.push(`store_lanes(a.y${k} + ${placeText(start)}, y${k});`);
      }
    });
    if (lane === null) return emitter.close();
    const inner = emitter.close();
    return [...emitter.close(), ...declare, "UNROLL for (u32 l = 0; l < 4u; l++) {",
      ...inner.map((line) => `  ${line}`),
      "}", ...after];
  }
}
