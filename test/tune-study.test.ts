/** A study's journal, its samplers and pruners, crashes and replays, without processes. */
import assert from "node:assert/strict";
import realFs, * as fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import type { UserError } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { Conductor, type Assignment } from "../src/tune/conductor.ts";
import { sayAll, type Said, type StudyEvent } from "../src/tune/events.ts";
import { Study } from "../src/tune/fold.ts";
import { replayStudy } from "../src/tune/replay.ts";
import { PRUNERS } from "../src/tune/pruners/pruners.ts";
import type { Sampler } from "../src/tune/samplers/sampler.ts";
import { SAMPLERS } from "../src/tune/samplers/samplers.ts";
import { searchOf } from "../src/tune/search.ts";
import { createStudy, openStudy, readStudy, repairStudy } from "../src/tune/study-journal.ts";
import type { Terms } from "../src/tune/study.ts";
import { begin, endOf, LEASE_MS } from "./tune-conducted.ts";
import { resultOf, STEPS, toyTerms, toyValues } from "./tune-toy.ts";

const HOME = fs.mkdtempSync(path.join(tmpdir(), "dmn-tune-study-"));
after(() => { fs.rmSync(HOME, { recursive: true, force: true }); });
let folders = 0;
const fresh = (): string => path.join(HOME, `study-${++folders}`);
describe("a sampler that waits for a generation of 4", () => {
  /** Suggests trial k when all of the generations before k's are told; x counts those. */
  const generations = (): Sampler => {
    let told = 0;
    return {
      tell: () => { told++; },
      suggest: (number) => told < number - number % 4 ? null
        : { point: { x: told / 100, depth: 1, cell: "gru" }, parent: null },
    };
  };
  const waiting = (lag: number | null): { study: Study; conductor: Conductor } => {
    const study = new Study(toyTerms({ lag, pruner: null }), 0);
    const conductor = new Conductor({ study, search: { sampler: generations(), pruner: null }, leaseMs: LEASE_MS,
      newToken: () => 1, record: (event) => { study.apply(event); } }, 0);
    return { study, conductor };
  };
  test("as completed, the fifth worker gets its trial when the fourth result is in", () => {
    const { study, conductor } = waiting(null), work = ["a", "b", "c", "d"].map((worker) => conductor.ask(worker, 0)!);
    for (const [k, one] of work.entries()) {
      assert.equal(conductor.ask("e", 0), null);
      conductor.tell(endOf(one, "abcd"[k]), 1);
    }
    assert.deepEqual([conductor.ask("e", 2)!.trial, study.trial(4).seen], [4, 4]);
  });
  test("with lag 6, trials 4 to 7 are told the 4 results that they need and no more, whoever finished first", () => {
    const { study, conductor } = waiting(6), work = ["a", "b", "c", "d"].map((worker) => conductor.ask(worker, 0)!);
    assert.equal(conductor.ask("e", 0), null);
    for (const k of [3, 1, 0, 2]) conductor.tell(endOf(work[k], "abcd"[k]), 1);
    const next = ["a", "b", "c", "d"].map((worker) => conductor.ask(worker, 2)!);
    assert.deepEqual(next.map(({ trial, point }) => [trial, point.x]), [4, 5, 6, 7].map((trial) => [trial, 0.04]));
    conductor.tell(endOf(next[0], "a"), 3);
    assert.equal(conductor.ask("a", 3), null);
    assert.equal(study.count, 8);
  });
});

/**
 * Workers, coordinator and disk as a game of chance: each move asks, reports, tells, kills, freezes, or crashes
 * the coordinator before or after its write.
 */
