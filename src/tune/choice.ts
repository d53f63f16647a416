/**
 * Samplers and pruners are chosen by name out of a table; a row says what it is, what may be set, and how
 * it is made.
 *
 *   makeChosen("sampler", SAMPLERS, { name: "nsga3", settings: { population: 92 } }, options)
 */
import { UserError } from "../base/error.ts";
import { suggestion } from "../base/suggest.ts";

export type Setting =
  | { readonly kind: "integer" | "number"; readonly default: number;
      readonly min: number; readonly max: number; readonly describe: string }
  | { readonly kind: "choice"; readonly default: string; readonly choices: readonly string[];
      readonly describe: string };
export type Settings = Readonly<Record<string, number | string>>;

export interface Row<Options, Made> {
  readonly describe: string;
  readonly settings: Readonly<Record<string, Setting>>;
  /** `settings` are complete and in range. */
  make(options: Options, settings: Settings): Made;
}

/** Throws UserError for a name that is not in the table, an unknown setting, or a value out of range. */
export function makeChosen<Options, Made>(kind: string, table: Readonly<Record<string, Row<Options, Made>>>,
  choice: { readonly name: string; readonly settings: Settings }, options: Options): Made {
  return rowOf(kind, table, choice.name).make(options, completeSettings(kind, table, choice));
}

/** What was said over the defaults. Throws UserError like makeChosen. */
export function completeSettings(kind: string, table: Readonly<Record<string, Row<never, unknown>>>,
  { name, settings }: { readonly name: string; readonly settings: Settings }): Settings {
  const declared = rowOf(kind, table, name).settings;
  for (const said of Object.keys(settings)) {
    if (!Object.hasOwn(declared, said)) {
      throw new UserError(`${kind} ${name} has no setting "${said}"`,
        suggestion(said, Object.keys(declared)));
    }
  }
  return Object.fromEntries(Object.entries(declared).map(([one, setting]) =>
    [one, checkSetting(`${kind} ${name}`, one, setting, settings[one] ?? setting.default)]));
}

function rowOf<Made>(kind: string, table: Readonly<Record<string, Made>>, name: string): Made {
  if (Object.hasOwn(table, name)) return table[name];
  throw new UserError(`there is no ${kind} "${name}"`, suggestion(name, Object.keys(table)));
}

function checkSetting(owner: string, name: string, one: Setting, value: number | string): number | string {
  if (one.kind === "choice") {
    if (one.choices.includes(`${value}`)) return `${value}`;
    throw new UserError(`${owner}: ${name} is ${value}`, suggestion(`${value}`, one.choices));
  }
  const found = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  const isKind = one.kind === "number" || Number.isInteger(found);
  if (typeof found === "number" && isKind && found >= one.min && found <= one.max) return found;
  const wanted = `a ${one.kind === "integer" ? "whole number" : "number"} from ${one.min} to ${one.max}`;
  throw new UserError(`${owner}: ${name} is ${value}; it is ${wanted}`, `the default is ${one.default}`);
}
