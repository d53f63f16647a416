/**
 * ONNX files opened for use: batches of windows, or one step at a time with its state fed back.
 *
 *   run 1  ── outputs in buffers A      run 2 ── outputs in buffers B      run 3 ── in A again
 *
 * so the state that a step returned can be fed to the next as it is, and nothing is allocated
 * between steps of one shape.
 */
import * as fs from "node:fs";
import type { InferenceSession } from "onnxruntime-node";
import { messageOf, UserError } from "../../base/error.ts";
import { isSameShape, shapeText, sizesOf, type Shape, type Sizes } from "../../graph/dimension.ts";
import { matchSizes } from "../../graph/graph.ts";
import type { Tensors, Values } from "../runtime.ts";
import { metadataOf, readModel } from "./onnx.ts";
import { emptyTensor, sessionOptions, toTensor, valuesOf, type Bag, type Ort } from "./session.ts";

/** What a model takes or returns; open sizes are named. */
export interface Port {
  readonly name: string;
  readonly shape: Shape;
}

export interface OnnxModel {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * Outputs by name (all, or those of `fetch`). They are the model's own buffers, valid until the
   * run after the next. UserError when a feed is missing, unknown or of another shape.
   */
  run(feeds: Tensors, fetch?: readonly string[]): Promise<Tensors>;
  /** Frees native memory. */
  close(): Promise<void>;
}

type Kind = "float32" | "float64";
interface TypedPort extends Port { readonly kind: Kind }

/**
 * Opens a model from a file or its bytes; `name` is what messages call it. UserError when it is
 * missing, damaged, not ONNX, or takes something else than floats.
 */
export async function openOnnx(place: Uint8Array | string, { threads = 1,
  name = typeof place === "string" ? place : "the model" }: { threads?: number; name?: string } = {}):
Promise<OnnxModel> {
  const bytes = typeof place === "string" ? readBytes(place) : place;
  const metadata = metadataOf(readModel(bytes, name));
  const ort = await import("onnxruntime-node");
  let session: InferenceSession;
  try { session = await ort.InferenceSession.create(bytes, sessionOptions(threads)); } catch (error) {
    throw new UserError(`${name} is not a model that can be run: ${firstLine(messageOf(error))}`,
      "Export it again with `dmn train-export`.", { cause: error });
  }
  const inputs = portsOf(session.inputMetadata, name), outputs = portsOf(session.outputMetadata, name);
  return { inputs, outputs, metadata, run: runner(ort, session, { inputs, outputs, name }),
    close: () => session.release() };
}

function readBytes(file: string): Uint8Array {
  try { return fs.readFileSync(file); } catch (error) {
    throw new UserError(`${file} cannot be read: ${messageOf(error)}`, "Check the path.", { cause: error });
  }
}

const firstLine = (text: string): string => text.split("\n")[0];

function portsOf(metadata: readonly InferenceSession.ValueMetadata[], model: string): TypedPort[] {
  return metadata.map((one) => {
    if (!one.isTensor || (one.type !== "float32" && one.type !== "float64")) {
      throw new UserError(`${model} has ${one.name} of type ${one.isTensor ? one.type : "sequence"}`,
        "Only models of float32 and float64 tensors are run; export it with float inputs and outputs.");
    }
    return { name: one.name, shape: one.shape, kind: one.type };
  });
}

function runner(ort: Ort, session: InferenceSession, { inputs, outputs, name }: {
  inputs: readonly TypedPort[]; outputs: readonly TypedPort[]; name: string;
}): OnnxModel["run"] {
  let sizesKey = "";
  let buffers: readonly [Bag, Bag] = [{}, {}];
  let turn = 0;
  const refuse = (problem: string): never => {
    throw new UserError(`${name} ${problem}`, `It takes ${inputs.map((port) =>
      `${port.name} ${shapeText(port.shape)}`).join(", ")}.`);
  };

  function checked(feeds: Tensors): Sizes {
    for (const fed of Object.keys(feeds)) {
      if (!inputs.some((port) => port.name === fed)) refuse(`takes no input ${fed}`);
    }
    const missing = inputs.find((port) => !Object.hasOwn(feeds, port.name));
    if (missing !== undefined) refuse(`is run without its input ${missing.name}`);
    const sizes = matchSizes(inputs.map(({ name: input, shape }) =>
      ({ expected: shape, found: feeds[input].shape })));
    for (const { name: input, shape } of inputs) {
      if (!isFitting(feeds[input], shape, sizes)) {
        refuse(`takes ${input} as ${shapeText(shape)}, not ${shapeText(feeds[input].shape)}`);
      }
    }
    return sizes;
  }

  function buffersFor(sizes: Sizes): Bag {
    const key = Object.entries(sizes).join();
    if (key !== sizesKey || turn === 0) {
      const make = (): Bag => Object.fromEntries(outputs.map((port) =>
        [port.name, emptyTensor(ort, port.kind, sizesOf(port.shape, sizes))]));
      buffers = [make(), make()];
      sizesKey = key;
    }
    return buffers[turn++ % 2];
  }

  return async (feeds, fetch = outputs.map((port) => port.name)) => {
    const sizes = checked(feeds);
    const unknown = fetch.find((wanted) => !outputs.some((port) => port.name === wanted));
    if (unknown !== undefined) refuse(`has no output ${unknown}`);
    const bag: Bag = {};
    for (const port of inputs) bag[port.name] = toTensor(ort, port.kind, feeds[port.name]);
    const all = buffersFor(sizes);
    const fetches: Bag = {};
    for (const wanted of fetch) fetches[wanted] = all[wanted];
    await session.run(bag, fetches);
    const results: Record<string, Values> = {};
    for (const wanted of fetch) results[wanted] = valuesOf(all[wanted]);
    return results;
  };
}

function isFitting({ shape, values }: Values, expected: Shape, sizes: Sizes): boolean {
  return isSameShape(shape, sizesOf(expected, sizes))
    && values.length === shape.reduce((product, size) => product * size, 1);
}
