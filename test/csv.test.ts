import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { readConfig } from "../src/base/config.ts";
import type { Context } from "../src/base/context.ts";
import { systemClock } from "../src/base/clock.ts";
import { UserError } from "../src/base/error.ts";
import { openLog } from "../src/base/log.ts";
import { silentProgress } from "../src/base/progress.ts";
import { random } from "../src/base/random.ts";
import { parseDay } from "../src/base/units.ts";
import type { Bars } from "../src/market/bars.ts";
import { noPages } from "../src/market/page-cache.ts";
import { readNumber, StampReader } from "../src/market/sources/csv-cell.ts";
import { CsvParser } from "../src/market/sources/csv-parser.ts";
import { csvSource } from "../src/market/sources/csv.ts";
import type { FetchRequest, SourceDescription } from "../src/market/sources/source.ts";
import { askPython, NO_PYTHON, python } from "./python.ts";
import { NO_SHARED, shared } from "./shared.ts";

const SEED = 20_191_231;

function makeFolder(t: { after(work: () => void): void }): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-csv-"));
  t.after(() => { fs.rmSync(folder, { recursive: true, force: true }); });
  return folder;
}

const contextOf = (root: string): Context => ({ root, config: readConfig(root, {}),
  log: openLog("silent"),
  progress: silentProgress, clock: systemClock, signal: new AbortController().signal });
const requestOf = (place: string, more: Partial<FetchRequest> = {}): FetchRequest =>
  ({ dataset: "x", symbols: [], from: null,
  to: null, timeframe: null, seed: 0, path: place, ...more });

interface Read { readonly description: SourceDescription; readonly bars: ReadonlyMap<string, Bars> }

async function read(place: string, more: Partial<FetchRequest> = {}): Promise<Read> {
  const request = requestOf(place, more), context = contextOf(path.dirname(place));
  const description = await csvSource.describe(request, context);
  const bars = new Map<string, Bars>();
  for await (const delivery of csvSource.fetch(request, context, new Set(), noPages)) {
    bars.set(delivery.bars.instrument.symbol, delivery.bars);
  }
  return { description, bars };
}

async function readText(t: { after(work: () => void): void }, text: string,
  more: Partial<FetchRequest> = {}): Promise<Read> {
  const place = path.join(makeFolder(t), "rows.csv");
  fs.writeFileSync(place, text);
  return await read(place, more);
}

const values = (bars: Bars | undefined, name: keyof Bars["columns"]): number[] =>
  [...bars?.columns[name] ?? []];
const times = (bars: Bars | undefined): string[] => [...bars?.time ?? []].map((time) =>
  new Date(time).toISOString());

function parseOne(text: string): { value: number; end: number } {
  const value = new Float64Array(1);
  return { end: readNumber(Buffer.from(`${text}\n`), 0, value, 0), value: value[0] };
}

test("20,000 random decimal texts become the same 64 bits as with Number()", () => {
  const draw = random(SEED, "numbers");
  for (let k = 0; k < 20_000; k++) {
    const digits = Array.from({ length: 1 + draw.below(19) }, () => draw.below(10)).join("");
    const point = draw.below(digits.length + 1);
    let text = `${draw.below(3) === 0 ? "-" : ""}${digits.slice(0, point)}.${digits.slice(point)}`;
    if (draw.below(4) === 0) text = text.replace(".", "") || "0";
    if (draw.below(10) === 0) text += `e${draw.below(40) - 20}`;
    if (text.endsWith(".") && draw.below(2) === 0) text = text.slice(0, -1);
    const { value, end } = parseOne(text);
    assert.ok(Object.is(value, Number(text)),
      `seed ${SEED}, number ${k}: "${text}" became ${value}`);
    assert.equal(end, text.length);
  }
});

test("17 texts that are not plain numbers are NaN, among them those that Number() would take",
  () => {
  for (const text of ["", " ", ".", "-", "-.", "+", "1 ", " 1", "0x10", "1_000", "NaN", "nan",
    "Infinity", "1e", "1.2.3", "--1", "1e999"]) {
    assert.ok(Number.isNaN(parseOne(text).value), `"${text}"`);
  }
});

