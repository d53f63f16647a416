// A stack of LSTM layers for one sequence: a cluster of SLICES blocks is a layer, layers are a wavefront of clusters.
//
//   cluster 2l       X_l: products of x(t) or h_(l-1)(t) with the input weights of layer l --L2--> cluster 2l + 1
//   cluster 2l + 1   R_l: h_l(t-1) --> h_l(t) --L2--> cluster 2l + 2
//
// A block owns 32 hidden units (128 gate rows, in registers). A warp multiplies all of its block's rows by one eighth
// of K, partial sums meet in shared memory, and warp 0 owns one unit per lane. The 64 bytes of h of a block go straight
// into the shared memory of all blocks of its cluster, counted by the mbarrier of the one warp that needs them there.
// Two slots suffice: who writes h(t + 2) has all of h(t + 1), so every reader is done with h(t).
//
// The tensor core has eight columns and we have one sequence, so X_0 projects eight steps of x at once. Other layers
// cannot wait for eight steps.
#include "ptx.cuh"
#include "lstm.cuh"

#ifndef HIDDEN
#define HIDDEN 512    // units: 256 or 512
#define INPUTS 224    // features, padded to a multiple of 32
#endif

#define SLICES (HIDDEN / 32)
#define THREADS 256
#define TILES 8                          // of 16 rows; tiles 2o and 2o + 1 are gates i, f and o, g of 8 units
#define PAIRS (HIDDEN / 256)             // k-step pairs of a warp
#define X_PAIRS (INPUTS / 32)
#define ATOMS ((INPUTS + THREADS - 1) / THREADS)    // of x, per thread and eight steps
// Shared memory: partial sums, two slots of h, staging, the head's weights, projections of 16 steps, two chunks of x,
// the input weights.
#define PARTIAL_AT 0
#define SLOT_BYTES (HIDDEN * 2)
#define SLOTS_AT (2 * 8 * 512)
#define BARRIERS_AT (SLOTS_AT + 2 * SLOT_BYTES)      // [warp][slot], and one of the input weights
#define STAGE_AT (BARRIERS_AT + 256)
#define DOT_AT (STAGE_AT + 128)
#define HEAD_AT (DOT_AT + 128)
#define P_AT (HEAD_AT + HIDDEN * 4)
#define X_AT (P_AT + 16 * 512)
#define X_BYTES (INPUTS * 16)
#define W_AT (X_AT + 2 * X_BYTES)
#define WAVE_SHARED (W_AT + 128 * INPUTS * 2)

struct WaveArguments {
  const uint4* weights;      // [layer]: input, then hidden weights, each [slice][warp][tile][k-step][lane]; input of
                             // layer 0 [slice][tile][k-step][lane]
  const float4* bias;        // [layer][HIDDEN] gates i, f, o, g
  const float* x;            // (B, T, F)
  const u32* ring_start;     // row of step 0, or null
  u8* sequences;             // [2 epochs][B][layer below the last][T][HIDDEN] 16-bit
  u8* projections;           // [B][layer][T][HIDDEN] float4, all ones between launches
  u32* epoch;                // one word per sequence
  const float* h0;           // states (L, B, H), or null
  const float* c0;
  float* hn;
  float* cn;
  float* last;               // (B, H), or null
  u16* all;                  // (T, B, H), or null
  const float* head_weights; // [column][HIDDEN], or null
  const float* head_bias;
  float* head;               // (B, head_columns)
  u32* done;                 // mapped, or null
  u32* arrivals;             // counts blocks at the end
  i32 B, T, F, H, L;
  i32 head_columns, is_tanh;
  i32 ends;                  // blocks that write results
};


// Features of one of the eight steps of a chunk.
DEVICE Eight load_features(const WaveArguments& a, u32 sequence, u32 start, u32 chunk, u32 atom) {
  const u32 t = chunk * 8 + (atom & 7), row = start + t >= (u32)a.T ? start + t - a.T : start + t;
  return load_eight(a.x + ((u64)sequence * a.T + row) * a.F, (atom >> 3) * 8, a.F, t < (u32)a.T);
}

