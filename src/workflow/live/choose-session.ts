/**
 * From what was said on the command line to a Session: the whole of one run, as data.
 *
 *   no keys           simulator, replaying a dataset (the synthetic one of `npm start` when none is named)
 *   Alpaca keys       its paper account, bars from Alpaca or Massive
 *   ... and --live    real money, if the settings allow it and a person types so
 */
import * as os from "node:os";
import * as path from "node:path";
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { hashOf } from "../../base/file.ts";
import { formatDay, dayOf, MS_PER_DAY, parseDay } from "../../base/units.ts";
import { suggestion } from "../../base/suggest.ts";
import { calendar, type CalendarName } from "../../market/calendar.ts";
import type { Timeframe } from "../../market/bars.ts";
import { listDatasets, readManifest, type Manifest } from "../../market/store.ts";
import { alpacaKeys, massiveKeys, NoKeyError } from "../../market/sources/keys.ts";
import { portsFrom } from "../../live/topology.ts";
import { sessionSchema, type Session } from "../../live/session.ts";
import { findStrategy } from "../../strategy/find.ts";
import type { Strategy } from "../../strategy/strategy.ts";
import { defaultModels, modelsFrom } from "./choose-models.ts";
import { panelOf } from "./session-facts.ts";

export { panelOf };

export interface LiveOptions {
  /** Dataset that the simulator replays; null: a vendor's prices, or without keys the synthetic one. */
  readonly replay: string | null;
  readonly from: string | null;
  readonly to: string | null;
  /** Bars a second; "max": each as soon as the one before is settled; "real": as they were recorded. */
  readonly pace: number | "max" | "real" | null;
  readonly isLive: boolean;
  readonly feed: "alpaca" | "massive" | null;
  readonly wire: "alpaca" | "massive" | null;
  readonly symbols: readonly string[];
  readonly timeframe: Timeframe | null;
  readonly models: readonly string[];
  readonly mixture: "equal" | "adaptive";
  readonly capital: number;
  readonly volatilityTarget: number;
  readonly portfolioTarget: number | null;
  readonly weightMax: number | null;
  readonly portfolio: Session["sizing"]["method"];
  readonly isFractional: boolean;
  readonly orders: Session["execution"]["style"];
  readonly seed: number;
  readonly faults: string;
  readonly portBase: number | null;
  readonly device: "cpu" | "cuda" | "auto";
  readonly precision: NonNullable<Session["precision"]>;
}

export const LIVE_DEFAULTS = {
  replay: null, from: null, to: null, pace: null, isLive: false, feed: null, wire: null, symbols: [],
  timeframe: null, models: [], mixture: "adaptive", capital: 1_000_000, volatilityTarget: 0.15,
  portfolioTarget: null, weightMax: null, portfolio: "volatility", isFractional: false, orders: "market",
  seed: 7, faults: "none", portBase: null, device: "auto", precision: "float32",
} as const satisfies LiveOptions;

const DATASET = "synthetic";
const REPLAY_DEFAULT_BARS = 1_000;
const PACE_DEFAULT = 4;
/** How long a decision waits for a model; a stepped market stands still meanwhile, and misses nothing. */
const DEADLINE_MS = 2_000, STEPPED_DEADLINE_MS = 10_000;
const TWAP_SLICES = 4;

/** UserError for anything that cannot be traded with; nothing has been started then. */
export async function chooseSession(options: LiveOptions, context: Context): Promise<Session> {
  const keys = options.replay === null ? keysOf(options, context) : null;
  if (options.isLive && keys === null) {
    throw new UserError("real money needs keys and a vendor's prices, not a replay",
      "leave out --replay and set APCA_API_KEY_ID and APCA_API_SECRET_KEY");
  }
  return keys === null ? replaySession(options, context) : vendorSession(options, context);
}

/** Null: there are none, and nobody asked for a vendor. */
function keysOf({ isLive, feed }: LiveOptions, { root }: Context): object | null {
  try {
    const keys = alpacaKeys(root);
    if (feed === "massive") massiveKeys(root);
    return keys;
  } catch (error) {
    if (error instanceof NoKeyError && !isLive && feed === null) return null;
    throw error;
  }
}

