import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { crc32 } from "node:zlib";
import { after, describe, test } from "node:test";
import { FakeClock } from "../src/base/clock.ts";
import { CONFIG_ENVIRONMENT, listSettings, readConfig } from "../src/base/config.ts";
import { UserError } from "../src/base/error.ts";
import { explainWrite, hashFile, hashOf, replaceWith } from "../src/base/file.ts";
import { hashJournal, Journal, readJournal, scanJournal } from "../src/base/journal.ts";
import { openLog } from "../src/base/log.ts";
import { formatSeconds, plainProgress } from "../src/base/progress.ts";
import { philox, random } from "../src/base/random.ts";
import { editDistance, nearest } from "../src/base/suggest.ts";
import { formatTable, TERMINAL_COLUMNS } from "../src/base/table.ts";
import { dayOf, formatDay, parseDay } from "../src/base/units.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-base-"));
after(() => { fs.rmSync(folder, { recursive: true }); });

describe("random", () => {
  test("Philox4x32-10 gives the three known answers of Random123's kat_vectors", () => {
    const cases = [
      [[0, 0, 0, 0], [0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
      [[0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], "408f276d 41c83b0e a20bc7c6 6d5451fd"],
      [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], "d16cfe09 94fdcceb 5001e420 24126ea1"],
    ] as const;
    for (const [counter, key, expected] of cases) {
      const out = new Uint32Array(4);
      philox(Uint32Array.from(counter), Uint32Array.from(key), out);
      assert.equal([...out].map((word) => word.toString(16).padStart(8, "0")).join(" "), expected);
    }
  });

  test("a stream depends on seed and name, and on nothing else", () => {
    const draw = (seed: number, ...name: (string | number)[]): number[] => {
      const stream = random(seed, ...name);
      return Array.from({ length: 9 }, () => stream.uniform());
    };
    assert.deepEqual(draw(7, "a", 1), draw(7, "a", 1));
    assert.notDeepEqual(draw(7, "a", 1), draw(8, "a", 1));
    assert.notDeepEqual(draw(7, "a", 1), draw(7, "a1"));
  });

  test("100,000 normals and Student-t(5) draws have mean 0 and variance 1 within 4 standard errors", () => {
    const count = 100_000;
    const stream = random(1, "moments");
    const cases = [["normal", () => stream.normal(), 3], ["t", () => stream.studentT(5), 9]] as const;
    for (const [name, draw, fourth] of cases) {
      let sum = 0, squares = 0;
      for (let k = 0; k < count; k++) { const x = draw(); sum += x; squares += x * x; }
      assert.ok(Math.abs(sum / count) < 4 / Math.sqrt(count), name);
      assert.ok(Math.abs(squares / count - 1) < 4 * Math.sqrt((fourth - 1) / count), name);
    }
  });

  test("shuffling 5 values 60,000 times gives each value each place 1/5 of the time, within 2 %", () => {
    const stream = random(3, "shuffle");
    const counts = new Float64Array(25);
    for (let k = 0; k < 60_000; k++) stream.shuffle([0, 1, 2, 3, 4]).forEach((value, place) => { counts[5 * place + value]++; });
    for (const count of counts) assert.ok(Math.abs(count / 12_000 - 1) < 0.04);
  });
});

describe("journal", () => {
  const kind = { kind: "test", version: 2, remedy: "dmn test" };
  let serial = 0;
  const fresh = (): string => path.join(folder, `journal-${serial++}`);
  const write = (place: string, records: readonly unknown[]): void => {
    using journal = Journal.open(place, kind);
    for (const record of records) journal.append(record);
  };
  const records = [{ a: 1 }, "zwei\nü", [3, null], 4];

  test("reads back what was appended, over several openings", () => {
    const place = fresh();
    write(place, records.slice(0, 2));
    write(place, records.slice(2));
    assert.deepEqual(readJournal(place, kind).records, records);
  });

  test("cut at each of its bytes, it opens with a whole number of first records and goes on from there", () => {
    const whole = fresh();
    write(whole, records);
    const bytes = fs.readFileSync(whole);
    for (let length = 0; length <= bytes.length; length++) {
      const place = fresh();
      fs.writeFileSync(place, bytes.subarray(0, length));
      using journal = Journal.open(place, kind);
      assert.deepEqual(journal.recovered, records.slice(0, journal.recovered.length), `cut at ${length}`);
      const before = journal.recovered.length;
      journal.append("next");
      const content = readJournal(place, kind);
      assert.deepEqual(content.records, [...records.slice(0, before), "next"], `cut at ${length}`);
      assert.equal(content.tornBytes, 0);
    }
  });

  test("is read in pieces of 1 MiB, also a record of 3 MB; from a known place on it gives the records behind it only", () => {
    const place = fresh();
    const long = Array.from({ length: 3_000 }, (_, k) => ({ k, text: "x".repeat(k === 1_500 ? 3_000_000 : 400) }));
    { using journal = Journal.open(place, kind); journal.appendAll(long); }
    const ends: number[] = [];
    const read: unknown[] = [];
    scanJournal(place, kind, (record, end) => { read.push(record); ends.push(end); });
    assert.deepEqual(read, long);
    assert.equal(ends.at(-1), fs.statSync(place).size);
    const behind: unknown[] = [];
    const from = { bytes: ends[1_999], records: 2_000 };
    using journal = Journal.open(place, kind, { from, take: (record) => { behind.push(record); } });
    assert.deepEqual([behind, journal.recovered, journal.length], [long.slice(2_000), [], ends.at(-1)]);
    const before = hashJournal(place, 0, from.bytes);
    assert.equal(hashJournal(place, from.bytes, journal.length, before), crc32(fs.readFileSync(place)));
  });

  test("one flipped bit anywhere before the last record is refused, in the last record it is a torn tail", () => {
    const whole = fresh();
    write(whole, records);
    const bytes = fs.readFileSync(whole);
    const lastStart = bytes.lastIndexOf(0x0a, bytes.length - 2) + 1;
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes);
      damaged[at] ^= 1;
      const place = fresh();
      fs.writeFileSync(place, damaged);
      if (at >= lastStart) assert.equal(readJournal(place, kind).records.length, records.length - 1, `byte ${at}`);
      else assert.throws(() => readJournal(place, kind), UserError, `byte ${at}`);
    }
  });

  /** The bytes of a journal with a reserve of 64 KiB whose writer was killed. */
  const killed = (): Buffer => {
    const place = fresh(), journal = Journal.open(place, kind, { reserveBytes: 1 << 16 });
    for (const record of records) journal.append(record);
    const bytes = fs.readFileSync(place);
    journal[Symbol.dispose]();
    assert.ok(fs.readFileSync(place).every((byte) => byte !== 0), "closed, it is text");
    return bytes;
  };

  test("written ahead: a killed writer's zeros are no damage, long records get room, and flipped bits are told apart", () => {
    const bytes = killed(), end = bytes.lastIndexOf(0x0a) + 1, place = fresh();
    assert.equal(bytes.length - end >= (1 << 16) - end, true, `${bytes.length - end} bytes ahead`);
    fs.writeFileSync(place, bytes);
    assert.deepEqual(readJournal(place, kind), { records, tornBytes: 0, goodBytes: end });
    const long = "x".repeat(100_000);
    {
      using journal = Journal.open(place, kind, { reserveBytes: 1 << 16 });
      journal.appendAll([long, "after"]);
      journal.append("last", false);
      assert.deepEqual(readJournal(place, kind).records, [...records, long, "after", "last"]);
    }
    // Opened without a reserve, zeros are cut off before anything is written behind them.
    fs.writeFileSync(place, bytes);
    { using journal = Journal.open(place, kind); journal.append("next"); }
    assert.deepEqual(readJournal(place, kind).records, [...records, "next"]);
    const lastStart = bytes.lastIndexOf(0x0a, end - 2) + 1;
    for (let at = 0; at < end; at++) {
      const damaged = Buffer.from(bytes);
      damaged[at] ^= 1;
      fs.writeFileSync(place, damaged);
      if (at >= lastStart) assert.equal(readJournal(place, kind).records.length, records.length - 1, `byte ${at}`);
      else assert.throws(() => readJournal(place, kind), UserError, `byte ${at}`);
    }
  });

  test("a hole of zeros before good records is a write that a power cut tore; far from the end it is damage", () => {
    const bytes = killed(), place = fresh(), second = bytes.indexOf(0x0a, bytes.indexOf(0x0a) + 1) + 1;
    const torn = Buffer.from(bytes).fill(0, second, second + 12);
    fs.writeFileSync(place, torn);
    assert.deepEqual(readJournal(place, kind).records, records.slice(0, 1));
    { using journal = Journal.open(place, kind, { reserveBytes: 1 << 16 }); journal.append("next"); }
    assert.deepEqual(readJournal(place, kind).records, [records[0], "next"], "what was behind the hole does not come back");
    fs.writeFileSync(place, bytes);
    { using journal = Journal.open(place, kind); journal.append("x".repeat(1 << 16)); }
    fs.writeFileSync(place, fs.readFileSync(place).fill(0, second, second + 12));
    assert.throws(() => readJournal(place, kind), /is damaged at byte/);
  });

  test("refuses another kind and a newer version in one sentence", () => {
    const place = fresh();
    write(place, records);
    assert.throws(() => Journal.open(place, { ...kind, kind: "other" }), /is not a "other" journal/);
    assert.throws(() => Journal.open(place, { ...kind, version: 1 }), /newer dmn \(journal version 2, this one reads 1\)/);
  });
});

