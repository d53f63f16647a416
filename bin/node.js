/**
 * Finds a Node that can run this project (>= 24.15: type stripping, node:sqlite, zstd). Plain JavaScript
 * that any Node since 16 can read, because it is what runs when the system's Node is too old. The project's
 * own Node 26 comes with `npm ci` as an optional dependency per platform, pinned by the lock file like
 * everything else.
 */
import * as fs from "node:fs";
import { createRequire } from "node:module";
import * as path from "node:path";
import { spawn } from "node:child_process";

const MINIMUM = [24, 15];

/** @param {string} version "24.15.0" or "v24.15.0" */
export function isRecent(version) {
  const [major, minor] = version.replace(/^v/, "").split(".").map(Number);
  return major > MINIMUM[0] || (major === MINIMUM[0] && minor >= MINIMUM[1]);
}

/** Path of the Node that came with `npm ci`, or null. */
export function ownNode() {
  const os = process.platform === "win32" ? "win" : process.platform;
  const binary = process.platform === "win32" ? "bin/node.exe" : "bin/node";
  for (const name of [`node-${os}-${process.arch}`, `node-bin-${os}-${process.arch}`]) {
    try {
      const folder = path.dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
      const place = path.join(folder, binary);
      if (fs.existsSync(place)) return place;
    } catch { /* not installed for this platform: the next name */ }
  }
  return null;
}

/** The Node to use: this one when recent, else our own, else null. */
export function usableNode() {
  return isRecent(process.version) ? process.execPath : ownNode();
}

export const TOO_OLD = `dmn needs Node 24.15 or newer; this is ${process.version}, `
  + "and its own Node is not installed here\n"
  + "install it with: npm ci   (in a checkout), or get Node 26 from nodejs.org\n";

/**
 * Runs `node args` in the foreground and ends with its exit code. Signals go to the child, which decides.
 * @param {string} node
 * @param {string[]} args
 */
export function runForeground(node, args) {
  // So that a child that says just "node" or "npm" finds the same one.
  const PATH = path.dirname(node) + path.delimiter + (process.env.PATH ?? "");
  const child = spawn(node, args, { stdio: "inherit", env: { ...process.env, PATH } });
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    // A terminal sends Ctrl-C to the child as well; commands/index.ts takes the two for one.
    process.on(signal, () => { child.kill(signal); });
  }
  child.on("exit", (code, signal) => { process.exitCode = code ?? (signal === "SIGINT" ? 130 : 1); });
  child.on("error", (error) => {
    process.stderr.write(`cannot start ${node}: ${error.message}\n`);
    process.exitCode = 70;
  });
}
