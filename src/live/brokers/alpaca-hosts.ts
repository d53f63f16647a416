/**
 * Which host is paper and which is money. A venue is one row: its exact host, never a part of one, never an
 * address from a setting. Real money needs three separate acts of a person.
 */
import { UserError } from "../../base/error.ts";

export interface AlpacaHost {
  /** Base address of the REST calls; the only host that keys are ever sent to. */
  readonly trading: URL;
  readonly stream: URL;
  readonly isPaper: boolean;
}

const HOSTS = {
  "alpaca-paper": { host: "paper-api.alpaca.markets", isPaper: true },
  "alpaca-live": { host: "api.alpaca.markets", isPaper: false },
} as const;

const LOOPBACK = new Set(["127.0.0.1", "[::1]", "localhost"]);

/** What a person types to trade real money. */
export const LIVE_CONFIRMATION = "trade real money";

export interface LiveConsent {
  /** `--live` was given. */
  readonly isFlagged: boolean;
  /** The setting `live.realMoney` is true. */
  readonly isConfigured: boolean;
  /** What was typed when asked. */
  readonly typed: string;
}

/** Throws UserError unless all three were done. */
export function checkConsent(consent: LiveConsent | null): void {
  if (consent?.isFlagged !== true) {
    throw new UserError("trading real money needs the flag --live",
      "leave it out for paper: dmn live --paper");
  }
  if (!consent.isConfigured) {
    throw new UserError("trading real money is not allowed by the settings",
      "set \"live\": { \"realMoney\": true } in dmn.config.json, or use --paper");
  }
  if (consent.typed !== LIVE_CONFIRMATION) {
    throw new UserError("trading real money was not confirmed", `type exactly: ${LIVE_CONFIRMATION}`);
  }
}

/**
 * The hosts of a venue. A simulator must be on loopback, and its address is the only one that is taken from
 * outside. Throws UserError for any other, and for real money without consent.
 */
export function hostOf(venue: "simulator" | "alpaca-paper" | "alpaca-live", simulatorUrl: string | null,
  consent: LiveConsent | null = null): AlpacaHost {
  if (venue !== "simulator") {
    const { host, isPaper } = HOSTS[venue];
    if (!isPaper) checkConsent(consent);
    return { trading: new URL(`https://${host}`), stream: new URL(`wss://${host}/stream`), isPaper };
  }
  const trading = URL.parse(simulatorUrl ?? "");
  if (trading === null || trading.protocol !== "http:" || !LOOPBACK.has(trading.hostname)) {
    throw new UserError(`a simulator is on this machine only, not at "${simulatorUrl ?? ""}"`,
      "start it with: dmn live --paper");
  }
  const stream = new URL("/stream", trading);
  stream.protocol = "ws:";
  return { trading, stream, isPaper: true };
}
