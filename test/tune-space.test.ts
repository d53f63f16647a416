/** Spaces: what is refused and how, what is active, and numbers as reals and back. Numbers from tune.md 2.1. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { activeNames, checkPoint, checkSpace, drawPoint, holds, pointKey, settingsOf } from "../src/tune/space.ts";
import type { Parameter, Point, Space } from "../src/tune/space.ts";
import { boundsOf, countValues, fromReal, fromUnit, toReal } from "../src/tune/transform.ts";
import type { Numerical } from "../src/tune/transform.ts";

const SPACE: Space = {
  rate: { kind: "float", low: 1e-5, high: 1e-2, isLog: true },
  width: { kind: "choice", choices: [20, 40, 80] },
  heads: { kind: "choice", choices: [1, 2], when: { parameter: "width", is: [20, 40] } },
  headsWide: { kind: "choice", choices: [4, 8], when: { parameter: "width", is: [80] }, setting: "heads" },
  stack: { kind: "integer", low: 1, high: 10, step: 3, when: { parameter: "headsWide", is: [8] } },
  dropout: { kind: "float", low: 0, high: 0.5, step: 0.1 },
};
const refusal = (act: () => void): string => {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return `${error.problem} | ${error.hint}`;
  }
  return "accepted";
};

test("what is active follows from what was chosen before it, through two conditions", () => {
  checkSpace(SPACE);
  const cases: readonly (readonly [Point, string])[] = [
    [{ width: 20 }, "rate width heads dropout"], [{ width: 80, headsWide: 4 }, "rate width headsWide dropout"],
    [{ width: 80, headsWide: 8 }, "rate width headsWide stack dropout"],
  ];
  for (const [point, names] of cases) assert.equal(activeNames(SPACE, point).join(" "), names);
  assert.deepEqual(settingsOf(SPACE, { rate: 0.001, width: 80, headsWide: 8, stack: 4, dropout: 0.1 }),
    { rate: 0.001, width: 80, heads: 8, stack: 4, dropout: 0.1 });
});

test("drawn points are points of the space, each value about as often as it should be", () => {
  const counts = new Map<string, number>(), logs: number[] = [];
  for (let k = 0; k < 3000; k++) {
    const point = drawPoint(SPACE, random(3, "space", k));
    checkPoint(SPACE, point);
    logs.push(Math.log10(Number(point["rate"])));
    for (const name of ["width", "stack", "dropout"]) {
      const key = `${name} ${point[name]}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  // 3000 p with five standard deviations of sqrt(3000 p (1 - p)).
  const near = (key: string, p: number): void => {
    const count = counts.get(key) ?? 0, spread = 5 * Math.sqrt(3000 * p * (1 - p));
    assert.ok(Math.abs(count - 3000 * p) <= spread, `${key}: ${count}, expected ${3000 * p} +- ${spread}`);
  };
  for (const width of [20, 40, 80]) near(`width ${width}`, 1 / 3);
  for (const stack of [1, 4, 7, 10]) near(`stack ${stack}`, 1 / 3 / 2 / 4);
  for (const dropout of [0, 0.1, 0.2, 0.3, 0.4, 0.5]) near(`dropout ${dropout}`, 1 / 6);
  const mean = logs.reduce((sum, value) => sum + value, 0) / logs.length;
  assert.ok(Math.abs(mean + 3.5) < 5 * Math.sqrt(9 / 12 / 3000), `mean log10 ${mean}`);
});

test("bounds of reals: half a step on each side, on a logarithmic scale before the logarithm", () => {
  const cases: readonly (readonly [Numerical, number, number])[] = [
    [{ kind: "integer", low: 1, high: 100, isLog: true }, -0.693147, 4.610158],
    [{ kind: "integer", low: 1, high: 10, step: 3 }, -0.5, 11.5],
    [{ kind: "integer", low: 1, high: 12, step: 3 }, -0.5, 11.5],
    [{ kind: "float", low: 0, high: 1, step: 0.25 }, -0.125, 1.125],
    [{ kind: "float", low: 0.001, high: 0.1, isLog: true }, Math.log(0.001), Math.log(0.1)],
    [{ kind: "float", low: -2, high: 3 }, -2, 3],
  ];
  for (const [one, low, high] of cases) {
    const bounds = boundsOf(one);
    const isNear = Math.abs(bounds[0] - low) < 1e-6 && Math.abs(bounds[1] - high) < 1e-6;
    assert.ok(isNear, `${JSON.stringify(one)}: ${bounds.join(" ")}`);
  }
});

test("value to real to value is the identity for 2000 draws of each kind, and what is beyond is clipped", () => {
  const kinds: readonly Numerical[] = [
    { kind: "float", low: 1e-6, high: 1e3, isLog: true }, { kind: "float", low: -0.3, high: 0.7 },
    { kind: "float", low: 0.1, high: 0.75, step: 0.1 }, { kind: "integer", low: -7, high: 90, step: 4 },
    { kind: "integer", low: 1, high: 1000, isLog: true },
  ];
  for (const one of kinds) {
    const draws = random(1, "identity", JSON.stringify(one));
    const [low, high] = boundsOf(one);
    for (let k = 0; k < 2000; k++) {
      const value = fromUnit(one, draws.uniform()) as number;
      assert.ok(holds(one, value), `${value}`);
      assert.equal(fromReal(one, toReal(one, value)), value);
    }
    assert.equal(fromReal(one, low - 1), one.low);
    assert.ok(fromReal(one, high + 1) <= one.high && holds(one, fromReal(one, high + 1)));
  }
  // 0.1 + 2 * 0.1 is 0.30000000000000004 and 0.8 is beyond 0.75.
  const grid: Parameter = { kind: "float", low: 0.1, high: 0.75, step: 0.1 };
  assert.deepEqual([0, 0.2, 0.4, 0.5, 0.6, 0.8, 0.999].map((u) => fromUnit(grid, u)), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]);
  assert.deepEqual([grid, kinds[3], kinds[1], SPACE["width"]].map(countValues), [7, 25, Infinity, 3]);
});

test("one value only: it is that value, whatever the scale", () => {
  for (const one of [{ kind: "float", low: 0.5, high: 0.5, isLog: true }, { kind: "integer", low: 3, high: 3 }] as const) {
    assert.equal(countValues(one), 1);
    assert.equal(fromUnit(one, 0.99), one.low);
  }
});

test("a point's key does not depend on the order of its names, and tells a text from a number", () => {
  assert.equal(pointKey(SPACE, { width: 20, rate: 0.001 }), pointKey(SPACE, { rate: 0.001, width: 20 }));
  const space: Space = { a: { kind: "choice", choices: [1, "one"] }, b: { kind: "choice", choices: ["1", ""] } };
  const points: readonly Point[] = [{ a: 1, b: "1" }, { a: 1, b: "" }, { a: 1 }, { a: "one", b: "1" }, { b: "1" }];
  const keys = points.map((point) => pointKey(space, point));
  assert.equal(new Set(keys).size, 5);
});

test("each bad space is refused in a sentence", () => {
  const float: Parameter = { kind: "float", low: 0, high: 1 };
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [{}, /no parameters/],
    [{ "1": float }, /"1" does not begin with a letter/],
    [{ constructor: float }, /"constructor" is a word of the language/],
    [{ a: { kind: "float", low: -1e308, high: 1e308 } }, /a ranges from -1e\+308 to 1e\+308/],
    [{ a: { kind: "float", low: 2, high: 1 } }, /a ranges from 2 to 1/],
    [{ a: { kind: "float", low: 0, high: NaN } }, /a ranges from 0 to NaN/],
    [{ a: { kind: "float", low: 0, high: 1, isLog: true } }, /a starts at 0 on a logarithmic scale/],
    [{ a: { kind: "float", low: 1, high: 2, isLog: true, step: 0.5 } }, /a has a step on a logarithmic scale/],
    [{ a: { kind: "integer", low: 1, high: 8, isLog: true, step: 2 } }, /a has a step on a logarithmic scale/],
    [{ a: { kind: "float", low: 0, high: 1, step: 0 } }, /a has step 0/],
    [{ a: { kind: "integer", low: 0.5, high: 3 } }, /a is an integer with a bound or a step that is none/],
    [{ a: { kind: "choice", choices: [] } }, /a has no choices/],
    [{ a: { kind: "choice", choices: [1, "1"] } }, /a has the choice 1 twice/],
    [{ a: { kind: "choice", choices: [NaN] } }, /a has the choice NaN/],
    [{ a: { kind: "bool" } }, /a is of kind "bool" \| choose float, integer or choice/],
    [{ a: { ...float, when: { parameter: "b", is: [1] } }, b: float }, /a depends on b, which is not declared before it/],
    [{ width: float, a: { ...float, when: { parameter: "widht", is: [1] } } }, /which does not exist \| did you mean "width"/],
    [{ a: { kind: "choice", choices: [1, 2] }, b: { ...float, when: { parameter: "a", is: [3] } } }, /b depends on a being 3/],
    [{ a: { kind: "choice", choices: [1, 2] }, b: { ...float, when: { parameter: "a", is: [] } } }, /being nothing/],
    [{ a: float, b: { ...float, setting: "a" } }, /a and b may set a at the same time/],
    [{ w: { kind: "choice", choices: [1, 2] }, a: { ...float, when: { parameter: "w", is: [1] } },
      b: { ...float, when: { parameter: "w", is: [1, 2] }, setting: "a" } }, /a and b may set a at the same time/],
  ];
  for (const [space, expected] of cases) assert.match(refusal(() => checkSpace(space as Space)), expected);
});

test("each bad point is refused in a sentence", () => {
  const good = { rate: 0.001, width: 20, heads: 2, dropout: 0.3 };
  assert.equal(refusal(() => checkPoint(SPACE, good)), "accepted");
  const cases: readonly (readonly [Point, RegExp])[] = [
    [{ ...good, dropout: 0.25 }, /dropout 0.25, outside the space/], [{ ...good, rate: 1 }, /rate 1, outside/],
    [{ ...good, heads: "2" }, /heads 2, outside/], [{ ...good, width: 80 }, /says nothing of headsWide/],
    [{ ...good, stack: 1 }, /has stack, which does not count there/], [{ ...good, ratte: 1 }, /ratte.*did you mean "rate"/],
  ];
  for (const [point, expected] of cases) assert.match(refusal(() => checkPoint(SPACE, point)), expected);
});
