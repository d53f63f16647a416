/**
 * One message on the wire: a fixed header, a directory of tensors, then their raw little-endian numbers.
 *
 *   0  u32 magic "DMNw"   4  u8 schema   5 u8 code of the kind   6 u8 flags (1: zstd)   7 u8 entries
 *   8  u32 epoch         12  u32 seq    16 u32 reply            20 u32 bytes before compression
 *  24  f64 at (UTC ms)   32  f64 sent   40 f64 origin           48 f64 expires    (monotonic ns; 0 none)
 *  56  8 characters: model version      64 24 characters: sender                  (zero padded)
 *  88  entries x { u32 dtype << 24 | columns, u32 elements }
 *      entries' bytes, each begins at a multiple of 8; the entry of dtype "json" is the meta
 *
 * What follows the header is one zstd frame when flag 1 is set: numbers are then shuffled (all first bytes,
 * all second bytes, ...), because bytes of equal rank resemble each other. On one host compressing costs
 * more than the hop, so it is for remote links only.
 *
 * `encode` copies into a fresh buffer, always: libzmq keeps a pointer to what it is given. `decode` answers
 * views of the frame, and a value for whatever may be wrong with it: the world misbehaves.
 */
import { endianness } from "node:os";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { assert } from "../base/assert.ts";

export type TensorArray = Float64Array | Float32Array | Int32Array | Uint8Array;
export interface Tensor {
  /** (rows, columns) row by row. */
  readonly values: TensorArray;
  readonly columns: number;
}
/** What is said, whatever it means: the wire knows no kinds. */
export interface Content {
  /** Which kind, 0..255: live/message.ts has the table. */
  readonly code: number;
  /** Event time, UTC ms. */
  readonly at: number;
  /** Model version, up to 8 ASCII characters; "" is none. */
  readonly version: string;
  readonly tensors: readonly Tensor[];
  /** What is no tensor, as JSON; undefined is none. */
  readonly meta: unknown;
}
/** What the socket adds. */
export interface Stamp {
  /** Up to 24 ASCII characters. */
  readonly sender: string;
  /** Another one after each restart of the sender, 32 bits. */
  readonly epoch: number;
  /** 1, 2, 3, ...; per topic of a publisher, per question of a requester. */
  readonly seq: number;
  /** Monotonic ns at which it was handed to the socket: queueing counts. */
  readonly sent: number;
  /** Monotonic ns at which what caused it came into the graph; 0: unknown. */
  readonly origin: number;
  /** The seq of the question that this answers; 0: none. */
  readonly reply: number;
  /** Monotonic ns after which it must not be carried out; 0: never. */
  readonly expires: number;
}
export interface Packet extends Content, Stamp {
  /** On the wire, and before compression. */
  readonly bytes: number;
  readonly plainBytes: number;
}
/** Content that says nothing: the answer to a command that was taken. */
export const ACK: Content = { code: 0, at: NaN, version: "", tensors: [], meta: undefined };
export interface Damage { readonly damage: string }
export const isDamage = (heard: object): heard is Damage => "damage" in heard;

/** ns; the same clock in all processes of a host (CLOCK_MONOTONIC), never stepped; exact for 104 days. */
export const monotonicNs = (): number => Number(process.hrtime.bigint());

const MAGIC = 0x774e4d44, SCHEMA = 1, HEADER = 88, ENTRY = 8;
const COMPRESSED = 1;
/** Below this, compressing gains nothing; above that, we do not believe a header. Bytes. */
const COMPRESS_MIN = 1_024, PLAIN_MAX = 1 << 28;
export const VERSION_MAX = 8, SENDER_MAX = 24;
const JSON_TYPE = 5;
const ARRAYS = [null, Float64Array, Float32Array, Int32Array, Uint8Array, Uint8Array] as const;
const COLUMNS_MAX = 0xffffff;

assert(endianness() === "LE", "numbers travel as they lie in memory, little-endian");
// Headers are made and read here: one copy instead of eleven calls, and alignment is ours.
const scratch = new Uint8Array(HEADER);
const words = new Uint32Array(scratch.buffer), reals = new Float64Array(scratch.buffer);
const padded = (bytes: number): number => Math.ceil(bytes / 8) * 8;
const typeOf = (values: TensorArray): number => values instanceof Float64Array ? 1
  : values instanceof Float32Array ? 2 : values instanceof Int32Array ? 3 : 4;
