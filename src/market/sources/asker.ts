/** Asks a vendor about one instrument after another, and believes nothing: see vendor.ts. */
import { unreachable } from "../../base/assert.ts";
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { hashOf } from "../../base/file.ts";
import { formatSeconds, type Task } from "../../base/progress.ts";
import type { Random } from "../../base/random.ts";
import { day, formatDay, MS_PER_HOUR, type Day } from "../../base/units.ts";
import { TIMEFRAMES, type Bars, type CorporateAction } from "../bars.ts";
import { calendar } from "../calendar.ts";
import { BarSeries, closes } from "./bar-series.ts";
import { ATTEMPTS_MAX, patiently, Trouble } from "./patience.ts";
import type { RatePlan } from "./rate-plan.ts";
import type { Delivery, PageCache } from "./source.ts";
import { instrumentOf } from "./vendor-request.ts";
import type { ListedAction, Page, Span, Wire } from "./vendor.ts";

export interface AskerParts {
  readonly vendor: string;
  readonly wire: Wire;
  readonly plan: RatePlan;
  readonly task: Task;
  /** Forecast number of calls, for the time that is left. */
  readonly calls: number;
  readonly random: Random;
  readonly context: Context;
  readonly pages: PageCache;
  readonly timeout: () => AbortSignal;
}

/** How pages of one kind are asked for, judged, kept and joined. */
interface Chain<P extends Page> {
  ask(address: string, signal: AbortSignal): Promise<P>;
  /** What is wrong with it, or null. */
  check(page: P, isFirst: boolean): string | null;
  /** May a later run believe it? */
  isFinal(page: P): boolean;
  add(page: P): void;
  /** Rows or actions of a page, for the log. */
  count(page: P): number;
}

const SESSIONS = calendar("us-equity");
/** Late trading ends at 20:00, the open is at 09:30. */
const EXTENDED_CLOSE_AFTER_OPEN_MS = 10.5 * MS_PER_HOUR;
/** Each completion brings a new bar, so this only bounds a vendor gone mad. */
const COMPLETIONS_MAX = 10_000;
/** The exchange has not rested this long since 1933. */
const EX_DATE_SEARCH_DAYS = 14;

export class Asker {
  readonly #parts: AskerParts;
  #asked = 0;