describe("config", () => {
  const root = (settings: unknown): string => {
    const place = fs.mkdtempSync(path.join(folder, "config-"));
    fs.writeFileSync(path.join(place, "dmn.config.json"), typeof settings === "string" ? settings : JSON.stringify(settings));
    return place;
  };

  test("the environment wins over the file, the file over the default of 5 calls a minute", () => {
    assert.equal(readConfig(folder, {}).massive.callsPerMinute, 5);
    const place = root({ massive: { callsPerMinute: 7 } });
    assert.equal(readConfig(place, {}).massive.callsPerMinute, 7);
    assert.equal(readConfig(place, { DMN_MASSIVE_CALLS_PER_MINUTE: "9" }).massive.callsPerMinute, 9);
  });

  test("every one of the settings has a meaning that fits a table, and 9 have a variable", () => {
    const settings = listSettings(readConfig(folder, {}));
    for (const { key, meaning } of settings) assert.ok(meaning.length > 5 && meaning.length <= 47, `${key}: ${meaning}`);
    const variables = Object.values(CONFIG_ENVIRONMENT).map((keys) => keys.join("."));
    assert.equal(variables.length, 9);
    for (const key of variables) assert.ok(settings.some((setting) => setting.key === key), key);
  });

  test("names the bad key and its place, and suggests the nearest of all settings", () => {
    const misspelt = root({ massive: { callsPerMinut: 7 } });
    assert.throws(() => readConfig(misspelt, {}),
      /no setting "massive.callsPerMinut" \(in .*dmn.config.json\)\n.*"massive.callsPerMinute"/);
    assert.throws(() => readConfig(folder, { DMN_WORKERS: "many" }), /"workers" in DMN_WORKERS.*\n.*unset DMN_WORKERS/);
    assert.throws(() => readConfig(root("{"), {}), /not valid JSON/);
    assert.throws(() => readConfig(root([1]), {}), /one JSON object/);
  });
});

