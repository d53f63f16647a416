/**
 * The journal of intents: FOLDER/intents.journal, records of effect.ts over base/journal. An order whose
 * intent is not in it never leaves; a trading state that is not in it never counts.
 *
 * A torn tail never counted and is cut off. Damage before it is a UserError: no trading on a journal that
 * lies. It is made short again by writing a new one beside it and renaming that over it. Each venue has its
 * own: what was meant for one account is nothing that another may be asked about, or be sent.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { explainWrite, flush, TEMPORARY } from "../../base/file.ts";
import { Journal, type JournalKind } from "../../base/journal.ts";
import type { Session } from "../session.ts";
import type { JournalRecord } from "./effect.ts";

const KIND: JournalKind = { kind: "intents", version: 1, remedy: "dmn live --paper" };
/** Some thousands of intents: an order waits for the disk each time. */
const RESERVE = { reserveBytes: 1 << 20 };
const fileOf = (venue: Session["venue"]): string =>
  venue === "simulator" ? "intents.journal" : `intents-${venue}.journal`;

/** Throws UserError when the disk will not take it: then nothing of the call counts. */
export interface IntentJournal extends Disposable {
  readonly recovered: readonly JournalRecord[];
  readonly tornBytes: number;
  /** With `isDurable` they are on the disk when this returns. */
  append(records: readonly JournalRecord[], isDurable: boolean): void;
  /** All that it holds from now on. */
  replace(records: readonly JournalRecord[]): void;
}

/** Opens or makes it. Throws UserError for a damaged one or a folder that cannot be written. */
export function openIntentJournal(folder: string, venue: Session["venue"] = "simulator"): IntentJournal {
  const place = path.join(folder, fileOf(venue));
  let journal = Journal.open(place, KIND, RESERVE);
  return {
    recovered: journal.recovered as readonly JournalRecord[],
    tornBytes: journal.tornBytes,
    append(records, isDurable) { journal.appendAll(records, isDurable); },
    replace(records) {
      const beside = place + TEMPORARY;
      let next: Journal | null = null;
      try {
        fs.rmSync(beside, { force: true });
        next = Journal.open(beside, KIND, RESERVE);
        next.appendAll(records);
        fs.renameSync(beside, place);
      } catch (error) {
        next?.[Symbol.dispose]();
        fs.rmSync(beside, { force: true });
        throw explainWrite(place, error);
      }
      // From here on the old file has no name: a record in it would be lost.
      journal[Symbol.dispose]();
      journal = next;
      try { flush(folder); } catch (error) { throw explainWrite(place, error); }
    },
    [Symbol.dispose]() { journal[Symbol.dispose](); },
  };
}
