import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { ledoitWolf, shrunkCorrelation } from "../src/strategy/covariance.ts";
import { equalRisk } from "../src/strategy/optimise/equal-risk.ts";
import { hierarchicalRisk, leafOrder } from "../src/strategy/optimise/hierarchical.ts";
import { leastTailRisk, meanVariance, minimumVariance, tailRiskOf, type Terms } from "../src/strategy/optimise/programs.ts";
import { openShaper, PORTFOLIO_METHODS, type PortfolioMethod, type ShaperOptions, type ShapeReason }
  from "../src/strategy/optimise/shaper.ts";
import { Solver } from "../src/strategy/optimise/solver.ts";
import { runEvent } from "../src/backtest/event.ts";
import { runVector } from "../src/backtest/vector.ts";
import { inputOf, market } from "./event-input.ts";
// Made by portfolio-methods.py beside it: scikit-learn, PyPortfolioOpt, Riskfolio-Lib, CVXPY.
import expected from "./fixtures/portfolio-methods.json" with { type: "json" };

const N = 6, columns = Array.from({ length: N }, (_, i) => Float64Array.from(expected.returns, (row) => row[i]));
const covariance = Float64Array.from(expected.covariance.flat()), correlation = Float64Array.from(expected.correlation.flat());
const solver = await Solver.load();
const TERMS: Terms = { volatility: Float64Array.from(expected.volatility), cap: Float64Array.from(expected.cap),
  held: Float64Array.from(expected.held), cost: 0 };
const gain = Float64Array.from(expected.gain);

function near(found: ArrayLike<number>, hoped: readonly number[], tolerance: number): void {
  assert.equal(found.length, hoped.length);
  hoped.forEach((value, i) => {
    assert.ok(Math.abs(found[i] - value) <= tolerance, `${i}: ${found[i]} instead of ${value}`);
  });
}

const share = (amounts: Float64Array): Float64Array => {
  const total = amounts.reduce((sum, value) => sum + value, 0);
  return amounts.map((value) => value / total);
};

function solved(program: Parameters<Solver["solve"]>[0]): Float64Array {
  const found = solver.solve(program);
  assert.ok(found !== null);
  return found;
}

describe("known answers of 120 days of 6 instruments", () => {
  test("the shrunk covariance is scikit-learn's LedoitWolf to 1e-15, its shrinkage 0.0493 to 1e-12", () => {
    const found = ledoitWolf(columns);
    near([found.shrinkage], [expected.shrinkage], 1e-12);
    near(found.values, expected.covariance.flat(), 1e-15);
  });

  test("equal risk under budgets 1 : 2 : 0.5 : 1 : 0.25 : 1.25 is CVXPY's (and Riskfolio's) to 1e-8", () => {
    const found = equalRisk(covariance, Float64Array.from(expected.budgets));
    assert.ok(found !== null);
    near(share(found), expected.erc, 1e-8);
  });

  test("hierarchical risk parity is PyPortfolioOpt's to 1e-14", () => {
    near(hierarchicalRisk(covariance, N), expected.hrp, 1e-14);
  });

  test("the minimum variance with weights up to 0.4 is PyPortfolioOpt's to 1e-6", () => {
    const deviation = Float64Array.from({ length: N }, (_, i) => Math.sqrt(covariance[i * N + i]));
    const mean = deviation.reduce((sum, value) => sum + value, 0) / N, volatility = deviation.map((value) => value / mean);
    const terms = { ...TERMS, volatility, cap: volatility.map((value) => expected.minVarianceCap * value) };
    const found = solved(minimumVariance(correlation, 1, terms)).map((amount, i) => amount / volatility[i]);
    near(found, expected.minVariance, 1e-6);
  });

  test("mean-variance with amounts up to 0.9 is CVXPY's to 1e-6, with a price on changes, too", () => {
    near(solved(meanVariance(correlation, gain, TERMS)), expected.meanVariance, 1e-6);
    const priced = solved(meanVariance(correlation, gain, { ...TERMS, cost: expected.cost }));
    near(priced.slice(0, N), expected.meanVarianceWithCost, 1e-6);
  });

  test("the least tail loss is CVXPY's to 1e-8, with a price on changes, too, and is the mean of the 6 worst", () => {
    const scenarios = shrunkScenarios();
    const plain = solved(leastTailRisk(scenarios, gain, 1.5, TERMS));
    near(plain.slice(0, N), expected.tail.amounts, 1e-8);
    near([tailRiskOf(scenarios, plain.slice(0, N))], [expected.tail.tail], 1e-8);
    const priced = solved(leastTailRisk(scenarios, gain, 1.5, { ...TERMS, cost: expected.cost }));
    near(priced.slice(0, N), expected.tailWithCost.amounts, 1e-8);
    near([tailRiskOf(scenarios, priced.slice(0, N))], [expected.tailWithCost.tail], 1e-8);
  });
});

