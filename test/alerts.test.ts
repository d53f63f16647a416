/** Alerts: told at once, then quietly; channels that are down hold up nobody, and secrets are never said. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { createServer as createMailServer, type AddressInfo } from "node:net";
import * as os from "node:os";
import * as path from "node:path";
import { describe, test } from "node:test";
import { FakeClock, systemClock } from "../src/base/clock.ts";
import { configSchema } from "../src/base/config.ts";
import { openLog } from "../src/base/log.ts";
import { alertsActor, ALERT_SETTINGS, type AlertsOutcome, type Notice, type Notify } from "../src/live/actors/alerts.ts";
import { keyAges } from "../src/live/alerts/key-age.ts";
import { openAlertsRim } from "../src/live/alerts/rim.ts";
import { alertSettings } from "../src/live/alerts/settings.ts";
import type { AlertFact } from "../src/live/message.ts";
import { makeSession, MINUTE, OPEN } from "./monitor-facts.ts";

const session = makeSession(), DAY = 1440 * MINUTE;
const alert = (at: number, change: Partial<AlertFact> = {}): AlertFact => ({ kind: "alert", at, severity: "warning",
  code: "feed-stale", text: "no bar for 60 s", process: "feed", ...change });
const notice = (change: Partial<Notice> = {}): Notice => ({ at: OPEN, severity: "critical", code: "order-unknown",
  text: "nobody knows o-1", process: "execution", count: 1, ...change });
const NO_MAIL = { email: { host: null, port: 587, from: null, to: null } };

/** What each channel would be told, as "channel code count". */
async function told(actor: ReturnType<typeof alertsActor>, message: Parameters<typeof actor.handle>[0],
  now: number): Promise<string[]> {
  const said = await actor.handle(message, now);
  return said.map((one) => one.kind === "notify" ? `${one.channel} ${one.notice.code} ${one.notice.count}`
    : `says ${(one as AlertFact).code}`);
}

describe("what is told", () => {
  test("the first of a code at once, 9 more in 15 minutes as one with its count, a graver one at once", async () => {
    const actor = alertsActor({ session });
    assert.deepEqual(await told(actor, alert(OPEN), OPEN), ["log feed-stale 1", "webhook feed-stale 1"]);
    for (let k = 1; k <= 9; k++) assert.deepEqual(await told(actor, alert(OPEN), OPEN + k * MINUTE), []);
    assert.deepEqual(await told(actor, alert(OPEN, { process: "feed-2" }), OPEN + MINUTE),
      ["log feed-stale 1", "webhook feed-stale 1"]);
    assert.deepEqual(await told(actor, { kind: "tick", at: OPEN }, OPEN + 14.9 * MINUTE), []);
    assert.deepEqual(await told(actor, { kind: "tick", at: OPEN }, OPEN + 15 * MINUTE),
      ["log feed-stale 9", "webhook feed-stale 9"]);
    assert.deepEqual(await told(actor, { kind: "tick", at: OPEN }, OPEN + 45 * MINUTE), [], "nothing came since");
    assert.deepEqual(await told(actor, alert(OPEN), OPEN + 45 * MINUTE), ["log feed-stale 1", "webhook feed-stale 1"]);
    assert.deepEqual(await told(actor, alert(OPEN, { severity: "critical" }), OPEN + 46 * MINUTE),
      ["log feed-stale 1", "webhook feed-stale 1", "email feed-stale 1"]);
  });

  test("a halt reaches all three channels in a sentence with its reason and who asked", async () => {
    const actor = alertsActor({ session });
    const [, , mail] = await actor.handle({ kind: "trading-state", at: OPEN, state: "HALTED", reason: "drawdown 10.2 %",
      by: "risk" }, OPEN) as Notify[];
    assert.equal(mail.channel, "email");
    assert.equal(mail.notice.text, "trading of ensemble is HALTED: drawdown 10.2 % (by risk)");
  });

  test("a key of 30 days is said once a day as a fact and told, one of 29 is not", async () => {
    const actor = alertsActor({ session, keys: [{ name: "alpaca", since: OPEN - 30 * DAY },
      { name: "massive", since: OPEN - 29 * DAY }] });
    const tick = { kind: "tick", at: 0 } as const;
    assert.deepEqual(await told(actor, tick, OPEN), ["says key-old-alpaca", "log key-old-alpaca 1", "webhook key-old-alpaca 1"]);
    assert.deepEqual(await told(actor, tick, OPEN + DAY - 1), []);
    assert.equal((await told(actor, tick, OPEN + DAY)).filter((text) => text.startsWith("says")).length, 2);
  });

  test("a channel that is never told by the settings is not; settings come from live.alerts", async () => {
    const config = configSchema.parse({ live: { alerts: { log: "never", webhook: "critical", email: "never",
      quietMinutes: 1 } } });
    const settings = alertSettings(config.live.alerts);
    assert.deepEqual(settings.severity, { log: null, webhook: "critical", email: null });
    const actor = alertsActor({ session, settings });
    assert.deepEqual(await told(actor, alert(OPEN), OPEN), []);
    assert.deepEqual(await told(actor, alert(OPEN, { severity: "critical" }), OPEN), ["webhook feed-stale 1"]);
    assert.deepEqual(alertSettings(configSchema.parse({}).live.alerts).severity, ALERT_SETTINGS.severity);
  });

  test("of 1,100 codes the 100 longest silent are forgotten", async () => {
    const actor = alertsActor({ session });
    for (let k = 0; k < 1100; k++) await actor.handle(alert(OPEN, { code: `c${k}` }), OPEN);
    assert.equal((await told(actor, alert(OPEN, { code: "c99" }), OPEN + 1)).length, 2, "forgotten: told anew");
    assert.equal((await told(actor, alert(OPEN, { code: "c1099" }), OPEN + 1)).length, 0);
  });
});

