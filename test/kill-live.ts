/**
 * Deaths of the real graph, measured: `node test/kill-live.ts [kill] [freeze] [all] [emergency] [ctrl-c] [--times N]`.
 *
 *   kill, freeze   each process in turn, SIGKILL or SIGSTOP. Safe: it is gone from the process table (what is frozen
 *                  could wake up), and the last order has arrived that was decided on a bar from before the signal
 *   all            the supervisor and all its processes at once: until none is left, and what the journal then says
 *   emergency      `dmn live stop --emergency` with 50 limit orders at the simulator
 *   ctrl-c         SIGINT to the terminal's group, at any time from the start on
 *
 * Orders are counted at the simulator, each against the intent journal. It prints milliseconds, and fails on a broken promise.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { openIntentJournal } from "../src/live/execution/intent-journal.ts";
import { portsFrom } from "../src/live/topology.ts";
import { places } from "../src/base/data-root.ts";
import { fetchMarket, freePorts, Graph, processesOf, temporaryRoot } from "./live-graph.ts";
import { Tape } from "./live-tape.ts";
import { fetchMinutes } from "./live-minutes.ts";

const WANTED_MS = { kill: 2_000, freeze: 3_000, emergency: 500, "ctrl-c": 2_000 } as const;
const DMN = path.join(import.meta.dirname, "..", "bin", "dmn.js");
const SETTLE_MS = 1_500, LIMIT_MS = 60_000, POLL_MS = 2;

const say = (line: string): void => { process.stdout.write(`${line}\n`); };
const pause = async (ms: number): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, ms);
  await promise;
};

/** Running or frozen; a zombie has gone. */
function isThere(pid: number): boolean {
  try { return !/\) [ZX] /.test(fs.readFileSync(`/proc/${pid}/stat`, "utf8")); } catch { return false; }
}
async function untilGone(pids: readonly number[]): Promise<number> {
  for (const deadline = performance.now() + LIMIT_MS; pids.some(isThere);) {
    assert.ok(performance.now() < deadline, `still there: ${pids.filter(isThere).join(", ")}`);
    await pause(POLL_MS);
  }
  return performance.now();
}

/** p50, p99 and longest of some milliseconds, with the load of the machine beside them. */
function tell(name: string, values: readonly number[], wantedMs: number | null = null): void {
  const sorted = [...values].sort((a, b) => a - b), at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? NaN).toFixed(0).padStart(6);
  const verdict = wantedMs === null ? "" : Number(at(0.99)) <= wantedMs ? `  within ${wantedMs}` : `  ABOVE ${wantedMs}`;
  say(`${name.padEnd(34)} n ${String(sorted.length).padStart(3)}  p50 ${at(0.5)}  p99 ${at(0.99)}  max ${at(1)}`
    + `  load ${os.loadavg()[0].toFixed(1)}${verdict}`);
}

/** Every order of ours at the simulator has an intent on the disk, and none is there twice. */
async function checkOrders(graph: Graph): Promise<number> {
  const orders = await graph.broker("/v2/orders?status=all&limit=500") as { client_order_id: string }[];
  const ids = orders.map((one) => one.client_order_id).filter((id) => id.startsWith("dmn-"));
  assert.equal(new Set(ids).size, ids.length, "an order was sent twice");
  const text = fs.readFileSync(path.join(places.live(graph.root), "intents.journal"), "utf8");
  // A journal is made short now and then: then older ones have come to rest.
  const known = ids.filter((id) => text.includes(id));
  assert.ok(ids.length === 0 || known.length > 0, "no order at the simulator has an intent on the disk");
  return ids.length;
}

interface Death { readonly safeMs: number; readonly goneMs: number; readonly lastMs: number; readonly backMs: number }

async function strike(graph: Graph, tape: Tape, name: string, signal: "SIGKILL" | "SIGSTOP"): Promise<Death> {
  const pid = graph.processes().get(name)!, market = tape.marketNow, from = performance.now();
  process.kill(pid, signal);
  const gone = await untilGone([pid]);
  const fresh = (): number | undefined => graph.processes().get(name);
  for (const deadline = performance.now() + LIMIT_MS; fresh() === undefined || fresh() === pid;) {
    assert.ok(performance.now() < deadline, `${name} did not come back`);
    await pause(10);
  }
  await graph.untilStatus(({ processes }) => processes.every(({ state }) => state === "running"), `${name} runs again`);
  const back = performance.now();
  await pause(SETTLE_MS);
  const stale = tape.arrivals.filter(({ atMs, decidedAt }) => atMs > from && decidedAt <= market);
  const last = Math.max(from, ...stale.map(({ atMs }) => atMs));
  return { goneMs: gone - from, lastMs: last - from, safeMs: Math.max(gone, last) - from, backMs: back - from };
}

