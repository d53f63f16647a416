import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as path from "node:path";
import { describe, test } from "node:test";
import { FLAGS, GLOBAL_FLAGS } from "../commands/flags.ts";
import { VERBS } from "../commands/index.ts";

const DOOR = path.join(import.meta.dirname, "..", "bin", "dmn.js");
const dmn = (...args: string[]): ReturnType<typeof spawnSync> =>
  spawnSync(process.execPath, [DOOR, ...args], { encoding: "utf8" });

describe("the glossary of flags", () => {
  test("has the eleven words every verb shares", () => {
    const words = ["dataset", "recipe", "model", "name", "strategy", "engine", "on", "from", "to", "seed", "workers", "json"];
    for (const word of words) assert.ok(Object.values(FLAGS).some((flag) => flag.syntax.startsWith(`--${word}`)), word);
  });

  test("no flag is declared twice, none has a short form, every one has help", () => {
    const names = [...Object.values(FLAGS), ...Object.values(GLOBAL_FLAGS)].map((flag) => flag.syntax.split(" ")[0]);
    assert.equal(new Set(names).size, names.length);
    for (const name of names) assert.match(name, /^--[a-z]+(-[a-z]+)*$/);
    for (const flag of Object.values(FLAGS)) assert.ok(flag.help.length > 5 && flag.help.length <= 90, flag.syntax);
  });

  test("a flag's key is its name in camel case, so that options and help agree", () => {
    for (const [key, flag] of Object.entries({ ...FLAGS, ...GLOBAL_FLAGS })) {
      const name = flag.syntax.split(" ")[0].slice(2).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
      assert.equal(name, key);
    }
  });
});

describe("verbs", () => {
  for (const [name, row] of Object.entries(VERBS)) {
    test(`dmn ${name} uses flags of the glossary, has runnable examples, and help within 100 columns`, async () => {
      const verb = (await row.load()).default;
      for (const flag of verb.flags) assert.ok(flag in FLAGS, flag);
      for (const flag of verb.required) assert.ok(verb.flags.includes(flag), flag);
      assert.ok(verb.examples.length > 0);
      for (const [line] of verb.examples) {
        assert.match(line, new RegExp(`^(\\w+=\\S+ )*dmn ${name}\\b`));
        for (const [, flag] of line.matchAll(/--([a-z-]+)/g)) {
          const isKnown = verb.flags.some((known) => FLAGS[known].syntax.split(" ")[0] === `--${flag}`);
          assert.ok(isKnown, `${name}: --${flag} in an example`);
        }
      }
      const help = dmn(name, "--help");
      assert.equal(help.status, 0);
      for (const line of String(help.stdout).split("\n")) assert.ok(line.length <= 100, `${line.length}: ${line}`);
    });
  }

  test("an unknown verb, flag, choice and day exit with 2, say what was expected, and print no stack", () => {
    for (const [args, words] of [
      [["bakctest"], /Did you mean backtest\?/],
      [["backtest", "--datset", "x"], /Did you mean --dataset\?/],
      [["backtest", "--dataset", "x", "--strategy", "macd", "--engine", "quantum"], /Allowed choices are vector, event/],
      [["backtest", "--dataset", "x", "--strategy", "macd", "--from", "2015-13-01"], /a day such as 2015-12-31/],
      [["backtest", "--strategy", "macd"], /--dataset/],
      [["fetch", "--source", "csv", "--dataset", "../evil"], /letters, digits/],
    ] as const) {
      const ran = dmn(...args);
      assert.equal(ran.status, 2, args.join(" "));
      assert.match(String(ran.stderr), words);
      assert.doesNotMatch(String(ran.stderr), /\n\s+at /);
    }
  });
});
