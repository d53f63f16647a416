/**
 * Workers as jobs of a Ray cluster, over its Jobs REST API (the dashboard's port, 8265).
 *
 *   GET  /api/version, /api/authentication_mode     who is there, and do they know us
 *   GET  /api/packages/gcs/_ray_pkg_HASH.zip   404? PUT it     the worker bundle
 *   POST /api/jobs/            one job is one worker; its metadata names study and worker
 *   GET  /api/jobs/            one question for all of them, also for those of a coordinator that was killed
 *   POST /api/jobs/ID/stop     SIGTERM, and SIGKILL after RAY_JOB_STOP_WAIT_TIME_S of the job's environment
 *
 * What Ray does that one has to know:
 * - a job that asks for no resource runs on the head node: every worker asks for some CPU
 * - a job pending for 900 s FAILS: that is no room ("unplaced"), not a failure, and its id is spent
 * - an id that is there already is a 400 inside a 500: asking again is answered by looking what is there
 * - a key that it does not know is a 400: what an older Ray does not know is not sent
 * - a package is dropped when no job has named it for ten minutes: it is looked for before each job
 */
import * as fs from "node:fs";
import * as path from "node:path";
import type { Clock } from "../../base/clock.ts";
import { messageOf, UserError } from "../../base/error.ts";
import type { Engine, PlacedWorker, WorkerAsk } from "./engine.ts";
import {
  asker, NoAnswer, parsed, shellLine, withoutSecrets, type Answer, type Ask, type Call,
} from "./request.ts";

export interface RayPackage {
  readonly hash: string;
  /** Path of the zip; asked for only when the cluster does not have it. */
  zip(): Promise<string>;
}
export interface RayOptions {
  /** "http://head:8265" */
  readonly address: string;
  readonly study: string;
  /** readRayToken; null: none. */
  readonly token: string | null;
  /** What jobs run in; null: the command is on every node already. */
  readonly bundle: RayPackage | null;
  /** What a worker asks for, to say how many there is room for. */
  readonly need: Pick<WorkerAsk, "cpus" | "gpus" | "memoryBytes">;
  readonly clock: Clock;
  /** From SIGTERM to SIGKILL. */
  readonly stopGraceSeconds?: number;
}

/** Of a worker that asks for none: without a resource it would run on the head node. */
const CPUS_MIN = 0.01;
const STOP_GRACE_SECONDS = 30, SETUP_SECONDS = 900, UPLOAD_TIMEOUT_MS = 300_000;
/** Of one question that nobody answers, or that meets a head which is not ready: 1, 2, 4 s between. */
const TRIES_MAX = 4;
const WORDS_MAX = 300;
/** First versions: entrypoint resources, entrypoint memory. */
const VERSION_MIN = [2, 2], VERSION_MEMORY = [2, 8];

/** RAY_AUTH_TOKEN, else the file RAY_AUTH_TOKEN_PATH, else ~/.ray/auth_token; null where there is none. */
export function readRayToken(
  environment: Readonly<Record<string, string | undefined>>, home: string,
): string | null {
  const said = environment["RAY_AUTH_TOKEN"]?.trim();
  if (said) return said;
  const named = environment["RAY_AUTH_TOKEN_PATH"];
  const place = named || path.join(home, ".ray", "auth_token");
  if (!named && !fs.existsSync(place)) return null;
  try {
    const token = fs.readFileSync(place, "utf8").trim();
    if (token !== "") return token;
  } catch (error) {
    throw new UserError(`Ray's token cannot be read from ${place}: ${messageOf(error)}`,
      "name the file that holds it: export RAY_AUTH_TOKEN_PATH=FILE", { cause: error });
  }
  throw new UserError(`${place} is empty, and Ray's token was to be in it`,
    "write it there: ray get-auth-token --generate");
}

