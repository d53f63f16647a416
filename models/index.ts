/** The architectures by name. Adding one is a file and a row. */
import { UserError } from "../src/base/error.ts";
import { suggestion } from "../src/base/suggest.ts";
import type { Architecture } from "../src/nn/model.ts";
import { encoder } from "./encoder.ts";
import { linear } from "./linear.ts";
import { lstm } from "./lstm.ts";
import { meta } from "./meta.ts";
import { mlp } from "./mlp.ts";
import { transformer } from "./transformer.ts";

export const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  lstm, transformer, encoder, mlp, linear, meta };

/** The architecture of this name. UserError when there is none. */
export function architectureNamed(name: string): Architecture {
  if (Object.hasOwn(ARCHITECTURES, name)) return ARCHITECTURES[name];
  throw new UserError(`there is no model architecture "${name}"`,
    suggestion(name, Object.keys(ARCHITECTURES)));
}