DEVICE void load_hidden_weights(u32 (&to)[TILES * PAIRS * 2][4], const uint4* from) {
  UNROLL for (int i = 0; i < TILES * PAIRS * 2; i++) {
    const uint4 w = load_global4(from + i * 32);
    to[i][0] = w.x; to[i][1] = w.y; to[i][2] = w.z; to[i][3] = w.w;
  }
}
DEVICE void multiply(float (&sum)[TILES][4], const u32 (&weights)[TILES * PAIRS * 2][4], const uint4 (&v)[PAIRS]) {
  UNROLL for (int m = 0; m < TILES; m++) UNROLL for (int j = 0; j < 4; j++) sum[m][j] = 0.f;
  UNROLL for (int p = 0; p < PAIRS; p++) {
    UNROLL for (int m = 0; m < TILES; m++) mma16(sum[m], weights[m * 2 * PAIRS + 2 * p], v[p].x, v[p].y);
    UNROLL for (int m = 0; m < TILES; m++) mma16(sum[m], weights[m * 2 * PAIRS + 2 * p + 1], v[p].z, v[p].w);
  }
}
// All columns are equal: lane (g, q) keeps the four gates of unit 8q + g. Units lie turned by 2 octet within their
// octet, so that a quarter warp's stores meet in no bank.
DEVICE void store_partial(u32 to, const float (&sum)[TILES][4], u32 lane) {
  const u32 g = lane >> 2, q = lane & 3;
  float v[4];
  UNROLL for (int half = 0; half < 2; half++) UNROLL for (int j = 0; j < 2; j++)
    v[2 * half + j] = select(q & 2, select(q & 1, sum[6 + half][2 * j], sum[4 + half][2 * j]),
      select(q & 1, sum[2 + half][2 * j], sum[half][2 * j]));
  store_shared4(to + (8 * q + (g ^ 2 * q)) * 16,
    make_uint4(bits_of(v[0]), bits_of(v[1]), bits_of(v[2]), bits_of(v[3])));
}
DEVICE float4 sum_partials(u32 from, u32 lane) {
  uint4 z[8];
  const u32 q = lane >> 3, at = from + (8 * q + ((lane & 7) ^ 2 * q)) * 16;
  UNROLL for (int w = 0; w < 8; w++) z[w] = load_shared4(at + w * 512);
  UNROLL for (int s = 1; s < 8; s *= 2) UNROLL for (int w = 0; w < 8; w += 2 * s) {
    z[w].x = bits_of(float_of(z[w].x) + float_of(z[w + s].x));
    z[w].y = bits_of(float_of(z[w].y) + float_of(z[w + s].y));
    z[w].z = bits_of(float_of(z[w].z) + float_of(z[w + s].z));
    z[w].w = bits_of(float_of(z[w].w) + float_of(z[w + s].w));
  }
  return make_float4(float_of(z[0].x), float_of(z[0].y), float_of(z[0].z), float_of(z[0].w));
}

DEVICE u8* sequence_of(const WaveArguments& a, u32 epoch, u32 sequence, u32 layer) {
  return a.sequences + (((u64)epoch * a.B + sequence) * (a.L - 1) + layer) * a.T * SLOT_BYTES; }
DEVICE u8* projection_of(const WaveArguments& a, u32 sequence, u32 layer) {
  return a.projections + ((u64)sequence * a.L + layer) * a.T * HIDDEN * 16; }
DEVICE const uint4* weights_of(const WaveArguments& a, u32 layer, bool is_hidden) {
  const u64 per_hidden = (u64)HIDDEN * HIDDEN / 2, per_input = (u64)HIDDEN * INPUTS / 2;
  const u64 before = layer ? per_input + per_hidden + (layer - 1) * 2 * per_hidden : 0;
  return a.weights + before + (is_hidden ? (layer ? per_hidden : per_input) : 0);
}

