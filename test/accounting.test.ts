import assert from "node:assert/strict";
import { test } from "node:test";
import { Account } from "../src/backtest/event-account.ts";
import { execute, Tape, TAPE_FIELDS, type Execution } from "../src/backtest/event-orders.ts";
import { frictionless, perform, termsOf, totalReturn } from "../src/backtest/event-stage.ts";
import { runEvent } from "../src/backtest/event.ts";
import { holdingCost, NO_COSTS, percentageFee, tradingRate, type Costs } from "../src/strategy/costs.ts";
import { NO_LIMITS } from "../src/strategy/risk.ts";
import { unitsOf } from "../src/strategy/target.ts";
import { day } from "../src/base/units.ts";
import { FIRST_DAY, inputOf, quoted, stageOf } from "./event-input.ts";
import type { InstrumentInput } from "../src/backtest/input.ts";

function near(found: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(found - expected) <= tolerance, `${found} instead of ${expected}`);
}

const FREE: Execution = { rate: new Float64Array(1), slippageBps: 0, participationMax: Infinity,
  isFractional: true, gates: null };

/** Sizes 1, -1, 0, 1, -1 at prices 1..5: the micro accounting of the research notes. */
function micro(terms: Partial<Execution>): { account: Account; rows: number[][] } {
  const account = new Account(1, 100), tape = new Tape(true);
  [1, -1, 0, 1, -1].forEach((size, k) => {
    account.markTo(0, k + 1);
    if (size !== 0) execute(account, tape, { ...FREE, ...terms }, k, 0, size, k + 1, NaN, k + 1);
  });
  const width = TAPE_FIELDS.length, flat = [...tape.rows()];
  return { account, rows: Array.from({ length: flat.length / width }, (_, k) => flat.slice(k * width, (k + 1) * width)) };
}

test("sizes 1, -1, 0, 1, -1 at prices 1 to 5 pay .1 .2 .4 .5 at a fee of 10 % (research notes, micro accounting)", () => {
  const costs: Costs = { ...NO_COSTS, costBps: 1000 };
  const { account, rows } = micro({ rate: Float64Array.of(tradingRate(costs, NaN)) });
  rows.forEach((row, k) => { near(row[6], [0.1, 0.2, 0.4, 0.5][k], 1e-15); });
  // Bought at 1 and 4, sold at 2 and 5: 2 made, 1.2 paid.
  near(account.equity(), 100.8, 1e-13);
  assert.equal(account.quantity[0], 0);
});

test("the same orders fill at 1.1 1.8 4.4 4.5 with 10 % slippage and lose 1.2 to it (research notes, micro accounting)", () => {
  const { account, rows } = micro({ slippageBps: 1000 });
  rows.forEach((row, k) => { near(row[5], [1.1, 1.8, 4.4, 4.5][k], 1e-15); });
  near(account.equity(), 100.8, 1e-13);
  near(account.paid[0], 1.2, 1e-14);
});

test("100,000 traded at 5 bps and a half-spread of 1.5 bps costs 65; an unknown half-spread is not charged (by hand)", () => {
  const costs: Costs = { ...NO_COSTS, costBps: 5, isHalfSpreadCharged: true };
  near(percentageFee(-1000, 100, tradingRate(costs, 1.5)), 65, 1e-10);
  near(percentageFee(1000, 100, tradingRate(costs, NaN)), 50, 1e-10);
  near(percentageFee(1000, 100, tradingRate({ ...costs, isHalfSpreadCharged: false }, 1.5)), 50, 1e-10);
});

test("short 0.6 and gross 1.8 pay (0.6 x 252 + 0.8 x 504) bps / 252 = 2.2 bps a day (by hand)", () => {
  const costs: Costs = { ...NO_COSTS, borrowBps: 252, financingBps: 504 };
  near(holdingCost(0.6, 1.8, 1, costs, 252), 2.2e-4, 1e-18);
  near(holdingCost(0.6, 0.9, 1, costs, 252), 0.6e-4, 1e-18);
});

