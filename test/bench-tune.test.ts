/** `dmn bench tune` at tiny sizes. What it measures is the machine's business; that it measures is ours. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { openLog } from "../src/base/log.ts";
import type { Bench } from "../src/workflow/bench.ts";
import type { BenchRow } from "../src/workflow/bench/row.ts";
import { run } from "../src/workflow/bench/tune.ts";
import { askPython, NO_PYTHON, python } from "./python.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-bench-tune-test-"));
after(() => { fs.rmSync(root, { recursive: true }); });
const bench = { context: { root, log: openLog("silent", () => {}), signal: new AbortController().signal }, hasPeers: false,
  isQuick: true, device: null, models: null, note() {} } as unknown as Bench;

let rows: readonly BenchRow[] = [];

test("every row has the schema: a positive figure, its rounds, a verdict where something is promised", async () => {
  rows = await run(bench);
  for (const row of rows) {
    assert.equal(row.suite, "tune");
    assert.ok(row.value > 0 && row.p99 > 0 && row.rounds > 0, `${row.name}: ${row.value}`);
    assert.match(row.machine, /GiB, node v/);
    assert.equal(row.pass === null, row.target === null && row.maximum === null, row.name);
    if (row.p999 !== undefined) assert.ok(row.p50 <= row.p99 && row.p99 <= row.p999, row.name);
    assert.deepEqual([row.peer, row.peerValue, row.ratio], [null, null, null]);
  }
});

test("samplers, fronts, the journal and the way to the coordinator are in it, each once", () => {
  assert.equal(new Set(rows.map(({ name }) => name)).size, rows.length);
  for (const name of ["nsga3 M=3 D=10 n=0", "nsga3 M=11 D=10 n=1,000", "tpe M=1 D=20 n=1,000", "tpe M=11 D=10 n=100",
    "survival, 264 trials M=11", "hypervolume, exact, 15 M=11", "hypervolume, sampled, 100 M=11", "asked, told and on the disk",
    "1,000 trials from snapshot", "1,000 trials from journal", "report and answer, 1 worker",
    "told and next trial, 16 workers"]) {
    assert.ok(rows.some((row) => row.name === name), name);
  }
});

test("the limits are those of the design: 0.2 ms, 2 ms, 2,000 a second, 1 and 5 ms", () => {
  const limits = new Map(rows.map(({ name, target, maximum }) => [name, [target, maximum]]));
  assert.deepEqual(limits.get("nsga3 M=11 D=10 n=1,000"), [null, 0.2]);
  assert.deepEqual(limits.get("survival, 264 trials M=11"), [null, 2]);
  assert.deepEqual(limits.get("asked, told and on the disk"), [2_000, null]);
  assert.deepEqual(limits.get("report and answer, 1 worker"), [1, 5]);
});

test("the peer's script answers each question with its name and a figure a round",
  { skip: python() === null && NO_PYTHON }, (context) => {
    const place = path.join(import.meta.dirname, "peers", "tune_peer.py");
    const sampler = { what: "sampler", sampler: "nsga3", objectives: 3, dimensions: 3, told: 5, block: 2, rounds: 2 };
    for (const question of [sampler, { ...sampler, sampler: "tpe", objectives: 1 },
      { what: "survival", losses: [0, 1, 1, 0, 2, 2], objectives: 2, keep: 2, directions: [0, 1, 1, 0], rounds: 2 },
      { what: "hypervolume", points: [[0, 1], [1, 0]], reference: [2, 2], rounds: 2 },
      { what: "journal", objectives: 2, dimensions: 3, trials: 2, rounds: 2, folder: root },
      { what: "open", place: path.join(root, "optuna.log"), rounds: 2 }]) {
      try {
        const { peer, values } = askPython(`import sys\nsys.argv = ["", ${JSON.stringify(JSON.stringify(question))}]\n`
          + fs.readFileSync(place, "utf8"), null) as { peer: string; values: number[] };
        assert.match(peer, /^Optuna 5\.0\.0 /);
        assert.equal(values.length, 2);
        assert.ok(values.every((value) => value > 0), `${question.what}: ${values.join(" ")}`);
      } catch (error) {
        if (!/No module named 'optuna'/.test(String(error))) throw error;
        context.skip(`${NO_PYTHON} (without optuna)`);
        return;
      }
    }
  });
