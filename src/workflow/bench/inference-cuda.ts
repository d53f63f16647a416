/**
 * Exported networks on the GPU, through the engine that serves them: device time of replays back to back,
 * time of a request from the host's memory to the host's memory, time from process start to the first
 * answer. Ours and the peers' figures come from one run, a network after the other.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { messageOf } from "../../base/error.ts";
import { lastStep } from "../../graph/last-step.ts";
import { bindSizes } from "../../graph/rewrite.ts";
import type { CudaPrecision } from "../../runtime/cuda/launch.ts";
import type { Bench } from "../bench.ts";
import { askCudaPeers } from "./cuda-peers.ts";
import { floorOf } from "./floor.ts";
import { benchModels, exported, graphOf, type BenchModel } from "./inference-models.ts";
import { cudaRows, type CudaMeasurement } from "./inference-rows.ts";
import { openSubjects, type Subjects } from "./inference-subject.ts";
import { processRows, SERVED } from "./inference-start.ts";
import { quantile, type BenchRow } from "./row.ts";

const PRECISIONS: readonly CudaPrecision[] = ["float16", "bfloat16", "float32"];
/** What the others than float16 are measured at. */
const OTHER_BATCHES: readonly number[] = [1, 128];

/** Rows of all networks asked for; null, and a note that says why, without a GPU that can run them. */
export async function cudaInference(bench: Bench): Promise<BenchRow[] | null> {
  const rows: BenchRow[] = [];
  for (const model of chosen(bench)) {
    const found = await modelRows(bench, model);
    if (found === null) return null;
    rows.push(...found);
    bench.context.signal.throwIfAborted();
  }
  if (!bench.isQuick && chosen(bench).some(({ name }) => name === SERVED[0])) {
    rows.push(...await processRows(bench));
  }
  return rows;
}

const chosen = ({ isQuick, models }: Bench): readonly BenchModel[] =>
  (isQuick && models === null ? benchModels(["lstm-64x1"]) : benchModels(models));

async function modelRows(bench: Bench, model: BenchModel): Promise<BenchRow[] | null> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-bench-")), bytes = exported(model);
  try {
    const batches = bench.isQuick ? model.batches.slice(0, 2) : model.batches;
    const measured: CudaMeasurement[] = [];
    for (const precision of bench.isQuick ? PRECISIONS.slice(0, 1) : PRECISIONS) {
      const own = precision === "float16" ? batches
        : batches.filter((B) => OTHER_BATCHES.includes(B));
      const found = await measure(bench, model, { bytes, precision, batches: own });
      if (found === null) return null;
      measured.push(...found);
    }
    const file = path.join(folder, "model.onnx");
    if (bench.hasPeers) fs.writeFileSync(file, bytes);
    const peers = askCudaPeers(bench, model, batches, file);
    return measured.flatMap((one) => cudaRows(one,
      one.precision === "float16" ? peers.filter(({ B }) => B === one.B) : []));
  } finally { fs.rmSync(folder, { recursive: true }); }
}

interface Asked {
  readonly bytes: Uint8Array;
  readonly precision: CudaPrecision;
  readonly batches: readonly number[];
}

/** One network in one precision; null without a GPU. A batch that fails is a note, and the others go on. */
async function measure(bench: Bench, model: BenchModel, { bytes, precision, batches }: Asked):
Promise<CudaMeasurement[] | null> {
  const measured: CudaMeasurement[] = [];
  for (const B of batches) {
    let subjects: Subjects;
    try { subjects = openSubjects({ precision }); } catch (error) {
      bench.note(`${messageOf(error)}; the rows are the CPU's (\`dmn doctor\` says what is missing)`);
      return null;
    }
    try {
      const subject = await subjects.load(model, bytes, B);
      const deviceUs = subject.replays(bench.isQuick ? 5 : 21);
      const count = requestsOf(bench, quantile(deviceUs, 0.5));
      const windowsUs = subject.windows(count), ringUs = subject.rows(count);
      const graph = bindSizes(lastStep(graphOf(model)), { B, T: model.steps });
      measured.push({ gpu: subjects.gpu, model, B, precision, deviceUs, windowsUs, ringUs,
        floor: floorOf(graph, precision) });
    } catch (error) {
      bench.note(`${model.name} B${B} ${precision}: ${messageOf(error)}`);
    } finally { await subjects.close(); }
    bench.context.signal.throwIfAborted();
  }
  return measured;
}

/** Requests for half a second: at small batches enough for the slowest one in a thousand, else a few. */
const requestsOf = ({ isQuick }: Bench, us: number): number =>
  (isQuick ? 100 : Math.round(Math.min(10_000, Math.max(20, 5e5 / us))));
