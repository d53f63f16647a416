// out (M, N) = epilogue(a (M, K) w (N, K)^T) on Hopper's tensor cores, for weights packed K-major.
//
//   grid      as many blocks as run at once; each walks over tiles of ROWS rows and COLUMNS columns
//   cluster   DOWN x ACROSS neighbouring tiles: w's slice is shared by the tiles below one another, a's by those side
//             by side. Each block asks for its part and the copy engine delivers it to all who share it, because the
//             way out of L2 is what limits a product of this size.
//   block     GROUPS warpgroups of consumers, then one warp that keeps the ring (gemm.cuh) filled. The groups share a
//             tile; or they ALTERNATE, one multiplying its tile while the other finishes its own
//
//             producer   w w w w | prior kernel ended | a a a a   (w a) as slots fall empty ... the next tile's (w a)
//             consumers                                 4 wgmma per slot, one slot behind in releasing | epilogue
//
//   epilogue  registers -> swizzled tiles of 64 columns in the ring's next slot, where the copy engine has put the
//             residual -> copy engine -> out; the slot is given back when the next tile is under way
//
// NORMALISED: a's rows are layer-normalised by algebra (../gemm/matrix.ts). STATISTICS: writes the result's own.
// Weights do not depend on the kernel before: they are asked for before it has ended.
#define SPLIT 1
#define SHARERS (DOWN * ACROSS)
#include "gemm.cuh"

// Tiles of 64 columns of the result, ROWS x 128 bytes each.
#define PANELS_PER_SLOT (SLOT_BYTES / A_BYTES)
#define PANELS ((COLUMNS + 63) / 64)
#define OUT_ITEMS (OUT_FLOAT ? 0 : (PANELS + PANELS_PER_SLOT - 1) / PANELS_PER_SLOT)
#define COLUMN_VALUES (STAGES * SLOT_BYTES + 256)   // bias and column sums, per group
#define VALUES ((COLUMNS + 127) / 128)

// Which tiles a block walks over: every unit is a cluster's DOWN x ACROSS tiles, columns fastest.
struct Walk { u32 unit, units, clusters, across, rank; };
DEVICE Walk walk_of(const Arguments& a) {
  const u32 across = (a.N + COLUMNS * ACROSS - 1) / (COLUMNS * ACROSS), down = (a.M + ROWS * DOWN - 1) / (ROWS * DOWN);
  return { blockIdx.x / SHARERS, across * down, gridDim.x / SHARERS, across, blockIdx.x % SHARERS };
}
DEVICE u32 row_of(const Walk& w) { return (w.unit / w.across * DOWN + w.rank / ACROSS) * ROWS; }
DEVICE u32 column_of(const Walk& w) { return (w.unit % w.across * ACROSS + w.rank % ACROSS) * COLUMNS; }

// This block's part of the slices that it shares, to all who share them.
DEVICE void load_w(const Arguments& a, const Ring& ring, u32 item, u32 k, u32 column, u32 rank) {
  const u32 part = rank / ACROSS * (COLUMNS / DOWN), to = slot_at(ring, item) + A_BYTES + part * 128;
  u32 ranks = 0;
  UNROLL for (u32 d = 0; d < DOWN; d++) ranks |= 1u << (d * ACROSS + rank % ACROSS);
  if (DOWN > 1) tile_load_multicast(to, map_of(a.w), k * 64, column + part, full_at(ring, item), (u16)ranks);
  else tile_load(to, map_of(a.w), k * 64, column, full_at(ring, item));
}
DEVICE void load_a(const Arguments& a, const Ring& ring, u32 item, u32 k, u32 row, u32 rank) {
  const u32 part = rank % ACROSS * (ROWS / ACROSS), to = slot_at(ring, item) + part * 128;
  const u32 ranks = ((1u << ACROSS) - 1) << (rank / ACROSS * ACROSS);
  if (ACROSS > 1) tile_load_multicast(to, map_of(a.a), k * 64, row + part, full_at(ring, item), (u16)ranks);
  else tile_load(to, map_of(a.a), k * 64, row, full_at(ring, item));
}

