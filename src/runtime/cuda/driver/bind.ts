/**
 * A launch list on a GPU: its kernels compiled and loaded, its buffers in memory, its arguments encoded.
 * What is left for a run is one call per launch, or, captured as a CUDA graph, one call.
 *
 *   LaunchList ── bind ──> Bound ── capture ──> CudaGraph ── launch, launch, launch ...
 */
import { assert } from "../../../base/assert.ts";
import type { BufferSpec, KernelSource, Launch, LaunchList } from "../launch.ts";
import { CAPTURE_THREAD_LOCAL, type CudaContext, type Driver } from "./driver.ts";
import { encodeLaunches, type EncodedLaunches } from "./encode.ts";
import { CudaError } from "./error.ts";
import { planArena, type DeviceMemory, type Placed } from "./memory.ts";
import type { Kernel, Module } from "./module.ts";
import type { Stream } from "./stream.ts";

/** A list's buffers that the caller places himself, by name: device memory, or mapped host memory. */
export type Given = Readonly<Record<string, Placed>>;

export interface Bound extends Disposable {
  readonly list: LaunchList;
  /** Of the memory that was allocated for the buffers that were not given. */
  readonly arenaBytes: number;
  /** Puts every launch into the stream, one by one. Throws CudaError. */
  launch(stream: Stream): void;
  /** The launches as one graph, ready to be launched (in any stream) again and again. */
  capture(stream: Stream): CudaGraph;
  /** Copies bytes into a buffer; returns when they are there. */
  write(buffer: string, bytes: Uint8Array, offset?: number): void;
  /** A buffer's bytes, once every run that was put into a stream is done. Throws CudaError. */
  read(buffer: string): Uint8Array;
  /** Where a buffer lies. */
  place(buffer: string): Placed;
  /** Fills buffers as their `fill` says, as before the first run. */
  refill(): void;
  /** Waits for the streams it was launched in, then frees its memory and ends its graphs. */
  close(): void;
}

/** Captured launches. A replay makes no object and allocates no memory. */
export interface CudaGraph extends Disposable {
  /** Kernels in it. */
  readonly nodes: number;
  launch(stream: Stream): void;
  close(): void;
}

export interface BindOptions {
  /**
   * Instead of leaving memory as it is: every byte of buffers without a fill. A test's way to find reads of
   * it.
   */
  readonly poison?: number;
}

/** What binding needs of a GPU. */
export interface Binding extends CudaContext {
  readonly multiprocessors: number;
  /** For what is not a run: filling, writing. */
  readonly stream: Stream;
  allocate(bytes: number): DeviceMemory;
  /** A module that stays loaded until it is released. */
  acquire(source: KernelSource): Module;
  release(source: KernelSource): void;
}

/** Binds a list. Throws CudaError: compile, no-nvrtc, out-of-memory, too-large, fault. */
export function bindLaunches(binding: Binding, list: LaunchList, given: Given, { poison }: BindOptions = {}):
  Bound {
  binding.use();
  const { driver } = binding, undo: (() => void)[] = [];
  const undoAll = (): void => { while (undo.length > 0) undo.pop()?.(); };
  try {
    const kernels = loadKernels(binding, list, undo);
    const { arena, places } = placeBuffers(binding, list, given, undo);
    const encoded = encodeLaunches(driver, list.launches, (name) => placeOf(places, name));
    undo.push(() => { encoded.free(); });
    list.launches.forEach((launch, k) => {
      checkFit(binding, launch, kernels[k], encoded.launches[k].config);
    });
    const own = list.buffers.filter(({ name }) => !(name in given));
    fillBuffers(binding, own, places, poison);
    return new BoundList({ binding, list, kernels, places, encoded, own, arenaBytes: arena, undo: undoAll });
  } catch (error) { undoAll(); throw error; }
}

interface Parts {
  readonly binding: Binding;
  readonly list: LaunchList;
  readonly kernels: readonly Kernel[];
  readonly places: ReadonlyMap<string, Placed>;
  readonly encoded: EncodedLaunches;
  /** Buffers that were not given. */
  readonly own: readonly BufferSpec[];
  readonly arenaBytes: number;
  /** Gives everything back. */
  readonly undo: () => void;
}