async function deaths(times: number, mode: "kill" | "freeze"): Promise<void> {
  const root = temporaryRoot();
  fs.writeFileSync(path.join(root, "dmn.config.json"), JSON.stringify({ live: { restartsMax: 1_000 } }));
  // Longer than hundreds of deaths take.
  fetchMarket(root, "2039-12-31");
  const base = await freePorts(), graph = new Graph(root, base, ["--pace", "4", "--from", "2014-01-02"]);
  try {
    await graph.until(/running: 10 processes/);
    await graph.untilStatus(({ orders }) => orders > 0, "orders");
    const tape = await Tape.open(base), all: Death[] = [], signal = mode === "kill" ? "SIGKILL" : "SIGSTOP";
    for (const name of ["execution", "decision", "feed", "features", "trend", "macd-1", "meta", "recorder", "monitor"]) {
      const mine: Death[] = [];
      for (let k = 0; k < times; k++) mine.push(await strike(graph, tape, name, signal));
      tell(`${mode} ${name}: safe`, mine.map(({ safeMs }) => safeMs), WANTED_MS[mode]);
      tell("    of it: gone", mine.map(({ goneMs }) => goneMs));
      tell("    of it: last older order", mine.map(({ lastMs }) => lastMs));
      tell("    all running again", mine.map(({ backMs }) => backMs));
      all.push(...mine);
      await checkOrders(graph);
    }
    tell(`${mode}: safe, all processes`, all.map(({ safeMs }) => safeMs), WANTED_MS[mode]);
    const report = await graph.untilStatus(({ isReconciled }) => isReconciled, "reconciled");
    say(`after ${all.length} deaths: ${report.tradingState} (${report.reason}), ${report.orders} orders, `
      + `${report.fills} fills, ${report.rejected} rejected`);
    tape.close();
    graph.signal("SIGINT");
    const { code, said } = await graph.end();
    assert.equal(code, 0, said);
  } finally { graph.kill(); fs.rmSync(root, { recursive: true, force: true, maxRetries: 5 }); }
}

/** The supervisor alone (its children end by themselves), the simulator alone (all ends), and everything at once. */
async function ends(times: number): Promise<void> {
  const root = temporaryRoot();
  fetchMarket(root);
  try {
    for (const who of ["supervisor", "simulator", "all"] as const) {
      const safe: number[] = [], silent: number[] = [];
      for (let k = 0; k < times; k++) {
        // What one death left HALTED is not the next one's.
        fs.rmSync(places.live(root), { recursive: true, force: true });
        const base = await freePorts(), graph = new Graph(root, base, ["--pace", "4", "--from", "2014-01-02"]);
        await graph.until(/running: 10 processes/);
        await graph.untilStatus(({ orders }) => orders > 0, "orders");
        const tape = await Tape.open(base), children = graph.processes(), from = performance.now();
        const pids = [...children.values()];
        if (who !== "simulator") graph.signal("SIGKILL");
        if (who === "simulator") process.kill(children.get("simulator")!, "SIGKILL");
        if (who === "all") for (const pid of pids) process.kill(pid, "SIGKILL");
        silent.push(await untilGone([children.get("execution")!]) - from);
        safe.push(await untilGone(pids) - from);
        await graph.end();
        tape.close();
        // What is on the disk can be read again.
        using journal = openIntentJournal(places.live(root));
        assert.ok(journal.recovered.some(({ t }) => t === "intent"), "no intent has been persisted");
      }
      tell(`kill ${who}: execution gone`, silent, WANTED_MS.kill);
      tell(`kill ${who}: all gone`, safe, WANTED_MS.kill);
    }
  } finally { fs.rmSync(root, { recursive: true, force: true, maxRetries: 5 }); }
}

/** The market stands still from the moment on at which so many orders are open. */
async function untilOpen(graph: Graph, count: number): Promise<void> {
  const ask = async (what: string, method: string): Promise<{ openOrders: number }> => {
    const answer = await fetch(`http://127.0.0.1:${portsFrom(graph.base).simulator}/simulator/${what}`,
      { method, headers: { connection: "close" } });
    return await answer.json() as { openOrders: number };
  };
  for (const deadline = performance.now() + LIMIT_MS; (await ask("state", "GET")).openOrders !== count; await pause(10)) {
    assert.ok(performance.now() < deadline, `there are not ${count} open orders`);
  }
  await ask("pause", "POST");
  await graph.untilStatus(({ openOrders }) => openOrders === count, `${count} open orders`);
}

