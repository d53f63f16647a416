/** The features of the live graph are the batch's, bit for bit, whatever happened on the way. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { computeFeatures, type Panel } from "../src/features/panel.ts";
import { featuresActor } from "../src/live/actors/features.ts";
import type { Actor } from "../src/live/actor.ts";
import { BAR_FLAGS, type FeaturesFact, type MarketFact, type Spoken } from "../src/live/message.ts";
import { barsOfRows, developmentRows, market, MINUTE, OPEN, panelOf, session, steps, walk, WIDTH,
  type Row } from "./live-market.ts";
import { NO_SHARED } from "./shared.ts";

/** What a hearer knows: the newest row said of each close. */
type Known = Map<string, Float32Array>;

function hear(actor: Actor, message: Spoken, known: Known): FeaturesFact[] {
  const said = actor.handle(message, message.at) as readonly Spoken[];
  const facts = said.filter((one): one is FeaturesFact => one.kind === "features");
  for (const { at, instrument, rows } of facts) {
    const F = rows.length / Math.max(1, instrument.length);
    instrument.forEach((i, k) => { known.set(`${i} ${at}`, rows.slice(k * F, (k + 1) * F)); });
  }
  return facts;
}

/** Inputs (not targets, which the batch completes a row later) of every row that was said equal the batch's. */
function assertBatch(panel: Panel, known: Known, rows: readonly Row[], instruments: number, most = 0): number {
  let compared = 0;
  const inputs = panel.columns.flatMap(({ role }, f) => role === "input" ? [f] : []), F = panel.names.length;
  for (let i = 0; i < instruments; i++) {
    const { time, values } = computeFeatures(panel, barsOfRows(rows, i, panel.market.timeframe));
    time.forEach((at, t) => {
      const row = known.get(`${i} ${at}`);
      if (row === undefined) { assert.ok(t < panel.warmup || t < most, `instrument ${i} row ${t} was not said`); return; }
      for (const f of inputs) {
        if (!Object.is(row[f],
          values[t * F + f])) assert.fail(`${panel.names[f]} of ${i} at row ${t}: ${row[f]}, not ${values[t * F + f]}`);
        compared++;
      }
    });
  }
  return compared;
}

/** A changed copy of a row. */
const revised = (row: Row, factor: number): Row =>
  ({ ...row, values: row.values.map((value, j) => j < 4 ? value * factor : value + 1) });

/** A market as it may come: holes, late bars, revisions, duplicates. Returns messages and the rows that count in the end. */
function unruly(seed: number, N: number, T: number): { messages: MarketFact[]; rows: Row[] } {
  const draw = random(seed, "unruly"), all = steps(walk(seed, N, T, 0.1)), messages: MarketFact[] = [];
  const final = new Map<string, Row>(), late: Row[] = [];
  const put = (row: Row): void => { final.set(`${row.instrument} ${row.at}`, row); };
  for (const step of all) {
    const inTime = step.filter(() => draw.uniform() >= 0.05 || step.length === 1);
    late.push(...step.filter((row) => !inTime.includes(row)));
    if (inTime.length > 0) messages.push(market(inTime, BAR_FLAGS.fresh));
    inTime.forEach(put);
    if (late.length > 0 && draw.uniform() < 0.4) {
      const row = late.shift()!;
      messages.push(market([row], BAR_FLAGS.backfilled));
      put(row);
    }
    if (draw.uniform() < 0.1) {
      const recent = [...final.values()].filter(({ at }) => at > step[0].at - 40 * MINUTE);
      const row = revised(recent[draw.below(recent.length)], 1 + 0.001 * draw.normal());
      messages.push(market([row], BAR_FLAGS.revised));
      put(row);
    }
    if (draw.uniform() < 0.1) messages.push(messages[draw.below(messages.length)]);
  }
  // Duplicates of what was revised later would undo the revision: such a message is only repeated while it holds.
  const now = new Map<string, string>();
  const kept = messages.filter((message, k) => {
    const isRepeat = messages.indexOf(message) < k;
    const words = [...message.instrument].map((i, j) =>
      [`${i} ${message.at}`, message.bars.subarray(j * WIDTH, (j + 1) * WIDTH).join()] as const);
    if (isRepeat && words.some(([key, word]) => now.get(key) !== word)) return false;
    for (const [key, word] of words) now.set(key, word);
    return true;
  });
  return { messages: kept, rows: [...final.values()] };
}

