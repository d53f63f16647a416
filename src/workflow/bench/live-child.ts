/**
 * The other processes of `dmn bench live`: who hears, who floods, the simulator, a plain socket. Started with
 * a role, asked by messages; each question is answered once.
 */
import * as net from "node:net";
import { unreachable } from "../../base/assert.ts";
import { FRICTIONLESS } from "../../simulator/exchange.ts";
import { startExchangeServer, type ExchangeServer } from "../../simulator/exchange-server.ts";
import { syntheticMarket } from "../../simulator/synthetic-market.ts";
import { fromContent, toContent, topicOf } from "../../live/frames.ts";
import { ACK, isDamage, monotonicNs } from "../../wire/codec.ts";
import { Histogram } from "../../wire/meter.ts";
import type { Security } from "../../wire/security.ts";
import { closeWire, openPublisher, openResponder, openSubscriber, type Publisher, type Subscriber }
  from "../../wire/socket.ts";
import { marketFact } from "./live-market.ts";
import { spreadOf, type Flood, type Flooded, type Question, type Told } from "./live-process.ts";

/** Messages of which the times of handling are remembered: more than any queue holds. */
const REMEMBERED = 1 << 17;
const CANCEL_CODE = 249;
/** Messages said before others have their turn. */
const TURN = 64;

const latency = new Histogram(), handledAt = new Float64Array(REMEMBERED);
let heard = 0, rows = 0, cpuFrom = process.cpuUsage();
let subscriber: Subscriber | null = null, publisher: Publisher | null = null,
  server: ExchangeServer | null = null;

async function hear(address: string, security: Security | null): Promise<void> {
  subscriber = await openSubscriber({ sender: "hearer", addresses: [address], topics: ["market."], security,
    hear: (packet) => {
      const message = fromContent(packet), now = monotonicNs();
      if (isDamage(message) || message.kind !== "market") throw new Error("not what was said");
      latency.record((now - packet.sent) / 1_000);
      handledAt[heard++ % REMEMBERED] = now;
      rows += message.instrument.length;
    } });
}

/** A command in the flood: when it was carried out, and how many facts went before it since it was sent. */
async function obey(): Promise<string> {
  const responder = await openResponder({ sender: "hearer", address: "tcp://127.0.0.1:0",
    answer: (packet) => {
    let before = 0;
    while (before < Math.min(heard, REMEMBERED)
      && handledAt[(heard - 1 - before) % REMEMBERED] > packet.sent) before++;
    return { ...ACK, code: CANCEL_CODE, meta: { now: monotonicNs(), before } };
  } });
  return responder.address;
}

/** `perSecond` null: as many as it can. */
async function flood({ instruments, seconds, perSecond }: Flood): Promise<Flooded> {
  const fact = marketFact(instruments, 0), topic = topicOf(fact), cpu = process.cpuUsage(),
    start = monotonicNs();
  let said = 0;
  for (let now = start; now - start < seconds * 1e9; now = monotonicNs()) {
    const due = perSecond === null ? said + TURN : (now - start) / 1e9 * perSecond;
    for (let k = 0; k < TURN && said < due; k++) {
      publisher!.say(topic, toContent({ ...fact, at: said }), monotonicNs());
      said++;
    }
    await new Promise((resolve) => { setImmediate(resolve); });
  }
  const { user, system } = process.cpuUsage(cpu);
  return { said, seconds: (monotonicNs() - start) / 1e9, cpuMs: (user + system) / 1_000 };
}

async function simulate(symbols: readonly string[]): Promise<string> {
  const from = Date.UTC(2024, 2, 6, 15),
    market = syntheticMarket({ symbols: [...symbols], timeframe: "1m", seed: 1,
    from: from - 7 * 86_400_000, to: from + 86_400_000 });
  server = await startExchangeServer({ market, from, pace: { kind: "stepped" }, terms: FRICTIONLESS,
    capital: 1e9,
    callsPerMinute: Infinity });
  return server.url;
}

/** Frames of a length and a body on a plain socket: the first number of the body is the intended time, ns. */
async function listen(place: string): Promise<void> {
  const plain = net.createServer((socket) => {
    let rest: Buffer = Buffer.alloc(0);
    socket.on("data", (piece: Buffer) => {
      rest = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
      let at = 0;
      while (rest.length - at >= 4) {
        const end = at + 4 + rest.readUInt32LE(at);
        if (end > rest.length) break;
        // A copy, so that numbers may lie at any byte of the stream.
        const body = new Float64Array(rest.buffer.slice(rest.byteOffset + at + 4, rest.byteOffset + end));
        latency.record((monotonicNs() - body[0]) / 1_000);
        heard++;
        at = end;
      }
      rest = rest.subarray(at);
    });
  });
  await new Promise<void>((resolve) => { plain.listen(place, resolve); });
}

function tell(): Told {
  const { user, system } = process.cpuUsage(cpuFrom);
  return { heard, rows, missed: subscriber?.missed ?? 0, latency: spreadOf(latency),
    cpuMs: (user + system) / 1_000,
    memoryBytes: process.memoryUsage.rss() };
}

function forget(): void {
  latency.clear();
  heard = 0; rows = 0;
  cpuFrom = process.cpuUsage();
}

async function answer(question: Question): Promise<unknown> {
  switch (question.ask) {
    case "hear": return hear(question.address, question.security);
    case "obey": return obey();
    case "bind":
      publisher = await openPublisher({ sender: "flooder", address: "tcp://127.0.0.1:0",
        security: question.security });
      return publisher.address;
    case "ready": return publisher!.ready(1);
    case "flood": return flood(question.flood);
    case "simulate": return simulate(question.symbols);
    case "listen": return listen(question.place);
    case "forget": return forget();
    case "tell": return tell();
    default: return unreachable(question);
  }
}

process.on("message", ({ id, question }: { id: number; question: Question }) => {
  answer(question).then((value) => { process.send?.({ id, value: value ?? null }); },
    (error: unknown) => { process.send?.({ id, problem: String(error) }); });
});
process.on("disconnect", () => { closeWire(); process.exit(0); });
