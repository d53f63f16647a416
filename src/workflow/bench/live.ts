/**
 * `dmn bench live`: the founding latency and throughput tables, measured. Latencies count from the intended
 * time; p50 is held to the target, p99 to the maximum.
 *
 *   hops       the graph of the live processes, empty,
   with the real codec; beside it the same bytes over pyzmq
 *              and Unix sockets
 *   wire       sizes, throughput, CURVE, a cancel in a flood      (live-wire.ts)
 *   work       features, predictions, risk                       (live-work.ts)
 *   orders     to the simulator and back                         (live-orders.ts)
 *   session    the whole of it                                   (live-session.ts)
 */
import { LATENCY_TARGETS } from "../../live/actors/performance.ts";
import type { Bench } from "../bench.ts";
import { measureHops, type LoadName } from "./live-hops.ts";
import { orderRows } from "./live-orders.ts";
import { hopPeers } from "./live-peers.ts";
import { latencyRow, type LatencyClaim } from "./live-rows.ts";
import { sessionRows } from "./live-session.ts";
import { wireRows } from "./live-wire.ts";
import { workRows } from "./live-work.ts";
import type { BenchRow } from "./row.ts";

const INSTRUMENTS = 30, COLUMNS = 60;
const LOADS = ["100/s", "900/s", "burst"] as const satisfies LoadName[];

/** Part of the process cut "five", what its hop is called, and its claim. */
const HOPS: readonly (readonly [part: number, name: string, claim: LatencyClaim])[] = [
  [1, "data publisher -> features", LATENCY_TARGETS["market: feed -> features"]],
  [2, "features -> model worker", LATENCY_TARGETS["features: features -> model"]],
  [3, "model -> risk", LATENCY_TARGETS["prediction: model -> decision"]],
  [4, "risk -> execution", LATENCY_TARGETS["target: decision -> execution"]],
];

export async function run(bench: Bench): Promise<BenchRow[]> {
  const { context: { root, signal }, isQuick } = bench, rows: BenchRow[] = [];
  const add = async (part: Promise<BenchRow[]>): Promise<void> =>
    { rows.push(...await part); signal.throwIfAborted(); };
  await add(hopRows(bench, isQuick ? 1 : 5));
  await add(wireRows(isQuick ? { seconds: 0.5, rounds: 2 } : { seconds: 4, rounds: 7 }));
  await add(workRows(root, isQuick ? { rounds: 2, steps: 50, calculations: 20_000 }
    : { rounds: 7, steps: 500, calculations: 200_000 }));
  await add(orderRows(bench,
    isQuick ? { paced: 50, orders: 200, rounds: 2 } : { paced: 1_000, orders: 3_000, rounds: 5 }));
  await add(sessionRows(root, isQuick ? { seconds: 6, pace: 10 } : { seconds: 40, pace: 10 }));
  return rows;
}

/**
 * The first hop counts from the intended time and has the peers beside it; later ones from the hand-over to
 * the socket.
 */
export async function hopRows(bench: Bench, seconds: number,
  loads: readonly LoadName[] = LOADS): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  const measured = await measureHops({ cut: "five", transport: "tcp", loads, seconds,
    instruments: INSTRUMENTS, columns: COLUMNS });
  for (const { load, messages, parts } of measured) {
    const missed = parts.reduce((sum, part) => sum + part.missed, 0);
    const how = load === "burst" ? "50 at once" : load;
    const note = `${messages} messages of ${INSTRUMENTS} instruments, ${how}, ${missed} missed`;
    for (const [part, name, claim] of HOPS) {
      const { hop, end } = parts[part], spread = part === 1 ? end : hop;
      const peers = part === 1 ? await hopPeers(bench, { load, instruments: INSTRUMENTS, seconds }) : [];
      for (const peer of peers.length === 0 ? [null] : peers) {
        rows.push(latencyRow(`hop: ${name}, ${load}`, spread, claim, note, peer));
      }
    }
    rows.push(latencyRow(`hops: all four, ${load}`, parts[4].end, null,
      `${note}; from the intended time, with each process's own work`));
  }
  return rows;
}
