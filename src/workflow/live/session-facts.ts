/**
 * What follows from a session and the data root, for whoever needs it: live processes, and the report that
 * replays them.
 */
import { calendar, type CalendarName } from "../../market/calendar.ts";
import type { Timeframe } from "../../market/bars.ts";
import { instrument, type Instrument } from "../../market/instrument.ts";
import { readManifest } from "../../market/manifest.ts";
import { bind, type Panel } from "../../features/panel.ts";
import { readRecipe } from "../../features/recipe.ts";
import { hashOf } from "../../base/file.ts";
import { eligibilityOf, type Eligibility } from "../../live/actors/windows.ts";
import type { Session } from "../../live/session.ts";
import { findStrategy } from "../../strategy/find.ts";
import { MODEL_PREFIX, networkName } from "../../strategy/network.ts";
import { readArtifact } from "../../train/artifact.ts";

/** The panel that live and batch share. */
export async function panelOf(root: string, recipe: string, calendarName: CalendarName,
  timeframe: Timeframe): Promise<Panel> {
  return bind(await readRecipe(root, recipe), { calendar: calendar(calendarName), timeframe });
}

export interface Members {
  /** Columns of a features row. */
  readonly names: readonly string[];
  readonly warmup: number;
  readonly lookback: number;
  readonly eligibility: Eligibility;
}

/**
 * What all members together need, so that live decides on the rows that the backtest of their ensemble does.
 */
export async function membersOf(root: string, session: Session): Promise<Members> {
  const { recipe, calendar: name, timeframe } = session;
  const { names, warmup } = await panelOf(root, recipe, name, timeframe);
  const members = await Promise.all(session.models.map(({ strategy }) => findStrategy(root, strategy)));
  const eligibility = eligibilityOf(members, session.mixture === "adaptive");
  return { names, warmup, lookback: eligibility.lookback, eligibility };
}

/** First 8 digits of a hash of the files that a strategy answers with: another file, another version. */
export function versionOf(root: string, strategy: string): string {
  if (!strategy.startsWith(MODEL_PREFIX)) return hashOf(strategy).slice(0, 8);
  const { artifact, seed } = networkName(strategy), { files, folds } = readArtifact(root, artifact);
  const used = folds.flatMap((fold) => fold.seeds).filter((one) => seed === null || one.seed === seed)
    .map(({ file }) => files[file] ?? "");
  return hashOf([artifact, ...used].join("\n")).slice(0, 8);
}

/** (N) facts of the instruments; a vendor tells none. */
export function instrumentsOf(root: string, { symbols, history }: Session): Instrument[] {
  const rows = history === null ? [] : readManifest(root, history.dataset).instruments;
  return symbols.map((symbol) => rows.find((row) => row.symbol === symbol)?.instrument ?? instrument(symbol));
}

/** Daily bars close with the session: their trades happen at that close, as the backtest's do. */
export const isFrictionless = ({ timeframe }: Session): boolean => timeframe === "1d";
