/** Loaded modules by their source, so that models and batch sizes share them. */
import { assert } from "../../../base/assert.ts";
import type { KernelSource, LaunchList } from "../launch.ts";
import type { Compiler } from "./compiler.ts";
import type { CudaContext } from "./driver.ts";
import { loadModule, type Module } from "./module.ts";
import { kernelText } from "./source.ts";

export interface ModuleShelf {
  /** The module of a source, compiled and loaded if it is not yet; it stays until it is released. */
  acquire(source: KernelSource): Module;
  release(source: KernelSource): void;
  /** Compiles and loads what a list needs, without blocking while a compiler works. */
  prepare(list: LaunchList): Promise<void>;
  close(): void;
}

/** Modules that nobody uses and that stay loaded all the same, in case they are asked for again. */
const IDLE_MAX = 64;
/** Compilations at a time. */
const COMPILE_MAX = 8;

interface Shelved { readonly module: Module; users: number }

export function moduleShelf({ driver, use }: CudaContext, compiler: Compiler): ModuleShelf {
  const shelf = new Map<string, Shelved>(), keys = new WeakMap<KernelSource, string>();
  const keyOf = (source: KernelSource): string => {
    const known = keys.get(source);
    if (known !== undefined) return known;
    const key = JSON.stringify([source.name, source.text, source.defines]);
    keys.set(source, key);
    return key;
  };
  const put = (source: KernelSource, cubin: Uint8Array): Shelved => {
    use();
    const shelved = { module: loadModule(driver, cubin, source.name), users: 0 };
    shelf.set(keyOf(source), shelved);
    return shelved;
  };
  const dropIdle = (): void => {
    const idle = [...shelf].filter(([, { users }]) => users === 0);
    for (const [key, { module }] of idle.slice(0, Math.max(0, idle.length - IDLE_MAX))) {
      module.close();
      shelf.delete(key);
    }
  };
  return {
    acquire(source) {
      const found = shelf.get(keyOf(source)) ?? put(source, compiler.compile(kernelText(source)));
      found.users++;
      return found.module;
    },
    release(source) {
      const key = keyOf(source), found = shelf.get(key);
      assert(found !== undefined && found.users > 0, `${source.name} was released once too often`);
      found.users--;
      if (found.users > 0) return;
      // The last to be released is the last to go.
      shelf.delete(key);
      shelf.set(key, found);
      dropIdle();
    },
    async prepare({ launches }) {
      const sources = [...new Map(launches.map(({ source }) => [keyOf(source), source])).values()];
      for (let from = 0; from < sources.length; from += COMPILE_MAX) {
        await Promise.all(sources.slice(from, from + COMPILE_MAX).map(async (source) => {
          if (shelf.has(keyOf(source))) return;
          const cubin = await compiler.compileLater(kernelText(source));
          // Somebody else may have asked for it in the meantime.
          if (!shelf.has(keyOf(source))) put(source, cubin);
        }));
      }
      dropIdle();
    },
    close() {
      for (const { module } of shelf.values()) module.close();
      shelf.clear();
    },
  };
}
