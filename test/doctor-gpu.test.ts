/** What `dmn doctor` says of GPUs: made-up machines, and the emulated one. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as path from "node:path";
import { describe, test } from "node:test";
import type { CudaFindings, FoundGpu } from "../src/runtime/cuda/driver/describe.ts";
import { gpuFindings } from "../src/workflow/doctor-gpu.ts";
import type { Finding } from "../src/workflow/doctor.ts";
import { emulatedCuda } from "./emulator/build.ts";

const H200: FoundGpu = { ordinal: 0, name: "NVIDIA H200", capability: 90, multiprocessors: 132, memoryBytes: 150e9,
  busId: "0000:1b:00.0", isSupported: true, health: null };
const machine: CudaFindings = {
  driver: { cudaVersion: "13.0", version: "580.95.05", file: "libcuda.so.1" }, gpus: [H200],
  compiler: { name: "NVRTC", version: "13.0", file: "/usr/lib/libnvrtc.so.13" }, missing: null,
  cache: { folder: "/cache/dmn/cubin", kernels: 12, bytes: 1_260_000 },
};
const lines = (found: CudaFindings): string[] =>
  gpuFindings(found).map(({ what, state, found: words }) => `${what} ${state}: ${words}`);

describe("what the doctor says of GPUs", () => {
  test("a whole machine has a driver, a GPU, NVRTC and kept kernels, and needs nothing", () => {
    assert.deepEqual(lines(machine), ["NVIDIA driver ok: 580.95.05, CUDA 13.0",
      "GPU 0 ok: NVIDIA H200, compute capability 9.0, 132 multiprocessors, 150 GB",
      "NVRTC ok: 13.0 at /usr/lib/libnvrtc.so.13", "GPU kernels ok: 12 compiled, 1.3 MB in /cache/dmn/cubin"]);
    assert.ok(gpuFindings(machine).every(({ remedy }) => remedy === ""));
  });

  test("without a driver there is one row: networks run on the CPU, and nothing is to be done", () => {
    const missing = { reason: "no-driver", what: "no NVIDIA driver: ...", remedy: "" } as const;
    const found = gpuFindings({ ...machine, driver: null, gpus: [], missing });
    assert.deepEqual(found, [{ what: "GPU", state: "absent", found: "no NVIDIA driver here; networks run on the CPU",
      remedy: "" }]);
  });

  test("an old driver is missing its update", () => {
    const missing = { reason: "old-driver", what: "the NVIDIA driver is too old", remedy: "update the driver" } as const;
    const [only, ...others] = gpuFindings({ ...machine, driver: null, gpus: [], missing });
    assert.deepEqual([only.state, only.found, only.remedy, others.length],
      ["missing", "the NVIDIA driver is too old; networks run on the CPU", "update the driver", 0]);
  });

  test("a machine without NVRTC is told the command that brings it", () => {
    const missing = { reason: "no-nvrtc", what: "NVRTC is not here", remedy: "pip install nvidia-cuda-nvrtc" } as const;
    const row = gpuFindings({ ...machine, compiler: null, missing }).find(({ what }) => what === "NVRTC");
    assert.deepEqual([row?.state, row?.remedy], ["missing", "pip install nvidia-cuda-nvrtc"]);
  });

  test("memory in use, a GPU that is too old, and kernels that are not kept are said", () => {
    const health = { name: null, memoryTotalBytes: null, memoryUsedBytes: 2.04e9, utilisation: null,
      temperatureCelsius: null, powerWatts: null };
    const old = { ...H200, ordinal: 1, name: "V100", capability: 70, isSupported: false };
    const said = lines({ ...machine, gpus: [{ ...H200, health }, old], cache: null });
    assert.match(said[1], /150 GB \(2\.0 GB in use\)$/);
    assert.match(said[2], /^GPU 1 absent: V100, compute capability 7\.0, .* too old for our kernels$/);
    assert.match(said.at(-1)!, /^GPU kernels absent: not kept/);
  });

  const emulated = emulatedCuda();
  test("dmn doctor --json on the emulated GPU names it", { skip: typeof emulated === "string" && emulated }, () => {
    const { cuda, nvrtc } = emulated as { cuda: string; nvrtc: string };
    const door = path.join(import.meta.dirname, "..", "bin", "dmn.js");
    const { stdout, status } = spawnSync(process.execPath, [door, "doctor", "--json"],
      { encoding: "utf8", env: { ...process.env, DMN_CUDA: cuda, DMN_NVRTC: nvrtc, DMN_CUBIN_CACHE: "off" } });
    assert.equal(status, 0);
    const found = new Map((JSON.parse(stdout) as Finding[]).map((one) => [one.what, one]));
    assert.equal(found.get("NVIDIA driver")?.state, "ok");
    assert.equal(found.get("GPU 0")?.state, "ok");
    assert.equal(found.get("GPU kernels")?.remedy, "unset DMN_CUBIN_CACHE");
  });
});
