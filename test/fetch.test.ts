/** `dmn fetch` as a person meets it: the real command line tool in a process of its own. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { describe, test } from "node:test";
import { z } from "zod";
import { UserError } from "../src/base/error.ts";
import { explainWrite } from "../src/base/file.ts";
import { random } from "../src/base/random.ts";
import { Simulator, SIMULATOR_KEYS } from "../src/simulator/simulator.ts";
import { readBars, readManifest } from "../src/market/store.ts";
import { dailyMarket, type Market } from "./conformance/market.ts";
import { NO_SHARED, shared } from "./shared.ts";

const TOOL = path.join(import.meta.dirname, "..", "bin", "dmn.js");
const STOP = path.join(import.meta.dirname, "stop-at.ts");

interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the tool on a data root. The test's own process goes on, so that it can play the vendor. */
async function dmn(root: string, args: readonly string[], environment: Readonly<Record<string,
  string>> = {},
  nodeArgs: readonly string[] = []): Promise<Ending> {
  const child = spawn(process.execPath, [...nodeArgs, TOOL, "fetch", ...args, "--data-dir", root],
    { env: { ...process.env, CI: "1", ...environment }, stdio: ["ignore", "pipe", "pipe"] });
  let out = "", err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => { out += text; });
  child.stderr.setEncoding("utf8").on("data", (text: string) => { err += text; });
  return await new Promise((resolve) => { child.on("close",
    (code, signal) => { resolve({ code, signal, out, err }); }); });
}

function makeRoot(t: { after(work: () => void): void }): string {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-fetch-"));
  t.after(() => { fs.rmSync(root, { recursive: true, force: true }); });
  return root;
}

function write(root: string, name: string, text: string): string {
  const place = path.join(root, name);
  fs.writeFileSync(place, text);
  return place;
}

const filesBelow = (folder: string): string[] => !fs.existsSync(folder) ? []
  : fs.readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name))).sort();

const PANEL =
  "date,symbol,close\n2015-12-30,AA,1.5\n2015-12-30,BB,20\n2015-12-31,AA,1.25\n2015-12-31,BB,21\n";
const csv = (place: string, ...more: string[]): string[] => ["--source", "csv", "--path", place,
  "--dataset", "mine", ...more];

/** Exit 2, "dmn: sentence" and a hint, no stack, no dataset and nothing unfinished. */
function assertRefused(ending: Ending, expected: RegExp, root: string): void {
  assert.equal(ending.code, 2, ending.err);
  assert.match(ending.err, expected);
  assert.match(ending.err, /^dmn: .+\n {5}.+\n$/, "one sentence and one hint");
  assert.equal(ending.out, "");
  const left = filesBelow(path.join(root, "datasets")).filter((name) =>
    /\.tmp$|lock|manifest|\.h5$/.test(name));
  assert.deepEqual(left, [], "nothing half written");
}

