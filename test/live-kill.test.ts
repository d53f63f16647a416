/** Deaths in the real graph: killed, frozen, orphaned processes. Orders are counted at the broker. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { after, before, describe, test } from "node:test";
import { fetchMarket, freePorts, Graph, PATIENCE_MS, processesOf, temporaryRoot } from "./live-graph.ts";

const root = temporaryRoot();
const NO_PROC = process.platform === "linux" ? false : "processes are found in /proc, which only Linux has";
before(() => { fetchMarket(root); });
after(() => { fs.rmSync(root, { recursive: true, force: true }); });

interface Order { readonly client_order_id: string; readonly status: string }

/** Resolves when none of these processes is there any more. */
async function untilGone(): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; processesOf(root).size > 0;) {
    assert.ok(performance.now() < deadline, `still there: ${[...processesOf(root).keys()].join(", ")}`);
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, 20);
    await promise;
  }
}

describe("deaths", { skip: NO_PROC }, () => {
  test("killed one after the other, each process comes back, trading goes on, and no order is sent twice", async (t) => {
    const graph = new Graph(root, await freePorts(), ["--pace", "5", "--from", "2017-01-02"]);
    t.after(() => { graph.kill(); });
    await graph.until(/running: 10 processes/);
    await graph.untilStatus(({ orders }) => orders > 0, "orders");
    const names = ["features", "trend", "decision", "execution", "recorder"];
    for (const name of names) {
      process.kill(graph.processes().get(name)!, "SIGKILL");
      await graph.untilStatus(({ processes }) => processes.some((one) => one.name === name && one.restarts > 0), name);
    }
    const back = await graph.untilStatus(({ processes }) => processes.every(({ state }) => state === "running"), "all back");
    // On a machine that is very busy one more may have been silent for too long.
    assert.ok(back.restarts >= names.length, graph.said);
    await graph.untilStatus(({ decisions, fills }) => decisions > back.decisions + 3 && fills > back.fills, "trading again");
    const orders = await graph.broker("/v2/orders?status=all&limit=500") as Order[];
    assert.ok(orders.length > 0);
    assert.equal(new Set(orders.map((one) => one.client_order_id)).size, orders.length);
    graph.signal("SIGINT");
    const { code, report, said } = await graph.end();
    assert.equal(code, 0, said);
    assert.equal(report!.isReconciled, true);
    assert.equal(report!.tradingState, "ACTIVE", said);
  });

  test("a frozen process is ended and replaced; when the supervisor is killed, all others end by themselves", async (t) => {
    const graph = new Graph(root, await freePorts(), ["--pace", "2", "--from", "2017-01-02"]);
    t.after(() => { graph.kill(); });
    await graph.until(/running: 10 processes/);
    const frozen = graph.processes().get("macd-1")!;
    process.kill(frozen, "SIGSTOP");
    await graph.until(/macd-1 has been silent for \d+ ms; it is ended/);
    await graph.untilStatus(({ processes }) =>
      processes.every(({ state, pid }) => state === "running" && pid !== frozen), "replaced");
    assert.equal(graph.processes().size, 10);
    graph.signal("SIGKILL");
    await graph.end();
    await untilGone();
  });
});
