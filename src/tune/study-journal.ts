/**
 * A study on the disk.
 *
 *   storage/tune/NAME/study.journal   every event, CRC each (base/journal): the truth
 *                     snapshot        the study at a place of the journal: a cache
 *                     writer.lock     one coordinator at a time
 *
 * `record` folds an event into the study at once; it counts when `commit` has returned: all that was recorded
 * since the last one goes to the disk in one write. When the disk refuses, memory is ahead of the truth: the
 * store is of no use any more, and opening it anew goes on from what was committed.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { assert } from "../base/assert.ts";
import { UserError } from "../base/error.ts";
import { hashJournal, Journal, repairJournal, scanJournal, type JournalKind, type JournalPlace,
  type Take } from "../base/journal.ts";
import { takeLock } from "../base/writer-lock.ts";
import type { StudyEvent } from "./events.ts";
import { Study } from "./fold.ts";
import { readSnapshot, writeSnapshot, type SnapshotPlace } from "./snapshot.ts";
import type { Terms } from "./study.ts";

/** Some thousands of events: an acknowledgement waits for the disk. */
const RESERVE_BYTES = 1 << 20, PIECE_BYTES = 1 << 16;
/** A snapshot is taken when so many bytes, and this share of the journal, have come since the last one. */
const SNAPSHOT_BYTES = 4 << 20, SNAPSHOT_SHARE = 0.25;

export interface StudyStore extends AsyncDisposable {
  readonly folder: string;
  readonly study: Study;
  /** Of an unfinished last write that were cut off when it was opened. */
  readonly tornBytes: number;
  record(event: StudyEvent): void;
  /** Events that are recorded and not committed. */
  readonly pending: number;
  /** Throws UserError when the disk does not take it. */
  commit(): void;
}

const journalOf = (folder: string): string => path.join(folder, "study.journal");
const snapshotOf = (folder: string): string => path.join(folder, "snapshot");
function kindOf(folder: string): JournalKind {
  const name = path.basename(folder);
  return { kind: "study", version: 1, remedy: `dmn tune --name ${name}`,
    repair: `dmn tune repair --name ${name}` };
}

/** Makes a new study's folder and journal. Throws UserError where there is one, or the disk refuses. */
export function createStudy(options: { folder: string; terms: Terms; at: number }): StudyStore {
  const { folder, terms, at } = options;
  const lock = takeLock(path.join(folder, "writer.lock"), folder);
  try {
    const name = path.basename(folder);
    if (isStudy(folder)) {
      throw new UserError(`there is a study "${name}" already`,
        `go on with it: dmn tune --resume --name ${name}, or choose another name`);
    }
    const journal = Journal.open(journalOf(folder), kindOf(folder), { reserveBytes: RESERVE_BYTES });
    journal.append({ event: "created", at, terms } satisfies StudyEvent);
    return openStore({ folder, lock, journal, study: new Study(terms, at), records: 1, last: null });
  } catch (error) { lock[Symbol.dispose](); throw error; }
}

/** Is there a study, begun at least: a journal of a header and a record? */
export function isStudy(folder: string): boolean {
  if (!fs.existsSync(journalOf(folder))) return false;
  const descriptor = fs.openSync(journalOf(folder), "r"), piece = Buffer.alloc(PIECE_BYTES);
  try {
    for (let lines = 0, read = 1; read > 0;) {
      read = fs.readSync(descriptor, piece);
      for (let at = 0; (at = piece.subarray(0, read).indexOf("\n", at) + 1) > 0;) {
        if (++lines > 1) return true;
      }
    }
    return false;
  } finally { fs.closeSync(descriptor); }
}

/**
 * Opens a study for its one writer. `terms`: what it must have been begun with; more trials extend it. Throws
 * UserError for no study, a damaged journal (says where), other terms (says which), another writer.
 */
export function openStudy(options: { folder: string; terms?: Terms; at: number }): StudyStore {
  const { folder, terms, at } = options;
  checkExists(folder);
  const lock = takeLock(path.join(folder, "writer.lock"), folder);
  let journal: Journal | null = null;
  try {
    const read = startReading(folder);
    journal = Journal.open(journalOf(folder), kindOf(folder),
      { reserveBytes: RESERVE_BYTES, take: read.take, from: read.from });
    const { study, records } = read.end();
    if (terms !== undefined) checkTerms(study.begun, terms);
    const store = openStore({ folder, lock, journal, study, records, last: read.from });
    if (terms !== undefined && terms.trials > study.terms.trials) {
      store.record({ event: "extended", at, trials: terms.trials });
      store.commit();
    }
    return store;
  } catch (error) {
    journal?.[Symbol.dispose]();
    lock[Symbol.dispose]();
    throw error;
  }
}

