/**
 * A Slurm, played twice over one queue: slurmrestd (v0.0.38 and v0.0.40, as strict about keys, and with 22.05's header behind
 * its answers) on a unix socket, and sbatch, squeue, scancel and sinfo as commands in a folder. Jobs are real processes on
 * pretended nodes. What it plays was seen of a real 22.05.8 (test/tune-slurm-real.test.ts).
 */
import { spawn, type ChildProcess } from "node:child_process";
import * as fs from "node:fs";
import * as http from "node:http";
import * as path from "node:path";

interface Job {
  readonly id: number;
  readonly name: string;
  readonly comment: string;
  readonly script: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly output: string;
  readonly cpus: number;
  /** Everything that was said of it. */
  readonly said: Readonly<Record<string, unknown>>;
  state: string;
  reason: string;
  node: string;
  child: ChildProcess | null;
}
export interface FakeSlurmOptions {
  readonly folder: string;
  /** v0.0.N of its newest interface; the two before it are there too. */
  readonly version?: number;
  readonly token?: string;
  /** From SIGTERM to SIGKILL. */
  readonly killWaitMs?: number;
}

const OLD_KEYS = new Set(["name", "comment", "environment", "current_working_directory", "standard_output", "requeue", "tasks",
  "cpus_per_task",
  "memory_per_node", "partition", "account", "time_limit", "open_mode", "gres", "signal"]);
const NEW_KEYS = new Set([...OLD_KEYS].filter((key) => key !== "signal" && key !== "gres").concat("script", "kill_warning_signal",
  "kill_warning_delay", "kill_warning_flags", "tres_per_node"));

export class FakeSlurm implements AsyncDisposable {
  readonly jobs = new Map<number, Job>();
  /** Words of every command, and "METHOD path" of every request. */
  readonly asked: string[] = [];
  readonly #nodes = new Map([["n1", 2], ["n2", 1], ["n3", 1]]);
  readonly #options: Required<Omit<FakeSlurmOptions, "token">> & { token: string | undefined };
  readonly #server: http.Server;
  readonly #tick: NodeJS.Timeout;
  isDown = false;

