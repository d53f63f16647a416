/** Ray's Jobs API as test/ray-fake.ts plays it: each trap of it, and a study whose workers are placed through it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../src/base/clock.ts";
import { UserError } from "../src/base/error.ts";
import { change, keepWorkers, type Employer } from "../src/tune/engines/elastic.ts";
import type { Engine, PlacedWorker, WorkerAsk } from "../src/tune/engines/engine.ts";
import { openRay, readRayToken, type RayOptions } from "../src/tune/engines/ray.ts";
import { FakeRay, node, type FakeRayOptions } from "./ray-fake.ts";
import { checkResults, openTestStudy, placed, scratch, termsOf } from "./tune-engine-study.ts";

const FOLDER = scratch("ray");
const NEED = { cpus: 1, gpus: 0, memoryBytes: null };
fs.mkdirSync(FOLDER, { recursive: true });
after(() => { fs.rmSync(FOLDER, { recursive: true, force: true }); });

const start = (options: Partial<FakeRayOptions> = {}): Promise<FakeRay> => FakeRay.start({ folder: FOLDER, ...options });
const open = (fake: { address: string }, options: Partial<RayOptions> = {}): Promise<Engine> =>
  openRay({ address: fake.address, study: "s", token: null, bundle: null, need: NEED, clock: systemClock, ...options });
/** `line`: of a shell. */
const worker = (id: string, line: string, more: Partial<WorkerAsk> = {}): WorkerAsk =>
  ({ id, command: ["sh", "-c", line], environment: {}, cpus: 1, gpus: 0, memoryBytes: null, ...more });
const SLEEP = "exec sleep 60";

async function until<T>(ask: () => Promise<T>, isDone: (answer: T) => boolean): Promise<T> {
  for (let tried = 0; tried < 500; tried++) {
    const answer = await ask();
    if (isDone(answer)) return answer;
    await delay(20);
  }
  return assert.fail("it did not come to that in ten seconds");
}
const stateIs = (engine: Engine, id: string, state: PlacedWorker["state"]): Promise<PlacedWorker> =>
  until(async () => (await engine.list()).find((one) => one.id === id)!, (one) => one?.state === state);
const says = (pattern: RegExp, never?: string) => (error: unknown): boolean => {
  assert.ok(error instanceof UserError, String(error));
  assert.match(error.problem, pattern);
  assert.equal(error.problem.includes("\n"), false, "one sentence");
  if (never !== undefined) assert.equal(`${error.message}${error.stack}`.includes(never), false, "the token is in it");
  return true;
};

describe("requests", () => {
  test("fetch is refused as a browser with 405, and ours is not", async () => {
    await using fake = await start();
    assert.equal((await fetch(`${fake.address}/api/jobs/`, { method: "POST", body: "{}" })).status, 405);
    await (await open(fake)).submit(worker("w", "true"));
    assert.equal(fake.jobs.size, 1);
  });

  test("an old Ray that fails without a User-Agent gets one, and no key that it does not know", async () => {
    for (const [version, memory] of [["2.7.1", undefined], ["2.8.0", 2 ** 30], ["3.0.0.dev0", 2 ** 30]] as const) {
      await using fake = await start({ version });
      await (await open(fake)).submit(worker("w", "true", { memoryBytes: 2 ** 30 }));
      assert.equal(fake.jobs.get("w")!.request["entrypoint_memory"], memory, version);
    }
    await using fake = await start({ version: "2.1.0" });
    await assert.rejects(open(fake), says(/Ray 2.1.0 cannot place workers/));
  });

  test("a worker that asks for no CPU does not run on the head node", async () => {
    await using fake = await start();
    const engine = await open(fake);
    for (const id of ["a", "b", "c"]) await engine.submit(worker(id, SLEEP, { cpus: 0 }));
    for (const id of ["a", "b", "c"]) await stateIs(engine, id, "running");
    assert.ok([...fake.jobs.values()].every(({ request }) => Number(request["entrypoint_num_cpus"]) > 0));
  });

  test("three workers of 0.4 GPUs: two share the GPU, the third waits", async () => {
    await using fake = await start({ nodes: [node("head", 1, { isHead: true }), node("g", 8, { gpus: 1 })] });
    const engine = await open(fake, { need: { ...NEED, gpus: 0.4 } });
    assert.equal(await engine.capacity(), 2);
    for (const id of ["a", "b", "c"]) await engine.submit(worker(id, SLEEP, { gpus: 0.4 }));
    await until(() => engine.list(), (all) => all.filter(({ state }) => state === "running").length === 2);
    assert.deepEqual((await engine.list()).map(({ state }) => state).sort(), ["pending", "running", "running"]);
    assert.equal(await engine.capacity(), 0);
  });

  test("words arrive as they were, whatever a shell makes of them, and secrets only in the environment", async () => {
    await using fake = await start();
    const engine = await open(fake), odd = "it's \"$HOME\" `x` \\ *;&|";
    await engine.submit({ ...worker("w", ""), command: ["printf", "%s|", odd, "a b"],
      environment: { DMN_TUNE_KEYS: "very-secret-keys" } });
    await stateIs(engine, "w", "ended");
    assert.ok((await engine.logs("w")).endsWith(`${odd}|a b|`));
    assert.equal(String(fake.jobs.get("w")!.request["entrypoint"]).includes("very-secret-keys"), false);
    await engine.submit(worker("x", "echo $DMN_TUNE_KEYS; exit 3", { environment: { DMN_TUNE_KEYS: "very-secret-keys" } }));
    const { reason } = await stateIs(engine, "x", "failed");
    assert.match(reason, /\[redacted\]/);
    assert.equal(`${reason}${await engine.logs("x")}`.includes("very-secret"), false);
  });
});

