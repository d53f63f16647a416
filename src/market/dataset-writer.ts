/**
 * Writes a dataset so that at every moment, also after kill -9 or a power cut, it is either the old
 * one or the new one.
 *
 *   open    take the lock; read what an interrupted run of the same request has left
 *   put     rows -> bars/SYMBOL.HASH.h5 (through a .tmp and a rename) -> a record in fetch.journal
 *   commit  wait until the files are flushed -> replace manifest.json (the commit point) ->
 *           remove the journal and the files that nobody names
 *
 * The name ends in a hash of the content, so a new revision never overwrites a file of the current
 * manifest, and rows that did not change keep their file. `put` only starts to flush (waiting for
 * an fsync per instrument is thousands of waits): after a power cut the journal may name a file
 * whose bytes are lost, so `open` believes only files whose SHA-256 is right.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { promisify } from "node:util";
import { places } from "../base/data-root.ts";
import { assert } from "../base/assert.ts";
import { UserError } from "../base/error.ts";
import { explainWrite, flush, hashOf, makeFolder, TEMPORARY } from "../base/file.ts";
import { Journal, readJournal, type JournalKind } from "../base/journal.ts";
import { barFile, hashBarFile, readBarFile } from "./bar-file.ts";
import { checkActions, checkBars } from "./check-bars.ts";
import { loadHdf5 } from "./hdf5.ts";
import {
  fingerprintOf, MANIFEST_FILE, readManifest, rowSchema, writeManifest, type DatasetFacts,
  type Manifest, type ManifestRow,
} from "./manifest.ts";
import type { Delivery, SourceDescription } from "./sources/source.ts";
import { takeLock } from "../base/writer-lock.ts";

const JOURNAL_FILE = "fetch.journal";
const LOCK_FILE = "fetch.lock";
const BARS_FOLDER = "bars";
const FLUSHES_AT_ONCE = 4;
const fsync = promisify(fs.fsync);

export interface WriterOptions {
  /**
   * Whatever else tells one request from another (range, symbols, seed): only the same one is
   * resumed.
   */
  readonly request?: string;
  /** The command that fetches this dataset again, for the person whose file is damaged. */
  readonly command?: string;
}

export class DatasetWriter implements Disposable {
  readonly #root: string;
  readonly #dataset: string;
  readonly #description: SourceDescription;
  readonly #command: string;
  readonly #facts: DatasetFacts;
  readonly #current: Manifest | null;
  readonly #lock: Disposable;
  readonly #journal: Journal;
  readonly #rows: Map<string, ManifestRow>;
  /** Files of this run are flushed beside the next one's work, each in a lane behind another. */
  readonly #lanes = Array.from({ length: FLUSHES_AT_ONCE }, () => Promise.resolve());
  #flushes = 0;
  #flushError: { readonly error: unknown } | null = null;
  #isOpen = true;

