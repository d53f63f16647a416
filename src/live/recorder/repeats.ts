/**
 * What is said again: a sender that comes back says its history from the start, and to a recorder that
 * comes back everything that is retained is said as it was. A journal holds such a message once.
 */
import { BAR_FLAGS, type Spoken } from "../message.ts";

/**
 * True for a message that the one who asks has passed on before. Remembers one time per sender and
 * instrument.
 */
export function repeatFilter(): (message: Spoken) => boolean {
  const newest = new Map<string, number>();
  return (message) => {
    const key = streamOf(message);
    if (key === null) return false;
    if (message.at > (newest.get(key) ?? -Infinity)) {
      newest.set(key, message.at);
      return false;
    }
    // Revisions and late bars are news about the past.
    return !("flags" in message)
      || message.flags.every((flag) => flag === BAR_FLAGS.fresh || flag === BAR_FLAGS.history);
  };
}

/** What comes in order of `at`; null for other kinds. The first instrument names the shard. */
function streamOf(message: Spoken): string | null {
  switch (message.kind) {
    case "market": case "features": case "decision": return `${message.kind} ${message.instrument[0] ?? ""}`;
    case "prediction": return `${message.kind} ${message.model} ${message.instrument[0] ?? ""}`;
    default: return null;
  }
}