function play(seed: number, terms: Terms, count = 6): { study: Study; journal: StudyEvent[] } {
  const draw = random(seed, "game"), journal: StudyEvent[] = [];
  const valuesAt = ({ point }: Assignment, step: number): Said[] =>
    sayAll(toyValues(point, step).slice(0, terms.objectives.length));
  const reopen = (): Study => {
    const folded = new Study(terms, 0);
    // Through text, as the disk has it.
    for (const event of journal) folded.apply(JSON.parse(JSON.stringify(event)) as StudyEvent);
    return folded;
  };
  let now = 0, pending: StudyEvent[] = [], study = reopen(), tokens = 0, names = 0;
  const start = (): Conductor => new Conductor({ study, search: searchOf(terms), leaseMs: LEASE_MS,
    newToken: () => ++tokens, record: (event) => { study.apply(event); pending.push(event); } }, now);
  let conductor = start();
  /** What the worker hears; null: nothing, and it will ask again. */
  const ask = <T>(work: () => T): { heard: T } | null => {
    const heard = work(), chance = draw.uniform();
    // Where nothing happened, a crash changes nothing.
    if (pending.length === 0 && chance < 0.99) return { heard };
    if (chance > 0.02 && chance < 0.995) {
      journal.push(...pending);
      pending = [];
      if (chance > 0.08) return { heard };
      // The answer is lost.
      if (chance > 0.04) return null;
    }
    pending = [];
    study = reopen();
    conductor = start();
    return null;
  };
  interface Player { name: string; work: Assignment | null; step: number; isPruned: boolean; isFrozen: boolean }
  const newcomer = (): Player => ({ name: `w${names++}`, work: null, step: 0, isPruned: false, isFrozen: false });
  const players = Array.from({ length: count }, newcomer);
  for (let move = 0; !study.isOver; move++) {
    assert.ok(move < 50_000, "the study ends");
    now += draw.below(240) / count;
    if (move % 8 === 0) ask(() => conductor.expire(now));
    const place = draw.below(players.length), player = players[place], chance = draw.uniform();
    if (chance < 0.02) {
      players[place] = newcomer();
      if (draw.uniform() < 0.5) ask(() => conductor.gone(player.name, "killed", now));
      continue;
    }
    if (chance < 0.04) player.isFrozen = !player.isFrozen;
    if (player.isFrozen) continue;
    if (player.work === null) {
      player.work = ask(() => conductor.ask(player.name, now))?.heard ?? null;
      player.step = 0;
      player.isPruned = false;
      continue;
    }
    const work = player.work, end = endOf(work, player.name, { values: valuesAt(work, STEPS) });
    if (chance < 0.3) {
      if (ask(() => conductor.beat(end, now))?.heard === false) player.work = null;
    } else if (player.isPruned || player.step === STEPS) {
      if (ask(() => conductor.tell(end, now)) !== null) player.work = null;
    } else {
      const step = player.step + 1;
      const answer = ask(() => conductor.report(end, step, valuesAt(work, step), now));
      if (answer === null) continue;
      if (answer.heard === null) { player.work = null; continue; }
      player.step = step;
      player.isPruned = !answer.heard;
    }
  }
  return { study, journal };
}

describe("random interleavings of asks, tells, losses and crashes", () => {
  const trials = 24, SEEDS = 20;
  const played = new Map<string, ReturnType<typeof play>>();
  const game = (seed: number, lag: number | null): ReturnType<typeof play> => {
    const key = `${seed} ${lag}`, found = played.get(key) ?? play(seed, toyTerms({ trials, lag }));
    played.set(key, found);
    return found;
  };
  for (const lag of [null, 4]) {
    test(`20 seeds, ${lag === null ? "as completed" : `lag ${lag}`}: 24 trials, each with one result`, () => {
      for (let seed = 0; seed < SEEDS; seed++) {
        const { study, journal } = game(seed, lag);
        assert.deepEqual([study.count, study.finishedCount, study.open.size], [trials, trials, 0], `seed ${seed}`);
        const told = journal.flatMap((event) => event.event === "told" ? [event.trial] : []);
        assert.deepEqual(told.toSorted((a, b) => a - b), Array.from({ length: trials }, (_, k) => k), `seed ${seed}`);
        for (let k = 0; k < trials; k++) {
          const { state, point, values, reports } = study.trial(k);
          const step = state === "pruned" ? reports.at(-1)!.step : STEPS;
          assert.deepEqual(values, toyValues(point, step), `seed ${seed}, trial ${k}`);
        }
      }
    });
  }
  test("with lag 4 all 20 end in the same study, in which some trials are pruned", () => {
    const first = resultOf(game(0, 4).study);
    const states = first.map((trial) => (trial as { state: string }).state);
    assert.ok(states.includes("pruned") && states.includes("complete"), states.join());
    for (let seed = 1; seed < SEEDS; seed++) assert.deepEqual(resultOf(game(seed, 4).study), first, `seed ${seed}`);
  });
  test("with lag 4, 1 and 64 workers end in that study, too", () => {
    for (const workers of [1, 64]) {
      assert.deepEqual(resultOf(play(1, toyTerms({ trials, lag: 4 }), workers).study), resultOf(game(0, 4).study));
    }
  });
  test("as completed they do not, so the property above says something", () => {
    assert.notDeepEqual(resultOf(game(0, null).study), resultOf(game(1, null).study));
  });
});

