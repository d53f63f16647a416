/**
 * What each process holds: actors with their rims, and services beside them, made from the session and
 * nothing else. Each role's code is loaded by the processes that are it, and by no other.
 */
import type { Role } from "../../live/topology.ts";
import type { Compose, Composed, Surroundings } from "./composed.ts";

export { instrumentsOf } from "./session-facts.ts";

const COMPOSED: Readonly<Record<Role, () => Promise<Compose>>> = {
  simulator: async () => (await import("./compose-market.ts")).composeSimulator,
  feed: async () => (await import("./compose-market.ts")).composeFeed,
  features: async () => (await import("./compose-models.ts")).composeFeatures,
  model: async () => (await import("./compose-models.ts")).composeModel,
  meta: async () => (await import("./compose-models.ts")).composeMeta,
  decision: async () => (await import("./compose-trading.ts")).composeDecision,
  execution: async () => (await import("./compose-trading.ts")).composeExecution,
  recorder: async () => (await import("./compose-watch.ts")).composeRecorder,
  monitor: async () => (await import("./compose-watch.ts")).composeMonitor,
};

/** UserError for what a person has to mend before this process can work. */
export async function compose(all: Surroundings): Promise<Composed> {
  return (await COMPOSED[all.place.role]())(all);
}
