/**
 * Pages of a vendor's answers, kept in the dataset's folder until the dataset is committed: a fetch
 * that was stopped at any byte goes on where it was, without asking again. A page lives only until
 * its instrument has been delivered, so the file is never larger than one instrument.
 *
 *   datasets/NAME/pages.journal := { key, page }*   (base/journal.ts: checksums, torn tail cut off)
 *
 * It is a cache: a damaged file is thrown away (the vendor still has the pages), never repaired and
 * never believed.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { UserError } from "../base/error.ts";
import { Journal, readJournal, type JournalKind } from "../base/journal.ts";
import type { PageCache } from "./sources/source.ts";

export const PAGES_FILE = "pages.journal";
const KIND: JournalKind = { kind: "pages", version: 1, remedy: "dmn fetch" };

export interface OpenPageCache extends PageCache, Disposable {
  /** Pages that an interrupted run left behind. */
  readonly recovered: number;
}

/** For callers that keep nothing: tests, and sources that ask nobody. */
export const noPages: PageCache = { get: () => undefined, put() {}, clear() {} };

/** Opens the pages kept in a dataset's folder. Throws UserError when it cannot be written. */
export function openPageCache(folder: string): OpenPageCache {
  const place = path.join(folder, PAGES_FILE);
  const kept = new Map<string, unknown>();
  for (const record of readGood(place)) {
    const { key, page } = record as { key: string; page: unknown };
    kept.set(key, page);
  }
  let journal: Journal | null = null;
  const close = (): void => { journal?.[Symbol.dispose](); journal = null; };
  return {
    recovered: kept.size,
    get: (key) => kept.get(key),
    put(key, page) {
      journal ??= Journal.open(place, KIND);
      journal.append({ key, page });
    },
    clear() {
      close();
      kept.clear();
      fs.rmSync(place, { force: true });
    },
    [Symbol.dispose]: close,
  };
}

function readGood(place: string): readonly unknown[] {
  if (!fs.existsSync(place)) return [];
  try {
    return readJournal(place, KIND).records;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    fs.rmSync(place, { force: true });
    return [];
  }
}
