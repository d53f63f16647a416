/**
 * Weights that know of each other: between sizing (each instrument to the same volatility) and the second
 * scaling, an optimiser spreads the same risk anew.
 *
 *     weights w ─┬─ sign s: never changed                               ┌─ y: |weights| of the method,
 *                ├─ amount b = |w| sigma, proportional to |position| ───┤  scaled to the risk of w:
 *     returns ───┴─ R: shrunk correlations of s x return                └─ y'Cy = w'Cw, C = sigma R sigma
 *
 * What the methods make of a position's strength |x| (all only of instruments with a weight):
 *
 *     erc            shares of risk are proportional to |x|
 *     hrp            the tree's share times |x|
 *     min-variance   signs only: least variance at the gross exposure of w
 *     mean-variance  expected gain x sigma, so that without correlations y = w
 *     cvar           least tail loss of the observed scenarios at the expected gain that w has
 *
 * The correlations (covariance.ts) are the past's, the volatilities the strategy's. Caps (weightMax) and the
 * cost of changing weights are in the last three problems; scaling may lift a weight above the cap, where it
 * is clipped. What fails leaves the weights as they were, with a reason. Returns of 60 periods are needed; of
 * 250 at most is it made, without their means.
 */
import { assert } from "../../base/assert.ts";
import { shrunkCorrelation, standardised } from "../covariance.ts";
import type { RiskReason } from "../risk-table.ts";
import { ReturnWindow } from "../risk-window.ts";
import { equalRisk } from "./equal-risk.ts";
import { hierarchicalRisk } from "./hierarchical.ts";
import { leastTailRisk, meanVariance, minimumVariance, type Terms } from "./programs.ts";
import { Solver, type Program } from "./solver.ts";

export const PORTFOLIO_METHODS =
  ["volatility", "erc", "hrp", "min-variance", "mean-variance", "cvar"] as const;
export type PortfolioMethod = (typeof PORTFOLIO_METHODS)[number];

/** Why weights were not shaped. */
export type ShapeReason = Extract<RiskReason, "short-history" | "no-solution">;

export const SHAPE_ROWS_MIN = 60;

/** One date's problem; M instruments. */
interface Question {
  /** (M, M) */
  readonly correlation: Float64Array;
  /** (M) amounts of risk of the plain weights, in units of their mean. */
  readonly amount: Float64Array;
  /** (M) standardised returns in the direction of the weights, T each. */
  readonly scenarios: readonly Float64Array[];
  readonly terms: Terms;
  /** Sum of plain weights. */
  readonly gross: number;
}

type Answer = (question: Question, solve: (program: Program) => Float64Array | null) => Float64Array | null;

/** (M) amounts up to a factor, or null. */
const ANSWERS = {
  erc: ({ correlation, amount }) => equalRisk(correlation, amount),
  hrp: ({ correlation, amount, terms: { volatility } }) => {
    const M = amount.length;
    const covariance = correlation.map((value, k) =>
      value * volatility[Math.floor(k / M)] * volatility[k % M]);
    // Amount and share are both per volatility: shares of weight times |x|, back to risk.
    return hierarchicalRisk(covariance, M).map((share, i) => share * volatility[i] * amount[i]);
  },
  "min-variance": ({ correlation, gross, terms }, solve) => solve(minimumVariance(correlation, gross, terms)),
  "mean-variance": ({ correlation, amount, terms }, solve) => solve(meanVariance(correlation, amount, terms)),
  cvar: ({ scenarios, amount, terms }, solve) =>
    solve(leastTailRisk(scenarios, amount, amount.reduce((sum, b) => sum + b * b, 0), terms)),
} as const satisfies Record<Exclude<PortfolioMethod, "volatility">, Answer>;

export interface ShaperOptions {
  /** Largest |weight| of one instrument; default none. */
  readonly weightMax?: number;
  /** What one unit of |change of weight| costs in a period, in basis points: in the solver's problems. */
  readonly costBps?: number;
}

/** Null for "volatility", which shapes nothing. Loads the solver where the method needs it. */
export async function openShaper(method: PortfolioMethod, instruments: number,
  options: ShaperOptions = {}): Promise<Shaper | null> {
  if (method === "volatility") return null;
  const needsSolver = method !== "erc" && method !== "hrp";
  return new Shaper(method, instruments, needsSolver ? await Solver.load() : null, options);
}

