/** Slurm as test/slurm-fake.ts plays it, by its commands and by two versions of slurmrestd: one suite for the three ways. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "../src/base/error.ts";
import type { Engine, PlacedWorker, WorkerAsk } from "../src/tune/engines/engine.ts";
import { openSlurm, type SlurmOptions } from "../src/tune/engines/slurm.ts";
import { FakeSlurm, type FakeSlurmOptions } from "./slurm-fake.ts";
import { checkResults, openTestStudy, placed, scratch, termsOf } from "./tune-engine-study.ts";

const FOLDER = scratch("slurm"), PATH = process.env["PATH"] ?? "";
fs.mkdirSync(FOLDER, { recursive: true });
after(() => {
  process.env["PATH"] = PATH;
  fs.rmSync(FOLDER, { recursive: true, force: true });
});

async function start(options: Partial<FakeSlurmOptions> = {}): Promise<FakeSlurm> {
  const folder = fs.mkdtempSync(path.join(FOLDER, "s"));
  const fake = await FakeSlurm.start({ folder, ...options });
  process.env["PATH"] = `${fake.commands}:${PATH}`;
  return fake;
}
const worker = (id: string, line: string, more: Partial<WorkerAsk> = {}): WorkerAsk =>
  ({ id, command: ["sh", "-c", line], environment: {}, cpus: 1, gpus: 0, memoryBytes: null, ...more });
async function stateIs(engine: Engine, id: string, state: PlacedWorker["state"]): Promise<PlacedWorker> {
  for (let tried = 0; tried < 100; tried++) {
    const one = (await engine.list()).find((any) => any.id === id);
    if (one?.state === state) return one;
    await delay(50);
  }
  return assert.fail(`${id} did not become ${state}: ${JSON.stringify(await engine.list())}`);
}
const says = (pattern: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof UserError, String(error));
  assert.match(error.problem, pattern);
  assert.equal(error.problem.includes("\n"), false, "one sentence");
  return true;
};

for (const [way, isRest, version] of [["sbatch", false, 38], ["slurmrestd v0.0.38", true, 38], ["slurmrestd v0.0.40", true,
  40]] as const) {
  describe(`by ${way}`, () => {
    const open = (fake: FakeSlurm, more: Partial<SlurmOptions> = {}): Promise<Engine> =>
      openSlurm({ study: "s", rest: isRest ? fake.rest : null, folder: FOLDER, environment: {}, ...more });

    test("a worker runs with its words and keys, which are on no command line and in no script", async () => {
      await using fake = await start({ version });
      const engine = await open(fake, { timeLimitMinutes: 5 }), id = `${way.at(-1)}-words`;
      await engine.submit({ ...worker(id, ""), command: ["sh", "-c", 'echo "$0|$1|$DMN_TUNE_KEYS"', "it's $HOME", "a b"],
        environment: { DMN_TUNE_KEYS: "very-secret-keys" } });
      await stateIs(engine, id, "ended");
      assert.equal((await engine.logs(id)).trim(), "it's $HOME|a b|[redacted]");
      const job = fake.named(id)!;
      assert.equal(job.environment["DMN_TUNE_KEYS"], "very-secret-keys");
      assert.equal(`${fake.asked.join("\n")}${job.script}`.includes("very-secret"), false);
    });

    test("asked twice it is placed once; another coordinator of the study finds it, another study's does not", async () => {
      await using fake = await start({ version });
      const engine = await open(fake), id = `${way.at(-1)}-once`;
      await engine.submit(worker(id, "exec sleep 60"));
      await engine.submit(worker(id, "exec sleep 60"));
      assert.equal(fake.jobs.size, 1);
      assert.deepEqual((await (await open(fake)).list()).map((one) => one.id), [id]);
      assert.deepEqual(await (await open(fake, { study: "t" })).list(), []);
      assert.equal(await (await open(fake)).stop(id), true);
    });

    test("stopped by SIGTERM with time for a checkpoint; what has ended cannot be stopped", async () => {
      await using fake = await start({ version });
      const engine = await open(fake), id = `${way.at(-1)}-stop`;
      await engine.submit(worker(id, "trap 'sleep 0.2; echo checkpoint; exit 0' TERM; echo up; while :; do sleep 0.02; done"));
      await stateIs(engine, id, "running");
      while (!/up/.test(await engine.logs(id))) await delay(20);
      assert.equal(await engine.stop(id), true);
      await stateIs(engine, id, "ended");
      assert.match(await engine.logs(id), /checkpoint/);
      assert.deepEqual([await engine.stop(id), await engine.stop("nobody")], [false, false]);
    });

    test("a lost node: the worker waits again under its id, and runs elsewhere", async () => {
      await using fake = await start({ version });
      const engine = await open(fake), id = `${way.at(-1)}-node`;
      await engine.submit(worker(id, "exec sleep 60"));
      const { node } = await stateIs(engine, id, "running");
      fake.killNode(node!);
      for (let tried = 0; tried < 100 && (await stateIs(engine, id, "running")).node === node; tried++) await delay(20);
      assert.notEqual((await stateIs(engine, id, "running")).node, node);
    });

    test("too much memory is refused in one sentence, half a GPU by us, too many CPUs wait with a reason", async () => {
      await using fake = await start({ version });
      const engine = await open(fake);
      await assert.rejects(engine.submit(worker("m", "true", { memoryBytes: 2 ** 40 })),
        says(/^Slurm refuses the worker: .*Requested node configuration is not available/));
      await assert.rejects(engine.submit(worker("g", "true", { gpus: 0.5 })), says(/Slurm gives whole GPUs, not 0.5 of one/));
      await engine.submit(worker("c", "true", { cpus: 64 }));
      assert.match((await stateIs(engine, "c", "pending")).reason, /^PENDING: PartitionConfig$/);
      fake.isDown = true;
      await assert.rejects(engine.list(), /Unable to contact slurm controller/);
      await assert.rejects(engine.submit(worker("d", "true")), (error) => !(error instanceof UserError));
    });
  });
}

describe("Slurm", () => {
  test("the time limit is announced: B:TERM by sbatch, kill_warning from v0.0.39 on, and not by v0.0.38, which refuses it",
    async () => {
    const said = async (rest: boolean, version: number): Promise<Readonly<Record<string, unknown>>> => {
      await using fake = await start({ version });
      const engine = await openSlurm({ study: "s", rest: rest ? fake.rest : null, folder: FOLDER, stopGraceSeconds: 45,
        environment: {} });
      await engine.submit(worker("w", "true"));
      return fake.named("w")!.said;
    };
    assert.ok(((await said(false, 38))["words"] as string[]).includes("--signal=B:TERM@45"));
    assert.equal("signal" in await said(true, 38), false);
    const { kill_warning_signal: signal, kill_warning_delay: delayed, kill_warning_flags: flags } = await said(true, 40);
    assert.deepEqual([signal, delayed, flags], ["TERM", { set: true, infinite: false, number: 45 }, ["BATCH_JOB"]]);
  });

  test("nobody there, a wrong token, no version in common, no Slurm at all: one sentence each", async () => {
    const open = (rest: string | null, environment: Record<string, string> = {}): Promise<Engine> =>
      openSlurm({ study: "s", rest, folder: FOLDER, environment });
    await using fake = await start({ token: "jwt-of-somebody" });
    await assert.rejects(open("unix:/nonexistent.sock"), says(/no slurmrestd answers at unix:\/nonexistent.sock: .*ENOENT/));
    await assert.rejects(open("host:6820"), says(/is no address of slurmrestd/));
    await assert.rejects(open(fake.rest), says(/refuses us \(401\)/));
    await using old = await start({ version: 37 });
    await assert.rejects(open(old.rest), says(/has no version of its interface from v0.0.38/));
    process.env["PATH"] = "/nonexistent";
    await assert.rejects(open(null), says(/there is no Slurm on this machine/));
  });

  test("40 trials on three nodes, one of which is lost half-way: every trial has its one result", async () => {
    await using fake = await start();
    await using study = await openTestStudy(FOLDER, termsOf("forty", 40), 4, 20);
    const engine = await openSlurm({ study: "forty", rest: fake.rest, folder: FOLDER, environment: {} });
    await placed(engine, study, 20, () => { fake.killNode("n1"); });
    checkResults(study, 40);
  });
});
