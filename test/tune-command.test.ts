/**
 * `dmn tune` as a person runs it: a study of networks with two workers, stopped by Ctrl-C and gone on with, its best
 * trial exported; and studies of a file, for everything that needs no network.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { systemClock } from "../src/base/clock.ts";
import { readConfig } from "../src/base/config.ts";
import type { Context } from "../src/base/context.ts";
import { UserError } from "../src/base/error.ts";
import { openLog } from "../src/base/log.ts";
import { silentProgress } from "../src/base/progress.ts";
import { readStudy } from "../src/tune/study-journal.ts";
import { tuneAction, type ActionSaid } from "../src/workflow/tune/action.ts";
import type { Placement } from "../src/workflow/tune/place-workers.ts";
import { termsOf, type TuneSaid } from "../src/workflow/tune/tune-request.ts";
import { tune, type TuneOptions, type TuneReport } from "../src/workflow/tune/tune.ts";
import { DataRoot, type Ran } from "./features-data.ts";
import { cleanBars } from "./market-rows.ts";
import { freePorts } from "./ports.ts";

const DMN = path.join(import.meta.dirname, "..", "bin", "dmn.js");
const data = new DataRoot();
let ports = 0;
before(async () => {
  ports = await freePorts();
  await data.put("market", Array.from({ length: 2 }, (_, k) => cleanBars(k, 760 - 60 * k, `S${k}`)));
  data.features("--dataset", "market", "--recipe", "dmn");
  data.write("bowl.ts", `
    export const space = { x: { kind: "float", low: -1, high: 1 }, kind: { kind: "choice", choices: ["a", "b"] } };
    export const objectives = [{ name: "near", direction: "minimise" }, { name: "far", direction: "maximise" }];
    export const stepsMax = 3;
    export async function run({ number, point, report }) {
      const values = [(point.x - 0.5) ** 2, number === 3 ? NaN : point.x + (point.kind === "a" ? 1 : 0)];
      for (let step = 1; step < 3; step++) await report(step, values);
      return { values, violations: {}, statistics: { tries: 1 } };
    }`);
});
after(() => { data[Symbol.dispose](); });

const environment = (): Record<string, string> => ({ DMN_TUNE_PORT_BASE: String(ports) });
const dmn = (...args: string[]): Ran => data.dmn(args, environment());
/** Runs it with --json, which must succeed. */
function answer(...args: string[]): unknown {
  const { code, out, said } = dmn(...args, "--json");
  assert.equal(code, 0, said);
  return JSON.parse(out);
}
/** Exit code 2 and two lines, which are returned. */
function refusal(...args: string[]): string {
  const { code, said, out } = dmn(...args);
  assert.equal(code, 2, `${said}${out}`);
  assert.match(said.replaceAll(/^\d+\/\d+ trials.*\n/gm, ""), /^dmn: .+\n {5}.+\n$/);
  return said;
}
/** Starts it, presses Ctrl-C once stderr says `when`, and waits for its end. */
async function interrupt(when: RegExp, ...args: string[]): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, [DMN, ...args], { cwd: data.root, stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, DMN_HOME: data.root, CI: "1", DMN_LOG: "info", ...environment() } });
  let said = "", isPressed = false;
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
    if (isPressed || !when.test(said)) return;
    isPressed = true;
    child.kill("SIGINT");
  });
  const [code] = await once(child, "close") as [number | null];
  return { code, said };
}
const here: Placement = { on: "local", cluster: null, shared: null, host: null };
const context: Context = { root: data.root, config: readConfig(data.root, {}), log: openLog("silent"),
  progress: silentProgress, clock: systemClock, signal: new AbortController().signal };
/** `dmn tune ACTION --name NAME`, without a process of its own. */
const act = async (action: string, name: string, more: ActionSaid = {}): Promise<unknown> =>
  (await tuneAction(action, { name, ...more }, context)).json;
/** The sentence and the hint of what refuses. */
async function refusedWith(work: Promise<unknown>): Promise<string> {
  const error = await work.then(() => null, (thrown: unknown) => thrown);
  assert.ok(error instanceof UserError, String(error));
  return `${error.problem}; ${error.hint}`;
}
const place = (...parts: string[]): string => path.join(data.root, "storage", "tune", ...parts);

