/** Studies in memory, for tests of what their conductor decides. */
import { Conductor, type Assignment, type AttemptEnd } from "../src/tune/conductor.ts";
import { sayAll, type StudyEvent } from "../src/tune/events.ts";
import { Study } from "../src/tune/fold.ts";
import { searchOf } from "../src/tune/search.ts";
import type { Terms } from "../src/tune/study.ts";
import { STEPS, toyTerms, toyValues } from "./tune-toy.ts";

export const LEASE_MS = 1_000;

/** A conductor whose clock, tokens and journal are the test's. */
export function begin(study: Study, record: (event: StudyEvent) => void, now = 0): Conductor {
  let token = 100;
  return new Conductor({ study, search: searchOf(study.begun), leaseMs: LEASE_MS, newToken: () => token++, record }, now);
}
export function inMemory(changes: Partial<Terms> = {}): { study: Study; conductor: Conductor; events: StudyEvent[] } {
  const study = new Study(toyTerms(changes), 0), events: StudyEvent[] = [];
  const conductor = begin(study, (event) => { study.apply(event); events.push(event); });
  return { study, conductor, events };
}
export const endOf = ({ trial, attempt, token, point }: Assignment, worker: string, changes: Partial<AttemptEnd> = {}):
AttemptEnd =>
  ({ trial, attempt, token, worker, how: "done", reason: "", values: sayAll(toyValues(point, STEPS)), violations: {},
    statistics: { seconds: 2 }, ...changes });
export const ofKind = (events: readonly StudyEvent[], kind: StudyEvent["event"]): number =>
  events.filter(({ event }) => event === kind).length;