/** Throws UserError where nobody answers, where it is no Ray or too old a one, or where we are not known. */
export async function openRay(options: RayOptions): Promise<Engine> {
  const { address, token } = options;
  if (!/^https?:\/\/[^/]/.test(address)) {
    throw new UserError(`"${address}" is no address of a Ray dashboard`,
      "say it like this: http://HEAD:8265");
  }
  const ask = asker(address, token === null ? {} : { Authorization: `Bearer ${token}` });
  const first = async (call: Call): Promise<Answer> => {
    try { return await ask(call); } catch (error) {
      throw new UserError(`no Ray cluster answers at ${address}: ${messageOf((error as Error).cause)}`,
        "start it (ray start --head --dashboard-host=0.0.0.0), or name it: --cluster http://HEAD:8265",
        { cause: error });
    }
  };
  const mode = parsed((await first({ method: "GET", path: "/api/authentication_mode" })).text) as
    { readonly authentication_mode?: string } | undefined;
  if (mode?.authentication_mode === "token" && token === null) {
    throw new UserError(`the Ray cluster at ${address} asks for a token, and there is none`,
      "ray get-auth-token prints it on the head node; then here: export RAY_AUTH_TOKEN_PATH=FILE");
  }
  const answer = await first({ method: "GET", path: "/api/version" });
  checkKnown(answer, address);
  const said = parsed(answer.text) as { readonly ray_version?: unknown } | undefined;
  if (answer.status !== 200 || typeof said?.ray_version !== "string") {
    throw new UserError(`what answers at ${address} is no Ray dashboard (${answer.status} to /api/version)`,
      "the dashboard's port is 8265 where nobody chose another one: --cluster http://HEAD:8265");
  }
  if (!isAtLeast(said.ray_version, VERSION_MIN)) {
    throw new UserError(`Ray ${said.ray_version} cannot place workers by CPUs and GPUs`,
      `update the cluster to Ray ${VERSION_MIN.join(".")} or newer`);
  }
  return new Ray(options, ask, said.ray_version);
}

function isAtLeast(version: string, least: readonly number[]): boolean {
  const [major, minor] = version.split(".").map((part) => Number.parseInt(part, 10));
  // A version without numbers is somebody's own build of a newer one.
  return Number.isNaN(major) || major > least[0] || (major === least[0] && !(minor < least[1]));
}

function checkKnown({ status, text }: Answer, address: string): void {
  if (status === 401 || status === 403) {
    throw new UserError(`the Ray cluster at ${address} refuses the token `
      + `(${status === 401 ? "401, none arrived" : "403, it is another one's"})`,
    "ray get-auth-token prints it on the head node; then here: export RAY_AUTH_TOKEN_PATH=FILE");
  }
  if (status === 405 && /browser/i.test(text)) {
    throw new UserError(`the Ray cluster at ${address} takes us for a browser: a proxy adds headers`,
      "ask the dashboard's port itself, without a proxy");
  }
}

/** What we read of a JobDetails; the rest may change. */
interface Job {
  readonly type?: string;
  readonly submission_id?: string | null;
  readonly status?: string;
  readonly message?: string | null;
  readonly error_type?: string | null;
  readonly metadata?: Readonly<Record<string, string>> | null;
  readonly driver_node_id?: string | null;
  readonly driver_agent_http_address?: string | null;
}

class Ray implements Engine {
  readonly name = "ray";
  readonly #options: RayOptions;
  readonly #ask: Ask;
  readonly #version: string;
  /** What must not be read in what Ray says: the token, and the values of workers' environments. */
  readonly #secrets = new Set<string>();

  constructor(options: RayOptions, ask: Ask, version: string) {
    this.#options = options;
    this.#ask = ask;
    this.#version = version;
    if (options.token !== null) this.#secrets.add(options.token);
  }

