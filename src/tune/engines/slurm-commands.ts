/**
 * Slurm by its commands, for sites without slurmrestd: sbatch, squeue, scancel. Text formats, because
 * `--json` is a plugin that not every site has.
 */
import { execFile } from "node:child_process";
import * as os from "node:os";
import { UserError } from "../../base/error.ts";
import { NoAnswer, withoutSecrets } from "./request.ts";
import type { SlurmDoor, SlurmJob, SlurmTask } from "./slurm.ts";

/** Between fields of squeue's lines: nothing that a name, a reason or our comment contains. */
const FIELDS = "%i\x1f%T\x1f%j\x1f%N\x1f%r\x1f%k";
const TIMEOUT_MS = 30_000, OUTPUT_BYTES_MAX = 64 << 20;
/** What a job gets of our environment beside the worker's own. */
const KEPT = ["PATH", "HOME", "USER", "LANG"];
/** What goes by itself. Everything else that sbatch says is about what was asked. */
const PASSING = /contact|timed? ?out|temporar|try again|connection|zero bytes|socket|limit/i;

interface Ran { readonly code: number; readonly output: string; readonly words: string }

/** Throws UserError where the commands or the controller are not there. */
export async function slurmCommands(): Promise<SlurmDoor> {
  const { code, words } = await run("sinfo", ["--noheader", "--format=%P"]).catch((error: unknown) => {
    throw new UserError("there is no Slurm on this machine: sinfo is not installed",
      "run dmn tune on a login node, or set tune.slurmRest in dmn.config.json", { cause: error });
  });
  if (code !== 0) {
    throw new UserError(`Slurm's controller does not answer: ${words}`, "sinfo says when it does");
  }
  return { submit, jobs, cancel };
}

async function submit(task: SlurmTask): Promise<string> {
  const said = (name: string, value: string | number | null | undefined): string[] =>
    value === null || value === undefined ? [] : [`--${name}=${value}`];
  const names = [...KEPT.filter((name) => process.env[name] !== undefined), ...Object.keys(task.environment)];
  // By name: a value in --export would be on a command line.
  const { code, output, words } = await run("sbatch", ["--parsable", "--requeue", "--open-mode=append",
    `--signal=B:TERM@${task.graceSeconds}`, `--export=${names.join(",")}`, `--job-name=${task.name}`,
    `--comment=${task.comment}`, `--chdir=${task.folder}`, `--output=${task.output}`, "--ntasks=1",
    `--cpus-per-task=${task.cpus}`, ...(task.gpus > 0 ? [`--gres=gpu:${task.gpus}`] : []),
    ...said("mem", task.memoryMiB === null ? null : `${task.memoryMiB}M`),
    ...said("partition", task.partition), ...said("account", task.account),
    ...said("time", task.timeLimitMinutes)], task);
  const jobId = /^(\d+)/.exec(output)?.[1];
  if (code === 0 && jobId !== undefined) return jobId;
  const why = withoutSecrets(words, Object.values(task.environment));
  if (PASSING.test(why)) throw new NoAnswer(`sbatch could not submit: ${why}`);
  throw new UserError(`Slurm refuses the worker: ${why}`,
    "ask for what a node has (sinfo --format='%P %c %m %G'), or set another tune.slurmPartition");
}

async function jobs(): Promise<readonly SlurmJob[]> {
  const { code, output, words } = await run("squeue", ["--noheader", "--states=all",
    `--user=${os.userInfo().username}`, `--format=${FIELDS}`]);
  if (code !== 0) throw new NoAnswer(`squeue does not answer: ${words}`);
  return output.split("\n").filter((line) => line !== "").map((line) => {
    const [jobId, state, name, node, reason, comment] = line.split("\x1f");
    return { jobId, state, name, node, reason, comment };
  });
}

async function cancel(jobId: string): Promise<boolean> {
  const { code, words } = await run("scancel", ["--verbose", jobId]);
  if (/Invalid job id|already completing or completed/i.test(words)) return false;
  if (code !== 0) throw new NoAnswer(`scancel does not answer: ${words}`);
  return true;
}

/** Rejects only where the command cannot be started. */
function run(command: string, words: readonly string[], task?: SlurmTask): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = execFile(command, words, { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX,
      env: { ...process.env, ...task?.environment } }, (error, output, complaint) => {
      if (error !== null && typeof error.code === "string" && error.code === "ENOENT") reject(error);
      else {
        const isLate = error?.killed === true;
        const lines = complaint.split("\n").map((line) => line.trim()).filter((line) => line !== "");
        resolve({ code: error === null ? 0 : 1, output,
          words: isLate ? `${command} timed out` : lines.join("; ").replaceAll(/\w+: error: /g, "") });
      }
    });
    child.stdin?.on("error", () => { /* it has ended without reading: its code says so */ });
    child.stdin?.end(task?.script ?? "");
  });
}
