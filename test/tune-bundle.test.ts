/** The worker's bundle: what is in it, its zip, and a folder that all machines see. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import * as zlib from "node:zlib";
import { UserError } from "../src/base/error.ts";
import { folderFiles, installBundle, planBundle, productFiles, zipBundle } from "../src/tune/engines/bundle.ts";
import { askPython, NO_PYTHON, python } from "./python.ts";
import { scratch } from "./tune-engine-study.ts";

const FOLDER = scratch("bundle"), ROOT = path.dirname(import.meta.dirname);
after(() => { fs.rmSync(FOLDER, { recursive: true, force: true }); });

function write(folder: string, files: Readonly<Record<string, string>>): string {
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text, { mode: text.startsWith("#!") ? 0o755 : 0o644 });
  }
  return folder;
}
/** An independent reader of the format, from its central directory on. */
function unzip(bytes: Buffer): Map<string, { text: string; mode: number }> {
  const end = bytes.lastIndexOf(Buffer.from("PK\x05\x06", "latin1")), files = new Map<string, { text: string; mode: number }>();
  let at = bytes.readUInt32LE(end + 16);
  for (let left = bytes.readUInt16LE(end + 10); left > 0; left--) {
    const packed = bytes.readUInt32LE(at + 20), length = bytes.readUInt16LE(at + 28), start = bytes.readUInt32LE(at + 42);
    const name = bytes.toString("utf8", at + 46, at + 46 + length), body = start + 30 + bytes.readUInt16LE(start + 26)
      + bytes.readUInt16LE(start + 28);
    const content = zlib.inflateRawSync(bytes.subarray(body, body + packed));
    assert.deepEqual([content.length, zlib.crc32(content)], [bytes.readUInt32LE(at + 24), bytes.readUInt32LE(at + 16)]);
    files.set(name, { text: content.toString("utf8"), mode: bytes.readUInt32LE(at + 38) >>> 16 });
    at += 46 + length;
  }
  return files;
}

describe("a zip", () => {
  const folder = (name: string): string => write(path.join(FOLDER, name), { "b/größe.txt": "x".repeat(70_000),
    "a.sh": "#!/bin/sh\n", "empty": "" });

  test("holds its files with their modes, and is the same bytes from other files with the same contents", async () => {
    const places = [];
    for (const name of ["one", "two"]) {
      const files = folderFiles(folder(name), "in");
      places.push(await zipBundle(planBundle(name === "one" ? files : files.toReversed()), path.join(FOLDER, `zip-${name}`)));
    }
    const [one, two] = places.map((place) => fs.readFileSync(place));
    assert.ok(one.equals(two));
    assert.deepEqual([...unzip(one)].map(([name, { text, mode }]) => [name, text.length, mode.toString(8)]),
      [["in/a.sh", 10, "100755"], ["in/b/größe.txt", 70_000, "100644"], ["in/empty", 0, "100644"]]);
  });

  test("is what Python's zipfile, which Ray unpacks with, reads without a complaint", { skip: python() === null ? NO_PYTHON
    : false }, async () => {
    const place = await zipBundle(planBundle(folderFiles(folder("python"), "in")), path.join(FOLDER, "zip-python"));
    const script = "import json,sys,zipfile\nz=zipfile.ZipFile(json.load(sys.stdin))\n"
      + "print(json.dumps([z.testzip(),sorted(z.namelist())]))";
    assert.deepEqual(askPython(script, place), [null, ["in/a.sh", "in/b/größe.txt", "in/empty"]]);
  });

  test("is made once, and another version's is removed", async () => {
    const zips = path.join(FOLDER, "zips"), source = folder("three"), plan = (): ReturnType<typeof planBundle> =>
      planBundle(folderFiles(source, "in"));
    const first = await zipBundle(plan(), zips), { mtimeNs } = fs.statSync(first, { bigint: true });
    assert.equal(await zipBundle(plan(), zips), first);
    assert.equal(fs.statSync(first, { bigint: true }).mtimeNs, mtimeNs);
    fs.writeFileSync(path.join(source, "a.sh"), "#!/bin/sh\necho\n");
    const second = await zipBundle(plan(), zips);
    assert.notEqual(second, first);
    assert.deepEqual(fs.readdirSync(zips), [path.basename(second)]);
  });

  test("that would be too long is refused in one sentence, and nothing of it is left", async () => {
    const zips = path.join(FOLDER, "long");
    await assert.rejects(zipBundle(planBundle(folderFiles(folder("four"), "in")), zips, 200), (error) =>
      error instanceof UserError
      && /^a worker with the study's data \(\d+ MiB\) is more than the \d+ MiB/.test(error.problem) &&
        /--shared/.test(error.hint));
    assert.deepEqual(fs.readdirSync(zips), []);
  });
});

