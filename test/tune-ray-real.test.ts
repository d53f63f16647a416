/** Against a real Ray: what test/ray-fake.ts pretends, and a study that loses a node (DMN_TEST_RAY; two minutes). */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../src/base/clock.ts";
import { UserError } from "../src/base/error.ts";
import { BUNDLE_COMMAND, planBundle, productFiles, zipBundle } from "../src/tune/engines/bundle.ts";
import type { Engine, PlacedWorker, WorkerAsk } from "../src/tune/engines/engine.ts";
import { openRay, type RayOptions } from "../src/tune/engines/ray.ts";
import { NO_RAY, RAY, startRay, type RayCluster } from "./ray-cluster.ts";
import { checkResults, openTestStudy, placed, scratch, termsOf } from "./tune-engine-study.ts";

const FOLDER = scratch("ray-real"), ROOT = path.dirname(import.meta.dirname);

describe("a real Ray", { skip: RAY === "" ? NO_RAY : false, timeout: 900_000 }, () => {
  let ray: RayCluster;
  const open = (options: Partial<RayOptions> = {}): Promise<Engine> => openRay({ address: ray.address, study: "s",
    token: ray.token, bundle: null,
    need: { cpus: 1, gpus: 0, memoryBytes: null }, clock: systemClock, ...options });
  const worker = (id: string, line: string, more: Partial<WorkerAsk> = {}): WorkerAsk =>
    ({ id, command: ["sh", "-c", line], environment: {}, cpus: 1, gpus: 0, memoryBytes: null, ...more });
  const stateIs = async (engine: Engine, id: string, state: PlacedWorker["state"], seconds = 60): Promise<PlacedWorker> => {
    for (let tried = 0; tried < seconds * 5; tried++) {
      const one = (await engine.list()).find((any) => any.id === id);
      if (one?.state === state) return one;
      await delay(200);
    }
    return assert.fail(`${id} did not become ${state}: ${JSON.stringify(await engine.list())}`);
  };

  before(async () => {
    // A bundle has to be unpacked in this time too.
    ray = await startRay(45);
    for (const [name, cpus] of [["n1", 2], ["n2", 1], ["n3", 1]] as const) await ray.addNode(name, cpus);
  }, { timeout: 400_000 });
  after(async () => {
    await ray?.[Symbol.asyncDispose]();
    fs.rmSync(FOLDER, { recursive: true, force: true });
  });

  test("what the fake pretends: 405 to fetch, 400 to an unknown key, a duplicate inside a 500, a message that waits",
    async () => {
    const headers = { Authorization: `Bearer ${ray.token}` }, jobs = `${ray.address}/api/jobs/`;
    assert.equal((await fetch(jobs, { method: "POST", headers, body: "{}" })).status, 405);
    const agent = { ...headers, "User-Agent": "dmn", "Content-Type": "application/json" };
    const { asker } = await import("../src/tune/engines/request.ts"), ask = asker(ray.address, agent);
    const bad = await ask({ method: "POST", path: "/api/jobs/", body: JSON.stringify({ entrypoint: "true", colour: "red" }) });
    assert.deepEqual([bad.status, /unexpected keyword argument 'colour'/.test(bad.text)], [400, true]);
    const twice = JSON.stringify({ entrypoint: "true", submission_id: "twice", entrypoint_num_cpus: 1 });
    assert.equal((await ask({ method: "POST", path: "/api/jobs/", body: twice })).status, 200);
    const second = await ask({ method: "POST", path: "/api/jobs/", body: twice });
    assert.deepEqual([second.status, /status code 400: .*already exists/s.test(second.text)], [500, true]);
  });

  test("the token: needed, wrong, right", async () => {
    const refused = (pattern: RegExp) => (error: unknown): boolean => error instanceof UserError && pattern.test(error.problem);
    await assert.rejects(open({ token: null }), refused(/asks for a token, and there is none/));
    await assert.rejects(open({ token: "0123456789abcdef0123456789abcdef" }), refused(/refuses the token \(403/));
    assert.ok([3, 4].includes((await (await open()).capacity())!), "one CPU may still be with the job of the test before");
  });

  test("asked twice it is placed once, gets its words and keys, is stopped with time for a checkpoint", async () => {
    const engine = await open({ stopGraceSeconds: 10 });
    const ask = worker("w", "trap 'sleep 4; echo checkpoint; exit 0' TERM; echo it is $DMN_WORD; while :; do sleep 0.1; done",
      { environment: { DMN_WORD: "word-of-a-secret" } });
    await engine.submit(ask);
    await engine.submit(ask);
    assert.match((await stateIs(engine, "w", "running")).node ?? "", /^([\d.]+ )?[0-9a-f]{8}$/);
    for (let tried = 0; tried < 50 && !/^it is/m.test(await engine.logs("w")); tried++) await delay(100);
    assert.match(await engine.logs("w"), /^it is \[redacted\]$/m);
    assert.equal(await engine.stop("w"), true);
    await stateIs(engine, "w", "ended");
    // Ray's own 3 s would have cut it off at its fourth second.
    assert.match(await engine.logs("w"), /^checkpoint$/m);
  });

  test("a worker for which there is no room waits, and is unplaced when Ray gives it up", async () => {
    const engine = await open({ need: { cpus: 64, gpus: 0, memoryBytes: null } });
    assert.equal(await engine.capacity(), 0);
    await engine.submit(worker("big", "true", { cpus: 64 }));
    assert.match((await stateIs(engine, "big", "pending")).reason, /waiting for resources/);
    assert.match((await stateIs(engine, "big", "unplaced", 90)).reason, /failed to start within/);
  });

  test("the bundle: this product and this Node run on a node where nothing of ours is installed", async () => {
    const bundle = planBundle(productFiles(ROOT));
    const engine = await open({ bundle: { hash: bundle.hash, zip: () => zipBundle(bundle, FOLDER) } });
    await engine.submit({ ...worker("bundled", ""), command: [...BUNDLE_COMMAND, "--version"],
      environment: { HOME: "/nonexistent" } });
    await stateIs(engine, "bundled", "ended", 120);
    const { version } = JSON.parse(fs.readFileSync(path.join(ROOT, "package.json"), "utf8")) as { version: string };
    assert.match(await engine.logs("bundled"), new RegExp(`^${version.replaceAll(".", "\\.")}$`, "m"));
  });

  test("40 trials on three nodes, one of which is lost half-way: every trial has its one result", async () => {
    await using study = await openTestStudy(FOLDER, termsOf("forty", 40), 4, 250);
    const engine = await open({ study: "forty" });
    await placed(engine, study, 20, () => { ray.killNode("n1"); });
    checkResults(study, 40);
    const workers = await engine.list();
    assert.ok(workers.some(({ state }) => state === "failed"), "a worker was lost with its node");
    assert.ok(workers.some(({ state }) => state === "ended"), "workers were told that there is no more work");
  });
});
