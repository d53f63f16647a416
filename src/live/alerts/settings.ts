/** The `live.alerts` settings as the actor and its rim take them. */
import type { Config } from "../../base/config.ts";
import type { AlertSettings, Severity } from "../actors/alerts.ts";
import type { ChannelSettings } from "./channel.ts";

export function alertSettings(config: Config["live"]["alerts"]): AlertSettings & ChannelSettings {
  const { log, webhook, email, quietMinutes, keyDaysMax, smtpHost, smtpPort, mailFrom, mailTo } = config;
  const from = (least: "never" | Severity): Severity | null => least === "never" ? null : least;
  return {
    severity: { log: from(log), webhook: from(webhook), email: from(email) }, quietMinutes, keyDaysMax,
    email: { host: smtpHost, port: smtpPort, from: mailFrom, to: mailTo },
  };
}
