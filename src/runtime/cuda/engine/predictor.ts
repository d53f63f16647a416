/**
 * Models on the GPU where there is one, and on ONNX Runtime where there is none or it fails: nobody who asks
 * for a position is left without one.
 *
 *   open     no driver, too old, no GPU, no compiler ──────────> everything on the CPU, one sentence
 *   load     out of memory, not a network of ours ─────────────> this model on the CPU, one sentence
 *   run      the GPU dies ──> this request and all later ones, of all models, on the CPU, one sentence
 *
 * The bytes of files and the windows of rings are kept in host memory, so that going on needs nothing else. A
 * GPU that died stays closed until the process is started again.
 */
import { assert } from "../../../base/assert.ts";
import { UserError } from "../../../base/error.ts";
import type { Tensors } from "../../runtime.ts";
import { CudaError } from "../driver/error.ts";
import { CpuModels } from "./cpu.ts";
import { openEngine, type Engine, type EngineOptions } from "./engine.ts";
import type { Answers, LoadOptions, Models, NetworkFile } from "./models.ts";
import { isSameRing, type HostRing } from "./ring.ts";

/** What `--device` may say. */
export const DEVICES = ["auto", "cuda", "cpu"] as const;
export type DeviceName = (typeof DEVICES)[number];

export interface PredictorOptions extends Omit<EngineOptions, "device"> {
  /** auto: the GPU if there is one; cuda: the GPU, or an error if it cannot be opened; cpu: ONNX Runtime. */
  readonly device?: DeviceName;
  /** The GPU's number. */
  readonly gpu?: number;
  /** Told, in a sentence, each time that something goes on elsewhere than on the GPU. */
  readonly say?: (sentence: string) => void;
  /** Threads of ONNX Runtime. */
  readonly threads?: number;
}

/** What is needed to load a model again, elsewhere. */
interface Kept {
  readonly file: NetworkFile;
  readonly options: LoadOptions;
  readonly version: number;
  readonly place: "cuda" | "cpu";
}

const GOES_ON = "it goes on with ONNX Runtime on the CPU";

/** UserError when `device` is "cuda" and no GPU can be used. */
export function openPredictor(options: PredictorOptions = {}): Predictor { return new Predictor(options); }

export class Predictor implements Models {
  readonly #cpu: CpuModels;
  readonly #say: (sentence: string) => void;
  readonly #kept = new Map<string, Kept>();
  /** Loads that were asked for and are not done, the last one of each name. */
  readonly #loads = new Map<string, Promise<number>>();
  /** Loads of models that move to the CPU, by name, and their rings meanwhile. */
  readonly #moves = new Map<string, Promise<unknown>>();
  readonly #moving = new Map<string, HostRing>();
  #engine: Engine | null = null;
  #isOpen = true;
  /** An engine that died, being closed. */
  #lost: Promise<void> | null = null;

  constructor({ device = "auto", gpu, say = () => { /* nobody listens */ }, threads,
    ...rest }: PredictorOptions) {
    this.#cpu = new CpuModels({ threads });
    this.#say = say;
    if (device === "cpu") return;
    try { this.#engine = openEngine({ ...rest, device: gpu }); } catch (error) {
      if (!(error instanceof CudaError)) throw error;
      if (device === "cuda") {
        const cpu = "run it with --device cpu.";
        const hint = error.hint === "" ? cpu : `${error.hint}; or ${cpu}`;
        throw new UserError(error.message, hint, { cause: error });
      }
      say(`${error.message}; ${GOES_ON}`);
    }
  }

