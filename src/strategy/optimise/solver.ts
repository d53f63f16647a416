/**
 * The door to HiGHS (WebAssembly): linear programs and convex quadratic ones, small and dense.
 *
 *     minimise c'x + x'Qx / 2      lower <= x <= upper,  rowLower <= Ax <= rowUpper
 *
 * Loading takes a moment and is asynchronous; solving is synchronous and deterministic: it is bounded by
 * iterations, and by seconds only as a last resort. Troubles are values.
 */
import type { Highs, ModelData } from "highs";

const ITERATIONS_MAX = 20_000;
const SECONDS_MAX = 5;

export interface ProgramRow {
  readonly indices: readonly number[];
  readonly values: readonly number[];
  readonly lower: number;
  readonly upper: number;
}

export interface Program {
  /** (V) each. */
  readonly cost: Float64Array;
  readonly lower: Float64Array;
  readonly upper: Float64Array;
  readonly rows: readonly ProgramRow[];
  /** (Q, Q) over the first Q variables, symmetric; null: a linear program. */
  readonly quadratic: { readonly values: Float64Array; readonly size: number } | null;
}

/** Once for all solvers: it keeps no state between programs. */
let loaded: Promise<Highs> | null = null;

export class Solver {
  readonly #highs: Highs;

  private constructor(highs: Highs) { this.#highs = highs; }

  static async load(): Promise<Solver> {
    // The types are of its CommonJS build; Node imports the ES module, whose default is the loader.
    loaded ??= import("highs").then((module) =>
      (module as unknown as { default: () => Promise<Highs> }).default());
    return new Solver(await loaded);
  }

  /** (V) the optimum; null when there is none or it was not found in time. */
  solve(program: Program): Float64Array | null {
    const { optimal } = this.#highs.constants.modelStatus;
    return this.#highs.withModel(modelOf(program), (model) => {
      // Dense and small: presolving takes five times as long as it saves.
      model.options.set({ output_flag: false, presolve: "off", time_limit: SECONDS_MAX,
        simplex_iteration_limit: ITERATIONS_MAX, qp_iteration_limit: ITERATIONS_MAX });
      try { model.run(); } catch { return null; }
      if (model.getModelStatus() !== optimal) return null;
      const found = Float64Array.from(model.getSolution().colValue);
      return found.every(Number.isFinite) ? found : null;
    });
  }
}

function modelOf({ cost, lower, upper, rows, quadratic }: Program): ModelData {
  const columns = cost.length, starts = new Int32Array(rows.length + 1);
  rows.forEach((row, k) => { starts[k + 1] = starts[k] + row.indices.length; });
  return {
    numCols: columns, numRows: rows.length, colCost: cost, colLower: lower, colUpper: upper,
    rowLower: Float64Array.from(rows, (row) => row.lower),
    rowUpper: Float64Array.from(rows, (row) => row.upper),
    matrix: { format: "csr", numRows: rows.length, numCols: columns, starts,
      indices: Int32Array.from(rows.flatMap((row) => row.indices)),
      values: Float64Array.from(rows.flatMap((row) => row.values)) },
    ...(quadratic === null ? {} : { hessian: hessianOf(quadratic.values, quadratic.size, columns) }),
  };
}

/** Lower triangle by columns. */
function hessianOf(values: Float64Array, size: number, columns: number): NonNullable<ModelData["hessian"]> {
  const starts = new Int32Array(columns + 1), indices: number[] = [], entries: number[] = [];
  for (let j = 0; j < columns; j++) {
    const last = j < size ? size : j;
    for (let i = j; i < last; i++) {
      indices.push(i);
      entries.push(values[i * size + j]);
    }
    starts[j + 1] = indices.length;
  }
  return { format: "triangular", dimension: columns, starts, indices: Int32Array.from(indices),
    values: Float64Array.from(entries) };
}
