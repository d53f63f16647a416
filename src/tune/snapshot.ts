/**
 * A study as it was at a place of its journal: a cache, so that a long study opens at once. The journal is
 * the truth; a snapshot that is damaged, or was not made from these very bytes of it, is as good as none.
 *
 *   file := "dmn-study-snapshot 1\n" length of the words (10 digits) "\n" words (JSON) columns by blocks
 *   words.crc is that of the columns' bytes, words.journal.crc that of the journal's first journal.bytes
 */
import * as fs from "node:fs";
import { crc32 } from "node:zlib";
import { hashJournal, type JournalPlace } from "../base/journal.ts";
import { replaceFile } from "../base/file.ts";
import { Study, type StudyWords } from "./fold.ts";

const MAGIC = "dmn-study-snapshot 1\n", LENGTH_DIGITS = 10, HEAD = MAGIC.length + LENGTH_DIGITS + 1;
/** We do not believe longer ones, bytes. */
const WORDS_MAX = 1 << 28;

/** Where it was taken: records of the journal, their bytes and these bytes' CRC-32. */
export interface SnapshotPlace extends JournalPlace { readonly crc: number }

export async function writeSnapshot(place: string, study: Study, at: SnapshotPlace): Promise<void> {
  await replaceFile(place, (temporary) => {
    const descriptor = fs.openSync(temporary, "w");
    try {
      let crc = 0;
      for (const [column, rows] of study.columns) {
        for (const bytes of column.bytes(rows)) crc = crc32(bytes, crc);
      }
      const words = Buffer.from(JSON.stringify({ journal: at, crc, study: study.words }));
      fs.writeSync(descriptor, MAGIC + String(words.length).padStart(LENGTH_DIGITS, "0") + "\n");
      fs.writeSync(descriptor, words);
      for (const [column, rows] of study.columns) {
        for (const bytes of column.bytes(rows)) fs.writeSync(descriptor, bytes);
      }
    } finally { fs.closeSync(descriptor); }
  });
}

/** Null: there is none that belongs to the journal. */
export function readSnapshot(place: string, journal: string): { study: Study; at: SnapshotPlace } | null {
  let descriptor: number;
  try { descriptor = fs.openSync(place, "r"); } catch { return null; }
  try {
    const head = Buffer.alloc(HEAD);
    fs.readSync(descriptor, head);
    const length = Number(head.toString("latin1", MAGIC.length, HEAD - 1));
    if (head.toString("latin1", 0, MAGIC.length) !== MAGIC || !(length <= WORDS_MAX)) return null;
    const text = Buffer.alloc(length);
    fs.readSync(descriptor, text);
    const words = JSON.parse(text.toString()) as { journal: SnapshotPlace; crc: number; study: StudyWords };
    const { bytes, crc: before } = words.journal;
    if (fs.statSync(journal).size < bytes || hashJournal(journal, 0, bytes) !== before) return null;
    let crc = 0;
    const study = Study.restore(words.study, (columns) => {
      for (const [column, rows] of columns) {
        for (const block of column.bytes(rows)) {
          fs.readSync(descriptor, block);
          crc = crc32(block, crc);
        }
      }
    });
    return crc === words.crc ? { study, at: words.journal } : null;
  } catch { return null; } finally { fs.closeSync(descriptor); }
}
