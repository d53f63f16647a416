// One LSTM layer of at most 64 units, whole in one block: no exchange between blocks at all.
//
//   block: COLUMNS sequences (1: as many blocks as sequences; 8: for batches beyond the multiprocessors)
//   warp:  8 hidden units, 32 gate rows, all of K; its weights stay in registers
//
//   x ==8 columns of the tensor core at a time==> projection --\
//   h(t-1) in shared memory --> product of 4 gates ------------ + --> cell --> h(t) in shared memory; a barrier a step
//
// The tensor core has 8 columns. With one sequence they are eight consecutive steps of x, projected at once; with
// eight they are the sequences at one step. A lane owns all four gates of its cells: rows of the two tiles of a warp
// are gates i, f and o, g of the same units (lstm/pack.ts).
//
// A network in bfloat16 keeps that range where it needs it: in features and their weights. Hidden states lie between
// -1 and 1, so they and their weights are float16, which has eight times the precision, and features are two numbers,
// 8 bits of each and the next 8. All in bfloat16, a trained network of 40 units that saturates lost 1.2e-2, now 2e-3.
#include "ptx.cuh"
#include "lstm.cuh"

#ifndef HIDDEN
#define HIDDEN 64     // units: 32 or 64
#define INPUTS 224    // features, padded to a multiple of 32
#define COLUMNS 1     // sequences of a block: 1 or 8
#define WIDE_INPUT 0  // 1: x and its weights are bfloat16, x in two parts
#define WIDE_RESULT 0 // 1: hidden states of all steps are bfloat16
#endif

#define WARPS (HIDDEN / 8)
#define THREADS (WARPS * 32)
#define SPAN (8 / COLUMNS)               // steps that are projected together
#define CELLS (COLUMNS == 8 ? 2 : 1)     // of a lane
#define H_PAIRS (HIDDEN / 32)
#define X_PAIRS (INPUTS / 32)
#define ATOMS ((INPUTS + THREADS - 1) / THREADS)   // of x, per thread and 8 columns
#define H_BYTES (HIDDEN * COLUMNS * 2)
#define X_BYTES (INPUTS * 16)
#define X_PARTS (WIDE_INPUT ? 2 : 1)
#define P_BYTES (COLUMNS == 1 ? HIDDEN * 8 * 16 : 0)

struct BlockArguments {
  const uint4* weights;      // input, then hidden: each [warp][tile][k-step][lane]
  const float4* bias;        // [HIDDEN] gates i, f, o, g
  const float* x;            // (B, T, F), or null
  const u16* below;          // (T, B, F) hidden states of the layer below
  const u32* ring_start;     // row of step 0 of x, or null
  const float* h0;           // states (B, H), or null
  const float* c0;
  float* hn;
  float* cn;
  float* last;               // (B, H), or null
  u16* all;                  // (T, B, H), or null
  const float* head_weights; // [column][HIDDEN]
  const float* head_bias;
  float* head;               // (B, head_columns), or null
  u32* done;                 // mapped, or null
  u32* arrivals;             // two words: blocks that have ended, runs
  i32 B, T, F, H, head_columns, is_tanh;
};

// Eight features of tensor core column `column` of a chunk.
DEVICE Eight load_features(const BlockArguments& a, u32 start, u32 chunk, u32 atom) {
  const u32 column = atom & 7, first = (atom >> 3) * 8;
  const u32 b = blockIdx.x * COLUMNS + (COLUMNS == 8 ? column : 0), t = chunk * SPAN + (COLUMNS == 8 ? 0 : column);
  const bool is_row = b < (u32)a.B && t < (u32)a.T;
  if (a.below) {
    const u16* p = a.below + ((u64)t * a.B + b) * a.F + first;
    Eight r;
    UNROLL for (int i = 0; i < 8; i++) r.v[i] = is_row && first + i < (u32)a.F ? unpack16(p[i]) : 0.f;
    return r;
  }
  const u32 row = start + t >= (u32)a.T ? start + t - a.T : start + t;
  return load_eight(a.x + ((u64)b * a.T + row) * a.F, first, a.F, is_row);
}

#if WIDE_INPUT
DEVICE void mma_input(float (&d)[4], const u32* a, u32 b0, u32 b1) { mma_bfloat(d, a, b0, b1); }
DEVICE uint4 input_atom(const Eight& e) {
  return make_uint4(to_bfloat2(e.v[0], e.v[1]), to_bfloat2(e.v[2], e.v[3]), to_bfloat2(e.v[4], e.v[5]),
    to_bfloat2(e.v[6], e.v[7]));
}
#else
DEVICE void mma_input(float (&d)[4], const u32* a, u32 b0, u32 b1) { mma16(d, a, b0, b1); }
DEVICE uint4 input_atom(const Eight& e) { return atom_of(e); }
#endif
// What bfloat16 leaves of each number.
DEVICE Eight rest_of(const Eight& e) {
  Eight r;
  UNROLL for (int i = 0; i < 8; i++) r.v[i] = e.v[i] - from_bfloat(to_bfloat(e.v[i]));
  return r;
}
DEVICE u32 result_of(u32 pair) {
  return WIDE_RESULT ? to_bfloat2(unpack16((u16)pair), unpack16((u16)(pair >> 16))) : pair; }

