/**
 * Slurm by slurmrestd, over a unix socket (who we are is who we are on this machine) or TCP with a JWT
 * (SLURM_JWT, as `scontrol token` prints it). Each version of Slurm serves the last few of its interface: the
 * newest that both know is asked.
 *
 *   v0.0.38   environment is an object, numbers are numbers, there is no B: for signals
 *   v0.0.39+  environment is a list, numbers may be "not set", the script is the job's, states are a list
 */
import * as os from "node:os";
import { messageOf, UserError } from "../../base/error.ts";
import { asker, NoAnswer, parsed, withoutSecrets, type Answer, type Ask, type Call } from "./request.ts";
import type { SlurmDoor, SlurmJob, SlurmTask } from "./slurm.ts";

const VERSION_NEWEST = 44, VERSION_OLDEST = 38;

interface Said {
  readonly errors?: readonly { readonly error?: string; readonly description?: string }[];
  readonly job_id?: number;
  readonly jobs?: readonly {
    readonly job_id: number; readonly name?: string; readonly comment?: string | { readonly job?: string };
    readonly job_state: string | readonly string[]; readonly nodes?: string; readonly state_reason?: string;
    readonly user_name?: string;
  }[];
}

/** Throws UserError where no slurmrestd answers, where it does not know us, or has no version we know. */
export async function slurmRest(
  address: string, environment: Readonly<Record<string, string | undefined>>,
): Promise<SlurmDoor> {
  if (!/^(unix:\/|https?:\/\/[^/])/.test(address)) {
    throw new UserError(`"${address}" is no address of slurmrestd`,
      "set tune.slurmRest to one like this: unix:/run/slurmrestd.sock, or http://HOST:6820");
  }
  const user = environment["SLURM_USER_NAME"] ?? os.userInfo().username, token = environment["SLURM_JWT"];
  const ask = asker(address, address.startsWith("unix:") || token === undefined ? {}
    : { "X-SLURM-USER-NAME": user, "X-SLURM-USER-TOKEN": token });
  const version = await probe(address, ask);
  return new Rest(address, ask, version, user, token === undefined ? [] : [token]);
}

async function probe(address: string, ask: Ask): Promise<number> {
  for (let version = VERSION_NEWEST; version >= VERSION_OLDEST; version--) {
    let answer: Answer;
    try { answer = await ask({ method: "GET", path: `/slurm/v0.0.${version}/ping` }); } catch (error) {
      throw new UserError(`no slurmrestd answers at ${address}: ${messageOf((error as Error).cause)}`,
        "start it, or set tune.slurmRest to null: then sbatch is used", { cause: error });
    }
    checkKnown(answer, address);
    if (answer.status === 200) return version;
  }
  throw new UserError(`slurmrestd at ${address} has no version of its interface from v0.0.${VERSION_OLDEST} `
    + `to v0.0.${VERSION_NEWEST}`, "set tune.slurmRest to null: then sbatch is used");
}

function checkKnown({ status }: Answer, address: string): void {
  if (status !== 401 && status !== 403) return;
  throw new UserError(`slurmrestd at ${address} refuses us (${status})`,
    "get a token and try again: export $(scontrol token lifespan=86400)");
}

class Rest implements SlurmDoor {
  readonly #address: string;
  readonly #ask: Ask;
  readonly #version: number;
  readonly #user: string;
  readonly #secrets: readonly string[];

  constructor(address: string, ask: Ask, version: number, user: string, secrets: readonly string[]) {
    this.#address = address;
    this.#ask = ask;
    this.#version = version;
    this.#user = user;
    this.#secrets = secrets;
  }

