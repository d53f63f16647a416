import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { BoxFront, boxSides, dominates, Front, paretoFront } from "../src/tune/pareto.ts";
import { kneePoints, parsePreference, rankByPreference } from "../src/tune/preference.ts";
import { redundancy } from "../src/tune/redundancy.ts";
import { signed, type Finished, type Objective } from "../src/tune/trial.ts";
import { finishedTrial, gd, gdPlus, igdPlus } from "./tune-indicators.ts";
import { igd } from "./tune-problems.ts";

const numbers = (trials: readonly Finished[]): number[] => trials.map(({ number }) => number);
const trialsOf = (rows: readonly (readonly number[])[]): Finished[] => rows.map((row, i) => finishedTrial(i, row));
/** n points of M uniform losses. */
const cloud = (n: number, M: number, seed: number, round = (u: number): number => u): Finished[] => {
  const draw = random(seed, "cloud", n, M);
  return trialsOf(Array.from({ length: n }, () => Array.from({ length: M }, () => round(draw.uniform()))));
};

describe("Pareto front", () => {
  test("Optuna's sequence with (minimise, maximise): 22, 11 22, 11 22, 11 22, 13, then 13 twice", () => {
    const objectives: Objective[] = [{ name: "a", direction: "minimise" }, { name: "b", direction: "maximise" }];
    const front = new Front();
    const fronts = [[2, 2], [1, 1], [3, 1], [3, 2], [1, 3], [1, 3]].map((values, i) => {
      front.add(finishedTrial(i, signed(objectives, values)));
      return front.members.map(({ losses }) => Array.from(signed(objectives, losses)).join("")).sort();
    });
    assert.deepEqual(fronts, [["22"], ["11", "22"], ["11", "22"], ["11", "22"], ["13"], ["13", "13"]]);
  });

  test("dominance: better in one and worse in none; infinities compare, equal points do not dominate", () => {
    for (const [a, b, isBetter] of [[[1, 2], [1, 3], true], [[1, 3], [1, 2], false], [[1, 2], [2, 1], false],
      [[1, 1], [1, 1], false], [[-Infinity, 0], [0, 0], true], [[1, Infinity], [Infinity, Infinity], true],
      [[Infinity, Infinity], [Infinity, Infinity], false]] as const) assert.equal(dominates(a, b), isBetter,
        JSON.stringify([a, b]));
  });

  for (const [n, M] of [[300, 2], [300, 3], [200, 11]] as const) {
    test(`${n} trials with ${M} losses in tenths: those that no other of all dominates, whatever the order`, () => {
      const trials = cloud(n, M, 1, (u) => Math.round(10 * u) / 10);
      const by = trials.filter((one) => !trials.some((other) => dominates(other.losses, one.losses)));
      assert.deepEqual(numbers(paretoFront(trials)), numbers(by));
      const shuffled = paretoFront(random(2, "order").shuffle([...trials]));
      assert.deepEqual(numbers(shuffled).sort((a, b) => a - b), numbers(by));
      assert.ok(M < 11 ? by.length < n / 4 : by.length > n / 2, `${by.length} of ${n}`);
    });
  }

  test("pruned, failed and infeasible trials and undefined losses are never on it", () => {
    const trials = [finishedTrial(0, [0, 0], { state: "pruned" }), finishedTrial(1, [0, 0], { state: "failed" }),
      finishedTrial(2, [0, 0], { violation: 0.1, state: "infeasible" }), finishedTrial(3, [NaN, 0]),
      finishedTrial(4, [5, 5]), finishedTrial(5, [0, 0], { state: "cancelled" }), finishedTrial(6, [0, 0], { violation: 1 })];
    assert.deepEqual(numbers(paretoFront(trials)), [4]);
    assert.deepEqual(paretoFront(trials.slice(0, 4)), []);
  });
});

