/** The dashboard's server: who is answered, what is told, and that nobody waits for a client. */
import assert from "node:assert/strict";
import { request, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { describe, test } from "node:test";
import { openLog } from "../src/base/log.ts";
import { showOn, startBoard } from "../src/live/dashboard/board.ts";
import { proofOf } from "../src/live/dashboard/guard.ts";
import { startDashboard, type Dashboard } from "../src/live/dashboard/server.ts";
import { wholeView } from "../src/live/dashboard/view.ts";
import { account, makeSession, orderState, OPEN, tradingDay } from "./monitor-facts.ts";

const TOKEN = "t".repeat(43);
interface Asked { readonly method?: string; readonly path: string; readonly headers?: Record<string, string>;
  readonly body?: string }
interface Answer { readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string }

async function open(port = 0, lines: string[] = []): Promise<Dashboard & { readonly port: number; readonly ordered: string[] }> {
  const ordered: string[] = [];
  const dashboard = await startDashboard({ session: makeSession(), port, token: TOKEN,
    control: (action, by, subject, value) => {
      ordered.push([action, by, subject, value].join("|"));
      return Promise.resolve({ ok: true, text: `${action} done` });
    },
    monitors: { hops: () => [], processes: () => [] }, log: openLog("info", (line) => { lines.push(line); }) });
  return { ...dashboard, ordered, port: Number(new URL(dashboard.address).port) };
}

/** By hand: fetch would not let a test forge Host, Origin or Cookie. */
function ask(port: number, { method = "GET", path, headers = {}, body }: Asked): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const outgoing = request({ host: "127.0.0.1", port, method, path, headers: { host: `127.0.0.1:${port}`, ...headers } },
    (response: IncomingMessage) => {
    let text = "";
    response.setEncoding("utf8").on("data", (piece: string) => { text += piece; });
    response.on("end", () => { resolve({ status: response.statusCode ?? 0, headers: response.headers, text }); });
  });
  outgoing.on("error", reject);
  outgoing.end(body);
  return promise;
}
const bearer = { authorization: `Bearer ${TOKEN}` };

