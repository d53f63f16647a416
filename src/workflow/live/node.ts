/**
 * The entry of a child process of `dmn live`: `node node.ts NAME ROOT`. What it is, topology.ts says; what it
 * holds, compose.ts; keys come from its environment, everything else from session.json.
 */
import { systemClock } from "../../base/clock.ts";
import { readConfig } from "../../base/config.ts";
import { ExitCode, UserError } from "../../base/error.ts";
import { openLog } from "../../base/log.ts";
import { openParent } from "../../live/parent.ts";
import { LiveProcess } from "../../live/process.ts";
import { SessionClock } from "../../live/session-clock.ts";
import { TickToOrder } from "../../live/tick-to-order.ts";
import { placesOf } from "../../live/topology.ts";
import { monotonicNs } from "../../wire/codec.ts";
import { Meters } from "../../wire/meter.ts";
import { closeWire } from "../../wire/socket.ts";
import { compose } from "./compose.ts";
import { securityOf } from "./security.ts";
import { readSession } from "./session-file.ts";

async function main(name: string, root: string): Promise<number> {
  const parent = openParent();
  const config = readConfig(root), log = openLog(config.log === "warn" ? "info"
    : config.log).child({ process: name });
  try {
    const session = readSession(root);
    const place = placesOf(session).find((one) => one.name === name);
    if (place === undefined) throw new UserError(`the session has no process "${name}"`,
      "see: dmn live status");
    const clock = new SessionClock(systemClock, session.clock.kind), meters = new Meters(monotonicNs());
    const tickToOrder = new TickToOrder(meters);
    const composed = await compose({ root, config, session, place, clock, meters, tickToOrder, parent, log });
    const live = new LiveProcess({ session, place, clock, meters, tickToOrder, parent, log, ...composed,
      security: securityOf(root, session) });
    return await live.run();
  } catch (error) {
    const isUsers = error instanceof UserError;
    log.fatal(isUsers ? error.problem : error instanceof Error ? error.stack ?? error.message
      : String(error));
    if (isUsers) parent?.tell({ note: "refused", problem: error.problem, hint: error.hint });
    return isUsers ? ExitCode.user : ExitCode.bug;
  }
}

const code = await main(process.argv[2], process.argv[3]);
closeWire();
// Last words are on their way to the supervisor.
setImmediate(() => { process.exit(code); });
