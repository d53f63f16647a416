/**
 * What fetching from any vendor has in common. A vendor's wire says how a question is written and
 * what an answer means; everything that keeps the answers honest is here and in asker.ts, once.
 *
 *   first address --> page --> next address --> page ... no next --> is that really the end?
 *                      |                                            |
 *                      | from the PageCache, else: a turn in the    | "the rest after the last bar?"
 *                      | rate plan, ask, check, ask again           | until the answer is empty: a
 *                      | (patience.ts), and only then keep          | page cut short is completed
 *
 * Vendors cut answers short silently (at 5,000 or 50,000 *base* bars, which for hour bars is any
 * number of rows), so a count of rows proves nothing. The end is proven instead: the last bar is
 * the last that there can be, or the vendor was asked for the rest and had none.
 */
import type { Clock } from "../../base/clock.ts";
import type { Context } from "../../base/context.ts";
import type { UserError } from "../../base/error.ts";
import { formatSeconds } from "../../base/progress.ts";
import { random } from "../../base/random.ts";
import type { Day } from "../../base/units.ts";
import type { CorporateAction, Timeframe } from "../bars.ts";
import { Asker } from "./asker.ts";
import type { Row } from "./bar-series.ts";
import type { Environment } from "./keys.ts";
import { RatePlan } from "./rate-plan.ts";
import type { Delivery, PageCache } from "./source.ts";
import type { VendorRequest } from "./vendor-request.ts";

/** What is asked of one instrument: sessions from..to, after a cut bars from `afterMs` on. */
export interface Span {
  readonly symbol: string;
  readonly timeframe: Timeframe;
  readonly from: Day;
  readonly to: Day;
  /** UTC ms; only for bars of less than a day. */
  readonly afterMs: number | null;
}

/** One answer, as JSON can hold it. `next` is the address of the one that follows. */
export interface Page { readonly next: string | null }
export interface BarPage extends Page { readonly rows: readonly Row[] }
export interface ActionPage extends Page {
  readonly actions: readonly ListedAction[];
  /** Dividends in another currency, which cannot be set against prices in dollars. */
  readonly leftOut: number;
}

/** A split or dividend by its ex-date; `id` tells one that is listed twice from two on one day. */
export interface ListedAction {
  readonly id: string;
  readonly kind: CorporateAction["kind"];
  readonly day: Day;
  readonly value: number;
}

/**
 * One vendor's way of asking and answering. Addresses are paths with a query, without host or key.
 * `ask...` throws Trouble for what may pass, UserError for what will not.
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
const TIMEOUT_MS = 30_000;

export interface VendorFetch {
  readonly vendor: string;
  readonly wire: Wire;
  readonly wanted: VendorRequest;
  /** Of the back-off's jitter. */
  readonly seed: number;
  readonly context: Context;
  readonly have: ReadonlySet<string>;
  readonly pages: PageCache;
  readonly options: VendorOptions;
}

/** Instrument after instrument. Throws the signal's reason once it aborts; pages stay kept. */
export async function* deliverVendor(job: VendorFetch): AsyncGenerator<Delivery> {
  const { vendor, wire, wanted, context, pages } = job;
  const symbols = wanted.symbols.filter((symbol) => !job.have.has(symbol));
  const plan = ratePlanOf(vendor, wire.callsPerMinute, context.clock);
  const calls = symbols.length * forecastCalls(wanted, wire.pageRows);
  const task = context.progress.start(`${vendor} calls`, calls, "calls");
  const seconds = plan.durationMs(calls) / 1000;
  task.advance(0, `about ${formatSeconds(seconds)} at ${plan.callsPerMinute}/min`);
  const timeout = job.options.timeout ?? (() => AbortSignal.timeout(TIMEOUT_MS));
  const jitter = random(job.seed, vendor, "back-off");
  const asker = new Asker({
    vendor, wire, plan, task, calls, random: jitter, context, pages, timeout,
  });
  try {
    for (const symbol of symbols) {
      context.signal.throwIfAborted();
      yield await asker.instrument({ ...wanted, symbol, afterMs: null });
      pages.clear();
    }
  } finally { task.finish(); }
}

const plans = new WeakMap<Clock, Map<string, RatePlan>>();
/** One for a vendor and its rate: what asks again at once (an update) goes on within its minute. */
function ratePlanOf(vendor: string, callsPerMinute: number, clock: Clock): RatePlan {
  const known = plans.get(clock) ?? new Map<string, RatePlan>();
  plans.set(clock, known);
  const key = `${vendor} ${callsPerMinute}`, plan = known.get(key) ?? new RatePlan(callsPerMinute, clock);
  known.set(key, plan);
  return plan;
}

/** One-minute (one-second) base bars of the extended day, 04:00 to 20:00. */
const BASE_BARS_PER_DAY = { minute: 960, second: 57_600 } as const;

/** Calls for one instrument: its bars, splits and dividends. An estimate, from above. */
function forecastCalls(wanted: VendorRequest, pageRows: number): number {
  const weekdays = Math.ceil((wanted.to - wanted.from + 1) * 5 / 7);
  if (wanted.timeframe === "1d") return Math.ceil(weekdays / pageRows) + 2;
  const perDay = BASE_BARS_PER_DAY[wanted.timeframe === "1s" ? "second" : "minute"];
  return Math.ceil((weekdays * perDay) / pageRows) + 3;
}
