/**
 * One of the recorder's SQLite files: opened whole or moved aside, brought up to date, written in
 * transactions. WAL with synchronous=FULL: what `write` returned from survives a kill and a power cut.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { messageOf, UserError } from "../../base/error.ts";
import { makeFolder } from "../../base/file.ts";
import type { Session } from "../session.ts";
import { MIGRATIONS, TABLES, type DatabaseName, type Row, type TableName } from "./schema.ts";

/** SQLite's words for a file that it cannot trust: SQLITE_CORRUPT and SQLITE_NOTADB. */
const CORRUPT = 11, DAMAGE_CODES = new Set([CORRUPT, 26]);
/** SQLITE_CONSTRAINT: the row is at fault, not the file. */
const CONSTRAINT_CODE = 19;
const codeOf = (error: unknown): number => ((error as { errcode?: number }).errcode ?? 0) & 0xff;

export class Database implements Disposable {
  readonly name: DatabaseName;
  readonly #sqlite: DatabaseSync;
  readonly #inserts = new Map<TableName, StatementSync>();
  /** Rows that the schema refused: a mistake of ours, counted and said, never a reason to stop recording. */
  refused = 0;

  constructor(name: DatabaseName, sqlite: DatabaseSync) { this.name = name; this.#sqlite = sqlite; }

  /** All rows that belong here, in one transaction. Throws what SQLite throws; then nothing was written. */
  write(rows: readonly Row[]): void {
    const own = rows.filter((row) => TABLES[row.table].database === this.name);
    if (own.length === 0) return;
    this.#sqlite.exec("begin immediate");
    try {
      for (const row of own) this.#insert(row);
      this.#sqlite.exec("commit");
    } catch (error) {
      if (this.#sqlite.isTransaction) this.#sqlite.exec("rollback");
      throw error;
    }
  }

  #insert({ table, cells }: Row): void {
    let insert = this.#inserts.get(table);
    if (insert === undefined) this.#inserts.set(table, insert = this.#sqlite.prepare(insertOf(table)));
    try { insert.run(...cells); } catch (error) {
      if (codeOf(error) !== CONSTRAINT_CODE) throw error;
      this.refused++;
    }
  }

  /**
   * Removes rows of metrics older than `before` (UTC ms); at most `most` of each table, so that it stays
   * short.
   */
  forget(before: number, most = 50_000): void {
    for (const [name, { database, columns }] of Object.entries(TABLES)) {
      if (database !== this.name) continue;
      const key = columns[1];
      this.#sqlite.exec(`delete from ${name} where ${key} < ${Math.round(before)} and ${key} in
        (select ${key} from ${name} where ${key} < ${Math.round(before)} limit ${most})`);
    }
  }
  [Symbol.dispose](): void { this.#sqlite.close(); }
}

function insertOf(table: TableName): string {
  const { columns, twice } = TABLES[table];
  const verb = twice === "keep both" ? "insert" : `insert or ${twice}`;
  return `${verb} into ${table} (${columns.join(", ")}) values (${columns.map(() => "?").join(", ")})`;
}

/**
 * Opens or creates. A file that SQLite finds damaged is moved aside to `PLACE.damaged-N` (with its -wal and
 * -shm) and a new one begun; `movedTo` then says where it is. Throws UserError for a file of a newer dmn.
 */
export function openDatabase(name: DatabaseName,
  place: string): { database: Database; movedTo: string | null } {
  makeFolder(path.dirname(place));
  try { return { database: new Database(name, open(name, place)), movedTo: null }; } catch (error) {
    if (!DAMAGE_CODES.has(codeOf(error))) throw error;
    const movedTo = moveAside(place);
    return { database: new Database(name, open(name, place)), movedTo };
  }
}

function open(name: DatabaseName, place: string): DatabaseSync {
  const sqlite = new DatabaseSync(place, { timeout: 2000 });
  try {
    look(sqlite);
    migrate(sqlite, name, place);
    return sqlite;
  } catch (error) {
    sqlite.close();
    throw error;
  }
}

/** Throws what SQLite throws, with SQLITE_CORRUPT for all that says that the file is not whole. */
function look(sqlite: DatabaseSync): void {
  try {
    sqlite.exec("pragma journal_mode = wal; pragma synchronous = full");
    const found = sqlite.prepare("pragma quick_check(1)").get() as { quick_check: string };
    if (found.quick_check !== "ok") throw Object.assign(new Error(found.quick_check), { errcode: CORRUPT });
  } catch (error) {
    // Nothing was asked that could be wrong: a damaged header is "unsupported file format", SQLITE_ERROR.
    if (codeOf(error) === 1) throw Object.assign(new Error(messageOf(error)), { errcode: CORRUPT });
    throw error;
  }
}

function migrate(sqlite: DatabaseSync, name: DatabaseName, place: string): void {
  const steps = MIGRATIONS[name];
  const { user_version: done } = sqlite.prepare("pragma user_version").get() as { user_version: number };
  if (done > steps.length) {
    throw new UserError(
      `${place} was written by a newer dmn (schema ${done}, this one knows ${steps.length})`,
      "update dmn, or choose another --data-dir");
  }
  for (let step = done; step < steps.length; step++) {
    sqlite.exec(`begin immediate; ${steps[step]}; pragma user_version = ${step + 1}; commit`);
  }
}

function moveAside(place: string): string {
  let number = 1;
  while (fs.existsSync(`${place}.damaged-${number}`)) number++;
  for (const end of ["", "-wal", "-shm"]) {
    if (fs.existsSync(place + end)) fs.renameSync(place + end, `${place}.damaged-${number}${end}`);
  }
  return `${place}.damaged-${number}`;
}

/** Equity at a moment, UTC ms by the session's clock. */
export interface EquityPoint { readonly at: number; readonly equity: number }
/** Newest points of a session that are read back. */
const EQUITY_MAX = 200_000;

/**
 * The equities that a session has recorded so far, oldest first: a monitor that comes back goes on from
 * them. Empty where there is no such file or it cannot be read, which the recorder will say.
 */
export function recordedEquity(place: string, { id, clock, history }: Session): EquityPoint[] {
  if (!fs.existsSync(place)) return [];
  // Before the market's time was known, the machine's was stamped.
  const until = clock.kind === "market" && history !== null ? history.to : Infinity;
  try {
    using sqlite = new DatabaseSync(place, { readOnly: true, timeout: 1000 });
    const newest = sqlite.prepare("select at, equity from equity where session = ? and at <= ? and "
      + "equity is not null order by at desc limit ?").all(id, until, EQUITY_MAX) as unknown as EquityPoint[];
    return newest.reverse();
  } catch (error) {
    if (codeOf(error) === 0) throw error;
    return [];
  }
}
