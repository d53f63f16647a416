/**
 * An append-only journal of JSON records that survives a crash at any byte.
 *
 *   file   := header record*            header := "dmn-journal <kind> <version>\n"
 *   record := crc32 (8 hex) " " length (decimal) " " json "\n"     both of the json's UTF-8 bytes
 *
 * With a reserve the file is written ahead with zeros, so that an append changes no length and no map of
 * blocks: the disk has it in a third of the time, and does not wait for what others have in the file system's
 * own journal. Zeros behind the last record are no damage. After a power cut blocks of the last, unfinished
 * write may be there without those before them: a hole of zeros in it is a torn tail like any other.
 *
 * One writer. A record counts once `append` has returned with `durable` (write, then fdatasync). Opening
 * reads every record, in pieces (or those behind what a caller knows already); a torn tail (a crash in the
 * middle of a write) is cut off and reported; damage *before* the last record is not ours to repair unasked
 * and is refused. The text form is on purpose: `less` and `grep` work on it.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { crc32 } from "node:zlib";
import { assert } from "./assert.ts";
import { explainWrite, flush, makeFolder, TEMPORARY } from "./file.ts";
import { UserError } from "./error.ts";

export interface JournalKind {
  /** What the file is, for its header and for messages: "fetch". */
  readonly kind: string;
  readonly version: number;
  /** The command that starts this file anew, for the hint when it is damaged. */
  readonly remedy: string;
  /** The command that keeps the whole records before the damage, where there is one. */
  readonly repair?: string;
}

export interface JournalContent {
  readonly records: readonly unknown[];
  /** Bytes of an unfinished last write that were ignored; 0 after an orderly end. */
  readonly tornBytes: number;
  /** Length of the whole, good part. */
  readonly goodBytes: number;
}

const NEWLINE = 0x0a;
/** Read at once, and of a header the most; bytes. */
const PIECE_BYTES = 1 << 20, HEADER_BYTES_MAX = 256;
/** Of one unfinished write; a hole farther from the end is damage. */
const HOLE_BYTES_MAX = 1 << 16;

export interface JournalOptions {
  /** Written ahead, and again when it is used up; 0: none. */
  readonly reserveBytes?: number;
  /** Is given each record instead of `recovered`: a long journal need not be in memory. */
  readonly take?: Take;
  /** Records before it are known already. */
  readonly from?: JournalPlace;
}
/** `end`: where in the file it ends, bytes. */
export type Take = (record: unknown, end: number) => void;
/** The end of a record: bytes of the file and records up to it. */
export interface JournalPlace { readonly bytes: number; readonly records: number }

export class Journal {
  readonly place: string;
  /** What was in the file when it was opened, in order. */
  readonly recovered: readonly unknown[];
  readonly tornBytes: number;
  readonly #descriptor: number;
  readonly #reserveBytes: number;
  /** Bytes of whole records: where the next one begins; and of the file. */
  #length: number;
  #size: number;

  private constructor(place: string, descriptor: number, content: JournalContent, reserveBytes: number) {
    this.place = place;
    this.#descriptor = descriptor;
    this.#reserveBytes = reserveBytes;
    this.#length = this.#size = fs.fstatSync(descriptor).size;
    if (reserveBytes > 0) this.#reserve(0);
    this.recovered = content.records;
    this.tornBytes = content.tornBytes;
  }

  /** Opens or creates; truncates a torn tail. */
  static open(place: string, kind: JournalKind, options: JournalOptions = {}): Journal {
    const { reserveBytes = 0, take, from } = options, records: unknown[] = [];
    try {
      makeFolder(path.dirname(place));
      const isNew = !fs.existsSync(place) || fs.statSync(place).size === 0;
      if (isNew) fs.writeFileSync(place, headerOf(kind), { flush: true });
      const content = { records,
        ...scanJournal(place, kind, take ?? ((record) => { records.push(record); }), from) };
      if (fs.statSync(place).size > content.goodBytes) fs.truncateSync(place, content.goodBytes);
      if (content.goodBytes === 0) fs.writeFileSync(place, headerOf(kind), { flush: true });
      return new Journal(place, fs.openSync(place, reserveBytes > 0 ? "r+" : "a"), content, reserveBytes);
    } catch (error) { throw explainWrite(place, error); }
  }