async function replaySession(options: LiveOptions, context: Context): Promise<Session> {
  const manifest = await manifestOf(options.replay ?? DATASET, context);
  const models = options.models.length > 0 ? modelsFrom(options.models)
    : await defaultModels(manifest, context);
  const strategies = await membersOf(context.root, models);
  const symbols = chooseSymbols(options.symbols, manifest);
  const rows = manifest.instruments.filter(({ symbol }) => symbols.includes(symbol));
  const last = Math.max(...rows.map((row) => row.to)), first = Math.min(...rows.map((row) => row.from));
  const trained = Math.max(...strategies.map(({ decidesFrom }) => decidesFrom ?? -Infinity));
  const timeframe = timeframeOf(manifest, options);
  const to = options.to === null ? last : dayEnd(options.to);
  const from = options.from === null
    ? Math.max(first, trained, last - spanOf(REPLAY_DEFAULT_BARS, manifest.calendar, timeframe))
    : dayStart(options.from);
  if (from < trained) {
    throw new UserError(`the models were trained on days before ${formatDay(dayOf(trained))}: trading `
      + `${formatDay(dayOf(from))} would prove nothing`, `begin later: --from ${formatDay(dayOf(trained))}`);
  }
  if (from >= to || from >= last) {
    throw new UserError(`dataset "${manifest.dataset}" has no bars between ${formatDay(dayOf(from))} and `
      + formatDay(dayOf(to)), `it ends ${formatDay(dayOf(last))}: choose --from and --to within it`);
  }
  const { pace } = options, isDaily = timeframe === "1d";
  const paced = pace ?? (isDaily ? PACE_DEFAULT : "real");
  return finish(options, context, { models, strategies, symbols, timeframe,
    calendar: manifest.calendar, venue: "simulator", feed: "simulator",
    // Alpaca has no bars of seconds.
    wire: options.wire ?? (timeframe === "1s" ? "massive" : "alpaca"),
    history: { dataset: manifest.dataset, from, to },
    clock: { kind: "market", isStepped: paced === "max",
      barsPerSecond: typeof paced === "number" ? paced : null } });
}

async function vendorSession(options: LiveOptions, context: Context): Promise<Session> {
  if (options.models.length === 0 || options.symbols.length === 0) {
    throw new UserError(`which ${options.symbols.length === 0 ? "instruments" : "models"} shall be traded?`,
      "for example: dmn live --paper --symbols SPY,QQQ "
        + "--models lstm-1=model:NAME/seed-0,lstm-2=model:NAME/seed-1");
  }
  const models = modelsFrom(options.models), strategies = await membersOf(context.root, models);
  const feed = options.feed ?? "alpaca";
  return finish(options, context, { models, strategies, symbols: [...new Set(options.symbols)],
    timeframe: options.timeframe ?? "1m", calendar: "us-equity",
    venue: options.isLive ? "alpaca-live" : "alpaca-paper",
    feed, wire: options.wire ?? feed, history: null,
    clock: { kind: "wall", isStepped: false, barsPerSecond: null } });
}

interface Chosen extends Pick<Session, "models" | "symbols" | "timeframe" | "calendar" | "venue" | "feed"
  | "wire"  | "history" | "clock"> { readonly strategies: readonly Strategy[] }

