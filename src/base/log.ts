/**
 * Structured log lines (pino) on stderr, one JSON object each, secrets redacted. Results never go
 * through here: they are stdout's. DMN_LOG or the setting `log` says how much is told:
 *
 *   warn    what was mended without asking          (the default)
 *   info    each request, retry and commit; when a verb started and ended
 *   debug   each instrument
 */
import { pino, type Logger } from "pino";

export type Log = Logger;
export const LOG_LEVELS = ["silent", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Names whose values are never written, at any depth we log at. */
const SECRET_NAMES = ["apiKey", "secret", "secretKey", "keyId", "token", "password",
  "authorization", "Authorization"];

/** Synchronous: a line is in the file before the next statement runs, whatever happens then. */
export function openLog(level: LogLevel, write?: (line: string) => void): Log {
  const destination = write === undefined ? standardError() : { write };
  return pino({
    level,
    base: null,
    formatters: { level: (name) => ({ level: name }) },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
      censor: "[redacted]",
    },
  }, destination);
}

function standardError(): ReturnType<typeof pino.destination> {
  const destination = pino.destination({ dest: 2, sync: true });
  // Whoever reads stderr may leave (`2>&1 | head -1`); that must not end the work.
  destination.on("error", () => {});
  return destination;
}
