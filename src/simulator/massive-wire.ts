/** Massive's REST wire as its documentation has it: aggregates, splits, dividends, tickers. */
import { formatDay, parseDay } from "../base/units.ts";
import type { CorporateAction, Timeframe } from "../market/bars.ts";
import { endOfDay, exDay, newYorkMidnight, type Book, type WireRow } from "./book.ts";
import type { Question, Reply } from "./wire.ts";

export interface MassiveSettings {
  readonly apiKey: string;
}

/** Where next_url points: a host that a client must not go to. */
const OFFICIAL = "https://api.massive.com";
const AGGREGATES = /^\/v2\/aggs\/ticker\/([^/]+)\/range\/(\d+)\/([a-z]+)\/([^/]+)\/([^/]+)$/;
const SPANS: Readonly<Record<string, Timeframe>> = {
  "1/day": "1d", "1/hour": "1h", "30/minute": "30m", "15/minute": "15m", "5/minute": "5m",
  "1/minute": "1m", "1/second": "1s",
};

export class MassiveWire {
  readonly #book: Book;
  readonly #settings: MassiveSettings;
  readonly #paging: { readonly pageRows: number };

  /** `paging`: rows of a page at most, whatever `limit` asks for. */
  constructor(book: Book, settings: MassiveSettings, paging: { readonly pageRows: number }) {
    this.#book = book;
    this.#settings = settings;
    this.#paging = paging;
  }

  /** Null when the path is not Massive's. */
  answer(question: Question): Reply | null {
    const { pathname } = question.url;
    const isOurs = pathname.startsWith("/v2/aggs/") || pathname.startsWith("/v3/reference/");
    if (!isOurs) return null;
    if (question.headers["authorization"] !== `Bearer ${this.#settings.apiKey}`) {
      // The real vendor does quote the key it was given.
      return failure(401, `Unknown API Key ${String(question.headers["authorization"] ?? "")}`);
    }
    const parts = AGGREGATES.exec(pathname);
    if (parts !== null) return this.#aggregates(question, parts);
    switch (pathname) {
      case "/v3/reference/splits": return this.#actions(question.url, "split");
      case "/v3/reference/dividends": return this.#actions(question.url, "dividend");
      case "/v3/reference/tickers": return this.#tickers(question.url);
      default: return failure(404, "Not Found");
    }
  }

  #aggregates({ url, fault, draw }: Question, parts: RegExpExecArray): Reply {
    const symbol = decodeURIComponent(parts[1]);
    const timeframe = SPANS[`${parts[2]}/${parts[3]}`];
    const from = momentOf(parts[4], newYorkMidnight), to = momentOf(parts[5], endOfDay);
    if (timeframe === undefined || from === null || to === null || from > to) {
      return failure(400, "Could not parse the range.");
    }
    const limit = this.#limit(url, 5_000, 50_000);
    const cursor = url.searchParams.get("cursor");
    const at = cursor === null ? 0
      : Number(Buffer.from(cursor, "base64url").toString().slice("at=".length));
    const page = this.#book.page({ symbol, timeframe, from, to, at, limit }, fault, draw);
    const isAdjusted = url.searchParams.get("adjusted") !== "false";
    const results = page.rows.map((row) =>
      barOf(row, isAdjusted ? this.#factorAt(symbol, row.start) : 1));
    const next = new URL(url.pathname + url.search, OFFICIAL);
    next.searchParams.set("cursor", Buffer.from(`at=${at + limit}`).toString("base64url"));
    return ok([
      `"ticker":${JSON.stringify(symbol)}`,
      `"queryCount":${page.stated}`, `"resultsCount":${page.stated}`,
      `"adjusted":${isAdjusted}`, ...results.length > 0 ? [`"results":[${results.join(",")}]`] : [],
      ...page.hasNext ? [`"next_url":${JSON.stringify(next.href)}`] : [],
    ]);
  }

  /** What the vendor multiplies old prices with when it is not told not to: 1 / later splits. */
  #factorAt(symbol: string, start: number): number {
    return (this.#book.market.get(symbol)?.actions ?? [])
      .filter((action) => action.kind === "split" && action.exTime > start)
      .reduce((factor, action) => factor / action.value, 1);
  }

  #actions(url: URL, kind: CorporateAction["kind"]): Reply {
    const symbol = url.searchParams.get("ticker") ?? "";
    const dated = kind === "split" ? "execution_date" : "ex_dividend_date";
    const from = url.searchParams.get(`${dated}.gte`) ?? "";
    const to = url.searchParams.get(`${dated}.lte`) ?? "9999";
    const limit = this.#limit(url, 10, 1_000);
    const at = Number(url.searchParams.get("cursor") ?? 0);
    const all = (this.#book.market.get(symbol)?.actions ?? []).filter((action) => {
      const date = formatDay(exDay(action));
      return action.kind === kind && date >= from && date <= to;
    });
    const results = all.slice(at, at + limit).map((action, k) => JSON.stringify({
      id: `${kind}-${symbol}-${at + k}`, ticker: symbol, [dated]: formatDay(exDay(action)),
      ...kind === "split" ? splitRates(action.value)
        : { cash_amount: action.value, currency: "USD", dividend_type: "CD", frequency: 4 },
    }));
    const next = new URL(url.pathname + url.search, OFFICIAL);
    next.searchParams.set("cursor", String(at + limit));
    return ok([`"results":[${results.join(",")}]`,
      ...at + limit < all.length ? [`"next_url":${JSON.stringify(next.href)}`] : []]);
  }

  #limit(url: URL, usual: number, most: number): number {
    return Math.min(Number(url.searchParams.get("limit") ?? usual), most, this.#paging.pageRows);
  }

  #tickers(url: URL): Reply {
    const symbol = url.searchParams.get("ticker") ?? "";
    const listed = { ticker: symbol, name: symbol, market: "stocks", active: true };
    const found = this.#book.market.has(symbol) ? [listed] : [];
    return ok([`"results":${JSON.stringify(found)}`, `"count":${found.length}`]);
  }
}

const ok = (fields: readonly string[]): Reply =>
  ({ status: 200, body: `{${[...fields, '"status":"OK","request_id":"simulated"'].join(",")}}` });
const failure = (status: number, error: string): Reply =>
  ({ status, body: JSON.stringify({ status: "ERROR", request_id: "simulated", error }) });

/** A date or ms, as the path has it. */
function momentOf(text: string, ofDay: (value: number) => number): number | null {
  if (/^\d{10,}$/.test(text)) return Number(text);
  const value = parseDay(text);
  return value === null ? null : ofDay(value);
}

function splitRates(ratio: number): { split_to: number; split_from: number } {
  return ratio >= 1 ? { split_to: ratio, split_from: 1 } : { split_to: 1, split_from: 1 / ratio };
}

function barOf(row: WireRow, factor: number): string {
  const fields: [string, number][] = [
    ["v", row.volume], ["vw", row.vwap * factor], ["o", row.open * factor],
    ["c", row.close * factor], ["h", row.high * factor], ["l", row.low * factor],
    ["t", row.start], ["n", row.trades],
  ];
  return `{${fields.filter(([, value]) => !Number.isNaN(value))
    .map(([name, value]) => `"${name}":${name === "v" ? goNumber(value) : value}`).join(",")}}`;
}

/** Large volumes are written as Go writes floats: 1.029e+06. */
function goNumber(value: number): string {
  return value < 1e6 ? String(value) : value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}
