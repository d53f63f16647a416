import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as net from "node:net";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { UserError } from "../src/base/error.ts";
import { optunaJournal, readOptunaJournal } from "../src/tune/optuna-journal.ts";
import { paretoFront } from "../src/tune/pareto.ts";
import { checkPoint, checkSpace } from "../src/tune/space.ts";
import type { StudyView, Trial } from "../src/tune/study.ts";
import { askPython, NO_PYTHON, python } from "./python.ts";
import { makeView } from "./tune-view.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-optuna-"));
after(() => { fs.rmSync(folder, { recursive: true }); });
const script = fs.readFileSync(path.join(import.meta.dirname, "peers", "optuna_journal.py"), "utf8");
const packages = (place: string): string[] => fs.globSync(path.join(place, "..", "..", "lib", "python*", "site-packages", "*"));
const lacks = (name: string): string | false => {
  const place = python();
  if (place === null) return NO_PYTHON;
  return !packages(place).some((one) => path.basename(one) === name) && `${NO_PYTHON} (without ${name})`;
};

interface Told {
  name: string; directions: number[]; metrics: string[] | null; attributes: Record<string, unknown>; best: number[];
  trials: { number: number; state: string; params: Record<string, number | string | boolean | null>;
    values: (number | string)[] | null; intermediate: [number, number | string][]; violations: number[];
    attributes: Record<string, unknown>; distributions: Record<string, string>; start: number | null; end: number | null }[];
}
const ask = (question: object): Told => askPython(script, question) as Told;

function write(name: string, view: StudyView): string {
  const place = path.join(folder, name);
  fs.writeFileSync(place, [...optunaJournal(view), ""].join("\n"));
  return place;
}
const read = (place: string, name: string | null = null): ReturnType<typeof readOptunaJournal> =>
  readOptunaJournal(fs.readFileSync(place, "utf8"), name);
/** Has all seven states; half of what is infeasible is so by a limit, with all values known. */
function makeStudy(objectives: number): StudyView {
  const view = makeView({ objectives, seed: 3 });
  return { ...view, trial: (number) => {
    const trial = view.trial(number);
    return trial.state === "infeasible" && number % 2 === 0
      ? { ...trial, values: trial.values!.map((value) => Number.isNaN(value) ? 0.5 : value), violation: 0.25 } : trial;
  } };
}
const trialsOf = (view: StudyView): Trial[] => Array.from({ length: view.count }, (_, k) => view.trial(k));
/** As Python says it. */
const word = (value: number): number | string =>
  Number.isNaN(value) ? "nan" : Number.isFinite(value) ? value : value > 0 ? "inf" : "-inf";

const FIELDS = ["number", "state", "point", "values", "violation", "reason", "reports", "statistics", "parent",
  "endedAt"] as const;
const STATES = { waiting: "WAITING", running: "RUNNING", complete: "COMPLETE", pruned: "PRUNED", failed: "FAIL",
  cancelled: "FAIL", infeasible: "COMPLETE" } as const;

for (const objectives of [1, 5]) {
  const view = makeStudy(objectives), M = `${objectives} objective${objectives > 1 ? "s" : ""}`;

  test(`a study of 120 trials with ${M} comes back from its log as it went`, () => {
    const found = read(write(`back-${objectives}`, view));
    assert.equal(found.name, "first");
    assert.deepEqual(found.objectives, view.terms.objectives);
    assert.deepEqual(found.space, view.terms.space);
    assert.deepEqual(found.unexplained, []);
    assert.equal(found.tornBytes, 0);
    const states = new Set(found.trials.map(({ state }) => state));
    assert.equal(states.size, 7, [...states].join(" "));
    assert.ok(found.trials.some(({ violation, values }) => violation === 0.25 && !values!.includes(NaN)));
    trialsOf(view).forEach((trial, k) => {
      for (const field of FIELDS) assert.deepEqual(found.trials[k][field], trial[field], `${field} of trial ${k}`);
    });
  });

  test(`Optuna opens it: directions, trials and the best of ${M} are ours`, { skip: lacks("optuna") }, () => {
    const told = ask({ do: "tell", place: write(`told-${objectives}`, view), name: "first" });
    assert.deepEqual(told.directions, [2, 1, 2, 1, 1].slice(0, objectives));
    assert.deepEqual(told.metrics, view.terms.objectives.map(({ name }) => name));
    const front = paretoFront(view.finished()).map(({ number }) => number).sort((a, b) => a - b);
    assert.deepEqual(told.best.toSorted((a, b) => a - b), front);
    assert.equal(told.trials.length, 120);
    for (const [k, trial] of trialsOf(view).entries()) {
      const { state, params, values, intermediate, violations, attributes, start, end } = told.trials[k];
      const isUndefined = trial.state === "infeasible" && trial.values!.includes(NaN);
      assert.equal(state, isUndefined ? "FAIL" : STATES[trial.state], `trial ${k}, ${trial.state}`);
      assert.deepEqual(params, trial.point);
      if (trial.state === "complete") assert.deepEqual(values, trial.values);
      assert.deepEqual(intermediate, objectives > 1 ? [] : trial.reports.map(({ step, values: [value] }) => [step, word(value)]));
      assert.deepEqual(violations, trial.violation > 0 ? [trial.violation] : []);
      assert.deepEqual(attributes, trial.statistics);
      assert.equal(end, trial.endedAt === null ? null : trial.endedAt / 1000);
      if (trial.state === "complete") assert.equal(start, trial.attempts[0].startedAt / 1000);
    }
    assert.deepEqual(told.trials.find(({ params }) => "heads" in params)!.distributions, {
      learningRate: "FloatDistribution(high=0.1, log=True, low=1e-05, step=None)",
      dropout: "FloatDistribution(high=0.6, log=False, low=0.0, step=0.1)",
      hidden: "IntDistribution(high=256, log=True, low=8, step=1)",
      layers: "IntDistribution(high=4, log=False, low=1, step=1)",
      architecture: "CategoricalDistribution(choices=('lstm', 'transformer'))",
      heads: "CategoricalDistribution(choices=(1, 2, 4))",
    });
  });

  test(`Optuna's TPE goes on with ${M} in our log, and we read on`, { skip: lacks("optuna") }, () => {
    const place = write(`further-${objectives}`, view);
    const told = ask({ do: "go on", place, name: "first", trials: 3 }), found = read(place);
    // It takes the two that wait, and one of its own.
    assert.equal(told.trials.length, 121);
    assert.equal(found.trials.length, 121);
    const last = told.trials[120];
    assert.deepEqual(found.trials[120].point, last.params);
    assert.deepEqual(found.trials.slice(-3).map(({ state }) => state), ["complete", "complete", "complete"]);
    assert.deepEqual(found.trials[120].values, Array.from({ length: objectives }, () => 0.5));
  });
}

