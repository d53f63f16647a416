/**
 * `dmn graph`: what a model is made of, as text. Of an architecture before it is trained, of its whole
 * training step, or of a model file, which carries its graph's text in its metadata.
 */
import * as fs from "node:fs";
import { ARCHITECTURES } from "../../models/index.ts";
import type { Context } from "../base/context.ts";
import { UserError } from "../base/error.ts";
import { suggestion } from "../base/suggest.ts";
import { formatCount } from "../base/table.ts";
import { countOf, sizeOf, type Sizes } from "../graph/dimension.ts";
import { openSizes, type Graph } from "../graph/graph.ts";
import { planMemory } from "../graph/liveness.ts";
import { parseGraph, printGraph } from "../graph/text.ts";
import { verify } from "../graph/verify.ts";
import type { Settings } from "../nn/hyperparameter.ts";
import type { Architecture } from "../nn/model.ts";
import { inferenceGraph, trainGraph } from "../nn/train-graph.ts";
import { encodeOnnx } from "../runtime/ort/encode.ts";
import { describeOnnx, metadataOf, readModel } from "../runtime/ort/onnx.ts";
import { listArtifacts, readArtifact, readArtifactFile } from "../train/artifact.ts";
import { lossWeights, settingsOf } from "../train/settings.ts";

/** Inputs and instruments of an architecture that knows no data yet: recipe dmn, the paper's futures. */
const FEATURES = 8, INSTRUMENTS = 30;
/** Rows and steps for which the memory of an open graph is told. */
const DEFAULT_SIZES = { B: 128, T: 63 };

export interface GraphRequest {
  /** An architecture, an artifact in models/, or a path that ends in .onnx. */
  readonly model: string;
  readonly as: "ir" | "onnx";
  readonly set: Settings;
  /** The whole training step instead of the network alone. */
  readonly isTraining: boolean;
}

export interface GraphReport {
  readonly model: string;
  readonly as: "ir" | "onnx";
  /** Lines that compute something, those in loops' bodies too. */
  readonly nodes: number;
  /** Trained numbers. */
  readonly parameters: number;
  /** What open dimensions were taken for. */
  readonly sizes: Sizes;
  /** Intermediate values in float32, bytes: with memory shared over time, and without. */
  readonly peakBytes: number;
  readonly sumBytes: number;
  readonly text: string;
}

/** A graph and, where it came from a file, the file. */
interface Found {
  readonly graph: Graph;
  readonly bytes: Uint8Array | null;
  readonly sizes: Sizes;
}

/** UserError for an unknown model or setting, a damaged file, or a file that dmn did not write. */
export function describeModel(request: GraphRequest, { root }: Context): GraphReport {
  const { model, as, isTraining } = request;
  const { graph, bytes, sizes } = findGraph(request, root);
  verify(graph);
  const text = as === "ir" ? printGraph(graph).trimEnd()
    : describeOnnx(bytes ?? encodeOnnx(graph, { precision: "float32", isOwn: isTraining })).join("\n");
  const open = Object.fromEntries(openSizes(graph).map((name) => [name, sizes[name]]));
  const { peakBytes, sumBytes } = planMemory(graph, open);
  return { model, as, nodes: countNodes(text, as), parameters: countParameters(graph), sizes: open,
    peakBytes, sumBytes, text };
}

export function graphText({ nodes, parameters, sizes, peakBytes, sumBytes, text }: GraphReport): string {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(bytes < 1e6 ? 3 : 1);
  const at = Object.entries(sizes).map(([name, size]) => `${name} = ${size}`).join(", ");
  return `${text}\n\n${formatCount(nodes)} nodes, ${formatCount(parameters)} parameters; `
    + `intermediate values take ${megabytes(peakBytes)} MB${at === "" ? "" : ` at ${at}`} `
    + `(${megabytes(sumBytes)} MB if no memory were used twice)`;
}

function findGraph(request: GraphRequest, root: string): Found {
  const { model } = request;
  if (Object.hasOwn(ARCHITECTURES, model)) return fromArchitecture(ARCHITECTURES[model], request);
  refuseOptions(request);
  if (model.endsWith(".onnx")) {
    if (!fs.existsSync(model)) {
      throw new UserError(`there is no file ${model}`, "say the path of a model.onnx, or: dmn graph lstm");
    }
    return fromFile(fs.readFileSync(model), model, DEFAULT_SIZES);
  }
  const artifacts = listArtifacts(root);
  if (!artifacts.includes(model)) {
    throw new UserError(`there is no architecture or trained model "${model}"`,
      suggestion(model, [...Object.keys(ARCHITECTURES), ...artifacts]));
  }
  const artifact = readArtifact(root, model);
  return fromFile(readArtifactFile(root, artifact, "model.onnx"), `${model}'s model.onnx`,
    { ...DEFAULT_SIZES, T: artifact.lookback });
}

function refuseOptions({ model, set, isTraining }: GraphRequest): void {
  const [name] = Object.keys(set);
  if (name === undefined && !isTraining) return;
  throw new UserError(`${model} is trained: ${isTraining ? "its file holds no training step"
    : `${name} cannot be changed any more`}`,
  `leave ${isTraining ? "--training" : "--set"} out, or name an architecture: dmn graph lstm`);
}

function fromArchitecture(architecture: Architecture, { set, isTraining }: GraphRequest): Found {
  const settings = settingsOf(architecture, set);
  const size = { features: FEATURES, instruments: INSTRUMENTS };
  const { batch: B } = settings, T = settings.lookback === 0 ? architecture.lookback : settings.lookback;
  const terms = [...lossWeights(settings).keys()];
  const graph = isTraining ? trainGraph(architecture, { ...size, B, T }, settings, { terms }).graph
    : inferenceGraph(architecture, size, settings);
  return { graph, bytes: null, sizes: { B, T } };
}

function fromFile(bytes: Uint8Array, name: string, sizes: Sizes): Found {
  const text: string | undefined = metadataOf(readModel(bytes, name))["dmn.graph"];
  if (text === undefined) {
    throw new UserError(`${name} was not exported by dmn: its metadata holds no graph`,
      "name a model that dmn train-export has written, or an architecture: dmn graph lstm");
  }
  return { graph: parseGraph(text), bytes, sizes };
}

const countNodes = (text: string, as: "ir" | "onnx"): number =>
  text.split("\n").filter((line) => (as === "onnx" ? line !== "" : /^ *%/.test(line))).length;

/** The flat vector of a training graph; otherwise everything that is kept. */
function countParameters({ state }: Graph): number {
  const flat = state.filter(({ name }) => name === "parameters");
  return (flat.length > 0 ? flat : state)
    .reduce((count, { tensor }) => count + sizeOf(countOf(tensor.shape)), 0);
}
