/** A GPU for tests: this machine's, or the emulated one. */
import { messageOf } from "../src/base/error.ts";
import { openCuda, type Cuda } from "../src/runtime/cuda/driver/device.ts";
import { emulatedCuda } from "./emulator/build.ts";

/** An open GPU and what to call it; a string: why there is neither kind, which is the reason to skip. */
export function someCuda(): { cuda: Cuda; name: string } | string {
  try { return { cuda: openCuda(), name: "cuda" }; } catch (error) {
    const libraries = emulatedCuda();
    if (typeof libraries === "string") return `${messageOf(error)}; ${libraries}`;
    return { cuda: openCuda({ libraries, cacheFolder: null }), name: "emulated cuda" };
  }
}
