/**
 * Bars that were before the stream: the history that lookbacks need, and gaps. From a dataset of the store,
 * or from the vendor by REST, through the clients of `dmn fetch`, which prove that nothing was cut off.
 */
import type { Clock } from "../../base/clock.ts";
import type { Context } from "../../base/context.ts";
import { random } from "../../base/random.ts";
import { day, dayOf, MS_PER_DAY, timeMs } from "../../base/units.ts";
import type { Bars, CorporateAction } from "../../market/bars.ts";
import { firstRowAt, sliceBars, TICK_SIDES } from "../../market/bars.ts";
import { calendar } from "../../market/calendar.ts";
import { noPages } from "../../market/page-cache.ts";
import { AlpacaWire } from "../../market/sources/alpaca-wire.ts";
import { Asker } from "../../market/sources/asker.ts";
import type { AlpacaKeys, MassiveKeys } from "../../market/sources/keys.ts";
import { MassiveWire } from "../../market/sources/massive.ts";
import { RatePlan } from "../../market/sources/rate-plan.ts";
import type { Span, Wire } from "../../market/sources/vendor.ts";
import { readBars, readManifest } from "../../market/store.ts";
import type { Session } from "../session.ts";
import { BAR_FIELDS } from "../message.ts";
import { WIDTH } from "./bar-store.ts";
import { BarBuilder, barCloses, type Make } from "./bar-builder.ts";
import type { Listing } from "./feed.ts";

/** Closes of a replay's history that are kept at most: as many as hearers are given when they come back. */
export const HISTORY_STEPS_MAX = 20_000;
const TIMEOUT_MS = 30_000;
/** Ex-dates are announced days before; over a long weekend nobody is asked. */
const ACTIONS_AHEAD_DAYS = 5;

/** The session's instruments before its replay begins. UserError: no dataset, unknown symbol, damage. */
export async function datasetHistory(root: string, session: Session): Promise<Listing[]> {
  const { history, symbols } = session;
  if (history === null) return [];
  const manifest = readManifest(root, history.dataset), listings: Listing[] = [];
  for (const symbol of symbols) {
    const rows = await readBars(root, manifest, symbol, { to: history.from - 1, adjust: "none" });
    const bars = rows.kind === "ticks" ? barsOfTicks(rows, session) : rows;
    const { actions } = manifest.instruments.find((row) => row.symbol === symbol)!;
    const T = bars.time.length;
    listings.push({ bars: sliceBars(bars, Math.max(0, T - HISTORY_STEPS_MAX), T),
      adjustment: manifest.adjustment,
      // Those of the replay, too: they count from their ex-date on.
      actions: actions.filter(({ exTime }) => exTime <= history.to) });
  }
  return listings;
}

/** Whole bars of trades, as the feed makes them of a stream. */
function barsOfTicks({ time, columns, instrument }: Bars, { timeframe, calendar: name }: Session): Bars {
  const { side, tickPrice, size } = columns, times: number[] = [];
  const values = BAR_FIELDS.map((): number[] => []);
  const builder = new BarBuilder(1, barCloses(timeframe, calendar(name))), part = new Float64Array(WIDTH);
  const make: Make = (at, _, rows) => {
    times.push(at);
    values.forEach((column, j) => column.push(rows[j]));
  };
  for (let t = 0; t < time.length; t++) {
    if (TICK_SIDES[side![t]] !== "trade") continue;
    const price = tickPrice![t];
    part.set([price, price, price, price, size![t], price, 1]);
    builder.take(time[t], 0, part, 0, make);
  }
  builder.finish(Infinity, make);
  return { instrument, kind: "bars", timeframe, time: Float64Array.from(times),
    columns: Object.fromEntries(BAR_FIELDS.map((field, j) => [field, Float64Array.from(values[j])])) };
}

/** Asks a vendor about what was missed. */
export interface Past {
  /**
   * Bars of one instrument that closed after `since` (UTC ms), none unfinished. `knownTo`: the market is as
   * far as that, whatever the clock says; a replay's stands still while its feed waits for a gap. Throws
   * UserError.
   */
  bars(symbol: string, since: number, knownTo: number, signal: AbortSignal): Promise<Bars>;
  /** The last `rows` bars, about, with splits and dividends. Throws UserError. */
  listing(symbol: string, rows: number, signal: AbortSignal): Promise<Listing>;
  /** Splits and dividends whose ex-date is today or in the days to come. Throws UserError. */
  actions(symbol: string, signal: AbortSignal): Promise<readonly CorporateAction[]>;
}

export async function vendorPast(session: Session, context: Context,
  keys: AlpacaKeys | MassiveKeys): Promise<Past> {
  const { wire: vendor, timeframe, seed } = session, { clock, config } = context;
  const wire: Wire = "apiKey" in keys ? new MassiveWire(context, keys.apiKey)
    : await AlpacaWire.open(context, keys);
  const plan = new RatePlan(wire.callsPerMinute, clock), sessions = calendar(session.calendar);
  const askerFor = (signal: AbortSignal, now = clock): Asker => new Asker({ vendor, wire, plan, calls: 1,
    pages: noPages,
    context: { ...context, clock: now, config, signal: AbortSignal.any([context.signal, signal]) },
    task: context.progress.start(`${vendor} calls`, 1, "calls"), random: random(seed, vendor, "past"),
    timeout: () => AbortSignal.timeout(TIMEOUT_MS) });
  const today = (now = clock): Span["to"] => dayOf(now.now() + MS_PER_DAY / 2);
  return {
    async bars(symbol, since, knownTo, signal) {
      const isDaily = timeframe === "1d", from = sessions.sessionDay(since);
      const now: Clock = { now: () => timeMs(Math.max(clock.now(), knownTo)),
        sleep: (durationMs, until) => clock.sleep(durationMs, until) };
      const bars = await askerFor(signal, now)
        .missed({ symbol, timeframe, from, to: today(now), afterMs: isDaily ? null : since });
      return sliceBars(bars, firstRowAt(bars.time, since + 1), bars.time.length);
    },
    async listing(symbol, rows, signal) {
      const asker = askerFor(signal);
      // 252 sessions a year, and some holidays.
      const days = Math.ceil(rows / sessions.barsPerSession(timeframe) * 365 / 252) + 10;
      const span: Span = { symbol, timeframe, from: day(today() - days), to: today(), afterMs: null };
      const bars = await asker.missed(span);
      return { bars, actions: await asker.actions(span), adjustment: "raw" };
    },
    actions: (symbol, signal) => askerFor(signal).actions({ symbol, timeframe, afterMs: null,
      from: sessions.sessionDay(clock.now()), to: day(today() + ACTIONS_AHEAD_DAYS) }),
  };
}
