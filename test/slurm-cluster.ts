/** A real Slurm from Debian's slurm-wlm, munge and slurmrestd: three nodes here, nothing of the system's own is touched. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePorts } from "./ray-cluster.ts";

const PROGRAMS = ["munged", "slurmctld", "slurmd", "slurmrestd", "sbatch"];
const isThere = (name: string): boolean => ["/usr/sbin", "/usr/bin", "/usr/local/sbin"].some((folder) =>
  fs.existsSync(path.join(folder, name)));
export const NO_SLURM = process.env["DMN_TEST_SLURM"] === "1" && PROGRAMS.every(isThere) ? false
  : "needs a Slurm: apt-get install slurm-wlm munge slurmrestd, then DMN_TEST_SLURM=1 (as root)";

export interface SlurmCluster extends AsyncDisposable {
  /** For SLURM_CONF. */
  readonly config: string;
  readonly rest: string;
  /** SIGKILL for its daemon and all that runs there: the machine is gone. */
  killNode(name: string): void;
}

export async function startSlurm(folder: string): Promise<SlurmCluster> {
  const ports = await freePorts(4), host = os.hostname(), user = os.userInfo().username, config = path.join(folder, "slurm.conf");
  const environment = { ...process.env, SLURM_CONF: config, SLURMRESTD_SECURITY: "disable_user_check",
    PATH: `${process.env["PATH"]}:/usr/sbin` };
  fs.mkdirSync(path.join(folder, "state"), { recursive: true });
  fs.mkdirSync(path.join(folder, "munge"), { mode: 0o700 });
  fs.writeFileSync(path.join(folder, "munge", "key"), randomBytes(1024), { mode: 0o600 });
  fs.writeFileSync(config, `ClusterName=dmn
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${ports[0]}
AuthType=auth/munge
AuthInfo=socket=${folder}/munge/socket
CredType=cred/munge
SlurmUser=${user}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=10
SchedulerParameters=batch_sched_delay=0
StateSaveLocation=${folder}/state
SlurmdSpoolDir=${folder}/spool.%n
SlurmctldPidFile=${folder}/slurmctld.pid
SlurmdPidFile=${folder}/slurmd.%n.pid
SlurmctldLogFile=${folder}/slurmctld.log
SlurmdLogFile=${folder}/slurmd.%n.log
NodeName=n[1-3] NodeHostname=${host} NodeAddr=127.0.0.1 Port=[${ports.slice(1).join(",")}] CPUs=2 RealMemory=2000
PartitionName=all Nodes=n[1-3] Default=YES State=UP
`);
  const children: ChildProcess[] = [], nodes = new Map<string, ChildProcess>();
  // In the foreground, as children of ours: what we started we can end.
  const start = (program: string, ...words: string[]): ChildProcess => {
    const log = fs.openSync(path.join(folder, `${program}.out`), "a");
    const child = spawn(program, words, { env: environment, stdio: ["ignore", log, log], detached: true });
    fs.closeSync(log);
    children.push(child);
    return child;
  };
  const rest = path.join(folder, "rest.sock");
  const cluster: SlurmCluster = { config, rest: `unix:${rest}`,
    killNode: (name) => {
      const jobs = spawnSync("squeue", ["--noheader", `--nodelist=${name}`, "--format=%i"], { env: environment,
        encoding: "utf8" }).stdout.split("\n");
      // A step's daemon is nobody's child, and is called after its job.
      const doomed = [nodes.get(name)!.pid!, ...belowOf((words) => jobs.some((job) => job !== "" &&
        words.startsWith(`slurmstepd: [${job}.`)))];
      for (const pid of doomed) try { process.kill(pid, "SIGKILL"); } catch { /* it has ended */ }
    },
    async [Symbol.asyncDispose]() {
      spawnSync("scancel", ["--user", user], { env: environment, timeout: 10_000 });
      // A step's daemon outlives the others if it is not given time.
      for (let tried = 0; tried < 30 && spawnSync("squeue", ["--noheader"], { env: environment, encoding: "utf8",
        timeout: 10_000 }).stdout !== "";
        tried++) await delay(500);
      for (const child of children.toReversed()) try { process.kill(-child.pid!, "SIGTERM"); } catch { /* it has ended */ }
      await delay(1_500);
      for (const child of children) try { process.kill(-child.pid!, "SIGKILL"); } catch { /* it has ended */ }
      fs.rmSync(folder, { recursive: true, force: true });
    } };
  try {
    start("munged", "--foreground", `--key-file=${folder}/munge/key`, `--socket=${folder}/munge/socket`,
      `--pid-file=${folder}/munge/pid`,
      `--log-file=${folder}/munge/log`, `--seed-file=${folder}/munge/seed`, "--force");
    await until(() => fs.existsSync(path.join(folder, "munge", "socket")), "munged");
    start("slurmctld", "-D", "-c", "-f", config);
    for (const name of ["n1", "n2", "n3"]) nodes.set(name, start("slurmd", "-D", "-N", name, "-f", config));
    start("slurmrestd", "-f", config, "-a", "rest_auth/local", "-s", "openapi/v0.0.38", cluster.rest);
    await until(() => fs.existsSync(rest), "slurmrestd");
    await until(() => /^idle\s+3$/m.test(spawnSync("sinfo", ["-h", "-o", "%t %D"], { env: environment,
      encoding: "utf8" }).stdout), "three idle nodes");
    return cluster;
  } catch (error) { await cluster[Symbol.asyncDispose](); throw error; }
}

async function until(isDone: () => boolean, what: string): Promise<void> {
  for (let tried = 0; !isDone(); tried++) {
    if (tried > 300) throw new Error(`there was no ${what} in 60 s`);
    await delay(200);
  }
}

/** Processes whose command line is meant, and all below them. */
function belowOf(isMeant: (words: string) => boolean): number[] {
  const parents = new Map<number, number>(), meant = new Set<number>();
  for (const name of fs.readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      const words = fs.readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ");
      parents.set(Number(name), Number(/^PPid:\s+(\d+)$/m.exec(fs.readFileSync(`/proc/${name}/status`, "utf8"))![1]));
      if (isMeant(words)) meant.add(Number(name));
    } catch { /* it has ended */ }
  }
  for (let before = -1; before !== meant.size;) {
    before = meant.size;
    for (const [pid, parent] of parents) if (meant.has(parent)) meant.add(pid);
  }
  return [...meant];
}