template <int STEPS> DEVICE void load_weights(u32 (&to)[STEPS * 2][4], const uint4* from) {
  UNROLL for (int i = 0; i < STEPS * 2; i++) {
    const uint4 w = load_global4(from + i * 32);
    to[i][0] = w.x; to[i][1] = w.y; to[i][2] = w.z; to[i][3] = w.w;
  }
}

KERNEL(THREADS, lstm_block, BlockArguments) {
  const u32 lane = lane_of(), warp = warp_of(), g = lane >> 2, q = lane & 3, shared = shared_base();
  const u32 x_at = shared, h_at = x_at + 2 * X_PARTS * X_BYTES, p_at = h_at + 2 * H_BYTES;
  const u32 chunks = (a.T + SPAN - 1) / SPAN, unit = warp * 8 + g;

  u32 x_weights[X_PAIRS * 4][4], h_weights[H_PAIRS * 4][4];
  load_weights<X_PAIRS * 2>(x_weights, a.weights + warp * (X_PAIRS * 4 * 32) + lane);
  load_weights<H_PAIRS * 2>(h_weights, a.weights + WARPS * (X_PAIRS * 4 * 32) + warp * (H_PAIRS * 4 * 32) + lane);
  wait_for_prior_kernel();     // which may bring x
  const u32 start = a.ring_start ? *a.ring_start : 0;
  Eight features[ATOMS];
  UNROLL for (int i = 0; i < ATOMS; i++) features[i] = load_features(a, start, 0, threadIdx.x + i * THREADS);
  const float4 bias = a.bias[unit];
  float c[CELLS], h[CELLS];
  UNROLL for (int e = 0; e < CELLS; e++) {
    const u32 b = blockIdx.x * COLUMNS + (COLUMNS == 8 ? 2 * q + e : 0);
    c[e] = a.c0 && b < (u32)a.B && unit < (u32)a.H ? a.c0[(u64)b * a.H + unit] : 0.f;
    h[e] = a.h0 && b < (u32)a.B && unit < (u32)a.H ? a.h0[(u64)b * a.H + unit] : 0.f;
  }

  auto store_features = [&](u32 chunk) {
    UNROLL for (int i = 0; i < ATOMS; i++) {
      const u32 atom = threadIdx.x + i * THREADS;
      const u32 to = x_at + (chunk & 1) * X_PARTS * X_BYTES + atom_at(atom >> 3, atom & 7);
      if (atom < INPUTS) store_shared4(to, input_atom(features[i]));
      if (WIDE_INPUT && atom < INPUTS) store_shared4(to + X_BYTES, input_atom(rest_of(features[i])));
      features[i] = load_features(a, start, chunk + 1, atom);
    }
  };
  float projection[2][4];
  auto project = [&](u32 chunk) {
    float odd[2][4];
    UNROLL for (int m = 0; m < 2; m++) UNROLL for (int j = 0; j < 4; j++) odd[m][j] = 0.f;
    UNROLL for (int e = 0; e < 2; e++) {
      projection[0][e] = bias.x; projection[0][2 + e] = bias.y;
      projection[1][e] = bias.z; projection[1][2 + e] = bias.w;
    }
    UNROLL for (int p = 0; p < X_PAIRS; p++) UNROLL for (int part = 0; part < X_PARTS; part++) {
      const uint4 v = load_shared4(x_at + ((chunk & 1) * X_PARTS + part) * X_BYTES + atom_at(p * 4 + q, g));
      UNROLL for (int m = 0; m < 2; m++) mma_input(projection[m], x_weights[m * 2 * X_PAIRS + 2 * p], v.x, v.y);
      UNROLL for (int m = 0; m < 2; m++) mma_input(odd[m], x_weights[m * 2 * X_PAIRS + 2 * p + 1], v.z, v.w);
    }
    UNROLL for (int m = 0; m < 2; m++) UNROLL for (int j = 0; j < 4; j++) projection[m][j] += odd[m][j];
    if (COLUMNS == 1) {
      UNROLL for (int e = 0; e < 2; e++)
        store_shared4(p_at + (chunk & 1) * P_BYTES + ((2 * q + e) * HIDDEN + unit) * 16, make_uint4(
          bits_of(projection[0][e]), bits_of(projection[0][2 + e]),
          bits_of(projection[1][e]), bits_of(projection[1][2 + e])));
      __syncwarp();
    }
  };
  // Hidden states to shared memory, and to (T, B, H).
  auto publish = [&](i32 t) {
    const u32 buffer = h_at + (t & 1) * H_BYTES, word = transpose_matrix(pack16(h[0], h[CELLS - 1]));
    // Lane (g, q) now has units 2q, 2q+1 of column g.
    if (COLUMNS == 8) store_shared(buffer + atom_at(warp, g) + q * 4, word);
    else if (g == 0) store_shared(buffer + warp * 16 + q * 4, word);
    const u32 b = blockIdx.x * COLUMNS + g, first = warp * 8 + 2 * q;
    if (a.all && t >= 0 && g < COLUMNS && b < (u32)a.B) {
      u16* to = a.all + ((u64)t * a.B + b) * a.H + first;
      const u32 pair = result_of(word);
      if (first < (u32)a.H) to[0] = (u16)pair;
      if (first + 1 < (u32)a.H) to[1] = (u16)(pair >> 16);
    }
  };

  store_features(0);
  if (a.h0) publish(-1);
  __syncthreads();
  project(0);
  for (u32 chunk = 0; chunk < chunks; chunk++) {
    const bool has_next = chunk + 1 < chunks;
    if (has_next) store_features(chunk + 1);
    for (i32 t = chunk * SPAN; t < a.T && t < (i32)((chunk + 1) * SPAN); t++) {
      __syncthreads();
      float even[2][4], odd[2][4];
      UNROLL for (int m = 0; m < 2; m++) UNROLL for (int j = 0; j < 4; j++) {
        even[m][j] = COLUMNS == 8 ? projection[m][j] : 0.f;
        odd[m][j] = 0.f;
      }
      uint4 z = make_uint4(0, 0, 0, 0);
      if (COLUMNS == 1) z = load_shared4(p_at + (chunk & 1) * P_BYTES + ((t % SPAN) * HIDDEN + unit) * 16);
      if (t > 0 || a.h0) {
        const u32 buffer = h_at + ((t + 1) & 1) * H_BYTES;
        UNROLL for (int p = 0; p < H_PAIRS; p++) {
          const uint4 v = load_shared4(buffer + (COLUMNS == 8 ? atom_at(p * 4 + q, g) : (p * 4 + q) * 16));
          UNROLL for (int m = 0; m < 2; m++) mma16(even[m], h_weights[m * 2 * H_PAIRS + 2 * p], v.x, v.y);
          UNROLL for (int m = 0; m < 2; m++) mma16(odd[m], h_weights[m * 2 * H_PAIRS + 2 * p + 1], v.z, v.w);
        }
      }
      UNROLL for (int e = 0; e < CELLS; e++) {
        h[e] = cell_step(even[0][e] + odd[0][e] + float_of(z.x), even[0][2 + e] + odd[0][2 + e] + float_of(z.y),
          even[1][e] + odd[1][e] + float_of(z.z), even[1][2 + e] + odd[1][2 + e] + float_of(z.w), c[e]);
      }
      publish(t);
      if (has_next && t % SPAN == 0) project(chunk + 1);
    }
  }
  // The end: lane q = 0 (one sequence), or every lane (eight), owns its cells.
  __syncthreads();
  UNROLL for (int e = 0; e < CELLS; e++) {
    const u32 column = COLUMNS == 8 ? 2 * q + e : 0, b = blockIdx.x * COLUMNS + column;
    if (COLUMNS == 1 && q > 0) continue;
    store_shared(x_at + (column * HIDDEN + unit) * 4, bits_of(h[e]));
    if (b >= (u32)a.B || unit >= (u32)a.H) continue;
    if (a.last) a.last[(u64)b * a.H + unit] = h[e];
    if (a.hn) a.hn[(u64)b * a.H + unit] = h[e];
    if (a.cn) a.cn[(u64)b * a.H + unit] = c[e];
  }
  __syncthreads();
  if (a.head) {
    const u32 outputs = COLUMNS * a.head_columns;
    for (u32 i = warp; i < outputs; i += WARPS) {
      const u32 column = i % COLUMNS, out = i / COLUMNS, b = blockIdx.x * COLUMNS + column;
      float dot = 0.f;
      UNROLL for (int k = lane; k < HIDDEN; k += 32)
        dot = fmaf(float_of(load_shared(x_at + (column * HIDDEN + k) * 4)), a.head_weights[out * HIDDEN + k], dot);
      dot = warp_sum(dot);
      if (lane == 0 && b < (u32)a.B) {
        const float v = dot + a.head_bias[out];
        a.head[(u64)b * a.head_columns + out] = a.is_tanh ? tanh_fast(v) : v;
      }
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) tell_host(a.done, a.arrivals, gridDim.x);
}
