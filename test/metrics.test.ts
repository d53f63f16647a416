import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { formulasText, METRIC_NAMES, METRICS, type MetricName } from "../src/metrics/metrics.ts";
import { normalCdf, normalQuantile } from "../src/metrics/normal.ts";
import { deflatedSharpe, expectedBestSharpe, overfittingProbability, probabilisticSharpe }
  from "../src/metrics/overfitting.ts";
import { omega } from "../src/metrics/returns.ts";
import * as metrics from "../src/metrics/returns.ts";
import { askPython, NO_PYTHON, python } from "./python.ts";

const percent = (...values: number[]): Float64Array => Float64Array.from(values, (value) => value / 100);
const MIXED = percent(NaN, 1, 10, -4, 2, 3, 2, 1, -10);
const NEGATIVE = percent(0, -6, -7, -1, -9, -2, -6, -8, -5);
const POSITIVE = percent(1, 2, 1, 1, 1, 1, 1, 1, 1);

/** The literal answers of empyrical's own test suite (daily, 252 periods a year): mixed, negative, positive. */
const KEY = {
  cumulativeReturn: [0.03893109170048, -0.365907303498736, 0.104513839740642],
  annualReturn: [1.91359253731946, -0.999997114128243, 15.1730726212197],
  volatility: [0.91364653997046, 0.504777178564958, 0.0529150262212918],
  sharpe: [1.72386139617069, -24.4068086339101, 52.9150262212918],
  sortino: [2.60553125167369, -13.5327430750434, Infinity],
  downsideRisk: [0.604483250388297, 0.910384534139284, 0],
  maxDrawdown: [0.10, 0.365907303498736, 0],     // empyrical's are negative
  calmar: [19.1359253731946, -2.73292471772621, NaN],
  omega: [1.35714285714286, 0, NaN],
  tailRatio: [0.95569620253165, 0.0465116279069768, 1.6],
} as const satisfies Partial<Record<MetricName, readonly number[]>>;

/** Relative above 1, absolute below; NaN equals NaN, infinities equal themselves. */
function near(actual: number, expected: number, tolerance: number, message: string): void {
  if (Object.is(actual, expected)) return;
  const gap = Math.abs(actual - expected) / Math.max(1, Math.abs(expected));
  assert.ok(gap <= tolerance, `${message}: ${actual} is not ${expected}`);
}

