/**
 * Which engine places a study's workers, and what it is asked to run there.
 *
 *   local   this machine's processes                       node bin/dmn.js worker ... --data-dir ROOT
 *   ray     Jobs REST; a bundle of product and data        ./node bin/dmn.js worker ... --data-dir data
 *           or, with --shared, what all machines see       SHARED/dmn-HASH/node ... --data-dir SHARED
 *   slurm   sbatch or slurmrestd; always shared
 */
import { homedir, hostname } from "node:os";
import * as path from "node:path";
import { assert } from "../../base/assert.ts";
import type { Context } from "../../base/context.ts";
import { places } from "../../base/data-root.ts";
import { UserError } from "../../base/error.ts";
import { hashOf } from "../../base/file.ts";
import { BUNDLE_COMMAND, BUNDLE_ROOT, folderFiles, installBundle, planBundle, productFiles, zipBundle }
  from "../../tune/engines/bundle.ts";
import type { Engine, WorkerAsk } from "../../tune/engines/engine.ts";
import { localEngine } from "../../tune/engines/local.ts";
import { openRay, readRayToken } from "../../tune/engines/ray.ts";
import { openSlurm } from "../../tune/engines/slurm.ts";
import type { Terms } from "../../tune/study.ts";
import { PACKAGE_ROOT } from "../package-root.ts";
import { SMALL_HEAP, SMALL_LEFTOVERS } from "../train-pool.ts";
import type { StudyWork } from "./tune-request.ts";

export interface Placement {
  readonly on: "local" | "ray" | "slurm";
  /** Ray's dashboard. */
  readonly cluster: string | null;
  /** Data root as all machines see it. */
  readonly shared: string | null;
  /** Where workers reach the coordinator; null: the configured one. */
  readonly host: string | null;
}

export interface Placed {
  readonly engine: Engine;
  /** The study's name on a cluster, where others may have one of the same name. */
  readonly key: string;
  /** How the engine wants to be kept busy. */
  readonly keep: { readonly pendingMax?: number; readonly limits?: { readonly pollMs: number } };
  /** What a worker of this id is started as. */
  ask(id: string): WorkerAsk;
}

interface Options {
  readonly placement: Placement;
  readonly terms: Terms;
  /** The coordinator's. */
  readonly address: string;
  /** For DMN_TUNE_KEYS. */
  readonly secret: string;
  readonly workersMax: number;
}

const GIB = 2 ** 30;
/** Own processes are cheap to look at; a Slurm controller is everybody's. */
const LOCAL_POLL_MS = 200, SLURM_POLL_MS = 5_000;

/** UserError where the engine cannot be had, or misses what it needs. */
export async function openPlacement(options: Options, context: Context): Promise<Placed> {
  const { placement, terms, address, secret, workersMax } = options, { root, clock, config } = context;
  const { workerCpus, workerGpus, workerGiB, slurmRest, slurmPartition, slurmAccount,
    slurmMinutes } = config.tune;
  const folder = places.study(root, terms.name);
  const key = `${terms.name}-${hashOf(`${hostname()}:${folder}`).slice(0, 6)}`;
  const need = { cpus: workerCpus, gpus: workerGpus,
    memoryBytes: workerGiB === null ? null : Math.ceil(workerGiB * GIB) };
  const asker = (begin: readonly string[], dataRoot: string) => (id: string): WorkerAsk => ({
    id, ...need, environment: { DMN_TUNE_KEYS: secret, ...SMALL_LEFTOVERS },
    command: [...begin, "worker", "--coordinator", address, "--study", terms.name, "--name", id,
      "--data-dir", dataRoot] });
  if (placement.on === "local") {
    const begin = [process.execPath, ...SMALL_HEAP, path.join(PACKAGE_ROOT, "bin", "dmn.js")];
    return { engine: localEngine({ folder }), key, keep: { limits: { pollMs: LOCAL_POLL_MS } },
      ask: asker(begin, root) };
  }
  const shared = placement.shared === null ? null : path.resolve(placement.shared);
  if (placement.on === "slurm") {
    const seen = shared ?? root, installed = installBundle(planBundle(productFiles(PACKAGE_ROOT)), seen);
    const engine = await openSlurm({ study: key, rest: slurmRest, folder: places.study(seen, terms.name),
      ...(slurmPartition === null ? {} : { partition: slurmPartition }),
      ...(slurmAccount === null ? {} : { account: slurmAccount }),
      ...(slurmMinutes === null ? {} : { timeLimitMinutes: slurmMinutes }) });
    // A queue is normal there.
    return { engine, key, keep: { pendingMax: workersMax, limits: { pollMs: SLURM_POLL_MS } },
      ask: asker(commandIn(installed), seen) };
  }
  const token = readRayToken(process.env, homedir());
  const open = (bundle: Parameters<typeof openRay>[0]["bundle"]): Promise<Engine> =>
    openRay({ address: placement.cluster!, study: key, token, bundle, need, clock });
  if (shared !== null) {
    const installed = installBundle(planBundle(productFiles(PACKAGE_ROOT)), shared);
    return { engine: await open(null), key, keep: {}, ask: asker(commandIn(installed), shared) };
  }
  const bundle = planBundle([...productFiles(PACKAGE_ROOT), ...dataFiles(root, terms.work as StudyWork)]);
  const engine = await open({ hash: bundle.hash,
    zip: () => zipBundle(bundle, path.join(places.storage(root), "tune")) });
  return { engine, key, keep: {}, ask: asker(BUNDLE_COMMAND, BUNDLE_ROOT) };
}

const commandIn = (installed: string): string[] =>
  [path.join(installed, "node"), path.join(installed, "bin", "dmn.js")];

/** UserError for what is missing whatever the study. */
export function checkPlacement({ on, cluster, shared }: Placement, work: StudyWork | null,
  sampler: string): void {
  if (on === "ray" && cluster === null) {
    throw new UserError("which Ray cluster?", "say where its dashboard is: --cluster http://HEAD:8265");
  }
  if (on === "ray" && shared === null && sampler === "population") {
    throw new UserError("in a population a trial goes on from another one's checkpoint, which lies on the "
      + "machine that made it", "name a folder that all machines see: --shared FOLDER");
  }
  if (on !== "ray" && cluster !== null) {
    throw new UserError(`--cluster names Ray's dashboard, and workers run on ${on}`,
      "add --on ray, or leave out --cluster");
  }
  if (on === "ray" && shared === null && work?.kind === "file") {
    throw new UserError("a study of your own file needs a folder that all machines see",
      "put the file there, and add --shared FOLDER");
  }
}

/** What a worker without our disk reads: the dataset's manifest and features; bars are not looked at. */
function dataFiles(root: string, work: StudyWork): ReturnType<typeof folderFiles> {
  assert(work.kind === "network", "a file's study is not bundled");
  const { dataset } = work.request;
  return folderFiles(places.dataset(root, dataset), `${BUNDLE_ROOT}/datasets/${dataset}`,
    (file) => !file.startsWith("bars/"));
}
