/**
 * A warp or a block per row: loops over the row, each ending in sums or maxima that later ones use. Values
 * are computed again in each loop: their operands are in the first cache by then.
 *
 *   for (k ...) most = maximum(most, x[k])        most over the warp
 *   for (k ...) sum += exp(x[k] - most)           sum over the warp
 *   for (k ...) y[k] = exp(x[k] - most) / sum
 */
import type { Tensor } from "../../../graph/tensor.ts";
import { assert } from "../../../base/assert.ts";
import type { Emitter } from "./emitter.ts";
import { countOf } from "../../view.ts";
import { describe, emitterFor, indent, isReduction, laneLoop, LANES, makeDepths, Parameters,
  reductionRow, storesOf, writeStores, type Fused, type Kernel, type Store, type Surroundings }
  from "./kernel.ts";
import { coordinatesOf, makeVariable, placeOf, plus, times, type Place, type Variable } from "./place.ts";
import { shapeOf } from "./table.ts";

/** Who walks a row: `team` threads, `perBlock` rows at a time, in `steps` of one element or of four. */
interface Walk {
  readonly rows: number;
  readonly steps: number;
  readonly team: number;
  readonly perBlock: number;
  readonly isWarp: boolean;
  readonly row: Variable;
  readonly step: Variable;
  readonly lane: Variable | null;
  /** First element of a step. */
  readonly start: Place;
}

function walkOf({ space, stores }: Fused, around: Surroundings): Walk {
  assert(space.kind === "rows", "walks rows");
  const { shape, width } = space, rows = countOf(shape) / width;
  const isWide = width % LANES === 0 && width >= 32 * LANES
    && [...stores].every((tensor) => around.isAligned(tensor));
  const steps = isWide ? width / LANES : width, isWarp = steps <= 256;
  const row = makeVariable("r", rows), step = makeVariable("k", steps);
  return {
    rows, steps, isWarp, row, step, lane: isWide ? makeVariable("l", LANES) : null,
    team: isWarp ? 32 : steps <= 2048 ? 256 : 512, perBlock: isWarp ? Math.min(4, rows) : 1,
    start: plus(times(placeOf(row), width), times(placeOf(step), isWide ? LANES : 1)),
  };
}

export function rowsKernel(fused: Fused, around: Surroundings): Kernel {
  const walk = walkOf(fused, around), { rows, isWarp, perBlock, team, row } = walk;
  const parameters = new Parameters(around), done = new Map<Tensor, string>();
  const emitter = emitterFor(fused, around, parameters, walk.lane, (tensor) => done.get(tensor) ?? null);
  const stores = storesOf(fused), count = countOf(fused.space.shape);
  const isOfElements = ({ tensor }: Store): boolean => countOf(shapeOf(tensor)) === count;
  emitter.open(row);
  writePhases(emitter, walk, stores.filter(isOfElements), fused, around, done);
  const ofRows = stores.filter((store) => !isOfElements(store));
  if (ofRows.length > 0) {
    const lines = ofRows.map(({ tensor, name }) =>
      `put(a.${name} + r, ${emitter.value(tensor, coordinatesOf(placeOf(row), shapeOf(tensor)))});`);
    emitter.line(`if (${isWarp ? "lane_of()" : "threadIdx.x"} == 0) {`, ...indent(lines), "}");
  }
  const body = emitter.close();
  for (const { tensor, name } of stores) parameters.write(tensor, name);
  const top = isWarp ? [`const u32 r = blockIdx.x * ${perBlock}u + warp_of();`, `if (r >= ${rows}u) return;`]
    : ["const u32 r = blockIdx.x;"];
  return {
    what: "rows", comment: stores.map(({ tensor }) => describe(tensor)).join(", "), body: [...top, ...body],
    parameters: parameters.list, grid: [Math.ceil(rows / perBlock), 1, 1],
    block: isWarp ? perBlock * 32 : team, sharedBytes: isWarp ? 0 : 128,
  };
}

/** One loop per depth of reductions: those whose operands are ready, and stores that need no further ones. */
function writePhases(emitter: Emitter, walk: Walk, stores: readonly Store[], fused: Fused,
  around: Surroundings,
  done: Map<Tensor, string>): void {
  const depthOf = makeDepths(fused, around),
    reductions = [...fused.stores, ...fused.inlined].filter(isReduction);
  const deepest = Math.max(0, ...reductions.map(depthOf), ...stores.map(({ tensor }) => depthOf(tensor)));
  for (let phase = 0; phase <= deepest; phase++) {
    const own = reductions.filter((tensor) => depthOf(tensor) === phase + 1)
      .map((tensor) => ({ tensor, name: `${reductionRow(tensor).across}${reductions.indexOf(tensor)}` }));
    const written = stores.filter(({ tensor }) => depthOf(tensor) === phase);
    if (own.length === 0 && written.length === 0) continue;
    writeLoop(emitter, walk, own, written);
    for (const { tensor, name } of own) done.set(tensor, name);
  }
}

/** A loop over a row, and what its reductions come to. */
function writeLoop(emitter: Emitter, { steps, team, isWarp, step, lane, start }: Walk,
  reductions: readonly Store[],
  stores: readonly Store[]): void {
  const element = lane === null ? start : plus(start, placeOf(lane));
  emitter.open(step);
  if (lane !== null) emitter.open(lane);
  for (const { tensor, name } of reductions) {
    const [x] = tensor.node.inputs, value = emitter.value(x, coordinatesOf(element, shapeOf(x)));
    emitter.line(`${name} = ${reductionRow(tensor).join}(${name}, ${value});`);
  }
  const { declare, after } = writeStores(emitter, stores, start, lane);
  const inner = lane === null ? [] : [...declare, ...laneLoop(emitter.close(), lane), ...after];
  const loop = [...emitter.close(), ...inner];
  const first = isWarp ? "lane_of()" : "threadIdx.x";
  emitter.line(...reductions.map(({ tensor, name }) => `float ${name} = ${reductionRow(tensor).start};`),
    ...(Math.ceil(steps / team) <= 8 ? ["UNROLL"] : []),
    `for (u32 k = ${first}; k < ${steps}u; k += ${team}u) {`, ...indent(loop), "}");
  for (const { tensor, name } of reductions) {
    const { across } = reductionRow(tensor);
    emitter.line(isWarp ? `${name} = warp_${across}(${name});`
      : `${name} = block_${across}(${name}, ${team / 32}u);`);
  }
}
