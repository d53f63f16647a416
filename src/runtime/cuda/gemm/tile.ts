/**
 * Which tile a product on the tensor cores is cut into: rows x columns per block, how many blocks share a
 * multiprocessor, and whether a cluster divides K.
 *
 *   many rows   128 x 64..256 per block; as few whole waves of blocks as possible
 *   few rows    64 x 32..64, K divided by a cluster: all multiprocessors fetch weights
 */
import type { DeviceFacts } from "../launch.ts";
import type { Gemm } from "./gemm.ts";

export interface Tile {
  /** Warpgroups of consumers, 64 rows each. */
  readonly groups: 1 | 2;
  readonly columns: 16 | 32 | 64 | 128 | 192 | 256;
  /** Blocks of a cluster that divide K; above 1 with one group and nothing shared. */
  readonly split: 1 | 2 | 4 | 8;
  /** Tiles of a cluster below one another, which share the weight's slices, and side by side, which share a's. */
  readonly down: 1 | 2 | 4;
  readonly across: 1 | 2 | 4;
  /** Slots of the ring. */
  readonly stages: number;
  /** Blocks per multiprocessor that registers are left for. */
  readonly blocks: 1 | 2 | 3;
}

const slotBytes = ({ groups, columns }: Tile): number => groups * 8192 + columns * 128;

/** Ring, barriers, then per-column values or partial sums, as gemm.cu lays them out. */
export function tileSharedBytes(tile: Tile): number {
  const behind = tile.split === 1 ? tile.groups * tile.columns * 8 : 64 * (tile.columns + 4) * 4;
  return tile.stages * slotBytes(tile) + 256 + behind;
}

/**
 * The tile whose waves end first, by a model of measured costs (cycles): a block's start and end, and each slot of K
 * at the rate of the tensor cores or of shared memory, whichever is slower.
 */
export function chooseTile(gemm: Gemm, device: DeviceFacts): Tile {
  const { N, wantsStatistics } = gemm;
  const fitting = TILES.filter((tile) => tileSharedBytes(tile) * tile.blocks <= device.sharedBytesMax
    && (wantsStatistics !== true || N % tile.columns === 0)
    && (tile.split === 1 || Math.ceil(gemm.K / 64) >= tile.split));
  return fitting.reduce((best, tile) => (cycles(tile, gemm, device) < cycles(best, gemm, device) ? tile : best));
}

const TILES: readonly Tile[] = [
  { groups: 2, columns: 256, split: 1, down: 1, across: 1, stages: 4, blocks: 1 },
  { groups: 2, columns: 192, split: 1, down: 1, across: 1, stages: 4, blocks: 1 },
  { groups: 2, columns: 128, split: 1, down: 1, across: 1, stages: 3, blocks: 2 },
  { groups: 2, columns: 64, split: 1, down: 1, across: 1, stages: 4, blocks: 2 },
  { groups: 1, columns: 128, split: 1, down: 1, across: 1, stages: 4, blocks: 2 },
  { groups: 1, columns: 64, split: 1, down: 1, across: 1, stages: 6, blocks: 2 },
  { groups: 1, columns: 64, split: 2, down: 1, across: 1, stages: 4, blocks: 2 },
  { groups: 1, columns: 64, split: 4, down: 1, across: 1, stages: 4, blocks: 2 },
  { groups: 1, columns: 32, split: 4, down: 1, across: 1, stages: 4, blocks: 2 },
  { groups: 1, columns: 32, split: 8, down: 1, across: 1, stages: 4, blocks: 2 },
];

function cycles(tile: Tile, { M, N, K }: Gemm, { multiprocessors }: DeviceFacts): number {
  const { groups, columns, split, blocks } = tile;
  const tiles = Math.ceil(M / (64 * groups)) * Math.ceil(N / columns) * split;
  const slots = Math.ceil(Math.ceil(K / 64) / split);
  // Cycles of one block's slot when alone: products, or the bytes that its SM takes in from L2.
  const products = groups * columns * 2, ingest = slotBytes(tile) / 48;
  const slot = Math.max(products, ingest);
  const end = groups * columns * 6 + (split > 1 ? 900 : 0);
  const waves = Math.ceil(tiles / (multiprocessors * blocks));
  const inFlight = Math.min(blocks, Math.ceil(tiles / multiprocessors));
  // Blocks that share an SM share its tensor cores, and hide each other's ends.
  return waves * (slots * slot * inFlight + end) + 1500;
}