/** The study as it is now; a coordinator may be writing. Throws UserError for no study or a damaged one. */
export function readStudy(folder: string): Study {
  checkExists(folder);
  const read = startReading(folder);
  scanJournal(journalOf(folder), kindOf(folder), read.take, read.from);
  return read.end().study;
}

/** Calls `take` with each event. Throws like readStudy. */
export function scanStudy(folder: string, take: (event: StudyEvent) => void): void {
  checkExists(folder);
  scanJournal(journalOf(folder), kindOf(folder), (record) => { take(record as StudyEvent); });
}

/** `dmn tune repair --name X`: keeps the whole records before the damage. Null: there is no damage. */
export function repairStudy(folder: string): { kept: number; cutBytes: number; aside: string } | null {
  checkExists(folder);
  using _ = takeLock(path.join(folder, "writer.lock"), folder);
  return repairJournal(journalOf(folder), kindOf(folder));
}

function checkExists(folder: string): void {
  if (fs.existsSync(journalOf(folder))) return;
  throw new UserError(`there is no study "${path.basename(folder)}"`,
    "see which there are: dmn tune status, or begin it: dmn tune --name NAME --dataset ...");
}

/** From the snapshot on, if there is one. */
function startReading(folder: string):
{ take: Take; from: SnapshotPlace | undefined; end: () => { study: Study; records: number } } {
  const snapshot = readSnapshot(snapshotOf(folder), journalOf(folder));
  let study = snapshot?.study ?? null, records = snapshot?.at.records ?? 0;
  const take = (record: unknown): void => {
    const event = record as StudyEvent;
    records++;
    if (event.event === "created") study = new Study(event.terms, event.at);
    else {
      assert(study !== null, "a journal begins with the study's terms");
      study.apply(event);
    }
  };
  const end = (): { study: Study; records: number } => {
    if (study !== null) return { study, records };
    throw new UserError(`the study "${path.basename(folder)}" was never begun`,
      `remove ${folder}, and begin it again`);
  };
  return { take, from: snapshot?.at, end };
}

/** Another number of trials is no other study. */
function checkTerms(begun: Terms, terms: Terms): void {
  for (const key of Object.keys(begun) as (keyof Terms)[]) {
    const before = JSON.stringify(begun[key]), now = JSON.stringify(terms[key]);
    if (key === "trials" || before === now) continue;
    throw new UserError(`the study "${begun.name}" was begun with ${key} ${brief(before)}, not ${brief(now)}`,
      "say what it was begun with, or choose another name: --name NAME");
  }
}
const brief = (json: string): string => json.length > 60 ? `${json.slice(0, 57)}...` : json;

interface Opened {
  readonly folder: string;
  readonly lock: Disposable;
  readonly journal: Journal;
  readonly study: Study;
  readonly records: number;
  readonly last: SnapshotPlace | null | undefined;
}

function openStore({ folder, lock, journal, study, records, last }: Opened): StudyStore {
  let batch: StudyEvent[] = [], committed = records, isBroken = false;
  let place: SnapshotPlace = last ?? { bytes: 0, records: 0, crc: 0 };
  let writing: Promise<void> | null = null;
  const snapshot = async (): Promise<void> => {
    const at: JournalPlace = { bytes: journal.length, records: committed };
    // Without it the next opening takes longer, and that is all.
    try {
      place = { ...at, crc: hashJournal(journal.place, place.bytes, at.bytes, place.crc) };
      await writeSnapshot(snapshotOf(folder), study, place);
    } catch { /* a cache */ }
  };
  return {
    folder, study, tornBytes: journal.tornBytes,
    get pending() { return batch.length; },
    record(event) {
      study.apply(event);
      batch.push(event);
    },
    commit() {
      assert(!isBroken, "a store whose disk refused is opened anew");
      if (batch.length === 0) return;
      try { journal.appendAll(batch); } catch (error) { isBroken = true; throw error; }
      committed += batch.length;
      batch = [];
      const since = journal.length - place.bytes;
      if (since < Math.max(SNAPSHOT_BYTES, SNAPSHOT_SHARE * journal.length)) return;
      writing = snapshot();
    },
    async [Symbol.asyncDispose]() {
      await writing;
      // What was not committed is in the study, and must not be in the snapshot.
      if (!isBroken && batch.length === 0 && journal.length > place.bytes) await snapshot();
      journal[Symbol.dispose]();
      lock[Symbol.dispose]();
    },
  };
}
