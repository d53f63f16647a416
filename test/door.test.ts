/** The door: pipes that close early, help, Ctrl-C pressed once, and the examples that the help of fetch shows. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import fetchVerb from "../commands/fetch.ts";
import { VERBS } from "../commands/index.ts";

const DOOR = path.join(import.meta.dirname, "..", "bin", "dmn.js");
const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-door-"));
after(() => { fs.rmSync(root, { recursive: true, force: true }); });
const env = { ...process.env, CI: "1", DMN_HOME: root };
const dmn = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [DOOR, ...args], { encoding: "utf8", cwd: root, env });

interface Ending { readonly code: number | null; readonly err: string }

/** Ends once stderr is at its end; whoever reads stdout leaves at once. */
function withoutReader(...args: string[]): Promise<Ending> {
  const child = spawn(process.execPath, [DOOR, ...args], { stdio: ["ignore", "pipe", "pipe"], env });
  child.stdout.destroy();
  let err = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => { err += text; });
  return new Promise((resolve) => { child.on("close", (code) => { resolve({ code, err }); }); });
}

describe("the door", () => {
  test("a reader that has left (| head -1) ends a verb with 0 and not a word", async () => {
    const ending = await withoutReader("fetch", "--source", "synthetic", "--dataset", "piped", "--symbols", "EQ1,FX1", "--json");
    assert.deepEqual(ending, { code: 0, err: "" });
    assert.ok(fs.existsSync(path.join(root, "datasets", "piped", "manifest.json")), "the work is done");
  });

  test(`dmn help VERB is dmn VERB --help, for each of ${Object.keys(VERBS).length} verbs`, () => {
    for (const name of Object.keys(VERBS)) assert.equal(dmn("help", name).stdout, dmn(name, "--help").stdout);
  });

  test("a hint's command meets the --data-dir that was typed, quoted for a shell", () => {
    const { status, stderr } = dmn("fetch", "--dataset", "none", "--check", "--data-dir", path.join(root, "a b"));
    assert.equal(status, 2);
    assert.ok(stderr.includes(`dmn fetch --data-dir '${root}/a b' --source synthetic`), stderr);
  });

  test("1 Ctrl-C that arrives twice, from the terminal and from npm, stops at a safe point and not at once", async () => {
    const child = spawn(process.execPath, [DOOR, "fetch", "--source", "synthetic", "--dataset", "twice", "--symbols", "SYN:5000"],
      { stdio: ["ignore", "ignore", "pipe"], env: { ...env, DMN_LOG: "debug" } });
    let err = "", isTold = false;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text;
      if (isTold || !err.includes('"stored"')) return;
      isTold = true;
      child.kill("SIGINT");
      // Not the same signal again: the kernel may merge two equal ones that wait.
      child.kill("SIGTERM");
    });
    const code = await new Promise((resolve) => { child.on("close", resolve); });
    assert.equal(code, 130);
    assert.match(err, /Go on with: dmn fetch --source synthetic --dataset twice --symbols SYN:5000\n$/);
    assert.match(err, /"msg":"stopped"/);
  });
});

describe("the examples of dmn fetch", () => {
  const offline = fetchVerb.examples.map(([line]) => line)
    .filter((line) => !line.includes("massive") && !line.includes("--dataset us") && !line.includes("prices.csv"));
  for (const line of offline) {
    test(`${line} runs as it is`, () => {
      const { status, stderr } = dmn(...line.split(" ").slice(1));
      assert.equal(status, 0, stderr);
    });
  }

  test("include 2 at least that need neither a network nor a file", () => { assert.ok(offline.length >= 2); });
});
