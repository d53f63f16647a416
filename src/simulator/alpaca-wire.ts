/** Alpaca's market-data REST wire: historical bars and corporate actions. */
import { formatDay } from "../base/units.ts";
import type { CorporateAction, Timeframe } from "../market/bars.ts";
import { exDay, type Book, type WireRow } from "./book.ts";
import type { Question, Reply } from "./wire.ts";

export interface AlpacaSettings {
  readonly keyId: string;
  readonly secretKey: string;
}

const SPANS: Readonly<Record<string, Timeframe>> = {
  "1Day": "1d", "1Hour": "1h", "30Min": "30m", "15Min": "15m", "5Min": "5m", "1Min": "1m",
};

export class AlpacaWire {
  readonly #book: Book;
  readonly #settings: AlpacaSettings;
  readonly #paging: { readonly pageRows: number };

  /** `paging`: rows of a page at most, whatever `limit` asks for. */
  constructor(book: Book, settings: AlpacaSettings, paging: { readonly pageRows: number }) {
    this.#book = book;
    this.#settings = settings;
    this.#paging = paging;
  }

  /** Null when the path is not Alpaca's. */
  answer(question: Question): Reply | null {
    const { pathname } = question.url;
    if (pathname !== "/v2/stocks/bars" && pathname !== "/v1/corporate-actions") return null;
    const { keyId, secretKey } = this.#settings;
    const givenId = question.headers["apca-api-key-id"];
    if (givenId !== keyId || question.headers["apca-api-secret-key"] !== secretKey) {
      return { status: 401, body: JSON.stringify({ message: `unauthorized ${String(givenId)}` }) };
    }
    return pathname === "/v2/stocks/bars" ? this.#bars(question) : this.#actions(question.url);
  }

  #bars({ url, fault, draw }: Question): Reply {
    const query = url.searchParams;
    const symbol = query.get("symbols") ?? "", timeframe = SPANS[query.get("timeframe") ?? ""];
    const from = Date.parse(query.get("start") ?? ""), to = Date.parse(query.get("end") ?? "");
    const isAsked = timeframe !== undefined && from <= to && query.get("adjustment") === "raw"
      && query.get("sort") === "asc" && ["iex", "sip"].includes(query.get("feed") ?? "");
    if (!isAsked) return { status: 400, body: JSON.stringify({ message: "invalid request" }) };
    const limit = Math.min(Number(query.get("limit") ?? 1_000), 10_000, this.#paging.pageRows);
    const at = positionOf(query.get("page_token"));
    const page = this.#book.page({ symbol, timeframe, from, to, at, limit }, fault, draw);
    const bars = page.rows.length === 0 ? {} : { [symbol]: page.rows.map(barOf) };
    return reply({ bars, next_page_token: page.hasNext ? tokenOf(at + limit) : null });
  }

  #actions(url: URL): Reply {
    const query = url.searchParams;
    const symbol = query.get("symbols") ?? "";
    const from = query.get("start") ?? "", to = query.get("end") ?? "9999";
    const limit = Math.min(Number(query.get("limit") ?? 100), 1_000, this.#paging.pageRows);
    const at = positionOf(query.get("page_token"));
    const all = (this.#book.market.get(symbol)?.actions ?? []).filter((action) => {
      const date = formatDay(exDay(action));
      return date >= from && date <= to;
    });
    const found: Record<string, object[]> = {};
    all.slice(at, at + limit).forEach((action, k) => {
      const { kind, terms } = termsOf(action), date = formatDay(exDay(action));
      const id = `${kind}-${symbol}-${at + k}`;
      (found[kind] ??= [])
        .push({ id, symbol, cusip: "000000000", ex_date: date, process_date: date, ...terms });
    });
    const next = at + limit < all.length ? tokenOf(at + limit) : null;
    return reply({ corporate_actions: found, next_page_token: next });
  }
}

/** Which list an action stands in, and what that list says of it. */
function termsOf({ kind, value }: CorporateAction): { kind: string; terms: object } {
  if (kind === "dividend") {
    return { kind: "cash_dividends", terms: { rate: value, special: false, foreign: false } };
  }
  return value >= 1 ? { kind: "forward_splits", terms: { new_rate: value, old_rate: 1 } }
    : { kind: "reverse_splits", terms: { new_rate: 1, old_rate: 1 / value } };
}

const reply = (body: object): Reply => ({ status: 200, body: JSON.stringify(body) });
const tokenOf = (at: number): string => Buffer.from(`at ${at}`).toString("base64");
const positionOf = (token: string | null): number =>
  token === null ? 0 : Number(Buffer.from(token, "base64").toString().slice("at ".length));

function barOf(row: WireRow): object {
  const absent = (value: number): number | undefined => Number.isNaN(value) ? undefined : value;
  return {
    t: new Date(row.start).toISOString().replace(".000Z", "Z"),
    o: row.open, h: row.high, l: row.low, c: row.close,
    v: absent(row.volume), vw: absent(row.vwap), n: absent(row.trades),
  };
}
