/** The recorder: what it keeps, in how many transactions, and what it says when the disk does not follow. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after, describe, test } from "node:test";
import { FakeClock, systemClock } from "../src/base/clock.ts";
import { UserError } from "../src/base/error.ts";
import { openLog } from "../src/base/log.ts";
import { recorderActor, type Persist, type RecorderOutcome } from "../src/live/actors/recorder.ts";
import { backupLive, restoreLive } from "../src/live/recorder/backup.ts";
import { recordedEquity } from "../src/live/recorder/database.ts";
import { journalDays, readDay } from "../src/live/recorder/journal.ts";
import { livePlaces } from "../src/live/recorder/places.ts";
import { journalBytes, keepWithin } from "../src/live/recorder/retention.ts";
import { openRecorderRim } from "../src/live/recorder/rim.ts";
import type { WriterOrder, WriterWord } from "../src/live/recorder/writer.ts";
import type { Spoken } from "../src/live/message.ts";
import { decision, makeSession, market, MINUTE, OPEN, tradingDay } from "./monitor-facts.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-recorder-"));
after(() => { fs.rmSync(folder, { recursive: true }); });
let roots = 0;
const newRoot = (): string => path.join(folder, `root-${roots++}`);
const log = openLog("silent"), machine = new FakeClock(OPEN);
const session = makeSession();

function rowsIn(root: string, name: "trading_history" | "performance_metrics", sql: string): Record<string, unknown>[] {
  using sqlite = new DatabaseSync(livePlaces.database(root, name), { readOnly: true });
  return sqlite.prepare(sql).all().map((row) => ({ ...row }));
}

/** The actor and its rim, driven by hand; `outcomes` in the order said. */
async function record(root: string, said = tradingDay()): Promise<RecorderOutcome[]> {
  const actor = recorderActor({ session }), rim = openRecorderRim({ root, session, clock: systemClock, machine, log });
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
    const equities = recordedEquity(livePlaces.database(root, "performance_metrics"), session);
    assert.deepEqual(equities.map(({ equity }) => equity), Array.from({ length: 11 }, (_, k) => 100_000 + 50 * k));
    const day = [...readDay(root, "2026-11-20")];
    assert.equal(day.length, said.length + 1);
    said.forEach(([heardAt, message], k) => {
      assert.equal(day[k].heardAt, heardAt);
      assert.deepEqual(day[k].message, message);
      assert.equal(day[k].row, k);
    });
    assert.deepEqual(day[0].session, session);
  });

  test("a torn tail ends a file quietly; a damaged byte before whole records is refused with its place", async () => {
    const root = newRoot();
    await record(root);
    const place = path.join(livePlaces.journalDay(root, "2026-11-20"), "0001-20261120-143000-a1b2.journal");
    const whole = fs.readFileSync(place), rows = [...readDay(root, "2026-11-20")].length;
    fs.writeFileSync(place, whole.subarray(0, whole.length - 5));
    assert.equal([...readDay(root, "2026-11-20")].length, rows - 1);
    const harmed = Buffer.from(whole);
    harmed[harmed.length >> 1] ^= 0xff;
    fs.writeFileSync(place, harmed);
    assert.throws(() => [...readDay(root, "2026-11-20")], (error: Error) => error instanceof UserError
      && /0001-.*\.journal is damaged at byte \d+: with whole records behind it/.test(error.problem));
    assert.throws(() => [...readDay(root, "2026-11-19")], (error: Error) => error instanceof UserError
      && /nothing was recorded on 2026-11-19/.test(error.problem) && /recorded days: 2026-11-20/.test(error.hint));
  });

  test("a second recorder is refused while one writes, and a second session continues the day in a file of its own", async () => {
    const root = newRoot();
    const first = openRecorderRim({ root, session, clock: systemClock, machine, log });
    await first.start(() => {});
    const second = openRecorderRim({ root, session: makeSession({ id: "later" }), clock: systemClock, machine, log });
    await assert.rejects(second.start(() => {}), (error: Error) => error instanceof UserError
      && /already is writing the recordings of live trading/.test(error.problem));
    await first.stop();
    await record(root);
    await record(root);
    assert.deepEqual(fs.readdirSync(livePlaces.journalDay(root, "2026-11-20")),
      ["0001-20261120-143000-a1b2.journal", "0002-20261120-143000-a1b2.journal"]);
    const count = (table: string): unknown => rowsIn(root, "trading_history", `select count(*) n from ${table}`)[0]["n"];
    assert.deepEqual([count("orders"), count("fills"), count("alerts")], [10, 10, 1], "heard twice counts once");
  });

  test("what is said again is kept once, a revision of it is kept, by the recorder as by who reads two files", async () => {
    const root = newRoot(), bars = [1, 2, 3].map((k) => market(OPEN + k * MINUTE, [100 + k]));
    const again = bars.map((bar) => ({ ...bar, flags: Uint8Array.of(3) }));
    const revised = { ...market(OPEN + MINUTE, [99]), flags: Uint8Array.of(1) };
    const decided = decision(OPEN + MINUTE, [0.5]);
    // Features of the history are in nobody's decision and follow from its bars: not kept at all.
    const past: Spoken = { kind: "features", at: OPEN, instrument: Int32Array.of(0), rows: Float32Array.of(1, 2),
      flags: Uint8Array.of(3) };
    await record(root, [past, ...bars, decided, ...again, decided, revised].map((message) => [OPEN, message] as const));
    // The next recorder is told everything that is retained.
    await record(root, [...again, decided, market(OPEN + 4 * MINUTE, [104])].map((message) => [OPEN, message] as const));
    assert.deepEqual([...readDay(root, "2026-11-20")].filter(({ message }) => message.kind !== "control")
      .map(({ message }) => message), [...bars, decided, revised, market(OPEN + 4 * MINUTE, [104])]);
  });

  test("a damaged database is moved aside and rebuilt from the journals, row for row", async () => {
    const root = newRoot();
    await record(root);
    const tables = ["orders", "fills", "positions", "decisions", "targets", "trading_states", "alerts"];
    const all = (): unknown => tables.map((table) => rowsIn(root, "trading_history", `select * from ${table}`));
    const before = all(), place = livePlaces.database(root, "trading_history");
    fs.writeFileSync(place, Buffer.alloc(20_000, 7));
    const outcomes = await record(root, []);
    assert.match(JSON.stringify(outcomes[0]), /trading_history.db was damaged: moved to .*damaged-1, and \d+ rows rebuilt/);
    assert.deepEqual(all(), before);
    assert.ok(fs.existsSync(`${place}.damaged-1`));
    assert.match(JSON.stringify(rowsIn(root, "trading_history", "select code, text from alerts")), /feed-stale/);
  });

  test("a database whose header alone is damaged is one too, though SQLite calls it an unsupported format", async () => {
    const root = newRoot();
    await record(root);
    const place = livePlaces.database(root, "trading_history"), bytes = fs.readFileSync(place);
    // The schema's format, 1 to 4.
    fs.writeFileSync(place, bytes.fill(0xa5, 40, 48));
    const outcomes = await record(root, []);
    assert.match(JSON.stringify(outcomes[0]), /trading_history.db was damaged: moved to .*damaged-1, and \d+ rows rebuilt/);
  });

  test("a disk that hangs costs what is above the bound, said once, and everything before it is written later", async () => {
    const actor = recorderActor({ session }), outcomes: RecorderOutcome[] = [], posted: WriterOrder[] = [];
    let hear: (word: WriterWord) => void = () => {};
    const rim = openRecorderRim({ root: newRoot(), session, clock: systemClock, machine, log, start: (_task, listen) => {
      hear = listen;
      listen({ word: "ready", found: [] });
      return { post: (order) => { posted.push(order); if ("close" in order) listen({ word: "closed" }); },
        end: () => Promise.resolve() };
    } });
    await rim.start((outcome) => { outcomes.push(outcome); });
    // A minute of 10 instruments each: 51 full flushes of 1,000 messages are more than the queue of 50,000.
    let sent = 0;
    for (let k = 0; k < 51_000; k++) {
      for (const effect of await actor.handle({ kind: "settled", at: OPEN + k, orders: 0 }, OPEN) as Persist[]) {
        rim.carryOut(effect);
        sent++;
      }
    }
    assert.equal(sent, 51);
    assert.equal(posted.length, 50);
    assert.deepEqual(outcomes.filter(({ kind }) => kind === "dropped"),
      [{ kind: "dropped", batch: 50, rows: 0, messages: 1000 }]);
    const [alert] = await actor.handle(outcomes.at(-1)!, OPEN);
    assert.match(JSON.stringify(alert), /"critical","code":"recorder-dropped".*1000 messages so far/);
    assert.deepEqual(await actor.handle(outcomes.at(-1)!, OPEN + 1000), [], "said once a minute");
    for (let k = 0; k < 50; k++) hear({ word: "written", refused: 0 });
    assert.ok(rim.isIdle());
    await rim.stop();
  });

  test("what could not be written is tried again until it can, and nothing is written twice", async () => {
    const root = newRoot(), actor = recorderActor({ session }), outcomes: RecorderOutcome[] = [];
    fs.mkdirSync(root);
    // In the way of the last of four steps: journal and databases have the batch already.
    fs.writeFileSync(path.join(root, "logs"), "");
    const rim = openRecorderRim({ root, session, clock: systemClock, machine, log });
    const { promise: resumed, resolve } = Promise.withResolvers<void>();
    await rim.start((outcome) => {
      outcomes.push(outcome);
      if (outcome.kind === "stuck") fs.rmSync(path.join(root, "logs"));
      if (outcome.kind === "persisted") resolve();
    });
    for (const [now, message] of tradingDay()) await actor.handle(message, now);
    const [effect] = await actor.handle({ kind: "tick", at: 0 }, OPEN + 20 * MINUTE) as Persist[];
    rim.carryOut(effect);
    await resumed;
    await rim.stop();
    assert.match(JSON.stringify(outcomes[1]), /"stuck","reason":".*logs.* is not a folder/);
    assert.deepEqual(outcomes[2], { kind: "persisted", batch: 0, refused: 0, wasStuck: true });
    assert.match(JSON.stringify(await actor.handle(outcomes[1], OPEN)), /"critical","code":"recorder-stuck"/);
    assert.match(JSON.stringify(await actor.handle(outcomes[2], OPEN)), /"info","code":"recorder-resumed"/);
    assert.equal(rowsIn(root, "trading_history", "select count(*) n from order_states")[0]["n"], 20);
    assert.equal([...readDay(root, "2026-11-20")].length, tradingDay().length);
    const lines = fs.readFileSync(livePlaces.log(root, "trading", "2026-11-20"), "utf8").trim().split("\n");
    assert.equal(lines.filter((line) => / fills \{"execution_id":"x-\d+","order_id"/.test(line)).length, 10);
  });

  test("old journals are compressed and then removed, by age and by size, and read the same while they are there", async () => {
    const root = newRoot();
    await record(root);
    const day = [...readDay(root, "2026-11-20")], folderOfDay = livePlaces.journalDay(root, "2026-11-20");
    const [name] = fs.readdirSync(folderOfDay), place = path.join(folderOfDay, name);
    const days = (n: number): number => n * 86_400_000, written = fs.statSync(place).mtimeMs;
    const retention = { daysKept: 30, bytesMax: 1e9 };
    assert.deepEqual(keepWithin(root, written + days(2), retention, place), [], "the file being written stays as it is");
    assert.deepEqual(fs.readdirSync(folderOfDay), [name]);
    const plain = fs.statSync(place).size;
    keepWithin(root, written + days(2), retention, null);
    assert.deepEqual(fs.readdirSync(folderOfDay), [`${name}.zst`]);
    assert.ok(journalBytes(root) < plain / 2);
    assert.deepEqual([...readDay(root, "2026-11-20")], day);
    keepWithin(root, written + days(29), retention, null);
    assert.equal(fs.readdirSync(folderOfDay).length, 1, "its age is that of its last write, not of its compression");
    const said = keepWithin(root, written + days(3), { daysKept: 30, bytesMax: 100 }, null);
    assert.match(said.join(), /0001-.*zst was removed: all journals together were above 100 bytes/);
    assert.ok(!fs.existsSync(folderOfDay));
    await record(root);
    keepWithin(root, Date.now() + days(31), retention, null);
    assert.deepEqual(journalDays(root), []);
  });

  test("a backup of a running session restores bit for bit; a changed byte or a running recorder is refused", async () => {
    const root = newRoot(), copy = newRoot(), other = newRoot();
    await record(root);
    const rim = openRecorderRim({ root, session, clock: systemClock, machine, log });
    await rim.start(() => {});
    const manifest = await backupLive(root, copy, OPEN);
    assert.deepEqual(manifest.files.map(({ path: file }) => file), [
      "storage/live/journal/2026-11-20/0001-20261120-143000-a1b2.journal",
      "storage/trading_history.db", "storage/performance_metrics.db"]);
    assert.throws(() => restoreLive(root, copy), (error: Error) => error instanceof UserError
      && /is writing the recordings of live trading/.test(error.problem));
    await rim.stop();
    assert.deepEqual(restoreLive(other, copy), { files: 3, movedTo: null });
    assert.deepEqual([...readDay(other, "2026-11-20")], [...readDay(root, "2026-11-20")]);
    assert.equal(rowsIn(other, "trading_history", "select count(*) n from fills")[0]["n"], 10);
    const again = restoreLive(other, copy);
    assert.equal(again.movedTo, path.join(other, "storage.before-restore-1"));
    assert.ok(fs.existsSync(path.join(again.movedTo, "trading_history.db")));
    await assert.rejects(backupLive(root, copy, OPEN), /is there already/);
    const harmed = path.join(copy, manifest.files[0].path), bytes = fs.readFileSync(harmed);
    bytes[100] ^= 1;
    fs.writeFileSync(harmed, bytes);
    assert.throws(() => restoreLive(other, copy), /journal is missing or not what was backed up/);
    fs.rmSync(path.join(copy, "manifest.json"));
    assert.throws(() => restoreLive(other, copy), /is no whole backup: it has no manifest.json/);
  });

  test("a kill -9 in the middle of writing loses no acknowledged row, in journal and databases, six times over", async () => {
    for (let seed = 0; seed < 6; seed++) {
      const root = newRoot();
      const child = spawn(process.execPath, [path.join(import.meta.dirname, "recorder-child.ts"), root],
        { stdio: ["ignore", "pipe", "inherit"] });
      let acknowledged = -1;
      const { promise: died, resolve } = Promise.withResolvers<void>();
      child.on("exit", () => { resolve(); });
      for await (const line of createInterface({ input: child.stdout })) {
        acknowledged = Math.max(acknowledged, Number(line));
        // At another place in each run, while the next batches are on their way.
        if (acknowledged >= 3 + 2 * seed) child.kill("SIGKILL");
      }
      await died;
      const recorded = [...readDay(root, "2026-11-20")];
      const journalled = new Set(recorded.map(({ message }) => message.at));
      const filled = new Set(rowsIn(root, "trading_history", "select at from fills").map(({ at }) => at));
      for (let k = 0; k < 50 * (acknowledged + 1); k++) {
        assert.ok(journalled.has(OPEN + k), `seed ${seed}: message ${k} of ${acknowledged} batches is not in the journal`);
        assert.ok(filled.has(OPEN + k), `seed ${seed}: fill ${k} of ${acknowledged} batches is not in the database`);
      }
      assert.equal(rowsIn(root, "trading_history", "pragma integrity_check")[0]["integrity_check"], "ok");
      // And the next recorder goes on from there.
      const outcomes = await record(root, []);
      assert.deepEqual(outcomes[0], { kind: "recovered", found: [] });
    }
  });
});
