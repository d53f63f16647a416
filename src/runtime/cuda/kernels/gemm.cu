// out (M, N) = epilogue(a (M, K) w (N, K)^T) on Hopper's tensor cores, for weights packed K-major.
//
//   grid     (columns of tiles * SPLIT, rows of tiles); a block owns GROUPS * 64 rows and COLUMNS columns of out
//   block    GROUPS warpgroups of consumers (64 rows each), then one warp that keeps the ring filled
//   ring     STAGES slots of [a: GROUPS * 64 rows][w: COLUMNS rows] x 64 elements of K, 128-byte swizzled boxes that
//            the copy engine writes: full[slot] counts their bytes, empty[slot] the consumer warps that have read them
//
//            producer   w w w w | prior kernel ended | a a a a   then (w a) as slots fall empty, then the residual
//            consumers                                  wgmma x 4 per slot, one slot behind in releasing
//
//   epilogue SPLIT = 1: registers -> (residual's tile, in place) -> swizzled tile -> copy engine -> out
//            SPLIT > 1: blocks of a cluster share one tile and divide K; each adds all partial sums of 64 / SPLIT rows,
//            in the order of ranks, and finishes them. For few rows, where the weight's way to the chip is the cost.
//
// NORMALISED: a's rows are layer-normalised by algebra (../gemm/matrix.ts). STATISTICS: writes the result's own.
// Weights do not depend on the kernel before: they are asked for before it has ended.
#include "ptx.cuh"
#include "wgmma.cuh"
#include "epilogue.cuh"

#define ROWS (GROUPS * 64)
#define A_BYTES (ROWS * 128)
#define SLOT_BYTES (A_BYTES + COLUMNS * 128)
#define CONSUMERS (GROUPS * 128)
// Tiles of 64 columns of the result, ROWS x 128 bytes each, take the slots that follow the last one of K.
#define PANELS_PER_SLOT (SLOT_BYTES / A_BYTES)
#define PANELS ((COLUMNS + 63) / 64)
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
  u32 in_tiles, in_rows, in_first, in_step;
  float in_columns, epsilon, scale;
};

// Ring, then barriers.
struct Ring { u32 slots, full, empty, residual; };
DEVICE Ring ring_at(u32 base) {
  const u32 barriers = base + STAGES * SLOT_BYTES;
  return { base, barriers, barriers + STAGES * 8, barriers + STAGES * 16 };
}

DEVICE void produce(const Arguments& a, const Ring& ring, u32 row, u32 column, u32 first, u32 count) {
  const u64 map_a = map_of(a.a), map_w = map_of(a.w);
  const u32 ahead = count < STAGES ? count : STAGES;
  for (u32 k = 0; k < ahead; k++) {
    barrier_expect(ring.full + k * 8, SLOT_BYTES);
    tile_load(ring.slots + k * SLOT_BYTES + A_BYTES, map_w, (first + k) * 64, column, ring.full + k * 8);
  }
  wait_for_prior_kernel();
  for (u32 k = 0; k < ahead; k++)
    tile_load(ring.slots + k * SLOT_BYTES, map_a, (first + k) * 64, row, ring.full + k * 8);
  for (u32 k = ahead; k < count; k++) {
    const u32 slot = k % STAGES, at = ring.slots + slot * SLOT_BYTES, full = ring.full + slot * 8;
    barrier_wait(ring.empty + slot * 8, (k / STAGES - 1) & 1);
    barrier_expect(full, SLOT_BYTES);
    tile_load(at + A_BYTES, map_w, (first + k) * 64, column, full);
    tile_load(at, map_a, (first + k) * 64, row, full);
  }
#if RESIDUAL == 1 && SPLIT == 1
  barrier_expect(ring.residual, PANELS * A_BYTES);
  for (u32 p = 0; p < PANELS; p++) {
    const u32 k = count + p / PANELS_PER_SLOT, slot = k % STAGES;
    if (k >= STAGES) barrier_wait(ring.empty + slot * 8, (k / STAGES - 1) & 1);
    for (u32 group = 0; group < GROUPS; group++)
      tile_load(ring.slots + slot * SLOT_BYTES + p % PANELS_PER_SLOT * A_BYTES + group * 8192, map_of(a.residual),
                column + p * 64, row + group * 64, ring.residual);
  }
#endif
}