  /** Where new models go. */
  get device(): "cuda" | "cpu" { return this.#engine === null ? "cpu" : "cuda"; }
  /** Where a model is. */
  deviceOf(name: string): "cuda" | "cpu" { return this.#kept.get(name)?.place ?? this.device; }
  /** The GPU's engine, for who wants to block; null without one. */
  get engine(): Engine | null { return this.#engine; }

  /** One load of a name after the other, and none while that name moves. */
  load(name: string, file: NetworkFile, given: LoadOptions): Promise<number> {
    const before = Promise.allSettled([this.#loads.get(name), this.#moves.get(name)]);
    const load = before.then(() => {
      assert(this.#isOpen, "the predictor is closed");
      return this.#load(name, file, given);
    }).finally(() => {
      if (this.#loads.get(name) === load) this.#loads.delete(name);
    });
    this.#loads.set(name, load);
    return load;
  }

  async #load(name: string, file: NetworkFile, given: LoadOptions): Promise<number> {
    const before = this.#kept.get(name);
    const version = given.version ?? (before?.version ?? 0) + 1, options = { ...given, version };
    if (this.#engine !== null) {
      try {
        await this.#engine.load(name, file, options);
        const hadRing = before?.place === "cpu" && before.options.ring !== undefined;
        if (hadRing && options.ring !== undefined) bringBack(name, this.#cpu.ring(name), this.#engine);
        this.#kept.set(name, { file, options, version, place: "cuda" });
        if (before?.place === "cpu") await this.#cpu.unload(name);
        return version;
      } catch (error) { this.#explain(error, name); }
    }
    await this.#moves.get(name);
    const hasRing = before?.place === "cuda" && before.options.ring !== undefined;
    const ring = hasRing ? this.#engine?.ring(name) : undefined;
    await this.#loadOnCpu(name, { file, options, version, place: "cpu" }, ring);
    return version;
  }

  run(name: string, feeds: Tensors): Promise<Answers> {
    return this.#ask(name, (models) => models.run(name, feeds));
  }

  step(name: string): Promise<Answers> { return this.#ask(name, (models) => models.step(name)); }

  push(name: string, row: number, features: Float32Array): void {
    this.#change(name, (models) => { models.push(name, row, features); },
      (ring) => { ring.push(row, features); });
  }

  fill(name: string, row: number, window: Float32Array): void {
    this.#change(name, (models) => { models.fill(name, row, window); },
      (ring) => { ring.fill(row, window); });
  }

  ring(name: string): HostRing { return this.#where(name).ring(name); }

  async unload(name: string): Promise<void> {
    await Promise.allSettled([this.#loads.get(name), this.#moves.get(name)]);
    await this.#where(name).unload(name);
    this.#kept.delete(name);
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#loads.values(), ...this.#moves.values()]);
    this.#isOpen = false;
    await this.#lost;
    await this.#engine?.close();
    await this.#cpu.close();
  }

  #where(name: string): Models {
    return this.#kept.get(name)?.place === "cuda" && this.#engine !== null ? this.#engine : this.#cpu;
  }

  /** Asks where the model is; when the GPU dies of it, asks the CPU. */
  async #ask(name: string, ask: (models: Models) => Promise<Answers>): Promise<Answers> {
    await this.#moves.get(name);
    const models = this.#where(name), kept = this.#kept.get(name);
    try { return await ask(models); } catch (error) {
      if (models === this.#cpu || !(error instanceof CudaError)) throw error;
      await this.#leave(error, name, kept);
    }
    return this.#ask(name, ask);
  }

  /** Moves a model to the CPU: with all others when the GPU is lost, alone when only it cannot run there. */
  async #leave(error: CudaError, name: string, asked: Kept | undefined): Promise<void> {
    if (!isAlone(error)) this.#fail(error);
    else {
      // Another version that is being loaded takes the place of the one that could not answer.
      await this.#loads.get(name)?.catch(() => { /* told to who asked for it */ });
      if (asked?.place === "cuda" && this.#kept.get(name) === asked) {
        this.#explain(error, name);
        this.#move(name, asked, this.#engine);
      }
    }
    await this.#moves.get(name);
  }

  /** Changes a ring, wherever it is; one that is moving is in host memory only. */
  #change(name: string, change: (models: Models) => void, changeHost: (ring: HostRing) => void): void {
    const moving = this.#moving.get(name);
    if (moving !== undefined) { changeHost(moving); return; }
    try { change(this.#where(name)); } catch (error) {
      if (!(error instanceof CudaError)) throw error;
      // Host memory was changed before the GPU was asked.
      this.#fail(error);
    }
  }

  /** The GPU cannot be used any more: all its models move to the CPU, with their windows. */
  #fail(error: CudaError): void {
    const engine = this.#engine;
    if (engine === null) return;
    this.#engine = null;
    this.#say(`${error.message}; ${GOES_ON} until this process is started again`);
    for (const [name, kept] of this.#kept) if (kept.place === "cuda") this.#move(name, kept, engine);
    // What waits there is answered by the error, and asked again here.
    this.#lost = engine.close().catch(() => { /* it is lost anyway */ });
  }

  /** Loads a model of the GPU's on the CPU, with its windows; who asks for it meanwhile waits. */
  #move(name: string, kept: Kept, engine: Engine | null): void {
    const ring = kept.options.ring === undefined ? undefined : engine?.ring(name);
    if (ring !== undefined) this.#moving.set(name, ring);
    const move = this.#loadOnCpu(name, { ...kept, place: "cpu" }, ring).finally(() => {
      this.#moves.delete(name);
      this.#moving.delete(name);
    });
    // Who asks next is told if it fails.
    move.catch(() => { /* told to who asks */ });
    this.#moves.set(name, move);
  }

  /** Says why a model is not on the GPU. Throws what the CPU cannot mend. */
  #explain(error: unknown, name: string): void {
    if (error instanceof CudaError && !isAlone(error)) this.#fail(error);
    else if (error instanceof CudaError) this.#say(`${error.message}; ${name}: ${GOES_ON}`);
    else if (error instanceof UserError) this.#say(`${error.problem}; ${name}: ${GOES_ON}`);
    else throw error;
  }

  async #loadOnCpu(name: string, kept: Kept, ring?: HostRing): Promise<void> {
    const before = this.#kept.get(name), engine = this.#engine;
    await this.#cpu.load(name, kept.file, kept.options, ring);
    this.#kept.set(name, kept);
    if (before?.place === "cuda" && engine !== null) await engine.unload(name);
  }
}

/** Full windows of a model that was on the CPU, for the version that takes its place on the GPU. */
function bringBack(name: string, from: HostRing, engine: Engine): void {
  const { rows, T, F } = from.shape, window = new Float32Array(T * F);
  if (!isSameRing(from.shape, engine.ring(name).shape)) return;
  for (let row = 0; row < rows; row++) {
    if (!from.isFull(row)) continue;
    from.window(row, window);
    engine.fill(name, row, window);
  }
}

/** Whether an error concerns one model only: the GPU goes on with the others. */
const isAlone = ({ reason }: CudaError): boolean =>
  ["out-of-memory", "compile", "too-large", "no-nvrtc"].includes(reason);
