/**
 * A process that serves networks on the GPU: what `dmn bench inference` starts to time a start, and one
 * process against two. Prints {readyMs} after its first answers; told "go" on its input, asks every network
 * in turn for so many seconds and prints {microseconds: {network: [...]}}.
 */
import { once } from "node:events";
import * as fs from "node:fs";
import { benchModels } from "./inference-models.ts";
import { openSubjects } from "./inference-subject.ts";

export interface WorkerSpec {
  /** Networks, and the files that they were exported to. */
  readonly models: readonly { readonly name: string; readonly file: string }[];
  readonly B: number;
  /** Where compiled kernels are kept. */
  readonly cacheFolder: string;
  /** 0: end after the first answers. */
  readonly seconds: number;
}
export interface WorkerReady {
  /** From the start of the process to the first answer of every network. */
  readonly readyMs: number;
}
export interface WorkerFigures {
  readonly microseconds: Readonly<Record<string, readonly number[]>>;
}

const { models, B, cacheFolder, seconds } = JSON.parse(process.argv[2]) as WorkerSpec;
const say = (what: WorkerReady | WorkerFigures): void => {
  process.stdout.write(`${JSON.stringify(what)}\n`);
};

const subjects = openSubjects({ precision: "float16", cacheFolder });
const served = await Promise.all(models.map(async ({ name, file }) => {
  const [model] = benchModels([name]);
  const subject = await subjects.load(model, fs.readFileSync(file), B);
  subject.windows(1);
  return { name, subject };
}));
say({ readyMs: performance.now() });
if (seconds > 0) {
  await once(process.stdin, "data");
  const end = performance.now() + 1000 * seconds;
  const microseconds: Record<string, number[]> = Object.fromEntries(models.map(({ name }) => [name, []]));
  while (performance.now() < end) {
    for (const { name, subject } of served) microseconds[name].push(...subject.windows(20));
  }
  say({ microseconds });
}
await subjects.close();
process.stdin.destroy();
