/** The store: what is written is read back, to the bit, or refused in one sentence. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { places } from "../src/base/data-root.ts";
import { random } from "../src/base/random.ts";
import type { Bars, ColumnName, CorporateAction } from "../src/market/bars.ts";
import { calendar } from "../src/market/calendar.ts";
import { fileName } from "../src/market/dataset-writer.ts";
import type { SourceDescription } from "../src/market/sources/source.ts";
import {
  checkFile, DatasetWriter, listDatasets, readBars, readManifest, type Manifest,
} from "../src/market/store.ts";
import { barsOf, cleanBars, closesFrom, randomColumn } from "./market-rows.ts";
import { askPython, NO_PYTHON, python } from "./python.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-store-"));
after(() => { fs.rmSync(folder, { recursive: true, force: true }); });
let roots = 0;
const freshRoot = (): string => path.join(folder, `root${roots++}`);

const DAILY: SourceDescription = {
  source: "synthetic", isSynthetic: true, kind: "bars", timeframe: "1d", calendar: calendar("us-equity"),
  adjustment: "raw", provenance: "made by a test",
};
const OPTIONS = { command: "dmn fetch --source synthetic --dataset d" };

async function store(
  root: string, all: readonly Bars[], actions: readonly CorporateAction[] = [], description = DAILY,
): Promise<Manifest> {
  using writer = DatasetWriter.open(root, "d", description, OPTIONS);
  for (const bars of all) await writer.put({ bars, actions });
  return await writer.commit();
}
const fileOf = (root: string, manifest: Manifest, k = 0): string =>
  path.join(places.dataset(root, manifest.dataset), manifest.instruments[k].file);
/** Matches a UserError whose two lines contain all the words. */
const says = (...words: readonly string[]) => (error: unknown): boolean => {
  assert.ok(error instanceof UserError, String(error));
  for (const word of words) assert.ok(error.message.includes(word), `"${error.message}" does not say "${word}"`);
  assert.equal(error.problem.includes("\n"), false, error.problem);
  return true;
};
const SECONDS: SourceDescription = { ...DAILY, timeframe: "1s" };
/** 13 MiB in 98 blocks: over the size up to which a file is always hashed whole. */
function manySeconds(): Bars {
  const rows = 400_000, start = Date.UTC(2015, 2, 2, 15);
  return barsOf("LONG", Float64Array.from({ length: rows }, (_, k) => start + 1_000 * k),
    { open: randomColumn(1, "open", rows, true), close: randomColumn(1, "close", rows, true),
      volume: randomColumn(2, "volume", rows, true) }, { timeframe: "1s" });
}

