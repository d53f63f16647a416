/**
 * New rows of a vendor behind the rows that are stored. The last stored day is asked for again, so
 * that the two overlap; there the fetched ones win, and a bar that differs is reported as revised.
 *
 *      stored   ──────────────|=====|
 *      fetched                |=====|────>
 */
import { firstRowAt, type Bars, type ColumnName, type CorporateAction } from "../market/bars.ts";
import type { Delivery } from "../market/sources/source.ts";
import { formatTime } from "../base/units.ts";

export interface Joined {
  readonly delivery: Delivery;
  /** Rows behind the last stored one. */
  readonly added: number;
  /** In words, one per revised bar, the first few. */
  readonly revisions: readonly string[];
  readonly revised: number;
}

const REVISIONS_SHOWN = 5;

/** Rows and actions of both, the fetched ones where they overlap. `stored` is not adjusted. */
export function join(stored: Bars, storedActions: readonly CorporateAction[],
  fetched: Delivery): Joined {
  const fresh = fetched.bars, start = firstRowAt(stored.time, fresh.time[0] ?? Infinity);
  const names = Object.keys({ ...stored.columns, ...fresh.columns }) as ColumnName[];
  let revised = 0;
  const revisions: string[] = [];
  for (let row = start; row < stored.time.length; row++) {
    const change = changeAt(stored, row, fresh, names);
    if (change === null) continue;
    revised++;
    if (revisions.length < REVISIONS_SHOWN) revisions.push(change);
  }
  const columns: Partial<Record<ColumnName, Float64Array>> = {};
  for (const name of names) {
    columns[name] = joined(valuesOf(stored, name).subarray(0, start), valuesOf(fresh, name));
  }
  const last = stored.time[stored.time.length - 1] ?? -Infinity;
  const bars = { ...fresh, time: joined(stored.time.subarray(0, start), fresh.time), columns };
  const actions = joinActions(storedActions, fetched.actions, fresh.time[0] ?? Infinity);
  return {
    delivery: { ...fetched, bars, actions },
    added: fresh.time.length - firstRowAt(fresh.time, last + 1), revisions, revised,
  };
}

/** Null when the stored row and the fetched row of the same time say the same. */
function changeAt(stored: Bars, row: number, fresh: Bars,
  names: readonly ColumnName[]): string | null {
  const time = stored.time[row], at = firstRowAt(fresh.time, time);
  if (fresh.time[at] !== time) return `${formatTime(time)} is gone`;
  for (const name of names) {
    const before = valuesOf(stored, name)[row], after = valuesOf(fresh, name)[at];
    if (!Object.is(before, after)) return `${formatTime(time)} ${name} ${before} -> ${after}`;
  }
  return null;
}

function valuesOf(bars: Bars, name: ColumnName): Float64Array {
  return bars.columns[name] ?? new Float64Array(bars.time.length).fill(NaN);
}

function joined(first: Float64Array, second: Float64Array): Float64Array {
  const both = new Float64Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** Stored actions from before the fetched range, then the fetched ones. */
function joinActions(stored: readonly CorporateAction[], fetched: readonly CorporateAction[],
  from: number): CorporateAction[] {
  const keyOf = (action: CorporateAction): string => `${action.kind} ${action.exTime}`;
  const known = new Set(fetched.map(keyOf));
  const kept = stored.filter((action) => action.exTime <= from && !known.has(keyOf(action)));
  return [...kept, ...fetched].sort((a, b) => a.exTime - b.exTime);
}
