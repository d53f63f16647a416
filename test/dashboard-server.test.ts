/** The dashboard's server: who is answered, what is told, and that nobody waits for a client. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { openLog } from "../src/base/log.ts";
import { startDashboard, type Dashboard } from "../src/live/dashboard/server.ts";
import { account, makeSession, OPEN, tradingDay } from "./monitor-facts.ts";

const TOKEN = "t".repeat(43);
const open = (port = 0): Promise<Dashboard> => startDashboard({ session: makeSession(), port, token: TOKEN,
  control: (action) => Promise.resolve({ ok: true, text: `${action} done` }),
  monitors: { hops: () => [], processes: () => [] }, log: openLog("silent") });

describe("the dashboard's server", () => {
  test("tells the state as JSON to who has the token", async () => {
    await using dashboard = await open();
    for (const [now, message] of tradingDay()) await dashboard.actor.handle(message, now);
    await dashboard.actor.handle(account(OPEN + 3_600_000, 99_000, [100, 0, 0]), OPEN);
    const url = new URL("/api/state", dashboard.address);
    const response = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } });
    assert.equal(response.status, 200);
    const state = await response.json() as { account: { equity: number; gain: number }; fills: unknown[] };
    assert.equal(state.account.equity, 99_000);
    assert.equal(state.account.gain, -1000);
    assert.equal(state.fills.length, 10);
    assert.equal((await fetch(url)).status, 401);
  });
});
