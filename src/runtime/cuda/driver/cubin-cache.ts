/**
 * Compiled kernels on disk, so that a process starts without a compiler.
 *
 *   FOLDER/KEY.COMPILER.cubin     KEY: SHA-256 of source, headers, options and architecture
 *                                 COMPILER: its version and a stamp of its file
 *   8 bytes "dmncub01"  32 bytes SHA-256 of the rest  the rest: machine code
 *
 * A file is whole or absent (written beside, renamed). What is damaged is removed and compiled again. A
 * cache that cannot be written is no error: it is slower. Over `bytesMax`, what was unused longest goes.
 */
import { createHash, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { makeFolder, TEMPORARY } from "../../../base/file.ts";
import type { Environment } from "./library.ts";

const MAGIC = Buffer.from("dmncub01", "latin1");
const HEAD_BYTES = MAGIC.length + 32;
const BYTES_MAX = 256 * 2 ** 20;
/** A use is written down (the file's time) at most so often. */
const TOUCH_MS = 3_600_000;
/** An unfinished file this old was left by a process that died. */
const ABANDONED_MS = 3_600_000;

export interface CubinCache {
  readonly folder: string;
  /** The machine code; null when it is not there or was damaged. A null compiler: whichever made it. */
  find(key: string, compiler: string | null): Uint8Array | null;
  store(key: string, compiler: string, cubin: Uint8Array): void;
}

/**
 * Where compiled kernels are kept: DMN_CUBIN_CACHE (a folder, or "off"), else the user's cache; null:
 * nowhere.
 */
export function cubinCacheFolder({ DMN_CUBIN_CACHE, XDG_CACHE_HOME, HOME }: Environment): string | null {
  if (DMN_CUBIN_CACHE === "off") return null;
  if (DMN_CUBIN_CACHE !== undefined && DMN_CUBIN_CACHE !== "") return path.resolve(DMN_CUBIN_CACHE);
  const isSet = XDG_CACHE_HOME !== undefined && path.isAbsolute(XDG_CACHE_HOME);
  if (isSet) return path.join(XDG_CACHE_HOME, "dmn", "cubin");
  const home = HOME ?? homeOfUser();
  return home === null ? null : path.join(home, ".cache", "dmn", "cubin");
}

/** Null: this user has none, as in a container that runs under a bare number. */
function homeOfUser(): string | null {
  try { return os.homedir(); } catch { return null; }
}

/**
 * The key of a compilation: every text that goes into it, with its length, so that no two can run together.
 */
export function cubinKey(parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}\n`).update(part);
  return hash.digest("hex");
}

/** `now` is in ms since 1970. */
export function openCubinCache(folder: string,
  { bytesMax = BYTES_MAX, now }: { bytesMax?: number; now: () => number }): CubinCache {
  const place = (key: string, compiler: string): string => path.join(folder, `${key}.${compiler}.cubin`);
  const read = (file: string): Uint8Array | null => {
    let content: Buffer;
    try { content = fs.readFileSync(file); } catch { return null; }
    const cubin = content.subarray(HEAD_BYTES);
    const isWhole = content.length > HEAD_BYTES && content.subarray(0, MAGIC.length).equals(MAGIC)
      && content.subarray(MAGIC.length, HEAD_BYTES).equals(sha256(cubin));
    if (!isWhole) { removeFile(file); return null; }
    touch(file, now());
    return cubin;
  };
  return {
    folder,
    find(key, compiler) {
      if (compiler !== null) return read(place(key, compiler));
      for (const name of namesIn(folder)) {
        if (!name.startsWith(`${key}.`) || !name.endsWith(".cubin")) continue;
        const cubin = read(path.join(folder, name));
        if (cubin !== null) return cubin;
      }
      return null;
    },
    store(key, compiler, cubin) {
      const file = place(key, compiler);
      const temporary = `${file}.${process.pid}.${randomBytes(4).toString("hex")}${TEMPORARY}`;
      try {
        makeFolder(folder);
        fs.writeFileSync(temporary, Buffer.concat([MAGIC, sha256(cubin), cubin]));
        fs.utimesSync(temporary, now() / 1000, now() / 1000);
        fs.renameSync(temporary, file);
        trim(folder, bytesMax, now());
      } catch { removeFile(temporary); }
    },
  };
}

const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

/** Removes what was unused longest until the folder holds at most `bytesMax`. */
function trim(folder: string, bytesMax: number, nowMs: number): void {
  const files = namesIn(folder).flatMap((name) => {
    const file = path.join(folder, name), status = fs.statSync(file, { throwIfNoEntry: false });
    if (status === undefined) return [];
    if (name.endsWith(TEMPORARY) && nowMs - status.mtimeMs > ABANDONED_MS) removeFile(file);
    return name.endsWith(".cubin") ? [{ file, bytes: status.size, usedMs: status.mtimeMs }] : [];
  }).sort((a, b) => b.usedMs - a.usedMs);
  let total = 0;
  for (const { file, bytes } of files) {
    total += bytes;
    if (total > bytesMax) removeFile(file);
  }
}

function touch(file: string, nowMs: number): void {
  try {
    if (nowMs - fs.statSync(file).mtimeMs > TOUCH_MS) fs.utimesSync(file, nowMs / 1000, nowMs / 1000);
  } catch { /* another process removed it, or the folder is read-only */ }
}

function removeFile(file: string): void {
  try { fs.rmSync(file, { force: true }); } catch { /* a read-only cache stays as it is */ }
}

function namesIn(folder: string): string[] {
  try { return fs.readdirSync(folder).sort(); } catch { return []; }
}
