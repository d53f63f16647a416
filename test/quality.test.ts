/** Planted defects in clean seeded series: each is found, and nothing else is. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { dayOf, formatDay, MS_PER_MINUTE } from "../src/base/units.ts";
import type { Bars, ColumnName, CorporateAction } from "../src/market/bars.ts";
import { calendar } from "../src/market/calendar.ts";
import { inspect, SHOWN_MAX, type QualityReport } from "../src/market/quality.ts";
import { barsOf, cleanBars, closesFrom, dayOfText } from "./market-rows.ts";

const us = calendar("us-equity");
const NOTHING = { gaps: 0, staleRuns: 0, jumps: 0, badTicks: 0, closedDays: 0 };

/** A copy of clean rows with some changed in place. */
function planted(change: (columns: Record<"open" | "high" | "low" | "close" | "volume", Float64Array>) => void): Bars {
  const bars = cleanBars(11, 1_000);
  const columns = Object.fromEntries(Object.entries(bars.columns).map(([name, values]) => [name, values.slice()]));
  change(columns as Parameters<typeof change>[0]);
  return { ...bars, columns };
}
const only = (report: QualityReport, counts: Partial<QualityReport["counts"]>): void => {
  assert.deepEqual(report.counts, { ...NOTHING, ...counts });
};
function scale(columns: Partial<Record<ColumnName, Float64Array>>, from: number, to: number, factor: number): void {
  for (const name of ["open", "high", "low", "close"] as const) {
    const values = columns[name] as Float64Array;
    for (let i = from; i < to; i++) values[i] *= factor;
  }
}

describe("a clean series", () => {
  test("has nothing odd: 10 seeds x 2,500 sessions with Student-t(8) returns", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const report = inspect(cleanBars(seed, 2_500), us);
      assert.deepEqual(report.counts, NOTHING, `seed ${seed}`);
      assert.deepEqual([report.sessionsExpected, report.sessionsMissing], [2_500, 0], `seed ${seed}`);
    }
  });

  test("says what there is: 1,000 rows of CLEAN, 2005-01-03..2008-12-19, and nothing odd", () => {
    const report = inspect(cleanBars(1, 1_000), us);
    assert.deepEqual([report.symbol, report.rows, formatDay(dayOf(report.from)), formatDay(dayOf(report.to))],
      ["CLEAN", 1_000, "2005-01-03", "2008-12-19"]);
    assert.deepEqual(report.counts, NOTHING);
    assert.deepEqual([report.sessionsMissing, report.barsMissing], [0, 0]);
  });

  test("without rows there is nothing to find", () => {
    const report = inspect(barsOf("X", [], { close: [] }), us);
    assert.deepEqual(report.counts, NOTHING);
    assert.deepEqual([report.symbol, report.rows], ["X", 0]);
  });
});

describe("coverage", () => {
  test("three sessions left out around New Year 2006 are one gap: 2005-12-30, 2006-01-03, 2006-01-04", () => {
    const bars = cleanBars(2, 500);
    const keep = [...bars.time.keys()].filter((i) =>
      !["2005-12-30", "2006-01-03", "2006-01-04"].includes(formatDay(us.sessionDay(bars.time[i]))));
    const pick = (values: Float64Array): number[] => keep.map((i) => values[i]);
    const columns = Object.fromEntries(Object.entries(bars.columns).map(([name, values]) => [name, pick(values)]));
    const report = inspect(barsOf("X", pick(bars.time), columns), us);
    only(report, { gaps: 1 });
    assert.deepEqual(report.gaps.map((gap) => [formatDay(gap.from), formatDay(gap.to), gap.sessions]),
      [["2005-12-30", "2006-01-04", 3]]);
    assert.equal(report.sessionsMissing, 3);
  });

  test("a bar on Saturday 2005-01-08 is outside the calendar", () => {
    const time = [...closesFrom("2005-01-03", 5), Date.UTC(2005, 0, 8, 21), ...closesFrom("2005-01-10", 5)];
    const report = inspect(barsOf("X", time, { close: time.map((_, i) => 100 + (i % 3)) }), us);
    only(report, { closedDays: 1 });
    assert.deepEqual(report.closedDays.map(formatDay), ["2005-01-08"]);
  });

  test("minutes: 39 of 390 without a row are 10.0 % and no gap; 5 pre-market rows are counted apart", () => {
    const session = us.session(dayOfText("2013-10-08"));
    assert.ok(session);
    const regular = Array.from({ length: 390 }, (_, k) => session.open + (k + 1) * MS_PER_MINUTE)
      .filter((_, k) => k % 10 !== 5);
    const time = [...[5, 4, 3, 2, 1].map((k) => session.open - k * MS_PER_MINUTE), ...regular];
    const draw = random(1, "minutes");
    const report = inspect(
      barsOf("X", time, { close: time.map(() => 100 + 0.01 * draw.normal()) }, { timeframe: "1m" }), us);
    only(report, {});
    assert.deepEqual([report.barsExpected, report.barsMissing, report.extendedRows], [390, 39, 5]);
  });

  test("a half day holds 210 minutes: 2013-07-03 whole misses none", () => {
    const session = us.session(dayOfText("2013-07-03"));
    assert.ok(session);
    const time = Array.from({ length: 210 }, (_, k) => session.open + (k + 1) * MS_PER_MINUTE);
    const report = inspect(barsOf("X", time, { close: time.map((_, k) => 100 + (k % 2)) }, { timeframe: "1m" }), us);
    assert.deepEqual([report.barsExpected, report.barsMissing], [210, 0]);
  });
});

