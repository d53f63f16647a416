/**
 * Who may ask the dashboard. It binds loopback, but every page in the user's browser can reach loopback
 * too, so:
 *
 *   Host     exactly ours               a foreign name that resolves to 127.0.0.1 is refused (DNS rebinding)
 *   Origin   ours or none               another site's script is refused (and told nothing: no CORS headers)
 *   token    in the address once, then in a cookie that scripts cannot read and other sites do not send
 *   POST     besides: our Origin, JSON, and the proof that only our page holds
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

export interface Guard {
  readonly port: number;
  readonly token: string;
}
/** Why not: a status and a sentence; null: welcome. */
export interface Refusal { readonly status: number; readonly text: string }

const NAMES = ["127.0.0.1", "localhost", "[::1]"];

/** Host, Origin and, for what changes something, the proof. The token is asked separately: `hasToken`. */
export function refusalOf(guard: Guard, { method, headers }: Pick<IncomingMessage, "method" | "headers">):
  Refusal | null {
  const host = headers.host ?? "";
  if (!NAMES.some((name) => host === `${name}:${guard.port}`)) {
    return { status: 421, text: "this dashboard answers to its own address only" };
  }
  const { origin } = headers, site = headers["sec-fetch-site"];
  if (origin !== undefined && origin !== `http://${host}`) {
    return { status: 403, text: "another site may not ask this dashboard" };
  }
  if (method === "GET" || method === "HEAD") {
    // A link from elsewhere may open the page (and is asked for the token), a script may not.
    return site === undefined || site === "same-origin" || site === "none"
      || headers["sec-fetch-mode"] === "navigate"
      ? null : { status: 403, text: "another site may not ask this dashboard" };
  }
  if (method !== "POST") return { status: 405, text: "only GET and POST are answered" };
  if (origin === undefined) return { status: 403, text: "an order without an Origin is not carried out" };
  if (!/^application\/json\b/.test(headers["content-type"] ?? "")) return { status: 415,
    text: "JSON is asked for" };
  if (!isSame(String(headers["x-dmn-proof"] ?? ""), proofOf(guard))) {
    return { status: 403, text: "the order does not come from this dashboard's page" };
  }
  return null;
}

/** What the page sends with an order: known to whoever could read the page, which other sites cannot. */
export const proofOf = ({ token }: Guard): string =>
  createHmac("sha256", token).update("dmn control").digest("base64url");

/** Cookies do not tell ports apart: the name does. */
const cookieName = ({ port }: Guard): string => `dmn-${port}`;

/** Header that keeps the token with the browser until it is closed. */
export const cookieOf = (guard: Guard): string =>
  `${cookieName(guard)}=${guard.token}; HttpOnly; SameSite=Strict; Path=/`;

/** The cookie, or for programs "Authorization: Bearer TOKEN". */
export function hasToken(guard: Guard, headers: IncomingMessage["headers"]): boolean {
  const bearer = /^Bearer (\S+)$/.exec(headers.authorization ?? "")?.[1];
  const cookies = (headers.cookie ?? "").split(";").map((text) => text.trim().split("="));
  const cookie = cookies.find(([name]) => name === cookieName(guard))?.[1];
  return [bearer, cookie].some((found) => found !== undefined && isSame(found, guard.token));
}

/** In a time that does not tell how much of it was right. */
export function isSame(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
