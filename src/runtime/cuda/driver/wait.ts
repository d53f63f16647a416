/**
 * Waiting for the GPU by reading mapped memory that the last kernel writes: the fastest way, and it takes a
 * core. A GPU that died is noticed, and no wait is for ever. (engine/queue.ts looks at the same memory
 * between turns of the event loop.)
 */
import { CudaError } from "./error.ts";
import type { Stream } from "./stream.ts";

/** Looks at memory between two looks at the clock. */
const READS_PER_LOOK = 256;
/** After so long the stream is asked whether it is still alive, and again after as long. */
const ASK_AFTER_MS = 2;
/** No launch of ours takes as long; a kernel's own bounds end it before. */
export const WAIT_MAX_MS = 20_000;

/** Waits until it is so. Null: it is; else what went wrong. Makes no object while all is well. */
export function spinUntil(isSo: () => boolean, stream: Stream,
  { timeoutMs = WAIT_MAX_MS } = {}): CudaError | null {
  let start = -1, asked = 0;
  for (;;) {
    for (let read = 0; read < READS_PER_LOOK; read++) {
      if (isSo()) return null;
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
