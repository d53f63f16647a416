/** The simulated broker, spoken to by the vendor's own package: what it answers, and what each fault does on the wire. */
import assert from "node:assert/strict";
import * as net from "node:net";
import { describe, test } from "node:test";
import { AuthError, FetchError, NotFoundError, PermissionError, RateLimitError, ValidationError, type ApiError,
} from "@alpacahq/alpaca-trade-api";
import { FakeClock } from "../src/base/clock.ts";
import { EXCHANGE_FAULTS, exchangeFaultsOf, faultsOn, seededExchangeFaults, type ExchangeFault, type ExchangeSchedule,
} from "../src/simulator/exchange-faults.ts";
import type { ExchangeServer } from "../src/simulator/exchange-server.ts";
import { REALISTIC } from "../src/simulator/exchange.ts";
import type { TradingEntry } from "../src/simulator/trading-desk.ts";
import { alpacaAt, control, FROM, KEYS, line, market, serve, traderAt } from "./exchange-client.ts";

const at = (text: string): ExchangeSchedule => exchangeFaultsOf(text, 1);
const trouble = async (work: Promise<unknown>): Promise<Error> => {
  try { await work; } catch (error) { return error as Error; }
  throw new Error("it should have failed");
};
const ids = (server: ExchangeServer): string[] => server.exchange.orders("all").map((order) => order.clientOrderId);
const headers = { "apca-api-key-id": KEYS.alpaca.keyId, "apca-api-secret-key": KEYS.alpaca.secretKey };