describe("round trip", () => {
  test("20 random instruments of 1..9,000 rows come back bit for bit: NaN, -0 and 5e-324 too (by seed)", async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const draw = random(seed, "shape"), rows = 1 + draw.below(draw.below(2) === 0 ? 10 : 9_000);
      const names = (["return", "price", "panama", "roll"] as const).filter(() => draw.below(2) === 0);
      const columns: Partial<Record<ColumnName, Float64Array>> = { close: randomColumn(seed, "close", rows, true) };
      for (const name of names) columns[name] = randomColumn(seed, name, rows, false);
      const time = Float64Array.from({ length: rows }, (_, k) => 1e11 + 60_000 * k);
      const root = freshRoot(), bars = barsOf("X", time, columns);
      const found = await readBars(root, await store(root, [bars]), "X");
      for (const [name, values] of [["time", time], ...Object.entries(columns)] as const) {
        const back = name === "time" ? found.time : found.columns[name as ColumnName] as Float64Array;
        assert.equal(Buffer.compare(Buffer.from(back.buffer, back.byteOffset, back.byteLength),
          Buffer.from(values.buffer, values.byteOffset, values.byteLength)), 0, `seed ${seed} ${name}`);
      }
      assert.deepEqual(Object.keys(found.columns).sort(), Object.keys(columns).sort());
      assert.deepEqual(found.instrument, bars.instrument);
    }
  });

  test("a date range is the whole's rows from..to, both inclusive, of the columns asked for (100 ranges by seed)", async () => {
    const seed = 3, draw = random(seed, "ranges"), root = freshRoot(), bars = manySeconds();
    const manifest = await store(root, [bars], [], SECONDS);
    for (let k = 0; k < 100; k++) {
      const a = draw.below(400_000), b = Math.min(399_999, a + draw.below(20_000));
      const found = await readBars(root, manifest, "LONG", {
        from: bars.time[a] - draw.below(999), to: bars.time[b] + draw.below(999), columns: ["close"],
      });
      assert.deepEqual(Object.keys(found.columns), ["close"]);
      assert.deepEqual([found.time[0], found.time.length], [bars.time[a], b - a + 1], `seed ${seed} rows ${a}..${b}`);
      assert.deepEqual(found.columns.close, bars.columns.close?.slice(a, b + 1));
    }
  });

  test("a range without rows is empty: before the first, after the last, and inside a weekend", async () => {
    const root = freshRoot(), bars = cleanBars(1, 50), manifest = await store(root, [bars]);
    const last = bars.time[49];
    for (const [from, to] of [[0, bars.time[0] - 1], [last + 1, last + 2], [bars.time[4] + 1, bars.time[5] - 1]]) {
      const found = await readBars(root, manifest, "CLEAN", { from, to });
      assert.deepEqual([found.time.length, found.columns.close?.length], [0, 0]);
    }
  });

  test("ticks may share a stamp, also over a block's edge: all 9,000 of one stamp come back in order", async () => {
    const root = freshRoot(), rows = 9_002;
    const time = Float64Array.from({ length: rows }, (_, k) => k === 0 ? 1e12 : k === rows - 1 ? 1e12 + 2 : 1e12 + 1);
    const price = Float64Array.from({ length: rows }, (_, k) => k + 1);
    const ticks = barsOf("T", time, { side: new Float64Array(rows), tickPrice: price }, { kind: "ticks", timeframe: "tick" });
    const manifest = await store(root, [ticks], [], { ...DAILY, kind: "ticks", timeframe: "tick" });
    const found = await readBars(root, manifest, "T", { from: 1e12 + 1, to: 1e12 + 1 });
    assert.deepEqual(found.columns.tickPrice, price.slice(1, rows - 1));
  });

  test("prices rest raw and are adjusted on reading: AAPL 101.00 reads 50.50 before its 2:1 split of 2000-06-21", async () => {
    const root = freshRoot(), time = closesFrom("2000-06-20", 2);
    const split: CorporateAction = { kind: "split", exTime: time[1] - 6.5 * 3_600_000, value: 2 };
    const manifest = await store(root, [barsOf("AAPL", time, { close: [101, 55.56] })], [split]);
    const read = async (adjust: "none" | "split" | "total"): Promise<number> =>
      (await readBars(root, manifest, "AAPL", { adjust, to: time[0] })).columns.close?.[0] ?? NaN;
    assert.deepEqual([await read("none"), await read("split"), await read("total")], [101, 50.5, 50.5]);
    assert.deepEqual(manifest.instruments[0].actions, [split]);
  });

  test("the same rows have the same fingerprint in any root and order, one changed bit another", async () => {
    const a = cleanBars(1, 100, "A"), b = cleanBars(1, 100, "B");
    const one = await store(freshRoot(), [a, b]), two = await store(freshRoot(), [b, a]);
    assert.equal(one.fingerprint, two.fingerprint);
    assert.deepEqual(one.instruments.map((row) => row.symbol), ["A", "B"]);
    const close = Float64Array.from(a.columns.close as Float64Array, (value, k) => k === 50 ? value * (1 + 2 ** -52) : value);
    const three = await store(freshRoot(), [{ ...a, columns: { ...a.columns, close } }, b]);
    assert.notEqual(one.fingerprint, three.fingerprint);
  });

  test("an unknown spread (NaN) survives the manifest, which is JSON", async () => {
    const root = freshRoot(), bars = cleanBars(1, 10);
    await store(root, [{ ...bars, instrument: { ...bars.instrument, halfSpreadBps: NaN, description: "" } }]);
    const manifest = readManifest(root, "d");
    assert.ok(Number.isNaN(manifest.instruments[0].instrument.halfSpreadBps));
    assert.equal((await readBars(root, manifest, "CLEAN")).time.length, 10);
  });
});

