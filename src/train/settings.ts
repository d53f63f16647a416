/**
 * How a network is trained, as data: what `--set` may say besides the architecture's own, and the
 * papers' grid. Settings are flat, `{ hidden: 40, learningRate: 0.001, ... }`; no architecture
 * declares a name of `TRAINING`.
 */
import { assert } from "../base/assert.ts";
import { random } from "../base/random.ts";
import { chooseSettings, type Chosen, type Hyperparameters,
  type Settings } from "../nn/hyperparameter.ts";
import { LOSS_NAMES, type LossName } from "../nn/loss.ts";
import type { Architecture } from "../nn/model.ts";
import { SCHEDULE_NAMES } from "../nn/schedule.ts";

interface Weight { kind: "number"; default: number; min: number; max: number; describe: string }
const weight = (describe: string): Weight =>
  ({ kind: "number", default: 0, min: 0, max: 1000, describe });

export const TRAINING = {
  lookback: { kind: "integer", default: 0, min: 0, max: 10_000,
    describe: "rows per sequence; 0: as the architecture says" },
  stride: { kind: "integer", default: 0, min: 0, max: 10_000,
    describe: "rows from one training sequence to the next; 0: lookback, no overlap" },
  loss: { kind: "choice", default: "sharpe", choices: ["sharpe", "mse", "binary"],
    describe: "what is minimised: -Sharpe, or the forecast's squared error or cross entropy" },
  learningRate: { kind: "number", default: 1e-3, min: 0, max: 10, isLog: true,
    describe: "Adam's step size" },
  schedule: { kind: "choice", default: "constant", choices: SCHEDULE_NAMES,
    describe: "learning rate over the run: constant, a half cosine to 0, a tenth each third" },
  warmup: { kind: "integer", default: 0, min: 0, max: 10_000,
    describe: "epochs over which the learning rate grows to its full size" },
  batch: { kind: "integer", default: 128, min: 1, max: 65_536, isLog: true,
    describe: "sequences per step" },
  accumulate: { kind: "integer", default: 1, min: 1, max: 1024,
    describe: "batches whose gradients are averaged before one update" },
  clip: { kind: "number", default: 1, min: 1e-6, max: 1e9, isLog: true,
    describe: "largest Euclidean norm of the gradient" },
  decay: { kind: "number", default: 0, min: 0, max: 1, describe: "weight decay (AdamW)" },
  epochs: { kind: "integer", default: 300, min: 1, max: 10_000,
    describe: "passes over the training set at most" },
  patience: { kind: "integer", default: 25, min: 1, max: 10_000,
    describe: "epochs without a better validation Sharpe before it stops" },
  minDelta: { kind: "number", default: 0, min: 0, max: 10,
    describe: "what counts as better, in Sharpe" },
  costBps: { kind: "number", default: 0, min: 0, max: 1000,
    describe: "cost per unit of weight traded, in the loss and in the validation Sharpe, bps" },
  turnoverWeight: weight("weight of turnover in the loss"),
  riskWeight: weight("weight of the conditional value at risk in the loss"),
  volatilityWeight: weight("weight of |volatility - target| in the loss"),
  headWeight: { kind: "number", default: 1, min: 0, max: 1000,
    describe: "weight of the volatility and confidence heads' losses" },
  heads: { kind: "choice", default: "position", choices: ["position", "all"],
    describe: "what the network answers: the position alone, or volatility and confidence too" },
} as const satisfies Hyperparameters;
export type Training = Chosen<typeof TRAINING>;

/** Everything an architecture can be told, its own names first. */
export function hyperparametersOf(architecture: Architecture): Hyperparameters {
  const { name: owner, hyperparameters } = architecture;
  const twice = Object.keys(hyperparameters).filter((name) => Object.hasOwn(TRAINING, name));
  assert(twice.length === 0, `${owner} declares ${twice.join(", ")}, which is training's`);
  return { ...hyperparameters, ...TRAINING };
}

/** Defaults overlaid with what was said. UserError for an unknown name or a value out of range. */
export const settingsOf = (architecture: Architecture, said: Settings): Settings & Training =>
  chooseSettings(architecture.name, hyperparametersOf(architecture), said) as Settings & Training;

/**
 * The loss's terms and their weights. A term of weight 0 is not computed at all, unless it is among
 * `kept`: then it may get another weight without another graph.
 */
export function lossWeights(settings: Training,
  kept: readonly LossName[] = []): ReadonlyMap<LossName, number> {
  const heads = settings.heads === "all" ? settings.headWeight : 0;
  const chosen = (name: LossName): number => settings.loss === name ? 1 : 0;
  const weights: Readonly<Record<LossName, number>> = {
    sharpe: chosen("sharpe"), mse: chosen("mse"), binary: chosen("binary"),
    turnover: settings.turnoverWeight, cvar: settings.riskWeight,
    volatilityDeviation: settings.volatilityWeight, volatilityHead: heads, confidenceHead: heads,
  };
  return new Map(LOSS_NAMES.filter((name) => weights[name] > 0 || kept.includes(name))
    .map((name) => [name, weights[name]]));
}

/** Values to try for each setting. */
export type Grid = Readonly<Record<string, readonly (number | string)[]>>;

/** Random search grid of Lim, Zohren, Roberts (2019), who tried 50 settings. */
export const PAPER_GRID: Grid = {
  hidden: [5, 10, 20, 40, 80, 160],
  dropout: [0.1, 0.2, 0.3, 0.4, 0.5],
  batch: [64, 128, 256],
  learningRate: [1e-4, 1e-3, 1e-2, 1e-1],
  clip: [0.01, 1, 100],
};

/** The grid without settings that an architecture does not have. */
export function gridFor(architecture: Architecture, grid: Grid = PAPER_GRID): Grid {
  const known = hyperparametersOf(architecture);
  return Object.fromEntries(Object.entries(grid).filter(([name]) => Object.hasOwn(known, name)));
}

/** How many different settings a grid has. */
export const gridSize = (grid: Grid): number =>
  Object.values(grid).reduce((product, values) => product * values.length, 1);

/**
 * The settings of trial 0, 1, 2, ...: random search without repeats, as if all of the grid were
 * shuffled. Each trial is known by itself. Asserts when the grid has no such trial.
 */
export function drawSettings(grid: Grid, seed: number, trial: number): Settings {
  const size = gridSize(grid);
  assert(Number.isSafeInteger(size) && trial >= 0 && trial < size,
    `a grid of ${size} has no trial ${trial}`);
  let left = shuffledAt(size, random(seed, "grid").word() >>> 0, trial);
  return Object.fromEntries(Object.entries(grid).map(([name, values]) => {
    const at = left % values.length;
    left = Math.floor(left / values.length);
    return [name, values[at]];
  }));
}

/**
 * Where a shuffle of 0..size-1 puts `index`, without making the others: a Feistel network of four
 * rounds over the next even power of two, walked until it lands inside (Black, Rogaway, "Ciphers
 * with arbitrary finite domains", CT-RSA 2002). At most four times the size, so the walk is short.
 */
function shuffledAt(size: number, key: number, index: number): number {
  const half = Math.max(1, Math.ceil(Math.log2(size) / 2)), base = 2 ** half;
  let at = index;
  do {
    let left = Math.floor(at / base), right = at % base;
    for (let round = 0; round < 4; round++) {
      [left, right] = [right, (left + random(key, "round", round, right).below(base)) % base];
    }
    at = left * base + right;
  } while (at >= size);
  return at;
}
