/** One measured figure. The same schema for every suite, so that tables, JSON and BENCHMARKS.md agree. */
import { cpus, totalmem } from "node:os";

export interface BenchRow {
  readonly suite: string;
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** The figure to quote: the median of the rounds. */
  readonly value: number;
  /** Median and slowest percent of the rounds, in `unit`; with few rounds p99 is the worst one. */
  readonly p50: number;
  readonly p99: number;
  /** Of latencies: one in a thousand is slower. */
  readonly p999?: number;
  readonly rounds: number;
  /** What we want and what must not be crossed; null where nothing is promised. */
  readonly target: number | null;
  readonly maximum: number | null;
  /** Within `maximum` where there is one, else at `target` where there is one, else null. */
  readonly pass: boolean | null;
  /** The peer's name, version and setting, measured in the same run; null when none ran. */
  readonly peer: string | null;
  readonly peerValue: number | null;
  /** How many times better than the peer: above 1 we are ahead, whichever way `better` points. */
  readonly ratio: number | null;
  readonly machine: string;
  /** Sizes, and whatever else a reader needs to run it again. */
  readonly note: string;
}

export interface PeerFigure { readonly peer: string; readonly values: readonly number[] }

type Claims = Partial<Pick<BenchRow, "target" | "maximum">>;
interface Measured extends Pick<BenchRow, "suite" | "name" | "unit" | "better" | "note"> {
  /** One figure a round, in `unit`. */
  readonly values: readonly number[];
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
}

export function benchRow(
  { values, ...facts }: Measured, claims: Claims = {}, peer: PeerFigure | null = null,
): BenchRow {
  const isHigherBetter = facts.better === "higher";
  const value = quantile(values, 0.5);
  const peerValue = peer === null ? null : quantile(peer.values, 0.5);
  const meets = (limit: number): boolean => isHigherBetter ? value >= limit : value <= limit;
  const { target = null, maximum = null } = claims;
  const limit = maximum ?? target;
  return {
    ...facts, value, target, maximum,
    p50: value, p99: quantile(values, isHigherBetter ? 0.01 : 0.99), rounds: values.length,
    pass: limit === null ? null : meets(limit),
    peer: peer?.peer ?? null, peerValue,
    ratio: peerValue === null ? null : isHigherBetter ? value / peerValue : peerValue / value,
    machine: machineName(),
  };
}

export function machineName(): string {
  const cores = cpus();
  return `${cores.length} x ${cores[0]?.model.trim() ?? "unknown CPU"}, `
    + `${Math.round(totalmem() / 2 ** 30)} GiB, node ${process.version}`;
}

/** Seconds of each round, after rounds that do not count. */
export async function timeRounds(rounds: number, warmups: number, work: () => unknown): Promise<number[]> {
  const seconds: number[] = [];
  for (let round = -warmups; round < rounds; round++) {
    const start = performance.now();
    await work();
    if (round >= 0) seconds.push((performance.now() - start) / 1000);
  }
  return seconds;
}
