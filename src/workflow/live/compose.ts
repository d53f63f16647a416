/**
 * What each process holds: actors with their rims, and services beside them, made from the session and nothing
 * else. The one place where live trading meets stores, models, brokers and devices.
 */
import type { Config } from "../../base/config.ts";
import { places } from "../../base/data-root.ts";
import { UserError } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import { alertsActor } from "../../live/actors/alerts.ts";
import { aggregatorActor } from "../../live/actors/aggregator.ts";
import { executionActor } from "../../live/actors/execution.ts";
import { featuresActor } from "../../live/actors/features.ts";
import { feedActor } from "../../live/actors/feed.ts";
import { healthActor } from "../../live/actors/health.ts";
import { metaActor } from "../../live/actors/meta.ts";
import { modelActor } from "../../live/actors/model.ts";
import { modelRim } from "../../live/actors/model-rim.ts";
import { performanceActor } from "../../live/actors/performance.ts";
import { openPortfolioRim } from "../../live/actors/portfolio-rim.ts";
import { portfolioActor } from "../../live/actors/portfolio.ts";
import { recorderActor } from "../../live/actors/recorder.ts";
import { eligibilityOf, type Eligibility } from "../../live/actors/windows.ts";
import { keyAges } from "../../live/alerts/key-age.ts";
import { openAlertsRim } from "../../live/alerts/rim.ts";
import { alertSettings } from "../../live/alerts/settings.ts";
import { openAlpacaBroker } from "../../live/brokers/alpaca.ts";
import { hostOf } from "../../live/brokers/alpaca-hosts.ts";
import { readAccess } from "../../live/control.ts";
import { startDashboard } from "../../live/dashboard/server.ts";
import { FREE, STRICT } from "../../live/execution/desk.ts";
import { openExecutionRim } from "../../live/execution/rim.ts";
import { openFeedRim } from "../../live/feeds/rim.ts";
import { host, type Hosted } from "../../live/hosted.ts";
import type { Parent } from "../../live/parent.ts";
import { openRecorderRim } from "../../live/recorder/rim.ts";
import type { SessionClock } from "../../live/session-clock.ts";
import type { Session } from "../../live/session.ts";
import { placesOf, portOf, type Place, type Role } from "../../live/topology.ts";
import { calendar } from "../../market/calendar.ts";
import { instrument, type Instrument } from "../../market/instrument.ts";
import { alpacaKeys, massiveKeys, type AlpacaKeys, type MassiveKeys } from "../../market/sources/keys.ts";
import { readBars, readManifest } from "../../market/store.ts";
import { exchangeFaultsOf } from "../../simulator/exchange-faults.ts";
import { startExchangeServer } from "../../simulator/exchange-server.ts";
import { SIMULATOR_KEYS, type Listing } from "../../simulator/simulator.ts";
import { FRICTIONLESS, REALISTIC } from "../../simulator/exchange.ts";
import { findStrategy } from "../../strategy/find.ts";
import { openShaper } from "../../strategy/optimise/shaper.ts";
import { NO_LIMITS, type RiskLimits } from "../../strategy/risk.ts";
import type { Strategy } from "../../strategy/strategy.ts";
import type { Meters } from "../../wire/meter.ts";
import { versionOf } from "./choose-models.ts";
import { panelOf } from "./choose-session.ts";

export interface Surroundings {
  readonly root: string;
  readonly config: Config;
  readonly session: Session;
  readonly place: Place;
  readonly clock: SessionClock;
  readonly meters: Meters;
  readonly parent: Parent | null;
  readonly log: Log;
}
export interface Service { start(): Promise<void>; stop(): Promise<void> }
export interface Composed { readonly hosted: readonly Hosted[]; readonly services: readonly Service[] }

const actorsOnly = (...hosted: readonly Hosted[]): Composed => ({ hosted, services: [] });