describe("known answers", () => {
  for (const [name, answers] of Object.entries(KEY)) {
    // The key has 15 significant digits, so the last one may be off by half.
    test(`${name} of three series of 9 returns equals empyrical's literal key to 1e-12`, () => {
      [MIXED, NEGATIVE, POSITIVE].forEach((series, k) => {
        near(METRICS[name as MetricName].of!(series, 252), answers[k], 1e-12, `${name} of series ${k}`);
      });
    });
  }

  test("every metric of an empty series is NaN, and one return has a NaN volatility", () => {
    for (const name of METRIC_NAMES) {
      const { of } = METRICS[name];
      if (of !== null) assert.ok(Number.isNaN(of(new Float64Array(0), 252)), name);
    }
    assert.ok(Number.isNaN(METRICS.volatility.of([0.01], 252)));
    assert.ok(Number.isNaN(METRICS.sharpe.of([0.01], 252)));
    assert.equal(METRICS.annualReturn.of([0.01], 1), 1.01 - 1);
  });

  test("losing everything is an annual return of -1 and a drawdown of 1, not NaN", () => {
    assert.equal(METRICS.annualReturn.of([0.1, -1, 0.2], 252), -1);
    assert.equal(METRICS.maxDrawdown.of([0.1, -1, 0.2], 252), 1);
  });

  test("two losses of 150 % are a return of -1, not the gain of (1 - 1.5)^2 - 1 (hand)", () => {
    assert.equal(METRICS.cumulativeReturn.of([-1.5, -1.5, 0.1], 252), -1);
    assert.equal(METRICS.maxDrawdown.of([-1.5, -1.5, 0.1], 252), 1);
  });

  test("three returns of 0.1 vary by exactly 0 and have no Sharpe ratio, though 0.3 / 3 is not 0.1", () => {
    assert.equal(METRICS.volatility.of([0.1, 0.1, 0.1], 252), 0);
    assert.ok(Number.isNaN(METRICS.sharpe.of([0.1, 0.1, 0.1], 252)));
  });

  test("VaR and CVaR at 95 % of the returns -1..-100 bps are 95.05 and 98 bps (hand: rank 0.05 x 99 = 4.95)", () => {
    const returns = Float64Array.from({ length: 100 }, (_, k) => -(k + 1) * 1e-4);
    near(metrics.valueAtRisk(returns), 95.05e-4, 1e-15, "VaR");
    near(metrics.conditionalValueAtRisk(returns), 98e-4, 1e-15, "CVaR");   // mean of the 5 worst: 96..100
  });

  test("the information ratio of a constant lead of zero variance is NaN, of +1, -1, +2 bps is 6.93 (hand)", () => {
    assert.ok(Number.isNaN(metrics.informationRatio([0.5, 0.25], [0.25, 0], 252)));
    const ratio = metrics.informationRatio([0.0102, 0.0199, 0.0304], [0.0101, 0.02, 0.0302], 252);
    near(ratio, (2 / 3) / Math.sqrt(((1 / 3) ** 2 + (5 / 3) ** 2 + (4 / 3) ** 2) / 2) * Math.sqrt(252), 1e-9, "ratio");
  });
});

describe("luck", () => {
  test("the normal distribution: P(Z <= 1.959963984540054) = 0.975, P(Z <= -10) = 7.62e-24 (scipy 1.17)", () => {
    near(normalCdf(1.959963984540054), 0.975, 1e-15, "cdf");
    assert.ok(Math.abs(normalCdf(-10) / 7.619853024160495e-24 - 1) < 1e-12);
    near(normalQuantile(0.975), 1.959963984540054, 1e-14, "quantile");
    near(normalQuantile(0.01), -2.3263478740408408, 1e-14, "quantile");
    for (const x of [-6, -2.1, -1.4, -0.3, 0, 0.7, 1.41, 1.9, 4]) near(normalQuantile(normalCdf(x)), x, 1e-9, `inverse at ${x}`);
  });

  // Bailey & Lopez de Prado (2014), "The Deflated Sharpe Ratio", numerical example: a yearly Sharpe ratio of 2.5 over
  // 1250 days (250 a year), skewness -3, kurtosis 10, 100 trials whose yearly Sharpe ratios have variance 1/2.
  const sample = { sharpe: 2.5 / Math.sqrt(250), periods: 1250, skewness: -3, kurtosis: 10 };
  test("the paper's example: threshold 0.1132 and deflated Sharpe 0.9004 with 100 trials, 0.9505 with 46", () => {
    assert.equal(expectedBestSharpe(100, 0.5 / 250).toFixed(4), "0.1132");
    assert.equal(deflatedSharpe(sample, 100, 0.5 / 250).toFixed(4), "0.9004");
    assert.equal(deflatedSharpe(sample, 46, 0.5 / 250).toFixed(4), "0.9505");
  });

  test("one trial is not deflated, and more trials never raise the probability", () => {
    assert.equal(deflatedSharpe(sample, 1, 0.002), probabilisticSharpe(sample));
    let previous = 1;
    for (const trials of [1, 2, 5, 20, 100, 1000]) {
      const value = deflatedSharpe(sample, trials, 0.002);
      assert.ok(value <= previous, `${trials} trials: ${value} > ${previous}`);
      previous = value;
    }
  });

  test("overfitting: 0 when one of 10 trials is truly good, about 1/2 when all are noise (seeds 1..20)", () => {
    let sum = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const draw = random(seed, "pbo");
      const trials = Array.from({ length: 10 }, () => Float64Array.from({ length: 400 }, () => draw.normal()));
      sum += overfittingProbability(trials, 8);
      trials[3] = trials[3].map((value) => value + 1);
      assert.equal(overfittingProbability(trials, 8), 0, `seed ${seed}`);
    }
    assert.ok(Math.abs(sum / 20 - 0.5) < 0.12, `mean over 20 seeds: ${sum / 20}`);
  });

  test("overfitting of two trials that swap their luck between 2 halves is 1 (hand: both choices are last outside)", () => {
    assert.equal(overfittingProbability([[1, 2, -1, -2], [-1, -2, 1, 2]], 2), 1);
  });
});

