/** What `dmn train-export` prints of a training. */
import * as path from "node:path";
import { commandLine } from "../base/command-line.ts";
import { formatCount, formatNumber, formatTable, type Column } from "../base/table.ts";
import { mean } from "../metrics/moments.ts";
import type { Artifact, FoldArtifact } from "../train/artifact.ts";
import type { TrainReport } from "./train-export.ts";

const SYMBOLS_SHOWN_MAX = 8;
/** Features named by importance. */
const FEATURES_SHOWN = 5;

export function trainText(report: TrainReport): string {
  const { artifact, fits, kept, leftOut, remarks, seconds } = report;
  const { name, architecture, dataset, features, symbols, folds, lookback,
    mode } = artifact;
  const near = path.relative(process.cwd(), report.folder);
  const folder = near.startsWith("..") ? report.folder : near;
  const count = formatCount(folds[0].seeds[0].parameters);
  const what = fits === 0 ? `already trained (${kept} fits)`
    : `${fits} fits in ${seconds.toFixed(1)} s${kept > 0 ? `, ${kept} were finished before` : ""}`;
  const market = dataset.isSynthetic ? "the SYNTHETIC dataset" : "dataset";
  return [
    `${name}: ${architecture} with ${count} parameters on ${market} ${dataset.name}, `
      + `${features.length} inputs, ${symbols.length} instruments, lookback ${lookback}`
      + (mode === "carry" ? ", state carried from bar to bar" : ""),
    what,
    "", foldTable(folds), "",
    "Sharpe: of the kept epoch on validation days, diversified; mean over seeds, lowest to highest.",
    "It was used to choose that epoch, so it flatters.",
    ...importanceText(artifact),
    ...(leftOut.length === 0 ? [] : [leftOutText(leftOut)]), ...remarks, "",
    `${path.join(folder, "model.json")}, model.onnx, model-fp16.onnx, training.parquet, curves.html`,
    `next: ${nextCommand(artifact)}`,
  ].join("\n");
}

const right = (title: string): Column => ({ title, align: "right" });

function foldTable(folds: readonly FoldArtifact[]): string {
  const hasTrials = folds.some(({ trials }) => trials.length > 0);
  return formatTable(
    [{ title: "fold" }, { title: "labels to" }, { title: "tested to" }, right("days"), right("seeds"),
      ...(hasTrials ? [right("trials")] : []), right("epochs"), right("kept"), right("Sharpe"),
      right("spread"), right("seconds")],
    folds.map((fold) => {
      const sharpes = fold.seeds.map((seed) => seed.validationSharpe);
      const total = fold.seeds.reduce((sum, seed) => sum + seed.seconds, 0);
      return [fold.name, fold.trainTo, fold.testTo, formatCount(fold.trainDays),
        String(fold.seeds.length), ...(hasTrials ? [String(fold.trials.length)] : []),
        formatNumber(mean(fold.seeds.map((seed) => seed.epochs)), 0),
        formatNumber(mean(fold.seeds.map((seed) => seed.bestEpoch)), 0), formatNumber(mean(sharpes), 2),
        `${formatNumber(Math.min(...sharpes), 2)} to ${formatNumber(Math.max(...sharpes), 2)}`,
        total.toFixed(1)];
    }));
}

/** The inputs whose shuffling costs most, and whether folds agree. */
function importanceText({ features, folds, importanceStability }: Artifact): string[] {
  const means = features.map((name, k) => ({ name, value: mean(folds.map((fold) => fold.importance[k])) }))
    .filter(({ value }) => Number.isFinite(value)).sort((a, b) => b.value - a.value).slice(0, FEATURES_SHOWN);
  if (means.length === 0) return [];
  const said = means.map(({ name, value }) => `${name} ${formatNumber(value, 2)}`).join(", ");
  const agree = importanceStability === null ? ""
    : `Rank correlation of that order between folds: ${formatNumber(importanceStability, 2)}`;
  return [`Sharpe lost when shuffled: ${said}`, ...(agree === "" ? [] : [agree])];
}

function leftOutText(symbols: readonly string[]): string {
  const shown = symbols.slice(0, SYMBOLS_SHOWN_MAX).join(", ");
  const more = symbols.length > SYMBOLS_SHOWN_MAX ? ", ..." : "";
  return `left out of a fold, with less than one sequence before its test: ${shown}${more}`;
}

/** The backtest on the days that no network has seen. */
export function nextCommand({ name, dataset, folds }: Artifact): string {
  const years = folds.map((fold) => fold.name);
  const words = ["dmn", "backtest", "--dataset", dataset.name, "--strategy", `model:${name}`];
  const isYears = years.every((year, k) => /^\d{4}$/.test(year) && folds[k].testFrom === `${year}-01-01`);
  if (!isYears) return commandLine([...words, "--from", folds[0].testFrom]);
  const [{ testFrom, testTo }] = folds;
  const length = Number(testTo.slice(0, 4)) - Number(testFrom.slice(0, 4)) + 1;
  return commandLine([...words, "--windows", years.join(","), "--window-years", String(length)]);
}
