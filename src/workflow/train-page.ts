/**
 * curves.html: how a training went, as one page in the house style. It holds no date of its making: the same
 * training gives the same bytes.
 *
 *   headline   what was trained on what       folds      numbers by fold and seed
 *   curves     loss and Sharpe by epoch       importance what the networks rely on
 */
import { themeScript, stillScript } from "../backtest/page/client.ts";
import { documentOf, sectionsOf } from "../backtest/page/document.ts";
import { barsPicture } from "../backtest/page/bars.ts";
import { formatRatio } from "../backtest/page/format.ts";
import { html, type Markup } from "../backtest/page/html.ts";
import type { Section } from "../backtest/page/sections.ts";
import { table } from "../backtest/page/table.ts";
import { styleSheet } from "../backtest/page/theme.ts";
import { mean } from "../metrics/moments.ts";
import type { Artifact, FoldArtifact, SeedArtifact } from "../train/artifact.ts";
import { colorOf, curvePicture, PICTURE_STYLE, scalesOf, type Line, type Scales } from "./train-pictures.ts";

/** Epochs of one seed of one fold, from epoch 1. */
export interface Curve {
  readonly fold: string;
  readonly seed: number;
  readonly loss: readonly number[];
  readonly validationSharpe: readonly number[];
}

/** Features drawn; the others are in the table. */
const FEATURES_DRAWN_MAX = 40;

export function curvesPage(artifact: Artifact, curves: readonly Curve[]): string {
  const parts: (Section | null)[] = [
    { id: "curves", title: "Training curves", short: "Curves", body: curvesBody(artifact, curves) },
    { id: "folds", title: "Folds and seeds", short: "Folds", body: foldsBody(artifact) },
    { id: "importance", title: "What the networks rely on", short: "Importance",
      body: importanceBody(artifact) },
    artifact.folds.some((fold) => fold.trials.length > 0)
      ? { id: "trials", title: "Settings tried", short: "Trials", body: trialsBody(artifact) } : null,
    { id: "settings", title: "Settings and origin", short: "Settings", body: settingsBody(artifact) },
  ];
  return documentOf({
    title: `training of ${artifact.name}`, head: themeScript(), script: stillScript(),
    style: `${styleSheet()}\n${PICTURE_STYLE}`,
    body: html`
<a class="skip" href="#curves">Skip to the curves</a>
${masthead(artifact)}
${sectionsOf(parts.filter((part) => part !== null), html`Made by dmn from one training. A validation
Sharpe ratio was used to choose the epoch, so it flatters; what counts is the test:
dmn backtest --dataset ${artifact.dataset.name} --strategy model:${artifact.name}`)}`,
  });
}

function masthead(artifact: Artifact): Markup {
  const { name, architecture, dataset, recipe, features, symbols, folds, lookback } = artifact;
  const seeds = folds.reduce((sum, fold) => sum + fold.seeds.length, 0);
  const facts: [string, string][] = [
    ["Architecture", architecture], ["Dataset", dataset.name], ["Recipe", recipe.name],
    ["Inputs", String(features.length)], ["Instruments", String(symbols.length)],
    ["Lookback", `${lookback} bars`],
    ["Folds", String(folds.length)], ["Networks", String(seeds)],
    ["Parameters", folds[0].seeds[0].parameters.toLocaleString("en-US")],
  ];
  const badge = html`<span class="badge" title="Prices come from a random generator, not from a market"
>SYNTHETIC MARKET</span>`;
  return html`<header class="masthead">
<p class="kicker">Training</p>
<div class="titles"><h1>${name}</h1>${dataset.isSynthetic ? badge : null}</div>
<ul class="facts">${facts.map(([label, value]) => html`<li><span>${label}</span> ${value}</li>`)}</ul>
<p class="sentence">${sentence(artifact)}</p>
</header>`;
}

function sentence({ folds }: Artifact): string {
  const sharpes = folds.map((fold) => mean(fold.seeds.map((seed) => seed.validationSharpe)));
  const count = folds.length === 1 ? "one fold" : `${folds.length} folds`;
  const each = folds[0].seeds.length === 1 ? "one seed" : `${folds[0].seeds.length} seeds`;
  const epochs = mean(folds.flatMap((fold) => fold.seeds.map((seed) => seed.bestEpoch)));
  return `Trained in ${count} with ${each} each. The kept epoch was ${formatRatio(epochs, 0)} on average, `
    + `with a validation Sharpe ratio of ${formatRatio(mean(sharpes), 2)}`
    + (folds.length === 1 ? "."
      : ` (${formatRatio(Math.min(...sharpes), 2)} to ${formatRatio(Math.max(...sharpes), 2)} by fold).`);
}

