/** Bytes, numbers and counting of the wire, without a socket. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { ACK, decode, encode, isDamage, monotonicNs, type Content, type Packet, type Stamp } from "../src/wire/codec.ts";
import { backoffMs, BACKOFF } from "../src/wire/backoff.ts";
import { Histogram, Meters } from "../src/wire/meter.ts";
import { encodeZ85 } from "../src/wire/security.ts";
import { missedOf, Sequences } from "../src/wire/sequence.ts";

const STAMP: Stamp = { sender: "features-2", epoch: 0xfedcba98, seq: 7, sent: 1_234_567_890_123, origin: 17, reply: 3,
  expires: 0 };
const content = (over: Partial<Content> = {}): Content =>
  ({ code: 4, at: 1_700_000_000_123, version: "0a1b2c3d", tensors: [], meta: undefined, ...over });
function opened(frame: Uint8Array): Packet {
  const packet = decode(frame);
  assert.ok(!isDamage(packet), isDamage(packet) ? packet.damage : "");
  return packet;
}

/**
 * import struct, json
 * head = b"DMNw" + struct.pack("<BBBBIIII", 1, 4, 0, 3, 0xfedcba98, 7, 3, 144)
 * head += struct.pack("<dddd", 1700000000123, 1234567890123, 17, 0) + b"0a1b2c3d" + b"features-2".ljust(24, b"\0")
 * dirs = struct.pack("<IIIIII", 2 << 24 | 2, 4, 3 << 24 | 1, 1, 5 << 24 | 1, 7)
 * body = struct.pack("<ffff", 1, -2, .5, 3) + struct.pack("<ii", 9, 0) + b'{"a":1}\0'
 * print((head + dirs + body).hex())
 */
const GOLDEN = "444d4e770104000398badcfe070000000300000090000000"
  + "00b08756febc784200b04cb01ff771420000000000003140000000000000000030613162326333646665617475726573"
  + "2d320000000000000000000000000000020000020400000001000003010000000100000507000000"
  + "0000803f000000c00000003f0000404009000000000000007b2261223a317d00";