/** What a process of this role holds. UserError for what a person has to mend. */
const COMPOSED: Readonly<Record<Role, (all: Surroundings) => Promise<Composed>>> = {
  simulator: composeSimulator,
  async feed(all) {
    const { root, config, session, clock, log } = all, { warmup, lookback } = await membersOf(all);
    return actorsOnly(host(feedActor({ session }), openFeedRim({ root, config, session, clock, log,
      keys: marketKeys(root, session), historyRows: warmup + lookback })));
  },
  async features({ root, session }) {
    const { recipe, calendar: name, timeframe } = session;
    return actorsOnly(host(featuresActor({ session, panel: await panelOf(root, recipe, name, timeframe) })));
  },
  model: composeModel,
  async meta(all) {
    const { names, eligibility } = await membersOf(all);
    return actorsOnly(host(metaActor({ session: all.session, names, eligibility })));
  },
  async decision({ root, session, log }) {
    const { symbols, sizing: { method, weightMax } } = session;
    const shaper = await openShaper(method, symbols.length, { weightMax: weightMax ?? Infinity });
    const portfolio = portfolioActor({ session, shaper, instruments: instrumentsOf(root, session),
      limits: limitsOf(session), isKept: true,
      periodsPerYear: calendar(session.calendar).periodsPerYear(session.timeframe) });
    return actorsOnly(host(aggregatorActor({ session })),
      host(portfolio, openPortfolioRim({ session, folder: places.live(root), log })));
  },
  async execution({ root, session, clock, log, meters }) {
    const broker = await openAlpacaBroker({ clock, log, keys: brokerKeys(root, session),
      host: hostOf(session.venue, simulatorUrl(session), consent()) });
    const rim = openExecutionRim({ session, folder: places.live(root), broker, clock, log,
      onSubmitted: (micros) => { meters.of("order to broker").record(micros); } });
    return actorsOnly(host(executionActor({ session, limits: limitsOf(session),
      permits: isFrictionless(session) ? FREE : STRICT }), rim));
  },
  async recorder({ root, session, config, clock, log }) {
    const { recordedDays, recordedGiB } = config.live;
    return actorsOnly(host(recorderActor({ session }), openRecorderRim({ root, session, clock, log,
      retention: { daysKept: recordedDays, bytesMax: recordedGiB * 2 ** 30 } })));
  },
  monitor: composeMonitor,
};

export const compose = (all: Surroundings): Promise<Composed> => COMPOSED[all.place.role](all);

async function composeModel(all: Surroundings): Promise<Composed> {
  const { root, session, place } = all, worker = place.name;
  const { strategy: name } = session.models.find((one) => one.worker === worker)!;
  const find = async (asked: string): Promise<{ strategy: Strategy; version: string }> =>
    ({ strategy: await findStrategy(root, asked, { threads: 1 }), version: versionOf(root, asked) });
  const { names, eligibility } = await membersOf(all);
  const actor = modelActor({ session, worker, ...await find(name), names, eligibility });
  return actorsOnly(host(actor, modelRim({ find })));
}

/** What all members together need, so that live decides on the rows that the backtest of their ensemble does. */
async function membersOf({ root, session }: Surroundings): Promise<{ readonly names: readonly string[];
  readonly warmup: number; readonly lookback: number; readonly eligibility: Eligibility }> {
  const { recipe, calendar: name, timeframe } = session;
  const { names, warmup } = await panelOf(root, recipe, name, timeframe);
  const members = await Promise.all(session.models.map(({ strategy }) => findStrategy(root, strategy)));
  const eligibility = eligibilityOf(members, session.mixture === "adaptive");
  return { names, warmup, lookback: eligibility.lookback, eligibility };
}

async function composeMonitor({ root, session, config, clock, parent, log }: Surroundings): Promise<Composed> {
  const settings = alertSettings(config.live.alerts);
  const expected = placesOf(session).filter(({ role }) => role !== "monitor").map(({ name }) => name);
  const health = healthActor({ session, expected, elapsedMs: () => performance.now() });
  const performed = performanceActor({ session });
  const keys = await keyAges(root, secretsOf(root, session), Date.now());
  const alerts = host(alertsActor({ session, settings, keys }),
    openAlertsRim({ session, settings, environment: process.env, clock, log }));
  const access = readAccess(root);
  if (access === null || access.dashboard === "") return actorsOnly(host(health), host(performed), alerts);
  const dashboard = await startDashboard({ session, port: portOf(session, "dashboard"), token: access.dashboard, log,
    monitors: { hops: () => performed.hops(), processes: () => health.processes() },
    async control(action, by, subject, value) {
      const answer = await parent?.ask({ kind: "control", at: clock.now(), action, by, subject, value });
      return { ok: answer?.isDone ?? false, text: answer?.text ?? "no supervisor" };
    } });
  return { hosted: [host(health), host(performed), alerts, host(dashboard.actor)],
    services: [{ start: async () => {}, stop: async () => { await dashboard[Symbol.asyncDispose](); } }] };
}

