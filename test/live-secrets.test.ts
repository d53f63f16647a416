/**
 * Secrets stay where they belong. A whole run has marked secrets in its environment, and sends the simulator's keys
 * exactly as it would send a broker's; afterwards nothing that it wrote, printed or was called holds any of them.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { SIMULATOR_KEYS } from "../src/simulator/simulator.ts";
import { fetchMarket, freePorts, Graph, processesOf, temporaryRoot } from "./live-graph.ts";

const root = temporaryRoot();
const MARKED = { MASSIVE_API_KEY: "marked-massive-key", DMN_SMTP_USER: "marked-smtp-user", DMN_SMTP_PASSWORD: "marked-smtp-word",
  DMN_ALERT_WEBHOOK: "http://127.0.0.1:9/marked-webhook-path" };
const SECRETS = [...Object.values(MARKED), "marked-webhook-path", SIMULATOR_KEYS.massive, SIMULATOR_KEYS.alpaca.keyId,
  SIMULATOR_KEYS.alpaca.secretKey];
const NO_PROC = process.platform === "linux" ? false : "command lines are read in /proc, which only Linux has";
before(() => { fetchMarket(root); });
after(() => { fs.rmSync(root, { recursive: true, force: true }); });

/** Which of the words the bytes hold, as they are or in UTF-16. */
const foundIn = (bytes: Buffer, words: readonly string[]): string[] =>
  words.filter((word) => bytes.includes(word) || bytes.includes(Buffer.from(word, "utf16le")));
/** Files below a folder, except `storage/cache`, which holds compiled code. */
const filesBelow = (folder: string): string[] => fs.readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name))
  .filter((file) => !file.includes(`${path.sep}cache${path.sep}`));

describe("a run's secrets", { skip: NO_PROC }, () => {
  for (const wire of ["alpaca", "massive"]) {
    test(`${wire}, with faults, at the most talkative: no log, journal, database or command line holds one`, async (t) => {
      const graph = new Graph(root, await freePorts(), ["--pace", "10", "--from", "2019-01-02", "--wire", wire,
        "--faults", "seeded:0.2"], { ...MARKED, DMN_LOG: "trace" });
      t.after(() => { graph.kill(); });
      await graph.until(/running: 10 processes/);
      await graph.untilStatus(({ fills }) => fills > 3, "fills");
      const access = fs.readFileSync(path.join(root, "storage", "live", "access-keys.json"));
      const { token } = JSON.parse(access.toString()) as { token: string };
      assert.equal(fs.statSync(path.join(root, "storage", "live", "access-keys.json")).mode & 0o777, 0o600);
      const secrets = [...SECRETS, token], pids = [graph.pid, ...processesOf(root).values()];
      assert.equal(pids.length, 11);
      for (const pid of pids) assert.deepEqual(foundIn(fs.readFileSync(`/proc/${pid}/cmdline`), secrets), []);
      graph.signal("SIGINT");
      const { said, report } = await graph.end();
      assert.ok(report!.fills > 3);
      assert.deepEqual(foundIn(Buffer.from(said + JSON.stringify(report)), secrets), []);
      const files = filesBelow(root), names = files.map((file) => path.basename(file));
      for (const name of ["session.json", "intents.journal", "trading_history.db", "performance_metrics.db", "execution.log",
        "feed.log", "simulator.log", "monitor.log"]) assert.ok(names.includes(name), `${name} was looked through`);
      for (const file of files) assert.deepEqual(foundIn(fs.readFileSync(file), secrets), [], file);
    });
  }
});

describe("child processes", () => {
  test("are started with a list of words, never through a shell", () => {
    const sources = ["src", "commands"].flatMap((folder) => filesBelow(path.join(import.meta.dirname, "..", folder)))
      .filter((file) => /\.[jt]s$/.test(file)).map((file) => ({ file, text: fs.readFileSync(file, "utf8") }));
    const starting = sources.filter(({ text }) => /from "node:child_process"/.test(text));
    assert.ok(starting.length >= 3, `${starting.length} files start processes`);
    for (const { file, text } of starting) {
      const [, names] = /import (?:type )?\{([^}]*)\} from "node:child_process"/.exec(text) ?? [null, "*"];
      assert.match(names, /^(\s*(type )?(spawn|spawnSync|execFile|fork|ChildProcess\w*)\s*,?)+$/, file);
      assert.doesNotMatch(text, /\bshell:/, file);
    }
  });
});