describe("channels", () => {
  test("a webhook that is down is said once, tried again, and gets its notices in order when it is back", async () => {
    const heard: string[] = [], outcomes: AlertsOutcome[] = [];
    let isDown = true, refused = 0;
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const server = createServer((request, response) => {
      void textOf(request).then((body) => {
        if (isDown) { if (++refused === 3) isDown = false; response.writeHead(503).end(); return; }
        heard.push((JSON.parse(body) as { text: string }).text);
        response.end();
        if (heard.length === 3) resolve();
      });
    });
    const address = `http://127.0.0.1:${await listen(server)}/hooks/very-secret-word`;
    const clock = new FakeClock(OPEN);
    const rim = openAlertsRim({ session, settings: NO_MAIL, environment: { DMN_ALERT_WEBHOOK: address }, clock,
      log: openLog("silent") });
    await rim.start((outcome) => { outcomes.push(outcome); });
    for (const code of ["a", "b", "c"]) rim.carryOut({ kind: "notify", channel: "webhook",
      notice: notice({ text: code, count: 2 }) });
    await done;
    await rim.stop();
    server.close();
    assert.deepEqual(heard, ["a", "b", "c"].map((code) => `CRITICAL execution: ${code} (2 times)`));
    assert.deepEqual(clock.sleptMs, [1000, 2000, 4000]);
    assert.deepEqual(outcomes, [{ kind: "channel-down", channel: "webhook", reason: "the webhook answered 503" },
      { kind: "channel-up", channel: "webhook", dropped: 0 }]);
    assert.doesNotMatch(JSON.stringify(outcomes), /very-secret-word/);
  });

  test("while a webhook hangs, 1,000 notices wait for nobody; the newest 100 go when it is back, 900 are said to be lost",
    async () => {
    const heard: number[] = [], { promise: up, resolve } = Promise.withResolvers<AlertsOutcome>();
    const { promise: hung, resolve: hang } = Promise.withResolvers<void>();
    const server = createServer((request, response) => {
      if (heard.length === 0) { heard.push(0); hang(); return; }
      void textOf(request).then((body) => { heard.push((JSON.parse(body) as { at: string }).at.length); response.end(); });
    });
    const rim = openAlertsRim({ session, settings: NO_MAIL, clock: new FakeClock(OPEN), log: openLog("silent"),
      environment: { DMN_ALERT_WEBHOOK: `http://127.0.0.1:${await listen(server)}/` } });
    await rim.start((outcome) => { if (outcome.kind === "channel-up") resolve(outcome); });
    for (let k = 0; k < 1000; k++) rim.carryOut({ kind: "notify", channel: "webhook", notice: notice() });
    await hung;
    server.closeAllConnections();
    assert.deepEqual(await up, { kind: "channel-up", channel: "webhook", dropped: 900 });
    await rim.stop();
    server.closeAllConnections();
    server.close();
  });

  test("the log channel writes a line of its severity; an address that is not https is refused", async () => {
    const lines: string[] = [];
    const open = (environment: Record<string, string>) => openAlertsRim({ session, settings: NO_MAIL, environment,
      clock: systemClock, log: openLog("info", (line) => { lines.push(line); }) });
    open({}).carryOut({ kind: "notify", channel: "log", notice: notice() });
    assert.match(lines[0], /"level":"error".*"code":"order-unknown".*"msg":"execution: nobody knows o-1"/);
    for (const address of ["http://example.com/x", "ftp://127.0.0.1/", "not an address"]) {
      assert.throws(() => open({ DMN_ALERT_WEBHOOK: address }), /DMN_ALERT_WEBHOOK is not an https address/);
    }
    assert.throws(() => openAlertsRim({ session, settings: { email: { host: "mail.example", port: 25, from: null, to: null } },
      environment: {}, clock: systemClock, log: openLog("silent") }), /has a host, but no from or no to/);
  });

  test("a mail goes by SMTP with its severity in the subject, and a text that forges a header stays in its line", async () => {
    const session220 = "220 test\r\n", mail: string[] = [];
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const server = createMailServer((socket) => {
      let isBody = false;
      socket.write(session220);
      socket.on("error", () => { /* The client left. */ });
      socket.setEncoding("utf8").on("data", (text) => {
        for (const line of String(text).split("\r\n").slice(0, -1)) {
          if (isBody) {
            mail.push(line);
            if (line === ".") { isBody = false; socket.write("250 ok\r\n"); resolve(); }
          } else if (line === "DATA") { isBody = true; socket.write("354 go on\r\n"); } else socket.write("250 ok\r\n");
        }
      });
    });
    await new Promise<void>((ready) => { server.listen(0, "127.0.0.1", ready); });
    const rim = openAlertsRim({ session, clock: systemClock, log: openLog("silent"), environment: {},
      settings: { email: { host: "127.0.0.1", port: (server.address() as AddressInfo).port, from: "dmn@example.com",
        to: "me@example.com" } } });
    await rim.start((outcome) => { assert.fail(JSON.stringify(outcome)); });
    rim.carryOut({ kind: "notify", channel: "email", notice: notice({ text: "lost\r\nBcc: thief@example.com" }) });
    await done;
    await rim.stop();
    server.close();
    const head = mail.slice(0, mail.indexOf("")).join("\n");
    assert.match(head, /^Subject: \[dmn critical\] execution: lost Bcc: thief@example\.com$/m);
    assert.doesNotMatch(head, /^Bcc:/m);
    assert.match(mail.join("\n"), /session {3}20261120-143000-a1b2 \(simulator, ensemble\)/);
  });

  test("a key's age counts from its first use; a new key is of today, and no key is in the file", async () => {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-keys-"));
    assert.deepEqual(await keyAges(root, { alpaca: "secret-word-1" }, 1000), [{ name: "alpaca", since: 1000 }]);
    assert.deepEqual(await keyAges(root, { alpaca: "secret-word-1", massive: "m" }, 5000),
      [{ name: "alpaca", since: 1000 }, { name: "massive", since: 5000 }]);
    assert.deepEqual(await keyAges(root, { alpaca: "secret-word-2" }, 9000), [{ name: "alpaca", since: 9000 }]);
    const text = fs.readFileSync(path.join(root, "storage/live/key-ages.json"), "utf8");
    assert.doesNotMatch(text, /secret-word/);
    fs.rmSync(root, { recursive: true });
  });
});

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) text += String(piece);
  return text;
}
async function listen(server: ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((ready) => { server.listen(0, "127.0.0.1", ready); });
  return (server.address() as AddressInfo).port;
}