// This warpgroup's 64 rows times all columns, over `count` slots.
DEVICE void consume(float (&sums)[COLUMNS / 2], const Ring& ring, u32 group, u32 count) {
  for (u32 k = 0; k < count; k++) {
    const u32 slot = k % STAGES, at = ring.slots + slot * SLOT_BYTES;
    barrier_wait(ring.full + slot * 8, (k / STAGES) & 1);
    wgmma_fence();
    const u64 rows = tile_swizzled(at + group * 8192), columns = tile_swizzled(at + A_BYTES);
    UNROLL for (int step = 0; step < 4; step++) WGMMA(sums, rows + 2 * step, columns + 2 * step, k + step > 0);
    wgmma_commit();
    wgmma_wait<1>();
    if (k > 0 && lane_of() == 0) barrier_arrive(ring.empty + (k - 1) % STAGES * 8);
  }
  wgmma_wait<0>();
  wgmma_hold(sums);
  if (lane_of() == 0) barrier_arrive(ring.empty + (count - 1) % STAGES * 8);
}

DEVICE StatisticsIn statistics_of(const Arguments& a) {
  return { a.statistics_in, a.in_tiles, a.in_rows, a.in_first, a.in_step, a.in_columns, a.epsilon };
}
DEVICE float finish(const Arguments& a, float sum, RowScale row, float column_sum, float bias) {
#if NORMALISED
  sum = row.rstd * fmaf(-row.mean, column_sum, sum);
#endif
  return activate<ACTIVATION>((sum + bias) * a.scale);
}
DEVICE u64 residual_at(const Arguments& a, u32 row) {
  const u32 own = a.residual_period ? row % a.residual_period : row;
  return (u64)(a.residual_first + own * a.residual_step) * a.residual_stride;
}
DEVICE u64 out_at(const Arguments& a, u32 row) { return (u64)(a.out_first + row * a.out_step) * a.out_stride; }

#if SPLIT == 1
// Bias and column sums of the tile's columns, behind the ring; zeros past N.
#define COLUMN_VALUES (STAGES * SLOT_BYTES + 256)
DEVICE void load_columns(const Arguments& a, u32 column) {
  float* values = (float*)(shared_pointer() + COLUMN_VALUES);
  for (u32 c = threadIdx.x; c < COLUMNS; c += CONSUMERS) {
    const bool is_inside = column + c < a.N;
    values[c] = HAS_BIAS && is_inside ? a.bias[column + c] : 0.f;
#if NORMALISED
    values[COLUMNS + c] = is_inside ? a.column_sums[column + c] : 0.f;
#endif
  }
}

// Two rows of a thread: lane / 4 and 8 further. Lanes of a quad share them.
DEVICE void write_statistics(const Arguments& a, const float (&values)[COLUMNS / 2], u32 row) {
  UNROLL for (int half = 0; half < 2; half++) {
    float sum = 0.f, squares = 0.f;
    UNROLL for (int j = 0; j < COLUMNS / 8; j++) sum += values[4 * j + 2 * half] + values[4 * j + 2 * half + 1];
    sum += shuffle_xor(sum, 1); sum += shuffle_xor(sum, 2);
    const float mean = sum / COLUMNS;
    UNROLL for (int j = 0; j < COLUMNS / 4; j++) {
      const float off = values[2 * (j & ~1) + 2 * half + (j & 1)] - mean;
      squares = fmaf(off, off, squares);
    }
    squares += shuffle_xor(squares, 1); squares += shuffle_xor(squares, 2);
    const u32 own = row + 8 * half;
    if (lane_of() % 4 == 0 && own < a.M)
      a.statistics_out[(u64)(blockIdx.x / SPLIT) * a.M + own] = make_float2(sum, squares);
  }
}