// X_l: projections of layer l from the hidden states of the layer below.
DEVICE void project_layer(const WaveArguments& a, u32 sequence, u32 layer, u32 epoch) {
  const u32 lane = lane_of(), warp = warp_of(), q = lane & 3, slice = cluster_rank(), shared = shared_base();
  u32 weights[TILES * PAIRS * 2][4];
  load_hidden_weights(weights, weights_of(a, layer, false) + (slice * 8 + warp) * (TILES * PAIRS * 2 * 32) + lane);
  const float4 bias = a.bias[layer * HIDDEN + slice * 32 + lane];
  const u8* from = sequence_of(a, epoch, sequence, layer - 1) + (warp * PAIRS * 4 + q) * 16;
  u8* to = projection_of(a, sequence, layer) + (slice * 32 + lane) * 16;
  uint4 v[PAIRS];
  UNROLL for (int p = 0; p < PAIRS; p++) v[p] = load_relaxed4(from + p * 64);
  for (i32 t = 0; t < a.T; t++) {
    for (u32 n = 0;; n++) {
      bool all = true;
      UNROLL for (int p = 0; p < PAIRS; p++) all = all && has_come(v[p]);
      if (__all_sync(0xffffffffu, all)) break;
      if (n > SPIN_MAX) trap();
      UNROLL for (int p = 0; p < PAIRS; p++) v[p] = load_relaxed4(from + (u64)t * SLOT_BYTES + p * 64);
    }
    float sum[TILES][4];
    multiply(sum, weights, v);
    if (t + 1 < a.T) UNROLL for (int p = 0; p < PAIRS; p++)
      v[p] = load_relaxed4(from + (u64)(t + 1) * SLOT_BYTES + p * 64);
    const u32 buffer = shared + PARTIAL_AT + (t & 1) * (8 * 512);
    store_partial(buffer + warp * 512, sum, lane);
    __syncthreads();
    if (warp == (u32)(t & 7)) {
      const float4 z = sum_partials(buffer, lane);
      store_relaxed4(to + (u64)t * HIDDEN * 16,
        make_uint4(bits_of(z.x + bias.x), bits_of(z.y + bias.y), bits_of(z.z + bias.z), bits_of(z.w + bias.w)));
    }
  }
}

// X_0: projections of layer 0 from x, eight steps at a time: a warp owns a tile of 16 gate rows and all of K.
DEVICE void project_features(const WaveArguments& a, u32 sequence) {
  const u32 lane = lane_of(), warp = warp_of(), g = lane >> 2, q = lane & 3;
  const u32 slice = cluster_rank(), shared = shared_base(), start = a.ring_start ? *a.ring_start : 0;
  if (threadIdx.x == 0) {
    barrier_expect(shared + BARRIERS_AT + 128, 128 * INPUTS * 2);
    bulk_load(shared + W_AT, weights_of(a, 0, false) + slice * (16 * INPUTS), 128 * INPUTS * 2,
      shared + BARRIERS_AT + 128);
  }
  Eight features[ATOMS];
  UNROLL for (int i = 0; i < ATOMS; i++)
    features[i] = load_features(a, sequence, start, 0, threadIdx.x + i * THREADS);
  const float4 bias = a.bias[slice * 32 + (warp >> 1) * 8 + g];
  u8* to = projection_of(a, sequence, 0) + (u64)(slice * 32 + lane) * 16;
  for (u32 chunk = 0; chunk * 8 < (u32)a.T; chunk++) {
    const u32 x_at = shared + X_AT + (chunk & 1) * X_BYTES, p_at = shared + P_AT + (chunk & 1) * 4096;
    UNROLL for (int i = 0; i < ATOMS; i++) {
      const u32 atom = threadIdx.x + i * THREADS;
      if (atom < INPUTS) store_shared4(x_at + atom_at(atom >> 3, atom & 7), atom_of(features[i]));
      features[i] = load_features(a, sequence, start, chunk + 1, atom);
    }
    if (chunk == 0) barrier_wait(shared + BARRIERS_AT + 128, 0);
    __syncthreads();
    float even[4], odd[4];
    UNROLL for (int j = 0; j < 4; j++) {
      even[j] = warp & 1 ? (j < 2 ? bias.z : bias.w) : (j < 2 ? bias.x : bias.y);
      odd[j] = 0.f;
    }
    UNROLL for (int pair = 0; pair < X_PAIRS; pair++) {
      const u32 from = shared + W_AT + ((warp * X_PAIRS * 2 + pair * 2) * 32 + lane) * 16;
      const uint4 w = load_shared4(from), next = load_shared4(from + 512);
      const uint4 v = load_shared4(x_at + atom_at(pair * 4 + q, g));
      const u32 row[4] = { w.x, w.y, w.z, w.w }, next_row[4] = { next.x, next.y, next.z, next.w };
      mma16(even, row, v.x, v.y);
      mma16(odd, next_row, v.z, v.w);
    }
    // Step (2q or 2q + 1), unit, two of its gates: those of two warps meet in shared memory.
    UNROLL for (int e = 0; e < 2; e++)
      store_shared2(p_at + (2 * q + e) * 512 + ((warp >> 1) * 8 + g) * 16 + (warp & 1) * 8,
        bits_of(even[e] + odd[e]), bits_of(even[2 + e] + odd[2 + e]));
    __syncthreads();
    const u32 t = chunk * 8 + warp;
    if (t < (u32)a.T) store_relaxed4(to + (u64)t * HIDDEN * 16, load_shared4(p_at + warp * 512 + lane * 16));
  }
}