describe("for Python", () => {
  const skip = python() === null && NO_PYTHON;
  test("h5py reads columns, units, attributes and actions of a file as it lies", { skip }, async () => {
    const root = freshRoot(), bars = cleanBars(4, 300, "AAPL");
    const split: CorporateAction = { kind: "split", exTime: bars.time[100] - 6.5 * 3_600_000, value: 2 };
    const manifest = await store(root, [bars], [split]);
    const found = askPython(`
import sys, json, h5py
f = h5py.File(json.load(sys.stdin)["file"], "r")
plain = lambda v: v.decode() if isinstance(v, bytes) else v.item() if hasattr(v, "item") else v
print(json.dumps({"attributes": {k: plain(v) for k, v in f.attrs.items()}, "close": f["close"][:].tolist(),
  "time": f["time"][:].tolist(), "units": {k: plain(f[k].attrs["unit"]) for k in ["time", "close", "volume"]},
  "types": [str(f["close"].dtype), str(f["time"].dtype)], "actions": {k: f["actions"][k][:].tolist() for k in f["actions"]}}))
`, { file: fileOf(root, manifest) }) as Record<string, Record<string, unknown>>;
    assert.deepEqual(found["close"], [...bars.columns.close as Float64Array]);
    assert.deepEqual(found["time"], [...bars.time]);
    assert.deepEqual(found["units"], { time: "ms since 1970-01-01T00:00Z, close of the row", close: "price",
      volume: "shares or contracts" });
    assert.deepEqual(found["types"], ["float64", "float64"]);
    assert.deepEqual(found["actions"], { ex_time: [split.exTime], kind: [0], value: [2], factor: [0.5] });
    assert.deepEqual(found["attributes"], {
      format: "dmn.bars", version: 1, symbol: "AAPL", asset_class: "equity", currency: "USD", half_spread_bps: 1.5,
      description: "", source: "synthetic", is_synthetic: 1, adjustment: "raw", kind: "bars", timeframe: "1d",
      calendar: "us-equity", revision: 1, rows: 300, block_rows: 4096, columns: "open,high,low,close,volume",
      content: manifest.instruments[0].content });
  });
});

