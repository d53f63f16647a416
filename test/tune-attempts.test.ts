/** Attempts of trials and their results: what a study's conductor decides, in memory. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Study } from "../src/tune/fold.ts";
import { searchOf } from "../src/tune/search.ts";
import { Suggester } from "../src/tune/suggester.ts";
import { endOf, inMemory, LEASE_MS, ofKind } from "./tune-conducted.ts";
import { outcomesOf, toyTerms } from "./tune-toy.ts";

describe("attempts and their results", () => {
  test("a silent worker's trial goes to another after 1,000 ms; its late result counts, the other's is a duplicate", () => {
    const { study, conductor } = inMemory({ pruner: null });
    const first = conductor.ask("a", 0)!;
    assert.equal(conductor.expire(1_000).length, 0);
    assert.equal(conductor.expire(1_001).length, 1);
    const second = conductor.ask("b", 1_002)!;
    assert.deepEqual([second.trial, second.attempt, second.point], [first.trial, 1, first.point]);
    assert.equal(conductor.beat(endOf(first, "a"), 1_003), false, "it is not a's any more");
    assert.equal(conductor.tell(endOf(first, "a", { values: [1, 2] }), 1_004), true);
    assert.equal(conductor.tell(endOf(second, "b", { values: [3, 4] }), 1_005), true);
    const trial = study.trial(0);
    assert.deepEqual([trial.state, trial.values, outcomesOf(trial)], ["complete", [1, 2], ["late", "duplicate"]]);
    assert.equal(study.finishedCount, 1);
  });

  test("a result that is told three times counts once", () => {
    const { study, conductor, events } = inMemory({ pruner: null });
    const work = conductor.ask("a", 0)!;
    for (let k = 0; k < 3; k++) assert.equal(conductor.tell(endOf(work, "a"), k), true);
    assert.deepEqual([ofKind(events, "told"), ofKind(events, "duplicate"), study.finishedCount], [1, 0, 1]);
  });

  test("a result with another token, or of a trial that was never asked, is refused", () => {
    const { study, conductor } = inMemory();
    const work = conductor.ask("a", 0)!;
    assert.equal(conductor.tell(endOf({ ...work, token: work.token + 1 }, "a"), 1), false);
    assert.equal(conductor.tell(endOf({ ...work, trial: 19 }, "a"), 1), false);
    assert.equal(study.finishedCount, 0);
  });

  test("who was thought lost and is heard of before its trial was given away goes on with the same attempt", () => {
    const { study, conductor } = inMemory({ pruner: null });
    const work = conductor.ask("a", 0)!;
    conductor.expire(2_000);
    assert.equal(conductor.beat(endOf(work, "a"), 2_001), true);
    assert.equal(conductor.ask("b", 2_002)!.trial, 1);
    conductor.tell(endOf(work, "a"), 2_003);
    assert.deepEqual(outcomesOf(study.trial(0)), ["told"]);
  });

  test("a worker that asks again without having heard its answer gets the same attempt", () => {
    const { conductor, events } = inMemory();
    assert.deepEqual(conductor.ask("a", 0), conductor.ask("a", 5));
    assert.equal(ofKind(events, "leased"), 1);
  });

  test("with 2 retries a trial fails when its worker was lost 3 times; giving it back costs none", () => {
    const { study, conductor } = inMemory({ retries: 2 });
    for (let k = 0; k < 5; k++) conductor.tell(endOf(conductor.ask("a", k)!, "a", { how: "returned", reason: "SIGTERM" }), k);
    for (let k = 0; k < 3; k++) {
      assert.equal(study.stateOf(0), "waiting");
      conductor.ask(`w${k}`, 10);
      conductor.gone(`w${k}`, "killed", 11);
    }
    const trial = study.trial(0);
    assert.deepEqual([trial.state, trial.reason], ["failed", "its worker was lost 3 times: killed"]);
    assert.deepEqual(outcomesOf(trial), [...Array<string>(5).fill("returned"), "lost", "lost", "lost"]);
  });

  test("an error that comes twice fails the trial, one that does not is forgotten; what fails anywhere fails at once", () => {
    const { study, conductor } = inMemory({ pruner: null });
    const err = (reason: string): void => { conductor.tell(endOf(conductor.ask("a", 0)!, "a", { how: "erred", reason }), 0); };
    err("out of memory");
    err("no such file");
    assert.equal(study.stateOf(0), "waiting");
    err("out of memory");
    assert.deepEqual([study.stateOf(0), study.trial(0).reason, study.trial(0).attempts.length], ["failed", "out of memory", 3]);
    err("once");
    conductor.tell(endOf(conductor.ask("a", 0)!, "a"), 0);
    assert.equal(study.stateOf(1), "complete");
    conductor.tell(endOf(conductor.ask("a", 0)!, "a", { how: "failed", reason: "hidden must be even", values: [] }), 0);
    assert.deepEqual([study.stateOf(2), study.trial(2).attempts.length], ["failed", 1]);
  });

  test("undefined values and violated constraints make a trial infeasible by their sum, and say which", () => {
    const { study, conductor } = inMemory({ pruner: null });
    conductor.tell(endOf(conductor.ask("a", 0)!, "a", { values: [1, null], violations: { drawdown: 0.25 } }), 0);
    const { state, violation, reason, values } = study.trial(0);
    assert.deepEqual([state, violation, reason, values], ["infeasible", 1.25, "drawdown by 0.25, score is undefined", [1, NaN]]);
    assert.deepEqual([...study.finishedOf(0).losses], [1, NaN]);
  });

  test("a report is decided on once: another attempt gets the same answer, and a second value is not taken", () => {
    const { study, conductor, events } = inMemory({ pruner: null });
    const first = conductor.ask("a", 0)!;
    assert.equal(conductor.report(endOf(first, "a"), 1, [5, 5], 0), true);
    conductor.gone("a", "killed", 1);
    const second = conductor.ask("b", 2)!;
    assert.equal(conductor.report(endOf(second, "b"), 1, [9, 9], 3), true);
    assert.equal(conductor.report(endOf(first, "a"), 2, [9, 9], 3), null, "a has lost it");
    assert.deepEqual([ofKind(events, "reported"), study.trial(0).reports], [1, [{ step: 1, values: [5, 5] }]]);
  });

  test("a cancelled trial ends, and its worker's result is noted as a duplicate", () => {
    const { study, conductor } = inMemory();
    const work = conductor.ask("a", 0)!;
    assert.equal(conductor.cancel(0, "not wanted", 1), true);
    assert.equal(conductor.cancel(0, "not wanted", 2), false);
    assert.equal(conductor.beat(endOf(work, "a"), 2), false);
    conductor.tell(endOf(work, "a"), 3);
    assert.deepEqual([study.stateOf(0), outcomesOf(study.trial(0))], ["cancelled", ["duplicate"]]);
  });

  test("with lag 3 three trials are given out, and a fourth when the first is finished, not the second", () => {
    const { study, conductor } = inMemory({ lag: 3, pruner: null });
    const work = ["a", "b", "c"].map((worker) => conductor.ask(worker, 0)!);
    assert.deepEqual([conductor.ask("d", 0), conductor.waiting], [null, 0]);
    conductor.tell(endOf(work[1], "b"), 1);
    assert.equal(conductor.ask("d", 1), null);
    conductor.tell(endOf(work[0], "a"), 2);
    assert.equal(conductor.waiting, 2);
    assert.deepEqual([conductor.ask("d", 2)!.trial, study.trial(3).seen], [3, 1]);
  });

  test("a duplicate that is told twice is noted once", () => {
    const { conductor, events } = inMemory({ pruner: null });
    const first = conductor.ask("a", 0)!;
    conductor.expire(LEASE_MS + 1);
    conductor.tell(endOf(conductor.ask("b", 2_000)!, "b"), 2_001);
    for (let k = 0; k < 2; k++) assert.equal(conductor.tell(endOf(first, "a"), 2_002 + k), true);
    assert.equal(ofKind(events, "duplicate"), 1);
  });

  test("with one retry a second error fails the trial though it is another one; nothing of them is kept", () => {
    const { study, conductor } = inMemory({ pruner: null, retries: 1 });
    for (const reason of ["one", "another"]) {
      assert.equal(study.isFinished(0), false);
      conductor.tell(endOf(conductor.ask("a", 0)!, "a", { how: "erred", reason }), 0);
    }
    assert.deepEqual([study.stateOf(0), study.trial(0).reason, study.errorsOf(0)], ["failed", "another", []]);
  });

  test("a trial that is given back a thousand times fails", () => {
    const { study, conductor } = inMemory({ pruner: null });
    for (let k = 0; k < 1_000; k++) {
      assert.equal(study.isFinished(0), false);
      conductor.tell(endOf(conductor.ask("a", 0)!, "a", { how: "returned", reason: "SIGTERM" }), 0);
    }
    assert.deepEqual([study.stateOf(0), study.trial(0).reason], ["failed", "given back 1000 times"]);
  });

  test("an attempt that was given up gives nothing back: its trial waits once", () => {
    const { study, conductor, events } = inMemory({ pruner: null });
    const work = conductor.ask("a", 0)!;
    conductor.expire(LEASE_MS + 1);
    assert.equal(conductor.tell(endOf(work, "a", { how: "returned", reason: "SIGTERM" }), 2_000), true);
    assert.deepEqual([ofKind(events, "left"), study.stateOf(0), outcomesOf(study.trial(0))], [1, "waiting", ["lost"]]);
  });

  test("a worker that runs another trial by now does not get its old one back", () => {
    const { study, conductor } = inMemory({ pruner: null });
    const old = conductor.ask("a", 0)!;
    conductor.gone("a", "killed", 1);
    assert.equal(conductor.ask("b", 2)!.trial, 0);
    assert.equal(conductor.ask("a", 3)!.trial, 1);
    conductor.gone("b", "killed", 4);
    assert.equal(conductor.beat(endOf(old, "a"), 5), false);
    assert.deepEqual([study.stateOf(0), conductor.leases.ofWorker("a")!.trial], ["waiting", 1]);
  });

  test("another attempt's report of a step between those decided on goes on, and is not taken", () => {
    const { conductor, events } = inMemory({ pruner: null });
    const first = conductor.ask("a", 0)!;
    for (const step of [2, 4]) conductor.report(endOf(first, "a"), step, [1, 1], 0);
    conductor.gone("a", "killed", 1);
    assert.equal(conductor.report(endOf(conductor.ask("b", 2)!, "b"), 3, [0, 0], 3), true);
    assert.equal(ofKind(events, "reported"), 2);
  });

  test("a violation that is not a number is one; of 70 statistics 64 are kept", () => {
    const { study, conductor } = inMemory({ pruner: null });
    const statistics = Object.fromEntries(Array.from({ length: 70 }, (_, k) => [`s${k}`, k]));
    conductor.tell(endOf(conductor.ask("a", 0)!, "a", { violations: { drawdown: null }, statistics }), 0);
    assert.deepEqual([study.trial(0).violation, study.stateOf(0)], [1, "infeasible"]);
    assert.equal(Object.keys(study.trial(0).statistics).length, 64);
  });

  test("with lag 2 a decision on trial k sees trials up to k - 2 and no other; as completed it sees all", () => {
    for (const [lag, seen] of [[2, [0, 1]], [null, [0, 1, 2, 3, 4]]] as const) {
      const found: number[] = [], study = new Study(toyTerms({ lag }), 0);
      const search = { ...searchOf(study.begun), pruner: { tell: () => undefined,
        report: (_: unknown, isSeen: (number: number) => boolean) => {
          found.push(...[0, 1, 2, 3, 4].filter((number) => isSeen(number)));
          return true;
        } } };
      new Suggester(study, search).decide(3, 1, Float64Array.of(0, 0));
      assert.deepEqual(found, seen);
    }
  });
});
