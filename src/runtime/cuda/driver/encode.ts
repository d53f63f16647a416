/**
 * Launches as C lays them out, in memory that stays where it is: what the driver is given at each launch is a
 * few pointers that were made once.
 *
 *   per launch, each part aligned to 64 bytes:
 *   | pointer to the struct | the struct | CUlaunchConfig (56) | CUlaunchAttribute (72) ... |
 */
import { assert } from "../../../base/assert.ts";
import { layoutArguments, type Launch, type TensorMapSpec } from "../launch.ts";
import { LAUNCH_ATTRIBUTE, type Driver } from "./driver.ts";
import { allocateHost, type HostMemory } from "./ffi.ts";

/** Of cuda.h: 7 u32, stream at 32, attributes at 40, their count at 48. */
const CONFIG = { bytes: 56, stream: 32, attributes: 40, attributeCount: 48 } as const;
const ATTRIBUTE = { bytes: 72, value: 8 } as const;
const ALIGNMENT = 64;
/** What a kernel may take by value. */
const ARGUMENTS_MAX = 4096;

/** Where a buffer of the list lies. */
export type Addresses = (buffer: string) => { readonly address: bigint; readonly bytes: number };

interface EncodedLaunch {
  /** Pointers for cuLaunchKernelEx. */
  readonly config: bigint;
  readonly parameters: bigint;
}
export interface EncodedLaunches {
  readonly launches: readonly EncodedLaunch[];
  /** Names the stream in every configuration. */
  setStream(handle: bigint): void;
  free(): void;
}

const up = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

interface Parts {
  readonly struct: number;
  readonly config: number;
  readonly attributes: number;
  readonly end: number;
}

function partsFrom(start: number, launch: Launch): Parts {
  const { bytes } = layoutArguments(launch.arguments);
  assert(bytes <= ARGUMENTS_MAX, `${launch.kernel} takes ${bytes} bytes of arguments, over ${ARGUMENTS_MAX}`);
  const struct = start + ALIGNMENT, config = struct + up(bytes), attributes = config + up(CONFIG.bytes);
  return { struct, config, attributes, end: attributes + up(3 * ATTRIBUTE.bytes) };
}

/** Encodes all launches of a list. */
export function encodeLaunches(driver: Driver, launches: readonly Launch[], addresses: Addresses):
  EncodedLaunches {
  let end = 0;
  const parts = launches.map((launch) => {
    const own = partsFrom(end, launch);
    ({ end } = own);
    return own;
  });
  const memory = allocateHost(end + ALIGNMENT);
  // koffi promises no alignment beyond malloc's.
  const skip = Number((BigInt(ALIGNMENT) - memory.pointer % BigInt(ALIGNMENT)) % BigInt(ALIGNMENT));
  const view = new DataView(memory.view, skip), base = memory.pointer + BigInt(skip);
  new Uint8Array(memory.view).fill(0);
  try {
    const target = { driver, view, base };
    launches.forEach((launch, k) => { encodeLaunch(target, launch, parts[k], addresses, k); });
  } catch (error) { memory.free(); throw error; }
  return finished(memory, view, base, parts);
}

function finished(memory: HostMemory, view: DataView, base: bigint, parts: readonly Parts[]):
  EncodedLaunches {
  let named = 0n;
  return {
    launches: parts.map(({ struct, config }) =>
      ({ config: base + BigInt(config), parameters: base + BigInt(struct - ALIGNMENT) })),
    setStream(handle) {
      if (handle === named) return;
      for (const { config } of parts) view.setBigUint64(config + CONFIG.stream, handle, true);
      named = handle;
    },
    free: () => { memory.free(); },
  };
}

interface Target { readonly driver: Driver; readonly view: DataView; readonly base: bigint }

