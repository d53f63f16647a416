/**
 * Questions and commands with a deadline. A requester numbers them and sends the same bytes again until the
 * answer or the deadline; a responder carries out each number once and gives the same answer again. So a
 * command that was acknowledged was taken exactly once, and one that was not may have been: ask about it, do
 * not invent.
 *
 *   ask 7 ──> (lost)
 *   ask 7 ──────────> answer(7) once ──> answer lost
 *   ask 7 ──────────> known: the same answer ──> resolved
 */
import * as zmq from "zeromq";
import { messageOf } from "../base/error.ts";
import { decode, encode, isDamage, monotonicNs, type Content, type Packet } from "./codec.ts";
import { openLink, receive, type LinkOptions } from "./link.ts";
import { PROFILES } from "./profiles.ts";
import { isLocal } from "./security.ts";

/** late: no answer before the deadline. full: too many questions are open, this one was not sent. */
export type Answer = { readonly outcome: "answered"; readonly packet: Packet }
  | { readonly outcome: "late" } | { readonly outcome: "full" };

export interface Requester {
  /** Never rejects. `retryMs`: when the same question is sent again. */
  ask(content: Content, options?: AskOptions): Promise<Answer>;
  /** Questions without an answer yet. */
  readonly open: number;
  close(lingerMs?: number): void;
}
interface AskOptions { readonly deadlineMs?: number; readonly retryMs?: number; readonly origin?: number }

/** The founding document's time-out, ms. */
const DEADLINE_MS = 5_000;
const RETRY_MS = 250;
/** Where nobody is connected the question did not leave: tried again soon, ms. */
const UNSENT_RETRY_MS = 20;
/** Questions that may be open at once. */
const OPEN_MAX = 64;

interface Asked { readonly settle: (answer: Answer) => void }

export async function openRequester(
  options: LinkOptions & { readonly address: string },
): Promise<Requester> {
  const { sender, address, isCompressed = false, onTrouble = () => undefined } = options;
  const link = await openLink(zmq.Dealer, PROFILES.requester, [address], false, options);
  const asked = new Map<number, Asked>();
  let seq = 0;
  link.whenClosed.add(() => { for (const { settle } of asked.values()) settle({ outcome: "late" }); });
  void receive(link, (parts) => {
    const packet = parts.length === 1 ? decode(parts[0]) : { damage: `${parts.length} frames instead of 1` };
    if (isDamage(packet)) { onTrouble({ code: "damage", text: packet.damage }); return; }
    // An answer that comes twice, or after the deadline, meets nobody.
    asked.get(packet.reply)?.settle({ outcome: "answered", packet });
  });
  return {
    get open() { return asked.size; },
    ask(content, { deadlineMs = DEADLINE_MS, retryMs = RETRY_MS, origin = 0 } = {}) {
      if (link.isClosed()) return Promise.resolve({ outcome: "late" });
      if (asked.size >= OPEN_MAX) return Promise.resolve({ outcome: "full" });
      const id = ++seq, sent = monotonicNs();
      // Clocks of two machines have nothing to do with each other.
      const expires = isLocal(address) ? sent + deadlineMs * 1e6 : 0;
      const frame = encode(content, { sender, epoch: link.epoch, seq: id, sent, origin, reply: 0, expires },
        isCompressed);
      const { promise, resolve } = Promise.withResolvers<Answer>();
      let retry: NodeJS.Timeout | undefined;
      const send = (): void => {
        if (!asked.has(id)) return;
        retry = setTimeout(send, retryMs);
        link.socket.send(frame).catch(() => {
          clearTimeout(retry);
          if (asked.has(id)) retry = setTimeout(send, UNSENT_RETRY_MS);
        });
      };
      const deadline = setTimeout(() => { settle({ outcome: "late" }); }, deadlineMs);
      const settle = (answer: Answer): void => {
        clearTimeout(retry);
        clearTimeout(deadline);
        asked.delete(id);
        resolve(answer);
      };
      asked.set(id, { settle });
      send();
      return promise;
    },
    close: link.close,
  };
}

export interface Responder {
  readonly address: string;
  /** Carried out; heard again and answered from memory; not carried out because their deadline had passed. */
  readonly answered: number; readonly repeated: number; readonly expired: number;
  close(lingerMs?: number): void;
}

/** Answers that are remembered: enough for 16 requesters, each with OPEN_MAX under way. */
const REMEMBERED = 1_024;
/** A larger answer, bytes, is to a question that may be answered anew; to a command it is short. */
const REMEMBERED_BYTES = 1 << 16;

export async function openResponder(options: LinkOptions & {
  readonly address: string;
  /** Its promise does not hold up other questions; what it throws is a bug and ends the process. */
  readonly answer: (question: Packet) => Content | Promise<Content>;
}): Promise<Responder> {
  const { sender, address, answer, isCompressed = false, onTrouble = () => undefined } = options;
  const link = await openLink(zmq.Router, PROFILES.responder, [address], true, options);
  const known = new Map<string, Buffer | null>();
  const responder = {
    address: link.address, answered: 0, repeated: 0, expired: 0,
    close: link.close,
  };
  const reply = (identity: Buffer, frame: Buffer): void => {
    if (link.isClosed()) return;
    link.socket.send([identity, frame]).catch((error: unknown) => {
      // Who asked has gone, or does not read: he asks again, or has given up.
      if (!link.isClosed()) onTrouble({ code: "dropped", text: `an answer: ${messageOf(error)}` });
    });
  };
  const carryOut = async (identity: Buffer, question: Packet, key: string): Promise<void> => {
    const { seq, origin } = question, answered = answer(question);
    const content = answered instanceof Promise ? await answered : answered;
    const stamp = { sender, epoch: link.epoch, seq, sent: monotonicNs(), origin, reply: seq, expires: 0 };
    const frame = encode(content, stamp, isCompressed);
    // Its own memory: a slice of Node's pool would keep 64 KiB of it for each answer of 88 bytes.
    if (frame.length <= REMEMBERED_BYTES) known.set(key, Buffer.from(Uint8Array.from(frame).buffer));
    else known.delete(key);
    reply(identity, frame);
  };
  void receive(link, ([identity, ...parts]) => {
    const packet = parts.length === 1 ? decode(parts[0]) : { damage: `${parts.length} frames instead of 1` };
    if (isDamage(packet)) { onTrouble({ code: "damage", text: packet.damage }); return; }
    const key = `${packet.sender} ${packet.epoch} ${packet.seq}`, before = known.get(key);
    if (before !== undefined) {
      responder.repeated++;
      // Null: it is being carried out, and its answer will come.
      if (before !== null) reply(identity, before);
      return;
    }
    if (packet.expires !== 0 && packet.expires < monotonicNs()) { responder.expired++; return; }
    responder.answered++;
    known.set(key, null);
    if (known.size > REMEMBERED) known.delete(known.keys().next().value as string);
    void carryOut(identity, packet, key);
  });
  return responder;
}