/** As numpy standardises: (x - mean) / std. */
function shrunkScenarios(): Float64Array[] {
  return columns.map((column) => {
    const mean = column.reduce((sum, value) => sum + value, 0) / column.length;
    const deviation = Math.sqrt(column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / column.length);
    return column.map((value) => (value - mean) / deviation);
  });
}

describe("the parts", () => {
  test("three series, the first two alike: the tree joins 0 and 1 first, 2 comes before them as the older cluster", () => {
    assert.deepEqual(leafOrder(Float64Array.of(1, 0.9, 0, 0.9, 1, 0.1, 0, 0.1, 1), 3), [2, 0, 1]);
  });

  test("two instruments of 1 % and 2 % share risk equally at 2 : 1, whatever their correlation", () => {
    for (const rho of [-0.9, 0, 0.5, 0.99]) {
      const found = equalRisk(Float64Array.of(1e-4, rho * 2e-4, rho * 2e-4, 4e-4), Float64Array.of(1, 1));
      assert.ok(found !== null);
      near(share(found), [2 / 3, 1 / 3], 1e-12);
    }
  });

  test("a series that never moved has correlation 0 with the others and 1 with itself", () => {
    const { values } = shrunkCorrelation([columns[0], columns[0].map(() => 0.5)]);
    near([values[0], values[1], values[3]], [1, 0, 1], 1e-12);
  });

  test("a program without a solution and one without an end give null, and the next one is solved as before", () => {
    const row = { indices: [0], values: [1], lower: 2, upper: 3 };
    const program = { cost: Float64Array.of(-1), lower: Float64Array.of(0), quadratic: null };
    assert.equal(solver.solve({ ...program, upper: Float64Array.of(1), rows: [row] }), null);
    assert.equal(solver.solve({ ...program, upper: Float64Array.of(Infinity), rows: [] }), null);
    near(solved({ ...program, upper: Float64Array.of(5), rows: [row] }), [3], 1e-12);
  });
});

/** What a shaper makes of weights after 100 days of random returns with one common factor. */
async function shaped(method: PortfolioMethod, wish: Float64Array, sigma: Float64Array, seed: number,
  options: ShaperOptions = {}): Promise<{ weights: Float64Array; reason: ShapeReason | null }> {
  const shaper = await openShaper(method, wish.length, options), draw = random(seed, "shaper"), weights = wish.slice();
  assert.ok(shaper !== null);
  for (let day = 0; day < 100; day++) {
    const common = draw.normal();
    shaper.observe(sigma.map((value) => value * (0.5 * common + draw.normal())));
  }
  return { reason: shaper.shape(weights, sigma), weights };
}

const OPTIMISED = PORTFOLIO_METHODS.filter((method) => method !== "volatility");

