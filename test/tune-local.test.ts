/** Workers as child processes: placed once, found again, stopped, and heard. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "../src/base/error.ts";
import type { Engine, PlacedWorker, WorkerAsk } from "../src/tune/engines/engine.ts";
import { localEngine } from "../src/tune/engines/local.ts";

const HOME = fs.mkdtempSync(path.join(tmpdir(), "dmn-tune-local-"));
after(() => { fs.rmSync(HOME, { recursive: true, force: true }); });
let folders = 0;
const fresh = (): string => path.join(HOME, `study-${++folders}`);

const SAYS = "process.stdout.write(`ready ${process.env.SECRET}\\n`);";
const WAITS = `${SAYS} setInterval(() => {}, 1000);`;
const DEAF = `process.on("SIGTERM", () => {}); ${WAITS}`;
const ask = (id: string, script: string): WorkerAsk => ({ id, command: [process.execPath, "-e", script],
  environment: { SECRET: "s3" }, cpus: 1, gpus: 0, memoryBytes: null });
async function stateOf(engine: Engine, id: string, wanted: (worker: PlacedWorker) => boolean): Promise<PlacedWorker> {
  for (;;) {
    const found = (await engine.list()).find((worker) => worker.id === id);
    if (found !== undefined && wanted(found)) return found;
    await delay(10);
  }
}
const isOver = ({ state }: PlacedWorker): boolean => state !== "running";
async function ready(engine: Engine, id: string): Promise<void> {
  while (!(await engine.logs(id)).includes("ready s3")) await delay(10);
}

test("one id places one worker; its words are in its log, its secret in its environment; its end is told", async () => {
  await using engine = localEngine({ folder: fresh() });
  await engine.submit(ask("toy-1", SAYS));
  await engine.submit(ask("toy-1", SAYS));
  await engine.submit(ask("toy-2", "process.exit(7)"));
  assert.equal((await engine.list()).length, 2);
  assert.equal((await stateOf(engine, "toy-1", isOver)).state, "ended");
  const failed = await stateOf(engine, "toy-2", isOver);
  assert.deepEqual([failed.state, failed.reason], ["failed", "ended with code 7"]);
  assert.equal(await engine.logs("toy-1"), "ready s3\n");
  assert.equal(await engine.stop("toy-1"), false);
});

test("stop is SIGTERM, and SIGKILL 200 ms later for who does not heed it", async () => {
  await using engine = localEngine({ folder: fresh(), graceMs: 200 });
  await engine.submit(ask("polite", WAITS));
  await engine.submit(ask("deaf", DEAF));
  await ready(engine, "polite");
  await ready(engine, "deaf");
  assert.deepEqual([await engine.stop("polite"), await engine.stop("deaf")], [true, true]);
  assert.equal((await stateOf(engine, "polite", isOver)).reason, "ended by SIGTERM");
  assert.equal((await stateOf(engine, "deaf", isOver)).reason, "ended by SIGKILL");
});

test("a second engine on the folder finds the first one's worker, sees it die, and no other process under its id", async () => {
  const folder = fresh(), first = localEngine({ folder }), home = path.join(folder, "workers");
  await first.submit(ask("old", WAITS));
  await ready(first, "old");
  fs.writeFileSync(path.join(home, "recycled.json"), JSON.stringify({ pid: process.pid, started: "1" }));
  await using second = localEngine({ folder });
  assert.deepEqual((await second.list()).map(({ id, state }) => [id, state]),
    [["old", "running"], ["recycled", process.platform === "linux" ? "failed" : "running"]]);
  await second.submit(ask("old", WAITS));
  const { pid } = JSON.parse(fs.readFileSync(path.join(home, "old.json"), "utf8")) as { pid: number };
  process.kill(pid, "SIGKILL");
  assert.equal((await stateOf(second, "old", isOver)).reason, "it ended while no coordinator was there");
  await first[Symbol.asyncDispose]();
});

test("a program that is not there is a sentence", async () => {
  await using engine = localEngine({ folder: fresh() });
  await assert.rejects(engine.submit({ ...ask("none", ""), command: [path.join(HOME, "absent")] }),
    (error: unknown) => error instanceof UserError && error.problem.startsWith("a worker cannot be started: "));
});
