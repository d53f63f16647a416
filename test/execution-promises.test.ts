/** The promises of live trading, each by its name: how every one of them is kept in detail is told by the other files. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CALM, sessionOf, World } from "./execution-world.ts";

function started(symbols = ["AAA"]): World {
  const world = new World(symbols);
  world.run(1_000);
  return world;
}

describe("promises", () => {
  test("the broker is right about holdings: at the start, and ever after", () => {
    const world = new World(["AAA", "BBB"]);
    world.tradeOutside("AAA", 12, false);
    world.run(1_000);
    assert.deepEqual(world.books(), [12, 0]);
    world.tradeOutside("BBB", -4, false);
    world.run(60_000);
    assert.deepEqual([world.books(), world.last("trading-state")?.state], [[12, -4], "HALTED"]);
  });

  test("an unknown outcome stays unknown until proven: no second order, no other target's order on top", () => {
    const world = started();
    world.onSubmit = (order) => {
      world.later(4_000, () => { world.accept(order); });
      return { outcome: "unknown", reason: "504" };
    };
    world.hand(world.target([10]));
    world.run(500);
    assert.equal(world.last("order-state")?.order.state, "unknown");
    world.hand(world.target([10], world.now));
    world.hand(world.target([25], world.now + 1));
    world.run(3_000);
    assert.deepEqual([world.posts.length, world.last("order-state")?.order.state], [1, "unknown"]);
    world.onSubmit = null;
    world.run(30_000);
    assert.deepEqual([world.position(), world.held.size], [25, 2]);
  });

  test("a stepped market settles when the broker's orders are as we know them: what it does not tell is looked up", () => {
    const session = sessionOf(["AAA"], { clock: { kind: "market", isStepped: true, barsPerSecond: null } });
    const world = new World(["AAA"], 1, CALM, { session, reconcileMs: 1e9, watchMs: 2_000 });
    world.run(1_000);
    world.fillsAtOnce = false;
    const first = world.target([10]);
    world.hand(first);
    world.run(100);
    assert.deepEqual([world.last("settled")?.at, world.books(), world.lookUps.length], [first.at, [0], 0]);
    // By now it is looked at by itself once a minute.
    world.run(70_000);
    world.faults = { ...CALM, lostUpdate: 1 };
    world.fill(world.posts[0].id, 10);
    const second = world.target([10]), lookUps = world.lookUps.length;
    world.hand(second);
    world.run(1_500);
    assert.deepEqual([world.last("settled")?.at, world.lookUps.length], [first.at, lookUps]);
    world.run(600);
    assert.deepEqual([world.last("settled")?.at, world.books(), world.lookUps.length], [second.at, [10], lookUps + 1]);
  });

  test("a stepped market stands still while nobody knows what is held: after a cut stream, and a split", () => {
    const session = sessionOf(["AAA"], { clock: { kind: "market", isStepped: true, barsPerSecond: null } });
    const world = new World(["AAA"], 1, CALM, { session });
    world.run(1_000);
    const blind: (() => void)[] = [() => { world.disconnect(); },
      () => { world.hand({ kind: "notice", at: world.now, instrument: 0, what: "split", value: 2 }); }];
    for (const [k, begin] of blind.entries()) {
      begin();
      // As of who does not know what is held.
      const none = { instrument: new Int32Array(), weight: new Float64Array(), units: new Float64Array(),
        price: new Float64Array() }, target = { ...world.target([0], world.now + k), ...none };
      world.hand(target);
      assert.notEqual(world.last("settled")?.at, target.at);
      world.run(5_000);
      assert.deepEqual([world.last("settled")?.at, world.last("account")?.isReconciled], [target.at, true]);
    }
  });

  test("a stepped market goes on under a flatten that its volume fills in part: flat and HALTED some steps later", () => {
    const session = sessionOf(["AAA"], { clock: { kind: "market", isStepped: true, barsPerSecond: null } });
    const world = new World(["AAA"], 1, CALM, { session });
    world.run(1_000);
    world.hand(world.target([10]));
    world.run(1_000);
    world.fillsAtOnce = false;
    const [command, { at }] = [world.control("flatten"), world.last("settled")!];
    world.hand(command);
    world.run(1_000);
    const state = (): unknown[] => [world.last("trading-state")?.state, world.books(), world.posts.length];
    assert.ok(world.last("settled")!.at > at);
    assert.deepEqual(state(), ["REDUCING", [10], 2]);
    world.fill(world.posts[1].id, 6);
    const next = world.target([10]);
    world.hand(next);
    world.run(1_000);
    assert.deepEqual([world.last("settled")?.at, ...state()], [next.at, "REDUCING", [4], 2]);
    world.fill(world.posts[1].id, 4);
    world.run(1_000);
    assert.deepEqual(state(), ["HALTED", [0], 2]);
  });

  test("if reconciliation fails, do not start: no order before the account could be read", () => {
    const world = new World(["AAA"]);
    world.truthTrouble = "503";
    world.run(1_000);
    world.hand(world.target([10]));
    world.run(30_000);
    assert.deepEqual([world.posts.length, world.last("account")], [0, undefined]);
    world.truthTrouble = null;
    world.run(10_000);
    assert.deepEqual([world.position(), world.last("account")?.isReconciled], [10, true]);
  });

  test("state is written before it counts: RESUME when it is on the disk, HALT at once and again until it is", () => {
    const world = started();
    world.hand(world.control("halt"));
    world.run(100);
    world.hand(world.control("resume"));
    assert.equal(world.last("trading-state")?.state, "HALTED");
    world.crash();
    world.journal = world.journal.filter((one) => one.t !== "state" || one.state === "HALTED");
    world.run(2_000);
    assert.equal(world.last("trading-state")?.state, "HALTED");
    world.hand(world.control("resume"));
    world.run(100);
    assert.equal(world.last("trading-state")?.state, "ACTIVE");
    world.journalTrouble = "full";
    world.hand(world.control("halt"));
    assert.equal(world.last("trading-state")?.state, "HALTED");
    world.run(2_000);
    world.journalTrouble = null;
    world.run(3_000);
    world.crash();
    world.run(2_000);
    assert.equal(world.last("trading-state")?.state, "HALTED");
  });

  test("a lost order may still fill: given up, it is booked when it shows up, and undone by the next target", () => {
    const world = started();
    const late: (() => void)[] = [];
    world.onSubmit = (order) => {
      late.push(() => { world.accept(order); });
      return { outcome: "unknown", reason: "reset" };
    };
    world.hand(world.target([10]));
    world.run(60_000);
    assert.deepEqual([world.alerts("order-lost").length, world.last("settled")?.orders, world.position()], [1, 1, 0]);
    world.onSubmit = null;
    for (const arrive of late) arrive();
    world.run(30_000);
    assert.deepEqual([world.position(), world.books()], [10, [10]]);
    world.hand(world.target([3]));
    world.run(5_000);
    assert.deepEqual([world.position(), world.held.size, world.last("trading-state")?.state], [3, 2, "ACTIVE"]);
  });

  test("no orders while the update stream is unproven", () => {
    const world = started();
    world.disconnect();
    world.hand(world.target([10]));
    assert.equal(world.posts.length, 0);
    world.run(10_000);
    assert.equal(world.position(), 10);
  });

  test("halt rather than drop: a halt that came before the journal was read is obeyed, however much came after it", () => {
    const world = new World(["AAA"]);
    world.hand(world.control("halt", "early"));
    for (let k = 0; k < 200; k++) world.hand(world.target([k], world.now - 1_000 + k));
    world.run(5_000);
    assert.deepEqual([world.posts.length, world.last("trading-state")?.reason], [0, "early"]);
  });

  test("cancels pass while HALTED: also those of orders that the broker got only then", () => {
    const world = started();
    world.fillsAtOnce = false;
    world.hand(world.target([10]));
    world.run(3);
    world.hand(world.control("halt"));
    world.run(5_000);
    assert.equal(world.open().length, 0);
    assert.equal(world.posts.length, world.cancels.length);
  });

  test("deterministic ids: two worlds of one history send the same ids, whatever was lost on the way", () => {
    const ids = [CALM, { ...CALM, lostUpdate: 0.5, twiceUpdate: 0.5 }].map((faults) => {
      const world = new World(["AAA", "BBB"], 3, faults);
      for (const units of [[5, -2], [-5, 4], [0, 0]]) {
        world.run(60_000);
        world.hand(world.target(units));
      }
      world.run(60_000);
      assert.deepEqual([world.position("AAA"), world.position("BBB")], [0, 0]);
      return [...world.held.keys()].sort();
    });
    assert.deepEqual(ids[0], ids[1]);
    assert.equal(ids[0].length, 8);
  });

  test("one-pass convergence: from anywhere to the target with one order each where nothing has to change sides", () => {
    const symbols = Array.from({ length: 40 }, (_, k) => `S${k}`), world = started(symbols);
    world.hand(world.target(symbols.map((_, k) => k - 20)));
    world.run(2_000);
    const before = world.posts.length;
    world.hand(world.target(symbols.map((_, k) => 2 * (k - 20))));
    world.run(2_000);
    assert.deepEqual([before, world.posts.length - before], [39, 39]);
    assert.deepEqual(symbols.map((symbol) => world.position(symbol)), symbols.map((_, k) => 2 * (k - 20)));
    assert.equal(world.last("settled")?.orders, 39);
  });
});
