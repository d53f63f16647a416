/**
 * One subscription, made whole: what was lost on the way is asked for and delivered in its place, and who
 * comes (back) is told what was said before.
 *
 *   packets  1 2 3 _ 5 6      5 shows the hole: ask the speaker for 4, deliver 4, then 5; 6 waits
 *   joiner   [ 1 2 3 4 5 6 ]  what the speaker retained, page by page, flagged as history but for the newest
 *                             of market and features (its step may still wait for an answer); then what comes
 *
 * A hole that the speaker cannot fill any more is told as trouble "gap-lost", and hearing goes on behind it.
 */
import { setTimeout as delay } from "node:timers/promises";
import { decode, isDamage, type Content, type Packet } from "../wire/codec.ts";
import { missedOf, type Gap } from "../wire/sequence.ts";
import { openRequester, openSubscriber, type Requester, type Subscriber } from "../wire/socket.ts";
import { fromContent } from "./frames.ts";
import { BAR_FLAGS, type FeaturesFact, type MarketFact, type Spoken } from "./message.ts";
import type { Page } from "./retained.ts";

export interface Heard {
  readonly message: Spoken;
  readonly sender: string;
  readonly seq: number;
  readonly bytes: number;
  readonly plainBytes: number;
  /** Monotonic ns; 0 for what was asked for again. */
  readonly sentNs: number;
  readonly originNs: number;
}

export interface HearingOptions {
  /** Name of this process. */
  readonly sender: string;
  readonly address: string;
  readonly isInlet: boolean;
  readonly kinds: readonly string[];
  /** Where the speaker answers about what it said; null: what is lost is lost. */
  readonly questions: string | null;
  readonly joins: "history" | "as-said" | "last";
  readonly link: Omit<Parameters<typeof openRequester>[0], "sender" | "address">;
  /** A promise: nothing more is read before it settles. */
  readonly hear: (heard: Heard) => void | Promise<void>;
  readonly trouble: (code: string, text: string) => void;
}

/** A question about what was said. The code is no kind's. */
export const QUESTION_CODE = 250;
export type Question =
  | { readonly want: "range"; readonly topic: string; readonly first: number; readonly last: number }
  | { readonly want: "since"; readonly from: number; readonly kinds: readonly string[];
    readonly isAll: boolean };
export const questionOf = (question: Question): Content =>
  ({ code: QUESTION_CODE, at: NaN, version: "", tensors: [], meta: question });
export const answerOf = ({ bytes, ends, topics, next }: Page): Content =>
  ({ code: QUESTION_CODE, at: NaN, version: "", meta: { topics, next },
    tensors: [{ values: bytes, columns: 1 }, { values: ends, columns: 1 }] });

const ASK = { deadlineMs: 2_000, retryMs: 200 } as const;
type HistoryKind = MarketFact | FeaturesFact;
const asHistory = (message: HistoryKind): HistoryKind =>
  ({ ...message, flags: new Uint8Array(message.flags.length).fill(BAR_FLAGS.history) });

export class Hearing {
  readonly #options: HearingOptions;
  #subscriber: Subscriber | null = null;
  #requester: Requester | null = null;
  /** What is being asked for; whatever comes meanwhile waits for it. */
  #busy: Promise<void> | null = null;
  readonly #holes = new Map<string, Gap>();
  /** Per topic, what was delivered last and of which epoch. */
  readonly #upTo = new Map<string, { readonly epoch: number; readonly seq: number }>();
  #isClosed = false;

  private constructor(options: HearingOptions) { this.#options = options; }

  static async open(options: HearingOptions): Promise<Hearing> {
    const self = new Hearing(options), { sender, address, kinds, questions, link, isInlet } = options;
    if (questions !== null) {
      self.#requester = await openRequester({ ...link, sender, address: questions });
      void self.#queue(() => self.#join());
    }
    self.#subscriber = await openSubscriber({ ...link, sender, addresses: [address], isBound: isInlet,
      topics: kinds.map((kind) => `${kind}.`), hear: (packet, topic) => self.#hear(packet, topic),
      onGap: (gap) => { self.#noteGap(gap); } });
    return self;
  }

  close(): void {
    this.#isClosed = true;
    this.#subscriber?.close();
    this.#requester?.close();
  }

  #hear(packet: Packet, topic: string): void | Promise<void> {
    const hole = this.#holes.get(topic);
    if (this.#busy === null && hole === undefined) return this.#deliver(packet, topic);
    this.#holes.delete(topic);
    return this.#queue(async () => {
      if (hole !== undefined) await this.#fill(hole, packet.epoch);
      await this.#deliver(packet, topic);
    });
  }