#if !OUT_FLOAT
// The slot (or slots) of a tile's result: with the residual in it, or just empty.
DEVICE void prepare_result(const Arguments& a, const Ring& ring, u32 item, u32 row, u32 column) {
  for (u32 i = 0; i < OUT_ITEMS; i++) {
    wait_empty(ring, item + i);
#if RESIDUAL == 1
    const u32 first = i * PANELS_PER_SLOT, end = first + PANELS_PER_SLOT < PANELS ? first + PANELS_PER_SLOT : PANELS;
    barrier_expect(full_at(ring, item + i), (end - first) * A_BYTES);
    for (u32 p = first; p < end; p++) for (u32 r = 0; r < ROWS; r += 64)
      tile_load(slot_at(ring, item + i) + (p - first) * A_BYTES + r * 128, map_of(a.residual), column + p * 64, row + r,
                full_at(ring, item + i));
#else
    barrier_arrive(full_at(ring, item + i));
#endif
  }
}
#endif

DEVICE void produce(const Arguments& a, const Ring& ring, u32 count) {
  Walk walk = walk_of(a);
  u32 item = 0;
  const u32 ahead = count < STAGES ? count : STAGES;
  if (walk.unit < walk.units) for (u32 k = 0; k < ahead; k++) {
    barrier_expect(full_at(ring, k), SLOT_BYTES);
    load_w(a, ring, k, k, column_of(walk), walk.rank);
  }
  wait_for_prior_kernel();
  for (; walk.unit < walk.units; walk.unit += walk.clusters) {
    const u32 row = row_of(walk), column = column_of(walk);
    for (u32 k = 0; k < count; k++, item++) {
      if (item >= ahead) {
        wait_empty(ring, item);
        barrier_expect(full_at(ring, item), SLOT_BYTES);
        load_w(a, ring, item, k, column, walk.rank);
      }
      load_a(a, ring, item, k, row, walk.rank);
    }
#if !OUT_FLOAT
    prepare_result(a, ring, item, row, column);
    item += OUT_ITEMS;
#endif
  }
}

// What a thread's two rows (lane / 4 of its warp's 16, and 8 further) and its columns bring to the epilogue.
struct Extras {
  float bias[VALUES], column_sums[VALUES];
#if NORMALISED
  RowParts<4> rows[HALVES][2];
#endif
};
DEVICE void ask_extras(Extras& extras, const Arguments& a, u32 own_row, u32 column) {
  UNROLL for (int v = 0; v < VALUES; v++) {
    const u32 c = threadIdx.x % 128 + v * 128;
    const bool is_inside = c < COLUMNS && column + c < a.N;
    extras.bias[v] = HAS_BIAS && is_inside ? a.bias[column + c] : 0.f;
    extras.column_sums[v] = NORMALISED && is_inside ? a.column_sums[column + c] : 0.f;
  }
#if NORMALISED
  UNROLL for (int half = 0; half < HALVES; half++) UNROLL for (int i = 0; i < 2; i++) {
    const u32 row = own_row + half * 64 + i * 8;
    extras.rows[half][i].ask(statistics_of(a), row < a.M ? row : a.M - 1);
  }
#endif
}

// Everything but the residual, in place.
DEVICE void finish_all(float (&sums)[HALVES][COLUMNS / 2], const Extras& extras, const Arguments& a, u32 group) {
  float* values = (float*)(shared_pointer() + COLUMN_VALUES) + group * 2 * COLUMNS;
#if OUT_FLOAT
  named_barrier(2 + group, 128);   // the values of the tile before have been read
#endif
  UNROLL for (int v = 0; v < VALUES; v++) {
    const u32 c = threadIdx.x % 128 + v * 128;
    if (c < COLUMNS) { values[c] = extras.bias[v]; values[COLUMNS + c] = extras.column_sums[v]; }
  }
  named_barrier(2 + group, 128);
  UNROLL for (int half = 0; half < HALVES; half++) {
    Norm norms[2] = {};
#if NORMALISED
    UNROLL for (int i = 0; i < 2; i++) {
      const RowScale scale = extras.rows[half][i].join(statistics_of(a));
      norms[i] = { scale.rstd, -scale.rstd * scale.mean };
    }
#endif
    UNROLL for (int j = 0; j < COLUMNS / 8; j++) {
      const u32 c = 8 * j + lane_of() % 4 * 2;
      const float2 bias = *(const float2*)(values + c);
      float2 column_sum = make_float2(0.f, 0.f);
      if (NORMALISED) column_sum = *(const float2*)(values + COLUMNS + c);
      UNROLL for (int i = 0; i < 2; i++) {
        float& x = sums[half][4 * j + 2 * i]; float& y = sums[half][4 * j + 2 * i + 1];
        x = finish(a, x, norms[i], column_sum.x, bias.x);
        y = finish(a, y, norms[i], column_sum.y, bias.y);
      }
    }
  }
}

