/** Those who record and those who watch: nobody who trades waits for them. */
import { systemClock } from "../../base/clock.ts";
import { alertsActor } from "../../live/actors/alerts.ts";
import { healthActor } from "../../live/actors/health.ts";
import { performanceActor } from "../../live/actors/performance.ts";
import { recorderActor } from "../../live/actors/recorder.ts";
import { keyAges } from "../../live/alerts/key-age.ts";
import { openAlertsRim } from "../../live/alerts/rim.ts";
import { alertSettings } from "../../live/alerts/settings.ts";
import { readAccess } from "../../live/control.ts";
import { startDashboard } from "../../live/dashboard/server.ts";
import { host } from "../../live/hosted.ts";
import { recordedEquity } from "../../live/recorder/database.ts";
import { livePlaces } from "../../live/recorder/places.ts";
import { openRecorderRim } from "../../live/recorder/rim.ts";
import type { Session } from "../../live/session.ts";
import { placesOf, portOf } from "../../live/topology.ts";
import { alpacaKeys, massiveKeys } from "../../market/sources/keys.ts";
import { actorsOnly, type Compose } from "./composed.ts";

export const composeRecorder: Compose = ({ root, session, config, clock, log }) => {
  const { recordedDays, recordedGiB } = config.live;
  const retention = { daysKept: recordedDays, bytesMax: recordedGiB * 2 ** 30 };
  const rim = openRecorderRim({ root, session, clock, log, retention });
  const actor = recorderActor({ session, elapsedMs: () => performance.now() });
  return Promise.resolve(actorsOnly(host(actor, rim)));
};

export const composeMonitor: Compose = async ({ root, session, config, clock, parent, log }) => {
  const settings = alertSettings(config.live.alerts);
  const expected = placesOf(session).filter(({ role }) => role !== "monitor").map(({ name }) => name);
  const health = healthActor({ session, expected, elapsedMs: () => performance.now() });
  const recorded = recordedEquity(livePlaces.database(root, "performance_metrics"), session);
  const performed = performanceActor({ session, recorded });
  const keys = await keyAges(root, secretsOf(root, session), systemClock.now());
  const alerts = host(alertsActor({ session, settings, keys }),
    openAlertsRim({ session, settings, environment: process.env, clock, log }));
  const access = readAccess(root);
  if (access === null || access.dashboard === "") return actorsOnly(host(health), host(performed), alerts);
  const dashboard = await startDashboard({ session, port: portOf(session, "dashboard"),
    token: access.dashboard, log, recorded,
    monitors: { hops: () => performed.hops(), processes: () => health.processes() },
    async control(action, by, subject, value) {
      const answer = await parent?.ask({ kind: "control", at: clock.now(), action, by, subject, value });
      return { ok: answer?.isDone ?? false, text: answer?.text ?? "no supervisor" };
    } });
  return { hosted: [host(health), host(performed), alerts, host(dashboard.actor)],
    services: [{ start: async () => {}, stop: async () => { await dashboard[Symbol.asyncDispose](); } }] };
};

function secretsOf(root: string, { venue, feed }: Session): Record<string, string> {
  return { ...(venue === "simulator" ? {} : { alpaca: alpacaKeys(root).secretKey }),
    ...(feed === "massive" ? { massive: massiveKeys(root).apiKey } : {}) };
}