  async capacity(): Promise<number | null> {
    const { status, text } = await this.#question({ method: "GET", path: "/api/cluster_status" });
    return status === 200 ? roomFor(this.#options.need, parsed(text)) : null;
  }

  async submit(ask: WorkerAsk): Promise<void> {
    for (const value of Object.values(ask.environment)) this.#secrets.add(value);
    const { bundle, study } = this.#options;
    if (bundle !== null) await this.#upload(bundle);
    const { status, text } = await this.#question({
      method: "POST", path: "/api/jobs/", body: JSON.stringify(this.#request(ask)),
    });
    if (status === 200) return;
    if (/already exists/.test(text)) {
      const there = await this.#question({ method: "GET", path: jobPath(ask.id) });
      if ((parsed(there.text) as Job | undefined)?.metadata?.["dmn_study"] === study) return;
      throw new UserError(`somebody else's job on the Ray cluster is called ${ask.id}`,
        "choose another name for the study: --name NAME");
    }
    const why = this.#words(text);
    if (status >= 500) throw new NoAnswer(`Ray could not take worker ${ask.id} (${status}): ${why}`);
    throw new UserError(`Ray ${this.#version} refuses the worker (${status}): ${why}`,
      "ask for what it has (CPUs, GPUs, memory of a worker), or update the cluster's Ray");
  }

