/** HDF5 files as we read them back and as another program does. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { random } from "../src/base/random.ts";
import { loadHdf5, openHdf5, writeHdf5 } from "../src/market/hdf5.ts";
import { askPython, NO_PYTHON, python } from "./python.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-hdf5-"));
after(() => { fs.rmSync(folder, { recursive: true, force: true }); });

test("60 random files of 1 to 5,000 rows come back through the library bit for bit", async () => {
  await loadHdf5();
  const seed = 31, draw = random(seed, "files");
  for (let k = 0; k < 60; k++) {
    const place = path.join(folder, `${k}.h5`), rows = 1 + draw.below(5_000), words = 1 + draw.below(9);
    const names = Array.from({ length: 1 + draw.below(12) }, (_, j) => `c${"x".repeat(draw.below(20))}${j}`);
    const values = names.map(() => Float64Array.from({ length: rows }, () => draw.normal()));
    values[0][0] = NaN;
    values[0][rows - 1] = -0;
    const table = Uint32Array.from({ length: 2 * words }, () => draw.below(2 ** 32));
    const said = { text: "é".repeat(draw.below(5_000)), other: "x".repeat(draw.below(40)), number: draw.normal() };
    writeHdf5(place, said, [
      ...names.map((name, j) => ({ name, values: values[j], attributes: { unit: `u${draw.below(9)}` } })),
      { name: "index/table", values: table, shape: [2, words] as const },
    ]);
    const message = `seed ${seed} file ${k}`;
    using file = openHdf5(place);
    for (const [j, name] of names.entries()) assert.deepEqual(file.rows(name, 0, rows), values[j], message);
    assert.deepEqual(file.words("index/table"), table, message);
    const from = draw.below(rows);
    assert.deepEqual(file.rows(names[0], from, rows), values[0].slice(from), message);
    assert.throws(() => file.rows(names[0], 0, rows + 1), /fewer rows/);
    assert.throws(() => file.rows("index/table", 0, 1), /not float64/);
    assert.throws(() => file.words(names[0]), /not uint32/);
    assert.throws(() => file.rows("nope", 0, 1), /no dataset "nope"/);
  }
});

test("h5py reads 3 texts (one empty, one of 9,000 bytes) as str, numbers, a table and a folder",
  { skip: python() === null && NO_PYTHON }, () => {
  const place = path.join(folder, "python.h5"), long = "ü".repeat(4_500);
  writeHdf5(place, { long, empty: "", symbol: "AAPL", number: 0.1 }, [
    { name: "close", values: Float64Array.of(1.5, 2.5, 1e300), attributes: { unit: "price" } },
    { name: "index/crc32", values: Uint32Array.of(1, 2, 4_294_967_295), shape: [3, 1] },
  ]);
  const found = askPython(`
import sys, json, h5py
f = h5py.File(json.load(sys.stdin)["place"], "r")
print(json.dumps({"attributes": {k: v if isinstance(v, str) else float(v) for k, v in f.attrs.items()},
  "close": f["close"][:].tolist(), "unit": f["close"].attrs["unit"], "crc32": f["index/crc32"][:].tolist(),
  "members": sorted(f)}))
`, { place });
  assert.deepEqual(found, { attributes: { long, empty: "", symbol: "AAPL", number: 0.1 },
    close: [1.5, 2.5, 1e300], unit: "price", crc32: [[1], [2], [4_294_967_295]], members: ["close", "index"] });
});
