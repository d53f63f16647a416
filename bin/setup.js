/**
 * Makes a fresh clone ready, then runs a script of the project with the right Node:
 *
 *   node bin/setup.js test/run.ts --check
 *
 * `npm ci` runs when node_modules is missing or older than the lock file; nothing else is ever downloaded.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { runForeground, TOO_OLD, usableNode } from "./node.js";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const lock = path.join(root, "package-lock.json");
const stamp = path.join(root, "node_modules", ".dmn-lock");

function isInstalled() {
  return fs.existsSync(stamp) && fs.readFileSync(stamp, "utf8") === fs.readFileSync(lock, "utf8");
}

if (!isInstalled()) {
  process.stderr.write("setting up: npm ci\n");
  const npm = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"],
    { cwd: root, stdio: ["ignore", 2, 2], shell: process.platform === "win32" });
  if (npm.status !== 0) {
    process.stderr.write("npm ci failed; mend what it says above, then run the same command again\n");
    process.exit(2);
  }
  fs.writeFileSync(stamp, fs.readFileSync(lock));
}

const node = usableNode();
if (node === null) {
  process.stderr.write(TOO_OLD);
  process.exitCode = 2;
} else {
  const [script, ...args] = process.argv.slice(2);
  runForeground(node, [path.resolve(root, script), ...args]);
}
