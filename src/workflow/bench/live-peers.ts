/**
 * The hop from the data publisher to the features process beside other ways to carry the same bytes at the
 * same times: pyzmq and a Unix socket in Python, a Unix socket by node:net. They carry a time and the
 * numbers; ours also carries kind, sequence and versions, and is checked.
 */
import * as fs from "node:fs";
import * as net from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { BAR_FIELDS } from "../../live/message.ts";
import { monotonicNs } from "../../wire/codec.ts";
import type { Bench } from "../bench.ts";
import { LOADS, type LoadName } from "./live-hops.ts";
import { Beside, sleepUntil, type Told } from "./live-process.ts";
import type { PeerSpread } from "./live-rows.ts";
import { askPeer, figureOf } from "./peer.ts";

export interface HopLoad { readonly load: LoadName; readonly instruments: number; readonly seconds: number }

/** Those that could run; the others are noted. */
export async function hopPeers(bench: Bench, asked: HopLoad): Promise<PeerSpread[]> {
  if (!bench.hasPeers) return [];
  const { everyMs, atOnce } = LOADS[asked.load], numbers = asked.instruments * BAR_FIELDS.length;
  const python = ["zmq", "unix"].map((kind) => figureOf(bench, askPeer("live_wire.py",
    [JSON.stringify({ kind, everyMs, atOnce, numbers, seconds: asked.seconds })])) as PeerSpread | null);
  return [...python.filter((one) => one !== null), await plainSocket(asked)];
}

async function plainSocket({ load, instruments, seconds }: HopLoad): Promise<PeerSpread> {
  const folder = fs.mkdtempSync(path.join(tmpdir(), "dmn-plain-")), place = path.join(folder, "socket");
  using hearer = new Beside();
  try {
    await hearer.ask({ ask: "listen", place });
    const socket = net.connect(place);
    await new Promise((resolve) => { socket.once("connect", resolve); });
    const count = instruments * BAR_FIELDS.length + 1, values = new Float64Array(count).fill(100);
    const drive = async (name: LoadName, forSeconds: number): Promise<void> => {
      const { everyMs, atOnce } = LOADS[name], start = monotonicNs(),
        steps = Math.round(forSeconds * 1e3 / everyMs);
      for (let k = 0; k < steps; k++) {
        const intended = start + k * everyMs * 1e6;
        sleepUntil(intended);
        for (let i = 0; i < atOnce; i++) {
          const frame = Buffer.allocUnsafe(4 + values.byteLength);
          values[0] = intended;
          frame.writeUInt32LE(values.byteLength);
          frame.set(new Uint8Array(values.buffer), 4);
          socket.write(frame);
        }
        await new Promise((resolve) => { setImmediate(resolve); });
      }
    };
    await drive("900/s", 1);
    await hearer.ask({ ask: "forget" });
    await drive(load, seconds);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
    const { latency: { p50, p99, p999 } } = await hearer.ask<Told>({ ask: "tell" });
    socket.destroy();
    return { peer: `Unix socket, node:net ${process.version}`, values: [p50], p99, p999 };
  } finally { fs.rmSync(folder, { recursive: true, force: true }); }
}
