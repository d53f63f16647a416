/** Files that are either whole or absent: written beside their place, flushed, then renamed over it. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { messageOf, UserError } from "./error.ts";

/** Ends every unfinished file of ours; `*.tmp` may be deleted at any time by whoever owns the folder. */
export const TEMPORARY = ".tmp";

type Fill = (temporary: string) => void | Promise<void>;

/**
 * Writes `place` through `place.PID.tmp`: `fill` writes the temporary file, then it is flushed and renamed.
 */
export async function replaceFile(place: string, fill: Fill): Promise<void> {
  const temporary = `${place}.${process.pid}${TEMPORARY}`;
  try {
    makeFolder(path.dirname(place));
    await fill(temporary);
    flush(temporary);
    fs.renameSync(temporary, place);
    flush(path.dirname(place));
  } catch (error) {
    if (fs.existsSync(temporary)) fs.rmSync(temporary);
    throw explainWrite(place, error);
  }
}

export async function replaceWith(place: string, content: string | Uint8Array): Promise<void> {
  await replaceFile(place, (temporary) => { fs.writeFileSync(temporary, content); });
}

/**
 * Makes a folder and those above it. Not Node's `recursive`: where the system answers ENOENT for a
 * folder whose parent exists (below /proc), that one tries for ever.
 */
export function makeFolder(folder: string): void {
  const missing: string[] = [];
  for (let at = path.resolve(folder); !fs.existsSync(at) && at !== path.dirname(at);) {
    missing.push(at);
    at = path.dirname(at);
  }
  for (const at of missing.toReversed()) {
    try { fs.mkdirSync(at); } catch (error) {
      // Another process may have made it in between.
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

/**
 * fsync of a file or, so that a rename survives a power cut, of a folder. Windows flushes only what
 * is open for writing, and has no such thing for folders.
 */
export function flush(place: string): void {
  const isFolder = fs.statSync(place).isDirectory();
  if (isFolder && process.platform === "win32") return;
  const descriptor = fs.openSync(place, isFolder ? "r" : "r+");
  try { fs.fsyncSync(descriptor); } finally { fs.closeSync(descriptor); }
}

/** The operating system's refusals to write, as sentences. Anything else comes back as it was. */
export function explainWrite(place: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const folder = path.dirname(place);
  const elsewhere = "or choose another place: --data-dir FOLDER";
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return new UserError(`the disk of ${folder} is full; nothing was half written`,
        `free some space (df -h ${folder}), then run the same command again, ${elsewhere}`, { cause: error });
    case "EFBIG":
      return new UserError(`${place} may not grow: a limit on the size of files is in force`,
        `lift it (ulimit -f unlimited), then run the same command again, ${elsewhere}`, { cause: error });
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new UserError(`cannot write in ${folder}: ${messageOf(error)}`,
        `allow it (chmod u+w ${folder}) ${elsewhere}`, { cause: error });
    case "ENOENT":
      // Reading also ends like this, and is not ours to explain.
      if ((error as NodeJS.ErrnoException).syscall !== "mkdir") return error;
      return new UserError(`${folder} cannot be made: ${messageOf(error)}`,
        "choose another place: --data-dir FOLDER", { cause: error });
    case "ENOTDIR":
    case "EEXIST":
      return new UserError(`${folder} is not a folder`, `remove the file in its way, ${elsewhere}`,
        { cause: error });
    default:
      return error;
  }
}

/** SHA-256 of a file, hexadecimal, read in pieces of 1 MiB. */
export function hashFile(place: string): string {
  const hash = createHash("sha256");
  const descriptor = fs.openSync(place, "r");
  try {
    const piece = new Uint8Array(1 << 20);
    for (let read = 1; read > 0;) {
      read = fs.readSync(descriptor, piece, 0, piece.length, null);
      hash.update(piece.subarray(0, read));
    }
  } finally { fs.closeSync(descriptor); }
  return hash.digest("hex");
}

/** The last `bytesMax` bytes of a file that may still grow, as text; "" where there is none. */
export function readTail(place: string, bytesMax: number): string {
  let descriptor: number;
  try { descriptor = fs.openSync(place, "r"); } catch { return ""; }
  try {
    const { size } = fs.fstatSync(descriptor), bytes = Buffer.alloc(Math.min(size, bytesMax));
    const read = fs.readSync(descriptor, bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString("utf8", 0, read);
  } catch { return ""; } finally { fs.closeSync(descriptor); }
}

/** SHA-256 of a text or bytes, hexadecimal. */
export function hashOf(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
