/** The sampler and the pruner that a study's terms name. */
import type { Search } from "./suggester.ts";
import { makePruner } from "./pruners/pruners.ts";
import { makeSampler } from "./samplers/samplers.ts";
import type { Terms } from "./study.ts";

/** `terms`: as it was begun. Throws UserError for an unknown name or setting. */
export function searchOf(terms: Terms): Search {
  const { name: study, sampler, pruner, space, seed, stepsMax } = terms;
  const { length: objectives } = terms.objectives;
  return { sampler: makeSampler(sampler, { space, objectives, seed }),
    pruner: pruner === null ? null : makePruner(pruner, { objectives, stepsMax, seed, study }) };
}