describe("files", () => {
  test("a replaced file is whole, leaves no temporary beside it, and keeps the old content when filling fails", async () => {
    const place = path.join(folder, "deep", "er", "file");
    await replaceWith(place, "one");
    await assert.rejects(replaceWith(place, undefined as unknown as string));
    assert.equal(fs.readFileSync(place, "utf8"), "one");
    assert.deepEqual(fs.readdirSync(path.dirname(place)), ["file"]);
    assert.equal(hashFile(place), hashOf("one"));
    assert.equal(hashOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); // FIPS 180-2, B.1
  });

  test("a full disk, a forbidden folder and a file in a folder's place become sentences with a way out", async () => {
    const cases = [["ENOSPC", /disk of .* is full/], ["EACCES", /cannot write in/], ["EROFS", /cannot write in/]] as const;
    for (const [code, words] of cases) {
      const said = explainWrite("/data/x", Object.assign(new Error(code), { code }));
      assert.ok(said instanceof UserError);
      assert.match(said.problem, words);
      assert.match(said.hint, /--data-dir/);
    }
    fs.writeFileSync(path.join(folder, "plain"), "");
    await assert.rejects(replaceWith(path.join(folder, "plain", "x"), "y"), UserError);
  });

  const NO_PROC = process.platform !== "linux" && "only Linux has /proc, where no folder can be made";
  test("a folder that the system will not make ends in 1 refusal, not in an endless loop", { skip: NO_PROC }, async () => {
    await assert.rejects(replaceWith("/proc/no/such/file", "y"), /UserError: \/proc\/no\/such cannot be made/);
  });
});

