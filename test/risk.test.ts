import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random, type Random } from "../src/base/random.ts";
import { RISK_LOADS, riskCalculations } from "../src/workflow/bench/live-risk.ts";
import { ASSET_CLASSES, type AssetClass } from "../src/market/instrument.ts";
import { applyLimits, gateLiveOrder, gateOrder, NO_LIMITS, observeEquity, observeReturns, RISK_REASONS, startRisk, valueAtRisk,
  type Refusal, type RiskLimits, type RiskState } from "../src/strategy/risk.ts";

function near(found: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(found - expected) <= tolerance, `${found} instead of ${expected}`);
}

const CLASSES: AssetClass[] = ["equity", "equity", "bond", "fx"];

/** What `wanted` becomes under limits, from nothing held. */
function limited(wanted: number[], limits: Partial<RiskLimits>, held = wanted.map(() => 0)):
{ weights: number[]; reasons: string[] } {
  const weights = Float64Array.from(wanted);
  const state = startRisk(CLASSES.slice(0, wanted.length), 100);
  const actions = applyLimits(weights, Float64Array.from(held), state, { ...NO_LIMITS, ...limits });
  return { weights: [...weights], reasons: actions.map((action) => action.reason) };
}

test("without limits nothing happens: 4 weights stay as they are and no reason is given", () => {
  assert.deepEqual(limited([3, -2, 0.5, 0], {}), { weights: [3, -2, 0.5, 0], reasons: [] });
});

test("each limit scales down as computed by hand and names itself", () => {
  assert.deepEqual(limited([3, -2, 0.5, 0], { positionMax: 1 }),
    { weights: [1, -1, 0.5, 0], reasons: ["position-limit", "position-limit"] });
  assert.deepEqual(limited([3, -1, 0.5, 0], { classMax: 2 }), { weights: [1.5, -0.5, 0.5, 0], reasons: ["class-limit"] });
  assert.deepEqual(limited([2, -1, 0.5, 0.5], { grossMax: 2 }), { weights: [1, -0.5, 0.25, 0.25], reasons: ["gross-limit"] });
  assert.deepEqual(limited([2, -1, 0.5, 0.5], { leverageMax: 2 }),
    { weights: [1, -0.5, 0.25, 0.25], reasons: ["leverage-limit"] });
  // Longs 3, shorts 1: longs shrink to 1 + 0.5, that is by half.
  assert.deepEqual(limited([2, -1, 0.5, 0.5], { netMax: 0.5 }), { weights: [1, -1, 0.25, 0.25], reasons: ["net-limit"] });
  assert.deepEqual(limited([NaN, 1, 0, 0], {}), { weights: [0, 1, 0, 0], reasons: ["not-finite"] });
});

test("a turnover cap of 1 shares what 0.4 of reductions leave between the openings, 0.6 of 1.2", () => {
  const { weights, reasons } = limited([1, -0.6, 0.2, 0], { turnoverMax: 1 }, [0.4, 0, 0.6, 0]);
  weights.forEach((weight, i) => near(weight, [0.7, -0.3, 0.2, 0][i], 1e-15));
  assert.deepEqual(reasons, ["turnover-cap"]);
  // Reductions alone may exceed the cap: they are never held back. Turning round closes first.
  assert.deepEqual(limited([-1, 0, 0, 0], { turnoverMax: 1 }, [2, 0, 0, 0]).weights.map(Math.abs), [0, 0, 0, 0]);
});

test("a fall of 20 % from the highest equity closes everything for good under a drawdown limit of 20 %", () => {
  const limits = { ...NO_LIMITS, drawdownMax: 0.2 }, state = startRisk(CLASSES, 100);
  const call = (): number[] => {
    const weights = Float64Array.of(1, 1, 1, 1);
    applyLimits(weights, new Float64Array(4), state, limits);
    return [...weights];
  };
  observeEquity(state, 125, 1);
  observeEquity(state, 101, 2);
  assert.deepEqual([call(), state.mode], [[1, 1, 1, 1], "NORMAL"]);
  observeEquity(state, 100, 3);
  assert.deepEqual([call(), state.mode], [[0, 0, 0, 0], "HALTED"]);
  observeEquity(state, 200, 4);
  assert.deepEqual([call(), state.mode], [[0, 0, 0, 0], "HALTED"]);
});

