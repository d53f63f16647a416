// The product of gemm.cu for few rows, where the weight's way to the chip is the cost: the blocks of a cluster share
// one tile of 64 rows x COLUMNS columns and divide K, so that every multiprocessor fetches a part of the weight.
//
//   grid      (tiles of columns * SPLIT, tiles of rows), clusters of SPLIT
//   block     one warpgroup of consumers, then one warp that fills the ring (gemm.cuh)
//   exchange  partial sums stay in each block's shared memory; rank r adds, in the order of ranks, the SPLIT partial
//             sums of rows r * 64 / SPLIT and on, four columns per thread, and finishes them
#define SHARERS 1
#define GROUPS 1
#define ALTERNATE 0
#include "gemm.cuh"

#define OWN_ROWS (64 / SPLIT)
#define LANES (COLUMNS / 4)            // neighbours that share a row, four columns each
#define PASSES ((OWN_ROWS * LANES + 127) / 128)
#define PARTIAL_STRIDE (COLUMNS + 4)   // floats; rows of a warp's stores fall into different banks

DEVICE void produce(const Arguments& a, const Ring& ring, u32 row, u32 column, u32 first, u32 count) {
  const u32 ahead = count < STAGES ? count : STAGES;
  for (u32 k = 0; k < ahead; k++) {
    barrier_expect(full_at(ring, k), SLOT_BYTES);
    tile_load(slot_at(ring, k) + A_BYTES, map_of(a.w), (first + k) * 64, column, full_at(ring, k));
  }
  wait_for_prior_kernel();
  for (u32 k = 0; k < count; k++) {
    if (k >= ahead) {
      wait_empty(ring, k);
      barrier_expect(full_at(ring, k), SLOT_BYTES);
      tile_load(slot_at(ring, k) + A_BYTES, map_of(a.w), (first + k) * 64, column, full_at(ring, k));
    }
    tile_load(slot_at(ring, k), map_of(a.a), (first + k) * 64, row, full_at(ring, k));
  }
}

