/** What soak-live.ts makes of memory: lines with a slope that is known, worked out by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isFlat, slopeOf } from "./soak-live.ts";

const HOUR = 3_600_000;

test("100 MiB and 6 more an hour are a slope of 6 without error; over half an hour that is flat, over two it grows", () => {
  const points = (hours: number) =>
    Array.from({ length: 31 }, (_, k) => [k / 30 * hours * HOUR, 100 + 6 * k / 30 * hours] as const);
  const short = slopeOf(points(0.5)), long = slopeOf(points(2));
  assert.ok(Math.abs(short.perHour - 6) < 1e-9 && Math.abs(short.growth - 3) < 1e-9 && short.error < 1e-9);
  assert.deepEqual([isFlat(short), isFlat(long)], [true, false]);
});

test("1, 2, 2, 3 MiB an hour apart: slope 0.6, standard error 0.1414", () => {
  const line = slopeOf([1, 2, 2, 3].map((MiB, k) => [k * HOUR, MiB] as const));
  // Sxy = 3, Sxx = 5; residuals -0.1, 0.3, -0.3, 0.1: sqrt(0.2 / 2 / 5).
  assert.ok(Math.abs(line.perHour - 0.6) < 1e-12 && Math.abs(line.error - Math.sqrt(0.02)) < 1e-12 && line.mean === 2);
});
