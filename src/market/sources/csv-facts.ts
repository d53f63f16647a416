/**
 * What a CSV file cannot say about itself lies beside it: `NAME.meta.json` for NAME.csv(.gz), or a
 * `META.json` with a row per file of the folder. Every key may be missing; an unknown word becomes
 * "other" or "unknown", never an error.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { messageOf, UserError } from "../../base/error.ts";
import { CALENDARS, type CalendarName } from "../calendar.ts";
import { ASSET_CLASSES, instrument, type AssetClass, type Instrument } from "../instrument.ts";
import { ADJUSTMENTS, type Adjustment } from "./source.ts";

type Json = Readonly<Record<string, unknown>>;

export interface CsvFacts {
  readonly adjustment: Adjustment | null;
  readonly calendar: CalendarName | null;
  describe(symbol: string, usual: AssetClass): Instrument;
}

const CLASS_WORDS: Readonly<Record<AssetClass, readonly string[]>> = {
  equity: ["equity", "equities", "stock", "stocks", "etf", "index"], bond: ["bond", "bonds"],
  rate: ["rate", "rates", "stir"], fx: ["fx", "currency", "currencies"],
  commodity: ["commodity", "commodities"], energy: ["energy", "energies", "oilgas"],
  metal: ["metal", "metals"],
  agriculture: ["agriculture", "ags", "agri", "softs", "grains", "livestock"],
  volatility: ["volatility", "vol"], crypto: ["crypto", "cryptocurrency"], other: [],
};

/** Words that begin an adjustment in prose. */
const ADJUSTMENT_WORDS: readonly (readonly [RegExp, Adjustment])[] = [
  [/^split[ ,-].*not dividend/i, "split"], [/dividend|total.return/i, "total-return"],
  [/^raw/i, "raw"], [/^split/i, "split"], [/ratio/i, "ratio-back-adjusted"],
];

export function readFacts(place: string): CsvFacts {
  const file = path.basename(place), stem = file.replace(/\.csv(\.gz)?$/, "");
  const own = readJson(path.join(path.dirname(place), `${stem}.meta.json`));
  const shared = readJson(path.join(path.dirname(place), "META.json"));
  const facts = own ?? record(record(shared?.["files"])?.[file]) ?? {};
  const symbols = record(facts["symbols"]) ?? {};
  return {
    adjustment: adjustmentOf(word(facts["adjustment"])),
    calendar: CALENDARS.find((name) => name === facts["calendar"]) ?? null,
    describe(symbol, usual) {
      const said = record(symbols[symbol]) ?? {};
      const halfSpreadBps = said["half_spread_bps"];
      return instrument(symbol, {
        assetClass: classOf(said) ?? classOf(facts) ?? usual,
        currency: word(said["currency"]) ?? word(facts["currency"]) ?? "USD",
        halfSpreadBps: isSpread(halfSpreadBps) ? halfSpreadBps : NaN,
        description: word(said["description"]) ?? "",
      });
    },
  };
}

const isSpread = (value: unknown): value is number => typeof value === "number" && value >= 0;

/** The source's own, finer word before the general one. */
function classOf(facts: Json): AssetClass | null {
  for (const key of ["source_asset_class", "asset_class"]) {
    const said = word(facts[key])?.toLowerCase();
    if (said === undefined) continue;
    const found = ASSET_CLASSES.find((name) => CLASS_WORDS[name].includes(said));
    if (found !== undefined) return found;
  }
  return null;
}

function adjustmentOf(said: string | undefined): Adjustment | null {
  if (said === undefined) return null;
  const inProse = ADJUSTMENT_WORDS.find(([pattern]) => pattern.test(said));
  return ADJUSTMENTS.find((name) => name === said) ?? inProse?.[1] ?? null;
}

function readJson(place: string): Json | null {
  if (!fs.existsSync(place)) return null;
  try {
    return record(JSON.parse(fs.readFileSync(place, "utf8"))) ?? null;
  } catch (error) {
    throw new UserError(`${place} is not valid JSON: ${messageOf(error)}`,
      "mend it or move it away; it only adds facts about instruments");
  }
}

const record = (value: unknown): Json | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? value as Json : undefined;
const word = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;