async function emergencies(times: number): Promise<void> {
  const root = temporaryRoot(), typed: number[] = [], down: number[] = [], cancels: number[] = [], inside: number[] = [];
  fetchMinutes(root, "wide", 50, "2024-01-08", "2024-01-11");
  try {
    for (let k = 0; k < times; k++) {
      // It would stay HALTED.
      fs.rmSync(places.live(root), { recursive: true, force: true });
      const graph = new Graph(root, await freePorts(), ["--replay", "wide", "--pace", "0.2", "--from", "2024-01-11",
        "--orders", "limit-at-touch"]);
      try {
        await graph.until(/running: 10 processes/);
        await untilOpen(graph, 50);
        const pids = [...graph.processes().values(), graph.pid], from = performance.now();
        const gone = untilGone(pids).then((at) => at - from);
        const { promise, resolve } = Promise.withResolvers<{ text: string; ms: number }>();
        const child = spawn(process.execPath, [DMN, "live", "stop", "--emergency"],
          { env: { ...process.env, DMN_HOME: root, CI: "1" }, stdio: ["ignore", "pipe", "inherit"] });
        let text = "";
        child.stdout.on("data", (piece: Buffer) => { text += piece.toString(); });
        child.on("close", () => { resolve({ text, ms: performance.now() - from }); });
        const said = await promise;
        const [, cancelMs, allMs] = /all cancels acknowledged after (\d+) ms, all processes down after (\d+) ms/.exec(said.text)
          ?? assert.fail(`not all: ${said.text}`);
        cancels.push(Number(cancelMs));
        inside.push(Number(allMs));
        typed.push(said.ms);
        down.push(await gone);
        if (process.env["DMN_TEST_LONG"] !== undefined) say(`  ${said.text.trim()}`);
        const { report } = await graph.end();
        assert.equal(report!.openOrders, 0);
        assert.equal(report!.tradingState, "HALTED");
      } finally { graph.kill(); }
    }
  } finally { fs.rmSync(root, { recursive: true, force: true, maxRetries: 5 }); }
  tell("emergency: cancels acknowledged", cancels);
  tell("emergency: children down", inside, WANTED_MS.emergency);
  tell("  ... supervisor too, from typed", down);
  tell("  ... the command has ended", typed);
  const start = Array.from({ length: 5 }, () => {
    const from = performance.now();
    spawnSync(process.execPath, [DMN, "live", "--help"], { stdio: "ignore" });
    return performance.now() - from;
  });
  tell("  (a command that only starts)", start);
}

/** At any time: while it starts, and while it trades. */
async function ctrlC(times: number): Promise<void> {
  const root = temporaryRoot(), starting: number[] = [], running: number[] = [];
  fetchMarket(root);
  try {
    for (let k = 0; k < 2 * times; k++) {
      const isStarting = k % 2 === 0;
      const graph = new Graph(root, await freePorts(), ["--pace", "4", "--from", "2014-01-02"]);
      try {
        if (isStarting) await pause(300 + 350 * (k / 2)); else await graph.until(/running: 10 processes/);
        const pids = [...graph.processes().values(), graph.pid], from = performance.now();
        // As a terminal does it: to everybody.
        for (const pid of pids) try { process.kill(pid, "SIGINT"); } catch { /* it has ended */ }
        const { code, said } = await graph.end();
        const at = await untilGone([...pids, ...processesOf(root).values()]);
        (isStarting ? starting : running).push(at - from);
        assert.deepEqual([...processesOf(root)], [], "something is left running");
        // null: the signal came before anybody listened for it.
        assert.ok(code === 0 || code === 130 || code === null, `it ended with ${code}: ${said}`);
      } finally { graph.kill(); }
    }
  } finally { fs.rmSync(root, { recursive: true, force: true, maxRetries: 5 }); }
  tell("Ctrl-C while starting: all gone", starting, WANTED_MS["ctrl-c"]);
  tell("Ctrl-C while trading: all gone", running, WANTED_MS["ctrl-c"]);
}

const words = process.argv.slice(2), at = words.indexOf("--times"), times = at < 0 ? 10 : Number(words[at + 1]);
const wants = (word: string): boolean => words.filter((one) => !/^--|^\d+$/.test(one)).length === 0 || words.includes(word);
say(`node ${process.version}, ${os.cpus().length} cores (${os.cpus()[0]?.model}); milliseconds`);
if (wants("kill")) await deaths(times, "kill");
if (wants("freeze")) await deaths(times, "freeze");
if (wants("all")) await ends(times);
if (wants("emergency")) await emergencies(times);
if (wants("ctrl-c")) await ctrlC(times);
