/**
 * What goes wrong outside, by script or by seed. A fault is a pure function of the number of the
 * request, so that a failing seed is a reproducer.
 *
 *   transport   the answer does not arrive as it should   too-many, server-error, cut-body, hung
 *   page        it arrives, whole and wrong               repeated-page, truncated-page, revised-bar
 */
import { random, type Random } from "../base/random.ts";

export const FAULTS = {
  "too-many": { on: "transport", says: "429 without Retry-After" },
  "too-many-wait": { on: "transport", says: "429 with Retry-After: 7" },
  "server-error": { on: "transport", says: "500" },
  "bad-gateway": { on: "transport", says: "502 with a page of HTML" },
  "forbidden": { on: "transport", says: "403: not in the plan" },
  "cut-body": { on: "transport", says: "the socket is destroyed in the middle of the JSON" },
  "hung": { on: "transport", says: "headers, then nothing" },
  "slow": { on: "transport", says: "the body in pieces" },
  "repeated-page": { on: "page", says: "the page before this one, with this one's next" },
  "duplicate-bar": { on: "page", says: "one bar twice" },
  "revised-bar": { on: "page", says: "its last bar comes corrected in the next page" },
  "truncated-page": { on: "page", says: "rows missing at the end, and no next page" },
  "miscounted-page": { on: "page", says: "the same, but it states the full count" },
  "out-of-order": { on: "page", says: "two rows swapped" },
} as const satisfies Record<string, { on: "transport" | "page"; says: string }>;
export type FaultName = keyof typeof FAULTS;
export const isDataFault = (name: string): name is FaultName => Object.hasOwn(FAULTS, name);

/** All that a client must survive; `forbidden` is an answer, not an accident. */
export const ACCIDENTS: readonly FaultName[] =
  (Object.keys(FAULTS) as FaultName[]).filter((name) => name !== "forbidden");

/** The fault of the n-th request (from 1), or null. */
export type FaultSchedule = (requestNumber: number) => FaultName | null;

export const noFaults: FaultSchedule = () => null;

/** Exactly these: `{ 3: "cut-body" }`. */
export function scriptedFaults(script: Readonly<Record<number, FaultName>>): FaultSchedule {
  return (requestNumber) => script[requestNumber] ?? null;
}

/** Each request fails with this probability, in a way drawn from `names`. */
export function seededFaults(
  seed: number, rate: number, names: readonly FaultName[] = ACCIDENTS,
): FaultSchedule {
  return (requestNumber) => {
    const draw = random(seed, "fault", requestNumber);
    return draw.uniform() < rate ? names[draw.below(names.length)] : null;
  };
}

/** A page of a series, as far as both wires agree. */
export interface Slice<Row> {
  readonly rows: readonly Row[];
  /** Rows that the answer states it has. */
  readonly stated: number;
  readonly hasNext: boolean;
}

/** Spoils a page; `before` is the one before it. Revised bars need memory: see book.ts. */
export function spoil<Row>(
  slice: Slice<Row>, before: readonly Row[], fault: FaultName | null, draw: Random,
): Slice<Row> {
  const { rows } = slice;
  switch (fault) {
    case "repeated-page":
      return before.length === 0 ? slice : { ...slice, rows: before, stated: before.length };
    case "duplicate-bar": {
      if (rows.length === 0) return slice;
      const at = draw.below(rows.length);
      return { ...slice, rows: rows.toSpliced(at, 0, rows[at]), stated: rows.length + 1 };
    }
    case "truncated-page":
    case "miscounted-page": {
      if (rows.length < 2) return slice;
      const kept = rows.slice(0, 1 + draw.below(rows.length - 1));
      const stated = fault === "truncated-page" ? kept.length : rows.length;
      return { rows: kept, stated, hasNext: false };
    }
    case "out-of-order": {
      if (rows.length < 2) return slice;
      const at = draw.below(rows.length - 1);
      return { ...slice, rows: rows.with(at, rows[at + 1]).with(at + 1, rows[at]) };
    }
    default:
      return slice;
  }
}
