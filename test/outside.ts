/** Contexts for tests that fetch: a temporary data root, a clock that moves by sleeping, a simulated outside world. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { FakeClock } from "../src/base/clock.ts";
import { readConfig } from "../src/base/config.ts";
import type { Context } from "../src/base/context.ts";
import { openLog } from "../src/base/log.ts";
import { silentProgress, type Progress } from "../src/base/progress.ts";
import type { Source } from "../src/market/sources/source.ts";
import type { VendorOptions } from "../src/market/sources/vendor.ts";
import { SIMULATOR_KEYS, Simulator, type RequestEntry, type SimulatorOptions } from "../src/simulator/simulator.ts";
import type { OpenedSource } from "./conformance/source.ts";
import { AFTERWARDS } from "./conformance/market.ts";

export const SIMULATOR_ENVIRONMENT = {
  MASSIVE_API_KEY: SIMULATOR_KEYS.massive,
  APCA_API_KEY_ID: SIMULATOR_KEYS.alpaca.keyId, APCA_API_SECRET_KEY: SIMULATOR_KEYS.alpaca.secretKey,
};

export interface TestContext extends Disposable {
  readonly context: Context;
  readonly clock: FakeClock;
  /** Every log line. */
  readonly lines: readonly string[];
  readonly abort: () => void;
}

/** `settings` are environment variables of the configuration. */
export function testContext(settings: Readonly<Record<string, string>> = {}, now: number = AFTERWARDS,
  progress: Progress = silentProgress): TestContext {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-test-"));
  const controller = new AbortController(), clock = new FakeClock(now), lines: string[] = [];
  const log = openLog("trace", (line) => { lines.push(line); });
  return {
    clock, lines,
    context: { root, config: readConfig(root, settings), log, progress, clock, signal: controller.signal },
    abort: () => { controller.abort(new Error("stopped by the test")); },
    [Symbol.dispose]: () => { fs.rmSync(root, { recursive: true, force: true }); },
  };
}

export interface Outside extends OpenedSource {
  readonly simulator: Simulator;
  readonly requests: readonly RequestEntry[];
  readonly clock: FakeClock;
  readonly lines: readonly string[];
}

export interface OutsideOptions extends SimulatorOptions {
  readonly callsPerMinute?: number;
  readonly environment?: Readonly<Record<string, string>>;
  readonly now?: number;
  readonly progress?: Progress;
}

/** A simulator and a vendor's source that talks to it. A hung answer times out at once instead of after 30 s. */
export async function openOutside(make: (options: VendorOptions) => Source, options: OutsideOptions): Promise<Outside> {
  let pending = new AbortController();
  const simulator = await Simulator.start({
    ...options,
    onHang: () => { pending.abort(new DOMException("the operation timed out", "TimeoutError")); },
  });
  const held = testContext({
    DMN_MASSIVE_URL: simulator.url, DMN_ALPACA_DATA_URL: simulator.url,
    DMN_MASSIVE_CALLS_PER_MINUTE: String(options.callsPerMinute ?? 100_000),
  }, options.now, options.progress);
  const source = make({
    environment: options.environment ?? SIMULATOR_ENVIRONMENT,
    timeout: () => {
      pending = new AbortController();
      return pending.signal;
    },
  });
  return {
    source, simulator, requests: simulator.requests, clock: held.clock, lines: held.lines,
    context: held.context, abort: held.abort, request: {},
    async [Symbol.asyncDispose]() {
      held[Symbol.dispose]();
      await simulator[Symbol.asyncDispose]();
    },
  };
}