  async submit(task: SlurmTask): Promise<string> {
    const { status, said, words } = await this.#question({ method: "POST", path: "/job/submit",
      body: JSON.stringify(this.#version < 39 ? oldRequest(task) : request(task)) });
    // With an id it waits, whatever is said beside it: a partition may be too small, or down for now.
    if (typeof said.job_id === "number" && said.job_id > 0) return String(said.job_id);
    const why = withoutSecrets(words, Object.values(task.environment));
    if (status >= 500 && /contact|timed? ?out|temporar|socket|limit/i.test(why)) {
      throw new NoAnswer(`slurmrestd could not submit (${status}): ${why}`);
    }
    throw new UserError(`Slurm refuses the worker: ${why || `status ${status}`}`,
      "ask for what a node has (sinfo --format='%P %c %m %G'), or set another tune.slurmPartition");
  }

  async jobs(): Promise<readonly SlurmJob[]> {
    const { status, said, words } = await this.#question({ method: "GET", path: "/jobs" });
    if (status !== 200 || said.jobs === undefined) {
      throw new NoAnswer(`slurmrestd does not list jobs (${status}): ${words}`);
    }
    return said.jobs.filter((job) => (job.user_name ?? this.#user) === this.#user).map((job) => ({
      jobId: String(job.job_id), name: job.name ?? "",
      comment: (typeof job.comment === "string" ? job.comment : job.comment?.job) ?? "",
      state: typeof job.job_state === "string" ? job.job_state : job.job_state[0] ?? "",
      node: job.nodes ?? "", reason: job.state_reason ?? "" }));
  }

  async cancel(jobId: string): Promise<boolean> {
    const { status, words } = await this.#question({ method: "DELETE", path: `/job/${jobId}` });
    if (/Invalid job id|already completing or completed/i.test(words)) return false;
    if (status !== 200) throw new NoAnswer(`slurmrestd does not cancel ${jobId} (${status}): ${words}`);
    return true;
  }

  async #question(call: Call): Promise<{ status: number; said: Said; words: string }> {
    const answer = await this.#ask({ ...call, path: `/slurm/v0.0.${this.#version}${call.path}` });
    checkKnown(answer, this.#address);
    const said = (parsed(answer.text) ?? {}) as Said;
    const words = (said.errors ?? []).map(({ error, description }) => description ?? error ?? "").join("; ");
    return { status: answer.status, said, words: withoutSecrets(words, this.#secrets) };
  }
}

/** What both kinds share. */
const common = (task: SlurmTask): Record<string, unknown> => ({
  name: task.name, comment: task.comment, current_working_directory: task.folder, requeue: true,
  standard_output: task.output, cpus_per_task: task.cpus, tasks: 1,
  ...(task.partition === undefined ? {} : { partition: task.partition }),
  ...(task.account === undefined ? {} : { account: task.account }),
});
/** A job's environment is what is said and nothing else: without a PATH there is no shell. */
const PATH = "/usr/local/bin:/usr/bin:/bin";

function oldRequest(task: SlurmTask): unknown {
  return { script: task.script, job: { ...common(task), open_mode: "append",
    environment: { PATH, ...task.environment },
    ...(task.memoryMiB === null ? {} : { memory_per_node: task.memoryMiB }),
    ...(task.timeLimitMinutes === undefined ? {} : { time_limit: task.timeLimitMinutes }),
    ...(task.gpus > 0 ? { gres: `gpu:${task.gpus}` } : {}) } };
}

function request(task: SlurmTask): unknown {
  const number = (value: number): unknown => ({ set: true, infinite: false, number: value });
  return { job: { ...common(task), script: task.script, open_mode: ["APPEND"],
    environment: Object.entries({ PATH, ...task.environment }).map(([name, value]) => `${name}=${value}`),
    kill_warning_signal: "TERM", kill_warning_delay: number(task.graceSeconds),
      kill_warning_flags: ["BATCH_JOB"],
    ...(task.memoryMiB === null ? {} : { memory_per_node: number(task.memoryMiB) }),
    ...(task.timeLimitMinutes === undefined ? {} : { time_limit: number(task.timeLimitMinutes) }),
    ...(task.gpus > 0 ? { tres_per_node: `gres/gpu:${task.gpus}` } : {}) } };
}