describe("what may not be read", () => {
  test("any of 300 single flipped bits in a file is refused, with the file's name and the command that mends it", async () => {
    const root = freshRoot(), manifest = await store(root, [cleanBars(1, 60)]), place = fileOf(root, manifest);
    const good = fs.readFileSync(place), seed = 9, draw = random(seed, "flips");
    for (let k = 0; k < 300; k++) {
      const bad = Buffer.from(good), at = draw.below(good.length);
      bad[at] ^= 1 << draw.below(8);
      fs.writeFileSync(place, bad);
      await assert.rejects(readBars(root, manifest, "CLEAN"), says(place, OPTIONS.command), `seed ${seed} byte ${at}`);
    }
    fs.writeFileSync(place, good);
    assert.equal((await readBars(root, manifest, "CLEAN")).time.length, 60);
  });

  test("a file cut short, missing, or replaced by another instrument's is refused; the other instrument is not", async () => {
    const root = freshRoot(), manifest = await store(root, [cleanBars(1, 60, "A"), cleanBars(2, 60, "B")]);
    const place = fileOf(root, manifest), good = fs.readFileSync(place);
    fs.truncateSync(place, good.length - 1);
    await assert.rejects(readBars(root, manifest, "A"), says(`${good.length - 1} bytes instead of ${good.length}`));
    fs.rmSync(place);
    await assert.rejects(readBars(root, manifest, "A"), says("it is missing", OPTIONS.command));
    fs.copyFileSync(fileOf(root, manifest, 1), place);
    await assert.rejects(readBars(root, manifest, "A"), says("(A) cannot be used"));
    assert.equal((await readBars(root, manifest, "B")).time.length, 60);
  });

  test("a range of a large file is checked by its blocks: damage elsewhere is not read, damage inside is found", async () => {
    const root = freshRoot(), bars = manySeconds(), manifest = await store(root, [bars], [], SECONDS);
    const place = fileOf(root, manifest), file = fs.openSync(place, "r+");
    assert.ok(manifest.instruments[0].bytes > 8 << 20);
    // Row 200,000 of the close, found by its bytes.
    const needle = Buffer.from((bars.columns.close as Float64Array).slice(200_000, 200_004).buffer);
    const at = fs.readFileSync(place).indexOf(needle);
    assert.ok(at > 0);
    fs.writeSync(file, Uint8Array.of(needle[0] ^ 1), 0, 1, at);
    fs.closeSync(file);
    const range = (a: number, b: number, columns: ColumnName[]): Promise<Bars> =>
      readBars(root, manifest, "LONG", { from: bars.time[a], to: bars.time[b], columns });
    assert.equal((await range(0, 99_999, ["close"])).time.length, 100_000);
    assert.equal((await range(200_000, 200_000, ["open"])).time.length, 1);
    await assert.rejects(range(200_000, 200_000, ["close"]), says('column "close" is damaged near row'));
    await assert.rejects(readBars(root, manifest, "LONG"), says("SHA-256"));
    assert.throws(() => { checkFile(root, manifest, "LONG"); }, says("SHA-256"));
  });

  test("an older revision of a large file under the new one's name is refused: its index is not the manifest's", async () => {
    const root = freshRoot(), bars = manySeconds(), old = await store(root, [bars], [], SECONDS);
    const kept = path.join(folder, "old.h5");
    fs.copyFileSync(fileOf(root, old), kept);
    const close = Float64Array.from(bars.columns.close as Float64Array, (value, k) => k === 7 ? 1 : value);
    const manifest = await store(root, [{ ...bars, columns: { ...bars.columns, close } }], [], SECONDS);
    fs.copyFileSync(kept, fileOf(root, manifest));
    await assert.rejects(readBars(root, manifest, "LONG", { to: bars.time[10] }), says("its index is not the one"));
  });

  test("a manifest with one changed character, cut in half, or of version 2 is refused", async () => {
    const root = freshRoot(), place = path.join(places.dataset(root, "d"), "manifest.json");
    await store(root, [cleanBars(1, 60)]);
    const good = fs.readFileSync(place, "utf8");
    fs.writeFileSync(place, good.replace('"rows": 60', '"rows": 61'));
    assert.throws(() => readManifest(root, "d"), says(place, "checksum", "dmn fetch"));
    fs.writeFileSync(place, good.slice(0, good.length / 2));
    assert.throws(() => readManifest(root, "d"), says(place, "is damaged"));
    fs.writeFileSync(place, good.replace('"version": 1', '"version": 2'));
    assert.throws(() => readManifest(root, "d"), says("newer dmn", "update dmn"));
  });

  test("unknown dataset, symbol and column are answered with the nearest name", async () => {
    const root = freshRoot();
    assert.throws(() => readManifest(root, "d"), says('no dataset "d"', "dmn fetch --source synthetic"));
    const manifest = await store(root, [cleanBars(1, 60, "AAPL")]);
    assert.throws(() => readManifest(root, "dd"), says('did you mean "d"?'));
    await assert.rejects(readBars(root, manifest, "APPL"), says('did you mean "AAPL"?'));
    await assert.rejects(readBars(root, manifest, "AAPL", { columns: ["vwap"] }), says('no column "vwap"'));
    assert.deepEqual(listDatasets(root), ["d"]);
    assert.deepEqual(listDatasets(freshRoot()), []);
  });

  test("a dataset replaced while it is read says so, and not that it is damaged", async () => {
    const root = freshRoot(), old = await store(root, [cleanBars(1, 60)]);
    await store(root, [cleanBars(2, 60)]);
    await assert.rejects(readBars(root, old, "CLEAN"), says("was replaced by a new fetch", "run the same command again"));
  });
});

