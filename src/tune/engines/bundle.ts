/**
 * What a machine needs to run `dmn worker`, when nothing of ours is installed there: the product, the modules
 * it runs with (without types, tests, sources and other platforms' libraries), this Node itself, and the
 * study's inputs.
 *
 *   node  package.json  bin/ src/ ...  node_modules/...  data/datasets/futures-dev/...
 *     |-- a zip that Ray hands out        (zipBundle: at most 100 MiB, named by its hash)
 *     `-- a folder that all machines see  (installBundle: storage of --shared FOLDER)
 *
 * The hash is of paths, modes and contents: the same bundle is sent once, and another version is another one.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { UserError } from "../../base/error.ts";
import { explainWrite, hashFile, makeFolder, replaceFile } from "../../base/file.ts";
import { writeZip } from "./zip.ts";

export interface BundleFile {
  /** Inside the bundle, with slashes. */
  readonly path: string;
  readonly source: string;
}
export interface Bundle {
  /** SHA-256 of paths, modes and contents; 40 hexadecimal digits of it. */
  readonly hash: string;
  /** In the order of their paths. */
  readonly files: readonly BundleFile[];
  /** Unpacked. */
  readonly bytes: number;
}

/** Ray's limit for a package, packed. */
export const BUNDLE_BYTES_MAX = 100 << 20;
/** Where Node lies in a bundle, and the product's door: what a command begins with. */
export const BUNDLE_COMMAND = ["./node", "bin/dmn.js"] as const;
/** Where a bundle's data root is: its datasets and features. */
export const BUNDLE_ROOT = "data";

/** Of the product: what is built or, in a checkout, sources; recipes lie beside a person's own data. */
const OWN_FOLDERS = ["bin", "dist", "commands", "src", "models", "datasets"];
const IS_RECIPE_FOLDER = new Set(["models", "datasets"]);
/** Of modules; nothing reads these when it runs. */
const NEEDLESS_FILE = /\.(map|md|markdown|d\.[mc]?ts|c|cc|cpp|h|hh|hpp|flow)$/i;
const NEEDLESS_FOLDER = /^(test|tests|__tests__|benchmark|example|examples|\.github|script|codemods)$/;
/** Builds of a module for browsers and bundlers. */
const NEEDLESS_BUILD: Readonly<Record<string, RegExp | undefined>> = {
  "node_modules/parquet-wasm": /^(esm|bundler)\//, "node_modules/h5wasm": /^dist\/iife\//,
};
const PLATFORMS = ["aix", "android", "darwin", "freebsd", "linux", "openbsd", "sunos", "win32", "musl"];
const CPUS = ["arm", "arm64", "ia32", "loong64", "ppc64", "riscv64", "s390x", "x64"];

/** The product as it runs here, at `packageRoot`, with the Node `node`. */
export function productFiles(packageRoot: string, node: string = process.execPath): BundleFile[] {
  if (process.platform !== "linux") {
    throw new UserError(`workers of a cluster need a dmn for Linux, and this one is for ${process.platform}`,
      "start dmn tune on a Linux machine of the cluster's kind");
  }
  const own = OWN_FOLDERS.filter((name) => fs.existsSync(path.join(packageRoot, name))).flatMap((name) =>
    folderFiles(path.join(packageRoot, name), name, (file) =>
      !IS_RECIPE_FOLDER.has(name) || /^[^/]+\.ts$/.test(file)));
  return [{ path: "node", source: fs.realpathSync(node) },
    { path: "package.json", source: path.join(packageRoot, "package.json") },
    ...own, ...moduleFiles(packageRoot)];
}

