/** The Alpaca client against our exchange on loopback: what it says of each call, and that it makes none twice. */
import assert from "node:assert/strict";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { pinnedFetch } from "../src/live/brokers/alpaca-fetch.ts";
import { hostOf, LIVE_CONFIRMATION } from "../src/live/brokers/alpaca-hosts.ts";
import { accountOf, decimalOf, orderOf, updateOf } from "../src/live/brokers/alpaca-words.ts";
import { BrokerTrouble, type Broker, type OrderRequest } from "../src/live/brokers/broker.ts";
import { scriptedExchangeFaults, type ExchangeFault } from "../src/simulator/exchange-faults.ts";
import type { TradingEntry } from "../src/simulator/trading-desk.ts";
import { openClient, startVenue } from "./execution-host.ts";

const order = (id: string, change: Partial<OrderRequest> = {}): OrderRequest => ({ id, symbol: "AAA", quantity: 10,
  type: "market",
  limitPrice: null, timeInForce: "day", isExtendedHours: false, ...change });

/** Listens; resolves with what the stream said once it is proven, `times` times. */
function proven(broker: Broker, times = 1, said: string[] = []): Promise<string[]> {
  return new Promise((resolve) => broker.listen({
    update: () => {},
    stream: (isProven, reason) => {
      said.push(`${isProven} ${reason}`);
      if (said.filter((one) => one.startsWith("true")).length === times) resolve(said);
    },
  }));
}

describe("which host is money", () => {
  test("a venue is exactly one host", () => {
    assert.equal(hostOf("alpaca-paper", null).trading.href, "https://paper-api.alpaca.markets/");
    assert.equal(hostOf("alpaca-paper", null).stream.href, "wss://paper-api.alpaca.markets/stream");
    assert.equal(hostOf("alpaca-paper", "http://127.0.0.1:1").trading.host, "paper-api.alpaca.markets");
    const all = { isFlagged: true, isConfigured: true, typed: LIVE_CONFIRMATION };
    assert.deepEqual([hostOf("alpaca-live", null, all).trading.href, hostOf("alpaca-live", null, all).isPaper],
      ["https://api.alpaca.markets/", false]);
  });

  test("real money needs flag, setting and the exact words: 7 of the 8 ways are refused", () => {
    let refused = 0;
    for (const isFlagged of [false, true]) for (const isConfigured of [false, true]) for (const typed of ["yes",
      LIVE_CONFIRMATION]) {
      try { hostOf("alpaca-live", null, { isFlagged, isConfigured, typed }); } catch (error) {
        assert.ok(error instanceof UserError);
        refused++;
      }
    }
    assert.equal(refused, 7);
    assert.throws(() => hostOf("alpaca-live", null), UserError);
  });

  test("a simulator lives on loopback: addresses that only look like it are refused", () => {
    for (const url of ["http://127.0.0.1.evil.example/", "https://api.alpaca.markets", "http://paper-api.alpaca.markets", "",
      "nonsense",
      "http://localhost@evil.example/", "ws://127.0.0.1:1", "http://10.0.0.1:80"]) {
      assert.throws(() => hostOf("simulator", url), UserError, url);
    }
    assert.equal(hostOf("simulator", "http://127.0.0.1:5573").stream.href, "ws://127.0.0.1:5573/stream");
  });

  test("no request goes to another host, a redirect is not followed", async () => {
    let asked = 0;
    const other = http.createServer((_, response) => { asked++; response.end("{}"); });
    const base = http.createServer((_, response) => response.writeHead(307, { location: address(other) }).end());
    await Promise.all([other, base].map((one) => new Promise<void>((resolve) => one.listen(0, "127.0.0.1", resolve))));
    using pinned = pinnedFetch(new URL(address(base)), () => {});
    await assert.rejects(pinned.fetch(`${address(other)}/v2/orders`), /host not allowed/);
    assert.equal((await pinned.fetch(`${address(base)}/v2/orders`)).status, 307);
    assert.equal(asked, 0);
    for (const one of [other, base]) { one.closeAllConnections(); one.close(); }
  });
});

