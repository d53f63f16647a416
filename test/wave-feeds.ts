import type { TrainGraph } from "../src/nn/train-graph.ts";
import type { Tensors } from "../src/runtime/runtime.ts";

/** Feeds of a training step by formula: features and targets like waves, all weights 1. */
export function waveFeeds({ graph }: TrainGraph, step: number): Tensors {
  const scalars: Readonly<Record<string, number>> =
    { rate: 0.01, decay: 0.001, clip: 0.5, costBps: 1, "lossWeight/turnover": 0.05 };
  const wave = (name: string, k: number): number => {
    if (name.startsWith("dropout/")) return (k * 7 + step) % 5 === 0 ? 0 : 1.25;
    if (name === "features") return Math.sin(0.37 * k + step);
    return name === "target" ? 0.01 * Math.cos(1.3 * k + step) + 0.001 : scalars[name] ?? 1;
  };
  return Object.fromEntries(graph.inputs.map(({ name, tensor }) => {
    const shape = tensor.shape as readonly number[], count = shape.reduce((a, b) => a * b, 1);
    return [name, { shape, values: Float32Array.from({ length: count }, (_, k) => wave(name, k)) }];
  }));
}

