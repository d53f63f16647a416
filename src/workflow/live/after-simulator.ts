/** Who needs the simulator is started beside it, to load while it loads, and waits at its door. */
import * as net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "../../base/error.ts";
import { simulatorUrl } from "../../live/feeds/hosts.ts";
import type { Hosted } from "../../live/hosted.ts";
import type { Session } from "../../live/session.ts";

const TRY_MS = 20, TRIES_MAX = 2_500;

/** The same, but it starts when the session's simulator accepts connections; where there is none, at once. */
export const afterSimulator = (session: Session, hosted: Hosted): Hosted => ({ ...hosted,
  async start(push) {
    if (session.venue === "simulator" || session.feed === "simulator") await untilItAccepts(session);
    await hosted.start(push);
  } });

async function untilItAccepts(session: Session): Promise<void> {
  const { hostname, port } = new URL(simulatorUrl(session));
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    if (await accepts(hostname, Number(port))) return;
    await delay(TRY_MS);
  }
  throw new UserError("the simulator did not start", "see logs/trading/simulator.log for what it said");
}

function accepts(host: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = net.connect({ host, port });
  socket.once("connect", () => { resolve(true); socket.destroy(); });
  socket.once("error", () => { resolve(false); });
  return promise;
}
