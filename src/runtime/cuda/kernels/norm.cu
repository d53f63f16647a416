// Passes over rows, one warp per row, each lane ELEMENTS of its values in registers (lane 8 columns, 256 apart).
//
//   layer_norm   out = (x + residual - mean) / deviation scale + shift        sum = x + residual, where wanted
//   head         out (rows, COLUMNS) = activation(norm(x) w + bias), float32; w (COLUMNS, D) with the norm's scale
//   statistics   (sum, squared distance from the mean) of each row, for products that normalise it (gemm.cu)
//   convert      float32 rows to 16 bits, zeros right of the last column; rows of a ring in the order of time
#include "epilogue.cuh"
#define WARPS 4

// Row r, column c of a matrix is at rows + (first + r step) stride + c.
struct Rows { u32 first, step, stride; };
DEVICE u64 at(const Rows& rows, u32 r) { return (u64)(rows.first + r * rows.step) * rows.stride; }

#if defined(D)
#define ELEMENTS ((D + 255) / 256 * 8)
DEVICE u32 column_of(u32 i) { return i / 8 * 256 + lane_of() * 8 + i % 8; }

DEVICE void load_row(float (&x)[ELEMENTS], const Element* row) {
  UNROLL for (int i = 0; i < ELEMENTS; i += 8) {
    const u32 c = column_of(i);
#if VECTOR && FLOAT
    uint4 pieces[2] = {};
    if (c < D) { pieces[0] = *(const uint4*)(row + c); pieces[1] = *(const uint4*)(row + c + 4); }
    const float* values = (const float*)pieces;
    UNROLL for (int k = 0; k < 8; k++) x[i + k] = values[k];
#elif VECTOR
    uint4 piece = make_uint4(0, 0, 0, 0);
    if (c < D) piece = *(const uint4*)(row + c);
    const u32 pairs[4] = { piece.x, piece.y, piece.z, piece.w };
    UNROLL for (int k = 0; k < 8; k++) x[i + k] = k % 2 ? high_of(pairs[k / 2]) : low_of(pairs[k / 2]);
#else
    UNROLL for (int k = 0; k < 8; k++) x[i + k] = c + k < D ? value_of(row[c + k]) : 0.f;
#endif
  }
}
DEVICE void store_row(Element* row, const float (&x)[ELEMENTS]) {
  UNROLL for (int i = 0; i < ELEMENTS; i += 8) {
    const u32 c = column_of(i);
#if VECTOR && !FLOAT
    if (c < D) *(uint4*)(row + c) = make_uint4(pack2(x[i], x[i + 1]), pack2(x[i + 2], x[i + 3]),
                                               pack2(x[i + 4], x[i + 5]), pack2(x[i + 6], x[i + 7]));
#else
    UNROLL for (int k = 0; k < 8; k++) if (c + k < D) row[c + k] = element_of(x[i + k]);
#endif
  }
}
DEVICE float sum_of(const float (&x)[ELEMENTS]) {
  float sum = 0.f;
  UNROLL for (int i = 0; i < ELEMENTS; i++) sum += x[i];
  return warp_sum(sum);
}
// Subtracts the mean; the sum of squares of what is left.
DEVICE float centre(float (&x)[ELEMENTS], float mean) {
  float squares = 0.f;
  UNROLL for (int i = 0; i < ELEMENTS; i++) {
    x[i] = column_of(i) < D ? x[i] - mean : 0.f;
    squares = fmaf(x[i], x[i], squares);
  }
  return warp_sum(squares);
}
#endif

