/** All samplers: a row each. */
import { makeChosen } from "../choice.ts";
import type { Row, Settings } from "../choice.ts";
import { Nsga3, NSGA3_SETTINGS } from "./nsga3.ts";
import { POPULATION } from "./population.ts";
import { quasiRandomSampler } from "./quasi-random.ts";
import { randomSampler } from "./random.ts";
import type { Sampler, SamplerOptions } from "./sampler.ts";
import { TPE_SETTINGS, tpeSampler } from "./tpe.ts";

export const SAMPLERS: Readonly<Record<string, Row<SamplerOptions, Sampler>>> = {
  "nsga3": { describe: "evolution along reference directions: many objectives", settings: NSGA3_SETTINGS,
    make: (options, settings) => new Nsga3(options, settings) },
  "population": POPULATION,
  "quasi-random": { describe: "points that fill the space evenly (Sobol')", settings: {},
    make: quasiRandomSampler },
  "random": { describe: "uniform points", settings: {}, make: randomSampler },
  "tpe": { describe: "tree-structured Parzen estimator", settings: TPE_SETTINGS, make: tpeSampler },
};

/** Throws UserError for an unknown name or setting. */
export function makeSampler(choice: { readonly name: string; readonly settings: Settings },
  options: SamplerOptions): Sampler {
  return makeChosen("sampler", SAMPLERS, choice, options);
}
