/** The checks of src/features/verify.ts catch each kind of broken promise: a verifier that never fails proves nothing. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Feature } from "../src/features/feature.ts";
import { verifyFeature, verifyOnShapes } from "../src/features/verify.ts";
import { otherFuture, verificationBars } from "../src/features/verify-bars.ts";

type Update = Feature["update"];

/** The close of the bar before: a correct feature, with parts replaced by broken ones. */
function feature(broken: Partial<Feature> = {}): Feature {
  return {
    family: "before",
    columns: [{ name: "before", unit: "price", warmup: 1 }],
    inputs: ["close"],
    causality: "close",
    flopsPerBar: 1,
    stateLength: 1,
    start(state) { state[0] = NaN; },
    update(bars, from, to, state, out, offset, stride) {
      const close = bars.columns.close!;
      for (let t = from; t < to; t++) {
        out[offset + (t - from) * stride] = state[0];
        state[0] = close[t];
      }
    },
    ...broken,
  };
}

const BARS = verificationBars("random", 200, 3);
const checksOf = (broken: Partial<Feature>): string[] =>
  [...new Set(verifyFeature(feature(broken), BARS).map((finding) => finding.check))];

/** Writes close[t + k] for row t, wherever that is known to the array. */
const shifted = (k: number): Update => (bars, from, to, _state, out, offset, stride) => {
  const close = bars.columns.close!;
  for (let t = from; t < to; t++) out[offset + (t - from) * stride] = close[Math.min(t + k, close.length - 1)];
};

describe("a broken feature is found out", () => {
  test("a correct one has 0 findings, on all 8 shapes", () => {
    assert.deepEqual(verifyOnShapes(feature()), []);
  });

  test("one that reads the next bar breaks causality, at the last row that should not know", () => {
    const broken = { columns: [{ name: "after", unit: "price", warmup: 0 }], update: shifted(1) };
    assert.ok(checksOf(broken).includes("causality"));
    const found = verifyFeature(feature(broken), BARS).find((finding) => finding.check === "causality")!;
    assert.match(found.problem, /^after at row \d+ is [\d.]+, but [\d.]+ when the bars from row \d+ on are others/);
  });

  test("one that peeks at the end of the chunk breaks chunks and causality", () => {
    const peek: Update = (bars, from, to, _state, out, offset, stride) => {
      const close = bars.columns.close!;
      for (let t = from; t < to; t++) out[offset + (t - from) * stride] = close[to - 1];
    };
    const checks = checksOf({ columns: [{ name: "peek", unit: "price", warmup: 0 }], update: peek });
    assert.ok(checks.includes("chunks") && checks.includes("causality"), checks.join());
  });

  test("one that keeps its memory outside the state breaks memory", () => {
    let last = NaN;
    const forgetful: Update = (bars, from, to, _state, out, offset, stride) => {
      const close = bars.columns.close!;
      for (let t = from; t < to; t++) {
        out[offset + (t - from) * stride] = t === 0 ? NaN : last;
        last = close[t];
      }
    };
    assert.deepEqual(checksOf({ update: forgetful }), ["memory"]);
  });

  test("one that declares a warm-up of 0 or of 2 instead of 1 breaks warmup", () => {
    for (const warmup of [0, 2]) {
      assert.deepEqual(checksOf({ columns: [{ name: "before", unit: "price", warmup }] }), ["warmup"]);
    }
  });

  test("one whose start() writes nothing breaks start", () => {
    assert.ok(checksOf({ start() { /* leaves what was there */ } }).includes("start"));
  });

  test("one that divides by nothing is not finite on a market that stands still for 17 bars at a time", () => {
    const relative: Update = (bars, from, to, state, out, offset, stride) => {
      const close = bars.columns.close!;
      for (let t = from; t < to; t++) {
        out[offset + (t - from) * stride] = 1 / (close[t] - state[0]);
        state[0] = close[t];
      }
    };
    const findings = verifyOnShapes(feature({ update: relative }), { shapes: ["steps"] });
    assert.ok(findings.some((finding) => finding.check === "finite" || finding.check === "warmup"));
    assert.match(findings[0].problem, /flat stretches between sudden moves, seed 1/);
  });

  test("one that writes beside its column breaks bounds", () => {
    const wide: Update = (bars, from, to, state, out, offset, stride) => {
      feature().update(bars, from, to, state, out, offset, stride);
      out[offset + 1] = 0;
    };
    assert.deepEqual(checksOf({ update: wide }), ["bounds"]);
  });

  test("one without columns, unit, cost or with a bad name breaks its declaration, 4 ways", () => {
    const column = { name: "before", unit: "price", warmup: 1 };
    for (const broken of [{ columns: [] }, { columns: [{ ...column, unit: "" }] }, { flopsPerBar: 0 },
      { columns: [{ ...column, name: "Before!" }] }]) {
      assert.deepEqual(checksOf(broken), ["declaration"]);
    }
  });
});

describe("verification bars", () => {
  test("are the same for the same seed and differ for another in 199 of 200 closes", () => {
    const close = (seed: number): Float64Array => verificationBars("random", 200, seed).columns.close!;
    assert.deepEqual(close(1), close(1));
    assert.ok(close(1).filter((value, t) => value !== close(2)[t]).length >= 199);
  });

  test("of another future have the first 120 rows of all 11 columns, and no later one", () => {
    const other = otherFuture(BARS, 120, 5);
    assert.equal(Object.keys(BARS.columns).length, 11);
    for (const [name, values] of Object.entries(BARS.columns)) {
      const changed = other.columns[name as "close"]!;
      assert.deepEqual(changed.subarray(0, 120), values.subarray(0, 120));
      if (name !== "roll") assert.ok(changed.subarray(120).every((value, k) => value !== values[120 + k]), name);
    }
  });
});
