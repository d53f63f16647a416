/** A real Ray (DMN_TEST_RAY: its bin folder): a head that takes no work and nodes that do, each a raylet of its own. */
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

export const RAY = process.env["DMN_TEST_RAY"] ?? "";
export const NO_RAY = "needs a Ray: python3 -m venv V && V/bin/pip install 'ray[default]==2.60.0', then DMN_TEST_RAY=V/bin";

export interface RayCluster extends AsyncDisposable {
  readonly address: string;
  readonly token: string;
  readonly startTimeoutSeconds: number;
  addNode(name: string, cpus: number): Promise<void>;
  /** SIGKILL for its raylet: the machine is gone. */
  killNode(name: string): void;
}

/** Its ports are free ones; its folder is short, because sockets lie in it. */
export async function startRay(startTimeoutSeconds: number): Promise<RayCluster> {
  const folder = `/tmp/dmn-ray-${process.pid}`, token = randomBytes(16).toString("hex"), [head, dashboard, client,
    agent] = await freePorts(4);
  const environment = { ...process.env, PATH: `${RAY}:${process.env["PATH"]}`, RAY_AUTH_MODE: "token", RAY_AUTH_TOKEN: token,
    RAY_JOB_START_TIMEOUT_SECONDS: String(startTimeoutSeconds), RAY_health_check_period_ms: "1000" };
  const started = new Map<string, ChildProcess>();
  const start = async (name: string, words: readonly string[]): Promise<void> => {
    const child = spawn(path.join(RAY, "ray"), ["start", ...words, "--disable-usage-stats", "--block", "--min-worker-port=0",
      "--max-worker-port=0"],
      { env: environment, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    started.set(name, child);
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece: Buffer) => { said += piece.toString(); });
    for (let tried = 0; !/Ray runtime started/.test(said); tried++) {
      if (child.exitCode !== null || tried > 600) throw new Error(`ray start: ${said}`);
      await delay(100);
    }
  };
  fs.mkdirSync(folder, { recursive: true });
  const cluster: RayCluster = { address: `http://127.0.0.1:${dashboard}`, token, startTimeoutSeconds,
    // Without an agent's port of its own a second node of a machine has no logs.
    addNode: async (name, cpus) => start(name, [`--address=127.0.0.1:${head}`, `--num-cpus=${cpus}`,
      "--object-store-memory=80000000",
      `--dashboard-agent-listen-port=${(await freePorts(1))[0]}`]),
    killNode: (name) => {
      for (const [pid, words] of processes()) if (words.includes("/raylet/raylet") && isBelow(pid,
        started.get(name)!.pid!)) process.kill(pid, "SIGKILL");
    },
    async [Symbol.asyncDispose]() {
      // By our own folder: another Ray of this machine is not ours to stop.
      const ours = (): number[] => [...processes()].filter(([, words]) => words.includes(`${folder}/`)).map(([pid]) => pid);
      for (const child of started.values()) try { process.kill(-child.pid!, "SIGKILL"); } catch { /* it has ended */ }
      for (let tried = 0; ours().length > 0 && tried < 50; tried++) {
        for (const pid of ours()) try { process.kill(pid, "SIGKILL"); } catch { /* it has ended */ }
        await delay(100);
      }
      fs.rmSync(folder, { recursive: true, force: true });
    } };
  try {
    await start("head", ["--head", "--num-cpus=0", `--port=${head}`, "--dashboard-host=127.0.0.1",
      `--dashboard-port=${dashboard}`,
      `--ray-client-server-port=${client}`, `--dashboard-agent-listen-port=${agent}`, `--temp-dir=${folder}`,
        "--object-store-memory=80000000"]);
    return cluster;
  } catch (error) { await cluster[Symbol.asyncDispose](); throw error; }
}

/** Process ids with their command lines. */
function* processes(): Generator<[number, string]> {
  for (const name of fs.readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try { yield [Number(name), fs.readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ")];
      } catch { /* it has ended */ }
  }
}
function isBelow(pid: number, ancestor: number): boolean {
  for (let at = pid; at > 1;) {
    if (at === ancestor) return true;
    const status = fs.readFileSync(`/proc/${at}/status`, "utf8");
    at = Number(/^PPid:\s+(\d+)$/m.exec(status)![1]);
  }
  return false;
}

export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise<net.Server>((resolve) => {
    const server = net.createServer();
    server.listen(0, "127.0.0.1", () => { resolve(server); });
  })));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => { server.close(resolve); })));
  return ports;
}