describe("front of boxes", () => {
  test("one of each box: the dominating, else the nearer to its best corner, else the first", () => {
    const front = new BoxFront([1, 1]);
    const steps = [[0.9, 0.9], [0.8, 0.8], [0.95, 0.1], [0.1, 0.95], [0.5, 2.5], [-0.5, 1.5], [0.5, 1.2]]
      .map((losses, i) => [front.add(finishedTrial(i, losses)), numbers(front.members).join(" ")]);
    assert.deepEqual(steps, [[true, "0"], [true, "1"], [true, "2"], [false, "2"], [false, "2"], [true, "2 5"], [false, "2 5"]]);
  });

  test("of a box with an infinite side too it is the one that dominates", () => {
    for (const [first, second, kept] of [[0.9, 0.2, 1], [0.2, 0.9, 0]]) {
      const front = new BoxFront([1, 1]);
      [first, second].forEach((loss, i) => front.add(finishedTrial(i, [Infinity, loss])));
      assert.deepEqual(numbers(front.members), [kept]);
    }
  });

  test("a front with 5,000 trials keeps at most a staircase of boxes, each within a box of every trial", () => {
    const trials = cloud(5_000, 2, 3), sides = Float64Array.of(0.1, 0.1), front = new BoxFront(sides);
    for (const trial of trials) front.add(trial);
    assert.ok(front.members.length <= 19, `${front.members.length}`);
    for (const { losses } of trials) {
      assert.ok(front.members.some((member) => member.losses.every((loss, m) => loss <= losses[m] + sides[m])));
    }
  });

  test("noise of a hundredth of a box moves no trial in or out", () => {
    const clean = Array.from({ length: 60 }, (_, i) => [0.05 + 0.1 * (i % 10), 0.95 - 0.1 * (i % 10) + Math.floor(i / 10)]);
    const draw = random(4, "noise");
    const noisy = clean.map((losses) => losses.map((loss) => loss + 0.001 * draw.normal()));
    const boxesOf = (rows: number[][]): string[] => {
      const front = new BoxFront([0.1, 0.1]);
      trialsOf(rows).forEach((trial) => front.add(trial));
      return front.members.map(({ losses }) => losses.map((loss) => Math.floor(loss / 0.1)).join(" ")).sort();
    };
    assert.deepEqual(boxesOf(noisy), boxesOf(clean));
    assert.equal(boxesOf(clean).length, 10);
  });

  test("sides cut the middle nine tenths of the losses into parts; a constant loss has sides of a part of 1", () => {
    const trials = trialsOf(Array.from({ length: 101 }, (_, i) => [i, 7, i === 0 ? Infinity : 2 * i]));
    const [first, second, third] = boxSides(trials, 10);
    assert.ok(Math.abs(first - 9) < 1e-12 && Math.abs(second - 0.1) < 1e-12 && Math.abs(third - 17.82) < 1e-12, `${third}`);
  });
});

