/** A launch list in the making: buffers by name, and generated kernels, equal ones once, in few modules. */
import { assert } from "../../../base/assert.ts";
import type { Argument, BufferSpec, KernelSource, Launch } from "../launch.ts";
import type { Element } from "./emitter.ts";

/** Where a tensor is, densely, row by row. */
export interface Memory {
  readonly buffer: string;
  /** Bytes. */
  readonly offset: number;
  readonly element: Element;
  /** Whether it starts at a multiple of 16 bytes. */
  readonly isAligned: boolean;
}

export const addressOf = ({ buffer, offset }: Pick<Memory, "buffer" | "offset">): Argument =>
  ({ kind: "address", buffer, offset });

/** C of a kernel but for its name. */
export interface KernelText {
  readonly what: string;
  readonly comment: string;
  readonly block: number;
  /** "const float* x0" */
  readonly fields: readonly string[];
  readonly body: readonly string[];
}

/** Stands for a kernel's module until all of its kernels are known. */
const GENERATED: KernelSource = { name: "generated", text: "", defines: {} };
/** Kernels of a module: modules are compiled side by side. */
const MODULE_KERNELS = 16;

const HEADER = `// Generated: what lies between the products of one graph. See src/runtime/cuda/lower.
#include "product.cuh"
`;

/**
 * A kernel gets ready while the one before it ends, and then waits for it: all do, so all before are done.
 */
const START = ["let_dependents_start();", "wait_for_prior_kernel();"];

export class Builder {
  readonly buffers = new Map<string, BufferSpec>();
  readonly #names = new Map<string, string>();
  readonly #texts: string[] = [];

  buffer(spec: BufferSpec): void {
    assert(!this.buffers.has(spec.name), `two buffers named ${spec.name}`);
    this.buffers.set(spec.name, spec);
  }

  scratch(bytes: number, what = "t"): string {
    const name = `${what}${this.buffers.size}`;
    this.buffer({ name, bytes: Math.max(16, bytes), role: "scratch" });
    return name;
  }

  /** A launch of a generated kernel. */
  launch(text: KernelText, grid: readonly [number, number, number], sharedBytes: number,
    arguments_: readonly Argument[]): Launch {
    const key = JSON.stringify([text.what, text.block, text.fields, text.body]);
    let name = this.#names.get(key);
    if (name === undefined) {
      name = `${text.what}${this.#names.size}`;
      this.#names.set(key, name);
      const struct = `${name[0].toUpperCase()}${name.slice(1)}`;
      const fields = text.fields.map((field) => `${field};`).join(" ");
      this.#texts.push(`// ${text.comment}\nstruct ${struct} { ${fields} };\n`
        + `KERNEL(${text.block}, ${name}, ${struct}) {\n${indentBlocks([...START, ...text.body])}\n}\n`);
    }
    return { source: GENERATED, kernel: name, grid, block: text.block, sharedBytes, isDependent: true,
      arguments: arguments_ };
  }

  /** These launches with the modules of their kernels. */
  finish(launches: readonly Launch[]): Launch[] {
    const sources = new Map<string, KernelSource>();
    const names = [...this.#names.values()];
    for (let first = 0; first < names.length; first += MODULE_KERNELS) {
      const end = first + MODULE_KERNELS;
      const source = { ...GENERATED, text: [HEADER, ...this.#texts.slice(first, end)].join("\n") };
      for (const name of names.slice(first, end)) sources.set(name, source);
    }
    return launches.map((launch) =>
      (launch.source === GENERATED ? { ...launch, source: sources.get(launch.kernel)! } : launch));
  }
}

const indentBlocks = (lines: readonly string[]): string => lines.map((line) => `  ${line}`).join("\n");

/** The launch with buffers replaced: whoever is not in the map stays. */
export function rename(launch: Launch, to: ReadonlyMap<string, { buffer: string; offset: number }>): Launch {
  const change = <Spec extends { readonly buffer: string; readonly offset?: number }>(spec: Spec): Spec => {
    const found = to.get(spec.buffer);
    return found === undefined ? spec
      : { ...spec, buffer: found.buffer, offset: found.offset + (spec.offset ?? 0) };
  };
  return { ...launch, arguments: launch.arguments.map((argument) => {
    if (argument.kind === "address") return change(argument);
    return argument.kind === "tensorMap" ? { ...argument, map: change(argument.map) } : argument;
  }) };
}

/** Names of the buffers that a launch may touch. */
export const buffersOf = ({ arguments: list }: Launch): string[] => list.flatMap((argument) => {
  if (argument.kind === "address") return [argument.buffer];
  return argument.kind === "tensorMap" ? [argument.map.buffer] : [];
});
