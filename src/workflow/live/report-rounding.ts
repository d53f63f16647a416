/**
 * A GPU sums in another order than the CPU that lives a day again: positions differ in their last digits,
 * and one unit of one order is enough for all that follows to differ. So the replay takes the number that
 * live said wherever its own confirms it; what is further away than that stays a difference.
 *
 *   batch ─> strategy on the CPU ─> 0.61943525 ─┬─ within ROUNDING of 0.61943515, as live said ─> 0.61943515
 *                                               └─ further away, or live said nothing ──────────> 0.61943525
 */
import type { PredictionFact, Spoken } from "../../live/message.ts";
import type { Session } from "../../live/session.ts";
import type { Decision, Strategy } from "../../strategy/strategy.ts";

/** What float32 may make of a position, from kernel to kernel (they are in [-1, 1]). */
export const ROUNDING = 1e-5;

/** How far what live said was from what confirms it. */
export interface Confirmed {
  /** Numbers that live said otherwise. */
  count: number;
  largest: number;
}

/** What one worker said. */
export const predictionsOf = (said: readonly Spoken[], worker: string): PredictionFact[] =>
  said.filter((one): one is PredictionFact => one.kind === "prediction" && one.model === worker);

/** Whether a strategy was answered elsewhere than its replay is. */
export const isRounded = ({ device }: Session, strategy: Strategy): boolean =>
  device === "cuda" && strategy.close !== undefined;

/** The strategy, saying what was said where it agrees. */
export function confirming(strategy: Strategy, said: readonly PredictionFact[],
  confirmed: Confirmed): Strategy {
  const known = new Map<string, { readonly position: number; readonly confidence: number }>();
  for (const { at, instrument, position, confidence } of said) {
    instrument.forEach((i, k) => {
      known.set(`${at} ${i}`, { position: position[k], confidence: confidence[k] });
    });
  }
  const agreed = (own: number, live: number): number => {
    const distance = Math.abs(own - live);
    if (!(distance > 0 && distance <= ROUNDING)) return own;
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
