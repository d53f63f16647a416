/** Every kind travels bit for bit: NaN, -0, infinities and empty arrays included. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random, type Random } from "../src/base/random.ts";
import { fromContent, toContent, topicOf } from "../src/live/frames.ts";
import { BAR_FIELDS, SPOKEN_CODES, type Spoken } from "../src/live/message.ts";
import { decode, encode, isDamage, type Content, type Stamp } from "../src/wire/codec.ts";

const STAMP: Stamp = { sender: "test", epoch: 1, seq: 1, sent: 0, origin: 0, reply: 0, expires: 0 };
const ODD = [NaN, -0, 0, Infinity, -Infinity, 1e-310, Number.MAX_VALUE, -1 / 3] as const;
const TEXTS = ["", "lstm-1", "é 漢 \u0000 \"", "{\"#\":\"NaN\"}", "x".repeat(300)] as const;

class Draw {
  readonly #stream: Random;
  readonly count: number;
  constructor(seed: number, kind: string) {
    this.#stream = random(seed, "frames", kind);
    this.count = seed % 5 === 0 ? 0 : this.#stream.below(40);
  }
  one(): number { return this.#stream.uniform() < 0.3 ? ODD[this.#stream.below(ODD.length)] : this.#stream.normal() * 1e3; }
  yes(): boolean { return this.#stream.uniform() < 0.5; }
  text(): string { return TEXTS[this.#stream.below(TEXTS.length)]; }
  of<T>(choices: readonly T[]): T { return choices[this.#stream.below(choices.length)]; }
  whole(): number { return this.#stream.below(1_000); }
  instrument(): Int32Array { return Int32Array.from({ length: this.count }, () => this.whole()); }
  f64(columns = 1): Float64Array { return Float64Array.from({ length: this.count * columns }, () => this.one()); }
  f32(columns = 1): Float32Array { return Float32Array.from({ length: this.count * columns }, () => this.one()); }
  u8(): Uint8Array { return Uint8Array.from({ length: this.count }, () => this.#stream.below(4)); }
  list<T>(make: () => T): T[] { return Array.from({ length: this.count }, make); }
}

/** One message of each kind; a new kind does not compile without its row. */
const MAKE: { readonly [K in Spoken["kind"]]: (draw: Draw) => Extract<Spoken, { kind: K }> } = {
  market: (d) => ({ kind: "market", at: d.one(), instrument: d.instrument(), bars: d.f64(BAR_FIELDS.length), flags: d.u8() }),
  quote: (d) => ({ kind: "quote", at: d.one(), instrument: d.instrument(), quotes: d.f64(4) }),
  notice: (d) => ({ kind: "notice", at: d.one(), instrument: d.whole(), what: d.of(["halt", "split"]), value: d.one() }),
  features: (d) => ({ kind: "features", at: d.one(), instrument: d.instrument(), rows: d.f32(60), flags: d.u8() }),
  prediction: (d) => ({ kind: "prediction", at: d.one(), model: d.text(), version: d.of(["", "0a1b2c3d", "v1"]),
    instrument: d.instrument(), position: d.f32(), volatility: d.f32(), confidence: d.f32() }),
  mixture: (d) => ({ kind: "mixture", at: d.one(), models: d.list(() => d.text()), weights: d.list(() => d.one()) }),
  decision: (d) => ({ kind: "decision", at: d.one(), instrument: d.instrument(), position: d.f32(), volatility: d.f32(),
    confidence: d.f32(), members: d.list(() => d.text()), hasQuorum: d.yes() }),
  "order-state": (d) => ({ kind: "order-state", at: d.one(), order: { id: d.text(), decidedAt: d.one(), instrument: d.whole(),
    quantity: d.one(), type: d.of(["market", "limit"]), limitPrice: NaN, brokerId: d.of([null, "b"]),
    state: d.of(["unknown", "filled"]), filled: d.one(), averagePrice: d.one(), reason: d.of([null, "why"]) } }),
  fill: (d) => ({ kind: "fill", at: d.one(), orderId: d.text(), executionId: d.text(), instrument: d.whole(), quantity: d.one(),
    price: d.one(), fee: d.one(), position: d.one() }),
  account: (d) => ({ kind: "account", at: d.one(), equity: d.one(), cash: d.one(), buyingPower: d.one(), units: d.f64(),
    isReconciled: d.yes() }),
  settled: (d) => ({ kind: "settled", at: d.one(), orders: d.whole() }),
  "trading-state": (d) => ({ kind: "trading-state", at: d.one(), state: d.of(["ACTIVE", "HALTED"]), reason: d.text(),
    by: d.text() }),
  heartbeat: (d) => ({ kind: "heartbeat", at: d.one(), process: d.text(), pid: d.whole(), state: d.of(["starting", "running"]),
    cpuShare: d.one(), memoryBytes: d.whole(), loopDelayMs: d.one(), handled: d.whole() }),
  meter: (d) => ({ kind: "meter", at: d.one(), process: d.text(), rows: d.list(() => ({ name: d.text(), count: d.whole(),
    errors: 0, bytes: 0, mean: d.one(), p50: d.one(), p95: NaN, p99: NaN, p999: NaN, max: NaN, perSecond: 0,
      compression: 1 })) }),
  alert: (d) => ({ kind: "alert", at: d.one(), severity: d.of(["info", "critical"]), code: d.text(), text: d.text(),
    process: d.text() }),
  target: (d) => ({ kind: "target", at: d.one(), instrument: d.instrument(), weight: d.f64(), units: d.f64(), price: d.f64(),
    equity: d.one(), actions: d.list(() => ({ reason: d.of(["not-finite", "self-cross"]), instrument: d.whole(), before: d.one(),
      after: d.one() })) }),
  control: (d) => ({ kind: "control", at: d.one(), action: d.of(["halt", "flatten"]), by: d.text(), subject: d.text(),
    value: d.text() }),
  performance: (d) => ({ kind: "performance", at: d.one(), equity: d.one(), peak: d.one(), drawdown: d.one(), sharpe: NaN,
    models: [] }),
};
const one = (kind: Spoken["kind"]): Spoken => MAKE[kind](new Draw(1, kind));
const KINDS = Object.keys(SPOKEN_CODES) as Spoken["kind"][];