/** Weight 1 of the equity for a full position: 15 % target over 15 % volatility a year. */
const FULL = { periodsPerYear: 1, volatilityTarget: 1, capital: 1000 };

/** Equity at each row and the end of an account that holds one instrument under the settings. */
async function equityOf(one: InstrumentInput, settings: Parameters<typeof inputOf>[1] = {}): Promise<number[]> {
  const input = inputOf([one], { ...FULL, ...settings }, "raw");
  const stage = await stageOf(input);
  return [...perform(stage, termsOf(input)).runs[0].equity];
}

test("AAPL 2000-06-20, 101.00 then 55.56 after a 2:1 split: a holder earns 10.02 %, a short loses it", async () => {
  const split = [{ kind: "split", value: 2, row: 1 }] as const;
  near((await equityOf(quoted([101, 55.56], [1], split)))[1] / 1000 - 1, 0.1002, 5e-5);
  near((await equityOf(quoted([101, 55.56], [1], split)))[1] / 1000, 2 * 55.56 / 101, 1e-14);
  near((await equityOf(quoted([101, 55.56], [-1], split)))[1] / 1000, 2 - 2 * 55.56 / 101, 1e-14);
});

test("AAPL 2020-08-28, 499.23 then 129.04 after a 4:1 split: a holder of whole shares earns 3.39 % on 2 x 499.23", async () => {
  const split = [{ kind: "split", value: 4, row: 1 }] as const;
  const [, end] = await equityOf(quoted([499.23, 129.04], [1], split), { isFractional: false });
  near(end - 1000, 2 * (4 * 129.04 - 499.23), 1e-10);
  near((end - 1000) / (2 * 499.23), 0.0339, 5e-5);
});

test("a split alone, price 100 then 25 at 4:1, leaves equity where it was; so does a reverse split 1:3", async () => {
  assert.deepEqual(await equityOf(quoted([100, 25], [1], [{ kind: "split", value: 4, row: 1 }])), [1000, 1000]);
  const [, end] = await equityOf(quoted([10, 30], [1], [{ kind: "split", value: 1 / 3, row: 1 }]), { isFractional: false });
  near(end, 1000, 1e-10);
});

test("7 shares at 3:2 become 10 and half a share in cash: 0.5 x 80 = 40 (by hand)", () => {
  const account = new Account(1, 0);
  account.markTo(0, 120);
  account.fill(0, 7, 120, 0);
  const before = account.equity();
  near(account.split(0, 1.5, false), 40, 1e-12);
  assert.equal(account.quantity[0], 10);
  near(account.mark[0], 80, 1e-13);
  near(account.equity(), before, 1e-12);
  // 3 shares at 1:3 are one whole share, whatever 3 x (1/3) is in binary.
  const reverse = new Account(1, 0);
  reverse.fill(0, 3, 10, 0);
  assert.equal(reverse.split(0, 1 / 3, false), 0);
  assert.equal(reverse.quantity[0], 1);
});

test("10 shares at 100, 2 paid in dividends, close 99: a holder has 1010, a short 990 (by hand)", async () => {
  const dividend = [{ kind: "dividend", value: 2, row: 1 }] as const;
  assert.deepEqual(await equityOf(quoted([100, 99], [1], dividend)), [1000, 1010]);
  assert.deepEqual(await equityOf(quoted([100, 99], [-1], dividend)), [1000, 990]);
});

test("an ex-date before the first bar held changes nothing, and one on a missing bar is paid at the next", async () => {
  assert.deepEqual(await equityOf(quoted([50, 100, 100], [NaN, 1], [{ kind: "dividend", value: 9, row: 0 },
    { kind: "split", value: 3, row: 1 }])), [1000, 1000]);
  const one = quoted([100, 77, 98], [1], [{ kind: "dividend", value: 2, row: 1 }]);
  const keep = (values: Float64Array): Float64Array => Float64Array.of(values[0], values[2]);
  const time = keep(one.bars.time);
  const holed = { ...one, bars: { ...one.bars, time, columns: { close: Float64Array.of(100, 98) } },
    adjustedClose: Float64Array.of(98, 98), features: { ...one.features, time, values: one.features.values.slice(0, 4) } };
  assert.deepEqual(await equityOf(holed), [1000, 1000]);
});

