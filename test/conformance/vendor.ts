/**
 * What every vendor's source must survive, asked of each through the simulator: wrong and missing answers by seed, and
 * being stopped anywhere. Never silently wrong, never asked twice.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { describe, test } from "node:test";
import { UserError } from "../../src/base/error.ts";
import { noPages, openPageCache } from "../../src/market/page-cache.ts";
import type { Delivery, PageCache, Source } from "../../src/market/sources/source.ts";
import type { VendorOptions } from "../../src/market/sources/vendor.ts";
import { scriptedFaults, seededFaults, type FaultName } from "../../src/simulator/faults.ts";
import { openOutside, SIMULATOR_ENVIRONMENT, type Outside, type OutsideOptions } from "../outside.ts";
import { dailyMarket, type Market } from "./market.ts";
import { assertSameBars, requestOf } from "./source.ts";

export interface VendorCase {
  readonly name: string;
  make(options: VendorOptions): Source;
}

const COLUMNS = ["open", "high", "low", "close", "volume", "vwap", "trades"] as const;
const SEEDS = 200, PAGE_ROWS = 13;
/** 94 daily bars of AAA in pages of 13 are 8 pages; its 3 actions fit one page of each kind. */
const MARKET: Market = new Map([...dailyMarket()].filter(([symbol]) => symbol !== "BRK.B"));
const SYMBOLS = [...MARKET.keys()];

export async function fetchAll(outside: Outside, symbols: readonly string[], pages: PageCache = noPages,
  have: ReadonlySet<string> = new Set()): Promise<Map<string, Delivery>> {
  const deliveries = new Map<string, Delivery>();
  const request = requestOf({ symbols });
  for await (const delivery of outside.source.fetch(request, outside.context, have, pages)) {
    deliveries.set(delivery.bars.instrument.symbol, delivery);
  }
  return deliveries;
}

export function assertTruth(deliveries: ReadonlyMap<string, Delivery>, market: Market, symbols: readonly string[]): void {
  assert.deepEqual([...deliveries.keys()].sort(), [...symbols].sort());
  for (const symbol of symbols) {
    const truth = market.get(symbol), found = deliveries.get(symbol);
    assert.ok(truth && found);
    assertSameBars(found.bars, truth.bars, COLUMNS);
    assert.deepEqual(found.actions, truth.actions, symbol);
  }
}

/** A rejection that is a UserError of one line, with a hint, that says this. */
export const isRefusal = (...words: readonly string[]) => (error: unknown): boolean => {
  assert.ok(error instanceof UserError, String(error));
  assert.ok(!error.problem.includes("\n") && error.hint !== "", error.problem);
  for (const word of words) assert.ok(error.message.includes(word), `"${error.message}" does not say "${word}"`);
  return true;
};

