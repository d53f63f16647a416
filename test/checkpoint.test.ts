/** A training that was stopped, killed or found a damaged checkpoint ends with the same bits as one that was not. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { architectureNamed } from "../models/index.ts";
import { FakeClock } from "../src/base/clock.ts";
import { Interrupted, UserError } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { ortRuntime } from "../src/runtime/ort/program.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Program, Runtime } from "../src/runtime/runtime.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../src/train/checkpoint-file.ts";
import { openCheckpoints, readState } from "../src/train/checkpoint.ts";
import { fit, type FitOptions, type FitResult } from "../src/train/fit.ts";
import { toyMarket } from "./toy-market.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-checkpoint-"));
after(() => { fs.rmSync(root, { recursive: true, force: true }); });
let folders = 0;
const newFolder = (): string => path.join(root, String(folders++));

/** 3 steps an epoch of 48 sequences; accumulation, so that a half-made gradient must be kept too. */
const SETTINGS = { hidden: 5, dropout: 0.3, batch: 16, accumulate: 2, learningRate: 0.02, schedule: "cosine", epochs: 5 };
const base: FitOptions = { architecture: architectureNamed("lstm"), settings: SETTINGS, training: toyMarket(),
  validation: toyMarket({ seed: 2 }), seed: 5, runtime: reference, clock: new FakeClock(0) };
const bits = ({ parameters, history, bestEpoch }: FitResult): unknown => ({ parameters: [...parameters], history, bestEpoch });
const uninterrupted = bits(await fit(base));