describe("every sampler and every pruner of the tables", () => {
  const rows: [string, Partial<Terms>][] = [
    ...Object.keys(SAMPLERS).map((name): [string, Partial<Terms>] => [name, { sampler: { name, settings: {} },
      pruner: { name: "median", settings: {} } }]),
    ...Object.keys(PRUNERS).filter((name) => name !== "halving")
      .map((name): [string, Partial<Terms>] => [name, { pruner: { name, settings: {} } }]),
    ["halving", { pruner: { name: "halving", settings: {} }, objectives: toyTerms().objectives.slice(0, 1) }],
  ];
  for (const [name, changes] of rows) {
    test(`${name}: crashes change nothing with lag 4, and a journal of 30 trials replays`, async () => {
      const terms = toyTerms({ trials: 30, lag: 4, ...changes }), first = resultOf(play(0, terms).study);
      for (let seed = 1; seed < 3; seed++) assert.deepEqual(resultOf(play(seed, terms).study), first, `seed ${seed}`);
      const { folder } = await written({ trials: 30, ...changes });
      assert.equal(replayStudy(folder, searchOf).difference, null);
    });
  }
});

/** Plays a study and writes it to a folder. */
async function written(changes: Partial<Terms> = {}): Promise<{ folder: string; study: Study }> {
  const terms = toyTerms(changes), { study, journal } = play(3, terms), folder = fresh();
  await using store = createStudy({ folder, terms, at: 1 });
  for (const event of journal) store.record(event);
  store.commit();
  return { folder, study };
}
const journalOf = (folder: string): string => path.join(folder, "study.journal");

