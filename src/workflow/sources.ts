/** Every source by its name. A new one joins by one line. */
import { alpacaSource } from "../market/sources/alpaca.ts";
import { csvSource } from "../market/sources/csv.ts";
import { massiveSource } from "../market/sources/massive.ts";
import type { Source } from "../market/sources/source.ts";
import { syntheticSource } from "../market/sources/synthetic.ts";

export const SOURCES = {
  synthetic: syntheticSource, csv: csvSource, massive: massiveSource, alpaca: alpacaSource,
} as const satisfies Record<string, Source>;
export type SourceName = keyof typeof SOURCES;