function travel(message: Spoken, isCompressed = false): Spoken {
  const packet = decode(encode(toContent(message), STAMP, isCompressed));
  assert.ok(!isDamage(packet), isDamage(packet) ? packet.damage : "");
  const arrived = fromContent(packet);
  assert.ok(!isDamage(arrived), isDamage(arrived) ? arrived.damage : "");
  return arrived;
}

describe("frames", () => {
  for (const kind of KINDS) {
    test(`50 ${kind} messages by seed arrive bit for bit, compressed or not`, () => {
      for (let seed = 0; seed < 50; seed++) {
        const message = MAKE[kind](new Draw(seed, kind));
        assert.deepEqual(travel(message), message, `seed ${seed}`);
        assert.deepEqual(travel(message, true), message, `seed ${seed}, zstd`);
      }
    });
  }

  test("what is said for every bar carries no JSON; a NaN elsewhere does not become null", () => {
    for (const kind of ["market", "quote", "features", "prediction"] as const) {
      assert.equal(toContent(MAKE[kind](new Draw(1, kind))).meta, undefined, kind);
    }
    const content = toContent({ kind: "settled", at: 1, orders: NaN });
    assert.equal(JSON.stringify(content.meta), '{"orders":{"#":"NaN"}}');
  });

  test("one step of 30 instruments: market 88 + 24 + 120 + 1680 + 32 bytes, features of 60 columns 7.4 KB", () => {
    const instrument = new Int32Array(30), flags = new Uint8Array(30);
    const size = (message: Spoken): number => encode(toContent(message), STAMP).length;
    assert.equal(size({ kind: "market", at: 1, instrument, bars: new Float64Array(210), flags }), 88 + 24 + 120 + 1_680 + 32);
    assert.equal(size({ kind: "features", at: 1, instrument, rows: new Float32Array(1_800), flags }), 88 + 24 + 120 + 7_200 + 32);
  });

  test("a content that is no message is a value with a reason", () => {
    const market = toContent(MAKE.market(new Draw(1, "market"))), sold = toContent(one("fill"));
    const tensors = (...values: Content["tensors"][number]["values"][]): Content["tensors"] =>
      values.map((array) => ({ values: array, columns: 1 }));
    const cases: readonly (readonly [Content, string])[] = [
      [{ ...market, code: 200 }, "no kind has the code 200"],
      [{ ...market, tensors: [] }, "market: 0 tensors"],
      [{ ...market, tensors: tensors(Int32Array.of(1), new Float32Array(7), new Uint8Array(1)) },
        "market: bars has another dtype"],
      [{ ...market, tensors: tensors(Int32Array.of(1), new Float64Array(6), new Uint8Array(1)) },
        "market: bars has 6 numbers for 1 instruments"],
      [{ ...market, tensors: tensors(Int32Array.of(1), new Float64Array(7), new Uint8Array(2)) },
        "market: flags has 2 numbers for 1 instruments"],
      [{ ...sold, meta: undefined }, "fill: orderId is no string"],
      [{ ...sold, meta: { ...sold.meta as object, price: "12" } }, "fill: price is no number"],
      [{ ...toContent(MAKE["order-state"](new Draw(1, "o"))), meta: { order: null } }, "order-state: order is no object"],
    ];
    for (const [content, damage] of cases) assert.deepEqual(fromContent(content), { damage });
  });

  test("topics can be chosen by kind, shard and model, and shard 1 is no beginning of shard 12", () => {
    const topic = (kind: Spoken["kind"], shard?: number): string => topicOf(MAKE[kind](new Draw(2, kind)), shard);
    assert.deepEqual([topic("market"), topic("features", 12), topic("fill"), topic("order-state", 3)],
      ["market.0.", "features.12.", "fill.", "order-state."]);
    assert.equal(topicOf({ ...MAKE.prediction(new Draw(1, "p")), model: "lstm-1" }), "prediction.lstm-1.");
    assert.ok(!topic("features", 12).startsWith(topic("features", 1)));
    const kinds = KINDS.map((kind) => topic(kind));
    for (const kind of KINDS) assert.equal(kinds.filter((name) => name.startsWith(`${kind}.`)).length, 1, kind);
  });
});
