/** The Parquet file: round trip to the bit, readable by pyarrow, and never read as good when it is not. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { FeaturesFile, FeaturesWriter, type FeaturesHeader } from "../src/features/file.ts";
import { encodePiece, type Rows } from "../src/features/piece.ts";
import { ThriftReader, ThriftWriter } from "../src/features/thrift.ts";
import { assertSameBits, DataRoot } from "./features-data.ts";
import { askPython, NO_PYTHON, python } from "./python.ts";

const data = new DataRoot();
after(() => { data[Symbol.dispose](); });
const NAMES = ["a", "b", "c"];
const HEADER: FeaturesHeader = {
  recipe: "r", hash: "11", dataset: "d", fingerprint: "22", from: null, to: 1e12, warmup: 3,
  columns: NAMES.map((name) => ({ name, unit: "fraction", warmup: 3, role: "input", family: "f" })),
};

/** Rows with every kind of number: NaN, both zeros, infinities, denormals. */
function someRows(seed: number, rows: number): Rows {
  const draw = random(seed, "rows"), special = [NaN, -0, 0, Infinity, -Infinity, 1e-45, 3.4e38];
  const values = Float32Array.from({ length: rows * NAMES.length }, () =>
    draw.below(10) === 0 ? special[draw.below(special.length)] : draw.normal());
  return { time: Float64Array.from({ length: rows }, (_, t) => 5e11 + t * 86_400_000 + 3_600_000), values };
}

/** Writes instruments in pieces of at most `step` rows. */
function write(place: string, all: ReadonlyMap<string, Rows>, step: number): void {
  using file = new FeaturesWriter(place, HEADER);
  for (const [symbol, { time, values }] of all) {
    for (let from = 0; from < time.length; from += step) {
      const to = Math.min(from + step, time.length), F = NAMES.length;
      file.add(symbol, encodePiece(symbol, NAMES, { time: time.subarray(from, to),
        values: values.subarray(from * F, to * F) }));
    }
  }
  assert.equal(file.finish(), fs.statSync(place).size);
}

const MARKET = new Map([["AAA", someRows(1, 700)], ["B/ü 漢", someRows(2, 1)], ["CCC", someRows(3, 2500)]]);
const PLACE = path.join(data.root, "x.parquet");
write(PLACE, MARKET, 1000);

describe("round trip", () => {
  test("3 instruments of 1, 700 and 2,500 rows in 5 row groups come back bit for bit, each alone", () => {
    const file = FeaturesFile.open(PLACE, "")!;
    assert.deepEqual(file.header, HEADER);
    assert.deepEqual(file.symbols, [...MARKET.keys()]);
    assert.equal(file.rows, 3201);
    for (const [symbol, rows] of MARKET) {
      const read = file.read(symbol, "");
      assertSameBits(read.time, rows.time, symbol);
      assertSameBits(read.values, rows.values, symbol);
      const F = NAMES.length, [last, first] = [NAMES[F - 1], NAMES[0]];
      const two = file.read(symbol, "", [last, first]);
      assertSameBits(two.time, rows.time, symbol);
      assertSameBits(two.values, Float32Array.from({ length: rows.time.length * 2 },
        (_, k) => rows.values[(k >> 1) * F + (k % 2 === 0 ? F - 1 : 0)]), symbol);
    }
  });

  test("pyarrow and pandas read it: timestamps ms UTC, dates, float32, 5 row groups of one instrument each",
    { skip: python() === null && NO_PYTHON }, () => {
      const said = askPython(`
import json, sys
import pyarrow.parquet as pq
file = pq.ParquetFile(json.load(sys.stdin))
frame = file.read().to_pandas()
meta = {k.decode(): v.decode() for k, v in file.metadata.metadata.items() if k.startswith(b"dmn.")}
groups = [[file.metadata.row_group(i).num_rows, file.metadata.row_group(i).column(0).statistics.min,
  file.metadata.row_group(i).column(0).statistics.max] for i in range(file.num_row_groups)]
rows = frame[frame.symbol == "AAA"]
print(json.dumps({"types": [str(file.schema_arrow.field(i).type) for i in range(6)], "meta": meta, "groups": groups,
  "rows": len(frame), "time": int(rows.time.iloc[5].timestamp() * 1000), "date": str(rows.date.iloc[5]),
  "codec": file.metadata.row_group(0).column(3).compression, "nulls": int(frame.symbol.isna().sum()),
  "b": [repr(float(x)) for x in rows.b.iloc[:50]]}))`, PLACE) as {
        types: string[]; meta: Record<string, string>; groups: [number, string, string][]; rows: number; time: number;
        date: string; codec: string; nulls: number; b: string[] };
      assert.deepEqual(said.types, ["string", "timestamp[ms, tz=UTC]", "date32[day]", "float", "float", "float"]);
      assert.deepEqual(said.groups, [[700, "AAA", "AAA"], [1, "B/ü 漢", "B/ü 漢"], [1000, "CCC", "CCC"], [1000, "CCC", "CCC"],
        [500, "CCC", "CCC"]]);
      assert.deepEqual([said.rows, said.codec, said.nulls], [3201, "ZSTD", 0]);
      const { time, values } = MARKET.get("AAA")!;
      assert.equal(said.time, time[5]);
      assert.equal(said.date, new Date(time[5]).toISOString().slice(0, 10));
      said.b.forEach((text, t) => {
        const number = Number(text.replace("nan", "NaN").replace("inf", "Infinity"));
        assert.ok(Object.is(number, values[t * 3 + 1]), `row ${t}: ${text} and ${values[t * 3 + 1]}`);
      });
      assert.equal(said.meta["dmn.format"], "dmn.features");
      assert.equal(said.meta["dmn.hash"], "11");
      assert.deepEqual(JSON.parse(said.meta["dmn.columns"]), HEADER.columns);
    });

  test("a file that is not there is null, not an error", () => {
    assert.equal(FeaturesFile.open(path.join(data.root, "none.parquet"), ""), null);
  });
});

