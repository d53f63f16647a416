/** What an error of the GPU's driver must be, for tests: its reason, and words of its sentence or its hint. */
import assert from "node:assert/strict";
import { CudaError } from "../src/runtime/cuda/driver/error.ts";

export const has = (reason: string, ...words: readonly string[]) => (error: unknown): boolean => {
  assert.ok(error instanceof CudaError, String(error));
  assert.equal(error.reason, reason, error.message);
  for (const word of words) assert.ok(`${error.message} | ${error.hint}`.includes(word), `${error.message} lacks ${word}`);
  return true;
};
