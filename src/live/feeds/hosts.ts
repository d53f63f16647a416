/**
 * Where vendors are, both generations of each. Addresses are settings: these are what is meant without one.
 * A key travels over TLS only, except to this machine (the simulator).
 */
import { UserError } from "../../base/error.ts";
import { PORTS, type Session } from "../session.ts";

/** Streams of stocks, real time. `{feed}`: alpaca's iex or sip. */
export const STREAM_HOSTS = {
  alpaca: ["wss://stream.data.alpaca.markets/v2/{feed}",
    "wss://stream.data.sandbox.alpaca.markets/v2/{feed}"],
  massive: ["wss://socket.massive.com/stocks", "wss://socket.polygon.io/stocks"],
} as const satisfies Record<Session["wire"], readonly string[]>;

/**
 * The stream's address: the session's simulator, or the vendor whose REST address is configured (an old
 * domain has the old stream's), or what was said.
 */
export function streamUrl(session: Session, rest: string, feed: "iex" | "sip", said?: string): string {
  const { wire } = session;
  if (said !== undefined) return checkStream(wire, said);
  if (session.feed === "simulator") {
    return simulatorUrl(session).replace(/^http/, "ws") + (wire === "alpaca" ? `/v2/${feed}` : "/stocks");
  }
  const isSecond = wire === "massive" ? rest.includes("polygon.io") : rest.includes("sandbox");
  return checkStream(wire, STREAM_HOSTS[wire][isSecond ? 1 : 0].replace("{feed}", feed));
}

/** Where the session's simulator listens. */
export const simulatorUrl = (session: Session): string =>
  session.simulatorUrl ?? `http://127.0.0.1:${session.ports["simulator"] ?? PORTS.simulator}`;

function checkStream(vendor: string, address: string): string {
  const url = URL.parse(address);
  const isLocal = url !== null && ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  if (url?.protocol === "wss:" || (url?.protocol === "ws:" && isLocal)) return address;
  throw new UserError(`the stream of ${vendor} is at ${address}: a key is only sent over wss`,
    "mend the address; see: dmn config");
}
