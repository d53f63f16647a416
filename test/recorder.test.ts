/** The recorder: what it keeps, in how many transactions, and what it says when the disk does not follow. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, describe, test } from "node:test";
import { systemClock } from "../src/base/clock.ts";
import { openLog } from "../src/base/log.ts";
import { recorderActor, type Persist, type RecorderOutcome } from "../src/live/actors/recorder.ts";
import { readDay } from "../src/live/recorder/journal.ts";
import { livePlaces } from "../src/live/recorder/places.ts";
import { openRecorderRim } from "../src/live/recorder/rim.ts";
import { makeSession, MINUTE, OPEN, tradingDay } from "./monitor-facts.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-recorder-"));
after(() => { fs.rmSync(folder, { recursive: true }); });
let roots = 0;
const newRoot = (): string => path.join(folder, `root-${roots++}`);
const log = openLog("silent");
const session = makeSession();

function rowsIn(root: string, name: "trading_history" | "performance_metrics", sql: string): Record<string, unknown>[] {
  using sqlite = new DatabaseSync(livePlaces.database(root, name), { readOnly: true });
  return sqlite.prepare(sql).all().map((row) => ({ ...row }));
}

/** The actor and its rim, driven by hand; `outcomes` in the order said. */
async function record(root: string, said = tradingDay()): Promise<RecorderOutcome[]> {
  const actor = recorderActor({ session }), rim = openRecorderRim({ root, session, clock: systemClock, log });
  const outcomes: RecorderOutcome[] = [];
  await rim.start((outcome) => { outcomes.push(outcome); });
  const carry = (effects: readonly unknown[]): void => {
    for (const effect of effects as Persist[]) if (effect.kind === "persist") rim.carryOut(effect);
  };
  for (const [now, message] of said) carry(await actor.handle(message, now));
  carry(await actor.handle({ kind: "control", at: OPEN, action: "stop", by: "user", subject: "", value: "" },
    OPEN + 12 * MINUTE));
  await rim.stop();
  return outcomes;
}

describe("the recorder", () => {
  test("ten minutes become 10 orders, 20 states, 10 fills, 30 decisions, 30 targets, and a journal of all", async () => {
    const root = newRoot(), said = tradingDay();
    const outcomes = await record(root);
    assert.deepEqual(outcomes.map(({ kind }) => kind), ["recovered", "persisted"]);
    const count = (name: "trading_history" | "performance_metrics", table: string): number =>
      Number(rowsIn(root, name, `select count(*) n from ${table}`)[0]["n"]);
    const counts = { orders: 10, order_states: 20, fills: 10, decisions: 30, targets: 30, risk_actions: 10, alerts: 1,
      trading_states: 1, sessions: 1, controls: 1, positions: 10 + 0 };
    for (const [table, n] of Object.entries(counts)) assert.equal(count("trading_history", table), n, table);
    assert.equal(count("performance_metrics", "equity"), 11);
    assert.equal(count("performance_metrics", "latencies"), 10);
    assert.equal(count("performance_metrics", "processes"), 10);
    assert.deepEqual(rowsIn(root, "trading_history",
      "select symbol, quantity, state, filled, average_price, limit_price, broker_id from orders where id = 'o-3'"),
    [{ symbol: "AAA", quantity: 10, state: "filled", filled: 10, average_price: 103, limit_price: null, broker_id: "b-3" }]);
    assert.deepEqual(rowsIn(root, "trading_history", "select symbol, units from positions order by at desc limit 1"),
      [{ symbol: "AAA", units: 100 }]);
    const day = [...readDay(root, "2026-11-20")];
    assert.equal(day.length, said.length + 1);
    said.forEach(([heardAt, message], k) => {
      assert.equal(day[k].heardAt, heardAt);
      assert.deepEqual(day[k].message, message);
      assert.equal(day[k].row, k);
    });
    assert.deepEqual(day[0].session, session);
  });
});