describe("words and tables", () => {
  test("optimal string alignment: ca -> abc is 3, kitten -> sitting is 3, a swap is 1", () => {
    assert.equal(editDistance("ca", "abc"), 3);
    assert.equal(editDistance("kitten", "sitting"), 3);
    assert.equal(editDistance("tsmmo", "tsmom"), 1);
  });

  test("suggests tsmom for tmsom and nothing for xyzzy", () => {
    assert.equal(nearest("tmsom", ["long-only", "tsmom", "macd"]), "tsmom");
    assert.equal(nearest("xyzzy", ["long-only", "tsmom", "macd"]), null);
    assert.equal(nearest("BD", ["FX"]), null, "2 letters, both of them others");
  });

  test("no table is wider than 100 columns", () => {
    const wide = "word ".repeat(40);
    const columns = [{ title: "a" }, { title: "n", align: "right" }, { title: "note" }] as const;
    const text = formatTable(columns, [[wide, "1", wide], ["b", "22", ""]]);
    for (const line of text.split("\n")) assert.ok(line.length <= TERMINAL_COLUMNS, line);
    assert.match(text, / 1 .*\n.* 22/s);
  });
});

describe("days", () => {
  test("2000-02-29 is day 11,016 and 2001-02-29 is none", () => {
    assert.equal(parseDay("2000-02-29"), 11016);
    assert.equal(formatDay(11016), "2000-02-29");
    assert.equal(parseDay("2001-02-29"), null);
    assert.equal(parseDay("2001-2-9"), null);
    assert.equal(dayOf(-1), -1);
  });
});

describe("log and progress", () => {
  test("a key never reaches the log, at any of three depths", () => {
    const lines: string[] = [];
    const log = openLog("info", (line) => { lines.push(line); });
    log.info({ apiKey: "S3CRET", headers: { Authorization: "Bearer S3CRET" }, a: { b: { token: "S3CRET" } } }, "request");
    assert.equal(lines.length, 1);
    assert.doesNotMatch(lines[0], /S3CRET/);
    assert.match(lines[0], /request/);
  });

  test("off a terminal, 12 seconds of work print a line each 5 seconds with an ETA, and quick work prints nothing", async () => {
    const clock = new FakeClock(0);
    const lines: string[] = [];
    const progress = plainProgress((line) => lines.push(line), () => clock.now());
    progress.start("quick", 1, "files").finish();
    const task = progress.start("slow", 12, "files");
    for (let k = 0; k < 12; k++) { await clock.sleep(1000); task.advance(); }
    task.finish("done");
    assert.deepEqual(lines, ["slow: 5/12 files, 5s ETA 7s", "slow: 10/12 files, 10s ETA 2s", "slow: 12/12 files, 12s done"]);
    assert.equal(formatSeconds(3725), "1h02m");
  });
});
