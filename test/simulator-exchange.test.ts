/** The simulated exchange: answers worked out by hand, rules of the real broker as its documentation has them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { isOpen } from "../src/simulator/exchange-order.ts";
import { Exchange, REALISTIC, type ExchangeEvent, type ExchangeRequest } from "../src/simulator/exchange.ts";
import { answer, buy, flat, limit, MINUTE, minute, open, place, sell, TEN, words } from "./exchange-market.ts";

const at = (text: string): number => Date.parse(text);

describe("exchange: matching", () => {
  test("without friction 10 shares at a close of 100 leave 99,000 in cash, at once and whole", () => {
    const exchange = new Exchange({ symbols: ["AAA"], capital: 100_000 });
    exchange.onBars([flat(TEN, 100)], TEN);
    assert.deepEqual([place(exchange, buy(10), TEN).status, words(exchange)], ["filled", ["new", "fill 10 @ 100"]]);
    exchange.onBars([flat(TEN + MINUTE, 104)], TEN + MINUTE);
    assert.deepEqual([exchange.account().cash, exchange.account().equity], [99_000, 100_040]);
    place(exchange, sell(25), TEN + MINUTE);
    assert.deepEqual(exchange.positions().map(({ quantity, averagePrice }) => [quantity, averagePrice]), [[-15, 104]]);
    assert.equal(exchange.account().cash, 101_600);
  });

  test("half a spread of 5 bps and slippage of 5 bps make 100 into 100.10 (100.05 x 1.0005), a fee of 10 bps 1.001 on 10", () => {
    const exchange = open({ halfSpreadBps: 5, slippageBps: 5, feeBps: 10 });
    exchange.onBars([flat(TEN, 100)], TEN);
    place(exchange, buy(10), TEN);
    assert.deepEqual(words(exchange), ["new", "fill 10 @ 100.1"]);
    assert.equal(exchange.account().cash, 100_000 - 1_001 - 1.001);
  });

  test("a tenth of the volume: 250 shares come as 100 (of 1,000), 80 (of 800) and 70, at 100, 101 and 102: 100.88 on average",
    () => {
    const exchange = open({ participationMax: 0.1 });
    exchange.onBars([flat(TEN, 100)], TEN);
    const order = place(exchange, buy(250), TEN);
    exchange.onBars([flat(TEN + MINUTE, 101, 800)], TEN + MINUTE);
    exchange.onBars([flat(TEN + 2 * MINUTE, 102)], TEN + 2 * MINUTE);
    assert.deepEqual(words(exchange), ["new", "partial_fill 100 @ 100", "partial_fill 80 @ 101", "fill 70 @ 102"]);
    // (100 x 100 + 80 x 101 + 70 x 102) / 250
    assert.equal(exchange.order(order.id)?.averagePrice, 100.88);
  });

  test("two orders share what a bar offers: of 100 shares the first takes 60, the second 40", () => {
    const exchange = open({ participationMax: 0.1 });
    exchange.onBars([flat(TEN, 100)], TEN);
    place(exchange, buy(60), TEN);
    assert.equal(place(exchange, buy(60), TEN).filled, 40);
  });

  const LIMITS: readonly (readonly [string, readonly number[], string])[] = [
    ["a bar above it gives nothing", [101, 102, 99.5, 100], ""],
    ["a bar through it fills at the limit of 99", [101, 102, 98, 100], "fill 100 @ 99"],
    ["a bar that opens below it fills at the open of 97", [97, 102, 96, 100], "fill 100 @ 97"],
    ["a bar that touches it fills what is left of 200 after 50 ahead: 100 of 100", [101, 102, 99, 100], "fill 100 @ 99"],
  ];
  for (const [sentence, prices, expected] of LIMITS) {
    test(`limit buy at 99: ${sentence}`, () => {
      const exchange = open({ queueAheadShare: 0.05, touchShare: 0.2 });
      exchange.onBars([flat(TEN, 100)], TEN);
      place(exchange, buy(100, limit(99)), TEN);
      exchange.onBars([minute(TEN + MINUTE, prices)], TEN + MINUTE);
      assert.deepEqual(words(exchange).slice(1), expected === "" ? [] : [expected]);
    });
  }

  test("in the queue: 50 are ahead; bars that touch trade 30, 30, 30 at the limit: nothing, 10, 30", () => {
    const exchange = open({ queueAheadShare: 0.05, touchShare: 0.03 });
    exchange.onBars([flat(TEN, 100)], TEN);
    const order = place(exchange, buy(100, limit(99)), TEN);
    const filled = [1, 2, 3].map((k) => {
      exchange.onBars([minute(TEN + k * MINUTE, [100, 100, 99, 100])], TEN + k * MINUTE);
      return exchange.order(order.id)?.filled;
    });
    assert.deepEqual(filled, [0, 10, 40]);
  });

  test("an order that arrives within a bar does not see its open: limit 99, open 97, low 96: 99, not 97", () => {
    const exchange = open({ latencyMs: 30_000 });
    exchange.onBars([flat(TEN, 100)], TEN);
    place(exchange, buy(10, limit(99)), TEN);
    exchange.onBars([minute(TEN + MINUTE, [97, 100, 96, 100])], TEN + MINUTE);
    assert.deepEqual(words(exchange), ["new", "fill 10 @ 99"]);
  });

  test("a stop to sell at 95 is touched at 95; a gap to 90 gives the open of 90; a stop limit at 94 then rests", () => {
    for (const [prices, expected] of [[[100, 100, 94, 96], "fill 10 @ 95"], [[90, 92, 89, 91], "fill 10 @ 90"]] as const) {
      const exchange = open();
      exchange.onBars([flat(TEN, 100)], TEN);
      place(exchange, buy(10), TEN);
      place(exchange, sell(10, { type: "stop", stopPrice: 95 }), TEN);
      exchange.onBars([minute(TEN + MINUTE, prices)], TEN + MINUTE);
      assert.equal(words(exchange).at(-1), expected);
    }
    const exchange = open();
    exchange.onBars([flat(TEN, 100)], TEN);
    place(exchange, buy(10), TEN);
    const order = place(exchange, sell(10, { type: "stop_limit", stopPrice: 95, limitPrice: 94 }), TEN);
    exchange.onBars([minute(TEN + MINUTE, [93, 93, 90, 91])], TEN + MINUTE);
    assert.equal(exchange.order(order.id)?.filled, 0);
    exchange.onBars([minute(TEN + 2 * MINUTE, [91, 94.5, 91, 92])], TEN + 2 * MINUTE);
    assert.equal(exchange.order(order.id)?.averagePrice, 94);
  });

  test("against quotes: a market buy of 500 takes the 300 that are shown at 100.02, then 200 of the next at 100.03", () => {
    const exchange = open({ participationMax: 0.1 });
    const quote = (now: number, ask: number) =>
      { exchange.onQuote({ symbol: "AAA", at: now, bid: 100, bidSize: 300, ask, askSize: 300 }, now); };
    quote(TEN, 100.02);
    place(exchange, buy(500), TEN + 1);
    quote(TEN + 2, 100.03);
    assert.deepEqual(words(exchange), ["new", "partial_fill 300 @ 100.02", "fill 200 @ 100.03"]);
  });

  test("a crossed quote, a bid of 0 and a negative one move nothing", () => {
    const exchange = open();
    exchange.onBars([flat(TEN, 100)], TEN);
    for (const [bid, ask] of [[101, 99], [0, 100], [-1, 1]]) {
      exchange.onQuote({ symbol: "AAA", at: TEN + 1, bid, bidSize: 1, ask, askSize: 1 }, TEN + 1);
    }
    assert.deepEqual([exchange.market("AAA")?.bid, exchange.market("AAA")?.ask], [100, 100]);
  });

  test("700 of notional at 33.37 are 20.976925382 shares, to nine decimals downwards", () => {
    const exchange = open({ quantityDecimals: 9 });
    exchange.onBars([flat(TEN, 33.37)], TEN);
    // 700 / 33.37 = 20.9769253820797...
    assert.equal(place(exchange, buy(NaN, { notional: 700 }), TEN).filled, 20.976925382);
    assert.equal(exchange.positions()[0].quantity, 20.976925382);
  });
});

describe("exchange: life of an order", () => {
  test("15 ms on the way: pending_new, then new and fill 15 ms later", () => {
    const exchange = open({ latencyMs: 15 });
    exchange.onBars([flat(TEN, 100)], TEN);
    assert.equal(place(exchange, buy(10), TEN).status, "pending_new");
    assert.equal(exchange.nextDue(), TEN + 15);
    exchange.advance(TEN + 14);
    assert.deepEqual(words(exchange), []);
    exchange.advance(TEN + 100);
    assert.deepEqual(exchange.takeEvents().map((event) => [event.event, event.at - TEN]), [["new", 15], ["fill", 15]]);
  });

  test("a cancel takes 15 ms as well; a fill in between wins, and the cancel is rejected", () => {
    const exchange = open({ latencyMs: 15 });
    exchange.onBars([flat(TEN, 100)], TEN);
    const order = place(exchange, buy(10, limit(99)), TEN);
    exchange.advance(TEN + 20);
    const reply = exchange.cancel(order.id, TEN + 20, "fill-beats-cancel");
    assert.equal(reply.ok && reply.order.status, "pending_cancel");
    exchange.advance(TEN + 40);
    assert.deepEqual(words(exchange), ["new", "pending_cancel", "fill 10 @ 99", "order_cancel_rejected"]);
    const second = exchange.cancel(order.id, TEN + 41);
    assert.equal(!second.ok && second.refusal.message, 'order is already in "filled" state');
  });

  test("a stuck cancel stays pending_cancel for an hour, cannot be asked again, and may still fill", () => {
    const exchange = open();
    exchange.onBars([flat(TEN, 100)], TEN);
    const order = place(exchange, buy(10, limit(99)), TEN);
    exchange.cancel(order.id, TEN, "stuck-cancel");
    exchange.advance(TEN + 60 * MINUTE);
    assert.equal(exchange.order(order.id)?.status, "pending_cancel");
    assert.equal(exchange.cancel(order.id, TEN + 60 * MINUTE).ok, false);
    exchange.onBars([flat(TEN + 61 * MINUTE, 98)], TEN + 61 * MINUTE);
    assert.equal(exchange.order(order.id)?.status, "filled");
  });

  test("replaced after 40 of 100: the new order has 40 of 120 done and trades 80 more: 120 in all, ids linked", () => {
    const exchange = open({ participationMax: 0.04 });
    exchange.onBars([flat(TEN, 100)], TEN);
    const old = place(exchange, buy(100, limit(100)), TEN);
    assert.equal(old.filled, 40);
    const reply = exchange.replace(old.id, { quantity: 120, clientOrderId: "second" }, TEN);
    assert.ok(reply.ok);
    const [gone, next] = [exchange.order(old.id), exchange.orderByClientId("second")];
    assert.deepEqual([gone?.status, gone?.replacedBy, next?.replaces, next?.status, next?.filled],
      ["replaced", next?.id, old.id, "partially_filled", 40]);
    for (const k of [1, 2]) exchange.onBars([flat(TEN + k * MINUTE, 100)], TEN + k * MINUTE);
    assert.deepEqual([exchange.order(reply.order.id)?.status, exchange.positions()[0].quantity], ["filled", 120]);
  });

  test("a replacement that comes after the fill is rejected, and one for no more than is filled refused", () => {
    const exchange = open({ latencyMs: 50, participationMax: 0.04 });
    exchange.onBars([flat(TEN, 100)], TEN);
    const old = place(exchange, buy(100, limit(100)), TEN);
    exchange.advance(TEN + 60);
    const low = exchange.replace(old.id, { quantity: 40 }, TEN + 60);
    assert.equal(!low.ok && low.refusal.status, 422);
    const reply = exchange.replace(old.id, { quantity: 110 }, TEN + 60);
    exchange.onTrade("AAA", 99, 10_000, TEN + 70);
    exchange.advance(TEN + 200);
    assert.deepEqual([exchange.order(old.id)?.status, reply.ok && exchange.order(reply.order.id)?.status],
      ["filled", "rejected"]);
    assert.equal(exchange.positions()[0].quantity, 100);
  });

  test("rejected by the venue after it was accepted: pending_new, then rejected, nothing held or kept", () => {
    const exchange = open({ latencyMs: 15 });
    exchange.onBars([flat(TEN, 100)], TEN);
    exchange.submit(buy(10), TEN, "rejected-later");
    exchange.advance(TEN + 20);
    assert.deepEqual([words(exchange), exchange.orders("open"), exchange.account().reserved], [["rejected"], [], 0]);
  });

  test("the same client_order_id twice is 422 with code 40010001, also when the first is long filled", () => {
    const exchange = open();
    exchange.onBars([flat(TEN, 100)], TEN);
    place(exchange, buy(10, { clientOrderId: "x" }), TEN);
    const reply = exchange.submit(buy(10, { clientOrderId: "x" }), TEN + 1);
    assert.deepEqual(!reply.ok && [reply.refusal.status, reply.refusal.code, reply.refusal.message],
      [422, 40010001, "client_order_id must be unique"]);
  });

  test("cancelAll answers 200 for each of 50 and leaves none open", () => {
    const exchange = open();
    exchange.onBars([flat(TEN, 100)], TEN);
    for (let k = 0; k < 50; k++) place(exchange, buy(1, limit(90 - k)), TEN);
    const answers = exchange.cancelAll(TEN);
    assert.deepEqual([answers.length, new Set(answers.map(({ status }) => status)).size, exchange.orders("open").length],
      [50, 1, 0]);
  });
});

describe("exchange: hours", () => {
  test("a day order expires at 16:00 New York: 21:00 UTC in winter, 13:00 on the half day after Thanksgiving", () => {
    for (const [now, expiry] of [["2024-03-07T15:00:00Z", "2024-03-07T21:00:00Z"],
      ["2023-11-24T15:00:00Z", "2023-11-24T18:00:00Z"]]) {
      const exchange = open();
      exchange.onBars([flat(at(now), 100)], at(now));
      const order = place(exchange, buy(10, limit(90)), at(now));
      assert.equal(order.expiresAt, at(expiry));
      exchange.advance(at(expiry) - 1);
      assert.equal(exchange.order(order.id)?.status, "new");
      exchange.advance(at(expiry));
      assert.deepEqual([exchange.order(order.id)?.status, words(exchange)], ["expired", ["new", "expired"]]);
    }
  });

  test("sent on the Saturday before the clocks change, it opens on Monday at 13:30 UTC and fills at that open", () => {
    const exchange = open(), saturday = at("2024-03-09T12:00:00Z"), opening = at("2024-03-11T13:30:00Z");
    exchange.onBars([flat(at("2024-03-08T21:00:00Z"), 100)], at("2024-03-08T21:00:00Z"));
    const order = place(exchange, buy(10), saturday);
    assert.equal(order.status, "accepted");
    exchange.onBars([minute(opening + MINUTE, [103, 104, 102, 103.5])], opening + MINUTE);
    assert.deepEqual(exchange.takeEvents().map((event) => [event.event, event.at, event.price]),
      [["accepted", saturday, NaN], ["new", opening, NaN], ["fill", opening + MINUTE, 103]]);
  });

  test("daily bars: sent after the close of Thursday, filled at Friday's open of 103", () => {
    const exchange = open(), friday = at("2024-03-08T21:00:00Z");
    exchange.onBars([flat(at("2024-03-07T21:00:00Z"), 100)], at("2024-03-07T21:00:00Z"));
    place(exchange, buy(10), at("2024-03-07T21:00:00Z"));
    exchange.onBars([{ symbol: "AAA", start: at("2024-03-08T14:30:00Z"), at: friday, open: 103, high: 105, low: 101, close: 104,
      volume: 1e6 }], friday);
    assert.deepEqual(words(exchange), ["accepted", "new", "fill 10 @ 103"]);
  });

  test("gtc outlives the day, ioc keeps 100 of 250, fok takes nothing of a bar with 100", () => {
    const exchange = open({ participationMax: 0.1 });
    exchange.onBars([flat(TEN, 100)], TEN);
    const gtc = place(exchange, buy(10, { ...limit(90), timeInForce: "gtc" }), TEN);
    const fok = place(exchange, buy(250, { timeInForce: "fok" }), TEN);
    const ioc = place(exchange, buy(250, { timeInForce: "ioc" }), TEN);
    assert.deepEqual([fok.status, fok.filled, ioc.status, ioc.filled], ["canceled", 0, "canceled", 100]);
    exchange.advance(at("2024-03-08T03:00:00Z"));
    assert.equal(exchange.order(gtc.id)?.status, "new");
  });

  test("opg gets the open of the session's first bar, cls the close of its last", () => {
    const exchange = open(), before = at("2024-03-07T13:00:00Z"), first = at("2024-03-07T14:31:00Z");
    exchange.onBars([flat(before, 100)], before);
    place(exchange, buy(10, { timeInForce: "opg" }), before);
    exchange.onBars([minute(first, [101.5, 103, 101, 102])], first);
    place(exchange, sell(10, { timeInForce: "cls" }), first);
    exchange.onBars([minute(at("2024-03-07T20:59:00Z"), [110, 110, 110, 110])], at("2024-03-07T20:59:00Z"));
    exchange.onBars([minute(at("2024-03-07T21:00:00Z"), [111, 113, 111, 112])], at("2024-03-07T21:00:00Z"));
    assert.deepEqual(words(exchange), ["accepted", "new", "fill 10 @ 101.5", "new", "fill 10 @ 112"]);
  });

  test("windows: no opg from 9:28, no cls from 15:50, both again from 19:00", () => {
    const exchange = open();
    const said = ["2024-03-07T14:27:00Z", "2024-03-07T14:28:00Z", "2024-03-07T20:49:00Z", "2024-03-07T20:50:00Z",
      "2024-03-08T00:00:00Z"]
      .map((time, k) => answer(exchange, buy(10, { timeInForce: k < 2 ? "opg" : "cls" }), at(time)).slice(0, 3));
    assert.deepEqual(said, ["acc", "403", "acc", "403", "acc"]);
  });

  test("at 8:00 only an extended-hours limit order trades, and a market order may not be one", () => {
    const exchange = open(), eight = at("2024-03-07T13:00:00Z");
    exchange.onBars([flat(eight, 100)], eight);
    const plain = place(exchange, buy(10, limit(101)), eight);
    const extended = place(exchange, buy(10, { ...limit(101), isExtendedHours: true }), eight + 1);
    exchange.onBars([flat(eight + MINUTE, 100.5)], eight + MINUTE);
    assert.deepEqual([exchange.order(plain.id)?.status, exchange.order(extended.id)?.status], ["accepted", "filled"]);
    assert.match(answer(exchange, buy(10, { isExtendedHours: true }), eight + MINUTE), /^422 extended hours order must be/);
  });
});

describe("exchange: the door", () => {
  const REAL = { ...REALISTIC, latencyMs: 0, latencyJitterMs: 0, participationMax: Infinity, halfSpreadBps: 0, slippageBps: 0 };
  const real = (options = {}): Exchange => {
    const exchange = open(REAL, options);
    exchange.onBars([flat(TEN, 100), flat(TEN, 50, 1_000, "BBB")], TEN);
    return exchange;
  };

  const ONE_BY_ONE: readonly (readonly [string, ExchangeRequest, string])[] = [
    ["a symbol that is not listed", buy(1, { symbol: "ZZZ" }), '422 asset "ZZZ" not found'],
    ["a quantity of 0", buy(0), "422 qty or notional is required, and only one of them"],
    ["quantity and notional", buy(1, { notional: 5 }), "422 qty or notional is required, and only one of them"],
    ["ten decimals", buy(0.1234567891), "422 qty must be limited to 9 decimal places"],
    ["nine decimals", buy(0.123456789), "accepted"],
    ["a limit order without a limit", buy(1, { type: "limit" }), "422 limit orders require a limit price"],
    ["99.995", buy(1, limit(99.995)),
      "422 invalid limit_price 99.995. sub-penny increment does not fulfill minimum pricing criteria"],
    ["0.9995", buy(1, limit(0.9995)), "accepted"],
    ["half a share gtc", buy(0.5, { timeInForce: "gtc" }), "422 fractional orders must be DAY orders"],
    ["half a share of what has none", buy(0.5, { symbol: "BBB" }), '403 asset "BBB" is not fractionable'],
    ["half a share short", sell(0.5), "403 fractional orders cannot be sold short"],
    ["2,001 x 100 with 200,000", buy(2_001), "403 insufficient buying power"],
    ["2,000 x 100 with 200,000", buy(2_000), "accepted"],
    // 200,000 / 103
    ["1,942 short, valued at 103", sell(1_942), "403 insufficient buying power"],
    ["1,941 short, valued at 103", sell(1_941), "accepted"],
    ["1,739 short with a limit of 115", sell(1_740, limit(115)), "403 insufficient buying power"],
  ];
  for (const [what, request, said] of ONE_BY_ONE) {
    test(`${what}: ${said}`,
      () => { assert.equal(answer(real({ assets: { BBB: { isFractionable: false } } }), request, TEN), said); });
  }

  test("open orders keep buying power: after 1,500 at a limit of 90 there are 65,000, and a cancel gives them back", () => {
    const exchange = real();
    const order = place(exchange, buy(1_500, limit(90)), TEN);
    assert.deepEqual([exchange.account().reserved, exchange.account().buyingPower], [135_000, 65_000]);
    assert.equal(answer(exchange, buy(651), TEN), "403 insufficient buying power");
    exchange.cancel(order.id, TEN);
    assert.equal(exchange.account().buyingPower, 200_000);
  });

  test("an order against an own opposite one is a wash trade; one that cannot meet it is not", () => {
    const exchange = real();
    place(exchange, buy(10), TEN);
    place(exchange, sell(10, limit(110)), TEN);
    assert.match(answer(exchange, buy(5), TEN), /^403 potential wash trade detected/);
    assert.match(answer(exchange, buy(5, limit(110)), TEN), /^403 potential wash/);
    assert.equal(answer(exchange, buy(5, limit(109.99)), TEN), "accepted");
  });

  test("of 100 held 60 are promised away: 50 more cannot be sold, 40 can; no order turns long into short", () => {
    const exchange = real();
    place(exchange, buy(100), TEN);
    place(exchange, sell(60, limit(120)), TEN);
    assert.equal(answer(exchange, sell(50), TEN), "403 insufficient qty available for order (requested: 50, available: 40)");
    assert.equal(exchange.positions()[0].available, 40);
    assert.equal(answer(exchange, sell(40), TEN), "accepted");
  });

  test("a margin call leaves closing orders only; a blocked account none", () => {
    const exchange = real();
    place(exchange, buy(100), TEN);
    exchange.callMargin(true);
    assert.deepEqual([answer(exchange, buy(1), TEN), answer(exchange, sell(50), TEN)],
      ["403 insufficient buying power", "accepted"]);
    exchange.blockTrading(true);
    assert.match(answer(exchange, sell(50), TEN), /^403 account is restricted/);
  });
});

describe("exchange: what happens to shares", () => {
  test("halted, orders are taken and do not trade; resumed, they do", () => {
    const exchange = open();
    exchange.onBars([flat(TEN, 100)], TEN);
    exchange.halt("AAA");
    const order = place(exchange, buy(10), TEN);
    exchange.onBars([flat(TEN + MINUTE, 101)], TEN + MINUTE);
    assert.equal(exchange.order(order.id)?.status, "new");
    exchange.resume("AAA");
    exchange.onBars([flat(TEN + 2 * MINUTE, 102)], TEN + 2 * MINUTE);
    assert.equal(exchange.order(order.id)?.averagePrice, 102);
  });

  test("2:1 makes 10 at 100 into 20 at 50 and cancels open orders; 1:3 of 10 leaves 3 and pays 1 / 3 share out", () => {
    const exchange = open({}, { assets: { BBB: { isFractionable: false } } });
    exchange.onBars([flat(TEN, 100), flat(TEN, 100, 1_000, "BBB")], TEN);
    place(exchange, buy(10), TEN);
    place(exchange, buy(10, { symbol: "BBB" }), TEN);
    place(exchange, sell(10, limit(150)), TEN);
    exchange.split("AAA", 2, TEN);
    exchange.split("BBB", 1 / 3, TEN);
    assert.deepEqual(exchange.positions().map(({ quantity, averagePrice }) => [quantity, averagePrice]), [[20, 50], [3, 300]]);
    assert.equal(words(exchange).at(-1), "canceled");
    assert.ok(Math.abs(exchange.account().equity - 100_000) < 1e-9);
    assert.ok(Math.abs(exchange.account().cash - (98_000 + 100)) < 1e-9);
  });

  test("a dividend of 0.5 pays 5 on 10 long and costs 5 on 10 short", () => {
    const exchange = open();
    exchange.onBars([flat(TEN, 100), flat(TEN, 100, 1_000, "BBB")], TEN);
    place(exchange, buy(10), TEN);
    place(exchange, sell(10, { symbol: "BBB" }), TEN);
    exchange.dividend("AAA", 0.5);
    assert.equal(exchange.account().cash, 100_005);
    exchange.dividend("BBB", 0.5);
    assert.equal(exchange.account().cash, 100_000);
  });

  test("renamed, the position has the new symbol and the old one is unknown; delisted, nothing new is taken", () => {
    const exchange = open();
    exchange.onBars([flat(TEN, 100)], TEN);
    place(exchange, buy(10), TEN);
    exchange.rename("AAA", "META", TEN);
    assert.equal(exchange.positions()[0].symbol, "META");
    assert.equal(answer(exchange, buy(1), TEN), '422 asset "AAA" not found');
    exchange.delist("META", TEN);
    assert.equal(answer(exchange, sell(10, { symbol: "META" }), TEN), '422 asset "META" is not active');
  });

  test("a trade by hand is an order of its own: manual-1, 7 sold at 99", () => {
    const exchange = open();
    exchange.onBars([flat(TEN, 100)], TEN);
    const order = exchange.trade("AAA", -7, 99, TEN);
    assert.deepEqual([order.clientOrderId, order.side, words(exchange)], ["manual-1", "sell", ["new", "fill 7 @ 99"]]);
    assert.equal(exchange.positions()[0].quantity, -7);
  });
});

describe("exchange: whatever is asked", () => {
  /** 400 things asked and shown at random; all events. */
  function live(seed: number): { exchange: Exchange; events: ExchangeEvent[] } {
    const draw = random(seed, "life"), events: ExchangeEvent[] = [];
    const exchange = new Exchange({ symbols: ["AAA", "BBB"], capital: 1e6, seed,
      terms: { ...REALISTIC, feeBps: 1, isAlwaysOpen: draw.below(2) === 0 } });
    let now = at("2024-03-07T13:00:00Z"), price = 100;
    for (let k = 0; k < 400; k++) {
      now += draw.below(3) * draw.below(200_000);
      const orders = exchange.orders("open"), chosen = orders[draw.below(Math.max(1, orders.length))];
      switch (draw.below(6)) {
        case 0: case 1: {
          price *= 1 + 0.01 * draw.normal();
          exchange.onBars(["AAA", "BBB"]
            .map((symbol) => minute(now, [price, price * 1.01, price * 0.99, price], draw.below(2_000), symbol)), now);
          break;
        }
        case 2: case 3: exchange.submit((draw.below(2) === 0 ? buy : sell)(1 + draw.below(200), {
          symbol: draw.below(2) === 0 ? "AAA" : "BBB",
            ...draw.below(2) === 0 && limit(Math.round(price * (95 + draw.below(10))) / 100),
          timeInForce: (["day", "gtc", "ioc", "fok", "cls", "opg"] as const)[draw.below(6)] }), now,
        draw.below(10) === 0 ? (["rejected-later", "partial-fill"] as const)[draw.below(2)] : null); break;
        case 4: if (chosen) exchange.cancel(chosen.id, now,
          ([null, null, "stuck-cancel", "fill-beats-cancel"] as const)[draw.below(4)]); break;
        default: if (chosen) exchange.replace(chosen.id, { quantity: 1 + draw.below(200) }, now);
      }
      if (k % 97 === 0) exchange.trade("AAA", draw.below(21) - 10 || 1, price, now);
      events.push(...exchange.takeEvents());
    }
    return { exchange, events };
  }

  test("200 seeds x 400 calls: cash and positions are the sum of the fills, no order over its quantity, ids once, time forward",
    () => {
    let fills = 0;
    for (let seed = 0; seed < 200; seed++) {
      const { exchange, events } = live(seed);
      let cash = 1e6;
      const held = new Map<string, number>(), ended = new Set<string>();
      events.forEach((event, k) => {
        assert.equal(event.sequence, k + 1);
        assert.ok(k === 0 || event.at >= events[k - 1].at, `seed ${seed}: time went back at event ${k}`);
        const { order } = event;
        assert.ok(!ended.has(order.id) || event.event === "order_cancel_rejected", `seed ${seed}: ${event.event} after the end`);
        if (!isOpen(order)) ended.add(order.id);
        assert.ok(order.filled <= order.quantity);
        if (Number.isNaN(event.quantity)) return;
        fills++;
        const signed = order.side === "buy" ? event.quantity : -event.quantity;
        cash -= signed * event.price + event.quantity * event.price * (1e-4);
        held.set(order.symbol, (held.get(order.symbol) ?? 0) + signed);
        assert.equal(event.positionQuantity, held.get(order.symbol));
      });
      assert.equal(new Set(events.map((event) => event.executionId)).size, events.length);
      assert.ok(Math.abs(exchange.account().cash - cash) < 1e-6,
        `seed ${seed}: cash ${exchange.account().cash}, fills say ${cash}`);
      for (const { symbol, quantity } of exchange.positions()) assert.equal(quantity, held.get(symbol));
      const ids = exchange.orders("all").map((order) => order.id);
      assert.equal(new Set(ids).size, ids.length);
    }
    assert.ok(fills > 5_000, `${fills} fills prove nothing`);
  });

  test("equal seeds and calls give equal bytes, other seeds others", () => {
    const bytes = (seed: number): string => JSON.stringify(live(seed).events);
    assert.equal(bytes(3), bytes(3));
    assert.notEqual(bytes(3), bytes(4));
  });
});