KERNEL_RESIDENT(160, BLOCKS, gemm_split, Arguments) {
  const Ring ring = ring_at(shared_base());
  const u32 rank = blockIdx.x % SPLIT, tile = blockIdx.x / SPLIT;
  const u32 row = blockIdx.y * 64, column = tile * COLUMNS;
  const u32 slices = (a.K + 63) / 64, first = slices * rank / SPLIT, count = slices * (rank + 1) / SPLIT - first;
  if (threadIdx.x == 128) {
    for (u32 k = 0; k < STAGES; k++) { barrier_init(ring.full + k * 8, 1); barrier_init(ring.empty + k * 8, 4); }
    barrier_init_fence();
  }
  let_dependents_start();
  __syncthreads();
  if (threadIdx.x >= 128) {
    if (threadIdx.x == 128) produce(a, ring, row, column, first, count);
    __syncwarp();
    cluster_sync();
    cluster_sync();
    return;
  }
  // Everything the last step needs is asked for before the products.
  const u32 c = threadIdx.x % LANES * 4;
  const bool is_inside = column + c < a.N;
  float4 bias = make_float4(0.f, 0.f, 0.f, 0.f), column_sum = bias;
  if (HAS_BIAS && is_inside) bias = *(const float4*)(a.bias + column + c);
  if (NORMALISED && is_inside) column_sum = *(const float4*)(a.column_sums + column + c);
  wait_for_prior_kernel();
  u32 own_rows[PASSES];
#if NORMALISED
  RowParts<LANES> parts[PASSES];
#endif
  uint2 residuals[PASSES];
  UNROLL for (int pass = 0; pass < PASSES; pass++) {
    own_rows[pass] = rank * OWN_ROWS + (threadIdx.x + pass * 128) / LANES;
#if NORMALISED
    parts[pass].ask(statistics_of(a), row + own_rows[pass] < a.M ? row + own_rows[pass] : a.M - 1);
#endif
#if RESIDUAL
    const u32 r = row + own_rows[pass] < a.M ? row + own_rows[pass] : a.M - 1;
    residuals[pass] = make_uint2(0, 0);
    if (is_inside) residuals[pass] = *(const uint2*)(a.residual_rows + (residual_at(a, r) + column + c) * 2);
#endif
  }
  float halves[1][COLUMNS / 2];
  const float (&sums)[COLUMNS / 2] = halves[0];
  for (u32 k = 0; k < count; k++) {
    multiply(halves, ring, k, 0, k == 0);
    wgmma_wait<1>();
    if (k > 0) release(ring, k - 1);
  }
  wgmma_wait<0>();
  wgmma_hold(halves[0]);

  const u32 partials = ring.slots + STAGES * SLOT_BYTES + 256;
  UNROLL for (int j = 0; j < COLUMNS / 8; j++) UNROLL for (int half = 0; half < 2; half++)
    store_shared2(partials + ((threadIdx.x / 32 * 16 + lane_of() / 4 + 8 * half) * PARTIAL_STRIDE
      + 8 * j + lane_of() % 4 * 2) * 4, bits_of(sums[4 * j + 2 * half]), bits_of(sums[4 * j + 2 * half + 1]));
  cluster_sync();
  float4 totals[PASSES];
  UNROLL for (int pass = 0; pass < PASSES; pass++) {
    const u32 at = partials + (own_rows[pass] * PARTIAL_STRIDE + c) * 4;
    float4& total = totals[pass] = make_float4(0.f, 0.f, 0.f, 0.f);
    if (own_rows[pass] < (rank + 1) * OWN_ROWS) UNROLL for (int other = 0; other < SPLIT; other++) {
      const float4 part = load_remote4(map_shared(at, other));
      total.x += part.x; total.y += part.y; total.z += part.z; total.w += part.w;
    }
  }
  cluster_arrive();   // this block has read what it needs of the others
  UNROLL for (int pass = 0; pass < PASSES; pass++) {
    const u32 r = row + own_rows[pass];
    if (own_rows[pass] >= (rank + 1) * OWN_ROWS) continue;   // whole groups of LANES lanes
    const float4 sum = totals[pass];
    Norm norm = {};
#if NORMALISED
    const RowScale scale = parts[pass].join(statistics_of(a));
    norm = { scale.rstd, -scale.rstd * scale.mean };
#endif
    float out[4] = { finish(a, sum.x, norm, column_sum.x, bias.x),
      finish(a, sum.y, norm, column_sum.y, bias.y), finish(a, sum.z, norm, column_sum.z, bias.z),
      finish(a, sum.w, norm, column_sum.w, bias.w) };
#if RESIDUAL
    out[0] += low_of(residuals[pass].x); out[1] += high_of(residuals[pass].x);
    out[2] += low_of(residuals[pass].y); out[3] += high_of(residuals[pass].y);
#endif
    if (r < a.M && is_inside) {
#if OUT_FLOAT
      *(float4*)((float*)a.out_rows + out_at(a, r) + column + c) = make_float4(out[0], out[1], out[2], out[3]);
#else
      *(uint2*)(a.out_rows + (out_at(a, r) + column + c) * 2) =
        make_uint2(pack2(out[0], out[1]), pack2(out[2], out[3]));
#endif
    }
#if STATISTICS
    float total = out[0] + out[1] + out[2] + out[3], squares = 0.f;
    UNROLL for (int m = LANES / 2; m; m >>= 1) total += shuffle_xor(total, m);
    UNROLL for (int i = 0; i < 4; i++) {
      const float off = out[i] - total / COLUMNS;
      squares = fmaf(off, off, squares);
    }
    UNROLL for (int m = LANES / 2; m; m >>= 1) squares += shuffle_xor(squares, m);
    if (threadIdx.x % LANES == 0 && r < a.M) a.statistics_out[(u64)tile * a.M + r] = make_float2(total, squares);
#endif
  }
  __syncwarp();
  cluster_wait();   // nobody leaves while its sums may still be read
}