async function finish(options: LiveOptions, context: Context, chosen: Chosen): Promise<Session> {
  const { strategies, ...said } = chosen, [{ recipe }] = strategies;
  const panel = await panelOf(context.root, recipe, said.calendar, said.timeframe);
  const { risk, live } = context.config;
  return sessionSchema.parse({ ...said,
    id: new Date(context.clock.now()).toISOString().replace(/[:.]/g, "-"),
    strategyName: nameOf(said.venue, context.root),
    recipe, recipeHash: panel.hash,
    quorum: Math.max(1, Math.ceil(said.models.length / 2)),
    deadlineMs: said.clock.isStepped ? STEPPED_DEADLINE_MS : DEADLINE_MS,
    mixture: said.models.length > 1 ? options.mixture : "equal", isConfidenceWeighted: true,
    sizing: { volatilityTarget: options.volatilityTarget, weightMax: options.weightMax,
      portfolioTarget: options.portfolioTarget, method: options.portfolio, isFractional: options.isFractional,
      capital: options.capital },
    risk, execution: { style: options.orders, slices: options.orders === "twap" ? TWAP_SLICES : 1,
      timeoutMs: 10_000,
      // Of a broker's real minutes; a replayed day passes in a moment.
      callsPerMinute: said.clock.kind === "market" ? 1_000_000 : 200 },
    ports: portsFrom(options.portBase ?? live.portBase), host: live.host, seed: options.seed,
    faults: options.faults, simulatorUrl: null, device: await deviceOf(options),
    precision: options.precision } satisfies Session);
}

/**
 * With which the ids of its orders begin: two folders or machines that trade on one account never meet there,
 * and the same one has the same name again after a restart.
 */
export const nameOf = (venue: Session["venue"], root: string): string =>
  venue === "simulator" ? "dmn" : `dmn.${hashOf(`${os.hostname()} ${path.resolve(root)}`).slice(0, 10)}`;

/** The dataset that is replayed; the synthetic one is made when it is wanted and not there. */
async function manifestOf(dataset: string, context: Context): Promise<Manifest> {
  if (dataset === DATASET && !listDatasets(context.root).includes(dataset)) {
    await (await import("../fetch.ts")).fetch({ dataset }, context);
  }
  const manifest = readManifest(context.root, dataset);
  if (manifest.kind !== "quotes") return manifest;
  throw new UserError(`dataset "${dataset}" holds ${manifest.kind}, and models read bars`,
    "replay a dataset of bars or ticks: dmn live --replay NAME");
}

async function membersOf(root: string, models: Session["models"]): Promise<Strategy[]> {
  const strategies = await Promise.all(models.map(({ strategy }) => findStrategy(root, strategy)));
  const odd = strategies.find(({ recipe }) => recipe !== strategies[0].recipe);
  if (odd === undefined) return strategies;
  throw new UserError(
    `${strategies[0].name} reads recipe ${strategies[0].recipe} and ${odd.name} recipe ${odd.recipe}`,
    "the models of one session read one recipe: choose models that agree");
}

function chooseSymbols(wanted: readonly string[], manifest: Manifest): string[] {
  const known = manifest.instruments.map(({ symbol }) => symbol);
  const unknown = wanted.find((symbol) => !known.includes(symbol));
  if (unknown === undefined) return wanted.length === 0 ? known : [...new Set(wanted)];
  throw new UserError(`dataset "${manifest.dataset}" has no instrument ${unknown}`,
    suggestion(unknown, known));
}

/** Bars of ticks are as long as is asked for. */
const timeframeOf = ({ kind, timeframe }: Manifest, asked: Pick<LiveOptions, "timeframe">): Timeframe =>
  kind === "ticks" ? asked.timeframe ?? "1m" : timeframe;

/** About so many bars, as time. */
const spanOf = (bars: number, name: CalendarName, timeframe: Timeframe): number =>
  bars / calendar(name).periodsPerYear(timeframe) * 365.25 * MS_PER_DAY;
const dayStart = (text: string): number => parseDay(text)! * MS_PER_DAY;
const dayEnd = (text: string): number => (parseDay(text)! + 1) * MS_PER_DAY - 1;

/** Whether there is a GPU that our engine can use; asking is cheap where there is no driver. */
async function deviceOf({ device, precision }: LiveOptions): Promise<"cpu" | "cuda"> {
  if (device === "cpu" && precision !== "float32") {
    throw new UserError(`on the CPU networks compute in float32, not in ${precision}`,
      "leave out --device cpu, or --precision");
  }
  if (device !== "auto") return device;
  const { describeCuda } = await import("../../runtime/cuda/driver/describe.ts");
  return describeCuda().missing === null ? "cuda" : "cpu";
}
