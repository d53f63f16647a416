/**
 * A network on the GPU, as the bench sees it: its launches alone, replayed back to back with features in the
 * GPU's memory, and requests to the engine that serves it.
 */
import { random } from "../../base/random.ts";
import type { Cuda } from "../../runtime/cuda/driver/device.ts";
import { versionText } from "../../runtime/cuda/driver/driver.ts";
import { buffersOf } from "../../runtime/cuda/driver/memory.ts";
import { openEngine, type EngineOptions } from "../../runtime/cuda/engine/engine.ts";
import { lowerNetwork } from "../../runtime/cuda/engine/lower-network.ts";
import type { Answers } from "../../runtime/cuda/engine/models.ts";
import { readNetwork } from "../../runtime/cuda/engine/network.ts";
import { BUFFERS, boundGraph, type LowerNetwork } from "../../runtime/cuda/engine/plan.ts";
import type { BufferSpec, CudaPrecision, LaunchList } from "../../runtime/cuda/launch.ts";
import { repeated, type BenchModel } from "./inference-models.ts";
import { quantile } from "./row.ts";

export interface Subject {
  /** Microseconds of a replay among replays back to back, one figure a repeat. */
  replays(repeats: number): number[];
  /**
   * Microseconds of each request: from whole windows in pinned memory of the host, as a peer's input is, to
   * answers that are read there.
   */
  windows(requests: number): number[];
  /** The same where windows lie on the GPU and the newest row of each was pushed before the request. */
  rows(requests: number): number[];
}
export interface Subjects {
  /** "NVIDIA H200, CUDA 13.0" */
  readonly gpu: string;
  /** A network that is asked about B windows. Throws CudaError and UserError. */
  load(model: BenchModel, bytes: Uint8Array, B: number): Promise<Subject>;
  close(): Promise<void>;
}

export interface SubjectOptions extends Pick<EngineOptions, "cuda" | "cacheFolder"> {
  readonly precision: CudaPrecision;
  readonly lower?: LowerNetwork;
}

/** Opens the engine, spinning. Throws CudaError where there is no GPU that can be used. */
export function openSubjects({ lower = lowerNetwork, ...options }: SubjectOptions): Subjects {
  const engine = openEngine({ ...options, lower, mode: "spin" }), { precision } = options;
  const { facts, driver } = engine.cuda;
  return {
    gpu: `${facts.name}, CUDA ${versionText(driver.version)}`,
    async load(model, bytes, B) {
      const { name, steps: T, features: F } = model, file = { name, bytes };
      const ring = `${name}, rows`, x = noise(B * T * F);
      await engine.load(name, file, { T, buckets: [B] });
      await engine.load(ring, file, { T, ring: { rows: B } });
      for (let b = 0; b < B; b++) engine.fill(ring, b, x.subarray(b * T * F, (b + 1) * T * F));
      return {
        replays: (repeats) =>
          timeReplays(engine.cuda, lower, model, bytes, { B, precision, repeats }),
        windows(requests) {
          engine.stage(name, B).features.set(x);
          return timeRequests(requests, () => {}, () => engine.runStaged(name, B));
        },
        rows: (requests) => timeRequests(requests, (k) => {
          for (let b = 0; b < B; b++) {
            const at = (b * T + k % T) * F;
            engine.push(ring, b, x.subarray(at, at + F));
          }
        }, () => engine.stepStaged(ring)),
      };
    },
    close: () => engine.close(),
  };
}

/** Microseconds of each request and of reading its last answer; `prepare` is not timed. */
function timeRequests(requests: number, prepare: (k: number) => void, ask: () => Answers): number[] {
  const times = new Float64Array(requests);
  let sum = 0;
  const before = Math.min(50, requests);
  for (let k = -before; k < requests; k++) {
    prepare(k + before);
    const start = performance.now();
    sum += ask().outputs.position.values.at(-1)!;
    if (k >= 0) times[k] = 1000 * (performance.now() - start);
  }
  if (!Number.isFinite(sum)) throw new Error("the answers are not numbers");
  return [...times];
}

/** Time of one repeat, microseconds, and the most replays that fill it. */
const REPEAT_US = 4_000, REPLAYS_MAX = 400;

/** Microseconds of a replay among replays back to back, one figure a repeat. Throws CudaError. */
function timeReplays(cuda: Cuda, lower: LowerNetwork, model: BenchModel, bytes: Uint8Array,
  { B, precision, repeats }: { B: number; precision: CudaPrecision; repeats: number }): number[] {
  const network = readNetwork(bytes, model.name), graph = boundGraph(network, { B, T: model.steps });
  const lowered = lower(graph, { precision, device: cuda.facts, isRing: false });
  const { list } = lowered, buffers = [...list.buffers, ...engineBuffers(list)];
  using bound = cuda.bind({ ...list, buffers });
  const read = Object.fromEntries(graph.state.map(({ name }) => [name, network.parameters[name]]));
  for (const [buffer, weights] of lowered.pack(read)) bound.write(buffer, weights);
  bound.write(lowered.inputs.features, new Uint8Array(noise(B * model.steps * model.features).buffer));
  using stream = cuda.stream();
  using replay = bound.capture(stream);
  using start = cuda.event(true);
  using end = cuda.event(true);
  const once = (count: number): number => {
    start.record(stream);
    for (let k = 0; k < count; k++) replay.launch(stream);
    end.record(stream);
    stream.synchronize();
    return end.microsecondsSince(start) / count;
  };
  const us = quantile([1, 2, 3].map(() => once(3)), 0.5);
  const count = Math.max(2, Math.min(REPLAYS_MAX, Math.floor(REPEAT_US / us)));
  return Array.from({ length: repeats }, () => once(count));
}

/** The words that an engine gives to launches that read a ring or say when they are done. */
function engineBuffers({ buffers, launches }: LaunchList): BufferSpec[] {
  const used = new Set(launches.flatMap(buffersOf));
  return [BUFFERS.done, BUFFERS.start]
    .filter((name) => used.has(name) && !buffers.some((one) => one.name === name))
    .map((name) => ({ name, bytes: 4, role: "state", fill: 0 }));
}

/** Normal noise; long arrays repeat it. */
function noise(count: number): Float32Array {
  const stream = random(2, "bench", "inference");
  return repeated(count, 1 << 20, () => stream.normal());
}
