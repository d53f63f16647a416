/** What is asked before a process starts: keys, hosts, clocks, hours, instruments, model files, settings, consent. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { FakeClock, systemClock } from "../src/base/clock.ts";
import { UserError } from "../src/base/error.ts";
import { openLog } from "../src/base/log.ts";
import { openAlpacaBroker } from "../src/live/brokers/alpaca.ts";
import { hostOf } from "../src/live/brokers/alpaca-hosts.ts";
import type { Broker } from "../src/live/brokers/broker.ts";
import { SIMULATOR_KEYS } from "../src/simulator/simulator.ts";
import { checkPlan } from "../src/workflow/live/checks.ts";
import type { LiveReport } from "../src/workflow/live/live.ts";
import { liveText } from "../src/workflow/live/live-text.ts";
import { lineOf, openDisplay } from "../src/workflow/live/display.ts";
import { rotateKeys } from "../src/workflow/live/rotate-keys.ts";
import { OPEN, openClient, startVenue } from "./execution-host.ts";
import { testContext } from "./outside.ts";
import { dmn, temporaryRoot } from "./live-graph.ts";

const DMN = path.join(import.meta.dirname, "..", "bin", "dmn.js");
const root = temporaryRoot();
after(() => { fs.rmSync(root, { recursive: true, force: true }); });

const said = (problem: RegExp, hint: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof UserError, String(error));
  assert.match(error.problem, problem);
  assert.match(error.hint, hint);
  return true;
};

describe("what the broker is asked before a process starts", () => {
  test("the plan works with its own keys, clock and instruments, and each of them wrong is a sentence of its own", async (t) => {
    const server = await startVenue(["AAA"]);
    t.after(() => server.close());
    await using broker = await openClient(server.url);
    const told = await broker.clock(), { at } = told;
    assert.ok(at >= OPEN);
    await checkPlan(broker, ["AAA"], new FakeClock(at));
    await checkPlan(broker, ["AAA"], new FakeClock(at + 1_900));
    await assert.rejects(checkPlan(broker, ["AAA"], new FakeClock(at + 2_500)),
      said(/this machine's clock is 2.5 s from/, /set-ntp/));
    await assert.rejects(checkPlan(broker, ["AAA"], new FakeClock(at - 90_000)), said(/clock is -90.0 s from/, /set-ntp/));
    await assert.rejects(checkPlan(broker, ["AAA", "ZZZ"], new FakeClock(at)), said(/knows no instrument ZZZ/, /--symbols/));
    broker.clock = () => Promise.resolve({ ...told, isOpen: false, nextOpen: Date.UTC(2024, 0, 4, 14, 30) });
    await assert.rejects(checkPlan(broker, ["AAA"], new FakeClock(at)),
      said(/the market is closed until 2024-01-04T14:30:00Z/, /--replay synthetic/));
  });

  test("other keys are refused by name and never shown; an address where nobody answers is told from that", async (t) => {
    const server = await startVenue(["AAA"]);
    t.after(() => server.close());
    const lines: string[] = [], keys = { keyId: "PKMARKEDKEYID", secretKey: "marked-secret-word" };
    const open = (url: string): Promise<Broker> => openAlpacaBroker({ host: hostOf("simulator", url), keys,
      clock: systemClock, log: openLog("trace", (line) => { lines.push(line); }) });
    await using broker = await open(server.url);
    const refusal = await checkPlan(broker, ["AAA"], systemClock).then(() => null, (error: unknown) => error);
    said(/127\.0\.0\.1:\d+ refuses these keys \(HTTP 401/, /paper and live accounts have keys of their own/)(refusal);
    assert.doesNotMatch(`${(refusal as Error).message}${lines.join("")}`, /PKMARKED|marked-secret/);
    await using nobody = await open("http://127.0.0.1:1");
    await assert.rejects(checkPlan(nobody, ["AAA"], systemClock),
      said(/127\.0\.0\.1:1 cannot be reached: .*ECONNREFUSED/, /--replay/));
  });
});

/** `dmn live ...` with the keys of a paper account, on a machine whose names lead nowhere; `asked`: hosts it looked up. */
function withKeys(...args: string[]): { code: number | null; said: string; asked: string[] } {
  const list = path.join(root, "asked"), nowhere = path.join(root, "nowhere.mjs");
  fs.writeFileSync(list, "");
  fs.writeFileSync(nowhere, `import dns from "node:dns"; import fs from "node:fs"; import net from "node:net";
    dns.lookup = (host, options, done) => {
      if (!net.isIP(host)) fs.appendFileSync(${JSON.stringify(list)}, host + "\\n");
      (done ?? options)(Object.assign(new Error("getaddrinfo ENOTFOUND " + host), { code: "ENOTFOUND" })); };`);
  const run = spawnSync(process.execPath, [DMN, "live", ...args], { cwd: root, encoding: "utf8",
    env: { ...process.env, DMN_HOME: root, CI: "1", NODE_OPTIONS: `--import ${pathToFileURL(nowhere).href}`,
      APCA_API_KEY_ID: "PKMARKEDKEYID", APCA_API_SECRET_KEY: "marked-secret-word" } });
  return { code: run.status, said: run.stderr, asked: fs.readFileSync(list, "utf8").split("\n").filter(Boolean) };
}
const PLAN = ["--symbols", "SPY", "--models", "a=tsmom"];

