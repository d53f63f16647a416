/** `dmn live` from start to end: the real processes on a small replay. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { dmn, fetchMarket, freePorts, Graph, processesOf, temporaryRoot } from "./live-graph.ts";

const root = temporaryRoot();
const NO_PROC = process.platform === "linux" ? false : "processes are found in /proc, which only Linux has";
before(() => { fetchMarket(root); });
after(() => { fs.rmSync(root, { recursive: true, force: true }); });

describe("a run of the whole graph", { skip: NO_PROC }, () => {
  test("a stepped replay decides once per session, settles every order, ends by itself and leaves nothing running", async (t) => {
    const graph = new Graph(root, await freePorts(), ["--pace", "max", "--from", "2019-12-02"]);
    t.after(() => { graph.kill(); });
    await graph.until(/running: 10 processes/);
    const { code, report, said } = await graph.end();
    assert.equal(code, 0, said);
    assert.equal(report!.ended, "the replay is over");
    // Invented futures trade on all weekdays: from Monday, 2 December 2019, to Tuesday the 31st there are 22.
    assert.equal(report!.decisions, 22, said);
    assert.equal(report!.openOrders, 0);
    assert.equal(report!.orders, report!.fills);
    assert.ok(report!.orders > 22, `${report!.orders} orders`);
    assert.equal(report!.isReconciled, true);
    assert.equal(report!.restarts, 0, said);
    assert.deepEqual([...processesOf(root)], []);
    assert.equal(fs.existsSync(path.join(root, "storage", "live", "access-keys.json")), false);
  });

  test("it answers status, refuses a second instance by its pid, halts, resumes, and Ctrl-C ends everything", async (t) => {
    const graph = new Graph(root, await freePorts(), ["--pace", "2", "--from", "2019-01-02"]);
    t.after(() => { graph.kill(); });
    await graph.until(/running: 10 processes/);
    const first = await graph.untilStatus(({ decisions }) => decisions > 1, "two decisions");
    assert.equal(first.pid, graph.pid);
    assert.deepEqual(first.processes.map(({ name }) => name),
      ["simulator", "recorder", "monitor", "execution", "decision", "meta",
      "trend", "macd-1", "features", "feed"]);
    assert.ok(first.processes.every(({ state }) => state === "running"));
    const second = dmn(root, "live", "--replay", "small", "--models", "tsmom");
    assert.equal(second.code, 2);
    assert.match(second.said, new RegExp(`runs here already \\(process ${graph.pid}\\)`));
    assert.match(second.said, /dmn live stop/);
    assert.equal(dmn(root, "live", "halt").said, "");
    await graph.untilStatus(({ tradingState }) => tradingState === "HALTED", "halted");
    assert.equal(dmn(root, "live", "resume").said, "");
    await graph.untilStatus(({ tradingState }) => tradingState === "ACTIVE", "active");
    graph.signal("SIGINT");
    const { code, report, said } = await graph.end();
    assert.equal(code, 0, said);
    assert.equal(report!.ended, "Ctrl-C");
    assert.deepEqual([...processesOf(root)], []);
  });
});
