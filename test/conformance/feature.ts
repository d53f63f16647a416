/**
 * The suite of the contract `Feature`: an implementation joins by one line. The checks themselves
 * are the product's (src/features/verify.ts), because a user's own features are held to them too.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Feature } from "../../src/features/feature.ts";
import { verifyOnShapes, type VerifyOptions } from "../../src/features/verify.ts";

/** Declares one test that holds a feature to every promise, on every shape of bars. */
export function featureConformance(name: string, make: () => Feature,
  options: VerifyOptions = {}): void {
  test(`${name} keeps the nine promises of a feature`, () => {
    assert.deepEqual(verifyOnShapes(make(), options).map((finding) =>
      `${finding.check}: ${finding.problem}`), []);
  });
}
