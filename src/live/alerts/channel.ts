/**
 * Ways to reach a person. Each sends one notice or rejects; secrets come from the environment and are never
 * said.
 */
import type { Transporter } from "nodemailer";
import { UserError } from "../../base/error.ts";
import type { Channel, Notice } from "../actors/alerts.ts";
import type { Session } from "../session.ts";

/** Longest wait for a webhook or a mail server, ms. */
export const SEND_MS = 5000;

export interface ChannelSettings {
  readonly email: {
    /** Null: no e-mail. */
    readonly host: string | null;
    readonly port: number;
    readonly from: string | null;
    readonly to: string | null;
  };
}
export interface Sender {
  readonly channel: Channel;
  /** Not to be seen in any log: replaced in whatever a failure says. */
  readonly secrets: readonly string[];
  /** Rejects when it was not sent, `stopped` included. */
  send(notice: Notice, session: Session, stopped: AbortSignal): Promise<void>;
  close(): void;
}
type Environment = Readonly<Record<string, string | undefined>>;

/** The channels that are set up. Throws UserError for an address that no alert should go to. */
export function openSenders(settings: ChannelSettings, environment: Environment): Sender[] {
  return [openWebhook(environment), openEmail(settings, environment)].filter((sender) => sender !== null);
}

/** DMN_ALERT_WEBHOOK. Its address is a secret: whoever has it can post. */
function openWebhook(environment: Environment): Sender | null {
  const address = environment["DMN_ALERT_WEBHOOK"];
  if (!address) return null;
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url?.protocol !== "https:" && !(url?.protocol === "http:" && isLoopback(url.hostname))) {
    throw new UserError("DMN_ALERT_WEBHOOK is not an https address",
      "set it to the whole address of the webhook, or: unset DMN_ALERT_WEBHOOK");
  }
  return {
    channel: "webhook", secrets: [address, url.pathname + url.search].filter((text) => text.length > 1),
    close() {},
    async send(notice, session, stopped) {
      const text = `${notice.severity.toUpperCase()} ${sentenceOf(notice)}`;
      // `text` and `content` are the words that the common chat services read.
      const body = JSON.stringify({ ...notice, text, content: text, at: new Date(notice.at).toISOString(),
        session: session.id, venue: session.venue });
      const response = await fetch(url, { method: "POST", body, redirect: "error",
        headers: { "content-type": "application/json" }, 
        signal: AbortSignal.any([stopped, AbortSignal.timeout(SEND_MS)]) });
      await response.body?.cancel();
      if (!response.ok) throw new Error(`the webhook answered ${response.status}`);
    },
  };
}

/** live.alerts.email, and DMN_SMTP_USER and DMN_SMTP_PASSWORD. TLS always, except on loopback. */
function openEmail({ email }: ChannelSettings, environment: Environment): Sender | null {
  const { host, port, from, to } = email;
  if (host === null) return null;
  if (from === null || to === null) {
    throw new UserError("live.alerts.email has a host, but no from or no to",
      "set all three, or set live.alerts.email.host to null");
  }
  const user = environment["DMN_SMTP_USER"], pass = environment["DMN_SMTP_PASSWORD"];
  // Its library is loaded for the first mail: most runs send none.
  const open = async (): Promise<Transporter> => (await import("nodemailer")).createTransport({
    host, port, secure: port === 465, requireTLS: port !== 465 && !isLoopback(host),
    ignoreTLS: isLoopback(host),
    connectionTimeout: SEND_MS, greetingTimeout: SEND_MS, socketTimeout: SEND_MS, dnsTimeout: SEND_MS,
    ...(user && pass ? { auth: { user, pass } } : {}),
  });
  let transport: Promise<Transporter> | null = null;
  return {
    channel: "email", secrets: pass ? [pass] : [],
    close() { void transport?.then((opened) => { opened.close(); }); },
    async send(notice, session) {
      const lines = [sentenceOf(notice), "", `severity  ${notice.severity}`, `code      ${notice.code}`,
        `process   ${notice.process}`, `time      ${new Date(notice.at).toISOString()}`,
        `session   ${session.id} (${session.venue}, ${session.strategyName})`];
      const subject = `[dmn ${notice.severity}] ${sentenceOf(notice)}`.replaceAll(/\s+/g, " ").slice(0, 150);
      transport ??= open();
      await (await transport).sendMail({ from, to, subject, text: lines.join("\n"), disableFileAccess: true,
        disableUrlAccess: true });
    },
  };
}

const isLoopback = (host: string): boolean => ["127.0.0.1", "localhost", "[::1]", "::1"].includes(host);

/** "execution: order o-1 is unknown (4 times)" */
export const sentenceOf = ({ process, text, count }: Notice): string =>
  `${process}: ${text}${count > 1 ? ` (${count} times)` : ""}`;