describe("a damaged file", () => {
  const good = fs.readFileSync(PLACE), bad = path.join(data.root, "bad.parquet");
  /** Reads everything; true when it was refused in words, false when every bit was right. Anything else fails. */
  const isRefused = (words: string): boolean => {
    try {
      const file = FeaturesFile.open(bad, "dmn features --dataset d --recipe r")!;
      assert.deepEqual(file.header, HEADER, words);
      assert.deepEqual(file.symbols, [...MARKET.keys()], words);
      for (const [symbol, rows] of MARKET) {
        const read = file.read(symbol, "dmn features --dataset d --recipe r");
        assertSameBits(read.time, rows.time, words);
        assertSameBits(read.values, rows.values, words);
      }
      return false;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      assert.match(error.hint, /dmn features --dataset d --recipe r/, words);
      return true;
    }
  };

  test("cut at 60 random lengths is refused with the command that writes it anew (seed 8)", () => {
    const draw = random(8, "cuts");
    for (let k = 0; k < 60; k++) {
      const length = k === 0 ? 0 : k === 1 ? good.length - 1 : draw.below(good.length);
      fs.writeFileSync(bad, good.subarray(0, length));
      assert.ok(isRefused(`cut to ${length} bytes`), `cut to ${length} bytes`);
    }
  });

  test("with one of 500 random bits flipped is refused, or every bit that is read is right (seed 9)", () => {
    const draw = random(9, "flips");
    let refused = 0;
    for (let k = 0; k < 500; k++) {
      // Half of them in the footer, where the structure is.
      const at = k % 2 === 0 ? draw.below(good.length) : good.length - 1 - draw.below(4000), bit = draw.below(8);
      const copy = Buffer.from(good);
      copy[at] ^= 1 << bit;
      fs.writeFileSync(bad, copy);
      if (isRefused(`seed 9: byte ${at} bit ${bit}`)) refused++;
    }
    assert.ok(refused > 490, `${refused} of 500 refused`);
  });

  test("of zeros, of text, or another program's Parquet is refused", () => {
    for (const content of [Buffer.alloc(4096), Buffer.from("PAR1PAR1PAR1"),
      Buffer.from("not parquet at all, but long enough"),
      Buffer.from(encodePiece("AAA", NAMES, MARKET.get("AAA")!))]) {
      fs.writeFileSync(bad, content);
      assert.ok(isRefused("other content"));
    }
  });

  test("of a newer version says so, and not that it is damaged", () => {
    const text = good.toString("latin1").replace("dmn.version\x18\x011", "dmn.version\x18\x012");
    fs.writeFileSync(bad, Buffer.from(text, "latin1"));
    assert.throws(() => FeaturesFile.open(bad, ""), /written by a newer dmn/);
  });
});

describe("thrift", () => {
  test("2,000 random numbers up to 2^53 and their negatives pass through the zigzag varint (seed 3)", () => {
    const draw = random(3, "numbers"), writer = new ThriftWriter(), numbers: number[] = [0, -1, 1, 2 ** 53 - 1, -(2 ** 52)];
    for (let k = 0; k < 2000; k++) numbers.push(Math.floor((draw.uniform() - 0.5) * 2 ** (1 + draw.below(52))) + 0);
    for (const value of numbers) if (Math.abs(value) <= 2 ** 52) writer.zigzag(value);
    const reader = new ThriftReader(writer.bytes());
    for (const value of numbers) if (Math.abs(value) <= 2 ** 52) assert.equal(reader.zigzag(), value);
  });

  test("1,000 random byte strings never make the reader loop, overrun or fail with anything but RangeError (seed 4)", () => {
    const draw = random(4, "bytes");
    for (let k = 0; k < 1000; k++) {
      const reader = new ThriftReader(Uint8Array.from({ length: draw.below(200) }, () => draw.below(256)));
      try { reader.struct(() => {}); } catch (error) { assert.ok(error instanceof RangeError, String(error)); }
      assert.ok(reader.at <= reader.bytes.length);
    }
  });
});
