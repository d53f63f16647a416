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

// Sums of rows m0 + 4 (thread / 16) + 0..3 and columns n0 + 4 (thread % 16) + 0..3. The next 16 terms are on their way
// from memory while these are multiplied.
template <u32 M, u32 N, u32 ROW_A, u32 COLUMN_A, u32 ROW_B, u32 COLUMN_B, class A, class B>
DEVICE void product_tile(const A* a, const B* b, u32 m0, u32 n0, u32 begin, u32 end, float (&sums)[4][4]) {
  float* a_tile = (float*)shared_pointer();
  float* b_tile = a_tile + 16 * 68;
  const u32 thread = threadIdx.x, row = 4 * (thread / 16), column = 4 * (thread % 16);
  float a_next[4], b_next[4];
  // Neighbouring threads read neighbouring elements, whichever way the operand lies.
  const u32 a_k = COLUMN_A == 1 ? thread % 16 : thread / 64, a_m = COLUMN_A == 1 ? thread / 16 : thread % 64;
  const u32 b_k = COLUMN_B == 1 ? thread / 64 : thread % 16, b_n = COLUMN_B == 1 ? thread % 64 : thread / 16;
  const u32 a_k_step = COLUMN_A == 1 ? 0 : 4, a_m_step = COLUMN_A == 1 ? 16 : 0;
  const u32 b_k_step = COLUMN_B == 1 ? 4 : 0, b_n_step = COLUMN_B == 1 ? 0 : 16;
  auto fetch = [&](u32 k0) {
    UNROLL for (u32 e = 0; e < 4; e++) {
      const u32 k = k0 + a_k + e * a_k_step, m = m0 + a_m + e * a_m_step;
      a_next[e] = m < M && k < end ? get(a[m * ROW_A + k * COLUMN_A]) : 0.f;
      const u32 l = k0 + b_k + e * b_k_step, n = n0 + b_n + e * b_n_step;
      b_next[e] = n < N && l < end ? get(b[l * ROW_B + n * COLUMN_B]) : 0.f;
    }
  };
  UNROLL for (u32 p = 0; p < 4; p++) UNROLL for (u32 q = 0; q < 4; q++) sums[p][q] = 0.f;
  fetch(begin);
  for (u32 k0 = begin; k0 < end; k0 += 16) {
    UNROLL for (u32 e = 0; e < 4; e++) {
      a_tile[(a_k + e * a_k_step) * 68 + a_m + e * a_m_step] = a_next[e];
      b_tile[(b_k + e * b_k_step) * 68 + b_n + e * b_n_step] = b_next[e];
    }
    __syncthreads();
    if (k0 + 16 < end) fetch(k0 + 16);
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
