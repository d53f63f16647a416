/**
 * The launch lists and memory plans of the networks that are measured, as goldens, and their generated kernels under
 * NVIDIA's compiler. Where another list is meant: DMN_GOLDENS=write node --test test/cuda-launches.test.ts
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { ARCHITECTURES } from "../models/index.ts";
import type { Settings } from "../src/nn/hyperparameter.ts";
import { trainGraph } from "../src/nn/train-graph.ts";
import { nvrtcFiles } from "../src/runtime/cuda/driver/library.ts";
import { openNvrtc } from "../src/runtime/cuda/driver/nvrtc.ts";
import { kernelText } from "../src/runtime/cuda/driver/source.ts";
import { H200, printLaunches, type LaunchList } from "../src/runtime/cuda/launch.ts";
import { lowerGraph } from "../src/runtime/cuda/lower/lower.ts";
import { networkGraph } from "./cuda-networks.ts";

describe("launch lists and memory plans, as goldens", () => {
  const FOLDER = path.join(import.meta.dirname, "fixtures", "cuda-launches");
  const network = (name: string, settings: Settings, F: number, B: number): LaunchList => {
    const graph = networkGraph({ name, settings, F }, B, 60);
    return lowerGraph(graph, { precision: "float16", device: H200,
      frozen: new Set(graph.state.map((state) => state.name)) }).list;
  };
  const lstm = { hidden: 512, layers: 2, dropout: 0 };
  const encoder = { width: 512, attentionHeads: 8, layers: 4, feedForward: 4, positions: "sinusoidal", dropout: 0 };
  const LISTS: Readonly<Record<string, { list: () => LaunchList; mostLaunches: number }>> = {
    "lstm-512x2-b1": { list: () => network("lstm", lstm, 200, 1), mostLaunches: 1 },
    "lstm-512x2-b32": { list: () => network("lstm", lstm, 200, 32), mostLaunches: 1 },
    "encoder-512-b1": { list: () => network("encoder", encoder, 200, 1), mostLaunches: 24 },
    "encoder-512-b32": { list: () => network("encoder", encoder, 200, 32), mostLaunches: 24 },
    "meta-b32": { list: () => network("meta", { hidden: 16, dropout: 0 }, 8, 32), mostLaunches: 3 },
    "momentum-transformer-b32": { list: () => network("transformer", { hidden: 40, attentionHeads: 4, dropout: 0 }, 20, 32),
      mostLaunches: 64 },
    "train-lstm-9": { mostLaunches: 140, list: () => lowerGraph(trainGraph(ARCHITECTURES["lstm"], { B: 5, T: 6, features: 4,
      instruments: 1 }, { hidden: 9, layers: 2, dropout: 0.2 }, { terms: ["sharpe", "turnover"] }).graph,
    { precision: "float32", device: H200 }).list },
  };
  const compare = (file: string, text: string): void => {
    const place = path.join(FOLDER, file);
    if (process.env["DMN_GOLDENS"] === "write") fs.writeFileSync(place, text);
    assert.equal(text, fs.readFileSync(
      place, "utf8"), "if it is meant: DMN_GOLDENS=write node --test test/cuda-launches.test.ts");
  };

  for (const [name, { list, mostLaunches }] of Object.entries(LISTS)) {
    test(`${name}: as it was, in at most ${mostLaunches} launches`, () => {
      const made = list();
      compare(`${name}.txt`, printLaunches(made));
      assert.ok(made.launches.length <= mostLaunches, `${made.launches.length} launches`);
    });
  }

  test("the generated C++ of the meta-learner", () => {
    const sources = new Set(LISTS["meta-b32"].list().launches.map(({ source }) => source.text).filter((text) => text !== null));
    compare("meta-b32.cu", [...sources].join("\n"));
  });

  const [nvrtc] = nvrtcFiles({ VIRTUAL_ENV: path.join(path.dirname(import.meta.dirname), ".tools", "peers"), ...process.env });
  for (const architecture of ["sm_90a", "sm_80"]) {
    test(`NVIDIA's compiler takes all generated kernels for ${architecture}, in registers`,
      { skip: nvrtc === undefined ? "needs NVRTC: pip install nvidia-cuda-nvrtc, or sh test/peers/setup.sh" : false }, () => {
        const compiler = openNvrtc(nvrtc);
        const sources = new Set(Object.values(LISTS).flatMap(({ list }) => list().launches.map(({ source }) => source)));
        for (const source of [...sources].filter(({ text }) => text !== null)) {
          const text = kernelText(source);
          const { log } = compiler.compile({ ...text, defines: [...text.defines, "--ptxas-options=-v"] }, architecture);
          const spills = log.split("\n")
            .filter((line) => /bytes spill/.test(line) && !/ 0 bytes spill stores, 0 bytes/.test(line));
          assert.deepEqual(spills, []);
        }
      });
  }
});
