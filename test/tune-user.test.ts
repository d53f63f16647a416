/** What a person meets around a study: what is said while it runs, what is refused, and what is kept. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, describe, mock, test } from "node:test";
import { systemClock } from "../src/base/clock.ts";
import { readConfig } from "../src/base/config.ts";
import type { Context } from "../src/base/context.ts";
import { UserError } from "../src/base/error.ts";
import { explainWrite } from "../src/base/file.ts";
import { openLog } from "../src/base/log.ts";
import { silentProgress } from "../src/base/progress.ts";
import { takeLock } from "../src/base/writer-lock.ts";
import { startCoordinator } from "../src/tune/coordinator.ts";
import type { Settings } from "../src/nn/hyperparameter.ts";
import { Study } from "../src/tune/fold.ts";
import { keepWorkers } from "../src/tune/engines/elastic.ts";
import type { Engine, PlacedWorker } from "../src/tune/engines/engine.ts";
import { joinKeysOf, openStudyKeys, readWorkerSecret } from "../src/tune/keys.ts";
import { searchOf } from "../src/tune/search.ts";
import { createStudy } from "../src/tune/study-journal.ts";
import type { Terms } from "../src/tune/study.ts";
import { runWorker, type Outcome, type RunTrial } from "../src/tune/worker.ts";
import { codeVersion } from "../src/workflow/train-export.ts";
import { tuneAction } from "../src/workflow/tune/action.ts";
import { openDisplay } from "../src/workflow/tune/display.ts";
import { announce, announced } from "../src/workflow/tune/join.ts";
import { keepEnds } from "../src/workflow/tune/keep-ends.ts";
import type { Placement } from "../src/workflow/tune/place-workers.ts";
import { factsOf } from "../src/workflow/tune/study-facts.ts";
import { chooseSpace } from "../src/workflow/tune/spaces.ts";
import { reasonLines } from "../src/workflow/tune/study-text.ts";
import { partFolder } from "../src/workflow/tune/trial-files.ts";
import type { TuneSaid } from "../src/workflow/tune/tune-request.ts";
import { userWork } from "../src/workflow/tune/user-study.ts";
import { tune, type TuneOptions } from "../src/workflow/tune/tune.ts";
import { freePorts } from "./ports.ts";
import { toyTerms } from "./tune-toy.ts";

const ROOT = fs.mkdtempSync(path.join(tmpdir(), "dmn-tune-user-"));
after(() => { fs.rmSync(ROOT, { recursive: true, force: true }); });
const context: Context = { root: ROOT, config: readConfig(ROOT, {}), log: openLog("silent"), progress: silentProgress,
  clock: systemClock, signal: new AbortController().signal };
const here: Placement = { on: "local", cluster: null, shared: null, host: null };
const FILE = path.join(ROOT, "bowl.ts");
fs.writeFileSync(FILE, `
  export const space = { x: { kind: "float", low: 0, high: 1 } };
  export const objectives = [{ name: "near", direction: "minimise" }];
  export async function run({ point }) { return { values: [point.x] }; }`);
const place = (name: string): string => path.join(ROOT, "storage", "tune", name);

async function refused(work: Promise<unknown>): Promise<string> {
  const error = await work.then(() => null, (thrown: unknown) => thrown);
  assert.ok(error instanceof UserError, String(error));
  return `${error.problem}; ${error.hint}`;
}
const begin = (said: Omit<TuneSaid, "request">, more: Partial<TuneOptions> = {},
  request: TuneSaid["request"] = {}): Promise<string> => refused(tune({ name: "x", placement: here, workers: 1,
  said: { request, objective: FILE, ...said }, isResume: false, ...more }, context));
const resume = (name: string): Promise<string> => refused(tune({ name, placement: here, workers: 1, isResume: true,
  said: { request: {} } }, context));
/** A study of that file, begun and left. */
async function left(name: string, changes: Partial<Terms>): Promise<void> {
  const terms = toyTerms({ name, version: codeVersion(), ...changes });
  await createStudy({ folder: place(name), terms, at: 0 })[Symbol.asyncDispose]();
}

