/**
 * Massive's stream (formerly Polygon.io), as JSON.
 *
 *   [{ev:"status",status:"connected"}]            -> {action:"auth",params:KEY}
 *   [{ev:"status",status:"auth_success"}]         -> {action:"subscribe",params:"AM.AAPL,AM.MSFT"}
 *   [{ev:"status",status:"success",message:"subscribed to: AM.AAPL"}]          one each
 *   [{ev:"AM",sym,o,h,l,c,v,vw,s,e}, ...]         minutes ("A": seconds); s and e: start and end, ms
 *   [{ev:"Q",sym,bp,bs,ap,as,t}, ...]             quotes
 *
 * A minute that comes again is a correction: the actor sees it by its close. The stream has no trade counts.
 */
import type { Timeframe } from "../../market/bars.ts";
import type { MassiveKeys } from "../../market/sources/keys.ts";
import { redact } from "../../market/sources/keys.ts";
import type { Frame } from "./frame.ts";
import type { Dialect, Meaning } from "./connection.ts";

type Message = Readonly<Record<string, unknown>>;

export function massiveDialect(symbols: readonly string[], keys: MassiveKeys, timeframe: Timeframe,
  { hasQuotes = false, hasTrades = false }: { hasQuotes?: boolean; hasTrades?: boolean } = {}): Dialect {
  const channels = [hasTrades ? "T" : timeframe === "1s" ? "A" : "AM", ...(hasQuotes ? ["Q"] : [])]
    .flatMap((channel) => symbols.map((symbol) => `${channel}.${symbol}`));
  return {
    vendor: "massive", headers: {}, channels,
    auth: () => JSON.stringify({ action: "auth", params: keys.apiKey }),
    subscribe: () => JSON.stringify({ action: "subscribe", params: channels.join(",") }),
    parse(frame) {
      const messages: unknown = JSON.parse(frame.toString("utf8"));
      if (!Array.isArray(messages)) throw new Error("it is no list");
      return messages;
    },
    read: (message, into) =>
      typeof message === "object" && message !== null ? read(message as Message, into, keys.apiKey) : null,
  };
}

function read(message: Message, into: Frame, key: string): Meaning | null {
  switch (message["ev"]) {
    case "AM": case "A":
      into.bar(false, message["sym"], number(message["s"]), [number(message["o"]), number(message["h"]),
        number(message["l"]), number(message["c"]), number(message["v"]), number(message["vw"]), NaN]);
      return null;
    case "T":
      into.trade(message["sym"], number(message["t"]), number(message["p"]), number(message["s"]));
      return null;
    case "Q":
      into.quote(message["sym"], number(message["t"]),
        [number(message["bp"]), number(message["bs"]), number(message["ap"]), number(message["as"])]);
      return null;
    case "status": return statusOf(String(message["status"]), redact(String(message["message"]), [key]));
    default: return null;
  }
}

function statusOf(status: string, said: string): Meaning | null {
  const reason = `massive says ${status} "${said.slice(0, 200)}"`;
  switch (status) {
    case "connected": return { is: "connected" };
    case "auth_success": return { is: "authenticated" };
    case "success": {
      const found = /^subscribed to: (.+)$/.exec(said);
      return found === null ? null
        : { is: "subscribed", isAll: false, channels: found[1].split(",").map((one) => one.trim()) };
    }
    case "auth_failed": return { is: "refused",
      reason: `${reason}: set MASSIVE_API_KEY to a key of this account` };
    case "not_authorized": return { is: "refused",
      reason: `${reason}: the plan does not include this stream` };
    case "max_connections":
      return { is: "limited",
        reason: `${reason}: another program holds this account's only connection; stop it` };
    case "auth_timeout": case "force_disconnect": case "error": return { is: "failed", reason };
    default: return null;
  }
}

const number = (value: unknown): number => typeof value === "number" ? value : NaN;
