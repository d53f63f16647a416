/** `dmn features` as a person runs it: what it writes, what it refuses and in which words, and what a kill leaves. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { FeaturesFile } from "../src/features/file.ts";
import { computeFeatures } from "../src/features/panel.ts";
import { TECHNICAL_RECIPE } from "../src/features/technical.ts";
import { EXAMPLE } from "../src/features/user-family.ts";
import { readBars } from "../src/market/store.ts";
import { bindTo, featurePieces } from "../src/workflow/feature-pieces.ts";
import { loadFeatures } from "../src/workflow/load-features.ts";
import { assertSameBits, DataRoot, sameBytes } from "./features-data.ts";
import { barsOf, cleanBars, closesFrom } from "./market-rows.ts";
import { testContext } from "./outside.ts";

const data = new DataRoot();
after(() => { data[Symbol.dispose](); });
before(async () => {
  await data.put("market", Array.from({ length: 7 }, (_, k) => cleanBars(k, 330 + 40 * k, `S${k}`)));
  await data.put("short", [cleanBars(1, 100, "A"), cleanBars(2, 314, "B")]);
  const closes = closesFrom("2010-01-04", 400);
  await data.put("closes", [barsOf("ONLY", closes, { close: cleanBars(5, 400).columns.close! })]);
  await data.put("ticks", [barsOf("T", [1e12, 1e12 + 5], { tickPrice: [1, 2], size: [1, 1], side: [0, 0],
    exchange: [65, 65] },
    { kind: "ticks", timeframe: "tick" })], "tick");
});

/** A context whose data root is ours, with what was logged. */
function contextOf(): ReturnType<typeof testContext> {
  const test = testContext();
  Object.assign(test.context, { root: data.root });
  return test;
}

