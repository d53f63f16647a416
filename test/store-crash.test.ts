/** Kill -9 while a dataset is written: it is the old one or the new one, never a mixture, never a wrong file. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { places } from "../src/base/data-root.ts";
import { random } from "../src/base/random.ts";
import { checkFile, listDatasets, readBars, readManifest } from "../src/market/store.ts";
import { cleanBars } from "./market-rows.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-crash-"));
after(() => { fs.rmSync(root, { recursive: true, force: true }); });

interface Ending { readonly signal: string | null; readonly calls: number; readonly resumed: number }
function write(generation: number, killAt: number, place = root): Ending {
  const run = spawnSync(process.execPath,
    [path.join(import.meta.dirname, "store-writer.ts"), place, String(generation), String(killAt)], { encoding: "utf8" });
  assert.equal(run.stderr, "");
  const said = run.signal === null ? JSON.parse(run.stdout) as object : {};
  return { calls: 0, resumed: 0, ...said, signal: run.signal };
}

/** The generation of a dataset that is whole and right in every row; 0 when there is none. */
async function generationOf(words: string): Promise<number> {
  if (!listDatasets(root).includes("d")) return 0;
  const manifest = readManifest(root, "d"), generation = Number(manifest.provenance.split(" ")[1]);
  assert.equal(manifest.instruments.length, 6, words);
  for (const [k, row] of manifest.instruments.entries()) {
    checkFile(root, manifest, row.symbol);
    const expected = cleanBars(100 * generation + k, 300, `S${k}`);
    assert.deepEqual((await readBars(root, manifest, row.symbol)).columns, expected.columns, words);
  }
  return generation;
}

describe("kill -9 while writing", () => {
  test("at 20 random calls into the file system: what is readable is right, and a rerun completes", async () => {
    const seed = 20_262, draw = random(seed, "kills");
    const { calls } = write(1, 0);
    assert.ok(calls > 100, String(calls));
    let generation = await generationOf("the first one"), resumed = 0;
    assert.equal(generation, 1);
    for (let k = 0; k < 20; k++) {
      const at = 1 + draw.below(calls - 10), words = `seed ${seed} kill ${k} at call ${at}`;
      assert.equal(write(generation + 1, at).signal, "SIGKILL", words);
      const found = await generationOf(words);
      assert.ok(found === generation || found === generation + 1, `${words}: generation ${found}`);
      const rerun = write(generation + 1, 0);
      assert.equal(rerun.signal, null, words);
      resumed += rerun.resumed;
      generation++;
      assert.equal(await generationOf(words), generation, words);
      assert.deepEqual(fs.readdirSync(places.dataset(root, "d")).sort(), ["bars", "manifest.json"], words);
      assert.equal(fs.readdirSync(path.join(places.dataset(root, "d"), "bars")).length, 6, words);
    }
    assert.ok(resumed > 20, `only ${resumed} instruments were not fetched again`);
  });
});

test("a broken HDF5 file makes no noise on stderr: only our sentence leaves the process", () => {
  const script = `
    import fs from "node:fs";
    import { readBars, readManifest } from ${JSON.stringify(path.join(import.meta.dirname, "../src/market/store.ts"))};
    import { loadHdf5, openHdf5 } from ${JSON.stringify(path.join(import.meta.dirname, "../src/market/hdf5.ts"))};
    const [root] = process.argv.slice(1), manifest = readManifest(root, "d");
    const place = root + "/datasets/d/" + manifest.instruments[0].file;
    const good = fs.readFileSync(place);
    for (const bad of [Buffer.from("not HDF5"), good.subarray(0, 500), Buffer.alloc(good.length)]) {
      fs.writeFileSync(place, bad);
      await loadHdf5();
      try { openHdf5(place); process.exit(8); } catch (error) { process.stdout.write(error.message + "\\n"); }
      await readBars(root, manifest, "S0").then(() => process.exit(9), (error) => process.stdout.write(error.problem + "\\n"));
    }`;
  const own = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-noise-"));
  try {
    write(1, 0, own);
    const run = spawnSync(process.execPath, ["--input-type=module", "-e", script, own], { encoding: "utf8" });
    assert.deepEqual([run.status, run.stderr], [0, ""]);
    assert.equal(run.stdout.trim().split("\n").length, 6);
  } finally { fs.rmSync(own, { recursive: true, force: true }); }
});
