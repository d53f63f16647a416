// out = epilogue(a b) for what gemm.cu does not take: any sizes, both sides from memory, transposed or not, leading
// axes broadcast; float32, and 16 bits on GPUs without wgmma.
//
//   grid    one block per batch element and TILE x TILE piece of out, columns fastest
//   block   256 threads. A slice of DEPTH of K is asked for while the one before it is multiplied.
//
//   FLOAT       each thread (TILE / 16)^2 sums by multiply-add; slices lie [k][row], [k][column]
//   16 bits     8 warps on tensor cores; a slice keeps the way it lies in memory, in lines of 16-byte pieces:
//               lines of a are rows (A_ACROSS = 0) or k's (1: stored transposed); of b columns (0) or k's (1)
//
// VECTOR: lines start on 16 bytes and their length is a multiple of 16 bytes, so that pieces are copied whole.
#include "epilogue.cuh"
#define THREADS 256

struct Batch { u32 size, a, b; };   // of one leading axis: elements, and how far a and b move (0: broadcast)
struct Arguments {
  const Element* a; const Element* b;
  const float* bias;                // (N)
  const float* column_sums;
  const float2* statistics_in;
  float2* statistics_out;           // not written: norm.cu does
  u8* out_rows;                     // row r at (first + r step) stride
  const u8* residual_rows;
  u32 M, N, K;
  u32 out_first, out_step, out_stride;
  u32 residual_first, residual_step, residual_stride, residual_period;
  u32 in_rows, in_first, in_step;
  float in_columns, epsilon, scale;
  u32 a_line, b_line;               // elements from line to line
  Batch batch[4];                   // the last axis is fastest
};

DEVICE void finish(const Arguments& a, u64 out_base, u32 row, u32 column, float mean, float rstd, float sum) {
  if (row >= a.M || column >= a.N) return;
#if NORMALISED
  sum = rstd * fmaf(-mean, a.column_sums[column], sum);
#endif
#if HAS_BIAS
  sum += a.bias[column];
#endif
  sum = activate<ACTIVATION>(sum * a.scale);
#if RESIDUAL
  const u32 own = a.residual_period ? row % a.residual_period : row;
  const u64 other = (u64)(a.residual_first + own * a.residual_step) * a.residual_stride + column;
  sum += value_of(((const Element*)a.residual_rows)[other]);
#endif
  const u64 at = out_base + (u64)(a.out_first + row * a.out_step) * a.out_stride + column;
#if OUT_FLOAT
  ((float*)a.out_rows)[at] = sum;
#else
  ((Element*)a.out_rows)[at] = element_of(sum);
#endif
}
DEVICE void norm_of(const Arguments& a, u32 row, float& mean, float& rstd) {
#if NORMALISED
  const StatisticsIn in = { a.statistics_in, a.in_rows, a.in_first, a.in_step, a.in_columns, a.epsilon };
  RowParts<1> parts;
  parts.ask(in, row < a.M ? row : a.M - 1);
  const RowScale scale = parts.join(in);
  mean = scale.mean; rstd = scale.rstd;
#endif
}

#if FLOAT
#define DEPTH 16
#define SIDE (TILE / 16)            // sums of a thread are SIDE x SIDE: four neighbours, and four 64 further
#define LOADS (TILE * DEPTH / THREADS)
#define STRIDE (TILE + 4)
#define SLICE_BYTES (2 * DEPTH * STRIDE * 4)

// Which element of a slice this thread's load number i is: along the lines, so that a warp reads neighbours.
template <int Across> DEVICE uint2 place(u32 i) {
  const u32 e = threadIdx.x + i * THREADS;
  return Across ? make_uint2(e % TILE, e / TILE) : make_uint2(e / DEPTH, e % DEPTH);   // (row or column, k)
}
template <int Across> DEVICE void fetch(float (&values)[LOADS], const float* side, u32 line, u32 first, u32 count,
                                        u32 first_k, u32 K) {
  UNROLL for (int i = 0; i < LOADS; i++) {
    const uint2 p = place<Across>(i);
    const u32 r = first + p.x, k = first_k + p.y;
    values[i] = r < count && k < K ? side[Across ? (u64)k * line + r : (u64)r * line + k] : 0.f;
  }
}
template <int Across> DEVICE void keep(float* slice, const float (&values)[LOADS]) {
  UNROLL for (int i = 0; i < LOADS; i++) {
    const uint2 p = place<Across>(i);
    slice[p.y * STRIDE + p.x] = values[i];
  }
}

