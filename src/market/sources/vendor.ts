/**
 * What fetching from any vendor has in common. A vendor's wire says how a question is written and what an answer
 * means; everything that keeps the answers honest is here, once.
 *
 *   first address --> page --> next address --> page ... --> no next --> is that really the end? --> Delivery
 *                      |                                                        |
 *                      | taken from the PageCache, else: a turn in the          | "the rest after the last bar?" until
 *                      | rate plan, ask, check, ask again (patience.ts)         | the answer is empty: a page cut short
 *                      | and only then kept                                     | without a word is found and completed
 *
 * Vendors cut answers short silently (at 5,000 or 50,000 *base* bars, which for hour bars is any number of rows), so a
 * count of rows proves nothing. The end is proven instead: the last bar is the last that there can be, or the vendor
 * was asked for the rest and had none.
 */
import type { Context } from "../../base/context.ts";
import { messageOf, UserError } from "../../base/error.ts";
import { hashOf } from "../../base/file.ts";
import { formatSeconds, type Task } from "../../base/progress.ts";
import { random, type Random } from "../../base/random.ts";
import { day, dayOf, formatDay, MS_PER_HOUR, type Day } from "../../base/units.ts";
import { TIMEFRAMES, type CorporateAction, type Timeframe } from "../bars.ts";
import { calendar, type Calendar } from "../calendar.ts";
import { instrument, type Instrument } from "../instrument.ts";
import { BarSeries, type Row } from "./bar-series.ts";
import type { Environment } from "./keys.ts";
import { ATTEMPTS_MAX, patiently, Trouble } from "./patience.ts";
import { RatePlan } from "./rate-plan.ts";
import type { Delivery, FetchRequest, PageCache, SourceDescription } from "./source.ts";

/** What is asked about one instrument: sessions from..to, or, after a cut, bars that start at or after `afterMs`. */
export interface Span {
  readonly symbol: string;
  readonly timeframe: Timeframe;
  readonly from: Day;
  readonly to: Day;
  readonly afterMs: number | null;
}

interface Page { readonly next: string | null }
export interface BarPage extends Page { readonly rows: readonly Row[] }
/** A split or dividend by its ex-date; `id` tells one that is listed twice from two on one day. */
export interface ListedAction {
  readonly id: string;
  readonly kind: CorporateAction["kind"];
  readonly day: Day;
  readonly value: number;
}
export interface ActionPage extends Page {
  readonly actions: readonly ListedAction[];
  /** Dividends in another currency, which cannot be set against prices in dollars. */
  readonly leftOut: number;
}

/**
 * One vendor's way of asking and answering. Addresses are paths with a query, without host or key. `ask...` throws
 * Trouble for what may pass, UserError for what will not.
 */
export interface Wire {
  readonly callsPerMinute: number;
  /** What the person may change when the vendor goes on refusing for too many calls. */
  readonly rateHint: string;
  /** Bars that fit one page at most, for the forecast. */
  readonly pageRows: number;
  barsAddress(span: Span): string;
  actionAddresses(span: Span): readonly string[];
  askBars(address: string, span: Span, signal: AbortSignal): Promise<BarPage>;
  askActions(address: string, span: Span, signal: AbortSignal): Promise<ActionPage>;
  /** Why there is not one bar, as an error for the person. */
  explainNone(span: Span, signal: AbortSignal): Promise<UserError>;
}

/** Handed in by tests; the defaults are the real world. */
export interface VendorOptions {
  readonly environment?: Environment;
  /** Ends one question; default AbortSignal.timeout(TIMEOUT_MS). */
  readonly timeout?: () => AbortSignal;
}
export const TIMEOUT_MS = 30_000;

/** The parts of a request that vendors need, checked. */
export interface VendorRequest {
  readonly symbols: readonly string[];
  readonly timeframe: Timeframe;
  readonly from: Day;
  readonly to: Day;
}

