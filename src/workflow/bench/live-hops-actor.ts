/** One process of the empty graph of live-hops.ts: hears, decodes, says the next kind, and measures. */
import { Histogram } from "../../wire/meter.ts";
import { openPublisher, openRequester, openResponder, openSubscriber, type Publisher, type Requester,
} from "../../wire/socket.ts";
import { fromContent, toContent, topicOf } from "../../live/frames.ts";
import { BAR_FIELDS, type Spoken } from "../../live/message.ts";
import { ACK, isDamage, monotonicNs, type Packet } from "../../wire/codec.ts";
import { assert } from "../../base/assert.ts";
import { sleepUntil } from "./live-process.ts";
import { LOADS, type Figures, type LoadName, type Order, type Part, type Said } from "./live-hops.ts";

const { roles, transport, folder, instruments, columns } = JSON.parse(process.argv[2]) as Part;
const first = roles[0], last = roles.at(-1);
const hop = new Histogram(), work = new Histogram(), end = new Histogram();
let heard = 0, missed = 0;
const tell = (said: Said): void => { process.send?.(said); };

const instrument = Int32Array.from({ length: instruments }, (_, i) => i);
const reals = (count: number): Float32Array => new Float32Array(count).fill(0.5);
const NEXT: Readonly<Record<string, (at: number) => Spoken>> = {
  feed: (at) => ({ kind: "market", at, instrument,
    bars: new Float64Array(instruments * BAR_FIELDS.length).fill(100), flags: new Uint8Array(instruments) }),
  features: (at) => ({ kind: "features", at, instrument, rows: reals(instruments * columns),
    flags: new Uint8Array(instruments) }),
  model: (at) => ({ kind: "prediction", at, model: "lstm-1", version: "0a1b2c3d", instrument,
    position: reals(instruments), volatility: reals(instruments), confidence: reals(instruments) }),
  aggregator: (at) => ({ kind: "decision", at, instrument, position: reals(instruments),
    volatility: reals(instruments), confidence: reals(instruments), members: ["lstm-1"], hasQuorum: true }),
  risk: (at) => ({ kind: "decision", at, instrument, position: reals(instruments),
    volatility: reals(instruments), confidence: reals(instruments), members: ["lstm-1"], hasQuorum: true }),
  portfolio: (at) => ({ kind: "target", at, instrument, weight: new Float64Array(instruments),
    units: new Float64Array(instruments), price: new Float64Array(instruments), equity: 1e6, actions: [] }),
};
/** What the roles of this process make of one message, one after the other, without a socket between them. */
const through = (at: number): Spoken => {
  let message: Spoken | null = null;
  for (const role of roles) message = NEXT[role](at);
  return message!;
};

let publisher: Publisher | null = null, requester: Requester | null = null;
const pass = (message: Spoken, origin: number): void => {
  if (requester !== null) void requester.ask(toContent(message), { origin });
  else publisher!.say(topicOf(message), toContent(message), origin);
};

function hear(packet: Packet): void {
  const now = monotonicNs(), message = fromContent(packet);
  assert(!isDamage(message), "what we say can be read");
  heard++;
  hop.record((now - packet.sent) / 1_000);
  end.record((now - packet.origin) / 1_000);
  if (last !== "execution") pass(through(message.at), packet.origin);
  work.record((monotonicNs() - now) / 1_000);
}

const address = transport === "tcp" ? "tcp://127.0.0.1:0" : `ipc://${folder}/${first}`;

async function connect({ upstream, downstream }: Extract<Order, { what: "connect" }>): Promise<void> {
  if (last === "portfolio") requester = await openRequester({ sender: last, address: downstream! });
  if (upstream !== null && first !== "execution") {
    await openSubscriber({ sender: first, addresses: [upstream], topics: [""], hear,
      onGap: (gap) => { missed += gap.kind === "gap" ? gap.last - gap.first + 1 : 0; } });
  }
  await publisher?.ready(1);
  tell({ what: "connected" });
}

/** Sends at the intended times, never later for having been slow: `origin` is the intended time. */
async function drive(load: LoadName, seconds: number): Promise<void> {
  const { everyMs, atOnce } = LOADS[load];
  const start = monotonicNs() + 50e6, steps = Math.round(seconds * 1_000 / everyMs);
  for (let k = 0; k < steps; k++) {
    const intended = start + k * everyMs * 1e6;
    sleepUntil(intended);
    for (let i = 0; i < atOnce; i++) pass(through(k), intended);
    await new Promise((resolve) => { setImmediate(resolve); });
  }
  tell({ what: "driven", messages: steps * atOnce });
}

function figures(): Figures {
  const of = (histogram: Histogram): Figures["hop"] => ({
    count: histogram.count, mean: histogram.sum / histogram.count, max: histogram.max,
    p50: histogram.quantile(0.5), p99: histogram.quantile(0.99), p999: histogram.quantile(0.999),
  });
  const { user, system } = process.cpuUsage();
  return { role: roles.join("+"), heard, missed, hop: of(hop), work: of(work), end: of(end),
    cpuMs: (user + system) / 1_000 };
}

process.on("message", (order: Order) => {
  if (order.what === "connect") void connect(order);
  else if (order.what === "drive") void drive(order.load, order.seconds);
  else if (order.what === "forget") {
    for (const histogram of [hop, work, end]) histogram.clear();
    heard = 0; missed = 0;
    tell({ what: "forgotten" });
  } else if (order.what === "tell") tell({ what: "figures", figures: figures() });
  else process.exit(0);
});
process.on("disconnect", () => { process.exit(0); });

if (first === "execution") {
  const responder = await openResponder({ sender: "execution", address,
    answer: (packet) => { hear(packet); return ACK; } });
  tell({ what: "bound", address: responder.address });
} else {
  if (last !== "portfolio") publisher = await openPublisher({ sender: first, address });
  tell({ what: "bound", address: publisher?.address ?? null });
}