describe("a study of networks", () => {
  const NETWORKS = ["tune", "--dataset", "market", "--name", "nets", "--set", "lookback=21", "--set", "epochs=9",
    "--set", "layers=1", "--space", "hidden=5,8", "--objectives", "sharpe,maxDrawdown,latency", "--parts", "2",
    "--trials", "6", "--workers", "2", "--pruner", "asha"];

  test("stopped by Ctrl-C it says how to go on, and goes on to its six trials, none of them run twice to its end",
    async () => {
      const { code, said } = await interrupt(/trial \d+: done/, ...NETWORKS);
      assert.equal(code, 130, said);
      assert.match(said, /Go on with: dmn tune --name nets --resume/);
      assert.ok(readStudy(place("nets")).finishedCount < 6);
      const report = (answer("tune", "--name", "nets", "--resume", "--workers", "2") as TuneReport);
      assert.equal(Object.values(report.states).reduce((sum, count) => sum + count, 0), 6);
      assert.equal(report.states.complete + report.states.pruned, 6);
      const study = readStudy(place("nets"));
      for (let k = 0; k < 6; k++) {
        const told = study.trial(k).attempts.filter(({ outcome }) => outcome === "told");
        assert.equal(told.length, 1, `trial ${k}`);
        assert.equal(study.trial(k).values?.length, 3);
      }
      assert.ok(fs.readFileSync(path.join(data.root, "reports", "tune-nets.html"), "utf8").includes("nets"));
      assert.ok(report.luck !== null && report.luck.tried === 6 && report.luck.deflatedSharpe >= 0);
    });

  test("its trial is exported with the settings of its point, on the windows of the study", async () => {
    const best = await act("best", "nets", { prefer: "sharpe=2,latency=1" }) as
      { trials: { trial: number; settings: Record<string, number> }[] };
    const [{ trial, settings }] = best.trials;
    const { code, said } = dmn("tune", "export", "--name", "nets", "--trial", String(trial), "--as", "picked", "--workers", "1");
    assert.equal(code, 0, said);
    const model = JSON.parse(fs.readFileSync(path.join(data.root, "models", "picked", "model.json"), "utf8")) as
      { settings: Record<string, number>; folds: { testFrom: string }[] };
    for (const [name, value] of Object.entries(settings)) assert.equal(model.settings[name], value, name);
    const work = readStudy(place("nets")).terms.work as { testFrom: string };
    assert.equal(model.folds[0].testFrom, work.testFrom);
  });

  test("the same command again runs nothing; other terms under its name are refused", () => {
    assert.equal((answer(...NETWORKS) as TuneReport).states.running, 0);
    assert.match(refusal(...NETWORKS, "--seed", "4"), /nets/);
  });
});

describe("a study of a file", () => {
  const file = (name: string, ...more: string[]): string[] =>
    ["tune", "--objective", "bowl.ts", "--name", name, "--workers", "2", ...more];

  test("runs to its end; a value that is not a number makes a trial infeasible, and nothing else", () => {
    const report = (answer(...file("bowl", "--trials", "12")) as TuneReport);
    assert.deepEqual([report.states.complete, report.states.infeasible], [11, 1]);
    assert.equal(readStudy(place("bowl")).trial(3).state, "infeasible");
    assert.ok(report.front.length >= 1 && report.front.every(({ trial }) => trial !== 3));
  });

  test("every suggestion is found again in the journal, and Optuna's form of it has 12 trials", async () => {
    const { suggestions, difference } = await act("replay", "bowl") as { suggestions: number; difference: string | null };
    assert.deepEqual([suggestions, difference], [12, null]);
    assert.equal((await act("optuna", "bowl", { path: path.join(data.root, "bowl.log") }) as { trials: number }).trials, 12);
    const lines = fs.readFileSync(path.join(data.root, "bowl.log"), "utf8").trimEnd().split("\n");
    assert.equal(lines.filter((line) => /"op_code": ?4\b/.test(line)).length, 12);
    const read = await tuneAction("report", { path: path.join(data.root, "bowl.log") }, context);
    assert.deepEqual([(read.json as { trials: number }).trials, (read.json as { study: string }).study], [12, "bowl"]);
    const page = fs.readFileSync((read.json as { report: string }).report, "utf8");
    assert.match(page, /<span>Made by<\/span> Optuna/);
    assert.ok(!/dmn tune export|walk-forward/.test(page), "nothing is said of ours");
    await assert.rejects(tuneAction("stop", { name: "bowl" }, context), /does not run on this machine/);
  });

  test("boxes thin a front: as many as differ, and none that another dominates", async () => {
    const shown = async (boxes?: number): Promise<number[]> => (await act("best", "bowl", { boxes, prefer: "near" }) as
      { trials: { trial: number }[] }).trials.map(({ trial }) => trial);
    const whole = await shown(), fine = await shown(1000), coarse = await shown(2);
    assert.deepEqual(fine, whole);
    assert.ok(coarse.length < whole.length && coarse.length > 0, `${coarse.length} of ${whole.length}`);
    assert.ok(coarse.every((trial) => whole.includes(trial)));
  });

  test("a study of which every trial fails ends in a refusal that says why", () => {
    data.write("broken.ts", `
      export const space = { x: { kind: "float", low: -1, high: 1 } };
      export const objectives = [{ name: "y", direction: "minimise" }];
      export const run = () => { throw new Error("no such column"); };`);
    const said = refusal("tune", "--objective", "broken.ts", "--name", "broken", "--trials", "2", "--workers", "1");
    assert.match(said, /all 2 trials of study "broken" failed; .*no such column/s);
  });

  test("deterministic, one worker and two make the same study", () => {
    const values = (name: string, workers: string): unknown => {
      answer(...file(name, "--trials", "10", "--deterministic", "lag=3", "--seed", "5").map((word, k, all) =>
        all[k - 1] === "--workers" ? workers : word));
      const study = readStudy(place(name));
      return Array.from({ length: 10 }, (_, k) => [study.trial(k).point, study.trial(k).values]);
    };
    assert.deepEqual(values("one", "1"), values("two", "2"));
  });

  test("resumed with more trials it has more; fewer, and other terms, are refused", async () => {
    assert.equal((answer("tune", "--name", "bowl", "--resume", "--trials", "14") as TuneReport).states.complete, 13);
    const resume = (said: Omit<TuneSaid, "request">): Promise<string> => refusedWith(tune({ name: "bowl",
      said: { request: {}, ...said }, placement: here, workers: 1, isResume: true }, context));
    assert.match(await resume({ trials: 3 }), /cannot have fewer/);
    assert.match(await resume({ seed: 4 }), /seed is said anew/);
  });

  test("a journal with damage before its end is refused with the command that repairs it, and goes on after it", async () => {
    fs.cpSync(place("bowl"), place("hurt"), { recursive: true });
    for (const name of ["snapshot"]) fs.rmSync(place("hurt", name), { force: true });
    const bytes = fs.readFileSync(place("hurt", "study.journal"));
    const middle = bytes.lastIndexOf(0x0a, bytes.indexOf(0) < 0 ? bytes.length / 2 : bytes.indexOf(0) / 2) - 5;
    bytes[middle] ^= 1;
    fs.writeFileSync(place("hurt", "study.journal"), bytes);
    assert.match(await refusedWith(act("status", "hurt")), /damaged at byte \d+.*dmn tune repair --name hurt/);
    assert.ok((await act("repair", "hurt") as { kept: number }).kept > 0);
    assert.ok((await act("status", "hurt") as { finished: number }).finished < 14);
  });

  test("a file that is gone, changed or without a function is refused", async () => {
    data.write("bare.ts", "export const objectives = [{ name: 'a', direction: 'minimise' }];");
    const begin = (objective: string): Promise<string> => refusedWith(tune({ name: "x", placement: here, workers: 1,
      said: { request: {}, objective: path.join(data.root, objective) }, isResume: false }, context));
    assert.match(await begin("bare.ts"), /exports no function run/);
    assert.match(await begin("no.ts"), /there is no file/);
  });
});

