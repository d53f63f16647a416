/**
 * `dmn bench tune`: what a study costs beside its trials, Optuna 5 beside it.
 *
 *   samplers    one trial asked and told when n are told already, DTLZ2 as objective
 *   fronts      survival of 264 trials, the hypervolume of 11 losses
 *   study       told and on the disk, opened again, asked over the wire      (tune-study.ts)
 *
 * A sampler's round is the mean over a block of trials, so that what it does once in a while counts as well.
 */
import { random } from "../../base/random.ts";
import { hypervolume } from "../../tune/hypervolume.ts";
import { Niching } from "../../tune/niche.ts";
import { layers } from "../../tune/reference.ts";
import { makeSampler } from "../../tune/samplers/samplers.ts";
import type { Sampler } from "../../tune/samplers/sampler.ts";
import { drawPoint, type Point, type Space } from "../../tune/space.ts";
import type { Bench } from "../bench.ts";
import { askPeer, besidePeer } from "./peer.ts";
import { benchRow, timeRounds, type BenchRow } from "./row.ts";
import { studyRows } from "./tune-study.ts";

const SUITE = "tune";

interface Case {
  readonly sampler: "nsga3" | "tpe";
  /** M, D and trials told before. */
  readonly objectives: number;
  readonly dimensions: number;
  readonly told: number;
  /** Trials of a round. */
  readonly block: number;
  readonly maximumMs?: number;
  /** Of the peer; 0: it would take minutes. */
  readonly peerBlock: number;
}

/** Blocks of the peer's NSGA-III hold a generation of it, which is when it chooses. */
const CASES: readonly Case[] = [
  ...[3, 11].flatMap((objectives) => [0, 1_000, 10_000].map((told): Case =>
    ({ sampler: "nsga3", objectives, dimensions: 10, told, block: 300, maximumMs: 0.2, peerBlock: 300 }))),
  ...[5, 20].flatMap((dimensions) => [1_000, 10_000].map((told): Case =>
    ({ sampler: "tpe", objectives: 1, dimensions, told, block: 20, peerBlock: 3,
      ...(dimensions === 20 && told === 10_000 ? { maximumMs: 30 } : {}) }))),
  { sampler: "tpe", objectives: 11, dimensions: 10, told: 100, block: 20, peerBlock: 1 },
  { sampler: "tpe", objectives: 11, dimensions: 10, told: 300, block: 20, peerBlock: 1 },
  { sampler: "tpe", objectives: 11, dimensions: 10, told: 10_000, block: 20, maximumMs: 50, peerBlock: 0 },
];
const QUICK = new Set([0, 100, 1_000]);

export async function run(bench: Bench): Promise<BenchRow[]> {
  const rows: BenchRow[] = [], { isQuick } = bench;
  for (const one of CASES.filter(({ told }) => !isQuick || QUICK.has(told))) {
    rows.push(await samplerRow(bench, one));
    bench.context.signal.throwIfAborted();
  }
  return [...rows, await survivalRow(bench), ...await volumeRows(bench), ...await studyRows(bench)];
}

async function samplerRow(bench: Bench, one: Case): Promise<BenchRow> {
  const { sampler, objectives, dimensions, told, block, maximumMs, peerBlock } = one;
  const rounds = bench.isQuick ? 2 : 7, peerRounds = bench.isQuick || peerBlock === 1 ? 1 : 3;
  const measure = (): Promise<number[]> => Promise.resolve(blocksOf(one, rounds));
  const { values, peer } = peerBlock === 0 ? { values: await measure(), peer: null }
    : await besidePeer(bench, measure, () => askPeer("tune_peer.py", [JSON.stringify(
      { what: "sampler", sampler, objectives, dimensions, told, block: peerBlock, rounds: peerRounds })]));
  return benchRow({ suite: SUITE, unit: "ms", better: "lower", values,
    name: `${sampler} M=${objectives} D=${dimensions} n=${told.toLocaleString("en-US")}`,
    note: `one trial asked and told when n are told; mean of ${block} a round, DTLZ2` },
  maximumMs === undefined ? {} : { maximum: maximumMs }, peer);
}