describe("a log that Optuna wrote", { skip: lacks("optuna") }, () => {
  const place = path.join(folder, "theirs");
  let told: Told | null = null;
  const theirs = (): Told => told ??= ask({ do: "write", place });

  test("has all operations 0..9 in it, and is read as Optuna reads it", () => {
    const { trials, best } = theirs(), found = read(place, "theirs");
    const codes = fs.readFileSync(place, "utf8").matchAll(/"op_code":(\d+)/g);
    assert.deepEqual([...new Set(Array.from(codes, ([, code]) => code))].sort(), "0123456789".split(""));
    assert.deepEqual(found.objectives, [{ name: "sharpe", direction: "maximise" }]);
    assert.equal(found.trials.length, 23);
    for (const [k, one] of trials.entries()) {
      const trial = found.trials[k], violation = one.violations.reduce((sum, value) => sum + Math.max(0, value), 0);
      const state = one.state === "COMPLETE" && violation > 0 ? "INFEASIBLE" : one.state === "FAIL" ? "FAILED" : one.state;
      assert.equal(trial.state.toUpperCase(), state);
      assert.deepEqual(trial.point, Object.fromEntries(Object.entries(one.params)
        .map(([name, value]) => [name, typeof value === "number" ? value : String(value)])));
      assert.deepEqual(trial.values?.map(word) ?? null, one.values);
      assert.deepEqual(trial.reports.map(({ step, values: [value] }) => [step, word(value)]), one.intermediate);
      assert.equal(trial.violation, violation);
      assert.deepEqual(trial.statistics, "seconds" in one.attributes ? { seconds: one.attributes["seconds"] } : {});
      assert.equal(trial.endedAt, one.end === null ? null : Math.floor(one.end * 1000));
    }
    // Of those that Optuna may call best nothing is infeasible here.
    assert.equal(found.trials[best[0]].state, "complete");
  });

  test("has a space that its trials are points of; heads count where the kind is transformer", () => {
    theirs();
    const { space, trials, unexplained } = read(place, "theirs");
    checkSpace(space);
    assert.deepEqual(space, {
      x: { kind: "float", low: 1e-6, high: 1, isLog: true }, y: { kind: "float", low: -1, high: 1, step: 0.25 },
      layers: { kind: "integer", low: 1, high: 4 }, width: { kind: "integer", low: 8, high: 256, isLog: true },
      even: { kind: "integer", low: 2, high: 10, step: 2 }, kind: { kind: "choice", choices: ["lstm", "transformer"] },
      heads: { kind: "choice", choices: [1, 2, 4], when: { parameter: "kind", is: ["transformer"] } },
      flag: { kind: "choice", choices: ["true", "false", "null"] },
    });
    // The trial that was added by hand has x alone.
    assert.deepEqual(unexplained, ["y", "layers", "width", "even", "kind", "flag"]);
    for (const { point } of trials.slice(0, 20)) checkPoint(space, point);
  });

  test("with two studies left in it is read by name", () => {
    theirs();
    assert.throws(() => read(place), (error) => error instanceof UserError
      && error.problem === "the journal has 2 studies" && error.hint === "name one of: theirs, two");
    assert.throws(() => read(place, "other"), (error) => error instanceof UserError
      && error.problem === 'the journal has no study "other"');
    const { objectives, trials } = read(place, "two");
    assert.deepEqual(objectives, [{ name: "value0", direction: "minimise" }, { name: "value1", direction: "maximise" }]);
    for (const { values, point } of trials) assert.deepEqual(values, [point["z"], point["k"]]);
    assert.equal(trials.length, 5);
  });
});

