/**
 * The architecture is a table in a test. ARCHITECTURE.md explains it; a forbidden import fails here with a sentence.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";

const ROOT = path.dirname(import.meta.dirname);

/** Who may import whom (besides itself), and why not more. `a/b` allows single files. */
const IMPORTS: Readonly<Record<string, { may: readonly string[]; because: string }>> = {
  "src/base": { may: [], because: "it must be copyable into any project" },
  "src/market": { may: ["src/base"], because: "bars know nothing of what is made of them" },
  "src/metrics": { may: ["src/base"], because: "arrays in, numbers out" },
  "src/features": { may: ["src/base", "src/market"], because: "arrays in, arrays out" },
  "src/dataset": { may: ["src/base", "src/market", "src/features"], because: "no tensors: it deals typed arrays" },
  "src/graph": { may: ["src/base"], because: "it is mathematics: no finance, no files, no engine" },
  "src/nn": { may: ["src/base", "src/graph"], because: "layers are functions from tensors to tensors" },
  "src/runtime": { may: ["src/base", "src/graph"], because: "a runtime runs any graph, of a network or not" },
  "src/train": { may: ["src/base", "src/metrics", "src/dataset", "src/graph", "src/nn", "src/runtime"],
    because: "it learns from arrays: it knows no bars and no features" },
  "models": { may: ["src/base", "src/graph", "src/nn"], because: "a model is a pure function from inputs to heads" },
  "src/strategy": { may: ["src/base", "src/market", "src/features", "src/dataset", "src/graph", "src/runtime",
    "src/train", "models/meta"],
    because: "it cannot know whether it is backtest or live" },
  "src/backtest": { may: ["src/base", "src/metrics", "src/market", "src/features", "src/dataset", "src/strategy"],
    because: "it replays, it does not fetch" },
  "src/simulator": { may: ["src/base", "src/market/instrument", "src/market/bars", "src/market/calendar"],
    because: "it plays the outside world: it must not share code with what it tests" },
  "src/wire": { may: ["src/base"], because: "it knows bytes and sockets, not meanings" },
  "src/tune": { may: ["src/base", "src/wire"], because: "it searches: what is searched is handed in" },
  "src/live": { may: ["src/base", "src/metrics", "src/wire", "src/market", "src/features", "src/dataset", "src/strategy"],
    because: "it holds a Strategy, not a network; device facts are handed in" },
  "src/workflow": { may: ["src", "datasets", "models"], because: "it is the only place that composes folders" },
  "commands": { may: ["src/workflow", "src/base"], because: "commands hold no logic" },
  "datasets": { may: ["src/base", "src/market", "src/features", "src/dataset"], because: "recipes are data" },
};

/** Packages each have one door, so that a trap is mended in one place. */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  "h5wasm": ["src/market/hdf5.ts"],
  "parquet-wasm": ["src/features/"],
  "apache-arrow": ["src/features/"],
  "@alpacahq/alpaca-trade-api": ["src/market/sources/", "src/live/brokers/"],
  "zeromq": ["src/wire/"],
  "ws": ["src/live/feeds/", "src/simulator/"],
  "@msgpack/msgpack": ["src/live/feeds/", "src/simulator/"],
  "highs": ["src/strategy/"],
  "nodemailer": ["src/live/alerts/"],
  "commander": ["commands/"],
  "cli-progress": ["src/base/progress.ts"],
  "pino": ["src/base/log.ts"],
  "uplot": ["src/backtest/page/"],
  "onnxruntime-node": ["src/runtime/ort/"],
  "@bufbuild/protobuf": ["src/runtime/ort/"],
  "koffi": ["src/runtime/koffi.ts"],
  "zod": ["src/base/config.ts", "src/market/", "src/features/", "src/backtest/", "src/train/", "src/workflow/", "src/live/"],
  "chalk": ["commands/", "src/workflow/", "src/backtest/"],
};

