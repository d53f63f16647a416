/** Streams of vendors, played by the simulator: heard whole, kept up, and their gaps filled by REST. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { WebSocketServer, type WebSocket } from "ws";
import type { AddressInfo } from "node:net";
import { encode } from "@msgpack/msgpack";
import { FakeClock, systemClock, type Clock } from "../src/base/clock.ts";
import { configSchema } from "../src/base/config.ts";
import { openLog } from "../src/base/log.ts";
import { silentProgress } from "../src/base/progress.ts";
import { timeMs } from "../src/base/units.ts";
import { random } from "../src/base/random.ts";
import { feedActor } from "../src/live/actors/feed.ts";
import { alpacaDialect } from "../src/live/feeds/alpaca-dialect.ts";
import type { FeedEffect, FeedOutcome } from "../src/live/feeds/feed.ts";
import { Frame } from "../src/live/feeds/frame.ts";
import { streamUrl } from "../src/live/feeds/hosts.ts";
import { massiveDialect } from "../src/live/feeds/massive-dialect.ts";
import { vendorPast } from "../src/live/feeds/past.ts";
import { openFeedRim, type FeedRimOptions } from "../src/live/feeds/rim.ts";
import { FeedStream } from "../src/live/feeds/stream.ts";
import { BAR_FLAGS, type MarketFact, type Spoken } from "../src/live/message.ts";
import type { Session } from "../src/live/session.ts";
import { startExchangeServer, type ExchangeServer } from "../src/simulator/exchange-server.ts";
import { scriptedExchangeFaults } from "../src/simulator/exchange-faults.ts";
import { scriptedFaults } from "../src/simulator/faults.ts";
import { SIMULATOR_KEYS } from "../src/simulator/simulator.ts";
import { barsOfRows, MINUTE, OPEN, session, walk, WIDTH, type Row } from "./live-market.ts";

const N = 2, SYMBOLS = ["I0", "I1"], PAST = 30, LIVE = 60;
const rows = walk(21, N, PAST
  + LIVE).map((row): Row => ({ ...row, values: row.values.map((value, j) => j < 4 ? Math.round(value * 100) / 100 : value) }));
const FROM = OPEN + PAST * MINUTE;
const KEYS = { alpaca: SIMULATOR_KEYS.alpaca, massive: { apiKey: SIMULATOR_KEYS.massive } } as const;
const DEADLINE_MS = 10_000;

const simulator = (given: Partial<Parameters<typeof startExchangeServer>[0]> = {}): Promise<ExchangeServer> =>
  startExchangeServer({
  market: new Map(SYMBOLS.map((symbol, i) => [symbol, { bars: barsOfRows(rows, i), actions: [] }])),
  from: FROM, pace: { kind: "stepped" }, seed: 1, ...given });

/** A feed process: actor and rim, and all that they say. */
class Process implements AsyncDisposable {
  readonly said: (Spoken | FeedEffect)[] = [];
  readonly outcomes: FeedOutcome[] = [];
  readonly rim: ReturnType<typeof openFeedRim>;
  readonly #actor;
  #waiting: { readonly test: () => boolean; readonly done: () => void }[] = [];

  constructor(server: { readonly url: string }, wire: Session["wire"], given: Partial<FeedRimOptions> = {}) {
    const own = session({ symbols: SYMBOLS, wire, simulatorUrl: server.url,
      clock: { kind: "market", isStepped: true, barsPerSecond: null } });
    this.#actor = feedActor({ session: own });
    this.rim = openFeedRim({ session: own, root: "/nowhere", config: configSchema.parse({}), clock: systemClock,
      log: openLog("silent"),
      keys: KEYS[wire], ...given,
      history: () => Promise.resolve(SYMBOLS.map((_, i) =>
        ({ bars: barsOfRows(rows.filter((row) => row.at <= FROM), i), actions: [], adjustment: "raw" }))) });
  }

  async start(): Promise<this> {
    await this.rim.start((outcome) => { this.outcomes.push(outcome); this.tell(outcome); });
    return this;
  }

  tell(message: Parameters<typeof this.rim.carryOut>[0] | FeedOutcome | Spoken): void {
    for (const one of this.#actor.handle(message as FeedOutcome, Date.now()) as readonly (Spoken | FeedEffect)[]) {
      this.said.push(one);
      if (["step", "wake", "reconnect", "resume"].includes(one.kind)) this.rim.carryOut(one as FeedEffect);
    }
    this.#waiting = this.#waiting.filter(({ test: isDone, done }) => !isDone() || (done(), false));
  }

