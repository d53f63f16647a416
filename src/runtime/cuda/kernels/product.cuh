// Matrix products of any sizes, strides and storage in float: the plain kernels behind a generated one, which
// brings the sizes and finishes the sums (bias, activation, ...). Large products in 16 bits have gemm.cu.
//
//   product_tile   64 x 64 of the result per block of 256 threads, 4 x 4 per thread, 16 terms at a time:
//                  both operands' tiles lie in shared memory with the terms outermost
//   product_thin   few rows (at most 8) and any number of columns: the operand of the columns is read once
//
// Sums run over k = begin..end-1 in order; element (m, k) of a is a[m * ROW_A + k * COLUMN_A].
#pragma once
#include "lanes.cuh"

// Bytes of shared memory of product_tile.
#define PRODUCT_TILE_BYTES (2 * 16 * 68 * 4)

// Sums of rows m0 + 4 (thread / 16) + 0..3 and columns n0 + 4 (thread % 16) + 0..3.
template <u32 M, u32 N, u32 ROW_A, u32 COLUMN_A, u32 ROW_B, u32 COLUMN_B, class A, class B>
DEVICE void product_tile(const A* a, const B* b, u32 m0, u32 n0, u32 begin, u32 end, float (&sums)[4][4]) {
  float* a_tile = (float*)shared_pointer();
  float* b_tile = a_tile + 16 * 68;
  const u32 thread = threadIdx.x, row = 4 * (thread / 16), column = 4 * (thread % 16);
  UNROLL for (u32 p = 0; p < 4; p++) UNROLL for (u32 q = 0; q < 4; q++) sums[p][q] = 0.f;
  for (u32 k0 = begin; k0 < end; k0 += 16) {
    UNROLL for (u32 e = thread; e < 1024; e += 256) {
      // Neighbouring threads read neighbouring elements, whichever way the operand lies.
      const u32 km = COLUMN_A == 1 ? e % 16 : e / 64, m = COLUMN_A == 1 ? e / 16 : e % 64;
      const bool has_a = m0 + m < M && k0 + km < end;
      a_tile[km * 68 + m] = has_a ? get(a[(m0 + m) * ROW_A + (k0 + km) * COLUMN_A]) : 0.f;
      const u32 kn = COLUMN_B == 1 ? e / 64 : e % 16, n = COLUMN_B == 1 ? e % 64 : e / 16;
      const bool has_b = n0 + n < N && k0 + kn < end;
      b_tile[kn * 68 + n] = has_b ? get(b[(k0 + kn) * ROW_B + (n0 + n) * COLUMN_B]) : 0.f;
    }
    __syncthreads();
    UNROLL for (u32 k = 0; k < 16; k++) {
      const float4 x = *(const float4*)(a_tile + k * 68 + row), y = *(const float4*)(b_tile + k * 68 + column);
      const float xs[4] = {x.x, x.y, x.z, x.w}, ys[4] = {y.x, y.y, y.z, y.w};
      UNROLL for (u32 p = 0; p < 4; p++) UNROLL for (u32 q = 0; q < 4; q++) sums[p][q] += xs[p] * ys[q];
    }
    __syncthreads();
  }
}

// Sums of all M rows for column n0 + lane, in the first warp: the 8 warps take every eighth term each.
template <u32 M, u32 N, u32 ROW_A, u32 COLUMN_A, u32 ROW_B, u32 COLUMN_B, class A, class B>
DEVICE void product_thin_columns(const A* a, const B* b, u32 n0, u32 begin, u32 end, float (&sums)[M]) {
  const u32 n = n0 + lane_of();
  UNROLL for (u32 m = 0; m < M; m++) sums[m] = 0.f;
  if (n < N) {
    UNROLL4 for (u32 k = begin + warp_of(); k < end; k += 8) {
      const float y = get(b[k * ROW_B + n * COLUMN_B]);
      UNROLL for (u32 m = 0; m < M; m++) sums[m] += get(a[m * ROW_A + k * COLUMN_A]) * y;
    }
  }
  UNROLL for (u32 m = 0; m < M; m++) sums[m] = column_sum(sums[m]);
}

// Sums of all M rows for column n, a warp per column: its lanes take every 32nd term each.
template <u32 M, u32 ROW_A, u32 COLUMN_A, u32 ROW_B, u32 COLUMN_B, class A, class B>
DEVICE void product_thin_terms(const A* a, const B* b, u32 n, u32 begin, u32 end, float (&sums)[M]) {
  UNROLL for (u32 m = 0; m < M; m++) sums[m] = 0.f;
  UNROLL4 for (u32 k = begin + lane_of(); k < end; k += 32) {
    const float y = get(b[k * ROW_B + n * COLUMN_B]);
    UNROLL for (u32 m = 0; m < M; m++) sums[m] += get(a[m * ROW_A + k * COLUMN_A]) * y;
  }
  UNROLL for (u32 m = 0; m < M; m++) sums[m] = warp_sum(sums[m]);
}
