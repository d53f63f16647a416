/**
 * What coordinator and workers say to each other, as meta of wire messages.
 *
 *   port      questions (a Responder): hello, ask, report, tell
 *   port + 1  control (a Publisher): what workers should hear at once; a beat's answer says it again
 *   port + 2  beats (a Responder of their own: a busy questions socket is no death)
 *   port + 3  lines and metrics of workers (a Subscriber): may be lost
 *   port + 4  status, and what people want of a running study (a Responder)
 */
import { ACK, type Content } from "../wire/codec.ts";
import type { Assignment, AttemptEnd, Attempted } from "./conductor.ts";
import type { Said } from "./events.ts";
import type { Terms } from "./study.ts";
import type { TrialState } from "./trial.ts";

export const PORTS = { questions: 0, control: 1, beats: 2, lines: 3, status: 4 } as const;

/** A question is carried out where all of it fits. */
export interface Credentials { readonly study: string; readonly secret: string; readonly worker: string }
export type Question = Credentials & (
  | { readonly ask: "hello"; readonly version: string }
  | { readonly ask: "work" }
  | { readonly ask: "report"; readonly of: Attempted; readonly step: number;
      readonly values: readonly Said[] }
  | { readonly ask: "tell"; readonly end: AttemptEnd }
  /** `of` null: it runs nothing. */
  | { readonly ask: "beat"; readonly of: Attempted | null }
  | { readonly ask: "status" }
  | { readonly ask: "cancel"; readonly trial: number; readonly reason: string }
  | { readonly ask: "stop" });
export type Reply =
  | { readonly reply: "refused"; readonly problem: string; readonly hint: string }
  | { readonly reply: "welcome"; readonly terms: Terms; readonly beatMs: number }
  | { readonly reply: "work"; readonly work: Assignment }
  | { readonly reply: "wait" } | { readonly reply: "over" }
  /** Null: the attempt is not the worker's any more. */
  | { readonly reply: "decided"; readonly goesOn: boolean | null }
  | { readonly reply: "taken"; readonly isKnown: boolean }
  | { readonly reply: "beat"; readonly isYours: boolean; readonly isStopping: boolean }
  | { readonly reply: "status"; readonly status: StudyStatus }
  | { readonly reply: "done"; readonly isDone: boolean };
/** On the control socket. */
export type Order = { readonly order: "stop" } | { readonly order: "drop"; readonly of: Attempted };
export type Line = { readonly worker: string; readonly text: string }
  | { readonly worker: string; readonly cpuSeconds: number; readonly memoryBytes: number };

export interface WorkerStatus {
  readonly worker: string;
  /** Null: it waits for work. */
  readonly trial: number | null;
  readonly attempt: number;
  /** Last step that it reported. */
  readonly step: number;
  /** UTC ms of the last word from it. */
  readonly heardAt: number;
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
}
export interface StudyStatus {
  readonly name: string;
  readonly trials: number;
  readonly count: number;
  readonly finished: number;
  readonly counts: Readonly<Record<TrialState, number>>;
  /** Could run now, and run. */
  readonly waiting: number;
  readonly leased: number;
  readonly wanted: number;
  readonly isOver: boolean;
  readonly workers: readonly WorkerStatus[];
}

export const contentOf = (meta: unknown, at: number): Content => ({ ...ACK, at, meta });

/** The address of another socket of the coordinator: "tcp://HOST:5559" and 2 are "tcp://HOST:5561". */
export function addressOf(address: string, offset: number): string {
  return address.replace(/:(\d+)$/, (_, port: string) => `:${Number(port) + offset}`);
}

/** ASCII, at most 24 characters, of a name that may be longer: what the wire takes as a sender's. */
export const senderOf = (name: string): string => name.replace(/[^\x21-\x7e]/g, "-").slice(-24);

/** Other versions may say other things. `objectives`: M. */
export function isUnderstood(question: Question | undefined, objectives: number): boolean {
  if (typeof question !== "object" || typeof question.worker !== "string") return false;
  const isNumber = (said: Said): boolean =>
    said === null || typeof said === "number" || said === "inf" || said === "-inf";
  const isValues = (values: readonly Said[]): boolean =>
    Array.isArray(values) && values.length === objectives && values.every(isNumber);
  const isOf = (of: Attempted | undefined): boolean =>
    [of?.trial, of?.attempt, of?.token].every((word) => Number.isSafeInteger(word) && word! >= 0);
  const isEnd = (end: AttemptEnd | undefined): boolean => isOf(end) && typeof end!.reason === "string"
    && typeof end!.violations === "object" && typeof end!.statistics === "object"
    && (end!.how !== "done" || isValues(end!.values));
  switch (question.ask) {
    case "report":
      return isOf(question.of) && Number.isSafeInteger(question.step) && isValues(question.values);
    case "tell": return isEnd(question.end);
    case "beat": return question.of === null || isOf(question.of);
    case "cancel": return Number.isSafeInteger(question.trial) && typeof question.reason === "string";
    case "hello": case "work": case "status": case "stop": return true;
    default: return false;
  }
}
