/** `dmn backtest` as a person runs it: the anchors on the development panel, and every way to type it wrong. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { resultSchema, type ResultJson } from "../src/backtest/json.ts";
import { NO_SHARED, shared } from "./shared.ts";

const DMN = path.join(import.meta.dirname, "..", "bin", "dmn.js");
const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-backtest-"));
after(() => { fs.rmSync(root, { recursive: true, force: true }); });

function dmn(...args: string[]): { code: number | null; out: string; said: string } {
  const env = { ...process.env, DMN_HOME: root, CI: "1" };
  const run = spawnSync(process.execPath, [DMN, ...args], { cwd: root, env, encoding: "utf8", maxBuffer: 1 << 26 });
  return { code: run.status, out: run.stdout, said: run.stderr };
}

function succeed(...args: string[]): string {
  const { code, out, said } = dmn(...args);
  assert.equal(code, 0, said);
  return out;
}

const backtestJson = (...args: string[]): ResultJson =>
  resultSchema.parse(JSON.parse(succeed("backtest", ...args, "--json")));

/** Research protocol, section 4: computed with pandas on futures-dev. Percentages and ratios as printed there. */
const ANCHORS = {
  "long-only": { row: "3.94 5.14 0.785 1.135 12.34 0.326 52.34", windows: "0.589 1.359 0.958 0.569 0.448",
    turnover: "7.3", ladder: [0.785, 0.770, 0.755, 0.740, 0.710, 0.636] },
  tsmom: { row: "4.68 4.62 1.013 1.473 7.04 0.815 53.59", windows: "1.287 1.590 0.808 1.150 0.231", turnover: "25.0",
    ladder: [1.013, 0.956, 0.899, 0.841, 0.727, 0.441] },
  macd: { row: "2.73 3.10 0.889 1.299 3.93 0.807 52.85", windows: "1.601 1.199 0.899 0.526 0.221", turnover: "11.5",
    ladder: [0.889, 0.850, 0.811, 0.772, 0.694, 0.498] },
} as const;

describe("the anchors on 30 futures, 1995-2019, five windows of five years", () => {
  const panel = shared("data/futures-dev/futures-dev.csv.gz");
  const options = { skip: panel === null && NO_SHARED };
  const flags = ["--dataset", "futures", "--windows", "1995,2000,2005,2010,2015", "--window-years", "5"];
  before(() => { if (panel !== null) succeed("fetch", "--source", "csv", "--path", panel, "--dataset", "futures"); });

  for (const [strategy, anchor] of Object.entries(ANCHORS)) {
    test(`${strategy}: every column and the Sharpe of every window to the printed digits`, options, () => {
      const { average, windows, costLadder } = backtestJson(...flags, "--strategy", strategy);
      const numbers = average as Record<keyof typeof average, number>;
      const percent = (value: number): string => (100 * value).toFixed(2);
      const row = [percent(numbers.annualReturn), percent(numbers.volatility), numbers.sharpe.toFixed(3),
        numbers.sortino.toFixed(3), percent(numbers.maxDrawdown), numbers.calmar.toFixed(3),
        percent(numbers.positiveShare)];
      assert.equal(row.join(" "), anchor.row);
      assert.equal(windows.map((window) => window.sharpe!.toFixed(3)).join(" "), anchor.windows);
      assert.deepEqual(windows.map((window) => window.instruments), [23, 28, 30, 30, 30]);
      assert.equal(numbers.turnover.toFixed(1), anchor.turnover);
      assert.deepEqual(costLadder.map((row) => row.costBps), [0, 1, 2, 3, 5, 10]);
      // The anchors' own ladder lets an instrument's first trade ever go free; ours charges it: 0.0012 at most.
      costLadder.forEach((row, k) => {
        const gap = anchor.ladder[k] - row.sharpe!;
        assert.ok(gap > -0.0006 && gap < 0.0012, `${row.costBps} bps: ${row.sharpe} for ${anchor.ladder[k]}`);
      });
    });
  }

  test("--cost-bps 3 gives the ladder's row at 3 bps; a lag of one bar moves the Sharpe by less than 0.1", options, () => {
    const free = backtestJson(...flags, "--strategy", "tsmom");
    const paid = backtestJson(...flags, "--strategy", "tsmom", "--cost-bps", "3");
    assert.equal(paid.costBps, 3);
    assert.equal(paid.average.sharpe!.toFixed(12), free.costLadder[3].sharpe!.toFixed(12));
    const late = backtestJson(...flags, "--strategy", "tsmom", "--lag", "1");
    assert.ok(Math.abs(late.average.sharpe! - 1.013) < 0.1, String(late.average.sharpe));
  });
});

