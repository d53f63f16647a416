/** The families of the `dmn` recipe. */
import type { Family } from "./family.ts";

export const DMN_FAMILIES = {} satisfies Record<string, Family>;