describe("preference", () => {
  const objectives: Objective[] = [{ name: "sharpe", direction: "maximise" }, { name: "latency", direction: "minimise" },
    { name: "drawdown", direction: "minimise" }];

  test("sharpe=2,latency=1 is (2, 1, 0), a bare name weighs 1; other words are refused in a sentence", () => {
    assert.deepEqual(Array.from(parsePreference("sharpe=2, latency=1", objectives)), [2, 1, 0]);
    assert.deepEqual(Array.from(parsePreference("drawdown", objectives)), [0, 0, 1]);
    for (const [text, problem, hint] of [
      ["sharp=2", 'the study has no objective "sharp"', 'did you mean "sharpe"?'],
      ["sharpe=much", 'the weight of sharpe is "much", not a number above 0', "as in: --prefer sharpe=2"],
      ["sharpe=-1", 'the weight of sharpe is "-1", not a number above 0', "as in: --prefer sharpe=2"],
      ["sharpe=", 'the weight of sharpe is "", not a number above 0', "as in: --prefer sharpe=2"],
      ["", 'the study has no objective ""', "choose one of: sharpe, latency, drawdown."]] as const) {
      assert.throws(() => parsePreference(text, objectives),
        (error) => error instanceof UserError && error.problem === problem && error.hint === hint, text);
    }
  });

  // A quarter circle about (1, 1), the last one off it; units of the second loss are thousands.
  const bend = trialsOf([...Array.from({ length: 9 }, (_, i) => {
    const angle = Math.PI / 2 * i / 8;
    return [1 - Math.sin(angle), 1000 * (1 - Math.cos(angle))];
  }), [0.9, 900]]);

  test("equal weights take the middle of the bend, more weight goes towards it, one alone takes its best", () => {
    const best = (...weights: number[]): number => rankByPreference(bend, Float64Array.from(weights))[0].trial.number;
    assert.equal(best(1, 1), 4);
    assert.equal(best(1, 0), 8);
    assert.equal(best(0, 1), 0);
    assert.ok(best(3, 1) > 4 && best(3, 1) < 8);
    assert.equal(best(1, 3), 8 - best(3, 1));
    assert.equal(best(20, 10), best(2, 1));
    // Scaled losses of 4: 1 - sqrt(1/2) twice; regret half of that, and a twentieth of their weighted sum.
    const scaled = 1 - Math.SQRT1_2, [{ regret }] = rankByPreference(bend, Float64Array.of(1, 1));
    assert.ok(Math.abs(regret - scaled * (0.5 + 0.05 * 1.001)) < 1e-12);
  });
  test("of two that are equal in what was named, the one that is better elsewhere comes first", () => {
    const front = trialsOf([[0, 5, 3], [0, 5, 2], [9, 0, 9]]);
    assert.deepEqual(numbers(rankByPreference(front, Float64Array.of(1, 0, 0)).map(({ trial }) => trial)), [1, 0, 2]);
  });
  test("of two that are equal in everything the older one comes first", () => {
    const front = [finishedTrial(7, [1, 1]), finishedTrial(3, [1, 1]), finishedTrial(5, [0, 9])];
    assert.deepEqual(numbers(rankByPreference(front, Float64Array.of(0, 1)).map(({ trial }) => trial)), [3, 7, 5]);
  });
  test("infinite losses do not blur the others", () => {
    const front = trialsOf([[0, 1], [1, 0], [-Infinity, 5]]);
    assert.ok(rankByPreference(front, Float64Array.of(1, 1)).every(({ regret }) => Number.isFinite(regret)));
  });
  test("whatever the weights, the first is on the front; units and offsets do not matter", () => {
    const trials = cloud(200, 4, 5), front = new Set(numbers(paretoFront(trials))), draw = random(6, "weights");
    const moved = trials.map((trial) =>
      ({ ...trial, losses: trial.losses.map((loss, m) => loss * 10 ** (m - 1) + 7 * m) }));
    for (let k = 0; k < 50; k++) {
      const weights = Float64Array.from({ length: 4 }, () => draw.uniform() < 0.3 ? 0 : draw.uniform());
      if (weights.every((weight) => weight === 0)) continue;
      const order = numbers(rankByPreference(trials, weights).map(({ trial }) => trial));
      assert.ok(front.has(order[0]));
      assert.equal(numbers(rankByPreference(moved, weights).map(({ trial }) => trial))[0], order[0]);
    }
  });
});

describe("knees", () => {
  // DEB2DK of Branke, Deb, Dierolf, Osswald (PPSN 2004): fronts with K knees.
  const deb2dk = (K: number): Finished[] => trialsOf(Array.from({ length: 401 }, (_, i) => {
    const x = i / 400, r = 5 + 10 * (x - 0.5) ** 2 + Math.cos(2 * K * Math.PI * x) / K;
    return [r * Math.sin(Math.PI * x / 2), r * Math.cos(Math.PI * x / 2)];
  }));
  for (const K of [1, 2, 3, 4]) {
    test(`DEB2DK with ${K}: found where the front bends towards the best, and no others`, () => {
      const front = paretoFront(deb2dk(K)), knees = kneePoints(front);
      // The radius' minima are at odd multiples of 1 / 2K.
      const places = knees.map(({ trial }) => trial.number / 400).sort((a, b) => a - b);
      assert.equal(knees.length, K, places.join(" "));
      places.forEach((place, k) => assert.ok(Math.abs(place - (2 * k + 1) / (2 * K)) < 0.06, `${place}`));
    });
  }
  test("a straight front has none, nor has a single trial", () => {
    assert.deepEqual(kneePoints(trialsOf(Array.from({ length: 11 }, (_, i) => [i, 10 - i]))), []);
    assert.deepEqual(kneePoints(trialsOf([[1, 2]])), []);
  });
  test("a straight front of 200 with noise has one knee at most in any eighth of it", () => {
    const draw = random(7, "straight");
    const front = trialsOf(Array.from({ length: 200 }, (_, i) => [i + 0.4 * draw.uniform(), 200 - i + 0.4 * draw.uniform()]));
    const places = kneePoints(front).map(({ trial }) => trial.number).sort((a, b) => a - b);
    assert.ok(places.length > 2 && places.every((place, k) => k === 0 || place - places[k - 1] >= 25), places.join(" "));
  });
  test("of three corners the middle one, where 9 is lost for 1 gained", () => {
    assert.deepEqual(kneePoints(trialsOf([[0, 10], [1, 1], [10, 0]])).map(({ trial, tradeOff }) =>
      [trial.number, Math.round(tradeOff * 1e9) / 1e9]), [[1, 9]]);
  });
});

