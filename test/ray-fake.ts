/**
 * A Ray cluster's Jobs REST API, played as strictly as Ray 2.60 plays it (read in its source, and seen of a real one
 * by test/tune-ray-real.test.ts): what it refuses, wraps, forgets and kills. Jobs are real processes on pretended nodes.
 */
import { spawn, type ChildProcess } from "node:child_process";
import * as fs from "node:fs";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import * as path from "node:path";

export interface FakeNode { readonly id: string; readonly isHead: boolean; readonly cpus: number; readonly gpus: number }
export interface FakeRayOptions {
  readonly folder: string;
  readonly version?: string;
  readonly token?: string;
  readonly nodes?: readonly FakeNode[];
  /** Ray's 900 s, for a test. */
  readonly startTimeoutMs?: number;
  /** How long a second of RAY_JOB_STOP_WAIT_TIME_S lasts. */
  readonly secondMs?: number;
}
interface Job {
  readonly id: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly startedAt: number;
  status: "PENDING" | "RUNNING" | "STOPPED" | "SUCCEEDED" | "FAILED";
  message: string;
  errorType: string | null;
  node: FakeNode | null;
  child: ChildProcess | null;
  isStopping: boolean;
}

const SINCE: Readonly<Record<string, readonly [number, number]>> = {
  entrypoint: [1, 9], submission_id: [1, 9], job_id: [1, 9], runtime_env: [1, 9], metadata: [1, 9],
  entrypoint_num_cpus: [2, 2], entrypoint_num_gpus: [2, 2], entrypoint_resources: [2, 2],
  entrypoint_memory: [2, 8], entrypoint_label_selector: [2, 50],
};
const BODY_BYTES_MAX = 100 << 20;

export class FakeRay implements AsyncDisposable {
  /** "METHOD path" of every request. */
  readonly asked: string[] = [];
  readonly packages = new Map<string, Uint8Array>();
  readonly jobs = new Map<string, Job>();
  readonly #options: Required<Omit<FakeRayOptions, "token">> & { token: string | undefined };
  readonly #server: http.Server;
  readonly #nodes = new Map<string, FakeNode>();
  readonly #tick: NodeJS.Timeout;
  /** Requests are cut off without an answer. */
  isDown = false;

