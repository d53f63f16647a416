/**
 * How much of the past is kept. Journals a day old are compressed; those older than `daysKept` go; then,
 * while all together are above `bytesMax`, the oldest goes. Age is since a file was last written (a replay
 * of 2019 recorded today is young). The file being written stays, whatever it weighs.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { zstdCompressSync } from "node:zlib";
import { flush, TEMPORARY } from "../../base/file.ts";
import { MS_PER_DAY } from "../../base/units.ts";
import { journalDays, journalFiles } from "./journal.ts";
import { livePlaces } from "./places.ts";

export interface Retention {
  /** Journals, logs and metrics are kept for so many days. */
  readonly daysKept: number;
  /** Of all journals together. */
  readonly bytesMax: number;
}
export const RETENTION: Retention = { daysKept: 90, bytesMax: 20 * 2 ** 30 };

/**
 * `now`: UTC ms by the machine's clock, that of the files' stamps. Returns sentences on what the size cost;
 * throws what the system throws.
 */
export function keepWithin(root: string, now: number, { daysKept, bytesMax }: Retention,
  writing: string | null): string[] {
  const said: string[] = [], files: { place: string; writtenAt: number; bytes: number }[] = [];
  for (let place of everyJournal(root)) {
    if (place === writing) continue;
    const { mtimeMs } = fs.statSync(place);
    if (now - mtimeMs > daysKept * MS_PER_DAY) { fs.rmSync(place); continue; }
    if (now - mtimeMs > MS_PER_DAY && !place.endsWith(".zst")) place = compress(place);
    files.push({ place, writtenAt: mtimeMs, bytes: fs.statSync(place).size });
  }
  let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  for (const file of files.sort((a, b) => a.writtenAt - b.writtenAt)) {
    if (bytes <= bytesMax) break;
    fs.rmSync(file.place);
    bytes -= file.bytes;
    said.push(`${file.place} was removed: all journals together were above ${bytesMax} bytes`);
  }
  for (const day of journalDays(root)) {
    const folder = livePlaces.journalDay(root, day);
    if (fs.readdirSync(folder).length === 0) fs.rmdirSync(folder);
  }
  removeOldLogs(root, now - daysKept * MS_PER_DAY);
  return said;
}

const everyJournal = (root: string): string[] => journalDays(root).flatMap((day) => {
  const folder = livePlaces.journalDay(root, day);
  return journalFiles(folder).map((name) => path.join(folder, name));
});

/**
 * Keeps the time stamp. The compressed file is whole and flushed under its name before the plain one goes.
 */
function compress(place: string): string {
  const made = `${place}.zst`, { atime, mtime } = fs.statSync(place);
  fs.writeFileSync(made + TEMPORARY, zstdCompressSync(fs.readFileSync(place)), { flush: true });
  fs.utimesSync(made + TEMPORARY, atime, mtime);
  fs.renameSync(made + TEMPORARY, made);
  flush(path.dirname(place));
  fs.rmSync(place);
  return made;
}

function removeOldLogs(root: string, before: number): void {
  for (const kind of ["trading", "performance", "system"]) {
    const folder = path.join(livePlaces.logs(root), kind);
    if (!fs.existsSync(folder)) continue;
    for (const name of fs.readdirSync(folder)) {
      const place = path.join(folder, name);
      if (/^\d{4}-\d{2}-\d{2}\.log$/.test(name) && fs.statSync(place).mtimeMs < before) fs.rmSync(place);
    }
  }
}

/** Of all journals. */
export const journalBytes = (root: string): number =>
  everyJournal(root).reduce((sum, place) => sum + fs.statSync(place).size, 0);
