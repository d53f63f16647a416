/** `dmn worker`: takes trials of a study from its coordinator until there are none. */
import { hostname } from "node:os";
import * as path from "node:path";
import type { Context } from "../../base/context.ts";
import { places } from "../../base/data-root.ts";
import { UserError } from "../../base/error.ts";
import { readWorkerSecret } from "../../tune/keys.ts";
import { runWorker, type RunTrial } from "../../tune/worker.ts";
import type { Terms } from "../../tune/study.ts";
import { openNetworkData } from "./network-work.ts";
import { networkTrial } from "./trial.ts";
import { codeVersion } from "../train-export.ts";
import type { StudyWork } from "./tune-request.ts";
import { loadUserStudy } from "./user-study.ts";

export interface WorkerOptions {
  /** tcp://HOST:PORT */
  readonly coordinator: string;
  readonly study: string;
  /** Its name among the study's workers; made up when it is not said. */
  readonly name: string | null;
}

/** Secrets come by the environment: a value or a file. */
const SECRET = "DMN_TUNE_KEYS";

export const trialFolder = (root: string, study: string, trial: number): string =>
  path.join(places.study(root, study), "trials", String(trial).padStart(4, "0"));

/** What runs a study's trials here. Also releases what they share. */
export async function openTrials(terms: Terms, { root, clock }: Pick<Context, "root" | "clock">):
Promise<RunTrial & Partial<AsyncDisposable>> {
  const work = terms.work as StudyWork;
  if (work.kind === "file") return (await loadUserStudy(work)).run;
  return networkTrial({ work, space: terms.space, objectives: terms.objectives.map(({ name }) => name), clock,
    data: await openNetworkData(root, work), folder: (trial) => trialFolder(root, terms.name, trial) });
}

/** Never twice in a study: machine, process, time. */
const ownName = (now: number): string =>
  `${hostname().replaceAll(/[^\w.-]/g, "-")}-${process.pid}-${now.toString(36)}`;

/** Works until the study is over or the signal aborts. UserError as in runWorker. */
export async function tuneWorker({ coordinator, study, name }: WorkerOptions, context: Context):
Promise<{ trials: number; why: string }> {
  const secret = process.env[SECRET], { log, signal, clock } = context;
  if (!/^tcp:\/\/[^:]+:\d+$/.test(coordinator)) {
    throw new UserError(`"${coordinator}" is no address of a coordinator`,
      "`dmn tune status` says it: --coordinator tcp://HOST:5559");
  }
  await using opened = new AsyncDisposableStack();
  return await runWorker({
    address: coordinator, study, worker: name ?? ownName(clock.now()), signal,
    version: codeVersion(), ...(secret === undefined ? {} : { keys: readWorkerSecret(secret) }),
    async prepare({ terms }) {
      const run = await openTrials(terms, context);
      opened.defer(async () => { await run[Symbol.asyncDispose]?.(); });
      return run;
    },
    say: (line) => { log.info(line); },
    warn: (line) => { process.stderr.write(`${line}\n`); },
  });
}
