/** The architectures by name. Adding one is a file and a row. */
import { UserError } from "../src/base/error.ts";
import { suggestion } from "../src/base/suggest.ts";
import type { Architecture } from "../src/nn/model.ts";
import { lstm } from "./lstm.ts";

export const ARCHITECTURES: Readonly<Record<string, Architecture>> = { lstm };

/** The architecture of this name. UserError when there is none. */
export function architectureNamed(name: string): Architecture {
  if (Object.hasOwn(ARCHITECTURES, name)) return ARCHITECTURES[name];
  throw new UserError(`there is no model architecture "${name}"`, suggestion(name, Object.keys(ARCHITECTURES)));
}
