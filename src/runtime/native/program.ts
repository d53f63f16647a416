/**
 * Graphs run by our own kernels: a graph becomes a tape of numbers once, and a step is one call.
 *
 *   Graph ── prepare ──> Graph ── lower ──> stages ── tape ──> Int32Array + one arena of floats
 *
 *   arena   [ constants | state | inputs | what stages write, laid over each other as they live ]
 *
 * Linux on x64 with AVX2 or AVX-512; elsewhere, and for graphs with ops that have no kernel here
 * (scan, sort), ONNX Runtime does the work. float32. The same bits again for the same number of threads.
 */
import { assert } from "../../base/assert.ts";
import { isSameShape, shapeText, sizesOf, type Sizes } from "../../graph/dimension.ts";
import { matchSizes, openSizes, resultsOf, type Graph, type Named } from "../../graph/graph.ts";
import { orderNodes } from "../../graph/order.ts";
import { bindSizes } from "../../graph/rewrite.ts";
import type { Node, Tensor } from "../../graph/tensor.ts";
import { makePlan } from "../reference/plan.ts";
import { checkNames, type Program, type Runtime, type Tensors, type Values } from "../runtime.ts";
import { nativeIsMissing, nativeLibrary, type Library, type Team } from "./library.ts";
import { lower } from "./lower.ts";
import { isCovered, prepare } from "./prepare.ts";
import type { Stage } from "./stage.ts";
import { layOut, lines, writeTape } from "./tape.ts";
import { countOf, denseView, isDense, type Source, type Storage, type View } from "../view.ts";

/** Of native/native.c. */
const MOST_THREADS = 16;

export interface NativeOptions {
  /** At least 1; more than 16 are 16. */
  readonly threads?: number;
  /** Another library than this platform's: a fresh build, for its test. */
  readonly library?: Library | null;
}

/** Whether every op of a graph has a kernel here. */
export const nativeSupports = (graph: Graph): boolean => isCovered(prepare(graph));

/**
 * The fused CPU runtime. A program holds its arena and its threads until it is disposed of. A machine that
 * cannot run it is a UserError: who asked for it by name must not get another engine's numbers.
 */
export function nativeRuntime({ threads = 1, library = nativeLibrary() }: NativeOptions = {}): Runtime {
  assert(Number.isInteger(threads) && threads >= 1, `${threads} threads`);
  if (library === null) throw nativeIsMissing();
  return {
    name: "native",
    async compile(graph) {
      if (!nativeSupports(graph)) {
        const { ortRuntime } = await import("../ort/program.ts");
        return ortRuntime({ threads }).compile(graph);
      }
      return makeProgram(graph, library, Math.min(threads, MOST_THREADS));
    },
  };
}

/** A graph compiled for one set of sizes. */
interface Bound {
  readonly key: string;
  readonly inputs: ReadonlyMap<string, Float32Array>;
  readonly state: ReadonlyMap<string, Float32Array>;
  readonly outputs: Tensors;
  /** Outputs are parts of the arena: who transfers one to another thread takes the arena away. */
  readonly isWhole: () => boolean;
  readonly run: () => void;
}

