/**
 * Execution by seed: targets, lost, doubled and reordered news, answers in the dark, 429s, disconnects and crashes
 * between any two effects. The broker of execution-world.ts is the judge: what it holds, and what it was asked.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { CALM, World, type Faults } from "./execution-world.ts";

const WILD: Faults = { unknown: 0.1, lostUpdate: 0.1, twiceUpdate: 0.1, crash: 0.01, limited: 0.05, partial: 0.4,
  disconnect: 0.05, external: 0, rejected: 0 };

/** Runs a day of targets over a wild world; throws where a promise is broken. */
function live(seed: number, faults: Faults, symbols = ["AAA", "BBB", "CCC"]): World {
  const draw = random(seed, "targets"), world = new World(symbols, seed, faults);
  const low = symbols.map(() => 0), high = symbols.map(() => 0);
  world.check = () => {
    symbols.forEach((symbol, i) => {
      const held = world.position(symbol);
      assert.ok(held >= low[i] - 1e-9 && held <= high[i] + 1e-9,
        `seed ${seed}: ${symbol} holds ${held}, never wanted beyond [${low[i]}, ${high[i]}]`);
    });
    for (const { order } of world.held.values()) {
      assert.ok(Math.abs(order.filled) <= Math.abs(order.quantity));
    }
  };
  let wanted: number[] = symbols.map(() => 0), newest = NaN;
  world.run(1_000);
  for (let step = 0; step < 25; step++) {
    wanted = symbols.map(() => draw.below(41) - 20);
    const target = world.target(wanted);
    // At rest, only what is between the holdings and the new wish may be held; else also what was on its way.
    const isAtRest = world.last("settled")?.at === newest && world.open().length === 0;
    newest = target.at;
    wanted.forEach((units, i) => {
      const held = world.position(symbols[i]);
      low[i] = Math.min(isAtRest ? held : low[i], units);
      high[i] = Math.max(isAtRest ? held : high[i], units);
    });
    world.deliver(1, target);
    // Commands are handed over at least once: also to the one that was started in between.
    if (draw.uniform() < 0.3) world.later(500, () => world.hand(target));
    if (draw.uniform() < faults.disconnect) world.disconnect();
    world.run(draw.below(4) === 0 ? 20_000 : 100 + draw.below(5_000));
  }
  world.faults = CALM;
  world.run(60_000);
  const target = world.target(wanted);
  world.hand(target);
  world.run(120_000);
  assert.deepEqual(symbols.map((symbol) => world.position(symbol)), wanted, `seed ${seed}: the broker holds what was wanted`);
  assert.deepEqual(world.books(), wanted, `seed ${seed}: our books say the same`);
  assert.equal(world.open().length, 0);
  assert.equal(world.last("settled")?.at, target.at, `seed ${seed}: the last target has settled`);
  return world;
}

describe("by seed", () => {
  test("200 wild days: one broker order per intent, never beyond what was wanted, in the end what was wanted", () => {
    let crashes = 0, unknown = 0, posts = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const world = live(seed, WILD);
      crashes += world.crashes;
      posts += world.posts.length;
      unknown += world.alerts("order-unknown").length;
      assert.equal(new Set(world.sent).size, world.sent.length, `seed ${seed}: no process posts an id twice`);
    }
    assert.ok(crashes > 200 && unknown > 200 && posts > 5_000,
      `it was wild: ${crashes} crashes, ${unknown} unknown, ${posts} posts`);
  });
});