function encodeLaunch(target: Target, launch: Launch, parts: Parts, addresses: Addresses, index: number):
  void {
  const { view, base } = target, { struct, config, attributes } = parts;
  view.setBigUint64(struct - ALIGNMENT, base + BigInt(struct), true);
  const { offsets } = layoutArguments(launch.arguments);
  launch.arguments.forEach((field, k) => {
    const at = struct + offsets[k];
    if (field.kind === "address") {
      view.setBigUint64(at, addressOf(addresses, field.buffer, field.offset ?? 0), true);
    } else if (field.kind === "tensorMap") encodeTensorMap(target, field.map, at, addresses);
    else if (field.kind === "f32") view.setFloat32(at, field.value, true);
    else if (field.kind === "i32") view.setInt32(at, field.value, true);
    else view.setUint32(at, field.value, true);
  });
  const { grid, block, sharedBytes, cluster = 1 } = launch;
  assert(grid[0] % cluster === 0, `${launch.kernel}: ${grid[0]} blocks are not whole clusters of ${cluster}`);
  [...grid, block, 1, 1, sharedBytes].forEach((value, k) => { view.setUint32(config + 4 * k, value, true); });
  const count = encodeAttributes(view, attributes, launch, index);
  view.setBigUint64(config + CONFIG.attributes, count === 0 ? 0n : base + BigInt(attributes), true);
  view.setUint32(config + CONFIG.attributeCount, count, true);
}

/** Writes the attributes that a launch asks for; returns their count. */
function encodeAttributes(view: DataView, start: number, launch: Launch, index: number): number {
  const { cluster = 1, isCooperative, isDependent } = launch;
  let count = 0;
  const put = (id: number, ...values: readonly number[]): void => {
    const at = start + count * ATTRIBUTE.bytes;
    view.setInt32(at, id, true);
    values.forEach((value, k) => { view.setUint32(at + ATTRIBUTE.value + 4 * k, value, true); });
    count++;
  };
  if (cluster > 1) put(LAUNCH_ATTRIBUTE.cluster, cluster, 1, 1);
  if (isCooperative === true) put(LAUNCH_ATTRIBUTE.cooperative, 1);
  // The first of a list follows whatever was in the stream, which it does not know.
  if (isDependent === true && index > 0) put(LAUNCH_ATTRIBUTE.programmaticSerialization, 1);
  return count;
}

function addressOf(addresses: Addresses, buffer: string, offset: number): bigint {
  const { address, bytes } = addresses(buffer);
  assert(offset >= 0 && offset <= bytes,
    `an argument points ${offset} bytes into ${buffer}, which has ${bytes}`);
  return address + BigInt(offset);
}

/** Numbers of cuda.h. */
const ELEMENTS = { f16: { id: 6, bytes: 2 }, f32: { id: 7, bytes: 4 }, bf16: { id: 9, bytes: 2 } } as const;
const SWIZZLES = { 0: 0, 32: 1, 64: 2, 128: 3 } as const;
const PROMOTE_TO_256_BYTES = 3;

function encodeTensorMap({ driver, base }: Target, map: TensorMapSpec, at: number, addresses: Addresses):
  void {
  const { sizes, strides, box, element, swizzle, buffer, offset = 0 } = map, rank = sizes.length;
  assert(strides.length === rank - 1 && box.length === rank, `the tensor map of ${buffer} has uneven ranks`);
  const last = rank === 1 ? ELEMENTS[element].bytes : strides[rank - 2];
  assert(offset + sizes[rank - 1] * last <= addresses(buffer).bytes, `the tensor map of ${buffer} leaves it`);
  driver.check(driver.cuTensorMapEncodeTiled(base + BigInt(at), ELEMENTS[element].id, rank,
    addressOf(addresses, buffer, offset), BigUint64Array.from(sizes, BigInt),
    BigUint64Array.from(rank === 1 ? [0] : strides, BigInt), Uint32Array.from(box),
    Uint32Array.from(box, () => 1), 0, SWIZZLES[swizzle], PROMOTE_TO_256_BYTES, 0),
  `describing ${buffer} (${sizes.join(" x ")}, box ${box.join(" x ")}) to the copy engine`);
}
