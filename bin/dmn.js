#!/usr/bin/env node
/** The door: finds a recent Node, then hands over to commands/. Nothing else. */
import * as fs from "node:fs";
import module from "node:module";
import { fileURLToPath } from "node:url";
import { isRecent, ownNode, runForeground, TOO_OLD } from "./node.js";

if (isRecent(process.version)) {
  // Compiled code is kept in the system's temporary folder: 90 instead of 150 ms to start.
  module.enableCompileCache();
  const source = new URL("../commands/index.ts", import.meta.url);
  const built = new URL("../dist/commands/index.js", import.meta.url);
  const { main } = await import((fs.existsSync(source) ? source : built).href);
  process.exitCode = await main(process.argv.slice(2));
} else {
  const node = ownNode();
  if (node === null) {
    process.stderr.write(TOO_OLD);
    process.exitCode = 2;
  } else runForeground(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)]);
}