const address = (server: http.Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

describe("what became of a POST", () => {
  const cases: readonly (readonly [ExchangeFault, string, boolean])[] = [
    ["post-hung", "unknown", true], ["post-time-out", "unknown", true], ["post-reset", "unknown", true], ["post-lost", "unknown",
      false],
    ["post-refused", "unknown", false], ["id-taken", "duplicate", true], ["wash-refused", "rejected", false],
    ["money-refused", "rejected", false],
  ];
  for (const [fault, outcome, isThere] of cases) {
    test(`${fault}: ${outcome}, asked once, and a look-up finds ${isThere ? "it" : "none"}`, async () => {
      const entries: TradingEntry[] = [];
      await using server = await startVenue(["AAA"], { faults: scriptedExchangeFaults([[fault, 1]]), onRequest: (entry) =>
        entries.push(entry) });
      await using broker = await openClient(server.url, 300);
      const found = await broker.submit(order("momentum-AAA-1-0"));
      assert.equal(found.outcome, outcome);
      if (found.outcome === "rejected") assert.equal(found.code, "40310000");
      assert.equal(entries.filter(({ method }) => method === "POST").length, 1);
      assert.equal((await broker.orderById("momentum-AAA-1-0"))?.filled ?? null, isThere ? 10 : null);
    });
  }

  test("429: limited, for as long as the broker says", async () => {
    await using server = await startVenue(["AAA"], { faults: scriptedExchangeFaults([["too-many-calls", 1]]) });
    await using broker = await openClient(server.url);
    assert.deepEqual(await broker.submit(order("a")), { outcome: "limited", retryAfterMs: 1_000 });
    assert.equal((await broker.submit(order("a"))).outcome, "accepted");
  });

  test("a real second order of the same id is a duplicate", async () => {
    await using server = await startVenue(["AAA"]);
    await using broker = await openClient(server.url);
    assert.equal((await broker.submit(order("a"))).outcome, "accepted");
    assert.deepEqual(await broker.submit(order("a", { quantity: 7 })), { outcome: "duplicate" });
  });

  test("refused keys: submit is rejected, questions are trouble, and no word names the keys", async () => {
    const lines: string[] = [];
    await using server = await startVenue(["AAA"],
      { keys: { massive: "m", alpaca: { keyId: "OTHER", secretKey: "other-secret" } } });
    await using broker = await openClient(server.url, 1_000, (line) => lines.push(line));
    const found = await broker.submit(order("a"));
    assert.equal(found.outcome, "rejected");
    await assert.rejects(broker.account(), BrokerTrouble);
    const stream: string[] = [];
    await new Promise<void>((resolve) => broker.listen({ update: () => {}, stream: (isProven, reason) => {
      stream.push(`${isProven} ${reason}`);
      if (reason === "disconnected") resolve();
    } }));
    assert.ok(!stream.some((one) => one.startsWith("true")));
    const words = JSON.stringify([found, stream, lines]);
    assert.ok(!words.includes("SIMULATEDKEYID") && !words.includes("simulated-alpaca-secret"), words);
  });

  test("nobody listens: unknown, and questions are trouble, never an empty list", async () => {
    const server = await startVenue(["AAA"]);
    const { url } = server;
    await server.close();
    await using broker = await openClient(url);
    assert.equal((await broker.submit(order("a"))).outcome, "unknown");
    for (const ask of [() => broker.positions(), () => broker.orders(0), () => broker.account(), () => broker.orderById("a")]) {
      await assert.rejects(ask(), BrokerTrouble);
    }
  });
});

describe("orders, positions, cancels", () => {
  test("signed units both ways, limits in cents, open orders, cancel, too late", async () => {
    await using server = await startVenue(["AAA", "BBB"]);
    await using broker = await openClient(server.url);
    await broker.submit(order("short", { symbol: "BBB", quantity: -4 }));
    const limit = await broker.submit(order("rests", { type: "limit", limitPrice: 90.5, quantity: 3 }));
    assert.ok(limit.outcome === "accepted");
    assert.deepEqual((await broker.positions()).map(({ symbol, units }) => [symbol, units]), [["BBB", -4]]);
    const orders = await broker.orders(0);
    assert.deepEqual(orders.map(({ id, quantity, filled, state, limitPrice }) => ({ id, quantity, filled, state, limitPrice })), [
      { id: "rests", quantity: 3, filled: 0, state: "accepted", limitPrice: 90.5 },
      { id: "short", quantity: -4, filled: -4, state: "filled", limitPrice: NaN },
    ]);
    const standing = await broker.standing();
    assert.deepEqual(standing.orders, orders.slice(0, 1));
    assert.equal(standing.buyingPower, (await broker.account()).buyingPower);
    assert.deepEqual(await broker.cancel(limit.order.brokerId), { outcome: "accepted" });
    assert.equal((await broker.cancel(limit.order.brokerId)).outcome, "too-late");
    assert.equal((await broker.orderById("rests"))?.state, "cancelled");
    assert.equal(await broker.orderById("nobody"), null);
    assert.equal(await broker.asset("ZZZ"), null);
    assert.deepEqual(await broker.asset("AAA"), { symbol: "AAA", isTradable: true, isShortable: true, isFractionable: true });
  });

  test("1,203 orders come in three pages, each once", async () => {
    await using server = await startVenue(["AAA"]);
    await using broker = await openClient(server.url);
    for (let k = 0; k < 1_203; k++) {
      if (k % 300 === 0) server.step(1);
      await broker.submit(order(`o${k}`, { quantity: 1 }));
    }
    const ids = (await broker.orders(0)).map(({ id }) => id);
    assert.equal(ids.length, 1_203);
    assert.equal(new Set(ids).size, 1_203);
  });
});

describe("a broker that answers oddly", () => {
  /** Answers everything with this. */
  async function odd(status: number, body: unknown): Promise<{ broker: Broker; asked: string[] } & AsyncDisposable> {
    const asked: string[] = [];
    const server = http.createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const broker = await openClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    return { broker, asked, [Symbol.asyncDispose]: async () => {
      await broker[Symbol.asyncDispose]();
      await new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); });
    } };
  }

  test("HTTP 408, 425 and 5xx to an order: nobody knows; 400, 403, 404: refused; each was sent once", async () => {
    for (const [status, outcome] of [[408, "unknown"], [425, "unknown"], [500, "unknown"], [504, "unknown"],
      [400, "rejected"], [403, "rejected"], [404, "rejected"], [429, "limited"]] as const) {
      await using scene = await odd(status, { code: 1, message: "no" });
      assert.deepEqual([(await scene.broker.submit(order("a"))).outcome, scene.asked.length], [outcome, 1], String(status));
    }
  });

  test("a holding that cannot be read is not none: no list of positions at all", async () => {
    for (const row of [{ symbol: "AAA", side: "long" }, { symbol: "AAA", qty: "many" }, { qty: "3" }]) {
      await using scene = await odd(200, [{ symbol: "BBB", qty: "1" }, row]);
      await assert.rejects(scene.broker.positions(), BrokerTrouble);
    }
  });
});

