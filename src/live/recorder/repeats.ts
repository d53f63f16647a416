/**
 * Bars and features that are said again: a sender that comes back says its history from the start, and to a
 * recorder that comes back everything is said as it was. A journal holds such a message once.
 */
import { BAR_FLAGS, type Spoken } from "../message.ts";

/**
 * True for a message that the one who asks has passed on before. Remembers one time per kind and
 * instrument.
 */
export function repeatFilter(): (message: Spoken) => boolean {
  const newest = new Map<string, number>();
  return (message) => {
    if (message.kind !== "market" && message.kind !== "features") return false;
    if (message.instrument.length === 0) return false;
    // Messages of one shard come in order; their first instrument names them.
    const key = `${message.kind} ${message.instrument[0]}`, last = newest.get(key) ?? -Infinity;
    if (message.at > last) { newest.set(key, message.at); return false; }
    // Revisions and late bars are news about the past.
    return message.flags.every((flag) => flag === BAR_FLAGS.fresh || flag === BAR_FLAGS.history);
  };
}
