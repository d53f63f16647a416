/**
 * The wire by itself: how large messages are, how many cross between two processes, what encryption costs,
 * and how long a command waits while facts flood the process that must obey it.
 *
 *     flooder ── market, as fast as it can ──> hearer <── cancel, each 5 ms ── bench
 */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { toContent } from "../../live/frames.ts";
import type { Spoken } from "../../live/message.ts";
import { decode, encode, monotonicNs, type Stamp } from "../../wire/codec.ts";
import { Histogram } from "../../wire/meter.ts";
import { makeKeys, type Security } from "../../wire/security.ts";
import { openRequester } from "../../wire/socket.ts";
import { marketSteps } from "./live-market.ts";
import { Beside, spreadOf, until, type Flooded, type Told } from "./live-process.ts";
import { latencyRow, SUITE, throughputNote } from "./live-rows.ts";
import { benchRow, timeRounds, type BenchRow } from "./row.ts";

const WHY_ZSTD = "prices stay float64, whose low bytes say nothing twice. zstd and not LZ4: Node has it "
  + "built in; LZ4 would be one more native package and compress less";
const INSTRUMENTS = 30, COLUMNS = 60;
const CANCEL_EVERY_MS = 5;
/** live.md: a cancel is timed in a burst of so many facts a second. */
const FLOOD_PER_SECOND = 100_000;

export interface WireSizes { readonly seconds: number; readonly rounds: number }

export async function wireRows(sizes: WireSizes): Promise<BenchRow[]> {
  return [...await serialisationRows(sizes), ...await crossingRows(sizes), ...await cancelRows(sizes)];
}

const STAMP: Stamp = { sender: "bench", epoch: 1, seq: 1, sent: 1, origin: 1, reply: 0, expires: 0 };

/** Bytes, the ratio of zstd, and what encoding and decoding cost. */
async function serialisationRows({ rounds }: WireSizes): Promise<BenchRow[]> {
  const out: BenchRow[] = [];
  for (const { name, message, isMarket = false } of messages()) {
    const content = toContent(message), frame = encode(content, STAMP), packed = encode(content, STAMP, true);
    const time = async (work: () => unknown): Promise<number[]> => (await timeRounds(rounds, 2, () => {
      for (let k = 0; k < 1_000; k++) work();
    })).map((seconds) => seconds * 1e3);
    const both = await time(() => { encode(content, STAMP); decode(frame); });
    const packing = await time(() => { encode(content, STAMP, true); decode(packed); });
    out.push(benchRow({ suite: SUITE, name: `size: ${name}`, unit: "bytes", better: "lower",
      values: [frame.length], note: `zstd ${packed.length} bytes` },
    isMarket ? { target: 8 * 1024, maximum: 50 * 1024 } : {}));
    if (packed.length < frame.length) out.push(benchRow({ suite: SUITE, name: `zstd: ${name}`, unit: "ratio",
      better: "higher", values: [frame.length / packed.length], note: WHY_ZSTD },
    isMarket ? { target: 3 } : {}));
    out.push(benchRow({ suite: SUITE, name: `encode and decode: ${name}`, unit: "us", better: "lower",
      values: both, note: `with zstd ${Math.min(...packing).toFixed(1)} us: off on one host` }));
  }
  return out;
}

function messages(): { name: string; message: Spoken; isMarket?: boolean }[] {
  const market = marketSteps(INSTRUMENTS, 1)[0], { at, instrument, flags, bars } = market;
  // Returns and ratios of prices: as many digits as features have.
  const rows = Float32Array.from({ length: INSTRUMENTS * COLUMNS },
    (_, k) => Math.log(bars[k % bars.length]) * (1 + k / 1e4));
  const some = (): Float32Array => rows.slice(0, INSTRUMENTS);
  return [
    { name: `market, ${INSTRUMENTS} bars`, message: market, isMarket: true },
    { name: `market, ${4 * INSTRUMENTS} bars`, message: marketSteps(4 * INSTRUMENTS, 1)[0], isMarket: true },
    { name: `features, ${INSTRUMENTS} x ${COLUMNS}`,
      message: { kind: "features", at, instrument, rows, flags } },
    { name: `prediction, ${INSTRUMENTS}`,
      message: { kind: "prediction", at, model: "lstm-1", version: "0a1b2c3d", instrument,
      position: some(), volatility: some(), confidence: some() } },
    { name: `target, ${INSTRUMENTS}`,
      message: { kind: "target", at, instrument, weight: bars.slice(0, INSTRUMENTS),
      units: bars.slice(0, INSTRUMENTS), price: bars.slice(0, INSTRUMENTS), equity: 1e6, actions: [] } },
  ];
}