describe("bad input of dmn fetch", { concurrency: 2 }, () => {
  const cases: readonly (readonly [what: string, text: string, more: readonly string[],
    expected: RegExp])[] = [
    ["a misspelt column", PANEL.replace("close", "clsoe"), [],
      /unknown column "clsoe"\n +did you mean "close"\?/],
    ["a misspelt symbol", PANEL, ["--symbols", "AB"], /no symbol "AB"\n +did you mean "AA"\?/],
    ["an empty range", PANEL, ["--from", "2020-01-01"], /no rows from 2020-01-01/],
    ["a range that ends before it starts", PANEL, ["--from", "2016-01-01", "--to", "2015-01-01"],
      /the range is empty/],
    ["a NaN price", PANEL.replace("1.25", "NaN"), [], /mine\.csv, line 4, column "close": "NaN"/],
    ["a duplicate bar", PANEL.replace("2015-12-31,AA", "2015-12-30,AA"), [],
      /line 4: a second row for AA at 2015-12-30/],
    ["unsorted bars", PANEL.replace("2015-12-31,AA", "2015-12-29,AA"), [],
      /line 4: AA at 2015-12-29 comes after/],
    ["a price of zero", PANEL.replace("1.25", "0"), [],
      /line 4, column "close": "0" is not a price above 0/],
    ["a price below zero", PANEL.replace("1.25", "-1"), [],
      /line 4, column "close": "-1" is not a price above 0/],
  ];
  for (const [what, text, more, expected] of cases) {
    test(`${what} ends in exit 2, one sentence, one hint, and no dataset`, async (t) => {
      const root = makeRoot(t), place = write(root, "mine.csv", text);
      assertRefused(await dmn(root, csv(place, ...more)), expected, root);
    });
  }

  test("an unknown dataset to check or update ends in exit 2 with the nearest of 1", async (t) => {
    const root = makeRoot(t);
    assert.equal((await dmn(root, csv(write(root, "mine.csv", PANEL)))).code, 0);
    for (const flag of ["--check", "--update"]) {
      const ending = await dmn(root, ["--dataset", "mien", flag]);
      assert.equal(ending.code, 2);
      assert.match(ending.err, /^dmn: there is no dataset "mien" .*\n +did you mean "mine"\?\n$/);
    }
  });

  test("no source: the 4 there are are named; csv without a file: --path is", async (t) => {
    const root = makeRoot(t);
    assertRefused(await dmn(root, ["--dataset", "mine"]),
      /where should dataset "mine" come from\?\n.*synthetic\|csv\|massive\|alpaca/, root);
    assertRefused(await dmn(root, ["--dataset", "futures"]),
      /the csv source needs a file\n.*--path/, root);
    assertRefused(await dmn(root, csv(path.join(root, "none.csv"))),
      /there is no file .*none\.csv/, root);
  });

  test("a file in the place of the data root's folder is named, and stays as it was", async (t) => {
    const root = makeRoot(t), file = write(root, "file", "precious");
    const ending = await dmn(file, ["--dataset", "synthetic"]);
    assertRefused(ending, /is not a folder\n +remove the file in its way/, root);
    assert.equal(fs.readFileSync(file, "utf8"), "precious");
  });

  const canMount = process.platform === "linux" && process.getuid?.() === 0 && mounts();
  test("a disk of 200 KB is full: exit 2, no dataset, and with 100 MB the same command completes",
    { skip: !canMount && "needs the right to mount a small file system" }, async (t) => {
      const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-disk-"));
      t.after(() => { spawnSync("umount", [root]); fs.rmSync(root, { recursive: true,
        force: true }); });
      assert.equal(spawnSync("mount", ["-t", "tmpfs", "-o", "size=200k", "tmpfs", root]).status, 0);
      const ending = await dmn(root, ["--dataset", "synthetic"]);
      assert.equal(ending.code, 2);
      assert.match(ending.err,
        /^dmn: the disk of .* is full; nothing was half written\n {5}free some space/);
      assert.deepEqual(filesBelow(root).filter((name) => /\.tmp$|lock|manifest/.test(name)), []);
      assert.equal(spawnSync("mount", ["-o", "remount,size=100m", root]).status, 0);
      assert.equal((await dmn(root, ["--dataset", "synthetic"])).code, 0);
    });

  test("ENOSPC, EACCES, EROFS and ENOTDIR become sentences with a hint, 1 other error does not", () => {
    for (const [code, expected] of [["ENOSPC", /is full/], ["EACCES", /cannot write in/],
      ["EROFS", /cannot write in/], ["ENOTDIR", /not a folder/]] as const) {
      const explained = explainWrite("/data/x/manifest.json", Object.assign(new Error(code),
        { code }));
      assert.ok(explained instanceof UserError);
      assert.match(explained.problem, expected);
    }
    const other = new Error("else");
    assert.equal(explainWrite("/data/x", other), other);
  });
});

function mounts(): boolean {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-mount-"));
  try {
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs",
      folder]).status !== 0) return false;
    return spawnSync("umount", [folder]).status === 0;
  } finally { fs.rmSync(folder, { recursive: true, force: true }); }
}