test("terms of a deterministic study do not know for how many workers, nor on what machine, it was begun", async () => {
  const terms = async (workers: number): Promise<{ threads: number }> => (await termsOf({ name: "same", workers, begun: null,
    said: { request: { dataset: "market", set: { lookback: 21, epochs: 9 } }, lag: 3 } }, context)).work as { threads: number };
  assert.deepEqual(await terms(1), await terms(64));
  assert.equal((await terms(1)).threads, 1);
});

describe("what is refused, each with one sentence and what to type", () => {
  const refused = async (said: Omit<TuneSaid, "request"> & { set?: Record<string, number>; dataset?: string },
    more: Partial<TuneOptions> = {}): Promise<string> => {
    const { set, dataset = "market", ...rest } = said;
    const options = { name: "bad", said: { request: { dataset, set }, ...rest }, placement: here, workers: 1, isResume: false };
    return await refusedWith(tune({ ...options, ...more }, context));
  };
  for (const [what, said, words] of [
    ["an unknown objective", { objectives: ["sharpe", "sharp"] }, /no objective "sharp"; did you mean "sharpe"/],
    ["an unknown sampler", { sampler: "nsga4" }, /no sampler "nsga4"; did you mean "nsga3"/],
    ["an unknown setting of a pruner", { pruner: "asha:etta=3" }, /no setting "etta"; did you mean "eta"/],
    ["a population that is pruned", { sampler: "pbt", pruner: "asha" }, /leave out one of --pbt and --pruner/],
    ["an unknown dataset", { dataset: "nowhere" }, /nowhere/],
    ["stability of one part", { objectives: ["importanceStability"], parts: 1 }, /add --parts 3/],
    ["a clock in a deterministic study", { objectives: ["latency"], lag: 2 }, /measured by a clock/],
    ["a limit on what is not measured", { limits: { latency: 3 } }, /--limit latency needs it measured/],
    ["a limit that is no number", { limits: { sharpe: "high" } }, /it is a number/],
    ["parts that leave no rows", { parts: 8, set: { lookback: 200 } }, /too few bars/],
  ] as const) {
    test(what, async () => { assert.match(await refused(said), words); });
  }
  test("a study that is not there, and no dataset", async () => {
    assert.match(await refused({}, { isResume: true }), /no study "bad" to go on with/);
    assert.match(await refused({}, { said: { request: {} } }), /which dataset\?/);
  });
  test("Ray without an address, before anything is written", async () => {
    assert.match(await refused({}, { placement: { ...here, on: "ray" } }), /--cluster http/);
    assert.ok(!fs.existsSync(place("bad", "study.journal")));
  });
  test("a worker without an address", () => {
    assert.match(refusal("worker", "--coordinator", "nobody", "--study", "x"), /is no address of a coordinator/);
  });
});
