/**
 * Trained networks as a strategy: each decision is taken by the newest network that had not seen its day.
 *
 *     folds      |== 1995 ==|== 2000 ==|== 2005 ==|      trained on everything before their first day
 *     decision            ^ 1998: network of fold 1995        after the last fold: still its network
 *
 * In replay mode a row's window (T, F) goes through the network as in training, from a state of zeros;
 * the last step's position counts. In carry mode (carry.ts) it goes on from the instrument's own state.
 * Weights are sized by the ex-ante volatility that scaled the targets in training (daily_vol).
 */
import { assert } from "../base/assert.ts";
import { UserError } from "../base/error.ts";
import { suggestion } from "../base/suggest.ts";
import { dayOf, formatDay, MS_PER_DAY, parseDay, type Day } from "../base/units.ts";
import { featureIndex, selectFeatures, type Batch } from "../dataset/batch.ts";
import { sizesOf } from "../graph/dimension.ts";
import type { OnnxModel } from "../runtime/ort/model.ts";
import type { Tensors, Values } from "../runtime/runtime.ts";
import { readArtifact, readArtifactFile, type Artifact, type FoldArtifact, type SeedArtifact }
  from "../train/artifact.ts";
import { StateCarrier } from "./carry.ts";
import type { GpuNetworks } from "./gpu.ts";
import type { Decision, Explanation, Strategy } from "./strategy.ts";

export const MODEL_PREFIX = "model:";
/** Rows of one run, and numbers in the largest of its inputs and outputs: bound what the engine allocates. */
const ROWS_MAX = 1024;
const VALUES_MAX = 1 << 22;
const VOLATILITY = "daily_vol";
/** Outputs in which architectures that have them show what they looked at: (B, T, F) and (B, T, T). */
const SELECTION = "view/selection", ATTENTION = "view/attention";

export interface NetworkOptions {
  /** Threads of one run. */
  readonly threads?: number;
  /** Answer also for days that the networks were trained on. */
  readonly isTrainedAllowed?: boolean;
  /** Where networks of replay mode answer; absent: on the CPU. Carry mode and views stay there. */
  readonly gpu?: GpuNetworks;
}

/** What `model:NAME/seed-1` says; null: all seeds. */
export interface NetworkName {
  readonly artifact: string;
  readonly seed: number | null;
}

/** Parses "model:NAME" and "model:NAME/seed-K". */
export function networkName(strategy: string): NetworkName {
  const [artifact, ...rest] = strategy.slice(MODEL_PREFIX.length).split("/");
  const seed = /^seed-(\d{1,6})$/.exec(rest.join("/"));
  if (artifact !== "" && (rest.length === 0 || seed !== null)) {
    return { artifact, seed: seed === null ? null : Number(seed[1]) };
  }
  throw new UserError(`"${strategy}" names no model`,
    "write model:NAME, or model:NAME/seed-0 for one of its seeds");
}

/** Seeds that every fold of an artifact has, ascending. */
export function seedsOf(artifact: Artifact): number[] {
  return artifact.folds[0].seeds.map(({ seed }) => seed)
    .filter((seed) => artifact.folds.every((fold) => fold.seeds.some((one) => one.seed === seed)))
    .sort((a, b) => a - b);
}

/** A fold with the days its network may be asked about: from its test's first day to the next fold's. */
interface Span {
  readonly fold: FoldArtifact;
  readonly from: Day;
  readonly to: number;
}

function spansOf(artifact: Artifact): Span[] {
  const dated = artifact.folds.map((fold) => {
    const from = parseDay(fold.testFrom);
    assert(from !== null, `fold ${fold.name} says its first day`);
    return { fold, from };
  }).sort((a, b) => a.from - b.from);
  return dated.map((one, k) => ({ ...one, to: dated[k + 1]?.from ?? Infinity }));
}

/**
 * One seed of a trained model, its first when none is named. Its files are opened when first asked. UserError
 * for an unknown model or seed, a damaged file, and (when asked) a day that was trained on.
 */