export function testVendor(vendor: VendorCase): void {
  const open = (options: Partial<OutsideOptions> = {}): Promise<Outside> =>
    openOutside((with_) => vendor.make(with_), { market: MARKET, pageRows: PAGE_ROWS, ...options });

  describe(`${vendor.name} under faults`, () => {
    test(`${SEEDS} seeds of random faults: the bars are the truth to the bit, or a UserError names the reason`, async () => {
      let whole = 0, refused = 0, mended = 0;
      for (let seed = 0; seed < SEEDS; seed++) {
        const rate = [0.02, 0.1, 0.25, 0.5, 0.8][seed % 5];
        await using outside = await open({ seed, faults: seededFaults(seed, rate) });
        const deliveries = await fetchAll(outside, ["AAA"]).catch((error: unknown) => {
          assert.ok(error instanceof UserError && error.problem.includes(vendor.name), `seed ${seed}: ${String(error)}`);
          return null;
        });
        if (deliveries === null) { refused++; continue; }
        try { assertTruth(deliveries, MARKET, ["AAA"]); } catch (error) {
          throw new Error(`seed ${seed} (rate ${rate}) is silently wrong`, { cause: error });
        }
        whole++;
        mended += outside.requests.some((entry) => entry.fault !== null) ? 1 : 0;
      }
      assert.ok(mended > SEEDS / 2, `only ${mended} runs had a fault to survive`);
      assert.ok(whole > (2 * SEEDS) / 3 && refused > 0, `${whole} whole, ${refused} refused`);
    });

    test("stopped at any request and started again: no page that was received is asked for again", async () => {
      const total = await (async () => {
        await using outside = await open();
        await fetchAll(outside, SYMBOLS);
        return outside.requests.length;
      })();
      for (let stopAt = 1; stopAt <= total; stopAt++) {
        const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-pages-"));
        try { await stopAndGoOn(open, folder, stopAt, total); } finally { fs.rmSync(folder, { recursive: true }); }
      }
    });

    const once: readonly [FaultName, number][] = [
      ["too-many", 1], ["too-many-wait", 1], ["server-error", 1], ["bad-gateway", 1], ["cut-body", 1], ["hung", 1],
      ["slow", 0], ["repeated-page", 1], ["out-of-order", 1], ["duplicate-bar", 0], ["revised-bar", 0],
    ];
    for (const [fault, more] of once) {
      test(`${fault} once costs ${more} more request${more === 1 ? "" : "s"} and leaves the truth`, async () => {
        await using calm = await open();
        await fetchAll(calm, SYMBOLS);
        await using outside = await open({ faults: scriptedFaults({ 2: fault }) });
        const deliveries = await fetchAll(outside, SYMBOLS);
        assertTruth(deliveries, MARKET, SYMBOLS);
        assert.equal(outside.requests.length, calm.requests.length + more);
      });
    }

    test("a page cut short without a word is completed, and the delivery says so", async () => {
      await using outside = await open({ faults: scriptedFaults({ 3: "truncated-page" }), seed: 5 });
      const deliveries = await fetchAll(outside, ["AAA"]);
      assertTruth(deliveries, MARKET, ["AAA"]);
      assert.deepEqual(deliveries.get("AAA")?.remarks, ["1 answer that was cut short was completed"]);
    });

    test("a bar that comes again corrected replaces the first, counted; one that comes again unchanged is dropped", async () => {
      await using outside = await open({ faults: scriptedFaults({ 2: "revised-bar", 5: "duplicate-bar" }) });
      const deliveries = await fetchAll(outside, ["AAA"]);
      assertTruth(deliveries, MARKET, ["AAA"]);
      assert.deepEqual(deliveries.get("AAA")?.remarks, ["1 revised bar replaced", "1 duplicate bar dropped"]);
    });

    const lasting: readonly [FaultName, readonly string[]][] = [
      ["server-error", ["HTTP 500", "6 times", "AAA"]], ["bad-gateway", ["HTTP 502"]], ["too-many", ["too many calls"]],
      ["cut-body", ["cannot be reached", "AAA"]], ["hung", ["no answer in time"]], ["repeated-page", ["a page again"]],
      ["out-of-order", ["out of order"]], ["forbidden", ["plan", "AAA", "HTTP 403"]],
    ];
    for (const [fault, words] of lasting) {
      test(`${fault} for ever ends in one sentence: ${words.join(", ")}`, async () => {
        await using outside = await open({ faults: (number) => number > 1 ? fault : null });
        await assert.rejects(fetchAll(outside, ["AAA"]), isRefusal(vendor.name, ...words));
        assert.equal(outside.requests.length, fault === "forbidden" ? 2 : 7);
      });
    }

    test("429 waits what Retry-After says (7 s), else a minute; 500 backs off 1, 2, 4, 8, 16 s times [0.5, 1]", async () => {
      await using told = await open({ faults: scriptedFaults({ 1: "too-many-wait", 2: "too-many" }) });
      await fetchAll(told, ["AAA"]);
      assert.deepEqual(told.clock.sleptMs, [7_000, 60_000]);
      await using broken = await open({ faults: () => "server-error" });
      await assert.rejects(fetchAll(broken, ["AAA"]));
      assert.equal(broken.clock.sleptMs.length, 5);
      broken.clock.sleptMs.forEach((slept, k) => {
        assert.ok(slept >= 500 * 2 ** k && slept <= 1_000 * 2 ** k, `wait ${k} was ${slept} ms`);
      });
    });

    test("the log has a line for each page and each wait: 94 bars and 3 actions, 1 wait, 0 keys", async () => {
      await using outside = await open({ faults: scriptedFaults({ 2: "server-error" }) });
      await fetchAll(outside, ["AAA"]);
      const said = outside.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      const pages = said.filter((line) => line["msg"] === "page received");
      assert.equal(pages.length, outside.requests.length - 1);
      const bars = pages.reduce((sum, line) => sum + Number(line["rows"]), 0);
      assert.equal(bars, 94 + 3, "94 bars, 3 actions");
      const [wait] = said.filter((line) => line["msg"] === "asking again");
      assert.deepEqual([wait["vendor"], wait["symbol"], wait["trouble"]], [vendor.name, "AAA", "server"]);
      assert.equal(wait["waitMs"], outside.clock.sleptMs[0]);
      for (const key of Object.values(SIMULATOR_ENVIRONMENT)) {
        assert.ok(outside.lines.every((line) => !line.includes(key)));
      }
    });

    test("a wrong key ends at once, and no key is in an error, a log line or an address", async () => {
      const secrets = ["wrong-key-1234", "wrong-secret-5678"];
      await using outside = await open({
        environment: { MASSIVE_API_KEY: secrets[0], APCA_API_KEY_ID: secrets[0], APCA_API_SECRET_KEY: secrets[1] },
      });
      await assert.rejects(fetchAll(outside, ["AAA"]), (error: unknown) => {
        isRefusal("HTTP 401", "key")(error);
        const seen = JSON.stringify([String(error), (error as Error).stack, String((error as Error).cause), outside.lines]);
        return secrets.every((secret) => !seen.includes(secret));
      });
      assert.equal(outside.requests.length, 1);
      await using good = await open();
      await fetchAll(good, ["AAA"]);
      assert.deepEqual(good.requests.filter((entry) => entry.hasKeyInAddress), []);
    });

    test("nobody listening: one sentence that says so and how to change the address", async () => {
      await using outside = await open();
      await outside.simulator[Symbol.asyncDispose]();
      await assert.rejects(fetchAll(outside, ["AAA"]), isRefusal("connection refused", "dmn config"));
    });

    test("a page with a bar that has not ended is not believed by the run that goes on when it has", async () => {
      const noon = Date.UTC(2024, 2, 28, 16), evening = Date.UTC(2024, 2, 28, 22);
      const truth = MARKET.get("AAA"), close = truth?.bars.columns.close;
      assert.ok(truth && close);
      const bars = { ...truth.bars, columns: { ...truth.bars.columns, close: close.with(close.length - 1, 1) } };
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-pages-"));
      try {
        let stop = (): void => {};
        await using first = await open({
          market: new Map([["AAA", { ...truth, bars }]]), now: noon,
          onRequest: (entry) => { if (entry.number === 9) stop(); },
        });
        stop = first.abort;
        {
          using pages = openPageCache(folder);
          await assert.rejects(fetchAll(first, ["AAA"], pages), /stopped by the test/);
        }
        await using second = await open({ now: evening });
        using pages = openPageCache(folder);
        assert.equal(pages.recovered, 7);
        assertTruth(await fetchAll(second, ["AAA"], pages), MARKET, ["AAA"]);
      } finally { fs.rmSync(folder, { recursive: true }); }
    });

    test("an answer without bars is not kept: the next run asks again", async () => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-pages-"));
      try {
        await using outside = await open();
        for (let run = 0; run < 2; run++) {
          using pages = openPageCache(folder);
          assert.equal(pages.recovered, 0);
          await assert.rejects(fetchAll(outside, ["NOSUCH"], pages), isRefusal("NOSUCH"));
        }
      } finally { fs.rmSync(folder, { recursive: true }); }
    });

    test("a bar that has not ended is not delivered: on 2024-03-28 at 15:59 New York there are 93 of 94 bars", async () => {
      await using outside = await open({ now: Date.UTC(2024, 2, 28, 19, 59) });
      const bars = (await fetchAll(outside, ["AAA"])).get("AAA")?.bars;
      assert.equal(bars?.time.length, 93);
      assert.equal(bars?.time.at(-1), Date.UTC(2024, 2, 27, 20));
    });
  });
}