export class Shaper {
  readonly #answer: Answer;
  readonly #solver: Solver | null;
  readonly #window: ReturnWindow;
  readonly #weightMax: number;
  readonly #cost: number;
  /** (N) weights of the last time, for the cost of changing them. */
  readonly #held: Float64Array;

  constructor(method: Exclude<PortfolioMethod, "volatility">, instruments: number, solver: Solver | null,
    { weightMax = Infinity, costBps = 0 }: ShaperOptions) {
    this.#answer = ANSWERS[method];
    this.#solver = solver;
    this.#window = new ReturnWindow(instruments);
    this.#weightMax = weightMax;
    this.#cost = costBps * 1e-4;
    this.#held = new Float64Array(instruments);
  }

  /** (N) returns of the period that ended now; 0 without one. */
  observe(returns: Float64Array): void { this.#window.add(returns); }

  /**
   * Shapes `weights` (N, 0: not wanted) in place. `volatility` (N) of one period, where there is a weight.
   * Returns why it left them as they are, or null.
   */
  shape(weights: Float64Array, volatility: Float64Array): ShapeReason | null {
    const active = [...weights.keys()].filter((i) => weights[i] !== 0);
    const reason = active.length < 2 ? null : this.#reshape(active, weights, volatility);
    this.#held.set(weights);
    return reason;
  }

  #reshape(active: readonly number[], weights: Float64Array, volatility: Float64Array): ShapeReason | null {
    if (this.#window.rows < SHAPE_ROWS_MIN) return "short-history";
    const wanted = Float64Array.from(active, (i) => Math.abs(weights[i]));
    const sigma = Float64Array.from(active, (i) => volatility[i]);
    const unit = wanted.reduce((sum, weight, k) => sum + weight * sigma[k], 0) / active.length;
    if (!(unit > 0 && unit < Infinity)) return "no-solution";
    const amount = wanted.map((weight, k) => weight * sigma[k] / unit);
    const scenarios = active.map((i) =>
      standardised(this.#window.column(i).map((value) => value * Math.sign(weights[i]))));
    const { values: correlation } = shrunkCorrelation(scenarios);
    const question = this.#question(active, weights, { sigma, unit, amount, scenarios, correlation });
    const found = this.#answer(question, (program) => {
      assert(this.#solver !== null, "the method was opened without its solver");
      return this.#solver.solve(program);
    });
    if (found === null) return "no-solution";
    const z = found.slice(0, active.length).map((value) => Math.max(0, value));
    const scale = riskOf(correlation, amount) / riskOf(correlation, z) * unit;
    if (!(scale > 0 && scale < Infinity)) return "no-solution";
    active.forEach((i, k) => {
      weights[i] = Math.sign(weights[i]) * Math.min(this.#weightMax, z[k] * scale / sigma[k]);
    });
    return null;
  }

  /** In units in which amounts are about 1, whatever the volatilities: solvers have absolute tolerances. */
  #question(active: readonly number[], weights: Float64Array, known: Pick<Question, "amount" | "scenarios"
    | "correlation"> & { readonly sigma: Float64Array; readonly unit: number }): Question {
    const { sigma, unit, amount, scenarios, correlation } = known;
    const level = sigma.reduce((sum, value) => sum + value, 0) / sigma.length;
    // A weight of unit / level counts as 1.
    const relative = (weight: number): number => weight * level / unit;
    const volatilities = sigma.map((value) => value / level);
    return {
      correlation, amount, scenarios,
      gross: amount.reduce((sum, b, k) => sum + b / volatilities[k], 0),
      terms: {
        volatility: volatilities, cap: volatilities.map((value) => relative(this.#weightMax) * value),
        held: Float64Array.from(active, (i) => relative(this.#held[i]) * Math.sign(weights[i])),
        cost: this.#cost / (unit * level),
      },
    };
  }
}

/** Standard deviation of amounts. */
function riskOf(correlation: Float64Array, amounts: Float64Array): number {
  const M = amounts.length;
  let variance = 0;
  for (let i = 0; i < M; i++) {
    for (let j = 0; j < M; j++) variance += amounts[i] * correlation[i * M + j] * amounts[j];
  }
  return Math.sqrt(variance);
}
