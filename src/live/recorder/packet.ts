/** A message as the bytes that the journal keeps, and back. */
import { deserialize, serialize } from "node:v8";
import { isSpoken, type Spoken } from "../message.ts";

export const encodeSpoken = (message: Spoken): Uint8Array => serialize(message);

/** Null for bytes that are none of a message. */
export function decodeSpoken(bytes: Uint8Array): Spoken | null {
  const message: unknown = deserialize(bytes);
  return typeof message === "object" && message !== null && "kind" in message
    && isSpoken(message as { kind: string }) ? message as Spoken : null;
}