test("8 stamps are read as ISO 8601 says, and 12 are refused", () => {
  const reader = new StampReader();
  const stampOf = (text: string): number => { reader.read(Buffer.from(`${text}\n`),
    0); return reader.stamp; };
  for (const text of ["2016-02-29", "2013-10-08T08:00:00.142Z", "2013-10-08T08:00Z",
    "1999-12-31T23:59:59Z", "2013-10-08T10:00:00+02:00",
    "2013-10-08T04:00:00-04:00", "2013-10-08T08:00:00.5Z"]) assert.equal(stampOf(text),
      Date.parse(text), text);
  assert.equal(stampOf("2013-10-08 08:00:00+00:00"), Date.UTC(2013, 9, 8, 8),
    "as pandas writes it");
  for (const text of ["2015-02-29", "2015-13-01", "2015-00-10", "2015-04-31", "15-01-01",
    "2015/01/01", "20150101", "2013-10-08T08:00:00",
    "2013-10-08T25:00:00Z", "2013-10-08T08:60:00Z", "2013-10-08T08:00:00.Z",
      "2013-10-08T08:00:00Zx"]) {
    assert.ok(Number.isNaN(stampOf(text)), text);
  }
});

const PANEL =
  "date,symbol,close\n2015-12-30,A,1.5\n2015-12-30,BB,20\n2015-12-31,A,1.25\n2015-12-31,BB,21\n";

test("a file cut into pieces at each of its 80 bytes is the same table of 4 rows", () => {
  const whole = Buffer.from(PANEL);
  for (let at = 0; at <= whole.length; at++) {
    const parser = new CsvParser("rows.csv", new Set());
    parser.feed(whole.subarray(0, at));
    parser.feed(whole.subarray(at));
    const { table } = parser.finish();
    const rows = table.symbols.map((one) => [one.symbol, ...one.columns[0].subarray(0, one.rows)]);
    assert.deepEqual(rows, [["A", 1.5, 1.25], ["BB", 20, 21]], `cut at ${at}`);
  }
});

test("columns may come in any of 6 orders, with CRLF and a byte order mark", async (t) => {
  const cells = { date: ["2015-12-30", "2015-12-31"], symbol: ["A", "A"], close: ["1.5", "1.25"] };
  const orders: (keyof typeof cells)[][] = [["date", "symbol", "close"], ["date", "close",
    "symbol"], ["symbol", "date", "close"],
    ["symbol", "close", "date"], ["close", "date", "symbol"], ["close", "symbol", "date"]];
  for (const order of orders) {
    const lines = [order, ...[0, 1].map((row) => order.map((name) => cells[name][row]))].map(
      (line) => line.join(","));
    const { bars } = await readText(t, `\uFEFF${lines.join("\r\n")}\r\n`);
    assert.deepEqual(values(bars.get("A"), "close"), [1.5, 1.25], order.join());
  }
});

test("dates become closes: 21:00 UTC (us-equity), 18:00 on the half day, 23:00 (24x5)", async (t) => {
  const text = "date,symbol,close\n2015-11-26,A,1\n2015-11-27,A,2\n2015-11-30,A,3\n";
  const futures = await readText(t, text, { calendar: "24x5" });
  assert.deepEqual(times(futures.bars.get("A")), ["2015-11-26T23:00:00.000Z",
    "2015-11-27T23:00:00.000Z", "2015-11-30T23:00:00.000Z"]);
  const stocks = await readText(t, text.replace("2015-11-26,A,1\n", ""));
  assert.equal(stocks.description.calendar.name, "us-equity");
  assert.deepEqual(times(stocks.bars.get("A")), ["2015-11-27T18:00:00.000Z",
    "2015-11-30T21:00:00.000Z"]);
});