describe("codec", () => {
  test("a frame is the bytes that the header's table says (made by Python's struct), and reads back", () => {
    const said = content({ meta: { a: 1 }, tensors: [
      { values: Float32Array.of(1, -2, 0.5, 3), columns: 2 }, { values: Int32Array.of(9), columns: 1 }] });
    assert.equal(encode(said, STAMP).toString("hex"), GOLDEN);
    assert.deepEqual(opened(Buffer.from(GOLDEN, "hex")), { ...said, ...STAMP, bytes: 144, plainBytes: 144 });
  });

  test("a frame that lies at any byte of a file reads the same", () => {
    for (let shift = 0; shift < 9; shift++) {
      const file = new Uint8Array(200), frame = Buffer.from(GOLDEN, "hex");
      file.set(frame, shift);
      assert.deepEqual(opened(file.subarray(shift, shift + frame.length)).tensors[0].values, Float32Array.of(1, -2, 0.5, 3));
    }
  });

  test("arrays may be changed as soon as encode has returned: the frame holds a copy", () => {
    const values = new Float64Array(512).fill(1), frame = encode(content({ tensors: [{ values, columns: 1 }] }), STAMP);
    values.fill(2);
    assert.deepEqual(opened(frame).tensors[0].values, new Float64Array(512).fill(1));
  });

  test("zstd with shuffled bytes comes back bit for bit, NaN payloads too, and small messages stay plain", () => {
    const stream = random(1, "wire", "zstd"), values = Float32Array.from({ length: 3_000 }, () => 100 + stream.normal());
    values[5] = NaN; values[6] = -0; values[7] = Infinity;
    const said = content({ meta: { text: "x" }, tensors: [{ values, columns: 3 },
      { values: Float64Array.from(values), columns: 1 },
      { values: Uint8Array.of(1, 2, 3), columns: 1 }] });
    const frame = encode(said, STAMP, true), packet = opened(frame);
    assert.deepEqual(packet.tensors, said.tensors);
    assert.deepEqual(packet.meta, said.meta);
    // 24-bit mantissas of a walk around 100: exponent and sign bytes repeat, and float64 of float32 has 29 zero bits.
    assert.ok(packet.plainBytes / packet.bytes > 1.5, `${packet.plainBytes} -> ${packet.bytes}`);
    assert.deepEqual(encode(content(), STAMP, true), encode(content(), STAMP, false));
  });

  test("whatever happens to a frame, decode answers: truncations and 20,000 changed bytes, plain and compressed", () => {
    const said = content({ meta: { a: [1, 2, 3] }, tensors: [{ values: new Float64Array(300).fill(2), columns: 3 }] });
    let damaged = 0;
    for (const isCompressed of [false, true]) {
      const frame = encode(said, STAMP, isCompressed), stream = random(2, "wire", "damage", String(isCompressed));
      for (let size = 0; size < frame.length; size++) assert.ok(isDamage(decode(frame.subarray(0, size))), `${size} bytes`);
      if (!isCompressed) assert.ok(isDamage(decode(Buffer.concat([frame, Buffer.alloc(8)]))));
      for (let k = 0; k < 10_000; k++) {
        const changed = Buffer.from(frame);
        changed[stream.below(Math.min(frame.length, 140))] = stream.below(256);
        if (isDamage(decode(changed))) damaged++;
      }
    }
    assert.ok(damaged > 2_000, `${damaged} of 20,000 were seen`);
  });

  test("damage says what it is", () => {
    const frame = encode(content({ tensors: [{ values: new Int32Array(4), columns: 2 }] }), STAMP);
    const changed = (at: number, value: number): unknown => decode(Buffer.from(frame).fill(value, at, at + 1));
    assert.deepEqual(changed(0, 0), { damage: "not ours: another magic number" });
    assert.deepEqual(changed(4, 9), { damage: "schema 9: this dmn speaks 1" });
    assert.deepEqual(changed(91, 77), { damage: "dtype 77 is unknown" });
    assert.deepEqual(changed(88, 3), { damage: "4 elements in 3 columns" });
    assert.deepEqual(changed(92, 200), { damage: "truncated: a tensor is not whole" });
    assert.deepEqual(changed(92, 2), { damage: "8 bytes too many" });
    assert.deepEqual(changed(20, 1), { damage: "1 bytes were said to come" });
  });

  test("a body that claims to become huge is not opened", () => {
    const frame = encode(content({ tensors: [{ values: new Float64Array(1_000), columns: 1 }] }), STAMP, true);
    frame.writeUInt32LE(0xffff_ffff, 20);
    assert.deepEqual(decode(frame), { damage: "4294967295 bytes are not believed" });
    frame.writeUInt32LE(1_000, 20);
    assert.deepEqual(decode(frame), { damage: "the compressed body does not open" });
  });

  test("what cannot be said is a bug of ours", () => {
    assert.throws(() => encode(content({ version: "123456789" }), STAMP), /names are short/);
    assert.throws(() => encode(content({ tensors: [{ values: new Int32Array(5), columns: 2 }] }), STAMP), /rectangular/);
  });

  test("the clock of a host ascends", () => {
    const first = monotonicNs();
    assert.ok(monotonicNs() >= first && Number.isInteger(first));
  });

  test("ACK says nothing", () => { assert.equal(encode(ACK, STAMP).length, 88); });
});

describe("sequence", () => {
  test("the next in line is silence; joins, gaps, restarts and duplicates are told once", () => {
    const sequences = new Sequences();
    const hear = (epoch: number, seq: number, topic = "fill."): string => {
      const gap = sequences.hear("execution", topic, epoch, seq);
      return gap === null ? "" : `${gap.kind} ${gap.first}..${gap.last} (${missedOf(gap)})`;
    };
    assert.deepEqual([1, 2, 5, 6, 6, 3, 7].map((seq) => hear(1, seq)),
      ["join 1..0 (0)", "", "gap 3..4 (2)", "", "duplicate 6..5 (0)", "duplicate 3..2 (0)", ""]);
    assert.equal(hear(1, 9, "account."), "join 1..8 (8)");
    assert.deepEqual([1, 2, 4].map((seq) => hear(2, seq)), ["restart 1..0 (0)", "", "gap 3..3 (1)"]);
    assert.equal(hear(3, 5), "restart 1..4 (4)");
  });

  test("a tail tells the loss of the last messages, and nothing when all were heard", () => {
    const sequences = new Sequences();
    assert.equal(missedOf(sequences.tail("feed", "market.0.", 1, 3)!), 3);
    sequences.hear("feed", "market.0.", 1, 4);
    assert.equal(sequences.tail("feed", "market.0.", 1, 4), null);
    assert.equal(sequences.tail("feed", "market.0.", 1, 3), null, "a tail that was overtaken");
    assert.deepEqual(sequences.tail("feed", "market.0.", 1, 6),
      { kind: "gap", sender: "feed", topic: "market.0.", epoch: 1, first: 5, last: 6 });
    assert.equal(sequences.hear("feed", "market.0.", 1, 7), null);
  });

  test("for 200 seeds: heard + missed = said, however many are lost", () => {
    for (let seed = 0; seed < 200; seed++) {
      const stream = random(seed, "wire", "sequence"), sequences = new Sequences();
      let heard = 0, missed = 0;
      for (let seq = 1; seq <= 100; seq++) {
        if (stream.uniform() < 0.3) continue;
        heard++;
        const gap = sequences.hear("a", "b", 9, seq);
        if (gap !== null) missed += missedOf(gap);
      }
      const gap = sequences.tail("a", "b", 9, 100);
      if (gap !== null) missed += missedOf(gap);
      assert.equal(heard + missed, 100);
    }
  });
});

