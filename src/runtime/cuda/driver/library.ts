/**
 * Where NVIDIA's libraries lie. Nothing is asked of a package manager and no process is started: folders
 * are looked at, in an order that a person can predict (what was said by hand, then what is active, then
 * the system).
 *
 *   libcuda, libnvidia-ml   the driver's: the loader's path, then where containers and WSL put them
 *   libnvrtc                DMN_NVRTC (off: none, nvcc compiles), CUDA_HOME, the active Python or conda
 *                           environment, LD_LIBRARY_PATH, CUDA installed by hand or by the system, the
 *                           python3 on PATH
 */
import * as fs from "node:fs";
import * as path from "node:path";

export type Environment = Readonly<Record<string, string | undefined>>;

/** A Debian triplet and NVIDIA's own name for this processor. */
const TRIPLET = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
const TARGET = process.arch === "arm64" ? "sbsa-linux" : "x86_64-linux";

const DRIVER_FOLDERS = [`/usr/lib/${TRIPLET}`, "/usr/lib64", "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib",
  `/usr/lib/${TRIPLET}/nvidia/current`, "/run/opengl-driver/lib"] as const;

const driverNames = (name: string): string[] =>
  [name, ...DRIVER_FOLDERS.map((folder) => `${folder}/${name}`)];

/** Names to try for libcuda: DMN_CUDA alone where it is set. */
export function cudaNames({ DMN_CUDA }: Environment): string[] {
  return DMN_CUDA === undefined || DMN_CUDA === "" ? driverNames("libcuda.so.1") : [DMN_CUDA];
}

/** Names to try for NVML. */
export const nvmlNames = (): string[] => driverNames("libnvidia-ml.so.1");

/** A file of NVRTC that is there. */
export interface NvrtcFile {
  readonly file: string;
  /** [13, 0], as the library beside it says; null when it does not. */
  readonly version: readonly [major: number, minor: number] | null;
  /** libnvrtc-builtins beside it: loaded first, because libnvrtc asks for it by bare name. */
  readonly builtins: string | null;
}

/**
 * Every NVRTC on this machine, the first to use first. `root` stands before absolute places of the system,
 * for tests.
 */
export function nvrtcFiles(environment: Environment = process.env, root = ""): NvrtcFile[] {
  const { DMN_NVRTC } = environment;
  if (DMN_NVRTC === "off") return [];
  if (DMN_NVRTC !== undefined && DMN_NVRTC !== "") return [nvrtcFile(DMN_NVRTC)];
  const seen = new Set<string>();
  return nvrtcFolders(environment, root).flatMap((folder) => sonames(folder).flatMap((name) => {
    const file = path.join(folder, name), real = realOf(file);
    // A link may lead to a library that was removed.
    if (real === null || seen.has(real)) return [];
    seen.add(real);
    return [nvrtcFile(file)];
  }));
}

/** The folders that are looked at, in order; some may not exist. */
function nvrtcFolders(environment: Environment, root = ""): string[] {
  const { CUDA_HOME, CUDA_PATH, VIRTUAL_ENV, CONDA_PREFIX, LD_LIBRARY_PATH = "", PATH = "" } = environment;
  const named = (folder: string | undefined, make: (folder: string) => string[]): string[] =>
    (folder === undefined || folder === "" ? [] : make(folder));
  const installed = entries(`${root}/usr/local`).filter((name) => /^cuda(-\d+(\.\d+)?)?$/.test(name))
    .sort((a, b) => newestFirst(a, b)).map((name) => `${root}/usr/local/${name}`);
  return [
    ...named(CUDA_HOME, toolkit), ...named(CUDA_PATH, toolkit),
    ...named(VIRTUAL_ENV, wheels), ...named(CONDA_PREFIX, (folder) => [`${folder}/lib`, ...wheels(folder)]),
    ...LD_LIBRARY_PATH.split(":").filter((folder) => folder !== ""),
    ...installed.flatMap((folder) => toolkit(folder)),
    `${root}/usr/lib/${TRIPLET}`, `${root}/usr/lib64`, `${root}/usr/local/lib`,
    ...PATH.split(":").filter((folder) => fs.existsSync(`${folder}/python3`)).flatMap(pythonOf),
  ];
}

const toolkit = (folder: string): string[] =>
  [`${folder}/lib64`, `${folder}/targets/${TARGET}/lib`, `${folder}/lib`];

/** Where wheels of pip put NVRTC, below an environment: the layout of CUDA 13, that of 12, Debian's. */
function wheels(environment: string): string[] {
  const pythons = entries(`${environment}/lib`).filter((name) => name.startsWith("python3"))
    .sort(newestFirst);
  const packages = pythons.flatMap((name) => ["site-packages", "dist-packages"].map((kind) =>
    `${environment}/lib/${name}/${kind}/nvidia`));
  const versioned = (folder: string): string[] => entries(folder).filter((name) => /^cu\d+$/.test(name))
    .sort(newestFirst).map((name) => `${folder}/${name}/lib`);
  return packages.flatMap((folder) => [...versioned(folder), `${folder}/cuda_nvrtc/lib`]);
}

/** The environment of the python3 in a folder of PATH: that folder's own, and where the link leads. */
function pythonOf(folder: string): string[] {
  const python = `${folder}/python3`, real = path.dirname(realOf(python) ?? python);
  return [...new Set([folder, real])].flatMap((bin) => wheels(path.dirname(bin)));
}

/** Sonames of NVRTC in a folder, the newest first: libnvrtc.so.13, .12, .11.2. */
const sonames = (folder: string): string[] =>
  entries(folder).filter((name) => /^libnvrtc\.so\.(1[2-9]|11\.2)$/.test(name)).sort(newestFirst);

function nvrtcFile(file: string): NvrtcFile {
  const folder = path.dirname(file.includes("/") ? file : `./${file}`);
  const beside = entries(folder).filter((name) => /^libnvrtc-builtins\.so\.\d+\.\d+$/.test(name))
    .sort(newestFirst);
  // A folder may hold two CUDA versions (a distribution's): the builtins are those of the same major version.
  const major = /\.so\.(\d+)/.exec(path.basename(file))?.[1];
  const own = beside.find((name) => major !== undefined && name.includes(`.so.${major}.`));
  if (own === undefined) return { file, version: null, builtins: null };
  const [, first, second] = /(\d+)\.(\d+)$/.exec(own) as unknown as [string, string, string];
  return { file, version: [Number(first), Number(second)], builtins: path.join(folder, own) };
}

/** Orders names by the numbers in them, the largest first. */
function newestFirst(a: string, b: string): number {
  return b.localeCompare(a, "en", { numeric: true });
}

function entries(folder: string): string[] {
  try { return fs.readdirSync(folder); } catch { return []; }
}

/** Where a file really is; null: nowhere. */
function realOf(file: string): string | null {
  try { return fs.realpathSync(file); } catch { return null; }
}