#if KIND == 0
struct Arguments {
  const Element* x; const Element* residual; Element* sum; Element* out;
  const float* scale; const float* shift;
  Rows x_at, residual_at, sum_at, out_at;
  u32 rows; float epsilon;
};
KERNEL(WARPS * 32, layer_norm, Arguments) {
  const u32 row = blockIdx.x * WARPS + warp_of();
  let_dependents_start();
  wait_for_prior_kernel();
  if (row >= a.rows) return;
  float x[ELEMENTS];
  load_row(x, a.x + at(a.x_at, row));
#if RESIDUAL
  float other[ELEMENTS];
  load_row(other, a.residual + at(a.residual_at, row));
  UNROLL for (int i = 0; i < ELEMENTS; i++) x[i] += other[i];
#endif
#if SUM
  store_row(a.sum + at(a.sum_at, row), x);
#endif
  const float mean = sum_of(x) / D, rstd = rsqrtf(centre(x, mean) / D + a.epsilon);
  UNROLL for (int i = 0; i < ELEMENTS; i++) {
    const u32 c = column_of(i);
    if (c < D) x[i] = fmaf(x[i] * rstd, a.scale[c], a.shift[c]);
  }
  store_row(a.out + at(a.out_at, row), x);
}
#elif KIND == 1
struct Arguments {
  const Element* x; const float* w; const float* bias; float* out;
  Rows x_at;
  u32 rows; float epsilon;
};
KERNEL(WARPS * 32, head, Arguments) {
  const u32 row = blockIdx.x * WARPS + warp_of();
  let_dependents_start();
  wait_for_prior_kernel();
  if (row >= a.rows) return;
  float x[ELEMENTS], rstd = 1.f;
  load_row(x, a.x + at(a.x_at, row));
#if CENTRED
  const float mean = sum_of(x) / D;
  rstd = rsqrtf(centre(x, mean) / D + a.epsilon);
#endif
  UNROLL for (int column = 0; column < COLUMNS; column++) {
    float sum = 0.f;
    UNROLL for (int i = 0; i < ELEMENTS; i++) {
      const u32 c = column_of(i);
      if (c < D) sum = fmaf(x[i], a.w[column * D + c], sum);
    }
    sum = warp_sum(sum);
    if (lane_of() == 0) a.out[row * COLUMNS + column] = activate<ACTIVATION>(fmaf(sum, rstd, a.bias[column]));
  }
}
#elif KIND == 2
struct Arguments { const Element* x; float2* out; Rows x_at; u32 rows; };
KERNEL(WARPS * 32, statistics, Arguments) {
  const u32 row = blockIdx.x * WARPS + warp_of();
  let_dependents_start();
  wait_for_prior_kernel();
  if (row >= a.rows) return;
  float x[ELEMENTS];
  load_row(x, a.x + at(a.x_at, row));
  const float sum = sum_of(x), squares = centre(x, sum / D);
  if (lane_of() == 0) a.out[row] = make_float2(sum, squares);
}
#else
struct Arguments {
  const float* from; u16* to; const u32* ring_start;
  Rows from_at, to_at;
  u32 rows, columns, padded, T;   // padded: columns of `to`, a multiple of 8
};
KERNEL(256, convert, Arguments) {
  let_dependents_start();
  wait_for_prior_kernel();
  const u32 pieces = a.padded / 8, i = blockIdx.x * 256 + threadIdx.x, r = i / pieces, c = i % pieces * 8;
  if (r >= a.rows) return;
#if RING
  const u32 source = r / a.T * a.T + (r % a.T + *a.ring_start) % a.T;
#else
  const u32 source = r;
#endif
  const float* row = a.from + at(a.from_at, source) + c;
  float x[8];
#if VECTOR
  const float4 low = *(const float4*)row, high = *(const float4*)(row + 4);
  x[0] = low.x; x[1] = low.y; x[2] = low.z; x[3] = low.w; x[4] = high.x; x[5] = high.y; x[6] = high.z; x[7] = high.w;
#else
  UNROLL for (int k = 0; k < 8; k++) x[k] = c + k < a.columns ? row[k] : 0.f;
#endif
  *(uint4*)(a.to + at(a.to_at, r) + c) =
    make_uint4(pack2(x[0], x[1]), pack2(x[2], x[3]), pack2(x[4], x[5]), pack2(x[6], x[7]));
}
#endif
