/** The verbs, and the one place where arguments become calls and errors become exit codes. */
import { chalkStderr as chalk } from "chalk";
import { Command as Program, CommanderError, Option, Argument } from "commander";
import { cpus } from "node:os";
import { createRequire } from "node:module";
import { systemClock } from "../src/base/clock.ts";
import { readConfig } from "../src/base/config.ts";
import type { Context } from "../src/base/context.ts";
import { dataRoot } from "../src/base/data-root.ts";
import { explainWrite } from "../src/base/file.ts";
import { ExitCode, Interrupted, UserError } from "../src/base/error.ts";
import { openLog } from "../src/base/log.ts";
import { openProgress } from "../src/base/progress.ts";
import type { Command } from "./command.ts";
import { FLAGS, GLOBAL_FLAGS } from "./flags.ts";

/**
 * One line a verb; the summary is repeated here so that `dmn --help` loads no verb. test/flags.test.ts
 * compares.
 */
interface Verb { readonly summary: string; readonly load: () => Promise<{ default: Command }> }

export const VERBS: Readonly<Record<string, Verb>> = {
  fetch: { summary: "bring market data into the store (HDF5)", load: () => load(import("./fetch.ts")) },
  features: { summary: "turn bars into features (Parquet)", load: () => load(import("./features.ts")) },
  backtest: { summary: "tell what a strategy would have earned", load: () => load(import("./backtest.ts")) },
  bench: { summary: "measure speed and memory on this machine", load: () => load(import("./bench.ts")) },
  demo: { summary: "the whole way on a synthetic market, offline", load: () => load(import("./demo.ts")) },
  doctor: { summary: "explain what is missing on this machine", load: () => load(import("./doctor.ts")) },
  config: { summary: "print the settings in effect", load: () => load(import("./config.ts")) },
};

/** Each file's type knows its own flags; the table forgets them. */
async function load(file: Promise<{ default: unknown }>): Promise<{ default: Command }> {
  return { default: (await file).default as Command };
}

/** Grace for a verb to stop by itself after the first Ctrl-C; a second one ends at once. */
function interruptible(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(ExitCode.interrupted);
      process.stderr.write("\nstopping at the next safe point (again to stop at once)\n");
      controller.abort(new Interrupted(`dmn ${process.argv.slice(2).join(" ")}`));
    });
  }
  return controller.signal;
}

type Options = Record<string, unknown>;

async function runVerb(verb: Command, options: Options, argument: string | undefined): Promise<void> {
  const root = dataRoot(options["dataDir"] as string | undefined);
  const config = readConfig(root);
  const progress = openProgress();
  const context: Context = {
    root, config, log: openLog(config.log), progress, clock: systemClock, signal: interruptible(),
  };
  let result: string | object;
  try { result = await verb.run(options, context, argument); } finally { progress.stop(); }
  const text = typeof result === "string" ? result : JSON.stringify(result);
  if (text !== "") process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

/** Declares one verb; `onRun` is told the work to await. */
function declare(program: Program, name: string, verb: Command, onRun: (work: Promise<void>) => void): void {
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
    onRun(runVerb(verb, sub.opts(), argument));
  });
}

export async function main(argv: readonly string[]): Promise<number> {
  const up = import.meta.filename.endsWith(".ts") ? ".." : "../..";
  const manifest = createRequire(import.meta.url)(`${up}/package.json`) as { version: string };
  let work: Promise<void> = Promise.resolve();
  const program = new Program("dmn")
    .description("Deep Momentum Networks: from market data to live paper trading")
    .version(manifest.version).exitOverride().showHelpAfterError("(add --help for flags and examples)")
    .configureHelp({ helpWidth: 100 });
  try {
    const wanted = argv.find((word) => !word.startsWith("-"));
    for (const [name, { summary, load: loadVerb }] of Object.entries(VERBS)) {
      if (name === wanted) {
        declare(program, name, (await loadVerb()).default, (promise) => { work = promise; });
      } else program.command(name).summary(summary).description(summary).action(() => {});
    }
    if (argv.length === 0) { program.outputHelp(); return ExitCode.ok; }
    await program.parseAsync(argv, { from: "user" });
    await work;
    return ExitCode.ok;
  } catch (error) { return report(error, argv); }
}

/** Says what went wrong in the form its kind deserves, and returns the exit code. */
function report(error: unknown, argv: readonly string[]): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.user;
  const explained = explainWrite(process.cwd(), error);
  if (explained instanceof UserError) {
    process.stderr.write(`${chalk.red("dmn:")} ${explained.problem}\n     ${explained.hint}\n`);
    return ExitCode.user;
  }
  if (error instanceof Interrupted || (error instanceof Error && error.name === "AbortError")) {
    const said = error instanceof Interrupted ? error : new Interrupted(`dmn ${argv.join(" ")}`);
    process.stderr.write(`dmn: ${said.message}\n`);
    return ExitCode.interrupted;
  }
  const processor = cpus()[0]?.model ?? "unknown CPU";
  process.stderr.write("dmn: this is a bug in dmn, please report it with what follows\n"
    + `dmn ${argv.join(" ")}\n`
    + `node ${process.version}, ${process.platform} ${process.arch}, ${processor}\n`
    + `${error instanceof Error ? error.stack ?? error.message : String(error)}\n`);
  return ExitCode.bug;
}