describe("what may not be written", () => {
  const set = (name: ColumnName, row: number, value: number) => (bars: Bars): void => {
    (bars.columns[name] as Float64Array)[row] = value;
  };
  const cases: readonly (readonly [string, (bars: Bars) => void, readonly string[]])[] = [
    ["a close of NaN", set("close", 3, NaN), ["CLEAN: close of 2005-01-06T21:00:00Z is NaN"]],
    ["a close of 0", set("close", 3, 0), ["close of 2005-01-06T21:00:00Z is 0 (row 4)"]],
    ["a low of -1", set("low", 0, -1), ["low of 2005-01-03T21:00:00Z is -1", "positive"]],
    ["an infinite volume", set("volume", 1, Infinity), ["volume of 2005-01-04", "Infinity"]],
    ["a row twice", (bars) => { bars.time[4] = bars.time[3]; }, ["2005-01-06T21:00:00Z appears twice (row 5)"]],
    ["rows out of order", (bars) => { bars.time[4] = bars.time[2]; }, ["2005-01-05T21:00:00Z comes after 2005-01-06T21:00:00Z"]],
    ["a time of NaN", (bars) => { bars.time[4] = NaN; }, ["row 5 has the time NaN"]],
  ];
  for (const [name, spoil, words] of cases) {
    test(`${name} is refused with instrument, time, column and value; the dataset stays as it was`, async () => {
      const root = freshRoot(), before = await store(root, [cleanBars(1, 20)]), bars = cleanBars(1, 20);
      spoil(bars);
      await assert.rejects(store(root, [bars]), says(...words));
      assert.deepEqual(readManifest(root, "d"), before);
    });
  }

  test("no rows, no close, a column of quotes, and a split by 0 are refused", async () => {
    const time = closesFrom("2005-01-03", 2);
    await assert.rejects(store(freshRoot(), [barsOf("X", [], { close: [] })]), says("X has no rows"));
    await assert.rejects(store(freshRoot(), [barsOf("X", time, { volume: [1, 2] })]), says('no column "close"'));
    await assert.rejects(store(freshRoot(), [barsOf("X", time, { close: [1, 2], bid: [1, 2] })]), says('no column "bid"'));
    await assert.rejects(store(freshRoot(), [barsOf("X", time, { close: [1, 2] }, { timeframe: "1m" })]),
      says("X came as 1m bars into 1d bars"));
    await assert.rejects(store(freshRoot(), [barsOf("X", time, { close: [1, 2] })],
      [{ kind: "split", exTime: time[1], value: 0 }]), says("X: the split of 2005-01-04T21:00:00Z has the value 0"));
  });

  test("a folder that is a file is refused with what to do", () => {
    const root = freshRoot();
    fs.mkdirSync(root);
    fs.writeFileSync(path.join(root, "datasets"), "");
    assert.throws(() => DatasetWriter.open(root, "d", DAILY), says("is not a folder", "--data-dir"));
  });

  test("nothing put is nothing to commit", async () => {
    using writer = DatasetWriter.open(freshRoot(), "d", DAILY);
    await assert.rejects(writer.commit(), says("nothing was fetched"));
  });
});

describe("names of files", () => {
  test("12 odd symbols have 12 files that differ also where case is ignored, and stay inside the folder", async () => {
    const symbols = ["BRK.B", "brk.b", "Brk.B", "EUR/USD", "../../x", "CON", "con", "^GSPC", "A B", "日経", "A_20B", ".X"];
    const root = freshRoot(), manifest = await store(root, symbols.map((symbol) => cleanBars(1, 5, symbol)));
    const names = manifest.instruments.map((row) => row.file.toLowerCase());
    assert.equal(new Set(names).size, 12);
    for (const name of names) assert.match(name, /^bars\/[a-z0-9_.-]+\.[0-9a-f]{16}\.h5$/);
    for (const symbol of symbols) assert.equal((await readBars(root, manifest, symbol)).instrument.symbol, symbol);
    assert.equal(new Set(symbols.map((symbol) => fileName(symbol).toLowerCase())).size, 12);
    assert.match(fileName("CON"), /^_/);
  });
});

