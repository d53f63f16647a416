/** Coordinator and workers over the wire, in one process: what they refuse, give back, and outlive. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import realFs, * as fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { systemClock } from "../src/base/clock.ts";
import { UserError } from "../src/base/error.ts";
import { askCoordinator, askStatus } from "../src/tune/ask.ts";
import { startCoordinator, type Coordinator } from "../src/tune/coordinator.ts";
import { openStudyKeys, readWorkerSecret, workerSecret, workerSecurity, type WorkerKeys } from "../src/tune/keys.ts";
import { contentOf, type Reply } from "../src/tune/protocol.ts";
import { searchOf } from "../src/tune/search.ts";
import { createStudy, openStudy, readStudy, type StudyStore } from "../src/tune/study-journal.ts";
import type { Terms } from "../src/tune/study.ts";
import { runWorker, type RunTrial, type WorkerEnd } from "../src/tune/worker.ts";
import { openRequester } from "../src/wire/socket.ts";
import { freePorts } from "./ports.ts";
import { outcomesOf, toyRun, toyTerms, toyValues } from "./tune-toy.ts";

const HOME = fs.mkdtempSync(path.join(tmpdir(), "dmn-tune-wire-"));
after(() => { fs.rmSync(HOME, { recursive: true, force: true }); });
let studies = 0;

interface Running extends AsyncDisposable {
  store: StudyStore; coordinator: Coordinator; keys: WorkerKeys; port: number; folder: string;
}
async function begin(changes: Partial<Terms> = {}): Promise<Running> {
  const folder = path.join(HOME, `toy-${++studies}`), port = await freePorts();
  return coordinate(createStudy({ folder, terms: toyTerms(changes), at: systemClock.now() }), port);
}
async function coordinate(store: StudyStore, port: number): Promise<Running> {
  const { folder } = store, keys = openStudyKeys(folder);
  const start = (): Promise<Coordinator> => startCoordinator({ store, search: searchOf(store.study.begun), clock: systemClock,
    port, keys, workersMax: 4, beatMs: 50, leaseMs: 5_000 });
  let coordinator: Coordinator | null = null;
  // A socket that was just closed leaves its port in its own time.
  while (coordinator === null) coordinator = await start().catch(() => null);
  const running = coordinator;
  return { store, coordinator, keys: readWorkerSecret(workerSecret(keys)), port, folder,
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    } };
}
const work = (port: number, run: RunTrial, changes: Partial<Parameters<typeof runWorker>[0]> = {}): Promise<WorkerEnd> =>
  runWorker({ address: `tcp://127.0.0.1:${port}`, study: "toy", worker: `w${++studies}`, version: "v1",
    signal: new AbortController().signal, prepare: () => Promise.resolve(run), patienceMs: 20_000, ...changes });
const problem = (text: RegExp) => (error: unknown): boolean => error instanceof UserError && text.test(error.problem);
/** An objective that says when it has begun, and goes on when it is let. */
function gate(): { run: RunTrial; begun: Promise<void>; open: () => void } {
  const begun = Promise.withResolvers<void>(), opened = Promise.withResolvers<void>();
  const run: RunTrial = async (trial) => {
    begun.resolve();
    const { promise, reject } = Promise.withResolvers<never>();
    trial.signal.addEventListener("abort", () => { reject(trial.signal.reason as Error); });
    await Promise.race([opened.promise, promise]);
    return { values: toyValues(trial.point, 1), violations: {}, statistics: {} };
  };
  return { run, begun: begun.promise, open: () => { opened.resolve(); } };
}