test("a minute bar stamped 09:30 New York as its start is known at 09:31 and not a moment earlier",
  async (t) => {
  const text =
    "timestamp,symbol,open,high,low,close,volume\n2013-10-08T13:30:00Z,A,1,2,1,2,10\n"
    + "2013-10-08T13:31:00Z,A,2,2,1,1,10\n"
    + "2013-10-08T13:33:00Z,A,1,1,1,1,5\n";
  const starts = await readText(t, text);
  assert.equal(starts.description.timeframe, "1m");
  assert.deepEqual(times(starts.bars.get("A")), ["2013-10-08T13:31:00.000Z",
    "2013-10-08T13:32:00.000Z", "2013-10-08T13:34:00.000Z"]);
  const closes = await readText(t, text, { stamps: "close" });
  assert.deepEqual(times(closes.bars.get("A")), ["2013-10-08T13:30:00.000Z",
    "2013-10-08T13:31:00.000Z", "2013-10-08T13:33:00.000Z"]);
  const quotes = await readText(t,
    "timestamp,symbol,bid,bid_size,ask,ask_size\n2013-10-08T13:30:00Z,A,1,100,2,200\n"
    + "2013-10-08T13:31:00Z,A,1,100,2,200\n");
  assert.equal(times(quotes.bars.get("A"))[0], "2013-10-08T13:31:00.000Z",
    "quotes of a minute are its start too");
});

test("ticks keep their stamp, may share it, and carry 0 trade, 1 bid, 2 ask and a letter", async (t) => {
  const { bars, description } = await readText(t,
    "timestamp,symbol,kind,price,size,exchange\n2013-10-08T08:00:00.142Z,BAC,bid,13.8,1000,P\n"
    + "2013-10-08T08:00:00.142Z,BAC,ask,13.92,500,Q\n2013-10-08T08:00:00.640Z,BAC,trade,13.9,200,K\n");
  assert.equal(description.timeframe, "tick");
  const bac = bars.get("BAC");
  assert.deepEqual(times(bac), ["2013-10-08T08:00:00.142Z", "2013-10-08T08:00:00.142Z",
    "2013-10-08T08:00:00.640Z"]);
  assert.deepEqual(values(bac, "side"), [1, 2, 0]);
  assert.equal(String.fromCharCode(...values(bac, "exchange")), "PQK");
  assert.deepEqual(values(bac, "tickPrice"), [13.8, 13.92, 13.9]);
});

test("a return panel compounds 10 %, -5 %, 2 % from 100 to 110, 104.5, 106.59 and says so",
  async (t) => {
  const { bars, description } = await readText(t,
    "date,symbol,return\n2015-12-28,A,0.1\n2015-12-29,A,-0.05\n2015-12-30,A,0.02\n");
  assert.deepEqual(values(bars.get("A"), "close").map((close) => close.toFixed(10)),
    ["110.0000000000", "104.5000000000", "106.5900000000"]);
  assert.match(description.provenance, /compounded from the returns, starting at 100/);
});

test("only 1 return may be empty, the first; the layout with panama is on 24x5", async (t) => {
  const { bars, description } = await readText(t,
    "date,symbol,close,return,price,panama,roll\n2001-01-01,A,1.1,,5,-0.5,0\n"
    + "2001-01-02,A,1.2,0.01,-6,-0.4,1\n");
  assert.deepEqual(values(bars.get("A"), "return"), [NaN, 0.01]);
  assert.deepEqual(values(bars.get("A"), "panama"), [-0.5, -0.4],
    "a difference-adjusted price may be negative");
  assert.equal(description.calendar.name, "24x5");
  assert.equal(description.adjustment, "ratio-back-adjusted");
});

test("rows on 2 of 2 US holidays mean the 24x5 calendar, a row on 1 of 5 is refused", async (t) => {
  const open = ["2015-12-23", "2015-12-24", "2015-12-25", "2015-12-28", "2016-01-01", "2016-01-04"];
  const panel = (days: readonly string[]): string => ["date,symbol,close",
    ...days.map((one) => `${one},A,1`), ""].join("\n");
  assert.equal((await readText(t, panel(open))).description.calendar.name, "24x5");
  const year = ["2015-05-22", "2015-05-25", "2015-05-26", "2015-07-02", "2015-09-08", "2015-11-25",
    "2015-12-24", "2015-12-28"];
  await assert.rejects(readText(t, panel(year)),
    /A has a row on Monday 2015-05-25, when the us-equity calendar is closed\n.*--calendar 24x5/);
});