describe("what is refused before anything begins", () => {
  test("a study without a trial, and flags that the objective's file overrules", async () => {
    assert.match(await begin({ trials: 0 }), /one trial at least; .*--trials 40/);
    assert.match(await begin({ space: ["x=0..1"] }), /--space is said too; leave out --space/);
    assert.match(await begin({ limits: { near: 1 } }), /--limit is said too/);
    assert.match(await begin({}, {}, { windowYears: 5 }), /--window-years is said too/);
    assert.ok(!fs.existsSync(place("x")));
  });
  test("a name that leaves its workers no room, and a hyperparameter that is said twice", async () => {
    assert.match(await begin({}, { name: "n".repeat(41) }), /at most 40 letters/);
    const space = (said: string[], set: Settings = {}): (() => unknown) => () =>
      chooseSpace({ model: "lstm", set, said, isPopulation: false });
    assert.throws(space(["hidden=5,8", "hidden=9"]), /hidden is said twice/);
    assert.throws(space(["hidden=5,8"], { hidden: 5 }), /hidden is said twice/);
    assert.doesNotThrow(space(["hidden=5,8", "dropout=0..0.5"], { layers: 1 }));
  });
  test("Ray's address for workers that run here", async () => {
    assert.match(await begin({}, { placement: { ...here, cluster: "http://head:8265" } }), /add --on ray, or leave out/);
  });
  test("going on with another dmn, with another file, or in a copy of the folder: said now, not by eight workers", async () => {
    await left("old", { version: "0.0.1" });
    assert.match(await resume("old"), /was begun with dmn 0\.0\.1, and this is \d+\.\d+\.\d+; go on with that version/);
    await left("moved", { work: { kind: "file", place: FILE, hash: "of another text" } });
    assert.match(await resume("moved"), /bowl\.ts is not the file that the study was begun with; restore it/);
    fs.cpSync(place("old"), place("copy"), { recursive: true });
    assert.match(await resume("copy"), /copy holds the study "old".*; go on with that one: dmn tune --name old --resume/);
  });
  test("a trial of a study that has none; the list of studies survives one that is damaged", async () => {
    await left("network", { work: { kind: "network" } });
    assert.match(await refused(tuneAction("export", { name: "network", trial: 0, as: "a" }, context)),
      /no trial 0; it has none yet: dmn tune --name network --resume/);
    fs.mkdirSync(place("hurt"));
    fs.writeFileSync(path.join(place("hurt"), "study.journal"), "something else\n");
    assert.match((await tuneAction("status", { name: "network" }, context)).text,
      /does not run on this machine; to go on: dmn tune --name network --resume/);
    const { json, text } = await tuneAction("status", {}, context);
    assert.match(text, /hurt +cannot be read: dmn tune status --name hurt/);
    assert.ok((json as { name: string }[]).some(({ name }) => name === "network"));
  });
});

test("a replay that comes out differently is refused with the trial, so that a script hears of it", async () => {
  const store = createStudy({ folder: place("other"), terms: toyTerms({ name: "other", version: "0.0.1" }), at: 0 });
  store.record({ event: "asked", at: 1, trial: 0, point: { x: 0.25, depth: 1, cell: "gru" }, parent: null, seen: 0 });
  store.commit();
  await store[Symbol.asyncDispose]();
  assert.match(await refused(tuneAction("replay", { name: "other" }, context)),
    /"other" comes out differently: trial 0 was .*0\.25.*, and is now .*; it was begun with dmn 0\.0\.1/);
});