describe("prices", () => {
  test("a close repeated on 7 sessions without volume is a stale run; with fresh volume it is not", () => {
    const stale = planted(({ open, high, low, close, volume }) => {
      for (let i = 300; i < 307; i++) {
        open[i] = high[i] = low[i] = close[i] = close[300];
        if (i > 300) volume[i] = 0;
      }
    });
    const report = inspect(stale, us);
    only(report, { staleRuns: 1 });
    assert.deepEqual(report.staleRuns, [
      { from: stale.time[300], to: stale.time[306], rows: 7, value: stale.columns.close?.[300] }]);
    only(inspect(planted(({ open, high, low, close }) => {
      for (let i = 301; i < 307; i++) open[i] = high[i] = low[i] = close[i] = close[300];
    }), us), {});
  });

  test("+35 % that stays is a jump without a name", () => {
    const report = inspect(planted((columns) => { scale(columns, 500, 1_000, 1.35); }), us);
    only(report, { jumps: 1 });
    assert.equal(report.jumps[0].time, cleanBars(11, 1_000).time[500]);
    assert.ok(Math.abs(report.jumps[0].change - 0.35) < 0.08, String(report.jumps[0].change));
    assert.equal(report.jumps[0].looksLike, null);
  });

  test("halved prices look like a 2:1 split, tripled ones like a 1:3 reverse split", () => {
    const found = [0.5, 3].map((factor) => inspect(planted((columns) => { scale(columns, 500, 1_000, factor); }), us));
    found.forEach((report) => { only(report, { jumps: 1 }); });
    assert.deepEqual(found.map((report) => report.jumps[0].looksLike), ["2:1 split", "1:3 reverse split"]);
  });

  test("the same 2:1 split, recorded, is no jump; recorded a week late, it is two", () => {
    const bars = planted((columns) => { scale(columns, 500, 1_000, 0.5); });
    const split = (row: number): CorporateAction =>
      ({ kind: "split", exTime: bars.time[row] - 6.5 * 60 * MS_PER_MINUTE, value: 2 });
    only(inspect(bars, us, [split(500)]), {});
    only(inspect(bars, us, [split(505)]), { jumps: 2 });
  });

  test("one row x10 is a bad tick with its factor, and not two jumps", () => {
    const report = inspect(planted((columns) => { scale(columns, 700, 701, 10); }), us);
    only(report, { badTicks: 1 });
    assert.equal(report.badTicks[0].column, "close");
    assert.equal(report.badTicks[0].reason, "x10 of its neighbours");
    const small = inspect(planted((columns) => { scale(columns, 700, 701, 0.01); }), us);
    assert.equal(small.badTicks[0].reason, "1/100 of its neighbours");
  });

  test("+40 % and back in the next row is a bad tick", () => {
    const report = inspect(planted((columns) => { scale(columns, 700, 701, 1.4); }), us);
    only(report, { badTicks: 1 });
    assert.match(report.badTicks[0].reason, /^\+[34]\d\.\d% and back in the next row$/);
  });

  test("high under low, close over the high and open and low of 0 are four bad ticks, in their rows", () => {
    const report = inspect(planted(({ open, high, low, close }) => {
      [high[100], low[100]] = [low[100], high[100]];
      high[200] = close[200] * 0.999;
      open[200] = low[200] = close[200] * 0.998;
      open[300] = low[300] = 0;
    }), us);
    only(report, { badTicks: 4 });
    assert.deepEqual(report.badTicks.map((one) => [one.column, one.reason.replace(/\d+(\.\d+)?/g, "#")]), [
      ["high", "below the low of #"], ["close", "outside low # .. high #"], ["open", "zero"], ["low", "zero"]]);
  });

  test("a bid of 10.02 over an ask of 10.00 is crossed; equal quotes and a side without a quote are not", () => {
    const time = closesFrom("2015-03-02", 4);
    const report = inspect(barsOf("Q", time,
      { bid: [9.99, 10.02, 10, 0], ask: [10.01, 10, 10, 10] }, { kind: "quotes", timeframe: "1m" }), us);
    only(report, { badTicks: 1 });
    assert.deepEqual(report.badTicks, [{ time: time[1], column: "bid", value: 10.02, reason: "above the ask of 10" }]);
  });

  test("lists are bounded at 100, counts are not: 150 zero opens", () => {
    const report = inspect(planted(({ open, low }) => {
      for (let i = 0; i < 150; i++) { open[i] = 0; low[i] = Math.min(low[i], 1); }
    }), us);
    assert.equal(report.badTicks.length, SHOWN_MAX);
    assert.ok(report.counts.badTicks >= 150);
  });

  test("a planted spike of 25 to 40 % is found in each of 100 random rows (seed 5)", () => {
    const draw = random(5, "spikes");
    for (let k = 0; k < 100; k++) {
      const row = 1 + draw.below(998), size = (draw.below(2) === 0 ? 1 : -1) * (0.25 + 0.15 * draw.uniform());
      const report = inspect(planted((columns) => { scale(columns, row, row + 1, 1 + size); }), us);
      const all = [...report.badTicks.map((one) => one.time), ...report.jumps.map((one) => one.time)];
      assert.ok(all.includes(cleanBars(11, 1_000).time[row]), `seed 5 row ${row} size ${size}`);
    }
  });
});
