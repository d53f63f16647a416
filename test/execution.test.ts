/** Execution alone, one promise at a time: the numbers are worked out by hand from what the broker was made to do. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { NO_LIMITS } from "../src/strategy/risk.ts";
import { bookFill, equityOf, openBooks } from "../src/live/execution/books.ts";
import { STRICT } from "../src/live/execution/desk.ts";
import type { OrderState } from "../src/live/message.ts";
import { calendar } from "../src/market/calendar.ts";
import { windowAt } from "../src/live/execution/window.ts";
import { orderId, ownPrefix, readOrderId } from "../src/live/execution/order-id.ts";
import { roundPrice, roundUnits, truncateUnits } from "../src/live/execution/quantity.ts";
import { CALM, sessionOf, START, World } from "./execution-world.ts";

/** A world that has started. */
function started(symbols: readonly string[] = ["AAA"], ...rest: [number?, typeof CALM?,
  ConstructorParameters<typeof World>[3]?]): World {
  const world = new World(symbols, ...rest);
  world.run(100);
  return world;
}
const states = (world: World): OrderState[] => world.all("order-state").map(({ order }) => order.state);
const quantities = (world: World): number[] => world.posts.map(({ quantity }) => quantity);

describe("ids", () => {
  test("are a function of strategy, symbol, time and leg, and can be read back", () => {
    const id = orderId("momentum", "BRK.B", 1_704_294_000_000, 37);
    assert.equal(id, `momentum-BRK.B-${(1_704_294_000_000).toString(36)}-11`);
    assert.deepEqual(readOrderId(id, "momentum", "BRK.B"), { decidedAt: 1_704_294_000_000, leg: 37 });
    assert.equal(readOrderId(id, "momentum", "BRK.A"), null);
    assert.equal(readOrderId("9f1c2a3e-uuid-of-somebody", "momentum", "BRK.B"), null);
  });

  test("have at most 48 characters that a broker takes, and long names never meet", () => {
    const names = ["ensemble:lstm-equity-2015,transformer+adaptive", "ensemble:lstm-equity-2015,transformer+adaptivf", "a b/c"];
    const ids = names.map((name) => orderId(name, "A-VERY/LONG.SYMBOL", 8_640_000_000_000_000, 1_000));
    for (const id of ids) assert.match(id, /^[A-Za-z0-9._-]{1,48}$/);
    assert.equal(new Set(ids).size, 3);
    for (const [k, name] of names.entries()) assert.ok(ids[k].startsWith(ownPrefix(name)));
  });
});

describe("books and quantities", () => {
  test("average price, realised profit and cash through a long, a flip and a close", () => {
    const books = openBooks(1);
    books.cash = 1_000;
    bookFill(books, 0, 10, 20, 0);
    bookFill(books, 0, 10, 30, 1);
    assert.deepEqual([books.units[0], books.averagePrice[0], books.cash], [20, 25, 499]);
    bookFill(books, 0, -30, 40, 0);
    // 20 closed at 40 that cost 25: 300; 10 sold short at 40.
    assert.deepEqual([books.units[0], books.averagePrice[0], books.realised, books.cash], [-10, 40, 300, 1_699]);
    bookFill(books, 0, 10, 35, 0);
    assert.deepEqual([books.units[0], books.averagePrice[0], books.realised, books.fees], [0, 0, 350, 1]);
    assert.equal(equityOf(books, Float64Array.of(NaN)), 1_349);
  });

  test("three fills of 0.1 close 0.3; rounding never asks for more than was wanted", () => {
    assert.equal(roundUnits(0.1 + 0.1 + 0.1 - 0.3), 0);
    assert.deepEqual([truncateUnits(-2.7, false), truncateUnits(1.23456789099, true), truncateUnits(0.3, true)],
      [-2, 1.23456789, 0.3]);
    assert.deepEqual([roundPrice(10.019, true), roundPrice(10.011, false), roundPrice(0.12345, true), roundPrice(0.29, false)],
      [10.01, 10.02, 0.1234, 0.29]);
  });
});