/** Throws UserError for a request that no vendor can answer. `to` defaults to today, the timeframe to 1d. */
export function checkRequest(
  vendor: string, timeframes: readonly Timeframe[], request: FetchRequest, context: Context,
): VendorRequest {
  const again = `dmn fetch --source ${vendor} --dataset ${request.dataset}`;
  if (request.symbols.length === 0) {
    throw new UserError(`${vendor} must be told which instruments`, `name them: ${again} --symbols AAPL,MSFT --from 2020-01-01`);
  }
  const odd = request.symbols.find((symbol) => !/^[A-Za-z0-9.:^_/-]{1,32}$/.test(symbol));
  if (odd !== undefined) throw new UserError(`"${odd}" is not a symbol`, "separate symbols by commas: --symbols AAPL,MSFT");
  const timeframe = request.timeframe ?? "1d";
  if (!timeframes.includes(timeframe)) {
    throw new UserError(`${vendor} has no ${timeframe} bars`, `choose one of: --timeframe ${timeframes.join(" | ")}`);
  }
  if ((request.calendar ?? "us-equity") !== "us-equity") {
    throw new UserError(`${vendor} is read as US equities, not on the ${request.calendar} calendar`, "leave --calendar out");
  }
  const to = request.to ?? dayOf(context.clock.now());
  if (request.from === null) throw new UserError(`${vendor} must be told where to start`, "add for example --from 2020-01-01");
  if (request.from > to) {
    throw new UserError(`the range is empty: from ${formatDay(request.from)} to ${formatDay(to)}`, "choose --from before --to");
  }
  return { symbols: [...new Set(request.symbols)], timeframe, from: request.from, to };
}

/** Instruments in the order of the request. Nothing is asked: vendors list an instrument only by answering for it. */
export const instrumentOf = (symbol: string): Instrument => instrument(symbol, { assetClass: "equity" });

export const describeVendor = (source: string, wanted: VendorRequest, provenance: string): SourceDescription => ({
  source, isSynthetic: false, kind: "bars", timeframe: wanted.timeframe, calendar: calendar("us-equity"),
  adjustment: "raw", provenance,
});

/** Keys travel in a header: never over plain HTTP, except to this machine (tests). */
export function checkBase(vendor: string, base: string): string {
  const url = new URL(base);
  const isLocal = ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  if (url.protocol === "https:" || (url.protocol === "http:" && isLocal)) return base.replace(/\/+$/, "");
  throw new UserError(`the address of ${vendor} is ${url.protocol}//${url.host}: a key is only sent over https`,
    "mend it in dmn.config.json; see: dmn config");
}

/** Delivers instrument after instrument. Throws the signal's reason when it aborts; pages received are kept. */
export async function* deliverVendor(
  vendor: string, wire: Wire, wanted: VendorRequest, seed: number, context: Context, have: ReadonlySet<string>,
  pages: PageCache, options: VendorOptions,
): AsyncGenerator<Delivery> {
  const symbols = wanted.symbols.filter((symbol) => !have.has(symbol));
  const plan = new RatePlan(wire.callsPerMinute, context.clock);
  const calls = symbols.length * forecastCalls(wanted, wire);
  const task = context.progress.start(`${vendor} calls`, calls, "calls");
  task.advance(0, `about ${formatSeconds(plan.durationMs(calls) / 1000)} at ${plan.callsPerMinute}/min`);
  const asker = new Asker(vendor, wire, plan, task, calls, random(seed, vendor, "back-off"), context, pages, options);
  try {
    for (const symbol of symbols) {
      context.signal.throwIfAborted();
      yield await asker.instrument({ ...wanted, symbol, afterMs: null });
      pages.clear();
    }
  } finally { task.finish(); }
}

/** Calls for one instrument: its pages of bars, one page each of splits and dividends. An estimate, from above. */
function forecastCalls(wanted: VendorRequest, wire: Wire): number {
  const weekdays = Math.ceil((wanted.to - wanted.from + 1) * 5 / 7);
  // Bars of less than a day are counted in one-minute (one-second) base bars of the extended day, 04:00 to 20:00.
  const perDay = wanted.timeframe === "1d" ? 1 : wanted.timeframe === "1s" ? 57_600 : 960;
  return Math.ceil((weekdays * perDay) / wire.pageRows) + 2 + (wanted.timeframe === "1d" ? 0 : 1);
}

const EXTENDED_CLOSE_AFTER_OPEN_MS = 10.5 * MS_PER_HOUR;
/** Answers completed per instrument; each brings at least one new bar, so this only bounds a vendor gone mad. */
const COMPLETIONS_MAX = 10_000;

class Asker {
  readonly #vendor: string;
  readonly #wire: Wire;
  readonly #plan: RatePlan;
  readonly #task: Task;
  readonly #calls: number;
  readonly #random: Random;
  readonly #context: Context;
  readonly #pages: PageCache;
  readonly #timeout: () => AbortSignal;
  readonly #calendar: Calendar = calendar("us-equity");
  #asked = 0;