// Lanes of a quad share their two rows.
DEVICE void write_statistics(const Arguments& a, const float (&values)[COLUMNS / 2], u32 row, u32 tile) {
  UNROLL for (int half = 0; half < 2; half++) {
    float even = 0.f, odd = 0.f;
    UNROLL for (int j = 0; j < COLUMNS / 8; j++) {
      even += values[4 * j + 2 * half];
      odd += values[4 * j + 2 * half + 1];
    }
    float sum = even + odd;
    sum += shuffle_xor(sum, 1); sum += shuffle_xor(sum, 2);
    const float mean = sum / COLUMNS;
    even = odd = 0.f;
    UNROLL for (int j = 0; j < COLUMNS / 8; j++) {
      const float left = values[4 * j + 2 * half] - mean, right = values[4 * j + 2 * half + 1] - mean;
      even = fmaf(left, left, even);
      odd = fmaf(right, right, odd);
    }
    float squares = even + odd;
    squares += shuffle_xor(squares, 1); squares += shuffle_xor(squares, 2);
    const u32 own = row + 8 * half;
    if (lane_of() % 4 == 0 && own < a.M && tile * COLUMNS < a.N)
      a.statistics_out[(u64)tile * a.M + own] = make_float2(sum, squares);
  }
}

#if OUT_FLOAT
DEVICE void store_floats(const Arguments& a, const float (&sums)[COLUMNS / 2], u32 own_row, u32 column) {
  UNROLL for (int j = 0; j < COLUMNS / 8; j++) UNROLL for (int i = 0; i < 4; i++) {
    const u32 r = own_row + 8 * (i / 2), c = column + 8 * j + lane_of() % 4 * 2 + i % 2;
    if (r < a.M && c < a.N) ((float*)a.out_rows)[out_at(a, r) + c] = sums[4 * j + i];
  }
}

#else
// Where panel p of a result whose first slot is item lies.
DEVICE u32 panel_at(const Ring& ring, u32 item, u32 p) {
  return slot_at(ring, item + p / PANELS_PER_SLOT) + p % PANELS_PER_SLOT * A_BYTES;
}
// 64 rows of a warpgroup, from first_row of the tile on, into the result's slots.
DEVICE void place_rows(const Arguments& a, const Ring& ring, float (&sums)[COLUMNS / 2], u32 item, u32 first_row,
                       u32 own_row, u32 column) {
  const u32 quad = lane_of() / 4, within = (first_row + warp_of() % 4 * 16 + quad) * 128 + lane_of() % 4 * 4;
  UNROLL for (int p = 0; p < PANELS; p++) {
    const u32 panel = panel_at(ring, item, p) + within;
#if RESIDUAL
    u32 residuals[16];   // all asked for before the first is used
    UNROLL for (int i = 0; i < 16; i++) {
#if RESIDUAL == 1
      residuals[i] = load_shared(panel + i % 2 * 1024 + ((i / 2) ^ quad) * 16);
#else
      const u32 c = column + p * 64 + i / 2 * 8 + lane_of() % 4 * 2;
      residuals[i] = c < a.N ? *(const u32*)(a.residual_rows + (residual_at(a, own_row + i % 2 * 8) + c) * 2) : 0;
#endif
    }
    UNROLL for (int i = 0; i < 16; i++) {
      sums[p * 32 + i * 2] += low_of(residuals[i]);
      sums[p * 32 + i * 2 + 1] += high_of(residuals[i]);
    }
#endif
    UNROLL for (int i = 0; i < 16; i++)
      store_shared(panel + i % 2 * 1024 + ((i / 2) ^ quad) * 16, pack2(sums[p * 32 + i * 2], sums[p * 32 + i * 2 + 1]));
  }
}
DEVICE void store_tile(const Arguments& a, const Ring& ring, float (&sums)[HALVES][COLUMNS / 2], u32 item, u32 group,
                       u32 first_row, u32 own_row, u32 row, u32 column) {
  UNROLL for (int i = 0; i < OUT_ITEMS; i++) wait_full(ring, item + i);
  UNROLL for (int half = 0; half < HALVES; half++)
    place_rows(a, ring, sums[half], item, first_row + half * 64, own_row + half * 64, column);
  fence_async_shared();
  named_barrier(2 + group, 128);
  if (threadIdx.x % 128 == 0) {
    for (u32 half = 0; half < HALVES; half++) for (u32 p = 0; p < PANELS; p++)
      tile_store(map_of(a.out), panel_at(ring, item, p) + (first_row + half * 64) * 128, column + p * 64,
                 row + first_row + half * 64);
    bulk_commit();
  }
}
// Gives the slots of a result back, once the copy engine has read them.
DEVICE void release_result(const Ring& ring, u32 item) {
  if (threadIdx.x % 128 == 0) bulk_wait_read<0>();
  __syncwarp();
  UNROLL for (int i = 0; i < OUT_ITEMS; i++) release(ring, item + i);
}
#endif

