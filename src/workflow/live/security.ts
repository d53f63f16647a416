/**
 * Keys of the graph's sockets: none on this machine; beyond it one pair for all, in
 * storage/live/wire-keys.json.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { places } from "../../base/data-root.ts";
import type { Session } from "../../live/session.ts";
import { isLocal, makeKeys, readKeys, type Security } from "../../wire/security.ts";

/** Null on loopback. Elsewhere whoever holds the pair may speak and hear, and nobody else. */
export function securityOf(root: string, { host }: Pick<Session, "host">): Security | null {
  if (isLocal(`tcp://${host}:1`)) return null;
  const place = path.join(places.live(root), "wire-keys.json");
  const keys = fs.existsSync(place) ? readKeys(place) : makeKeys(place);
  return { keys, serverKey: keys.publicKey, allowed: [keys.publicKey] };
}