test("a loss of 3 % since yesterday lets nothing grow today under a limit of 3 %, and is forgotten tomorrow", () => {
  const limits = { ...NO_LIMITS, dailyLossMax: 0.03 }, state = startRisk(CLASSES, 100);
  const call = (): number[] => {
    const weights = Float64Array.of(1, -1, 0.2, 0);
    applyLimits(weights, Float64Array.of(0.5, 0.5, 0.5, 0), state, limits);
    return [...weights].map((weight) => weight + 0);
  };
  observeEquity(state, 100, 1);
  observeEquity(state, 99, 2);
  assert.deepEqual(call(), [1, -1, 0.2, 0]);
  observeEquity(state, 97, 2);
  assert.deepEqual([call(), state.mode], [[0.5, 0, 0.2, 0], "REDUCING"]);
  observeEquity(state, 96.9, 3);
  assert.deepEqual([call(), state.mode], [[1, -1, 0.2, 0], "NORMAL"]);
});

test("holdings that drifted to 2.2 times the equity let nothing grow under a leverage limit of 2", () => {
  const { weights, reasons } = limited([1, 0.9, 0, 0], { leverageMax: 2 }, [0.8, 1.4, 0, 0]);
  assert.deepEqual([weights, reasons], [[0.8, 0.9, 0, 0], ["held-leverage"]]);
});

/** 100 periods: sin(k)/100 and cos(2k)/50. */
function withHistory(state: RiskState): RiskState {
  for (let k = 0; k < 100; k++) observeReturns(state, Float64Array.of(Math.sin(k) / 100, Math.cos(2 * k) / 50));
  return state;
}

test("the value at risk of half the first less a quarter of the second is numpy's: 0.0055716 and 1.645 std = 0.0082794", () => {
  const found = valueAtRisk(Float64Array.of(0.5, -0.25), withHistory(startRisk(["equity", "bond"], 1)));
  near(found.historical, 0.0055715821652303306, 1e-16);
  near(found.parametric, 0.008279414846039187, 1e-16);
});

test("over 200 random books the value at risk is the sorted scenarios' 5 % quantile, as numpy defines it", () => {
  for (let seed = 0; seed < 200; seed++) {
    const draw = random(seed, "tail"), rows = 60 + draw.below(150), state = startRisk(["equity"], 1), made: number[] = [];
    for (let k = 0; k < rows; k++) { made.push(draw.normal()); observeReturns(state, Float64Array.of(made[k])); }
    made.sort((a, b) => a - b);
    const at = 0.05 * (rows - 1), low = Math.floor(at);
    const expected = -(made[low] + (at - low) * (made[low + 1] - made[low]));
    assert.equal(valueAtRisk(Float64Array.of(1), state).historical, expected, `seed ${seed}`);
  }
});

test("along 100 walks of 200 books, answering from the last book measured never differs from measuring anew", () => {
  let within = 0, excess = 0;
  for (let seed = 0; seed < 100; seed++) {
    const draw = random(seed, "screen"), count = 1 + draw.below(12);
    const state = startRisk(Array.from({ length: count }, () => "fx"), 1);
    const observe = (): void => observeReturns(state, Float64Array.from({ length: count }, () => 0.02 * draw.normal()));
    for (let k = 0; k < 60 + draw.below(220); k++) observe();
    const weights = Float64Array.from({ length: count }, () => draw.normal()), start = valueAtRisk(weights, state);
    const most = { historical: start.historical * (0.9 + 0.4 * draw.uniform()),
      parametric: start.parametric * (0.9 + 0.4 * draw.uniform()) };
    for (let k = 0; k < 200; k++) {
      if (draw.uniform() < 0.05) observe();
      weights[draw.below(count)] += 0.03 * draw.normal();
      const risk = valueAtRisk(weights, state);
      const isWithin = risk.historical <= most.historical && risk.parametric <= most.parametric;
      const found = state.screen.excess(weights, most.historical, most.parametric);
      assert.deepEqual(found, isWithin ? null : risk, `seed ${seed}, book ${k}`);
      if (isWithin) within++; else excess++;
    }
  }
  assert.ok(within > 2000 && excess > 2000, `${within} within, ${excess} beyond`);
});