describe("from target to holdings", () => {
  test("an intent is on the disk before its order leaves", () => {
    const world = started();
    let journalled = -1;
    world.onSubmit = () => { journalled = world.durable; return null; };
    world.hand(world.target([10]));
    assert.deepEqual([world.posts.length, world.journal.length], [0, 1]);
    world.run(1_000);
    assert.equal(journalled, 1);
    assert.deepEqual(states(world), ["intended", "submitted", "accepted", "filled"]);
    assert.deepEqual([world.position(), world.books()[0], world.last("settled")?.orders], [10, 10, 1]);
  });

  test("the same target again, or an older one, changes nothing", () => {
    const world = started();
    const target = world.target([10]);
    world.hand(target);
    world.hand(target);
    world.run(1_000);
    world.hand(target);
    world.hand(world.target([99], START - 1));
    world.run(1_000);
    assert.deepEqual(quantities(world), [10]);
  });

  test("one target is one write; what reduces leaves first", () => {
    const world = started(["AAA", "BBB", "CCC"]);
    world.hand(world.target([0, 20, 0]));
    world.run(1_000);
    const before = world.journal.length;
    world.hand(world.target([5, 10, -5]));
    assert.equal(world.journal.length, before + 3);
    world.run(1_000);
    assert.deepEqual(quantities(world), [20, -10, 5, -5]);
  });

  test("from long to short is two orders: to zero, then beyond", () => {
    const world = started();
    world.hand(world.target([8]));
    world.run(1_000);
    const target = world.target([-5]);
    world.hand(target);
    world.run(1_000);
    assert.deepEqual(quantities(world), [8, -8, -5]);
    assert.deepEqual(world.posts.slice(1).map(({ id }) => readOrderId(id, "momentum", "AAA")),
      [{ decidedAt: target.at, leg: 0 }, { decidedAt: target.at, leg: 1 }]);
    assert.deepEqual([world.last("settled")?.at, world.last("settled")?.orders], [target.at, 2]);
  });

  test("a newer target waits for the open order to be cancelled; together they are not too much", () => {
    const world = started();
    world.fillsAtOnce = false;
    world.hand(world.target([10]));
    world.run(200);
    world.fill(world.posts[0].id, 4);
    world.run(100);
    world.fillsAtOnce = true;
    world.hand(world.target([6]));
    assert.equal(world.posts.length, 1);
    world.run(1_000);
    assert.deepEqual(world.cancels, [world.posts[0].id]);
    assert.deepEqual([quantities(world), world.position()], [[10, 2], 6]);
  });

  test("a newer target that the open order leads to leaves it alone", () => {
    const world = started();
    world.fillsAtOnce = false;
    world.hand(world.target([10]));
    world.run(200);
    world.hand(world.target([10]));
    world.run(200);
    assert.deepEqual([world.cancels.length, world.posts.length], [0, 1]);
    world.fill(world.posts[0].id, 10);
    world.run(200);
    assert.equal(world.last("settled")?.orders, 0);
  });

  test("TWAP of 10 in 4 slices: 2, 3, 2, 3", () => {
    const session = sessionOf(["AAA"], { execution: { style: "twap", slices: 4, timeoutMs: 4_000, callsPerMinute: 200 } });
    const world = started(["AAA"], 1, CALM, { session });
    world.hand(world.target([10]));
    world.run(500);
    assert.deepEqual(quantities(world), [2]);
    world.run(5_000);
    // Slices of 2.5: 2.5, 5, 7.5, 10, each down to whole shares.
    assert.deepEqual(quantities(world), [2, 3, 2, 3]);
    assert.equal(world.last("settled")?.orders, 4);
  });

  test("TWAP never trades away from its goal: a newer target while an order is on its way", () => {
    const session = sessionOf(["AAA"], { execution: { style: "twap", slices: 3, timeoutMs: 3_000, callsPerMinute: 200 } });
    const world = started(["AAA"], 1, CALM, { session });
    world.hand(world.target([90]));
    world.run(6);
    world.hand(world.target([36]));
    world.run(10_000);
    // The 30 that were on their way come first; then 36 in three slices of 2.
    assert.deepEqual(quantities(world), [30, 2, 2, 2]);
  });

  test("limit at touch: buys at the bid; after its time the rest goes to the market", () => {
    const session = sessionOf(["AAA"], { execution: { style: "limit-at-touch", slices: 1, timeoutMs: 2_000,
      callsPerMinute: 200 } });
    const world = started(["AAA"], 1, CALM, { session });
    world.hand({ kind: "quote", at: world.now, instrument: Int32Array.of(0), quotes: Float64Array.of(99.987, 5, 100.02, 5) });
    world.hand(world.target([10]));
    world.run(500);
    assert.deepEqual(world.posts.map(({ type, limitPrice }) => [type, limitPrice]), [["limit", 99.98]]);
    world.fill(world.posts[0].id, 3);
    world.run(5_000);
    assert.deepEqual(world.posts.map(({ type, quantity }) => [type, quantity]), [["limit", 10], ["market", 7]]);
    assert.equal(world.position(), 10);
  });

  test("fractions: long ones to nine decimals, short ones in whole shares, none below a dollar", () => {
    const base = sessionOf(["AAA", "BBB", "CCC"]);
    const session = { ...base, sizing: { ...base.sizing, isFractional: true } };
    const world = started(["AAA", "BBB", "CCC"], 1, CALM, { session, permits: STRICT });
    world.hand(world.target([1.23456789099, -2.7, 0.005]));
    world.run(1_000);
    assert.deepEqual(world.posts.map(({ symbol, quantity }) => [symbol, quantity]), [["AAA", 1.23456789], ["BBB", -2]]);
    assert.equal(world.last("settled")?.orders, 2);
  });
});