describe("shaping", () => {
  for (const method of OPTIMISED) {
    test(`${method}: in 25 random books no sign flips, 0 stays 0, the cap holds, and the same is said twice`, async () => {
      for (let seed = 0; seed < 25; seed++) {
        const draw = random(seed, method), count = 2 + draw.below(7), weightMax = seed % 2 === 0 ? Infinity : 1.2;
        const sigma = Float64Array.from({ length: count }, () => 0.002 + 0.03 * draw.uniform());
        const wish = sigma.map((value) => draw.uniform() < 0.2 ? 0
          : Math.max(-weightMax, Math.min(weightMax, (2 * draw.uniform() - 1) * 0.00945 / value)));
        const { weights, reason } = await shaped(method, wish, sigma, seed, { weightMax });
        assert.equal(reason, null, `seed ${seed}`);
        weights.forEach((weight, i) => {
          assert.ok(Number.isFinite(weight) && weight * wish[i] >= 0 && Math.abs(weight) <= weightMax, `seed ${seed}: ${weight}`);
          if (wish[i] === 0) assert.equal(weight, 0);
        });
        assert.deepEqual((await shaped(method, wish, sigma, seed, { weightMax })).weights, weights, `seed ${seed}`);
      }
    });
  }

  test("volatility shapes nothing", async () => { assert.equal(await openShaper("volatility", 3), null); });

  test("equal positions of two instruments are left as they are by equal risk, whichever way they point", async () => {
    const sigma = Float64Array.of(0.01, 0.02), wish = Float64Array.of(0.945, -0.4725);
    near((await shaped("erc", wish, sigma, 3)).weights, [...wish], 1e-12);
  });

  test("least variance of two instruments is the textbook's: shares (s2^2 - s12) : (s1^2 - s12)", async () => {
    const sigma = Float64Array.of(0.01, 0.015), wish = Float64Array.of(0.9, 0.5);
    const { weights } = await shaped("min-variance", wish, sigma, 5);
    const rows: number[][] = [], draw = random(5, "shaper");
    for (let day = 0; day < 100; day++) {
      const common = draw.normal();
      rows.push([...sigma].map((value) => value * (0.5 * common + draw.normal())));
    }
    const rho = shrunkCorrelation([0, 1].map((i) => Float64Array.from(rows, (row) => row[i]))).values[1];
    const both = rho * sigma[0] * sigma[1];
    const risk = (w: ArrayLike<number>): number => w[0] ** 2 * sigma[0] ** 2 + w[1] ** 2 * sigma[1] ** 2 + 2 * w[0] * w[1] * both;
    const shares = [sigma[1] ** 2 - both, sigma[0] ** 2 - both];
    assert.ok(Math.abs(weights[0] / weights[1] - shares[0] / shares[1]) < 1e-5, weights.join());
    assert.ok(Math.abs(risk(weights) / risk(wish) - 1) < 1e-9);       // the risk is what it was
  });

  test("59 days are too few, and a single instrument has nobody to share with: both keep their weights", async () => {
    const shaper = await openShaper("erc", 2), weights = Float64Array.of(1, 0.5), sigma = Float64Array.of(0.01, 0.02);
    assert.ok(shaper !== null);
    for (let day = 0; day < 59; day++) shaper.observe(Float64Array.of(0.01 * Math.sin(day), 0.02 * Math.cos(day)));
    assert.equal(shaper.shape(weights, sigma), "short-history");
    assert.deepEqual([...weights], [1, 0.5]);
    shaper.observe(Float64Array.of(0.001, 0.002));
    assert.equal(shaper.shape(Float64Array.of(0, 0.5), sigma), null);
  });

  test("a volatility of NaN leaves 3 weights as they were, with the reason no-solution", async () => {
    for (const method of OPTIMISED) {
      const wish = Float64Array.of(0.5, -0.5, 0.2);
      const shaper = await openShaper(method, 3), weights = wish.slice();
      assert.ok(shaper !== null);
      for (let day = 0; day < 70; day++) shaper.observe(Float64Array.from([1, 2, 3], (k) => 0.01 * Math.sin(k * day)));
      assert.equal(shaper.shape(weights, Float64Array.of(0.01, NaN, 0.02)), "no-solution", method);
      assert.deepEqual(weights, wish, method);
    }
  });
});

describe("in a backtest", () => {
  /** Instruments that rise and fall together, half of it. */
  const together = (seed: number): ReturnType<typeof market> => {
    const draw = random(seed, "common"), walk: number[] = [];
    for (let day = 0, level = 1; day < 190; day++) walk.push(level *= Math.exp(0.008 * draw.normal()));
    return market(seed, { instruments: 4, days: 190 }).map((one) => {
      const close = one.adjustedClose.map((price, day) => price * walk[day]);
      return { ...one, adjustedClose: close, bars: { ...one.bars, columns: { close } } };
    });
  };
  const WINDOW = { windows: [{ from: 10_150, to: 10_400 }] } as unknown as Parameters<typeof inputOf>[1];

  for (const method of OPTIMISED) {
    test(`${method}: both engines earn the same to 1e-12, and not what plain weights earn`, async () => {
      const instruments = together(2);
      const input = inputOf(instruments, { ...WINDOW, method }), vector = await runVector(input), event = await runEvent(input);
      vector.curve.netReturn.forEach((value, d) => {
        assert.ok(Math.abs(value - event.curve.netReturn[d]) < 1e-12, `row ${d}: ${value} and ${event.curve.netReturn[d]}`);
      });
      const plain = await runVector(inputOf(instruments, WINDOW));
      assert.ok(plain.curve.netReturn.some((value, d) => Math.abs(value - vector.curve.netReturn[d]) > 1e-6));
      assert.ok(vector.notes.some((note) => note.includes(`(${method})`)));
    });
  }

  test("changing every price and feature after day 170 changes no exposure before, of equal risk and trees", async () => {
    for (const method of ["erc", "hrp"] as const) {
      const instruments = together(3), cut = (10_000 + 170) * 86_400_000;
      const other = instruments.map((one) => {
        const later = <A extends Float64Array | Float32Array>(values: A, width: number): A =>
          values.map((value, at) => one.bars.time[Math.floor(at / width)] >= cut ? value * 0.7 : value) as A;
        return { ...one, adjustedClose: later(one.adjustedClose, 1),
          bars: { ...one.bars, columns: { close: later(one.bars.columns.close!, 1) } },
          features: { ...one.features, values: later(one.features.values, 2) } };
      });
      const before = async (list: typeof instruments): Promise<number[]> => {
        const { curve } = await runVector(inputOf(list, { ...WINDOW, method }));
        return [...curve.grossExposure].filter((_, d) => curve.time[d] < cut);
      };
      const found = await before(instruments);
      assert.ok(found.length > 15);
      assert.deepEqual(await before(other), found, method);
    }
  });
});
