/**
 * How Alpaca is asked and what it answers. An address here is the query of the question, so that it
 * can be kept and compared; the package turns it into its own parameters and the request.
 */
import type { Alpaca, marketData } from "@alpacahq/alpaca-trade-api";
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { dayOf, formatDay, MS_PER_DAY, MS_PER_HOUR } from "../../base/units.ts";
import type { Timeframe } from "../bars.ts";
import type { Row } from "./bar-series.ts";
import { redact, type AlpacaKeys } from "./keys.ts";
import { networkReason, Trouble } from "./patience.ts";
import { checkBase } from "./vendor-request.ts";
import type { ActionPage, BarPage, ListedAction, Span, Wire } from "./vendor.ts";

const DATA_HOST = "data.alpaca.markets";
const CALLS_PER_MINUTE = 200;
const PAGE_ROWS = 10_000;
const ACTION_ROWS = 1_000;
const ACTION_TYPES = "forward_split,reverse_split,stock_dividend,cash_dividend";

const SPANS: Readonly<Partial<Record<Timeframe, string>>> = {
  "1d": "1Day", "1h": "1Hour", "30m": "30Min", "15m": "15Min", "5m": "5Min", "1m": "1Min",
};

export class AlpacaWire implements Wire {
  readonly callsPerMinute = CALLS_PER_MINUTE;
  readonly rateHint = "stop other programs that use this account";
  readonly pageRows = PAGE_ROWS;
  readonly #client: Alpaca;
  readonly #feed: "iex" | "sip";
  readonly #secrets: readonly string[];

  private constructor(client: Alpaca, context: Context, keys: AlpacaKeys) {
    this.#client = client;
    this.#feed = context.config.alpaca.feed;
    this.#secrets = [keys.secretKey, keys.keyId];
  }

  /** Loads the package (only when it is needed) and points it at the configured address. */
  static async open(context: Context, keys: AlpacaKeys): Promise<AlpacaWire> {
    const base = checkBase("alpaca", context.config.alpaca.dataUrl);
    const library = await import("@alpacahq/alpaca-trade-api");
    const client = new library.Alpaca({
      keyId: keys.keyId, secret: keys.secretKey, retry: false, rateLimit: false, timeoutMs: 0,
      fetchApi: onlyHost(DATA_HOST, base),
    });
    return new AlpacaWire(client, context, keys);
  }

  barsAddress(span: Span): string {
    // A New York day lies within [its UTC midnight, the next day's 05:00 UTC); what is too much is
    // cut afterwards.
    const start = span.afterMs ?? span.from * MS_PER_DAY;
    const end = (span.to + 1) * MS_PER_DAY + 5 * MS_PER_HOUR - 1;
    return "bars?" + String(new URLSearchParams({
      symbol: span.symbol, timeframe: SPANS[span.timeframe] ?? "",
      // A kept page of one feed must not be taken for the other's.
      start: String(start), end: String(end), feed: this.#feed,
    }));
  }

  actionAddresses(span: Span): readonly string[] {
    return ["actions?" + String(new URLSearchParams({
      symbol: span.symbol, from: String(span.from), to: String(span.to),
    }))];
  }

