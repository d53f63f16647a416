/**
 * A copy of everything that a session has written, and back.
 *
 *   FOLDER/manifest.json   { version, madeAt, files: [{ path, bytes, sha256 }] }, written last
 *   FOLDER/storage/...     as below the data root: databases (copied by SQLite while in use), storage/live
 *
 * A restore verifies every hash before it touches anything, refuses while a recorder writes, and moves what
 * is in the way aside instead of overwriting it.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { backup as backupSqlite, DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { places } from "../../base/data-root.ts";
import { UserError } from "../../base/error.ts";
import { explainWrite, hashFile, makeFolder, replaceWith } from "../../base/file.ts";
import { takeLock } from "../../base/writer-lock.ts";
import { livePlaces } from "./places.ts";
import { DATABASES } from "./schema.ts";

const MANIFEST = "manifest.json", VERSION = 1;
const manifestSchema = z.strictObject({
  version: z.literal(VERSION), madeAt: z.string(),
  files: z.array(z.strictObject({ path: z.string(), bytes: z.int().min(0), sha256: z.string().length(64) })),
});
export type BackupManifest = z.infer<typeof manifestSchema>;

/**
 * Copies databases and everything under storage/live into the new folder `to`. May run while a session
 * does: a journal then ends where it was. `now`: UTC ms. UserError when there is nothing, or `to` exists.
 */
export async function backupLive(root: string, to: string, now: number): Promise<BackupManifest> {
  if (fs.existsSync(to)) {
    throw new UserError(`${to} is there already`,
      "name a folder that does not exist yet: dmn live backup --path FOLDER");
  }
  const files = filesToKeep(root), databases =
    DATABASES.filter((name) => fs.existsSync(livePlaces.database(root, name)));
  if (files.length + databases.length === 0) {
    throw new UserError(`nothing was recorded below ${places.storage(root)} yet`,
      "start a session: dmn live --paper");
  }
  try {
    for (const file of files) {
      makeFolder(path.dirname(path.join(to, file)));
      fs.copyFileSync(path.join(root, file), path.join(to, file));
    }
    for (const name of databases) {
      const copy = livePlaces.database(to, name);
      makeFolder(path.dirname(copy));
      using sqlite = new DatabaseSync(livePlaces.database(root, name), { readOnly: true, timeout: 5000 });
      await backupSqlite(sqlite, copy);
      files.push(path.relative(to, copy));
    }
    const manifest: BackupManifest = { version: VERSION, madeAt: new Date(now).toISOString(),
      files: files.map((file) => ({ path: file.split(path.sep).join("/"),
        sha256: hashFile(path.join(to, file)),
        bytes: fs.statSync(path.join(to, file)).size })) };
    await replaceWith(path.join(to, MANIFEST), JSON.stringify(manifest, null, 1));
    return manifest;
  } catch (error) { throw explainWrite(path.join(to, MANIFEST), error); }
}

/** Locks, unfinished files and keys stay where they are: they are not copied and not moved. */
const isOurs = (name: string): boolean => !/(\.lock|\.tmp|-keys\.json)$/.test(name);

/** Below storage/live. */
function filesToKeep(root: string): string[] {
  const live = livePlaces.live(root);
  if (!fs.existsSync(live)) return [];
  return fs.readdirSync(live, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && isOurs(entry.name))
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name))).sort();
}

export interface Restored {
  readonly files: number;
  /** Where what was in the way is now; null: nothing was. */
  readonly movedTo: string | null;
}

/** Puts a backup back. UserError when it is incomplete or damaged, or while a session is recorded here. */
export function restoreLive(root: string, from: string): Restored {
  const manifest = readManifest(from);
  using _ = takeLock(livePlaces.lock(root), "the recordings of live trading: nothing is restored below it");
  const storage = places.storage(root), kept = asideOf(storage);
  const inWay = [livePlaces.live(root), ...DATABASES.flatMap((name) => ["", "-wal", "-shm"].map((end) =>
    livePlaces.database(root, name) + end))].filter((place) => fs.existsSync(place));
  try {
    // Copied beside first: a full disk must not leave half of the old and half of the new.
    const fresh = `${storage}.restoring`;
    fs.rmSync(fresh, { recursive: true, force: true });
    for (const file of manifest.files) {
      const place = path.join(fresh, path.relative("storage", file.path));
      makeFolder(path.dirname(place));
      fs.copyFileSync(path.join(from, file.path), place);
    }
    let isMoved = false;
    for (const place of inWay) isMoved = moveAside(place, storage, kept) || isMoved;
    for (const file of manifest.files) {
      const place = path.join(root, file.path);
      makeFolder(path.dirname(place));
      fs.renameSync(path.join(fresh, path.relative("storage", file.path)), place);
    }
    fs.rmSync(fresh, { recursive: true });
    return { files: manifest.files.length, movedTo: isMoved ? kept : null };
  } catch (error) { throw explainWrite(livePlaces.database(root, DATABASES[0]), error); }
}

function moveAside(place: string, storage: string, kept: string): boolean {
  const names = fs.statSync(place).isDirectory()
    ? fs.readdirSync(place).filter(isOurs)
      .map((name) => path.join(place, name)) : [place];
  for (const one of names) {
    const to = path.join(kept, path.relative(storage, one));
    makeFolder(path.dirname(to));
    fs.renameSync(one, to);
  }
  return names.length > 0;
}

function asideOf(storage: string): string {
  let number = 1;
  while (fs.existsSync(`${storage}.before-restore-${number}`)) number++;
  return `${storage}.before-restore-${number}`;
}

function readManifest(from: string): BackupManifest {
  const place = path.join(from, MANIFEST);
  const hint = "choose another backup; nothing was changed";
  if (!fs.existsSync(place)) throw new UserError(`${from} is no whole backup: it has no ${MANIFEST}`, hint);
  let text: unknown;
  try { text = JSON.parse(fs.readFileSync(place, "utf8")); } catch { text = null; }
  const parsed = manifestSchema.safeParse(text);
  if (!parsed.success) throw new UserError(`${place} is no manifest that this dmn reads`, hint);
  for (const { path: file, bytes, sha256 } of parsed.data.files) {
    const copy = path.join(from, file);
    // A manifest from elsewhere must not write outside the data root.
    if (!/^storage\/[^\\]+$/.test(file) || file.split("/").includes("..")) {
      throw new UserError(`${place} names a file outside of storage: ${file}`, hint);
    }
    if (!fs.existsSync(copy) || fs.statSync(copy).size !== bytes || hashFile(copy) !== sha256) {
      throw new UserError(`${copy} is missing or not what was backed up`, hint);
    }
  }
  return parsed.data;
}