test("--symbols keeps 1 of 2 instruments, whatever the other is, --from/--to 1 of 2 days", async (t) => {
  const { bars } = await readText(t, PANEL.replace("BB,20", "BB,zwanzig"), { symbols: ["A"],
    from: parseDay("2015-12-31"), to: parseDay("2015-12-31") });
  assert.deepEqual([...bars.keys()], ["A"]);
  assert.deepEqual(values(bars.get("A"), "close"), [1.25]);
  await assert.rejects(readText(t, PANEL, { symbols: ["BA"] }),
    /no symbol "BA"\ndid you mean "A"\?|no symbol "BA"\ndid you mean "BB"\?/);
  await assert.rejects(readText(t, PANEL, { from: parseDay("2020-01-01") }),
    /no rows from 2020-01-01 to \.\.\.\n.*2015-12-30 to 2015-12-31/);
});

const OHLCV = "timestamp,symbol,open,high,low,close,volume\n2015-12-30,A,1,2,1,2,10\n";
const BAD: readonly (readonly [name: string, text: string, expected: RegExp])[] = [
  ["NaN", `${PANEL}2016-01-04,A,NaN\n`,
    /rows\.csv, line 6, column "close": "NaN" is not a price above 0/],
  ["empty close", `${PANEL}2016-01-04,A,\n`, /line 6, column "close": "" is not a price above 0/],
  ["zero", `${PANEL}2016-01-04,A,0\n`, /line 6, column "close": "0" is not a price above 0/],
  ["negative", `${PANEL}2016-01-04,A,-1.5\n`,
    /line 6, column "close": "-1.5" is not a price above 0/],
  ["negative volume", `${OHLCV}2015-12-31,A,1,2,1,2,-3\n`,
    /line 3, column "volume": "-3" is not a number, 0 or more/],
  ["unsorted", `${PANEL}2015-12-29,A,1\n`,
    /line 6: A at 2015-12-29 comes after 2015-12-31 of line 4/],
  ["duplicate", `${PANEL}2015-12-31,A,1\n`,
    /line 6: a second row for A at 2015-12-31 \(the first is line 4\)/],
  ["too few cells", `${PANEL}2016-01-04,A\n2016-01-05,A,1\n`,
    /line 6: 2 cells where the header has 3: "2016-01-04,A"/],
  ["too many cells", `${PANEL}2016-01-04,A,1,\n`, /line 6: 4 cells where the header has 3/],
  ["bad date", `${PANEL}2016-02-30,A,1\n`, /line 6, column "date": "2016-02-30" is not a date/],
  ["trailing garbage in a cell", `${PANEL}2016-01-04,A,1.5x\n`,
    /line 6, column "close": "1.5x" is not/],
  ["trailing garbage in the file", `${PANEL}total rows: 4\n`,
    /line 6: 1 cells where the header has 3/],
  ["empty line", PANEL.replace("\n2015-12-31,A", "\n\n2015-12-31,A"),
    /line 4: empty line in the middle/],
  ["cut last line", `${PANEL}2016-01-04,A`, /rows\.csv is cut short: it ends inside line 6/],
  ["mixed stamps", `${PANEL}2016-01-04T21:00:00Z,A,1\n`,
    /line 6, column "date": .* is a time where the rows before it have dates/],
  ["no zone", "timestamp,symbol,close\n2016-01-04T09:30:00,A,1\n",
    /line 2, column "timestamp": .* has no time zone; write UTC/],
  ["quoted symbol", 'date,symbol,close\n2016-01-04,"A",1\n',
    /line 2, column "symbol": ""A"" is quoted/],
  ["second empty return", "date,symbol,close,return\n2016-01-04,A,1,\n2016-01-05,A,1,\n",
    /line 3, column "return": "" is not a number \(only/],
  ["unknown side", "timestamp,symbol,kind,price,size\n2016-01-04T10:00:00Z,A,offer,1,1\n",
    /line 2, column "kind": "offer" is not trade, bid or ask/],
  ["unknown column", "date,symbol,clsoe\n2016-01-04,A,1\n",
    /unknown column "clsoe"\ndid you mean "close"\?/],
  ["foreign column", "date,symbol,close,bid\n2016-01-04,A,1,1\n",
    /the column "close" of bars among columns of quotes/],
  ["no close", "date,symbol,volume\n2016-01-04,A,1\n", /has no column "close"/],
  ["no symbol", "date,close\n2016-01-04,1\n", /has no column "symbol"/],
  ["header only", "date,symbol,close\n", /holds no rows/],
  ["nothing", "", /holds no rows/],
  ["weekend", "date,symbol,close\n2016-01-09,A,1\n", /A has a row on Saturday 2016-01-09/],
  ["weekly", "date,symbol,close\n2016-01-08,A,1\n2016-01-15,A,1\n2016-01-22,A,1\n",
    /mostly 7 days apart/],
  ["odd spacing", "timestamp,symbol,close\n2016-01-04T15:00:00Z,A,1\n2016-01-04T15:02:00Z,A,1\n",
    /mostly 2 minutes apart, which is no timeframe/],
  ["total loss", "date,symbol,return\n2016-01-04,A,-1\n",
    /A: row 1 returns -1, which leaves nothing/],
];

test(`${BAD.length} kinds of bad file are refused with file, line, column and value`, async (t) => {
  for (const [name, text, expected] of BAD) {
    await assert.rejects(readText(t, text), (error) => {
      assert.ok(error instanceof UserError, `${name}: ${String(error)}`);
      assert.match(error.message, expected, name);
      assert.ok(error.hint.length > 0);
      return true;
    }, name);
  }
});

test("a bar every 30 seconds is not a minute bar: --timeframe 1m is refused", async (t) => {
  await assert.rejects(readText(t,
    "timestamp,symbol,close\n2016-01-04T15:00:00Z,A,1\n2016-01-04T15:00:30Z,A,1\n",
    { timeframe: "1m" }),
    /A has bars 30 seconds apart at 2016-01-04T15:00:30.000Z, closer than the timeframe 1m/);
});

test("a .gz that is cut at 24 places, damaged or followed by other bytes is refused", async (t) => {
  const folder = makeFolder(t), place = path.join(folder, "rows.csv.gz");
  const lines = Array.from({ length: 400 }, (_, k) =>
    `${new Date(Date.UTC(2001, 0, 1 + k)).toISOString().slice(0, 10)},A,${100 + (k * 7919) % 97}`);
  const whole = gzipSync(["date,symbol,close", ...lines.filter((line) =>
    ![0, 6].includes(new Date(line.slice(0, 10)).getUTCDay())), ""].join("\n"));
  fs.writeFileSync(place, whole);
  const rows = (await read(place, { calendar: "24x5" })).bars.get("A")?.time.length;
  assert.equal(rows, 286, "weekdays of 400 days from 2001-01-01");
  const draw = random(SEED, "cuts");
  for (const at of [1, 9, whole.length - 1, whole.length - 8, ...Array.from({ length: 20 }, () => 1
    + draw.below(whole.length - 1))]) {
    fs.writeFileSync(place, whole.subarray(0, at));
    await assert.rejects(read(place, { calendar: "24x5" }), /rows\.csv\.gz is cut short/,
      `seed ${SEED}, cut at ${at}`);
  }
  fs.writeFileSync(place, Buffer.concat([whole, Buffer.from("more")]));
  await assert.rejects(read(place, { calendar: "24x5" }),
    /not a whole gzip file: incorrect header check/);
  fs.writeFileSync(place, whole.map((byte, k) => k === 100 ? byte ^ 255 : byte));
  await assert.rejects(read(place, { calendar: "24x5" }), /not a whole gzip file/);
  await assert.rejects(read(path.join(folder, "rosw.csv.gz")),
    /there is no file .*rosw\.csv\.gz\ndid you mean "rows\.csv\.gz"\?/);
});

test("a .gz of 2 members, as bgzip and cat write it, is read to its end", async (t) => {
  const place = path.join(makeFolder(t), "rows.csv.gz"), middle = PANEL.indexOf("2015-12-31");
  fs.writeFileSync(place,
    Buffer.concat([gzipSync(PANEL.slice(0, middle)), gzipSync(PANEL.slice(middle))]));
  assert.deepEqual(values((await read(place)).bars.get("BB"), "close"), [20, 21]);
});

const FILES = ["equities-daily-dev/ohlcv", "equities-daily-dev/adjusted-close",
  "equities-daily-dev/ohlcv-etf-total-return",
  "equities-minute-dev/minute", "equities-minute-dev/minute-quotes", "equities-minute-dev/second",
    "equities-minute-dev/ticks-20131008"];
const place = shared("data/futures-dev/futures-dev.csv.gz");

test("7 equities files have the rows and spans that their META.json counts", { skip: place === null
  && NO_SHARED }, async () => {
  for (const name of FILES) {
    const file = shared(`data/${name}.csv.gz`) ?? "";
    const meta = JSON.parse(fs.readFileSync(path.join(path.dirname(file), "META.json"), "utf8")) as
      { files: Record<string, { symbols: Record<string,
        { rows: number; first: string; last: string }> }> };
    const expected = meta.files[path.basename(file)].symbols;
    const { bars, description } = await read(file);
    assert.equal(description.calendar.name, "us-equity");
    assert.deepEqual([...bars.keys()], Object.keys(expected).sort(), name);
    for (const [symbol, { rows, first }] of Object.entries(expected)) {
      const { time, instrument } = bars.get(symbol) as Bars;
      assert.equal(time.length, rows, `${name} ${symbol}`);
      assert.equal(instrument.assetClass, "equity");
      const startMs = Date.parse(first), isDaily = description.timeframe === "1d";
      const shift = isDaily ? NaN : time[0] - startMs;
      assert.ok(isDaily ? new Date(time[0]).toISOString().startsWith(first)
        : shift === { "1m": 60_000, "1s": 1_000 }[description.timeframe as "1m"]
        || (shift === 0 && description.timeframe === "tick"),
        `${name} ${symbol} starts ${new Date(time[0]).toISOString()}`);
    }
  }
});

test("futures-dev: 30 instruments, 210,260 bars, 6 asset classes and 5 currencies of its sidecar",
  { skip: place === null && NO_SHARED }, async () => {
    const { bars, description } = await read(place ?? "");
    assert.equal(bars.size, 30);
    assert.equal([...bars.values()].reduce((sum, one) => sum + one.time.length, 0), 210_260);
    assert.equal(description.calendar.name, "24x5");
    const instruments = [...bars.values()].map((one) => one.instrument);
    assert.equal(new Set(instruments.map((one) => one.currency)).size, 5);
    assert.deepEqual([...new Set(instruments.map((one) => one.assetClass))].sort(),
      ["agriculture", "bond", "energy", "equity", "fx", "metal"]);
    assert.equal(instruments.find((one) => one.symbol === "SP500")?.halfSpreadBps, 0.403);
  });

const PANDAS_SUMS = `
import sys, json, hashlib, pandas as pd
frame = pd.read_csv(json.load(sys.stdin), float_precision="round_trip")
print(json.dumps({name: hashlib.sha256(part[["close", "panama", "price"]].to_numpy("<f8").tobytes(
  "F")).hexdigest()
  for name, part in frame.groupby("symbol")}))`;

test("630,780 prices of futures-dev have the bits that pandas reads (float_precision round_trip)",
  { skip: place === null ? NO_SHARED : python() === null && NO_PYTHON }, async () => {
    const expected = askPython(PANDAS_SUMS, place) as Record<string, string>;
    const { bars } = await read(place ?? "");
    const { createHash } = await import("node:crypto");
    for (const [symbol, { columns }] of bars) {
      const hash = createHash("sha256");
      for (const column of [columns.close, columns.panama, columns.price]) hash.update(
        Buffer.from((column as Float64Array).slice().buffer));
      assert.equal(hash.digest("hex"), expected[symbol], symbol);
    }
  });

test("a plain copy of a .gz gives the same rows", { skip: place === null && NO_SHARED },
  async (t) => {
  const file = shared("data/equities-minute-dev/minute.csv.gz") ?? "";
  const copy = path.join(makeFolder(t), "minute.csv");
  fs.writeFileSync(copy, gunzipSync(fs.readFileSync(file)));
  const [a, b] = [await read(file), await read(copy)];
  for (const [symbol, bars] of a.bars) assert.deepEqual(b.bars.get(symbol)?.columns, bars.columns,
    symbol);
});