describe("meter", () => {
  test("quantiles are within 0.8 % of the sorted values', over seven decades", () => {
    const stream = random(3, "wire", "meter"), histogram = new Histogram();
    const values = Array.from({ length: 50_000 }, () => Math.exp(stream.uniform() * 16));
    for (const value of values) histogram.record(value);
    values.sort((a, b) => a - b);
    for (const share of [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1]) {
      const exact = values[Math.ceil(share * values.length) - 1];
      assert.ok(Math.abs(histogram.quantile(share) - exact) <= 0.008 * exact + 0.1, `${share}: ${exact}`);
    }
    assert.equal(histogram.max, values.at(-1));
    assert.ok(Math.abs(histogram.sum - values.reduce((a, b) => a + b)) < 1e-6 * histogram.sum);
  });

  test("coordinated omission (G. Tene's example): 100 s of 1 ms answers, then 100 s of silence, asked each 10 ms", () => {
    // A loop that waits sees 10,001 answers of which one is bad: p99.99 = 1 ms. Users saw: half of the time a stall.
    const naive = new Histogram(), paced = new Histogram();
    for (let k = 0; k < 10_000; k++) { naive.record(1_000); paced.recordPaced(1_000, 10_000); }
    naive.record(100e6); paced.recordPaced(100e6, 10_000);
    assert.ok(Math.abs(naive.quantile(0.9999) - 1_000) < 8);
    assert.equal(paced.count, 20_000);
    assert.ok(Math.abs(paced.quantile(0.75) - 50e6) < 0.008 * 50e6, `${paced.quantile(0.75)}`);
    assert.ok(Math.abs(paced.sum / paced.count - 25e6) < 0.01 * 25e6, "25 s is the true mean");
  });

  test("odd values do not break it: NaN and negatives count as 0, an hour as its bound, the maximum is kept", () => {
    const histogram = new Histogram();
    for (const value of [NaN, -5, 0, 3.6e9]) histogram.record(value);
    assert.deepEqual([histogram.count, histogram.quantile(0.75), histogram.max], [4, 0, 3.6e9]);
    assert.ok(histogram.quantile(1) >= 0.992 * 429.5e6);
    assert.ok(Number.isNaN(new Histogram().quantile(0.5)));
  });

  test("a reading has rates, bytes, ratio and errors; a window forgets, the start does not", () => {
    const meters = new Meters(0, 1_000), meter = meters.of("market: feed -> features");
    for (let k = 1; k <= 100; k++) meter.record(k, 10, 30);
    meter.fail();
    const [row] = meters.rows(0.5e9);
    assert.deepEqual([row.name, row.count, row.errors, row.bytes, row.compression, row.mean, row.max, row.perSecond],
      ["market: feed -> features", 100, 1, 1_000, 3, 50.5, 100, 200]);
    assert.ok(Math.abs(row.p50 - 50) < 0.5 && Math.abs(row.p99 - 99) < 0.8);
    assert.equal(meters.rows(1e9)[0].count, 100, "the window turned: what it held is the one before");
    meter.record(7);
    assert.deepEqual([meters.rows(1.5e9)[0].count, meters.rows(1.5e9)[0].perSecond], [101, 101 / 1.5]);
    assert.equal(meters.rows(2e9)[0].count, 1);
    assert.equal(meters.rows(2.1e9, "start")[0].count, 101);
    assert.equal(meters.of("market: feed -> features"), meter);
    assert.ok(Number.isNaN(meters.rows(9e9)[0].p50) || meters.rows(9e9)[0].count === 1);
  });
});

test("backoff: 100 ms x 1.5^n up to 5 s, and jitter takes away at most half", () => {
  assert.deepEqual([0, 1, 2, 9, 10, 50].map((n) => Math.round(backoffMs(n, 1))), [100, 150, 225, 3_844, 5_000, 5_000]);
  assert.equal(backoffMs(1, 0), 75);
  assert.equal(BACKOFF.tries, 10);
});

test("Z85 is rfc.zeromq.org/spec/32's: its test vector says HelloWorld", () => {
  assert.equal(encodeZ85(Uint8Array.of(0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b)), "HelloWorld");
});