  constructor(parts: AskerParts) { this.#parts = parts; }

  /** All of one instrument. Throws UserError when it cannot be had whole. */
  async instrument(span: Span): Promise<Delivery> {
    const now = this.#parts.context.clock.now();
    const series = new BarSeries();
    await this.#bars(span, series, now);
    if (series.length === 0) throw await this.#explainNone(span);
    const completed = await this.#complete(span, series, now);
    const { actions, leftOut } = await this.#actions(span);
    const bars = series.toBars({
      ...span, instrument: instrumentOf(span.symbol), calendar: SESSIONS, now,
    });
    if (bars.time.length === 0) throw await this.#explainNone(span);
    const remarks = remarksOf(series, completed, leftOut);
    return remarks.length > 0 ? { bars, actions, remarks } : { bars, actions };
  }

  /** Bars of a span alone, perhaps none: what a live feed has missed. Throws UserError. */
  async missed(span: Span): Promise<Bars> {
    const now = this.#parts.context.clock.now(), series = new BarSeries();
    await this.#bars(span, series, now);
    if (series.length > 0) await this.#complete(span, series, now, isCurrent);
    return series.toBars({ ...span, instrument: instrumentOf(span.symbol), calendar: SESSIONS, now });
  }

  /** Splits and dividends of a span by ex-date, ascending. Throws UserError. */
  async actions(span: Span): Promise<readonly CorporateAction[]> {
    return (await this.#actions(span)).actions;
  }

  async #bars(span: Span, series: BarSeries, now: number): Promise<void> {
    const closeOf = closes(span.timeframe, SESSIONS);
    const { wire } = this.#parts;
    await this.#follow(wire.barsAddress(span), span, {
      ask: (address, signal) => wire.askBars(address, span, signal),
      check: (page, isFirst) => series.check(page.rows, isFirst),
      // A bar that has not ended yet will have other values when a later run goes on.
      isFinal: (page) => page.rows.every((row) => closeOf(row[0]) <= now),
      add: (page) => { series.add(page.rows); },
      count: (page) => page.rows.length,
    });
  }

  /** Asks for the rest until there is none; returns how often there was one. */
  async #complete(span: Span, series: BarSeries, now: number, isEnough = isWhole): Promise<number> {
    for (let completed = 0; completed < COMPLETIONS_MAX; completed++) {
      if (isEnough(series.last, span, now)) return completed;
      const before = series.length;
      await this.#bars(restOf(span, series.last), series, now);
      if (series.length === before) return completed;
    }
    const { vendor } = this.#parts;
    throw new UserError(`${vendor} cut its answer for ${span.symbol} ${COMPLETIONS_MAX} times`,
      "ask for fewer days with --from and --to");
  }

  async #actions(span: Span): Promise<{ actions: CorporateAction[]; leftOut: number }> {
    const { wire } = this.#parts;
    const listed = new Map<string, ListedAction>();
    const isOld = (one: ListedAction): boolean => listed.has(one.id);
    let leftOut = 0;
    for (const first of wire.actionAddresses(span)) {
      await this.#follow(first, span, {
        ask: (address, signal) => wire.askActions(address, span, signal),
        check: ({ actions }) =>
          actions.length > 0 && actions.every(isOld) ? "a page of actions again" : null,
        isFinal: () => true,
        add: (page) => {
          for (const one of page.actions) listed.set(one.id, one);
          leftOut += page.leftOut;
        },
        count: (page) => page.actions.length,
      });
    }
    const actions = [...listed.values()]
      .filter((one) => one.day >= span.from && one.day <= span.to)
      .map((one) => ({ kind: one.kind, exTime: exTimeOf(one.day), value: one.value }))
      .sort((a, b) => a.exTime - b.exTime || a.kind.localeCompare(b.kind) || a.value - b.value);
    return { actions, leftOut };
  }

  /** Follows one chain of pages. Only a page that was checked is kept and joined. */
  async #follow<P extends Page>(first: string, span: Span, chain: Chain<P>): Promise<void> {
    const { context, pages, vendor } = this.#parts;
    const visited = new Set<string>();
    for (let address: string | null = first; address !== null;) {
      const here: string = address;
      visited.add(here);
      const key = `${span.symbol} ${hashOf(`${vendor} ${here}`).slice(0, 32)}`;
      let page = pages.get(key) as P | undefined;
      const isKept = page !== undefined;
      if (page === undefined) {
        page = await this.#ask(span, async (signal) => {
          const answer = await chain.ask(here, signal);
          const turnsBack = answer.next !== null && visited.has(answer.next);
          const problem = chain.check(answer, here === first)
            ?? (turnsBack ? "a page whose next page is an earlier one" : null);
          if (problem !== null) throw new Trouble("page", problem);
          return answer;
        });
        if (chain.isFinal(page)) pages.put(key, page);
      }
      context.log.info(
        { vendor, symbol: span.symbol, address: here, rows: chain.count(page) },
        isKept ? "page kept from before" : "page received");
      chain.add(page);
      address = page.next;
    }
  }

  /** Nothing is kept of an answer without bars: tomorrow there may be some. */
  async #explainNone(span: Span): Promise<UserError> {
    this.#parts.pages.clear();
    return await this.#ask(span, (signal) => this.#parts.wire.explainNone(span, signal));
  }

  /** One question, repeated while that may help. Throws UserError, or the signal's reason. */
  async #ask<T>(span: Span, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { context, plan, timeout, random, vendor } = this.#parts;
    const { clock, log, signal } = context, { symbol } = span;
    try {
      return await patiently(async () => {
        await plan.turn(signal);
        this.#report(symbol);
        return await attempt(AbortSignal.any([signal, timeout()]));
      }, {
        clock, signal, random,
        onWait: ({ kind, message }, waitMs) => {
          log.info({ vendor, symbol, trouble: kind, reason: message, waitMs }, "asking again");
        },
      });
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof Trouble ? this.#giveUp(error, span) : error;
    }
  }

  #report(symbol: string): void {
    const { calls, plan, task } = this.#parts;
    this.#asked++;
    if (this.#asked > calls) task.expect(this.#asked);
    const leftMs = plan.durationMs(calls) * Math.max(0, 1 - this.#asked / calls);
    task.advance(1, leftMs > 0 ? `${symbol} ${formatSeconds(leftMs / 1000)} left` : symbol);
  }

  /** What is left of a Trouble when patience has ended: one sentence and what to do. */
  #giveUp({ kind, message }: Trouble, span: Span): UserError {
    const { vendor, plan, wire, pages } = this.#parts;
    const what = `${span.timeframe} bars of ${span.symbol}`, often = `${ATTEMPTS_MAX} times`;
    const later = "pages received are kept: run the same command again later";
    switch (kind) {
      case "rate":
        return new UserError(`${vendor} refuses ${what}: too many calls, although only ` +
          `${plan.callsPerMinute} a minute are made (${message})`, `${wire.rateHint}; ${later}`);
      case "server":
        return new UserError(`${vendor} is in trouble: ${message}, ${often} for ${what}`, later);
      case "network":
        return new UserError(`${vendor} cannot be reached for ${what}: ${message}, ${often}`,
          `check the network and the address (dmn config); ${later}`);
      case "page":
        // The page before it may be the wrong one: a rerun must not start from what was kept.
        pages.clear();
        return new UserError(`${vendor} sent ${message}, ${often} for ${what}`,
          "nothing of it was stored: run the same command again later");
      default:
        return unreachable(kind);
    }
  }
}

