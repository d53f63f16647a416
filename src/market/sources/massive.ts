/**
 * Massive (formerly Polygon.io): bars of US equities by REST, raw, with splits and dividends.
 *
 *   GET /v2/aggs/ticker/T/range/1/day/FROM/TO?adjusted=false&sort=asc&limit=50000
 *   GET /v3/reference/splits | dividends ?ticker=T&...                -> results, next_url
 *
 * `next_url` names the vendor's own host: only its path and query are taken, behind our base
 * address, and the key goes into the Authorization header, never into an address. Daily bars are
 * stamped New York midnight, the others with their start. The vendor's own packages are not used:
 * they return pages in reverse order and put the key in the URL.
 */
import { UserError } from "../../base/error.ts";
import { formatDay, parseDay, type Day } from "../../base/units.ts";
import type { Context } from "../../base/context.ts";
import type { Timeframe } from "../bars.ts";
import type { Row } from "./bar-series.ts";
import { massiveKeys, redact } from "./keys.ts";
import { networkReason, parseRetryAfter, Trouble } from "./patience.ts";
import type { Source } from "./source.ts";
import { checkBase, checkRequest, describeVendor, instrumentOf } from "./vendor-request.ts";
import {
  deliverVendor, type ActionPage, type BarPage, type ListedAction, type Span, type VendorOptions,
  type Wire,
} from "./vendor.ts";

const NAME = "massive";
const PAGE_ROWS = 50_000;
const ACTION_ROWS = 1_000;

/** Timeframe to the multiplier and time span of the address. */
const SPANS = {
  "1d": "1/day", "1h": "1/hour", "30m": "30/minute", "15m": "15/minute", "5m": "5/minute",
  "1m": "1/minute", "1s": "1/second",
} as const satisfies Partial<Record<Timeframe, string>>;
const TIMEFRAMES_HERE = Object.keys(SPANS) as (keyof typeof SPANS)[];
const spanOf = (timeframe: Timeframe): string => SPANS[timeframe as keyof typeof SPANS];

/** Massive over its REST interface. `options` is for tests. */
export function massive(options: VendorOptions = {}): Source {
  return {
    name: NAME,
    async describe(request, context) {
      const wanted = checkRequest(NAME, TIMEFRAMES_HERE, request, context);
      massiveKeys(context.root, options.environment);
      checkBase(NAME, context.config.massive.baseUrl);
      return describeVendor(NAME, wanted,
        `Massive REST aggregates (${spanOf(wanted.timeframe)}), raw prices, ` +
        `${formatDay(wanted.from)} to ${formatDay(wanted.to)}`);
    },
    async *fetch(request, context, have, pages) {
      const wanted = checkRequest(NAME, TIMEFRAMES_HERE, request, context);
      const wire = new MassiveWire(context, massiveKeys(context.root, options.environment).apiKey);
      const { seed } = request;
      yield* deliverVendor({ vendor: NAME, wire, wanted, seed, context, have, pages, options });
    },
    async instruments(request, context) {
      return checkRequest(NAME, TIMEFRAMES_HERE, request, context).symbols.map(instrumentOf);
    },
  };
}

export const massiveSource: Source = massive();

/** What any answer may hold; nothing of it is trusted before it is checked. */
interface Answer {
  readonly status?: unknown;
  readonly error?: unknown;
  readonly message?: unknown;
  readonly results?: unknown;
  readonly resultsCount?: unknown;
  readonly next_url?: unknown;
}

export class MassiveWire implements Wire {
  readonly callsPerMinute: number;
  readonly pageRows = PAGE_ROWS;
  readonly rateHint = "assume fewer: DMN_MASSIVE_CALLS_PER_MINUTE";
  readonly #base: string;
  readonly #key: string;
  readonly #now: () => number;

  constructor(context: Context, key: string) {
    this.callsPerMinute = context.config.massive.callsPerMinute;
    this.#base = checkBase(NAME, context.config.massive.baseUrl);
    this.#key = key;
    this.#now = () => context.clock.now();
  }

  barsAddress(span: Span): string {
    const from = span.afterMs === null ? formatDay(span.from) : String(span.afterMs);
    const range = `${spanOf(span.timeframe)}/${from}/${formatDay(span.to)}`;
    return `/v2/aggs/ticker/${encodeURIComponent(span.symbol)}/range/${range}` +
      `?adjusted=false&sort=asc&limit=${PAGE_ROWS}`;
  }

  actionAddresses(span: Span): readonly string[] {
    const from = formatDay(span.from), to = formatDay(span.to);
    const address = (what: string, dated: string): string => {
      const query = new URLSearchParams({
        ticker: span.symbol, [`${dated}.gte`]: from, [`${dated}.lte`]: to,
        order: "asc", sort: dated, limit: String(ACTION_ROWS),
      });
      return `/v3/reference/${what}?${String(query)}`;
    };
    return [address("splits", "execution_date"), address("dividends", "ex_dividend_date")];
  }