const reportSchema = z.strictObject({
  dataset: z.string(), source: z.string(), isSynthetic: z.boolean(),
    kind: z.enum(["bars", "quotes", "ticks"]), timeframe: z.string(),
  calendar: z.string(), adjustment: z.string(), provenance: z.string(), revision: z.int(),
    fingerprint: z.string(),
  changed: z.boolean().nullable(), instruments: z.int(), bars: z.int(), from: z.string(),
    to: z.string(),
  rows: z.array(z.strictObject({
    symbol: z.string(), assetClass: z.string(), rows: z.int(), from: z.string(), to: z.string(),
      gaps: z.int(), actions: z.int(),
    notes: z.array(z.string()), check: z.strictObject({
      gaps: z.int(), staleRuns: z.int(), jumps: z.int(), badTicks: z.int(), closedDays: z.int(),
      barsMissingShare: z.number().nullable(), examples: z.array(z.string()),
    }).optional(),
  })),
});

const json = (ending: Ending): z.infer<typeof reportSchema> => {
  assert.equal(ending.code, 0, ending.err);
  return reportSchema.parse(JSON.parse(ending.out));
};

describe("what dmn fetch prints", () => {
  test("2 instruments, 5 bars and 1 missing session, in at most 100 columns", async (t) => {
    const root = makeRoot(t);
    const place = write(root, "mine.csv",
      "date,symbol,close\n2015-12-28,AA,1\n2015-12-28,BB,2\n"
      + "2015-12-29,BB,3\n2015-12-30,AA,2\n2015-12-30,BB,2\n");
    const { out, code } = await dmn(root, csv(place));
    assert.equal(code, 0);
    const lines = out.split("\n");
    assert.equal(lines[0],
      "mine: 2 instruments, 5 bars, 2015-12-28..2015-12-30, 1d, us-equity calendar");
    assert.match(out, /^AA +equity +2 +2015-12-28 +2015-12-30 +1$/m);
    assert.match(out, /^BB +equity +3 +2015-12-28 +2015-12-30 +0$/m);
    assert.ok(lines.every((line) => line.length <= 100));
  });

  test("--check finds the 1 bad tick, 1 stale run and 1 gap put in; --json has its schema", async (t) => {
    const root = makeRoot(t), draw = random(7, "check");
    const weekdays = Array.from({ length: 300 }, (_, k) => new Date(Date.UTC(2014, 0, 6
      + k))).filter((one) => one.getUTCDay() % 6 !== 0)
      .map((one) => one.toISOString().slice(0, 10));
    let close = 100;
    const rows = weekdays.flatMap((one, k) => {
      close *= 1 + 0.01 * draw.normal();
      if (k === 50) return [];
      return [`${one},AA,${(k === 100 ? close * 10 : k >= 150 && k < 157 ? 77 : close).toFixed(4)}`];
    });
    const place = write(root, "mine.csv", ["date,symbol,close", ...rows, ""].join("\n"));
    const report = json(await dmn(root, csv(place, "--calendar", "24x5", "--check", "--json")));
    const check = report.rows[0].check;
    assert.equal(report.rows[0].gaps, 1);
    assert.ok(check !== undefined && check.gaps === 1 && check.staleRuns === 1
      && check.badTicks === 1, JSON.stringify(check));
    assert.match(check.examples.join("; "),
      new RegExp(`gap of 1 session ${weekdays[50]}; 7 rows at 77 .*; `
        + `close .* x10 of its neighbours ${weekdays[100]}`));
    const again = json(await dmn(root, ["--dataset", "mine", "--check", "--json"]));
    assert.deepEqual(again.rows, report.rows, "the same when only looked at");
  });

  test("--check of a file with 1 byte changed names it and the command that fetches it again", async (t) => {
    const root = makeRoot(t), place = write(root, "mine.csv", PANEL);
    await dmn(root, csv(place));
    const file = path.join(root, "datasets", "mine", readManifest(root,
      "mine").instruments[0].file);
    const bytes = fs.readFileSync(file);
    bytes[bytes.length >> 1] ^= 1;
    fs.writeFileSync(file, bytes);
    const ending = await dmn(root, ["--dataset", "mine", "--check"]);
    assert.equal(ending.code, 2);
    const command = `dmn fetch --data-dir ${root} --source csv --dataset mine --path ${place}`;
    assert.ok(ending.err.includes(file) && ending.err.includes(command), ending.err);
  });

  test("futures-dev: 30 instruments, 210,260 bars, 1988-01-04..2019-12-31; SP500 has 8,144 bars and 203 gaps",
    { skip: shared("data/futures-dev/futures-dev.csv.gz") === null && NO_SHARED }, async (t) => {
      const root = makeRoot(t);
      const { out, code } = await dmn(root, ["--source", "csv", "--path",
        shared("data/futures-dev/futures-dev.csv.gz") ?? "", "--dataset", "futures-dev"]);
      assert.equal(code, 0);
      assert.equal(out.split("\n")[0],
        "futures-dev: 30 instruments, 210,260 bars, 1988-01-04..2019-12-31, 1d, 24x5 calendar");
      // 8,347 weekdays from 1988-01-04 to 2019-12-31 (numpy.busday_count), less the 8,144 rows that
      // the sidecar counts.
      assert.match(out, /^SP500 +equity +8,144 +1988-01-04 +2019-12-31 +203$/m);
    });
});

