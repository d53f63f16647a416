/** The journal of intents where a disk fails in the middle, and the rim where orders wait too long to leave. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import realFs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import type { Clock } from "../src/base/clock.ts";
import { openLog } from "../src/base/log.ts";
import type { Broker, BrokerListener, OrderRequest, SubmitOutcome } from "../src/live/brokers/broker.ts";
import type { ExecutionOutcome, JournalRecord } from "../src/live/execution/effect.ts";
import { CallQueue } from "../src/live/execution/call-queue.ts";
import { openIntentJournal } from "../src/live/execution/intent-journal.ts";
import { openExecutionRim } from "../src/live/execution/rim.ts";
import type { TimeMs } from "../src/base/units.ts";
import { sessionOf } from "./execution-world.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-journal-"));
after(() => { fs.rmSync(root, { recursive: true, force: true }); });
const folder = (): string => fs.mkdtempSync(path.join(root, "j-"));
const record = (at: number): JournalRecord => ({ t: "decided", at });
const times = (place: string): number[] => {
  using journal = openIntentJournal(place);
  return journal.recovered.map((one) => one.t === "decided" ? one.at : NaN);
};

/** Runs with one function of node:fs replaced. */
function withFs<Name extends "writeSync" | "renameSync" | "fsyncSync" | "fdatasyncSync">(name: Name,
  replacement: (typeof fs)[Name], run: () => void): void {
  const original = realFs[name];
  realFs[name] = replacement;
  syncBuiltinESMExports();
  try { run(); } finally { realFs[name] = original; syncBuiltinESMExports(); }
}
const full = (): never => { throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" }); };

describe("a disk that is full", () => {
  test("in the middle of a record: it throws, its half is cut off, and the next record is read back", () => {
    const place = folder(), write = realFs.writeSync;
    using journal = openIntentJournal(place);
    journal.append([record(1)], true);
    let calls = 0;
    const half = ((descriptor: number, bytes: Uint8Array, from: number, _: number, place: number) => calls++ === 0
      ? write(descriptor, bytes, from, 20, place) : full()) as typeof fs.writeSync;
    withFs("writeSync", half, () => { assert.throws(() => journal.append([record(2)], true), /is full/); });
    assert.equal(calls, 2);
    journal.append([record(3)], true);
    assert.deepEqual(times(place), [1, 3]);
  });

  test("at the flush of a record: it did not count, and is not there later", () => {
    const place = folder();
    using journal = openIntentJournal(place);
    journal.append([record(1)], true);
    withFs("fdatasyncSync", full, () => { assert.throws(() => journal.append([record(2)], true), /is full/); });
    journal.append([record(3)], true);
    assert.deepEqual(times(place), [1, 3]);
  });

  test("while it is made short: before the rename the long one goes on, after it the short one does", () => {
    for (const name of ["writeSync", "renameSync", "fsyncSync"] as const) {
      const place = folder();
      using journal = openIntentJournal(place);
      journal.append([record(1), record(2)], true);
      // The first flush is that of the new file itself.
      let flushes = 0;
      const flush = realFs.fsyncSync, fail = name !== "fsyncSync" ? full
        : ((descriptor: number) => flushes++ === 0 ? flush(descriptor) : full()) as typeof fs.fsyncSync;
      withFs(name, fail as never, () => { assert.throws(() => journal.replace([record(9)]), /is full/, name); });
      journal.append([record(3)], true);
      assert.deepEqual(times(place), name === "fsyncSync" ? [9, 3] : [1, 2, 3], name);
      assert.deepEqual(fs.readdirSync(place), ["intents.journal"], name);
    }
  });

  test("made short, then written on: both are read back", () => {
    const place = folder();
    using journal = openIntentJournal(place);
    journal.append([record(1), record(2)], true);
    journal.replace([record(2)]);
    journal.append([record(3)], true);
    journal.replace([record(3)]);
    journal.append([record(4)], true);
    assert.deepEqual(times(place), [3, 4]);
  });
});

test("each venue has its journal: what was meant for paper is no order for real money", () => {
  const place = folder();
  for (const [at, venue] of (["simulator", "alpaca-paper", "alpaca-live"] as const).entries()) {
    using journal = openIntentJournal(place, venue);
    assert.equal(journal.recovered.length, 0);
    journal.append([record(at)], true);
  }
  using journal = openIntentJournal(place, "alpaca-paper");
  assert.deepEqual(journal.recovered, [record(1)]);
});

describe("orders that wait to leave", () => {
  const order: OrderRequest = { id: "a", symbol: "AAA", quantity: 1, type: "market", limitPrice: null, timeInForce: "day",
    isExtendedHours: false };

  /** A rim of so many calls a minute, whose clock is moved by hand. */
  async function rimOf(callsPerMinute: number): Promise<{ heard: ExecutionOutcome[]; sent: string[]; listener: BrokerListener;
    submit: (id: string, goodForMs: number) => void; pass: (ms: number) => Promise<void>; stop: () => Promise<void> }> {
    let now = 0, listener: BrokerListener | null = null;
    const heard: ExecutionOutcome[] = [], sent: string[] = [], sleepers: { at: number; wake: () => void }[] = [];
    const broker = {
      submit: ({ id }: OrderRequest): Promise<SubmitOutcome> => {
        sent.push(id);
        return Promise.resolve({ outcome: "duplicate" });
      },
      listen: (one: BrokerListener) => { listener = one; }, [Symbol.asyncDispose]: () => Promise.resolve(),
    } as unknown as Broker;
    const clock: Clock = { now: () => now as TimeMs,
      sleep: (ms) => new Promise<void>((wake) => { sleepers.push({ at: now + ms, wake }); }) };
    const session = sessionOf(["AAA"], { execution: { style: "market", slices: 1, timeoutMs: 1_000, callsPerMinute } });
    const journal = { recovered: [], tornBytes: 0, append: () => {}, replace: () => {}, [Symbol.dispose]: () => {} };
    const rim = openExecutionRim({ session, folder: "", journal, broker, clock, log: openLog("silent") });
    await rim.start((outcome) => { heard.push(outcome); });
    const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    return { heard, sent, listener: listener!, stop: () => rim.stop(),
      submit: (id, goodForMs) => { rim.carryOut({ kind: "submit", order: { ...order, id }, goodForMs }); },
      pass: async (ms) => {
        for (const until = now + ms; now < until;) {
          now += 1_000;
          for (const one of sleepers.splice(0)) if (one.at <= now) one.wake(); else sleepers.push(one);
          await settle();
        }
      } };
  }
  const withdrawn = (heard: readonly ExecutionOutcome[]): string[] => heard.flatMap((one) =>
    one.kind === "submitted" && one.outcome.outcome === "rejected" && one.outcome.code === "withdrawn" ? [one.id] : []);

  test("whose turn comes after their price has grown old never leave", async () => {
    const { heard, sent, listener, submit, pass, stop } = await rimOf(2);
    listener.stream(true, "listening");
    submit("now", 30_000);
    submit("then", 30_000);
    submit("late", 30_000);
    submit("patient", 200_000);
    await pass(150_000);
    assert.deepEqual([sent, withdrawn(heard)], [["now", "then", "patient"], ["late"]]);
    await stop();
  });

  test("a clock that is set back an hour in the middle of a 429 keeps no cancel waiting for it to catch up", async () => {
    let now = 7_200_000, calls = 0;
    const clock: Clock = { now: () => now as TimeMs, sleep: () => new Promise<void>(() => {}) };
    const queue = new CallQueue(clock, 100), call = (): Promise<void> => { calls++; return Promise.resolve(); };
    queue.add("submit", 1, call);
    queue.pause(1_000);
    now -= 3_600_000;
    queue.add("cancel", 1, call);
    assert.equal(calls, 2);
    queue.close();
    await Promise.resolve();
  });

  test("never leave while the stream of updates is gone, heard of by the actor or not", async () => {
    const { heard, sent, listener, submit, pass, stop } = await rimOf(200);
    submit("before", 30_000);
    listener.stream(true, "listening");
    submit("on", 30_000);
    listener.stream(false, "cut");
    submit("off", 30_000);
    await pass(2_000);
    assert.deepEqual([sent, withdrawn(heard)], [["on"], ["before", "off"]]);
    await stop();
  });
});
