/**
 * The conformance suite of sources: what src/market/sources/source.ts promises, asked of each implementation. A source
 * joins by one line in test/sources.test.ts.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Context } from "../../src/base/context.ts";
import { UserError } from "../../src/base/error.ts";
import { day, formatTime } from "../../src/base/units.ts";
import { COLUMNS, TIMEFRAMES, type Bars, type ColumnName, type Timeframe } from "../../src/market/bars.ts";
import { noPages } from "../../src/market/page-cache.ts";
import type { Delivery, FetchRequest, Source } from "../../src/market/sources/source.ts";
import { DAILY_SPAN, dailyMarket, INTRADAY_SPAN, intradayMarket, type Market } from "./market.ts";

/** A source, opened over a market (a file was written, a simulator started), with its context. */
export interface OpenedSource extends AsyncDisposable {
  readonly source: Source;
  readonly context: Context;
  /** Aborts the context's signal. */
  readonly abort: () => void;
  /** What the source needs of a request besides symbols, days and timeframe: its file. */
  readonly request: Partial<FetchRequest>;
}

export interface SourceCase {
  readonly name: string;
  /** Opens the source over this market. A source that invents its own ignores it. */
  open(market: Market): Promise<OpenedSource>;
  readonly ownMarket?: boolean;
  /** What its format can hold of a bar and of an instrument. */
  readonly columns: readonly ColumnName[];
  readonly hasActions: boolean;
  /** The timeframe less than a day that it is asked for. */
  readonly intraday: Timeframe;
}

export function requestOf(changes: Partial<FetchRequest>): FetchRequest {
  return {
    dataset: "conformance", symbols: [], from: DAILY_SPAN.from, to: DAILY_SPAN.to, timeframe: "1d", seed: 1, path: null,
    ...changes,
  };
}

/** Runs the whole fetch. */
export async function collect(opened: OpenedSource, request: FetchRequest, have: ReadonlySet<string> = new Set(),
): Promise<Map<string, Delivery>> {
  const deliveries = new Map<string, Delivery>();
  for await (const delivery of opened.source.fetch(request, opened.context, have, noPages)) {
    const { symbol } = delivery.bars.instrument;
    assert.ok(!deliveries.has(symbol), `${symbol} was delivered twice`);
    deliveries.set(symbol, delivery);
  }
  return deliveries;
}

/** Fails unless the columns named, and the times, are the same bits. */
export function assertSameBars(actual: Bars, expected: Bars, columns: readonly ColumnName[]): void {
  const { symbol } = expected.instrument;
  assert.equal(actual.instrument.symbol, symbol);
  assert.equal(actual.timeframe, expected.timeframe);
  assert.deepEqual([...actual.time].map(formatTime), [...expected.time].map(formatTime), `times of ${symbol}`);
  for (const name of columns) {
    assert.deepEqual(actual.columns[name], expected.columns[name], `${name} of ${symbol}`);
  }
}

