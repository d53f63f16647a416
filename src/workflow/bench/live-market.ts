/** Messages of a market as it may be: prices that walk, so that sizes and ratios mean something. */
import { random } from "../../base/random.ts";
import { BAR_FIELDS, BAR_FLAGS, type MarketFact } from "../../live/message.ts";

const MINUTE_MS = 60_000, FROM = Date.UTC(2024, 2, 4, 14, 30);

/** Steps of a market, each all instruments' bars of one minute: cents, whole volumes. */
export function marketSteps(instruments: number, steps: number): MarketFact[] {
  const draw = random(1, "live bench"), width = BAR_FIELDS.length, cents = (price: number): number =>
    Math.round(price * 100) / 100;
  const price = Float64Array.from({ length: instruments }, () => 20 + 200 * draw.uniform());
  return Array.from({ length: steps }, (_, t) => {
    const bars = new Float64Array(instruments * width);
    for (let i = 0; i < instruments; i++) {
      const open = price[i], close = price[i] = open * Math.exp(0.001 * draw.normal());
      bars.set([open, Math.max(open, close) * 1.0003, Math.min(open, close) * 0.9997, close].map(cents),
        i * width);
      bars.set([100 + draw.below(50_000), (open + close) / 2, 10 + draw.below(500)], i * width + 4);
    }
    return { kind: "market", at: FROM + t * MINUTE_MS, instrument: Int32Array.from(price, (__, i) => i), bars,
      flags: new Uint8Array(instruments).fill(BAR_FLAGS.fresh) };
  });
}

/** One step. */
export const marketFact =
  (instruments: number, at: number): MarketFact => ({ ...marketSteps(instruments, 1)[0], at });
