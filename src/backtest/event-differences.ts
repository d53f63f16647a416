/**
 * Why the two engines differ, by ablation: from the vector engine's total return to the event
 * engine's in steps, each switching on one thing. The steps telescope, so they sum to the whole
 * difference.
 *
 *     vector, nothing paid --timing--> account, nothing paid --costs--> ... --> account as asked for
 */
import type { Terms } from "./event-replay.ts";
import { frictionless, perform, termsOf, totalReturn, tradesRaw } from "./event-stage.ts";
import type { Performance, Stage } from "./event-stage.ts";
import type { Curve, DifferenceRow } from "./result.ts";

interface Switch {
  readonly what: string;
  readonly why: string;
  readonly isOn: boolean;
  readonly terms: Partial<Terms>;
}

function switches(stage: Stage, final: Terms): Switch[] {
  const { input, scene } = stage;
  const hasVolume = final.participationMax < Infinity
    && input.instruments.some((one) => one.bars.columns.volume !== undefined);
  const capital = scene.capital.toLocaleString("en-US");
  return [
    { what: "fills at the open", isOn: final.isFilledAtOpen, terms: { isFilledAtOpen: true },
      why: "orders fill at the next bar's open; the vector engine trades at its close" },
    { what: "slippage", isOn: final.slippageBps > 0, terms: { slippageBps: final.slippageBps },
      why: `each fill is ${final.slippageBps} bps worse than the bar's price` },
    { what: "raw prices", isOn: hasOtherPrices(stage, final), terms: { prices: final.prices },
      why: "shares are held through splits, dividends are paid in cash; adjusted prices reinvest them" },
    { what: "whole shares", isOn: !final.isFractional, terms: { isFractional: false },
      why: `positions are rounded towards zero to whole shares, on a capital of ${capital}` },
    { what: "partial fills", isOn: hasVolume, terms: { participationMax: final.participationMax },
      why: `an order fills no more than ${final.participationMax * 100} % of its bar's volume` },
    { what: "order gates", isOn: final.isGated, terms: { isGated: true },
      why: "orders beyond the price collar or the notional limit are refused" },
  ];
}

/**
 * `vector`: the vector engine's curve under the same settings; `final`: the replay under `termsOf`.
 */
export function explainDifference(stage: Stage, vector: Curve, final: Performance): DifferenceRow[] {
  const asked = termsOf(stage.input), rows: DifferenceRow[] = [];
  const total = (performance: Performance): number => totalReturn(performance.book, stage.stretches);
  const grown = (returns: Float64Array): number =>
    returns.reduce((growth, value) => growth * (1 + value), 1) - 1;
  const vectorNet = grown(vector.netReturn), vectorGross = grown(vector.grossReturn);
  let terms: Terms = frictionless(stage.input);
  let before = total(perform(stage, terms));
  rows.push({ what: "timing", returnDifference: before - vectorGross, why: timingWhy(stage) });
  if (paysSomething(stage)) {
    terms = { ...terms, costs: asked.costs };
    const after = total(perform(stage, terms));
    rows.push({ what: "costs", returnDifference: (after - before) - (vectorNet - vectorGross),
      why: "holdings drift with prices and are traded back to their weights; the vector engine charges "
        + "changes of weights only" });
    before = after;
  }
  const on = switches(stage, asked).filter((one) => one.isOn);
  on.forEach((one, k) => {
    terms = { ...terms, ...one.terms };
    const after = k === on.length - 1 ? total(final) : total(perform(stage, terms));
    rows.push({ what: one.what, returnDifference: after - before, why: one.why });
    before = after;
  });
  return rows;
}

/** Whether the prices traded at are not simply the adjusted ones. */
function hasOtherPrices(stage: Stage, { prices }: Terms): boolean {
  return tradesRaw(stage.input) && prices.some(({ close, actions }, i) =>
    actions.length > 0 || close.some((price, row) => price !== stage.scene.adjustedClose[i][row]));
}

function paysSomething(stage: Stage): boolean {
  const { costs } = stage.input.settings;
  return Math.max(costs.costBps, costs.borrowBps, costs.financingBps) > 0 || costs.isHalfSpreadCharged;
}

function timingWhy(stage: Stage): string {
  const limits = stage.scene.rules.isLimited ? "; limits see what is really held" : "";
  return "a return counts when its bar arrives; the vector engine books it on the day of its decision, "
    + `also over days on which the instrument had no bar${limits}`;
}