/** Two processes: one says as fast as it can, one hears and decodes; plain, and with CURVE. */
async function crossingRows({ seconds }: WireSizes): Promise<BenchRow[]> {
  const folder = fs.mkdtempSync(path.join(tmpdir(), "dmn-keys-"));
  const keys = { hearer: makeKeys(path.join(folder, "hearer")),
    flooder: makeKeys(path.join(folder, "flooder")) };
  fs.rmSync(folder, { recursive: true });
  const security = { flooder: { keys: keys.flooder, allowed: [keys.hearer.publicKey] },
    hearer: { keys: keys.hearer, serverKey: keys.flooder.publicKey } };
  const plain = await cross(INSTRUMENTS, seconds, null), curve = await cross(INSTRUMENTS, seconds, security);
  const wide = await cross(10 * INSTRUMENTS, seconds, null);
  const row = (name: string, { told, flooded, perSecond }: Crossed, rows: number, claim: number | null,
    more = ""): BenchRow =>
    benchRow({ suite: SUITE, name, unit: "points/s", better: "higher", values: [perSecond * rows],
      note: throughputNote(2e6,
        `bars of 7 numbers, ${rows} a message, ${Math.round(perSecond).toLocaleString("en-US")} messages/s, `
        + `heard, ${told.missed} beyond that dropped; CPU a message: `
        + `say ${(flooded.cpuMs * 1e3 / flooded.said).toFixed(1)} us, `
        + `hear ${(told.cpuMs * 1e3 / Math.max(1, told.heard)).toFixed(1)} us${more}`) },
          claim === null ? {} : { target: claim });
  return [
    row("market data points, 30 a message", plain, INSTRUMENTS, 200_000),
    row("market data points, 300 a message", wide, 10 * INSTRUMENTS, 200_000),
    row("market data points, 30 a message, CURVE", curve, INSTRUMENTS, 200_000,
      `; ${(plain.perSecond / curve.perSecond).toFixed(2)} times as long a message as without`),
  ];
}

interface Crossed { readonly told: Told; readonly flooded: Flooded; readonly perSecond: number }

async function cross(instruments: number, seconds: number,
  security: Readonly<Record<"flooder" | "hearer", Security>> | null): Promise<Crossed> {
  using flooder = new Beside();
  using hearer = new Beside();
  await meet(flooder, hearer, security);
  await flooder.ask({ ask: "flood", flood: { instruments, seconds: seconds / 4, perSecond: null } });
  await arrived(hearer);
  await hearer.ask({ ask: "forget" });
  const start = performance.now();
  const flooded = await flooder.ask<Flooded>({ ask: "flood",
    flood: { instruments, seconds, perSecond: null } });
  const told = await arrived(hearer),
    took = Math.max(flooded.seconds, (performance.now() - start) / 1e3 - told.quietMs / 1e3);
  return { told, flooded, perSecond: told.heard / took };
}

async function meet(flooder: Beside, hearer: Beside,
  security: Readonly<Record<"flooder" | "hearer", Security>> | null): Promise<void> {
  const address = await flooder.ask<string>({ ask: "bind", security: security?.flooder ?? null });
  await hearer.ask({ ask: "hear", address, security: security?.hearer ?? null });
  await flooder.ask({ ask: "ready" });
}

const POLL_MS = 50;
/** What is under way has arrived when nothing more came; how long ago the last came, at most. */
async function arrived(hearer: Beside): Promise<Told & { quietMs: number }> {
  for (let before = -1; ;) {
    const told = await hearer.ask<Told>({ ask: "tell" });
    if (told.heard === before) return { ...told, quietMs: POLL_MS };
    before = told.heard;
    await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
  }
}

/** A cancel while facts flood its process: from the time at which it should have been sent. */
async function cancelRows({ seconds }: WireSizes): Promise<BenchRow[]> {
  using flooder = new Beside();
  using hearer = new Beside();
  await meet(flooder, hearer, null);
  const address = await hearer.ask<string>({ ask: "obey" });
  const requester = await openRequester({ sender: "bench", address });
  const idle = await cancels(requester, seconds / 2);
  await hearer.ask({ ask: "forget" });
  const flooding = flooder.ask<Flooded>({ ask: "flood", flood: { instruments: 1, seconds: seconds + 0.5,
    perSecond: FLOOD_PER_SECOND } });
  const flooded = await cancels(requester, seconds);
  const { said, seconds: took } = await flooding;
  requester.close(0);
  const perSecond = Math.round(said / took).toLocaleString("en-US");
  return [
    latencyRow("cancel, nothing else", spreadOf(idle.latency), null,
      "from intended time to carried out, by DEALER/ROUTER"),
    latencyRow("cancel in a flood", spreadOf(flooded.latency), null,
      `${perSecond} facts/s of one bar said to the same process, of `
        + `${FLOOD_PER_SECOND.toLocaleString("en-US")} asked for`),
    { ...latencyRow("cancel in a flood: facts handled before it", spreadOf(flooded.before), null,
      "since the cancel was sent"), unit: "facts" },
  ];
}

async function cancels(requester: Awaited<ReturnType<typeof openRequester>>, seconds: number) {
  const latency = new Histogram(), before = new Histogram(), waiting: Promise<void>[] = [];
  const start = monotonicNs(), count = Math.round(seconds * 1e3 / CANCEL_EVERY_MS);
  for (let k = 0; k < count; k++) {
    const intended = start + k * CANCEL_EVERY_MS * 1e6;
    await until(intended);
    waiting.push(requester.ask({ code: 248, at: NaN, version: "", tensors: [], meta: undefined })
      .then((answer) => {
      if (answer.outcome !== "answered") return;
      const { now, before: facts } = answer.packet.meta as { now: number; before: number };
      latency.record((now - intended) / 1_000);
      before.record(facts);
    }));
  }
  await Promise.all(waiting);
  return { latency, before };
}