  private constructor(options: FakeSlurmOptions) {
    this.#options = { version: 38, token: undefined, killWaitMs: 2_000, ...options };
    this.#server = http.createServer((request, answer) => { void this.#serve(request, answer); });
    this.#tick = setInterval(() => { this.#schedule(); }, 10);
  }
  static async start(options: FakeSlurmOptions): Promise<FakeSlurm> {
    const fake = new FakeSlurm(options);
    fs.mkdirSync(fake.commands, { recursive: true });
    fs.rmSync(fake.#socket, { force: true });
    await new Promise<void>((resolve) => { fake.#server.listen(fake.#socket, resolve); });
    for (const name of ["sinfo", "sbatch", "squeue", "scancel"]) {
      fs.writeFileSync(path.join(fake.commands, name),
        `#!/bin/sh\nexec "${process.execPath}" "${import.meta.filename}" "${fake.#socket}" ${name} "$@"\n`,
        { mode: 0o755 });
    }
    return fake;
  }
  get #socket(): string { return path.join(this.#options.folder, "rest.sock"); }
  get rest(): string { return `unix:${this.#socket}`; }
  /** For PATH. */
  get commands(): string { return path.join(this.#options.folder, "commands"); }
  named(name: string): Job | undefined { return [...this.jobs.values()].findLast((job) => job.name === name); }

  /** The machine is gone: what ran there waits again, if it may. */
  killNode(name: string): void {
    this.#nodes.delete(name);
    for (const job of this.jobs.values()) {
      if (job.node !== name || job.state !== "RUNNING") continue;
      kill(job.child, "SIGKILL");
      Object.assign(job, job.said["requeue"] === true ? { state: "PENDING", reason: "BeginTime", node: "", child: null }
        : { state: "NODE_FAIL", reason: "NodeDown" });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#tick);
    for (const job of this.jobs.values()) kill(job.child, "SIGKILL");
    this.#server.closeAllConnections();
    await new Promise((resolve) => { this.#server.close(resolve); });
  }

  async #serve(request: http.IncomingMessage, answer: http.ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const body = Buffer.concat(pieces).toString("utf8"), { method = "", url = "", headers } = request;
    if (url === "/command") {
      const { words, script, environment } = JSON.parse(body) as { words: string[]; script: string; environment: Record<string,
        string> };
      this.asked.push(words.join(" "));
      answer.end(JSON.stringify(this.#command(words, script, environment)));
      return;
    }
    this.asked.push(`${method} ${url}`);
    const [status, said] = this.isDown ? [500, failed("Unable to contact slurm controller (connect failure)")]
      : this.#options.token !== undefined && headers["x-slurm-user-token"] !== this.#options.token ? [401,
        "Authentication failure"]
        : this.#answer(method, url, body);
    const text = typeof said === "string" ? said : JSON.stringify(said);
    // 22.05 says it too late.
    request.socket.end(`HTTP/1.1 ${status} X\r\nContent-Length: ${Buffer.byteLength(text)}\r\n`
      + "Content-Type: application/json\r\n\r\n"
      + text
      + (headers.connection === "close" ? "Connection: Close\r\n" : ""));
  }

  #answer(method: string, url: string, body: string): [number, unknown] {
    const [, version, rest = ""] = /^\/slurm\/v0\.0\.(\d+)(.*)$/.exec(url) ?? [], newest = this.#options.version;
    if (version === undefined || Number(version) > newest || Number(version) < newest - 2) return [404,
      "Unable find requested URL."];
    if (rest === "/ping") return [200, { errors: [], pings: [{ ping: "UP" }] }];
    if (rest === "/jobs") {
      return [200, { errors: [], jobs: [...this.jobs.values()].map((job) => ({ job_id: job.id, name: job.name,
        comment: job.comment,
        job_state: Number(version) < 40 ? job.state : [job.state, "X_FLAG"], nodes: job.node, state_reason: job.reason,
        user_name: process.env["USER"] ?? undefined })) }];
    }
    if (rest === "/job/submit") return this.#submit(Number(version), JSON.parse(body) as { script?: string; job: Record<string,
      unknown> });
    const id = Number(/^\/job\/(\d+)$/.exec(rest)?.[1]);
    if (method !== "DELETE" || !this.jobs.has(id)) return [500,
      failed(`unable to kill JobId=${id} with signal 9: Invalid job id specified`)];
    this.#cancel(id);
    return [200, { errors: [] }];
  }

  #submit(version: number, { script, job }: { script?: string; job: Record<string, unknown> }): [number, unknown] {
    const isOld = version < 39, unknown = Object.keys(job).find((key) => !(isOld ? OLD_KEYS : NEW_KEYS).has(key));
    if (unknown !== undefined) return [400, failed(`Unknown key "${unknown}"`)];
    if (isOld && JSON.stringify(job["signal"] ?? "").startsWith(`"B:`)) return [400,
      failed("Invalid SIGNAL specification")];
    if (isOld === Array.isArray(job["environment"])) return [400, failed("environment is of the wrong kind")];
    const pairs = isOld ? Object.entries(job["environment"] as Record<string, string>)
      : (job["environment"] as string[]).map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=")
        + 1)] as const);
    const memory = (job["memory_per_node"] as { number?: number } | undefined)?.number ?? Number(job["memory_per_node"] ?? 0);
    if (memory > 2000) return [500, failed("Requested node configuration is not available")];
    const id = this.#add({ name: String(job["name"]), comment: String(job["comment"]), script: script ?? String(job["script"]),
      environment: Object.fromEntries(pairs), output: String(job["standard_output"]), cpus: Number(job["cpus_per_task"]),
        said: job });
    return [200, { errors: [], job_id: id }];
  }

  #command([command, ...words]: string[], script: string, environment: Record<string, string>): { code: number; out: string;
    said: string } {
    const flag = (name: string): string => words.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3) ?? "";
    const fail = (said: string): { code: number; out: string; said: string } => ({ code: 1, out: "",
      said: `${command}: error: ${said}\n` });
    if (this.isDown) return fail("Unable to contact slurm controller (connect failure)");
    if (command === "sinfo") return { code: 0, out: "all*\n", said: "" };
    if (command === "squeue") {
      const lines = [...this.jobs.values()].map((job) => [job.id, job.state, job.name, job.node, job.reason,
        job.comment].join("\x1f"));
      return { code: 0, out: lines.map((line) => `${line}\n`).join(""), said: "" };
    }
    if (command === "scancel") {
      const id = Number(words.at(-1));
      if (!this.jobs.has(id)) return fail(`Kill job error on job id ${id}: Invalid job id specified`);
      this.#cancel(id);
      return { code: 0, out: "", said: "" };
    }
    if (Number.parseInt(flag("mem"), 10) > 2000) {
      return fail("Memory specification can not be satisfied\n"
        + "sbatch: error: Batch job submission failed: Requested node configuration is not available");
    }
    // Names only: of a value everybody who asks ps would know.
    const kept = flag("export").split(",").filter((name) => name in environment).map((name) => [name, environment[name]]);
    const id = this.#add({ name: flag("job-name"), comment: flag("comment"), script,
      environment: Object.fromEntries(kept) as Record<string, string>,
      output: flag("output"), cpus: Number(flag("cpus-per-task")), said: { requeue: words.includes("--requeue"), words } });
    return { code: 0, out: `${id}\n`, said: "" };
  }

  #add(job: Omit<Job, "id" | "state" | "reason" | "node" | "child">): number {
    const id = this.jobs.size + 1;
    this.jobs.set(id, { ...job, id, state: "PENDING", reason: job.cpus > 2 ? "PartitionConfig" : "None", node: "", child: null });
    return id;
  }

  #cancel(id: number): void {
    const job = this.jobs.get(id)!;
    if (job.state === "PENDING") Object.assign(job, { state: "CANCELLED" });
    if (job.state !== "RUNNING") return;
    job.state = "COMPLETING";
    kill(job.child, "SIGTERM");
    setTimeout(() => { kill(job.child, "SIGKILL"); }, this.#options.killWaitMs).unref();
  }

  #schedule(): void {
    for (const job of this.jobs.values()) {
      if (job.state !== "PENDING") continue;
      const place = [...this.#nodes].find(([name, cpus]) => job.cpus <= cpus - [...this.jobs.values()].filter((other) =>
        other.node === name && (other.state === "RUNNING" || other.state === "COMPLETING")).reduce((sum, other) => sum
          + other.cpus, 0))?.[0];
      if (place === undefined) continue;
      const log = fs.openSync(job.output, "a"), script = path.join(this.#options.folder, `script-${job.id}.sh`);
      fs.writeFileSync(script, job.script, { mode: 0o700 });
      const child = spawn(script, { detached: true, stdio: ["ignore", log, log], env: job.environment });
      fs.closeSync(log);
      Object.assign(job, { state: "RUNNING", node: place, reason: "None", child });
      child.on("exit", (code) => {
        if (job.child !== child) return;
        if (job.state === "COMPLETING") job.state = "CANCELLED";
        else if (job.state === "RUNNING") Object.assign(job, code === 0 ? { state: "COMPLETED" } : { state: "FAILED",
          reason: "NonZeroExitCode" });
      });
    }
  }
}

const failed = (description: string): unknown => ({ errors: [{ description, error: "Unspecified error" },
  { error: "Failure during parsing" }] });
function kill(child: ChildProcess | null, signal: NodeJS.Signals): void {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try { process.kill(-child.pid, signal); } catch { /* it has ended */ }
}

// As one of the commands: asks the queue over its socket.
if (import.meta.main) {
  const [socketPath, ...words] = process.argv.slice(2);
  const script = words[0] === "sbatch" ? fs.readFileSync(0, "utf8") : "";
  const request = http.request({ socketPath, path: "/command", method: "POST" }, (answer) => {
    let text = "";
    answer.on("data", (piece: Buffer) => { text += piece.toString(); });
    answer.on("end", () => {
      const { code, out, said } = JSON.parse(text) as { code: number; out: string; said: string };
      process.stdout.write(out);
      process.stderr.write(said);
      process.exitCode = code;
    });
  });
  request.end(JSON.stringify({ words, script, environment: process.env }));
}
