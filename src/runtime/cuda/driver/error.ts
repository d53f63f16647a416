/**
 * What can go wrong between us and a GPU, as one error: a reason to decide by, one sentence to read, and
 * what to do about it. Whoever can go on without a GPU catches it; whoever cannot shows both sentences.
 */

export type CudaReason =
  /** No libcuda: no NVIDIA driver on this machine. */
  | "no-driver"
  /** The driver is there and too old for us, or for the compiler that was found. */
  | "old-driver"
  /** Neither NVRTC, nor nvcc, nor an earlier compilation. */
  | "no-nvrtc"
  /** The driver has no GPU, or none that can run our kernels. */
  | "no-device"
  | "out-of-memory"
  /** A kernel died (a trap, a bad address): everything that this process has on that GPU is lost. */
  | "fault"
  /** The compiler refused a kernel: our bug, or a compiler older than it. */
  | "compile"
  /** Blocks that must run at once do not fit on this GPU. */
  | "too-large"
  /** A wait was longer than it may be, and the GPU says that it is still at work. */
  | "timeout"
  /** Any other refusal of the driver. */
  | "failed";

export class CudaError extends Error {
  override readonly name = "CudaError";
  readonly reason: CudaReason;
  /** The driver's result code; null: the trouble began before the driver. */
  readonly code: number | null;
  /** The next command or step; "" when there is none. */
  readonly hint: string;
  constructor(reason: CudaReason, message: string,
    more: { code?: number; hint?: string; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? {} : { cause: more.cause });
    this.reason = reason;
    this.code = more.code ?? null;
    this.hint = more.hint ?? "";
  }
  /**
   * Whether every later call of this process on this GPU fails too: only another process can go on with it.
   */
  get isSticky(): boolean { return this.reason === "fault"; }
}

/**
 * Codes of cuda.h (13.2) after which the process has lost the GPU, in words that a person can use. Not even a
 * reset of the context brings it back (measured: after a trap and after a misaligned access, driver 580).
 */
const FAULTS: Readonly<Record<number, string>> = {
  214: "an uncorrectable memory error",
  220: "an uncorrectable NVLink error",
  700: "an access to a wrong address",
  702: "a kernel that ran too long",
  710: "a failed assertion in a kernel",
  714: "a stack error",
  715: "an illegal instruction, or a kernel that stopped itself (trap)",
  716: "an access to a misaligned address",
  717: "an access to a wrong address space",
  718: "a wrong program counter",
  719: "a kernel that stopped itself (a wait that never ended), or a hardware fault",
  721: "tensor memory that was not given back",
};
const NO_DEVICE: ReadonlySet<number> = new Set([46, 100, 101]);
const OLD_DRIVER: ReadonlySet<number> = new Set([36, 222, 803, 804]);

/** Result codes that are no errors. */
export const NOT_READY = 600;

/** The error for a result code: `name` and `text` are the driver's, `doing` is ours ("allocating 3 MB"). */
export function errorOf(code: number, name: string, text: string, doing: string): CudaError {
  const said = `${name} (${code}): ${text}`;
  if (code in FAULTS) {
    return new CudaError("fault", `the GPU stopped at ${FAULTS[code]} (${name}, ${code}) while ${doing}`,
      { code, hint: "this process cannot use the GPU any more: start it again" });
  }
  if (code === 2) {
    return new CudaError("out-of-memory", `the GPU has too little free memory: ${doing}`,
      { code, hint: "close what else uses it (nvidia-smi shows who), or choose a smaller batch" });
  }
  if (NO_DEVICE.has(code)) {
    return new CudaError("no-device", `there is no GPU that can be used (${said})`,
      { code, hint: "see what nvidia-smi says; CUDA_VISIBLE_DEVICES hides GPUs" });
  }
  if (OLD_DRIVER.has(code)) {
    return new CudaError("old-driver", `the NVIDIA driver is too old for this (${said}) while ${doing}`,
      { code, hint: "update the driver, or point DMN_NVRTC at an NVRTC of the driver's CUDA version" });
  }
  if (code === 720) {
    return new CudaError("too-large", `blocks that must run at once do not fit on this GPU, ${doing}`,
      { code });
  }
  return new CudaError("failed", `the GPU's driver refused: ${said} while ${doing}`, { code });
}
