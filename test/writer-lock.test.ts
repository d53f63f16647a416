/** The lock of a dataset, where two processes meet at the lock of a third, which is dead. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { syncBuiltinESMExports } from "node:module";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { takeLock } from "../src/base/writer-lock.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-lock-"));
after(() => { fs.rmSync(folder, { recursive: true, force: true }); });

/** No process has an id over 2^22 on Linux. */
const DEAD = JSON.stringify({ pid: 2 ** 22 + 1, started: null });
/** The parent of this process is alive as long as we are. */
const ALIVE = JSON.stringify({ pid: process.ppid, started: null });

describe("the lock of a dead process", () => {
  test("that nobody has asked for its end (a zombie): it is taken over", {
    skip: fs.existsSync("/proc/self/stat") ? false : "this system has no /proc" }, async (t) => {
    // The shell becomes a sleep, which never asks for the child that it has taken over.
    const parent = spawn("sh", ["-c", "sleep 0.2 & echo $! `cut -d ' ' -f 22 /proc/$!/stat`; exec sleep 30"],
      { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => { parent.kill("SIGKILL"); });
    const [said] = await once(parent.stdout, "data") as [Buffer];
    const [pid, started] = said.toString().trim().split(" "), place = path.join(folder, "zombie.lock");
    fs.writeFileSync(place, JSON.stringify({ pid: Number(pid), started }));
    assert.throws(() => takeLock(place, "it"), new RegExp(`process ${pid} is writing it`));
    const isZombie = (): boolean => fs.readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
    for (const deadline = performance.now() + 20_000; !isZombie();) {
      assert.ok(performance.now() < deadline, "it has not ended");
      await setTimeout(20);
    }
    { using lock = takeLock(place, "it"); assert.ok(lock); }
  });

  test("taken over by another process between our look and our move: it stays theirs, and 1 of 2 writes", (t) => {
    const place = path.join(folder, "fetch.lock");
    fs.writeFileSync(place, DEAD);
    const rename = fs.renameSync.bind(fs);
    t.mock.method(fs, "renameSync", (from: string, to: string) => {
      if (from === place) fs.writeFileSync(place, ALIVE);
      rename(from, to);
    });
    syncBuiltinESMExports();
    try {
      assert.throws(() => takeLock(place, "it"), new RegExp(`process ${process.ppid} is writing it`));
    } finally { t.mock.restoreAll(); syncBuiltinESMExports(); }
    assert.equal(fs.readFileSync(place, "utf8"), ALIVE);
    assert.deepEqual(fs.readdirSync(folder), ["fetch.lock"]);
  });

  test("taken over by us: no other one is asked, and 0 files are left", () => {
    const place = path.join(folder, "fetch.lock");
    fs.writeFileSync(place, DEAD);
    { using lock = takeLock(place, "it"); assert.ok(lock); }
    assert.deepEqual(fs.readdirSync(folder), []);
  });
});
