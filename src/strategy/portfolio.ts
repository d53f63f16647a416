/**
 * From positions to weights: volatility targeting, twice.
 *
 *     position x_i in [-1, 1] --(1)--> weight w_i --(2)--> scaled weight --> fraction f_i = w_i / N
 *
 *   (1) each instrument to the same volatility:  w = x * target / (sigma * sqrt(periods a year))
 *       Lim, Zohren, Roberts, "Enhancing Time-Series Momentum Strategies Using Deep Neural
 *       Networks" (2019), eq. 1
 *   (2) the whole portfolio to its own target: w * target / sigma_p, where sigma_p is the
 *       exponentially weighted standard deviation (span 60) of the *past* returns of the portfolio
 *       before this step. Until there are 60 of them the factor is 1.
 */

export interface Sizing {
  /** Annual volatility each instrument is scaled to, fraction. */
  readonly volatilityTarget: number;
  readonly periodsPerYear: number;
  /** Largest |weight| of one instrument; Infinity (default) for none. */
  readonly weightMax?: number;
}

/** Why a weight is not simply position x target / volatility. */
export const SIZING_REASONS = {
  "no-volatility": "the ex-ante volatility is zero, negative or unknown, so the weight is 0",
  "no-position": "the strategy gave no finite position, so the weight is 0",
  "leverage-cap": "the weight was clipped to the largest allowed for one instrument",
} as const;
export type SizingReason = keyof typeof SIZING_REASONS;

/**
 * Weight of one instrument; `volatility` is of one period. Never NaN, never infinite: see
 * `sizingReason`.
 */
export function weightOf(position: number, volatility: number, sizing: Sizing): number {
  if (!(volatility > 0) || !Number.isFinite(position) || volatility === Infinity) return 0;
  const weightMax = sizing.weightMax ?? Infinity;
  const weight = position * sizing.volatilityTarget / (volatility * Math.sqrt(sizing.periodsPerYear));
  if (weight > weightMax) return weightMax;
  if (weight < -weightMax) return -weightMax;
  // A denormal volatility overflows: as good as none.
  return Number.isFinite(weight) ? weight : 0;
}

/** Why `weightOf` did not scale plainly; null when it did. */
export function sizingReason(position: number, volatility: number,
  sizing: Sizing): SizingReason | null {
  if (!Number.isFinite(position)) return "no-position";
  if (!(volatility > 0) || volatility === Infinity) return "no-volatility";
  const annual = volatility * Math.sqrt(sizing.periodsPerYear);
  const weight = Math.abs(position * sizing.volatilityTarget / annual);
  if (weight > (sizing.weightMax ?? Infinity)) return "leverage-cap";
  return Number.isFinite(weight) ? null : "no-volatility";
}

/**
 * Span of the portfolio's own volatility estimate, periods; also the returns needed before the
 * first estimate.
 */
export const PORTFOLIO_SPAN = 60;
/** The second scaling never multiplies by more than this, however calm the past was. */
export const PORTFOLIO_SCALE_MAX = 20;

/** Its sums, for a restart. */
export interface ScalerState {
  readonly count: number;
  readonly sum: number;
  readonly sumSquares: number;
  readonly mean: number;
  readonly moment: number;
}

/**
 * The second scaling as a state machine. At each decision: first `observe` every return of the
 * *unscaled* portfolio (gross, fraction of equity) that has become known since the last decision,
 * then ask for `factor`. Mean and variance as pandas' ewm(span=60, adjust=True, bias=False).
 */
export class PortfolioScaler {
  readonly #target: number;
  readonly #annual: number;
  readonly #decay: number;
  #count = 0;
  #sum = 0;          // sum of weights
  #sumSquares = 0;   // sum of squared weights
  #mean = 0;
  #moment = 0;       // weighted sum of squared deviations

  /** `target` null switches the scaling off: `factor` is always 1. */
  constructor(target: number | null, periodsPerYear: number, span = PORTFOLIO_SPAN) {
    this.#target = target ?? NaN;
    this.#annual = Math.sqrt(periodsPerYear);
    this.#decay = 1 - 2 / (span + 1);
  }

  /** One period's return of the unscaled portfolio. NaN is ignored. */
  observe(portfolioReturn: number): void {
    if (Number.isNaN(portfolioReturn)) return;
    // West's update, with every older weight multiplied by the decay first.
    this.#count++;
    this.#sum = this.#sum * this.#decay + 1;
    this.#sumSquares = this.#sumSquares * this.#decay * this.#decay + 1;
    const delta = portfolioReturn - this.#mean;
    this.#mean += delta / this.#sum;
    this.#moment = this.#moment * this.#decay + delta * (portfolioReturn - this.#mean);
  }

  /** Ex-ante volatility of one period; NaN before 60 returns. */
  volatility(): number {
    if (this.#count < PORTFOLIO_SPAN) return NaN;
    return Math.sqrt(this.#moment / (this.#sum - this.#sumSquares / this.#sum));
  }

  /**
   * What to multiply every weight by now: 1 during the warm-up and when there is no variance or no
   * target.
   */
  factor(): number {
    const annual = this.volatility() * this.#annual;
    if (Number.isNaN(this.#target) || !(annual > 0)) return 1;
    return Math.min(this.#target / annual, PORTFOLIO_SCALE_MAX);
  }
  save(): ScalerState {
    return { count: this.#count, sum: this.#sum, sumSquares: this.#sumSquares, mean: this.#mean,
      moment: this.#moment };
  }

  restore({ count, sum, sumSquares, mean, moment }: ScalerState): void {
    this.#count = count;
    this.#sum = sum;
    this.#sumSquares = sumSquares;
    this.#mean = mean;
    this.#moment = moment;
  }
}