const bytesOf = (values: TensorArray): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** A buffer of its own, ready for a socket. `isCompressed`: try zstd on what is larger than 1 KiB. */
export function encode(content: Content, stamp: Stamp, isCompressed = false): Buffer {
  const { tensors } = content;
  const json = content.meta === undefined ? null : Buffer.from(JSON.stringify(content.meta));
  const entries = tensors.length + (json === null ? 0 : 1);
  let size = HEADER + entries * ENTRY + (json === null ? 0 : padded(json.length));
  for (const tensor of tensors) size += padded(tensor.values.byteLength);
  assert(entries < 256 && size <= PLAIN_MAX,
    `a message of ${entries} tensors and ${size} bytes is too large`);
  const packet = Buffer.allocUnsafe(size);
  const isShuffled = isCompressed && size >= COMPRESS_MIN;
  let entry = HEADER, at = HEADER + entries * ENTRY;
  const put = (type: number, columns: number, elements: number, bytes: Uint8Array): void => {
    packet.writeUInt32LE((type << 24 | columns) >>> 0, entry);
    packet.writeUInt32LE(elements, entry + 4);
    if (isShuffled) shuffle(bytes, packet.subarray(at, at + bytes.length), ARRAYS[type]!.BYTES_PER_ELEMENT);
    else packet.set(bytes, at);
    const end = at + padded(bytes.length);
    packet.fill(0, at + bytes.length, end);
    entry += ENTRY; at = end;
  };
  for (const { values, columns } of tensors) {
    assert(columns >= 1 && columns <= COLUMNS_MAX && values.length % columns === 0,
      "tensors are rectangular");
    put(typeOf(values), columns, values.length, bytesOf(values));
  }
  if (json !== null) put(JSON_TYPE, 1, json.length, json);
  const body = isShuffled ? compress(packet.subarray(HEADER)) : null;
  const frame = body === null ? packet : Buffer.allocUnsafe(HEADER + body.length);
  writeHeader(frame, content, stamp, entries, body === null ? 0 : COMPRESSED, size);
  if (body !== null) frame.set(body, HEADER);
  return frame;
}

function writeHeader(
  frame: Buffer, content: Content, stamp: Stamp, entries: number, flags: number, plainBytes: number,
): void {
  assert(content.version.length <= VERSION_MAX && stamp.sender.length <= SENDER_MAX,
    `names are short: version "${content.version}", sender "${stamp.sender}"`);
  scratch.fill(0, 56);
  words[0] = MAGIC;
  words[1] = (SCHEMA | content.code << 8 | flags << 16 | entries << 24) >>> 0;
  words[2] = stamp.epoch; words[3] = stamp.seq; words[4] = stamp.reply; words[5] = plainBytes;
  reals[3] = content.at; reals[4] = stamp.sent; reals[5] = stamp.origin; reals[6] = stamp.expires;
  frame.set(scratch);
  frame.write(content.version, 56, VERSION_MAX, "latin1");
  frame.write(stamp.sender, 64, SENDER_MAX, "latin1");
}

/** Level 1: each further level costs more than it saves. A changed byte would else open to other numbers. */
const ZSTD = {
  params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 },
} as const;

/** Null where it would not get smaller. */
function compress(body: Uint8Array): Buffer | null {
  const small = zstdCompressSync(body, ZSTD);
  return small.length < body.length ? small : null;
}

/** Was this frame's body compressed? Its topic says so. */
export const isCompressedFrame = (frame: Uint8Array): boolean => (frame[6] & COMPRESSED) !== 0;

