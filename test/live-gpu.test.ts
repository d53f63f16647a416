/** `dmn live` with its networks on an emulated GPU: who answers is said, and a GPU that is lost costs no decision. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { networksActor, networksRim } from "../src/live/actors/networks.ts";
import type { Batch } from "../src/dataset/batch.ts";
import type { PredictionFact } from "../src/live/message.ts";
import type { Strategy } from "../src/strategy/strategy.ts";
import { reportText, type Compared, type LiveReport as DayReport } from "../src/workflow/live/report.ts";
import { confirming, isRounded, predictionsOf, roundingOf } from "../src/workflow/live/report-rounding.ts";
import { emulatedCuda } from "./emulator/build.ts";
import { dmn, fetchMarket, freePorts, Graph, processesOf, temporaryRoot } from "./live-graph.ts";
import { session } from "./live-market.ts";

describe("where networks answer", () => {
  test("is kept until somebody hears it, in order, and is an alert with a code of its own", async () => {
    const rim = networksRim(), actor = networksActor("models"), heard: string[] = [];
    rim.say("info", "on the GPU");
    assert.equal(rim.isWarned, false);
    rim.say("warning", "not any more");
    await rim.start((one) => {
      const [alert] = actor.handle(one, 7) as readonly { code: string; severity: string; text: string; at: number }[];
      heard.push(`${alert.at} ${alert.code} ${alert.severity}: ${alert.text}`);
    });
    rim.say("warning", "nor now");
    assert.deepEqual(heard, ["7 networks info: on the GPU", "7 networks warning: not any more", "7 networks warning: nor now"]);
    assert.equal(rim.isWarned, true);
    await rim.stop();
    rim.say("warning", "to nobody");
    assert.equal(heard.length, 3);
  });
});

describe("a day that is lived again elsewhere", () => {
  const own = Float32Array.of(0.5, 0.5, 0.5, -0.25);
  const batch: Batch = { names: [], instrument: Int32Array.of(0, 1, 2, 3), symbols: ["A", "B", "C", "D"],
    time: new Float64Array(4).fill(9), features: new Float32Array(0), lookback: 0 };
  const strategy: Strategy = { name: "it", description: "it", recipe: "dmn", features: [], lookback: 0,
    isForGpu: true, decide: () => Promise.resolve({ position: own, volatility: own, confidence: own }) };

  test("takes a position as live said it where its own is within 0.00001 of it, else its own; "
    + "not what another version said", async () => {
    const live = Float32Array.of(0.500004, 0.50002, 0.5), confirmed = { within: 0, count: 0, largest: 0 };
    const said: PredictionFact = { kind: "prediction", at: 9, model: "a", version: "1", instrument: Int32Array.of(0, 1, 2),
      position: live, volatility: live, confidence: own };
    const other: PredictionFact = { ...said, model: "b", instrument: Int32Array.of(3) };
    const swapped: PredictionFact = { ...said, version: "2", instrument: Int32Array.of(3), position: Float32Array.of(-0.250004) };
    const heard = confirming(strategy, predictionsOf([said, other, swapped], "a", "1"), { within: 1e-5, confirmed });
    const { position, volatility, confidence } = await heard.decide(batch);
    assert.deepEqual([...position], [live[0], 0.5, 0.5, -0.25]);
    assert.deepEqual([volatility, confidence], [own, own]);
    assert.deepEqual([...own], [0.5, 0.5, 0.5, -0.25]);
    assert.deepEqual([confirmed.within, confirmed.count], [1e-5, 1]);
    assert.ok(Math.abs(confirmed.largest - 4e-6) < 1e-7, String(confirmed.largest));
  });

  test("may be as far from what was said as the session's precision", () => {
    assert.deepEqual([roundingOf(session()), roundingOf(session({ precision: "float16" })),
      roundingOf(session({ precision: "bfloat16" }))], [1e-5, 2e-3, 1e-2]);
  });

  test("speaks of a GPU only where a number of one was confirmed: one that was lost said nothing", () => {
    const count = (n: number): Record<Compared, number> =>
      ({ features: n, positions: n, decisions: n, targets: n, orders: n, fills: n });
    const textOf = (confirmed: DayReport["confirmed"]): string => reportText({ day: "2024-01-02", sessions: ["s"],
      compared: count(1), differing: count(0), differences: [], confirmed });
    assert.match(textOf({ within: 2e-3, count: 3, largest: 4e-4 }), /from a GPU, .* to 0\.002 \(farthest: 4\.0e-4\)\.$/);
    for (const none of [null, { within: 2e-3, count: 0, largest: 0 }]) assert.match(textOf(none), /agree in every number\.$/);
  });

  test("only networks of a session on a GPU are asked so", () => {
    const classical = { ...strategy, isForGpu: undefined }, carried = { ...strategy, isForGpu: false };
    assert.deepEqual([isRounded(session({ device: "cuda" }), strategy), isRounded(session({ device: "cpu" }), strategy),
      isRounded(session(), strategy), isRounded(session({ device: "cuda" }), classical),
      isRounded(session({ device: "cuda" }), carried)], [true, false, false, false, false]);
  });
});

const emulated = emulatedCuda();
const skip = typeof emulated === "string" ? emulated : false;

describe("a run with its networks on the GPU", { skip }, () => {
  const root = temporaryRoot();
  const { cuda, nvrtc } = typeof emulated === "string" ? { cuda: "", nvrtc: "" } : emulated;
  const environment = { DMN_CUDA: cuda, DMN_NVRTC: nvrtc, DMN_CUBIN_CACHE: path.join(root, "cubins") };
  const words = ["--models", "a=model:tiny/seed-0,b=model:tiny/seed-1", "--pace", "max",
    "--from", "2019-12-16"];
  before(() => {
    fetchMarket(root);
    const recipe = ["--dataset", "small", "--recipe", "dmn"];
    for (const verb of [["features", ...recipe], ["train-export", ...recipe, "--name", "tiny", "--seeds", "2",
      "--set", "hidden=5", "--set", "epochs=1", "--set", "patience=1", "--set", "lookback=10"]]) {
      const { code, said } = dmn(root, ...verb);
      assert.equal(code, 0, said);
    }
  });
  after(() => { fs.rmSync(root, { recursive: true, force: true }); });

  for (const [what, fault, device] of [
    ["says so, and measures each answer of both workers of its one process", "",
      /^networks answer on the GPU \(.*\), in float32, holding \d.* of its memory$/],
    ["that is lost on the way says so once and decides as often: 12 times", "trap-after=100",
      /^not all networks answer on the GPU/],
  ] as const) {
    test(what, async (t) => {
      const graph = new Graph(root, await freePorts(), [...words, "--device", "cuda"], { ...environment, EMULATOR_FAULT: fault });
      t.after(() => { graph.kill(); });
      const { code, report, said } = await graph.end();
      assert.equal(code, 0, said);
      // Weekdays from Monday, 16 December 2019, to Tuesday the 31st.
      assert.equal(report!.decisions, 12, said);
      assert.equal(report!.restarts, 0, said);
      assert.match(report!.networks ?? "", device);
      assert.equal(said.match(/warning: models: the GPU stopped at .* goes on with ONNX Runtime on the CPU/g)?.length ?? 0,
        fault === "" ? 0 : 1, said);
      const count = (name: string): number => report!.hops.find((hop) => hop.name === name)?.count ?? 0;
      // Two workers answer each step: none of the questions goes unmeasured.
      assert.ok(count("inference") >= 24);
      assert.equal(count("inference"), count("prediction: model -> decision"));
      assert.deepEqual([...processesOf(root)], []);
      if (fault !== "") return;
      // The CPU says other last digits, and the day is the same all the same.
      const again = dmn(root, "live", "report", "--day", report!.session.slice(0, "2026-01-01".length), "--json");
      const { differing, confirmed } = JSON.parse(again.out) as DayReport;
      assert.deepEqual(Object.values(differing), [0, 0, 0, 0, 0, 0], again.out);
      assert.ok(confirmed!.count > 0 && confirmed!.largest < 1e-5, again.out);
    });
  }

  test("is not begun on a GPU that is too old: nobody is warned, each worker has a process", async (t) => {
    const graph = new Graph(root, await freePorts(), words, { ...environment, EMULATOR_CAPABILITY: "75" });
    t.after(() => { graph.kill(); });
    const { code, report, said } = await graph.end();
    assert.equal(code, 0, said);
    assert.deepEqual([report!.decisions, report!.networks], [12, null]);
    assert.doesNotMatch(said, /GPU/);
    assert.ok(["a", "b"].every((name) => report!.processes.some((one) => one.name === name)));
  });
});