/** All files of a folder as files of a bundle below `inside`; links are not followed. */
export function folderFiles(
  folder: string, inside: string, isWanted: (file: string) => boolean = () => true,
): BundleFile[] {
  return fs.readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .map((source) => [path.relative(folder, source).split(path.sep).join("/"), source] as const)
    .filter(([file]) => isWanted(file))
    .map(([file, source]) => ({ path: `${inside}/${file}`, source }));
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/**
 * Files of all modules that are needed, laid out anew: at the top, or below whoever needs them where another
 * version has that place. Breadth first, so that what is below a module is there before its modules' turn.
 */
function moduleFiles(packageRoot: string): BundleFile[] {
  const placed = new Map<string, string>();
  const queue: { readonly inside: string; readonly folder: string }[] = [{ inside: "", folder: packageRoot }];
  for (const { inside, folder } of queue) {
    const manifest = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8")) as Manifest;
    // Our own optional ones are Nodes for machines that have an old one: this one comes along anyway.
    const names = [...Object.keys(manifest.dependencies ?? {}),
      ...(inside === "" ? [] : Object.keys(manifest.optionalDependencies ?? {}))];
    for (const name of new Set(names)) {
      const source = installed(folder, name);
      if (source === null || found(placed, inside, name) === source) continue;
      const top = `node_modules/${name}`;
      const place = placed.has(top) ? `${inside}/node_modules/${name}` : top;
      placed.set(place, source);
      queue.push({ inside: place, folder: source });
    }
  }
  return [...placed].flatMap(([inside, folder]) => folderFiles(folder, inside, (file) =>
    isNeeded(file) && NEEDLESS_BUILD[inside]?.test(file) !== true));
}

/** Where Node finds a module for somebody in `folder`, on this disk. */
function installed(folder: string, name: string): string | null {
  for (let at = folder; ; at = path.dirname(at)) {
    const place = path.join(at, "node_modules", name);
    if (fs.existsSync(path.join(place, "package.json"))) return fs.realpathSync(place);
    if (at === path.dirname(at)) return null;
  }
}

/** The same in the bundle. */
function found(placed: ReadonlyMap<string, string>, inside: string, name: string): string | undefined {
  for (let at = inside; at !== ""; at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")))) {
    const source = placed.get(`${at}/node_modules/${name}`);
    if (source !== undefined) return source;
  }
  return placed.get(`node_modules/${name}`);
}

/** Other platforms' libraries are most of what is installed. */
function isNeeded(file: string): boolean {
  const folders = file.split("/").slice(0, -1);
  if (NEEDLESS_FILE.test(file) || NEEDLESS_FOLDER.test(folders[0] ?? "")) return false;
  if (folders[0] === "node_modules") return false;
  return !folders.some((folder) => folder.split(/[-_]/).some((part) =>
    (PLATFORMS.includes(part) && part !== process.platform)
    || (CPUS.includes(part) && part !== process.arch)));
}

/** Names the bundle of these files; of files for one path the first counts. */
export function planBundle(files: readonly BundleFile[]): Bundle {
  const hash = createHash("sha256");
  const sorted = [...new Map(files.toReversed().map((file) => [file.path, file])).values()]
    .sort((a, b) => a.path < b.path ? -1 : 1);
  let bytes = 0;
  for (const file of sorted) {
    bytes += fs.statSync(file.source).size;
    hash.update(`${file.path}\0${isExecutable(file)}\0${hashFile(file.source)}\n`);
  }
  return { hash: hash.digest("hex").slice(0, 40), files: sorted, bytes };
}

const isExecutable = (file: BundleFile): boolean => (fs.statSync(file.source).mode & 0o111) !== 0;

/**
 * The zip of a bundle in `folder`, made where it is not there yet; others' zips are removed from there.
 * Throws UserError where it is longer than `bytesMax`.
 */
export async function zipBundle(
  bundle: Bundle, folder: string, bytesMax = BUNDLE_BYTES_MAX,
): Promise<string> {
  const place = path.join(folder, `bundle-${bundle.hash}.zip`);
  if (fs.existsSync(place)) return place;
  if (fs.existsSync(folder)) {
    const old = fs.readdirSync(folder).filter((name) => /^bundle-[0-9a-f]{40}\.zip/.test(name));
    for (const name of old) fs.rmSync(path.join(folder, name), { force: true });
  }
  await replaceFile(place, async (temporary) => {
    const entries = bundle.files.map((file) => ({
      path: file.path, isExecutable: isExecutable(file), read: () => fs.readFileSync(file.source),
    }));
    if (await writeZip(temporary, entries, bytesMax) >= 0) return;
    throw new UserError(`a worker with the study's data (${mebibytes(bundle.bytes)} MiB) is more than the `
      + `${mebibytes(bytesMax)} MiB that the cluster takes, packed`,
      "put the data root where all its machines see it, and say: --shared FOLDER");
  });
  return place;
}

const mebibytes = (bytes: number): number => Math.round(bytes / (1 << 20));

/**
 * The folder below `shared` that holds the bundle unpacked, made where it is not there yet: whole or absent.
 */
export function installBundle(bundle: Bundle, shared: string): string {
  const place = path.join(shared, `dmn-${bundle.hash}`);
  if (fs.existsSync(place)) return place;
  const temporary = `${place}.${process.pid}.tmp`;
  try {
    for (const file of bundle.files) {
      const target = path.join(temporary, file.path);
      makeFolder(path.dirname(target));
      fs.copyFileSync(file.source, target, fs.constants.COPYFILE_FICLONE);
    }
    fs.renameSync(temporary, place);
    return place;
  } catch (error) {
    fs.rmSync(temporary, { recursive: true, force: true });
    // Somebody else was faster, with the same contents.
    if (fs.existsSync(place)) return place;
    throw explainWrite(place, error);
  }
}