describe("workers that people start", () => {
  const nobody = { study: "toy", worker: "w", version: "v1", signal: new AbortController().signal,
    prepare: () => Promise.resolve(() => Promise.reject(new Error("nothing runs"))) };

  test("a coordinator that does not answer is spoken of after the first question, once, and before patience ends", async () => {
    const said: string[] = [], address = `tcp://127.0.0.1:${await freePorts()}`;
    assert.match(await refused(runWorker({ ...nobody, address, deadlineMs: 60, patienceMs: 600,
      warn: (text) => { said.push(text); } })), /has not answered for \d+ s/);
    assert.deepEqual(said, [`no coordinator answers at ${address}; trying on for 1 s`]);
  });
  test("a trial that goes on after Ctrl-C does not keep its worker's process", async () => {
    const folder = path.join(ROOT, "hanging"), port = await freePorts();
    const place = path.join(ROOT, "hanging.ts");
    fs.writeFileSync(place, `export const space = { x: { kind: "float", low: 0, high: 1 } };
      export const objectives = [{ name: "loss", direction: "minimise" }, { name: "score", direction: "maximise" }];
      export const run = () => {
        process.stderr.write("it runs");
        return new Promise((done) => { setTimeout(done, 1e6); });
      };`);
    const store = createStudy({ folder, at: 0, terms: toyTerms({ trials: 1, pruner: null, version: codeVersion(),
      work: userWork(place) }) });
    await using _ = await startCoordinator({ store, search: searchOf(store.study.begun), clock: systemClock, port,
      keys: openStudyKeys(folder), workersMax: 1 });
    const child = spawn(process.execPath, [path.join(import.meta.dirname, "..", "bin", "dmn.js"), "worker", "--study", "toy",
      "--coordinator", `tcp://127.0.0.1:${port}`], { stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, DMN_HOME: ROOT, DMN_TUNE_KEYS: joinKeysOf(folder) } });
    child.stderr.once("data", () => { child.kill("SIGTERM"); });
    assert.deepEqual(await once(child, "close"), [0, null]);
    assert.deepEqual(store.study.trial(0).attempts.map(({ outcome }) => outcome), ["returned"]);
    await store[Symbol.asyncDispose]();
  });
  test("where one after the other is refused, its sentence is said, and not the hint below it", async () => {
    const ended = (id: string): PlacedWorker => ({ id, state: "failed", node: null, reason: "ended with code 2" });
    const ids: string[] = [];
    const engine: Engine = { name: "local", capacity: () => Promise.resolve(8), stop: () => Promise.resolve(false),
      submit: ({ id }) => { ids.push(id); return Promise.resolve(); }, list: () => Promise.resolve(ids.map(ended)),
      logs: () => Promise.resolve("dmn: the library is missing\n     install it\n"),
      [Symbol.asyncDispose]: () => Promise.resolve() };
    assert.match(await refused(keepWorkers({ engine, study: "toy", clock: systemClock, say: () => undefined,
      coordinator: { wanted: 1, study: { finishedCount: 0, isOver: false }, gone: () => undefined },
      ask: (id) => ({ id, command: [], environment: {}, cpus: 1, gpus: 0, memoryBytes: null }),
      limits: { pollMs: 2, failuresMax: 1 }, signal: new AbortController().signal })),
    /1 times in a row; the last one said: the library is missing;/);
  });
  test("join.keys is what DMN_TUNE_KEYS may name, for its owner only; it is written anew when the keys are", () => {
    const folder = path.join(ROOT, "keys"), keys = openStudyKeys(folder), join = joinKeysOf(folder);
    assert.equal(readWorkerSecret(join).secret, keys.secret);
    assert.equal(fs.statSync(join).mode & 0o077, 0);
    fs.rmSync(path.join(folder, "worker.keys"));
    const anew = openStudyKeys(folder);
    assert.notEqual(anew.secret, keys.secret);
    assert.equal(readWorkerSecret(join).secret, anew.secret);
  });
  test("the address is that of a coordinator that runs; of one that has ended there is none", async () => {
    const folder = place("announced");
    const lock = takeLock(path.join(folder, "writer.lock"), folder);
    await announce(folder, "tcp://127.0.0.1:4242");
    assert.equal(announced(folder), "tcp://127.0.0.1:4242");
    lock[Symbol.dispose]();
    assert.equal(announced(folder), null);
  });
  test("ports that another study has are told with the setting of studies, and with ten ports further on", async () => {
    const port = await freePorts(), stores = ["toy", "toy2"].map((name) =>
      createStudy({ folder: path.join(ROOT, name), terms: toyTerms({ name }), at: 0 }));
    const start = (k: number): ReturnType<typeof startCoordinator> => startCoordinator({ store: stores[k],
      clock: systemClock, search: searchOf(stores[k].study.begun), port, workersMax: 1 });
    await using _ = await start(0);
    assert.match(await refused(start(1)), new RegExp(`in use.*DMN_TUNE_PORT_BASE=${port + 10} dmn tune`));
    for (const store of stores) await store[Symbol.asyncDispose]();
  });
});

/** Trials 0 .. count - 1 of it, asked and leased; `tell` finishes one. */
function running(changes: Partial<Terms>, count: number):
{ study: Study; tell: (trial: number, values: (number | null)[]) => void } {
  const study = new Study(toyTerms({ space: { x: { kind: "float", low: 0, high: 1 } }, ...changes }), 0);
  for (let trial = 0; trial < count; trial++) {
    study.apply({ event: "asked", at: 0, trial, point: { x: 0.5 }, parent: null, seen: 0 });
    study.apply({ event: "leased", at: 0, trial, attempt: 0, token: trial, worker: "w" });
  }
  return { study, tell(trial, values) {
    const holes = values.filter((value) => value === null).length;
    study.apply({ event: "told", at: 1, trial, attempt: 0, state: holes > 0 ? "infeasible" : "complete", values,
      violation: holes, reason: holes > 0 ? "score is undefined" : "", isLate: false, statistics: {} });
  } };
}

