/** Runs graphs. A runtime hides compilation, memory and threads behind three methods. */
import { assert } from "../base/assert.ts";
import type { Graph } from "../graph/graph.ts";

/** An array with a shape: row major, as many values as the shape says. */
export interface Values {
  readonly shape: readonly number[];
  readonly values: Float32Array | Float64Array;
}
export type Tensors = Readonly<Record<string, Values>>;

export interface Runtime {
  readonly name: "reference" | "ort" | "native" | "cuda";
  compile(graph: Graph): Promise<Program>;
}

/** A graph ready to run, with its state. Two programs share nothing. */
export interface Program extends AsyncDisposable {
  /**
   * One call of the function: feeds by input name, outputs by name; state is replaced by its next
   * value. Outputs are the program's own buffers: valid until the next run.
   */
  run(feeds: Tensors): Promise<Tensors>;
  /** Copies state out. */
  read(names: readonly string[]): Promise<Tensors>;
  /** Copies state in. State that was never written is zero. */
  write(state: Tensors): Promise<void>;
}

export const scalar = (value: number): Values => ({ shape: [], values: Float32Array.of(value) });

/** Asserts that a graph is fed its inputs, and nothing else. */
export function checkNames(graph: Graph, feeds: Tensors): void {
  for (const name of Object.keys(feeds)) {
    assert(graph.inputs.some((one) => one.name === name), `graph ${graph.name} has no input ${name}`);
  }
  for (const { name } of graph.inputs) {
    assert(Object.hasOwn(feeds, name), `graph ${graph.name} is run without its input ${name}`);
  }
}
