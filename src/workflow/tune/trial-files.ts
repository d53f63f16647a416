/**
 * What a finished trial leaves in its folder.
 *
 *   outcome.json   what it told; its presence says that the trial is over
 *   returns.f64    (days, 2) float64, little-endian: UTC ms, portfolio return of the validated rows
 *   part-0/end.safetensors ...   of a population: what the next interval goes on from, while one may
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { replaceWith } from "../../base/file.ts";
import type { Outcome } from "../../tune/worker.ts";

const OUTCOME = "outcome.json", RETURNS = "returns.f64";

export const partFolder = (trial: string, part: number): string => path.join(trial, `part-${part}`);
export const endOf = (part: string): string => path.join(part, "end.safetensors");

export interface DatedReturns {
  /** (days) ascending, UTC ms. */
  readonly time: Float64Array;
  readonly returns: Float64Array;
}

export async function writeOutcome(folder: string, { values, violations, statistics }: Outcome,
  { time, returns }: DatedReturns): Promise<void> {
  const rows = new Float64Array(2 * time.length);
  time.forEach((at, t) => { rows[2 * t] = at; rows[2 * t + 1] = returns[t]; });
  await replaceWith(path.join(folder, RETURNS), new Uint8Array(rows.buffer));
  // JSON has no NaN: null.
  await replaceWith(path.join(folder, OUTCOME),
    `${JSON.stringify({ values: Array.from(values), violations, statistics })}\n`);
}

/** Null where the trial is not over, or its file is not whole. */
export function readOutcome(folder: string): Outcome | null {
  const place = path.join(folder, OUTCOME);
  if (!fs.existsSync(place)) return null;
  try {
    const { values, violations, statistics } = JSON.parse(fs.readFileSync(place, "utf8")) as
      { values: (number | null)[] } & Pick<Outcome, "violations" | "statistics">;
    return { values: values.map((value) => value ?? NaN), violations, statistics };
  } catch { return null; }
}

/** Null where there are none (the worker had another disk). */
export function readReturns(folder: string): DatedReturns | null {
  const place = path.join(folder, RETURNS);
  if (!fs.existsSync(place)) return null;
  const bytes = fs.readFileSync(place), rows = new Float64Array(bytes.length >> 4 << 1);
  new Uint8Array(rows.buffer).set(bytes.subarray(0, rows.byteLength));
  return { time: rows.filter((_, k) => k % 2 === 0), returns: rows.filter((_, k) => k % 2 === 1) };
}