describe("the dashboard's server", () => {
  test("tells the state as JSON, whole or one section, to who has the token", async () => {
    await using dashboard = await open();
    for (const [now, message] of tradingDay()) await dashboard.actor.handle(message, now);
    await dashboard.actor.handle(account(OPEN + 3_600_000, 99_000, [100, 0, 0]), OPEN);
    const state = JSON.parse((await ask(dashboard.port, { path: "/api/state", headers: bearer })).text) as {
      account: { equity: number; gain: number }; fills: unknown[]; curve: { at: number[] } };
    assert.equal(state.account.equity, 99_000);
    assert.equal(state.account.gain, -1000);
    assert.equal(state.fills.length, 10);
    assert.equal(state.curve.at.length, 12);
    // A dashboard that comes back with what was recorded knows the start.
    const board = startBoard(makeSession(), [{ at: OPEN, equity: 100_000 }, { at: OPEN + 60_000, equity: 99_500 }]);
    showOn(board, account(OPEN + 120_000, 99_000), OPEN + 120_000);
    const { account: seen, curve } = wholeView(board, { hops: () => [], processes: () => [] });
    assert.deepEqual([seen?.gain, curve?.equity], [-1000, [100_000, 99_500, 99_000]]);
    const fills = await ask(dashboard.port, { path: "/api/fills", headers: bearer });
    assert.deepEqual(JSON.parse(fills.text), state.fills);
    assert.equal((await ask(dashboard.port, { path: "/api/nothing", headers: bearer })).status, 404);
  });

  test("the token in the address becomes a cookie of this port that scripts and other sites do not get", async () => {
    await using dashboard = await open();
    const { port } = dashboard, first = await ask(port, { path: `/?token=${TOKEN}` });
    assert.equal(first.status, 303);
    assert.equal(first.headers.location, "/");
    const cookie = first.headers["set-cookie"]?.[0] ?? "";
    assert.match(cookie, new RegExp(`^dmn-${port}=${TOKEN}; HttpOnly; SameSite=Strict; Path=/$`));
    const page = await ask(port, { path: "/", headers: { cookie: cookie.split(";")[0] } });
    assert.equal(page.status, 200);
    assert.match(String(page.headers["content-security-policy"]),
      /^default-src 'none'; script-src 'sha256-.*frame-ancestors 'none'$/);
    assert.equal(page.headers["cache-control"], "no-store");
    assert.equal(page.headers["access-control-allow-origin"], undefined);
    assert.doesNotMatch(page.text, new RegExp(TOKEN));
    assert.doesNotMatch(page.text, /https?:\/\/(?!www\.w3\.org)/, "nothing is asked for elsewhere");
  });

  test("a wrong token, Host, Origin, method or proof is refused, each with its status, and nothing is ordered", async () => {
    await using dashboard = await open();
    const { port } = dashboard, own = `http://127.0.0.1:${port}`;
    const order = { method: "POST", path: "/api/control", body: '{"action":"halt"}' };
    const good = { ...bearer, origin: own, "content-type": "application/json", "x-dmn-proof": proofOf({ port, token: TOKEN }) };
    const without = (name: keyof typeof good): Record<string,
      string> => Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));
    const cases: readonly (readonly [number, Asked])[] = [
      [401, { path: "/" }], [401, { path: "/api/state" }], [401, { path: "/?token=wrong" }],
      [401, { path: "/", headers: { cookie: `dmn-${port}=${TOKEN}x` } }],
      [401, { path: "/", headers: { cookie: `dmn-${port + 1}=${TOKEN}` } }],
      [421, { path: "/api/state", headers: { ...bearer, host: "evil.example" } }],
      [421, { path: "/api/state", headers: { ...bearer, host: `evil.example:${port}` } }],
      [421, { path: "/api/state", headers: { ...bearer, host: "127.0.0.1" } }],
      [403, { path: "/api/state", headers: { ...bearer, origin: "http://evil.example" } }],
      [403, { path: "/api/state", headers: { ...bearer, origin: "null" } }],
      [403, { path: "/api/state", headers: { ...bearer, origin: `http://127.0.0.1:${port + 1}` } }],
      [403, { path: "/api/events", headers: { ...bearer, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" } }],
      [403, { ...order, headers: { ...good, origin: "http://evil.example" } }],
      [403, { ...order, headers: without("origin") }], [403, { ...order, headers: without("x-dmn-proof") }],
      [401, { ...order, headers: without("authorization") }], [403, { ...order, headers: { ...good, "x-dmn-proof": "x" } }],
      [415, { ...order, headers: { ...good, "content-type": "text/plain" } }],
      [405, { ...order, method: "PUT", headers: good }], [404, { ...order, path: "/api/state", headers: good }],
      [400, { ...order, headers: good, body: '{"action":"swap-model"}' }], [400, { ...order, headers: good, body: "{" }],
      [400, { ...order, headers: good, body: `{"action":"halt","value":"${"x".repeat(201)}"}` }],
    ];
    for (const [status, asked] of cases) {
      assert.equal((await ask(port, asked)).status, status, JSON.stringify(asked));
    }
    assert.deepEqual(dashboard.ordered, []);
    const done = await ask(port, { ...order, headers: good, body: '{"action":"emergency-stop","value":"flatten"}' });
    assert.deepEqual(JSON.parse(done.text), { ok: true, text: "emergency-stop done" });
    assert.deepEqual(dashboard.ordered, ["emergency-stop|dashboard||flatten"]);
  });

  test("a body above 4 KiB is cut off, and the token is in no log line", async () => {
    const lines: string[] = [];
    await using dashboard = await open(0, lines);
    const { port } = dashboard;
    const headers = { ...bearer, origin: `http://127.0.0.1:${port}`, "content-type": "application/json",
      "x-dmn-proof": proofOf({ port, token: TOKEN }) };
    await assert.rejects(ask(port, { method: "POST", path: "/api/control", headers, body: "x".repeat(1e6) }),
      /socket hang up|ECONNRESET|EPIPE/);
    await ask(port, { method: "POST", path: "/api/control", headers, body: '{"action":"halt"}' });
    assert.match(lines.join(""), /"action":"halt".*ordered from the dashboard/);
    assert.doesNotMatch(lines.join(""), new RegExp(TOKEN));
  });

  test("a client that does not read is cut off, and one that reads gets everything meanwhile", async () => {
    await using dashboard = await open();
    const { port } = dashboard;
    const listen = (): Socket => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => { /* It is cut off. */ });
      socket.write(`GET /api/events HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nauthorization: Bearer ${TOKEN}\r\n\r\n`);
      return socket;
    };
    const stuck = listen(), reader = listen();
    stuck.pause();
    let heard = "";
    reader.setEncoding("utf8").on("data", (piece) => { heard = (heard + String(piece)).slice(-100_000); });
    const deadline = performance.now() + 12_000;
    const until = async (isSo: () => boolean, what: string): Promise<void> => {
      for (; !isSo(); await new Promise((resolve) => { setTimeout(resolve, 20); })) assert.ok(performance.now() < deadline, what);
    };
    await until(() => dashboard.clients().listening === 2, "two listen");
    // A hundred orders with long reasons are 2 MB in each event.
    let k = 0;
    await until(() => {
      for (let i = 0; i < 100; i++) void dashboard.actor.handle(orderState(OPEN + k,
        { id: `o-${i}`, reason: `${k}`.padEnd(20_000, ".") }), OPEN + k);
      k++;
      return dashboard.clients().cutOff === 1;
    }, "the stuck one is cut off");
    assert.equal(dashboard.clients().listening, 1);
    await dashboard.actor.handle({ kind: "trading-state", at: OPEN, state: "REDUCING", reason: "last word", by: "test" }, OPEN);
    await until(() => heard.includes("last word"), "the other one hears on");
    stuck.destroy();
    reader.destroy();
  });

  test("sixteen listen, the seventeenth is told to close one; a taken port is a sentence", async () => {
    await using dashboard = await open();
    const { port } = dashboard, streams: AbortController[] = [];
    for (let k = 0; k < 16; k++) {
      const one = new AbortController();
      streams.push(one);
      assert.equal((await fetch(`http://127.0.0.1:${port}/api/events`, { headers: bearer, signal: one.signal })).status, 200);
    }
    const refused = await ask(port, { path: "/api/events", headers: bearer });
    assert.equal(refused.status, 503);
    assert.match(refused.text, /too many pages listen already/);
    for (const one of streams) one.abort();
    await assert.rejects(open(port), /port \d+ of the dashboard is in use/);
  });
});
