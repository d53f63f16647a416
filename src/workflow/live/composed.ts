/** What a process is made from, and of. */
import type { Config } from "../../base/config.ts";
import type { Log } from "../../base/log.ts";
import type { Hosted } from "../../live/hosted.ts";
import type { Parent } from "../../live/parent.ts";
import type { SessionClock } from "../../live/session-clock.ts";
import type { Session } from "../../live/session.ts";
import type { TickToOrder } from "../../live/tick-to-order.ts";
import type { Place } from "../../live/topology.ts";
import type { Meters } from "../../wire/meter.ts";

export interface Surroundings {
  readonly root: string;
  readonly config: Config;
  readonly session: Session;
  readonly place: Place;
  readonly clock: SessionClock;
  readonly meters: Meters;
  readonly tickToOrder: TickToOrder;
  readonly parent: Parent | null;
  readonly log: Log;
}
export interface Service { start(): Promise<void>; stop(): Promise<void> }
export interface Composed { readonly hosted: readonly Hosted[]; readonly services: readonly Service[] }
export type Compose = (all: Surroundings) => Promise<Composed>;

export const actorsOnly = (...hosted: readonly Hosted[]): Composed => ({ hosted, services: [] });