function curvesBody({ folds }: Artifact, curves: readonly Curve[]): Markup {
  const lines = (of: (curve: Curve) => readonly number[], fold?: FoldArtifact): Line[] => curves
    .filter((curve) => fold === undefined || curve.fold === fold.name)
    .map((curve) => ({ label: `fold ${curve.fold}, seed ${curve.seed}`, values: of(curve),
      kept: keptOf(folds, curve) }));
  const loss = scalesOf(lines((curve) => curve.loss), false);
  const sharpe = scalesOf(lines((curve) => curve.validationSharpe), true);
  const seeds = [...new Set(curves.map((curve) => curve.seed))];
  const legend = seeds.map((seed, k) => html`<span><i class="c-${colorOf(k)}"></i>seed ${seed}</span>`);
  const draw = (id: string, title: string, drawn: Line[], scales: Scales): Markup =>
    html`<figure>${curvePicture(id, title, drawn, scales)}</figure>`;
  return html`<p class="caption">Scales are the same in every fold. A dot marks the epoch whose
parameters were kept: the best validation Sharpe ratio of the diversified portfolio.</p>
<div class="legend">${legend}</div>${folds.map((fold) =>
  html`<div class="fold"><div class="head"><h3>Fold ${fold.name}</h3>
<p class="caption">labels seen to ${fold.trainTo}, tested ${fold.testFrom} to ${fold.testTo}</p></div>
<div class="two">${draw(`loss-${fold.name}`, "Training loss", lines((curve) => curve.loss, fold), loss)}${
  draw(`sharpe-${fold.name}`, "Validation Sharpe", lines((curve) => curve.validationSharpe, fold), sharpe)
}</div></div>`)}`;
}

const keptOf = (folds: readonly FoldArtifact[], { fold, seed }: Curve): number =>
  folds.find((one) => one.name === fold)?.seeds.find((one) => one.seed === seed)?.bestEpoch ?? 0;

function foldsBody({ folds }: Artifact): Markup {
  interface Row { readonly fold: FoldArtifact; readonly seed: SeedArtifact }
  const rows: Row[] = folds.flatMap((fold) => fold.seeds.map((seed) => ({ fold, seed })));
  return table<Row>([
    { label: "Fold", form: "text", value: ({ fold }) => fold.name },
    { label: "Seed", form: "count", value: ({ seed }) => seed.seed },
    { label: "Labels to", form: "text", value: ({ fold }) => fold.trainTo },
    { label: "Train rows", form: "count", value: ({ fold }) => fold.trainRows },
    { label: "Validation rows", form: "count", value: ({ fold }) => fold.validationRows },
    { label: "Epochs", form: "count", value: ({ seed }) => seed.epochs },
    { label: "Kept", form: "count", value: ({ seed }) => seed.bestEpoch },
    { label: "Training loss", form: "growth", value: ({ seed }) => seed.loss },
    { label: "Validation Sharpe", form: "ratio", value: ({ seed }) => seed.validationSharpe },
    { label: "Seconds", form: "count", value: ({ seed }) => seed.seconds },
  ], rows, { name: "Folds and seeds", isSortable: true });
}

function importanceBody({ features, folds, importanceStability }: Artifact): Markup {
  const rows = features.map((name, k) => ({ name,
    values: folds.map((fold) => fold.importance[k] ?? NaN) }))
    .map((row) => ({ ...row, mean: mean(row.values) })).sort((a, b) => b.mean - a.mean);
  if (!rows.some((row) => Number.isFinite(row.mean))) {
    return html`<p class="caption">n/a: importance was not measured.</p>`;
  }
  const stability = importanceStability === null ? ""
    : ` Rank correlation between folds: ${formatRatio(importanceStability, 2)} `
      + "(1: the same order in every fold).";
  const left = rows.length - FEATURES_DRAWN_MAX;
  const rest = left > 0 ? ` ${left} of lesser weight are not drawn.` : "";
  return html`<p class="caption">How much the validation Sharpe ratio falls when one feature is
shuffled: the bar is the mean over folds, a dot one fold.${stability}${rest}</p>${
  barsPicture(rows.slice(0, FEATURES_DRAWN_MAX), { id: "importance-picture",
    label: "Importance of each feature, mean over folds and each fold",
    parts: folds.map((fold) => `fold ${fold.name}`) })}`;
}

function trialsBody({ folds }: Artifact): Markup {
  const rows = folds.flatMap((fold) => fold.trials.map((trial) => ({ fold: fold.name, ...trial })));
  const varied = Object.keys(rows[0].settings)
    .filter((name) => new Set(rows.map((row) => row.settings[name])).size > 1);
  type Row = (typeof rows)[number];
  return table<Row>([
    { label: "Fold", form: "text", value: (row) => row.fold },
    { label: "Trial", form: "count", value: (row) => row.trial },
    ...varied.map((name) =>
      ({ label: name, form: "text" as const, value: (row: Row) => String(row.settings[name]) })),
    { label: "Validation Sharpe", form: "ratio", value: (row) => row.validationSharpe },
    { label: "Net of costs", form: "ratio", value: (row) => row.validationSharpeNet },
    { label: "Ended", form: "text", value: (row) => (row.isDiverged ? "diverged" : "well") },
  ], rows, { name: "Settings tried", isSortable: true, isLong: rows.length > 20 });
}

function settingsBody(artifact: Artifact): Markup {
  const rows = [
    ...Object.entries(artifact.settings).map(([name, value]) => ({ name, value: String(value) })),
    { name: "dataset fingerprint", value: artifact.dataset.fingerprint },
    { name: "recipe hash", value: artifact.recipe.hash },
    { name: "inputs", value: artifact.features.join(", ") },
    { name: "ONNX opset", value: String(artifact.opset) },
    { name: "code version", value: artifact.codeVersion },
    { name: "command", value: artifact.command },
  ];
  return table<(typeof rows)[number]>([
    { label: "Setting", form: "text", value: (row) => row.name },
    { label: "Value", form: "words", value: (row) => row.value },
  ], rows, { name: "Settings and origin" });
}