test("a value at risk twice its limit halves all weights; with 59 returns there is no estimate and no limit", () => {
  const risks = { varHistoricalMax: 0.0055715821652303306, varParametricMax: 0.008279414846039187 };
  for (const [name, risk] of Object.entries(risks)) {
    const weights = Float64Array.of(0.5, -0.25), state = withHistory(startRisk(["equity", "bond"], 1));
    const actions = applyLimits(weights, new Float64Array(2), state, { ...NO_LIMITS, [name]: risk / 2 });
    near(weights[0], 0.25, 1e-15);
    near(weights[1], -0.125, 1e-15);
    assert.equal(actions.length, 1);
  }
  const young = startRisk(["equity"], 1), weights = Float64Array.of(1);
  for (let k = 0; k < 59; k++) observeReturns(young, Float64Array.of((-1) ** k));
  assert.deepEqual(applyLimits(weights, new Float64Array(1), young, { ...NO_LIMITS, varHistoricalMax: 0.001 }), []);
});

function anyLimits(draw: Random): RiskLimits {
  const maybe = (most: number): number => draw.uniform() < 0.5 ? Infinity : most * draw.uniform();
  return {
    ...NO_LIMITS, positionMax: maybe(1), grossMax: maybe(4), netMax: maybe(2), leverageMax: maybe(4), classMax: maybe(2),
    drawdownMax: maybe(1), dailyLossMax: maybe(0.2), varHistoricalMax: maybe(0.05), varParametricMax: maybe(0.05),
    turnoverMax: maybe(3),
  };
}

/** Every limit that does not hold, by name. */
function broken(weights: Float64Array, held: Float64Array, state: RiskState, limits: RiskLimits): string[] {
  const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);
  const most = (limit: number): number => limit * (1 + 1e-9) + 1e-9;
  const gross = sum(weights.map(Math.abs));
  const growth = weights.map((weight, i) =>
    weight * held[i] > 0 ? Math.max(0, Math.abs(weight) - Math.abs(held[i])) : Math.abs(weight));
  const inClass = (k: number): Float64Array => weights.filter((_, i) => state.classOf[i] === k).map(Math.abs);
  const turnover = sum(weights.map((weight, i) => Math.abs(weight - held[i])));
  const risk = state.window.rows >= 60 ? valueAtRisk(weights, state) : { historical: 0, parametric: 0 };
  const claims: Record<string, boolean> = {
    position: weights.every((weight) => Math.abs(weight) <= most(limits.positionMax)),
    gross: gross <= most(limits.grossMax), net: Math.abs(sum(weights)) <= most(limits.netMax),
    leverage: gross <= most(limits.leverageMax),
    class: ASSET_CLASSES.every((_, k) => sum(inClass(k)) <= most(limits.classMax)),
    historical: risk.historical <= most(limits.varHistoricalMax),
    parametric: risk.parametric <= most(limits.varParametricMax),
    turnover: turnover <= most(limits.turnoverMax) || sum(growth) <= 1e-9,
    margin: limits.marginMax === Infinity || sum(growth) <= most(Math.max(0, limits.marginMax * state.buyingPower)),
    reducing: state.mode === "NORMAL" || sum(growth) <= 1e-9, halted: state.mode !== "HALTED" || gross === 0,
  };
  return Object.keys(claims).filter((name) => !claims[name]);
}

