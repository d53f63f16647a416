/** What a verb declares. The code behind it is imported only when it runs, so that `--help` is instant. */
import type { Context } from "../src/base/context.ts";
import type { FlagName, FlagValues } from "./flags.ts";

export interface Command<N extends FlagName = FlagName> {
  /** One sentence. */
  readonly summary: string;
  /** Flags it takes, in the order of its help. */
  readonly flags: readonly N[];
  /** Flags without which it refuses to start. */
  readonly required: readonly N[];
  /** Positional argument, in commander's syntax, if any: "[suite]". */
  readonly argument?: { readonly syntax: string; readonly help: string };
  /** Lines for the help, each runnable as it is: [command, what it does]. */
  readonly examples: readonly (readonly [string, string])[];
  /** Does the work and returns what to print on stdout: with `--json` an object, else text. */
  run(options: FlagValues<N>, context: Context, argument?: string): Promise<string | object>;
}

/** Keeps the flag names as types. */
export function command<const N extends FlagName>(declaration: Command<N>): Command<N> { return declaration; }