describe("what the broker says, and does not", () => {
  test("an answer in the dark is looked up and adopted: one order (fault 1)", () => {
    const world = started();
    world.onSubmit = () => "drop-answer";
    world.faults = { ...CALM, lostUpdate: 1 };
    world.hand(world.target([10]));
    world.run(20_000);
    assert.deepEqual([world.posts.length, world.position(), world.books()[0]], [1, 10, 10]);
    assert.ok(states(world).includes("unknown"));
    assert.equal(world.alerts("order-unknown").length, 1);
  });

  test("one that never arrived is given up, and not ordered anew before the next target", () => {
    const world = started();
    world.onSubmit = () => ({ outcome: "unknown", reason: "reset" });
    world.hand(world.target([10]));
    world.run(60_000);
    assert.deepEqual([world.posts.length, world.lookUps.length, world.alerts("order-lost").length], [1, 6, 1]);
    assert.equal(world.last("settled")?.orders, 1);
    world.onSubmit = null;
    world.hand(world.target([10]));
    world.run(1_000);
    assert.deepEqual([world.posts.length, world.position()], [2, 10]);
    // Should the first one turn up after all, it is booked, and the next target takes it back.
    world.accept(world.posts[0]);
    world.run(30_000);
    assert.deepEqual([world.position(), world.books()[0]], [20, 20]);
    world.hand(world.target([10]));
    world.run(1_000);
    assert.equal(world.position(), 10);
  });

  test("client_order_id must be unique: the order of that id is adopted, whatever it is (fault 3)", () => {
    const world = started();
    const target = world.target([10]);
    world.accept({ id: orderId("momentum", "AAA", target.at, 0), symbol: "AAA", quantity: 10, type: "market", limitPrice: null,
      timeInForce: "day", isExtendedHours: false });
    world.faults = { ...CALM, lostUpdate: 1 };
    world.hand(target);
    world.run(30_000);
    assert.deepEqual([world.position(), world.books()[0], world.held.size], [10, 10, 1]);
  });

  test("every update lost: the watch finds the fill (fault 6)", () => {
    const world = started(["AAA"], 1, { ...CALM, lostUpdate: 1 });
    world.hand(world.target([10]));
    world.run(5_000);
    assert.deepEqual([world.books()[0], world.last("settled")?.orders], [10, 1]);
    assert.equal(world.all("fill").length, 1);
  });

  test("every update twice and late: booked once, by execution id (fault 6)", () => {
    const world = started(["AAA"], 3, { ...CALM, twiceUpdate: 1, partial: 1 });
    world.hand(world.target([100]));
    world.run(60_000);
    const fills = world.all("fill");
    assert.equal(fills.reduce((sum, { quantity }) => sum + quantity, 0), 100);
    assert.equal(new Set(fills.map(({ executionId }) => executionId)).size, fills.length);
    assert.deepEqual([world.books()[0], world.last("account")?.cash], [100, 990_000]);
  });

  test("a word that nobody knows: asked again, said once, nothing thrown (faults 6, 13)", () => {
    const world = started();
    world.fillsAtOnce = false;
    world.hand(world.target([10]));
    world.run(200);
    const { order } = world.held.get(world.posts[0].id)!;
    for (let k = 0; k < 3; k++) {
      world.hand({ kind: "update", update: { at: world.now, event: "other", word: "teleported", executionId: null, quantity: NaN,
        price: NaN, order: { ...order, state: "unknown", word: "teleported" } } });
    }
    world.run(3_000);
    assert.equal(world.alerts("order-word").filter(({ text }) => text.includes("teleported")).length, 2);
    assert.ok(world.lookUps.length >= 1);
    assert.equal(world.last("order-state")?.order.state, "accepted");
  });

  test("accepted, then rejected later: at rest, said, not tried again for this decision (fault 7)", () => {
    const world = started();
    world.fillsAtOnce = false;
    world.hand(world.target([10]));
    world.run(200);
    world.end(world.posts[0].id, "rejected");
    world.run(60_000);
    assert.deepEqual([world.posts.length, world.position(), world.last("settled")?.orders], [1, 0, 1]);
    assert.equal(world.alerts("order-rejected").length, 1);
  });

  test("a cancel that never ends: an alarm, and no second order on top (fault 5)", () => {
    const world = started();
    world.fillsAtOnce = false;
    world.isCancelStuck = true;
    world.hand(world.target([10]));
    world.run(200);
    world.hand(world.target([-10]));
    world.run(600_000);
    assert.deepEqual([world.posts.length, world.cancels.length, world.alerts("cancel-stuck").length], [1, 1, 1]);
    assert.equal(world.last("settled"), undefined);
    world.end(world.posts[0].id, "cancelled");
    world.fillsAtOnce = true;
    // The price is ten minutes old by now: a fresh one comes with the next target.
    world.hand(world.target([-10]));
    world.run(10_000);
    assert.equal(world.position(), -10);
  });

  test("the fill was faster than the cancel: its units count (fault 5)", () => {
    const world = started();
    world.fillsAtOnce = false;
    world.hand(world.target([10]));
    world.run(200);
    world.hand(world.target([4]));
    world.fill(world.posts[0].id, 10);
    world.fillsAtOnce = true;
    world.run(1_000);
    assert.deepEqual([quantities(world), world.position()], [[10, -6], 4]);
  });

  test("replaced by the broker while half of it was open: the new one counts for it, nothing is ordered on top (fault 4)", () => {
    for (const [carried, isTold] of [[0, true], [4, true], [0, false]] as const) {
      const world = started();
      world.fillsAtOnce = false;
      world.hand(world.target([10]));
      world.run(200);
      const [{ id }] = world.posts;
      world.fill(id, 4);
      world.run(100);
      world.replaceOutside(id, carried === 0 ? 6 : 10, carried, isTold);
      world.run(5_000);
      assert.deepEqual([world.posts.length, world.books()[0], world.last("settled")], [1, 4, undefined]);
      world.fill("replacement", 6);
      world.run(5_000);
      assert.deepEqual([world.posts.length, world.books()[0], world.position(), world.last("settled")?.orders], [1, 10, 10, 1]);
      assert.equal(world.alerts("external-order").length + world.alerts("books-mismatch").length, 0);
    }
  });

  test("a split of 4 for 1: held units follow, the open order goes, nothing is halted (fault 12)", () => {
    const world = started();
    world.hand(world.target([10]));
    world.run(1_000);
    world.fillsAtOnce = false;
    world.hand(world.target([15]));
    world.run(200);
    world.hand({ kind: "notice", at: world.now, instrument: 0, what: "split", value: 4 });
    assert.equal(world.books()[0], 40);
    world.run(100);
    world.units.set("AAA", 40);
    world.run(60_000);
    assert.deepEqual([world.books()[0], world.open().length, world.last("trading-state")?.state], [40, 0, "ACTIVE"]);
  });

  test("429: the same order leaves once the wait is over (fault 9)", () => {
    const world = started();
    let times = 0;
    world.onSubmit = () => ++times === 1 ? { outcome: "limited", retryAfterMs: 5_000 } : null;
    world.hand(world.target([10]));
    world.run(4_000);
    assert.equal(times, 1);
    world.run(4_000);
    assert.deepEqual([times, new Set(world.posts.map(({ id }) => id)).size, world.position()], [2, 1, 10]);
  });

  test("an order of somebody else on the other side: no wash trade (fault 8)", () => {
    const world = started();
    world.hand({ kind: "update", update: { at: world.now, event: "new", word: "new", executionId: null, quantity: NaN, price: NaN,
      order: { id: "theirs", brokerId: "b-theirs", symbol: "AAA", quantity: -5, filled: 0, averagePrice: NaN, type: "limit",
        limitPrice: 101, state: "accepted", word: "new", submittedAt: START, replacedBy: null, replaces: null } } });
    world.hand(world.target([10]));
    world.run(1_000);
    assert.deepEqual([world.posts.length, world.alerts("external-order").length,
      world.alerts("order-refused-self-cross").length], [0, 1, 1]);
    assert.equal(world.last("settled")?.orders, 0);
  });
});

