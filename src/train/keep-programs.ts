/**
 * A runtime that does not compile what it has compiled before: rates, dropout and the loss's
 * weights are fed, so the fits of a population share their graphs.
 *
 *   fit ── compile(graph) ──> idle program of this graph, or a new one ── disposed of ──> idle again
 */
import type { Graph } from "../graph/graph.ts";
import { sizesOf } from "../graph/dimension.ts";
import { printGraph } from "../graph/text.ts";
import type { Program, Runtime, Tensors } from "../runtime/runtime.ts";

interface Idle { readonly text: string; readonly program: Program }

/**
 * Keeps up to `most` programs that are not in use (a fit has two), the latest used ones; the others
 * are disposed of. A program in use is never shared. Disposing of the runtime disposes of the idle.
 */
export function keepPrograms(runtime: Runtime, most = 4): Runtime & AsyncDisposable {
  const idle: Idle[] = [];
  const lend = ({ text, program }: Idle): Program => ({
    run: (feeds) => program.run(feeds), read: (names) => program.read(names),
    write: (state) => program.write(state),
    async [Symbol.asyncDispose]() {
      idle.push({ text, program });
      if (idle.length > most) await idle.shift()!.program[Symbol.asyncDispose]();
    },
  });
  return {
    name: runtime.name,
    async compile(graph) {
      const text = printGraph(graph), at = idle.findLastIndex((one) => one.text === text);
      if (at < 0) return lend({ text, program: await runtime.compile(graph) });
      const [found] = idle.splice(at, 1);
      await found.program.write(zeroState(graph));
      return lend(found);
    },
    async [Symbol.asyncDispose]() {
      for (const { program } of idle.splice(0)) await program[Symbol.asyncDispose]();
    },
  };
}

/** State that was never written is zero, in a program that was used before too. */
export const zeroState = (graph: Graph): Tensors =>
  Object.fromEntries(graph.state.map(({ name, tensor }) => {
    const shape = sizesOf(tensor.shape);
    return [name, { shape, values: new Float32Array(shape.reduce((a, b) => a * b, 1)) }];
  }));
