/**
 * C functions as data: a table says each function's name and parameters once, and both the declarations that
 * koffi needs and the types that TypeScript checks follow from it. A wrong name does not compile.
 */
import { koffi, type KoffiCall } from "../../koffi.ts";

/**
 * Parameter kinds: what C takes, what is passed for it. Results are written into typed arrays of one
 * element.
 */
interface Passed {
  readonly u32: number;
  readonly i32: number;
  readonly size: number;
  /** A device address. */
  readonly address: bigint;
  /** An opaque pointer that the library gave us. */
  readonly handle: bigint;
  readonly text: string;
  /** Bytes of ours that are read or written during the call, or a pointer to memory that stays. */
  readonly bytes: ArrayBufferView | bigint | null;
  readonly texts: readonly string[] | null;
  readonly "out i32": Int32Array;
  readonly "out u32": Uint32Array;
  readonly "out f32": Float32Array;
  /** A 64-bit result (size, address, handle): through a typed array it keeps all its bits. */
  readonly "out u64": BigUint64Array;
}
export type Kind = keyof Passed;

const DECLARED: Readonly<Record<Kind, string>> = {
  u32: "uint32_t", i32: "int32_t", size: "size_t", address: "uint64_t", handle: "void *", text: "str",
  bytes: "void *", texts: "const char **",
  "out i32": "void *", "out u32": "void *", "out f32": "void *", "out u64": "void *",
};

export type Table = Readonly<Record<string, readonly Kind[]>>;
type Arguments<Kinds extends readonly Kind[]> = { [K in keyof Kinds]: Passed[Kinds[K]] };
export type Functions<T extends Table> =
  { readonly [Name in keyof T]: (...values: Arguments<T[Name]>) => number };

/** A shared library that was opened. */
export interface OpenedLibrary {
  readonly file: string;
  /** All functions of a table; throws with the name of the first that the library lacks. */
  functions<T extends Table>(table: T): Functions<T>;
  /** Calls one function on another thread. */
  later<T extends Table, Name extends keyof T & string>(table: T, name: Name):
    (...values: Arguments<T[Name]>) => Promise<number>;
}

/** Opens a library (a path, or a soname that the loader finds). Throws the loader's error. */
export function openLibrary(file: string, { isGlobal = false } = {}): OpenedLibrary {
  const opened = koffi().load(file, { global: isGlobal });
  const bind = (name: string, kinds: readonly Kind[]): KoffiCall =>
    opened.func(name, "int", kinds.map((kind) => DECLARED[kind]));
  return {
    file,
    functions: <T extends Table>(table: T) => Object.fromEntries(
      Object.entries(table).map(([name, kinds]) => [name, bind(name, kinds)])) as unknown as Functions<T>,
    later: (table, name) => {
      const call = bind(name, table[name]);
      return (...values) => new Promise((resolve, reject) => {
        call.async(...values, (error: Error | null, result: number) => {
          if (error === null) resolve(result); else reject(error);
        });
      });
    },
  };
}

/** The text that a C string at an address says. */
export const textAt = (pointer: bigint): string => koffi().decode.string(pointer);

/** Memory that C may keep pointing at: it stays where it is until it is freed. */
export interface HostMemory {
  readonly pointer: bigint;
  readonly view: ArrayBuffer;
  free(): void;
}

export function allocateHost(bytes: number): HostMemory {
  const pointer = koffi().alloc("uint8_t", bytes);
  const view = koffi().view(pointer, bytes);
  return { pointer, view, free() { detach(view); koffi().free(pointer); } };
}

/** Somebody else's memory as an ArrayBuffer; `detach` it before that memory is freed. */
export const viewHost = (pointer: bigint, bytes: number): ArrayBuffer => koffi().view(pointer, bytes);

/** Empties a view, so that who still holds it reads nothing instead of freed memory. */
export function detach(view: ArrayBuffer): void {
  if (!view.detached) view.transfer(0);
}
