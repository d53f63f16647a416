/**
 * What has to be true before a process is started: each failure is a sentence, and nothing has happened yet.
 */
import * as net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { formatTime } from "../../base/units.ts";
import { openAlpacaBroker } from "../../live/brokers/alpaca.ts";
import { hostOf, type LiveConsent } from "../../live/brokers/alpaca-hosts.ts";
import { BrokerTrouble } from "../../live/brokers/broker.ts";
import { portOf } from "../../live/topology.ts";
import { PORTS, type PortName, type Session } from "../../live/session.ts";
import { alpacaKeys } from "../../market/sources/keys.ts";

/** How far this machine's clock may be from the broker's, ms. */
const SKEW_MAX_MS = 2_000;
/** Processes of an earlier run that was killed end within this, ms. */
const LEAVE_MS = 2_000, TRY_MS = 100;

/** UserError naming the first port that something else listens on. */
export async function checkPorts(session: Session, isHeadless: boolean): Promise<void> {
  const names = (Object.keys(PORTS) as PortName[]).filter((name) =>
    (name !== "dashboard" || !isHeadless) && (name !== "simulator" || session.venue === "simulator"));
  for (const name of names) {
    const port = portOf(session, name);
    for (let waited = 0; !await isFree(session.host, port); waited += TRY_MS) {
      if (waited >= LEAVE_MS) {
        throw new UserError(`port ${port} (${name}) is in use`,
          "end what uses it, or choose other ports: --port-base 6555");
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

/** Asks the broker whether today's plan can work: keys, clock, hours, instruments. */
export async function checkBroker(session: Session, consent: LiveConsent | null,
  context: Context): Promise<void> {
  if (session.venue === "simulator") return;
  const { root, clock, log } = context;
  await using broker = await openAlpacaBroker({ host: hostOf(session.venue, null, consent),
    keys: alpacaKeys(root),
    clock, log });
  try {
    const account = await broker.account();
    if (account.isTradingBlocked) throw new UserError("the broker has blocked trading on this account",
      "ask the broker why");
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
    for (const symbol of session.symbols) {
      const asset = await broker.asset(symbol);
      if (asset?.isTradable === true) continue;
      throw new UserError(asset === null ? `the broker knows no instrument ${symbol}`
        : `${symbol} cannot be traded now`,
        "choose others: --symbols SPY,QQQ");
    }
  } catch (error) {
    if (!(error instanceof BrokerTrouble)) throw error;
    throw new UserError(`the broker does not answer as it should: ${error.message}`,
      "check the keys (APCA_API_KEY_ID, APCA_API_SECRET_KEY) and the connection", { cause: error });
  }
}
