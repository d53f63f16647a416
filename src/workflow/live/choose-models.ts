/**
 * Which models trade when nobody said: those that are there, else tiny ones, trained in seconds.
 *
 *   lstm-1, lstm-2   two seeds of a trained LSTM (that of `dmn demo`, else live-lstm)
 *   transformer-1    a trained transformer (else live-transformer)
 *
 * All read one recipe, at one timeframe and calendar: the dataset's.
 */
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import type { Manifest } from "../../market/store.ts";
import type { Session } from "../../live/session.ts";
import { MODEL_PREFIX, seedsOf } from "../../strategy/network.ts";
import { listArtifacts, readArtifact, type Artifact } from "../../train/artifact.ts";

type Models = Session["models"];

const RECIPE = "dmn";
const TINY = {
  lstm: { name: "live-lstm", seeds: 2, set: { hidden: 12, epochs: 6, learningRate: 0.01 } },
  transformer: { name: "live-transformer", seeds: 1,
    set: { hidden: 8, epochs: 2, lookback: 63, learningRate: 0.01 } },
} as const;
/** Years that tiny models are trained on and tested in: enough for the second, little for the first. */
const TRAIN_YEARS = 7, TEST_YEARS = 5;

/** Parses "lstm-1=model:first/seed-0"; a strategy alone is called after its place. */
export function modelsFrom(words: readonly string[]): Models {
  const models = words.map((word, k) => {
    const [, worker, strategy] = /^([a-z][a-z0-9-]{0,23})=(.+)$/.exec(word) ?? [null, `model-${k + 1}`, word];
    return { worker, strategy };
  });
  const twice = models.find(({ worker }, k) => models.findIndex((other) => other.worker === worker) !== k);
  if (twice === undefined) return models;
  throw new UserError(`two models are called ${twice.worker}`,
    "give each a name of its own: --models a=tsmom,b=macd");
}

/** The models of a dataset without a word said; trains what is missing. */
export async function defaultModels(manifest: Manifest, context: Context): Promise<Models> {
  const lstm = fitting("lstm", manifest, context) ?? await train("lstm", manifest, context);
  const transformer = fitting("transformer", manifest, context)
    ?? await train("transformer", manifest, context);
  const seeds = seedsOf(lstm), second = seeds[1] ?? seeds[0];
  const named = (artifact: Artifact, seed: number): string => `${MODEL_PREFIX}${artifact.name}/seed-${seed}`;
  return [
    { worker: "lstm-1", strategy: named(lstm, seeds[0]) },
    ...(second === seeds[0] ? [] : [{ worker: "lstm-2", strategy: named(lstm, second) }]),
    { worker: "transformer-1", strategy: named(transformer, seedsOf(transformer)[0]) },
  ];
}

/** A trained model of this dataset and architecture, if there is one; the tiny one last. */
function fitting(architecture: keyof typeof TINY, manifest: Manifest, { root }: Context): Artifact | null {
  const found = listArtifacts(root).map((name) => readArtifact(root, name)).filter((one) =>
    one.architecture === architecture && one.mode === "replay" && one.recipe.name === RECIPE
    && one.dataset.name === manifest.dataset && one.timeframe === manifest.timeframe
    && one.calendar === manifest.calendar);
  return found.find(({ name }) => name !== TINY[architecture].name) ?? found[0] ?? null;
}

async function train(architecture: keyof typeof TINY, manifest: Manifest,
  context: Context): Promise<Artifact> {
  // All of training is loaded when something is to be trained.
  const [{ features }, { trainExport }, { FeaturesFile, featuresPlace }] = await Promise.all([
    import("../features.ts"), import("../train-export.ts"), import("../../features/file.ts")]);
  const { name, seeds, set } = TINY[architecture], { dataset } = manifest;
  const to = Math.max(...manifest.instruments.map((row) => row.to));
  const year = new Date(to).getUTCFullYear() - TEST_YEARS + 1;
  if (FeaturesFile.open(featuresPlace(context.root, dataset, RECIPE), "") === null) {
    await features({ dataset, recipe: RECIPE, symbols: [], from: null, to: null,
      workers: context.config.workers }, context);
  }
  const { workers } = context.config;
  const { artifact } = await trainExport({ name, workers, isResume: false, isForced: true,
    said: { dataset, recipe: RECIPE, model: architecture, set, seeds, windows: [year],
      windowYears: TEST_YEARS, from: `${year - TRAIN_YEARS}-01-01` } }, context);
  return artifact;
}