class BoundList implements Bound {
  readonly list: LaunchList;
  readonly arenaBytes: number;
  readonly #parts: Parts;
  /** Where it has run: what must be waited for before its memory is touched. */
  readonly #streams: Set<Stream>;
  readonly #graphs = new Set<CudaGraph>();
  #last: Stream;
  #isOpen = true;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.list = parts.list;
    this.arenaBytes = parts.arenaBytes;
    this.#last = parts.binding.stream;
    this.#streams = new Set([this.#last]);
  }

  launch(stream: Stream): void {
    const { binding: { driver }, encoded, kernels, list } = this.#parts;
    this.#enter(stream);
    encoded.setStream(stream.handle);
    for (let k = 0; k < kernels.length; k++) {
      const { config, parameters } = encoded.launches[k];
      const code = driver.cuLaunchKernelEx(config, kernels[k].handle, parameters, null);
      if (code !== 0) driver.check(code, `launching ${kernels[k].name} of ${list.name}`);
    }
  }

  capture(stream: Stream): CudaGraph {
    const { binding: { driver }, list } = this.#parts;
    const graph = captureGraph(driver, stream, () => { this.launch(stream); }, list.name);
    this.#graphs.add(graph);
    const close = (): void => {
      this.#graphs.delete(graph);
      graph.close();
    };
    const launch = (at: Stream): void => {
      this.#enter(at);
      graph.launch(at);
    };
    return { nodes: graph.nodes, launch, close, [Symbol.dispose]: close };
  }

  write(buffer: string, bytes: Uint8Array, offset = 0): void {
    const { driver, stream } = this.#parts.binding, place = this.place(buffer);
    assert(offset + bytes.length <= place.bytes,
      `${bytes.length} bytes do not fit into ${buffer} (${place.bytes}) of ${this.list.name} at ${offset}`);
    this.#finish();
    driver.check(driver.cuMemcpyHtoDAsync_v2(place.address + BigInt(offset), bytes, bytes.length,
      stream.handle), `writing ${buffer}`);
    stream.synchronize();
  }

  read(buffer: string): Uint8Array {
    const { driver, stream } = this.#parts.binding, place = this.place(buffer);
    const bytes = new Uint8Array(place.bytes);
    this.#finish();
    driver.check(driver.cuMemcpyDtoHAsync_v2(bytes, place.address, place.bytes, stream.handle),
      `reading ${buffer}`);
    stream.synchronize();
    return bytes;
  }

  place(buffer: string): Placed { return placeOf(this.#parts.places, buffer); }

  refill(): void {
    const { binding, own, places } = this.#parts;
    this.#finish();
    fillBuffers(binding, own, places);
  }

  close(): void {
    if (!this.#isOpen) return;
    // After a fault nothing runs any more, and there is nothing to wait for.
    try { this.#finish(); } catch (error) { if (!(error instanceof CudaError)) throw error; }
    this.#isOpen = false;
    for (const graph of this.#graphs) graph.close();
    this.#parts.undo();
  }
  [Symbol.dispose](): void { this.close(); }

  /** Before a run in a stream. */
  #enter(stream: Stream): void {
    assert(this.#isOpen, `${this.list.name} is closed`);
    this.#parts.binding.use();
    if (stream === this.#last) return;
    this.#last = stream;
    this.#streams.add(stream);
  }

  /** Waits for all runs. Streams that were closed have waited themselves, and are forgotten. */
  #finish(): void {
    assert(this.#isOpen, `${this.list.name} is closed`);
    this.#parts.binding.use();
    for (const stream of this.#streams) {
      if (stream.isOpen) stream.synchronize();
      else this.#streams.delete(stream);
    }
  }
}

function placeOf(places: ReadonlyMap<string, Placed>, name: string): Placed {
  const place = places.get(name);
  assert(place !== undefined, `there is no buffer ${name}`);
  return place;
}

function loadKernels(binding: Binding, { launches }: LaunchList, undo: (() => void)[]): Kernel[] {
  return launches.map(({ source, kernel, sharedBytes, cluster = 1 }) => {
    const module = binding.acquire(source);
    undo.push(() => { binding.release(source); });
    const loaded = module.kernel(kernel);
    loaded.allow(sharedBytes, cluster);
    return loaded;
  });
}

function placeBuffers(binding: Binding, list: LaunchList, given: Given, undo: (() => void)[]):
  { arena: number; places: Map<string, Placed> } {
  const { bytes, offsets } = planArena(list, new Set(Object.keys(given)));
  const places = new Map<string, Placed>();
  const memory = bytes === 0 ? null : binding.allocate(bytes);
  if (memory !== null) undo.push(() => { memory.close(); });
  for (const { name, bytes: wanted } of list.buffers) {
    const own = offsets.get(name);
    const place = own === undefined ? given[name]
      : { address: (memory as Placed).address + BigInt(own), bytes: wanted };
    assert(place.bytes >= wanted,
      `${name} of ${list.name} needs ${wanted} bytes and was given ${place.bytes}`);
    places.set(name, place);
  }
  return { arena: bytes, places };
}

/** Fills, in the GPU's own stream, and waits. */
function fillBuffers({ driver, stream }: Binding, buffers: readonly BufferSpec[],
  places: ReadonlyMap<string, Placed>, poison?: number): void {
  for (const { name, bytes, fill = poison } of buffers) {
    if (fill === undefined || bytes === 0) continue;
    const { address } = placeOf(places, name);
    driver.check(driver.cuMemsetD8Async(address, fill, bytes, stream.handle), `filling ${name}`);
  }
  stream.synchronize();
}

/** Blocks that wait for each other must all be there at once: asked before they would wait for ever. */
function checkFit(binding: Binding, launch: Launch, kernel: Kernel, config: bigint): void {
  const { driver, multiprocessors } = binding;
  const { grid, block, sharedBytes, cluster = 1, isCooperative } = launch;
  if (cluster === 1 && isCooperative !== true) return;
  const wanted = grid[0] * grid[1] * grid[2], count = new Int32Array(1);
  const code = cluster > 1 ? driver.cuOccupancyMaxActiveClusters(count, kernel.handle, config)
    : driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(count, kernel.handle, block, sharedBytes);
  driver.check(code, `asking how many blocks of ${kernel.name} run at once`);
  const most = count[0] * (cluster > 1 ? cluster : multiprocessors);
  const needed = isCooperative === true ? wanted : cluster;
  if (most >= needed) return;
  const of = cluster > 1 ? ` in clusters of ${cluster}` : "";
  throw new CudaError("too-large", `${kernel.name} needs ${needed} blocks at once${of} (${block} threads, `
    + `${sharedBytes} bytes of shared memory each), and this GPU runs ${most}`);
}

/** Captures what `act` puts into the stream, instantiates it and sends it to the GPU. */
function captureGraph(driver: Driver, stream: Stream, act: () => void, name: string): CudaGraph {
  const graph = new BigUint64Array(1), count = new BigUint64Array(1), executable = new BigUint64Array(1);
  driver.check(driver.cuStreamBeginCapture_v2(stream.handle, CAPTURE_THREAD_LOCAL), `capturing ${name}`);
  let failure: unknown = null;
  try { act(); } catch (error) { failure = error ?? new Error("nothing was thrown"); }
  const ended = driver.cuStreamEndCapture(stream.handle, graph);
  if (failure !== null) {
    if (ended === 0) driver.cuGraphDestroy(graph[0]);
    throw failure;
  }
  driver.check(ended, `capturing ${name}`);
  try {
    driver.check(driver.cuGraphGetNodes(graph[0], null, count), `capturing ${name}`);
    driver.check(driver.cuGraphInstantiateWithFlags(executable, graph[0], 0n), `making a graph of ${name}`);
  } finally { driver.cuGraphDestroy(graph[0]); }
  const [handle] = executable, doing = `launching the graph of ${name}`;
  let isOpen = true;
  const close = (): void => {
    if (isOpen) driver.cuGraphExecDestroy(handle);
    isOpen = false;
  };
  const uploaded = driver.cuGraphUpload(handle, stream.handle);
  if (uploaded !== 0) close();
  driver.check(uploaded, `uploading the graph of ${name}`);
  return {
    nodes: Number(count[0]),
    launch(at) {
      if (!isOpen) assert(false, `the graph of ${name} is closed`);
      const code = driver.cuGraphLaunch(handle, at.handle);
      if (code !== 0) driver.check(code, doing);
    },
    close,
    [Symbol.dispose]: close,
  };
}
