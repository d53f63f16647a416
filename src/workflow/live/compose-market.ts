/** The world and the ear that listens to it: the simulator's server, and the feed. */
import { UserError } from "../../base/error.ts";
import { feedActor } from "../../live/actors/feed.ts";
import { openFeedRim } from "../../live/feeds/rim.ts";
import { host } from "../../live/hosted.ts";
import type { Session } from "../../live/session.ts";
import { portOf } from "../../live/topology.ts";
import { alpacaKeys, massiveKeys, type AlpacaKeys, type MassiveKeys } from "../../market/sources/keys.ts";
import { readBars, readManifest } from "../../market/store.ts";
import { exchangeFaultsOf } from "../../simulator/exchange-faults.ts";
import { startExchangeServer, type ExchangeServer } from "../../simulator/exchange-server.ts";
import { FRICTIONLESS, REALISTIC } from "../../simulator/exchange.ts";
import type { Pace } from "../../simulator/pacer.ts";
import { SIMULATOR_KEYS, type Listing } from "../../simulator/simulator.ts";
import { afterSimulator } from "./after-simulator.ts";
import { actorsOnly, type Compose } from "./composed.ts";
import { isFrictionless, membersOf } from "./session-facts.ts";

export const composeFeed: Compose = async ({ root, config, session, clock, log }) => {
  const { warmup, lookback } = await membersOf(root, session);
  const rim = openFeedRim({ root, config, session, clock, log, keys: marketKeys(root, session),
    historyRows: warmup + lookback, hasTrades: isOfTicks(root, session) });
  return actorsOnly(afterSimulator(session, host(feedActor({ session }), rim)));
};

export const composeSimulator: Compose = async ({ root, session, log }) => {
  const { history, symbols, seed } = session;
  if (history === null) throw new UserError("the simulator needs a dataset to replay",
    "name one: --replay NAME");
  const manifest = readManifest(root, history.dataset), market = new Map<string, Listing>();
  for (const symbol of symbols) {
    const bars = await readBars(root, manifest, symbol, { adjust: "none" });
    const { actions } = manifest.instruments.find((row) => row.symbol === symbol)!;
    market.set(symbol, { bars, actions: manifest.adjustment === "raw" ? actions : [] });
  }
  let server: ExchangeServer | null = null;
  return { hosted: [], services: [{
    async start() {
      server = await startExchangeServer({ market, from: history.from, to: history.to, isPaused: true,
        // A replayed day passes in a moment: the limit of a real minute says nothing about it.
        callsPerMinute: Infinity, port: portOf(session, "simulator"), capital: session.sizing.capital, seed,
        pace: paceOf(session), terms: isFrictionless(session) ? FRICTIONLESS : REALISTIC,
        calendar: session.calendar, faults: exchangeFaultsOf(session.faults, seed) });
      log.info({ url: server.url }, "the simulator listens");
    },
    async stop() { await server?.close(); },
  }] };
};

/** The feed makes the bars of a replay of ticks. */
const isOfTicks = (root: string, { history }: Session): boolean =>
  history !== null && readManifest(root, history.dataset).kind === "ticks";

function paceOf({ clock: { isStepped, barsPerSecond } }: Session): Pace {
  if (isStepped) return { kind: "stepped" };
  return barsPerSecond === null ? { kind: "recorded", speed: 1 } : { kind: "paced", barsPerSecond };
}

function marketKeys(root: string, { feed, wire }: Session): AlpacaKeys | MassiveKeys {
  if (feed !== "simulator") return feed === "massive" ? massiveKeys(root) : alpacaKeys(root);
  return wire === "massive" ? { apiKey: SIMULATOR_KEYS.massive } : SIMULATOR_KEYS.alpaca;
}
