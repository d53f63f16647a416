/** The real graph for tests: a small market in a folder of its own, `dmn live` as a child, and what it left running. */
import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type { LiveReport } from "../src/workflow/live/live.ts";
import { SIMULATOR_KEYS } from "../src/simulator/simulator.ts";
import { portsFrom } from "../src/live/topology.ts";
import { isFree } from "./ports.ts";

const DMN = path.join(import.meta.dirname, "..", "bin", "dmn.js");
const SPAN = 22;
/** Nothing is waited for longer than this, ms: a busy machine is slow, a broken graph is silent. */
export const PATIENCE_MS = 60_000;
/** Two classical strategies: they read the recipe as networks do, and need no training. */
export const MODELS = ["--models", "trend=tsmom,macd-1=macd"];

export function temporaryRoot(): string { return fs.mkdtempSync(path.join(os.tmpdir(), "dmn-live-")); }

export function dmn(root: string, ...args: string[]): { code: number | null; out: string; said: string } {
  const run = spawnSync(process.execPath, [DMN, ...args], { cwd: root, encoding: "utf8", maxBuffer: 1 << 26,
    env: { ...process.env, DMN_HOME: root, CI: "1", APCA_API_KEY_ID: "", APCA_API_SECRET_KEY: "" } });
  return { code: run.status, out: run.stdout, said: run.stderr };
}

/** Four invented futures over eight years. */
export function fetchMarket(root: string, to = "2019-12-31"): void {
  const { code, said } = dmn(root, "fetch", "--source", "synthetic", "--dataset", "small", "--from", "2012-01-01",
    "--to", to, "--symbols", "EQ1,FX1,MT1,BD1", "--seed", "3");
  assert.equal(code, 0, said);
}

/** A base of which all ports of the graph are free. */
export async function freePorts(): Promise<number> {
  for (let base = 20_000 + process.pid % 500 * 60; ; base = base + SPAN > 60_000 ? 20_000 : base + SPAN) {
    const free = await Promise.all(Object.values(portsFrom(base)).map(isFree));
    if (free.every(Boolean)) return base;
  }
}

export class Graph {
  readonly root: string;
  readonly base: number;
  readonly #child: ChildProcess;
  readonly #ended = Promise.withResolvers<number | null>();
  readonly #wakes = new Set<() => void>();
  #said = "";
  #out = "";

  /** `environment`: over the machine's. */
  constructor(root: string, base: number, args: readonly string[],
    environment: Readonly<Record<string, string>> = {}) {
    this.root = root;
    this.base = base;
    this.#child = spawn(process.execPath, [DMN, "live", "--replay", "small", ...MODELS, "--port-base", String(base), "--headless",
      "--json", ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, DMN_HOME: root, CI: "1", APCA_API_KEY_ID: "", APCA_API_SECRET_KEY: "", ...environment } });
    this.#child.stdout!.on("data", (text: Buffer) => { this.#out += text.toString(); });
    this.#child.stderr!.on("data", (text: Buffer) => { this.#said += text.toString(); this.#wake(); });
    this.#child.on("exit", (code) => { this.#ended.resolve(code); this.#wake(); });
  }

  #wake(): void { for (const wake of this.#wakes) wake(); }
  get said(): string { return this.#said; }
  get pid(): number { return this.#child.pid!; }
  signal(name: NodeJS.Signals): void { this.#child.kill(name); }
  /** Of a test that failed: nothing of it may stay. */
  kill(): void {
    this.#child.kill("SIGKILL");
    for (const pid of this.processes().values()) { try { process.kill(pid, "SIGKILL"); } catch { /* it has gone */ } }
  }

  /** Resolves when it has said so. */
  async until(words: RegExp): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!words.test(this.#said)) {
      assert.ok(this.#child.exitCode === null, `it ended before it said ${words}:\n${this.#said}`);
      assert.ok(performance.now() < deadline, `it has not said ${words}:\n${this.#said}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wakes.add(resolve);
      const timer = setTimeout(resolve, 1_000);
      await promise;
      clearTimeout(timer);
      this.#wakes.delete(resolve);
    }
  }

  async end(): Promise<{ code: number | null; report: LiveReport | null; said: string }> {
    const code = await this.#ended.promise;
    return { code, said: this.#said, report: this.#out === "" ? null : JSON.parse(this.#out) as LiveReport };
  }

  /** Processes of this graph that are there now, by name. */
  processes(): Map<string, number> { return processesOf(this.root); }

  /** What the simulator answers. */
  async broker(what: string): Promise<unknown> {
    const { keyId, secretKey } = SIMULATOR_KEYS.alpaca, port = portsFrom(this.base).simulator;
    const answer = await fetch(`http://127.0.0.1:${port}${what}`,
      { headers: { "APCA-API-KEY-ID": keyId, "APCA-API-SECRET-KEY": secretKey } });
    return answer.json();
  }

  status(): LiveReport {
    const { code, out, said } = dmn(this.root, "live", "status", "--json");
    assert.equal(code, 0, said);
    return JSON.parse(out) as LiveReport;
  }

  /** Resolves when a status fulfils the condition. */
  async untilStatus(isThere: (report: LiveReport) => boolean, what: string): Promise<LiveReport> {
    for (const deadline = performance.now() + PATIENCE_MS; ;) {
      const report = this.status();
      if (isThere(report)) return report;
      assert.ok(performance.now() < deadline, `${what}: ${JSON.stringify(report)}\n${this.#said}`);
    }
  }
}

/** Children of `dmn live` below a root: their command lines end in it. */
export function processesOf(root: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    let words: string[];
    try { words = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0"); } catch { continue; }
    const at = words.findIndex((word) => /live\/node\.(ts|js)$/.test(word));
    if (at >= 0 && words[at + 2] === root && !isZombie(pid)) found.set(words[at + 1], Number(pid));
  }
  return found;
}
function isZombie(pid: string): boolean {
  try { return / Z /.test(fs.readFileSync(`/proc/${pid}/stat`, "utf8")); } catch { return true; }
}