  /** Bytes of whole records. */
  get length(): number { return this.#length; }

  /** Appends one record. With `durable` it is on the disk when this returns. */
  append(record: unknown, durable = true): void { this.appendAll([record], durable); }

  /** Appends several in one write: together on the disk, or torn off together at some record of them. */
  appendAll(records: readonly unknown[], durable = true): void {
    const bytes = Buffer.concat(records.map(encodeRecord));
    try {
      if (this.#reserveBytes > 0 && this.#length + bytes.length > this.#size) this.#reserve(bytes.length);
      writeAll(this.#descriptor, bytes, this.#reserveBytes > 0 ? this.#length : null);
      if (durable) fs.fdatasyncSync(this.#descriptor);
      this.#length += bytes.length;
    } catch (error) {
      // Half a record in the middle would damage the file for good once a later write succeeds.
      try {
        fs.ftruncateSync(this.#descriptor, this.#length);
        this.#size = this.#length;
      } catch { /* then the next opening says so */ }
      throw explainWrite(this.place, error);
    }
  }

  /** Zeros from here for `bytes` and the reserve, on the disk with the file's length. */
  #reserve(bytes: number): void {
    writeAll(this.#descriptor, Buffer.alloc(bytes + this.#reserveBytes), this.#length);
    fs.fdatasyncSync(this.#descriptor);
    this.#size = this.#length + bytes + this.#reserveBytes;
  }

  [Symbol.dispose](): void {
    // Without zeros it is text again; with them it is as good.
    try {
      if (this.#reserveBytes > 0) fs.ftruncateSync(this.#descriptor, this.#length);
    } catch { /* as good */ }
    fs.closeSync(this.#descriptor);
  }
}

function headerOf(kind: JournalKind): string { return `dmn-journal ${kind.kind} ${kind.version}\n`; }

function encodeRecord(record: unknown): Uint8Array {
  const json = Buffer.from(JSON.stringify(record), "utf8");
  const head = `${crc32(json).toString(16).padStart(8, "0")} ${json.length} `;
  return Buffer.concat([Buffer.from(head), json, Buffer.of(NEWLINE)]);
}

/** `place` null: at the end. */
function writeAll(descriptor: number, bytes: Uint8Array, place: number | null): void {
  for (let at = 0; at < bytes.length;) {
    at += fs.writeSync(descriptor, bytes, at, bytes.length - at, place === null ? null : place + at);
  }
}

/**
 * Reads without changing anything. Throws UserError for another kind, a newer version, or damage
 * before the tail.
 */
export function readJournal(place: string, kind: JournalKind): JournalContent {
  const records: unknown[] = [];
  return { records, ...scanJournal(place, kind, (record) => { records.push(record); }) };
}

const START: JournalPlace = { bytes: 0, records: 0 };

/** The same for one record after the other, in memory for a piece of the file only. */
export function scanJournal(place: string, kind: JournalKind, take: Take, from = START):
Omit<JournalContent, "records"> {
  const { goodBytes, endBytes, records, damagedAt } = scan(place, kind, take, from);
  if (damagedAt !== null) throw damaged(place, kind, records, damagedAt);
  return { tornBytes: endBytes - goodBytes, goodBytes };
}

/**
 * Keeps the whole records before the damage; the file as it was moves aside.
 * @returns records that are kept, bytes that are not, where the old file is; null: it was whole.
 */
export function repairJournal(place: string, kind: JournalKind):
{ kept: number; cutBytes: number; aside: string } | null {
  const { goodBytes, endBytes, records, damagedAt } = scan(place, kind, () => undefined, START);
  if (damagedAt === null) return null;
  let aside = `${place}.damaged`;
  for (let k = 2; fs.existsSync(aside); k++) aside = `${place}.damaged-${k}`;
  const beside = place + TEMPORARY;
  try {
    fs.copyFileSync(place, beside);
    fs.truncateSync(beside, goodBytes);
    flush(beside);
    fs.linkSync(place, aside);
    fs.renameSync(beside, place);
    flush(path.dirname(place));
  } catch (error) {
    fs.rmSync(beside, { force: true });
    throw explainWrite(place, error);
  }
  return { kept: records, cutBytes: endBytes - goodBytes, aside };
}

/** CRC-32 of the file from byte `start` to `end`, going on from that of what is before. */
export function hashJournal(place: string, start: number, end: number, before = 0): number {
  const descriptor = fs.openSync(place, "r");
  try {
    let hash = before;
    for (let at = start; at < end;) {
      const piece = readAt(descriptor, at, Math.min(end, at + PIECE_BYTES));
      if (piece.length === 0) break;
      hash = crc32(piece, hash);
      at += piece.length;
    }
    return hash;
  } finally { fs.closeSync(descriptor); }
}

interface Scan {
  readonly goodBytes: number;
  /** Without what was written ahead. */
  readonly endBytes: number;
  readonly records: number;
  readonly damagedAt: number | null;
}

function scan(place: string, kind: JournalKind, take: Take, from: JournalPlace): Scan {
  const descriptor = fs.openSync(place, "r");
  try {
    const endBytes = endWithoutReserve(descriptor);
    const head = readAt(descriptor, 0, Math.min(endBytes, HEADER_BYTES_MAX)), headEnd = head.indexOf(NEWLINE);
    // A crash in the middle of the very first write leaves a piece of our own header: an empty journal.
    if (headEnd < 0 && headerOf(kind).startsWith(head.toString("utf8"))) {
      return { goodBytes: 0, endBytes, records: 0, damagedAt: null };
    }
    checkHeader(place, kind, head.toString("utf8", 0, Math.max(0, headEnd)));
    let { records } = from, goodBytes = Math.max(headEnd + 1, from.bytes), start = goodBytes;
    let piece: Buffer = Buffer.alloc(0);
    for (;;) {
      const next = parseRecord(piece, goodBytes - start);
      if (next !== null) {
        goodBytes = start + next.end;
        records++;
        take(next.record, goodBytes);
        continue;
      }
      // Not whole: more of it may follow. Twice as much each time, so that a long record is read once.
      const rest = piece.subarray(goodBytes - start), readTo = start + piece.length;
      if (readTo >= endBytes) {
        const after = goodRecordAfter(rest, 0), isTorn = after < 0 || isHole(rest, 0, after);
        return { goodBytes, endBytes, records, damagedAt: isTorn ? null : goodBytes };
      }
      const wantedTo = Math.min(endBytes, readTo + Math.max(PIECE_BYTES, rest.length));
      const more = readAt(descriptor, readTo, wantedTo);
      assert(more.length > 0, `${place} became shorter while it was read`);
      piece = Buffer.concat([rest, more]);
      start = goodBytes;
    }
  } finally { fs.closeSync(descriptor); }
}

function readAt(descriptor: number, start: number, end: number): Buffer {
  const bytes = Buffer.allocUnsafe(Math.max(0, end - start));
  let at = 0;
  for (let read = 1; read > 0 && at < bytes.length; at += read) {
    read = fs.readSync(descriptor, bytes, at, bytes.length - at, start + at);
  }
  return bytes.subarray(0, at);
}

function checkHeader(place: string, kind: JournalKind, header: string): void {
  const match = /^dmn-journal (\S+) (\d+)$/.exec(header);
  if (!match || match[1] !== kind.kind) {
    throw new UserError(`${place} is not a "${kind.kind}" journal`, `move it away, then: ${kind.remedy}`);
  }
  if (Number(match[2]) > kind.version) {
    throw new UserError(`${place} was written by a newer dmn `
      + `(journal version ${match[2]}, this one reads ${kind.version})`,
      "update dmn, or choose another --data-dir");
  }
}

function parseRecord(bytes: Buffer, at: number): { record: unknown; end: number } | null {
  const head = /^([0-9a-f]{8}) (\d{1,10}) /.exec(bytes.toString("latin1", at, at + 21));
  if (!head) return null;
  const start = at + head[0].length, end = start + Number(head[2]);
  if (end >= bytes.length || bytes[end] !== NEWLINE) return null;
  const json = bytes.subarray(start, end);
  if (crc32(json) !== Number.parseInt(head[1], 16)) return null;
  return { record: JSON.parse(json.toString("utf8")), end: end + 1 };
}

/**
 * Tells damage from a torn tail: where is a whole record behind, if anywhere (-1)? Asked of every byte,
 * because the newline itself may be what is damaged.
 */
function goodRecordAfter(bytes: Buffer, at: number): number {
  for (let start = at + 1; start < bytes.length; start++) {
    if (parseRecord(bytes, start) !== null) return start;
  }
  return -1;
}

/** No record holds a zero: what does was written ahead, and its own block never came. */
const isHole = (bytes: Buffer, from: number, to: number): boolean =>
  bytes.length - from <= HOLE_BYTES_MAX && bytes.subarray(from, to).includes(0);

function endWithoutReserve(descriptor: number): number {
  for (let end = fs.fstatSync(descriptor).size; end > 0;) {
    const start = Math.max(0, end - PIECE_BYTES), piece = readAt(descriptor, start, end);
    for (let at = piece.length; at > 0; at--) if (piece[at - 1] !== 0) return start + at;
    end = start;
  }
  return 0;
}

function damaged(place: string, kind: JournalKind, good: number, at: number): UserError {
  return new UserError(
    `${place} is damaged at byte ${at}, after ${good} good records, with good records behind it`,
    kind.repair === undefined
      ? `restore the file from a backup, or move it away and start anew: ${kind.remedy}`
      : `restore the file from a backup, or keep the good records: ${kind.repair}`);
}
