/** `dmn bench live`: its parts at tiny sizes. What they measure is the machine's business; that they measure is ours. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { openLog } from "../src/base/log.ts";
import type { Hop } from "../src/live/actors/performance.ts";
import type { Bench } from "../src/workflow/bench.ts";
import { hopRows } from "../src/workflow/bench/live.ts";
import { orderRows } from "../src/workflow/bench/live-orders.ts";
import { latencyRow } from "../src/workflow/bench/live-rows.ts";
import { reportRows } from "../src/workflow/bench/live-session.ts";
import { wireRows } from "../src/workflow/bench/live-wire.ts";
import { workRows } from "../src/workflow/bench/live-work.ts";
import type { BenchRow } from "../src/workflow/bench/row.ts";
import type { LiveReport } from "../src/workflow/live/live.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-bench-live-test-"));
after(() => { fs.rmSync(root, { recursive: true }); });
const bench = { context: { root, log: openLog("silent", () => {}), signal: new AbortController().signal }, hasPeers: false,
  isQuick: true, device: null, models: null, note() {} } as unknown as Bench;

function assertSchema(rows: readonly BenchRow[], least: number): void {
  assert.ok(rows.length >= least, `${rows.length} rows`);
  for (const row of rows) {
    assert.equal(row.suite, "live");
    assert.ok(row.value >= 0 && row.p99 >= 0 && row.rounds > 0, `${row.name}: ${row.value}`);
    assert.match(row.machine, /GiB, node v/);
    assert.ok(row.pass === null || typeof row.pass === "boolean");
    if (row.target === null && row.maximum === null) assert.equal(row.pass, null, row.name);
    if (row.p999 !== undefined) assert.ok(row.p50 <= row.p99 && row.p99 <= row.p999, row.name);
  }
}
const named = (rows: readonly BenchRow[], name: RegExp): BenchRow => {
  const row = rows.find((one) => name.test(one.name));
  assert.ok(row, `${name}`);
  return row;
};

describe("rows of latencies", () => {
  const spread = { count: 1_000, p50: 40, p99: 150, p999: 900 };

  test("a median of 40 us and a worst percent of 150 us are within 50 and 200; either beyond its own limit is a miss", () => {
    assert.equal(latencyRow("a", spread, [50, 200], "").pass, true);
    assert.equal(latencyRow("a", { ...spread, p50: 51 }, [50, 200], "").pass, false);
    assert.equal(latencyRow("a", { ...spread, p99: 201 }, [50, 200], "").pass, false);
    assert.equal(latencyRow("a", spread, null, "").pass, null);
  });

  test("a peer with a median of 80 us is half as fast: ratio 2, its tail beside its name", () => {
    const row = latencyRow("a", spread, null, "", { peer: "pyzmq 27", values: [80], p99: 300.4, p999: 1_000 });
    assert.deepEqual([row.peer, row.peerValue, row.ratio, row.p999], ["pyzmq 27, p99 300 us", 80, 2, 900]);
  });
});

test("the hops of the empty graph: four and all of them, under one load, nothing missed", async () => {
  const rows = await hopRows(bench, 0.2, ["100/s"]);
  assertSchema(rows, 5);
  assert.equal(rows.length, 5);
  for (const { note, rounds } of rows) {
    assert.match(note, /^20 messages of 30 instruments, 100\/s, 0 missed/);
    assert.equal(rounds, 20);
  }
});

test("the wire: a step of 30 bars is 1.9 KB, facts cross with and without CURVE, cancels in a flood are answered", async () => {
  const rows = await wireRows({ seconds: 0.2, rounds: 2 });
  assertSchema(rows, 15);
  // 30 x 7 float64, 30 indexes, 30 flags, and a header.
  const { value } = named(rows, /^size: market, 30 bars/);
  assert.ok(value > 30 * 7 * 8 + 30 * 5 && value < 30 * 7 * 8 + 30 * 5 + 200, `${value} bytes`);
  for (const row of rows.filter(({ unit }) => unit === "points/s")) {
    assert.ok(row.value > 0);
    assert.match(row.note, /heard, \d+ beyond that dropped/, row.name);
  }
  assert.equal(named(rows, /^cancel in a flood$/).rounds, 40);
});

test("work of the actors: updates, predictions and risk calculations are counted", async () => {
  assertSchema(await workRows(root, { rounds: 1, steps: 5, calculations: 2_000 }), 6);
});

test("orders: each of those sent at its time is timed, and rounds of many at once are counted", async () => {
  const rows = await orderRows(bench, { paced: 10, orders: 40, rounds: 2 });
  assertSchema(rows, 2);
  assert.equal(rows[0].rounds, 10);
});

test("a session's report becomes rows: known meters with claims for one model, the whole way for the ensemble", () => {
  const hop = (name: string, p50: number, p99: number): Hop => ({ name, count: 100, errors: 0, bytes: 10_240, mean: p50, p50,
    p95: p99, p99, p999: p99, max: p99, perSecond: 10, compression: 1, targetUs: NaN, maximumUs: NaN, verdict: "no target" });
  const report = { hops: [hop("tick to order", 4_000, 14_000), hop("inference", 900, 6_000), hop("market -> recorder", 1, 2)],
    processes: [{ name: "feed", cpuShare: 0.25, memoryBytes: 100 * 2 ** 20 }, { name: "lstm-1", cpuShare: 0.5,
      memoryBytes: 50 * 2 ** 20 }], decisions: 99, orders: 7, seconds: 10 } as unknown as LiveReport;
  const small = reportRows(report, "small", { seconds: 10, pace: 10 });
  assertSchema(small, 5);
  assert.deepEqual(small.map(({ name, value, pass }) => [name.replace("session, small: ", ""), value, pass]), [
    ["tick to order", 4_000, true], ["inference", 900, false], ["CPU of all processes", 0.75, null],
    ["memory of all processes", 150, null], ["network, heard by all", 3, null]]);
  assert.deepEqual(reportRows(report, "ensemble", { seconds: 10, pace: 10 }).map(({ pass }) => pass), [null, null, null]);
});