  /** The world behaves as expected before a deadline. */
  async until(isDone: () => boolean, what: string): Promise<void> {
    if (isDone()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => { reject(new Error(`${what}: not in ${DEADLINE_MS} ms; ${JSON.stringify(this.codes())}`)); },
      DEADLINE_MS);
    this.#waiting.push({ test: isDone, done: resolve });
    try { await promise; } finally { clearTimeout(timer); }
  }

  codes(): string[] { return this.said.flatMap((one) => one.kind === "alert" ? [one.code] : []); }
  markets(): MarketFact[] { return this.said.filter((one): one is MarketFact => one.kind === "market"); }
  /** Newest said values of each bar. */
  known(): Map<string, string> {
    const known = new Map<string, string>();
    for (const { at, instrument, bars } of this.markets()) {
      instrument.forEach((i, k) => { known.set(`${at} ${i}`, bars.subarray(k * WIDTH, (k + 1) * WIDTH).join()); });
    }
    return known;
  }

  async ready(): Promise<void> { await this.until(() => this.outcomes.some(({ kind }) => kind === "ready"), "ready"); }
  advance(): void { this.tell({ kind: "control", at: 0, action: "advance", by: "test", subject: "", value: "" }); }
  /** Plays to a step, settling each. */
  async play(to: number): Promise<void> {
    for (;;) {
      const newest = Math.max(...this.markets().map(({ at }) => at));
      if (newest >= OPEN + to * MINUTE) return;
      const count = this.markets().length;
      if (newest > FROM) this.tell({ kind: "settled", at: newest, orders: 0 }); else this.advance();
      await this.until(() => this.markets().length > count, `the step after ${new Date(newest).toISOString()}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> { await this.rim.stop(); }
}

/** Rows 1..to as the market has them; Massive's stream has no trade counts. */
function expected(to: number, hasTrades: boolean): Map<string, string> {
  return new Map(rows.filter((row) => row.at <= OPEN + to * MINUTE).map((row) => [`${row.at} ${row.instrument}`,
    (hasTrades || row.at <= FROM ? row.values : row.values.with(6, NaN)).join()]));
}

describe("a replay through the vendors' own streams", () => {
  for (const wire of ["alpaca", "massive"] as const) {
    test(`${wire}: history, then each step whole and fresh, every number as it was sent, to the end`, async () => {
      await using server = await simulator();
      await using feed = await new Process(server, wire).start();
      await feed.ready();
      await feed.play(PAST + LIVE);
      assert.deepEqual(feed.known(), expected(PAST + LIVE, wire === "alpaca"));
      const flags = feed.markets().map((one) => [...one.flags]);
      assert.deepEqual(flags,
        Array.from({ length: PAST + LIVE }, (_, k) => Array(N).fill(k < PAST ? BAR_FLAGS.history : BAR_FLAGS.fresh)));
      await feed.until(() => feed.codes().includes("replay-ended"), "the end");
      assert.deepEqual(feed.codes(), ["replay-ended"]);
    });

    test(`${wire}: a cut stream is connected anew, what passed meanwhile is asked for by REST, and only then it goes on`,
      async () => {
      await using server = await simulator();
      await using feed = await new Process(server, wire).start();
      await feed.ready();
      await feed.play(PAST + 5);
      await fetch(`${server.url}/simulator/cut`, { method: "POST", body: JSON.stringify({ streams: "data" }) });
      await feed.until(() => feed.outcomes.some(({ kind }) => kind === "lost"), "lost");
      server.step(4);
      await feed.until(() => feed.outcomes.some(({ kind }) => kind === "caught-up"), "caught up");
      assert.deepEqual(feed.markets().slice(PAST + 5).map((one) => [(one.at - OPEN) / MINUTE, [...one.flags]]),
        [6, 7, 8, 9].map((k) => [PAST + k, Array(N).fill(BAR_FLAGS.backfilled)]));
      await feed.play(PAST + 20);
      assert.deepEqual([...feed.known().keys()].sort(), [...expected(PAST + 20, true).keys()].sort());
      assert.deepEqual(feed.codes(), ["feed-lost", "feed-back"]);
      assert.equal(feed.rim.stream.connections, 2);
    });
  }

  test("a gap is asked for up to the newest bar heard, also while the session's clock stands days behind it", async (t) => {
    const server = await simulator();
    t.after(() => server.close());
    server.step(LIVE);
    const past = await vendorPast(session({ symbols: SYMBOLS }), { root: "/nowhere", log: openLog("silent"),
      progress: silentProgress, config: configSchema.parse({ alpaca: { dataUrl: server.url } }),
      clock: new FakeClock(FROM - 3 * 24 * 60 * MINUTE), signal: new AbortController().signal }, KEYS.alpaca);
    const newest = FROM + 20 * MINUTE, since = newest - 5 * MINUTE;
    const { time } = await past.bars("I0", since, newest, AbortSignal.timeout(DEADLINE_MS));
    assert.deepEqual([...time].filter((at) => at <= newest), [4, 3, 2, 1, 0].map((k) => newest - k * MINUTE));
  });

  test("a gap inside a session whose page is cut short without a word is asked for on (fault 24)", async () => {
    for (const wire of ["alpaca", "massive"] as const) {
      await using server = await simulator({ dataFaults: scriptedFaults({ 1: "truncated-page", 2: "truncated-page" }) });
      server.step(LIVE);
      const past = await vendorPast(session({ symbols: SYMBOLS, wire }), { root: "/nowhere", log: openLog("silent"),
        progress: silentProgress, signal: new AbortController().signal, clock: new FakeClock(FROM),
        config: configSchema.parse({ alpaca: { dataUrl: server.url }, massive: { baseUrl: server.url } }) }, KEYS[wire]);
      const newest = FROM + LIVE * MINUTE;
      const { time } = await past.bars("I0", FROM, newest, AbortSignal.timeout(DEADLINE_MS));
      assert.deepEqual([...time], rows.filter(({ at, instrument }) => instrument === 0 && at > FROM).map(({ at }) => at), wire);
      // Twice cut, and the rest: its last bar is the last that can have closed.
      assert.equal(server.state().faults.data, 3, wire);
    }
  });

  test("a gap is filled to where the simulator's market is, though nothing was heard of it on the new connection", async () => {
    await using server = await simulator();
    // A replay's clock, which stands where the last bar was heard.
    const clock: Clock = { now: () => timeMs(FROM + 5 * MINUTE), sleep: (ms, signal) => systemClock.sleep(ms, signal) };
    await using feed = await new Process(server, "alpaca", { clock }).start();
    await feed.ready();
    await feed.play(PAST + 5);
    feed.rim.stream.drop("test");
    server.step(12);
    await feed.until(() => feed.codes().includes("feed-back"), "the gap is filled");
    assert.deepEqual(feed.known(), expected(PAST + 17, true));
  });

  test("a restarted feed asks for what was played before it came", async () => {
    await using server = await simulator();
    server.step(7);
    await using feed = await new Process(server, "alpaca").start();
    await feed.ready();
    assert.deepEqual(feed.markets().map((one) => one.flags[0]),
      [...Array(PAST).fill(BAR_FLAGS.history), ...Array(7).fill(BAR_FLAGS.backfilled)]);
    assert.deepEqual(feed.known(), expected(PAST + 7, true));
  });

  test("a revised bar is said again, revised, and nothing is decided on it", async () => {
    await using server = await simulator({ faults: scriptedExchangeFaults([["bar-revised", 3]]) });
    await using feed = await new Process(server, "alpaca").start();
    await feed.ready();
    await feed.play(PAST + 10);
    const changed = feed.markets().filter(({ flags }) => flags.includes(BAR_FLAGS.revised));
    assert.equal(changed.length, 1);
    assert.deepEqual(feed.known(), expected(PAST + 10, true));
  });

  for (const fault of ["tick-times-ten", "tick-zero", "tick-negative"] as const) {
    test(`${fault}: the bar is left out, and an alert says so`, async () => {
      await using server = await simulator({ faults: scriptedExchangeFaults([[fault, 3]]) });
      await using feed = await new Process(server, "alpaca").start();
      await feed.ready();
      await feed.play(PAST + 10);
      assert.deepEqual(feed.codes(), ["bad-tick"]);
      const right = expected(PAST + 10, true), known = feed.known();
      assert.equal(known.size, right.size - 1);
      for (const [key, values] of known) assert.equal(values, right.get(key));
    });
  }
});

describe("a stream that does not come up", () => {
  test("another connection holds the key: it says so and backs off by 5 s at least", async () => {
    await using server = await simulator({ faults: scriptedExchangeFaults([["connection-limit", 1]]) });
    await using feed = await new Process(server, "alpaca").start();
    await feed.until(() => feed.codes().includes("connection-limit"), "refused");
    const text = feed.said.flatMap((one) => one.kind === "alert" ? [one.text] : [])[0];
    assert.match(text, /406.*another program holds this account's only connection; stop it; again in ([5-7])\.\d s$/);
    assert.deepEqual(feed.markets(), []);
  });

  test("a wrong key is a critical alert with what to set, and no tight loop", async () => {
    await using server = await simulator();
    for (const [wire, keys, hint] of [["alpaca", { keyId: "WRONG", secretKey: "wrong" }, /set APCA_API_KEY_ID/],
      ["massive", { apiKey: "wrong-key" }, /set MASSIVE_API_KEY/]] as const) {
      await using feed = await new Process(server, wire, { keys }).start();
      await feed.until(() => feed.codes().includes("feed-refused"), "refused");
      const alert = feed.said.find((one) => one.kind === "alert")!;
      assert.match(alert.text, hint);
      assert.match(alert.text, /again in [6-9]\d\.\d s$/);
      assert.doesNotMatch(JSON.stringify(feed.said), /wrong-key/);
    }
  });

  test("a subscription that is not acknowledged is no subscription: connected anew until it is", async () => {
    await using server = await simulator({ faults: scriptedExchangeFaults([["connection-deaf", 1]]) });
    await using feed = await new Process(server, "alpaca", { limits: { answerMs: 150 } }).start();
    await feed.ready();
    assert.equal(feed.rim.stream.connections, 1);
    await feed.play(PAST + 3);
  });

  test("a stream that has gone mute is given up when its actor says so, and its gap is filled", async () => {
    await using server = await simulator({ faults: scriptedExchangeFaults([["stream-mute", 4]]) });
    await using feed = await new Process(server, "alpaca").start();
    await feed.ready();
    await feed.play(PAST + 3);
    server.step(2);
    // What the actor says when the session goes on in silence (feed.test.ts).
    feed.rim.carryOut({ kind: "reconnect", reason: "mute" });
    await feed.until(() => feed.outcomes.some(({ kind }) => kind === "caught-up"), "caught up");
    assert.deepEqual(feed.known(), expected(PAST + 5, true));
  });

  test("a queue that is full ends the connection; frames thrown away are counted", async () => {
    await using server = await simulator();
    await using feed = await new Process(server, "alpaca", { limits: { framesMax: 4 } }).start();
    await feed.ready();
    server.step(40);
    await feed.until(() => feed.outcomes.some((one) => one.kind === "lost"), "lost");
    assert.match(feed.outcomes.find((one) => one.kind === "lost")!.reason, /too slow for the stream/);
    await feed.until(() => feed.outcomes.some(({ kind }) => kind === "caught-up"), "caught up");
    assert.ok(feed.rim.stream.overrun > 4);
    assert.deepEqual(feed.known(), expected(PAST + 40, true));
  });
});

/** A vendor by hand: it answers each message with what `script` says. */
async function vendor(script: (message: string, socket: WebSocket) => void) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await new Promise((resolve) => { server.once("listening", resolve); });
  const sockets = new Set<WebSocket>();
  let connections = 0;
  server.on("connection", (socket) => {
    connections++;
    sockets.add(socket);
    socket.on("message", (data: Buffer) => { script(data.toString(), socket); });
    script("", socket);
  });
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, connections: () => connections,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.terminate();
      await new Promise((resolve) => { server.close(resolve); });
    } };
}

const shape = { indexOf: new Map([["AAA", 0], ["BBB", 1]]), closeOf: (start: number) => start + MINUTE, isWhole: false };

describe("connections", () => {
  const status = (name: string, message = ""): string => JSON.stringify([{ ev: "status", status: name, message }]);

  test("one that is silent before the handshake's end, after it, or once up is ended in time; the wait grows by half each time",
    async () => {
    const waits: number[] = [], reasons: string[] = [];
    let behaviour = 0;
    await using server = await vendor((message, socket) => {
      if (behaviour === 0) return;
      if (message === "") socket.send(status("connected"));
      if (behaviour > 1 && message.includes("auth")) socket.send(status("auth_success"));
    });
    const stop = new AbortController(), done = Promise.withResolvers<void>();
    const stream = new FeedStream({ url: server.url, dialect: massiveDialect(["AAA"], { apiKey: "k" }, "1m"),
      makeFrame: () => new Frame(shape),
      clock: systemClock, random: random(1, "test"), limits: { answerMs: 60 }, up() {}, heard() {},
      down: ({ reason }, waitMs) => {
        waits.push(waitMs);
        reasons.push(reason);
        if (++behaviour === 3) done.resolve();
      } });
    const running = stream.run(stop.signal);
    await done.promise;
    stop.abort();
    await running;
    assert.deepEqual(reasons,
      ["no answer to the connection in 60 ms", "no answer to the key in 60 ms", "no answer to the subscription in 60 ms"]);
    waits.forEach((wait, n) => { assert.ok(wait >= 50 * 1.5 ** n && wait <= 100 * 1.5 ** n, `wait ${n}: ${wait}`); });
  });

  test("frames that are no messages end the connection with a reason", () => {
    const into = new Frame(shape), alpaca = alpacaDialect(["AAA"], { keyId: "a", secretKey: "b" });
    assert.throws(() => alpaca.parse(Buffer.from(encode({ T: "b" }))), /no list/);
    assert.throws(() => massiveDialect(["AAA"], { apiKey: "k" }, "1m").parse(Buffer.from("{")), SyntaxError);
    for (const odd of [null, 7, "x", {}, { T: "b" }, { T: "b", S: "ZZZ", t: "2024-03-04T14:30:00Z" }, { T: "zz", S: "AAA" }]) {
      assert.equal(alpaca.read(odd, into), null);
    }
    assert.equal(into.size, 0);
  });

  test("Alpaca's messages as documented: bars and corrections with dates or text, quotes, halts and their end", () => {
    const into = new Frame(shape);
    const dialect = alpacaDialect(["AAA", "BBB"], { keyId: "a", secretKey: "b" }, { hasQuotes: true });
    const read = (message: unknown, frame: Frame): void => { dialect.read(message, frame); };
    const bar = { S: "AAA", o: 1, h: 3, l: 0.5, c: 2, v: 1_000n, n: 7, vw: 1.5 };
    read({ T: "b", ...bar, t: new Date(OPEN) }, into);
    read({ T: "u", ...bar, t: "2024-03-04T14:29:00Z", c: 2.5 }, into);
    read({ T: "q", S: "BBB", bp: 9, bs: 1, ap: 10, as: 2, t: new Date(OPEN + 5) }, into);
    read({ T: "s", S: "AAA", sc: "H", t: new Date(OPEN + 6) }, into);
    read({ T: "s", S: "AAA", sc: "T", t: new Date(OPEN + 7) }, into);
    const values = (c: number) => Float64Array.of(1, 3, 0.5, c, 1_000, 1.5, 7);
    assert.deepEqual(into.outcomes(), [
      { kind: "noticed", notice: { kind: "notice", at: OPEN + 6, instrument: 0, what: "halt", value: 0 } },
      { kind: "noticed", notice: { kind: "notice", at: OPEN + 7, instrument: 0, what: "resume", value: 0 } },
      { kind: "heard", how: "revised", isWhole: false, time: Float64Array.of(OPEN), instrument: Int32Array.of(0),
        bars: values(2.5) },
      { kind: "heard", how: "fresh", isWhole: false, time: Float64Array.of(OPEN + MINUTE), instrument: Int32Array.of(0),
        bars: values(2) },
      { kind: "quoted", at: OPEN + 5, instrument: Int32Array.of(1), quotes: Float64Array.of(9, 1, 10, 2) },
    ]);
  });

  test("addresses: both generations of each vendor, the simulator on loopback, and no key over plain sockets", () => {
    const of = (given: Partial<Session>, rest: string, said?: string): string => streamUrl(session(given), rest, "sip", said);
    assert.equal(of({ feed: "alpaca" }, "https://data.alpaca.markets"), "wss://stream.data.alpaca.markets/v2/sip");
    assert.equal(of({ feed: "alpaca" }, "https://data.sandbox.alpaca.markets"),
      "wss://stream.data.sandbox.alpaca.markets/v2/sip");
    assert.equal(of({ feed: "massive", wire: "massive" }, "https://api.massive.com"), "wss://socket.massive.com/stocks");
    assert.equal(of({ feed: "massive", wire: "massive" }, "https://api.polygon.io"), "wss://socket.polygon.io/stocks");
    assert.equal(of({ simulatorUrl: "http://127.0.0.1:7000" }, ""), "ws://127.0.0.1:7000/v2/sip");
    assert.equal(of({ wire: "massive", ports: { simulator: 7001 } }, ""), "ws://127.0.0.1:7001/stocks");
    assert.throws(() => of({ feed: "alpaca" }, "", "ws://example.com/v2/iex"), /a key is only sent over wss/);
  });
});
