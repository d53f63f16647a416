/**
 * `npm test`: types, lint, then every test file in its own process, with one plain closing line. `--check`
 * stops after types and lint; file names as arguments run only those. Skips are counted and their reasons
 * printed.
 */
import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const ROOT = path.dirname(import.meta.dirname);
const FOLDERS = ["bin", "src", "commands", "datasets", "models", "test"];
process.chdir(ROOT);

/** Type check and lint side by side; each is one test of the total. */
async function check(name: string, script: string, args: readonly string[]): Promise<boolean> {
  const child = spawn(process.execPath, [path.join("node_modules", script), ...args],
    { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (piece: Buffer) => { said += piece.toString(); });
  }
  const passed = await new Promise<boolean>((resolve) => {
    child.on("close", (code) => { resolve(code === 0); });
  });
  process.stdout.write(passed ? `✔ ${name}\n` : `✖ ${name}\n${said}\n`);
  return passed;
}

interface Tally { passed: number; failed: number; skips: Map<string, number> }

/** Longest first, so that two processes end at about the same time. */
function testFiles(): string[] {
  return fs.globSync("test/**/*.test.ts").sort((a, b) => fs.statSync(b).size - fs.statSync(a).size);
}

/**
 * Tests that start the whole graph of live trading, a dozen processes, have the machine to themselves, behind
 * the others: its deadlines are those of trading.
 */
const isGraph = (file: string): boolean => fs.readFileSync(file, "utf8").includes("live-graph.ts");

async function runTests(files: readonly string[], concurrency: number, tally: Tally): Promise<void> {
  const stream = run({ files: [...files], concurrency, timeout: 900_000 });
  stream.on("test:pass", (event) => {
    if (event.skip !== undefined) {
      const hasReason = typeof event.skip === "string" && event.skip !== "";
      const reason = hasReason ? String(event.skip) : `no reason given: ${event.name}`;
      tally.skips.set(reason, (tally.skips.get(reason) ?? 0) + 1);
    } else if (event.details.type !== "suite") tally.passed++;
  });
  stream.on("test:fail", (event) => { if (event.details.type !== "suite") tally.failed++; });
  const report = stream.compose(spec);
  for await (const piece of report) process.stdout.write(piece as string);
}

const wanted = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const tally: Tally = { passed: 0, failed: 0, skips: new Map() };
if (wanted.length === 0) {
  const results = await Promise.all([
    check("types: tsc --noEmit", "typescript/bin/tsc", ["--noEmit", "-p", "."]),
    check("lint: oxlint --type-aware", "oxlint/bin/oxlint", ["--type-aware", ...FOLDERS]),
  ]);
  for (const passed of results) if (passed) tally.passed++; else tally.failed++;
}
if (!process.argv.includes("--check")) {
  const files = wanted.length > 0 ? wanted : testFiles();
  await runTests(files.filter((file) => !isGraph(file)), 2, tally);
  await runTests(files.filter(isGraph), 1, tally);
}

let skipped = 0;
for (const [reason, count] of tally.skips) {
  skipped += count;
  process.stdout.write(`skipped ${count}: ${reason}\n`);
}
const git = spawnSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" });
const commit = git.status === 0 ? git.stdout.trim() : "unknown";
process.stdout.write(`node ${process.version}, ${process.platform} ${process.arch}, commit ${commit}\n`);
const tail = skipped > 0 ? `, ${skipped} skipped` : "";
process.stdout.write(`${tally.passed} passed, ${tally.failed} failed${tail}\n`);
process.exitCode = tally.failed > 0 ? 1 : 0;
