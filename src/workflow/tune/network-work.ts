/**
 * What a worker is told about a study of networks, and the rows it may see.
 *
 *   request ─ termsOf ─> NetworkWork (in the terms) ─ openNetworkData ─> parts of training, validation
 *
 * Rows from the first test window on are cut off as soon as they are read: for a search they do not exist.
 */
import { architectureNamed } from "../../../models/index.ts";
import { unionOfTimes } from "../../backtest/align.ts";
import { dayOf, formatDay, MS_PER_DAY, parseDay } from "../../base/units.ts";
import { UserError } from "../../base/error.ts";
import { suggestion } from "../../base/suggest.ts";
import type { FoldSequences, SequenceSource } from "../../dataset/sequence.ts";
import { firstRowAt } from "../../market/bars.ts";
import { readManifest } from "../../market/store.ts";
import type { Settings } from "../../nn/hyperparameter.ts";
import { settingsOf } from "../../train/settings.ts";
import type { Plan, TrainRequest } from "../train-plan.ts";
import { bindTrainable, cutPlanned, readSource } from "../train-source.ts";

/** Share of a part's rows that it validates on, as in `dmn train-export`. */
const PART_SHARE = 0.1;
export const PARTS_MAX = 8;
/** Cut sequences that a worker keeps: trials that differ in other things share them. */
const CUTS_KEPT = 2;

export interface NetworkWork {
  readonly kind: "network";
  /** As `dmn train-export` would be asked; `set` holds for every trial. */
  readonly request: TrainRequest;
  /** Inputs by name; a trial may choose among them (`inputs`). */
  readonly features: readonly string[];
  readonly fingerprint: string;
  readonly recipeHash: string;
  /** First day of the first test window, YYYY-MM-DD: nothing from there on is read. */
  readonly testFrom: string;
  /** Walk-forward parts whose validation rows are judged. */
  readonly parts: number;
  /** Largest or smallest values that a trial must keep to, by objective. */
  readonly limits: Readonly<Record<string, number>>;
  /** Epochs from one report to the next. */
  readonly reportEvery: number;
  /** Populations: a trial is `epochs` more of its parent, and its end counts, not its best epoch. */
  readonly isPopulation: boolean;
  readonly engine: Plan["engine"];
  readonly threads: number;
  /** Of the calibration loop where the study was begun, ms: the unit of latency and throughput. */
  readonly calibrationMs: number;
}

/** The part of a source before a day; a copy, so that the rest can go. */
export function beforeTest(source: SequenceSource, testFrom: string): SequenceSource {
  const from = parseDay(testFrom)! * MS_PER_DAY;
  return { ...source, panels: source.panels.map(({ time, values, names, warmup }) => {
    const rows = firstRowAt(time, from);
    return { names, warmup, time: time.slice(0, rows), values: values.slice(0, rows * names.length) };
  }) };
}

/**
 * Day before which each part ends: the last one at the test, each of the others where the next
 * one's validation begins. (parts), YYYY-MM-DD.
 */
export function partEnds(source: SequenceSource, testFrom: string, parts: number): string[] {
  const closes = unionOfTimes(source.panels.map(({ time }) => time));
  return Array.from({ length: parts }, (_, k) => {
    const behind = Math.floor(closes.length * PART_SHARE * (parts - 1 - k));
    return behind === 0 ? testFrom : formatDay(dayOf(closes[closes.length - behind]));
  });
}

export interface NetworkData {
  readonly source: SequenceSource;
  /** Sequences of each part for a trial's settings. UserError where there are too few rows. */
  cut(settings: Settings): readonly FoldSequences[];
}

/** UserError when the data and features of a study are not those that it was begun with. */
export async function bindNetworkData(root: string, work: NetworkWork): ReturnType<typeof bindTrainable> {
  const { dataset, recipe } = work.request;
  const manifest = readManifest(root, dataset);
  const trainable = await bindTrainable(root, manifest, recipe, work.features);
  const changed = manifest.fingerprint !== work.fingerprint ? `dataset "${dataset}"`
    : trainable.panel.hash !== work.recipeHash ? `recipe "${recipe}"` : null;
  if (changed !== null) {
    throw new UserError(`${changed} is not the one that the study was begun with`,
      "restore it, or begin another study: another --name");
  }
  return trainable;
}

/** Reads the features of a study. UserError when they are not those that it was begun with. */
export async function openNetworkData(root: string, work: NetworkWork): Promise<NetworkData> {
  const trainable = await bindNetworkData(root, work), { recipe } = work.request;
  return cutter(beforeTest(readSource(trainable, root, recipe), work.testFrom), work);
}

/** Parts of one source, cut when they are asked for. */
export function cutter(source: SequenceSource, work: NetworkWork): NetworkData {
  const ends = partEnds(source, work.testFrom, work.parts);
  const architecture = architectureNamed(work.request.model);
  const kept: { readonly key: string; readonly parts: readonly FoldSequences[] }[] = [];
  return {
    source,
    cut({ inputs, ...said }) {
      const { lookback: asked, stride } = settingsOf(architecture, said);
      const lookback = asked === 0 ? architecture.lookback : asked;
      const key = `${lookback} ${stride} ${inputs}`, found = kept.find((one) => one.key === key);
      if (found !== undefined) return found.parts;
      const chosen = inputs === undefined ? source
        : { ...source, names: chooseInputs(source.names, String(inputs)) };
      const parts = ends.map((testFrom, k) =>
        cutPlanned(chosen, { name: `part ${k + 1} of ${ends.length}`, testFrom }, work.request,
          { lookback, stride }));
      kept.push({ key, parts });
      if (kept.length > CUTS_KEPT) kept.shift();
      return parts;
    },
  };
}

/** "norm+macd": the inputs whose names begin with one of these. UserError when one begins none. */
export function chooseInputs(names: readonly string[], inputs: string): string[] {
  const beginnings = inputs.split("+");
  const idle = beginnings.find((one) => !names.some((name) => name.startsWith(one)));
  if (idle !== undefined) {
    throw new UserError(`no input's name begins with "${idle}"`, suggestion(idle, names));
  }
  return names.filter((name) => beginnings.some((one) => name.startsWith(one)));
}
