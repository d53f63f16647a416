/**
 * Execution whole: actor, rim and journal on the disk through the Alpaca client against our exchange on loopback. The
 * exchange is the judge: how often it was asked, and what it holds.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { STRICT } from "../src/live/execution/desk.ts";
import { openIntentJournal } from "../src/live/execution/intent-journal.ts";
import { scriptedExchangeFaults, type ExchangeFault } from "../src/simulator/exchange-faults.ts";
import type { ExchangeServer } from "../src/simulator/exchange-server.ts";
import { REALISTIC } from "../src/simulator/exchange-terms.ts";
import type { TradingEntry } from "../src/simulator/trading-desk.ts";
import { flatMarket, Host, OPEN, startVenue } from "./execution-host.ts";
import { sessionOf } from "./execution-world.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-execution-"));
after(() => fs.rmSync(root, { recursive: true, force: true }));
const folder = (): string => fs.mkdtempSync(path.join(root, "f-"));

interface Scene { readonly server: ExchangeServer; readonly posts: TradingEntry[] }
async function scene(faults: readonly (readonly [ExchangeFault, number])[] = [], symbols = ["AAA"]): Promise<Scene> {
  const posts: TradingEntry[] = [];
  const server = await startVenue(symbols, { faults: scriptedExchangeFaults(faults),
    onRequest: (entry) => { if (entry.method === "POST") posts.push(entry); } });
  return { server, posts };
}
const held = (server: ExchangeServer): unknown =>
  server.exchange.positions().map((position) => [position.symbol, position.quantity]);
const ordered = (server: ExchangeServer): number => server.exchange.orders("all").length;

describe("one order, whatever happens to the POST", () => {
  const there: readonly ExchangeFault[] = ["post-hung", "post-time-out", "post-reset", "id-taken"];
  for (const fault of there) {
    test(`${fault}: adopted, settled at 10`, async () => {
      const { server, posts } = await scene([[fault, 1]]);
      await using _ = server;
      await using host = await Host.start(["AAA"], folder(), server.url, { timeoutMs: 200 });
      await host.trade([10]);
      assert.deepEqual([posts.length, ordered(server), held(server), host.last("account")?.units[0]], [1, 1, [["AAA", 10]], 10]);
    });
  }

  test("partial-fill in a stepped market: settled at 5, which rests; the next step fills 10 (fault 4)", async () => {
    const { server, posts } = await scene([["partial-fill", 1]]);
    await using _ = server;
    const session = sessionOf(["AAA"], { clock: { kind: "market", isStepped: true, barsPerSecond: null } });
    await using host = await Host.start(["AAA"], folder(), server.url, { session });
    await host.trade([10]);
    assert.deepEqual([held(server), host.last("order-state")?.order.state], [[["AAA", 5]], "partially-filled"]);
    server.step(1);
    await host.until(() => host.last("order-state")?.order.state === "filled");
    assert.deepEqual([posts.length, held(server), host.last("account")?.units[0]], [1, [["AAA", 10]], 10]);
  });

  test("a stepped market settles on the broker's word: a fill that the stream kept to itself is held by then (fault 6)",
    async () => {
    // "new", then the fill: without it nothing tells but what is looked up.
    const { server } = await scene([["update-missing", 2]]);
    await using _ = server;
    const session = sessionOf(["AAA"], { clock: { kind: "market", isStepped: true, barsPerSecond: null } });
    await using host = await Host.start(["AAA"], folder(), server.url, { session, watchMs: 600, reconcileMs: 60_000 });
    await host.trade([10]);
    const settled = host.said.findIndex(({ kind }) => kind === "settled");
    const account = host.said.slice(0, settled).findLast((one) => one.kind === "account");
    assert.deepEqual([account?.units[0], held(server)], [10, [["AAA", 10]]]);
  });

  for (const fault of ["post-lost", "post-refused"] as const) {
    test(`${fault}: given up; the next target orders anew`, async () => {
      const { server, posts } = await scene([[fault, 1]]);
      await using _ = server;
      await using host = await Host.start(["AAA"], folder(), server.url, { lookUpsMax: 3 });
      await host.trade([10]);
      assert.deepEqual([posts.length, ordered(server), host.alerts("order-lost")], [1, 0, 1]);
      await host.trade([10]);
      assert.deepEqual([posts.length, ordered(server), held(server)], [2, 1, [["AAA", 10]]]);
    });
  }

  test("rejected later, refused for a wash trade or for money: at rest, said, nothing held", async () => {
    const { server, posts } = await scene([["rejected-later", 1], ["wash-refused", 2], ["money-refused", 3]]);
    await using _ = server;
    await using host = await Host.start(["AAA"], folder(), server.url);
    for (let k = 1; k <= 3; k++) {
      await host.trade([10]);
      assert.deepEqual([posts.length, held(server), host.alerts("order-rejected")], [k, [], k]);
    }
  });

  test("updates missing, twice, swapped and of unknown words: 30 targets, the books end right", async () => {
    const names = ["update-missing", "update-twice", "update-swapped", "update-unknown"] as const;
    const faults = Array.from({ length: 24 }, (_, k) => [names[k % 4], 2 + 3 * k] as const);
    const { server } = await scene(faults, ["AAA", "BBB"]);
    await using _ = server;
    await using host = await Host.start(["AAA", "BBB"], folder(), server.url, { watchMs: 20 });
    for (let k = 1; k <= 30; k++) await host.trade([k % 7 - 3, k]);
    assert.deepEqual(held(server), [["AAA", -1], ["BBB", 30]]);
    assert.deepEqual([...host.last("account")!.units], [-1, 30]);
    assert.equal(host.last("trading-state")?.state, "ACTIVE");
  });
});

describe("kill -9 and restart, the journal on the disk", () => {
  test("killed at every tenth message of three targets: one order per decision and leg, position = broker (fault 28)",
    async () => {
    const { server } = await scene();
    await using _ = server;
    const place = folder();
    for (let k = 0; k < 20; k++) {
      await using host = await Host.start(["AAA"], place, server.url);
      const wanted = (k + 1) * 3 % 11;
      host.hand(host.target([wanted]));
      for (let turn = 0; turn < k; turn++) await new Promise((resolve) => setImmediate(resolve));
      await host.kill();
      await using again = await Host.start(["AAA"], place, server.url);
      await again.trade([wanted]);
      assert.deepEqual([again.last("account")?.units[0], held(server)], [wanted, wanted === 0 ? [] : [["AAA", wanted]]]);
    }
    const ids = server.exchange.orders("all").map((order) => order.clientOrderId);
    assert.equal(new Set(ids).size, ids.length);
  });

  test("HALTED stays over a restart, and an order of before it is cancelled (fault 35)", async () => {
    const { server, posts } = await scene();
    await using _ = server;
    const place = folder(), session = sessionOf(["AAA"], {
      execution: { style: "limit-at-touch", slices: 1, timeoutMs: 60_000, callsPerMinute: 100_000 } });
    await using host = await Host.start(["AAA"], place, server.url, { session });
    host.hand({ kind: "quote", at: Date.now(), instrument: Int32Array.of(0), quotes: Float64Array.of(99, 1, 101, 1) });
    host.hand(host.target([10]));
    await host.until(() => host.last("order-state")?.order.state === "accepted");
    host.hand({ kind: "control", at: Date.now(), action: "halt", by: "user", subject: "", value: "enough" });
    await host.until(() => host.last("order-state")?.order.state === "cancelled");
    await host.kill();
    await using again = await Host.start(["AAA"], place, server.url, { session });
    assert.deepEqual([again.last("trading-state")?.state, again.last("trading-state")?.reason], ["HALTED", "enough"]);
    await again.trade([20]);
    assert.deepEqual([posts.length, held(server)], [1, []]);
  });

  test("a torn journal goes on, a damaged one is refused with a sentence and nothing is traded (fault 30)", async () => {
    const { server } = await scene();
    await using _ = server;
    const place = folder(), file = path.join(place, "intents.journal");
    await using host = await Host.start(["AAA"], place, server.url);
    for (const units of [5, 7, 9]) await host.trade([units]);
    await host.kill();
    const whole = fs.readFileSync(file);
    fs.writeFileSync(file, whole.subarray(0, whole.length - 9));
    await using torn = await Host.start(["AAA"], place, server.url);
    assert.equal(torn.alerts("journal-torn"), 1);
    await torn.trade([2]);
    await torn.kill();
    const damaged = fs.readFileSync(file);
    damaged[60] ^= 1;
    fs.writeFileSync(file, damaged);
    const before = ordered(server);
    await assert.rejects(Host.start(["AAA"], place, server.url), (error) => error instanceof UserError
      && /damaged/.test(error.problem));
    assert.equal(ordered(server), before);
  });

  test("a journal replaced by a shorter one goes on where that ends", () => {
    const place = folder(), file = path.join(place, "intents.journal");
    const record = { t: "decided", at: 1 } as const;
    using journal = openIntentJournal(place);
    journal.append([record], true);
    journal.replace([record, { ...record, at: 2 }]);
    journal.append([{ ...record, at: 3 }], true);
    using again = openIntentJournal(place);
    assert.deepEqual(again.recovered.map((one) => one.t === "decided" ? one.at : NaN), [1, 2, 3]);
    assert.deepEqual(fs.readdirSync(place), [path.basename(file)]);
  });
});

describe("venues", () => {
  test("a realistic exchange: from long to short and back takes two orders each", async () => {
    const symbols = ["AAA", "BBB"];
    await using server = await startVenue(symbols, { market: flatMarket(symbols), terms: { ...REALISTIC, latencyMs: 0,
      latencyJitterMs: 0 },
      from: OPEN });
    const session = sessionOf(symbols, { clock: { kind: "market", isStepped: true, barsPerSecond: null } });
    await using host = await Host.start(symbols, folder(), server.url, { session, permits: STRICT,
      now: () => server.world.now() });
    await host.trade([10, -10]);
    server.step(1);
    await host.trade([-10, 10]);
    assert.equal(host.last("settled")?.orders, 4);
    assert.deepEqual(held(server), [["AAA", -10], ["BBB", 10]]);
  });

  test("a stepped market: what can be bought is the broker's number after each step, though no reconcile came",
    async () => {
    await using server = await startVenue(["AAA"], { terms: { ...REALISTIC, latencyMs: 0, latencyJitterMs: 0 }, from: OPEN,
      capital: 10_000 });
    const session = sessionOf(["AAA"], { clock: { kind: "market", isStepped: true, barsPerSecond: null } });
    await using host = await Host.start(["AAA"], folder(), server.url, { session, permits: STRICT, reconcileMs: 1e9,
      now: () => server.world.now() });
    const powers: number[] = [];
    for (const units of [150, 10, 150, 10, 150]) {
      await host.trade([units]);
      powers.push(host.last("account")!.buyingPower);
      assert.deepEqual([powers.at(-1), held(server)], [server.exchange.account().buyingPower, [["AAA", units]]]);
      server.step(1);
    }
    assert.ok(Math.min(...powers) < 6_000 && Math.max(...powers) > 18_000, powers.join());
  });

  test("emergency stop with 50 open orders: none is open when it has settled", async () => {
    const symbols = Array.from({ length: 50 }, (_, k) => `S${k}`);
    const { server } = await scene([], symbols);
    await using _ = server;
    const session = sessionOf(symbols, { execution: { style: "limit-at-touch", slices: 1, timeoutMs: 60_000,
      callsPerMinute: 100_000 } });
    await using host = await Host.start(symbols, folder(), server.url, { session });
    host.hand({ kind: "quote", at: Date.now(), instrument: Int32Array.from(symbols.keys()),
      quotes: Float64Array.from(symbols.flatMap(() => [99, 1, 101, 1])) });
    host.hand(host.target(symbols.map(() => 10)));
    await host.until(() => server.exchange.orders("open").length === 50);
    const at = Date.now() + 1;
    host.hand({ kind: "control", at, action: "emergency-stop", by: "user", subject: "", value: "" });
    await host.until(() => host.last("settled")?.at === at);
    assert.deepEqual([server.exchange.orders("open").length, host.last("trading-state")?.state], [0, "HALTED"]);
  });

  test("200 calls a minute: with 1 s of refusals every order still leaves once (fault 9)", async () => {
    const { server, posts } = await scene([["too-many-calls", 8]], ["AAA", "BBB", "CCC"]);
    await using _ = server;
    await using host = await Host.start(["AAA", "BBB", "CCC"], folder(), server.url);
    await host.trade([1, 2, 3]);
    await host.trade([4, 5, 6]);
    assert.deepEqual(held(server), [["AAA", 4], ["BBB", 5], ["CCC", 6]]);
    assert.equal(ordered(server), 6);
    assert.ok(posts.length >= 6);
  });
});
