/**
 * A source provides rows of instruments. One contract, one conformance suite (test/conformance/source.ts).
 *
 * A source pushes each instrument's rows to a sink as they come; the store decides how they are kept. It
 * never writes files, never prints, and asks for time and waits through the context's clock.
 */
import type { Context } from "../../base/context.ts";
import type { Day } from "../../base/units.ts";
import type { Bars, CorporateAction, Kind, Timeframe } from "../bars.ts";
import type { Calendar, CalendarName } from "../calendar.ts";
import type { Instrument } from "../instrument.ts";

/** What prices mean. */
export const ADJUSTMENTS = ["raw", "split", "total-return", "ratio-back-adjusted", "unknown"] as const;
export type Adjustment = (typeof ADJUSTMENTS)[number];

export interface FetchRequest {
  readonly dataset: string;
  /** Empty: all that the source has (csv, synthetic); refused by vendors. */
  readonly symbols: readonly string[];
  readonly from: Day | null;
  readonly to: Day | null;
  readonly timeframe: Timeframe | null;
  readonly seed: number;
  /** csv: the file. */
  readonly path: string | null;
  /** Overrides the source's own choice; null or absent: the source decides. */
  readonly calendar?: CalendarName | null;
  /** csv: what intraday stamps mean; null or absent: each bar's start, as vendors stamp. */
  readonly stamps?: "start" | "close" | null;
}

/**
 * A dataset that is known by name (datasets/): the request that makes it, as data. Days are YYYY-MM-DD.
 * What it leaves open, the person says.
 */
export interface DatasetRecipe {
  readonly description: string;
  readonly source: string;
  readonly symbols?: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly timeframe?: Timeframe;
  readonly calendar?: CalendarName;
  readonly stamps?: "start" | "close";
  readonly seed?: number;
}

/** What the rows are, known before the first one is delivered. */
export interface SourceDescription {
  readonly source: string;
  readonly isSynthetic: boolean;
  readonly kind: Kind;
  readonly timeframe: Timeframe;
  readonly calendar: Calendar;
  readonly adjustment: Adjustment;
  /** In words, for people: vendor, file, generator and seed. */
  readonly provenance: string;
  /** What was asked for; set by the workflow, kept in the manifest, so that `--update` can ask again. */
  readonly request?: FetchRequest;
}

export interface Delivery {
  readonly bars: Bars;
  readonly actions: readonly CorporateAction[];
  /** In words, for people: what was mended on the way ("2 revised bars"). Absent when nothing was. */
  readonly remarks?: readonly string[];
}

/**
 * Answers of a vendor that were already received, kept by somebody else (page-cache.ts) so that a fetch
 * goes on where it was stopped without asking again. A source puts only answers it has checked.
 */
export interface PageCache {
  /** What an earlier run put under this key, or undefined. */
  get(key: string): unknown;
  /** Keeps a JSON value. It survives a crash once this has returned. */
  put(key: string, page: unknown): void;
  /** Forgets everything: the instrument has been delivered and taken. */
  clear(): void;
}

export interface Source {
  readonly name: string;
  /** Validates the request and says what will come. Throws UserError for anything the person can mend. */
  describe(request: FetchRequest, context: Context): Promise<SourceDescription>;
  /**
   * Delivers each instrument once, whole, in any order. Between instruments (vendors: between
   * answers) it looks at the signal and throws its reason once it has aborted.
   * `have` names instruments already fetched by an interrupted run of the same request; they are not asked
   * again. `pages` holds what an interrupted run had received of the next one (`noPages` keeps nothing);
   * sources that ask nobody ignore it.
   */
  fetch(
    request: FetchRequest, context: Context, have: ReadonlySet<string>, pages: PageCache,
  ): AsyncIterable<Delivery>;
  /**
   * Instruments that will come, when that is known beforehand (for the progress bar and the resume check).
   */
  instruments(request: FetchRequest, context: Context): Promise<readonly Instrument[] | null>;
}
