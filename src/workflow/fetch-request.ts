/**
 * What a person typed, a dataset's recipe and an earlier fetch become one FetchRequest; and a
 * FetchRequest becomes a command again.
 */
import * as path from "node:path";
import { equities } from "../../datasets/equities.ts";
import { futures } from "../../datasets/futures.ts";
import { syntheticIntraday } from "../../datasets/synthetic-intraday.ts";
import { synthetic } from "../../datasets/synthetic.ts";
import { quoted } from "../base/command-line.ts";
import { UserError } from "../base/error.ts";
import { suggestion } from "../base/suggest.ts";
import { formatDay, parseDay, type Day } from "../base/units.ts";
import { calendar } from "../market/calendar.ts";
import type { DatasetRecipe, FetchRequest } from "../market/sources/source.ts";
import { SYNTHETIC_SEED } from "../market/sources/synthetic.ts";
import type { Manifest } from "../market/store.ts";
import { SOURCES, type SourceName } from "./sources.ts";

/** Datasets that `dmn fetch --dataset NAME` knows without being told a source. */
export const DATASETS: Readonly<Record<string, DatasetRecipe>> = {
  synthetic, "synthetic-intraday": syntheticIntraday, futures, equities,
};

/** What a recipe may say of a dataset, a person may say too, and more. */
export interface FetchOptions extends Omit<DatasetRecipe, "description" | "source"> {
  readonly dataset: string;
  readonly source?: SourceName;
  readonly path?: string;
  readonly update?: boolean;
  readonly check?: boolean;
}

export interface SourceRequest {
  readonly source: SourceName;
  readonly request: FetchRequest;
}

/** Flags that say what to fetch; without any of them `--check` only looks at what is there. */
const ASKING = ["source", "path", "symbols", "from", "to", "timeframe", "calendar", "stamps",
  "seed", "update"] as const;
export const asksForRows = (options: FetchOptions): boolean =>
  ASKING.some((name) => options[name] !== undefined && options[name] !== false);

/** The source and what to ask it for. Throws UserError when it cannot be told which source. */
export function requestOf(options: FetchOptions): SourceRequest {
  const recipe = Object.hasOwn(DATASETS, options.dataset) ? DATASETS[options.dataset] : undefined;
  const source = options.source ?? (options.path === undefined ? recipe?.source : "csv");
  if (source === undefined) {
    throw new UserError(`where should dataset "${options.dataset}" come from?`,
      `add --source ${Object.keys(SOURCES).join("|")}, or name one that is known: `
      + Object.keys(DATASETS).join(", "));
  }
  if (!isSource(source)) {
    throw new UserError(`there is no source "${source}"`, suggestion(source, Object.keys(SOURCES)));
  }
  // A recipe's symbols and range mean nothing to another source.
  const usual: Partial<DatasetRecipe> = recipe?.source === source ? recipe : {};
  const request: FetchRequest = {
    dataset: options.dataset, symbols: options.symbols ?? usual.symbols ?? [],
    from: dayOf(options.from ?? usual.from), to: dayOf(options.to ?? usual.to),
    timeframe: options.timeframe ?? usual.timeframe ?? null,
    seed: options.seed ?? usual.seed ?? SYNTHETIC_SEED, path: placeOf(options.path),
    calendar: options.calendar ?? usual.calendar ?? null,
    stamps: options.stamps ?? usual.stamps ?? null,
  };
  refuseEmptyRange(request);
  return { source, request };
}

/** What an update cannot change. */
const FIXED = ["symbols", "from", "timeframe", "calendar", "stamps", "seed"] as const;

/**
 * What `--update` asks: the same again; vendors, up to today or the day said. Throws UserError when
 * nobody knows what that was.
 */
export function updateOf(options: FetchOptions, manifest: Manifest): SourceRequest {
  const isOther = options.source !== undefined && options.source !== manifest.source;
  const foreign = isOther ? "source" : FIXED.find((name) => options[name] !== undefined);
  if (foreign !== undefined) {
    throw new UserError(
      `--update asks for the same as before, so --${foreign} has no meaning with it`,
      `leave --${foreign} out, or leave --update out to make the dataset anew`);
  }
  const { request, source } = manifest;
  if (request === undefined || !isSource(source)) {
    throw new UserError(`dataset "${manifest.dataset}" does not say what it was made from`,
      "fetch it anew with --source");
  }
  const to = options.to !== undefined ? dayOf(options.to) : isVendor(source) ? null : request.to;
  if (isVendor(source)) refuseLoss(manifest, to);
  const updated = { ...request, to, path: placeOf(options.path) ?? request.path };
  refuseEmptyRange(updated);
  return { source, request: updated };
}

/** Vendors add rows behind the stored ones; the others are read or made again as a whole. */
export const isVendor = (source: SourceName): boolean =>
  source === "massive" || source === "alpaca";
/** So that `--update` finds the file from another folder. */
const placeOf = (file: string | undefined): string | null =>
  file === undefined ? null : path.resolve(file);
const isSource = (name: string): name is SourceName => Object.hasOwn(SOURCES, name);
const dayOf = (text: string | undefined): Day | null => text === undefined ? null : parseDay(text);

/** What is stored behind the last day asked for would be gone. */
function refuseLoss(manifest: Manifest, to: Day | null): void {
  const sessions = calendar(manifest.calendar);
  const last = Math.max(...manifest.instruments.map((row) => sessions.sessionDay(row.to)));
  if (to === null || to >= last) return;
  throw new UserError(
    `dataset "${manifest.dataset}" has rows up to ${formatDay(last)}, after --to ${formatDay(to)}`,
    "choose a later --to, or leave --update out to make the dataset anew");
}

function refuseEmptyRange({ from, to }: FetchRequest): void {
  if (from === null || to === null || from <= to) return;
  throw new UserError(`the range is empty: from ${formatDay(from)} to ${formatDay(to)}`,
    "choose --from before --to");
}

/** The command that makes this request, for messages and the manifest. */
export function commandOf(source: SourceName, request: FetchRequest): string {
  const words = ["dmn", "fetch", "--source", source, "--dataset", request.dataset];
  const add = (flag: string, value: string | null | undefined): void => {
    if (value != null) words.push(flag, quoted(value));
  };
  add("--path", request.path);
  add("--symbols", request.symbols.length > 0 ? request.symbols.join(",") : null);
  add("--from", request.from === null ? null : formatDay(request.from));
  add("--to", request.to === null ? null : formatDay(request.to));
  add("--timeframe", request.timeframe);
  add("--calendar", request.calendar);
  add("--stamps", request.stamps);
  if (source === "synthetic") add("--seed", String(request.seed));
  return words.join(" ");
}