describe("simulated broker", () => {
  test("an order from the package: new and fill on the stream, 10 AAA held, cash less by their price", async () => {
    await using server = await serve({ capital: 50_000 });
    await using trader = await traderAt(server);
    server.step(1);
    const order = await market(trader, "one");
    assert.equal(order.clientOrderId, "one");
    await trader.updates.until((all) => all.length === 2, "new and fill");
    assert.deepEqual(trader.updates.all.map(({ event, qty }) => [event, qty]), [["new", ""], ["fill", "10"]]);
    const price = server.exchange.market("AAA")?.last ?? NaN;
    const [position] = await trader.alpaca.trading.positions.getAllOpenPositions();
    assert.deepEqual([position.symbol, position.qty, position.avgEntryPrice, position.side],
      ["AAA", "10", String(price), "long"]);
    const account = await trader.alpaca.trading.account.getAccount();
    assert.equal(Number(account.cash), 50_000 - 10 * price);
    assert.deepEqual([account.status, account.tradingBlocked], ["ACTIVE", false]);
  });

  test("orders by id, by client id, as lists, changed, cancelled one and all", async () => {
    await using server = await serve();
    await using trader = await traderAt(server);
    const { orders } = trader.alpaca.trading;
    const placed = await orders.limit({ symbol: "AAA", side: "buy", qty: 10, limitPrice: 50, timeInForce: "gtc",
      clientOrderId: "low" });
    const found = await orders.getOrderByClientOrderId({ clientOrderId: "low" });
    assert.deepEqual([found.id, found.limitPrice, found.type, found.timeInForce, found.status],
      [placed.id, "50", "limit", "gtc", "new"]);
    const changed = await orders.patchOrderByOrderId({ orderId: String(placed.id),
      patchOrderRequest: { qty: "12", limitPrice: "51" } });
    assert.deepEqual([changed.qty, changed.limitPrice, changed.replaces], ["12", "51", placed.id]);
    assert.equal((await orders.getOrderByOrderID({ orderId: String(placed.id) })).replacedBy, changed.id);
    await orders.limit({ symbol: "BRK.B", side: "buy", qty: 1, limitPrice: 5, timeInForce: "day" });
    assert.equal((await orders.getAllOrders({ status: "open" })).length, 2);
    assert.equal((await orders.getAllOrders({ status: "open", symbols: "BRK.B" })).length, 1);
    await orders.deleteOrderByOrderID({ orderId: String(changed.id) });
    const answers = await orders.deleteAllOrders();
    assert.deepEqual(answers.map(({ status }) => status), [200]);
    assert.equal((await orders.getAllOrders({ status: "closed" })).length, 3);
    await trader.updates.until((all) => all.filter(({ event }) => event === "canceled").length === 2, "two cancels");
  });

  test("the clock is simulated: Thursday 2024-03-07 10:00 in New York, open, closing at 21:00 UTC, next open on Friday",
    async () => {
    await using server = await serve();
    const { clock, calendar, assets } = alpacaAt(server).trading;
    const now = await clock.legacyClock();
    assert.deepEqual([now.timestamp.getTime(), now.isOpen, now.nextClose.toISOString(), now.nextOpen.toISOString()],
      [FROM, true, "2024-03-07T21:00:00.000Z", "2024-03-08T14:30:00.000Z"]);
    const days = await calendar.legacyCalendar({ start: new Date("2024-07-03"), end: new Date("2024-07-05") });
    assert.deepEqual(days.map((day) => [day.date.toISOString().slice(0, 10), day.open, day.close]),
      [["2024-07-03", "09:30", "13:00"], ["2024-07-05", "09:30", "16:00"]]);
    const asset = await assets.getV2AssetsSymbolOrAssetId({ symbolOrAssetId: "AAA" });
    assert.deepEqual([asset.symbol, asset.tradable, asset.fractionable, asset.status], ["AAA", true, true, "active"]);
    assert.ok(await trouble(assets.getV2AssetsSymbolOrAssetId({ symbolOrAssetId: "ZZZ" })) instanceof NotFoundError);
  });

  test("activities are the fills, newest first, in pages", async () => {
    await using server = await serve();
    await using trader = await traderAt(server);
    for (const id of ["a", "b", "c"]) await market(trader, id, 1);
    const page = async (query: string) =>
      await (await fetch(`${server.url}/v2/account/activities/FILL?page_size=2${query}`, { headers }))
        .json() as { id: string; order_id: string }[];
    const first = await page(""), second = await page(`&page_token=${first[1].id}`);
    const byId = (id: string) => server.exchange.orderByClientId(id)?.id;
    assert.deepEqual([...first, ...second].map((fill) => fill.order_id), ["c", "b", "a"].map(byId));
  });

  test("submitAndWait of the package places once and resolves with the fill", async () => {
    await using server = await serve({ terms: REALISTIC });
    const alpaca = alpacaAt(server), stream = alpaca.trading.stream({ url: server.streams.trading });
    stream.connect();
    assert.equal(await stream.waitForAuthentication(5_000), true);
    server.step(1);
    const order = await alpaca.trading.submitAndWait({ symbol: "AAA", side: "buy", qty: "3", type: "market", timeInForce: "day",
      clientOrderId: "waited" }, { stream, timeoutMs: 5_000 });
    stream.disconnect();
    assert.deepEqual([order.status, order.filledQty, ids(server)], ["filled", "3", ["waited"]]);
  });

  test("refusals in the package's classes: duplicate id 422, no money 403, no such order 404, wrong key 401", async () => {
    await using server = await serve({ terms: { ...REALISTIC, latencyMs: 0, latencyJitterMs: 0 } });
    await using trader = await traderAt(server);
    await market(trader, "one");
    const twice = await trouble(market(trader, "one")) as ApiError;
    assert.ok(twice instanceof ValidationError);
    assert.deepEqual([twice.status, twice.code, twice.message], [422, 40010001, "client_order_id must be unique"]);
    const poor = await trouble(market(trader, "two", 1e6)) as ApiError;
    assert.deepEqual([poor instanceof PermissionError, poor.code, poor.message], [true, 40310000, "insufficient buying power"]);
    const unknown = trader.alpaca.trading.orders.getOrderByClientOrderId({ clientOrderId: "none" });
    assert.ok(await trouble(unknown) instanceof NotFoundError);
    const stranger = await fetch(`${server.url}/v2/account`, { headers: { ...headers, "apca-api-secret-key": "wrong" } });
    assert.equal(stranger.status, 401);
    assert.equal((await fetch(`${server.url}/v2/account`)).status, 401);
  });

  test("5 calls a minute: the sixth is 429, the headers count 4 3 2 1 0, and 12 s later there is one more", async () => {
    const clock = new FakeClock(1_700_000_000_000);
    await using server = await serve({ callsPerMinute: 5, clock });
    const left: (string | null)[] = [];
    for (let k = 0; k < 5; k++) left.push((await fetch(`${server.url}/v2/account`,
      { headers })).headers.get("x-ratelimit-remaining"));
    assert.deepEqual(left, ["4", "3", "2", "1", "0"]);
    const error = await trouble(alpacaAt(server).trading.account.getAccount()) as RateLimitError;
    assert.ok(error instanceof RateLimitError);
    assert.deepEqual([error.retryAfterMs, error.rateLimit?.limit], [1_000, 5]);
    await clock.sleep(12_000);
    assert.equal((await fetch(`${server.url}/v2/account`, { headers })).status, 200);
  });

  test("bad addresses, bodies and controls are answered, and the next call too", async () => {
    await using server = await serve();
    const post = (path: string, body: string) => fetch(server.url + path, { method: "POST", headers, body })
      .then(({ status }) => status);
    assert.deepEqual([await post("/v2/orders", "{"), await post("/v2/orders", "[]"), await post("/v2/orders", '{"symbol":"AAA"}'),
      await post("/v2/orders/%zz", "{}"), await post("/v2/nothing", "{}"), await post("/simulator/pace", '{"kind":"warp"}'),
      await post("/simulator/fault", '{"name":"earthquake"}'), await post("/simulator/trade", '{"symbol":"AAA","quantity":"x"}'),
      await post("/simulator/nothing", "")], [422, 422, 422, 400, 404, 400, 400, 400, 404]);
    assert.equal((await fetch(`${server.url}/v2/clock`, { headers })).status, 200);
  });

  test("a port that is taken rejects; a closed server leaves the port free", async () => {
    const first = await serve();
    assert.match((await trouble(serve({ port: first.port }))).message, /EADDRINUSE/);
    await first.close();
    await using second = await serve({ port: first.port });
    assert.equal(second.port, first.port);
  });

  test("update frames are binary, a wrong key is unauthorized and closed, listening before the key is refused", async () => {
    await using server = await serve();
    await using one = await line(server.streams.trading);
    one.say({ action: "listen", data: { streams: ["trade_updates"] } });
    await one.heard.until((all) => all.length === 1, "a refusal");
    assert.deepEqual(one.heard.all[0]["data"], { error: "required stream authentication" });
    let isBinary = false;
    one.socket.on("message", (_, binary) => { isBinary = binary; });
    one.say({ action: "authenticate", data: { key_id: KEYS.alpaca.keyId, secret_key: "wrong" } });
    await one.closed;
    assert.deepEqual([isBinary, one.heard.all[1]["data"]], [true, { status: "unauthorized", action: "authenticate" }]);
  });
});

