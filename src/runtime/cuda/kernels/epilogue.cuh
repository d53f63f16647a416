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

// One row's mean and 1 / deviation from the sums of its IN_TILES tiles of columns: (sum, squared distance from the
// tile's mean) each, joined (Chan et al. 1979). Asked for early, joined late, so that nobody waits for them.
#if NORMALISED
struct RowScale { float mean, rstd; };
struct StatisticsIn {
  const float2* tiles;   // (IN_TILES, rows)
  u32 rows, first, step;
  float columns, epsilon;
};
// `Lanes` neighbouring lanes (a power of two) call this together for one row; each holds every Lanes-th tile.
template <int Lanes> struct RowParts {
  float2 parts[(IN_TILES + Lanes - 1) / Lanes];
  __device__ __forceinline__ void ask(const StatisticsIn& in, u32 row) {
    const float2* own = in.tiles + in.first + (u64)row * in.step;
    UNROLL for (int i = 0; i * Lanes < IN_TILES; i++) {
      const u32 tile = i * Lanes + lane_of() % Lanes;
      parts[i] = tile < IN_TILES ? own[(u64)tile * in.rows] : make_float2(0.f, 0.f);
    }
  }
  __device__ __forceinline__ RowScale join(const StatisticsIn& in) const {
    const float per_tile = in.columns / IN_TILES;
    float sum = 0.f, squares = 0.f;
    UNROLL for (int i = 0; i * Lanes < IN_TILES; i++) sum += parts[i].x;
    UNROLL for (int m = Lanes / 2; m; m >>= 1) sum += shuffle_xor(sum, m);
    const float mean = sum / in.columns;
    UNROLL for (int i = 0; i * Lanes < IN_TILES; i++) {
      const float off = parts[i].x / per_tile - mean;
      if (i * Lanes + lane_of() % Lanes < IN_TILES) squares += fmaf(per_tile * off, off, parts[i].y);
    }
    UNROLL for (int m = Lanes / 2; m; m >>= 1) squares += shuffle_xor(squares, m);
    return { mean, rsqrt_fast(squares / in.columns + in.epsilon) };
  }
};
#endif
