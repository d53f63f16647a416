/**
 * `fetch` to one host over kept connections, by node:http. The keys can go nowhere else; it follows no
 * redirect and retries nothing.
 */
import * as http from "node:http";
import * as https from "node:https";

export interface PinnedFetch extends Disposable { readonly fetch: typeof fetch }

/** Longest answer that is read, bytes. */
const ANSWER_MAX = 32 << 20;
/** Connections kept at most, and how long idle: servers close theirs after five seconds or later. */
const CONNECTIONS_MAX = 32;
const IDLE_MS = 4_000;

/** `onLeft`: told when the last byte of a POST has been handed to the system. */
export function pinnedFetch(base: URL, onHeaders: (headers: http.IncomingHttpHeaders) => void,
  onLeft: () => void = () => {}): PinnedFetch {
  const library = base.protocol === "https:" ? https : http;
  const agent = new library.Agent(
    { keepAlive: true, maxSockets: CONNECTIONS_MAX, scheduling: "lifo", timeout: IDLE_MS });
  const ask = (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (url.host !== base.host || url.protocol !== base.protocol) {
      return Promise.reject(new Error(`host not allowed: ${url.host}`));
    }
    return new Promise((resolve, reject) => {
      const request = library.request(url, {
        agent, method: init.method ?? "GET", headers: init.headers as http.OutgoingHttpHeaders,
        signal: init.signal ?? undefined,
      }, (response) => {
        onHeaders(response.headers);
        const pieces: Buffer[] = [];
        let bytes = 0;
        response.on("data", (piece: Buffer) => {
          bytes += piece.length;
          if (bytes <= ANSWER_MAX) pieces.push(piece);
          else request.destroy(new Error("the answer is too long"));
        });
        response.on("error", reject);
        response.on("aborted", () => reject(new Error("the answer broke off")));
        response.on("end", () => resolve(answerOf(response, pieces)));
      });
      request.on("error", reject);
      if (init.method === "POST") request.on("finish", onLeft);
      request.end(init.body as string | undefined);
    });
  };
  return { fetch: ask, [Symbol.dispose]: () => agent.destroy() };
}

function answerOf(response: http.IncomingMessage, pieces: readonly Buffer[]): Response {
  const status = response.statusCode ?? 500, headers = new Headers();
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined) headers.set(name, String(value));
  }
  const isEmpty = status === 204 || status === 205 || status === 304;
  return new Response(isEmpty ? null : Buffer.concat(pieces), { status, headers });
}