/** Aborts at the `stopAt`-th request, reopens the pages as a new process would, and finishes. */
async function stopAndGoOn(open: (options?: Partial<OutsideOptions>) => Promise<Outside>, folder: string, stopAt: number,
  total: number): Promise<void> {
  const delivered = new Map<string, Delivery>();
  let stop = (): void => {};
  await using first = await open({ onRequest: (entry) => { if (entry.number === stopAt) stop(); } });
  stop = first.abort;
  {
    using pages = openPageCache(folder);
    await assert.rejects(async () => {
      for await (const delivery of first.source.fetch(requestOf({ symbols: SYMBOLS }), first.context, new Set(), pages)) {
        delivered.set(delivery.bars.instrument.symbol, delivery);
      }
    }, (error: unknown) => error === first.context.signal.reason);
  }
  const received = new Set(first.requests.filter((entry) => entry.number < stopAt).map((entry) => entry.address));
  await using second = await open();
  using pages = openPageCache(folder);
  for (const [symbol, delivery] of await fetchAll(second, SYMBOLS, pages, new Set(delivered.keys()))) {
    delivered.set(symbol, delivery);
  }
  const again = second.requests.filter((entry) => received.has(entry.address));
  assert.deepEqual(again, [], `stopped at request ${stopAt}`);
  assert.equal(received.size + second.requests.length, total, `stopped at request ${stopAt}`);
  assertTruth(delivered, MARKET, SYMBOLS);
}
