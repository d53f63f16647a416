/** Change points against the dense likelihood and scipy's optima (test/fixtures/change-point.py). */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { ChangePointFit } from "../src/features/change-point.ts";
import { FAMILIES } from "../src/features/families.ts";
import { MaternLikelihood } from "../src/features/matern.ts";
import { Minimiser } from "../src/features/minimise.ts";
import { calendar } from "../src/market/calendar.ts";
import { instrument } from "../src/market/instrument.ts";

interface Case {
  name: string; moment: number | null; y: number[]; at: { parameters: number[]; value: number }[];
  plain: number; change: number; location: number;
}
const place = path.join(import.meta.dirname, "fixtures", "change-point.json");
const { cases } = JSON.parse(fs.readFileSync(place, "utf8")) as { cases: Case[] };

const severityOf = (plain: number, change: number): number => 1 - 1 / (1 + Math.exp(plain - change));

describe("the likelihood", () => {
  test("by Kalman filter equals the dense one by Cholesky (numpy) to 1e-9 at 4 points of 8 windows", () => {
    for (const { name, y, at } of cases) {
      for (const { parameters, value } of at) {
        const likelihood = new MaternLikelihood(parameters.length === 3 ? "plain" : "change", y.length);
        const mine = likelihood.evaluate(Float64Array.from(y), y.length, Float64Array.from(parameters), null);
        assert.ok(Math.abs(mine - value) <= 1e-9 * Math.abs(value), `${name}: ${mine}, not ${value}`);
      }
    }
  });

  test("has the gradient of central differences to 1e-6 at the same points", () => {
    for (const { name, y, at } of cases) {
      for (const { parameters } of at) {
        const likelihood = new MaternLikelihood(parameters.length === 3 ? "plain" : "change", y.length);
        const rows = Float64Array.from(y), x = Float64Array.from(parameters), gradient = new Float64Array(x.length);
        likelihood.evaluate(rows, y.length, x, gradient);
        for (let i = 0; i < x.length; i++) {
          const step = 1e-5, up = x.slice(), down = x.slice();
          up[i] += step;
          down[i] -= step;
          const slope = (likelihood.evaluate(rows, y.length, up, null) - likelihood.evaluate(rows, y.length, down, null))
            / (2 * step);
          assert.ok(Math.abs(gradient[i] - slope) <= 1e-6 * (1 + Math.abs(slope)),
            `${name}, parameter ${i}: ${gradient[i]}, not ${slope}`);
        }
      }
    }
  });
});

describe("the search", () => {
  test("finds the minimum of Rosenbrock's valley at (1, 1) inside a box (known answer)", () => {
    const x = Float64Array.of(-1.2, 1);
    const value = new Minimiser([-3, -3], [3, 3]).minimise(([a, b], gradient) => {
      gradient[0] = -400 * a * (b - a * a) - 2 * (1 - a);
      gradient[1] = 200 * (b - a * a);
      return 100 * (b - a * a) ** 2 + (1 - a) ** 2;
    }, x, 1e-14, 200);
    assert.ok(value < 1e-8 && Math.abs(x[0] - 1) < 1e-3 && Math.abs(x[1] - 1) < 1e-3, `${value} at ${x.join(", ")}`);
  });

  test("stops at the wall of its box: x^2 over [1, 5] is lowest at 1 (by hand)", () => {
    const x = Float64Array.of(3);
    new Minimiser([1], [5]).minimise(([a], gradient) => { gradient[0] = 2 * a; return a * a; }, x, 1e-9, 100);
    assert.ok(x[0] > 1 && x[0] < 1.01, String(x[0]));
  });
});

describe("severity and location", () => {
  for (const { name, moment, y, plain, change, location } of cases) {
    test(`${name}: severity ${severityOf(plain, change).toFixed(3)} (scipy, best of many starts)`, () => {
      const found = new ChangePointFit(y.length).fit(Float64Array.from(y));
      assert.ok(Math.abs(found.plain - plain) < 0.02, `plain: ${found.plain} nats, scipy ${plain}`);
      assert.ok(found.change < change + 1, `change: ${found.change} nats, scipy ${change}`);
      assert.equal(found.severity, severityOf(found.plain, found.change));
      if (moment === null) return;
      assert.ok(found.severity > 0.999, `severity ${found.severity}`);
      const rows = y.length - 1;
      assert.ok(Math.abs(found.location * rows - moment) <= 2, `at ${found.location * rows}, planted at ${moment}`);
      assert.ok(Math.abs(found.location - location) * rows <= 2, `at ${found.location}, scipy at ${location}`);
    });
  }

  test("200 windows of white noise: median severity 0.6 to 0.9, 200 with a planted change: all above 0.99", () => {
    const fit = new ChangePointFit(22), quiet: number[] = [], loud: number[] = [];
    const standard = (y: Float64Array): Float64Array => {
      const mean = y.reduce((sum, v) => sum + v, 0) / y.length;
      const deviation = Math.sqrt(y.reduce((sum, v) => sum + (v - mean) ** 2, 0) / y.length);
      return y.map((v) => (v - mean) / deviation);
    };
    for (let seed = 0; seed < 200; seed++) {
      const stream = random(seed, "noise"), at = 5 + seed % 12;
      const noise = Float64Array.from({ length: 22 }, () => stream.normal());
      quiet.push(fit.fit(standard(noise)).severity);
      const found = fit.fit(standard(noise.map((v, k) => 0.3 * v + (k < at ? 1 : -1))));
      loud.push(found.severity);
      assert.ok(Math.abs(found.location * 21 - (at - 0.5)) <= 2, `seed ${seed}: at ${found.location * 21}, not ${at - 0.5}`);
    }
    quiet.sort((a, b) => a - b);
    assert.ok(quiet[100] > 0.6 && quiet[100] < 0.9, `median ${quiet[100]}`);
    assert.ok(Math.min(...loud) > 0.99, `lowest ${Math.min(...loud)}`);
  });

  test("as a feature: a trend that turns after 40 bars is placed within 2 bars, and comes closer by 1/21 a bar", () => {
    const feature = FAMILIES.change_point.make({ windows: [21] }, { calendar: calendar("24x5"), timeframe: "1d" });
    const rows = 50, stream = random(5, "turn"), close = new Float64Array(rows).fill(100);
    for (let t = 1; t < rows; t++) close[t] = close[t - 1] * (1 + (t < 40 ? 0.01 : -0.01) + 0.002 * stream.normal());
    const time = Float64Array.from(close, (_, t) => t * 86_400_000);
    const state = new Float64Array(feature.stateLength), out = new Float32Array(2 * rows);
    feature.start(state);
    feature.update({ instrument: instrument("T"), kind: "bars", timeframe: "1d", time, columns: { close } }, 0, rows,
      state, out, 0, 2);
    for (let t = 44; t < rows; t++) {
      assert.ok(out[2 * t] > 0.999, `severity ${out[2 * t]} at row ${t}`);
      // The window of row t is t-21..t; the last rise is at 39, the first fall at 40.
      const planted = (39.5 - (t - 21)) / 21;
      assert.ok(Math.abs(out[2 * t + 1] - planted) <= 2 / 21, `row ${t}: ${out[2 * t + 1]}, planted at ${planted}`);
    }
  });
});
