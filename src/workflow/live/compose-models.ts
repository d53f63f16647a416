/** Features and those who read them: model workers and the meta-learner. */
import { systemClock } from "../../base/clock.ts";
import { featuresActor } from "../../live/actors/features.ts";
import { metaActor } from "../../live/actors/meta.ts";
import { modelActor } from "../../live/actors/model.ts";
import { modelRim } from "../../live/actors/model-rim.ts";
import { networksActor, networksRim, type NetworksRim } from "../../live/actors/networks.ts";
import { host } from "../../live/hosted.ts";
import type { Session } from "../../live/session.ts";
import { workersOf } from "../../live/topology.ts";
import { findStrategy } from "../../strategy/find.ts";
import type { GpuNetworks } from "../../strategy/gpu.ts";
import type { Strategy } from "../../strategy/strategy.ts";
import { actorsOnly, type Compose } from "./composed.ts";
import { membersOf, panelOf, versionOf } from "./session-facts.ts";

export const composeFeatures: Compose = async ({ root, session }) => {
  const { recipe, calendar, timeframe } = session;
  const panel = await panelOf(root, recipe, calendar, timeframe);
  return actorsOnly(host(featuresActor({ session, panel })));
};

export const composeMeta: Compose = async ({ root, session }) => {
  const { names, eligibility } = await membersOf(root, session);
  return actorsOnly(host(metaActor({ session, names, eligibility })));
};

/** One worker, or with a GPU all of them: they share it. */
export const composeModel: Compose = async (all) => {
  const { root, session, place } = all, { names, eligibility } = await membersOf(root, session);
  const told = networksRim(), gpu = await openGpu(session, told);
  const find = async (asked: string): Promise<{ strategy: Strategy; version: string }> => {
    const strategy = await findStrategy(root, asked, { threads: 1, ...(gpu === null ? {} : { gpu }) });
    await warm(strategy, session);
    return { strategy, version: versionOf(root, asked) };
  };
  const hosted = await Promise.all(workersOf(session, place).map(async ({ worker, strategy }) =>
    host(modelActor({ session, worker, ...await find(strategy), names, eligibility }), modelRim({ find }))));
  if (gpu === null) return { hosted, services: [] };
  if (gpu.place !== null && !told.isWarned) told.say("info", `networks answer on ${gpu.place}`);
  return { hosted: [...hosted, host(networksActor(place.name), told)],
    services: [{ start: async () => {}, stop: async () => { await gpu[Symbol.asyncDispose](); } }] };
};

/**
 * Its first answer opens files and takes long: better before the first bar than at it. What it makes of
 * zeros, which no market shows, is not judged.
 */
async function warm(strategy: Strategy, { symbols, history }: Session): Promise<void> {
  const { features: names, lookback, decidesFrom = 0 } = strategy, rows = symbols.length;
  await strategy.decide({ names, symbols, lookback, instrument: Int32Array.from(symbols, (_, k) => k),
    time: new Float64Array(rows).fill(Math.max(decidesFrom, history?.from ?? systemClock.now())),
    features: new Float32Array(rows * lookback * names.length) });
}

/** Where there is none after all, networks answer on the CPU, and whoever watches is told why. */
async function openGpu({ device, precision }: Session, told: NetworksRim): Promise<GpuNetworks | null> {
  if (device !== "cuda") return null;
  const { GpuNetworks: Networks } = await import("../../strategy/gpu.ts");
  return new Networks({ precision, threads: 1, say: (sentence) => { told.say("warning", sentence); } });
}