describe("a study on the disk", () => {
  test("opens as it was written, from its snapshot and without it", async () => {
    const { folder, study } = await written();
    assert.deepEqual(resultOf(readStudy(folder)), resultOf(study));
    assert.deepEqual([...readStudy(folder).finished()], [...study.finished()]);
    const withSnapshot = readStudy(folder).trial(5);
    fs.rmSync(path.join(folder, "snapshot"));
    assert.deepEqual(readStudy(folder).trial(5), withSnapshot);
    assert.deepEqual(withSnapshot.statistics, { seconds: 2 });
  });

  test("a snapshot with one other byte, or of other bytes of the journal, is not used", async () => {
    const { folder, study } = await written();
    const place = path.join(folder, "snapshot"), good = fs.readFileSync(place);
    for (let at = 0; at < good.length; at += 97) {
      const bad = Buffer.from(good);
      bad[at] ^= 0x10;
      fs.writeFileSync(place, bad);
      assert.deepEqual(resultOf(readStudy(folder)), resultOf(study), `byte ${at}`);
    }
    const other = await written({ seed: 8 });
    fs.copyFileSync(path.join(other.folder, "snapshot"), place);
    assert.deepEqual(resultOf(readStudy(folder)), resultOf(study));
  });

  test("a torn last write is cut off and its bytes are told; the study goes on", async () => {
    const { folder } = await written();
    const size = fs.statSync(journalOf(folder)).size;
    fs.truncateSync(journalOf(folder), size - 3);
    const last = fs.readFileSync(journalOf(folder), "latin1").trimEnd().split("\n").at(-1)!;
    {
      await using store = openStudy({ folder, at: 2 });
      assert.equal(store.tornBytes, last.length);
      assert.equal(store.study.finishedCount, 19);
    }
    await using again = openStudy({ folder, at: 3 });
    assert.equal(again.tornBytes, 0);
  });

  test("damage in the middle is refused with its byte and the command; repair keeps the whole records before it", async () => {
    const { folder } = await written();
    const bytes = fs.readFileSync(journalOf(folder)), half = bytes.length >> 1;
    const start = bytes.lastIndexOf(0x0a, half) + 1;
    const before = bytes.subarray(0, start).toString().trimEnd().split("\n").length - 1;
    bytes[start + 30] ^= 1;
    fs.writeFileSync(journalOf(folder), bytes);
    const problem = new RegExp(`study.journal is damaged at byte ${start}, after ${before} good records`);
    const hint = new RegExp(`dmn tune repair --name ${path.basename(folder)}$`);
    for (const open of [() => openStudy({ folder, at: 2 }), () => readStudy(folder)]) {
      assert.throws(open, (error: UserError) => problem.test(error.problem) && hint.test(error.hint));
    }
    const repaired = repairStudy(folder)!;
    assert.deepEqual([repaired.kept, repaired.cutBytes], [before, bytes.length - start]);
    assert.deepEqual(fs.readFileSync(repaired.aside), bytes);
    await using store = openStudy({ folder, at: 3 });
    assert.ok(store.study.finishedCount > 2 && store.study.finishedCount < 20, String(store.study.finishedCount));
    assert.equal(repairStudy(await written().then((whole) => whole.folder)), null);
  });

  test("a full disk is one sentence; what was acknowledged before is there when there is room again", async () => {
    const folder = fresh(), terms = toyTerms({ pruner: null });
    {
      await using store = createStudy({ folder, terms, at: 0 });
      const conductor = begin(store.study, (event) => { store.record(event); });
      const work = conductor.ask("a", 0)!;
      store.commit();
      conductor.tell(endOf(work, "a"), 1);
      const { writeSync } = realFs;
      realFs.writeSync = () => { throw Object.assign(new Error("no space"), { code: "ENOSPC" }); };
      syncBuiltinESMExports();
      try {
        assert.throws(() => { store.commit(); }, (error: UserError) => /^the disk of .* is full/.test(error.problem));
      } finally {
        realFs.writeSync = writeSync;
        syncBuiltinESMExports();
      }
    }
    await using store = openStudy({ folder, terms, at: 2 });
    assert.deepEqual([store.study.stateOf(0), store.study.finishedCount], ["running", 0]);
    const conductor = begin(store.study, (event) => { store.record(event); }, 2);
    conductor.tell(endOf({ trial: 0, attempt: 0, token: 100, point: store.study.pointOf(0), parent: null, seed: 0 }, "a"), 3);
    store.commit();
    assert.equal(store.study.finishedCount, 1, "the worker, who was not answered, tells again");
  });

  test("one writer; another name, other terms and a second creation are refused in a sentence", async () => {
    const { folder } = await written();
    const problem = (text: RegExp) => (error: UserError): boolean => text.test(error.problem);
    assert.throws(() => openStudy({ folder: fresh(), at: 0 }), problem(/^there is no study/));
    assert.throws(() => createStudy({ folder, terms: toyTerms(), at: 0 }), problem(/^there is a study .* already$/));
    assert.throws(() => openStudy({ folder, terms: toyTerms({ seed: 8 }), at: 0 }),
      problem(/^the study "toy" was begun with seed 7, not 8$/));
    await using store = openStudy({ folder, terms: toyTerms({ trials: 25 }), at: 0 });
    assert.deepEqual([store.study.terms.trials, store.study.isOver], [25, false]);
    assert.throws(() => openStudy({ folder, at: 0 }), problem(/is writing/));
  });
});

describe("replay", () => {
  for (const lag of [null, 4]) {
    test(`${lag === null ? "as completed" : "lag 4"}: 20 suggestions and all decisions come out as they were`, async () => {
      const { folder, study } = await written({ lag });
      const replay = replayStudy(folder, searchOf);
      assert.deepEqual([replay.suggestions, replay.decisions, replay.difference], [20, study.reportCount, null]);
    });
  }
  test("names the first suggestion that another sampler seed would not have made", async () => {
    const { folder } = await written();
    const replay = replayStudy(folder, (terms) => searchOf({ ...terms, seed: 8 }));
    assert.match(replay.difference!, /^trial 0 was \{"point".*, and is now \{"point"/);
  });
  test("names the first decision that another pruner would not have made", async () => {
    const { folder } = await written();
    const replay = replayStudy(folder, (terms) => ({ ...searchOf(terms), pruner: null }));
    assert.match(replay.difference!, /^trial \d+ was stopped at step \d, and goes on now$/);
  });
});
