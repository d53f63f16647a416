/**
 * One checkpoint as a safetensors file, which Python's `safetensors` opens too:
 *
 *     | u64 n | n bytes of JSON, padded with spaces | tensors, back to back, little endian |
 *
 *     { "__metadata__": { "format": "dmn-checkpoint", "version": "1", "checksum": "...",
 *                         "state": "{...}" },
 *       "parameters": { "dtype": "F32", "shape": [P], "data_offsets": [0, 4 P] }, ... }
 *
 * Values of __metadata__ must be strings (the format's rule), so what is not a tensor is JSON
 * within JSON. The checksum is SHA-256 over that JSON, the tensors' entries and their bytes.
 */
import { createHash } from "node:crypto";
import { assert } from "../base/assert.ts";
import type { Tensors } from "../runtime/runtime.ts";

const FORMAT = "dmn-checkpoint";
export const CHECKPOINT_VERSION = 1;
/** Longest header that is read: a history of ten thousand epochs is 3 MB. */
const HEADER_MAX = 1 << 26;

interface Entry {
  readonly dtype: "F32" | "F64";
  readonly shape: readonly number[];
  /** First byte and the one after the last, counted from the end of the header. */
  readonly data_offsets: readonly [number, number];
}

const bytesOf = (values: Float32Array | Float64Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

function checksumOf(state: string, entries: Readonly<Record<string, Entry>>,
  payload: readonly Uint8Array[]): string {
  const hash = createHash("sha256").update(JSON.stringify([state, entries]));
  for (const piece of payload) hash.update(piece);
  return hash.digest("hex");
}

/** `state` is anything that JSON can say; tensors are written in the order given. */
export function encodeCheckpoint(state: unknown, tensors: Tensors): Uint8Array {
  assert(new Uint8Array(Uint32Array.of(1).buffer)[0] === 1, "this machine is little endian");
  const said = JSON.stringify(state), entries: Record<string, Entry> = {};
  let end = 0;
  // Float64 first, so that each tensor starts at a multiple of its element's size.
  const ordered = Object.entries(tensors).sort(([, a], [, b]) =>
    b.values.BYTES_PER_ELEMENT - a.values.BYTES_PER_ELEMENT);
  for (const [name, { shape, values }] of ordered) {
    const start = end;
    end += values.byteLength;
    entries[name] = { dtype: values instanceof Float64Array ? "F64" : "F32", shape: [...shape],
      data_offsets: [start, end] };
  }
  const payload = ordered.map(([, { values }]) => bytesOf(values));
  const metadata = { format: FORMAT, version: String(CHECKPOINT_VERSION),
    checksum: checksumOf(said, entries, payload), state: said };
  const json = Buffer.from(JSON.stringify({ __metadata__: metadata, ...entries }), "utf8");
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  header.writeBigUInt64LE(BigInt(header.length - 8));
  json.copy(header, 8);
  return Buffer.concat([header, ...payload]);
}

export type Decoded =
  | { readonly kind: "good"; readonly state: unknown; readonly tensors: Tensors }
  | { readonly kind: "newer"; readonly version: number }
  | { readonly kind: "damaged"; readonly reason: string };

/**
 * Every byte is checked; what is wrong comes back as a value, because the caller has older
 * checkpoints.
 */
export function decodeCheckpoint(bytes: Uint8Array): Decoded {
  const damaged = (reason: string): Decoded => ({ kind: "damaged", reason });
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < 8) return damaged(`it has only ${buffer.length} bytes`);
  const length = Number(buffer.readBigUInt64LE());
  if (length > HEADER_MAX || 8 + length > buffer.length) return damaged("it is cut short");
  try {
    const { __metadata__: metadata, ...entries } =
      JSON.parse(buffer.toString("utf8", 8, 8 + length)) as Record<string, Entry>
        & { __metadata__: Record<string, string> };
    if (metadata.format !== FORMAT) return damaged("it is not a checkpoint of dmn");
    const version = Number(metadata.version);
    if (version > CHECKPOINT_VERSION) return { kind: "newer", version };
    if (version !== CHECKPOINT_VERSION) return damaged("it has no version");
    const payload = buffer.subarray(8 + length);
    if (checksumOf(metadata.state, entries, [payload]) !== metadata.checksum) {
      return damaged("its checksum does not match");
    }
    // A copy of its own: aligned, and not a view into the file's bytes.
    const { buffer: own } = Uint8Array.from(payload);
    const tensors = Object.fromEntries(Object.entries(entries).map(([name, entry]) => {
      const { dtype, shape, data_offsets } = entry;
      const [start, end] = data_offsets;
      const values = dtype === "F64" ? new Float64Array(own, start, (end - start) / 8)
        : new Float32Array(own, start, (end - start) / 4);
      return [name, { shape, values }];
    }));
    return { kind: "good", state: JSON.parse(metadata.state) as unknown, tensors };
  } catch { return damaged("its header cannot be read"); }
}
