/**
 * What a worker that a person starts needs: where the coordinator is, and its keys.
 *
 *   storage/tune/NAME/address     tcp://HOST:PORT of whoever holds writer.lock; of nobody else
 *                     join.keys   for DMN_TUNE_KEYS; on another machine, a copy of it
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { commandLine } from "../../base/command-line.ts";
import { replaceWith } from "../../base/file.ts";
import { isRunning, type Holder } from "../../base/writer-lock.ts";
import { joinKeysOf } from "../../tune/keys.ts";

const addressOf = (folder: string): string => path.join(folder, "address");

export const announce = (folder: string, address: string): Promise<void> =>
  replaceWith(addressOf(folder), `${address}\n`);

/** Null: nobody runs the study now. */
export function announced(folder: string): string | null {
  try {
    const holder = JSON.parse(fs.readFileSync(path.join(folder, "writer.lock"), "utf8")) as Holder;
    return isRunning(holder) ? fs.readFileSync(addressOf(folder), "utf8").trim() : null;
  } catch { return null; }
}

export const joinCommand = (folder: string, address: string, study: string): string =>
  `DMN_TUNE_KEYS=${commandLine([joinKeysOf(folder), "dmn", "worker", "--coordinator", address,
    "--study", study])}`;
