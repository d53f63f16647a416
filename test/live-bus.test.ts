/** Hearing over real sockets: holes are filled, joiners are told what was said, desks keep order and bounds. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { Desk, type Letter } from "../src/live/desk.ts";
import { toContent, topicOf } from "../src/live/frames.ts";
import { answerOf, Hearing, type Heard, type Question } from "../src/live/hearing.ts";
import { host } from "../src/live/hosted.ts";
import { BAR_FLAGS, type MarketFact, type SettledFact, type Spoken } from "../src/live/message.ts";
import { Retained } from "../src/live/retained.ts";
import { SessionClock } from "../src/live/session-clock.ts";
import { closeWire, openPublisher, openResponder, type Publisher } from "../src/wire/socket.ts";
import { market, session, walk } from "./live-market.ts";

after(() => { closeWire(); });

const fact = (at: number): SettledFact => ({ kind: "settled", at, orders: 1 });
const bars = (step: number, flag: number = BAR_FLAGS.fresh): MarketFact =>
  market(walk(1, 2, 5).filter(({ at }, _, all) => at === all[0].at + (step - 1) * 60_000), flag);

/** A speaker as bus.ts makes one: what it says is retained and answered for; it can die and come back. */
class Speaker {
  publisher!: Publisher;
  questions = "";
  #retained!: Retained;

