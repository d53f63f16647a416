/** Launch lists on the emulated GPU, from buffers to buffers. */
import { openCuda, type Cuda } from "../../src/runtime/cuda/driver/device.ts";
import type { BufferSpec, Launch, LaunchList } from "../../src/runtime/cuda/launch.ts";
import { emulatedCuda } from "./build.ts";

/** Opens the emulated GPU; throws where it cannot be built. */
export function openEmulated(): Cuda {
  const libraries = emulatedCuda();
  if (typeof libraries === "string") throw new Error(libraries);
  return openCuda({ libraries, cacheFolder: null });
}

/** What buffers hold before a run, by name. */
export type Contents = Readonly<Record<string, ArrayBufferView>>;

const bytesOf = (view: ArrayBufferView): Uint8Array => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/** Binds a list with poisoned buffers, runs it `times`, and gives the bytes of its outputs and states. */
export function runLaunches(cuda: Cuda, parts: { buffers: readonly BufferSpec[]; launches: readonly Launch[] },
  contents: Contents, times = 1): Map<string, Uint8Array> {
  const list: LaunchList = { name: "test", buffers: parts.buffers, launches: parts.launches };
  using bound = cuda.bind(list, {}, { poison: 0x7f });
  using stream = cuda.stream();
  for (const [name, view] of Object.entries(contents)) bound.write(name, bytesOf(view));
  for (let k = 0; k < times; k++) bound.launch(stream);
  stream.synchronize();
  return new Map(list.buffers.filter(({ role }) => role === "output" || role === "state")
    .map(({ name }) => [name, bound.read(name)]));
}

/** Float32 of 16-bit floats and back, to the nearest (ties to even). */
export const floatOfHalf = (bits: number): number => new Float16Array(Uint16Array.of(bits).buffer)[0];
export const halves = (values: ArrayLike<number>): Uint16Array => new Uint16Array(Float16Array.from(values).buffer);
export const floatsOfHalves = (bytes: Uint8Array): Float32Array =>
  Float32Array.from(new Float16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2));