describe("dmn fetch --update", () => {
  test("of a file: 1 added row is seen, an unchanged file is not a new dataset", async (t) => {
    const root = makeRoot(t), place = write(root, "mine.csv", PANEL);
    const first = json(await dmn(root, csv(place, "--json")));
    const same = json(await dmn(root, ["--dataset", "mine", "--update", "--json"]));
    assert.deepEqual([same.changed, same.fingerprint], [false, first.fingerprint]);
    fs.appendFileSync(place, "2016-01-04,AA,1.4\n");
    const more = json(await dmn(root, ["--dataset", "mine", "--update", "--json"]));
    assert.deepEqual([more.changed, more.bars, more.to], [true, 5, "2016-01-04"]);
    const refused = await dmn(root, ["--dataset", "mine", "--update", "--symbols", "AA"]);
    assert.match(refused.err,
      /--update asks for the same as before, so --symbols has no meaning with it/);
  });

  test("of a vendor: the last stored day is asked again, 29 rows follow, 1 close is revised", async (t) => {
    const root = makeRoot(t), market = dailyMarket();
    const environment = (url: string): Record<string, string> => ({ DMN_MASSIVE_URL: url,
      DMN_MASSIVE_CALLS_PER_MINUTE: "100000",
      MASSIVE_API_KEY: SIMULATOR_KEYS.massive });
    {
      await using simulator = await Simulator.start({ market });
      const first = json(await dmn(root, ["--source", "massive", "--dataset", "us", "--symbols",
        "AAA", "--from", "2023-11-13",
        "--to", "2024-02-15", "--json"], environment(simulator.url)));
      assert.equal(first.to, "2024-02-15");
    }
    const back = await dmn(root, ["--dataset", "us", "--update", "--to", "2024-02-14"]);
    assert.match(back.err, /has rows up to 2024-02-15, after --to 2024-02-14/, "rows are never dropped");
    const before = await readBars(root, readManifest(root, "us"), "AAA", { adjust: "none" });
    await using simulator = await Simulator.start({ market: revised(market,
      before.time[before.time.length - 1]) });
    const updated = json(await dmn(root, ["--dataset", "us", "--update", "--to", "2024-03-28",
      "--json"], environment(simulator.url)));
    assert.deepEqual([updated.changed, updated.to], [true, "2024-03-28"]);
    assert.match(updated.rows[0].notes.join("; "),
      /29 new; 1 revised: 2024-02-15T21:00:00Z close [\d.]+ -> [\d.]+/);
    const bars = simulator.requests.filter((entry) => entry.address.startsWith("/v2/aggs"));
    assert.ok(bars.every((entry) => !entry.address.includes("2023-")),
      "nothing from 2023 is asked again");
    const after = await readBars(root, readManifest(root, "us"), "AAA", { adjust: "none" });
    const truth = revised(market, before.time[before.time.length - 1]).get("AAA")?.bars;
    assert.deepEqual([...after.columns.close ?? []], [...truth?.columns.close ?? []]);
    assert.equal(readManifest(root, "us").instruments[0].actions.length, 3,
      "a dividend before, a split and a dividend behind");
  });
});