describe("what it writes", () => {
  test("the file holds each instrument's rows with the bits of a computation in memory, also of 207 columns", async () => {
    for (const recipe of ["dmn", "technical"]) {
      const report = data.features("--dataset", "market", "--recipe", recipe);
      const manifest = data.manifest("market"), panel = await bindTo(data.root, manifest, recipe);
      assert.equal(report["rows"], manifest.instruments.reduce((sum, row) => sum + row.rows, 0));
      const file = FeaturesFile.open(data.parquet("market", recipe), "")!;
      assert.equal(file.header.hash, panel.hash);
      assert.equal(file.header.fingerprint, manifest.fingerprint);
      for (const { symbol } of manifest.instruments) {
        const expected = computeFeatures(panel, await readBars(data.root, manifest, symbol));
        const read = file.read(symbol, "");
        assertSameBits(read.values, expected.values, symbol);
        assertSameBits(read.time, expected.time, symbol);
      }
    }
  });

  test("1 and 3 worker threads write the same bytes", () => {
    const place = data.parquet("market", "dmn"), kept = path.join(data.root, "kept.parquet");
    data.features("--dataset", "market", "--recipe", "dmn", "--workers", "1");
    fs.copyFileSync(place, kept);
    assert.equal(data.features("--dataset", "market", "--recipe", "dmn", "--workers", "3")["workers"], 3);
    assert.ok(sameBytes(place, kept));
  });

  test("an instrument of 45,000 rows goes through 3 pieces with the bits of one computation, targets at the seams included",
    async () => {
    using other = new DataRoot();
    const manifest = await other.put("long", [cleanBars(11, 45_000, "LONG")]);
    // 207 columns and the target: 4,194,304 / 208 = 20,164 rows a piece.
    other.write("recipes/wide.json", JSON.stringify({ features: [...TECHNICAL_RECIPE, { family: "target" }] }));
    other.features("--dataset", "long", "--recipe", "wide");
    const panel = await bindTo(other.root, manifest, "wide");
    const whole = computeFeatures(panel, await readBars(other.root, manifest, "LONG"));
    const read = FeaturesFile.open(other.parquet("long", "wide"), "")!.read("LONG", "");
    assertSameBits(read.values, whole.values);
  });

  test("--symbols, --from and --to choose rows and do not change one bit of them", () => {
    data.features("--dataset", "market", "--recipe", "dmn");
    const whole = FeaturesFile.open(data.parquet("market", "dmn"), "")!, all = whole.read("S3", "");
    const report = data.features("--dataset", "market", "--recipe", "dmn", "--symbols", "S3,S5", "--from", "2006-02-01",
      "--to", "2006-04-28");
    const part = FeaturesFile.open(data.parquet("market", "dmn"), "")!;
    assert.deepEqual(part.symbols, ["S3", "S5"]);
    const { time, values } = part.read("S3", ""), start = all.time.indexOf(time[0]);
    assert.equal(new Date(time[0]).toISOString().slice(0, 10), "2006-02-01");
    assert.equal(new Date(time.at(-1)!).toISOString().slice(0, 10), "2006-04-28");
    assert.equal(report["rows"], 2 * time.length);
    assertSameBits(values, all.values.slice(start * 13, (start + time.length) * 13));
  });

  test("the text names instruments, rows, columns, warm-up, and per column unit, absent share, mean and deviation", () => {
    const { code, out } = data.dmn(["features", "--dataset", "market", "--recipe", "dmn"]);
    assert.equal(code, 0);
    assert.match(out, /^market: 7 instruments, 3,150 rows of recipe dmn, 13 columns, complete from bar 315 on\n/);
    assert.match(out, /datasets\/market\/features\/dmn\.parquet, 0\.\d MiB, /);
    assert.match(out, /\ntarget_vol_scaled_next_return \(target\) +fraction +61 +/);
    assert.match(out, /\nmacd_8_24 +standard deviations +314 +69\.78% /);
    assert.ok(out.split("\n").every((line) => line.length <= 100 || line.includes(".parquet")));
  });

  test("on one-minute bars the text says that ret_1d and daily_vol are of bars, not of days", async () => {
    const bars = cleanBars(4, 400, "M");
    await data.put("minutes", [{ ...bars, timeframe: "1m", time: bars.time.map((_, k) => bars.time[0] + 60_000 * k) }], "1m");
    assert.match(data.dmn(["features", "--dataset", "minutes"]).out, /\nbars are 1m: ret_1d and daily_vol, .* not in days\n/);
  });

  test("instruments too short for one complete row are named, when others are long enough", async () => {
    await data.put("mixed", [cleanBars(1, 100, "A"), cleanBars(2, 314, "B"), cleanBars(3, 315, "C")]);
    const { out } = data.dmn(["features", "--dataset", "mixed", "--recipe", "dmn"]);
    assert.match(out, /2 without a complete row \(fewer than 315 bars\): A, B\n/);
  });

  test("--list prints every family with its parameters, and --list --json the same for programs", () => {
    data.write("features/mine.js", `export default { summary: "mine", inputs: ["close"], make: () => ({ family: "mine",
      inputs: ["close"], causality: "close", flopsPerBar: 1, stateLength: 0,
        columns: [{ name: "mine", unit: "price", warmup: 0 }],
      start() {}, update(bars, from, to, state, out, offset, stride) {
        for (let t = from; t < to; t++) out[offset + (t - from) * stride] = bars.columns.close[t]; } }) };`);
    const text = data.dmn(["features", "--list"]).out;
    assert.match(text, /\nnormalized_return +5 +253 +close +\d+ +close\n/);
    assert.match(text, /\ntarget +1 +61 +next close +\d+ +close\n/);
    assert.match(text, /\nnormalized_return: .*\n {4}in standard deviations\n/);
    assert.match(text, /\nmomentum +momentum roc momentum_z efficiency trend\n/);
    assert.match(text, /\n {4}"windows": \[1,21,63,126,252\] {2}window lengths in bars\n/);
    assert.match(text, /\nmine: mine\n/);
    const { families } = JSON.parse(data.dmn(["features", "--list", "--json"]).out) as { families: { family: string }[] };
    assert.ok(families.some(({ family }) => family === "rsi"));
  });
});

