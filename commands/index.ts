/** The verbs, and the one place where arguments become calls and errors become exit codes. */
import { chalkStderr as chalk } from "chalk";
import { Command as Program, CommanderError, Option, Argument } from "commander";
import { cpus } from "node:os";
import { createRequire } from "node:module";
import * as path from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { commandLine, quoted } from "../src/base/command-line.ts";
import { readConfig } from "../src/base/config.ts";
import type { Context } from "../src/base/context.ts";
import { dataRoot } from "../src/base/data-root.ts";
import { explainWrite } from "../src/base/file.ts";
import { ExitCode, Interrupted, messageOf, UserError } from "../src/base/error.ts";
import { openLog } from "../src/base/log.ts";
import { openProgress, type Progress } from "../src/base/progress.ts";
import type { Command } from "./command.ts";
import { FLAGS, GLOBAL_FLAGS } from "./flags.ts";

/** The short summary is here and not in the verb's file, so that `dmn --help` loads no verb. */
interface Verb { readonly summary: string; readonly load: () => Promise<{ default: Command }> }

export const VERBS: Readonly<Record<string, Verb>> = {
  fetch: { summary: "bring market data into the store (HDF5)", load: () => load(import("./fetch.ts")) },
  features: { summary: "turn bars into features (Parquet)", load: () => load(import("./features.ts")) },
  "train-export": { summary: "train networks and write them as ONNX",
    load: () => load(import("./train-export.ts")) },
  tune: { summary: "search hyperparameters, by several objectives at once",
    load: () => load(import("./tune.ts")) },
  worker: { summary: "run trials of a study, on this machine or another",
    load: () => load(import("./worker.ts")) },
  backtest: { summary: "tell what a strategy would have earned", load: () => load(import("./backtest.ts")) },
  live: { summary: "trade: on paper, a simulator, or with real money",
    load: () => load(import("./live.ts")) },
  graph: { summary: "print what a model is made of", load: () => load(import("./graph.ts")) },
  bench: { summary: "measure speed and memory on this machine", load: () => load(import("./bench.ts")) },
  demo: { summary: "the whole way on a synthetic market, offline", load: () => load(import("./demo.ts")) },
  doctor: { summary: "explain what is missing on this machine", load: () => load(import("./doctor.ts")) },
  config: { summary: "print the settings in effect", load: () => load(import("./config.ts")) },
};

/** Each file's type knows its own flags; the table forgets them. */
async function load(file: Promise<{ default: unknown }>): Promise<{ default: Command }> {
  return { default: (await file).default as Command };
}

/** One Ctrl-C comes twice: from the terminal, and passed on by npm or by our own door. */
const ONE_PRESS_MS = 300;

/** Grace for a verb to stop by itself after the first Ctrl-C; a second one ends at once. */
function interruptible(argv: readonly string[], progress: Progress): AbortSignal {
  const controller = new AbortController();
  let firstAt = NaN;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      const now = systemClock.now();
      if (now - firstAt < ONE_PRESS_MS) return;
      if (controller.signal.aborted) {
        progress.stop();
        process.exit(ExitCode.interrupted);
      }
      firstAt = now;
      process.stderr.write("\nstopping at the next safe point (again to stop at once)\n");
      // The same command goes on where this one stops.
      controller.abort(new Interrupted(commandLine(["dmn", ...argv])));
    });
  }
  return controller.signal;
}

/**
 * `dmn ... | head -1` closes the pipe once it has seen enough: nothing to complain of. Without a
 * listener that would be an uncaught error.
 */
function leaveClosedPipes(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(ExitCode.ok);
  });
  process.stderr.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

type Options = Record<string, unknown>;

interface Call {
  readonly name: string;
  readonly verb: Command;
  readonly options: Options;
  readonly argument: string | undefined;
  readonly argv: readonly string[];
}