describe("the update stream", () => {
  test("is proven only when it listens; an update carries the execution", async () => {
    await using server = await startVenue(["AAA"]);
    await using broker = await openClient(server.url);
    const updates: unknown[] = [];
    await new Promise<void>((resolve) => broker.listen({
      update: ({ event, quantity, price, executionId, order: told }) => {
        updates.push([event, quantity, price, executionId !== null, told.filled]);
        if (event === "fill") resolve();
      },
      stream: (isProven) => { if (isProven) void broker.submit(order("a", { quantity: -6 })); },
    }));
    assert.deepEqual(updates, [["new", NaN, NaN, false, 0], ["fill", -6, 100, true, -6]]);
  });

  test("cut: unproven at once, proven again after a new login", async () => {
    await using server = await startVenue(["AAA"], { faults: scriptedExchangeFaults([["updates-cut", 2]]) });
    await using broker = await openClient(server.url);
    const said: string[] = [];
    const twice = proven(broker, 2, said);
    while (!said.some((one) => one.startsWith("true"))) await new Promise((resolve) => setImmediate(resolve));
    server.step(1);
    await twice;
    assert.ok(said.indexOf("true listening") < said.indexOf("false disconnected"), said.join());
  });
});

describe("words and numbers", () => {
  test("a sell is negative, decimals are strings, an unknown word is named", () => {
    const told = orderOf({ id: "b", client_order_id: "a", symbol: "AAA", side: "sell", qty: "10.5", filled_qty: "0.25",
      filled_avg_price: "99.125", type: "market", status: "teleported", submitted_at: "2024-01-03T15:00:00Z" });
    assert.deepEqual([told?.quantity, told?.filled, told?.averagePrice, told?.state, told?.word], [-10.5, -0.25, 99.125,
      "unknown", "teleported"]);
  });

  test("what is missing is NaN or null, nothing is thrown", () => {
    assert.equal(orderOf({}), null);
    assert.equal(orderOf("<html>"), null);
    assert.equal(updateOf({ event: "fill" }, 0), null);
    assert.equal(updateOf({ event: "restated", order: { id: "b" } }, 5)?.event, "other");
    const account = accountOf({ status: "ACTIVE", cash: "5", equity: null, moon: 1 });
    assert.deepEqual([account.cash, account.equity, account.buyingPower, account.isTradingBlocked], [5, NaN, NaN, false]);
    assert.deepEqual(account.oddities, ['"buying_power" is missing', '"equity" is missing', '"moon" is new']);
  });

  test("an account in another currency is not traded on, and says why", () => {
    const euro = accountOf({ status: "ACTIVE", cash: "5", equity: "5", buying_power: "5", currency: "EUR" });
    assert.deepEqual([euro.isTradingBlocked, euro.oddities], [true, ["it is kept in EUR: only dollars can be traded with"]]);
    assert.equal(accountOf({ currency: "USD" }).isTradingBlocked, false);
  });

  test("quantities travel as decimals without an exponent", () => {
    assert.deepEqual([1e-7, 10, 0.1 + 0.2, 1234567.5, 1e-9].map(decimalOf), ["0.0000001", "10", "0.3", "1234567.5",
      "0.000000001"]);
  });
});