KERNEL_RESIDENT(CONSUMERS + 32, BLOCKS, gemm, Arguments) {
  const Ring ring = ring_at(shared_base());
  const u32 row = blockIdx.y * ROWS, column = blockIdx.x * COLUMNS, count = (a.K + 63) / 64;
  if (threadIdx.x == CONSUMERS) {
    for (u32 k = 0; k < STAGES; k++) { barrier_init(ring.full + k * 8, 1); barrier_init(ring.empty + k * 8, CONSUMERS / 32); }
    barrier_init(ring.residual, 1);
    barrier_init_fence();
  }
  let_dependents_start();
  __syncthreads();
  if (threadIdx.x >= CONSUMERS) {
    if (threadIdx.x == CONSUMERS) produce(a, ring, row, column, 0, count);
    return;
  }
  load_columns(a, column);
  const u32 group = threadIdx.x / 128, own_row = row + threadIdx.x / 32 * 16 + lane_of() / 4;
  wait_for_prior_kernel();
  RowScale scales[2] = { { 0.f, 1.f }, { 0.f, 1.f } };
#if NORMALISED
  UNROLL for (int half = 0; half < 2; half++) {
    const u32 last = a.M - 1, wanted = own_row + 8 * half;
    scales[half] = row_scale(statistics_of(a), wanted < last ? wanted : last, lane_of() % 4, 4);
  }
#endif
  float sums[COLUMNS / 2];
  consume(sums, ring, group, count);

  const float* values = (const float*)(shared_pointer() + COLUMN_VALUES);
  named_barrier(1, CONSUMERS);   // both groups have read the ring, and the columns' values are there
  UNROLL for (int j = 0; j < COLUMNS / 8; j++) {
    const u32 c = 8 * j + lane_of() % 4 * 2;
    const float2 bias = *(const float2*)(values + c);
    float2 column_sum = make_float2(0.f, 0.f);
#if NORMALISED
    column_sum = *(const float2*)(values + COLUMNS + c);
#endif
    UNROLL for (int half = 0; half < 2; half++) {
      float& x = sums[4 * j + 2 * half]; float& y = sums[4 * j + 2 * half + 1];
      x = finish(a, x, scales[half], column_sum.x, bias.x);
      y = finish(a, y, scales[half], column_sum.y, bias.y);
    }
  }
#if OUT_FLOAT
  UNROLL for (int j = 0; j < COLUMNS / 8; j++) UNROLL for (int i = 0; i < 4; i++) {
    const u32 r = own_row + 8 * (i / 2), c = column + 8 * j + lane_of() % 4 * 2 + i % 2;
    if (r < a.M && c < a.N) ((float*)a.out_rows)[out_at(a, r) + c] = sums[4 * j + i];
  }
#else
#if RESIDUAL == 1
  barrier_wait(ring.residual, 0);
#endif
  UNROLL for (int j = 0; j < COLUMNS / 8; j++) {
    const u32 panel = j / 8, slot = (count + panel / PANELS_PER_SLOT) % STAGES, quad = lane_of() / 4;
    const u32 at = ring.slots + slot * SLOT_BYTES + panel % PANELS_PER_SLOT * A_BYTES
      + (threadIdx.x / 32 * 16 + quad) * 128 + ((j % 8) ^ (quad & 7)) * 16 + lane_of() % 4 * 4;
    UNROLL for (int half = 0; half < 2; half++) {
      float& x = sums[4 * j + 2 * half]; float& y = sums[4 * j + 2 * half + 1];
#if RESIDUAL == 1
      const u32 pair = load_shared(at + half * 1024);
      x += low_of(pair); y += high_of(pair);
#elif RESIDUAL == 2
      const u32 r = own_row + 8 * half, c = column + 8 * j + lane_of() % 4 * 2;
      const u32 pair = c < a.N ? *(const u32*)(a.residual_rows + (residual_at(a, r) + c) * 2) : 0;
      x += low_of(pair); y += high_of(pair);
#endif
      store_shared(at + half * 1024, pack2(x, y));
    }
  }
  fence_async_shared();
  named_barrier(2 + group, 128);
  if (threadIdx.x % 128 == 0) {
    for (u32 p = 0; p < PANELS; p++)
      tile_store(map_of(a.out), ring.slots + (count + p / PANELS_PER_SLOT) % STAGES * SLOT_BYTES
        + p % PANELS_PER_SLOT * A_BYTES + group * 8192, column + p * 64, row + group * 64);
    bulk_commit();
    bulk_wait_read<0>();
  }
#endif
#if STATISTICS
  write_statistics(a, sums, own_row);
#endif
}
#else

// The blocks of a cluster: rank r sums the partial products of rows r * 64 / SPLIT and on.
#define OWN_ROWS (64 / SPLIT)
#define LANES (COLUMNS / 4)            // neighbours that share a row, four columns each
#define PASSES ((OWN_ROWS * LANES + 127) / 128)
#define PARTIAL_STRIDE (COLUMNS + 4)   // floats; rows of a warp's stores fall into different banks