describe("which host keys are taken to", () => {
  test("with paper keys it is the paper host and no other, with or without --paper", () => {
    for (const flags of [["--paper"], []]) {
      const { code, said, asked } = withKeys(...flags, ...PLAN);
      assert.equal(code, 2, said);
      assert.deepEqual([...new Set(asked)], ["paper-api.alpaca.markets"], said);
      assert.match(said, /paper-api\.alpaca\.markets cannot be reached/);
      assert.doesNotMatch(said, /PKMARKED|marked-secret/);
    }
  });

  test("real money lacking the flag, the setting or the typed words asks no host for anything", (t) => {
    const settings = path.join(root, "dmn.config.json");
    t.after(() => { fs.rmSync(settings, { force: true }); });
    const unset = withKeys("--live", ...PLAN);
    assert.equal(unset.code, 2);
    assert.match(unset.said, /not allowed by the settings\n.*"realMoney": true.*dmn\.config\.json/);
    fs.writeFileSync(settings, '{ "live": { "realMoney": true } }');
    const untyped = withKeys("--live", ...PLAN);
    assert.equal(untyped.code, 2);
    assert.match(untyped.said, /was not confirmed\n.*trade real money/);
    assert.deepEqual([...unset.asked, ...untyped.asked], []);
    // The setting alone is not the flag.
    assert.deepEqual([...new Set(withKeys(...PLAN).asked)], ["paper-api.alpaca.markets"]);
  });

  test("a keys file that others may read, and settings that are none, end it before anything is asked", (t) => {
    const keys = path.join(root, "keys.json"), settings = path.join(root, "dmn.config.json");
    t.after(() => { for (const file of [keys, settings]) fs.rmSync(file, { force: true }); });
    const run = (): string => dmn(root, "live", ...PLAN).said;
    fs.writeFileSync(keys, '{ "alpaca": { "keyId": "PKMARKED", "secretKey": "marked-secret-word" } }', { mode: 0o644 });
    if (process.platform !== "win32") assert.match(run(), /keys\.json may be read by others \(mode 644\)\n.*chmod 600/);
    for (const [text, problem] of [["{ nonsense", /is not valid JSON/],
      ['{ "live": { "portBase": "x" } }', /setting "live\.portBase"/],
      ['{ "live": { "realmoney": true } }', /no setting "live\.realmoney".*\n.*"live\.realMoney"/]] as const) {
      fs.writeFileSync(settings, text);
      assert.match(run(), problem);
    }
  });
});

describe("keys that take the place of others", () => {
  const { keyId, secretKey } = SIMULATOR_KEYS.alpaca;
  const environment = { APCA_API_KEY_ID: keyId, APCA_API_SECRET_KEY: secretKey };

  test("new keys are tried, then kept for their owner alone beside the others; the same once more are refused", async (t) => {
    const server = await startVenue(["AAA"]);
    t.after(() => server.close());
    using outside = testContext();
    const place = path.join(outside.context.root, "keys.json");
    const before = { massive: { apiKey: "m-key" }, alpaca: { keyId: "OLD", secretKey: "old" } };
    fs.writeFileSync(place, JSON.stringify(before), { mode: 0o600 });
    const text = await rotateKeys(outside.context, environment, () => openClient(server.url));
    assert.match(text, /unset the variables, restart dmn live, then revoke the old keys/);
    assert.deepEqual(JSON.parse(fs.readFileSync(place, "utf8")), { ...before, alpaca: { keyId, secretKey } });
    if (process.platform !== "win32") assert.equal(fs.statSync(place).mode & 0o777, 0o600);
    await assert.rejects(rotateKeys(outside.context, environment, () => openClient(server.url)),
      said(/in use already/, /new pair/));
  });

  test("keys that open nothing change nothing, and a damaged file is told without what it holds", async (t) => {
    const server = await startVenue(["AAA"]);
    t.after(() => server.close());
    using outside = testContext();
    const place = path.join(outside.context.root, "keys.json");
    const before = '{ "alpaca": { "keyId": "OLD", "secretKey": "old" } }';
    fs.writeFileSync(place, before, { mode: 0o600 });
    const wrong = { APCA_API_KEY_ID: "PKMARKEDKEYID", APCA_API_SECRET_KEY: "marked-secret-word" };
    const open = (keys: { keyId: string; secretKey: string }): Promise<Broker> =>
      openAlpacaBroker({ host: hostOf("simulator", server.url), keys, clock: systemClock, log: openLog("silent") });
    await assert.rejects(rotateKeys(outside.context, wrong, open),
      said(/the new keys open no paper account: HTTP 401/, /old ones stay/));
    assert.equal(fs.readFileSync(place, "utf8"), before);
    fs.writeFileSync(place, "{ marked-secret-word");
    await assert.rejects(rotateKeys(outside.context, environment, open), (error: unknown) =>
      said(/keys\.json is not valid JSON/, /mend it/)(error) && !String(error).includes("marked"));
  });
});