describe("revisions", () => {
  test("a second fetch makes revision 2, keeps the file of what did not change and removes what is named no more", async () => {
    const root = freshRoot();
    const one = await store(root, [cleanBars(1, 50, "A"), cleanBars(1, 50, "B"), cleanBars(1, 50, "C")]);
    const two = await store(root, [cleanBars(1, 50, "A"), cleanBars(2, 50, "B")]);
    assert.deepEqual([one.revision, two.revision], [1, 2]);
    assert.deepEqual(two.instruments[0], one.instruments[0]);
    assert.notEqual(two.instruments[1].file, one.instruments[1].file);
    assert.deepEqual(fs.readdirSync(path.join(places.dataset(root, "d"), "bars")).sort(),
      two.instruments.map((row) => path.basename(row.file)).sort());
    assert.deepEqual(fs.readdirSync(places.dataset(root, "d")).sort(), ["bars", "manifest.json"]);
    assert.deepEqual(readManifest(root, "d"), two);
  });

  test("the old dataset is read, whole, while a new one is being written", async () => {
    const root = freshRoot(), old = await store(root, [cleanBars(1, 50, "A")]);
    using writer = DatasetWriter.open(root, "d", DAILY, OPTIONS);
    await writer.put({ bars: cleanBars(2, 70, "A"), actions: [] });
    assert.deepEqual(readManifest(root, "d"), old);
    assert.equal((await readBars(root, old, "A")).time.length, 50);
    await writer.commit();
    assert.equal((await readBars(root, readManifest(root, "d"), "A")).time.length, 70);
  });

  test("fetching anew mends a damaged file even when nothing has changed", async () => {
    const root = freshRoot(), manifest = await store(root, [cleanBars(1, 50)]), place = fileOf(root, manifest);
    fs.truncateSync(place, 100);
    assert.equal((await readBars(root, await store(root, [cleanBars(1, 50)]), "CLEAN")).time.length, 50);
  });

  test("keep takes an instrument over; what is neither put nor kept is gone", async () => {
    const root = freshRoot(), old = await store(root, ["A", "B", "C"].map((symbol) => cleanBars(1, 50, symbol)));
    using writer = DatasetWriter.open(root, "d", DAILY, OPTIONS);
    const current = writer.current();
    assert.ok(current);
    writer.keep(current.instruments[0]);
    await writer.put({ bars: cleanBars(3, 60, "B"), actions: [] });
    const now = await writer.commit();
    assert.deepEqual(now.instruments.map((row) => [row.symbol, row.rows]), [["A", 50], ["B", 60]]);
    assert.equal(now.instruments[0].sha256, old.instruments[0].sha256);
  });
});

describe("interruption", () => {
  test("what an interrupted run has put is there for the same request, not for another, nor when a file is damaged", async () => {
    const root = freshRoot(), open = (request: string): DatasetWriter =>
      DatasetWriter.open(root, "d", DAILY, { ...OPTIONS, request });
    {
      using first = open("2005");
      const row = await first.put({ bars: cleanBars(1, 50, "A"), actions: [] });
      await first.put({ bars: cleanBars(1, 50, "B"), actions: [] });
      await first.put({ bars: cleanBars(1, 50, "C"), actions: [] });
      fs.appendFileSync(path.join(places.dataset(root, "d"), row.file), "x");
    }
    assert.deepEqual(listDatasets(root), []);
    {
      using again = open("2005");
      assert.deepEqual([...again.have()].sort(), ["B", "C"]);
      await again.put({ bars: cleanBars(1, 50, "A"), actions: [] });
      assert.deepEqual((await again.commit()).instruments.map((row) => row.symbol), ["A", "B", "C"]);
    }
    {
      using next = open("2005");
      assert.deepEqual([...next.have()], [], "a committed run leaves nothing to resume");
      await next.put({ bars: cleanBars(2, 50, "A"), actions: [] });
    }
    using other = open("2006");
    assert.deepEqual([...other.have()], []);
  });

  test("a second writer is told the process that has the lock; a dead process's lock is taken over", () => {
    const root = freshRoot(), lock = path.join(places.dataset(root, "d"), "fetch.lock");
    {
      using writer = DatasetWriter.open(root, "d", DAILY);
      assert.equal(writer.have().size, 0);
      assert.throws(() => DatasetWriter.open(root, "d", DAILY), says('is writing dataset "d"'));
    }
    assert.equal(fs.existsSync(lock), false);
    // The parent of this process is alive as long as we are.
    fs.writeFileSync(lock, JSON.stringify({ pid: process.ppid, started: null }));
    assert.throws(() => DatasetWriter.open(root, "d", DAILY), says(`process ${process.ppid} is writing dataset "d"`));
    // No process has an id over 2^22 on Linux, nor this one's start in the year 0.
    for (const dead of [{ pid: 2 ** 22 + 1, started: null }, { pid: process.pid, started: null }]) {
      fs.writeFileSync(lock, JSON.stringify(dead));
      DatasetWriter.open(root, "d", DAILY)[Symbol.dispose]();
    }
    fs.writeFileSync(lock, "torn");
    DatasetWriter.open(root, "d", DAILY)[Symbol.dispose]();
  });
});
