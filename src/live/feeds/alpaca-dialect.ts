/**
 * Alpaca's market-data stream (v2), as msgpack.
 *
 *   [{T:"success",msg:"connected"}]     -> {action:"auth",key,secret}
 *   [{T:"success",msg:"authenticated"}] -> {action:"subscribe",bars:[...],updatedBars:[...],statuses:[...]}
 *   [{T:"subscription",bars:[...],...}] the whole list, each time
 *   [{T:"b",S,o,h,l,c,v,t,n,vw}, ...]   bars; "u": changed by late trades; "s": a halt or its end; "q"
 *
 * A stamp is the bar's start. Errors: 402 wrong key, 404 too late, 405 too many symbols, 406 another
 * connection is open, 407 too slow, 409 not in the plan.
 */
import { decode, encode } from "@msgpack/msgpack";
import type { AlpacaKeys } from "../../market/sources/keys.ts";
import type { Frame } from "./frame.ts";
import type { Dialect, Meaning } from "./connection.ts";

type Message = Readonly<Record<string, unknown>>;
/** As BAR_FIELDS, and as QuoteFact.quotes. */
const BAR = ["o", "h", "l", "c", "v", "vw", "n"], QUOTE = ["bp", "bs", "ap", "as"];
/** Codes of Alpaca's halts and of what ends them. */
const HALTED = new Set(["2", "H", "P"]), RESUMED = new Set(["3", "T", "5", "Q"]);

export function alpacaDialect(symbols: readonly string[], keys: AlpacaKeys,
  { hasQuotes = false, hasTrades = false }: { hasQuotes?: boolean; hasTrades?: boolean } = {}): Dialect {
  const wanted = [...(hasTrades ? ["trades"] : ["bars", "updatedBars"]), "statuses",
    ...(hasQuotes ? ["quotes"] : [])];
  return {
    vendor: "alpaca", headers: { "Content-Type": "application/msgpack" },
    channels: wanted.flatMap((channel) => symbols.map((symbol) => `${channel}:${symbol}`)),
    auth: () => encode({ action: "auth", key: keys.keyId, secret: keys.secretKey }),
    subscribe: () => encode({ action: "subscribe",
      ...Object.fromEntries(wanted.map((channel) => [channel, symbols])) }),
    parse(frame) {
      const messages = decode(frame);
      if (!Array.isArray(messages)) throw new Error("it is no list");
      return messages;
    },
    read: (message, into) =>
      typeof message === "object" && message !== null ? read(message as Message, into) : null,
  };
}

function read(message: Message, into: Frame): Meaning | null {
  switch (message["T"]) {
    case "b": case "u":
      into.bar(message["T"] === "u", message["S"], timeOf(message["t"]), numbers(message, BAR));
      return null;
    case "t":
      into.trade(message["S"], timeOf(message["t"]), ...numbers(message, ["p", "s"]) as [number, number]);
      return null;
    case "q":
      into.quote(message["S"], timeOf(message["t"]), numbers(message, QUOTE));
      return null;
    case "s": {
      const code = String(message["sc"]);
      if (HALTED.has(code)) into.notice("halt", message["S"], timeOf(message["t"]));
      else if (RESUMED.has(code)) into.notice("resume", message["S"], timeOf(message["t"]));
      return null;
    }
    case "success":
      return ["connected", "authenticated"].includes(String(message["msg"]))
        ? { is: message["msg"] as "connected" | "authenticated" } : null;
    case "subscription": {
      const channels = Object.entries(message).flatMap(([channel, symbols]) =>
        Array.isArray(symbols) ? symbols.map((symbol) => `${channel}:${String(symbol)}`) : []);
      return { is: "subscribed", channels, isAll: true };
    }
    case "error": return errorOf(Number(message["code"]), String(message["msg"]));
    default: return null;
  }
}

function errorOf(code: number, said: string): Meaning {
  const reason = `alpaca says ${code} "${said.slice(0, 200)}"`;
  switch (code) {
    case 402: return { is: "refused",
      reason: `${reason}: set APCA_API_KEY_ID and APCA_API_SECRET_KEY to a pair of this account` };
    case 405: case 409: return { is: "refused",
      reason: `${reason}: the plan does not include this feed or so many symbols` };
    case 406: return { is: "limited",
      reason: `${reason}: another program holds this account's only connection; stop it` };
    default: return { is: "failed", reason };
  }
}

/** Msgpack stamps come as dates; text is RFC 3339. */
const timeOf = (stamp: unknown): number =>
  stamp instanceof Date ? stamp.getTime() : typeof stamp === "string" ? Date.parse(stamp) : NaN;
const numbers = (message: Message, names: readonly string[]): number[] => names.map((name) => {
  const value = message[name];
  return typeof value === "number" ? value : typeof value === "bigint" ? Number(value) : NaN;
});
