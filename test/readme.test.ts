/** The README shows what the commands really print: each is run, in order, in one fresh data root. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { OBJECTIVES } from "../src/workflow/tune/objectives.ts";
import { SPACE_NOTES, spaceNotesMarkdown } from "../src/workflow/tune/space-notes.ts";

const ROOT = path.dirname(import.meta.dirname);
const DOOR = path.join(ROOT, "bin", "dmn.js");
const home = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-readme-"));
after(() => { fs.rmSync(home, { recursive: true }); });

interface Shown { command: string; lines: string[] }

/** Commands of all console blocks: `$ npx dmn ...`, then the lines shown below it. */
function shownIn(text: string): Shown[] {
  const shown: Shown[] = [];
  for (const [, block] of text.matchAll(/^```console\n([\s\S]*?)^```/gm)) {
    for (const line of block.trimEnd().split("\n")) {
      if (line.startsWith("$ ")) shown.push({ command: line.slice(2), lines: [] });
      else shown.at(-1)!.lines.push(line);
    }
  }
  return shown;
}

/** What differs from run to run: seconds, file sizes' last digits, the folder. */
const settle = (line: string): string => line.replaceAll(home, "HOME").replaceAll(/\d+(\.\d+)? s\b/g, "# s").trimEnd();

/**
 * Networks round differently on other processors, and so learn differently: of what a trained one did the words are
 * compared, not the numbers.
 */
const settleTrained = (line: string): string => settle(line).replace(/^(Sharpe lost when shuffled:).*/, "$1")
  .replaceAll(/seed-\d( \(shown\))?/g, "seed").replaceAll(/-?\d[\d.,]*%?/g, "#").replaceAll(/[▁-█]+/g, "▁")
  .replaceAll(/-{3,}/g, "---").replaceAll(/ +/g, " ");
const TRAINED = /npm start|train-export|model:|tune (--dataset|best)/;

/** Shown lines match printed ones; a line "..." stands for any number of lines. */
function matches(shown: readonly string[], printed: readonly string[]): string | null {
  let at = 0, isLoose = false;
  for (const line of shown) {
    if (line === "...") { isLoose = true; continue; }
    const found = isLoose ? printed.indexOf(line, at) : at;
    if (found < 0 || printed[found] !== line) return `README shows\n  ${line}\nprinted is\n  ${printed[at] ?? "(nothing)"}`;
    at = found + 1;
    isLoose = false;
  }
  return isLoose || at === printed.length ? null : `printed goes on with\n  ${printed[at]}`;
}

describe("README", () => {
  const commands = shownIn(fs.readFileSync(path.join(ROOT, "README.md"), "utf8"));

  test("shows at least six commands with their output", () => { assert.ok(commands.length >= 6); });

  for (const { command, lines } of commands) {
    test(`$ ${command}`, () => {
      const args = command === "npm start" ? ["demo"] : /^npx dmn (.*)$/.exec(command)?.[1].split(" ");
      assert.ok(args, "a shown command is npm start or npx dmn ...");
      // Not the default ports: somebody may trade or tune on this machine.
      const env = { ...process.env, DMN_HOME: "", DMN_LIVE_PORT_BASE: "16555", DMN_TUNE_PORT_BASE: "16755" };
      const ran = spawnSync(process.execPath, [DOOR, ...args], { cwd: home, encoding: "utf8", env });
      const settled = TRAINED.test(command) ? settleTrained : settle;
      // Progress and its notes are told on stderr, refusals too.
      const said = `${ran.stdout}${ran.stderr}`.trimEnd().split("\n")
        .filter((line) => !/^(?!study )\S.*: \d+\/\d+ /.test(line));
      const fault = matches(lines.map(settled), said.map(settled));
      assert.equal(fault, null, fault ?? "");
    });
  }
});

test("ARCHITECTURE says of each key of the founding search space what `dmn tune space` says", () => {
  const text = fs.readFileSync(path.join(ROOT, "ARCHITECTURE.md"), "utf8");
  assert.ok(SPACE_NOTES.length === 25 && text.includes(spaceNotesMarkdown()), spaceNotesMarkdown());
});

test("README has a row for each objective, with its direction and unit", () => {
  const text = fs.readFileSync(path.join(ROOT, "README.md"), "utf8");
  const rows = Object.entries(OBJECTIVES).map(([name, { direction, unit }]) =>
    `| \`${name}\` | ${direction === "maximise" ? "more" : "less"} | ${unit} |`);
  assert.deepEqual(rows.filter((row) => !text.includes(row)), []);
  assert.equal(rows.length, 11);
});