async function runVerb({ name, verb, options, argument, argv }: Call): Promise<void> {
  const { dataDir, ...own } = options;
  const root = dataRoot(dataDir as string | undefined);
  const config = readConfig(root);
  const progress = openProgress(), clock = systemClock;
  const log = openLog(config.log).child({ verb: name });
  const signal = interruptible(argv, progress);
  const context: Context = { root, config, log, progress, clock, signal };
  const startedAt = clock.now();
  log.info({ root, node: process.version }, "started");
  let result: string | object;
  try {
    result = await verb.run(own, context, argument);
    log.info({ durationMs: clock.now() - startedAt }, "done");
  } catch (error) {
    log.info({ durationMs: clock.now() - startedAt, reason: messageOf(error) }, "stopped");
    throw error;
  } finally { progress.stop(); }
  const text = typeof result === "string" ? result : JSON.stringify(result);
  if (text !== "") process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

/** Declares one verb; `onRun` is told what to do. */
function declare(
  program: Program, name: string, verb: Command, onRun: (call: Omit<Call, "argv">) => void,
): void {
  const sub = program.command(name).summary(VERBS[name].summary).description(verb.summary);
  if (verb.argument) sub.addArgument(new Argument(verb.argument.syntax, verb.argument.help));
  for (const flag of [...verb.flags.map((flagName) => FLAGS[flagName]), ...Object.values(GLOBAL_FLAGS)]) {
    const option = new Option(flag.syntax, flag.help);
    if ("choices" in flag) option.choices([...flag.choices]);
    if ("parse" in flag) option.argParser(flag.parse);
    const isRequired = verb.required.some((required) => FLAGS[required].syntax === flag.syntax);
    if (isRequired) option.makeOptionMandatory();
    sub.addOption(option);
  }
  const width = Math.max(...verb.examples.map(([line]) => line.length));
  const examples = verb.examples.map(([line, meaning]) =>
    width + meaning.length > 92 ? `  ${line}\n      ${meaning}` : `  ${line.padEnd(width)}   ${meaning}`);
  sub.addHelpText("after", `\nExamples:\n${examples.join("\n")}`);
  sub.action((...args: unknown[]) => {
    const argument = verb.argument ? args[0] as string | undefined : undefined;
    onRun({ name, verb, options: sub.opts(), argument });
  });
}

/** `dmn help VERB` is about the verb as well. */
function verbIn(argv: readonly string[]): string | undefined {
  const words = argv.filter((word) => !word.startsWith("-"));
  return words[0] === "help" ? words[1] : words[0];
}

export async function main(argv: readonly string[]): Promise<number> {
  leaveClosedPipes();
  const up = import.meta.filename.endsWith(".ts") ? ".." : "../..";
  const manifest = createRequire(import.meta.url)(`${up}/package.json`) as { version: string };
  let call: Omit<Call, "argv"> | null = null;
  const program = new Program("dmn")
    .description("Deep Momentum Networks: from market data to live paper trading")
    .version(manifest.version).exitOverride().showHelpAfterError("(add --help for flags and examples)")
    .configureHelp({ helpWidth: 100 });
  try {
    const wanted = verbIn(argv);
    for (const [name, { summary, load: loadVerb }] of Object.entries(VERBS)) {
      if (name === wanted) {
        declare(program, name, (await loadVerb()).default, (found) => { call = found; });
      } else program.command(name).summary(summary).description(summary).action(() => {});
    }
    if (argv.length === 0) { program.outputHelp(); return ExitCode.ok; }
    await program.parseAsync(argv, { from: "user" });
    if (call !== null) await runVerb({ ...(call as Omit<Call, "argv">), argv });
    return ExitCode.ok;
  } catch (error) { return report(error, argv, call); }
}

/** Commands in a hint have to meet the data root of the command that was typed. */
function atSameRoot(hint: string, options: Options): string {
  const folder = options["dataDir"];
  if (typeof folder !== "string") return hint;
  const commands = new RegExp(`\\bdmn (?:${Object.keys(VERBS).join("|")})\\b`, "g");
  return hint.replace(commands, (found) => `${found} --data-dir ${quoted(folder)}`);
}

/** Says what went wrong in the form its kind deserves, and returns the exit code. */
function report(
  error: unknown, argv: readonly string[], call: Pick<Call, "options"> | null,
): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.user;
  const place = (error as NodeJS.ErrnoException | null)?.path ?? path.resolve("output");
  const explained = explainWrite(place, error);
  if (explained instanceof UserError) {
    const hint = atSameRoot(explained.hint, call?.options ?? {});
    process.stderr.write(`${chalk.red("dmn:")} ${explained.problem}\n     ${hint}\n`);
    return ExitCode.user;
  }
  if (error instanceof Interrupted || (error instanceof Error && error.name === "AbortError")) {
    const said = error instanceof Interrupted ? error : new Interrupted(commandLine(["dmn", ...argv]));
    process.stderr.write(`dmn: ${said.message}\n`);
    return ExitCode.interrupted;
  }
  const processor = cpus()[0]?.model ?? "unknown CPU";
  process.stderr.write("dmn: this is a bug in dmn, please report it with what follows\n"
    + `${commandLine(["dmn", ...argv])}\n`
    + `node ${process.version}, ${process.platform} ${process.arch}, ${processor}\n`
    + `${error instanceof Error ? error.stack ?? error.message : String(error)}\n`);
  return ExitCode.bug;
}
