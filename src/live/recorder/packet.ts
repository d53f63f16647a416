/** A message as the bytes that the journal keeps, and back: the wire's own frame, without a sender. */
import { decode, encode, isDamage, type Stamp } from "../../wire/codec.ts";
import { fromContent, toContent } from "../frames.ts";
import type { Spoken } from "../message.ts";

const NOBODY: Stamp = { sender: "recorder", epoch: 0, seq: 0, sent: 0, origin: 0, reply: 0, expires: 0 };

export const encodeSpoken = (message: Spoken): Uint8Array => encode(toContent(message), NOBODY);

/** Null for bytes that are none of a message. */
export function decodeSpoken(bytes: Uint8Array): Spoken | null {
  // A copy of its own is aligned, and its arrays do not hold the whole file in memory.
  const packet = decode(new Uint8Array(bytes));
  if (isDamage(packet)) return null;
  const message = fromContent(packet);
  return isDamage(message) ? null : message;
}