describe("the product's files", { skip: process.platform === "linux" ? false : "bundles are made on Linux" }, () => {
  test("modules are laid out so that everybody finds the version it was installed with", () => {
    const root = write(path.join(FOLDER, "product"),
      { "package.json": '{"dependencies":{"a":"1","b":"1"},"devDependencies":{"d":"1"}}',
      "bin/dmn.js": "", "src/x.ts": "", "models/m.ts": "", "models/lstm/model.json": "{}", "datasets/own/bars.h5": "",
      "node_modules/a/package.json": '{"dependencies":{"c":"1"}}', "node_modules/a/index.js": "", "node_modules/a/index.d.ts": "",
      "node_modules/a/lib/darwin-arm64/x.node": "", "node_modules/a/lib/linux-x64/x.node": "", "node_modules/a/test/t.js": "",
      "node_modules/b/package.json": '{"dependencies":{"c":"2"}}',
        "node_modules/b/node_modules/c/package.json": '{"version":"2"}',
      "node_modules/c/package.json": '{"version":"1"}', "node_modules/d/package.json": "{}" });
    const bundled = planBundle(productFiles(root)).files, own = bundled.map((file) => file.path).filter((name) =>
      name !== "node");
    const libraries = process.arch === "x64" ? ["node_modules/a/lib/linux-x64/x.node"] : [];
    assert.deepEqual(own, ["bin/dmn.js", "models/m.ts", "node_modules/a/index.js", ...libraries, "node_modules/a/package.json",
      "node_modules/b/node_modules/c/package.json", "node_modules/b/package.json", "node_modules/c/package.json", "package.json",
        "src/x.ts"]);
    const version = (name: string): string => fs.readFileSync(bundled.find((file) => file.path === name)!.source, "utf8");
    assert.match(version("node_modules/b/node_modules/c/package.json"), /"2"/);
    assert.match(version("node_modules/c/package.json"), /"1"/);
  });

  test("ours: the door, this Node, what it needs at run time, and no tool of ours or other platform's library", () => {
    const names = productFiles(ROOT).map((file) => file.path);
    for (const wanted of ["node", "bin/dmn.js", "src/tune/worker.ts", "src/runtime/native/linux-x64.so",
      "node_modules/zeromq/package.json"]) {
      assert.ok(names.includes(wanted), wanted);
    }
    assert.deepEqual(names.filter((name) =>
      /typescript|oxlint|playwright|node-linux|win32|darwin|\.d\.ts$|^test\//.test(name)), []);
  });

  test("a shared folder gets them once, whole or not at all, and they are a program", () => {
    const shared = path.join(FOLDER, "shared"), source = write(path.join(FOLDER, "small"), { "run": "#!/bin/sh\n", "x/y": "1" });
    const bundle = planBundle(folderFiles(source, "in")), place = installBundle(bundle, shared);
    assert.equal(installBundle(bundle, shared), place);
    assert.deepEqual(fs.readdirSync(shared), [`dmn-${bundle.hash}`]);
    assert.equal(fs.statSync(path.join(place, "in", "run")).mode & 0o777, 0o755);
    assert.equal(fs.readFileSync(path.join(place, "in", "x", "y"), "utf8"), "1");
  });
});
