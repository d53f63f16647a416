/**
 * Graphs run on a GPU: lowered at the sizes of the first run, bound to memory, captured as one CUDA graph. A
 * run copies feeds in, replays the graph and copies outputs out: right and complete; where microseconds
 * count, the engine (engine/) replays the same lists over mapped memory.
 */
import { assert } from "../../base/assert.ts";
import { isSameShape, shapeText, sizesOf, type Sizes } from "../../graph/dimension.ts";
import { matchSizes, openSizes, type Graph } from "../../graph/graph.ts";
import { bindSizes } from "../../graph/rewrite.ts";
import { checkNames, type Program, type Runtime, type Tensors, type Values } from "../runtime.ts";
import { countOf } from "../view.ts";
import type { Bound, CudaGraph } from "./driver/bind.ts";
import { openCuda, type Cuda } from "./driver/device.ts";
import type { Stream } from "./driver/stream.ts";
import type { CudaPrecision } from "./launch.ts";
import { lowerGraph, type Lowered, type Port } from "./lower/lower.ts";

export interface CudaRuntimeOptions {
  /** The GPU's number. */
  readonly device?: number;
  readonly precision?: CudaPrecision;
  /** A GPU that is open already, and stays so. */
  readonly cuda?: Cuda;
}

/** Runs any graph on a GPU. Throws CudaError where there is none. */
export function cudaRuntime({ device = 0, precision = "float32",
  cuda = openCuda({ device }) }: CudaRuntimeOptions = {}):
Runtime {
  return { name: "cuda", compile: (graph) => Promise.resolve(new CudaProgram(graph, cuda, precision)) };
}

/** A graph on the GPU at one set of sizes. */
interface Loaded {
  readonly sizes: Sizes;
  readonly lowered: Lowered;
  readonly bound: Bound;
  readonly graph: CudaGraph | null;
}

const bytesOf = (values: Values["values"]): Uint8Array => {
  const floats = values instanceof Float32Array ? values : Float32Array.from(values);
  return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
};

class CudaProgram implements Program {
  readonly #graph: Graph;
  readonly #cuda: Cuda;
  readonly #precision: CudaPrecision;
  readonly #stream: Stream;
  /** State that no run changes: packed into weights when it has been written. */
  readonly #frozen: ReadonlySet<string>;
  /** State as it was last written; what runs have made of it since lies on the GPU. */
  readonly #written = new Map<string, Values>();
  #loaded: Loaded | null = null;
  #isPacked = false;
  #isOpen = true;
  #turn: Promise<void> = Promise.resolve();

  constructor(graph: Graph, cuda: Cuda, precision: CudaPrecision) {
    this.#graph = graph;
    this.#cuda = cuda;
    this.#precision = precision;
    this.#stream = cuda.stream();
    this.#frozen = new Set(graph.state.filter(({ tensor, next }) => tensor === next).map(({ name }) => name));
  }

  /** Runs are taken in turn. */
  run(feeds: Tensors): Promise<Tensors> {
    const turn = this.#turn.then(() => this.#run(feeds));
    this.#turn = turn.then(() => undefined, () => undefined);
    return turn;
  }

