/** A process beside the bench: started, asked, stopped. */
import { fork } from "node:child_process";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import { monotonicNs } from "../../wire/codec.ts";
import type { Histogram } from "../../wire/meter.ts";
import type { Security } from "../../wire/security.ts";
import type { Spread } from "./live-rows.ts";

export interface Flood {
  readonly instruments: number;
  readonly seconds: number;
  /** Null: as many as it can. */
  readonly perSecond: number | null;
}
export type Question =
  | { readonly ask: "hear"; readonly address: string; readonly security: Security | null }
  | { readonly ask: "bind"; readonly security: Security | null }
  | { readonly ask: "flood"; readonly flood: Flood }
  | { readonly ask: "simulate"; readonly symbols: readonly string[] }
  | { readonly ask: "listen"; readonly place: string }
  | { readonly ask: "obey" | "ready" | "forget" | "tell" };
export interface Told {
  readonly heard: number; readonly rows: number; readonly missed: number; readonly latency: Spread;
  readonly cpuMs: number; readonly memoryBytes: number;
}
export interface Flooded { readonly said: number; readonly seconds: number; readonly cpuMs: number }

const CHILD = fileURLToPath(new URL(`./live-child${path.extname(import.meta.filename)}`, import.meta.url));

export class Beside implements Disposable {
  readonly #child = fork(CHILD, []);
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>();
  #count = 0;

  constructor() {
    this.#child.on("message", (said) => {
      const { id, value, problem } = said as { id: number; value: unknown; problem?: string };
      const asked = this.#asked.get(id);
      this.#asked.delete(id);
      if (problem === undefined) asked?.resolve(value); else asked?.reject(new Error(problem));
    });
    this.#child.on("exit", (code) => {
      const problem = new Error(`a process of the bench ended with ${code}`);
      for (const { reject } of this.#asked.values()) reject(problem);
    });
  }

  /** Rejects with what went wrong there, or when it ends. */
  async ask<Value>(question: Question): Promise<Value> {
    const id = this.#count++, asked = Promise.withResolvers<unknown>();
    this.#asked.set(id, asked);
    this.#child.send({ id, question });
    return await asked.promise as Value;
  }

  [Symbol.dispose](): void { this.#child.kill("SIGKILL"); }
}

/** Timers are late by a millisecond and more: the last of the way is spent turning the event loop, ms. */
const TURNING_MS = 2;
/** Resolves at that time (monotonic ns), or at once when it has passed: who is late is measured as late. */
export async function until(intendedNs: number): Promise<void> {
  for (let leftMs = (intendedNs - monotonicNs()) / 1e6; leftMs > 0; leftMs =
    (intendedNs - monotonicNs()) / 1e6) {
    await new Promise((resolve) => {
      if (leftMs > TURNING_MS) setTimeout(resolve, leftMs - TURNING_MS); else setImmediate(resolve);
    });
  }
}

/**
 * Until that time, with the event loop standing still: a timer of a millisecond would be measured as latency,
 * and spinning would take a core from who is measured.
 */
export function sleepUntil(intendedNs: number): void {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  for (let left = intendedNs - monotonicNs(); left > 0; left = intendedNs - monotonicNs()) {
    Atomics.wait(cell, 0, 0, Math.max(0.01, left / 1e6));
  }
}

export const spreadOf =
  (one: Histogram): Spread => ({ count: one.count, p50: one.quantile(0.5), p99: one.quantile(0.99),
  p999: one.quantile(0.999) });