/** Is this bar the last there can be of the last session that has ended, late trading included? */
function isWhole(last: number, span: Span, now: number): boolean {
  const isDaily = span.timeframe === "1d";
  const ended = SESSIONS.sessions(span.from, span.to).map((session) => ({
    day: session.day, at: isDaily ? session.close : session.open + EXTENDED_CLOSE_AFTER_OPEN_MS,
  })).findLast((session) => session.at <= now);
  if (ended === undefined) return true;
  return isDaily ? SESSIONS.sessionDay(last) >= ended.day
    : last + TIMEFRAMES[span.timeframe] >= ended.at;
}

/** The same, and of a session that goes on the last that can have closed: a gap is not cut short either. */
function isCurrent(last: number, span: Span, now: number): boolean {
  return isWhole(last, span, now)
    && (span.timeframe === "1d" || last + 2 * TIMEFRAMES[span.timeframe] > now);
}

/** What may follow the last bar: from the next day, or from the end of the last shorter bar. */
function restOf(span: Span, last: number): Span {
  return span.timeframe === "1d" ? { ...span, from: day(SESSIONS.sessionDay(last) + 1) }
    : { ...span, afterMs: last + TIMEFRAMES[span.timeframe] };
}

/** The open of the ex-date; an ex-date without a session counts from the next one. */
function exTimeOf(exDay: Day): number {
  for (let k = 0; k < EX_DATE_SEARCH_DAYS; k++) {
    const session = SESSIONS.session(day(exDay + k));
    if (session !== null) return session.open;
  }
  throw new UserError(`no session in the two weeks after ${formatDay(exDay)}, an ex-date`,
    "ask for fewer days with --from and --to");
}

function remarksOf(series: BarSeries, completed: number, leftOut: number): string[] {
  const count = (n: number, one: string, many: string): string[] =>
    n === 0 ? [] : [`${n} ${n === 1 ? one : many}`];
  return [
    ...count(completed, "answer that was cut short was completed",
      "answers that were cut short were completed"),
    ...count(series.revised, "revised bar replaced", "revised bars replaced"),
    ...count(series.duplicates, "duplicate bar dropped", "duplicate bars dropped"),
    ...count(leftOut, "dividend in another currency left out",
      "dividends in another currency left out"),
  ];
}
