/** The simulated outside world, asked directly: it must be as bad as it claims, and the same each time. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { dayOf } from "../src/base/units.ts";
import { newYorkMidnight } from "../src/simulator/book.ts";
import { ACCIDENTS, FAULTS, scriptedFaults, seededFaults, type FaultName } from "../src/simulator/faults.ts";
import { Simulator, SIMULATOR_KEYS, type SimulatorOptions } from "../src/simulator/simulator.ts";
import { dailyMarket } from "./conformance/market.ts";

const MARKET = dailyMarket();
const BARS = "/v2/aggs/ticker/AAA/range/1/day/2023-11-13/2024-03-28?adjusted=false&sort=asc&limit=50000";
const HEADERS = { authorization: `Bearer ${SIMULATOR_KEYS.massive}` };

interface Answer {
  results: { t: number; c: number; v: number }[];
  resultsCount: number;
  next_url?: string;
}

const start = (options: Partial<SimulatorOptions> = {}): Promise<Simulator> => Simulator.start({ market: MARKET, ...options });
const get = (simulator: Simulator, address: string): Promise<Response> => fetch(simulator.url + address, { headers: HEADERS });
const bars = async (simulator: Simulator, address: string = BARS): Promise<Answer> =>
  await (await get(simulator, address)).json() as Answer;
/** The path and query of the next page. */
const next = (answer: Answer): string => {
  const url = new URL(answer.next_url ?? "");
  return url.pathname + url.search;
};
/** The answer to the 2nd page, spoilt; pages of 10 rows. */
async function secondPage(fault: FaultName): Promise<{ first: Answer; second: Answer; third: Answer | null }> {
  await using simulator = await start({ pageRows: 10, seed: 4, faults: scriptedFaults({ 2: fault }) });
  const first = await bars(simulator), second = await bars(simulator, next(first));
  return { first, second, third: second.next_url === undefined ? null : await bars(simulator, next(second)) };
}
const stamps = (answer: Answer): number[] => answer.results.map((bar) => bar.t);

