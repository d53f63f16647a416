/**
 * How a GPU is doing, by NVIDIA's management library. Everything is optional: what it does not say is null.
 */
import { openLibrary, type Functions, type Table } from "./ffi.ts";
import { nvmlNames } from "./library.ts";

export const NVML = {
  nvmlInit_v2: [],
  nvmlShutdown: [],
  nvmlSystemGetDriverVersion: ["bytes", "u32"],
  // (PCI bus id, device)
  nvmlDeviceGetHandleByPciBusId_v2: ["text", "out u64"],
  nvmlDeviceGetName: ["handle", "bytes", "u32"],
  // {total, free, used}, 64 bits each
  nvmlDeviceGetMemoryInfo: ["handle", "out u64"],
  // {GPU, memory} percent, 32 bits each
  nvmlDeviceGetUtilizationRates: ["handle", "out u32"],
  // (device, sensor 0: the GPU, Celsius)
  nvmlDeviceGetTemperature: ["handle", "i32", "out u32"],
  // mW
  nvmlDeviceGetPowerUsage: ["handle", "out u32"],
} as const satisfies Table;

export interface GpuHealth {
  readonly name: string | null;
  readonly memoryTotalBytes: number | null;
  readonly memoryUsedBytes: number | null;
  /** Share of the last second in which a kernel ran, 0 to 1. */
  readonly utilisation: number | null;
  readonly temperatureCelsius: number | null;
  readonly powerWatts: number | null;
}

export interface Nvml {
  /** "580.95.05" */
  readonly driverVersion: string | null;
  /** By the bus id that the driver gives ("0000:1B:00.0"); null when it is not known. */
  health(busId: string): GpuHealth | null;
  close(): void;
}

/** Opens NVML (`file`, or the first that is found); null where there is none. */
export function openNvml(file?: string): Nvml | null {
  for (const name of file === undefined ? nvmlNames() : [file]) {
    let call: Functions<typeof NVML>;
    try { call = openLibrary(name).functions(NVML); } catch { continue; }
    if (call.nvmlInit_v2() === 0) return nvmlOf(call);
  }
  return null;
}

function nvmlOf(call: Functions<typeof NVML>): Nvml {
  const text = new Uint8Array(128), words = new BigUint64Array(3), halves = new Uint32Array(2);
  const said = (code: number): string | null =>
    (code === 0 ? new TextDecoder().decode(text.subarray(0, text.indexOf(0))) : null);
  const value = (code: number, index = 0): number | null => (code === 0 ? halves[index] : null);
  const scaled = (number: number | null, unit: number): number | null =>
    (number === null ? null : number * unit);
  return {
    driverVersion: said(call.nvmlSystemGetDriverVersion(text, text.length)),
    health(busId) {
      if (call.nvmlDeviceGetHandleByPciBusId_v2(busId, words) !== 0) return null;
      const [device] = words;
      const hasMemory = call.nvmlDeviceGetMemoryInfo(device, words) === 0;
      const memoryTotalBytes = hasMemory ? Number(words[0]) : null;
      return {
        name: said(call.nvmlDeviceGetName(device, text, text.length)), memoryTotalBytes,
        memoryUsedBytes: hasMemory ? Number(words[2]) : null,
        utilisation: scaled(value(call.nvmlDeviceGetUtilizationRates(device, halves)), 0.01),
        temperatureCelsius: value(call.nvmlDeviceGetTemperature(device, 0, halves)),
        powerWatts: scaled(value(call.nvmlDeviceGetPowerUsage(device, halves)), 0.001),
      };
    },
    close() { call.nvmlShutdown(); },
  };
}