  async askBars(address: string, span: Span, signal: AbortSignal): Promise<BarPage> {
    const answer = await this.#ask(address, span, signal);
    const results = listOf(answer);
    const stated = answer.resultsCount;
    if (typeof stated === "number" && stated !== results.length) {
      throw new Trouble("page", `a page of ${results.length} bars that says it has ${stated}`);
    }
    return { rows: results.map(rowOf), next: this.#nextOf(answer) };
  }

  async askActions(address: string, span: Span, signal: AbortSignal): Promise<ActionPage> {
    const answer = await this.#ask(address, span, signal);
    const isSplit = address.startsWith("/v3/reference/splits");
    const listed = listOf(answer).map(isSplit ? splitOf : dividendOf);
    const actions = listed.filter((one) => one !== null);
    return { actions, leftOut: listed.length - actions.length, next: this.#nextOf(answer) };
  }

  async explainNone(span: Span, signal: AbortSignal): Promise<UserError> {
    const query = new URLSearchParams({ ticker: span.symbol, limit: "1" });
    const found = await this.#ask(`/v3/reference/tickers?${String(query)}`, span, signal);
    const { symbol, timeframe } = span, upper = symbol.toUpperCase();
    if (listOf(found).length > 0) {
      return new UserError(`massive has no ${timeframe} bars of ${symbol} from ` +
        `${formatDay(span.from)} to ${formatDay(span.to)}`, "choose other days: --from, --to");
    }
    return new UserError(`massive does not know the symbol "${symbol}"`,
      upper === symbol ? "check its spelling, and that it is listed" : `did you mean "${upper}"?`);
  }

  /** One question. Throws Trouble for what may pass, UserError for what will not. */
  async #ask(address: string, span: Span, signal: AbortSignal): Promise<Answer> {
    let response: Response, text: string;
    try {
      const headers = { authorization: `Bearer ${this.#key}`, accept: "application/json" };
      response = await fetch(this.#base + address, { headers, redirect: "error", signal });
      text = await response.text();
    } catch (error) { throw new Trouble("network", redact(networkReason(error), [this.#key])); }
    const answer = parseAnswer(text);
    if (response.ok && answer === null) throw new Trouble("network", "an answer that is cut off");
    const isRefused = answer?.status === "ERROR" || answer?.status === "NOT_AUTHORIZED";
    if (!response.ok || answer === null || isRefused) throw this.#refusal(response, answer, span);
    return answer;
  }

  #refusal(response: Response, answer: Answer | null, span: Span): Error {
    const status = response.status;
    const words = [answer?.error, answer?.message].find((text) => typeof text === "string") ?? "";
    const said = redact(words, [this.#key]).replace(/\s+/g, " ").trim().slice(0, 200);
    const quoted = `HTTP ${status}${said === "" ? "" : `: "${said}"`}`;
    const waitMs = parseRetryAfter(response.headers.get("retry-after"), this.#now());
    if (status === 429) return new Trouble("rate", quoted, waitMs);
    if (status >= 500 || status === 408) return new Trouble("server", quoted, waitMs);
    if (status === 401) {
      return new UserError(`massive does not accept the key (${quoted})`,
        "set MASSIVE_API_KEY to a key of this account, or mend keys.json in the data root");
    }
    if (status === 403 || answer?.status === "NOT_AUTHORIZED") {
      return new UserError(`the plan of this massive key does not include ${span.timeframe} bars ` +
        `of ${span.symbol} from ${formatDay(span.from)} (${quoted})`,
      "choose a later --from or a longer --timeframe, or change the plan");
    }
    return new UserError(`massive refuses the question for ${span.symbol} (${quoted})`,
      "check the symbol and the range");
  }

  /** The path and query of next_url, without a key that an older interface may have put there. */
  #nextOf(answer: Answer): string | null {
    if (typeof answer.next_url !== "string" || answer.next_url === "") return null;
    const url = URL.parse(answer.next_url, this.#base);
    if (url === null) throw new Trouble("page", "a next page without a readable address");
    url.searchParams.delete("apiKey");
    return url.pathname + url.search;
  }
}

function parseAnswer(text: string): Answer | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : null;
  } catch { return null; }
}

function listOf(answer: Answer): readonly Readonly<Record<string, unknown>>[] {
  if (answer.results === undefined || answer.results === null) return [];
  const isList = Array.isArray(answer.results)
    && answer.results.every((one) => typeof one === "object" && one !== null);
  if (!isList) throw new Trouble("page", "a page whose results are no list");
  return answer.results as Readonly<Record<string, unknown>>[];
}

const numberOf = (value: unknown): number => typeof value === "number" ? value : NaN;
const numberOrNull = (value: unknown): number | null => typeof value === "number" ? value : null;

const rowOf = (bar: Readonly<Record<string, unknown>>): Row => [
  numberOf(bar["t"]),
  numberOf(bar["o"]), numberOf(bar["h"]), numberOf(bar["l"]), numberOf(bar["c"]),
  numberOrNull(bar["v"]), numberOrNull(bar["vw"]), numberOrNull(bar["n"]),
];

function splitOf(split: Readonly<Record<string, unknown>>): ListedAction {
  const { exDay, id } = datedOf(split, "execution_date");
  const value = numberOf(split["split_to"]) / numberOf(split["split_from"]);
  if (!(value > 0 && Number.isFinite(value))) {
    throw new Trouble("page", `a split of ${formatDay(exDay)} without a ratio`);
  }
  return { id: `split ${id}`, kind: "split", day: exDay, value };
}

/** Null for a dividend in another currency, which cannot be set against prices in dollars. */
function dividendOf(dividend: Readonly<Record<string, unknown>>): ListedAction | null {
  const { exDay, id } = datedOf(dividend, "ex_dividend_date");
  const currency = dividend["currency"];
  if (typeof currency === "string" && !["", "USD"].includes(currency.toUpperCase())) return null;
  const value = numberOf(dividend["cash_amount"]);
  if (!(value >= 0 && Number.isFinite(value))) {
    throw new Trouble("page", `a dividend of ${formatDay(exDay)} without an amount`);
  }
  return { id: `dividend ${id}`, kind: "dividend", day: exDay, value };
}

function datedOf(
  action: Readonly<Record<string, unknown>>, field: string,
): { readonly exDay: Day; readonly id: string } {
  const exDay = parseDay(String(action[field]));
  if (exDay === null) throw new Trouble("page", `an action whose ${field} is no date`);
  return { exDay, id: typeof action["id"] === "string" ? action["id"] : JSON.stringify(action) };
}