test("a 2:1 split is in the bar before its open too: 09:00 in New York on the ex-date, 100 then 50", async () => {
  const one = quoted([100, 50, 51], [1, NaN, NaN], [{ kind: "split", value: 2, row: 1 }]);
  // 2000-06-20, 16:00; 2000-06-21, 09:00 and 16:00: the ex-date opens at 09:30.
  const time = Float64Array.of(Date.UTC(2000, 5, 20, 20), Date.UTC(2000, 5, 21, 13), Date.UTC(2000, 5, 21, 20));
  const early = { ...one, bars: { ...one.bars, time }, features: { ...one.features, time },
    actions: [{ kind: "split" as const, value: 2, exTime: Date.UTC(2000, 5, 21, 13, 30) }] };
  const input = inputOf([early], FULL, "raw");
  const stage = await stageOf({ ...input, dataset: { ...input.dataset, calendar: "us-equity" } });
  assert.deepEqual([...perform(stage, termsOf(stage.input)).runs[0].equity], [1000, 1000]);
});

test("with lag 1 an order of a close at 100 fills at the next open of 104 and earns 130 / 104 = 1.25", async () => {
  const one = quoted([100, 105, 130, 120], [1, 1], [], [99, 104, 129, 125]);
  // Row 0 starts before the fill at 104 and ends at the close of 130; fully invested, so the next open trades nothing.
  const [start, first] = await equityOf(one, { lag: 1 });
  assert.equal(start, 1000);
  near(first, 1250, 1e-10);
});

test("2 % of a volume of 200 fills 4 of 10 shares; the rest is cancelled and asked for again: 4, 8, 10 held", async () => {
  const bare = quoted([100, 100, 100, 100, 100], [1, 1, 1, 1]);
  const columns = { ...bare.bars.columns, volume: new Float64Array(5).fill(200) };
  const one = { ...bare, bars: { ...bare.bars, columns } };
  const input = inputOf([one], { ...FULL, isFractional: false, participationMax: 0.02 }, "raw");
  const stage = await stageOf(input), { runs, tapes } = perform(stage, termsOf(input));
  assert.deepEqual([...runs[0].grossExposure], [0.4, 0.8, 1, 1]);
  assert.deepEqual([tapes[0].orders, tapes[0].fills, tapes[0].partial], [3, 3, 2]);
  const result = await runEvent(input);
  assert.ok(result.notes.includes("Orders filled only in part, the rest cancelled: 2."), result.notes.join("\n"));
});

test("an instrument whose bars end is sold at its last price whatever the volume, and named: 2 shares make 20", async () => {
  const gone = quoted([100, 100, 110], [1, 1]), stays = quoted([100, 100, 100, 100, 100], [0.5, 0.5, 0.5, 0.5]);
  const columns = { ...gone.bars.columns, volume: new Float64Array(3).fill(1e6) };
  const ends = { ...gone, instrument: { ...gone.instrument, symbol: "GONE" }, bars: { ...gone.bars, columns } };
  // One share a bar: 2 of the 5 wanted are held when the bars end.
  const input = inputOf([ends, stays], { ...FULL, isFractional: false, participationMax: 1e-6 }, "raw");
  const { notes, curve } = await runEvent(input);
  near(curve.netReturn[1], 0.02, 1e-15);
  assert.deepEqual([...curve.active], [2, 2, 1, 1]);
  assert.ok(notes.includes("Closed out at the last price because the bars end: GONE."), notes.join("\n"));
});

test("with lag 1 nobody sells at the open of 100 of a last bar that closes at 50: half the equity is lost", async () => {
  const positions = [1, 1, 1, 1, 1, 1, 1];
  const gone = quoted([100, 100, 100, 100, 50], positions, [], [100, 100, 100, 100, 100]);
  const stays = quoted([100, 100, 100, 100, 100, 100, 100], [0, 0, 0, 0, 0, 0, 0]);
  const ends = { ...gone, instrument: { ...gone.instrument, symbol: "GONE" } };
  const { curve } = await runEvent(inputOf([ends, stays], { ...FULL, lag: 1, volatilityTarget: 2 }, "raw"));
  near(curve.netReturn.reduce((growth, value) => growth * (1 + value), 1), 0.5, 1e-12);
});

