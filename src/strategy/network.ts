/**
 * Trained networks as a strategy: each decision is taken by the newest network that had not seen its day.
 *
 *     folds      |== 1995 ==|== 2000 ==|== 2005 ==|      trained on everything before their first day
 *     decision            ^ 1998: network of fold 1995        after the last fold: still its network
 *
 * A row's window (T, F) goes through the network as in training, from a state of zeros; the last step's
 * position counts. Weights are sized by the ex-ante volatility that scaled the targets in training
 * (daily_vol).
 */
import { assert } from "../base/assert.ts";
import { UserError } from "../base/error.ts";
import { suggestion } from "../base/suggest.ts";
import { dayOf, formatDay, MS_PER_DAY, parseDay, type Day } from "../base/units.ts";
import { featureIndex, type Batch } from "../dataset/batch.ts";
import type { OnnxModel } from "../runtime/ort/model.ts";
import { readArtifact, readArtifactFile, type Artifact, type FoldArtifact, type SeedArtifact }
  from "../train/artifact.ts";
import type { Decision, Strategy } from "./strategy.ts";

export const MODEL_PREFIX = "model:";
/** Rows of one run: bounds what the engine allocates. */
const ROWS_MAX = 1024;
const VOLATILITY = "daily_vol";

export interface NetworkOptions {
  /** Threads of one run. */
  readonly threads?: number;
  /** Answer also for days that the networks were trained on. */
  readonly isTrainedAllowed?: boolean;
}

/** What `model:NAME/seed-1` says; without a seed, all of them. */
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
 * One seed of a trained model. Its files are opened when first asked. UserError for an unknown model or seed,
 * a damaged file, and (when asked) a day that was trained on.
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
  const open = new Map<string, Promise<OnnxModel>>();
  const modelOf = (fold: FoldArtifact): Promise<OnnxModel> => {
    const { file } = fold.seeds.find((one) => one.seed === seed) as SeedArtifact;
    const model = open.get(file) ?? openFile(readArtifactFile(root, artifact, file), options.threads ?? 1);
    open.set(file, model);
    return model;
  };
  return {
    name: `${MODEL_PREFIX}${artifact.name}/seed-${seed}`,
    description: `${artifact.architecture} trained on ${artifact.dataset.name}, seed ${seed}`,
    recipe: artifact.recipe.name, features: [...new Set([...artifact.features, VOLATILITY])],
    lookback: artifact.lookback,
    ...(options.isTrainedAllowed === true ? {} : { decidesFrom: first * MS_PER_DAY }),
    async decide(batch) {
      const decision: Decision = { position: new Float32Array(batch.time.length),
        volatility: lastOf(batch, VOLATILITY), confidence: new Float32Array(batch.time.length).fill(1) };
      const symbols = batch.symbols.map((symbol) => artifact.symbols.indexOf(symbol));
      for (let b = 0; b < batch.time.length;) {
        const span = spanAt(spans, batch.time[b], artifact, options);
        let end = b + 1;
        while (end < batch.time.length && end - b < ROWS_MAX && dayOf(batch.time[end]) < span.to) end++;
        await decideRows(await modelOf(span.fold), artifact, batch, symbols, b, end, decision);
        b = end;
      }
      return decision;
    },
  };
}

/** The engine is loaded when a network is first asked: other strategies need none. */
async function openFile(bytes: Uint8Array, threads: number): Promise<OnnxModel> {
  const { openOnnx } = await import("../runtime/ort/model.ts");
  return openOnnx(bytes, { threads });
}

function spanAt(spans: readonly Span[], time: number, artifact: Artifact, options: NetworkOptions): Span {
  const day = dayOf(time);
  const span = spans.findLast(({ from }) => from <= day);
  if (span !== undefined) return span;
  if (options.isTrainedAllowed === true) return spans[0];
  throw new UserError(`model "${artifact.name}" was trained on ${formatDay(day)}: what it says about that `
    + `day proves nothing`, `ask from ${formatDay(spans[0].from)} on`);
}

/** Rows [from, to) of the batch through one network. */
async function decideRows(model: OnnxModel, artifact: Artifact, batch: Batch, symbols: readonly number[],
  from: number, to: number, decision: Decision): Promise<void> {
  const B = to - from, T = batch.lookback, F = artifact.features.length;
  const features = artifact.features.every((name, f) => name === batch.names[f]) && batch.names.length === F
    ? batch.features.subarray(from * T * F, to * T * F) : chosen(batch, artifact.features, from, to);
  const instrument = Float32Array.from({ length: B }, (_, b) => symbols[batch.instrument[from + b]]);
  const feeds = { features: { shape: [B, T, F], values: features },
    ...(model.inputs.some(({ name }) => name === "instrument")
      ? { instrument: { shape: [B], values: instrument } } : {}) };
  const wanted = ["position", "confidence"].filter((name) => model.outputs.some((one) => one.name === name));
  const said = await model.run(feeds, wanted);
  for (const name of wanted as ("position" | "confidence")[]) {
    const { values } = said[name];
    assert(values.length === B * T, `${name} is (B, T)`);
    for (let b = 0; b < B; b++) decision[name][from + b] = values[(b + 1) * T - 1];
  }
}

/** (rows, T, names): some columns of the batch's features. */
function chosen(batch: Batch, names: readonly string[], from: number, to: number): Float32Array {
  const columns = names.map((name) => featureIndex(batch, name));
  const T = batch.lookback, width = batch.names.length;
  const out = new Float32Array((to - from) * T * names.length);
  let at = 0;
  for (let row = from * T * width; row < to * T * width; row += width) {
    for (const column of columns) out[at++] = batch.features[row + column];
  }
  return out;
}

/** (B) the feature at each row's decision time. */
function lastOf(batch: Batch, name: string): Float32Array {
  const column = featureIndex(batch, name), width = batch.names.length, perRow = batch.lookback * width;
  return Float32Array.from({ length: batch.time.length }, (_, b) =>
    batch.features[b * perRow + (batch.lookback - 1) * width + column]);
}
