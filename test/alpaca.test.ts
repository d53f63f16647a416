/** Alpaca's source. That the package's own retries are off is measured: one failure costs one request more. */
import assert from "node:assert/strict";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { alpaca } from "../src/market/sources/alpaca.ts";
import { onlyHost } from "../src/market/sources/alpaca-wire.ts";
import type { PageCache } from "../src/market/sources/source.ts";
import { scriptedFaults } from "../src/simulator/faults.ts";
import { dailyMarket, INTRADAY_SPAN, intradayMarket } from "./conformance/market.ts";
import { collect, requestOf } from "./conformance/source.ts";
import { fetchAll, isRefusal, testVendor } from "./conformance/vendor.ts";
import { openOutside, type Outside, type OutsideOptions } from "./outside.ts";

testVendor({ name: "alpaca", make: alpaca });

const MARKET = dailyMarket();
const open = (options: Partial<OutsideOptions> = {}): Promise<Outside> => openOutside(alpaca, { market: MARKET, ...options });

const portOf = (server: http.Server): number => (server.address() as AddressInfo).port;

describe("alpaca", () => {
  test("asks for raw prices of the configured feed, ascending, 10,000 rows: 2 questions", async () => {
    await using outside = await open();
    await fetchAll(outside, ["AAA"]);
    assert.deepEqual(outside.requests.map((entry) => new URL(entry.address, "http://x").pathname),
      ["/v2/stocks/bars", "/v1/corporate-actions"]);
    const query = new URL(outside.requests[0].address, "http://x").searchParams;
    assert.deepEqual(Object.fromEntries(query), {
      symbols: "AAA", timeframe: "1Day", start: "2023-11-13T00:00:00.000Z", end: "2024-03-29T04:59:59.999Z",
      limit: "10000", adjustment: "raw", feed: "iex", sort: "asc",
    });
  });

  test("bars of New York's previous evening, which lie in the same UTC day, are not delivered", async () => {
    const market = intradayMarket("1h");
    await using outside = await open({ market });
    const request = requestOf({ symbols: ["AAA"], timeframe: "1h", from: INTRADAY_SPAN.to, to: INTRADAY_SPAN.to });
    const bars = (await collect(outside, request)).get("AAA")?.bars;
    const expected = [...market.get("AAA")?.bars.time ?? []].filter((time) => time > Date.UTC(2024, 2, 12, 4));
    assert.deepEqual([...bars?.time ?? []], expected);
  });

  test("follows page tokens of corporate actions: 3 actions in pages of 1 are 3 questions", async () => {
    await using outside = await open({ pageRows: 1 });
    const delivery = (await fetchAll(outside, ["AAA"])).get("AAA");
    assert.deepEqual(delivery?.actions, MARKET.get("AAA")?.actions);
    assert.equal(outside.requests.filter((entry) => entry.address.startsWith("/v1/corporate-actions")).length, 3);
  });

  test("waits by the context's clock, not the package's: a 500 is 1 wait of 0.5 to 1 s and 1 request more", async () => {
    await using outside = await open({ faults: scriptedFaults({ 1: "server-error" }) });
    await fetchAll(outside, ["AAA"]);
    assert.equal(outside.requests.length, 3);
    assert.equal(outside.clock.sleptMs.length, 1);
    assert.ok(outside.clock.sleptMs[0] >= 500 && outside.clock.sleptMs[0] <= 1_000);
  });

  test("has no 1s bars, and says which it has", async () => {
    await using outside = await open();
    await assert.rejects(async () => outside.source.describe(requestOf({ symbols: ["AAA"], timeframe: "1s" }), outside.context),
      isRefusal("no 1s bars", "1d | 1h"));
  });

  test("the package's fetch reaches 1 host and no other", async () => {
    await using outside = await open();
    const only = onlyHost("data.alpaca.markets", outside.simulator.url);
    const answer = await only("https://data.alpaca.markets/v2/nowhere?x=1");
    assert.equal(answer.status, 404);
    assert.equal(outside.requests[0].address, "/v2/nowhere?x=1");
    assert.throws(() => only("https://api.alpaca.markets/v2/orders"), /host not allowed: api.alpaca.markets/);
    assert.equal(outside.requests.length, 1);
  });

  test("follows no redirect: a second host would see both keys", async () => {
    let asked = 0;
    const elsewhere = http.createServer((_, response) => { asked++; response.end("{}"); });
    const here = http.createServer((_, response) => {
      response.writeHead(302, { location: `http://127.0.0.1:${portOf(elsewhere)}/` }).end();
    });
    for (const server of [elsewhere, here]) await new Promise<void>((done) => { server.listen(0, "127.0.0.1", done); });
    try {
      const only = onlyHost("data.alpaca.markets", `http://127.0.0.1:${portOf(here)}`);
      await assert.rejects(only("https://data.alpaca.markets/v2/stocks/bars"));
      assert.equal(asked, 0);
    } finally { here.close(); elsewhere.close(); }
  });

  test("pages kept from the iex feed are not taken for the sip feed's: 1 of 2 questions is asked again", async () => {
    const kept = new Map<string, unknown>();
    const pages: PageCache = { get: (key) => kept.get(key), put: (key, page) => { kept.set(key, page); }, clear() {} };
    await using outside = await open();
    await fetchAll(outside, ["AAA"], pages);
    await fetchAll(outside, ["AAA"], pages);
    assert.equal(outside.requests.length, 2);
    const sip = { ...outside.context.config, alpaca: { ...outside.context.config.alpaca, feed: "sip" as const } };
    await fetchAll({ ...outside, context: { ...outside.context, config: sip } }, ["AAA"], pages);
    const feeds = outside.requests.map((entry) => new URL(entry.address, "http://x").searchParams.get("feed"));
    assert.deepEqual(feeds, ["iex", null, "sip"], "corporate actions are of no feed");
  });

  test("an unknown symbol cannot be told from an empty range: the hint names the spelling and the feed", async () => {
    await using outside = await open();
    await assert.rejects(fetchAll(outside, ["NOSUCH"]), (error: unknown) =>
      error instanceof UserError && isRefusal("NOSUCH", "spelling", "DMN_ALPACA_FEED=sip")(error));
  });
});
