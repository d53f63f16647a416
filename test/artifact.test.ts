/** The artifact of training: read back as written, and every damage a sentence. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { hashOf } from "../src/base/file.ts";
import { readArtifact, readArtifactFile, writeArtifact, type Artifact } from "../src/train/artifact.ts";
import { UserError } from "../src/base/error.ts";

const ROOT = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-artifact-"));
after(() => { fs.rmSync(ROOT, { recursive: true, force: true }); });

const NETWORK = Buffer.from("not a network, but bytes");
const FILE = "folds/2005/seed-0/model.onnx";

function artifact(name: string): Artifact {
  return {
    version: 1, name, architecture: "lstm", settings: { hidden: 5 }, lookback: 63, mode: "replay",
    dataset: { name: "demo", fingerprint: "f0", isSynthetic: true }, recipe: { name: "dmn", hash: "a1" },
    features: ["r1", "r21"], symbols: ["A", "B"], timeframe: "1d", calendar: "us-equity", periodsPerYear: 252,
    volatilityTarget: 0.15,
    folds: [{ name: "2005", trainFrom: "1990-01-02", trainTo: "2004-12-31", testFrom: "2005-01-01",
      testTo: "2009-12-31", trainDays: 3900, trainRows: 70_000, validationRows: 7_800, settings: { hidden: 5 },
      seeds: [{ seed: 0, file: FILE, float16: FILE, epochs: 9, bestEpoch: 4,
        validationSharpe: NaN, validationSharpeNet: NaN, loss: -1.5,
        float32Error: 1e-7, float16Error: 1e-3, unrounded: [],
        seconds: 3, parameters: 146 }], trials: [], importance: [0.25, NaN] }],
    importanceStability: null, files: { [FILE]: hashOf(NETWORK) }, opset: 17, codeVersion: "0.1.0",
    command: "dmn train-export --dataset demo --model lstm --name m", createdAt: "2026-01-01T00:00:00Z",
  };
}

async function write(name: string): Promise<string> {
  const folder = path.join(ROOT, "models", name);
  fs.mkdirSync(path.join(folder, path.dirname(FILE)), { recursive: true });
  fs.writeFileSync(path.join(folder, FILE), NETWORK);
  await writeArtifact(ROOT, artifact(name));
  return folder;
}

const refusal = (problem: RegExp, hint: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof UserError, String(error));
  assert.match(error.problem, problem);
  assert.match(error.hint, hint);
  return true;
};

describe("artifact", () => {
  test("is read as it was written, NaN included", async () => {
    await write("good");
    assert.deepEqual(readArtifact(ROOT, "good"), artifact("good"));
    assert.deepEqual(Buffer.from(readArtifactFile(ROOT, artifact("good"), FILE)), NETWORK);
  });

  test("an unknown name is answered with the nearest one, an unfinished training with how to go on", async () => {
    await write("momentum");
    assert.throws(() => readArtifact(ROOT, "momentun"), refusal(/no model "momentun"/, /did you mean "momentum"/));
    fs.mkdirSync(path.join(ROOT, "models", "half"), { recursive: true });
    assert.throws(() => readArtifact(ROOT, "half"), refusal(/not finished/, /goes on where it stopped/));
    assert.throws(() => readArtifact(ROOT, "../x"), refusal(/no model "..\/x"/, /choose one of|did you mean/));
  });

  test("one changed number in model.json, a cut file and a newer version are each told", async () => {
    const place = path.join(await write("hurt"), "model.json"), text = fs.readFileSync(place, "utf8");
    fs.writeFileSync(place, text.replace('"hidden": 5', '"hidden": 6'));
    assert.throws(() => readArtifact(ROOT, "hurt"), refusal(/checksum/, /train the model again/));
    fs.writeFileSync(place, text.slice(0, text.length / 2));
    assert.throws(() => readArtifact(ROOT, "hurt"), refusal(/damaged/, /backup/));
    fs.writeFileSync(place, text.replace('"version": 1', '"version": 2'));
    assert.throws(() => readArtifact(ROOT, "hurt"), refusal(/newer dmn/, /update dmn/));
  });

  test("a network file that is missing, or has one other byte, is refused when it is opened", async () => {
    const folder = await write("bytes"), place = path.join(folder, FILE);
    const damaged = Buffer.from(NETWORK);
    damaged[3] ^= 1;
    fs.writeFileSync(place, damaged);
    const open = (): unknown => readArtifactFile(ROOT, readArtifact(ROOT, "bytes"), FILE);
    assert.throws(open, refusal(/SHA-256 differs/, /dmn train-export .*--force/));
    fs.rmSync(place);
    assert.throws(open, refusal(/is missing/, /--force/));
  });
});