DEVICE void consume(const Arguments& a, const Ring& ring, u32 count) {
  Walk walk = walk_of(a);
  const u32 group = threadIdx.x / 128, first_row = ALTERNATE ? 0 : group * 64;
  u32 item = 0;
  for (u32 turn = 0; walk.unit < walk.units; walk.unit += walk.clusters, turn++) {
    if (ALTERNATE && turn % GROUPS != group) { item += count + OUT_ITEMS; continue; }
    const u32 row = row_of(walk), column = column_of(walk);
    const u32 own_row = row + first_row + warp_of() % 4 * 16 + lane_of() / 4;
    Extras extras;
    ask_extras(extras, a, own_row, column);
    float sums[HALVES][COLUMNS / 2];
    multiply(sums, ring, item, first_row, true);
#if !OUT_FLOAT && !ALTERNATE
    if (turn > 0) release_result(ring, item - OUT_ITEMS);
#endif
    for (u32 k = 1; k < count; k++) {
#if BLOCKS > 1
      wgmma_wait<0>();   // another block keeps the tensor cores busy; an early release keeps more copies in flight
      release(ring, item + k - 1);
#endif
      multiply(sums, ring, item + k, first_row, false);
#if BLOCKS == 1
      wgmma_wait<1>();
      release(ring, item + k - 1);
#endif
    }
    wgmma_wait<0>();
    UNROLL for (int half = 0; half < HALVES; half++) wgmma_hold(sums[half]);
    item += count;
    release(ring, item - 1);
    finish_all(sums, extras, a, group);
#if OUT_FLOAT
    UNROLL for (int half = 0; half < HALVES; half++) store_floats(a, sums[half], own_row + half * 64, column);
#else
    store_tile(a, ring, sums, item, group, first_row, own_row, row, column);
#endif
#if STATISTICS
    UNROLL for (int half = 0; half < HALVES; half++)
      write_statistics(a, sums[half], own_row + half * 64, column / COLUMNS);
#endif
#if !OUT_FLOAT && ALTERNATE
    release_result(ring, item);   // the other group waits for this slot, and it is not this group's turn
#endif
    item += OUT_ITEMS;
  }
  if (threadIdx.x % 128 == 0) bulk_wait<0>();
}

KERNEL_RESIDENT(CONSUMERS + 32, BLOCKS, gemm, Arguments) {
  const Ring ring = ring_at(shared_base());
  const u32 count = (a.K + 63) / 64;
  if (threadIdx.x == CONSUMERS) {
    for (u32 k = 0; k < STAGES; k++) {
      barrier_init(ring.full + k * 8, 1);
      barrier_init(ring.empty + k * 8, (ALTERNATE ? 4 : CONSUMERS / 32) * SHARERS);
    }
    barrier_init_fence();
  }
  let_dependents_start();
  if (SHARERS > 1) { cluster_arrive_relaxed(); cluster_wait(); } else __syncthreads();
  if (threadIdx.x >= CONSUMERS) {
    if (threadIdx.x == CONSUMERS) produce(a, ring, count);
    __syncwarp();
  } else {
    wait_for_prior_kernel();
    consume(a, ring, count);
    __syncwarp();
  }
  if (SHARERS > 1) cluster_sync();   // nobody leaves before all arrivals at its barriers have arrived
}
