/** What keeps `dmn live` from starting: one sentence, the next command, exit 2, and nothing running or lost. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { dmn, fetchMarket, freePorts, Graph, MODELS, processesOf, temporaryRoot } from "./live-graph.ts";

const root = temporaryRoot(), live = path.join(root, "storage", "live");
before(() => { fetchMarket(root); });
after(() => { fs.rmSync(root, { recursive: true, force: true }); });

function refused(problem: RegExp, hint: RegExp, ...args: string[]): void {
  const { code, said } = dmn(root, "live", ...args);
  assert.equal(code, 2, said);
  assert.match(said, problem);
  assert.match(said, hint);
  assert.doesNotMatch(said, /\n\s+at /);
  assert.deepEqual([...processesOf(root)], []);
}
const NO_LIMIT = process.platform === "win32" ? "sizes of files are limited by the shell's ulimit" : false;
const REPLAY = ["--replay", "small", ...MODELS];

describe("refusals", () => {
  test("an unknown instrument, dataset, model or action is answered by what there is", () => {
    refused(/no instrument EQQ1/, /"EQ1"/, ...REPLAY, "--symbols", "EQQ1");
    refused(/no dataset "smal"/, /small/, "--replay", "smal", ...MODELS);
    refused(/no model "first"/, /train one/, "--replay", "small", "--models", "lstm-1=model:first");
    refused(/no action "stat"/, /"status"/, "stat");
    refused(/two models are called a/, /a=tsmom,b=macd/, "--replay", "small", "--models", "a=tsmom,a=macd");
  });

  test("days that the dataset does not have", () => {
    refused(/no bars between 2031-01-01/, /it ends 2019-12-31/, ...REPLAY, "--from", "2031-01-01");
  });

  test("a port that somebody else listens on, by its number and name", async () => {
    const base = await freePorts(), server = net.createServer();
    const { promise, resolve } = Promise.withResolvers<void>();
    server.listen({ host: "127.0.0.1", port: base + 3 }, resolve);
    await promise;
    const problem = new RegExp(`port ${base + 3} \\(execution\\) is in use`);
    try { refused(problem, /--port-base/, ...REPLAY, "--port-base", String(base)); } finally { server.close(); }
  });

  test("a journal of intents that is damaged before its end: nothing is overwritten", () => {
    fs.mkdirSync(live, { recursive: true });
    const place = path.join(live, "intents.journal");
    const record = JSON.stringify({ t: "state", at: 1, state: "HALTED", reason: "x", by: "user" });
    const line = spawnSync(process.execPath, ["-e", `const {crc32}=require("node:zlib");const j=${JSON.stringify(record)};
      process.stdout.write(crc32(Buffer.from(j)).toString(16).padStart(8,"0")+" "+j.length+" "+j+"\\n")`],
    { encoding: "utf8" }).stdout;
    const damaged = `dmn-journal intents 1\n${line.replace("HALTED", "HALTEX")}${line}`;
    fs.writeFileSync(place, damaged);
    try {
      refused(/intents.journal is damaged at byte/, /restore the file from a backup/, ...REPLAY);
      assert.equal(fs.readFileSync(place, "utf8"), damaged);
    } finally { fs.rmSync(place); }
  });

  test("a folder that cannot be written, and a file where it should be", () => {
    const place = path.join(root, "storage");
    fs.renameSync(place, `${place}.aside`);
    fs.writeFileSync(place, "");
    try { refused(/is not a folder/, /--data-dir/, ...REPLAY); } finally {
      fs.rmSync(place);
      fs.renameSync(`${place}.aside`, place);
    }
  });

  test("a disk that takes no more: nothing is started, nothing is half written", { skip: NO_LIMIT }, () => {
    const door = path.join(import.meta.dirname, "..", "bin", "dmn.js");
    const limited = ["-c", 'ulimit -f 8; exec "$0" "$@"', process.execPath, door];
    const { status, stderr } = spawnSync("sh", [...limited, "live", ...REPLAY], { cwd: root, encoding: "utf8",
      env: { ...process.env, DMN_HOME: root, CI: "1", APCA_API_KEY_ID: "", APCA_API_SECRET_KEY: "" } });
    assert.equal(status, 2, stderr);
    assert.match(stderr, /may not grow: a limit on the size of files.*\n.*ulimit -f unlimited/);
    assert.deepEqual([...processesOf(root)], []);
    assert.equal(fs.existsSync(path.join(live, "session.json")), false);
  });

  test("real money without keys, without the setting, and with a replay", () => {
    refused(/no key for alpaca/, /APCA_API_KEY_ID/, "--live", "--symbols", "SPY", "--models", "a=tsmom");
    refused(/real money needs keys and a vendor's prices/, /leave out --replay/, "--live", ...REPLAY);
    refused(/exclude each other/, /paper is the default/, "--live", "--paper");
    const place = path.join(root, "keys.json");
    fs.writeFileSync(place, JSON.stringify({ alpaca: { keyId: "AKX", secretKey: "nothing" } }), { mode: 0o600 });
    try {
      refused(/real money is not allowed by the settings/, /realMoney/, "--live", "--symbols", "SPY", "--models", "a=tsmom");
      fs.chmodSync(place, 0o644);
      refused(/keys.json may be read by others/, /chmod 600/, "--paper", "--symbols", "SPY", "--models", "a=tsmom");
    } finally { fs.rmSync(place); }
  });

  test("nothing to steer, and keys to rotate that are not there", () => {
    refused(/nothing is running here/, /dmn live --paper/, "status");
    refused(/nothing is running here/, /dmn live --paper/, "stop", "--emergency");
    refused(/no new keys/, /APCA_API_KEY_ID/, "rotate-keys");
  });

  test("a strategy that a child cannot load ends the run with its own sentence, and no process stays", async (t) => {
    fs.mkdirSync(path.join(root, "strategies"), { recursive: true });
    // It loads in the supervisor and refuses in a child: only there is a channel to a parent.
    fs.writeFileSync(path.join(root, "strategies", "shy.ts"), `if (process.send !== undefined) throw new Error("not here");
      export const strategy = { name: "shy", description: "x", recipe: "dmn", features: ["ret_1d"], lookback: 1,
        decide: () => Promise.reject(new Error("never")) };`);
    const graph = new Graph(root, await freePorts(), ["--models", "a=shy", "--from", "2019-12-02"]);
    t.after(() => { graph.kill(); });
    const { code, said } = await graph.end();
    assert.equal(code, 2, said);
    assert.match(said, /the strategy in .*shy\.ts cannot be loaded: not here/);
    assert.deepEqual([...processesOf(root)], []);
  });
});
