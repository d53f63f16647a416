/** Recipes: what is found by name, what is refused and with which words, and what the hash stands for. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { bind } from "../src/features/panel.ts";
import { canonicalJson, readRecipe } from "../src/features/recipe.ts";
import { calendar } from "../src/market/calendar.ts";
import { DataRoot } from "./features-data.ts";

const MARKET = { calendar: calendar("us-equity"), timeframe: "1d" } as const;
const data = new DataRoot();
after(() => { data[Symbol.dispose](); });

let files = 0;
/** Reads a recipe from a file with this content. */
async function read(content: unknown): Promise<Awaited<ReturnType<typeof readRecipe>>> {
  const name = `r${files++}`;
  data.write(`recipes/${name}.json`, typeof content === "string" ? content : JSON.stringify(content));
  return await readRecipe(data.root, name);
}

const refuses = async (work: Promise<unknown>, ...words: string[]): Promise<void> => {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof UserError, String(error));
    for (const word of words) assert.ok(error.message.includes(word), `"${error.message}" does not say "${word}"`);
    return true;
  });
};

describe("names", () => {
  test("a slip of the hand in a recipe, a family or a parameter is answered by the word that was meant", async () => {
    await refuses(readRecipe(data.root, "dnm"), 'no recipe "dnm"', 'did you mean "dmn"?');
    await refuses(read({ features: [{ family: "normalised_return" }] }), 'no feature family "normalised_return"',
      'did you mean "normalized_return"?');
    await refuses(read({ features: [{ family: "volatility", spam: 30 }] }), 'has no parameter "spam"',
      'did you mean "span"?');
    await refuses(read({ features: [{ family: "return", span: 3 }] }), 'has no parameter "span"', "takes no parameters");
  });

  test("a recipe is found in the data root's recipes/, in the data root, and by path, with or without .json", async () => {
    data.write("recipes/one.json", '{"features":[{"family":"return"}]}');
    data.write("two.json", '{"name":"second","features":[{"family":"return"}]}');
    assert.equal((await readRecipe(data.root, "one")).name, "one");
    assert.equal((await readRecipe(data.root, "two.json")).name, "second");
    assert.equal((await readRecipe("/nowhere", `${data.root}/two.json`)).name, "second");
  });

  test("a line may take in a built-in recipe: dmn and a change point are 13 + 2 columns, rsi and macd 12 + 15", async () => {
    const slow = await read({ features: [{ recipe: "dmn" }, { family: "change_point", windows: [21] }] });
    assert.equal(bind(slow, MARKET).names.length, 15);
    const two = await read({ features: [{ recipe: "rsi" }, { recipe: "macd" }] });
    assert.equal(bind(two, MARKET).names.length, 27);
    await refuses(read({ features: [{ recipe: "all_indicatrs" }] }), 'takes in "all_indicatrs"', '"all_indicators"?');
  });

  test("a file cannot take the name of a built-in recipe", async () => {
    await refuses(read({ name: "dmn", features: [{ family: "return" }] }), '"dmn", which is built in');
  });
});

describe("bad files", () => {
  for (const [what, content, words] of [
    ["not JSON", "{", "not valid JSON"],
    ["a list", [], "is not valid"],
    ["no features", { features: [] }, '"features"'],
    ["an unknown key", { features: [{ family: "return" }], feature: 1 }, "feature"],
    ["a line of neither family nor recipe", { features: [{ span: 3 }] }, '"features.0": must have a "family"'],
    ["parameters of a recipe", { features: [{ recipe: "rsi", windows: [3] }] }, '"features.0": must have a "family"'],
    ["a family that is a number", { features: [{ family: 7 }] }, '"features.0.family"'],
    ["a span of 0", { features: [{ family: "volatility", span: 0 }] }, '"span"'],
    ["a window twice", { features: [{ family: "normalized_return", windows: [5, 5] }] }, "each window may appear once"],
    ["a short scale above the long one", { features: [{ family: "macd_signal", speeds: [[24, 8]] }] }, "below the long one"],
    ["600 features", { features: Array.from({ length: 600 }, () => ({ family: "return" })) }, '"features"'],
  ] as const) {
    test(`${what}: one sentence says where`, async () => { await refuses(read(content), words); });
  }

  test("the same column twice is refused when the recipe meets a market", async () => {
    const recipe = await read({ features: [{ family: "volatility" }, { family: "return" }, { family: "volatility" }] });
    assert.throws(() => bind(recipe, MARKET), /makes the column "daily_vol" twice/);
  });
});

