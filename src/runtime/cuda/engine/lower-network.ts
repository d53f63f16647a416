/** How the engine's networks become launches: what stands between it and the lowering of any graph. */
import { assert } from "../../../base/assert.ts";
import type { LowerNetwork } from "./plan.ts";

export const lowerNetwork: LowerNetwork = () => { assert(false, "graphs are not lowered yet"); };