describe("redundant objectives", () => {
  const objectives: Objective[] = ["sharpe", "sortino", "latency", "throughput"].map((name, m) =>
    ({ name, direction: m % 3 === 2 ? "minimise" : "maximise" }));
  /** sortino is a growing function of sharpe; throughput is 1 / latency and some noise. */
  const trials = ((draw) => Array.from({ length: 300 }, (_, i) => {
    const sharpe = draw.normal(), latency = Math.exp(draw.normal());
    const values = [sharpe, sharpe ** 3, latency, 1 / latency * Math.exp(0.1 * draw.normal())];
    return finishedTrial(i, signed(objectives, values));
  }))(random(8, "redundant"));

  test("what says the same is proposed beside what was named first, with the front before and after", () => {
    const found = redundancy(trials, objectives);
    assert.deepEqual(found.redundant.map(({ objective, by }) => [objective, by]),
      [["sortino", "sharpe"], ["throughput", "latency"]]);
    assert.equal(found.redundant[0].correlation, 1);
    assert.ok(found.redundant[1].correlation > 0.97 && found.redundant[1].correlation < 1);
    assert.equal(found.count, 300);
    assert.equal(found.front, paretoFront(trials).length);
    // With (sharpe, latency) alone the front is a part of the front with noise.
    assert.ok(found.frontWithout > 0 && found.frontWithout < found.front && found.frontBoth === found.frontWithout);
  });
  test("opposed objectives are a conflict, not redundant: -1", () => {
    const opposed = trialsOf(Array.from({ length: 50 }, (_, i) => [i, -i]));
    const found = redundancy(opposed, objectives.slice(0, 2));
    assert.equal(found.correlations[0][1], -1);
    assert.deepEqual(found.redundant, []);
    assert.equal(found.front, 50);
  });
  test("Spearman's own example: IQ and hours of television, -29/165", () => {
    const rows = [[106, 7], [86, 0], [100, 27], [101, 50], [99, 28], [103, 29], [97, 20], [113, 12], [112, 6], [110, 17]];
    const found = redundancy(trialsOf(rows), objectives.slice(0, 2));
    assert.ok(Math.abs(found.correlations[0][1] + 29 / 165) < 1e-12);
  });
  test("fewer than ten trials or a constant objective propose nothing", () => {
    assert.deepEqual(redundancy(trials.slice(0, 9), objectives).redundant, []);
    assert.deepEqual(redundancy(trialsOf(Array.from({ length: 20 }, (_, i) => [i, 3])), objectives.slice(0, 2)).redundant, []);
  });
});

describe("distance indicators", () => {
  // pymoo's and Ishibuchi's examples (tune.md 2.1), to three digits.
  const two = [[1, 0], [0, 10]], five = [[0, 10], [1, 6], [2, 2], [6, 1], [10, 0]];
  for (const [targets, points, ...hoped] of [
    [two, [[2, 5]], 5.099, 5.242, 2, 3.55], [two, [[3, 9]], 3.162, 6.191, 3, 6.11], [two, [[2, 1]], 1.414, 5.317, null, 1.707],
    [five, [[2, 4], [3, 3], [4, 2]], 1.805, 3.707, 1.138, 1.483], [five, [[2, 8], [4, 4], [8, 2]], 2.434, 2.591, 2.276, 2.26],
  ] as const) {
    test(`points ${JSON.stringify(points)}: GD, IGD, GD+, IGD+ ${hoped.join(", ")}`, () => {
      const found = [gd, igd, gdPlus, igdPlus].map((indicator) => indicator(targets, points));
      hoped.forEach((value, i) => { if (value !== null) assert.ok(Math.abs(found[i] - value) < 6e-4, `${found[i]} ${value}`); });
    });
  }
});
