/** What vendors can be asked for, checked before the first question. */
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { dayOf, formatDay, type Day } from "../../base/units.ts";
import type { Timeframe } from "../bars.ts";
import { calendar } from "../calendar.ts";
import { instrument, type Instrument } from "../instrument.ts";
import type { FetchRequest, SourceDescription } from "./source.ts";

/** The parts of a request that vendors need. */
export interface VendorRequest {
  readonly symbols: readonly string[];
  readonly timeframe: Timeframe;
  readonly from: Day;
  readonly to: Day;
}

/** Throws UserError for a request that no vendor can answer. `to` defaults to today. */
export function checkRequest(
  vendor: string, timeframes: readonly Timeframe[], request: FetchRequest, context: Context,
): VendorRequest {
  if (request.symbols.length === 0) {
    throw new UserError(`${vendor} must be told which instruments`, "name them: " +
      `dmn fetch --source ${vendor} --dataset ${request.dataset} --symbols AAPL,MSFT --from 2020-01-01`);
  }
  const odd = request.symbols.find((symbol) => !/^[A-Za-z0-9.:^_/-]{1,32}$/.test(symbol));
  if (odd !== undefined) {
    throw new UserError(`"${odd}" is not a symbol`,
      "separate symbols by commas: --symbols AAPL,MSFT");
  }
  const timeframe = request.timeframe ?? "1d";
  if (!timeframes.includes(timeframe)) {
    throw new UserError(`${vendor} has no ${timeframe} bars`,
      `choose one of: --timeframe ${timeframes.join(" | ")}`);
  }
  if ((request.calendar ?? "us-equity") !== "us-equity") {
    throw new UserError(`${vendor} is read as US equities, not on the ${request.calendar} calendar`,
      "leave --calendar out");
  }
  const range = checkRange(vendor, request, context);
  return { symbols: [...new Set(request.symbols)], timeframe, ...range };
}

function checkRange(
  vendor: string, request: FetchRequest, context: Context,
): { readonly from: Day; readonly to: Day } {
  const to = request.to ?? dayOf(context.clock.now());
  if (request.from === null) {
    throw new UserError(`${vendor} must be told where to start`,
      "add for example --from 2020-01-01");
  }
  if (request.from > to) {
    throw new UserError(`the range is empty: from ${formatDay(request.from)} to ${formatDay(to)}`,
      "choose --from before --to");
  }
  return { from: request.from, to };
}

/** Nothing is asked for this: vendors describe an instrument only by answering for it. */
export const instrumentOf = (symbol: string): Instrument =>
  instrument(symbol, { assetClass: "equity" });

export function describeVendor(
  source: string, wanted: VendorRequest, provenance: string,
): SourceDescription {
  return {
    source, isSynthetic: false, kind: "bars", timeframe: wanted.timeframe,
    calendar: calendar("us-equity"), adjustment: "raw", provenance,
  };
}

/** Keys travel in a header: never over plain HTTP, except to this machine (tests). */
export function checkBase(vendor: string, base: string): string {
  const url = new URL(base);
  const isLocal = ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  const isSafe = url.protocol === "https:" || (url.protocol === "http:" && isLocal);
  if (isSafe) return base.replace(/\/+$/, "");
  throw new UserError(
    `the address of ${vendor} is ${url.protocol}//${url.host}: a key is only sent over https`,
    "mend it in dmn.config.json; see: dmn config");
}