  private constructor(
    place: { root: string; dataset: string }, description: SourceDescription,
    options: WriterOptions, lock: Disposable,
  ) {
    this.#root = place.root;
    this.#dataset = place.dataset;
    this.#description = description;
    this.#lock = lock;
    this.#command = options.command
      ?? `dmn fetch --source ${description.source} --dataset ${place.dataset}`;
    const { source, isSynthetic, kind, timeframe, adjustment } = description;
    this.#facts = {
      source, isSynthetic, kind, timeframe, calendar: description.calendar.name, adjustment,
    };
    this.#current = currentManifest(place.root, place.dataset);
    const key = hashOf(JSON.stringify(
      [this.#facts, description.provenance, options.request ?? "", this.#current?.fingerprint,
        this.#revision()]));
    const [journal, rows] = openJournal(this.#folder(), key, this.#command);
    this.#journal = journal;
    this.#rows = rows;
    for (const row of rows.values()) this.#flushLater(path.join(this.#folder(), row.file));
  }

  /**
   * Takes the dataset's lock. Throws UserError when another process has it. `using writer =
   * DatasetWriter.open(...)`
   */
  static open(
    root: string, dataset: string, description: SourceDescription, options: WriterOptions = {},
  ): DatasetWriter {
    const lock = takeLock(path.join(places.dataset(root, dataset), LOCK_FILE),
      `dataset "${dataset}"`);
    try {
      return new DatasetWriter({ root, dataset }, description, options, lock);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Symbols that an interrupted run of the same request has already put, and whose files are whole.
   */
  have(): ReadonlySet<string> { return new Set(this.#rows.keys()); }

  /** What is committed now: the dataset that readers see until `commit`; null for a new one. */
  current(): Manifest | null { return this.#current; }

  /** Takes an instrument of the current dataset over as it is. */
  keep(row: ManifestRow): void {
    assert(this.#current?.instruments.includes(row) === true,
      `${row.symbol} is not of the current dataset`);
    this.#rows.set(row.symbol, row);
  }

  /**
   * Stores one instrument, whole. Throws UserError for rows that may not be kept and for a disk
   * that refuses.
   */
  async put(delivery: Delivery): Promise<ManifestRow> {
    assert(this.#isOpen, "put on a writer that is closed");
    const { bars } = delivery, { symbol } = bars.instrument;
    checkBars(bars, this.#facts);
    const actions = checkActions(symbol, delivery.actions);
    await loadHdf5();
    const stored = barFile(this.#facts, bars, actions);
    const file = path.posix.join(BARS_FOLDER,
      `${fileName(symbol)}.${stored.content.slice(0, 16)}.h5`);
    const place = path.join(this.#folder(), file);
    const facts = {
      symbol, instrument: bars.instrument, file, rows: bars.time.length, from: bars.time[0],
      to: bars.time[bars.time.length - 1], columns: stored.columns, actions,
      content: stored.content,
    };
    const known = this.#current?.instruments.find((one) => one.content === stored.content);
    const row = known !== undefined && isWhole(this.#folder(), known) ? known
      : { ...facts, ...this.#write(place, facts, stored) };
    this.#journal.append({ row }, false);
    this.#rows.set(symbol, row);
    return row;
  }

  /**
   * Makes everything put so far the dataset. Instruments that were not put or kept are gone from
   * it.
   */
  async commit(): Promise<Manifest> {
    assert(this.#isOpen, "commit on a writer that is closed");
    const instruments = [...this.#rows.values()].sort((a, b) => (a.symbol < b.symbol ? -1 : 1));
    if (instruments.length === 0) {
      throw new UserError(`nothing was fetched for dataset "${this.#dataset}"`,
        "check --symbols, --from and --to");
    }
    const manifest: Manifest = {
      format: "dmn.dataset", version: 1, dataset: this.#dataset, ...this.#facts,
      provenance: this.#description.provenance, command: this.#command,
      ...(this.#description.request === undefined ? {} : { request: this.#description.request }),
      revision: this.#revision(),
      fingerprint: fingerprintOf(instruments), instruments,
    };
    await this.#flushed();
    assert(this.#isOpen,
      "a writer was disposed before its commit had ended: await it inside the scope");
    await writeManifest(this.#root, manifest);
    this[Symbol.dispose](() => {
      fs.rmSync(path.join(this.#folder(), JOURNAL_FILE), { force: true });
      this.#removeUnnamed(new Set(instruments.map((row) => path.basename(row.file))));
    });
    return manifest;
  }

  /** Ends writing and frees the lock; what was put stays for the next run of the same request. */
  [Symbol.dispose](last: () => void = () => {}): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#journal[Symbol.dispose]();
    try { last(); } finally { this.#lock[Symbol.dispose](); }
  }

  #folder(): string { return places.dataset(this.#root, this.#dataset); }

  #revision(): number { return (this.#current?.revision ?? 0) + 1; }

  /**
   * Writes through a temporary file and reads it back: a disk or a library that lies is found out
   * now.
   */
  #write(
    place: string, facts: Omit<ManifestRow, "sha256" | "bytes">, stored: ReturnType<typeof barFile>,
  ): Pick<ManifestRow, "sha256" | "bytes"> {
    const temporary = `${place}.${process.pid}${TEMPORARY}`;
    try {
      makeFolder(path.dirname(place));
      stored.write(temporary, this.#revision());
      readBarFile(temporary, { ...facts, dataset: this.#facts }, facts.content,
        { from: -Infinity, to: Infinity, columns: facts.columns });
      const bytes = fs.statSync(temporary).size, sha256 = hashBarFile(temporary, bytes);
      fs.renameSync(temporary, place);
      this.#flushLater(place);
      return { sha256, bytes };
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      throw explainWrite(place, error);
    }
  }

  /** Starts to flush a file of this run; `#flushed` waits for it. */
  #flushLater(place: string): void {
    const lane = this.#flushes++ % FLUSHES_AT_ONCE;
    this.#lanes[lane] = this.#lanes[lane].then(async () => {
      if (!this.#isOpen || this.#flushError !== null) return;
      try {
        // Only the flush itself waits for the disk; a FileHandle costs more than the rest of it.
        const file = fs.openSync(place, "r");
        try { await fsync(file); } finally { fs.closeSync(file); }
      } catch (error) { this.#flushError = { error }; }
    });
  }

  /** The barrier before the manifest: every file of this run is on the disk, and so is its name. */
  async #flushed(): Promise<void> {
    await Promise.all(this.#lanes);
    if (this.#flushError !== null) throw this.#flushError.error;
    if (this.#flushes > 0) flush(path.join(this.#folder(), BARS_FOLDER));
  }

  /**
   * This folder is ours alone: what the manifest does not name is of an older revision or of an
   * unfinished run.
   */
  #removeUnnamed(named: ReadonlySet<string>): void {
    const folder = path.join(this.#folder(), BARS_FOLDER);
    for (const name of fs.readdirSync(folder)) {
      if (!named.has(name)) fs.rmSync(path.join(folder, name), { force: true });
    }
  }
}

/** A damaged manifest does not stand in the way of fetching anew; one of a newer dmn does. */
function currentManifest(root: string, dataset: string): Manifest | null {
  if (!fs.existsSync(path.join(places.dataset(root, dataset), MANIFEST_FILE))) return null;
  try { return readManifest(root, dataset); } catch (error) {
    if (error instanceof UserError && !/newer dmn/.test(error.problem)) return null;
    throw error;
  }
}

function isWhole(folder: string, row: ManifestRow): boolean {
  const place = path.join(folder, row.file);
  const found = fs.statSync(place, { throwIfNoEntry: false });
  return found !== undefined && found.size === row.bytes
    && hashBarFile(place, found.size) === row.sha256;
}

/**
 * The journal of this request, and the rows it names whose files are whole. Another request's
 * journal is dropped.
 */
function openJournal(
  folder: string, key: string, remedy: string,
): [Journal, Map<string, ManifestRow>] {
  const place = path.join(folder, JOURNAL_FILE);
  const kind: JournalKind = { kind: "fetch", version: 1, remedy };
  const rows = new Map<string, ManifestRow>();
  if (fs.existsSync(place) && !isOfRequest(place, kind, key)) fs.rmSync(place);
  const journal = Journal.open(place, kind);
  if (journal.recovered.length === 0) journal.append({ request: key }, false);
  for (const record of journal.recovered.slice(1)) {
    const parsed = rowSchema.safeParse((record as { row?: unknown }).row);
    if (!parsed.success) continue;
    if (isWhole(folder, parsed.data)) rows.set(parsed.data.symbol, parsed.data);
  }
  return [journal, rows];
}

/** What a journal holds can be fetched again, so one that cannot be read is no reason to stop. */
function isOfRequest(place: string, kind: JournalKind, key: string): boolean {
  try {
    const first = readJournal(place, kind).records[0] as { request?: unknown } | undefined;
    return first?.request === key;
  } catch (error) {
    if (error instanceof UserError && /newer dmn/.test(error.problem)) throw error;
    return false;
  }
}

/**
 * A symbol as the first part of a file's name: capitals, digits, dash and dot as they are, every
 * other byte as _xx, so that no two symbols share a name on any file system (one that ignores case,
 * one that reserves CON and NUL).
 */
export function fileName(symbol: string): string {
  const escaped = [...Buffer.from(symbol, "utf8")].map((byte) => {
    const letter = String.fromCharCode(byte);
    return /[A-Z0-9.-]/.test(letter) ? letter : `_${byte.toString(16).padStart(2, "0")}`;
  }).join("");
  const safe = /^(CON|PRN|AUX|NUL|COM\d|LPT\d)(\.|$)|^[.-]/.test(escaped) ? `_${escaped}` : escaped;
  return safe.slice(0, 100);
}