/** Milliseconds of a trial, asked and told, each the mean of a block; the first block does not count. */
function blocksOf(one: Case, rounds: number): number[] {
  const { sampler: name, objectives: M, dimensions: D, told, block } = one;
  const space: Space = Object.fromEntries(Array.from({ length: D }, (_, d) =>
    [`x${d}`, { kind: "float", low: 0, high: 1 } as const]));
  const sampler = makeSampler({ name, settings: {} }, { space, objectives: M, seed: 1 });
  const draw = random(1, "bench", "told"), values: number[] = [];
  for (let number = 0; number < told; number++) tellOf(sampler, number, drawPoint(space, draw), M);
  for (let round = -1, number = told; round < rounds; round++) {
    const start = performance.now();
    for (const end = number + block; number < end; number++) {
      tellOf(sampler, number, sampler.suggest(number, [])!.point, M);
    }
    if (round >= 0) values.push((performance.now() - start) / block);
  }
  return values;
}

function tellOf(sampler: Sampler, number: number, point: Point, M: number): void {
  sampler.tell({ number, point, state: "complete", losses: dtlz2(Object.values(point) as number[], M),
    violation: 0, step: 1, parent: null });
}

/** (M) losses of DTLZ2 (Deb et al. 2002); of one its distance part. */
function dtlz2(x: readonly number[], M: number): Float64Array {
  const g = x.slice(M - 1).reduce((sum, value) => sum + (value - 0.5) ** 2, 0), losses = new Float64Array(M);
  let product = 1 + g;
  for (let m = M - 1; m > 0; m--) {
    const angle = (x[M - 1 - m] ?? 0) * Math.PI / 2;
    losses[m] = product * Math.sin(angle);
    product *= Math.cos(angle);
  }
  losses[0] = product;
  return losses;
}

/** Parents and children of 132 directions: sorted, normalised, associated, niched. */
async function survivalRow(bench: Bench): Promise<BenchRow> {
  const M = 11, count = 264, keep = 132, draw = random(2, "bench", "survival");
  const losses = Float64Array.from({ length: count * M }, () => draw.uniform());
  const violations = new Float64Array(count), directions = layers(M, 2, 2);
  const inner = bench.isQuick ? 5 : 50;
  const { values, peer } = await besidePeer(bench, async () =>
    (await timeRounds(bench.isQuick ? 2 : 9, 1, () => {
      for (let k = 0; k < inner; k++) {
        const niching = new Niching(M);
        niching.turnTo(directions);
        niching.select(losses, violations, count, keep, draw);
      }
    })).map((seconds) => 1_000 * seconds / inner),
  () => askPeer("tune_peer.py", [JSON.stringify({ what: "survival", losses: [...losses], objectives: M, keep,
    directions: [...directions], rounds: bench.isQuick ? 1 : 5 })]));
  return benchRow({ suite: SUITE, name: "survival, 264 trials M=11",
    unit: "ms", better: "lower", values,
    note: "fronts and niches of uniform losses, 132 directions, 132 survive" }, { maximum: 2 }, peer);
}

async function volumeRows(bench: Bench): Promise<BenchRow[]> {
  const M = 11, reference = Array.from({ length: M }, () => 1.1), rounds = bench.isQuick ? 2 : 5;
  const sphere = (N: number): number[][] => {
    const draw = random(3, "bench", "sphere", N);
    return Array.from({ length: N }, () => {
      const point = Array.from({ length: M }, () => Math.abs(draw.normal())), length = Math.hypot(...point);
      return point.map((value) => value / length);
    });
  };
  const timed = async (N: number, options: { operationsMax: number }): Promise<number[]> => {
    const points = sphere(N);
    return (await timeRounds(rounds, 1, () => hypervolume(points, reference, options)))
      .map((seconds) => 1_000 * seconds);
  };
  const rows: BenchRow[] = [], facts = { suite: SUITE, unit: "ms", better: "lower" } as const;
  for (const N of bench.isQuick ? [15] : [20, 30]) {
    const question = { what: "hypervolume", points: sphere(N), reference, rounds: 1 };
    const { values, peer } = await besidePeer(bench, () => timed(N, { operationsMax: Infinity }),
      () => askPeer("tune_peer.py", [JSON.stringify(question)]));
    rows.push(benchRow({ ...facts, name: `hypervolume, exact, ${N} M=${M}`, values,
      note: "points of a sphere, reference 1.1" }, {}, peer));
  }
  const { value, standardError } = hypervolume(sphere(100), reference, { operationsMax: 0 });
  const percent = (100 * standardError / value).toFixed(2);
  rows.push(benchRow({ ...facts, name: `hypervolume, sampled, 100 M=${M}`,
    values: await timed(100, { operationsMax: 0 }),
    note: `points of a sphere, reference 1.1; standard error ${percent} %` }));
  return rows;
}