DEVICE void multiply(const Arguments& a, const float* left, const float* right, u64 out, u32 row, u32 column) {
  float sums[SIDE][SIDE] = {}, next_a[LOADS], next_b[LOADS];
  const u32 x = threadIdx.x % 16 * 4, y = threadIdx.x / 16 * 4;
  fetch<A_ACROSS>(next_a, left, a.a_line, row, a.M, 0, a.K);
  fetch<B_ACROSS>(next_b, right, a.b_line, column, a.N, 0, a.K);
  for (u32 k = 0, turn = 0; k < a.K; k += DEPTH, turn ^= 1) {
    float* slice_a = (float*)(shared_pointer() + turn * SLICE_BYTES);
    float* slice_b = slice_a + DEPTH * STRIDE;
    keep<A_ACROSS>(slice_a, next_a);
    keep<B_ACROSS>(slice_b, next_b);
    __syncthreads();   // the other slice is read by nobody past this point
    if (k + DEPTH < a.K) {
      fetch<A_ACROSS>(next_a, left, a.a_line, row, a.M, k + DEPTH, a.K);
      fetch<B_ACROSS>(next_b, right, a.b_line, column, a.N, k + DEPTH, a.K);
    }
    UNROLL for (int d = 0; d < DEPTH; d++) {
      float of_a[SIDE], of_b[SIDE];
      UNROLL for (int i = 0; i < SIDE; i += 4) {
        *(float4*)(of_a + i) = *(const float4*)(slice_a + d * STRIDE + y + i * 16);
        *(float4*)(of_b + i) = *(const float4*)(slice_b + d * STRIDE + x + i * 16);
      }
      UNROLL for (int i = 0; i < SIDE; i++) UNROLL for (int j = 0; j < SIDE; j++)
        sums[i][j] = fmaf(of_a[i], of_b[j], sums[i][j]);
    }
  }
  UNROLL for (int i = 0; i < SIDE; i++) {
    const u32 r = row + y + i / 4 * 64 + i % 4;
    float mean = 0.f, rstd = 1.f;
    norm_of(a, r, mean, rstd);
    UNROLL for (int j = 0; j < SIDE; j++) finish(a, out, r, column + x + j / 4 * 64 + j % 4, mean, rstd, sums[i][j]);
  }
}
#else
#define DEPTH 32
#define STAGES 3
// A warp's part of the tile: 8 warps stand 2 x 4 (rows x columns).
#define WARP_ROWS (TILE / 2)
#define WARP_COLUMNS (TILE / 4)
// Lines of TILE or DEPTH elements, padded by 16 bytes so that eight lines fall into different banks.
#define LINE_BYTES(across) ((across ? TILE : DEPTH) * 2 + 16)
#define SIDE_BYTES(across) ((across ? DEPTH : TILE) * LINE_BYTES(across))
#define SLICE_BYTES (SIDE_BYTES(A_ACROSS) + SIDE_BYTES(B_ACROSS))

template <int Across> DEVICE void fetch(u32 shared, const Element* side, u32 line, u32 first, u32 count, u32 first_k,
                                        u32 K) {
  const u32 pieces = (Across ? TILE : DEPTH) / 8, lines = Across ? DEPTH : TILE;
  const u32 first_line = Across ? first_k : first, line_count = Across ? K : count;
  const u32 first_element = Across ? first : first_k, element_count = Across ? count : K;
  for (u32 i = threadIdx.x; i < lines * pieces; i += THREADS) {
    const u32 own = i / pieces, element = first_element + i % pieces * 8;
    const u32 to = shared + own * LINE_BYTES(Across) + i % pieces * 16;
    const bool is_inside = first_line + own < line_count && element < element_count;
    const Element* from = side + (is_inside ? (u64)(first_line + own) * line + element : 0);
#if VECTOR
    copy_async(to, from, is_inside ? 16 : 0);
#else
    UNROLL for (u32 k = 0; k < 8; k++)
      store_shared_half(to + k * 2, is_inside && element + k < element_count ? from[k] : (Element)0);
#endif
  }
}