test("an order limit of 150 lets 100 and 100 in and does not keep the 220 of a last bar from being sold", async () => {
  const gone = quoted([100, 100, 110], [0.2, 0.4]), stays = quoted([100, 100, 100, 100, 100], [0.2, 0.2, 0.2, 0.2]);
  const limits = { ...NO_LIMITS, orderNotionalMax: 150 };
  const input = inputOf([gone, stays], { ...FULL, isFractional: false, limits }, "raw");
  const stage = await stageOf(input), { runs, tapes } = perform(stage, termsOf(input));
  assert.deepEqual([[...runs[0].active], tapes[0].refused], [[2, 2, 1, 1], 0]);
});

test("a window of one day ends for each instrument at its own next bar: 110 counts, 999 a day later does not", async () => {
  const early = quoted([100, 110, 999], [1, 1]), whole = quoted([100, 50, 100], [1, 1]);
  const keep = (values: Float64Array): Float64Array => Float64Array.of(values[0], values[2]);
  const time = keep(whole.bars.time);
  const late = { ...whole, bars: { ...whole.bars, time, columns: { close: Float64Array.of(100, 100) } },
    adjustedClose: Float64Array.of(100, 100),
    features: { ...whole.features, time, values: whole.features.values.slice(0, 4) } };
  const input = inputOf([early, late], { ...FULL, windows: [{ from: day(FIRST_DAY), to: day(FIRST_DAY) }] }, "raw");
  const stage = await stageOf(input);
  assert.deepEqual([...perform(stage, termsOf(input)).runs[0].equity], [1000, 1050]);
});

test("an order for 10 shares at 101 is refused by a notional limit of 1,000 and counted", () => {
  const account = new Account(1, 0), tape = new Tape(true);
  const terms = { ...FREE, gates: { ...NO_LIMITS, orderNotionalMax: 1000 } };
  assert.equal(execute(account, tape, terms, 0, 0, 10, 101, NaN, 101), 0);
  assert.equal(execute(account, tape, terms, 1, 0, 9, 101, NaN, 101), 9);
  assert.deepEqual([tape.orders, tape.fills, tape.refused], [2, 1, 1]);
});

test("a capital of 1000 buys no share of 5000, and a note says so; a strategy of zeros is not told that", async () => {
  const said = async (position: number): Promise<string> => {
    const one = quoted([5000, 5000, 5000], [position, position]);
    return (await runEvent(inputOf([one], { ...FULL, isFractional: false }, "raw"))).notes.join("\n");
  };
  assert.match(await said(1), /Not one order was sent/);
  assert.doesNotMatch(await said(0), /Not one order was sent/);
});

test("whole shares are rounded towards zero: 0.5 of 1000 at 30 is 16 shares, -0.5 is -16 (by hand)", () => {
  assert.deepEqual([unitsOf(0.5, 1000, 30, false), unitsOf(-0.5, 1000, 30, false)], [16, -16]);
  near(unitsOf(0.5, 1000, 30, true), 16.666666666666668, 1e-14);
});

test("an equity that is lost, short 3 times a price that doubles, stays at -2,000 (by hand)", async () => {
  const input = inputOf([quoted([100, 200, 400, 800], [-1, -1, -1])], { ...FULL, volatilityTarget: 3 }, "raw");
  const stage = await stageOf(input), { runs, book } = perform(stage, termsOf(input));
  assert.deepEqual([...runs[0].equity], [1000, -2000, -2000, -2000]);
  near(totalReturn(book, stage.stretches), -3, 1e-12);
  assert.ok((await runEvent(input)).notes.some((note) => note.startsWith("The equity was lost")));
  assert.equal(frictionless(input).isFractional, true);
});
