/**
 * Trained networks on the GPU, for as long as a run asks them for positions.
 *
 *   file ── GpuNetworks.open ──┬─ a GPU ──────> engine/predictor: the newest row of each window
 *                              └─ none ───────> the same OnnxModel as ever
 *
 * What needs every row of a window or what a network looked at (carry mode, views) is not asked here.
 */
import { sizeText } from "../runtime/cuda/driver/memory.ts";
import { openPredictor, type Predictor } from "../runtime/cuda/engine/predictor.ts";
import { isAnswer, type NetworkFile } from "../runtime/cuda/engine/models.ts";
import type { CudaPrecision } from "../runtime/cuda/launch.ts";
import type { OnnxModel } from "../runtime/ort/model.ts";

/** Windows of one replay: a few decisions, or a piece of years of them. */
const BUCKETS = [32, 512] as const;

export interface GpuOptions {
  /** float32 by default: the numbers of the CPU, to the last digits. */
  readonly precision?: CudaPrecision;
  /** Threads of ONNX Runtime, where it takes over. */
  readonly threads?: number;
  /** Told in a sentence why something is answered on the CPU. */
  readonly say?: (sentence: string) => void;
}

/** Opens the first GPU; without one all networks answer on the CPU. */
export class GpuNetworks implements AsyncDisposable {
  readonly #predictor: Predictor;
  readonly #gpu: string | null;
  readonly #precision: CudaPrecision;
  readonly #said: string[] = [];
  readonly #open = new Set<string>();
  #answers = 0;

  constructor({ precision = "float32", threads = 1,
    say = () => { /* the notes have it */ } }: GpuOptions = {}) {
    const tell = (sentence: string): void => {
      this.#said.push(sentence);
      say(sentence);
    };
    // Polling costs a microsecond or two, and who waits for a GPU that others keep busy still sends
    // heartbeats and hears Ctrl-C.
    this.#predictor = openPredictor({ precision, buckets: BUCKETS, mode: "poll", threads, say: tell });
    this.#precision = precision;
    this.#gpu = this.#predictor.engine?.cuda.facts.name ?? null;
  }

  /** Where networks answer and what they hold there, in words; null: on the CPU. */
  get place(): string | null {
    const { engine } = this.#predictor;
    return engine === null ? null : `the GPU (${this.#gpu}), in ${this.#precision}, holding `
      + `${sizeText(engine.statistics().pool.allocatedBytes)} of its memory`;
  }

  /**
   * The model of a file, which is given opened, on the GPU: its outputs are (B, 1), of the newest row, and
   * views are not among them. Without a GPU the model that was given.
   */
  async open(model: OnnxModel, file: NetworkFile): Promise<OnnxModel> {
    if (this.#predictor.device === "cpu") return model;
    const { inputs, metadata } = model, outputs = model.outputs.filter(({ name }) => isAnswer(name));
    await model.close();
    let name = file.name;
    // Two strategies of a run may ask the same network.
    for (let copy = 2; this.#open.has(name); copy++) name = `${file.name} (${copy})`;
    this.#open.add(name);
    let loaded = 0;
    return { inputs, outputs, metadata,
      run: async (feeds, fetch = outputs.map((one) => one.name)) => {
        const [rows, T] = feeds.features.shape;
        if (loaded !== T) await this.#predictor.load(name, file, { T, buckets: [rows] });
        loaded = T;
        const { outputs: said } = await this.#predictor.run(name, feeds);
        if (this.#predictor.deviceOf(name) === "cuda") this.#answers += rows;
        return Object.fromEntries(fetch.map((wanted) =>
          [wanted, { shape: [rows, 1], values: said[wanted].values }]));
      },
      close: async () => {
        this.#open.delete(name);
        if (loaded > 0) await this.#predictor.unload(name);
      } };
  }

  /** Sentences for the report: which device answered, and why not the GPU. */
  notes(): string[] {
    const why = this.#said.map((sentence) => `${sentence[0].toUpperCase()}${sentence.slice(1)}.`);
    if (this.#answers > 0) return [`Networks answered on the GPU (${this.#gpu}), in ${this.#precision}.`,
      ...why];
    if (why.length > 0) return why;
    return ["Networks answered on the CPU: those that carry their state from bar to bar do not use the GPU."];
  }

  /** Frees all that is on the GPU. */
  async [Symbol.asyncDispose](): Promise<void> { await this.#predictor.close(); }
}