describe("simulator", () => {
  test("serves 94 daily bars stamped New York midnight (05:00 UTC in winter, 04:00 in summer)", async () => {
    await using simulator = await start();
    const answer = await bars(simulator);
    assert.equal(answer.resultsCount, 94);
    assert.equal(answer.results[0].t, Date.UTC(2023, 10, 13, 5));
    assert.equal(answer.results[93].t, Date.UTC(2024, 2, 28, 4));
    assert.equal(newYorkMidnight(dayOf(Date.UTC(2024, 6, 1))), Date.UTC(2024, 6, 1, 4));
  });

  test("adjusts for splits unless told not to, as the vendor does: 1/4 before the 4:1 split of 2024-01-16", async () => {
    await using simulator = await start();
    const raw = await bars(simulator), adjusted = await bars(simulator, BARS.replace("adjusted=false&", ""));
    assert.equal(adjusted.results[0].c, raw.results[0].c / 4);
    assert.equal(adjusted.results[93].c, raw.results[93].c);
  });

  test("writes volumes of a million and more as 1.029e+06", async () => {
    await using simulator = await start();
    const text = await (await get(simulator, BARS)).text();
    assert.match(text, /"v":\d(\.\d+)?e\+06/);
    const answer = JSON.parse(text) as Answer;
    assert.deepEqual(answer.results.map((bar) => bar.v), [...MARKET.get("AAA")?.bars.columns.volume ?? []]);
  });

  test("gives pages of 10 whose next_url names the vendor's own host", async () => {
    await using simulator = await start({ pageRows: 10 });
    const first = await bars(simulator), second = await bars(simulator, next(first));
    assert.equal(new URL(first.next_url ?? "").host, "api.massive.com");
    assert.equal(first.results.length, 10);
    assert.ok(second.results[0].t > first.results[9].t);
  });

  test("refuses without a key (401), a wrong path (404), a wrong range (400), and logs each", async () => {
    await using simulator = await start();
    const status = async (address: string, headers: Record<string, string>): Promise<number> =>
      (await fetch(simulator.url + address, { headers })).status;
    assert.equal(await status(BARS, {}), 401);
    assert.equal(await status("/v9/nothing", HEADERS), 404);
    assert.equal(await status(BARS.replace("2023-11-13", "yesterday"), HEADERS), 400);
    assert.equal(await status("/v2/stocks/bars?symbols=AAA", { "apca-api-key-id": "x" }), 401);
    assert.equal(await status(`${BARS}&apiKey=${SIMULATOR_KEYS.massive}`, HEADERS), 200);
    assert.deepEqual(simulator.requests.map((entry) => entry.status), [401, 404, 400, 401, 200]);
    assert.deepEqual(simulator.requests.map((entry) => entry.hasKeyInAddress), [false, false, false, false, true]);
  });

  test("answers with the status of its 5 refusing faults, and Retry-After where it says so", async () => {
    const script = { 1: "too-many", 2: "too-many-wait", 3: "server-error", 4: "bad-gateway", 5: "forbidden" } as const;
    await using simulator = await start({ faults: scriptedFaults(script) });
    const answers: [number, string | null][] = [];
    for (let k = 0; k < 5; k++) {
      const response = await get(simulator, BARS);
      answers.push([response.status, response.headers.get("retry-after")]);
      await response.text();
    }
    assert.deepEqual(answers, [[429, null], [429, "7"], [500, null], [502, null], [403, null]]);
  });

  test("breaks off in the middle of a body, and leaves a request hanging", async () => {
    const aborter = new AbortController();
    await using simulator = await start({
      faults: scriptedFaults({ 1: "cut-body", 2: "hung" }), onHang: () => { aborter.abort(); },
    });
    await assert.rejects(async () => (await get(simulator, BARS)).text());
    await assert.rejects(async () =>
      (await fetch(simulator.url + BARS, { headers: HEADERS, signal: aborter.signal })).text(), { name: "AbortError" });
    assert.deepEqual(simulator.requests.map((entry) => entry.status), [0, 0]);
  });

  test("a slow body is the same body", async () => {
    await using simulator = await start({ faults: scriptedFaults({ 2: "slow" }) });
    assert.equal(await (await get(simulator, BARS)).text(), await (await get(simulator, BARS)).text());
  });

  test("repeats a page, doubles a bar, swaps two, cuts a page with and without saying so", async () => {
    const repeated = await secondPage("repeated-page");
    assert.deepEqual(stamps(repeated.second), stamps(repeated.first));
    const doubled = await secondPage("duplicate-bar");
    assert.equal(doubled.second.results.length, 11);
    assert.equal(new Set(stamps(doubled.second)).size, 10);
    const swapped = stamps((await secondPage("out-of-order")).second);
    assert.notDeepEqual(swapped, swapped.toSorted((a, b) => a - b));
    const cut = (await secondPage("truncated-page")).second, miscounted = (await secondPage("miscounted-page")).second;
    assert.ok(cut.results.length < 10 && cut.resultsCount === cut.results.length && cut.next_url === undefined);
    assert.ok(miscounted.results.length < 10 && miscounted.resultsCount === 10 && miscounted.next_url === undefined);
  });

  test("a revised bar comes preliminary at the end of a page and corrected at the start of the next", async () => {
    const { second, third } = await secondPage("revised-bar");
    const preliminary = second.results[9], corrected = third?.results[0];
    assert.equal(preliminary.t, corrected?.t);
    assert.notEqual(preliminary.c, corrected?.c);
    assert.equal(corrected?.c, MARKET.get("AAA")?.bars.columns.close?.[19]);
  });

  test("faults of a seed are a function of the number of the request: 1,000 requests, every accident, near its rate", () => {
    const first = seededFaults(9, 0.3), second = seededFaults(9, 0.3);
    const drawn = Array.from({ length: 1_000 }, (_, k) => first(k + 1));
    assert.deepEqual(drawn, Array.from({ length: 1_000 }, (_, k) => second(1_000 - k)).reverse());
    assert.deepEqual([...new Set(drawn.filter((fault) => fault !== null))].sort(), [...ACCIDENTS].sort());
    const share = drawn.filter((fault) => fault !== null).length / 1_000;
    assert.ok(Math.abs(share - 0.3) < 0.05, String(share));
    assert.equal(ACCIDENTS.length, Object.keys(FAULTS).length - 1);
  });

  test("the same questions get the same bytes in 2 simulators of one seed, faults included", async () => {
    const record = async (): Promise<string[]> => {
      const faults = seededFaults(11, 0.5, ACCIDENTS.filter((name) => name !== "hung"));
      await using simulator = await start({ pageRows: 10, seed: 11, faults });
      const texts: string[] = [];
      for (let k = 0; k < 30; k++) {
        texts.push(await get(simulator, BARS)
          .then(async (response) => `${response.status} ${await response.text()}`).catch(() => "broken"));
      }
      return texts;
    };
    assert.deepEqual(await record(), await record());
  });
});