describe("on a synthetic market of 6 instruments, 2010-2015", () => {
  before(() => {
    succeed("fetch", "--source", "synthetic", "--symbols", "SYN:6", "--from", "2010-01-01", "--to", "2015-12-31",
      "--dataset", "demo");
    fs.mkdirSync(path.join(root, "strategies"));
    const header = "name: 'own', description: 'half long', recipe: 'dmn', features: ['daily_vol'], lookback: 2";
    const decide = (position: string): string => `export const strategy = { ${header}, decide(batch) {
      const B = batch.time.length, volatility = new Float32Array(B), position = new Float32Array(B).fill(0.5);
      for (let b = 0; b < B; b++) volatility[b] = batch.features[2 * b + 1];
      ${position}
      return { position, volatility, confidence: position };
    } };\n`;
    const own = { half: decide(""),
      mine: decide("").replace("'own'", "'mine'").replace("recipe: 'dmn'", "recipe: 'mine'")
        .replace("['daily", "['rsi_14', 'daily").replace("lookback: 2", "lookback: 1"),
      nan: decide("position[3] = NaN;"), empty: "export const other = 1;\n",
      broken: "export const strategy = (\n", lookback: "export const strategy = { name: 'x', description: 'x', recipe: 'dmn', "
      + "features: ['daily_vol'], lookback: 0, decide() {} };\n",
      column: "export const strategy = { name: 'x', description: 'x', recipe: 'dmn', "
        + "features: ['dayly_vol'], lookback: 1, decide() {} };\n" };
    fs.mkdirSync(path.join(root, "recipes"));
    fs.writeFileSync(path.join(root, "recipes", "mine.json"),
      JSON.stringify({ features: [{ family: "rsi", windows: [14] }, { family: "volatility" }] }));
    for (const [name, text] of Object.entries(own)) fs.writeFileSync(path.join(root, "strategies", `${name}.ts`), text);
  });

  test("a strategy of one's own is found by its name and by its path, and gives the same result", () => {
    const byName = backtestJson("--dataset", "demo", "--strategy", "half");
    assert.equal(byName.strategy, "own");
    assert.equal(byName.isSynthetic, true);
    assert.deepEqual(backtestJson("--dataset", "demo", "--strategy", path.join(root, "strategies", "half.ts")), byName);
  });

  test("a strategy that reads 2 columns of its own recipe has long-only, which reads another, beside it", () => {
    const { benchmark } = backtestJson("--dataset", "demo", "--strategy", "mine", "--windows", "2013,2014");
    const alone = backtestJson("--dataset", "demo", "--strategy", "long-only", "--windows", "2013,2014");
    assert.equal(benchmark!.name, "long-only");
    assert.deepEqual(benchmark!.average, alone.average);
  });

  test("text: the header, both benchmark rows, and no line over 100 columns, for both engines", () => {
    for (const engine of ["vector", "event"]) {
      const text = succeed("backtest", "--dataset", "demo", "--strategy", "tsmom", "--benchmark", "macd", "--engine", engine,
        "--cost-bps", "1.5", "--windows", "2012,2013");
      for (const line of text.split("\n")) assert.ok(line.length <= 100, line);
      assert.match(text, /tsmom on demo \(SYNTHETIC market\): 6 instruments, 1d bars/);
      assert.match(text, new RegExp(`${engine} engine, cost 1.5 bps, lag 0`));
      assert.match(text, /macd, average \(benchmark\)/);
      assert.match(text, /The market is synthetic/);
    }
  });

  test("risk.grossMax 0.2 in dmn.config.json is told in the notes of both engines and shrinks the volatility", () => {
    const free = backtestJson("--dataset", "demo", "--strategy", "tsmom");
    fs.writeFileSync(path.join(root, "dmn.config.json"), JSON.stringify({ risk: { grossMax: 0.2 } }));
    try {
      for (const engine of ["vector", "event"]) {
        const { notes, average } = backtestJson("--dataset", "demo", "--strategy", "tsmom", "--engine", engine);
        assert.ok(notes.some((note) => /gross/.test(note)), notes.join("\n"));
        assert.ok(average.volatility! < free.average.volatility! / 2);
      }
      fs.writeFileSync(path.join(root, "dmn.config.json"), JSON.stringify({ risk: { grosMax: 0.2 } }));
      assert.match(dmn("backtest", "--dataset", "demo", "--strategy", "tsmom").said, /"risk.grosMax" .*dmn.config.json/);
    } finally { fs.rmSync(path.join(root, "dmn.config.json")); }
  });

  test("--participation-max 0.0001 of the volume leaves orders unfilled on a capital of 100 million", () => {
    const flags = ["--dataset", "demo", "--strategy", "tsmom", "--engine", "event", "--capital", "100000000"];
    const { differences } = backtestJson(...flags, "--participation-max", "0.0001");
    assert.ok(differences.some((row) => /partial/i.test(row.what) && row.returnDifference !== 0), JSON.stringify(differences));
  });

  test("--report writes one HTML page and says where", () => {
    const page = path.join(root, "reports", "tsmom.html");
    const text = succeed("backtest", "--dataset", "demo", "--strategy", "tsmom", "--report", page);
    assert.ok(text.endsWith(`report: ${page}\n`), text.slice(-200));
    assert.match(fs.readFileSync(page, "utf8"), /^<!doctype html>/i);
  });

  test("--formulas needs neither dataset nor strategy", () => {
    assert.match(succeed("backtest", "--formulas"), /Sharpe +mean\(r\) \/ std/);
  });

  const demo = ["--dataset", "demo", "--strategy", "tsmom"];
  const wrong: [string, string[], RegExp][] = [
    ["an unknown dataset", ["--dataset", "dmo", "--strategy", "tsmom"], /no dataset "dmo".*\n.*did you mean "demo"/],
    ["an unknown strategy", ["--dataset", "demo", "--strategy", "tsmon"], /no strategy "tsmon"\n.*did you mean "tsmom"/],
    ["an unknown benchmark", [...demo, "--benchmark", "long"], /no strategy "long"\n.*did you mean|choose one of/],
    ["a missing strategy file", ["--dataset", "demo", "--strategy", "./none.ts"], /no strategy file \.\/none\.ts/],
    ["no strategy", ["--dataset", "demo"], /which strategy\?/],
    ["an empty range", [...demo, "--from", "2014-01-01", "--to", "2013-01-01"], /range from 2014-01-01 to 2013-01-01 is empty/],
    ["a range outside of the data", [...demo, "--from", "2030-01-01"], /demo has bars from 2010-01-01 to 2015-12-31/],
    ["a window without data", [...demo, "--windows", "2030"], /2030 has no bars; demo ends 2015-12-31/],
    ["a window within the warm-up", [...demo, "--from", "2010-01-01", "--to", "2010-06-30"], /nothing can be decided from 2010/],
    ["overlapping windows", [...demo, "--windows", "2012,2013", "--window-years", "2"],
      /windows of 2 years from 2012 and 2013 overlap/],
    ["a negative cost", [...demo, "--cost-bps", "-1"], /expected a number from 0 to 1000/],
    ["a lag of 2", [...demo, "--lag", "2"], /Allowed choices are 0, 1/],
    ["half a year", [...demo, "--windows", "2012.5"], /whole number from 1900/],
    ["a position that is NaN", ["--dataset", "demo", "--strategy", "nan"],
      /strategy own gave the position NaN for \S+ on 20\d\d-\d\d-\d\d/],
    ["a file without a strategy", ["--dataset", "demo", "--strategy", "empty"], /exports no `strategy`/],
    ["a file that does not parse", ["--dataset", "demo", "--strategy", "broken"], /broken\.ts cannot be loaded/],
    ["a lookback of 0", ["--dataset", "demo", "--strategy", "lookback"], /has the lookback 0/],
    ["an unknown feature", ["--dataset", "demo", "--strategy", "column"],
      /reads the feature "dayly_vol", which recipe "dmn" does not make\n.*did you mean "daily_vol"/],
    ["a report in a place that is a file", [...demo, "--report", path.join(DMN, "x.html")], /is not a folder/],
  ];
  for (const [what, args, pattern] of wrong) {
    test(`${what}: exit 2, one sentence and a hint, no stack`, () => {
      const { code, said, out } = dmn("backtest", ...args);
      assert.equal(code, 2, said);
      assert.match(said, pattern);
      assert.equal(out, "");
      assert.ok(said.trim().split("\n").length <= 3 && !/\n\s+at /.test(said), said);
    });
  }
});
