/**
 * The one door to koffi, which calls C libraries. It is told how large a stack those may use before any is
 * opened, because afterwards it refuses: NVRTC compiles on that stack, and a deep expression overran the
 * 2 MiB (on other threads 128 KiB) that it has by default.
 */
import { createRequire } from "node:module";

const STACK_BYTES = 8 << 20;

/** What we use of koffi; pointers are bigints. */
export interface Koffi {
  load(file: string, options?: { readonly global?: boolean }): KoffiLibrary;
  config(settings: { readonly sync_stack_size: number; readonly async_stack_size: number }): unknown;
  alloc(type: string, count: number): bigint;
  free(pointer: bigint): void;
  view(pointer: bigint, bytes: number): ArrayBuffer;
  readonly decode: { string(pointer: bigint): string };
}
export interface KoffiLibrary {
  /** A C declaration; or name, result and parameters. */
  func(declaration: string): KoffiCall;
  func(name: string, result: string, parameters: readonly string[]): KoffiCall;
}
export interface KoffiCall {
  (...values: unknown[]): unknown;
  /** On another thread; the last value is called back with (error, result). */
  async(...values: unknown[]): void;
}

let loaded: Koffi | undefined;

/** koffi; throws where it has no binary for this platform. */
export function koffi(): Koffi {
  if (loaded === undefined) {
    const made = createRequire(import.meta.url)("koffi") as Koffi;
    made.config({ sync_stack_size: STACK_BYTES, async_stack_size: STACK_BYTES });
    loaded = made;
  }
  return loaded;
}
