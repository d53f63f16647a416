/** Corporate actions: known splits and dividends, by hand. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { UserError } from "../src/base/error.ts";
import { actionFactors, adjustBars, owedActions, type AdjustMode } from "../src/market/adjust.ts";
import { column, sliceBars, type Bars, type CorporateAction } from "../src/market/bars.ts";
import { calendar } from "../src/market/calendar.ts";
import type { Adjustment } from "../src/market/sources/source.ts";
import { barsOf, cleanBars, closesFrom, dayOfText } from "./market-rows.ts";

const us = calendar("us-equity");
const openOf = (text: string): number => {
  const session = us.session(dayOfText(text));
  assert.ok(session !== null, text);
  return session.open;
};
function adjusted(
  bars: Bars, actions: readonly CorporateAction[], mode: AdjustMode = "total", adjustment: Adjustment = "raw",
): Bars {
  const factors = actionFactors(bars, actions, adjustment, us);
  return adjustBars(bars, actions, factors, { mode, adjustment, calendar: us });
}
const lastReturn = (bars: Bars): number => {
  const close = column(bars, "close"), n = close.length;
  return close[n - 1] / close[n - 2] - 1;
};
const near = (found: number, expected: number, tolerance = 1e-12): void => {
  assert.ok(Math.abs(found - expected) <= tolerance, `${found} is not ${expected}`);
};

describe("splits", () => {
  test("AAPL 2000-06-20 101.00 -> 55.56 over its 2:1 split earned +10.02 % (research.md section 5)", () => {
    const raw = barsOf("AAPL", closesFrom("2000-06-20", 2), { close: [101, 55.56], volume: [1_000, 3_000] });
    const total = adjusted(raw, [{ kind: "split", exTime: openOf("2000-06-21"), value: 2 }]);
    near(lastReturn(raw), -45.44 / 101);
    near(lastReturn(total), 0.1002, 5e-5);
    assert.deepEqual([...column(total, "close")], [50.5, 55.56]);
    assert.deepEqual([...column(total, "volume")], [2_000, 3_000]);
  });

  test("AAPL 2020-08-28 499.23 -> 129.04 over its 4:1 split earned +3.39 %", () => {
    const raw = barsOf("AAPL", closesFrom("2020-08-28", 2), { close: [499.23, 129.04] });
    near(lastReturn(adjusted(raw, [{ kind: "split", exTime: openOf("2020-08-31"), value: 4 }], "split")), 0.0339, 5e-5);
  });

  test("a 1:10 reverse split multiplies older prices by 10 and divides their volume by 10", () => {
    const raw = barsOf("X", closesFrom("2015-03-02", 2), { close: [2, 21], volume: [500, 40] });
    const total = adjusted(raw, [{ kind: "split", exTime: openOf("2015-03-03"), value: 0.1 }]);
    assert.deepEqual([...column(total, "close")], [20, 21]);
    assert.deepEqual([...column(total, "volume")], [50, 40]);
  });

  test("pre-market minutes of the ex-date already trade without the split: 08:00 and 09:30 stay, 19:59 before is halved", () => {
    const before = us.session(dayOfText("2000-06-20")), after = us.session(dayOfText("2000-06-21"));
    assert.ok(before && after);
    const time = [before.close + 239 * 60_000, after.open - 90 * 60_000, after.open, after.open + 60_000];
    const raw = barsOf("AAPL", time, { close: [100, 50, 50.5, 51] }, { timeframe: "1m" });
    const total = adjusted(raw, [{ kind: "split", exTime: after.open, value: 2 }]);
    assert.deepEqual([...column(total, "close")], [50, 50, 50.5, 51]);
  });
});

describe("dividends", () => {
  test("cash of 2 on a close of 100 makes older prices x 0.98, so 100 -> 99 earned 99/98 - 1 = +1.0204 %", () => {
    const raw = barsOf("X", closesFrom("2015-03-02", 2), { close: [100, 99], volume: [7, 8] });
    const actions: CorporateAction[] = [{ kind: "dividend", exTime: openOf("2015-03-03"), value: 2 }];
    near(lastReturn(adjusted(raw, actions)), 1 / 98);
    assert.deepEqual([...column(adjusted(raw, actions), "volume")], [7, 8]);
    assert.deepEqual([...column(adjusted(raw, actions, "split"), "close")], [100, 99]);
    assert.deepEqual([...column(adjusted(raw, actions, "none"), "close")], [100, 99]);
  });

  test("prices that come split-adjusted owe the dividend only, in today's shares: 8 before a 4:1 split is 2 of 25",
    () => {
    // Raw: 100, ex 8 -> 96, then 4:1 -> 24. Split-adjusted by the source: 25, 24, 24.
    const bars = barsOf("X", closesFrom("2015-03-02", 3), { close: [25, 24, 24] });
    const actions: CorporateAction[] = [
      { kind: "dividend", exTime: openOf("2015-03-03"), value: 8 },
        { kind: "split", exTime: openOf("2015-03-04"), value: 4 },
    ];
    const total = adjusted(bars, actions, "total", "split");
    near(column(total, "close")[0], 25 * (1 - 2 / 25));
    assert.deepEqual([...column(total, "close")].slice(1), [24, 24]);
    assert.deepEqual(owedActions("split", actions).map((one) => one.kind), ["dividend"]);
  });

  test("a dividend that is not below the price before it is refused by name, day and price", () => {
    const raw = barsOf("X", closesFrom("2015-03-02", 2), { close: [100, 99] });
    assert.throws(() => adjusted(raw, [{ kind: "dividend", exTime: openOf("2015-03-03"), value: 100 }]), (error) =>
      error instanceof UserError && /X: the dividend of 100 on 2015-03-03 .*\(100\)/.test(error.problem));
  });

  test("a dividend before the first row changes nothing: there is no row to change", () => {
    const raw = barsOf("X", closesFrom("2015-03-02", 2), { close: [100, 99] });
    assert.equal(adjusted(raw, [{ kind: "dividend", exTime: openOf("2015-02-02"), value: 150 }]), raw);
  });
});

describe("any history", () => {
  const actions: CorporateAction[] = [
    { kind: "dividend", exTime: openOf("2005-06-01"), value: 1.1 },
      { kind: "split", exTime: openOf("2006-03-01"), value: 2 },
    { kind: "dividend", exTime: openOf("2006-03-01"), value: 0.4 },
      { kind: "split", exTime: openOf("2008-07-01"), value: 0.2 },
  ];

  test("total-return, back-adjusted and unknown prices are left alone, whatever actions are recorded", () => {
    const bars = cleanBars(1, 800);
    for (const adjustment of ["total-return", "ratio-back-adjusted", "unknown"] as const) {
      assert.equal(adjusted(bars, actions, "total", adjustment), bars);
    }
  });

  test("a slice adjusted with the whole's factors is the whole's slice, bit for bit (200 slices by seed)", () => {
    const seed = 7, draw = random(seed, "slices"), bars = cleanBars(seed, 1_000), whole = adjusted(bars, actions);
    const factors = actionFactors(bars, actions, "raw", us);
    for (let k = 0; k < 200; k++) {
      const from = draw.below(1_000), to = from + draw.below(1_001 - from);
      const part = adjustBars(sliceBars(bars, from, to), actions, factors,
        { mode: "total", adjustment: "raw", calendar: us });
      assert.deepEqual(part.columns, sliceBars(whole, from, to).columns, `seed ${seed} rows ${from}..${to}`);
    }
  });

  test("returns away from ex-dates do not change (996 of 999 to 1e-12)", () => {
    const bars = cleanBars(3, 1_000), raw = column(bars, "close"), total = column(adjusted(bars, actions), "close");
    let same = 0;
    for (let i = 1; i < raw.length; i++) {
      if (Math.abs(total[i] / total[i - 1] - raw[i] / raw[i - 1]) < 1e-12) same++;
    }
    // Three ex-dates are in 2005-2008; the two actions of 2006-03-01 share one.
    assert.equal(same, 999 - 3);
  });
});
