/**
 * The roles of sockets.
 *
 *   Publisher   facts to many. Each topic is numbered; a slow hearer loses some and sees the gap.
 *   Subscriber  hears topics of many publishers, in order, one at a time; tells gaps.
 *   Requester   questions and commands: asked again under the same id until the answer or the deadline.
 *   Responder   answers; carries out an id once, however often it is asked.
 *
 * "!"  presence. Every subscriber subscribes to it last, so a publisher knows how many are really there; each
 *      second a publisher says on it the last number of each topic, so the loss of a last message is seen.
 */
import * as zmq from "zeromq";
import { messageOf } from "../base/error.ts";
import {
  ACK, decode, encode, isCompressedFrame, isDamage, monotonicNs, type Content, type Packet, type Stamp,
} from "./codec.ts";
import { openLink, receive, type LinkOptions } from "./link.ts";
import { PROFILES } from "./profiles.ts";
import { missedOf, Sequences, type Gap } from "./sequence.ts";
export { closeWire, type LinkOptions, type Trouble } from "./link.ts";
export { openRequester, openResponder, type Answer, type Requester, type Responder } from "./question.ts";

const PRESENCE = "!", TAIL_MS = 1_000, COMPRESSED = "zstd";
const SEQ_MAX = 0xffffffff;

export interface Publisher {
  readonly address: string;
  /** Changes when the numbers of all topics begin anew. */
  readonly epoch: number;
  /**
   * Says it to whoever subscribed to a beginning of `topic`; answers its number in that topic, 0 when closed.
   * `origin`: monotonic ns, carried on from what caused it.
   */
  say(topic: string, content: Content, origin?: number): number;
  /** Resolves when so many subscribers are there, with their topics; rejects with the signal's reason. */
  ready(count: number, signal?: AbortSignal): Promise<void>;
  readonly subscribers: number;
  /** Messages said, bytes on the wire and before compression. */
  readonly said: number; readonly bytes: number; readonly plainBytes: number;
  close(lingerMs?: number): void;
}

export async function openPublisher(
  options: LinkOptions & { readonly address: string; readonly isBound?: boolean },
): Promise<Publisher> {
  const { address, isBound = true, sender, isCompressed = false, onTrouble = () => undefined } = options;
  const profile = { ...PROFILES.publisher, verbosity: "allSubsUnsubs" };
  const link = await openLink(zmq.XPublisher, profile, [address], isBound, options);
  const seqs = new Map<string, number>();
  const waiting = new Set<() => void>();
  const failed = (error: unknown): void => {
    if (!link.isClosed()) onTrouble({ code: "dropped", text: messageOf(error) });
  };
  const stampOf = (seq: number, origin: number): Stamp =>
    ({ sender, epoch: publisher.epoch, seq, sent: monotonicNs(), origin, reply: 0, expires: 0 });
  const publisher = {
    address: link.address, epoch: link.epoch, subscribers: 0, said: 0, bytes: 0, plainBytes: 0,
    say(topic: string, content: Content, origin = 0): number {
      if (link.isClosed()) return 0;
      if (seqs.get(topic) === SEQ_MAX) { seqs.clear(); publisher.epoch++; }
      const seq = (seqs.get(topic) ?? 0) + 1;
      seqs.set(topic, seq);
      const frame = encode(content, stampOf(seq, origin), isCompressed);
      publisher.said++;
      publisher.bytes += frame.length;
      publisher.plainBytes += frame.readUInt32LE(20);
      link.socket.send([isCompressedFrame(frame) ? topic + COMPRESSED : topic, frame]).catch(failed);
      return seq;
    },
    async ready(count: number, signal?: AbortSignal): Promise<void> {
      while (publisher.subscribers < count) {
        signal?.throwIfAborted();
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.add(resolve);
        signal?.addEventListener("abort", () => { resolve(); }, { once: true });
        await promise;
        waiting.delete(resolve);
      }
    },
    close: link.close,
  };
  const tail = setInterval(() => {
    const meta = Object.fromEntries(seqs);
    if (seqs.size > 0) link.socket.send([PRESENCE, encode({ ...ACK, meta }, stampOf(0, 0))]).catch(failed);
  }, TAIL_MS);
  tail.unref();
  link.whenClosed.add(() => { clearInterval(tail); });
  void receive(link, ([word]) => {
    if (word.length !== 2 || word.toString("latin1", 1) !== PRESENCE) return;
    publisher.subscribers += word[0] === 1 ? 1 : -1;
    for (const wake of waiting) wake();
  });
  return publisher;
}

export interface Subscriber {
  readonly address: string;
  /** Messages heard and missed so far. */
  readonly heard: number; readonly missed: number;
  close(): void;
}
export interface SubscriberOptions extends LinkOptions {
  readonly addresses: readonly string[];
  readonly isBound?: boolean;
  /** Beginnings of topics; "" is all. */
  readonly topics: readonly string[];
  /** The next message is read when this has returned, or its promise settled. */
  readonly hear: (packet: Packet, topic: string) => void | Promise<void>;
  /** Told before the message behind the gap is heard. */
  readonly onGap?: (gap: Gap) => void;
}

export async function openSubscriber(options: SubscriberOptions): Promise<Subscriber> {
  const { addresses, isBound = false, topics, hear } = options;
  const { onGap = () => undefined, onTrouble = () => undefined } = options;
  const link = await openLink(zmq.Subscriber, PROFILES.subscriber, addresses, isBound, options);
  const sequences = new Sequences();
  const subscriber = {
    address: link.address, heard: 0, missed: 0, close: () => { link.close(0); },
  };
  const tell = (gap: Gap): void => {
    subscriber.missed += missedOf(gap);
    onGap(gap);
  };
  const hearTail = ({ sender, epoch, meta }: Packet): void => {
    for (const [topic, seq] of Object.entries((meta ?? {}) as Record<string, number>)) {
      if (!topics.some((start) => topic.startsWith(start))) continue;
      const gap = sequences.tail(sender, topic, epoch, seq);
      if (gap !== null) tell(gap);
    }
  };
  for (const topic of topics) link.socket.subscribe(topic);
  link.socket.subscribe(PRESENCE);
  void receive(link, (parts) => {
    const packet = parts.length === 2 ? decode(parts[1]) : { damage: `${parts.length} frames instead of 2` };
    if (isDamage(packet)) { onTrouble({ code: "damage", text: packet.damage }); return undefined; }
    let topic = parts[0].toString("latin1");
    if (topic === PRESENCE) { hearTail(packet); return undefined; }
    if (packet.bytes !== packet.plainBytes) topic = topic.slice(0, -COMPRESSED.length);
    const gap = sequences.hear(packet.sender, topic, packet.epoch, packet.seq);
    if (gap !== null) {
      if (gap.kind === "duplicate") return undefined;
      tell(gap);
    }
    subscriber.heard++;
    return hear(packet, topic);
  });
  return subscriber;
}
