/** What a stranger tried in order to lose money: the odd moments of halts, restarts, splits, limits of rate, and names. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ExecutionOptions } from "../src/live/actors/execution.ts";
import { orderId, readOrderId } from "../src/live/execution/order-id.ts";
import { STRICT } from "../src/live/execution/desk.ts";
import { Suspects } from "../src/live/feeds/suspects.ts";
import { sessionSchema, type Session } from "../src/live/session.ts";
import { nameOf } from "../src/workflow/live/choose-session.ts";
import { CALM, sessionOf, START, World } from "./execution-world.ts";

function started(symbols = ["AAA"], change: Partial<ExecutionOptions> = {}): World {
  const world = new World(symbols, 1, CALM, change);
  world.run(1_000);
  return world;
}
const limitStyle = (): Session => sessionOf(["AAA"], {
  execution: { style: "limit-at-touch", slices: 1, timeoutMs: 600_000, callsPerMinute: 100_000 } });

describe("ids", () => {
  test("100,000 long names of one beginning have 100,000 ids of at most 48 characters, each read back", () => {
    const names = Array.from({ length: 100_000 }, (_, k) => `CONTRACT OF THE MONTH ${k}`);
    const ids = names.map((name) => orderId("a strategy with a long name", name, START, 111));
    assert.equal(new Set(ids).size, names.length);
    assert.ok(ids.every((id) => id.length <= 48 && /^[A-Za-z0-9._-]+$/.test(id)));
    assert.deepEqual(readOrderId(ids[77], "a strategy with a long name", names[77]), { decidedAt: START, leg: 111 });
    assert.equal(readOrderId(ids[77], "a strategy with a long name", names[78]), null);
  });

  test("a session that names a symbol twice is no session: two goals would share their ids", () => {
    assert.equal(sessionSchema.safeParse(sessionOf(["AAA", "BBB"])).success, true);
    assert.equal(sessionSchema.safeParse(sessionOf(["AAA", "BBB", "AAA"])).success, false);
  });

  test("two folders on one account have names of their own, the same folder the same again; its ids are read back", () => {
    const [one, other] = ["/a", "/b"].map((root) => nameOf("alpaca-paper", root));
    assert.notEqual(one, other);
    assert.deepEqual([nameOf("alpaca-paper", "/a"), nameOf("simulator", "/a")], [one, "dmn"]);
    const id = orderId(one, "SPY", START, 0);
    assert.deepEqual([readOrderId(id, one, "SPY")?.leg, readOrderId(id, other, "SPY")], [0, null]);
  });

  test("an order of a lost journal keeps its leg: known before the goal or after it, the next order has another id", () => {
    for (const isLate of [false, true]) {
      const world = new World(["AAA"]), id = orderId("momentum", "AAA", START, 0);
      const adopt = (): void => {
        world.accept({ id, symbol: "AAA", quantity: 4, type: "limit", limitPrice: 90, timeInForce: "day",
          isExtendedHours: false });
      };
      if (!isLate) adopt();
      world.run(1_000);
      if (isLate) {
        // The goal waits for the account to be read anew; meanwhile the order is heard of.
        world.disconnect();
        world.hand(world.target([10], START));
        adopt();
        world.run(20_000);
      } else world.hand(world.target([10], START));
      world.fill(id, 4);
      world.run(20_000);
      assert.deepEqual(world.posts.map((post) => [readOrderId(post.id, "momentum", "AAA")?.leg, post.quantity]), [[1, 6]],
        "the broker would have refused a second leg 0");
      assert.deepEqual([world.position(), world.books()[0]], [10, 10]);
    }
  });
});

describe("HALTED, cancels and what is in flight", () => {
  test("an order whose POST is in flight when the halt comes is cancelled as soon as the broker has it", () => {
    for (const action of ["halt", "reduce", "stop", "emergency-stop"] as const) {
      const world = started(["AAA"], { session: limitStyle() });
      world.onSubmit = () => "drop-answer";
      world.hand(world.target([10]));
      world.run(6);
      assert.equal(world.posts.length, 1);
      world.hand(world.control(action));
      world.run(10_000);
      assert.deepEqual([world.held.size, world.open().length], [1, 0], action);
    }
  });

  test("an intent that is on its way to the disk when it is not wanted any more never leaves", () => {
    const world = started();
    world.hand(world.target([10]));
    world.hand(world.control("reduce"));
    world.run(1_000);
    assert.deepEqual([world.posts.length, world.position()], [0, 0]);
    const other = started();
    other.hand(other.target([10]));
    other.hand(other.target([3], other.now + 1));
    other.run(1_000);
    assert.deepEqual([other.posts.map(({ quantity }) => quantity), other.position()], [[3], 3]);
  });

  test("killed between the halt's record and its cancels: the restart cancels what is still open", () => {
    const world = started(["AAA"], { session: limitStyle() });
    world.hand(world.target([10]));
    world.run(500);
    assert.equal(world.open().length, 1);
    world.journal.push({ t: "state", at: world.now, state: "HALTED", reason: "lunch", by: "user" });
    world.durable = world.journal.length;
    world.crash();
    world.run(10_000);
    assert.deepEqual([world.last("trading-state")?.state, world.open().length], ["HALTED", 0]);
  });

  test("a cancel that was lost on its way is asked for again", () => {
    const world = started(["AAA"], { session: limitStyle() });
    world.hand(world.target([10]));
    world.run(500);
    world.cancelsToLose = 2;
    world.hand(world.control("halt"));
    world.run(20_000);
    assert.deepEqual([world.open().length, world.cancels.length], [0, 3]);
  });

  test("a halt right after a resume is the last word, though the resume reaches the disk after it was given", () => {
    const world = started();
    world.hand(world.control("halt"));
    world.run(100);
    world.hand(world.control("resume"));
    world.hand(world.control("halt", "no"));
    world.run(100);
    assert.deepEqual([world.last("trading-state")?.state, world.last("trading-state")?.reason], ["HALTED", "no"]);
    world.crash();
    world.run(2_000);
    assert.deepEqual([world.last("trading-state")?.state, world.last("trading-state")?.reason], ["HALTED", "no"]);
  });

  test("flatten of nothing while HALTED ends HALTED", () => {
    const world = started();
    world.hand(world.control("halt"));
    world.run(100);
    world.hand(world.control("flatten"));
    world.run(5_000);
    assert.equal(world.last("trading-state")?.state, "HALTED");
    world.crash();
    world.run(2_000);
    assert.equal(world.last("trading-state")?.state, "HALTED");
  });

  test("what a person halted is not set going again by risk's flatten, but by the person's own", () => {
    const world = started();
    world.hand(world.target([10]));
    world.run(1_000);
    world.hand(world.control("halt"));
    world.hand({ ...world.control("flatten"), by: "risk" });
    world.run(5_000);
    assert.deepEqual([world.position(), world.last("trading-state")?.state], [10, "HALTED"]);
    world.hand(world.control("flatten"));
    world.run(5_000);
    assert.deepEqual([world.position(), world.last("trading-state")?.state], [0, "HALTED"]);
  });

  test("an emergency stop that flattens: all cancelled, all sold, HALTED; a disk that is full keeps it from selling only", () => {
    for (const trouble of [null, "full"]) {
      const world = started(["AAA", "BBB"]);
      world.hand(world.target([10, -3]));
      world.run(1_000);
      world.journalTrouble = trouble;
      world.hand(world.control("emergency-stop", "flatten"));
      world.run(10_000);
      assert.deepEqual([world.position("AAA"), world.position("BBB"), world.last("trading-state")?.state],
        trouble === null ? [0, 0, "HALTED"] : [10, -3, "HALTED"]);
      assert.equal(world.alerts("not-flat").length, trouble === null ? 0 : 1);
      world.journalTrouble = null;
      world.run(5_000);
      world.hand(world.control("resume"));
      world.run(500);
      assert.equal(world.last("trading-state")?.state, "ACTIVE");
    }
  });

  test("a flatten that is interrupted by a crash goes on after the restart and ends HALTED", () => {
    for (const action of ["flatten", "emergency-stop"] as const) {
      const world = started(["AAA", "BBB"]);
      world.hand(world.target([10, -3]));
      world.run(1_000);
      world.fillsAtOnce = false;
      world.hand(world.control(action, "flatten"));
      world.run(100);
      world.crash();
      world.fillsAtOnce = true;
      world.run(500);
      for (const { order } of world.open()) world.fill(order.id, Math.abs(order.quantity));
      world.run(60_000);
      assert.deepEqual([world.position("AAA"), world.position("BBB"), world.last("trading-state")?.state], [0, 0, "HALTED"],
        action);
    }
  });

  test("a flatten asked for by a clock of another year than the market's does not make later targets old", () => {
    const world = started();
    world.hand(world.target([10]));
    world.run(1_000);
    world.hand({ ...world.control("flatten"), at: Date.UTC(2031, 0, 1) });
    world.run(5_000);
    assert.deepEqual([world.position(), world.last("trading-state")?.state], [0, "HALTED"]);
    world.hand(world.control("resume"));
    world.run(1_000);
    world.hand(world.target([7]));
    world.run(1_000);
    assert.equal(world.position(), 7);
  });
});

describe("nothing leaves on what is old", () => {
  test("429 for longer than a price is good for: the order ends, it is not sent late", () => {
    const world = started();
    let isLimited = true;
    world.onSubmit = () => isLimited ? { outcome: "limited", retryAfterMs: 10_000 } : null;
    world.hand(world.target([10]));
    world.run(250_000);
    isLimited = false;
    world.run(60_000);
    assert.deepEqual([world.position(), world.held.size], [0, 0]);
    assert.equal(world.last("settled")?.at, START + 1_000);
  });

  test("a decision of before a long stop is not gone on with, fresh as its price may be", () => {
    const world = started();
    world.onSubmit = () => ({ outcome: "unknown", reason: "reset" });
    world.hand(world.target([10]));
    world.run(3);
    world.crash();
    world.onSubmit = null;
    // Nothing of it runs for three hours; then a fresh bar is heard first.
    world.now += 3 * 3_600_000;
    world.later(0, () => { world.hand({ kind: "market", at: world.now, instrument: Int32Array.of(0),
      bars: Float64Array.of(100, 100, 100, 100, 1, NaN, NaN), flags: Uint8Array.of(0) }); });
    world.run(1_000);
    world.hand({ kind: "market", at: world.now, instrument: Int32Array.of(0),
      bars: Float64Array.of(100, 100, 100, 100, 1, NaN, NaN), flags: Uint8Array.of(0) });
    world.run(60_000);
    assert.deepEqual([world.held.size, world.position()], [0, 0]);
  });

  test("a restart does not make an old price young: a flatten goes by the time of the price, not of the decision", () => {
    const world = started(), market = (): void => { world.hand({ kind: "market", at: world.now, instrument: Int32Array.of(0),
      bars: Float64Array.of(100, 100, 100, 100, 1, NaN, NaN), flags: Uint8Array.of(0) }); };
    market();
    world.hand(world.target([10]));
    world.run(1_000);
    world.run(120_000);
    world.hand({ ...world.target([10]), price: Float64Array.of(NaN) });
    world.fillsAtOnce = false;
    world.hand(world.control("flatten"));
    world.run(200);
    world.run(60_000);
    const posts = world.posts.length;
    assert.equal(world.open().length, 1);
    for (const { order } of world.open()) world.end(order.id, "expired");
    world.crash();
    world.run(20_000);
    assert.equal(world.posts.length, posts, "the price is 180 s old by now, the limit of minute bars");
  });

  test("a quote of ten minutes ago is no touch: the limit is the last price", () => {
    const world = started(["AAA"], { session: limitStyle() });
    world.hand({ kind: "quote", at: world.now, instrument: Int32Array.of(0), quotes: Float64Array.of(80, 1, 81, 1) });
    world.run(600_000);
    world.hand(world.target([10]));
    world.run(500);
    assert.deepEqual(world.posts.map(({ limitPrice }) => limitPrice), [100]);
  });

  test("a wrong bar that the vendor corrected confirms no other wrong bar", () => {
    const suspects = new Suspects(["AAA"]);
    const row = (close: number): Float64Array => Float64Array.of(close, close, close, close, 1, 1, 1);
    assert.equal(suspects.judge(0, 1, row(5.264), 0, 52.77).isGood, false);
    assert.equal(suspects.judge(0, 1, row(52.64), 0, 52.77).isGood, true);
    const next = suspects.judge(0, 2, row(5.255), 0, 52.64);
    assert.deepEqual([next.isGood, next.before], [false, null]);
  });

  test("a bar or a target of another year is left out, and what is of this one goes on", () => {
    const world = started(), far = Date.UTC(2031, 0, 1);
    world.hand({ kind: "market", at: far, instrument: Int32Array.of(0), bars: Float64Array.of(1, 1, 1, 1, 1, NaN, NaN),
      flags: Uint8Array.of(0) });
    world.hand(world.target([50], far));
    world.run(1_000);
    assert.deepEqual([world.posts.length, world.alerts("target-ahead").length], [0, 1]);
    world.hand(world.target([10]));
    world.run(1_000);
    assert.equal(world.position(), 10);
  });

  test("the clock is set back an hour: what is known of prices has no age, and nothing leaves", () => {
    const world = started();
    world.hand({ kind: "market", at: world.now, instrument: Int32Array.of(0), bars: Float64Array.of(9, 9, 9, 9, 1, NaN, NaN),
      flags: Uint8Array.of(0) });
    world.now -= 3_600_000;
    world.hand({ ...world.target([10]), price: Float64Array.of(NaN) });
    world.run(1_000);
    assert.deepEqual([world.posts.length, world.alerts("order-refused-stale-data").length], [0, 1]);
  });

  test("flatten long after the last decision closes at a fresh price: it is a decision of now", () => {
    const world = started();
    world.hand(world.target([10]));
    world.run(1_800_000);
    world.hand({ kind: "market", at: world.now, instrument: Int32Array.of(0),
      bars: Float64Array.of(100, 100, 100, 100, 1, NaN, NaN), flags: Uint8Array.of(0) });
    world.hand(world.control("flatten"));
    world.run(2_000);
    assert.deepEqual([world.position(), world.last("trading-state")?.state], [0, "HALTED"]);
  });

  test("flatten after the close: nothing is sent into a closed market, HALTED, and a person is told what is left", () => {
    const world = started(["AAA"], { permits: STRICT });
    world.hand(world.target([10]));
    world.run(1_000);
    world.run(Date.parse("2024-01-03T22:00:00Z") - world.now);
    world.hand({ ...world.control("flatten"), by: "risk" });
    world.run(60_000);
    assert.deepEqual([world.posts.length, world.position(), world.last("trading-state")?.state], [1, 10, "HALTED"]);
    assert.match(world.alerts("not-flat")[0].text, /AAA/);
  });

  test("no target that is no number, and no price that is none, becomes an order", () => {
    for (const [units, price] of [[NaN, 100], [Infinity, 100], [-Infinity, 100], [1e308, 100], [10, NaN], [10, 0], [10, -37.63],
      [10, Infinity]]) {
      const world = started(["AAA"], { permits: STRICT });
      world.hand({ ...world.target([units]), price: Float64Array.of(price) });
      world.run(2_000);
      assert.deepEqual([world.posts.length, world.books()[0]], [0, 0], `${units} at ${price}`);
      assert.equal(world.last("settled")?.orders, 0, `${units} at ${price}`);
    }
  });
});

describe("books and the broker", () => {
  test("a split that the broker had overnight, told with the first bar: no order on books that count it twice", () => {
    const world = started();
    world.tradeOutside("AAA", 400, false);
    world.run(60_000);
    world.hand(world.control("resume"));
    world.run(1_000);
    assert.equal(world.books()[0], 400);
    world.hand({ kind: "notice", at: world.now, instrument: 0, what: "split", value: 4 });
    world.hand(world.target([420]));
    world.run(5_000);
    assert.deepEqual([world.posts.map(({ quantity }) => quantity), world.position()], [[20], 420]);
  });

  test("a week after a split, holdings that nothing explains halt again", () => {
    const world = started();
    world.hand({ kind: "notice", at: world.now, instrument: 0, what: "split", value: 2 });
    world.run(8 * 86_400_000);
    world.tradeOutside("AAA", 5, false);
    world.run(60_000);
    assert.deepEqual([world.last("trading-state")?.state, world.books()[0], world.alerts("split-adopted").length],
      ["HALTED", 5, 0]);
  });

  test("from the first look at the broker that differs until it is explained nothing leaves", () => {
    const world = started();
    world.tradeOutside("AAA", 5, false);
    for (let k = 0; k < 200 && world.last("account")?.isReconciled === true; k++) world.run(100);
    assert.deepEqual([world.last("account")?.isReconciled, world.last("trading-state")?.state], [false, "ACTIVE"]);
    world.hand(world.target([10]));
    world.run(5_000);
    assert.deepEqual([world.posts.length, world.last("trading-state")?.state], [0, "HALTED"]);
  });

  test("holdings read while orders changed prove nothing: what differs stays unreconciled, and nothing leaves", () => {
    const world = started();
    world.disconnect();
    world.isSteady = false;
    world.tradeOutside("AAA", 5, false);
    world.run(4_000);
    world.hand(world.target([10]));
    world.run(1_000);
    assert.deepEqual([world.last("account")?.isReconciled, world.posts.length], [false, 0]);
    world.isSteady = true;
    world.run(10_000);
    assert.deepEqual([world.last("trading-state")?.state, world.books()[0]], ["HALTED", 5]);
  });

  test("the broker's cash is missing: worked out from its equity; both are missing: nothing is traded", () => {
    const world = new World(["AAA"]);
    world.tradeOutside("AAA", 100, false);
    world.account = { cash: NaN };
    world.run(1_000);
    world.hand(world.target([100]));
    world.run(20_000);
    // 1,000,000 less 100 x 100 in cash, told as "equity" by this broker; 100 held at 100 are a part of it.
    assert.deepEqual([world.last("account")?.equity, world.last("account")?.cash], [990_000, 980_000]);
    const silent = new World(["AAA"]);
    silent.account = { cash: NaN, equity: NaN };
    silent.run(1_000);
    silent.hand(silent.target([10]));
    silent.run(20_000);
    assert.deepEqual([silent.posts.length, silent.last("account")], [0, undefined]);
    assert.ok(silent.alerts("broker-silent").length > 0);
  });
});