describe("books and the broker", () => {
  test("a manual trade that the stream tells of is adopted as EXTERNAL (fault 16)", () => {
    const world = started();
    world.tradeOutside("AAA", 7);
    world.run(1_000);
    assert.deepEqual([world.books()[0], world.alerts("external-order").length, world.last("trading-state")?.state],
      [7, 1, "ACTIVE"]);
    assert.equal(world.all("order-state").at(-1)?.order.decidedAt, NaN);
    world.hand(world.target([10]));
    world.run(1_000);
    assert.deepEqual(quantities(world), [3]);
  });

  test("a dropped frame of a manual trade is found by the next look at the account (fault 21)", () => {
    const world = started(["AAA"], 1, { ...CALM, lostUpdate: 1 });
    world.tradeOutside("AAA", 7);
    world.run(20_000);
    assert.deepEqual([world.books()[0], world.alerts("fill-missed").length, world.last("trading-state")?.state],
      [7, 1, "ACTIVE"]);
  });

  test("9,000 orders between two looks at the account: all of them are known at the next one, none is booked twice", () => {
    const symbols = Array.from({ length: 200 }, (_, k) => `S${k}`), world = started(symbols);
    world.run(14_500 - world.now + START);
    for (let k = 0; k < 45; k++) {
      world.hand(world.target(symbols.map(() => k % 2 === 0 ? 3 : 5)));
      world.run(300);
    }
    assert.equal(world.posts.length, 9_000);
    world.run(20_000);
    assert.deepEqual([world.books()[0], world.alerts("fill-missed").length, world.alerts("books-mismatch").length,
      world.last("trading-state")?.state], [3, 0, 0, "ACTIVE"]);
  });

  test("holdings that no order explains: HALTED after three looks, the broker's number taken", () => {
    const world = started();
    world.tradeOutside("AAA", 7, false);
    world.run(20_000);
    assert.deepEqual([world.last("trading-state")?.state, world.alerts("books-mismatch").length, world.books()[0]],
      ["HALTED", 1, 7]);
    world.hand(world.target([0]));
    world.run(1_000);
    assert.equal(world.posts.length, 0);
  });

  test("what is held before the first start is adopted and said", () => {
    const world = new World(["AAA"]);
    world.tradeOutside("AAA", 12, false);
    world.run(1_000);
    assert.deepEqual([world.books()[0], world.alerts("external-position").length, world.last("trading-state")?.state],
      [12, 1, "ACTIVE"]);
  });

  test("no order while the stream is unproven; all is read anew before one leaves", () => {
    const world = started();
    world.disconnect();
    world.tradeOutside("AAA", 3);
    world.hand(world.target([10]));
    assert.equal(world.last("account")?.isReconciled, true);
    world.run(1);
    assert.equal(world.posts.length, 0);
    world.run(5_000);
    assert.deepEqual([quantities(world), world.position()], [[7], 10]);
  });
});