  constructor(vendor: string, wire: Wire, plan: RatePlan, task: Task, calls: number, jitter: Random, context: Context,
    pages: PageCache, options: VendorOptions) {
    this.#vendor = vendor;
    this.#wire = wire;
    this.#plan = plan;
    this.#task = task;
    this.#calls = calls;
    this.#random = jitter;
    this.#context = context;
    this.#pages = pages;
    this.#timeout = options.timeout ?? (() => AbortSignal.timeout(TIMEOUT_MS));
  }

  async instrument(span: Span): Promise<Delivery> {
    const now = this.#context.clock.now();
    const series = new BarSeries();
    await this.#barPages(span, series);
    if (series.length === 0) {
      throw await this.#ask(span, () => this.#wire.explainNone(span, this.#signal()));
    }
    let completed = 0;
    for (; completed < COMPLETIONS_MAX && !this.#isWhole(series, span, now); completed++) {
      const before = series.length;
      await this.#barPages({ ...span, afterMs: nextStart(series.last, span.timeframe) }, series);
      if (series.length === before) break;
    }
    const { actions, leftOut } = await this.#actions(span);
    const bars = series.toBars(instrumentOf(span.symbol), span.timeframe, this.#calendar, span.from, span.to, now);
    if (bars.time.length === 0) throw await this.#ask(span, () => this.#wire.explainNone(span, this.#signal()));
    const remarks = remarksOf(series, completed, leftOut);
    return remarks.length > 0 ? { bars, actions, remarks } : { bars, actions };
  }

  async #barPages(span: Span, series: BarSeries): Promise<void> {
    await this.#follow(this.#wire.barsAddress(span), span,
      (address, signal) => this.#wire.askBars(address, span, signal),
      (page) => series.check(page.rows), (page) => { series.add(page.rows); });
  }

  async #actions(span: Span): Promise<{ actions: CorporateAction[]; leftOut: number }> {
    const listed = new Map<string, ListedAction>();
    let leftOut = 0;
    for (const first of this.#wire.actionAddresses(span)) {
      await this.#follow(first, span,
        (address, signal) => this.#wire.askActions(address, span, signal),
        (page) => page.actions.length > 0 && page.actions.every((one) => listed.has(one.id)) ? "a page of actions again" : null,
        (page) => {
          for (const one of page.actions) listed.set(one.id, one);
          leftOut += page.leftOut;
        });
    }
    const actions = [...listed.values()]
      .filter((one) => one.day >= span.from && one.day <= span.to)
      .map((one) => ({ kind: one.kind, exTime: this.#exTime(one.day), value: one.value }))
      .sort((a, b) => a.exTime - b.exTime || a.kind.localeCompare(b.kind) || a.value - b.value);
    return { actions, leftOut };
  }

  /** The open of the ex-date; an ex-date without a session counts from the next one. */
  #exTime(exDay: Day): number {
    for (let k = 0; k < 14; k++) {
      const session = this.#calendar.session(day(exDay + k));
      if (session !== null) return session.open;
    }
    throw new UserError(`no session in the two weeks after ${formatDay(exDay)}`, "report this: the calendar lacks sessions");
  }

  /** Follows one chain of pages. Only a page that was checked is kept and joined. */
  async #follow<P extends Page>(first: string, span: Span, ask: (address: string, signal: AbortSignal) => Promise<P>,
    check: (page: P) => string | null, add: (page: P) => void): Promise<void> {
    const visited = new Set<string>();
    for (let address: string | null = first; address !== null;) {
      const here: string = address;
      visited.add(here);
      const key = `${span.symbol} ${hashOf(`${this.#vendor} ${here}`).slice(0, 32)}`;
      let page = this.#pages.get(key) as P | undefined;
      if (page === undefined) {
        page = await this.#ask(span, async () => {
          const answer = await ask(here, this.#signal());
          const problem = check(answer)
            ?? (answer.next !== null && visited.has(answer.next) ? "a page whose next page is an earlier one" : null);
          if (problem !== null) throw new Trouble("page", problem);
          return answer;
        });
        this.#pages.put(key, page);
      }
      add(page);
      address = page.next;
    }
  }

  async #ask<P>(span: Span, attempt: () => Promise<P>): Promise<P> {
    try {
      return await patiently(async () => {
        await this.#plan.turn(this.#context.signal);
        this.#asked++;
        if (this.#asked > this.#calls) this.#task.expect(this.#asked);
        const left = this.#plan.durationMs(this.#calls) * Math.max(0, 1 - this.#asked / this.#calls);
        this.#task.advance(1, `${span.symbol} ${left > 0 ? `${formatSeconds(left / 1000)} left` : ""}`.trim());
        return await attempt();
      }, this.#terms());
    } catch (error) {
      this.#context.signal.throwIfAborted();
      throw this.#final(error, span);
    }
  }

  #terms(): { clock: Context["clock"]; signal: AbortSignal; random: Random } {
    return { clock: this.#context.clock, signal: this.#context.signal, random: this.#random };
  }

  #signal(): AbortSignal { return AbortSignal.any([this.#context.signal, this.#timeout()]); }

  /** The last bar is the last that there can be: of the last session that has ended (with its late trading hours). */
  #isWhole(series: BarSeries, span: Span, now: number): boolean {
    const isDaily = span.timeframe === "1d";
    const ended = (session: { open: number; close: number }): number =>
      isDaily ? session.close : session.open + EXTENDED_CLOSE_AFTER_OPEN_MS;
    const last = this.#calendar.sessions(span.from, span.to).findLast((session) => ended(session) <= now);
    if (last === undefined) return true;
    return isDaily ? this.#calendar.sessionDay(series.last) >= last.day
      : series.last + TIMEFRAMES[span.timeframe] >= ended(last);
  }

  /** What is left of a Trouble when patience has ended: one sentence and what to do. */
  #final(error: unknown, span: Span): unknown {
    if (!(error instanceof Trouble)) return error;
    const what = `${span.timeframe} bars of ${span.symbol}`;
    const later = "pages received are kept: run the same command again later";
    switch (error.kind) {
      case "rate":
        return new UserError(
          `${this.#vendor} refuses ${what}: too many calls, although only ${this.#plan.callsPerMinute} a minute are made ` +
            `(${error.message})`, `${this.#wire.rateHint}; ${later}`, { cause: error });
      case "server":
        return new UserError(`${this.#vendor} is in trouble: ${error.message}, ${ATTEMPTS_MAX} times for ${what}`, later,
          { cause: error });
      case "network":
        return new UserError(`${this.#vendor} cannot be reached for ${what}: ${error.message}, ${ATTEMPTS_MAX} times`,
          `check the network and the address (dmn config); ${later}`, { cause: error });
      case "page":
        // The page before it may be the wrong one: a rerun must not start from what was kept.
        this.#pages.clear();
        return new UserError(`${this.#vendor} sent ${error.message}, ${ATTEMPTS_MAX} times for ${what}`,
          "nothing of it was stored: run the same command again later", { cause: error });
    }
  }
}

