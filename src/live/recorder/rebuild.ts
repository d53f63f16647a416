/** A database anew from the journals: the same rows as the first time, by the same function. */
import * as path from "node:path";
import { messageOf } from "../../base/error.ts";
import type { Database } from "./database.ts";
import { journalDays, journalFiles, readJournalFile } from "./journal.ts";
import { livePlaces } from "./places.ts";
import { rowsOf, sessionRow, startRows, type RowState } from "./rows.ts";
import type { Row } from "./schema.ts";

const ROWS_PER_TRANSACTION = 1000;

/** Reads all days, oldest first. A damaged file is a problem said, and the others are still read. */
export function rebuild(root: string, database: Database): { rows: number; problems: string[] } {
  const states = new Map<string, RowState>(), problems: string[] = [];
  let waiting: Row[] = [], rows = 0;
  const write = (): void => { database.write(waiting); rows += waiting.length; waiting = []; };
  for (const day of journalDays(root)) {
    const folder = livePlaces.journalDay(root, day);
    for (const name of journalFiles(folder)) {
      try {
        for (const { session, heardAt, message } of readJournalFile(path.join(folder, name))) {
          let state = states.get(session.id);
          if (state === undefined) {
            states.set(session.id, state = startRows(session));
            waiting.push(sessionRow(session, heardAt));
          }
          for (const row of rowsOf(state, message)) waiting.push(row);
          if (waiting.length >= ROWS_PER_TRANSACTION) write();
        }
      } catch (error) { problems.push(messageOf(error)); }
    }
  }
  write();
  return { rows, problems };
}