test("in 3,000 random books every limit holds afterwards, no weight grows or flips, and a second call changes nothing", () => {
  const used = new Set<string>();
  for (let seed = 0; seed < 3000; seed++) {
    const draw = random(seed, "risk"), count = 1 + draw.below(8);
    const state = startRisk(Array.from({ length: count }, () => ASSET_CLASSES[draw.below(4)]), 100);
    if (draw.uniform() < 0.5) {
      const rows = 50 + draw.below(300);
      for (let k = 0; k < rows; k++) observeReturns(state, Float64Array.from({ length: count }, () => 0.02 * draw.normal()));
    }
    observeEquity(state, 100 * (1 + 0.1 * draw.normal()), 1);
    observeEquity(state, state.equity * (1 + 0.05 * draw.normal()), 2);
    const wanted = Float64Array.from({ length: count }, () => draw.uniform() < 0.2 ? 0 : 2 * draw.normal());
    const held = Float64Array.from(wanted, (weight) => draw.uniform() < 0.3 ? 0 : weight + draw.normal());
    const margin = random(seed, "margin"), weights = wanted.slice();
    const limits = { ...anyLimits(draw), marginMax: margin.uniform() < 0.7 ? Infinity : margin.uniform() };
    state.isReduceOnly = margin.uniform() < 0.05;
    state.buyingPower = margin.uniform() < 0.5 ? Infinity : 3 * margin.uniform() - 0.2;
    for (const action of applyLimits(weights, held, state, limits)) used.add(action.reason);
    assert.deepEqual(broken(weights, held, state, limits), [], `seed ${seed}`);
    weights.forEach((weight, i) => {
      assert.ok(Math.abs(weight) <= Math.abs(wanted[i]) * (1 + 1e-15) && weight * wanted[i] >= 0, `seed ${seed}, weight ${i}`);
    });
    const again = weights.slice();
    applyLimits(again, held, state, limits);
    assert.deepEqual(again, weights, `seed ${seed}: not idempotent`);
  }
  // The draws reach every reason there is for weights.
  const orderReasons = ["not-finite", "halted-symbol", "stale-data", "price-collar", "order-notional", "order-rate",
    "duplicate-order", "self-cross", "kill-switch", "quorum-lost", "short-history", "no-solution"];
  const missing = Object.keys(RISK_REASONS).filter((reason) => !orderReasons.includes(reason) && !used.has(reason));
  assert.deepEqual(missing, []);
});

test("the 4 order gates refuse with their number: a collar of 50 bps refuses a price 1 % away", () => {
  const order = { quantity: -10, price: 99 };
  const market = { lastPrice: 100, lastTimeMs: 1_000, nowMs: 2_000, isHalted: false };
  assert.equal(gateOrder(order, market, NO_LIMITS), null);
  const refusal = gateOrder(order, market, { ...NO_LIMITS, collarBps: 50 });
  assert.equal(refusal?.reason, "price-collar");
  near(refusal.found, 100, 1e-9);
  assert.deepEqual(gateOrder(order, market, { ...NO_LIMITS, orderNotionalMax: 989 }),
    { reason: "order-notional", found: 990, limit: 989 });
  assert.deepEqual(gateOrder(order, market, { ...NO_LIMITS, staleMs: 999 }),
    { reason: "stale-data", found: 1000, limit: 999 });
  assert.equal(gateOrder(order, { ...market, isHalted: true }, NO_LIMITS)?.reason, "halted-symbol");
  assert.equal(gateOrder({ quantity: NaN, price: 1 }, market, NO_LIMITS)?.reason, "not-finite");
  assert.equal(gateOrder(order, { ...market, lastPrice: NaN }, { ...NO_LIMITS, collarBps: 50 })?.reason, "price-collar");
});

test("a buying power of 0.5 lets openings of 2.2 grow by 0.5, and never holds back what reduces", () => {
  const state = startRisk(CLASSES, 100), weights = Float64Array.of(1.4, -0.8, 0.1, 0), held = Float64Array.of(0, 0, 0.6, 0);
  state.buyingPower = 1;
  const actions = applyLimits(weights, held, state, { ...NO_LIMITS, marginMax: 0.5 });
  weights.forEach((weight, i) => near(weight, [1.4 * 0.5 / 2.2, -0.8 * 0.5 / 2.2, 0.1, 0][i], 1e-15));
  assert.deepEqual(actions.map(({ reason, before }) => [reason, Math.round(before * 1e9) / 1e9]), [["intraday-margin", 2.2]]);
});