async function composeSimulator({ root, session, log }: Surroundings): Promise<Composed> {
  const { history, clock: { isStepped, barsPerSecond }, symbols } = session;
  if (history === null) throw new UserError("the simulator needs a dataset to replay", "name one: --replay NAME");
  const manifest = readManifest(root, history.dataset), listings = new Map<string, Listing>();
  for (const symbol of symbols) {
    const bars = await readBars(root, manifest, symbol, { adjust: "none" });
    const { actions } = manifest.instruments.find((row) => row.symbol === symbol)!;
    listings.set(symbol, { bars, actions: manifest.adjustment === "raw" ? actions : [] });
  }
  let server: Awaited<ReturnType<typeof startExchangeServer>> | null = null;
  return { hosted: [], services: [{
    async start() {
      server = await startExchangeServer({ market: listings, from: history.from, to: history.to,
        isPaused: true, callsPerMinute: Infinity, port: portOf(session, "simulator"), capital: session.sizing.capital, seed: session.seed,
        pace: isStepped ? { kind: "stepped" } : barsPerSecond === null ? { kind: "recorded", speed: 1 }
          : { kind: "paced", barsPerSecond },
        terms: isFrictionless(session) ? FRICTIONLESS : REALISTIC, calendar: session.calendar,
        faults: exchangeFaultsOf(session.faults, session.seed) });
      log.info({ url: server.url }, "the simulator listens");
    },
    async stop() { await server?.[Symbol.asyncDispose](); },
  }] };
}
/** Daily bars close with the session: their trades happen at that close, as the backtest's do. */
const isFrictionless = ({ timeframe }: Session): boolean => timeframe === "1d";

const simulatorUrl = (session: Session): string | null =>
  session.venue === "simulator" ? session.simulatorUrl ?? `http://127.0.0.1:${portOf(session, "simulator")}` : null;

/** What a person did before this session was allowed to touch real money; the supervisor asked. */
const consent = () => {
  const typed = process.env["DMN_LIVE_CONSENT"];
  return typed === undefined ? null : { isFlagged: true, isConfigured: true, typed };
};

const brokerKeys = (root: string, { venue }: Session): ReturnType<typeof alpacaKeys> =>
  venue === "simulator" ? SIMULATOR_KEYS.alpaca : alpacaKeys(root);

function marketKeys(root: string, { feed, wire }: Session): AlpacaKeys | MassiveKeys {
  if (feed !== "simulator") return feed === "massive" ? massiveKeys(root) : alpacaKeys(root);
  return wire === "massive" ? { apiKey: SIMULATOR_KEYS.massive } : SIMULATOR_KEYS.alpaca;
}

function secretsOf(root: string, { venue, feed }: Session): Record<string, string> {
  return { ...(venue === "simulator" ? {} : { alpaca: alpacaKeys(root).secretKey }),
    ...(feed === "massive" ? { massive: massiveKeys(root).apiKey } : {}) };
}

/** The limits of the session; one that is off is Infinity. */
export function limitsOf({ risk }: Session): RiskLimits {
  const on = Object.entries(risk).filter(([, value]) => value !== null);
  return { ...NO_LIMITS, ...Object.fromEntries(on) };
}

/** (N) facts of the instruments; a vendor tells none. */
export function instrumentsOf(root: string, { symbols, history }: Session): Instrument[] {
  const rows = history === null ? [] : readManifest(root, history.dataset).instruments;
  return symbols.map((symbol) => rows.find((row) => row.symbol === symbol)?.instrument ?? instrument(symbol));
}