  #queue(work: () => Promise<void>): Promise<void> {
    const next = (this.#busy ?? Promise.resolve()).then(work).finally(() => {
      if (this.#busy === next) this.#busy = null;
    });
    this.#busy = next;
    return next;
  }

  #noteGap(gap: Gap): void {
    const { trouble, questions, joins } = this.#options, { topic, kind } = gap;
    if (questions === null) {
      if (kind === "gap") trouble("gap", `${missedOf(gap)} of ${topic} from ${gap.sender} did not arrive`);
      return;
    }
    // Who is content with the last one need not hear what was said before it came.
    if (kind === "join" && joins === "last") return;
    this.#holes.set(topic, gap);
    // The loss of the last message is told by the speaker's presence: no packet follows.
    setImmediate(() => {
      if (this.#holes.get(topic) !== gap) return;
      this.#holes.delete(topic);
      void this.#queue(() => this.#fill(gap, null));
    });
  }

  async #fill({ topic, kind, first, last, sender }: Gap, epoch: number | null): Promise<void> {
    const known = this.#upTo.get(topic);
    const from = known !== undefined && known.epoch === epoch ? Math.max(first, known.seq + 1) : first;
    if (from > last) return;
    const answer = await this.#ask({ want: "range", topic, first: from, last });
    let found = 0;
    for (const [packet, ownTopic] of answer === null ? [] : packetsOf(answer)) {
      if (epoch !== null && packet.epoch !== epoch) continue;
      found++;
      await this.#deliver({ ...packet, sent: 0 }, ownTopic);
    }
    const lost = last - from + 1 - found;
    if (lost > 0 && kind === "gap") {
      this.#options.trouble("gap-lost", `${lost} of ${topic} from ${sender} are lost for good`);
    }
  }

  /** Until somebody answers: before that, nothing is said here either. */
  async #join(): Promise<void> {
    const { kinds, joins } = this.#options, isAll = joins !== "last";
    const held = new Map<string, [Packet, string]>();
    for (let from: number | null = 0; from !== null && !this.#isClosed;) {
      const answer: Packet | null = await this.#ask({ want: "since", from, kinds, isAll });
      // Where nobody listens yet, and where our own socket was closed, the answer is "late" at once.
      if (answer === null) { await delay(ASK.retryMs); continue; }
      for (const [packet, topic] of packetsOf(answer)) {
        const before = held.get(topic);
        if (before !== undefined) await this.#deliver(before[0], topic, joins === "history");
        held.set(topic, [packet, topic]);
      }
      from = (answer.meta as { next: number | null }).next;
    }
    for (const [packet, topic] of held.values()) await this.#deliver(packet, topic);
  }

  async #ask(question: Question): Promise<Packet | null> {
    const answer = await this.#requester!.ask(questionOf(question), ASK);
    return answer.outcome === "answered" ? answer.packet : null;
  }

  #deliver(packet: Packet, topic: string, isHistory = false): void | Promise<void> {
    const known = this.#upTo.get(topic);
    if (known !== undefined && known.epoch === packet.epoch && packet.seq <= known.seq) return;
    this.#upTo.set(topic, { epoch: packet.epoch, seq: packet.seq });
    const heard = fromContent(packet);
    if (isDamage(heard)) {
      this.#options.trouble("damaged", `${topic} from ${packet.sender}: ${heard.damage}`);
      return;
    }
    const hasFlags = heard.kind === "market" || heard.kind === "features";
    const message = isHistory && hasFlags ? asHistory(heard) : heard;
    return this.#options.hear({ message, sender: packet.sender, seq: packet.seq, bytes: packet.bytes,
      plainBytes: packet.plainBytes, sentNs: packet.sent, originNs: packet.origin });
  }
}

function* packetsOf({ tensors, meta }: Packet): Generator<[Packet, string]> {
  const [bytes, ends] = tensors, { topics } = meta as { topics: readonly string[] };
  let at = 0;
  for (const [k, end] of (ends.values as Int32Array).entries()) {
    const packet = decode((bytes.values as Uint8Array).subarray(at, end));
    at = end;
    if (!isDamage(packet)) yield [packet, topics[k]];
  }
}
