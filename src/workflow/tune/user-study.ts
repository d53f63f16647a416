/**
 * A study of anything: a TypeScript file that says what is searched, what is judged, and runs a trial.
 *
 *   export const space = { x: { kind: "float", low: -1, high: 1 } };
 *   export const objectives = [{ name: "loss", direction: "minimise" }];
 *   export const stepsMax = 10;                              // only where it reports on the way
 *   export async function run({ point, report }) {           // src/tune/worker.ts: RunTrial
 *     return { values: [point.x ** 2], violations: {}, statistics: {} };
 *   }
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import { messageOf, UserError } from "../../base/error.ts";
import { hashFile } from "../../base/file.ts";
import { checkSpace, type Space } from "../../tune/space.ts";
import type { Objective } from "../../tune/trial.ts";
import type { RunTrial } from "../../tune/worker.ts";

export interface UserWork {
  readonly kind: "file";
  /** Absolute. */
  readonly place: string;
  readonly hash: string;
}
export interface UserStudy {
  readonly space: Space;
  readonly objectives: readonly Objective[];
  readonly stepsMax?: number;
  readonly run: RunTrial;
}

export function userWork(file: string): UserWork {
  const place = path.resolve(file);
  if (fs.existsSync(place)) return { kind: "file", place, hash: hashFile(place) };
  throw new UserError(`there is no file ${place}`, "give --objective the file that exports your study");
}

/** UserError when it cannot be read, changed, or does not export what a study needs. */
export async function loadUserStudy({ place, hash }: UserWork): Promise<UserStudy> {
  if (!fs.existsSync(place) || hashFile(place) !== hash) {
    throw new UserError(`${place} is not the file that the study was begun with`,
      "restore it, or begin another study: another --name");
  }
  const needs = "it exports space, objectives and run: see docs of `dmn tune --help`";
  let study: Partial<UserStudy>;
  try { study = await import(pathToFileURL(place).href) as Partial<UserStudy>; } catch (error) {
    throw new UserError(`${place} cannot be loaded: ${messageOf(error)}`, needs, { cause: error });
  }
  const { space, objectives, run, stepsMax = 1 } = study;
  const isList = Array.isArray(objectives) && objectives.length > 0 && objectives.every((one: Objective) =>
    typeof one.name === "string" && (one.direction === "minimise" || one.direction === "maximise"));
  if (!isList) throw new UserError(`${place} exports no objectives`, `${needs}; { name, direction } each`);
  if (typeof run !== "function") throw new UserError(`${place} exports no function run`, needs);
  if (typeof space !== "object") throw new UserError(`${place} exports no space`, needs);
  if (!Number.isInteger(stepsMax) || stepsMax < 1) {
    throw new UserError(`${place}: stepsMax is ${stepsMax}`, "it is how many steps a whole trial reports");
  }
  checkSpace(space);
  return { space, objectives: objectives as Objective[], run, stepsMax };
}
