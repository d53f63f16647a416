/** What is asked and answered: checked at the door, copied out of memory that the GPU will write again. */
import { assert } from "../../../base/assert.ts";
import type { Tensors } from "../../runtime.ts";
import type { Answers } from "./models.ts";
import type { Version } from "./version.ts";

/** Rows of a request. Asserts that it feeds what the network takes, in its shapes. */
export function rowsOf(feeds: Tensors, { network, T }: Version): number {
  const rows = feeds.features?.shape[0] ?? 0;
  assert(rows > 0, `${network.name} is asked about no windows`);
  for (const { name, shape } of network.inputs) {
    const found = feeds[name];
    const wanted = shape.map((size) => (size === "B" ? rows : size === "T" ? T : size));
    assert(found !== undefined && found.shape.join() === wanted.join()
      && found.values.length === found.shape.reduce((a, b) => a * b, 1),
    `${network.name} takes ${name} as (${wanted.join(", ")}), not (${found?.shape.join(", ") ?? "nothing"})`);
  }
  return rows;
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