// R_l: the recurrence of layer l.
DEVICE void recur(const WaveArguments& a, u32 sequence, u32 layer, u32 epoch) {
  const u32 lane = lane_of(), warp = warp_of(), g = lane >> 2, q = lane & 3;
  const u32 slice = cluster_rank(), shared = shared_base();
  const u32 slots = shared + SLOTS_AT, unit = slice * 32 + lane;
  const bool is_last = layer == (u32)a.L - 1;
  u32 weights[TILES * PAIRS * 2][4];
  load_hidden_weights(weights, weights_of(a, layer, true) + (slice * 8 + warp) * (TILES * PAIRS * 2 * 32) + lane);

  float c = 0.f, h = 0.f;
  const bool is_unit = unit < (u32)a.H;
  if (a.c0 && is_unit) c = a.c0[((u64)layer * a.B + sequence) * a.H + unit];
  const bool has_head = is_last && a.head && slice < (u32)a.head_columns;
  if (has_head) for (u32 i = threadIdx.x; i < HIDDEN; i += THREADS)
    store_shared(shared + HEAD_AT + i * 4, bits_of(a.head_weights[slice * HIDDEN + i]));

  u8* own_sequence = is_last ? nullptr : sequence_of(a, epoch, sequence, layer) + slice * 64;
  u8* next_sequence = is_last ? nullptr : sequence_of(a, epoch ^ 1, sequence, layer) + slice * 64;
  u8* projection = projection_of(a, sequence, layer) + (u64)unit * 16;
  uint4 below = not_yet();
  if (warp == 0) below = load_relaxed4(projection);
  // Lane (d, q) sends atom q of this block to blocks d and d + 8.
  u32 remote[2];
  u32 remote_barrier[2];
  UNROLL for (int i = 0; i < 2; i++) {
    remote[i] = map_shared(slots + slice * 64 + q * 16, (g + 8 * i) % SLICES);
    remote_barrier[i] = map_shared(shared + BARRIERS_AT + slice / PAIRS * 16, (g + 8 * i) % SLICES);
  }
  const u32 own_barrier = shared + BARRIERS_AT + warp * 16;
  const u32 own_atom = slots + (warp * PAIRS * 4 + q) * 16;

  cluster_wait();     // all slots are ready to be written

  for (i32 t = 0; t < a.T; t++) {
    const u32 slot = ((t + 1) & 1) * SLOT_BYTES;
    const u32 buffer = shared + PARTIAL_AT + (t & 1) * (8 * 512);
    const bool has_past = t > 0 || a.h0;
    if (has_past) {
      uint4 v[PAIRS];
      if (t > 0) {
        const u32 barrier = own_barrier + ((t + 1) & 1) * 8;
        barrier_wait(barrier, ((t - 1) >> 1) & 1);
        if (lane == 0 && t + 1 < a.T) barrier_expect(barrier, PAIRS * 64);
        UNROLL for (int p = 0; p < PAIRS; p++) v[p] = load_shared4(own_atom + slot + p * 64);
      } else {
        UNROLL for (int p = 0; p < PAIRS; p++) {
          const float* row = a.h0 + ((u64)layer * a.B + sequence) * a.H;
          v[p] = atom_of(load_eight(row, (warp * PAIRS + p) * 32 + q * 8, a.H, true));
        }
      }
      float sum[TILES][4];
      multiply(sum, weights, v);
      store_partial(buffer + warp * 512, sum, lane);
    }
    if (warp) block_barrier_arrive(1 + (t & 1), THREADS);
    else {
      block_barrier_sync(1 + (t & 1), THREADS);
      float4 z = has_past ? sum_partials(buffer, lane) : make_float4(0.f, 0.f, 0.f, 0.f);
      for (u32 n = 0; !has_come(below); n++) {
        if (n > SPIN_MAX) trap();
        below = load_relaxed4(projection + (u64)t * HIDDEN * 16);
      }
      h = cell_step(z.x + float_of(below.x), z.y + float_of(below.y), z.z + float_of(below.z),
        z.w + float_of(below.w), c);
      const u32 stage = shared + STAGE_AT + (t & 1) * 64;
      store_shared_half(stage + lane * 2, (u16)pack16(h, h));
      __syncwarp();
      const uint4 atom = load_shared4(stage + q * 16);
      const u32 to = (t & 1) * SLOT_BYTES, barrier = (t & 1) * 8;
      // Nothing may be on its way to a block that ends: the last step's h is sent only where it is waited for.
      if (t + 1 < a.T || is_last) {
        send4(remote[0] + to, atom, remote_barrier[0] + barrier);
        if (SLICES > 8) send4(remote[1] + to, atom, remote_barrier[1] + barrier);
      }
      store_relaxed4(projection + (u64)t * HIDDEN * 16, not_yet());
      if (t + 1 < a.T) below = load_relaxed4(projection + (u64)(t + 1) * HIDDEN * 16);
      if (!is_last && lane < 8) store_relaxed4((lane < 4 ? own_sequence : next_sequence) + (u64)t * SLOT_BYTES + q * 16,
        lane < 4 ? atom : not_yet());
      if (a.all && is_last && is_unit) a.all[((u64)t * a.B + sequence) * a.H + unit] = (u16)pack16(h, h);
    }
  }

  if (warp == 0 && is_unit) {
    if (a.last && is_last) a.last[(u64)sequence * a.H + unit] = h;
    if (a.hn) a.hn[((u64)layer * a.B + sequence) * a.H + unit] = h;
    if (a.cn) a.cn[((u64)layer * a.B + sequence) * a.H + unit] = c;
  }
  if (!is_last) return;
  // h(T-1) is in the slots: block s computes columns s, s + SLICES, ... of the head, the first sets the next epoch.
  uint4 v[PAIRS];
  barrier_wait(own_barrier + ((a.T - 1) & 1) * 8, ((a.T - 1) >> 1) & 1);
  UNROLL for (int p = 0; p < PAIRS; p++) v[p] = load_shared4(own_atom + ((a.T - 1) & 1) * SLOT_BYTES + p * 64);
  for (u32 out = slice; has_head && out < (u32)a.head_columns; out += SLICES) {
    float dot = 0.f;
    UNROLL for (int p = 0; p < PAIRS; p++) {
      const u32 words[4] = { v[p].x, v[p].y, v[p].z, v[p].w };
      UNROLL for (int i = 0; i < 8; i++) {
        const u32 k = (warp * PAIRS + p) * 32 + q * 8 + i;
        const float w = out == slice ? float_of(load_shared(shared + HEAD_AT + k * 4))
          : a.head_weights[out * HIDDEN + k];
        dot = fmaf(unpack16(words[i >> 1] >> (i & 1) * 16), w, dot);
      }
    }
    dot += shuffle_xor(dot, 1);
    dot += shuffle_xor(dot, 2);
    __syncthreads();
    if (lane == 0) store_shared(shared + DOT_AT + warp * 4, bits_of(dot));
    __syncthreads();
    if (threadIdx.x == 0) {
      float z = a.head_bias[out];
      UNROLL for (int w = 0; w < 8; w++) z += float_of(load_shared(shared + DOT_AT + w * 4));
      a.head[(u64)sequence * a.head_columns + out] = a.is_tanh ? tanh_fast(z) : z;
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    if (slice == 0) a.epoch[sequence] = epoch ^ 1;
    if (a.last || a.all || has_head) tell_host(a.done, a.arrivals, a.ends);
  }
}

// Grid: sequences x 2 L clusters of SLICES blocks.
KERNEL(THREADS, lstm_wave, WaveArguments) {
  const u32 roles = 2 * a.L, cluster = blockIdx.x / SLICES, sequence = cluster / roles, role = cluster % roles;
  if (threadIdx.x < 17) {
    const u32 barrier = shared_base() + BARRIERS_AT + threadIdx.x * 8;
    barrier_init(barrier, 1);
    barrier_init_fence();
    if (threadIdx.x < 16) barrier_expect(barrier, PAIRS * 64);
  }
  __syncthreads();
  cluster_arrive();
  const u32 epoch = load_relaxed(a.epoch + sequence) & 1;
  if (role & 1) recur(a, sequence, role / 2, epoch);
  else {
    if (role == 0) project_features(a, sequence);
    else project_layer(a, sequence, role / 2, epoch);
    cluster_wait();
  }
  cluster_sync();     // nobody leaves while others may write into its shared memory
}
