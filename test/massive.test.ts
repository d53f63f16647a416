/** Massive's source, and what vendors share: the rate plan, patience, the series, keys, kept pages. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { describe, test } from "node:test";
import { FakeClock } from "../src/base/clock.ts";
import { UserError } from "../src/base/error.ts";
import type { Progress } from "../src/base/progress.ts";
import { random } from "../src/base/random.ts";
import { day } from "../src/base/units.ts";
import type { CorporateAction } from "../src/market/bars.ts";
import { calendar } from "../src/market/calendar.ts";
import { instrument } from "../src/market/instrument.ts";
import { openPageCache, PAGES_FILE } from "../src/market/page-cache.ts";
import { BarSeries, type Row } from "../src/market/sources/bar-series.ts";
import { alpacaKeys, massiveKeys, redact } from "../src/market/sources/keys.ts";
import { massive } from "../src/market/sources/massive.ts";
import { parseRetryAfter, patiently, Trouble, type Terms } from "../src/market/sources/patience.ts";
import { RatePlan } from "../src/market/sources/rate-plan.ts";
import { scriptedFaults } from "../src/simulator/faults.ts";
import { AFTERWARDS, DAILY_SPAN, dailyMarket, dayOfText, intradayMarket, INTRADAY_SPAN } from "./conformance/market.ts";
import { collect, requestOf } from "./conformance/source.ts";
import { assertTruth, fetchAll, isRefusal, testVendor } from "./conformance/vendor.ts";
import { openOutside, testContext, type Outside, type OutsideOptions } from "./outside.ts";

testVendor({ name: "massive", make: massive });

const MARKET = dailyMarket();
const open = (options: Partial<OutsideOptions> = {}): Promise<Outside> => openOutside(massive, { market: MARKET, ...options });

function inFolder<T>(work: (folder: string) => T): T {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-massive-"));
  try { return work(folder); } finally { fs.rmSync(folder, { recursive: true }); }
}

describe("massive", () => {
  test("asks for raw prices, 50,000 rows, ascending, and for splits and dividends of the range: 3 questions", async () => {
    await using outside = await open();
    assertTruth(await fetchAll(outside, ["AAA"]), MARKET, ["AAA"]);
    assert.deepEqual(outside.requests.map((entry) => entry.address), [
      "/v2/aggs/ticker/AAA/range/1/day/2023-11-13/2024-03-28?adjusted=false&sort=asc&limit=50000",
      "/v3/reference/splits?ticker=AAA&execution_date.gte=2023-11-13&execution_date.lte=2024-03-28" +
        "&order=asc&sort=execution_date&limit=1000",
      "/v3/reference/dividends?ticker=AAA&ex_dividend_date.gte=2023-11-13&ex_dividend_date.lte=2024-03-28" +
        "&order=asc&sort=ex_dividend_date&limit=1000",
    ]);
  });

  test("follows pages of splits and dividends too: 2 dividends in pages of 1", async () => {
    await using outside = await open({ pageRows: 1 });
    const delivery = (await fetchAll(outside, ["AAA"])).get("AAA");
    assert.deepEqual(delivery?.actions, MARKET.get("AAA")?.actions);
    assert.equal(outside.requests.filter((entry) => entry.address.startsWith("/v3/reference/dividends")).length, 2);
  });

  test("an action whose ex-date has no session counts from the next open: Saturday 2024-01-13 -> Tuesday 14:30 UTC", async () => {
    const saturday: CorporateAction = { kind: "dividend", exTime: Date.UTC(2024, 0, 13, 17), value: 0.5 };
    const listing = MARKET.get("BRK.B");
    assert.ok(listing);
    await using outside = await open({ market: new Map([["BRK.B", { ...listing, actions: [saturday] }]]) });
    const delivery = (await fetchAll(outside, ["BRK.B"])).get("BRK.B");
    // 2024-01-15 was Martin Luther King Day.
    assert.deepEqual(delivery?.actions, [{ kind: "dividend", exTime: Date.UTC(2024, 0, 16, 14, 30), value: 0.5 }]);
  });

  test("a page that states another count than it has is asked for again", async () => {
    await using outside = await open({ pageRows: 13, faults: scriptedFaults({ 2: "miscounted-page" }) });
    const delivery = (await fetchAll(outside, ["AAA"])).get("AAA");
    assert.deepEqual([...delivery?.bars.time ?? []], [...MARKET.get("AAA")?.bars.time ?? []]);
    assert.equal(outside.requests.filter((entry) => entry.address === outside.requests[1].address).length, 2);
  });

  test("a delisted instrument costs 1 question more: is there really nothing after its last bar?", async () => {
    await using outside = await open();
    await fetchAll(outside, ["BRK.B"]);
    assert.equal(outside.requests.length, 4);
    assert.match(outside.requests[1].address, /\/2024-02-02\/2024-03-28\?/);
  });

  test("hour bars that are cut anywhere are completed, since the limit counts base bars and not rows", async () => {
    const market = intradayMarket("1h");
    await using outside = await open({ market, pageRows: 9, seed: 3, faults: scriptedFaults({ 1: "truncated-page" }) });
    const request = requestOf({ ...INTRADAY_SPAN, timeframe: "1h", symbols: ["AAA"] });
    const delivery = (await collect(outside, request)).get("AAA");
    assert.deepEqual([...delivery?.bars.time ?? []], [...market.get("AAA")?.bars.time ?? []]);
    // A vendor gives no bars after 20:00, so the last question of each instrument is answered with none.
    assert.deepEqual(delivery?.remarks, ["1 answer that was cut short was completed"]);
  });

  test("5 calls a minute: no 60 s hold more than 5 of 10 calls, and the forecast is said before the first", async () => {
    const at: number[] = [], notes: string[] = [];
    const progress: Progress = {
      start: (name, total) => {
        notes.push(`${name} ${total}`);
        return { advance: (_, note) => { notes.push(note ?? ""); }, expect() {}, finish() {} };
      },
      stop() {},
    };
    let outside: Outside | null = null;
    outside = await open({ callsPerMinute: 5, progress, onRequest: () => { at.push(outside?.clock.now() ?? NaN); } });
    await using _ = outside;
    await fetchAll(outside, ["AAA", "BBB", "BRK.B"]);
    assert.equal(at.length, 10);
    at.forEach((time, k) => { if (k >= 5) assert.ok(time - at[k - 5] >= 60_000, `call ${k}`); });
    assert.equal(at[9] - at[0], 60_000);
    assert.deepEqual(notes.slice(0, 3), ["massive calls 9", "about 1m00s at 5/min", "AAA 54s left"]);
  });

  test("bars in one instrument of another symbol's case: the refusal suggests AAA", async () => {
    await using outside = await open();
    await assert.rejects(fetchAll(outside, ["aaa"]), isRefusal('"aaa"', 'did you mean "AAA"?'));
  });

  test("a known symbol without bars in the range is told from an unknown one", async () => {
    await using outside = await open();
    const request = requestOf({ symbols: ["BBB"], from: dayOfText("2023-11-13"), to: dayOfText("2023-12-01") });
    await assert.rejects(collect(outside, request), isRefusal("no 1d bars of BBB from 2023-11-13 to 2023-12-01", "--from"));
  });

  test("refuses what no vendor can answer: no symbols, no start, an empty range, a slip in a symbol, 24x5", async () => {
    await using outside = await open();
    const { source, context } = outside;
    const refused: readonly [Parameters<typeof requestOf>[0], readonly string[]][] = [
      [{ symbols: [] }, ["which instruments", "--symbols"]],
      [{ symbols: ["AAA"], from: null }, ["where to start", "--from"]],
      [{ symbols: ["AAA"], from: DAILY_SPAN.to, to: DAILY_SPAN.from }, ["range is empty"]],
      [{ symbols: ["AAA,BBB"] }, ['"AAA,BBB" is not a symbol']],
      [{ symbols: ["AAA"], calendar: "24x5" }, ["24x5", "--calendar"]],
    ];
    for (const [changes, words] of refused) {
      await assert.rejects(async () => source.describe(requestOf(changes), context), isRefusal(...words));
    }
    assert.equal(outside.requests.length, 0);
  });

  test("never sends a key over plain HTTP to another machine", async () => {
    using held = testContext({ DMN_MASSIVE_URL: "http://203.0.113.7" });
    const source = massive({ environment: { MASSIVE_API_KEY: "k" } });
    await assert.rejects(async () => source.describe(requestOf({ symbols: ["AAA"] }), held.context), isRefusal("https"));
  });
});

describe("rate plan", () => {
  test("3 a minute: 7 calls take 2 minutes, as forecast", async () => {
    const clock = new FakeClock(1_000), plan = new RatePlan(3, clock), { signal } = new AbortController();
    const at: number[] = [];
    for (let k = 0; k < 7; k++) { await plan.turn(signal); at.push(clock.now()); }
    assert.deepEqual(at, [1_000, 1_000, 1_000, 61_000, 61_000, 61_000, 121_000]);
    assert.equal(plan.durationMs(7), 120_000);
  });

  test("holds over 2 fetches of one process: the sixth call waits until the first is 60 s old", async () => {
    await using outside = await open({ callsPerMinute: 5 });
    await fetchAll(outside, ["AAA"]);
    assert.deepEqual([outside.requests.length, outside.clock.sleptMs], [3, []]);
    await fetchAll(outside, ["BBB"]);
    assert.deepEqual([outside.requests.length, outside.clock.sleptMs], [6, [60_000]]);
  });
});

describe("patience", () => {
  const terms = (seed: number): Terms & { clock: FakeClock } => ({
    clock: new FakeClock(0), signal: new AbortController().signal, random: random(seed, "patience"), onWait() {},
  });
  const waits = async (seed: number): Promise<number[]> => {
    const given = terms(seed);
    await assert.rejects(patiently(() => Promise.reject(new Trouble("server", "HTTP 500")), given), Trouble);
    return given.clock.sleptMs;
  };

  test("waits are the same for one seed and differ between two", async () => {
    assert.deepEqual(await waits(1), await waits(1));
    assert.notDeepEqual(await waits(1), await waits(2));
  });

  test("asked to wait an hour, it stops instead", async () => {
    const given = terms(1);
    await assert.rejects(patiently(() => Promise.reject(new Trouble("rate", "HTTP 429", 3_600_000)), given), Trouble);
    assert.deepEqual(given.clock.sleptMs, []);
  });

  test("Retry-After as seconds, as a date, absent, unreadable", () => {
    assert.equal(parseRetryAfter("7", 0), 7_000);
    assert.equal(parseRetryAfter("Sat, 01 Jun 2024 00:00:30 GMT", AFTERWARDS), 30_000);
    assert.equal(parseRetryAfter("Sat, 01 Jun 2024 00:00:30 GMT", AFTERWARDS + 60_000), 0);
    assert.equal(parseRetryAfter(null, 0), null);
    assert.equal(parseRetryAfter("soon", 0), null);
  });
});

const CUT = {
  instrument: instrument("X"), calendar: calendar("us-equity"), from: day(0), to: day(40_000), now: Infinity,
};

describe("bar series", () => {
  const row = (start: number, close = 10): Row => [start, 9, 11, 8, close, 100, null, 5];

  test("names what is wrong with a page: 0 close, NaN, order, repetition", () => {
    const series = new BarSeries();
    assert.match(series.check([row(60_000, 0)]) ?? "", /1970-01-01T00:01:00Z whose close is 0/);
    assert.match(series.check([[60_000, NaN, 11, 8, 10, null, null, null]]) ?? "", /whose open is NaN/);
    assert.match(series.check([row(NaN)]) ?? "", /whose start is NaN/);
    assert.match(series.check([row(120_000), row(60_000)]) ?? "", /out of order at 1970-01-01T00:01:00Z/);
    series.add([row(60_000), row(120_000)]);
    assert.match(series.check([row(60_000), row(120_000)]) ?? "", /a page again/);
    assert.equal(series.check([row(60_000), row(120_000)], true), null);
    assert.equal(series.check([row(120_000), row(180_000)]), null);
    assert.equal(series.check([]), null);
  });

  test("keeps 5,000 bars beyond its first 1,024 places, and absent numbers as NaN", () => {
    const series = new BarSeries();
    series.add(Array.from({ length: 5_000 }, (_, k) => row(AFTERWARDS + k * 60_000, k + 1)));
    const bars = series.toBars({ ...CUT, timeframe: "1m" });
    assert.equal(bars.time.length, 5_000);
    assert.equal(bars.time[4_999], AFTERWARDS + 5_000 * 60_000);
    assert.equal(bars.columns.close?.[4_999], 5_000);
    assert.ok(Number.isNaN(bars.columns.vwap?.[17]));
  });

  test("a daily bar of a half day closes at 18:00 UTC: 2023-11-24, stamped New York midnight 05:00 UTC", () => {
    const series = new BarSeries();
    series.add([row(Date.UTC(2023, 10, 24, 5))]);
    const bars = series.toBars({ ...CUT, timeframe: "1d" });
    assert.deepEqual([...bars.time], [Date.UTC(2023, 10, 24, 18)]);
  });
});

describe("keys", () => {
  const write = (root: string, text: string, mode: number): void => {
    fs.writeFileSync(path.join(root, "keys.json"), text);
    fs.chmodSync(path.join(root, "keys.json"), mode);
  };

  test("come from the environment, else from a 0600 file", () => {
    inFolder((root) => {
      write(root, '{"massive":{"apiKey":" filed "},"alpaca":{"keyId":"id","secretKey":"secret"}}', 0o600);
      assert.equal(massiveKeys(root, { MASSIVE_API_KEY: "a", POLYGON_API_KEY: "b" }).apiKey, "a");
      assert.equal(massiveKeys(root, { POLYGON_API_KEY: "b" }).apiKey, "b");
      assert.equal(massiveKeys(root, {}).apiKey, "filed");
      assert.deepEqual(alpacaKeys(root, { APCA_API_KEY_ID: "other" }), { keyId: "other", secretKey: "secret" });
    });
  });

  const noModes = process.platform === "win32" && "Windows has no file modes";
  test("are refused from a file that 1 other may read, without a look into it", { skip: noModes }, () => {
    inFolder((root) => {
      for (const mode of [0o604, 0o640, 0o644, 0o660]) {
        write(root, '{"massive":{"apiKey":"topsecret"}}', mode);
        assert.throws(() => massiveKeys(root, {}), isRefusal("may be read by others", mode.toString(8), "chmod 600"));
      }
    });
  });

  test("are never quoted: not by a broken file, a wrong shape, or a key with a line end", () => {
    inFolder((root) => {
      const quiet = (error: unknown): boolean => error instanceof UserError && !error.message.includes("topsecret");
      for (const text of ['{"massive":{"apiKey":"topsecret"', '{"massive":{"key":"topsecret"}}', '{"massive":"topsecret"}']) {
        write(root, text, 0o600);
        assert.throws(() => massiveKeys(root, {}), quiet);
      }
      assert.throws(() => massiveKeys(root, { MASSIVE_API_KEY: "topsecret\n" }), quiet);
    });
  });

  test("missing: one sentence with the variable and the file", () => {
    inFolder((root) => {
      assert.throws(() => massiveKeys(root, {}), isRefusal("no key for massive", "MASSIVE_API_KEY", "keys.json"));
      assert.throws(() => alpacaKeys(root, { APCA_API_KEY_ID: "x" }), isRefusal("no key for alpaca", "APCA_API_SECRET_KEY"));
    });
  });

  test("are cut out of any text: 2 secrets, 3 places", () => {
    assert.equal(redact("a k1 b k2 c k1", ["k1", "k2"]), "a [redacted] b [redacted] c [redacted]");
  });
});

describe("kept pages", () => {
  test("survive a process and a torn last record: 2 of 3 pages come back", () => {
    inFolder((folder) => {
      {
        using pages = openPageCache(folder);
        for (const key of ["a", "b", "c"]) pages.put(key, { rows: [[1, 2.5]], key });
      }
      const place = path.join(folder, PAGES_FILE);
      fs.truncateSync(place, fs.statSync(place).size - 3);
      using pages = openPageCache(folder);
      assert.equal(pages.recovered, 2);
      assert.deepEqual(pages.get("b"), { rows: [[1, 2.5]], key: "b" });
      assert.equal(pages.get("c"), undefined);
    });
  });

  test("that are damaged in the middle are thrown away, not believed", () => {
    inFolder((folder) => {
      {
        using pages = openPageCache(folder);
        for (const key of ["a", "b", "c"]) pages.put(key, { rows: [[1, 2.5]], key });
      }
      const place = path.join(folder, PAGES_FILE), bytes = fs.readFileSync(place);
      bytes[60] ^= 1;
      fs.writeFileSync(place, bytes);
      using pages = openPageCache(folder);
      assert.equal(pages.recovered, 0);
      assert.equal(fs.existsSync(place), false);
    });
  });

  test("are forgotten when cleared, on the disk too", () => {
    inFolder((folder) => {
      using pages = openPageCache(folder);
      pages.put("a", 1);
      pages.clear();
      assert.equal(pages.get("a"), undefined);
      assert.deepEqual(fs.readdirSync(folder), []);
      pages.put("b", 2);
      assert.deepEqual(fs.readdirSync(folder), [PAGES_FILE]);
    });
  });
});