  async askBars(address: string, span: Span, signal: AbortSignal): Promise<BarPage> {
    const query = new URLSearchParams(address.slice(address.indexOf("?")));
    const at = (name: string): Date => new Date(Number(query.get(name)));
    const { stocks } = this.#client.marketData;
    const answer = await this.#ask(span, () => stocks.stockBars({
      symbols: span.symbol, timeframe: query.get("timeframe") ?? "",
      start: at("start"), end: at("end"),
      limit: PAGE_ROWS, adjustment: "raw", feed: this.#feed, sort: "asc",
      pageToken: query.get("page_token") ?? undefined,
    }, { signal }));
    const bars: unknown = answer.bars?.[span.symbol] ?? [];
    if (!Array.isArray(bars)) throw new Trouble("page", "a page whose bars are no list");
    return { rows: bars.map(rowOf), next: nextOf(address, answer.nextPageToken) };
  }

  async askActions(address: string, span: Span, signal: AbortSignal): Promise<ActionPage> {
    const query = new URLSearchParams(address.slice(address.indexOf("?")));
    const { corporateActions } = this.#client.marketData;
    const answer = await this.#ask(span, () => corporateActions.corporateActions({
      symbols: span.symbol, types: ACTION_TYPES, start: new Date(span.from * MS_PER_DAY),
      end: new Date(span.to * MS_PER_DAY), limit: ACTION_ROWS, sort: "asc",
      pageToken: query.get("page_token") ?? undefined,
    }, { signal }));
    const found = answer.corporateActions;
    const dividends = (found?.cashDividends ?? []).filter((one) => one.symbol === span.symbol);
    const paid = dividends.filter((one) => !one.currency || one.currency === "USD");
    const splits = [...found?.forwardSplits ?? [], ...found?.reverseSplits ?? []]
      .filter((one) => one.symbol === span.symbol);
    const actions = [
      ...splits.map((one) => listed("split", one, one.newRate / one.oldRate)),
      // A stock dividend of rate 0.05 makes 1.05 shares of one: a small split.
      ...(found?.stockDividends ?? []).filter((one) => one.symbol === span.symbol)
        .map((one) => listed("split", one, 1 + one.rate)),
      ...paid.map((one) => listed("dividend", one, one.rate)),
    ];
    const leftOut = dividends.length - paid.length;
    return { actions, leftOut, next: nextOf(address, answer.nextPageToken) };
  }

  explainNone(span: Span): Promise<UserError> {
    const range = `from ${formatDay(span.from)} to ${formatDay(span.to)}`;
    const feed = this.#feed === "iex"
      ? "; the iex feed starts in 2020 (sip: DMN_ALPACA_FEED=sip)" : "";
    return Promise.resolve(new UserError(
      `alpaca has no ${span.timeframe} bars of "${span.symbol}" ${range}`,
      `check the symbol's spelling and the range${feed}`));
  }

  /** One question. Throws Trouble for what may pass, UserError for what will not. */
  async #ask<T>(span: Span, question: () => Promise<T>): Promise<T> {
    try {
      return await question();
    } catch (error) { throw this.#explain(error, span); }
  }

  #explain(error: unknown, span: Span): Error {
    const { status, retryAfterMs, message } = refusalOf(error);
    if (status === null) return new Trouble("network", redact(networkReason(error), this.#secrets));
    // A gateway answers with a page of HTML, which says nothing.
    const words = message.trimStart().startsWith("<") ? "" : message;
    const said = redact(words, this.#secrets).replace(/\s+/g, " ").trim().slice(0, 200);
    const quoted = `HTTP ${status}${said === "" ? "" : `: "${said}"`}`;
    if (status === 429) return new Trouble("rate", quoted, retryAfterMs);
    const mayPass = status >= 500 || status === 408 || status === 425;
    if (mayPass) return new Trouble("server", quoted, retryAfterMs);
    if (status === 401) {
      return new UserError(`alpaca does not accept the key (${quoted})`,
        "set APCA_API_KEY_ID and APCA_API_SECRET_KEY to a pair of this account, or mend keys.json");
    }
    if (status === 403) {
      return new UserError(`the alpaca plan of this key does not include ${span.timeframe} bars of ` +
        `${span.symbol} from the ${this.#feed} feed (${quoted})`,
      "use the free feed (DMN_ALPACA_FEED=iex), or ask for older days with --to");
    }
    return new UserError(`alpaca refuses the question for ${span.symbol} (${quoted})`,
      "check the symbol and the range");
  }
}

/**
 * A `fetch` that sends one host's requests to `base` and refuses every other, redirects too: the
 * keys can go nowhere else.
 */
export function onlyHost(host: string, base: string): typeof fetch {
  return (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (url.host !== host) throw new Error(`host not allowed: ${url.host}`);
    return fetch(base + url.pathname + url.search, { ...init, redirect: "error" });
  };
}

function nextOf(address: string, token: string | null | undefined): string | null {
  if (token === null || token === undefined || token === "") return null;
  const query = new URLSearchParams(address.slice(address.indexOf("?")));
  query.set("page_token", token);
  return `${address.slice(0, address.indexOf("?"))}?${String(query)}`;
}

/** The package types `t` as a Date but hands over what the wire says: RFC 3339 text. */
function rowOf(bar: marketData.StockBar): Row {
  const start: unknown = bar.t;
  const number = (value: unknown): number => typeof value === "number" ? value : NaN;
  const orNull = (value: unknown): number | null => typeof value === "number" ? value : null;
  return [
    typeof start === "string" ? Date.parse(start) : start instanceof Date ? start.getTime() : NaN,
    number(bar.o), number(bar.h), number(bar.l), number(bar.c),
    orNull(bar.v), orNull(bar.vw), orNull(bar.n),
  ];
}

function listed(
  kind: ListedAction["kind"], action: { exDate: Date; id: string }, value: number,
): ListedAction {
  const time = action.exDate.getTime();
  if (Number.isNaN(time)) throw new Trouble("page", `a ${kind} without an ex-date`);
  if (!(Number.isFinite(value) && (kind === "dividend" ? value >= 0 : value > 0))) {
    throw new Trouble("page", `a ${kind} of ${formatDay(dayOf(time))} without a value`);
  }
  return { id: action.id, kind, day: dayOf(time), value };
}

/** What the package made an error of, read by shape; status null: there was no answer. */
function refusalOf(error: unknown): Refusal {
  if (!(error instanceof Error)) return { status: null, retryAfterMs: null, message: "" };
  const { response, retryAfterMs } =
    error as Error & { response?: unknown; retryAfterMs?: unknown };
  return {
    status: response instanceof Response ? response.status : null,
    retryAfterMs: typeof retryAfterMs === "number" ? retryAfterMs : null,
    message: error.message,
  };
}

interface Refusal {
  readonly status: number | null;
  readonly retryAfterMs: number | null;
  readonly message: string;
}