export function networkStrategy(root: string, name: NetworkName, options: NetworkOptions = {}): Strategy {
  const artifact = readArtifact(root, name.artifact);
  const seeds = seedsOf(artifact);
  const seed = name.seed ?? seeds[0];
  if (!seeds.includes(seed)) {
    throw new UserError(`model "${artifact.name}" has no seed ${seed}`,
      suggestion(`seed-${seed}`, seeds.map((one) => `seed-${one}`)));
  }
  const spans = spansOf(artifact), first = spans[0].from;
  const { gpu, threads = 1 } = options;
  const cpu = new LastAsked(seed, (file) => openFile(root, artifact, file, { threads }));
  const decider = gpu === undefined || artifact.mode === "carry" ? cpu
    : new LastAsked(seed, (file) => openFile(root, artifact, file, { threads, gpu }));
  const onCpu: ModelOf = (fold) => cpu.of(fold), deciding: ModelOf = (fold) => decider.of(fold);
  /** The batch in pieces that one network answers at once. */
  const askOf = (modelOf: ModelOf): Ask => async (batch, wanted, visit) => {
    for (let from = 0; from < batch.time.length;) {
      const span = spanAt(spans, batch.time[from], artifact, options), model = await modelOf(span.fold);
      const most = from + rowsOf(model, batch.lookback);
      let to = from + 1;
      while (to < batch.time.length && to < most && dayOf(batch.time[to]) < span.to) to++;
      visit(await runRows(model, artifact, { batch, from, to }, wanted), from, to);
      from = to;
    }
  };
  const ask = askOf(deciding);
  const carrier = artifact.mode === "carry" ? new StateCarrier(artifact) : null;
  /** As `ask`, a date at a time, each instrument from its own state. */
  async function carry(states: StateCarrier, batch: Batch, decision: Decision): Promise<void> {
    for (let from = 0, to = 0; from < batch.time.length; from = to) {
      while (to < batch.time.length && batch.time[to] === batch.time[from]) to++;
      const model = await deciding(spanAt(spans, batch.time[from], artifact, options).fold);
      const { position, confidence } =
        await states.decide(model, { batch, from, to }, rowsOf(model, batch.lookback));
      decision.position.set(position, from);
      decision.confidence.set(confidence, from);
    }
  }
  return {
    name: `${MODEL_PREFIX}${artifact.name}/seed-${seed}`,
    description: `${artifact.architecture} trained on ${artifact.dataset.name}, seed ${seed}`,
    recipe: artifact.recipe.name, recipeHash: artifact.recipe.hash,
    features: [...new Set([...artifact.features, VOLATILITY])],
    lookback: artifact.warmup ?? artifact.lookback,
    ...(options.isTrainedAllowed === true ? {} : { decidesFrom: first * MS_PER_DAY }),
    async decide(batch) {
      const decision: Decision = { position: new Float32Array(batch.time.length),
        volatility: lastOf(batch, VOLATILITY), confidence: new Float32Array(batch.time.length).fill(1) };
      if (carrier !== null) await carry(carrier, batch, decision);
      else await ask(batch, ["position", "confidence"], (outputs, from) => {
        for (const name of ["position", "confidence"] as const) {
          if (!Object.hasOwn(outputs, name)) continue;
          decision[name].set(lastSteps(outputs[name]), from);
        }
      });
      return decision;
    },
    notes: (symbols) => strangerNotes(artifact, symbols),
    explain: (batch) => explainBatch(artifact, batch, askOf(onCpu)),
    isForGpu: artifact.mode !== "carry",
    async close() {
      await cpu.close();
      await decider.close();
    },
  };
}

type ModelOf = (fold: FoldArtifact) => Promise<OnnxModel>;

/** A seed's networks. Time goes on, from fold to fold: only the last one asked is kept open. */
class LastAsked {
  readonly #seed: number;
  readonly #openModel: (file: string) => Promise<OnnxModel>;
  #open: { readonly file: string; readonly model: OnnxModel } | null = null;

  constructor(seed: number, openModel: (file: string) => Promise<OnnxModel>) {
    this.#seed = seed;
    this.#openModel = openModel;
  }