describe("live features", () => {
  for (const recipe of ["dmn", "technical"]) {
    test(`${recipe}: 12 seeds of holes, late bars, revisions, duplicates and restarts leave the batch's bits`, async () => {
      const panel = await panelOf(recipe), N = 3, T = recipe === "dmn" ? 420 : 160;
      let compared = 0;
      for (let seed = 1; seed <= 12; seed++) {
        const { messages, rows } = unruly(seed, N, T), draw = random(seed, "restart"), known: Known = new Map();
        let actor = featuresActor({ session: session(), panel });
        messages.forEach((message, k) => {
          if (draw.uniform() < 0.01) {
            // A restarted process is told all there was again, as history but for the newest.
            actor = featuresActor({ session: session(), panel });
            for (const old of messages.slice(0, k)) hear(actor, { ...old, flags: old.flags.map(() => BAR_FLAGS.history) }, known);
          }
          hear(actor, message, known);
        });
        compared += assertBatch(panel, known, rows, N);
      }
      assert.ok(compared > 50_000, `${compared} numbers`);
    });
  }

  test("a revised bar is said again as revised, and so is every row after it; nothing is said of a duplicate", async () => {
    const panel = await panelOf("dmn"), actor = featuresActor({ session: session({ symbols: ["A"] }), panel });
    const known: Known = new Map(), rows = walk(3, 1, 30);
    for (const row of rows) assert.equal(hear(actor, market([row]), known)[0].flags[0], BAR_FLAGS.fresh);
    assert.deepEqual(hear(actor, market([rows[10]]), known), []);
    const said = hear(actor, market([revised(rows[27], 1.01)], BAR_FLAGS.revised), known);
    assert.deepEqual(said.map(({ at, flags }) => [at, flags[0]]),
      [28, 29, 30].map((minute) => [OPEN + minute * MINUTE, BAR_FLAGS.revised]));
    // A late bar keeps its own flag: it was never there.
    const late = { ...rows[27], at: rows[27].at + 1_000 };
    assert.deepEqual(hear(actor, market([late], BAR_FLAGS.backfilled), known).map(({ flags }) => flags[0]),
      [BAR_FLAGS.backfilled, BAR_FLAGS.revised, BAR_FLAGS.revised]);
  });

  test("of a bar revised 64 to 80 bars later the row is right; older than that, it stays and an alert says so", async () => {
    const panel = await panelOf("rsi"), known: Known = new Map(), rows = walk(5, 1, 300);
    for (const back of [63, 64, 200]) {
      const actor = featuresActor({ session: session({ symbols: ["A"] }), panel });
      for (const row of rows) hear(actor, market([row]), known);
      const k = rows.length - 1 - back, changed = revised(rows[k], 0.99);
      const said = actor.handle(market([changed], BAR_FLAGS.revised), changed.at) as readonly Spoken[];
      assert.equal(said[0].kind, back < 65 ? "features" : "alert", String(back));
      if (back < 65) assert.equal(said.length, back + 1);
    }
  });

  test("history that begins again at other prices (a split) starts the instrument anew: as the batch on those prices",
    async () => {
    const panel = await panelOf("dmn"), actor = featuresActor({ session: session({ symbols: ["A", "B"] }), panel });
    const known: Known = new Map(), rows = walk(7, 2, 400);
    for (const step of steps(rows)) hear(actor, market(step), known);
    const halved = rows.map((row) => row.instrument === 0
      ? { ...row, values: row.values.map((value, j) => j < 4 || j === 5 ? value / 3 : j === 4 ? value * 3 : value) } : row);
    for (const row of halved.filter(({ instrument }) => instrument === 0)) hear(actor, market([row], BAR_FLAGS.history), known);
    assertBatch(panel, known, halved, 2);
    // Told once more, the same history changes nothing.
    for (const row of halved) assert.deepEqual(hear(actor, market([row], BAR_FLAGS.history), known), []);
  });

  test("two shards say together what one says, and each says a step without its instruments", async () => {
    const panel = await panelOf("dmn"), N = 5, symbols = Array.from({ length: N }, (_, i) => `S${i}`),
      rows = walk(2, N, 300, 0.3);
    const whole: Known = new Map(), parts: Known = new Map(), one = featuresActor({ session: session({ symbols }), panel });
    const two = [0, 1].map((index) => featuresActor({ session: session({ symbols }), panel, shard: { index, count: 2 } }));
    for (const step of steps(rows)) {
      hear(one, market(step), whole);
      for (const shard of two) assert.equal(hear(shard, market(step), parts).length, 1);
    }
    assert.deepEqual([...parts.keys()].sort(), [...whole.keys()].sort());
    for (const [key, row] of whole) assert.deepEqual(parts.get(key), row);
  });

  for (const [file, timeframe, lengthMs] of [["minute.csv.gz", "1m", MINUTE], ["second.csv.gz", "1s", 1_000]] as const) {
    const found = developmentRows(file, lengthMs);
    test(`recorded ${timeframe} bars, step by step: the batch's bits`, { skip: found === null ? NO_SHARED : false }, async () => {
      const { symbols, rows } = found!, own = timeframe === "1s" ? rows.slice(0, 30_000) : rows;
      const panel = await panelOf("technical", timeframe), known: Known = new Map();
      const actor = featuresActor({ session: session({ symbols, timeframe }), panel });
      for (const step of steps(own)) hear(actor, market(step), known);
      assert.ok(assertBatch(panel, known, own, symbols.length) > 500_000);
    });
  }
});
