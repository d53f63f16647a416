/**
 * A family turns parameters into a Feature. Families are rows of one table (families.ts), or a file
 * of the user's; a recipe names a family and its parameters.
 */
import { z } from "zod";
import type { ColumnName, Timeframe } from "../market/bars.ts";
import type { Calendar } from "../market/calendar.ts";
import type { Feature } from "./feature.ts";

/** What a family may know of the market besides the bars: for sessions and annualisation. */
export interface Market {
  readonly calendar: Calendar;
  readonly timeframe: Timeframe;
}

export interface Family {
  /** One sentence, for `dmn features --list`. */
  readonly summary: string;
  /**
   * Counts up whenever equal bars and parameters give other numbers: old Parquet files are then
   * refused.
   */
  readonly version: number;
  /** Hash of the file it was loaded from; absent for built-in families. */
  readonly source?: string;
  /** Every parameter has a default, so that the name alone is a valid choice. */
  readonly parameters: z.ZodObject;
  /** Columns of the bars it may read; the Feature made says which it does read. */
  readonly inputs: readonly ColumnName[];
  /** Parses the parameters and binds them. Pure: reads no clock and no file. */
  make(parameters: Readonly<Record<string, unknown>>, market: Market): Feature;
}

/** Declares a family; `make` sees its parameters with their types. */
export function family<S extends z.ZodObject>(declaration: {
  summary: string; version: number; parameters: S; inputs: readonly ColumnName[];
  make(parameters: z.infer<S>, market: Market): Feature;
}): Family {
  return {
    ...declaration,
    make: (parameters, market) => declaration.make(declaration.parameters.parse(parameters), market),
  };
}

/** Window lengths in bars: one or more, each once. */
export const windowList = (...byDefault: number[]) => z.array(z.int().min(1).max(10_000)).min(1).max(64)
  .refine((windows) => new Set(windows).size === windows.length, "each window may appear once")
  .default(byDefault).describe("window lengths in bars");
