/**
 * The same models on ONNX Runtime: where there is no GPU, and where one has failed. Windows are put together
 * from the ring in host memory, all steps are computed, and the last one is taken.
 */
import { assert } from "../../../base/assert.ts";
import { openOnnx, type OnnxModel } from "../../ort/model.ts";
import type { Tensors, Values } from "../../runtime.ts";
import { isAnswer, type Answers, type LoadOptions, type Models, type NetworkFile } from "./models.ts";
import { rowsOf } from "./request.ts";
import { HostRing, isSameRing, type RingShape } from "./ring.ts";

interface Loaded {
  /** What messages call it. */
  readonly file: string;
  readonly model: OnnxModel;
  readonly version: number;
  readonly options: LoadOptions;
  readonly ring: HostRing | null;
  /** Runs that it has not finished. */
  users: number;
  isRetired: boolean;
}

export class CpuModels implements Models {
  readonly #models = new Map<string, Loaded>();
  readonly #threads: number;

  constructor({ threads = 1 }: { threads?: number } = {}) { this.#threads = threads; }

  /** `ring`: windows that another runtime had before. */
  async load(name: string, { name: file, bytes }: NetworkFile, options: LoadOptions,
    ring?: HostRing): Promise<number> {
    const model = await openOnnx(bytes, { name: file, threads: this.#threads });
    const before = this.#models.get(name), version = options.version ?? (before?.version ?? 0) + 1;
    const F = model.inputs.find((input) => input.name === "features")?.shape.at(-1);
    const own = options.ring === undefined || typeof F !== "number" ? null
      : keptRing(ring ?? before?.ring, { rows: options.ring.rows, T: options.T, F });
    this.#models.set(name, { file, model, version, options, ring: own, users: 0, isRetired: false });
    if (before !== undefined) await retire(before);
    return version;
  }

  async run(name: string, feeds: Tensors): Promise<Answers> {
    const loaded = this.#loaded(name), { model, version, options: { T } } = loaded;
    const rows = rowsOf(feeds, { network: { name: loaded.file, inputs: model.inputs }, T });
    const wanted = model.outputs.map((one) => one.name).filter(isAnswer);
    loaded.users++;
    try {
      // As on the GPU, what the network does not take is not looked at.
      const taken = Object.fromEntries(model.inputs.map((input) => [input.name, feeds[input.name]]));
      const found = await model.run(taken, wanted);
      return { version, rows, outputs: Object.fromEntries(wanted.map((output) =>
        [output, lastStep(found[output], rows, output.startsWith("final/"))])) };
    } finally {
      loaded.users--;
      if (loaded.isRetired) await retire(loaded);
    }
  }

  push(name: string, row: number, features: Float32Array): void { this.ring(name).push(row, features); }
  fill(name: string, row: number, window: Float32Array): void { this.ring(name).fill(row, window); }

  async step(name: string): Promise<Answers> {
    const ring = this.ring(name), { rows, T, F } = ring.shape, { options } = this.#loaded(name);
    ring.checkFull(name);
    ring.step();
    return this.run(name, { ...options.ring?.feeds,
      features: { shape: [rows, T, F], values: ring.windows() } });
  }

  ring(name: string): HostRing {
    const { ring } = this.#loaded(name);
    assert(ring !== null, `${name} was loaded without a ring`);
    return ring;
  }

  async unload(name: string): Promise<void> {
    const loaded = this.#loaded(name);
    this.#models.delete(name);
    await retire(loaded);
  }

  async close(): Promise<void> { for (const name of this.#models.keys()) await this.unload(name); }

  #loaded(name: string): Loaded {
    const loaded = this.#models.get(name);
    assert(loaded !== undefined, `no model ${name} is loaded`);
    return loaded;
  }
}

/** The windows of the model that is replaced, where they fit the new one; empty ones otherwise. */
const keptRing = (before: HostRing | null | undefined, shape: RingShape): HostRing =>
  (before && isSameRing(before.shape, shape) ? before : new HostRing(shape));

/** Frees a model, now or after its last run. */
async function retire(loaded: Loaded): Promise<void> {
  loaded.isRetired = true;
  if (loaded.users === 0) await loaded.model.close();
}

/** (rows, T) -> (rows) at the last step; final/NAME (rows, H) as it is. A copy. */
function lastStep({ shape, values }: Values, rows: number, isState: boolean): Values {
  if (isState) return { shape: [...shape], values: Float32Array.from(values) };
  const T = shape[1];
  return { shape: [rows], values: Float32Array.from({ length: rows }, (_, b) => values[(b + 1) * T - 1]) };
}
