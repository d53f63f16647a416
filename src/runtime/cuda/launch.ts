/**
 * What the GPU is asked to do, as data: buffers, and a list of kernels over them. Planning makes it without a
 * device (tests print it); a program binds it to memory, captures it as one CUDA graph and replays that.
 *
 *   graph ─ lower ─> LaunchList { buffers, launches } ─ bind, capture ─> CUDA graph ─ replay ─> answers
 *
 * A kernel takes one struct by value. Its fields stand here in order, each aligned to its own size as in C.
 */

/** CUDA C++ that is compiled as one module: a file of kernels/, or generated text. */
export interface KernelSource {
  /** For messages and the cache: "lstm-wave.cu", "generated". */
  readonly name: string;
  /** Text; null: the file of that name in kernels/. */
  readonly text: string | null;
  readonly defines: Readonly<Record<string, number | string>>;
}

export type BufferRole =
  /** Fed by the caller before a run. */
  | "input"
  /** Read by the caller after it. */
  | "output"
  /** Written once, when the program is made. */
  | "weight"
  /** Kept from run to run. */
  | "state"
  /** Needed within a run only; may share memory with others. */
  | "scratch";

export interface BufferSpec {
  readonly name: string;
  readonly bytes: number;
  readonly role: BufferRole;
  /** Every byte before the first run; scratch with a fill is kept from run to run. */
  readonly fill?: number;
}

export type Argument =
  | { readonly kind: "address"; readonly buffer: string; readonly offset?: number }
  | { readonly kind: "u32" | "i32" | "f32"; readonly value: number }
  | { readonly kind: "tensorMap"; readonly map: TensorMapSpec };

/** Words of an argument struct. */
export const u32 = (value: number): Argument => ({ kind: "u32", value });
export const f32 = (value: number): Argument => ({ kind: "f32", value });

/** A tiled tensor in global memory, as the copy engine wants it (cuTensorMapEncodeTiled). */
export interface TensorMapSpec {
  readonly buffer: string;
  readonly offset?: number;
  readonly element: "f16" | "bf16" | "f32";
  /** Elements of each axis, the contiguous one first; strides in bytes of all but the first. */
  readonly sizes: readonly number[];
  readonly strides: readonly number[];
  readonly box: readonly number[];
  readonly swizzle: 0 | 32 | 64 | 128;
}

export interface Launch {
  readonly source: KernelSource;
  readonly kernel: string;
  readonly grid: readonly [x: number, y: number, z: number];
  readonly block: number;
  readonly sharedBytes: number;
  /** Blocks of a cluster; 1: none. */
  readonly cluster?: number;
  /** All blocks run at once, or the launch fails. */
  readonly isCooperative?: boolean;
  /** May start before the launch ahead of it has ended (its kernel waits itself). */
  readonly isDependent?: boolean;
  readonly arguments: readonly Argument[];
}

export interface LaunchList {
  readonly name: string;
  readonly buffers: readonly BufferSpec[];
  readonly launches: readonly Launch[];
}

const SIZES = { address: 8, u32: 4, i32: 4, f32: 4, tensorMap: 128 } as const;
const ALIGNMENTS = { address: 8, u32: 4, i32: 4, f32: 4, tensorMap: 64 } as const;

/** Where each field of an argument struct lies, and the struct's size: C's layout. */
export function layoutArguments(fields: readonly Argument[]): { offsets: number[]; bytes: number } {
  let end = 0, alignment = 1;
  const offsets = fields.map(({ kind }) => {
    const own = ALIGNMENTS[kind];
    alignment = Math.max(alignment, own);
    const offset = Math.ceil(end / own) * own;
    end = offset + SIZES[kind];
    return offset;
  });
  return { offsets, bytes: Math.ceil(end / alignment) * alignment };
}

/** A launch list as text: one line per buffer and launch, the same for the same plan. */
export function printLaunches({ name, buffers, launches }: LaunchList): string {
  const bufferLine = ({ name: buffer, bytes, role, fill }: BufferSpec): string =>
    `buffer ${buffer} ${role} ${bytes}${fill === undefined ? "" : ` fill ${fill}`}`;
  const launchLine = (launch: Launch): string => {
    const { source, kernel, grid, block, sharedBytes, cluster = 1, isCooperative, isDependent } = launch;
    const defines = Object.entries(source.defines).map(([key, value]) => ` -D${key}=${value}`).join("");
    const flags = [cluster > 1 ? ` cluster ${cluster}` : "", isCooperative === true ? " cooperative" : "",
      isDependent === true ? " dependent" : ""].join("");
    return `launch ${source.name}:${kernel}${defines} grid ${grid.join("x")} block ${block} shared `
      + `${sharedBytes}${flags} (${launch.arguments.map(argumentText).join(", ")})`;
  };
  return [`list ${name}`, ...buffers.map(bufferLine), ...launches.map(launchLine), ""].join("\n");
}

function argumentText(argument: Argument): string {
  if (argument.kind === "address") {
    const { buffer, offset = 0 } = argument;
    return offset === 0 ? buffer : `${buffer}+${offset}`;
  }
  if (argument.kind === "tensorMap") {
    const { buffer, sizes, box, swizzle } = argument.map;
    return `map ${buffer}[${sizes.join("x")}] box ${box.join("x")} swizzle ${swizzle}`;
  }
  return String(argument.value);
}

/** What a plan must know of a GPU: read from it, or given, so that plans can be made without one. */
export interface DeviceFacts {
  readonly name: string;
  /** 90 for compute capability 9.0. */
  readonly capability: number;
  readonly multiprocessors: number;
  /** Most dynamic shared memory of a block, bytes. */
  readonly sharedBytesMax: number;
  readonly l2Bytes: number;
  readonly memoryBytes: number;
  /** Clusters of that many blocks (with one block per multiprocessor) that run at once; absent: none. */
  readonly activeClusters: Readonly<Partial<Record<2 | 4 | 8 | 16, number>>>;
}

/** The GPU that the goldens are planned for. */
export const H200: DeviceFacts = {
  name: "NVIDIA H200", capability: 90, multiprocessors: 132, sharedBytesMax: 232_448,
  l2Bytes: 60 * 2 ** 20, memoryBytes: 141 * 10 ** 9, activeClusters: { 2: 66, 4: 30, 8: 15, 16: 7 },
};

/** What numbers a plan computes with: storage and products; sums are float32. */
export type CudaPrecision = "float16" | "bfloat16" | "float32";