export function testSource(one: SourceCase): void {
  const daily = dailyMarket(), intraday = intradayMarket(one.intraday);

  /** Opens the source with a request of three instruments (two intraday). */
  async function opened(timeframe: "1d" | "intraday"): Promise<{ at: OpenedSource; request: FetchRequest; symbols: string[] }> {
    const market = timeframe === "1d" ? daily : intraday;
    const at = await one.open(market);
    const range = timeframe === "1d" ? DAILY_SPAN : INTRADAY_SPAN;
    const base = requestOf({ ...range, timeframe: timeframe === "1d" ? "1d" : one.intraday, ...at.request });
    const named = one.ownMarket ? await at.source.instruments(base, at.context) ?? [] : [];
    const known = one.ownMarket ? named.map((each) => each.symbol) : [...market.keys()];
    const symbols = known.slice(0, timeframe === "1d" ? 3 : 2);
    return { at, request: { ...base, symbols }, symbols };
  }

  describe(`source ${one.name}`, () => {
    if (!one.ownMarket) {
      for (const timeframe of ["1d", "intraday"] as const) {
        test(`delivers the same ${timeframe === "1d" ? "1d" : one.intraday} bars as went in, to the bit`, async () => {
          const { at, request, symbols } = await opened(timeframe);
          await using _ = at;
          const deliveries = await collect(at, request);
          assert.deepEqual([...deliveries.keys()].sort(), [...symbols].sort());
          for (const [symbol, expected] of timeframe === "1d" ? daily : intraday) {
            const delivery = deliveries.get(symbol);
            assert.ok(delivery, symbol);
            assertSameBars(delivery.bars, expected.bars, one.columns);
            if (one.hasActions) assert.deepEqual(delivery.actions, expected.actions, symbol);
          }
        });
      }
    }

    test("stamps bars with closes that ascend strictly: 1d at its session's close, shorter ones on whole bars", async () => {
      for (const timeframe of ["1d", "intraday"] as const) {
        const { at, request } = await opened(timeframe);
        await using _ = at;
        const { calendar } = await at.source.describe(request, at.context);
        for (const { bars } of (await collect(at, request)).values()) {
          assert.ok(bars.time.length > 10);
          bars.time.forEach((time, t) => {
            if (t > 0) assert.ok(time > bars.time[t - 1], `row ${t} of ${bars.instrument.symbol}`);
            const session = calendar.session(calendar.sessionDay(time));
            assert.ok(session, `${formatTime(time)} is on a day with a session`);
            if (bars.timeframe === "1d") assert.equal(time, session.close);
            else assert.equal(Math.abs((time - session.open) % TIMEFRAMES[bars.timeframe]), 0);
          });
        }
      }
    });

    test("delivers what it describes: kind, timeframe, columns of that kind, a close above 0 in every row", async () => {
      const { at, request } = await opened("1d");
      await using _ = at;
      const description = await at.source.describe(request, at.context);
      assert.equal(description.source, at.source.name);
      assert.equal(description.isSynthetic, one.ownMarket ?? false);
      assert.notEqual(description.provenance, "");
      for (const { bars } of (await collect(at, request)).values()) {
        assert.equal(bars.kind, description.kind);
        assert.equal(bars.timeframe, description.timeframe);
        for (const [name, values] of Object.entries(bars.columns)) {
          assert.equal(COLUMNS[name as ColumnName].kind, bars.kind, name);
          assert.equal(values.length, bars.time.length, name);
        }
        for (const name of one.columns) assert.ok(bars.columns[name], name);
        assert.ok(bars.columns.close?.every((close) => Number.isFinite(close) && close > 0));
      }
    });

    test("delivers the days asked for, both ends included, and no others", async () => {
      const { at, request } = await opened("1d");
      await using _ = at;
      const { calendar } = await at.source.describe(request, at.context);
      const from = day(DAILY_SPAN.from + 63), to = day(DAILY_SPAN.from + 70);
      for (const { bars } of (await collect(at, { ...request, from, to, symbols: request.symbols.slice(0, 2) })).values()) {
        const days = [...bars.time].map((time) => calendar.sessionDay(time));
        assert.ok(days.length >= 4 && days.length <= 6, `${days.length} bars`);
        assert.ok(days.every((each) => each >= from && each <= to));
      }
    });

    test("names the instruments that will come", async () => {
      const { at, request, symbols } = await opened("1d");
      await using _ = at;
      const named = await at.source.instruments(request, at.context);
      if (named !== null) assert.deepEqual(named.map((each) => each.symbol).sort(), [...symbols].sort());
    });

    test("does not deliver the 1 instrument that an interrupted run already has", async () => {
      const { at, request, symbols } = await opened("1d");
      await using _ = at;
      const deliveries = await collect(at, request, new Set([symbols[1]]));
      assert.deepEqual([...deliveries.keys()].sort(), [symbols[0], symbols[2]].sort());
    });

    test("stops after 1 of 3 instruments when the signal aborts, with the signal's reason", async () => {
      const { at, request } = await opened("1d");
      await using _ = at;
      let delivered = 0;
      await assert.rejects(async () => {
        for await (const _delivery of at.source.fetch(request, at.context, new Set(), noPages)) {
          delivered++;
          at.abort();
        }
      }, (error: unknown) => error === at.context.signal.reason);
      assert.equal(delivered, 1);
    });

    test("answers an unknown symbol with a UserError that names it and says what to do", async () => {
      const { at, request } = await opened("1d");
      await using _ = at;
      await assert.rejects(async () => {
        const wanted = { ...request, symbols: ["NOSUCH"] };
        await at.source.describe(wanted, at.context);
        await collect(at, wanted);
      }, (error: unknown) => error instanceof UserError && error.message.includes("NOSUCH") && error.hint !== "");
    });

    test("refuses a timeframe that it does not have, by name", async () => {
      const { at, request } = await opened("1d");
      await using _ = at;
      await assert.rejects(async () => at.source.describe({ ...request, timeframe: "tick" }, at.context),
        (error: unknown) => error instanceof UserError && error.message.includes("tick"));
    });

    test("is deterministic: 2 fetches of one request give the same bits", async () => {
      const runs: Map<string, Delivery>[] = [];
      for (let run = 0; run < 2; run++) {
        const { at, request } = await opened("1d");
        await using _ = at;
        runs.push(await collect(at, request));
      }
      assert.deepEqual(runs[0], runs[1]);
    });
  });
}