DEVICE void multiply(const Arguments& a, const Element* left, const Element* right, u64 out, u32 row, u32 column) {
  float sums[WARP_ROWS / 16][WARP_COLUMNS / 8][4] = {};
  const u32 lane = lane_of(), own_row = warp_of() / 4 * WARP_ROWS, own_column = warp_of() % 4 * WARP_COLUMNS;
  const u32 slices = (a.K + DEPTH - 1) / DEPTH;
  const auto ask = [&](u32 slice) {
    const u32 at = shared_base() + slice % STAGES * SLICE_BYTES;
    if (slice < slices) {
      fetch<A_ACROSS>(at, left, a.a_line, row, a.M, slice * DEPTH, a.K);
      fetch<B_ACROSS>(at + SIDE_BYTES(A_ACROSS), right, a.b_line, column, a.N, slice * DEPTH, a.K);
    }
    copy_async_commit();
  };
  for (u32 s = 0; s + 1 < STAGES; s++) ask(s);
  for (u32 s = 0; s < slices; s++) {
    copy_async_wait<STAGES - 2>();
    __syncthreads();   // slice s is here, and slice s - 1 is read by nobody any more
    ask(s + STAGES - 1);
    const u32 of_a = shared_base() + s % STAGES * SLICE_BYTES, of_b = of_a + SIDE_BYTES(A_ACROSS);
    UNROLL for (int k = 0; k < DEPTH; k += 16) {
      uint4 b[WARP_COLUMNS / 16];
      UNROLL for (int j = 0; j < WARP_COLUMNS / 16; j++) {
        const u32 c = own_column + j * 16;
        b[j] = B_ACROSS
          ? load_matrix_transposed(of_b + (k + lane / 8 % 2 * 8 + lane % 8) * LINE_BYTES(1) + (c + lane / 16 * 8) * 2)
          : load_matrix(of_b + (c + lane / 16 * 8 + lane % 8) * LINE_BYTES(0) + (k + lane / 8 % 2 * 8) * 2);
      }
      UNROLL for (int i = 0; i < WARP_ROWS / 16; i++) {
        const u32 r = own_row + i * 16;
        const uint4 f = A_ACROSS
          ? load_matrix_transposed(of_a + (k + lane / 16 * 8 + lane % 8) * LINE_BYTES(1) + (r + lane / 8 % 2 * 8) * 2)
          : load_matrix(of_a + (r + lane / 8 % 2 * 8 + lane % 8) * LINE_BYTES(0) + (k + lane / 16 * 8) * 2);
        const u32 rows[4] = { f.x, f.y, f.z, f.w };
        UNROLL for (int j = 0; j < WARP_COLUMNS / 16; j++) {
          MMA(sums[i][2 * j], rows, b[j].x, b[j].y);
          MMA(sums[i][2 * j + 1], rows, b[j].z, b[j].w);
        }
      }
    }
  }
  UNROLL for (int i = 0; i < WARP_ROWS / 16; i++) UNROLL for (int half = 0; half < 2; half++) {
    const u32 r = row + own_row + i * 16 + lane / 4 + 8 * half;
    float mean = 0.f, rstd = 1.f;
    norm_of(a, r, mean, rstd);
    UNROLL for (int j = 0; j < WARP_COLUMNS / 8; j++) UNROLL for (int k = 0; k < 2; k++)
      finish(a, out, r, column + own_column + j * 8 + lane % 4 * 2 + k, mean, rstd, sums[i][j][2 * half + k]);
  }
}
#endif

KERNEL_RESIDENT(THREADS, 2, matmul, Arguments) {
  const u32 across = (a.N + TILE - 1) / TILE, down = (a.M + TILE - 1) / TILE;
  const u32 tile = blockIdx.x % (across * down);
  u32 batch = blockIdx.x / (across * down);
  const u64 out = (u64)batch * a.M * a.N;   // of several, results lie one behind the other
  u64 left = 0, right = 0;
  UNROLL for (int axis = 3; axis >= 0; axis--) {
    const u32 own = batch % a.batch[axis].size;
    batch /= a.batch[axis].size;
    left += (u64)own * a.batch[axis].a;
    right += (u64)own * a.batch[axis].b;
  }
  let_dependents_start();
  wait_for_prior_kernel();
  multiply(a, a.a + left, a.b + right, out, tile / across * TILE, tile % across * TILE);
}