function makeProgram(graph: Graph, library: Library, threads: number): Program {
  const team = library.open(threads) ?? assert(false, `cannot start ${threads} threads`) as never;
  const isOpen = openSizes(graph).length > 0;
  let bound: Bound | null = isOpen ? null : bind(graph, library, { team, threads }, "");
  const shapes = new Map(graph.state.map(({ name, tensor }) => [name, tensor.shape]));
  /** State of a graph whose sizes are not known yet, or not any more. */
  const kept = new Map<string, Values>();
  let isClosed = false;

  function boundFor(feeds: Tensors): Bound {
    if (!isOpen) return bound!;
    const given = { ...Object.fromEntries(kept), ...feeds };
    const named = [...graph.inputs, ...graph.state].filter(({ name }) => Object.hasOwn(given, name));
    const sizes = matchSizes(named.map(({ name, tensor }) =>
      ({ expected: tensor.shape, found: given[name].shape })));
    const key = JSON.stringify(sizes);
    if (bound?.key !== key) {
      if (bound !== null) for (const { name } of graph.state) kept.set(name, stateOf(name, bound));
      const next = bind(bindSizes(graph, sizes), library, { team, threads }, key);
      for (const [name, { values }] of kept) {
        const to = next.state.get(name)!;
        assert(to.length === values.length, `state ${name} has other sizes than the inputs`);
        to.set(values);
      }
      bound = next;
    }
    return bound;
  }

  function stateOf(name: string, from: Bound): Values {
    const values = from.state.get(name)!;
    return { shape: sizesOf(shapes.get(name)!, sizesIn(from)), values: values.slice() };
  }

  return {
    async run(feeds) {
      assert(!isClosed, "the program is closed");
      checkNames(graph, feeds);
      const now = boundFor(feeds);
      assert(now.isWhole(), "the program's memory was transferred with an output");
      const sizes = sizesIn(now);
      for (const { name, tensor } of graph.inputs) {
        const { shape, values } = feeds[name], expected = sizesOf(tensor.shape, sizes);
        assert(isSameShape(shape, expected) && values.length === countOf(expected),
          `the input ${name} is ${shapeText(expected)}, not ${shapeText(shape)} of ${values.length} values`);
        now.inputs.get(name)!.set(values);
      }
      now.run();
      return now.outputs;
    },

    async read(names) {
      assert(!isClosed, "the program is closed");
      return Object.fromEntries(names.map((name) => {
        const shape = shapes.get(name);
        assert(shape !== undefined, `graph ${graph.name} has no state ${name}`);
        if (bound !== null) return [name, stateOf(name, bound)];
        const known = kept.get(name);
        if (known !== undefined) return [name, { ...known, values: known.values.slice() }];
        const sizes = sizesOf(shape);
        return [name, { shape: sizes, values: new Float32Array(countOf(sizes)) }];
      }));
    },

    async write(state) {
      assert(!isClosed, "the program is closed");
      for (const [name, { shape, values }] of Object.entries(state)) {
        const expected = shapes.get(name);
        assert(expected !== undefined, `graph ${graph.name} has no state ${name}`);
        const isFit = shape.length === expected.length && values.length === countOf(shape)
          && expected.every((size, axis) => typeof size === "string" || size === shape[axis]);
        assert(isFit, `state ${name} is ${shapeText(expected)}, not ${shapeText(shape)}`);
        const own = bound?.state.get(name);
        if (own?.length === values.length) {
          own.set(values);
        } else {
          if (bound !== null) for (const one of graph.state) kept.set(one.name, stateOf(one.name, bound));
          bound = null;
          kept.set(name, { shape: [...shape], values: Float32Array.from(values) });
        }
      }
    },

    async [Symbol.asyncDispose]() {
      if (!isClosed) library.close(team);
      isClosed = true;
    },
  };
}

/** The sizes that a graph was compiled for. */
const sizesIn = ({ key }: Bound): Sizes => JSON.parse(key || "{}") as Sizes;

/** What is there before the run, each with its place from the start of the arena. */
class Fixed {
  readonly sources = new Map<Tensor, Source>();
  readonly values: { offset: number; values: ArrayLike<number> }[] = [];
  readonly #numbers = new Map<number, Source>();
  end = 0;

  add(floats: number): Source {
    const storage: Storage = { floats, first: -1, last: Infinity, offset: this.end };
    this.end += lines(floats);
    return { floats, stage: -1, isFused: false, storage };
  }

  constant(value: number): Source {
    let source = this.#numbers.get(value);
    if (source === undefined) {
      source = this.add(1);
      this.values.push({ offset: source.storage!.offset, values: [value] });
      this.#numbers.set(value, source);
    }
    return source;
  }
}

/** Tensors that no input reaches and that are more than repeated numbers, with their values. */
function evaluateStatic(order: readonly Node[], results: readonly Tensor[]): Map<Tensor, Float64Array> {
  const isStatic = new Set<Node>();
  for (const node of order) {
    if (node.op !== "input" && node.inputs.every((input) => isStatic.has(input.node))) isStatic.add(node);
  }
  const wanted = new Set([...results, ...order.flatMap((node) =>
    (isStatic.has(node) && node.op !== "broadcast" ? [] : node.inputs))]
    .filter(({ node }) => isStatic.has(node) && node.op !== "constant" && node.op !== "broadcast"));
  const plan = makePlan([], [...wanted], {});
  plan.run();
  return new Map([...wanted].map((tensor, k) => [tensor, plan.results[k].values]));
}