describe("faults of orders", () => {
  /** Whether the order exists afterwards, and as what the package says it. */
  const POSTS: readonly (readonly [ExchangeFault, boolean, (error: Error) => boolean])[] = [
    ["post-time-out", true, (error) => (error as ApiError).status === 504],
    ["post-reset", true, (error) => error instanceof FetchError],
    ["post-lost", false, (error) => error instanceof FetchError],
    ["post-refused", false, (error) => (error as ApiError).status === 504],
    ["id-taken", true, (error) => (error as ApiError).code === 40010001],
    ["wash-refused", false, (error) => error instanceof PermissionError && /wash/.test(error.message)],
    ["money-refused", false, (error) => error instanceof PermissionError && /buying power/.test(error.message)],
    ["too-many-calls", false, (error) => error instanceof RateLimitError],
    ["broker-down", false, (error) => (error as ApiError).status === 503],
    ["wrong-account", false, (error) => error instanceof AuthError],
  ];
  for (const [fault, exists, isIt] of POSTS) {
    test(`${fault}: ${EXCHANGE_FAULTS[fault].says}; the order ${exists ? "exists" : "does not exist"}`, async () => {
      await using server = await serve({ faults: at(`${fault}@1`) });
      const alpaca = alpacaAt(server);
      const error = await trouble(market({ alpaca }, "one"));
      assert.ok(isIt(error), `${error.name}: ${error.message}`);
      assert.deepEqual(ids(server), exists ? ["one"] : []);
      await market({ alpaca }, "two");
      assert.deepEqual(ids(server), exists ? ["one", "two"] : ["two"]);
    });
  }

  for (const [fault, ask] of [
    ["post-hung", (server: ExchangeServer, signal: AbortSignal) =>
      fetch(`${server.url}/v2/orders`, { method: "POST", headers, signal,
      body: JSON.stringify({ symbol: "AAA", side: "buy", type: "market", qty: "1", time_in_force: "day",
        client_order_id: "x" }) })],
    ["cancel-hung", (server: ExchangeServer, signal: AbortSignal) => fetch(
      `${server.url}/v2/orders/${server.exchange.orderByClientId("low")?.id}`, { method: "DELETE", headers, signal })],
  ] as const) {
    test(`${fault}: ${EXCHANGE_FAULTS[fault].says}`, async () => {
      const done = Promise.withResolvers<TradingEntry>();
      await using server =
        await serve({ faults: at(`${fault}@1`), onRequest: (entry) => { if (entry.fault === fault) done.resolve(entry); } });
      server.exchange.submit({ clientOrderId: "low", symbol: "AAA", side: "buy", type: "limit", timeInForce: "day", quantity: 1,
        notional: NaN, limitPrice: 1, stopPrice: NaN, isExtendedHours: false }, FROM);
      const abort = new AbortController(), answer = trouble(ask(server, abort.signal));
      assert.equal((await done.promise).status, 0);
      abort.abort();
      assert.equal((await answer).name, "AbortError");
      assert.equal(fault === "post-hung"
        ? server.exchange.orderByClientId("x")?.status : server.exchange.orderByClientId("low")?.status,
        fault === "post-hung" ? "filled" : "canceled");
    });
  }

  const LIVES: readonly (readonly [ExchangeFault, readonly string[]])[] = [
    ["rejected-later", ["rejected"]], ["partial-fill", ["new", "partial_fill", "fill"]],
  ];
  for (const [fault, events] of LIVES) {
    test(`${fault}: ${EXCHANGE_FAULTS[fault].says}`, async () => {
      await using server = await serve({ faults: at(`${fault}@1`) });
      await using trader = await traderAt(server);
      await market(trader, "one");
      server.step(2);
      await trader.updates.until((all) => all.length === events.length, events.join(", "));
      assert.deepEqual(trader.updates.all.map(({ event }) => event), events);
    });
  }

  const CANCELS: readonly (readonly [ExchangeFault, readonly string[]])[] = [
    ["stuck-cancel", ["new", "pending_cancel"]], ["fill-beats-cancel", ["new", "fill", "order_cancel_rejected"]],
  ];
  for (const [fault, events] of CANCELS) {
    test(`${fault}: ${EXCHANGE_FAULTS[fault].says}`, async () => {
      await using server = await serve({ faults: at(`${fault}@1`) });
      await using trader = await traderAt(server);
      const order = await trader.alpaca.trading.orders.limit({ symbol: "AAA", side: "buy", qty: 10, limitPrice: 1,
        timeInForce: "day" });
      await trader.alpaca.trading.orders.deleteOrderByOrderID({ orderId: String(order.id) });
      await trader.updates.until((all) => all.length === events.length, events.join(", "));
      assert.deepEqual(trader.updates.all.map(({ event }) => event), events);
    });
  }

  for (const fault of faultsOn("request").filter((name) => name === "field-missing" || name === "field-new")) {
    test(`${fault}: ${EXCHANGE_FAULTS[fault].says}; the package reads account, orders and positions all the same`, async () => {
      await using server = await serve({ faults: (occasion) => occasion === "request" ? fault : null });
      const { trading } = alpacaAt(server);
      await market({ alpaca: alpacaAt(server) }, "one");
      assert.equal((await trading.account.getAccount()).status, "ACTIVE");
      assert.equal((await trading.positions.getAllOpenPositions())[0].qty, "10");
      const [order] = await trading.orders.getAllOrders({ status: "all" });
      assert.equal("order_class" in order, fault === "field-new");
      assert.equal(order["moon_phase"], fault === "field-new" ? "waxing" : undefined);
    });
  }
});