describe("who is asked, and who asks", () => {
  test("the token: needed, wrong, right; never in what is said", async () => {
    await using fake = await start({ token: "right-token-0123456789" });
    await assert.rejects(open(fake), says(/asks for a token, and there is none/));
    await assert.rejects(open(fake, { token: "wrong-token-0123456789" }), says(/refuses the token \(403/, "wrong-token"));
    const engine = await open(fake, { token: "right-token-0123456789" });
    await engine.submit(worker("w", "true"));
    assert.equal((await engine.list()).length, 1);
  });

  test("the token comes from RAY_AUTH_TOKEN, then the file that is named, then ~/.ray/auth_token", () => {
    const home = path.join(FOLDER, "home"), other = path.join(FOLDER, "token");
    assert.equal(readRayToken({}, home), null);
    fs.mkdirSync(path.join(home, ".ray"), { recursive: true });
    fs.writeFileSync(path.join(home, ".ray", "auth_token"), "at-home\n");
    fs.writeFileSync(other, " in-file \n");
    assert.equal(readRayToken({}, home), "at-home");
    assert.equal(readRayToken({ RAY_AUTH_TOKEN_PATH: other }, home), "in-file");
    assert.equal(readRayToken({ RAY_AUTH_TOKEN: "said", RAY_AUTH_TOKEN_PATH: other }, home), "said");
    assert.throws(() => readRayToken({ RAY_AUTH_TOKEN_PATH: `${other}.no` }, home), says(/cannot be read/));
  });

  test("nobody there, something else there, no address: one sentence each", async () => {
    await assert.rejects(open({ address: "http://127.0.0.1:1" }),
      says(/no Ray cluster answers at http:\/\/127.0.0.1:1: .*ECONNREFUSED/));
    await assert.rejects(open({ address: "head:8265" }), says(/"head:8265" is no address/));
    await using fake = await start();
    await assert.rejects(open({ address: `${fake.address}/other` }), says(/is no Ray dashboard \(404/));
  });
});

describe("jobs", () => {
  test("asking twice places one worker; another's job of that name is not ours", async () => {
    await using fake = await start();
    const engine = await open(fake), other = await open(fake, { study: "t" });
    await engine.submit(worker("w", SLEEP));
    await engine.submit(worker("w", SLEEP));
    assert.equal(fake.jobs.size, 1);
    await assert.rejects(other.submit(worker("w", SLEEP)), says(/somebody else's job on the Ray cluster is called w/));
  });

  test("a coordinator that was killed finds its workers again, and nobody else's", async () => {
    await using fake = await start();
    await (await open(fake)).submit(worker("mine", SLEEP));
    await (await open(fake, { study: "t" })).submit(worker("theirs", SLEEP));
    assert.deepEqual((await (await open(fake)).list()).map(({ id }) => id), ["mine"]);
  });

  test("stopped: SIGTERM first, and as long as was promised before SIGKILL; Ray's own 3 s would not have been enough",
    async () => {
    // A second of Ray lasts 50 ms here: 3 s are 150 ms, and the worker takes 400.
    await using fake = await start({ secondMs: 50 });
    const line = "trap 'sleep 0.4; echo checkpoint; exit 0' TERM; echo up; while :; do sleep 0.02; done";
    for (const [stopGraceSeconds, ending] of [[30, /\ncheckpoint\n$/], [3, /\nup\n(Terminated\n)?$/]] as const) {
      const engine = await open(fake, { stopGraceSeconds }), id = `w${stopGraceSeconds}`;
      await engine.submit(worker(id, line));
      await until(() => engine.logs(id), (log) => /^up$/m.test(log));
      assert.equal(await engine.stop(id), true);
      await stateIs(engine, id, "ended");
      assert.match(await engine.logs(id), ending);
      assert.equal(await engine.stop(id), false);
    }
  });

  test("pending for too long is no room, not a failure; a lost node is one", async () => {
    await using fake = await start({ startTimeoutMs: 100 });
    const engine = await open(fake);
    await engine.submit(worker("big", SLEEP, { cpus: 64 }));
    assert.match((await stateIs(engine, "big", "pending")).reason, /waiting for resources/);
    assert.match((await stateIs(engine, "big", "unplaced")).reason, /failed to start within/);
    await engine.submit(worker("w", SLEEP, { cpus: 2 }));
    await stateIs(engine, "w", "running");
    fake.killNode(fake.jobs.get("w")!.node!.id);
    assert.match((await stateIs(engine, "w", "failed")).reason, /node has died/);
  });

  test("the bundle is uploaded once, and again when the cluster has dropped it", async () => {
    await using fake = await start();
    const place = path.join(FOLDER, "b.zip"), name = "_ray_pkg_0123abcd.zip";
    fs.writeFileSync(place, "zip");
    let zipped = 0;
    const engine = await open(fake, { bundle: { hash: "0123abcd", zip: () => { zipped++; return Promise.resolve(place); } } });
    for (const id of ["a", "b"]) await engine.submit(worker(id, "true"));
    assert.deepEqual([zipped, fake.packages.get(name)?.toString()], [1, "zip"]);
    fake.dropPackages();
    await engine.submit(worker("c", "true"));
    assert.deepEqual([zipped, fake.packages.has(name), fake.statusOf("c") === "FAILED"], [2, true, false]);
    assert.equal((fake.jobs.get("c")!.request["runtime_env"] as { working_dir: string }).working_dir, `gcs://${name}`);
    assert.match(String(fake.jobs.get("c")!.request["entrypoint"]), /^chmod u\+x node && exec /);
  });
});

/** As much as a coordinator has to say. */
class Toy implements Employer {
  wanted = 0;
  readonly study = { finishedCount: 0, isOver: false };
  readonly lost: string[] = [];
  gone(id: string): void { this.lost.push(id); }
}
/** keepWorkers at a hundredth of its times. */
function keep(engine: Engine, coordinator: Toy, line: string, more: Partial<Parameters<typeof keepWorkers>[0]> = {}):
{ done: Promise<void>; said: string[]; stop: () => void } {
  const said: string[] = [], stopping = new AbortController();
  const done = keepWorkers({ engine, coordinator, study: "s", clock: systemClock, signal: stopping.signal,
    say: (text) => { said.push(text); },
    ask: (id) => worker(id, line), limits: { pollMs: 20, patienceMs: 200, drainMs: 2_000 }, ...more });
  return { done, said, stop: () => { stopping.abort(); } };
}

describe("as many workers as there is work for", () => {
  test("submit and withdraw, counted", () => {
    const rows: [running: number, pending: number, wanted: number, pendingMax: number, submit: number, withdraw: number][] = [
      [0, 0, 16, 4, 4, 0], [0, 4, 16, 4, 0, 0], [4, 0, 16, 4, 4, 0], [14, 0, 16, 4, 2, 0], [4, 2, 4, 4, 0, 2],
      [4, 3, 5, 4, 0, 2], [4, 0, 0, 4, 0, 0], [0, 3, 0, 4, 0, 3], [8, 0, 4, 4, 0, 0], [0, 0, 0, 4, 0, 0]];
    for (const [running, pending, wanted, pendingMax, submit, withdraw] of rows) {
      assert.deepEqual(change({ running, pending }, wanted, pendingMax), { submit, withdraw });
    }
  });

  test("a poll is one question, however many workers", async () => {
    await using fake = await start({ nodes: [node("head", 1, { isHead: true }), node("n", 12)] });
    const engine = await open(fake);
    for (let k = 0; k < 12; k++) await engine.submit(worker(`w${k}`, SLEEP));
    const before = fake.asked.length;
    assert.equal((await engine.list()).length, 12);
    assert.deepEqual(fake.asked.slice(before), ["GET /api/jobs/"]);
  });

  test("no room: k pending, new ids when Ray gives them up, one sentence; then a node comes, and work begins", async () => {
    await using fake = await start({ nodes: [], startTimeoutMs: 150 });
    const toy = new Toy(), engine = await open(fake);
    toy.wanted = 6;
    const run = keep(engine, toy, SLEEP, { pendingMax: 2 });
    await until(() => Promise.resolve(fake.jobs.size), (size) => size >= 4);
    const pending = [...fake.jobs.values()].filter(({ status }) => status === "PENDING");
    assert.ok(pending.length <= 2, `${pending.length} pending`);
    await until(() => Promise.resolve(run.said), (said) => said.some((text) =>
      /^no worker has begun on ray yet: .*; the study waits$/.test(text)));
    fake.addNode(node("n", 6));
    await until(() => engine.list(), (all) => all.filter(({ state }) => state === "running").length === 6);
    assert.equal(new Set(fake.jobs.keys()).size, fake.jobs.size);
    run.stop();
    await run.done;
    // One that had not begun when it was told to stop may do both after us.
    await until(() => engine.list(), (all) => !all.some(({ state }) => state === "running"));
  });

  test("fewer are wanted: pending ones are taken back, running ones end by themselves", async () => {
    await using fake = await start({ nodes: [node("n", 2)] });
    const toy = new Toy(), engine = await open(fake);
    toy.wanted = 4;
    const run = keep(engine, toy, SLEEP);
    await until(() => engine.list(), (all) => all.length === 4 && all.filter(({ state }) => state === "running").length === 2);
    toy.wanted = 1;
    await until(() => Promise.resolve(fake), ({ jobs }) => [...jobs.values()].filter(({ isStopping }) =>
      isStopping).length === 2);
    assert.equal((await engine.list()).filter(({ state }) => state === "running").length, 2);
    run.stop();
    await run.done;
  });

  test("workers that cannot work are given up with their last words, and the study is whole", async () => {
    await using fake = await start();
    const toy = new Toy(), engine = await open(fake);
    toy.wanted = 2;
    const run = keep(engine, toy, "echo the data root is missing; exit 2", { limits: { pollMs: 5, failuresMax: 2 } });
    await assert.rejects(run.done,
      says(/fail as soon as they begin, 2 times in a row; the last one said: the data root is missing/));
    assert.ok(toy.lost.length >= 2);
  });

  test("a cluster that does not answer for a while stops nobody", async () => {
    await using fake = await start();
    const toy = new Toy(), engine = await open(fake, { clock: { now: () => systemClock.now(), sleep: () =>
      systemClock.sleep(1) } });
    toy.wanted = 2;
    const run = keep(engine, toy, SLEEP);
    await until(() => engine.list(), (all) => all.filter(({ state }) => state === "running").length === 2);
    fake.isDown = true;
    await until(() => Promise.resolve(run.said), (said) => said.some((text) =>
      /does not answer: .*workers that run go on/.test(text)));
    const before = fake.asked.length;
    fake.isDown = false;
    await until(() => Promise.resolve(fake.asked.length), (now) => now >= before + 3);
    assert.equal(fake.jobs.size, 2);
    run.stop();
    await run.done;
  });

  test("40 trials on three nodes, one of which is lost half-way: every trial has its one result", async () => {
    await using fake = await start({ nodes: [node("n1", 2), node("n2", 1), node("n3", 1)] });
    await using study = await openTestStudy(FOLDER, termsOf("forty", 40), 4, 20);
    const engine = await open(fake, { study: "forty" });
    await placed(engine, study, 20, () => { fake.killNode("n1"); });
    checkResults(study, 40);
    assert.ok([...fake.jobs.values()].some(({ status }) => status === "FAILED"), "a worker was lost with its node");
    assert.ok([...fake.jobs.values()].some(({ status }) => status === "SUCCEEDED"),
      "workers were told that there is no more work");
  });
});
