/** Those who decide and those who order. */
import { places } from "../../base/data-root.ts";
import { aggregatorActor } from "../../live/actors/aggregator.ts";
import { executionActor } from "../../live/actors/execution.ts";
import { openPortfolioRim } from "../../live/actors/portfolio-rim.ts";
import { portfolioActor } from "../../live/actors/portfolio.ts";
import { openAlpacaBroker } from "../../live/brokers/alpaca.ts";
import { hostOf, type LiveConsent } from "../../live/brokers/alpaca-hosts.ts";
import { FREE, STRICT } from "../../live/execution/desk.ts";
import { openExecutionRim } from "../../live/execution/rim.ts";
import { simulatorUrl } from "../../live/feeds/hosts.ts";
import { host } from "../../live/hosted.ts";
import { calendar } from "../../market/calendar.ts";
import { alpacaKeys } from "../../market/sources/keys.ts";
import { SIMULATOR_KEYS } from "../../simulator/simulator.ts";
import { openShaper } from "../../strategy/optimise/shaper.ts";
import { limitsOf } from "../../strategy/risk.ts";
import { afterSimulator } from "./after-simulator.ts";
import { actorsOnly, type Compose } from "./composed.ts";
import { instrumentsOf, isFrictionless } from "./session-facts.ts";

export const composeDecision: Compose = async ({ root, session, clock, log }) => {
  const { symbols, sizing: { method, weightMax } } = session;
  const shaper = await openShaper(method, symbols.length, { weightMax: weightMax ?? Infinity });
  const portfolio = portfolioActor({ session, shaper, instruments: instrumentsOf(root, session),
    limits: limitsOf(session.risk), isKept: true,
    periodsPerYear: calendar(session.calendar).periodsPerYear(session.timeframe) });
  return actorsOnly(host(aggregatorActor({ session })),
    host(portfolio, openPortfolioRim({ session, folder: places.live(root), clock, log })));
};

export const composeExecution: Compose = async ({ root, session, clock, log, meters, tickToOrder }) => {
  const toBroker = meters.of("order to broker"), isSimulated = session.venue === "simulator";
  const broker = await openAlpacaBroker({ clock, log, onLeft: () => { tickToOrder.left(); },
    host: hostOf(session.venue, isSimulated ? simulatorUrl(session) : null, consent()),
    keys: isSimulated ? SIMULATOR_KEYS.alpaca : alpacaKeys(root) });
  const rim = openExecutionRim({ session, folder: places.live(root), broker, clock, log,
    onSubmitted: (micros) => { toBroker.record(micros); } });
  return actorsOnly(afterSimulator(session, host(executionActor({ session, limits: limitsOf(session.risk),
    permits: isFrictionless(session) ? FREE : STRICT }), rim)));
};

/** What a person did before this session was allowed to touch real money; the supervisor asked. */
function consent(): LiveConsent | null {
  const typed = process.env["DMN_LIVE_CONSENT"];
  return typed === undefined ? null : { isFlagged: true, isConfigured: true, typed };
}
