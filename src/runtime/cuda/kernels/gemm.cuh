// What gemm.cu and gemm-split.cu share: arguments, the ring of slots, and the products of a warpgroup.
//
// A slot holds 64 elements of K of ROWS rows of a, then of COLUMNS rows of w, both 128-byte swizzled boxes that the
// copy engine writes: full[slot] counts their bytes, empty[slot] the warps that are done with it. A block's items (its
// slices of K, then its results' tiles) take the slots in turn: item i is use i / STAGES of slot i % STAGES.
#pragma once
#include "ptx.cuh"
#include "wgmma.cuh"
#include "epilogue.cuh"

// Warpgroups share a tile, 64 rows each; or (ALTERNATE) take turns, each with a tile of two times 64 rows.
#if ALTERNATE
#define ROWS 128
#define HALVES 2
#else
#define ROWS (GROUPS * 64)
#define HALVES 1
#endif
#define A_BYTES (ROWS * 128)
#define SLOT_BYTES (A_BYTES + COLUMNS * 128)
#define CONSUMERS (GROUPS * 128)
#if BFLOAT
#define WGMMA wgmma_bfloat
#else
#define WGMMA wgmma_half
#endif

struct Arguments {
  TensorMap a, w;
#if SPLIT == 1 && !OUT_FLOAT
  TensorMap out;
#endif
#if RESIDUAL == 1 && SPLIT == 1
  TensorMap residual;
#endif
  const float* bias;          // (N)
  const float* column_sums;   // (N): of the packed weight's rows
  const float2* statistics_in;
  float2* statistics_out;     // (N / COLUMNS, M)
  u8* out_rows;               // where the copy engine does not write: row r at (first + r step) stride
  const u8* residual_rows;
  u32 M, N, K;
  u32 out_first, out_step, out_stride;
  u32 residual_first, residual_step, residual_stride, residual_period;
  u32 in_rows, in_first, in_step;
  float in_columns, epsilon, scale;
};

struct Ring { u32 slots, full, empty; };
DEVICE Ring ring_at(u32 base) {
  const u32 barriers = base + STAGES * SLOT_BYTES;
  return { base, barriers, barriers + STAGES * 8 };
}
DEVICE u32 slot_at(const Ring& ring, u32 item) { return ring.slots + item % STAGES * SLOT_BYTES; }
DEVICE u32 full_at(const Ring& ring, u32 item) { return ring.full + item % STAGES * 8; }
DEVICE u32 empty_at(const Ring& ring, u32 item) { return ring.empty + item % STAGES * 8; }
DEVICE void wait_full(const Ring& ring, u32 item) { barrier_wait(full_at(ring, item), item / STAGES & 1); }
// Until the item that had this slot before is done with.
DEVICE void wait_empty(const Ring& ring, u32 item) {
  if (item >= STAGES) barrier_wait(empty_at(ring, item), (item / STAGES - 1) & 1); }
// One arrival per block that writes to this slot: every block of a cluster that shares its copies.
DEVICE void release(const Ring& ring, u32 item) {
#if SHARERS > 1
  if (lane_of() < SHARERS) barrier_arrive_remote(map_shared(empty_at(ring, item), lane_of()));
#else
  if (lane_of() == 0) barrier_arrive(empty_at(ring, item));
#endif
}

// Starts the products of one item for a warpgroup's rows, from `first_row` of the tile on, and all columns.
DEVICE void multiply(float (&sums)[HALVES][COLUMNS / 2], const Ring& ring, u32 item, u32 first_row, bool is_first) {
  wait_full(ring, item);
  wgmma_fence();
  const u64 rows = tile_swizzled(slot_at(ring, item) + first_row * 128);
  const u64 columns = tile_swizzled(slot_at(ring, item) + A_BYTES);
  UNROLL for (int step = 0; step < 4; step++) UNROLL for (int half = 0; half < HALVES; half++)
    WGMMA(sums[half], rows + half * 512 + 2 * step, columns + 2 * step, !is_first || step > 0);
  wgmma_commit();
}

#if NORMALISED
DEVICE StatisticsIn statistics_of(const Arguments& a) {
  return { a.statistics_in, a.in_rows, a.in_first, a.in_step, a.in_columns, a.epsilon };
}
#endif
// A row's part of its norm: rstd (sum - mean column_sum) + bias is rstd sum + (shift column_sum + bias).
struct Norm { float rstd, shift; };
DEVICE float finish(const Arguments& a, float sum, Norm norm, float column_sum, float bias) {
#if NORMALISED
  sum = fmaf(norm.rstd, sum, fmaf(norm.shift, column_sum, bias));
#else
  sum += bias;
#endif
#if SCALED
  sum *= a.scale;
#endif
  return activate<ACTIVATION>(sum);
}
#if RESIDUAL
DEVICE u64 residual_at(const Arguments& a, u32 row) {
  const u32 own = a.residual_period ? row % a.residual_period : row;
  return (u64)(a.residual_first + own * a.residual_step) * a.residual_stride;
}
#endif
DEVICE u64 out_at(const Arguments& a, u32 row) { return (u64)(a.out_first + row * a.out_step) * a.out_stride; }
