import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { benchRow, quantile, type BenchRow } from "../src/workflow/bench/row.ts";
import type { Finding } from "../src/workflow/doctor.ts";

const DMN = path.join(import.meta.dirname, "..", "bin", "dmn.js");
const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-bench-test-"));
after(() => { fs.rmSync(root, { recursive: true }); });

function dmn(...args: string[]): { code: number | null; out: string; said: string } {
  const env = { ...process.env, DMN_HOME: root, MASSIVE_API_KEY: "", POLYGON_API_KEY: "",
    APCA_API_KEY_ID: "", APCA_API_SECRET_KEY: "" };
  const run = spawnSync(process.execPath, [DMN, ...args], { cwd: root, env, encoding: "utf8" });
  return { code: run.status, out: run.stdout, said: run.stderr };
}

describe("bench rows", () => {
  const facts = { suite: "s", name: "n", unit: "u", note: "" } as const;

  test("of [5, 1, 4, 2, 3] the median is 3 and the worst percent is 1 or 5, as better points up or down", () => {
    assert.equal(quantile([5, 1, 4, 2, 3], 0.5), 3);
    const up = benchRow({ ...facts, better: "higher", values: [5, 1, 4, 2, 3] }, { target: 3 });
    assert.deepEqual([up.value, up.p50, up.p99, up.pass], [3, 3, 1, true]);
    const down = benchRow({ ...facts, better: "lower", values: [5, 1, 4, 2, 3] }, { target: 1, maximum: 2.5 });
    assert.deepEqual([down.p99, down.pass], [5, false]);
    assert.equal(benchRow({ ...facts, better: "lower", values: [1] }).pass, null);
  });

  test("a ratio above 1 means ahead of the peer: 300 against 100 rows/s, and 1 against 3 ms, are both 3", () => {
    const peer = { peer: "p 1.0", values: [100] };
    assert.equal(benchRow({ ...facts, better: "higher", values: [300] }, {}, peer).ratio, 3);
    assert.equal(benchRow({ ...facts, better: "lower", values: [1] }, {}, { ...peer, values: [3] }).ratio, 3);
  });

  for (const suite of ["store", "features", "backtest", "training", "inference"]) {
    test(`dmn bench ${suite} --quick --json prints rows of the schema`, () => {
      const { code, out, said } = dmn("bench", suite, "--quick", "--json");
      assert.equal(code, 0, said);
      const { rows } = JSON.parse(out) as { rows: BenchRow[] };
      assert.ok(rows.length >= 2, `${rows.length} rows`);
      for (const row of rows) {
        assert.equal(row.suite, suite);
        assert.ok(row.value > 0 && row.p50 > 0 && row.p99 > 0 && row.rounds > 0, row.name);
        assert.deepEqual([row.peer, row.peerValue, row.ratio], [null, null, null]);
        assert.match(row.machine, /^\d+ x .+ GiB, node v\d+/);
        assert.ok(row.pass === null || typeof row.pass === "boolean");
      }
    });
  }

  test("a misspelt suite gets exit 2 and the nearest one", () => {
    const { code, said } = dmn("bench", "fetures");
    assert.equal(code, 2);
    assert.match(said, /no bench suite "fetures"\n\s+did you mean "features"\?/);
  });
});

describe("doctor", () => {
  test("names Node, five packages, the data root, and for each thing that is not here the command that brings it", () => {
    const { code, out } = dmn("doctor", "--json");
    assert.equal(code, 0);
    const findings = JSON.parse(out) as Finding[];
    const state = new Map(findings.map((finding) => [finding.what, finding]));
    for (const name of ["Node", "h5wasm", "parquet-wasm", "apache-arrow", "onnxruntime-node", "zeromq", "data root"]) {
      assert.equal(state.get(name)?.state, "ok", name);
    }
    assert.equal(state.get("datasets")?.remedy, "dmn fetch --dataset synthetic");
    assert.match(state.get("Massive key")?.remedy ?? "", /MASSIVE_API_KEY/);
    for (const finding of findings) assert.ok(finding.state !== "missing" || finding.remedy !== "", finding.what);
  });

  test("a package that is not installed is missing, and the rest is told all the same", () => {
    const hook = "import{registerHooks}from'node:module';registerHooks({resolve(name,context,next){"
      + "if(name.startsWith('h5wasm'))throw new Error('no h5wasm here');return next(name,context)}})";
    const run = spawnSync(process.execPath, ["--import", `data:text/javascript,${encodeURIComponent(hook)}`, DMN,
      "doctor", "--json"], { cwd: root, env: { ...process.env, DMN_HOME: root }, encoding: "utf8" });
    assert.equal(run.status, 0, run.stderr);
    const findings = new Map((JSON.parse(run.stdout) as Finding[]).map((finding) => [finding.what, finding]));
    for (const what of ["h5wasm", "datasets"]) {
      assert.deepEqual([findings.get(what)?.state, findings.get(what)?.remedy], ["missing", "npm ci"], what);
      assert.match(findings.get(what)?.found ?? "", /no h5wasm here/);
    }
    assert.equal(findings.get("Node")?.state, "ok");
  });

  const noModes = process.platform === "win32" && "Windows has no file modes";
  test("a key file that others can read is missing its protection", { skip: noModes }, () => {
    fs.writeFileSync(path.join(root, "keys.json"), "{}", { mode: 0o644 });
    const { out } = dmn("doctor");
    assert.match(out, /chmod 600 .*keys\.json/);
    fs.rmSync(path.join(root, "keys.json"));
  });

  test("a key file of Massive's does not stand for 2 keys of Alpaca's", () => {
    fs.writeFileSync(path.join(root, "keys.json"), '{"massive":{"apiKey":"k"}}', { mode: 0o600 });
    const findings = JSON.parse(dmn("doctor", "--json").out) as Finding[];
    const states = ["Massive key", "Alpaca keys"].map((what) => findings.find((one) => one.what === what)?.state);
    assert.deepEqual(states, ["ok", "absent"]);
    fs.rmSync(path.join(root, "keys.json"));
  });
});
