/**
 * Weights of one date, optimised together: in time order, each date with the returns that were known then.
 *
 *     timeline of all bars   . . . . . . . . . . x x x x x      x: decided on
 *                            |--- 250 steps ---| returns are observed from here on
 *
 * The same object does it in live (strategy/optimise/shaper.ts), where the weights of a step come one by one.
 */
import { firstRowAt } from "../market/bars.ts";
import { openShaper, type PortfolioMethod } from "../strategy/optimise/shaper.ts";
import { WINDOW_ROWS } from "../strategy/risk-window.ts";
import type { RiskReason } from "../strategy/risk.ts";
import type { Alignment } from "./align.ts";
import type { Weights } from "./decide.ts";
import { buildTimeline } from "./event-plan.ts";
import type { InstrumentInput } from "./input.ts";

/** Changes `weights.weight` in place; returns how many dates were left as they were, by reason. */
export async function shapeWeights(instruments: readonly InstrumentInput[], { weight, volatility }: Weights,
  alignment: Alignment, method: PortfolioMethod, settings: { readonly weightMax: number },
  signal?: AbortSignal): Promise<Map<RiskReason, number>> {
  const unshaped = new Map<RiskReason, number>(), count = instruments.length;
  const shaper = await openShaper(method, count, settings);
  if (shaper === null || volatility === null) return unshaped;
  const timeline = buildTimeline(instruments.map((one) => one.features.time));
  const returns = new Float64Array(count), weights = new Float64Array(count), sigma = new Float64Array(count);
  const from = Math.max(0, firstRowAt(timeline.time, alignment.time[0]) - WINDOW_ROWS + 1);
  const to = firstRowAt(timeline.time, alignment.time[alignment.time.length - 1]);
  for (let step = from; step <= to; step++) {
    returns.fill(0);
    weights.fill(0);
    let isKnown = false;
    for (let entry = timeline.start[step]; entry < timeline.start[step + 1]; entry++) {
      const i = timeline.instrument[entry], row = timeline.row[entry], close = instruments[i].adjustedClose;
      weights[i] = weight[i][row];
      sigma[i] = volatility[i][row];
      if (row === 0) continue;
      returns[i] = close[row] / close[row - 1] - 1;
      isKnown = true;
    }
    if (isKnown) shaper.observe(returns);
    const reason = shaper.shape(weights, sigma);
    if (reason !== null) unshaped.set(reason, (unshaped.get(reason) ?? 0) + 1);
    for (let entry = timeline.start[step]; entry < timeline.start[step + 1]; entry++) {
      weight[timeline.instrument[entry]][timeline.row[entry]] = weights[timeline.instrument[entry]];
    }
    signal?.throwIfAborted();
  }
  return unshaped;
}