describe("faults of updates and connections", () => {
  const UPDATES: readonly (readonly [ExchangeFault, readonly string[]])[] = [
    ["update-missing", ["fill one", "new two", "fill two"]],
    ["update-twice", ["new one", "new one", "fill one", "new two", "fill two"]],
    ["update-swapped", ["fill one", "new one", "new two", "fill two"]],
    ["update-unknown", ["held_for_review one", "fill one", "new two", "fill two"]],
  ];
  for (const [fault, expected] of UPDATES) {
    test(`${fault}: ${EXCHANGE_FAULTS[fault].says}: ${expected.join(", ")}`, async () => {
      await using server = await serve({ faults: at(`${fault}@1`) });
      await using trader = await traderAt(server);
      await market(trader, "one");
      await market(trader, "two");
      await trader.updates.until((all) => all.length === expected.length, expected.join(", "));
      assert.deepEqual(trader.updates.all.map(({ event, id }) => `${event} ${id}`), expected);
      if (fault === "update-twice") assert.equal(trader.updates.all[0].executionId, trader.updates.all[1].executionId);
      if (fault === "update-unknown") assert.equal(trader.updates.all[0].status, "in_review");
    });
  }

  test("updates-cut: the package reconnects and listens again; the fill in between is only in REST", async () => {
    await using server = await serve({ faults: at("updates-cut@1") });
    await using trader = await traderAt(server);
    server.step(1);
    await market(trader, "one");
    await trader.states.until((all) => all.filter((state) => state === "authenticated").length === 2, "a second authentication");
    await market(trader, "two");
    const seen = await trader.updates.until((all) => all.some(({ event, id }) => event === "fill" && id === "two"), "fill two");
    assert.ok(seen.every(({ id }) => id === "two"));
    assert.equal((await trader.alpaca.trading.orders.getOrderByClientOrderId({ clientOrderId: "one" })).status, "filled");
  });

  test("connection-limit and connection-unanswered at the first key: cut off, authenticated at the next", async () => {
    await using server =
      await serve({ faults: at("connection-limit@1,connection-unanswered@2"), limits: { authTimeoutMs: 100 } });
    await using trader = await traderAt(server);
    assert.equal(trader.states.all.filter((state) => state === "authenticated").length, 1);
    assert.ok(trader.states.all.filter((state) => state === "connected").length >= 3);
  });

  test("connection-mute: listening is acknowledged, an order fills, nothing is heard of it", async () => {
    await using server = await serve({ faults: at("connection-mute@1") });
    await using trader = await traderAt(server);
    await using other = await traderAt(server);
    await market(trader, "one");
    await other.updates.until((all) => all.length === 2, "the other hears it");
    assert.deepEqual(trader.updates.all, []);
  });

  test("connection-deaf: authenticated, and no listening is ever acknowledged", async () => {
    await using server = await serve({ faults: at("connection-deaf@1") });
    await using trader = await traderAt(server, false);
    await trader.states.until((all) => all.includes("authenticated"), "authenticated");
    await using other = await traderAt(server);
    await market(trader, "one");
    await other.updates.until((all) => all.length === 2, "the other hears it");
    assert.deepEqual(trader.updates.all, []);
  });

  test("who does not show a key within the time is cut off", async () => {
    await using server = await serve({ limits: { authTimeoutMs: 50 } });
    await using one = await line(server.streams.trading);
    const [code] = await one.closed as [number];
    assert.equal(code, 1000);
  });
});

