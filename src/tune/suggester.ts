/**
 * What the sampler and the pruner of a study say next, as a function of what the study's journal says so far:
 * the coordinator asks it, and so does whoever checks a journal.
 *
 * lag null   suggestion k is made from what was finished when it was asked for, told in that order
 * lag L      suggestion k is made from trials 0..k-L, in their order; where a sampler wants more, from the
 *            fewest further ones that satisfy it. What a pruner sees of trial k ends at k-L, too. So points,
 *            states, values and decisions do not depend on who ran what, when, or how often.
 */
import { assert } from "../base/assert.ts";
import type { Study } from "./fold.ts";
import type { Pruner } from "./pruners/pruner.ts";
import type { Sampler, Suggestion } from "./samplers/sampler.ts";
import type { Point } from "./space.ts";

/** Both fresh: they are told what the study knows. */
export interface Search { readonly sampler: Sampler; readonly pruner: Pruner | null }

export class Suggester {
  readonly #study: Study;
  readonly #search: Search;
  /** Finished trials that the sampler has been told: as they counted, or 0..told - 1 with a lag. */
  #told = 0;

  /** Tells the pruner what the study knows, in the order in which it came; the sampler when it is asked. */
  constructor(study: Study, search: Search) {
    this.#study = study;
    this.#search = search;
    if (search.pruner === null) return;
    for (let row = 0, place = 0; row < study.reportCount || place < study.finishedCount;) {
      if (place < study.finishedCount && study.reportsBefore(place) <= row) {
        this.finished(study.finishedAt(place++));
      } else {
        const { trial, step, losses } = study.reportAt(row++);
        this.decide(trial, step, losses);
      }
    }
  }

  get told(): number { return this.#told; }

  /** The next trial's point; null: not before more trials are finished. */
  next(): Suggestion | null {
    const { sampler } = this.#search, study = this.#study, trial = study.count, { lag } = study.terms;
    for (let wanted = lag === null ? study.finishedCount : Math.max(0, trial - lag + 1); ; wanted++) {
      if (lag !== null && wanted > study.prefix) return null;
      while (this.#told < wanted) {
        sampler.tell(study.finishedOf(lag === null ? study.finishedAt(this.#told) : this.#told));
        this.#told++;
      }
      const suggestion = sampler.suggest(trial, this.#untold());
      if (suggestion !== null) return suggestion;
      if (lag === null) {
        assert(study.open.size > 0, `the sampler waits before trial ${trial}, and nothing is running`);
        return null;
      }
      assert(wanted < trial, `the sampler waits before trial ${trial}, and knows all others`);
    }
  }

  /** Points without a result, as far as the sampler may know. */
  #untold(): Point[] {
    const study = this.#study;
    if (study.terms.lag === null) return Array.from(study.open, (trial) => study.pointOf(trial));
    return Array.from({ length: study.count - this.#told }, (_, k) => study.pointOf(this.#told + k));
  }

  /** Does the trial go on? Each (trial, step) is asked once, `losses` minimised. */
  decide(trial: number, step: number, losses: Float64Array): boolean {
    const { pruner } = this.#search, { lag } = this.#study.terms;
    if (pruner === null) return true;
    const isSeen = lag === null ? () => true : (number: number) => number <= trial - lag;
    return pruner.report({ number: trial, step, losses, violation: 0 }, isSeen);
  }

  /** To be told when the study has been told. */
  finished(trial: number): void { this.#search.pruner?.tell(this.#study.finishedOf(trial)); }
}