describe("trading states", () => {
  test("HALTED survives a restart; nothing leaves but cancels (fault 35)", () => {
    const world = started();
    world.fillsAtOnce = false;
    world.hand(world.target([10]));
    world.run(200);
    world.hand(world.control("halt", "lunch"));
    world.run(1_000);
    assert.deepEqual(world.cancels, [world.posts[0].id]);
    world.crash();
    world.run(5_000);
    assert.deepEqual([world.last("trading-state")?.state, world.last("trading-state")?.reason], ["HALTED", "lunch"]);
    const target = world.target([20]);
    world.hand(target);
    world.run(5_000);
    assert.deepEqual([world.posts.length, world.last("settled")?.at, world.last("settled")?.orders], [1, target.at, 0]);
    world.hand(world.control("resume"));
    world.run(100);
    world.fillsAtOnce = true;
    world.hand(world.target([20]));
    world.run(1_000);
    assert.equal(world.position(), 20);
  });

  test("an intent that is on the disk when the halt comes never leaves", () => {
    const world = started();
    world.hand(world.target([10]));
    world.hand(world.control("halt"));
    world.run(10_000);
    assert.deepEqual([world.posts.length, world.last("order-state")?.order.state], [0, "rejected"]);
  });

  test("REDUCING: nothing grows, nothing changes side", () => {
    const world = started(["AAA", "BBB", "CCC"]);
    world.hand(world.target([10, 10, 0]));
    world.run(1_000);
    world.hand(world.control("reduce"));
    world.hand(world.target([4, -10, 5]));
    world.run(1_000);
    assert.deepEqual([world.position("AAA"), world.position("BBB"), world.position("CCC")], [4, 0, 0]);
  });

  test("flatten: all to zero, then HALTED", () => {
    const world = started(["AAA", "BBB"]);
    world.hand(world.target([10, -3]));
    world.run(1_000);
    world.hand(world.control("flatten"));
    world.hand(world.target([50, 50], world.now + 1));
    world.run(2_000);
    assert.deepEqual([world.position("AAA"), world.position("BBB"), world.last("trading-state")?.state], [0, 0, "HALTED"]);
    assert.equal(world.posts.length, 4);
  });

  test("flatten of more than one order may be: 105 units at 100 dollars go in orders of 1,000 dollars at most", () => {
    const world = started(["AAA"], 1, CALM, { permits: STRICT, limits: { ...NO_LIMITS, orderNotionalMax: 1_000 } });
    for (let k = 1; k <= 11; k++) {
      world.hand(world.target([Math.min(10 * k, 105)], world.now + 1));
      world.run(1_000);
    }
    assert.equal(world.position("AAA"), 105);
    const before = world.posts.length;
    world.hand(world.control("flatten"));
    world.run(10_000);
    assert.deepEqual([world.position("AAA"), world.last("trading-state")?.state], [0, "HALTED"]);
    assert.deepEqual(world.posts.slice(before).map(({ quantity }) => quantity), [...Array<number>(10).fill(-10), -5]);
  });

  test("emergency stop, pressed twice with 50 orders open: all cancelled, HALTED, settled once for both", () => {
    const symbols = Array.from({ length: 50 }, (_, k) => `S${k}`), world = started(symbols);
    world.fillsAtOnce = false;
    world.hand(world.target(symbols.map(() => 5)));
    world.run(500);
    assert.equal(world.open().length, 50);
    const stop = world.control("emergency-stop");
    world.hand(stop);
    world.hand(stop);
    world.run(2_000);
    assert.deepEqual([world.open().length, world.last("trading-state")?.state], [0, "HALTED"]);
    assert.deepEqual(world.all("settled").map(({ at, orders }) => [at, orders]), [[stop.at, 50]]);
    assert.ok(world.journal.some((record) => record.t === "state" && record.state === "HALTED"));
    // One call cancels all; nobody waits for fifty.
    assert.deepEqual(world.cancels, []);
  });

  test("a journal that cannot be written: no order, HALTED, and the halt is written once it can (fault 30)", () => {
    const world = started();
    world.journalTrouble = "the disk is full";
    world.hand(world.target([10]));
    world.run(5_000);
    assert.deepEqual([world.posts.length, world.last("trading-state")?.state, world.alerts("journal-broken").length],
      [0, "HALTED", 1]);
    assert.equal(world.last("settled")?.orders, 1);
    world.journalTrouble = null;
    world.run(2_000);
    world.crash();
    world.run(2_000);
    assert.equal(world.last("trading-state")?.state, "HALTED");
  });
});

