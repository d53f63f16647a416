import assert from "node:assert/strict";
import { test } from "node:test";
import { random } from "../src/base/random.ts";
import { PORTFOLIO_SCALE_MAX, PortfolioScaler, sizingReason, SIZING_REASONS, weightOf } from "../src/strategy/portfolio.ts";

const DAILY = { volatilityTarget: 0.15, periodsPerYear: 252 };

function near(found: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(found - expected) <= tolerance, `${found} instead of ${expected}`);
}

test("full long at 1 % a day has weight 0.944911182523068 for 15 % a year (0.15 / (0.01 sqrt 252), by hand)", () => {
  near(weightOf(1, 0.01, DAILY), 0.944911182523068, 1e-15);
  near(weightOf(-0.5, 0.01, DAILY), -0.472455591261534, 1e-15);
  assert.equal(sizingReason(1, 0.01, DAILY), null);
});

test("a volatility of 0, below 0, NaN, infinite or denormal gives weight 0 and says so, never an infinite weight", () => {
  for (const volatility of [0, -0.01, NaN, Infinity, 5e-324]) {
    assert.equal(weightOf(1, volatility, DAILY), 0);
    assert.equal(sizingReason(1, volatility, DAILY), "no-volatility");
  }
  assert.equal(weightOf(NaN, 0.01, DAILY), 0);
  assert.equal(sizingReason(NaN, 0.01, DAILY), "no-position");
  for (const sentence of Object.values(SIZING_REASONS)) assert.match(sentence, /^[a-z].{20,}[^.]$/);
});

test("an instrument at 0.06 % a day wants 15.7 times the equity and is cut to a leverage cap of 10, on both sides", () => {
  const capped = { ...DAILY, weightMax: 10 };
  near(weightOf(1, 0.0006, DAILY), 15.7485197, 1e-6);
  assert.equal(weightOf(1, 0.0006, capped), 10);
  assert.equal(weightOf(-1, 0.0006, capped), -10);
  assert.equal(sizingReason(1, 0.0006, capped), "leverage-cap");
});

test("over 2,000 random positions and volatilities the weight is finite, keeps the sign and obeys the cap", () => {
  const draw = random(11, "weights");
  for (let k = 0; k < 2000; k++) {
    const position = 2 * draw.uniform() - 1, volatility = 10 ** (6 * draw.uniform() - 7), weightMax = 5 * draw.uniform();
    const weight = weightOf(position, volatility, { ...DAILY, weightMax });
    assert.ok(Number.isFinite(weight) && Math.abs(weight) <= weightMax && weight * position >= 0, `seed 11, draw ${k}`);
  }
});

test("after 60 and 100 returns sin(k)/100 the portfolio's volatility is pandas' ewm(span=60).std()", () => {
  const scaler = new PortfolioScaler(0.1, 252);
  for (let k = 0; k < 100; k++) {
    if (k === 60) near(scaler.volatility(), 0.00715589073448162, 1e-17);
    scaler.observe(Math.sin(k) / 100);
  }
  near(scaler.volatility(), 0.007195361840858382, 1e-16);
  near(scaler.factor(), 0.8754817370985227, 1e-13);      // 0.1 / (0.00719... sqrt 252)
});

test("before 60 returns, without a target and without variance the factor is 1; a calm past never gives more than 20", () => {
  const warming = new PortfolioScaler(0.1, 252), off = new PortfolioScaler(null, 252), still = new PortfolioScaler(0.1, 252);
  const calm = new PortfolioScaler(0.1, 252);
  for (let k = 0; k < 59; k++) warming.observe(0.01 * (-1) ** k);
  assert.equal(warming.factor(), 1);
  for (let k = 0; k < 80; k++) {
    off.observe(0.01 * (-1) ** k);
    still.observe(0);
    calm.observe(1e-9 * (-1) ** k);
    calm.observe(NaN);
  }
  assert.deepEqual([off.factor(), still.factor(), calm.factor()], [1, 1, PORTFOLIO_SCALE_MAX]);
});