/** Where bars that were not received yet may start. */
function nextStart(last: number, timeframe: Timeframe): number {
  return timeframe === "1d" ? last + 1 : last + TIMEFRAMES[timeframe];
}

function remarksOf(series: BarSeries, completed: number, leftOut: number): string[] {
  const count = (n: number, one: string, many: string): string[] => n === 0 ? [] : [`${n} ${n === 1 ? one : many}`];
  return [
    ...count(completed, "answer that was cut short was completed", "answers that were cut short were completed"),
    ...count(series.revised, "revised bar replaced", "revised bars replaced"),
    ...count(series.duplicates, "duplicate bar dropped", "duplicate bars dropped"),
    ...count(leftOut, "dividend in another currency left out", "dividends in another currency left out"),
  ];
}

/** In words, why an exchange of bytes failed: "connection refused", never an address or a header. */
export function networkReason(error: unknown): string {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (at instanceof SyntaxError) return "an answer that is cut off";
    if (at.name === "TimeoutError") return "no answer in time";
    const code = (at as NodeJS.ErrnoException).code;
    if (typeof code === "string" && code in NETWORK_REASONS) return NETWORK_REASONS[code];
  }
  return messageOf(error);
}

const NETWORK_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused", ECONNRESET: "connection reset", ENOTFOUND: "host not found",
  EAI_AGAIN: "host not found", ETIMEDOUT: "no answer in time", EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no network", UND_ERR_SOCKET: "connection closed in the middle of an answer",
  UND_ERR_CONNECT_TIMEOUT: "no answer in time", UND_ERR_HEADERS_TIMEOUT: "no answer in time",
  UND_ERR_BODY_TIMEOUT: "no answer in time",
};