describe("a log that is none", () => {
  const lines = [...optunaJournal(makeView({ trials: 20 }))];

  test("its unfinished last line is ignored and counted; the same line in the middle is named", () => {
    const { trials, tornBytes } = readOptunaJournal(`${lines.join("\n")}\n${lines[5].slice(0, 100)}`);
    assert.equal(trials.length, 20);
    assert.equal(tornBytes, 100);
    const damaged = [...lines.slice(0, 6), lines[6].slice(0, 50) + lines[7], ...lines.slice(8), ""].join("\n");
    assert.throws(() => readOptunaJournal(damaged), (error) => error instanceof UserError
      && error.problem.startsWith("line 7 is not a record of Optuna's journal: {"));
  });
  for (const line of ["dmn-journal study 1", '{"op_code":77}', '{"op_code":0,"study_name":"a"}', "null",
    '{"op_code":4,"study_id":0,"state":9}',
    '{"op_code":4,"study_id":0,"params":{"x":1},"distributions":{"x":"{\\"name\\":\\"Odd\\",\\"attributes\\":{}}"}}']) {
    test(`${line.slice(0, 60)} is refused in a sentence`, () => {
      assert.throws(() => readOptunaJournal(`${lines[0]}\n${line}\n`), (error) => error instanceof UserError
        && error.problem === `line 2 is not a record of Optuna's journal: ${line.slice(0, 60)}`);
    });
  }
  test("an empty one has no studies", () => {
    assert.throws(() => readOptunaJournal(""), (error) => error instanceof UserError
      && error.problem === "the journal has 0 studies");
  });
  test("records about what is not there or is finished mean nothing, as with Optuna", () => {
    const more = ['{"op_code":6,"trial_id":0,"state":3,"values":null}', '{"op_code":5,"trial_id":99,"param_name":"x"}',
      '{"op_code":4,"study_id":7}', '{"op_code":10}', '{"op_code":0,"study_name":"first","directions":[1]}'];
    const { trials } = readOptunaJournal([...lines, ...more, ""].join("\n"));
    assert.deepEqual(trials, readOptunaJournal([...lines, ""].join("\n")).trials);
  });
});

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((done) => { server.listen(0, "127.0.0.1", done); });
  const { port } = server.address() as net.AddressInfo;
  await new Promise((done) => { server.close(done); });
  return port;
}

test("optuna-dashboard opens a study: its API tells name, directions, 120 trials by state and the front",
  { skip: lacks("optuna_dashboard"), timeout: 90_000 }, async () => {
    const view = makeStudy(5), place = write("dashboard", view), port = await freePort();
    const server = spawn(path.join(path.dirname(python()!), "optuna-dashboard"),
      [place, "--port", `${port}`, "--server", "wsgiref"], { stdio: "ignore" });
    const ended = new Promise((done) => { server.once("exit", done); });
    const get = async (what: string): Promise<Record<string, unknown>> => {
      // It is up when it answers; importing it takes seconds.
      for (let attempt = 0; ; attempt++) {
        try {
          const answer = await fetch(`http://127.0.0.1:${port}/api/${what}`);
          assert.equal(answer.status, 200);
          return await answer.json() as Record<string, unknown>;
        } catch (error) {
          if (attempt > 600 || server.exitCode !== null || error instanceof assert.AssertionError) throw error;
          await wait(100);
        }
      }
    };
    try {
      const [summary] = (await get("studies"))["study_summaries"] as Record<string, unknown>[];
      assert.equal(summary["study_name"], "first");
      assert.deepEqual(summary["directions"], ["maximize", "minimize", "maximize", "minimize", "minimize"]);
      const study = await get(`studies/${String(summary["study_id"])}`);
      assert.deepEqual(study["objective_names"], view.terms.objectives.map(({ name }) => name));
      const trials = study["trials"] as { state: string; number: number; values?: number[] }[];
      const states = (of: readonly string[]): Record<string, number> =>
        Object.fromEntries(Object.entries(Object.groupBy(of, (one) => one)).map(([state, all]) => [state, all!.length]));
      assert.deepEqual(states(trials.map(({ state }) => state.toUpperCase())), states(trialsOf(view).map(({ state, values }) =>
        state === "infeasible" && values!.includes(NaN) ? "FAIL" : STATES[state])));
      const front = paretoFront(view.finished()).map(({ number }) => number).sort((a, b) => a - b);
      assert.deepEqual((study["best_trials"] as { number: number }[]).map(({ number }) => number).sort((a, b) => a - b), front);
      assert.deepEqual(trials[front[0]].values, view.trial(front[0]).values);
    } finally {
      server.kill();
      await ended;
    }
  });
