/**
 * Alpaca: raw bars of US equities and their actions, through `@alpacahq/alpaca-trade-api`.
 *
 *   stocks.stockBars({ symbols, timeframe, start, end, feed, adjustment: raw, pageToken })
 *   corporateActions.corporateActions({ symbols, types, start, end, pageToken })
 *
 * The package asks one page at a time for us; pages are followed here, not by its iterators,
 * because those end without a word at a repeated token and cannot resume. Its own retries and rate
 * limit are switched off: they wait by the wall clock instead of the context's, give up after two,
 * and do not cover a body that breaks off (read in version 4.0.2). It has no option for the
 * address, so its `fetch` is replaced by one that knows exactly one host and refuses others.
 *
 * Spin-offs, mergers and unit splits are not prices' factors and are left out.
 */
import { formatDay } from "../../base/units.ts";
import type { Context } from "../../base/context.ts";
import type { Timeframe } from "../bars.ts";
import { AlpacaWire } from "./alpaca-wire.ts";
import { alpacaKeys } from "./keys.ts";
import type { FetchRequest, Source } from "./source.ts";
import {
  checkBase, checkRequest, describeVendor, instrumentOf, type VendorRequest,
} from "./vendor-request.ts";
import { deliverVendor, type VendorOptions } from "./vendor.ts";

const NAME = "alpaca";
const TIMEFRAMES_HERE: readonly Timeframe[] = ["1d", "1h", "30m", "15m", "5m", "1m"];

/** Alpaca's market data. `options` is for tests. */
export function alpaca(options: VendorOptions = {}): Source {
  const check = (request: FetchRequest, context: Context): VendorRequest =>
    checkRequest(NAME, TIMEFRAMES_HERE, request, context);
  return {
    name: NAME,
    async describe(request, context) {
      const wanted = check(request, context);
      alpacaKeys(context.root, options.environment);
      checkBase(NAME, context.config.alpaca.dataUrl);
      const { feed } = context.config.alpaca;
      return describeVendor(NAME, wanted, `Alpaca bars, ${feed} feed, raw prices, ` +
        `${formatDay(wanted.from)} to ${formatDay(wanted.to)}`);
    },
    async *fetch(request, context, have, pages) {
      const wanted = check(request, context);
      const wire = await AlpacaWire.open(context, alpacaKeys(context.root, options.environment));
      const { seed } = request;
      yield* deliverVendor({ vendor: NAME, wire, wanted, seed, context, have, pages, options });
    },
    async instruments(request, context) {
      return check(request, context).symbols.map(instrumentOf);
    },
  };
}

export const alpacaSource: Source = alpaca();