describe("what it refuses", () => {
  for (const [what, args, words] of [
    ["no dataset", ["--recipe", "dmn"], [/needs the dataset/, /--dataset NAME/]],
    ["an unknown dataset", ["--dataset", "markt"], [/no dataset "markt"/, /did you mean "market"\?/]],
    ["an unknown recipe", ["--dataset", "market", "--recipe", "tecnical"],
      [/no recipe "tecnical"/, /did you mean "technical"\?/]],
    ["an unknown symbol", ["--dataset", "market", "--symbols", "S33"], [/no instrument "S33"/, /did you mean "S3"\?/]],
    ["volume of a panel of closes", ["--dataset", "closes", "--recipe", "volume"],
      [/needs the column "volume" \(feature family "volume"\), which ONLY does not have \(it has close\)/]],
    ["bars of ticks", ["--dataset", "ticks", "--recipe", "dmn"], [/holds ticks, and features are computed from bars/]],
    ["314 bars where 315 are needed", ["--dataset", "short", "--recipe", "dmn"],
      [/needs at least 315 bars .*\(column "macd_8_24"\), and the longest instrument, B, has 314/, /fetch 1 more bars/]],
    ["a range the wrong way round", ["--dataset", "market", "--from", "2007-01-01", "--to", "2006-01-01"],
      [/--from 2007-01-01 is after --to 2006-01-01/, /--from 2006-01-01 --to 2007-01-01/]],
    ["an empty range", ["--dataset", "market", "--from", "2031-01-01"],
      [/no bars from 2031-01-01 to its end/, /from 2005-01-03 to/]],
  ] as const) {
    test(`${what}: exit 2, one sentence and what to type`, () => {
      const said = data.refusal(...args);
      for (const word of words) assert.match(said, word);
    });
  }

  test("a folder that cannot be made: the sentence names it and nothing is left", async () => {
    await data.put("blocked", [cleanBars(1, 330, "A")]);
    data.write("datasets/blocked/features", "a file in the way");
    assert.match(data.refusal("--dataset", "blocked"), /features/);
  });
});

describe("--verify", () => {
  test("passes the dmn and technical recipes on a dataset", () => {
    for (const [recipe, features] of [["dmn", /recipe dmn: 7 features, 13 columns keep all promises/],
      ["technical", /keep all promises/]] as const) {
      const { code, out, said } = data.dmn(["features", "--dataset", "market", "--recipe", recipe, "--verify"]);
      assert.equal(code, 0, said);
      assert.match(out, features);
    }
  });

  test("the example that --list prints is a family which keeps all promises and is found by its name", () => {
    const text = data.dmn(["features", "--list"]).out;
    data.write("features/my_own.ts", text.slice(text.indexOf("export default")));
    const { code, out, said } = data.dmn(["features", "--dataset", "market", "--recipe", "my_own", "--verify"]);
    assert.equal(code, 0, said);
    assert.match(out, /recipe my_own: 1 feature, 1 column keep all promises/);
  });

  test("a user's feature that throws, or lacks a part, is refused with its file: it is no bug of dmn", () => {
    for (const [name, from, to, words] of [
      ["throws", "const head = state[window]", "const head = nope", /update\(\) of .*throws\.ts failed: nope is not defined/],
      ["misnamed", "update(", "updaet(", /make\(\) of .*misnamed\.ts does not return a feature; "update": must be/],
      ["unitless", 'unit: "fraction", ', "", /does not return a feature; "columns\.0\.unit"/],
      ["nothing", "=> ({", "=> void ({", /does not return a feature; /],
      ["stateless", "stateLength: window + 1,", "", /does not return a feature; "stateLength"/],
    ] as const) {
      assert.ok(EXAMPLE.includes(from), from);
      data.write(`features/${name}.ts`, EXAMPLE.replace('"my_own"', `"${name}"`).replace(from, to));
      assert.match(data.refusal("--dataset", "market", "--recipe", name), words);
      assert.match(data.refusal("--dataset", "market", "--recipe", name, "--workers", "2"), words);
    }
  });

  test("catches a user's feature that reads the next close, and one that keeps memory outside its state", () => {
    const family = (name: string, line: string): string => `let memory = 0;
      export default { summary: "x", inputs: ["close"], make: () => ({ family: "${name}", inputs: ["close"],
        causality: "close",
        flopsPerBar: 1, stateLength: 1, columns: [{ name: "${name}", unit: "price", warmup: 0 }],
          start(state) { state.fill(0); },
        update(bars, from, to, state, out, offset, stride) {
          const close = bars.columns.close;
          for (let t = from; t < to; t++) out[offset + (t - from) * stride] = ${line}; } }) };`;
    data.write("features/peek.ts", family("peek", "close[Math.min(t + 1, close.length - 1)]"));
    data.write("features/leak.ts", family("leak", "memory = 0.5 * memory + close[t]"));
    assert.match(data.refusal("--dataset", "market", "--recipe", "peek", "--verify"),
      /peek: .*(looks ahead|beyond the chunk|one by one)/);
    assert.match(data.refusal("--dataset", "market", "--recipe", "peek", "--verify"),
      /break a promise; peek: causality: /, "what is worst is said first");
    assert.match(data.refusal("--dataset", "market", "--recipe", "leak", "--verify"),
      /leak: .*break|1 of 1 features .* break a promise; leak/);
  });
});