describe("what is shown", () => {
  test("in a deterministic study, too, a trial that ends after later ones is on the front", () => {
    const { study, tell } = running({ lag: 4 }, 4), facts = factsOf(study);
    tell(1, [5, 1]);
    assert.deepEqual(facts().front.map(({ number }) => number), [1]);
    tell(0, [1, 5]);
    tell(3, [9, 0]);
    const { front, states, finished } = facts();
    assert.deepEqual([front.map(({ number }) => number), states.complete, finished], [[0], 3, 3]);
  });
  test("why trials are infeasible is told like why they failed", () => {
    const { study, tell } = running({}, 3);
    for (const trial of [0, 1, 2]) tell(trial, [1, trial === 1 ? 2 : null]);
    assert.deepEqual(reasonLines(study), ["2 infeasible like trial 2: score is undefined"]);
  });
  test("the live table is no wider than the terminal, so that what is drawn over it is all of it", () => {
    mock.timers.enable({ apis: ["setInterval"] });
    try {
      const { study, tell } = running({}, 3), written: string[] = [];
      tell(0, [1, 2]);
      const stream = { isTTY: true, rows: 30, columns: 40, write: (text: string): boolean => written.push(text) > 0 };
      const before = process.env["CI"];
      delete process.env["CI"];
      try { openDisplay(study, systemClock, stream)[Symbol.dispose](); } finally {
        if (before !== undefined) process.env["CI"] = before;
      }
      const lines = written.join("").split("\n");
      assert.ok(lines.length > 4 && lines.some((line) => line.length === 40) && lines.every((line) => line.length <= 40));
    } finally { mock.timers.reset(); }
  });
});

test("a population's front keeps its ends, also when their members have gone on", () => {
  const { study, tell } = running({ sampler: { name: "population", settings: { population: 2 } } }, 6);
  const folder = (trial: number): string => path.join(ROOT, "ends", String(trial));
  for (const trial of [0, 1, 2, 3, 4, 5]) {
    fs.mkdirSync(partFolder(folder(trial), 0), { recursive: true });
    // 1 is the best of all; 4 and 5 are what their members go on from.
    tell(trial, trial === 1 ? [0, 10] : [trial + 1, 1]);
  }
  keepEnds(study, folder)[Symbol.dispose]();
  assert.deepEqual([0, 1, 2, 3, 4, 5].filter((trial) => fs.existsSync(partFolder(folder(trial), 0))), [1, 4, 5]);
});

test("a worker whose disk is full gives its trial back and ends with what to do; another one runs it", async () => {
  const folder = path.join(ROOT, "full"), port = await freePorts();
  const store = createStudy({ folder, terms: toyTerms({ trials: 2, pruner: null }), at: 0 }), keys = openStudyKeys(folder);
  await using coordinator = await startCoordinator({ store, search: searchOf(store.study.begun), clock: systemClock, port,
    keys, workersMax: 1 });
  const work = (worker: string, run: RunTrial): Promise<unknown> => runWorker({ address: coordinator.address, study: "toy",
    worker, version: "v1", keys: readWorkerSecret(joinKeysOf(folder)), signal: new AbortController().signal,
    prepare: () => Promise.resolve(run) });
  const full = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  assert.match(await refused(work("full", () => Promise.reject(explainWrite(path.join(folder, "end"), full)))),
    /the disk of .* is full.*; free some space/);
  assert.deepEqual([store.study.stateOf(0), store.study.count], ["waiting", 1]);
  await work("roomy", () => Promise.resolve({ values: [1, 2], violations: {}, statistics: {} }));
  assert.equal(store.study.counts.complete, 2);
  await coordinator.stop();
  await store[Symbol.asyncDispose]();
});

test("an objective of one's own may return values alone; none, or too few, fail the trial with what to return", async () => {
  const folder = path.join(ROOT, "outcomes"), port = await freePorts();
  const store = createStudy({ folder, terms: toyTerms({ trials: 3, pruner: null }), at: 0 }), keys = openStudyKeys(folder);
  const outcomes = [{ values: [1, 2] }, {}, { values: [1] }] as unknown as Outcome[];
  await using coordinator = await startCoordinator({ store, search: searchOf(store.study.begun), clock: systemClock, port,
    keys, workersMax: 1 });
  await runWorker({ address: coordinator.address, study: "toy", worker: "w", version: "v1",
    keys: readWorkerSecret(joinKeysOf(folder)), signal: new AbortController().signal,
    prepare: () => Promise.resolve(({ number }) => Promise.resolve(outcomes[number])) });
  await coordinator.over;
  assert.deepEqual([0, 1, 2].map((k) => [store.study.trial(k).state, store.study.trial(k).reason]), [["complete", ""],
    ["failed", "the objective returned no values for 2 objectives"],
    ["failed", "the objective returned 1 values for 2 objectives"]]);
  await coordinator.stop();
  await store[Symbol.asyncDispose]();
});
