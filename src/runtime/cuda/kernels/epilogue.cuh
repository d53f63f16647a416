// What a product does with its sums before they leave: the arithmetic that gemm.cu and matmul.cu share.
#pragma once
#include "element.cuh"

// As in ../gemm/matrix.ts.
#define NO_ACTIVATION 0
#define GELU 1
#define TANH 2
#define SIGMOID 3

// x/2 (1 + tanh(u)) is x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
DEVICE float gelu(float x) {
  const float linear = -2.302208198f, cubic = -0.1029432409f;  // -2 sqrt(2/pi) log2(e), and times 0.044715
  return x * reciprocal_fast(1.f + exp2_fast(x * fmaf(cubic * x, x, linear)));
}

template <int Which> DEVICE float activate(float x) {
  if constexpr (Which == GELU) return gelu(x);
  if constexpr (Which == TANH) return tanh_fast(x);
  if constexpr (Which == SIGMOID) return sigmoid_fast(x);
  return x;
}

// One row's mean and 1 / deviation from the sums of its tiles of columns: (sum, squared distance from the tile's
// mean) each, joined in the order of the tiles (Chan et al. 1979).
struct RowScale { float mean, rstd; };
struct StatisticsIn {
  const float2* tiles;   // (count, rows)
  u32 count, rows, first, step;
  float columns, epsilon;
};
// `lanes` neighbouring lanes (a power of two) call this together for one row; each takes every lanes-th tile.
DEVICE RowScale row_scale(const StatisticsIn& in, u32 row, u32 lane, u32 lanes) {
  const float2* own = in.tiles + in.first + (u64)row * in.step;
  const float per_tile = in.columns / (float)in.count;
  float sum = 0.f;
  for (u32 k = lane; k < in.count; k += lanes) sum += own[(u64)k * in.rows].x;
  for (u32 m = lanes >> 1; m; m >>= 1) sum += shuffle_xor(sum, m);
  const float mean = sum / in.columns;
  float squares = 0.f;
  for (u32 k = lane; k < in.count; k += lanes) {
    const float2 tile = own[(u64)k * in.rows];
    const float off = tile.x / per_tile - mean;
    squares += fmaf(per_tile * off, off, tile.y);
  }
  for (u32 m = lanes >> 1; m; m >>= 1) squares += shuffle_xor(squares, m);
  return { mean, rsqrt_fast(squares / in.columns + in.epsilon) };
}