KERNEL_RESIDENT(160, BLOCKS, gemm, Arguments) {
  const Ring ring = ring_at(shared_base());
  const u32 rank = blockIdx.x % SPLIT, tile = blockIdx.x / SPLIT;
  const u32 row = blockIdx.y * 64, column = tile * COLUMNS;
  const u32 slots = (a.K + 63) / 64, first = slots * rank / SPLIT, count = slots * (rank + 1) / SPLIT - first;
  if (threadIdx.x == 128) {
    for (u32 k = 0; k < STAGES; k++) { barrier_init(ring.full + k * 8, 1); barrier_init(ring.empty + k * 8, 4); }
    barrier_init_fence();
  }
  let_dependents_start();
  __syncthreads();
  if (threadIdx.x >= 128) {
    if (threadIdx.x == 128) produce(a, ring, row, column, first, count);
    __syncwarp();
    cluster_arrive(); cluster_wait(); cluster_arrive(); cluster_wait();
    return;
  }
  // Everything the last step needs is asked for before the products.
  const u32 c = threadIdx.x % LANES * 4;
  const bool is_inside = column + c < a.N;
  float4 bias = make_float4(0.f, 0.f, 0.f, 0.f), column_sum = bias;
  if (HAS_BIAS && is_inside) bias = *(const float4*)(a.bias + column + c);
#if NORMALISED
  if (is_inside) column_sum = *(const float4*)(a.column_sums + column + c);
#endif
  wait_for_prior_kernel();
  u32 own_rows[PASSES];
  RowScale scales[PASSES];
  uint2 residuals[PASSES];
  UNROLL for (int pass = 0; pass < PASSES; pass++) {
    own_rows[pass] = rank * OWN_ROWS + (threadIdx.x + pass * 128) / LANES;
    const u32 r = row + own_rows[pass] < a.M ? row + own_rows[pass] : a.M - 1;
    scales[pass] = { 0.f, 1.f };
    residuals[pass] = make_uint2(0, 0);
#if NORMALISED
    scales[pass] = row_scale(statistics_of(a), r, threadIdx.x % LANES, LANES);
#endif
#if RESIDUAL
    if (is_inside) residuals[pass] = *(const uint2*)(a.residual_rows + (residual_at(a, r) + column + c) * 2);
#endif
  }
  float sums[COLUMNS / 2];
  consume(sums, ring, 0, count);

  const u32 partials = ring.residual + 64;
  UNROLL for (int j = 0; j < COLUMNS / 8; j++) UNROLL for (int half = 0; half < 2; half++)
    store_shared2(partials + ((threadIdx.x / 32 * 16 + lane_of() / 4 + 8 * half) * PARTIAL_STRIDE
      + 8 * j + lane_of() % 4 * 2) * 4, bits_of(sums[4 * j + 2 * half]), bits_of(sums[4 * j + 2 * half + 1]));
  cluster_sync();
  UNROLL for (int pass = 0; pass < PASSES; pass++) {
    const u32 r = row + own_rows[pass];
    if (own_rows[pass] >= (rank + 1) * OWN_ROWS) continue;   // whole groups of LANES lanes
    float4 sum = make_float4(0.f, 0.f, 0.f, 0.f);
    UNROLL for (int other = 0; other < SPLIT; other++) {
      const float4 part = load_remote4(map_shared(partials + (own_rows[pass] * PARTIAL_STRIDE + c) * 4, other));
      sum.x += part.x; sum.y += part.y; sum.z += part.z; sum.w += part.w;
    }
    float out[4] = { finish(a, sum.x, scales[pass], column_sum.x, bias.x),
      finish(a, sum.y, scales[pass], column_sum.y, bias.y), finish(a, sum.z, scales[pass], column_sum.z, bias.z),
      finish(a, sum.w, scales[pass], column_sum.w, bias.w) };
#if RESIDUAL
    out[0] += low_of(residuals[pass].x); out[1] += high_of(residuals[pass].x);
    out[2] += low_of(residuals[pass].y); out[3] += high_of(residuals[pass].y);
#endif
    if (r < a.M && is_inside) {
#if OUT_FLOAT
      *(float4*)((float*)a.out_rows + out_at(a, r) + column + c) = make_float4(out[0], out[1], out[2], out[3]);
#else
      *(uint2*)(a.out_rows + (out_at(a, r) + column + c) * 2) = make_uint2(pack2(out[0], out[1]), pack2(out[2], out[3]));
#endif
    }
#if STATISTICS
    float total = out[0] + out[1] + out[2] + out[3], squares = 0.f;
    UNROLL for (int m = LANES / 2; m; m >>= 1) total += shuffle_xor(total, m);
    UNROLL for (int i = 0; i < 4; i++) { const float off = out[i] - total / COLUMNS; squares = fmaf(off, off, squares); }
    UNROLL for (int m = LANES / 2; m; m >>= 1) squares += shuffle_xor(squares, m);
    if (threadIdx.x % LANES == 0 && r < a.M) a.statistics_out[(u64)tile * a.M + r] = make_float2(total, squares);
#endif
  }
  cluster_arrive(); cluster_wait();   // nobody leaves while its sums may still be read
}
#endif