  static async open(): Promise<Speaker> {
    const self = new Speaker();
    await self.start("tcp://127.0.0.1:0");
    self.questions = (await openResponder({ sender: "feed", address: "tcp://127.0.0.1:0", answer: ({ meta }) => {
      const question = meta as Question;
      return answerOf(question.want === "range" ? self.#retained.range(question.topic, question.first, question.last)
        : self.#retained.since(question.from, question.kinds, question.isAll));
    } })).address;
    return self;
  }
  async start(address: string): Promise<void> {
    this.publisher = await openPublisher({ sender: "feed", address });
    this.#retained = new Retained("feed", this.publisher.epoch);
  }
  say(message: Spoken): void {
    const topic = topicOf(message);
    this.#retained.keep(topic, this.publisher.say(topic, toContent(message)), message);
  }
}

async function hearAll(from: Speaker, kinds: readonly string[], count: number,
  joins: "history" | "as-said" | "last", act: (heard: readonly Heard[]) => void | Promise<void> = () => {}): Promise<Heard[]> {
  const heard: Heard[] = [], all = Promise.withResolvers<void>();
  const hearing = await Hearing.open({ sender: "hearer", address: from.publisher.address, isInlet: false, kinds,
    questions: from.questions, joins, link: {}, trouble: (code, text) => { all.reject(new Error(`${code}: ${text}`)); },
    hear: (one) => { heard.push(one); if (heard.length === count) all.resolve(); } });
  await from.publisher.ready(1);
  await act(heard);
  const timer = setTimeout(() => { all.reject(new Error(`heard ${heard.length} of ${count}`)); }, 10_000);
  try { await all.promise; } finally { clearTimeout(timer); hearing.close(); from.publisher.close(); }
  return heard;
}
const flagsOf = ({ message }: Heard): number => (message as MarketFact).flags[0];

describe("hearing", () => {
  test("who joins late is given all bars as history but the newest, the last account-like fact, then what comes",
    async () => {
    const feed = await Speaker.open();
    for (let step = 1; step <= 3; step++) feed.say(bars(step));
    const heard = await hearAll(feed, ["market"], 4, "history", async (soFar) => {
      while (soFar.length < 3) await new Promise((resolve) => { setImmediate(resolve); });
      feed.say(bars(4));
    });
    assert.deepEqual(heard.map(({ seq }) => seq), [1, 2, 3, 4]);
    const { history, fresh } = BAR_FLAGS;
    assert.deepEqual(heard.map(flagsOf), [history, history, fresh, fresh]);
    assert.deepEqual(heard.map(({ message }) => message.at), [1, 2, 3, 4].map((step) => bars(step).at));
  });

  test("a recorder is given them as they were said", async () => {
    const feed = await Speaker.open();
    for (let step = 1; step <= 3; step++) feed.say(bars(step));
    assert.deepEqual((await hearAll(feed, ["market"], 3, "as-said")).map(flagsOf), [0, 0, 0]);
  });

  test("what a speaker that was restarted said before we were back is asked for and delivered in its place", async () => {
    const feed = await Speaker.open(), { address } = feed.publisher;
    const heard = await hearAll(feed, ["settled"], 4, "last", async (soFar) => {
      feed.say(fact(1));
      while (soFar.length === 0) await new Promise((resolve) => { setImmediate(resolve); });
      feed.publisher.close(0);
      await feed.start(address);
      feed.say(fact(10));
      feed.say(fact(11));
      await feed.publisher.ready(1);
      feed.say(fact(12));
    });
    assert.deepEqual(heard.map(({ message, seq }) => [message.at, seq]), [[1, 1], [10, 1], [11, 2], [12, 3]]);
    // Asked for again: how long it took says nothing about the wire.
    assert.deepEqual(heard.map(({ sentNs }) => sentNs > 0), [true, false, false, true]);
  });
});

describe("what a speaker retains", () => {
  test("of what passes the last 4,000 to 5,000, for holes; joiners are not told of it", () => {
    const retained = new Retained("feed", 7);
    for (let seq = 1; seq <= 45_000; seq++) retained.keep("settled.", seq, fact(seq));
    assert.equal(retained.range("settled.", 44_998, 44_999).ends.length, 2);
    // Cut to 4,000 at 5,001 and at every 1,001st behind it, 44,040 being the last of them.
    assert.equal(retained.range("settled.", 1, 40_040).ends.length, 0);
    assert.equal(retained.range("settled.", 40_040, 40_042).ends.length, 2);
    assert.equal(retained.since(0, ["settled"], true).ends.length, 0, "no joiner needs what was settled");
  });

  test("of history 20,000 to 25,000 steps, page by page, however much passes", () => {
    const retained = new Retained("feed", 7), bar = bars(1);
    for (let seq = 1; seq <= 45_000; seq++) {
      retained.keep("market.", seq, bar);
      retained.keep("settled.", seq, fact(seq));
    }
    // Cut to 20,000 at 25,001 and at every 5,001st behind it: at 40,004, so that 20,005 is the first.
    assert.equal(retained.range("market.", 20_004, 20_006).ends.length, 2);
    const pages: number[] = [];
    for (let from: number | null = 0; from !== null;) {
      const { ends, topics, next } = retained.since(from, ["market"], true);
      assert.ok(topics.every((topic) => topic === "market."));
      pages.push(ends.length);
      from = next;
    }
    assert.equal(pages.reduce((sum, count) => sum + count, 0), 45_000 - 20_004);
    assert.ok(pages.length > 1);
  });
});

describe("a desk", () => {
  const letter = (message: { kind: string; at?: number }): Letter =>
    ({ message, originNs: 0, sentNs: 0, hop: "", bytes: 0, plainBytes: 0 });
  type Handle = (message: { kind: string }) => readonly never[] | Promise<readonly never[]>;
  const deskOf = (handle: Handle): { desk: Desk; failed: unknown[] } => {
    const failed: unknown[] = [];
    const desk = new Desk({ hosted: host({ name: "x", hears: [], handle }), now: () => 0, begin: () => 0, end: () => {},
      route: () => {}, fail: (error) => { failed.push(error); } });
    return { desk, failed };
  };

  test("handles one letter at a time in order, a person's command first, one tick at most", async () => {
    const seen: string[] = [], gate = Promise.withResolvers<readonly never[]>();
    const { desk } = deskOf((message) => { seen.push(message.kind); return seen.length === 1 ? gate.promise : []; });
    for (const kind of ["a", "b", "control", "c"]) void desk.push(letter({ kind }));
    desk.tick(1);
    desk.tick(2);
    assert.deepEqual(seen, ["a"]);
    gate.resolve([]);
    await gate.promise;
    await Promise.resolve();
    assert.deepEqual(seen, ["a", "control", "b", "c", "tick"]);
    assert.equal(desk.isIdle, true);
    assert.equal(desk.handled, 4);
  });

  test("beyond 4,096 letters it asks to wait, and says when there is room again", async () => {
    const gate = Promise.withResolvers<readonly never[]>();
    let isFirst = true;
    const { desk } = deskOf(() => { if (!isFirst) return []; isFirst = false; return gate.promise; });
    const waits = Array.from({ length: 4_097 }, () => desk.push(letter({ kind: "a" })));
    assert.equal(waits[4_095], undefined);
    assert.ok(waits[4_096] instanceof Promise);
    gate.resolve([]);
    await waits[4_096];
    assert.equal(desk.isIdle, true);
  });

  test("what an actor throws ends the process: it is handed on, and nothing more is handled", () => {
    const { desk, failed } = deskOf(() => { throw new Error("no"); });
    void desk.push(letter({ kind: "a" }));
    void desk.push(letter({ kind: "b" }));
    assert.equal(failed.length, 1);
  });
});

describe("a session's clock", () => {
  test("market time is what the newest bar says plus the real time since; it never goes back", () => {
    const clock = new SessionClock({ now: () => 5 as never, sleep: () => Promise.resolve() }, "market");
    assert.equal(clock.now(), 5);
    clock.hear(1_000_000);
    clock.hear(900_000);
    clock.hear(NaN);
    const now = clock.now();
    assert.ok(now >= 1_000_000 && now < 1_001_000, String(now));
    assert.equal(session().clock.kind, "wall");
  });
});