function bind(original: Graph, library: Library, { team, threads }: { team: Team; threads: number },
  key: string): Bound {
  const graph = prepare(original);
  const results = resultsOf(graph), named = [...graph.inputs, ...graph.state];
  const order = orderNodes([...named.map(({ tensor }) => tensor), ...results]);
  const fixed = new Fixed();
  const shape = (tensor: Tensor): number[] => sizesOf(tensor.shape);
  for (const { tensor } of named) fixed.sources.set(tensor, fixed.add(countOf(shape(tensor))));
  for (const [tensor, values] of evaluateStatic(order, results)) {
    const source = fixed.add(values.length);
    fixed.values.push({ offset: source.storage!.offset, values });
    fixed.sources.set(tensor, source);
  }
  const given = (tensor: Tensor): Source | null => (tensor.node.op === "constant"
    ? fixed.constant(tensor.node.attributes.value) : fixed.sources.get(tensor) ?? null);
  const needed = neededNodes(order, results, fixed);
  const lowered = lower(needed, results, given);
  const stages: Stage[] = [...lowered.stages];
  const finals = finishResults(graph, lowered.results, stages, fixed);
  const storages = storagesOf(stages);
  const floats = layOut(storages, fixed.end) + 64;
  const tape = writeTape(stages, floats);
  const scratchFloats = library.scratch(team, tape);
  const arena = allocate(library, floats), scratch = allocate(library, scratchFloats * threads + 64);
  for (const { offset, values } of fixed.values) arena.set(values, offset);
  const part = (source: Source): Float32Array => {
    const { offset } = source.storage!;
    return arena.subarray(offset, offset + source.floats);
  };
  const partsOf = (list: readonly Named[]): Map<string, Float32Array> =>
    new Map(list.map(({ name, tensor }) => [name, part(fixed.sources.get(tensor)!)]));
  return {
    key, inputs: partsOf(graph.inputs), state: partsOf(graph.state),
    outputs: Object.fromEntries(graph.outputs.map(({ name, tensor }, k) =>
      [name, { shape: shape(tensor), values: part(finals[k].source) }])),
    isWhole: () => arena.length === floats,
    run: () => { library.run(team, tape, arena, scratch, scratchFloats); },
  };
}

/** Floats on a cache line. */
function allocate(library: Library, floats: number): Float32Array {
  const all = new Float32Array(floats + 16);
  library.advise(all, all.length);
  const start = library.misaligned(all);
  return all.subarray(start, start + floats);
}

/** Nodes whose values somebody reads, what is evaluated already left out. */
function neededNodes(order: readonly Node[], results: readonly Tensor[], fixed: Fixed): Node[] {
  const needed = new Set(results.map(({ node }) => node));
  for (const node of order.toReversed()) {
    if (!needed.has(node) || node.outputs.some((output) => fixed.sources.has(output))) continue;
    for (const input of node.inputs) needed.add(input.node);
  }
  return order.filter((node) => needed.has(node));
}

/**
 * Outputs get arrays of their own that live to the end; next states are copied over the states last, when
 * nothing reads those any more.
 */
function finishResults(graph: Graph, views: readonly View[], stages: Stage[], fixed: Fixed): View[] {
  const end = (): number => stages.length;
  const touch = (view: View): View => {
    const { source } = view;
    source.storage ??= { floats: source.floats, first: source.stage, last: source.stage, offset: -1 };
    source.storage.last = Infinity;
    return view;
  };
  const copy = (from: View): View => {
    const floats = countOf(from.shape), first = end();
    const to = denseView({ floats, stage: first, isFused: false,
      storage: { floats, first, last: Infinity, offset: -1 } }, from.shape);
    stages.push({ kind: "copy", parts: [{ to, from: touch(from) }] });
    return to;
  };
  const isOwn = (view: View): boolean =>
    isDense(view) && view.offset === 0 && view.source.stage >= 0
    && view.source.floats === countOf(view.shape);
  const outputs = graph.outputs.map((_, k) => (isOwn(views[k]) ? touch(views[k]) : copy(views[k])));
  const parts = graph.state.flatMap(({ tensor, next }, k) => {
    if (next === tensor) return [];
    const view = views[graph.outputs.length + k];
    const to = denseView(fixed.sources.get(tensor)!, sizesOf(tensor.shape));
    return [{ to, from: view.source.stage < 0 ? copy(view) : touch(view) }];
  });
  if (parts.length > 0) stages.push({ kind: "copy", parts });
  return outputs;
}

/** Arrays that stages write, each once. */
function storagesOf(stages: readonly Stage[]): Storage[] {
  const found = new Set<Storage>();
  const take = (source: Source | null | undefined): void => {
    if (source?.storage != null && source.stage >= 0) found.add(source.storage);
  };
  for (const stage of stages) {
    switch (stage.kind) {
      case "rows":
        for (const { value, sum } of stage.steps) { take(value?.source); take(sum?.source); }
        break;
      case "product": take(stage.c.view.source); break;
      case "copy": for (const { to } of stage.parts) take(to.source); break;
      case "reduction": take(stage.to); break;
      default: for (const view of stage.places) take(view?.source);
    }
  }
  return [...found];
}
