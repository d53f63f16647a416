/**
 * What lets a worker in: CURVE keys of a study (its coordinator's pair, and one pair for all its workers),
 * and a secret made of them, which every question carries. They lie in the study's folder for their owner
 * only, and travel in a worker's environment, never on a command line.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { UserError } from "../base/error.ts";
import { explainWrite } from "../base/file.ts";
import { makeKeys, readKeys, type Keys, type Security } from "../wire/security.ts";

export interface StudyKeys {
  readonly coordinator: Keys;
  readonly worker: Keys;
  /** Hexadecimal. */
  readonly secret: string;
}
export interface WorkerKeys { readonly worker: Keys; readonly serverKey: string; readonly secret: string }

/** The study's keys, made where there are none yet. Throws UserError for files that others can read. */
export function openStudyKeys(folder: string): StudyKeys {
  const [coordinator, worker] = ["coordinator.keys", "worker.keys"].map((name) => {
    const place = path.join(folder, name);
    return fs.existsSync(place) ? readKeys(place) : makeKeys(place);
  });
  const secret = createHash("sha256").update(worker.secretKey).digest("hex").slice(0, 32);
  const keys: StudyKeys = { coordinator, worker, secret };
  writeJoinKeys(joinKeysOf(folder), `${workerSecret(keys)}\n`);
  return keys;
}

function writeJoinKeys(place: string, text: string): void {
  if (fs.existsSync(place) && fs.readFileSync(place, "utf8") === text) return;
  try { fs.writeFileSync(place, text, { mode: 0o600 }); } catch (error) {
    fs.rmSync(place, { force: true });
    throw explainWrite(place, error);
  }
}

/** What a worker that a person starts is given as DMN_TUNE_KEYS, or a copy of it. */
export const joinKeysOf = (folder: string): string => path.join(folder, "join.keys");

/** What a worker's environment holds as DMN_TUNE_KEYS: one word of letters, digits, - and _. */
export function workerSecret({ coordinator, worker, secret }: StudyKeys): string {
  const keys: WorkerKeys = { worker, serverKey: coordinator.publicKey, secret };
  return Buffer.from(JSON.stringify(keys)).toString("base64url");
}

/** `text`: DMN_TUNE_KEYS, or the file that it is in. Throws UserError where that holds no keys. */
export function readWorkerSecret(text: string): WorkerKeys {
  try {
    const word = fs.existsSync(text) ? fs.readFileSync(text, "utf8").trim() : text;
    const { worker, serverKey, secret } =
      JSON.parse(Buffer.from(word, "base64url").toString()) as Partial<WorkerKeys>;
    if (worker?.publicKey.length === 40 && worker.secretKey.length === 40 && serverKey?.length === 40
      && typeof secret === "string") return { worker, serverKey, secret };
  } catch { /* said below */ }
  throw new UserError("DMN_TUNE_KEYS holds no keys of a study",
    "it is the study's file join.keys, or a copy of it: `dmn tune status` says where that is");
}

export const coordinatorSecurity = ({ coordinator, worker }: StudyKeys): Security =>
  ({ keys: coordinator, allowed: [worker.publicKey] });
export const workerSecurity = ({ worker, serverKey }: WorkerKeys): Security => ({ keys: worker, serverKey });
