/**
 * Seeds of everything at once over the in-memory graph. A failing seed says its number: that number alone is the
 * reproducer. DMN_TEST_SEEDS=5000 for the long run.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { after, before, describe, test } from "node:test";
import { NO_LIMITS } from "../src/strategy/risk.ts";
import { faultPlan } from "../src/workflow/live/fault-plan.ts";
import { violationsOf, type SimulationRecord } from "../src/workflow/live/invariants.ts";
import { HISTORY, makeToy, play, PROCESSES, STEP_MS, SYMBOLS, toyMarket, type Toy } from "./live-toy.ts";

const SEEDS = Number(process.env["DMN_TEST_SEEDS"] ?? 200), PER_TEST = 25;
/** Minutes of trading of each seed. */
const STEPS = 16;
const STALE_MS = 90_000;
const STYLES = ["market", "limit-at-touch", "twap"] as const;
let toy: Toy;
before(async () => { toy = await makeToy({ risk: { staleMs: STALE_MS } }); });
after(() => { fs.rmSync(toy.root, { recursive: true, force: true }); });

async function playSeed(seed: number): Promise<SimulationRecord> {
  const faults = faultPlan(seed, { processes: seed % 2 === 0 ? [...PROCESSES, "meta"] : PROCESSES, instruments: SYMBOLS.length,
    live: HISTORY, steps: STEPS, stepMs: STEP_MS,
    calmSteps: 6 });
  const style = STYLES[seed % STYLES.length];
  const mixture = seed % 2 === 0 ? "adaptive" as const : "equal" as const;
  const session = { ...toy.session, mixture, execution: { ...toy.session.execution, style, slices: style === "twap" ? 3 : 1 } };
  return await play({ ...toy, session }, seed, { faults, market: toyMarket(seed, STEPS) }, { ...NO_LIMITS, staleMs: STALE_MS });
}

describe(`${SEEDS} seeds of faults: one order per intent, books = broker, no order on stale prices, HALTED stays HALTED`, () => {
  for (let from = 1; from <= SEEDS; from += PER_TEST) {
    const to = Math.min(SEEDS, from + PER_TEST - 1);
    test(`seeds ${from} to ${to}`, async () => {
      let orders = 0;
      for (let seed = from; seed <= to; seed++) {
        const record = await playSeed(seed);
        assert.deepEqual(violationsOf(record), [], `seed ${seed}`);
        orders += record.venue.filter(({ what }) => what === "submit").length;
      }
      assert.ok(orders > 10 * (to - from + 1), `only ${orders} orders were sent: nothing was tried`);
    });
  }
});

test("a seed is a reproducer: the same one gives the same record", async () => {
  for (const seed of [4, 9]) {
    const once = await playSeed(seed), again = await playSeed(seed);
    assert.deepEqual(again.venue, once.venue);
    assert.equal(again.entries.length, once.entries.length);
    assert.deepEqual(again.entries.map(({ elapsedMs, process, what }) => `${elapsedMs} ${process} ${what}`),
      once.entries.map(({ elapsedMs, process, what }) => `${elapsedMs} ${process} ${what}`));
  }
});
