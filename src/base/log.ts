/**
 * Structured log lines (pino) on stderr, secrets redacted. Results never go through here: they are
 * stdout's.
 */
import { pino, type Logger } from "pino";

export type Log = Logger;
export const LOG_LEVELS = ["silent", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Names whose values are never written, at any depth we log at. */
const SECRET_NAMES = ["apiKey", "secret", "secretKey", "keyId", "token", "password", "authorization",
  "Authorization"];

/**
 * Synchronous on purpose: a line is in the file before the next statement runs, whatever happens to the
 * process.
 */
export function openLog(level: LogLevel, write?: (line: string) => void): Log {
  const destination = write === undefined ? pino.destination({ dest: 2, sync: true }) : { write };
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
      censor: "[redacted]",
    },
  }, destination);
}
