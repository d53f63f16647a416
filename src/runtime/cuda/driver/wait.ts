/**
 * Waiting for the GPU by reading a word in mapped memory that the last kernel writes: the fastest way, and it
 * takes a core. A GPU that died is noticed, and no wait is for ever. (engine/queue.ts looks at the same word
 * between turns of the event loop.)
 */
import { CudaError } from "./error.ts";
import type { Stream } from "./stream.ts";

/** Reads of the word between two looks at the clock. */
const READS_PER_LOOK = 256;
/** After so long the stream is asked whether it is still alive, and again after as long. */
const ASK_AFTER_MS = 2;
/** No launch of ours takes as long; a kernel's own bounds end it before. */
export const WAIT_MAX_MS = 20_000;

/**
 * Waits until `words[index]` has reached `target`, counting modulo 2^32. Null: it has; else what went wrong.
 * Makes no object while all is well.
 */
export function spinUntil(words: Int32Array, index: number, target: number, stream: Stream,
  { timeoutMs = WAIT_MAX_MS } = {}): CudaError | null {
  let start = -1, asked = 0;
  for (;;) {
    for (let read = 0; read < READS_PER_LOOK; read++) {
      if (((Atomics.load(words, index) - target) | 0) >= 0) return null;
    }
    const now = performance.now();
    if (start < 0) { start = now; asked = now; }
    if (now - asked > ASK_AFTER_MS) {
      const fault = stream.fault();
      if (fault !== null) return fault;
      asked = now;
    }
    if (now - start > timeoutMs) return late(timeoutMs);
  }
}

/** For a wait that was longer than it may be. */
export const late = (timeoutMs: number): CudaError =>
  new CudaError("timeout",
    `the GPU did not answer within ${timeoutMs / 1000} s and says that it is still at work`);
