/**
 * Real processes: 16 local workers and a coordinator, of which random ones are killed (SIGKILL). DMN_TEST_LONG=1 does
 * it with 500 trials.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { random } from "../src/base/random.ts";
import { isRunning, type Holder } from "../src/base/writer-lock.ts";
import { Conductor } from "../src/tune/conductor.ts";
import { sayAll, type StudyEvent } from "../src/tune/events.ts";
import { Study } from "../src/tune/fold.ts";
import { replayStudy } from "../src/tune/replay.ts";
import { searchOf } from "../src/tune/search.ts";
import { isStudy, readStudy, scanStudy } from "../src/tune/study-journal.ts";
import type { Terms } from "../src/tune/study.ts";
import { freePorts } from "./ports.ts";
import { resultOf, STEPS, toyTerms, toyValues } from "./tune-toy.ts";

const IS_LONG = process.env.DMN_TEST_LONG === "1";
const TRIALS = IS_LONG ? 500 : 60, WORKERS = 16, LAG = 16, PAUSE_MS = 40;
/** One kill each time so many more trials are finished; each third is the coordinator's. */
const KILL_EVERY = IS_LONG ? 4 : 6;
const LIMIT_MS = IS_LONG ? 900_000 : 120_000, LOOK_MS = 25;

const HOME = fs.mkdtempSync(path.join(tmpdir(), "dmn-tune-kill-"));
const started = new Set<ChildProcess>();
after(() => {
  for (const child of started) child.kill("SIGKILL");
  for (const holder of fs.globSync(`${HOME}/*/workers/*.json`).map(holderIn)) if (isAlive(holder)) kill(holder!.pid);
  fs.rmSync(HOME, { recursive: true, force: true });
});
const kill = (pid: number): void => { try { process.kill(pid, "SIGKILL"); } catch { /* it has just ended */ } };
const isAlive = (holder: Holder | null): boolean => holder !== null && isRunning(holder);
function holderIn(place: string): Holder | null {
  try { return JSON.parse(fs.readFileSync(place, "utf8")) as Holder; } catch { return null; }
}
const workersOf = (folder: string): number[] => fs.globSync(`${folder}/workers/*.json`).sort()
  .map(holderIn).filter(isAlive).map((holder) => holder!.pid);

interface Disturbed {
  readonly study: Study;
  readonly events: StudyEvent[];
  readonly killed: Record<"workers" | "coordinators", number>;
}

/** Runs a study to its end while processes of it are killed. */
async function disturb(name: string, lag: number, seed: number): Promise<Disturbed> {
  const folder = path.join(HOME, name), port = await freePorts(), draw = random(seed, "kills");
  const killed = { workers: 0, coordinators: 0 };
  let said = "", coordinator: ChildProcess;
  const start = (): void => {
    const words = ["coordinator", folder, port, WORKERS, TRIALS, lag, PAUSE_MS].map(String);
    coordinator = spawn(process.execPath, [path.join(import.meta.dirname, "tune-process.ts"), ...words],
      { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [coordinator.stdout!, coordinator.stderr!]) {
      stream.on("data", (text: Buffer) => { said = (said + text.toString()).slice(-4_000); });
    }
    started.add(coordinator);
  };
  start();
  const until = performance.now() + LIMIT_MS;
  for (let next = 3; ;) {
    await delay(LOOK_MS);
    assert.ok(performance.now() < until, `not over in ${LIMIT_MS} ms:\n${said}`);
    if (coordinator!.exitCode !== null) break;
    if (!isStudy(folder)) continue;
    const { finishedCount } = readStudy(folder);
    if (finishedCount < next || finishedCount >= TRIALS) continue;
    next = finishedCount + KILL_EVERY;
    if ((killed.workers + killed.coordinators) % 3 === 1) {
      killed.coordinators++;
      const gone = new Promise((resolve) => { coordinator.once("exit", resolve); });
      coordinator!.kill("SIGKILL");
      await gone;
      start();
    } else {
      const pids = workersOf(folder);
      if (pids.length === 0) continue;
      killed.workers++;
      kill(pids[draw.below(pids.length)]);
    }
  }
  assert.equal(coordinator!.exitCode, 0, said);
  assert.deepEqual(workersOf(folder), [], "no worker is left");
  const events: StudyEvent[] = [];
  scanStudy(folder, (event) => { events.push(event); });
  return { study: readStudy(folder), events, killed };
}

/** The same study by one worker that nobody disturbs, without processes. */
function undisturbed(terms: Terms): Study {
  const study = new Study(terms, 0);
  const conductor = new Conductor({ study, search: searchOf(terms), leaseMs: 1, newToken: () => 1,
    record: (event) => { study.apply(event); } }, 0);
  while (!study.isOver) {
    const work = conductor.ask("one", 0)!, { trial, attempt, token, point } = work;
    const of = { trial, attempt, token, worker: "one" };
    for (let step = 1; step <= STEPS; step++) if (!conductor.report(of, step, sayAll(toyValues(point, step)), 0)) break;
    conductor.tell({ ...of, how: "done", reason: "", values: sayAll(toyValues(point, STEPS)), statistics: {},
      violations: { ...(Number(point.depth) === 4 ? { depth: 0.5 } : undefined) } }, 0);
  }
  return study;
}

function check({ study, events, killed }: Disturbed): void {
  // On a fast machine several trials end between two looks, so there are fewer kills than KILL_EVERY allows.
  assert.ok(killed.workers >= 3 && killed.coordinators >= 2, JSON.stringify(killed));
  assert.deepEqual([study.count, study.finishedCount], [TRIALS, TRIALS]);
  const told = events.flatMap((event) => event.event === "told" ? [event.trial] : []);
  assert.deepEqual(told.toSorted((a, b) => a - b), Array.from({ length: TRIALS }, (_, k) => k), "told once each");
  assert.equal(events.filter(({ event }) => event === "duplicate").length, 0, "none ran twice to its end");
  assert.ok(events.some(({ event }) => event === "left"), "some were lost on the way");
}

test(`${TRIALS} trials, ${WORKERS} workers, lag ${LAG}, kills: none lost or counted twice, the same study as by one worker`,
  { timeout: LIMIT_MS }, async (t) => {
    const disturbed = await disturb("lag", LAG, 1);
    check(disturbed);
    const terms = toyTerms({ name: "kill", trials: TRIALS, lag: LAG });
    assert.deepEqual(resultOf(disturbed.study), resultOf(undisturbed(terms)));
    t.diagnostic(`killed ${JSON.stringify(disturbed.killed)}, states ${JSON.stringify(disturbed.study.counts)}`);
  });

test(`${TRIALS} trials as completed, kills: none lost or counted twice, and its journal replays`,
  { timeout: LIMIT_MS, skip: !IS_LONG && "the first test kills as many; DMN_TEST_LONG=1 runs it" }, async (t) => {
    const disturbed = await disturb("free", 0, 2);
    check(disturbed);
    const { suggestions, difference } = replayStudy(path.join(HOME, "free"), searchOf);
    assert.deepEqual([suggestions, difference], [TRIALS, null]);
    t.diagnostic(`killed ${JSON.stringify(disturbed.killed)}, states ${JSON.stringify(disturbed.study.counts)}`);
  });
