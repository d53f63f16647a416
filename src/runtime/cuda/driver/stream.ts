/** Streams and events: what the GPU does in order, and marks in it that can be timed. */
import type { CudaError } from "./error.ts";
import { STREAM_NON_BLOCKING, type CudaContext } from "./driver.ts";

export interface Stream extends Disposable {
  readonly handle: bigint;
  readonly isOpen: boolean;
  /** Waits, blocking the thread. Throws CudaError "fault" when a kernel died. */
  synchronize(): void;
  /** What went wrong in it; null: nothing so far. Never throws, allocates nothing while all is well. */
  fault(): CudaError | null;
  /** Waits until it is done, then ends it. */
  close(): void;
}

/** `priority`: lower numbers go first, 0 is the least urgent; the driver clamps it to what the GPU has. */
export function openStream({ driver, use }: CudaContext, priority = 0): Stream {
  use();
  const created = new BigUint64Array(1);
  driver.check(driver.cuStreamCreateWithPriority(created, STREAM_NON_BLOCKING, priority), "making a stream");
  const [handle] = created;
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    // What it works on may be freed next. After a fault this fails at once, and there is nothing to wait for.
    driver.cuStreamSynchronize(handle);
    driver.cuStreamDestroy_v2(handle);
  };
  return {
    handle,
    get isOpen() { return isOpen; },
    synchronize() { driver.check(driver.cuStreamSynchronize(handle), "waiting for kernels"); },
    fault: () => driver.errorOf(driver.cuStreamQuery(handle), "running kernels"),
    close,
    [Symbol.dispose]: close,
  };
}

export interface CudaEvent extends Disposable {
  readonly handle: bigint;
  record(stream: Stream): void;
  /** Microseconds of the GPU's clock between two events that are done. */
  microsecondsSince(start: CudaEvent): number;
  close(): void;
}

/** `isTimed: false` makes events cheaper. */
export function openEvent({ driver, use }: CudaContext, isTimed = true): CudaEvent {
  use();
  const created = new BigUint64Array(1), milliseconds = new Float32Array(1);
  driver.check(driver.cuEventCreate(created, isTimed ? 0 : 2), "making an event");
  const [handle] = created;
  let isOpen = true;
  const close = (): void => {
    if (isOpen) driver.cuEventDestroy_v2(handle);
    isOpen = false;
  };
  return {
    handle,
    record(stream) {
      use();
      const code = driver.cuEventRecord(handle, stream.handle);
      if (code !== 0) driver.check(code, "recording an event");
    },
    microsecondsSince(start) {
      driver.check(driver.cuEventElapsedTime(milliseconds, start.handle, handle), "timing kernels");
      return milliseconds[0] * 1000;
    },
    close,
    [Symbol.dispose]: close,
  };
}