describe("the world goes on", () => {
  test("manual-trade and manual-order: a position and an open order that nobody here asked for", async () => {
    await using server = await serve({ faults: at("manual-trade@1,manual-order@2") });
    server.step(2);
    assert.equal(server.exchange.positions().length, 1);
    assert.match(ids(server).join(), /^manual-1,manual-order-2$/);
    const order = await control(server, "trade", { symbol: "AAA", quantity: 3, price: 99.5 });
    assert.deepEqual([order["client_order_id"], order["filled_avg_price"]], ["manual-2", "99.5"]);
  });

  test("margin-call and clock-off last 3 steps: buying power 0, and the clock an hour ahead", async () => {
    await using server = await serve({ faults: at("margin-call@1"), terms: REALISTIC });
    const { trading } = alpacaAt(server);
    server.step(1);
    assert.equal((await trading.account.getAccount()).buyingPower, "0");
    server.step(3);
    assert.equal((await trading.account.getAccount()).buyingPower, "200000");
    await control(server, "fault", { name: "clock-off" });
    server.step(1);
    assert.equal((await trading.clock.legacyClock()).timestamp.getTime() - server.state().now, 3_600_000);
    server.step(3);
    assert.equal((await trading.clock.legacyClock()).timestamp.getTime(), server.state().now);
  });

  test("with latency a stepped order is filled without a step, and before the next one", async () => {
    await using server = await serve({ terms: REALISTIC });
    await using trader = await traderAt(server);
    server.step(1);
    const { now, nextAt } = server.state();
    await market(trader, "one", 1);
    await trader.updates.until((all) => all.at(-1)?.event === "fill", "fill");
    assert.equal(server.state().nextAt, nextAt);
    assert.ok(server.state().now - now <= REALISTIC.latencyMs + REALISTIC.latencyJitterMs + 1);
  });

  test("who asks a stepped market in the same breath hears what became of the order, not that it is on its way", async () => {
    await using server = await serve({ terms: REALISTIC });
    server.step(1);
    const body = JSON.stringify({ symbol: "AAA", qty: "1", side: "buy", type: "market", time_in_force: "day",
      client_order_id: "one" });
    const request = (first: string, connection: string): string => [`${first} HTTP/1.1`, "host: simulated",
      `connection: ${connection}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      `content-length: ${body.length}`, "", body].join("\r\n");
    const socket = net.connect(server.port, "127.0.0.1");
    socket.write(request("POST /v2/orders", "keep-alive")
      + request("GET /v2/orders:by_client_order_id?client_order_id=one", "close"));
    let heard = "";
    for await (const part of socket) heard += String(part);
    assert.deepEqual([...heard.matchAll(/"status":"(\w+)"/g)].map(([, status]) => status), ["pending_new", "filled"]);
  });

  test("split over the control: 10 become 20, and the exchange trades on", async () => {
    await using server = await serve();
    await using trader = await traderAt(server);
    await market(trader, "one");
    await control(server, "split", { symbol: "AAA", ratio: 2 });
    assert.equal((await trader.alpaca.trading.positions.getOpenPosition({ symbolOrAssetId: "AAA" })).qty, "20");
    await control(server, "rename", { symbol: "AAA", to: "ZZZ" });
    assert.equal((await trader.alpaca.trading.positions.getAllOpenPositions())[0].symbol, "ZZZ");
    await control(server, "delist", { symbol: "ZZZ" });
    const asset = await trader.alpaca.trading.assets.getV2AssetsSymbolOrAssetId({ symbolOrAssetId: "ZZZ" });
    assert.deepEqual([asset.tradable, asset.status], [false, "inactive"]);
  });
});

describe("schedules", () => {
  test("a seed is a reproducer: the same 3,000 draws twice, 2 % of them faults of their own occasion", () => {
    const draw = (seed: number) => (["order", "cancel", "request", "update", "connection", "step"] as const)
      .flatMap((occasion) =>
        Array.from({ length: 500 }, (_, k) => [occasion, seededExchangeFaults(seed, 0.02)(occasion, k + 1)] as const));
    assert.deepEqual(draw(7), draw(7));
    const faults = draw(7).filter(([, fault]) => fault !== null);
    assert.ok(faults.length > 30 && faults.length < 95, `${faults.length} of 3,000`);
    for (const [occasion, fault] of faults) assert.equal(fault && EXCHANGE_FAULTS[fault].on, occasion);
  });

  test("names of schedules are checked: none, seeded, seeded:0.1 and scripts; anything else says what there is", () => {
    assert.equal(exchangeFaultsOf("none", 1)("order", 1), null);
    assert.equal(exchangeFaultsOf("post-reset@3", 1)("order", 3), "post-reset");
    assert.equal(exchangeFaultsOf("post-reset@3", 1)("order", 2), null);
    assert.ok(Array.from({ length: 400 }, (_, k) => exchangeFaultsOf("seeded:0.5", 1)("order", k + 1))
      .filter(Boolean).length > 150);
    assert.throws(() => exchangeFaultsOf("post-rest@3", 1), /"post-rest@3" is no fault of the simulator\nuse none, seeded/);
  });
});
