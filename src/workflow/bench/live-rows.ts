/** Rows of `dmn bench live`: latencies with their tails, against the founding tables. */
import type { PeerFigure, BenchRow } from "./row.ts";
import { machineName } from "./row.ts";

export const SUITE = "live";

/** Microseconds. */
export interface Spread {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}
/** A peer that was driven by the same schedule: one median, and its tail. */
export interface PeerSpread extends PeerFigure { readonly p99: number; readonly p999: number }
/** What p50 is to reach, and what p99 must not exceed, us. */
export type LatencyClaim = readonly [targetUs: number, maximumUs: number] | null;

/** Passes when the median is within the target and the slowest percent within the maximum. */
export function latencyRow(name: string, { count, p50, p99, p999 }: Spread, claim: LatencyClaim, note: string,
  peer: PeerSpread | null = null): BenchRow {
  const [target, maximum] = claim ?? [null, null], peerValue = peer?.values[0] ?? null;
  return { suite: SUITE, name, unit: "us", better: "lower", value: p50, p50, p99, p999, rounds: count,
    target, maximum,
    pass: target === null || maximum === null ? null : p50 <= target && p99 <= maximum,
    peer: peer === null ? null : `${peer.peer}, p99 ${Math.round(peer.p99)} us`, peerValue,
    ratio: peerValue === null ? null : peerValue / p50, machine: machineName(), note };
}

/** Of a throughput: what is wanted, and the peak that some bursts bring. It passes at what is wanted. */
export const throughputNote = (peak: number, note: string): string =>
  `${note}; the founding table's peak is ${peak.toLocaleString("en-US")}/s`;