/** A runtime whose training program calls back before each of its runs, counted from 0. */
function watched(onRun: (k: number) => void, spoil: (k: number) => boolean = () => false, real = reference): Runtime {
  return { ...real, async compile(graph): Promise<Program> {
    const program = await real.compile(graph);
    if (!graph.name.endsWith("training")) return program;
    let k = 0;
    return { read: (names) => program.read(names), write: (state) => program.write(state),
      [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
      async run(feeds) {
        onRun(k);
        const outputs = await program.run(feeds);
        return spoil(k++) ? { ...outputs, loss: { shape: [], values: Float64Array.of(NaN) } } : outputs;
      } };
  } };
}

/** Trains until the signal after `steps` steps, then again from what is in the folder. */
async function stopAfter(steps: number, folder: string, real = reference): Promise<void> {
  const controller = new AbortController();
  const runtime = watched((k) => { if (k === steps - 1) controller.abort(); }, undefined, real);
  await assert.rejects(fit({ ...base, runtime, store: openCheckpoints(folder), signal: controller.signal,
    resume: "dmn again" }),
    (error: unknown) => error instanceof Interrupted && error.message.endsWith("Go on with: dmn again"));
}

describe("Ctrl-C", () => {
  test("after each of the first 14 of 15 steps, within an epoch or at its end: the resumed training has the same bits",
    async () => {
    for (let steps = 1; steps < 15; steps++) {
      const folder = newFolder();
      await stopAfter(steps, folder);
      const isMiddle = steps % 3 !== 0, name = `epoch-000${Math.floor(steps / 3)}`;
      assert.ok(fs.existsSync(path.join(folder, isMiddle ? `${name}-step-0000${steps % 3}.safetensors`
        : `${name}.safetensors`)));
      assert.deepEqual(bits(await fit({ ...base, store: openCheckpoints(folder) })), uninterrupted, `after ${steps} steps`);
    }
  });

  test("the same on onnxruntime in float32, in the middle of an accumulated gradient and after an epoch", async () => {
    const runtime = ortRuntime(), whole = bits(await fit({ ...base, runtime }));
    for (const steps of [4, 6]) {
      const folder = newFolder();
      await stopAfter(steps, folder, runtime);
      assert.deepEqual(bits(await fit({ ...base, runtime, store: openCheckpoints(folder) })), whole, `after ${steps} steps`);
    }
  });

  test("a training that is done is not trained again: no program is compiled", async () => {
    const folder = newFolder(), store = openCheckpoints(folder);
    assert.deepEqual(bits(await fit({ ...base, store })), uninterrupted);
    const idle: Runtime = { ...reference, compile: () => { throw new Error("compiled"); } };
    assert.deepEqual(bits(await fit({ ...base, store, runtime: idle })), uninterrupted);
  });
});

test("kill -9 at seven random calls into the file system, one after the other: the same bits as never killed", () => {
  const run = (folder: string, stopAt: number): { signal: string | null; said: string; calls: number } => {
    const child = spawnSync(process.execPath, ["--import", path.join(import.meta.dirname, "stop-at.ts"),
      path.join(import.meta.dirname, "fit-trainer.ts"), folder],
    { encoding: "utf8", env: { ...process.env, DMN_STOP_AT: String(stopAt) } });
    return { signal: child.signal, said: child.stdout, calls: Number(/calls: (\d+)/.exec(child.stderr)?.[1] ?? NaN) };
  };
  const draw = random(20_26, "kills"), done = newFolder(), folder = newFolder();
  const whole = run(done, 0), idle = run(done, 0);
  assert.ok(whole.calls > idle.calls + 60, `${whole.calls} and ${idle.calls}`);
  assert.equal((JSON.parse(whole.said) as { epochs: number }).epochs, 8);
  for (let k = 0; k < 7; k++) assert.equal(run(folder, idle.calls + 1 + draw.below(12)).signal, "SIGKILL", `kill ${k}`);
  assert.ok(fs.readdirSync(folder).some((name) => name.endsWith("safetensors")), "some epochs were done in between");
  assert.equal(run(folder, 0).said, whole.said);
  assert.deepEqual(fs.readdirSync(folder).filter((name) => name.endsWith(".tmp")), []);
});

describe("damage and mistakes", () => {
  test("a cut, a flipped bit, an empty file: it goes on from the checkpoint before, says so, and ends with the same bits",
    async () => {
    const spoil: Record<string, (bytes: Buffer) => Buffer> = {
      "it is cut short": (bytes) => bytes.subarray(0, 100),
      "its checksum does not match": (bytes) => { bytes[bytes.length - 9] ^= 1; return bytes; },
      "it has only 0 bytes": () => Buffer.alloc(0),
      "its header cannot be read": (bytes) => { bytes[9] = 0; return bytes; },
    };
    for (const [reason, change] of Object.entries(spoil)) {
      const folder = newFolder();
      await stopAfter(9, folder);
      const place = path.join(folder, "epoch-0003.safetensors");
      fs.writeFileSync(place, change(fs.readFileSync(place)));
      const result = await fit({ ...base, store: openCheckpoints(folder) });
      assert.deepEqual(bits(result), uninterrupted, reason);
      assert.deepEqual(result.notes,
        [`${place} is damaged (${reason}); training goes on from the checkpoint before it`]);
    }
  });

  test("other settings, another seed or other data are refused, and a newer version too", async () => {
    const folder = newFolder();
    await stopAfter(4, folder);
    const place = path.join(folder, "epoch-0001-step-00001.safetensors");
    const refused = (pattern: RegExp, over: Partial<FitOptions>): Promise<void> =>
      assert.rejects(fit({ ...base, store: openCheckpoints(folder), ...over }),
        (error: unknown) => error instanceof UserError && error.problem.startsWith(place) && pattern.test(error.problem));
    await refused(/is a checkpoint of other settings, another seed/, { settings: { ...SETTINGS, learningRate: 0.01 } });
    await refused(/is a checkpoint of other settings, another seed/, { seed: 6 });
    await refused(/is a checkpoint of other data/, { training: toyMarket({ seed: 3 }) });
    const bytes = fs.readFileSync(place).toString("latin1").replace('"version":"1"', '"version":"9"');
    fs.writeFileSync(place, bytes, "latin1");
    await refused(/was written by a newer dmn \(version 9, this one reads 1\)/, {});
  });

  test("a loss that is not a number stops, and the last good checkpoint is named and kept", async () => {
    const folder = newFolder(), place = path.join(folder, "epoch-0002.safetensors");
    const runtime = watched(() => {}, (k) => k === 7);
    await assert.rejects(fit({ ...base, runtime, store: openCheckpoints(folder) }),
      (error: unknown) => error instanceof UserError
      && error.problem.startsWith("the loss is not a number in epoch 3, step 2; the batch was TOY0, TOY1")
      && error.problem.endsWith(`The last good checkpoint is ${place}`) && error.hint.includes("--set learningRate=0.002"));
    assert.deepEqual(fs.readdirSync(folder), ["epoch-0001.safetensors", "epoch-0002.safetensors"]);
  });

  test("the last five and the best five are kept, no more", async () => {
    const folder = newFolder(), settings = { ...SETTINGS, learningRate: 0.1, epochs: 20 };
    const { history } = await fit({ ...base, settings, store: openCheckpoints(folder) });
    const best = [...history].sort((a, b) => b.validationSharpeNet - a.validationSharpeNet)
      .slice(0, 5).map(({ epoch }) => epoch);
    const expected = [...new Set([...best, 16, 17, 18, 19, 20])].sort((a, b) => a - b);
    assert.ok(expected.length > 5);
    assert.deepEqual(fs.readdirSync(folder), expected.map((epoch) => `epoch-${String(epoch).padStart(4, "0")}.safetensors`));
  });
});

describe("a checkpoint as the start of another fit", () => {
  test("of whole epochs it is the state that was saved; of a part of one, damaged or newer it is refused", async () => {
    const folder = newFolder();
    await stopAfter(4, folder);
    const [whole, part] = ["epoch-0001", "epoch-0001-step-00001"].map((name) => path.join(folder, `${name}.safetensors`));
    const start = readState(whole), rest = await fit({ ...base, start });
    const all = await fit(base);
    assert.deepEqual([rest.end, rest.history], [all.end, all.history.slice(1)]);
    assert.throws(() => readState(part), /stands in the middle of an epoch.*\nstart from epoch-0001.safetensors/);
    const bytes = fs.readFileSync(whole);
    bytes[bytes.length - 1] ^= 1;
    fs.writeFileSync(whole, bytes);
    assert.throws(() => readState(whole), /is damaged: its checksum does not match/);
    // A resumed fit must have the start that it was begun with.
    const other = newFolder(), settings = { ...SETTINGS, epochs: 2 };
    await fit({ ...base, settings, start, store: openCheckpoints(other) });
    await assert.rejects(fit({ ...base, settings, store: openCheckpoints(other) }), /is a checkpoint of other settings/);
  });
});

describe("the safetensors format", () => {
  const tensors = { a: { shape: [2, 3], values: Float32Array.of(1, -2, 3.5, 0, 5, 6) },
    b: { shape: [], values: Float64Array.of(Math.PI) } };
  const bytes = encodeCheckpoint({ epoch: 3 }, tensors);

  test("by hand: u64 length, JSON, then little endian numbers at data_offsets", () => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const length = Number(view.getBigUint64(0, true));
    assert.equal(length % 8, 0);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as
      Record<string, Record<string, unknown>>;
    assert.deepEqual([header.b, header.a],
      [{ dtype: "F64", shape: [], data_offsets: [0, 8] }, { dtype: "F32", shape: [2, 3], data_offsets: [8, 32] }]);
    assert.equal(header.__metadata__.state, '{"epoch":3}');
    assert.equal(view.getFloat64(8 + length, true), Math.PI);
    assert.equal(view.getFloat32(8 + length + 8 + 8, true), 3.5);
    assert.equal(bytes.length, 8 + length + 32);
  });

  test("what is read is what was written; each of 400 flipped bits is noticed", () => {
    const decoded = decodeCheckpoint(bytes);
    assert.ok(decoded.kind === "good");
    assert.deepEqual([decoded.state, decoded.tensors], [{ epoch: 3 }, tensors]);
    const draw = random(3, "flips");
    for (let k = 0; k < 400; k++) {
      const at = draw.below(bytes.length), spoilt = Uint8Array.from(bytes);
      spoilt[at] ^= 1 << draw.below(8);
      const found = decodeCheckpoint(spoilt);
      assert.ok(found.kind !== "good", `byte ${at}`);
    }
  });
});
