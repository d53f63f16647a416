/** Orders over loopback to the simulator in a process of its own, by the broker's own client. */
import { systemClock } from "../../base/clock.ts";
import { openAlpacaBroker } from "../../live/brokers/alpaca.ts";
import { hostOf } from "../../live/brokers/alpaca-hosts.ts";
import type { Broker } from "../../live/brokers/broker.ts";
import { LATENCY_TARGETS } from "../../live/actors/performance.ts";
import { SIMULATOR_KEYS } from "../../simulator/simulator.ts";
import { Histogram } from "../../wire/meter.ts";
import { monotonicNs } from "../../wire/codec.ts";
import type { Bench } from "../bench.ts";
import { Beside, spreadOf, until } from "./live-process.ts";
import { latencyRow, SUITE, throughputNote } from "./live-rows.ts";
import { benchRow, type BenchRow } from "./row.ts";

const EVERY_MS = 10, IN_FLIGHT = 32;
const SYMBOLS = ["AAA", "BBB", "CCC", "DDD"];

export interface OrderSizes { readonly paced: number; readonly orders: number; readonly rounds: number }

export async function orderRows(bench: Bench, { paced, orders, rounds }: OrderSizes): Promise<BenchRow[]> {
  using simulator = new Beside();
  const url = await simulator.ask<string>({ ask: "simulate", symbols: SYMBOLS });
  await using broker =
    await openAlpacaBroker({ clock: systemClock, log: bench.context.log, keys: SIMULATOR_KEYS.alpaca,
    host: hostOf("simulator", url) });
  let count = 0;
  const submit = (): Promise<void> => submitOne(broker, ++count);
  await inFlight(Math.ceil(orders / 4), submit);
  const latency = new Histogram(), start = monotonicNs(), waiting: Promise<void>[] = [];
  for (let k = 0; k < paced; k++) {
    const intended = start + k * EVERY_MS * 1e6;
    await until(intended);
    waiting.push(submit().then(() => { latency.record((monotonicNs() - intended) / 1_000); }));
  }
  await Promise.all(waiting);
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) values.push(orders / await inFlight(orders, submit));
  return [
    latencyRow("order to broker (loopback)", spreadOf(latency), LATENCY_TARGETS["order to broker"],
    `one each ${EVERY_MS} ms, from the intended time to the broker's answer, through the vendor's package`),
    benchRow({ suite: SUITE, name: `orders, ${IN_FLIGHT} in flight`, unit: "orders/s", better: "higher",
      values,
      note: throughputNote(5_000, `${orders} market orders a round against the simulator, answers read`) },
        { target: 500 }),
  ];
}

async function submitOne(broker: Broker, k: number): Promise<void> {
  const { outcome } =
    await broker.submit({ id: `bench-${k}`, symbol: SYMBOLS[k % SYMBOLS.length], quantity: k % 8 < 4 ? 1 : -1,
    type: "market", limitPrice: null, timeInForce: "day", isExtendedHours: false });
  if (outcome !== "accepted") throw new Error(`the simulator says ${outcome}`);
}

/** Seconds that `count` took, so many at a time. */
async function inFlight(count: number, submit: () => Promise<void>): Promise<number> {
  const start = performance.now();
  let left = count;
  await Promise.all(Array.from({ length: IN_FLIGHT }, async () => { while (left-- > 0) await submit(); }));
  return (performance.now() - start) / 1e3;
}
