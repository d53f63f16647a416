/**
 * Which tile a product on the tensor cores is cut into: rows x columns per block, how many blocks share a
 * multiprocessor, and whether a cluster divides K.
 *
 *   many rows   128 x 64..256 per block; as few whole waves of blocks as possible
 *   few rows    64 x 32..64, K divided by a cluster: all multiprocessors fetch weights
 */
import type { DeviceFacts } from "../launch.ts";
import type { Gemm } from "./product.ts";

export interface Tile {
  /** Warpgroups of consumers. They share a tile, 64 rows each, */
  readonly groups: 1 | 2;
  /** or take turns with tiles of 128 rows each: one multiplies while the other finishes. */
  readonly isAlternate?: true;
  readonly columns: 16 | 32 | 64 | 128 | 192 | 256;
  /** Blocks of a cluster that divide K; above 1 with one group and nothing shared. */
  readonly split: 1 | 2 | 4 | 8;
  /**
   * Tiles of a cluster below one another, which share the weight's slices, and side by side, which share
   * a's.
   */
  readonly down: 1 | 2 | 4;
  readonly across: 1 | 2 | 4;
  /** Slots of the ring. */
  readonly stages: number;
  /** Blocks per multiprocessor that registers are left for. */
  readonly blocks: 1 | 2 | 3;
}

export const tileRows = ({ groups, isAlternate }: Tile): number => (isAlternate === true ? 128 : groups * 64);
const slotBytes = (tile: Tile): number => (tileRows(tile) + tile.columns) * 128;

/** Ring, barriers, then per-column values or partial sums, as gemm.cu lays them out. */
export function tileSharedBytes(tile: Tile): number {
  const behind = tile.split === 1 ? tile.groups * tile.columns * 8 : 64 * (tile.columns + 4) * 4;
  return tile.stages * slotBytes(tile) + 256 + behind;
}

/** The tile of the least cost by the model below. */
export function chooseTile(gemm: Gemm, device: DeviceFacts): Tile {
  const { N, wantsStatistics } = gemm;
  const fitting = TILES.filter((tile) => tileSharedBytes(tile) <= device.sharedBytesMax
    && (wantsStatistics !== true || N % tile.columns === 0)
    && (tile.split === 1 || Math.ceil(gemm.K / 64) >= tile.split)
    && (device.activeClusters[2] !== undefined || tile.split * tile.down * tile.across === 1));
  const costs = fitting.map((tile) => cycles(tile, gemm, device));
  return fitting[costs.indexOf(Math.min(...costs))];
}

/** Cycles, and bytes per cycle. */
const COST = { products: 2.65, roundTrip: 1090, end: 1910, column: 11.8, activation: 2.9, exchange: 1000,
  bytes: 3960 };

const whole = { split: 1, down: 1, across: 1 } as const;
const TILES: readonly Tile[] = [
  { ...whole, groups: 2, columns: 256, stages: 4, blocks: 1 },
  { ...whole, groups: 2, columns: 192, stages: 4, blocks: 1 },
  { ...whole, groups: 2, columns: 128, stages: 3, blocks: 2 },
  { ...whole, groups: 2, columns: 64, stages: 4, blocks: 2 },
  { ...whole, groups: 1, columns: 128, stages: 4, blocks: 2 },
  { ...whole, groups: 1, columns: 64, stages: 6, blocks: 2 },
  { ...whole, groups: 1, columns: 64, stages: 4, blocks: 2, split: 2 },
  { ...whole, groups: 1, columns: 64, stages: 4, blocks: 2, split: 4 },
  { ...whole, groups: 1, columns: 32, stages: 4, blocks: 2, split: 2 },
  { ...whole, groups: 1, columns: 32, stages: 4, blocks: 2, split: 4 },
];

/**
 * Cycles that a product takes, fitted to measured ones on an H200. The longest of
 *
 *   alone     a block's tiles one after the other: slices of K, as fast as the tensor cores or as slots of
 *             the ring come round again (two of them are in use), then the epilogue
 *   shared    all tiles of a multiprocessor at the rate of its tensor cores, and one epilogue
 *   ingest    all bytes that leave L2, at its rate
 */
function cycles(tile: Tile, { M, N, K, epilogue }: Gemm, { multiprocessors }: DeviceFacts): number {
  const { columns, stages, split, blocks, down, across, isAlternate } = tile, rows = tileRows(tile);
  const slices = Math.ceil(Math.ceil(K / 64) / split), sharers = down * across;
  const tiles = Math.ceil(M / (rows * down)) * Math.ceil(N / (columns * across)) * sharers * split;
  const running = split > 1 ? multiprocessors * blocks
    : Math.min(tiles, Math.floor(multiprocessors * blocks / sharers) * sharers);
  const rounds = Math.ceil(tiles / running);
  const perMultiprocessor = split > 1 ? Math.ceil(tiles / multiprocessors)
    : rounds * Math.ceil(running / multiprocessors);
  const products = rows / 64 * columns * COST.products;
  const slice = Math.max(products, COST.roundTrip / Math.min(stages - 2, slices));
  const perColumn = COST.column * ((epilogue.activation ?? "none") === "none" ? 1 : COST.activation);
  const end = COST.end + perColumn * columns + (split > 1 ? COST.exchange : 0);
  const alone = isAlternate === true
    ? Math.max(rounds * slices * slice, Math.ceil(rounds / 2) * (slices * slice + 2 * end)) + end
    : rounds * (slices * slice + end);
  const bytes = tiles * slices * 128 * (rows / across + columns / down);
  return Math.max(alone, perMultiprocessor * slices * products + end, bytes / COST.bytes);
}