describe("pauses", () => {
  test("a feature of milliseconds a bar is computed in parts of at most 1e8 operations: 330 bars of 2.2e6 make 8 pauses",
    async () => {
    const manifest = data.manifest("market");
    data.write("recipes/cpd.json", '{"features":[{"family":"change_point","windows":[21]}]}');
    const panel = await bindTo(data.root, manifest, "cpd");
    const rows = manifest.instruments.find(({ symbol }) => symbol === "S0")!.rows;
    let pauses = 0;
    const run = (stopAt: number): Promise<unknown> => featurePieces(data.root, manifest, panel, "S0", { from: null, to: null },
      async () => { if (++pauses === stopAt) throw new Error("stopped"); }).next();
    await run(Infinity);
    assert.equal(pauses, Math.ceil(rows / Math.floor(1e8 / panel.flopsPerBar)));
    assert.equal(pauses, 8);
    pauses = 0;
    await assert.rejects(run(2), /stopped/);
    assert.equal(pauses, 2);
  });
});

describe("loadFeatures", () => {
  test("gives the same bits from the file as from memory, and says in the log why a file is not used", async () => {
    using test = contextOf();
    const manifest = data.manifest("market");
    fs.rmSync(data.parquet("market", "dmn"), { force: true });
    const memory = await (await loadFeatures(test.context, manifest, "dmn")).of("S2");
    data.features("--dataset", "market", "--recipe", "dmn");
    const file = await (await loadFeatures(test.context, manifest, "dmn")).of("S2");
    assertSameBits(file.values, memory.values);
    assertSameBits(file.time, memory.time);
    assert.deepEqual([file.names, file.warmup, test.lines.length], [memory.names, memory.warmup, 0]);
  });

  test("never reads a file of another fingerprint, another recipe or a part of the rows", async () => {
    const place = data.parquet("market", "dmn");
    for (const [reason, spoil] of [
      ["the dataset has changed since", async () => {
        await data.put("market2", [cleanBars(1, 330, "S2")]);
        data.features("--dataset", "market2", "--recipe", "dmn");
        fs.copyFileSync(data.parquet("market2", "dmn"), place);
      }],
      ["another recipe or version", () => {
        data.write("recipes/near.json", '{"features":[{"family":"volatility","span":61}]}');
        data.features("--dataset", "market", "--recipe", "near");
        fs.copyFileSync(data.parquet("market", "near"), place);
      }],
      ["only a part of the rows", () => { data.features("--dataset", "market", "--recipe", "dmn", "--from", "2006-01-02"); }],
    ] as const) {
      using test = contextOf();
      await spoil();
      const manifest = data.manifest("market"), found = await (await loadFeatures(test.context, manifest, "dmn")).of("S2");
      const panel = await bindTo(data.root, manifest, "dmn");
      assertSameBits(found.values, computeFeatures(panel, await readBars(data.root, manifest, "S2")).values, reason);
      assert.equal(test.lines.length, 1);
      assert.ok(test.lines[0].includes(reason), test.lines[0]);
    }
  });

  test("refuses a damaged file with the command that writes it anew", async () => {
    using test = contextOf();
    data.features("--dataset", "market", "--recipe", "dmn");
    const place = data.parquet("market", "dmn");
    fs.truncateSync(place, fs.statSync(place).size - 9);
    await assert.rejects(loadFeatures(test.context, data.manifest("market"), "dmn"),
      /is damaged[^]*dmn features --dataset market --recipe dmn/);
  });

  test("reads a file again after the dataset was fetched anew with the same rows", async () => {
    using test = contextOf();
    data.features("--dataset", "market", "--recipe", "dmn");
    await data.put("market", Array.from({ length: 7 }, (_, k) => cleanBars(k, 330 + 40 * k, `S${k}`)));
    await (await loadFeatures(test.context, data.manifest("market"), "dmn")).of("S1");
    assert.deepEqual(test.lines, []);
  });
});