describe("workers that do not belong", () => {
  test("another version or study, a wrong token and keys of another study: a sentence each, and the study goes on", async () => {
    await using study = await begin({ trials: 2 });
    const { port, keys } = study, run = toyRun(1);
    await assert.rejects(work(port, run, { keys, version: "v2" }),
      problem(/^the worker is of version v2, the study "toy" of v1$/));
    await assert.rejects(work(port, run, { keys, study: "other" }), problem(/runs the study "toy", not "other"$/));
    await assert.rejects(work(port, run, { keys: { ...keys, secret: "guessed" } }), problem(/^wrong token for the study "toy"$/));
    const strange = openStudyKeys(path.join(HOME, "strange"));
    const wrong = { ...readWorkerSecret(workerSecret(strange)), serverKey: keys.serverKey };
    await assert.rejects(work(port, run, { keys: wrong }), problem(/does not take this worker's keys/));
    assert.throws(() => readWorkerSecret("not keys"), problem(/^DMN_TUNE_KEYS holds no keys/));
    assert.deepEqual((await work(port, run, { keys })).why, "over");
    await study.coordinator.over;
  });

  test("a coordinator that is not there is waited for, and after 300 ms given up in a sentence", async () => {
    const port = await freePorts();
    await assert.rejects(work(port, toyRun(1), { patienceMs: 300 }), problem(/has not answered for \d+ s$/));
  });
});

describe("group commit", () => {
  test("16 results that come together are on the disk before any is acknowledged, in fewer than 16 writes", async () => {
    await using study = await begin({ trials: 16, pruner: null });
    const { port, keys, folder } = study, { fdatasyncSync } = realFs;
    const requester = await openRequester({ address: `tcp://127.0.0.1:${port}`, sender: "many", security: workerSecurity(keys) });
    const ask = async (worker: string, question: object): Promise<Reply> => {
      const answer = await requester.ask(contentOf({ study: "toy", secret: keys.secret, worker, ...question }, 0));
      assert.ok(answer.outcome === "answered");
      return answer.packet.meta as Reply;
    };
    const workers = Array.from({ length: 16 }, (_, k) => `w${k}`);
    const assigned = await Promise.all(workers.map(async (worker) => {
      const reply = await ask(worker, { ask: "work" });
      assert.ok(reply.reply === "work");
      return reply.work;
    }));
    let writes = 0;
    realFs.fdatasyncSync = (descriptor) => { writes++; fdatasyncSync(descriptor); };
    syncBuiltinESMExports();
    try {
      await Promise.all(assigned.map(async ({ trial, attempt, token, point }, k) => {
        const end = { trial, attempt, token, worker: workers[k], how: "done", reason: "", values: toyValues(point, 1),
          violations: {}, statistics: {} };
        assert.deepEqual(await ask(workers[k], { ask: "tell", end }), { reply: "taken", isKnown: true });
        assert.equal(readStudy(folder).stateOf(trial), "complete");
      }));
    } finally {
      realFs.fdatasyncSync = fdatasyncSync;
      syncBuiltinESMExports();
      requester.close();
    }
    assert.ok(writes >= 1 && writes < 16, String(writes));
  });
});

describe("a study over the wire", () => {
  test("20 trials by 3 workers; status says so, and workers end by themselves", async () => {
    await using study = await begin();
    const { port, keys, coordinator } = study, address = `tcp://127.0.0.1:${port}`;
    const gated = gate(), first = work(port, gated.run, { keys, worker: "slow" });
    await gated.begun;
    const status = await askStatus({ address, study: "toy", keys, clock: systemClock });
    assert.deepEqual([status?.leased, status?.waiting, status?.wanted, status?.workers[0].worker], [1, 19, 4, "slow"]);
    assert.equal(status?.workers[0].trial, 0);
    const others = [work(port, toyRun(2), { keys }), work(port, toyRun(2), { keys })];
    gated.open();
    const ends = await Promise.all([first, ...others]);
    await coordinator.over;
    assert.deepEqual(ends.map(({ why }) => why), ["over", "over", "over"]);
    assert.equal(ends.reduce((sum, { trials }) => sum + trials, 0), 20);
    assert.deepEqual([coordinator.study.finishedCount, coordinator.wanted], [20, 0]);
  });

  test("SIGTERM: the trial is given back at once and another worker has its second attempt", async () => {
    await using study = await begin({ trials: 1, pruner: null });
    const { port, keys } = study, gated = gate(), stopping = new AbortController();
    const stopped = work(port, gated.run, { keys, signal: stopping.signal });
    await gated.begun;
    stopping.abort(new Error("SIGTERM"));
    assert.deepEqual(await stopped, { trials: 0, why: "stopped" });
    assert.deepEqual(await work(port, toyRun(1), { keys }), { trials: 1, why: "over" });
    assert.deepEqual(outcomesOf(study.store.study.trial(0)), ["returned", "told"]);
  });

  test("a trial that is cancelled from outside is dropped by its worker, which goes on with the next", async () => {
    await using study = await begin({ trials: 2, pruner: null });
    const { port, keys } = study, gated = gate();
    let runs = 0;
    const working = work(port, (trial) => (runs++ === 0 ? gated.run : toyRun(1))(trial), { keys });
    await gated.begun;
    const reply = await askCoordinator({ ask: "cancel", trial: 0, reason: "not wanted" },
      { address: `tcp://127.0.0.1:${port}`, study: "toy", keys, clock: systemClock });
    assert.deepEqual(reply, { reply: "done", isDone: true });
    assert.deepEqual(await working, { trials: 1, why: "over" });
    assert.deepEqual([0, 1].map((k) => study.store.study.stateOf(k) === "cancelled"), [true, false]);
  });

  test("an objective that throws the same twice fails the trial, not the worker", async () => {
    await using study = await begin({ trials: 2, pruner: null });
    const run: RunTrial = (trial) => trial.number === 0 ? Promise.reject(new Error("matrix is singular")) : toyRun(1)(trial);
    assert.equal((await work(study.port, run, { keys: study.keys })).why, "over");
    const trial = study.store.study.trial(0);
    assert.deepEqual([trial.state, trial.reason, outcomesOf(trial)], ["failed", "matrix is singular", ["erred", "erred"]]);
  });

  test("a coordinator that was killed and started again gets the result of the trial that ran meanwhile", async () => {
    const folder = path.join(HOME, "kill"), port = await freePorts();
    const words = ["coordinator", folder, String(port), "0", "1", "0", "1"];
    const keys = readWorkerSecret(workerSecret(openStudyKeys(folder))), gated = gate();
    const child = spawn(process.execPath, [path.join(import.meta.dirname, "tune-process.ts"), ...words], { stdio: "ignore" });
    const ended = new Promise((resolve) => { child.once("exit", resolve); });
    const working = work(port, gated.run, { keys, study: "kill" });
    await gated.begun;
    child.kill("SIGKILL");
    await ended;
    gated.open();
    await using study = await coordinate(openStudy({ folder, at: systemClock.now() }), port);
    assert.deepEqual(await working, { trials: 1, why: "over" });
    assert.deepEqual([study.store.study.finishedCount, outcomesOf(study.store.study.trial(0))], [1, ["told"]]);
  });

  test("a disk that fills up ends the coordinator with one sentence; opened again, the same worker ends the study", async () => {
    const first = await begin({ trials: 3, pruner: null }), { port, keys, folder } = first;
    const gated = gate(), working = work(port, gated.run, { keys });
    await gated.begun;
    const { writeSync } = realFs;
    realFs.writeSync = () => { throw Object.assign(new Error("no space"), { code: "ENOSPC" }); };
    syncBuiltinESMExports();
    gated.open();
    try { await assert.rejects(first.coordinator.over, problem(/^the disk of .* is full; nothing was half written$/)); } finally {
      realFs.writeSync = writeSync;
      syncBuiltinESMExports();
    }
    await first[Symbol.asyncDispose]();
    assert.equal(readStudy(folder).finishedCount, 0);
    await using again = await coordinate(openStudy({ folder, at: systemClock.now() }), port);
    assert.deepEqual(await working, { trials: 3, why: "over" });
    assert.deepEqual(outcomesOf(again.store.study.trial(0)), ["told"]);
  });
});
