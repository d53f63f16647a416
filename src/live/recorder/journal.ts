/**
 * The journal of a day: everything heard that is needed to live the day again, in the order heard.
 *
 *   storage/live/journal/2026-11-20/0003-SESSION.journal     (.journal.zst once it is old: retention.ts)
 *
 *   file   := "dmn-live-journal 1\n" record(session as JSON) record*
 *   record := length u32 | crc32 u32 | payload               little-endian; the crc is of the payload
 *   payload:= heard at f64 (UTC ms by the session's clock) | packet (live/frames.ts)
 *
 * The day is that of the machine when it was recorded: a replay of 2019 recorded today is today's, whole.
 * One writer at a time (recorder's lock), and each start writes a new file, so a torn tail (a crash in the
 * middle of a write) may end any file and is left alone. Damage before whole records is refused.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { crc32, zstdDecompressSync } from "node:zlib";
import { messageOf, UserError } from "../../base/error.ts";
import { flush, makeFolder } from "../../base/file.ts";
import { repeatFilter } from "./repeats.ts";
import { decodeSpoken } from "./packet.ts";
import type { Spoken } from "../message.ts";
import { sessionSchema, type Session } from "../session.ts";
import { livePlaces } from "./places.ts";

const MAGIC = Buffer.from("dmn-live-journal 1\n");
const HEAD_BYTES = 8;
/** No message of ours is longer: a length above it is damage. */
const RECORD_BYTES_MAX = 1 << 28;
/** A file longer than this is followed by another one. */
export const FILE_BYTES_MAX = 1 << 26;

/** One message of a day. */
export interface Recorded {
  readonly session: Session;
  /** 0, 1, ... over the files of the day. */
  readonly row: number;
  /** UTC ms by the session's clock. */
  readonly heardAt: number;
  readonly message: Spoken;
}

/** A record of one heard message, ready to be appended. */
export function encodeRecord(heardAt: number, packet: Uint8Array): Uint8Array {
  const payload = Buffer.alloc(8 + packet.length);
  payload.writeDoubleLE(heardAt);
  payload.set(packet, 8);
  return framed(payload);
}

function framed(payload: Uint8Array): Uint8Array {
  const record = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  record.writeUInt32LE(payload.length);
  record.writeUInt32LE(crc32(payload), 4);
  record.set(payload, HEAD_BYTES);
  return record;
}

interface OpenFile {
  readonly day: string; readonly place: string; readonly descriptor: number;
  /** Bytes that count; what is behind them is not ours. */
  length: number;
}

/** Appends to files of its own, a new one for each day and each FILE_BYTES_MAX. */
export class JournalWriter implements Disposable {
  readonly #root: string;
  readonly #session: Session;
  #file: OpenFile | null = null;

