/** Against a real Slurm: what test/slurm-fake.ts pretends, and a study that loses a node (DMN_TEST_SLURM=1; a minute). */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "../src/base/error.ts";
import { installBundle, planBundle, productFiles } from "../src/tune/engines/bundle.ts";
import type { Engine, PlacedWorker, WorkerAsk } from "../src/tune/engines/engine.ts";
import { openSlurm } from "../src/tune/engines/slurm.ts";
import { NO_SLURM, startSlurm, type SlurmCluster } from "./slurm-cluster.ts";
import { checkResults, openTestStudy, placed, scratch, termsOf } from "./tune-engine-study.ts";

const FOLDER = scratch("slurm-real"), ROOT = path.dirname(import.meta.dirname);

describe("a real Slurm", { skip: NO_SLURM, timeout: 600_000 }, () => {
  let slurm: SlurmCluster;
  const open = (study: string, isRest: boolean): Promise<Engine> =>
    openSlurm({ study, rest: isRest ? slurm.rest : null, folder: path.join(FOLDER, "shared"), timeLimitMinutes: 30,
      environment: {} });
  const worker = (id: string, line: string, more: Partial<WorkerAsk> = {}): WorkerAsk =>
    ({ id, command: ["sh", "-c", line], environment: {}, cpus: 1, gpus: 0, memoryBytes: null, ...more });
  const stateIs = async (engine: Engine, id: string, state: PlacedWorker["state"]): Promise<PlacedWorker> => {
    for (let tried = 0; tried < 300; tried++) {
      const one = (await engine.list()).find((any) => any.id === id);
      if (one?.state === state) return one;
      await delay(200);
    }
    return assert.fail(`${id} did not become ${state}: ${JSON.stringify(await engine.list())}`);
  };

  before(async () => {
    slurm = await startSlurm(path.join(FOLDER, "slurm"));
    process.env["SLURM_CONF"] = slurm.config;
  }, { timeout: 200_000 });
  after(async () => {
    await slurm?.[Symbol.asyncDispose]();
    fs.rmSync(FOLDER, { recursive: true, force: true });
  });

  for (const [way, isRest] of [["sbatch", false], ["slurmrestd", true]] as const) {
    test(`by ${way}: words and keys arrive, asked twice it is placed once, SIGTERM leaves time for a checkpoint`, async () => {
      const engine = await open(way, isRest), id = `${way}-1`;
      const ask = worker(id, "trap 'sleep 4; echo checkpoint; exit 0' TERM; echo it is $DMN_WORD; while :; do sleep 0.1; done",
        { environment: { DMN_WORD: "word-of-a-secret" }, memoryBytes: 64 << 20 });
      await engine.submit(ask);
      await engine.submit(ask);
      assert.match((await stateIs(engine, id, "running")).node ?? "", /^n[1-3]$/);
      for (let tried = 0; tried < 50 && !/^it is/m.test(await engine.logs(id)); tried++) await delay(100);
      assert.match(await engine.logs(id), /^it is \[redacted\]$/m);
      assert.equal((await (await open(way, isRest)).list()).length, 1);
      assert.equal(await engine.stop(id), true);
      await stateIs(engine, id, "ended");
      assert.match(await engine.logs(id), /^checkpoint$/m);
      assert.deepEqual([await engine.stop(id), await engine.stop("nobody")], [false, false]);
    });

    test(`by ${way}: what no node has is refused in a sentence`, async () => {
      const engine = await open(`${way}-none`, isRest);
      await assert.rejects(engine.submit(worker("m", "true", { memoryBytes: 2 ** 40 })), (error) =>
        error instanceof UserError &&
          /^Slurm refuses the worker: .*Requested node configuration is not available/.test(error.problem));
    });
  }

  test("the installation in a shared folder runs where nothing of ours is installed", async () => {
    const installed = installBundle(planBundle(productFiles(ROOT)), path.join(FOLDER, "shared"));
    const engine = await open("installed", false);
    await engine.submit({ ...worker("v", ""), command: [path.join(installed, "node"), path.join(installed, "bin", "dmn.js"),
      "--version"] });
    await stateIs(engine, "v", "ended");
    const { version } = JSON.parse(fs.readFileSync(path.join(ROOT, "package.json"), "utf8")) as { version: string };
    assert.equal((await engine.logs("v")).trim(), version);
  });

  test("40 trials on three nodes, one of which is lost half-way: every trial has its one result", async () => {
    await using study = await openTestStudy(FOLDER, termsOf("forty", 40), 6, 500);
    const engine = await open("forty", true);
    let lost = "";
    await placed(engine, study, 20, () => { slurm.killNode(lost = "n1"); });
    checkResults(study, 40);
    const { coordinator: { study: { count } } } = study;
    const outcomes = Array.from({ length: count }, (_, k) => study.coordinator.study.trial(k).attempts.map(({ outcome }) =>
      outcome)).flat();
    assert.ok(outcomes.includes("lost"), `a trial was lost with ${lost} and given to another`);
  });
});