  async of(fold: FoldArtifact): Promise<OnnxModel> {
    const { file } = fold.seeds.find((one) => one.seed === this.#seed) as SeedArtifact;
    if (this.#open?.file === file) return this.#open.model;
    await this.close();
    this.#open = { file, model: await this.#openModel(file) };
    return this.#open.model;
  }

  async close(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    await open?.model.close();
  }
}

type Ask = (batch: Batch, wanted: readonly string[],
  visit: (outputs: Tensors, from: number, to: number) => void) => Promise<void>;

async function explainBatch(artifact: Artifact, batch: Batch, ask: Ask): Promise<Explanation> {
  const B = batch.time.length, T = batch.lookback, F = artifact.features.length;
  let selection: Float32Array | null = null, attention: Float32Array | null = null;
  await ask(batch, [SELECTION, ATTENTION], (outputs, from, to) => {
    if (Object.hasOwn(outputs, SELECTION)) {
      selection ??= new Float32Array(B * F);
      for (let b = from, at = (T - 1) * F; b < to; b++, at += T * F) {
        selection.set(outputs[SELECTION].values.slice(at, at + F), b * F);
      }
    }
    if (Object.hasOwn(outputs, ATTENTION)) {
      attention ??= new Float32Array(B * T);
      for (let b = from, at = (T - 1) * T; b < to; b++, at += T * T) {
        attention.set(outputs[ATTENTION].values.slice(at, at + T).reverse(), b * T);
      }
    }
  });
  const measured = artifact.folds.filter(({ importance }) => importance.length === F);
  return { names: artifact.features, selection, attention,
    importance: measured.length === 0 ? null : { folds: measured.map(({ name }) => name),
      byFold: measured.map(({ importance }) => importance), stability: artifact.importanceStability } };
}

/** Instruments that the networks were not trained on are still decided about: that is worth a sentence. */
function strangerNotes({ name, symbols: known }: Artifact, symbols: readonly string[]): string[] {
  const strangers = symbols.filter((symbol) => !known.includes(symbol));
  if (strangers.length === 0) return [];
  const few = strangers.length <= 8 ? strangers.join(", ")
    : `${strangers.slice(0, 8).join(", ")} and ${strangers.length - 8} more`;
  return [`Model ${name} was not trained on ${few}: it takes them for instruments that it does not know.`];
}

/** The engine is loaded when a network is first asked: other strategies need none. */
async function openFile(root: string, artifact: Artifact, file: string,
  { threads, gpu }: { threads: number; gpu?: GpuNetworks }): Promise<OnnxModel> {
  const bytes = readArtifactFile(root, artifact, file), name = `${file} of model "${artifact.name}"`;
  const { openOnnx } = await import("../runtime/ort/model.ts");
  const model = await openOnnx(bytes, { threads, name });
  return gpu === undefined ? model : gpu.open(model, { name, bytes });
}

/** Rows of one run at most: views of (T, T) make long windows dear. */
function rowsOf({ inputs, outputs }: OnnxModel, T: number): number {
  const sizes = [...inputs, ...outputs].map(({ shape }) =>
    sizesOf(shape, { B: 1, T }).reduce((a, b) => a * b, 1));
  return Math.max(1, Math.min(ROWS_MAX, Math.floor(VALUES_MAX / Math.max(...sizes))));
}

function spanAt(spans: readonly Span[], time: number, artifact: Artifact, options: NetworkOptions): Span {
  const day = dayOf(time);
  const span = spans.findLast(({ from }) => from <= day);
  if (span !== undefined) return span;
  if (options.isTrainedAllowed === true) return spans[0];
  throw new UserError(`model "${artifact.name}" was trained on ${formatDay(day)}: what it says about that `
    + `day proves nothing`, `ask from ${formatDay(spans[0].from)} on`);
}

/** Rows [from, to) of the batch through one network: those of the wanted outputs that it has. */
async function runRows(model: OnnxModel, artifact: Artifact,
  { batch, from, to }: { batch: Batch; from: number; to: number },
  wanted: readonly string[]): Promise<Tensors> {
  const B = to - from, T = batch.lookback, F = artifact.features.length;
  const had = wanted.filter((name) => model.outputs.some((one) => one.name === name));
  if (had.length === 0) return {};
  const isSame = batch.names.length === F && artifact.features.every((name, f) => name === batch.names[f]);
  const features = isSame ? batch.features.subarray(from * T * F, to * T * F)
    : selectFeatures(batch, artifact.features, batch.lookback, from, to);
  // -1, an instrument that it does not know, is no row of the embedding: all zeros.
  const instrument = Float32Array.from(batch.instrument.subarray(from, to), (i) =>
    artifact.symbols.indexOf(batch.symbols[i]));
  const all: Tensors = { features: { shape: [B, T, F], values: features },
    instrument: { shape: [B], values: instrument } };
  return model.run(Object.fromEntries(model.inputs.map(({ name }) => [name, all[name]])), had);
}

/** (B, T) -> (B): the decisions' own steps; a GPU answers no others, (B, 1). */
const lastSteps = ({ shape: [B, T], values }: Values): Float32Array =>
  Float32Array.from({ length: B }, (_, b) => values[(b + 1) * T - 1]);

/** (B) the feature at each row's decision time. */
function lastOf(batch: Batch, name: string): Float32Array {
  const column = featureIndex(batch, name), width = batch.names.length, perRow = batch.lookback * width;
  return Float32Array.from({ length: batch.time.length }, (_, b) =>
    batch.features[b * perRow + (batch.lookback - 1) * width + column]);
}