  async #run(feeds: Tensors): Promise<Tensors> {
    assert(this.#isOpen, "the program is closed");
    checkNames(this.#graph, feeds);
    const { lowered, bound, graph } = await this.#loadedFor(feeds);
    for (const [name, { shape }] of lowered.inputs) {
      const { shape: found, values } = feeds[name];
      assert(isSameShape(found, shape) && values.length === countOf(shape),
        `the input ${name} is ${shapeText(shape)}, not ${shapeText(found)} of ${values.length} values`);
    }
    for (const [name, { buffer }] of lowered.inputs) bound.write(buffer, bytesOf(feeds[name].values));
    if (!this.#isPacked) this.#pack(lowered, bound);
    graph?.launch(this.#stream);
    const outputs = [...lowered.outputs].map(([name, port]) => [name, readPort(bound, port)] as const);
    return Object.fromEntries(outputs);
  }

  #pack(lowered: Lowered, bound: Bound): void {
    const sizes = this.#loaded!.sizes;
    const parameters = Object.fromEntries(this.#graph.state.filter(({ name }) => this.#frozen.has(name))
      .map(({ name, tensor }) => [name, this.#written.get(name) ?? zerosOf(sizesOf(tensor.shape, sizes))]));
    for (const [buffer, bytes] of lowered.pack(parameters)) bound.write(buffer, bytes);
    this.#isPacked = true;
  }

  async #loadedFor(feeds: Tensors): Promise<Loaded> {
    const known = { ...Object.fromEntries(this.#written), ...feeds };
    const named = [...this.#graph.inputs,
      ...this.#graph.state].filter(({ name }) => Object.hasOwn(known, name));
    const sizes = matchSizes(named.map(({ name, tensor }) =>
      ({ expected: tensor.shape, found: known[name].shape })));
    if (this.#loaded !== null && JSON.stringify(this.#loaded.sizes) === JSON.stringify(
      sizes)) return this.#loaded;
    this.#unload();
    const bound = openSizes(this.#graph).length === 0 ? this.#graph : bindSizes(this.#graph, sizes);
    const loaded = await this.#load(bound, sizes);
    for (const [name, { buffer, shape }] of loaded.lowered.state) {
      const values = this.#written.get(name);
      if (values === undefined) continue;
      assert(values.values.length === countOf(shape), `state ${name} has other sizes than the inputs`);
      loaded.bound.write(buffer, bytesOf(values.values));
    }
    this.#loaded = loaded;
    this.#isPacked = false;
    return loaded;
  }

  async #load(graph: Graph, sizes: Sizes): Promise<Loaded> {
    const cuda = this.#cuda;
    const lowered = lowerGraph(graph,
      { precision: this.#precision, device: cuda.facts, frozen: this.#frozen });
    await cuda.prepare(lowered.list);
    const bound = cuda.bind(lowered.list);
    try {
      return { sizes, lowered, bound, graph: lowered.list.launches.length === 0 ? null
        : bound.capture(this.#stream) };
    } catch (error) { bound.close(); throw error; }
  }

  /** Takes state that runs have changed back from the GPU, and frees it. */
  #unload(): void {
    if (this.#loaded === null) return;
    const { lowered, bound, graph } = this.#loaded;
    for (const [name, port] of lowered.state) this.#written.set(name, readPort(bound, port));
    graph?.close();
    bound.close();
    this.#loaded = null;
  }

  #stateShape(name: string): readonly (number | string)[] {
    const one = this.#graph.state.find((state) => state.name === name);
    assert(one !== undefined, `graph ${this.#graph.name} has no state ${name}`);
    return one.tensor.shape;
  }

  async read(names: readonly string[]): Promise<Tensors> {
    assert(this.#isOpen, "the program is closed");
    return Object.fromEntries(names.map((name) => {
      const shape = this.#stateShape(name), port = this.#loaded?.lowered.state.get(name);
      if (port !== undefined) return [name, readPort(this.#loaded!.bound, port)];
      const known = this.#written.get(name) ?? zerosOf(sizesOf(shape, this.#loaded?.sizes));
      return [name, { shape: [...known.shape], values: known.values.slice() }];
    }));
  }

  async write(state: Tensors): Promise<void> {
    assert(this.#isOpen, "the program is closed");
    for (const [name, { shape, values }] of Object.entries(state)) {
      const expected = this.#stateShape(name);
      const isFit = shape.length === expected.length && values.length === countOf(shape)
        && expected.every((size, axis) => typeof size === "string" || size === shape[axis]);
      assert(isFit, `state ${name} is ${shapeText(expected)}, not ${shapeText(shape)}`);
    }
    for (const [name, { shape, values }] of Object.entries(state)) {
      const port = this.#loaded?.lowered.state.get(name);
      this.#written.set(name, { shape: [...shape], values: Float32Array.from(values) });
      if (port !== undefined && countOf(port.shape) === values.length) this.#loaded!.bound.write(port.buffer,
        bytesOf(values));
      if (this.#frozen.has(name)) this.#isPacked = false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // A run under way may still be compiling; what it binds must not outlive the program.
    await this.#turn;
    this.#loaded?.graph?.close();
    this.#loaded?.bound.close();
    this.#stream.close();
  }
}

const zerosOf = (shape: readonly number[]): Values => ({ shape, values: new Float32Array(countOf(shape)) });

function readPort(bound: Bound, { buffer, shape }: Port): Values {
  const bytes = bound.read(buffer), count = countOf(shape);
  return { shape, values: new Float32Array(bytes.buffer, bytes.byteOffset, count) };
}