describe("the gates of a live order", () => {
  const order = { quantity: 10, price: 100 };
  const view = { lastPrice: 100, lastTimeMs: 0, nowMs: 0, isHalted: false, tradingState: "ACTIVE" as const, held: 0,
    limitPrice: NaN, open: [], sentLastMinute: 0, buyingPower: 5_000 };
  const refusal = (change: Partial<Parameters<typeof gateLiveOrder>[1]>, limits: Partial<RiskLimits> = {},
    quantity = order.quantity): Refusal | null =>
    gateLiveOrder({ ...order, quantity }, { ...view, ...change }, { ...NO_LIMITS, ...limits });

  test("pass an order of 10 without limits, refuse every order while trading is halted", () => {
    assert.equal(refusal({}), null);
    assert.deepEqual(refusal({ tradingState: "HALTED" }), { reason: "kill-switch", found: 1, limit: 0 });
    assert.deepEqual(refusal({ tradingState: "HALTED", held: -10 })?.reason, "kill-switch");
  });

  test("while reducing: 10 may be bought back of a short of 12, of a short of 8 with 3 on the way not", () => {
    assert.equal(refusal({ tradingState: "REDUCING", held: -12 }), null);
    assert.deepEqual(refusal({ tradingState: "REDUCING", held: -8, open: [{ quantity: 3, limitPrice: 99 }] }),
      { reason: "reduce-only", found: 5, limit: 0 });
    assert.equal(refusal({ tradingState: "REDUCING", held: 5 })?.reason, "reduce-only");
    assert.equal(refusal({ tradingState: "REDUCING", held: 12 }, {}, -10), null);
  });

  test("a 21st order in a minute is refused under a cap of 20", () => {
    assert.equal(refusal({ sentLastMinute: 19 }, { ordersPerMinuteMax: 20 }), null);
    assert.deepEqual(refusal({ sentLastMinute: 20 }, { ordersPerMinuteMax: 20 }), { reason: "order-rate", found: 21, limit: 20 });
  });

  test("the same quantity at the same limit is a duplicate; another limit is not", () => {
    assert.equal(refusal({ open: [{ quantity: 10, limitPrice: NaN }] })?.reason, "duplicate-order");
    assert.equal(refusal({ limitPrice: 99, open: [{ quantity: 10, limitPrice: 99 }] })?.reason, "duplicate-order");
    assert.equal(refusal({ limitPrice: 99, open: [{ quantity: 10, limitPrice: 98 }] }), null);
  });

  test("a bid of 99 crosses own offers at 99 and at the market, not at 100", () => {
    const offered = (limitPrice: number): Refusal | null => refusal({ limitPrice: 99, open: [{ quantity: -4, limitPrice }] });
    assert.deepEqual([offered(99)?.reason, offered(NaN)?.reason, offered(100)], ["self-cross", "self-cross", null]);
    // And the other way round: selling at 99 meets an own bid of 99.
    assert.equal(refusal({ limitPrice: 99, open: [{ quantity: 4, limitPrice: 99 }] }, {}, -10)?.reason, "self-cross");
  });

  test("10 at 100 need 1000 of margin to buy, 1030 to sell short, 0 to close", () => {
    const limits = { marginMax: 0.2 };
    assert.equal(refusal({}, limits), null);
    const short = refusal({}, limits, -10);
    assert.equal(short?.reason, "intraday-margin");
    near(short.found, 1030, 1e-9);
    near(short.limit, 1000, 1e-9);
    assert.equal(refusal({ held: 10 }, limits, -10), null);
    assert.equal(refusal({ buyingPower: 0 }), null);
  });

  test("market gates count for live orders, too: a price 2 s old under a limit of 1 s", () => {
    assert.deepEqual(refusal({ nowMs: 2000 }, { staleMs: 1000 }), { reason: "stale-data", found: 2000, limit: 1000 });
  });
});

test("each of the 26 reasons is one sentence for people", () => {
  assert.equal(Object.keys(RISK_REASONS).length, 26);
  for (const sentence of Object.values(RISK_REASONS)) assert.match(sentence, /^[a-z].{15,}[^.]$/);
});

test("of 20,000 calculations of the bench, of either kind, no limit stops one: what is timed is the usual case", () => {
  for (const load of RISK_LOADS) assert.equal(riskCalculations(load)(20_000), 0, load);
});