describe("the table", () => {
  test(`formulas are printed for all ${METRIC_NAMES.length} metrics within 100 columns`, () => {
    const text = formulasText();
    for (const name of METRIC_NAMES) assert.ok(text.includes(METRICS[name].formula), name);
    for (const line of text.split("\n")) assert.ok(line.length <= 100, line);
  });
});

/** Our names to empyrical's (e) and quantstats' (q) functions; what they define otherwise is left out. */
const PEERS = `
import json, sys, warnings
warnings.simplefilter('ignore')
import numpy as np, pandas as pd
peer, series = json.load(sys.stdin)
out = []
if peer == 'empyrical':
    import empyrical as e
else:
    import quantstats.stats as q
for values in series:
    r = pd.Series(values, index=pd.bdate_range('2001-01-01', periods=len(values)))
    if peer == 'empyrical':
        row = dict(cumulativeReturn=e.cum_returns_final(r), annualReturn=e.annual_return(r),
            volatility=e.annual_volatility(r), sharpe=e.sharpe_ratio(r), sortino=e.sortino_ratio(r),
            downsideRisk=e.downside_risk(r), maxDrawdown=-e.max_drawdown(r), calmar=e.calmar_ratio(r),
            omega=e.omega_ratio(r), tailRatio=e.tail_ratio(r), valueAtRisk95=-e.value_at_risk(r),
            conditionalValueAtRisk95=-e.conditional_value_at_risk(r))
    else:
        row = dict(cumulativeReturn=q.comp(r), volatility=q.volatility(r, periods=252),
            sharpe=q.sharpe(r, periods=252), sortino=q.sortino(r, periods=252), maxDrawdown=-q.max_drawdown(r),
            omega=q.omega(r, periods=252), tailRatio=q.tail_ratio(r))
    out.append({k: float(v) for k, v in row.items()})
print(json.dumps(out))
`;

describe("peers", () => {
  for (const peer of ["empyrical", "quantstats"] as const) {
    const place = python();
    const has = place !== null && askPython(
      `import importlib.util, json; print(json.dumps(importlib.util.find_spec("${peer}") is not None))`, 0) === true;
    test(`${peer} gives the same numbers for 20 random series to 1e-9 (empyrical-reloaded 0.7.1, quantstats 0.0.86)`,
      { skip: !has && `${NO_PYTHON} (with ${peer})` }, () => {
        const series = Array.from({ length: 20 }, (_, k) => {
          const draw = random(k, "peers");
          return Array.from({ length: 30 + 40 * k }, () => 0.0004 + 0.01 * draw.studentT(4));
        });
        const answers = askPython(PEERS, [peer, series]) as Record<MetricName, number>[];
        answers.forEach((row, k) => {
          for (const [name, expected] of Object.entries(row)) {
            near(METRICS[name as MetricName].of!(series[k], 252), expected, 1e-9, `${peer} ${name} of seed ${k}`);
          }
        });
      });
  }

  test("omega counts a NaN as nothing: the mixed series has 19 % gains over 14 % losses = 1.357 (hand)", () => {
    near(omega(MIXED), 19 / 14, 1e-14, "omega");
  });
});
