/**
 * What has to be true before a process is started: each failure is a sentence, and nothing has happened yet.
 */
import * as net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../../base/clock.ts";
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { formatTime } from "../../base/units.ts";
import { openAlpacaBroker } from "../../live/brokers/alpaca.ts";
import { hostOf, type LiveConsent } from "../../live/brokers/alpaca-hosts.ts";
import { BrokerTrouble, type Broker } from "../../live/brokers/broker.ts";
import { portOf } from "../../live/topology.ts";
import { PORTS, type PortName, type Session } from "../../live/session.ts";
import { alpacaKeys } from "../../market/sources/keys.ts";
import { MODEL_PREFIX, networkName } from "../../strategy/network.ts";
import { readArtifact, readArtifactFile } from "../../train/artifact.ts";

/** How far this machine's clock may be from the broker's, ms. */
const SKEW_MAX_MS = 2_000;
/** Processes of an earlier run that was killed end within this, ms. */
const LEAVE_MS = 2_000, TRY_MS = 100;
/** From the first port to that of another graph beside this one. */
const NEXT_BASE = 100;
/** What a broker answers to keys that it does not know, or that are another account's. */
const KEYS_REFUSED: readonly unknown[] = [401, 403];

/** UserError naming the first port that something else listens on. */
export async function checkPorts(session: Session, isHeadless: boolean): Promise<void> {
  const names = (Object.keys(PORTS) as PortName[]).filter((name) =>
    (name !== "dashboard" || !isHeadless) && (name !== "simulator" || session.venue === "simulator"));
  for (const name of names) {
    const port = portOf(session, name);
    for (let waited = 0; !await isFree(session.host, port); waited += TRY_MS) {
      if (waited >= LEAVE_MS) {
        throw new UserError(`port ${port} (${name}) is in use`,
          `end what uses it, or choose other ports: --port-base ${portOf(session, "data") + NEXT_BASE}`);
      }
      await delay(TRY_MS);
    }
  }
}

async function isFree(host: string, port: number): Promise<boolean> {
  const server = net.createServer(), { promise, resolve } = Promise.withResolvers<boolean>();
  server.once("error", (error: NodeJS.ErrnoException) => { resolve(error.code !== "EADDRINUSE"); });
  server.listen({ host, port, exclusive: true }, () => { server.close(() => { resolve(true); }); });
  return promise;
}

/** UserError naming the first model file that is not the one that was trained: its hash says so. */
export function checkModels(session: Session, root: string): void {
  for (const { strategy } of session.models.filter((one) => one.strategy.startsWith(MODEL_PREFIX))) {
    const { artifact: name, seed } = networkName(strategy), artifact = readArtifact(root, name);
    const all = artifact.folds.flatMap((fold) => fold.seeds);
    const used = all.filter((one) => seed === null || one.seed === seed);
    for (const { file } of used) readArtifactFile(root, artifact, file);
  }
}

/** Asks the broker whether today's plan can work. UserError when it cannot. */
export async function checkBroker(session: Session, consent: LiveConsent | null,
  context: Context): Promise<void> {
  if (session.venue === "simulator") return;
  const { root, clock, log } = context, host = hostOf(session.venue, null, consent);
  await using broker = await openAlpacaBroker({ host, keys: alpacaKeys(root), clock, log });
  await checkPlan(broker, session.symbols, clock);
}

/** Keys, the machine's clock, hours, instruments. UserError for the first that is not as it should be. */
export async function checkPlan(broker: Broker, symbols: readonly string[], clock: Clock): Promise<void> {
  try {
    const account = await broker.account();
    if (account.isTradingBlocked) {
      throw new UserError("the broker has blocked trading on this account",
        "ask the broker why, or rehearse: dmn live --replay synthetic");
    }
    const asked = clock.now(), told = await broker.clock(), now = (asked + clock.now()) / 2;
    if (Math.abs(told.at - now) > SKEW_MAX_MS) {
      throw new UserError(
        `this machine's clock is ${((now - told.at) / 1_000).toFixed(1)} s from the broker's`,
        "set it (for example: sudo timedatectl set-ntp true), then run the same command again");
    }
    if (!told.isOpen) {
      throw new UserError(`the market is closed until ${formatTime(told.nextOpen)}`,
        "start then, or rehearse on a replay: dmn live --replay synthetic");
    }
    for (const symbol of symbols) {
      const asset = await broker.asset(symbol);
      if (asset?.isTradable === true) continue;
      throw new UserError(asset === null ? `the broker knows no instrument ${symbol}`
        : `${symbol} cannot be traded now`, "choose others: --symbols SPY,QQQ");
    }
  } catch (error) {
    throw error instanceof BrokerTrouble ? troubleOf(error, broker.name) : error;
  }
}

function troubleOf(error: BrokerTrouble, name: string): UserError {
  const { status } = (error.cause ?? {}) as { status?: unknown };
  if (KEYS_REFUSED.includes(status)) {
    return new UserError(`${name} refuses these keys (${error.message})`,
      "paper and live accounts have keys of their own: check APCA_API_KEY_ID and APCA_API_SECRET_KEY",
      { cause: error });
  }
  return typeof status === "number"
    ? new UserError(`${name} does not answer as it should: ${error.message}`,
      "try again later, or rehearse: dmn live --replay synthetic", { cause: error })
    : new UserError(`${name} cannot be reached: ${error.message}`,
      "check the connection, or rehearse without one: dmn live --replay synthetic", { cause: error });
}
