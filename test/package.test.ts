import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { isRecent, ownNode } from "../bin/node.js";

const ROOT = path.dirname(import.meta.dirname);
interface Manifest {
  name: string; version: string; type: string; bin: Record<string, string>; engines: { node: string };
  scripts: Record<string, string>; allowScripts: Record<string, boolean>;
  dependencies: Record<string, string>; devDependencies: Record<string, string>; optionalDependencies: Record<string, string>;
}
const manifest = JSON.parse(fs.readFileSync(path.join(ROOT, "package.json"), "utf8")) as Manifest;
interface Lock { packages: Record<string, { version?: string; resolved?: string; integrity?: string }> }
const lock = JSON.parse(fs.readFileSync(path.join(ROOT, "package-lock.json"), "utf8")) as Lock;

describe("the package", () => {
  test("pins every dependency exactly, and the lock file agrees", () => {
    for (const group of [manifest.dependencies, manifest.devDependencies, manifest.optionalDependencies]) {
      for (const [name, version] of Object.entries(group)) {
        assert.match(version, /^\d+\.\d+\.\d+$/, name);
        assert.equal(lock.packages[`node_modules/${name}`]?.version, version, name);
      }
    }
  });

  test("the lock file carries integrity for every package and no download address", () => {
    for (const [place, row] of Object.entries(lock.packages)) {
      if (place === "") continue;
      assert.equal(row.resolved, undefined, place);
      assert.match(row.integrity ?? "", /^sha512-/, place);
    }
  });

  test("is scoped, has one bin, and asks for Node 24.15", () => {
    assert.match(manifest.name, /^@[a-z-]+\/dmn$/);
    assert.deepEqual(manifest.bin, { dmn: "bin/dmn.js" });
    assert.deepEqual(manifest.engines, { node: ">=24.15" });
    assert.equal(isRecent("24.15.0"), true);
    assert.equal(isRecent("v24.14.9"), false);
    assert.equal(isRecent("v26.0.0"), true);
    assert.equal(isRecent("20.20.2"), false);
  });

  test("carries its own Node 26 for this platform, pinned like everything else", () => {
    const node = ownNode();
    assert.ok(node !== null && fs.existsSync(node));
    for (const [name, version] of Object.entries(manifest.optionalDependencies)) assert.match(version, /^26\./, name);
  });

  test("keeps onnxruntime-node's installer from downloading, by both remedies that npm 10 to 12 need", () => {
    assert.match(fs.readFileSync(path.join(ROOT, ".npmrc"), "utf8"), /^onnxruntime-node-install=skip$/m);
    assert.equal(manifest.allowScripts["onnxruntime-node"], false);
  });
});