  constructor(root: string, session: Session) { this.#root = root; this.#session = session; }

  /**
   * Appends whole records of one day and flushes them to the disk. Throws what the system throws, and the
   * file is then as it was before.
   */
  append(day: string, records: Uint8Array): void {
    const open = this.#file;
    if (open !== null && (open.day !== day || open.length >= FILE_BYTES_MAX)) this.#close();
    const file = this.#file ??= this.#create(day);
    try {
      for (let at = 0; at < records.length;) {
        at += fs.writeSync(file.descriptor, records, at, undefined, file.length + at);
      }
      fs.fdatasyncSync(file.descriptor);
      file.length += records.length;
    } catch (error) {
      // Half a record must not stay before whole ones; if this fails too, the next append begins a new file.
      try { fs.ftruncateSync(file.descriptor, file.length); } catch { this.#close(); }
      throw error;
    }
  }

  #create(day: string): OpenFile {
    const folder = livePlaces.journalDay(this.#root, day);
    makeFolder(folder);
    const last = journalFiles(folder).at(-1);
    const number = last === undefined ? 1 : Number.parseInt(last, 10) + 1;
    const place = path.join(folder, `${String(number).padStart(4, "0")}-${this.#session.id}.journal`);
    const head = Buffer.concat([MAGIC, framed(Buffer.from(JSON.stringify(this.#session)))]);
    const descriptor = fs.openSync(place, "wx");
    try {
      fs.writeSync(descriptor, head);
      fs.fsyncSync(descriptor);
      flush(folder);
    } catch (error) {
      fs.closeSync(descriptor);
      fs.rmSync(place, { force: true });
      throw error;
    }
    return { day, place, descriptor, length: head.length };
  }

  #close(): void {
    if (this.#file !== null) fs.closeSync(this.#file.descriptor);
    this.#file = null;
  }
  /** The file being written, or null. */
  get place(): string | null { return this.#file?.place ?? null; }
  [Symbol.dispose](): void { this.#close(); }
}

/** Names of a day's files, oldest first. */
export function journalFiles(folder: string): string[] {
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder)
    .filter((name) => /^\d{4,}-.*\.journal(\.zst)?$/.test(name))
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
}

/** Days that have a journal, ascending. */
export function journalDays(root: string): string[] {
  const folder = livePlaces.journal(root);
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder).filter((name) => /^\d{4}-\d{2}-\d{2}$/.test(name)).sort();
}

/**
 * All messages of a day in the order heard; of one session when `sessionId` is given. Throws UserError when
 * there is no such day, or a file of it is damaged.
 */
export function* readDay(root: string, day: string, sessionId?: string): Generator<Recorded> {
  const folder = livePlaces.journalDay(root, day), names = journalFiles(folder);
  if (names.length === 0) {
    const days = journalDays(root);
    throw new UserError(`nothing was recorded on ${day} (no journal in ${folder})`,
      days.length === 0 ? "start a session first: dmn live --paper"
        : `recorded days: ${days.slice(-5).join(", ")}`);
  }
  const filters = new Map<string, ReturnType<typeof repeatFilter>>();
  let row = 0;
  for (const name of names) {
    for (const entry of readJournalFile(path.join(folder, name))) {
      const { id } = entry.session, isRepeat = filters.get(id) ?? repeatFilter();
      filters.set(id, isRepeat);
      if (isRepeat(entry.message)) continue;
      if (sessionId === undefined || id === sessionId) yield { ...entry, row };
      row++;
    }
  }
}

/** One file. A torn tail ends it; UserError for damage before whole records, or another kind of file. */
export function* readJournalFile(place: string): Generator<Omit<Recorded, "row">> {
  const bytes = contentOf(place);
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC.subarray(0, bytes.length))) {
    throw damaged(place, 0, "it does not begin like a journal of a live day");
  }
  let session: Session | null = null;
  for (let at = MAGIC.length; at < bytes.length;) {
    const payload = payloadAt(bytes, at);
    if (payload === null) {
      if (hasRecordAfter(bytes, at)) throw damaged(place, at, "with whole records behind it");
      return;
    }
    at += HEAD_BYTES + payload.length;
    if (session === null) { session = sessionIn(place, payload); continue; }
    const message = decodeSpoken(payload.subarray(8));
    if (message === null) throw damaged(place, at, "a record is none of a message that this dmn knows");
    yield { session, heardAt: payload.readDoubleLE(), message };
  }
}

function contentOf(place: string): Buffer {
  const bytes = fs.readFileSync(place);
  if (!place.endsWith(".zst")) return bytes;
  try { return zstdDecompressSync(bytes); } catch (error) { throw damaged(place, 0, messageOf(error)); }
}

function sessionIn(place: string, payload: Buffer): Session {
  const parsed = sessionSchema.safeParse(JSON.parse(payload.toString("utf8")));
  if (!parsed.success) throw damaged(place, MAGIC.length, "its session is of another version of dmn");
  return parsed.data;
}

function payloadAt(bytes: Buffer, at: number): Buffer | null {
  if (at + HEAD_BYTES > bytes.length) return null;
  const length = bytes.readUInt32LE(at), start = at + HEAD_BYTES;
  if (length < 2 || length > RECORD_BYTES_MAX || start + length > bytes.length) return null;
  const payload = bytes.subarray(start, start + length);
  return crc32(payload) === bytes.readUInt32LE(at + 4) ? payload : null;
}

/** Tells damage from a torn tail. Asked of every byte: the length itself may be what is damaged. */
function hasRecordAfter(bytes: Buffer, at: number): boolean {
  for (let start = at + 1; start + HEAD_BYTES < bytes.length; start++) {
    if (payloadAt(bytes, start) !== null) return true;
  }
  return false;
}

function damaged(place: string, at: number, how: string): UserError {
  return new UserError(`${place} is damaged at byte ${at}: ${how}`,
    "restore it from a backup (dmn live restore), or move it away: the day is then incomplete");
}