/** The message in a frame, its tensors as views of it. Never throws: damage is a value. */
export function decode(frame: Uint8Array): Packet | Damage {
  if (frame.length < HEADER) return { damage: `truncated: ${frame.length} bytes are no header` };
  scratch.set(frame.length === HEADER ? frame : frame.subarray(0, HEADER));
  if (words[0] !== MAGIC) return { damage: "not ours: another magic number" };
  if (scratch[4] !== SCHEMA) return { damage: `schema ${scratch[4]}: this dmn speaks ${SCHEMA}` };
  const code = scratch[5], entries = scratch[7], isSmall = (scratch[6] & COMPRESSED) !== 0;
  const epoch = words[2], seq = words[3], reply = words[4], plainBytes = words[5];
  const at = reals[3], sent = reals[4], origin = reals[5], expires = reals[6];
  const text = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  const version = readText(text, 56, VERSION_MAX), sender = readText(text, 64, SENDER_MAX);
  const opened = isSmall ? inflate(frame, plainBytes) : alignedBody(frame);
  if (isDamage(opened)) return opened;
  const read = readEntries(opened, entries, isSmall);
  if (isDamage(read)) return read;
  if (HEADER + opened.length !== plainBytes) return { damage: `${plainBytes} bytes were said to come` };
  return { code, at, version, tensors: read.tensors, meta: read.meta, sender, epoch, seq, sent, origin, reply,
    expires, bytes: frame.length, plainBytes };
}

function readText(frame: Buffer, start: number, limit: number): string {
  let end = start;
  while (end < start + limit && frame[end] !== 0) end++;
  return frame.toString("latin1", start, end);
}

function inflate(frame: Uint8Array, plainBytes: number): Uint8Array | Damage {
  const isSane = plainBytes <= PLAIN_MAX && plainBytes >= HEADER;
  if (!isSane) return { damage: `${plainBytes} bytes are not believed` };
  try {
    const body = zstdDecompressSync(frame.subarray(HEADER), { maxOutputLength: plainBytes - HEADER + 1 });
    return body.byteOffset % 8 === 0 ? body : Uint8Array.from(body);
  } catch { return { damage: "the compressed body does not open" }; }
}

/** libzmq's frames are aligned; a frame out of a file may lie anywhere. */
function alignedBody(frame: Uint8Array): Uint8Array {
  const body = frame.subarray(HEADER);
  return body.byteOffset % 8 === 0 ? body : Uint8Array.from(body);
}

function readEntries(
  body: Uint8Array, entries: number, isShuffled: boolean,
): { tensors: Tensor[]; meta: unknown } | Damage {
  let at = entries * ENTRY;
  if (body.length < at) return { damage: "truncated: the directory is not whole" };
  const directory = new Uint32Array(body.buffer, body.byteOffset, entries * 2);
  const tensors: Tensor[] = [];
  let meta: unknown;
  for (let k = 0; k < entries; k++) {
    const word = directory[2 * k], type = word >>> 24, columns = word & COLUMNS_MAX;
    const elements = directory[2 * k + 1];
    const TypedArray = ARRAYS[type];
    if (TypedArray === undefined || TypedArray === null) return { damage: `dtype ${type} is unknown` };
    const isWhole = columns > 0 && elements % columns === 0;
    if (!isWhole) return { damage: `${elements} elements in ${columns} columns` };
    const size = elements * TypedArray.BYTES_PER_ELEMENT;
    if (at + padded(size) > body.length) return { damage: "truncated: a tensor is not whole" };
    let place = body.byteOffset + at, buffer = body.buffer;
    if (isShuffled) {
      const plain = new Uint8Array(size);
      unshuffle(body.subarray(at, at + size), plain, TypedArray.BYTES_PER_ELEMENT);
      place = 0; buffer = plain.buffer;
    }
    if (type === JSON_TYPE) {
      try { meta = JSON.parse(Buffer.from(buffer, place, size).toString()); } catch {
        return { damage: "the meta is no JSON" };
      }
    } else tensors.push({ values: new TypedArray(buffer as ArrayBuffer, place, elements), columns });
    at += padded(size);
  }
  if (at !== body.length) return { damage: `${body.length - at} bytes too many` };
  return { tensors, meta };
}

/** Byte k of every element, then byte k + 1 of every element. */
function shuffle(plain: Uint8Array, out: Uint8Array, itemBytes: number): void {
  const count = plain.length / itemBytes;
  for (let k = 0, at = 0; k < itemBytes; k++) {
    for (let i = 0; i < count; i++) out[at++] = plain[i * itemBytes + k];
  }
}
function unshuffle(shuffled: Uint8Array, out: Uint8Array, itemBytes: number): void {
  const count = shuffled.length / itemBytes;
  for (let k = 0, at = 0; k < itemBytes; k++) {
    for (let i = 0; i < count; i++) out[i * itemBytes + k] = shuffled[at++];
  }
}
