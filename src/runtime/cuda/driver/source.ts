/** The text of a kernel and of all our headers that it includes, as a compiler is given them. */
import * as fs from "node:fs";
import * as path from "node:path";
import { assert } from "../../../base/assert.ts";
import type { KernelSource } from "../launch.ts";

export interface KernelText {
  readonly name: string;
  readonly text: string;
  /** By the name that #include says, in the order they are first met. */
  readonly headers: ReadonlyMap<string, string>;
  /** "-DNAME=VALUE", sorted. */
  readonly defines: readonly string[];
}

const KERNELS = path.join(import.meta.dirname, "..", "kernels");
const INCLUDE = /^[ \t]*#[ \t]*include[ \t]+["<]([^">]+)[">]/gm;

/**
 * Reads a source and what it includes. Headers are our own `.cuh` files only: that is a promise to
 * ourselves.
 */
export function kernelText({ name, text, defines }: KernelSource, folder = KERNELS): KernelText {
  const read = (file: string): string => {
    assert(/^[a-z0-9-]+\.cuh?$/.test(file), `${name} includes ${file}: kernels know no headers but our own`);
    return fs.readFileSync(path.join(folder, file), "utf8");
  };
  const main = text ?? read(name);
  const headers = new Map<string, string>();
  const walk = (from: string): void => {
    for (const [, file] of from.matchAll(INCLUDE)) {
      if (headers.has(file)) continue;
      const inside = read(file);
      headers.set(file, inside);
      walk(inside);
    }
  };
  walk(main);
  return { name, text: main, headers, defines: definesOf(defines) };
}

/** "-DNAME=VALUE", sorted. */
export const definesOf = (defines: KernelSource["defines"]): string[] =>
  Object.entries(defines).map(([key, value]) => `-D${key}=${value}`).sort();
