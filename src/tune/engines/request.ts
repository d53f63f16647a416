/**
 * One HTTP request of an engine's client, over TCP, TLS or a unix socket.
 *
 * Not `fetch`: it sends Sec-Fetch-Mode, and Ray takes whoever sends that for a browser and refuses every
 * POST, PUT and DELETE (405). An older Ray fails without a User-Agent, so one is always said.
 */
import * as http from "node:http";
import * as https from "node:https";
import { messageOf } from "../../base/error.ts";

export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** With its query, behind the address. */
  readonly path: string;
  readonly body?: string | Uint8Array;
  readonly timeoutMs?: number;
}
export interface Answer { readonly status: number; readonly text: string }
/** Rejects with NoAnswer, and with nothing else. */
export type Ask = (call: Call) => Promise<Answer>;

/** Nobody answered, or not in time: asking again may mend it. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
}

const TIMEOUT_MS = 20_000;
/** Ray sends a job's whole log as one text; what is longer is no answer. */
const ANSWER_BYTES_MAX = 64 << 20;

/** `address`: "http://host:port/prefix", "https://...", or "unix:/path/of.sock". */
export function asker(address: string, headers: Readonly<Record<string, string>>): Ask {
  const socketPath = address.startsWith("unix:") ? address.slice("unix:".length) : undefined;
  const base = new URL(socketPath === undefined ? address : "http://localhost");
  const prefix = base.pathname.replace(/\/+$/, "");
  const { request } = base.protocol === "https:" ? https : http;
  return (call) => new Promise((resolve, reject) => {
    const isText = typeof call.body === "string";
    const fail = (error: unknown): void => {
      reject(new NoAnswer(`${address} does not answer: ${messageOf(error)}`, { cause: error }));
    };
    const asking = request({
      ...(socketPath === undefined
        ? { hostname: base.hostname.replace(/^\[|\]$/g, ""), port: base.port } : { socketPath }),
      method: call.method, path: `${prefix}${call.path}`, agent: false,
      signal: AbortSignal.timeout(call.timeoutMs ?? TIMEOUT_MS),
      // Asked to close, slurmrestd 22.05 writes its own header behind the answer: we close ourselves.
      headers: { "User-Agent": "dmn", Accept: "application/json", Connection: "keep-alive", ...headers,
        ...(call.body === undefined ? {} : {
          "Content-Type": isText ? "application/json" : "application/octet-stream",
          "Content-Length": Buffer.byteLength(call.body) }) },
    }, (answer) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      answer.on("data", (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > ANSWER_BYTES_MAX) asking.destroy(new Error(`more than ${ANSWER_BYTES_MAX} bytes`));
        else pieces.push(piece);
      });
      answer.on("error", fail);
      answer.on("end", () => {
        resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(pieces).toString("utf8") });
        asking.destroy();
      });
    });
    asking.on("error", fail);
    asking.end(call.body);
  });
}

/** JSON, or undefined: a proxy's page in HTML is an answer too. */
export function parsed(text: string): unknown {
  try { return JSON.parse(text); } catch { return undefined; }
}

/** Words as one line of a POSIX shell. */
export const shellLine = (words: readonly string[]): string =>
  words.map((word) => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`).join(" ");

/** Text of a log or an answer without what must not be read in it; at most its last `charsMax`. */
export function withoutSecrets(text: string, secrets: readonly string[], charsMax = 2_000): string {
  const hidden = secrets.filter((secret) => secret.length >= 8)
    .reduce((rest, secret) => rest.replaceAll(secret, "[redacted]"), text);
  return hidden.length <= charsMax ? hidden : `...${hidden.slice(-charsMax)}`;
}