const BANNED: readonly (readonly [RegExp, string, RegExp?])[] = [
  [/\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b/, "finish it or file it", /tidy\.test/],
  [/\bMath\.random\b/, "randomness has a seed: base/random", /tidy\.test|test\//],
  [/\bconsole\.(log|error|warn)\b/, "results are returned, logs go through base/log", /tidy\.test|test\/peers/],
  [/(:|\bas|<)\s*any\b(?!thing)/, "say the type", /tidy\.test/],
  [/\b(test|it|describe)\.(skip|todo|only)\b/, "a skip carries its reason as an option", /tidy\.test/],
  [/\bDate\.now\(\)/, "time is a parameter: base/clock", /base\/clock|workflow\/bench|tidy\.test|^test\//],
];

function sources(...folders: readonly string[]): string[] {
  return folders.flatMap((folder) => fs.globSync(`${folder}/**/*.{ts,js}`, { cwd: ROOT })).sort();
}

const CODE = sources("bin", "src", "commands", "datasets", "models");
const TESTS = sources("test");
const read = (file: string): string => fs.readFileSync(path.join(ROOT, file), "utf8");

/** Import paths of a file, as text: static, type-only, dynamic, and worker URLs. */
function importsOf(text: string): string[] {
  const pattern = /(?:\bfrom\s+|\bimport\s*\(\s*|\bimport\s+|new URL\(\s*)["'`]([^"'`]+)["'`]/g;
  return [...text.matchAll(pattern)].map((match) => match[1]);
}

describe("structure", () => {
  test("every import is allowed by the table", () => {
    const faults: string[] = [];
    for (const file of CODE) {
      const folder = Object.keys(IMPORTS).find((name) => file.startsWith(`${name}/`));
      if (folder === undefined) continue;
      for (const target of importsOf(read(file))) {
        if (!target.startsWith(".")) continue;
        const place = path.posix.normalize(path.posix.join(path.posix.dirname(file), target)).replace(/\.ts$/, "");
        const allowed = [folder, ...IMPORTS[folder].may].some((name) => place === name || place.startsWith(`${name}/`));
        if (!allowed) faults.push(`${file} imports ${place}: ${folder} may not, ${IMPORTS[folder].because}`);
      }
    }
    assert.deepEqual(faults, []);
  });

  test("every package is imported behind its door only", () => {
    const faults: string[] = [];
    for (const file of CODE) {
      for (const target of importsOf(read(file))) {
        const name = Object.keys(DOORS).find((known) => target === known || target.startsWith(`${known}/`));
        if (name !== undefined && !DOORS[name].some((door) => file.startsWith(door))) {
          faults.push(`${file} imports ${name}; its door is ${DOORS[name].join(", ")}`);
        }
      }
    }
    assert.deepEqual(faults, []);
  });

  test("every folder of src has a row in the import table", () => {
    const folders = fs.readdirSync(path.join(ROOT, "src")).map((name) => `src/${name}`);
    assert.deepEqual(folders.filter((name) => !(name in IMPORTS)), []);
  });

  test("every source file is imported by another, is a verb, or is named by path", () => {
    const all = [...CODE, ...TESTS].map((file) => [file, read(file)] as const);
    const dead = CODE.filter((file) => !/^(bin|commands|datasets|models)\//.test(file)
      && !all.some(([other, text]) => other !== file && text.includes(path.basename(file, path.extname(file)))));
    assert.deepEqual(dead, []);
  });
});

describe("size and words", () => {
  test("no file is over 450 lines and no line over 110 columns (tests: 130)", () => {
    const faults: string[] = [];
    for (const file of [...CODE, ...TESTS]) {
      const lines = read(file).split("\n");
      const isTest = file.startsWith("test/");
      if (!isTest && lines.length > 451) faults.push(`${file}: ${lines.length} lines`);
      lines.forEach((line, k) => {
        if (line.length > (isTest ? 130 : 110)) faults.push(`${file}:${k + 1}: ${line.length} columns`);
      });
    }
    assert.deepEqual(faults, []);
  });

  test("GPU kernels: no line over 120 columns, no toolkit header, no assembly but in the two files of instructions", () => {
    const faults: string[] = [];
    for (const file of fs.globSync("src/runtime/cuda/kernels/*.{cu,cuh}", { cwd: ROOT }).sort()) {
      const text = read(file), isInstructions = /(ptx|wgmma)\.cuh$/.test(file);
      text.split("\n").forEach((line, k) => {
        if (line.length > (isInstructions ? 130 : 120)) faults.push(`${file}:${k + 1}: ${line.length} columns`);
        if (/#\s*include\s*</.test(line)) faults.push(`${file}:${k + 1}: kernels compile without the toolkit's headers`);
        if (/\basm\b/.test(line) && !isInstructions) faults.push(`${file}:${k + 1}: assembly belongs in ptx.cuh or wgmma.cuh`);
      });
      if (!text.startsWith("//")) faults.push(`${file}: begins with what it computes and how`);
    }
    assert.deepEqual(faults, []);
  });

  test("no banned word or call", () => {
    const faults: string[] = [];
    for (const file of [...CODE, ...TESTS]) {
      const lines = read(file).split("\n");
      for (const [pattern, reason, except] of BANNED) {
        if (except?.test(file)) continue;
        lines.forEach((line, k) => { if (pattern.test(line)) faults.push(`${file}:${k + 1}: ${line.trim()} (${reason})`); });
      }
    }
    assert.deepEqual(faults, []);
  });

  test("no file is named utils, helpers, manager, common or misc, and all are kebab-case", () => {
    const faults = CODE.filter((file) => /(util|helper|manager|common|misc)/i.test(path.basename(file))
      || !/^[a-z0-9-]+\.(ts|js)$/.test(path.basename(file)));
    assert.deepEqual(faults, []);
  });

  test("nothing committed names a machine's path or a registry's host, and nothing is over 1 MiB", () => {
    const listed = spawnSync("git", ["ls-files", "-z"], { cwd: ROOT, encoding: "utf8" });
    if (listed.status !== 0) return;
    const faults: string[] = [];
    // Put together here, so that this file does not name them itself.
    const paths = ["work", "root"].map((name) => `/${name}/`);
    const hosts = [["registry", "npmjs"].join("\\."), ["pypi", "org"].join("\\."), ["python", "hosted"].join("")];
    const machine = new RegExp([...paths, ...hosts].join("|"));
    for (const file of listed.stdout.split("\0").filter((name) => name !== "" && fs.existsSync(path.join(ROOT, name)))) {
      const bytes = fs.readFileSync(path.join(ROOT, file));
      if (bytes.length > 1 << 20) faults.push(`${file}: ${bytes.length} bytes`);
      if (machine.test(bytes.toString("utf8"))) faults.push(`${file} names a machine's path or a host`);
    }
    assert.deepEqual(faults, []);
  });
});
