/** What is asked and answered: checked at the door, copied out of memory that the GPU will write again. */
import { assert } from "../../../base/assert.ts";
import type { Tensors } from "../../runtime.ts";
import type { Answers } from "./models.ts";
import type { NetworkFacts } from "./prepare.ts";
import type { Version } from "./version.ts";

/** What a request is checked against: the same on the GPU and on the CPU. */
export interface Asked {
  readonly network: Pick<NetworkFacts, "name" | "inputs">;
  /** Rows of a window. */
  readonly T: number;
}

/** Rows of a request. Asserts that it feeds what the network takes, in its shapes. */
export function rowsOf(feeds: Tensors, { network, T }: Asked): number {
  const rows = feeds.features?.shape[0] ?? 0;
  assert(Number.isInteger(rows) && rows > 0, `${network.name} is asked about no windows`);
  for (const { name, shape } of network.inputs) {
    const found = feeds[name], count = found?.values.length;
    const wanted = shape.map((size) => (size === "B" ? rows : size === "T" ? T : size));
    if (found?.shape.join() === wanted.join() && count === found.shape.reduce((a, b) => a * b, 1)) continue;
    assert(false, `${network.name} takes ${name} as (${wanted.join(", ")}), not `
      + (found === undefined ? "nothing" : `(${found.shape.join(", ")}) of ${count} numbers`));
  }
  return rows;
}

/**
 * Rows of a step. Asserted again when its turn comes: the version may have been replaced since it was asked
 * for, and the new one's windows be empty.
 */
export function ringRowsOf(name: string, { ring }: Version): number {
  assert(ring !== null, `${name} was loaded without a ring`);
  ring.host.checkFull(name);
  return ring.shape.rows;
}

/** Answers that outlive the next replay. */
export const copyOf = ({ version, rows, outputs }: Answers): Answers => ({ version, rows,
  outputs: Object.fromEntries(Object.entries(outputs).map(([name, { shape, values }]) =>
    [name, { shape, values: Float32Array.from(values) }])) });

/** Answers of one version in pieces, as one. */
export function joined(parts: readonly Answers[]): Answers {
  if (parts.length === 1) return parts[0];
  const [{ version, outputs }] = parts, rows = parts.reduce((sum, part) => sum + part.rows, 0);
  return { version, rows, outputs: Object.fromEntries(Object.entries(outputs).map(([name, { shape }]) => {
    const width = shape.slice(1).reduce((a, b) => a * b, 1), values = new Float32Array(rows * width);
    let at = 0;
    for (const { outputs: own } of parts) {
      values.set(own[name].values, at);
      at += own[name].values.length;
    }
    return [name, { shape: [rows, ...shape.slice(1)], values }];
  })) };
}