  private constructor(options: FakeRayOptions) {
    this.#options = { version: "2.60.0", token: undefined, nodes: [node("head", 2, { isHead: true }), node("n1", 2)],
      startTimeoutMs: 900_000, secondMs: 1000, ...options };
    for (const one of this.#options.nodes) this.#nodes.set(one.id, one);
    this.#server = http.createServer((request, answer) => { void this.#serve(request, answer); });
    this.#tick = setInterval(() => { this.#schedule(); }, 10);
  }
  static async start(options: FakeRayOptions): Promise<FakeRay> {
    const fake = new FakeRay(options);
    await new Promise<void>((resolve) => { fake.#server.listen(0, "127.0.0.1", resolve); });
    return fake;
  }
  get address(): string { return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`; }

  addNode(one: FakeNode): void { this.#nodes.set(one.id, one); }
  /** The machine is gone, with all that ran there. */
  killNode(id: string): void {
    this.#nodes.delete(id);
    for (const job of this.jobs.values()) {
      if (job.node?.id !== id || job.status !== "RUNNING") continue;
      this.#end(job, "FAILED", "Job supervisor actor died: The actor died because its node has died.",
        "JOB_SUPERVISOR_ACTOR_DIED");
      kill(job.child, "SIGKILL");
    }
  }
  /** What the garbage collector does with packages that no job has named for ten minutes. */
  dropPackages(): void { this.packages.clear(); }
  statusOf(id: string): string | undefined { return this.jobs.get(id)?.status; }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#tick);
    for (const job of this.jobs.values()) kill(job.child, "SIGKILL");
    this.#server.closeAllConnections();
    await new Promise((resolve) => { this.#server.close(resolve); });
  }

  async #serve(request: http.IncomingMessage, answer: http.ServerResponse): Promise<void> {
    const { method = "", url = "" } = request, say = (status: number, text: unknown): void => {
      answer.writeHead(status, { "Content-Type": typeof text === "string" ? "text/plain" : "application/json" });
      answer.end(typeof text === "string" ? text : JSON.stringify(text));
    };
    if (this.isDown) { request.socket.destroy(); return; }
    const body = await read(request);
    this.asked.push(`${method} ${url}`);
    const refused = this.#refuse(request, method, url, body);
    if (refused !== null) say(...refused);
    else say(...this.#answer(method, url, body));
  }

  #refuse(request: http.IncomingMessage, method: string, url: string, body: Buffer): [number, string] | null {
    const { headers } = request, isOld = !isSince(this.#options.version, [2, 52]);
    if (isOld && headers["user-agent"] === undefined) return [500, "KeyError: 'User-Agent'"];
    const isBrowser = headers["user-agent"]?.startsWith("Mozilla") === true || Object.keys(headers).some((name) =>
      /^(sec-fetch-.*|origin|referer|access-control-request-.*)$/.test(name));
    if (!isOld && isBrowser && method !== "GET") return [405, "Method Not Allowed for browser traffic."];
    if (body.length > BODY_BYTES_MAX) return [413, "Maximum request body size 104857600 exceeded"];
    if (this.#options.token === undefined || url === "/api/authentication_mode") return null;
    if (headers.authorization === undefined) return [401, "Unauthorized: Missing authentication token"];
    return headers.authorization === `Bearer ${this.#options.token}` ? null : [403, "Forbidden: Invalid authentication token"];
  }

  #answer(method: string, url: string, body: Buffer): [number, unknown] {
    const [, kind, ...rest] = new URL(url, "http://x").pathname.slice(1).split("/").map(decodeURIComponent);
    const asked = `${method} ${kind}`;
    if (asked === "GET version") return [200, { version: "4", ray_version: this.#options.version, ray_commit: "x",
      session_name: "s" }];
    if (asked === "GET authentication_mode") return [200, { authentication_mode: this.#options.token === undefined ? "disabled"
      : "token" }];
    if (asked === "GET cluster_status") return [200, this.#clusterStatus()];
    if (kind === "packages") return this.#package(method, rest[1], body);
    if (kind !== "jobs") return [404, "404: Not Found"];
    if (rest.length === 0 || rest[0] === "") return method === "POST" ? this.#submit(body) : [200, this.#list()];
    const job = this.jobs.get(rest[0]);
    if (job === undefined) return [404, `Job ${rest[0]} does not exist`];
    if (rest[1] === "logs") return [200, { logs: fs.existsSync(this.#log(job)) ? fs.readFileSync(this.#log(job), "utf8") : "" }];
    if (rest[1] === "stop" && method === "POST") return [200, { stopped: this.#stop(job) }];
    if (method !== "DELETE") return [200, detailsOf(job)];
    if (!isTerminal(job)) return [500,
      `RuntimeError: Attempted to delete job '${job.id}', but it is in a non-terminal state ${job.status}.`];
    this.jobs.delete(job.id);
    return [200, { deleted: true }];
  }

  #package(method: string, name: string, body: Buffer): [number, unknown] {
    if (!/\.(zip|whl)$/.test(name)) return [500, "ValueError: Only .zip files supported"];
    if (method === "PUT") this.packages.set(name, body);
    return this.packages.has(name) ? [200, ""] : [404, `Package gcs://${name} does not exist`];
  }

  #submit(body: Buffer): [number, unknown] {
    const request = JSON.parse(body.toString("utf8")) as Record<string, unknown>;
    const unknown = Object.keys(request).find((key) => !(key in SINCE) || !isSince(this.#options.version, SINCE[key]));
    if (unknown !== undefined) {
      return [400,
        "Traceback (most recent call last):\n"
        + `TypeError: JobSubmitRequest.__init__() got an unexpected keyword argument '${unknown}'\n`];
    }
    const environment = request["runtime_env"] as Record<string, unknown> | undefined;
    const texts = { ...request["metadata"] as object, ...environment?.["env_vars"] as object };
    if (!Object.values(texts).every((value) => typeof value === "string")) return [400,
      "TypeError: metadata values must be strings"];
    const id = String(request["submission_id"]);
    if (this.jobs.has(id)) {
      return [500, `RuntimeError: Request failed with status code 400: ValueError: Job with submission_id ${id} already exists. `
        + "Please use a different submission_id.."];
    }
    const place = environment?.["working_dir"] as string | undefined;
    const isLost = place !== undefined && !this.packages.has(place.slice("gcs://".length));
    const job: Job = { id, request, startedAt: Date.now(), status: "PENDING", errorType: null, node: null, child: null,
      isStopping: false,
      message: "Job has not started yet. It may be waiting for resources (CPUs, GPUs, memory, custom resources) to "
        + "become available. "
        + "It may be waiting for the runtime environment to be set up." };
    this.jobs.set(id, job);
    if (isLost) this.#end(job, "FAILED", `runtime_env setup failed: package ${place} was not found`, "RUNTIME_ENV_SETUP_FAILURE");
    return [200, { job_id: id, submission_id: id }];
  }

  /** Of a pending one it is only noted: it is begun, and stopped then. */
  #stop(job: Job): boolean {
    if (isTerminal(job)) return false;
    job.isStopping = true;
    if (job.status !== "RUNNING") return true;
    kill(job.child, "SIGTERM");
    const said = Number((job.request["runtime_env"] as { env_vars?: Record<string,
      string> }).env_vars?.["RAY_JOB_STOP_WAIT_TIME_S"] ?? 3);
    setTimeout(() => { kill(job.child, "SIGKILL"); }, said * this.#options.secondMs).unref();
    return true;
  }

  #schedule(): void {
    for (const job of this.jobs.values()) {
      if (job.status !== "PENDING") continue;
      if (Date.now() - job.startedAt > this.#options.startTimeoutMs) {
        this.#end(job, "FAILED",
          `Job supervisor actor failed to start within ${this.#options.startTimeoutMs / 1000} seconds. This timeout `
          + "can be configured by setting the environment variable RAY_JOB_START_TIMEOUT_SECONDS.",
            "JOB_SUPERVISOR_ACTOR_START_TIMEOUT");
        continue;
      }
      const [cpus, gpus] = needOf(job);
      const place = [...this.#nodes.values()].find((one) => {
        // Whoever asks for nothing is put on the head node.
        if (cpus === 0 && gpus === 0 && job.request["entrypoint_memory"] === undefined) return one.isHead;
        const [freeCpus, freeGpus] = this.#free(one);
        return cpus <= freeCpus + 1e-9 && gpus <= freeGpus + 1e-9;
      });
      if (place !== undefined) this.#begin(job, place);
    }
  }

  #free(one: FakeNode): [number, number] {
    const here = [...this.jobs.values()].filter((job) => job.status === "RUNNING" && job.node?.id === one.id).map(needOf);
    return [one.cpus - here.reduce((sum, [cpus]) => sum + cpus, 0), one.gpus - here.reduce((sum, [, gpus]) => sum + gpus, 0)];
  }

  #begin(job: Job, place: FakeNode): void {
    const environment = (job.request["runtime_env"] as { env_vars?: Record<string, string> } | undefined)?.env_vars;
    const log = fs.openSync(this.#log(job), "a");
    fs.writeSync(log, `Running entrypoint for job ${job.id}: ${String(job.request["entrypoint"])}\n`);
    job.child = spawn("/bin/sh", ["-c", String(job.request["entrypoint"])], { detached: true, stdio: ["ignore", log, log],
      cwd: this.#options.folder, env: { PATH: process.env["PATH"], ...environment, FAKE_NODE: place.id } });
    fs.closeSync(log);
    Object.assign(job, { status: "RUNNING", node: place, message: "Job is currently running." });
    job.child.on("exit", (code) => {
      if (isTerminal(job)) return;
      if (job.isStopping) this.#end(job, "STOPPED", "Job was intentionally stopped.");
      else if (code === 0) this.#end(job, "SUCCEEDED", "Job finished successfully.");
      else this.#end(job, "FAILED",
        `Job entrypoint command failed with exit code ${code}, last available logs (truncated to 20,000 chars):\n`
        + fs.readFileSync(this.#log(job), "utf8"), "JOB_ENTRYPOINT_COMMAND_ERROR");
    });
    if (job.isStopping) this.#stop(job);
  }

  #end(job: Job, status: Job["status"], message: string, errorType: string | null = null): void {
    Object.assign(job, { status, message, errorType });
  }
  #log(job: Job): string { return path.join(this.#options.folder, `job-${job.id}.log`); }

  #list(): unknown[] {
    const driver = { type: "DRIVER", job_id: "01000000", submission_id: null, status: "RUNNING", entrypoint: "python x.py",
      metadata: {} };
    return [...[...this.jobs.values()].map(detailsOf), driver];
  }
  #clusterStatus(): unknown {
    const usage = Object.fromEntries([...this.#nodes.values()].map((one) => {
      const [cpus, gpus] = this.#free(one);
      return [one.id, { CPU: [one.cpus - cpus, one.cpus], GPU: [one.gpus - gpus, one.gpus], memory: [0, 2 ** 33] }];
    }));
    return { result: true, data: { clusterStatus: { loadMetricsReport: { usageByNode: usage } } } };
  }
}

export const node = (id: string, cpus: number, more: Partial<FakeNode> = {}): FakeNode => ({ id, cpus, gpus: 0, isHead: false,
  ...more });

const needOf = (job: Job): [number, number] =>
  [Number(job.request["entrypoint_num_cpus"] ?? 0), Number(job.request["entrypoint_num_gpus"] ?? 0)];
const isTerminal = (job: Job): boolean => job.status !== "PENDING" && job.status !== "RUNNING";
const detailsOf = (job: Job): unknown => ({ type: "SUBMISSION", job_id: null, submission_id: job.id, status: job.status,
  message: job.message,
  error_type: job.errorType, entrypoint: job.request["entrypoint"], metadata: job.request["metadata"] ?? {},
    runtime_env: job.request["runtime_env"],
  driver_node_id: job.node?.id ?? null, driver_agent_http_address: job.node === null ? null : "http://127.0.0.1:52365" });

/** The group of a process that may have ended. */
function kill(child: ChildProcess | null, signal: NodeJS.Signals): void {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try { process.kill(-child.pid, signal); } catch { /* it has */ }
}
function isSince(version: string, [major, minor]: readonly [number, number]): boolean {
  const [a, b] = version.split(".").map(Number);
  return a > major || (a === major && b >= minor);
}
async function read(request: http.IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}
