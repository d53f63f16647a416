/**
 * A GPU sums in another order than the CPU that lives a day again: positions differ in their last digits,
 * and one unit of one order is enough for all that follows to differ. So the replay takes the number that
 * live said wherever its own confirms it; what is further away than that stays a difference.
 *
 *   batch ─> strategy on the CPU ─> 0.61943525 ─┬─ within ROUNDING of live's 0.61943515 ─> 0.61943515
 *                                               └─ further away, or live said nothing ──> 0.61943525
 */
import type { PredictionFact, Spoken } from "../../live/message.ts";
import type { Session } from "../../live/session.ts";
import type { Decision, Strategy } from "../../strategy/strategy.ts";

/** What each precision may make of a position, in [-1, 1]: the accuracy that the engine is held to. */
const ROUNDING = { float32: 1e-5, float16: 2e-3, bfloat16: 1e-2 } as const;
export const roundingOf = ({ precision = "float32" }: Session): number => ROUNDING[precision];

/** How far what live said was from what confirms it. */
export interface Confirmed {
  /** The farthest that it may be. */
  within: number;
  /** Numbers that live said otherwise. */
  count: number;
  largest: number;
}

/** What one worker said of this version: what another model said that took its place, none other confirms. */
export const predictionsOf = (said: readonly Spoken[], worker: string, version: string): PredictionFact[] =>
  said.filter((one): one is PredictionFact =>
    one.kind === "prediction" && one.model === worker && one.version === version);

/** Whether a strategy may have been answered elsewhere than its replay is. */
export const isRounded = ({ device }: Session, strategy: Strategy): boolean =>
  device === "cuda" && strategy.isForGpu === true;

/** The strategy, saying what was said where it agrees, to `within`; counts in `confirmed`. */
export function confirming(strategy: Strategy, said: readonly PredictionFact[],
  { within, confirmed }: { within: number; confirmed: Confirmed }): Strategy {
  confirmed.within = Math.max(confirmed.within, within);
  const known = new Map<string, { readonly position: number; readonly confidence: number }>();
  for (const { at, instrument, position, confidence } of said) {
    instrument.forEach((i, k) => {
      known.set(`${at} ${i}`, { position: position[k], confidence: confidence[k] });
    });
  }
  const agreed = (own: number, live: number): number => {
    const distance = Math.abs(own - live);
    if (!(distance > 0 && distance <= within)) return own;
    confirmed.count++;
    confirmed.largest = Math.max(confirmed.largest, distance);
    return live;
  };
  return { ...strategy,
    async decide(batch): Promise<Decision> {
      const decision = await strategy.decide(batch), position = decision.position.slice();
      const confidence = decision.confidence.slice();
      batch.instrument.forEach((i, b) => {
        const live = known.get(`${batch.time[b]} ${i}`);
        if (live === undefined) return;
        position[b] = agreed(position[b], live.position);
        confidence[b] = agreed(confidence[b], live.confidence);
      });
      return { ...decision, position, confidence };
    } };
}
