/** A thread per element, or per four neighbours. */
import { makeVariable, placeOf, times } from "./place.ts";
import { countOf } from "../../view.ts";
import { BLOCK, describe, emitterFor, laneLoop, LANES, Parameters, storesOf, writeStores,
  type Fused, type Kernel, type Surroundings } from "./kernel.ts";

export function mapKernel(fused: Fused, around: Surroundings): Kernel {
  const { shape } = fused.space, count = countOf(shape), stores = storesOf(fused);
  const isWide = hasLanes(fused, around), threads = isWide ? count / LANES : count;
  const lane = isWide ? makeVariable("l", LANES) : null, thread = makeVariable("i", threads);
  const parameters = new Parameters(around), emitter = emitterFor(fused, around, parameters, lane);
  emitter.open(thread);
  if (lane !== null) emitter.open(lane);
  const at = isWide ? times(placeOf(thread), LANES) : placeOf(thread);
  const { declare, after } = writeStores(emitter, stores, at, lane);
  const inner = lane === null ? [] : [...declare, ...laneLoop(emitter.close(), lane), ...after];
  const outer = emitter.close();
  for (const { tensor, name } of stores) parameters.write(tensor, name);
  const block = Math.min(BLOCK, Math.ceil(threads / 32) * 32);
  return {
    what: "map", comment: stores.map(({ tensor }) => describe(tensor)).join(", "),
    body: [`const u32 i = blockIdx.x * ${block}u + threadIdx.x;`, `if (i >= ${threads}u) return;`, ...outer,
      ...inner],
    parameters: parameters.list, grid: [Math.ceil(threads / block), 1, 1], block, sharedBytes: 0,
  };
}

/** Whether four at a time still leave every multiprocessor a block, and rows and memory allow it. */
function hasLanes({ space: { shape }, stores }: Fused, around: Surroundings): boolean {
  const width = shape.findLast((size) => size > 1) ?? 1;
  return width % LANES === 0 && countOf(shape) / LANES >= around.multiprocessors * BLOCK
    && [...stores].every((tensor) => around.isAligned(tensor));
}
