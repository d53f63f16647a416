/** What this machine has, what it lacks, and the command that brings it. Reads only. */
import * as fs from "node:fs";
import { cpus, totalmem } from "node:os";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import type { Context } from "../base/context.ts";
import { messageOf, UserError } from "../base/error.ts";
import { loadHdf5 } from "../market/hdf5.ts";
import { alpacaKeys, massiveKeys, NoKeyError } from "../market/sources/keys.ts";
import { listDatasets } from "../market/store.ts";
import { describeCuda } from "../runtime/cuda/driver/describe.ts";
import { isNativeAvailable } from "../runtime/native/library.ts";
import { peerPython } from "./bench/peer.ts";
import { gpuFindings } from "./doctor-gpu.ts";

export interface Finding {
  readonly what: string;
  /** "missing" matters, "absent" is optional and nothing is wrong without it. */
  readonly state: "ok" | "missing" | "absent";
  readonly found: string;
  /** The command or step that brings it; empty when nothing is to be done. */
  readonly remedy: string;
}

const NATIVE = ["h5wasm", "parquet-wasm", "apache-arrow", "onnxruntime-node", "zeromq"] as const;
const BYTES_PER_GIB = 2 ** 30;

export async function doctor({ root }: Context): Promise<readonly Finding[]> {
  return [
    nodeVersion(),
    machine(),
    ...await Promise.all(NATIVE.map((name) => nativePackage(name))),
    kernels(),
    dataRootFinding(root),
    await datasetsFinding(root),
    keysFinding("Massive key", ["MASSIVE_API_KEY"], () => massiveKeys(root)),
    keysFinding("Alpaca keys", ["APCA_API_KEY_ID", "APCA_API_SECRET_KEY"], () => alpacaKeys(root)),
    ...gpuFindings(describeCuda()),
    peers(),
  ];
}

function nodeVersion(): Finding {
  return { what: "Node", state: "ok", found: `${process.version} at ${process.execPath}`, remedy: "" };
}

function machine(): Finding {
  const cores = cpus();
  const memory = (totalmem() / BYTES_PER_GIB).toFixed(1);
  return { what: "machine", state: "ok", remedy: "",
    found: `${cores.length} x ${cores[0]?.model ?? "unknown CPU"}, ${memory} GiB, `
      + `${process.platform} ${process.arch}` };
}

/** Really loads it: a package that resolves may still lack its binary for this platform. */
async function nativePackage(name: string): Promise<Finding> {
  const entry = name === "h5wasm" ? "h5wasm/node" : name;
  try {
    await import(entry);
    const place = fileURLToPath(import.meta.resolve(entry));
    return { what: name, state: "ok", found: versionNear(place, name), remedy: "" };
  } catch (error) {
    return { what: name, state: "missing", found: messageOf(error).split("\n")[0], remedy: "npm ci" };
  }
}

function kernels(): Finding {
  return isNativeAvailable()
    ? { what: "native engine", state: "ok", found: "our own kernels train networks", remedy: "" }
    : { what: "native engine", state: "absent", remedy: "",
      found: "not for this platform or processor: ONNX Runtime trains networks" };
}

/** The version in the package.json above a resolved file. */
function versionNear(place: string, name: string): string {
  for (let folder = path.dirname(place); folder !== path.dirname(folder); folder = path.dirname(folder)) {
    const manifest = path.join(folder, "package.json");
    if (!fs.existsSync(manifest)) continue;
    const parsed = JSON.parse(fs.readFileSync(manifest, "utf8")) as { name?: string; version?: string };
    if (parsed.name === name) return parsed.version ?? "?";
  }
  return "?";
}

function dataRootFinding(root: string): Finding {
  try {
    fs.accessSync(root, fs.constants.W_OK);
    const disk = fs.statfsSync(root);
    const free = disk.bavail * disk.bsize / BYTES_PER_GIB;
    const isTight = free < 2;
    const found = `${root}, ${free.toFixed(1)} GiB free`;
    return { what: "data root", state: isTight ? "missing" : "ok", found,
      remedy: isTight ? "free some space, or choose another place: --data-dir FOLDER" : "" };
  } catch (error) {
    return { what: "data root", state: "missing", found: messageOf(error), remedy: `mkdir -p ${root}` };
  }
}

/** HDF5 is loaded here: without it no dataset can be read, and everything else must still be told. */
async function datasetsFinding(root: string): Promise<Finding> {
  try { await loadHdf5(); } catch (error) {
    return { what: "datasets", state: "missing", found: messageOf(error).split("\n")[0], remedy: "npm ci" };
  }
  const names = listDatasets(root);
  return names.length > 0
    ? { what: "datasets", state: "ok", found: names.join(", "), remedy: "" }
    : { what: "datasets", state: "absent", found: "none yet", remedy: "dmn fetch --dataset synthetic" };
}

/** Asks as a fetch would: what it would refuse is not "ok" here either. */
function keysFinding(what: string, variables: readonly string[], read: () => unknown): Finding {
  try {
    read();
    return { what, state: "ok", found: "set", remedy: "" };
  } catch (error) {
    if (error instanceof NoKeyError) {
      const exports = variables.map((name) => `${name}=...`).join(" ");
      return { what, state: "absent", found: "not set",
        remedy: `export ${exports} (only to fetch from there)` };
    }
    if (!(error instanceof UserError)) throw error;
    return { what, state: "missing", found: error.problem, remedy: error.hint };
  }
}

function peers(): Finding {
  return peerPython() !== null
    ? { what: "bench peers", state: "ok", found: "Python with the peers of dmn bench", remedy: "" }
    : { what: "bench peers", state: "absent", found: "not installed",
      remedy: "sh test/peers/setup.sh bench" };
}
