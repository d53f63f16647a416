/** Uniform points: trial k's is a function of the seed and k alone. */
import { random } from "../../base/random.ts";
import { drawPoint } from "../space.ts";
import type { Sampler, SamplerOptions } from "./sampler.ts";

export function randomSampler({ space, seed }: SamplerOptions): Sampler {
  return {
    tell: () => {},
    suggest: (number) => ({ point: drawPoint(space, random(seed, "random", number)), parent: null }),
  };
}