describe("gates and hours", () => {
  test("a price older than three bars is not traded on", () => {
    const world = started();
    world.hand(world.target([10], world.now - 200_000));
    world.run(1_000);
    assert.deepEqual([world.posts.length, world.alerts("order-refused-stale-data").length, world.last("settled")?.orders],
      [0, 1, 0]);
  });

  test("notional, halted symbol, short of what cannot be borrowed, buying power: refused with the reason", () => {
    const limits = { ...NO_LIMITS, orderNotionalMax: 5_000 };
    const world = started(["AAA", "BBB", "CCC"], 1, CALM, { limits });
    world.hand({ kind: "notice", at: world.now, instrument: 1, what: "halt", value: 0 });
    world.hand(world.target([51, 10, 50]));
    world.run(1_000);
    assert.deepEqual(world.posts.map(({ symbol }) => symbol), ["CCC"]);
    assert.deepEqual([world.alerts("order-refused-order-notional").length, world.alerts("order-refused-halted-symbol").length],
      [1, 1]);
    const poor = started(["AAA"], 1, CALM, { permits: STRICT });
    poor.hand(poor.target([20_001]));
    poor.run(1_000);
    assert.deepEqual([poor.posts.length, poor.alerts("order-refused-buying-power").length], [0, 1]);
  });

  test("New York, Wednesday 3 July 2024 (closes at 13:00) and the holiday after it", () => {
    const nyse = calendar("us-equity"), at = (text: string): string => windowAt(nyse,
      Date.parse(`2024-07-${text}:00-04:00`)).kind;
    assert.deepEqual(["03T03:59", "03T04:00", "03T09:29", "03T09:30", "03T13:00", "03T13:01", "03T17:01", "04T10:00",
      "05T09:30"].map(at),
      ["closed", "extended", "extended", "open", "open", "extended", "closed", "closed", "open"]);
    const holiday = windowAt(nyse, Date.parse("2024-07-04T10:00:00-04:00"));
    assert.ok(holiday.kind === "closed");
    assert.equal(new Date(holiday.opensAt).toISOString(), "2024-07-05T13:30:00.000Z");
    assert.equal(new Date(holiday.auctionFrom).toISOString(), "2024-07-04T23:00:00.000Z");
  });

  test("daily bars: decided after the close, sent for the next opening auction from 19:00 New York on (fault 11)", () => {
    const session = sessionOf(["AAA"], { timeframe: "1d" });
    const world = started(["AAA"], 1, CALM, { session, permits: STRICT });
    world.run(Date.parse("2024-01-03T21:05:00Z") - world.now);
    world.hand(world.target([10], Date.parse("2024-01-03T21:00:00Z")));
    world.run(2 * 3_600_000);
    assert.equal(world.posts.length, 0);
    world.run(3_600_000);
    assert.deepEqual(world.posts.map(({ timeInForce, type, quantity }) => [timeInForce, type, quantity]),
      [["opg", "market", 10]]);
  });

  test("minute bars: a decision after the close is not traded; in extended hours only as a limit order", () => {
    const late = Date.parse("2024-01-03T22:00:00Z");
    const closed = started(["AAA"], 1, CALM, { permits: STRICT });
    closed.run(late - closed.now);
    closed.hand(closed.target([10]));
    closed.run(1_000);
    assert.deepEqual([closed.posts.length, closed.last("settled")?.orders], [0, 0]);
    const open = started(["AAA"], 1, CALM, { permits: STRICT, isExtendedHours: true });
    open.run(late - open.now);
    open.hand(open.target([10]));
    open.run(1_000);
    assert.deepEqual(open.posts.map(({ type, limitPrice, timeInForce, isExtendedHours }) => [type, limitPrice, timeInForce,
      isExtendedHours]),
      [["limit", 100, "day", true]]);
  });
});

describe("restarts", () => {
  for (const [moment, runMs] of [["before the disk has it", 0], ["between intent and POST", 4], ["while it is on its way", 12],
    ["between fill and news", 45]] as const) {
    test(`killed ${moment}: one order for the decision, position = broker (fault 2)`, () => {
      for (let seed = 1; seed <= 40; seed++) {
        const world = started(["AAA"], seed), target = world.target([10]);
        world.hand(target);
        world.run(runMs);
        world.crash();
        world.run(2_000);
        world.hand(target);
        world.run(60_000);
        assert.deepEqual([world.position(), world.books()[0], world.held.size], [10, 10, 1], `seed ${seed}`);
        assert.equal(world.last("settled")?.at, target.at);
      }
    });
  }

  test("a compacted journal says the same: no id is given twice, HALTED stays", () => {
    const world = started();
    for (let k = 0; k < 2_100; k++) {
      world.hand(world.target([k % 2]));
      world.run(100);
    }
    world.hand(world.control("halt"));
    world.run(20_000);
    assert.ok(world.journal.length < 4_200, `${world.journal.length} records`);
    world.crash();
    world.run(2_000);
    assert.deepEqual([world.last("trading-state")?.state, world.alerts("external-position").length], ["HALTED", 0]);
  });
});