  async list(): Promise<readonly PlacedWorker[]> {
    const { status, text } = await this.#question({ method: "GET", path: "/api/jobs/" });
    const jobs = parsed(text);
    if (status !== 200 || !Array.isArray(jobs)) {
      throw new NoAnswer(`Ray does not list its jobs (${status}): ${this.#words(text)}`);
    }
    return (jobs as readonly Job[])
      .filter((job) => job.type !== "DRIVER" && job.metadata?.["dmn_study"] === this.#options.study)
      .map((job) => ({ id: job.metadata!["dmn_worker"], state: stateOf(job), node: nodeOf(job),
        reason: job.status === "RUNNING" ? "" : this.#words(job.message ?? "") }));
  }

  async stop(id: string): Promise<boolean> {
    const { status, text } = await this.#question({ method: "POST", path: `${jobPath(id)}/stop` });
    if (status === 404) return false;
    const said = parsed(text) as { readonly stopped?: boolean } | undefined;
    if (status !== 200) throw new NoAnswer(`Ray does not stop ${id} (${status}): ${this.#words(text)}`);
    return said?.stopped === true;
  }

  async logs(id: string): Promise<string> {
    const { status, text } = await this.#question({ method: "GET", path: `${jobPath(id)}/logs` });
    const said = parsed(text) as { readonly logs?: string | null } | undefined;
    return status === 200 ? withoutSecrets(said?.logs ?? "", [...this.#secrets], 20_000) : "";
  }

  async [Symbol.asyncDispose](): Promise<void> { /* no connection is kept */ }

  #request(ask: WorkerAsk): Record<string, unknown> {
    const { bundle, study, stopGraceSeconds = STOP_GRACE_SECONDS } = this.#options;
    const line = shellLine(ask.command);
    return {
      // Not every Ray keeps modes of files in a package.
      entrypoint: bundle === null ? `exec ${line}` : `chmod u+x node && exec ${line}`,
      submission_id: ask.id,
      metadata: { dmn_study: study, dmn_worker: ask.id },
      entrypoint_num_cpus: Math.max(ask.cpus, CPUS_MIN),
      ...(ask.gpus > 0 ? { entrypoint_num_gpus: ask.gpus } : {}),
      ...(ask.memoryBytes !== null && isAtLeast(this.#version, VERSION_MEMORY)
        ? { entrypoint_memory: Math.round(ask.memoryBytes) } : {}),
      runtime_env: {
        env_vars: { ...ask.environment, RAY_JOB_STOP_WAIT_TIME_S: String(Math.ceil(stopGraceSeconds)) },
        ...(bundle === null ? {}
          : { working_dir: `gcs://${packageName(bundle)}`,
            config: { setup_timeout_seconds: SETUP_SECONDS } }),
      },
    };
  }

  async #upload(bundle: RayPackage): Promise<void> {
    const place = `/api/packages/gcs/${packageName(bundle)}`;
    if ((await this.#question({ method: "GET", path: place })).status === 200) return;
    const { status, text } = await this.#question({ method: "PUT", path: place,
      body: fs.readFileSync(await bundle.zip()), timeoutMs: UPLOAD_TIMEOUT_MS });
    if (status === 200) return;
    if (status >= 500) throw new NoAnswer(`Ray does not take the bundle (${status}): ${this.#words(text)}`);
    throw new UserError(`Ray does not take the worker's bundle (${status}): ${this.#words(text)}`,
      "put the data root where all its machines see it, and say: --shared FOLDER");
  }

  /** Asks again where nobody answers, and where the head has no agent yet. */
  async #question(call: Call): Promise<Answer> {
    for (let tried = 1; ; tried++) {
      try {
        const answer = await this.#ask(call);
        checkKnown(answer, this.#options.address);
        const isEarly = answer.status >= 500
          && /No available agent|Failed to get head node agent/.test(answer.text);
        if (!isEarly || tried === TRIES_MAX) return answer;
      } catch (error) { if (!(error instanceof NoAnswer) || tried === TRIES_MAX) throw error; }
      await this.#options.clock.sleep(1000 * 2 ** (tried - 1));
    }
  }

  /** The last line of what Ray says: it answers with whole tracebacks. */
  #words(text: string): string {
    const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    const words = withoutSecrets(lines.at(-1) ?? "", [...this.#secrets]);
    return words.length <= WORDS_MAX ? words : `${words.slice(0, WORDS_MAX)}...`;
  }
}

const jobPath = (id: string): string => `/api/jobs/${encodeURIComponent(id)}`;
const packageName = (bundle: RayPackage): string => `_ray_pkg_${bundle.hash}.zip`;

function stateOf({ status, error_type: kind, message }: Job): PlacedWorker["state"] {
  switch (status) {
    case "PENDING": return "pending";
    case "RUNNING": return "running";
    case "SUCCEEDED": case "STOPPED": return "ended";
    default:
      return /START_TIMEOUT|UNSCHEDULABLE/.test(kind ?? "")
        || /actor failed to start within|could not be scheduled/.test(message ?? "") ? "unplaced" : "failed";
  }
}

/** "10.0.0.3 870cc052": machines may hold several nodes. */
function nodeOf(job: Job): string | null {
  if (!job.driver_agent_http_address && !job.driver_node_id) return null;
  const host = /^https?:\/\/(.*):\d+$/.exec(job.driver_agent_http_address ?? "")?.[1] ?? "";
  return `${host} ${(job.driver_node_id ?? "").slice(0, 8)}`.trim();
}

type Usage = Readonly<Record<string, readonly [used: number, total: number] | undefined>>;

/** How many workers there is room for now, of an answer that is not documented: null where it changed. */
function roomFor(need: RayOptions["need"], answer: unknown): number | null {
  const nodes = (answer as { data?: { clusterStatus?: { loadMetricsReport?: { usageByNode?:
    Readonly<Record<string, Usage>> } } } } | undefined)?.data?.clusterStatus?.loadMetricsReport?.usageByNode;
  if (nodes === undefined || nodes === null || typeof nodes !== "object") return null;
  const wants: readonly (readonly [string, number])[] = [["CPU", Math.max(need.cpus, CPUS_MIN)],
    ["GPU", need.gpus], ["memory", need.memoryBytes ?? 0]];
  return Object.values(nodes).reduce((sum, usage) =>
    sum + Math.min(...wants.filter(([, amount]) => amount > 0).map(([name, amount]) => {
      const [used, total] = usage[name] ?? [0, 0];
      return Math.max(0, Math.floor((total - used) / amount + 1e-9));
    })), 0);
}