describe("kill -9 while it writes", () => {
  const stopAt = path.join(import.meta.dirname, "stop-at.ts");
  const run = (at: number, workers: string, signal = "SIGKILL"): ReturnType<DataRoot["dmn"]> =>
    data.dmn(["features", "--dataset", "market", "--recipe", "dmn", "--workers", workers],
      { DMN_STOP_AT: String(at), DMN_STOP_SIGNAL: signal }, ["--import", stopAt]);
  const folder = path.dirname(data.parquet("market", "dmn"));

  /** DMN_TEST_KILLS=20 for the long form. */
  const kills = Number(process.env["DMN_TEST_KILLS"] ?? 6);

  test(`at ${kills} random calls into the file system while it writes: the old file or the new one, and a rerun leaves no trace`,
    () => {
    const seed = 77, draw = random(seed, "kills"), place = data.parquet("market", "dmn");
    data.features("--dataset", "market", "--recipe", "dmn");
    const whole = fs.readFileSync(place), calls = Number(/calls: (\d+)/.exec(run(0, "1").said)![1]);
    let leftovers = 0;
    const temporary = (): string[] => fs.readdirSync(folder).filter((name) => name.endsWith(".tmp"));
    for (let k = 0; k < kills; k++) {
      // The last 60 calls: seven instruments are read and written, the file is flushed and renamed.
      const at = calls - draw.below(60), words = `seed ${seed}: killed at call ${at} of ${calls}`;
      if (k % 2 === 0) fs.rmSync(place);
      assert.equal(run(at, "1").signal, "SIGKILL", words);
      if (fs.existsSync(place)) assert.ok(fs.readFileSync(place).equals(whole), words);
      leftovers += temporary().length;
      data.features("--dataset", "market", "--recipe", "dmn");
      assert.ok(fs.readFileSync(place).equals(whole), words);
      assert.deepEqual(temporary(), [], words);
    }
    assert.ok(leftovers > 0, "no kill came while the temporary file was there");
  });

  test("Ctrl-C half way ends with exit 130, leaves the old file and no temporary one", () => {
    const place = data.parquet("market", "dmn"), whole = fs.readFileSync(place);
    // The signal handlers are there long before the first piece is written, which is 40 calls before the end.
    const calls = Number(/calls: (\d+)/.exec(run(0, "1").said)![1]), stopped = run(calls - 40, "1", "SIGINT");
    assert.equal(stopped.code, 130, stopped.said);
    assert.ok(fs.readFileSync(place).equals(whole));
    assert.deepEqual(fs.readdirSync(folder).filter((name) => name.endsWith(".tmp")), []);
  });
});
