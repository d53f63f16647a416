/**
 * All that the recorder writes, behind one synchronous call: the day's journal first, then the databases,
 * then the lines under logs/. It runs in the writer's thread (writer.ts), so a slow disk holds up nobody
 * else.
 */
import * as fs from "node:fs";
import { messageOf } from "../../base/error.ts";
import { makeFolder } from "../../base/file.ts";
import { MS_PER_DAY } from "../../base/units.ts";
import * as path from "node:path";
import type { Session } from "../session.ts";
import { openDatabase, type Database } from "./database.ts";
import { JournalWriter } from "./journal.ts";
import { livePlaces } from "./places.ts";
import { rebuild } from "./rebuild.ts";
import { keepWithin, type Retention } from "./retention.ts";
import { sessionRow } from "./rows.ts";
import { DATABASES, TABLES, type Row } from "./schema.ts";

export interface StorageOptions {
  readonly root: string;
  readonly session: Session;
  /** UTC ms by the session's clock. */
  readonly startedAt: number;
  /** UTC day by the machine's clock. */
  readonly day: string;
  /** The machine's clock, UTC ms: files are stamped by it. */
  readonly wallNow: () => number;
  readonly retention: Retention;
}
/** What one flush of the recorder writes. */
export interface Batch {
  /** UTC day by the machine's clock: where the journal and the log lines go. */
  readonly day: string;
  /** Records of journal.ts, end to end. */
  readonly records: Uint8Array;
  readonly rows: readonly Row[];
}

export class Storage implements Disposable {
  readonly #options: StorageOptions;
  readonly #journal: JournalWriter;
  readonly #databases: readonly Database[];
  /** Sentences on what was found damaged at the start, and what was done. */
  readonly found: readonly string[];
  #day: string;
  /** How far the batch in hand has come: a retry after a full disk must write nothing twice. */
  #done = { batch: null as Batch | null, steps: 0 };

  constructor(options: StorageOptions) {
    this.#options = options;
    const { root, session, startedAt } = options, found: string[] = [];
    this.#journal = new JournalWriter(root, session);
    this.#databases = DATABASES.map((name) => {
      const place = livePlaces.database(root, name);
      const { database, movedTo } = openDatabase(name, place);
      if (movedTo !== null) {
        const { rows, problems } = rebuild(root, database);
        found.push(`${place} was damaged: moved to ${movedTo}, and ${rows} rows rebuilt from the journals`,
          ...problems);
      }
      database.write([sessionRow(session, startedAt)]);
      return database;
    });
    this.#day = options.day;
    found.push(...this.#tidy());
    this.found = found;
  }

  /** Throws what the disk throws; the same batch may then be given again. */
  write(batch: Batch): void {
    if (this.#done.batch !== batch) this.#done = { batch, steps: 0 };
    const steps = [
      () => { if (batch.records.length > 0) this.#journal.append(batch.day, batch.records); },
      ...this.#databases.map((database) => () => { database.write(batch.rows); }),
      () => { this.#log(batch); },
    ];
    while (this.#done.steps < steps.length) {
      steps[this.#done.steps]();
      this.#done.steps++;
    }
    this.#done = { batch: null, steps: 0 };
    if (batch.day !== this.#day) { this.#day = batch.day; this.#tidy(); }
  }
  /** Rows that a database's schema refused so far. */
  get refused(): number { return this.#databases.reduce((sum, { refused }) => sum + refused, 0); }

  #log(batch: Batch): void {
    const lines = new Map<"trading" | "performance" | "system", string>();
    for (const { table, cells } of batch.rows) {
      const { log, columns } = TABLES[table];
      if (log === null) continue;
      const named = Object.fromEntries(columns.slice(2).map((name, k) => [name, cells[k + 2]]));
      const time = new Date(Number(cells[1])).toISOString();
      lines.set(log, `${lines.get(log) ?? ""}${time} ${table} ${JSON.stringify(named)}\n`);
    }
    for (const [kind, text] of lines) {
      const place = livePlaces.log(this.#options.root, kind, batch.day);
      makeFolder(path.dirname(place));
      fs.appendFileSync(place, text);
    }
  }

  /** Housekeeping never stops the recording: what fails is a sentence. */
  #tidy(): string[] {
    const { root, retention, wallNow } = this.#options, now = wallNow();
    try {
      const metrics = this.#databases.find(({ name }) => name === "performance_metrics");
      metrics?.forget(now - retention.daysKept * MS_PER_DAY);
      return keepWithin(root, now, retention, this.#journal.place);
    } catch (error) { return [`old recordings could not be tidied away: ${messageOf(error)}`]; }
  }

  [Symbol.dispose](): void {
    this.#journal[Symbol.dispose]();
    for (const database of this.#databases) database[Symbol.dispose]();
  }
}