const REPORT: LiveReport = { session: "2026-11-20T10-03-19-408Z", pid: 7, venue: "simulator", dataset: "synthetic",
  seconds: 146, dashboard: "http://127.0.0.1:5567/?token=t", restarts: 0, hops: [], ended: null,
  tradingState: "ACTIVE", reason: "start",
  decidedAt: Date.UTC(2017, 9, 24, 23), decisions: 12_466, equityStart: 1e6, equity: 1_056_102, isReconciled: true, held: 24,
  orders: 409_425, openOrders: 33, rejected: 0, fills: 409_425, alerts: { info: 1, warning: 2, critical: 3 },
  networks: null,
  processes: ["transformer-1", "feed"].map((name) => ({ name, pid: 4_194_304, state: "running", restarts: 0, cpuShare: 1.2,
    memoryBytes: 3e8, loopDelayMs: 1_234.5, handled: 12_345_678 })) };

describe("how a run looks", () => {
  test("line and tables say first whose money it is, end in a command to type, and fit 100 columns", () => {
    const venues = [["simulator", "SIMULATED"], ["alpaca-paper", "PAPER"], ["alpaca-live", "REAL MONEY"]] as const;
    for (const [venue, words] of venues) {
      const report = { ...REPORT, venue };
      assert.ok(lineOf(report).startsWith(words));
      assert.ok(liveText(report).startsWith(words));
      for (const line of [lineOf(report), ...liveText(report).split("\n")]) assert.ok(line.length <= 100, line);
    }
    assert.match(liveText(REPORT), /next .*dmn live halt/);
    assert.doesNotMatch(liveText(REPORT), /device/);
    assert.match(liveText({ ...REPORT, networks: "networks answer on the GPU (X), in float32" }),
      /^device {5}networks answer on the GPU \(X\), in float32$/m);
    assert.match(liveText({ ...REPORT, ended: "Ctrl-C" }), /next .*dmn live report --day 2026-11-20/);
    for (const ended of [null, "emergency stop by user"]) {
      assert.match(liveText({ ...REPORT, ended, tradingState: "HALTED" }), /next .*dmn live resume/);
    }
    assert.match(lineOf({ ...REPORT, tradingState: "HALTED" }), /HALTED: dmn live resume/);
    const [late] = REPORT.processes;
    assert.match(lineOf({ ...REPORT, processes: [{ ...late, state: "starting" }, REPORT.processes[1]] }), /1 of 2 processes$/);
  });

  test("the same warning of five processes is shown once a minute, another one at once, the same line not twice", () => {
    const lines: string[] = [];
    let now = 0;
    const stream = { isTTY: false, write: (text: string) => lines.push(text) } as unknown as NodeJS.WriteStream;
    const display = openDisplay(stream, () => now);
    const processes = REPORT.processes.map((one) => ({ ...one, state: "starting" as const }));
    const starting = { ...REPORT, decisions: 0, processes };
    for (now = 0; now <= 30_000; now += 500) display.draw(starting);
    assert.deepEqual(lines.splice(0), ["starting: 0 of 2 processes\n"]);
    const blocked = (name: string, ms: number): void =>
      display.alert(`warning: monitor: the loop of ${name} was blocked for ${ms} ms`);
    blocked("feed", 612);
    blocked("transformer-1", 1_044.5);
    display.alert("critical: decision: 1 of 3 models answered");
    now += 59_000;
    blocked("feed", 700);
    assert.equal(lines.length, 2);
    for (const symbol of ["AG1", "BRK.B", "MT2"]) {
      display.alert(`warning: execution: ${symbol}: stays at 373, wanted 0: stale-data`);
    }
    assert.equal(lines.splice(2).length, 1);
    now += 2_000;
    blocked("feed", 800);
    assert.match(lines[2], /800 ms/);
  });
});