/** The market with the close of AAA at one moment a tenth higher. */
function revised(market: Market, time: number): Market {
  const listing = market.get("AAA");
  assert.ok(listing?.bars.columns.close !== undefined);
  const close = listing.bars.columns.close.map((value, t) => listing.bars.time[t] === time ? value
    + 0.1 : value);
  return new Map([...market,
    ["AAA", { ...listing, bars: { ...listing.bars, columns: { ...listing.bars.columns,
    close } } }]]);
}

/**
 * Names of the files (they end in a hash of the content), the bits of every row, and the manifest
 * without its count of commits and without the files' own hashes: HDF5 writes the time of writing
 * into each file.
 */
async function contentOf(root: string): Promise<Record<string, unknown>> {
  const manifest = readManifest(root, "stopped"), bits = createHash("sha256");
  for (const { symbol } of manifest.instruments) {
    const { time, columns } = await readBars(root, manifest, symbol);
    for (const values of [time, ...Object.values(columns)]) bits.update(
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  const instruments = manifest.instruments.map((row) => ({ ...row, sha256: "" }));
  return { ...manifest, revision: 0, instruments, bits: bits.digest("hex"),
    files: filesBelow(path.join(root, "datasets", "stopped")) };
}

const MARKET = ["--source", "synthetic", "--dataset", "stopped", "--from", "2008-01-01"];
/** DMN_TEST_KILLS=20 for the long form. */
const KILLS = Number(process.env["DMN_TEST_KILLS"] ?? 6);

describe("dmn fetch stopped", () => {
  let calls = 0;
  let expected: Record<string, unknown> = {};

  test("an undisturbed run makes more than 200 calls into the file system", async (t) => {
    const root = makeRoot(t), undisturbed = await dmn(root, MARKET, { DMN_STOP_AT: "0" },
      ["--import", STOP]);
    assert.equal(undisturbed.code, 0, undisturbed.err);
    calls = Number(/calls: (\d+)/.exec(undisturbed.err)?.[1]);
    expected = await contentOf(root);
    assert.ok(calls > 200, `${calls} calls`);
  });

  test(`kill -9 at ${KILLS} random moments misleads no reader; a rerun ends as if nothing was`, async (t) => {
    const seed = 4_711, draw = random(seed, "kills");
    for (let k = 0; k < KILLS; k++) {
      const at = 1 + draw.below(calls),
        words = `seed ${seed}, kill ${k} at call ${at} of ${calls}`, root = makeRoot(t);
      const killed = await dmn(root, MARKET, { DMN_STOP_AT: String(at) }, ["--import", STOP]);
      assert.equal(killed.signal, "SIGKILL", `${words}: ${killed.err}`);
      const isThere = fs.existsSync(path.join(root, "datasets", "stopped", "manifest.json"));
      const reader = await dmn(root, ["--dataset", "stopped", "--check"]);
      assert.equal(reader.code, isThere ? 0 : 2, `${words}: ${reader.err}`);
      if (isThere) assert.equal((await contentOf(root))["fingerprint"], expected["fingerprint"],
        words);
      else assert.match(reader.err, /there is no dataset "stopped"/, words);
      assert.equal((await dmn(root, MARKET)).code, 0, words);
      assert.deepEqual(await contentOf(root), expected, words);
    }
  });

  test("Ctrl-C among 28 instruments: exit 130, and the command it names completes the rest", async (t) => {
    const root = makeRoot(t);
    const stopped = await dmn(root, MARKET, { DMN_STOP_AT: String(calls >> 1),
      DMN_STOP_SIGNAL: "SIGINT" }, ["--import", STOP]);
    assert.equal(stopped.code, 130, stopped.err);
    const again = /Go on with: dmn fetch (--source synthetic .* --data-dir .*)\n$/
      .exec(stopped.err)?.[1];
    assert.ok(again !== undefined, stopped.err);
    const kept = filesBelow(path.join(root, "datasets", "stopped", "bars")).length;
    assert.ok(kept > 0 && kept < 28, `${kept} instruments kept`);
    assert.equal(again, [...MARKET, "--data-dir", root].join(" "), "as it was typed");
    assert.equal((await dmn(root, again.split(" "))).code, 0);
    assert.deepEqual(await contentOf(root), expected);
  });
});
