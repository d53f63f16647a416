/**
 * What a person or a search may choose about a network. Declared once: checking, help and search
 * spaces follow.
 */
import { UserError } from "../base/error.ts";
import { suggestion } from "../base/suggest.ts";

export type Hyperparameter =
  | { readonly kind: "integer" | "number"; readonly default: number;
    readonly min: number; readonly max: number;
    /** Search on a logarithmic scale. */
    readonly isLog?: boolean; readonly describe: string }
  | { readonly kind: "choice"; readonly default: string; readonly choices: readonly string[];
    readonly describe: string };

export type Hyperparameters = Readonly<Record<string, Hyperparameter>>;
/** Chosen values, one for every declared name. */
export type Chosen<Declared extends Hyperparameters> = {
  readonly [Name in keyof Declared]: Declared[Name] extends { kind: "choice" } ? string : number };
export type Settings = Readonly<Record<string, number | string>>;

/**
 * Defaults overlaid with what was said. UserError for an unknown name, a wrong kind, or a value out
 * of range.
 */
export function chooseSettings(owner: string, declared: Hyperparameters, said: Settings): Settings {
  for (const name of Object.keys(said)) {
    if (!Object.hasOwn(declared, name)) {
      throw new UserError(`${owner} has no hyperparameter "${name}"`,
        suggestion(name, Object.keys(declared)));
    }
  }
  return Object.fromEntries(Object.entries(declared).map(([name, one]) =>
    [name, checkSetting(owner, name, one, said[name] ?? one.default)]));
}

function checkSetting(owner: string, name: string, one: Hyperparameter, value: number | string):
number | string {
  if (one.kind === "choice") {
    if (one.choices.includes(String(value))) return String(value);
    throw new UserError(`${owner}: ${name} is ${value}; it is one of ${one.choices.join(", ")}`,
      `--set ${name}=${one.default}`);
  }
  const found = typeof value === "string" ? Number(value) : value;
  const isWhole = one.kind === "number" || Number.isInteger(found);
  if (value !== "" && isWhole && found >= one.min && found <= one.max) return found;
  const kind = one.kind === "integer" ? "whole number" : "number";
  const problem = `${name} is ${value}; it is a ${kind} from ${one.min} to ${one.max}`;
  throw new UserError(`${owner}: ${problem}`, `--set ${name}=${one.default}`);
}