describe("the hash", () => {
  test("is the same for another order of keys and for a default written out, and other for another number or order",
    async () => {
    const hash = async (...features: object[]): Promise<string> => (await read({ features })).hash;
    const one = await hash({ family: "target" });
    assert.equal(one, await hash({ volatilityTarget: 0.15, span: 60, family: "target" }));
    assert.notEqual(one, await hash({ family: "target", span: 61 }));
    assert.notEqual(await hash({ family: "return" }, { family: "target" }),
      await hash({ family: "target" }, { family: "return" }));
  });

  test("of a panel differs by calendar and by timeframe", async () => {
    const recipe = await readRecipe(data.root, "dmn");
    const hashes = [MARKET, { ...MARKET, timeframe: "1h" as const }, { ...MARKET, calendar: calendar("24x5") }]
      .map((market) => bind(recipe, market).hash);
    assert.equal(new Set(hashes).size, 3);
  });

  test("canonical JSON: keys sorted at each depth, undefined left out", () => {
    assert.equal(canonicalJson({ b: [{ d: 1, c: null }], a: undefined, A: "x" }), '{"A":"x","b":[{"c":null,"d":1}]}');
  });
});

/** Close over its mean of `window` bars, less 1. `cheat`: reads the next close too. */
const userFamily = (cheat: boolean): string => `
export default {
  summary: "close over its average, less 1",
  inputs: ["close"],
  defaults: { window: 5 },
  make: ({ window }) => ({
    family: "my_own", inputs: ["close"], causality: "close", flopsPerBar: window, stateLength: window + 1,
    columns: [{ name: "my_own", unit: "fraction", warmup: window - 1 }],
    start(state) { state.fill(0); },
    update(bars, from, to, state, out, offset, stride) {
      for (let t = from; t < to; t++) {
        const price = bars.columns.close[${cheat ? "Math.min(t + 1, bars.time.length - 1)" : "t"}];
        state[1 + state[0] % window] = price;
        state[0]++;
        let sum = 0;
        for (let k = 1; k <= window; k++) sum += state[k];
        out[offset + (t - from) * stride] = state[0] < window ? NaN : price / (sum / window) - 1;
      }
    },
  }),
};`;

describe("a family of the user's own", () => {
  test("in features/ is found by name, alone or in a recipe, and its parameters have the types of its defaults", async () => {
    data.write("features/my_own.ts", userFamily(false));
    assert.deepEqual(bind(await readRecipe(data.root, "my_own"), MARKET).names, ["my_own"]);
    const recipe = await read({ features: [{ family: "return" }, { family: "my_own", window: 9 }] });
    assert.equal(bind(recipe, MARKET).columns[1].warmup, 8);
    await refuses(read({ features: [{ family: "my_own", window: "9" }] }), '"window"');
    await refuses(readRecipe(data.root, "my_wn"), 'did you mean "my_own"?');
  });

  test("changes the recipe's hash when its file changes by one byte", async () => {
    const before = (await readRecipe(data.root, "my_own")).hash;
    data.write("features/my_own.ts", `${userFamily(false)}\n`);
    assert.notEqual((await readRecipe(data.root, "my_own")).hash, before);
  });

  test("that does not load, exports nothing, lacks a part or has another name is refused with its file", async () => {
    data.write("features/broken.ts", "export default {");
    await refuses(readRecipe(data.root, "broken"), "broken.ts does not load");
    data.write("features/empty.ts", "export const x = 1;");
    await refuses(readRecipe(data.root, "empty"), "empty.ts must export a feature family as default");
    data.write("features/partly.js", 'export default { summary: "x", inputs: ["klose"], make() {} };');
    await refuses(readRecipe(data.root, "partly"), "partly.js", '"inputs.0"');
    data.write("features/renamed.ts", userFamily(false));
    const recipe = await readRecipe(data.root, "renamed");
    assert.throws(() => bind(recipe, MARKET), /made a feature of the family "my_own"/);
  });
});

