// A stack of LSTM layers for few sequences: a cluster of SLICES blocks is a layer of a group of COLUMNS sequences,
// layers are a wavefront of clusters.
//
//   cluster 0    X_0: products of x with the input weights of layer 0, eight columns at a time --L2--> each R_0
//   a cluster    R_l: h_l(t-1) --> h_l(t) --L2--> X_(l+1)
//   a cluster    X_l: products of h_(l-1)(t) with the input weights of layer l --L2--> R_l
//
// A block owns 32 hidden units (128 gate rows, in registers). Four pairs of warps share K, warps of a pair share the
// rows; partial sums meet in shared memory, and COLUMNS warps own a cell per lane. The 64 bytes of h of such a warp go
// straight into the shared memory of all blocks of its cluster, counted by the mbarrier of the pair that needs them
// there. Two slots suffice: who writes h(t + 2) has all of h(t + 1), so every reader is done with h(t).
//
// Why so: a fragment of h costs shared memory the same however few of its bytes differ, so K is split, not rows; a sum
// of four partial sums is shorter than one of eight by more than its fragments cost. X_0 within the cluster of R_0
// made every step longer. X clusters touch nobody's shared memory: they start and end without the cluster's barrier.
// An H200 has room for seven clusters of 16: two groups of 4 in 2 layers and their X_0. Eight columns in one group
// took longer than two groups of 4 (70 us to 56 at H = 512), and X_0 does not keep up with more than eight in all.
#include "ptx.cuh"
#include "lstm.cuh"

#ifndef HIDDEN
#define HIDDEN 512    // units: 256 or 512
#define INPUTS 224    // features, padded to a multiple of 32
#define COLUMNS 1     // sequences of a group: 1 or 4
#define ALL 1         // columns of all groups, rounded up to a power of two: 1 to 8
#endif

#define SLICES (HIDDEN / 32)
#define THREADS 256
#define SHARES 4                         // pairs of warps, each with a share of K
#define SOURCES (SLICES / SHARES)        // blocks whose h is a share
#define TILES 4                          // of 16 rows, of a warp; tiles 2o, 2o + 1 are gates i, f and o, g of 8 units
#define PAIRS (HIDDEN / 32 / SHARES)     // k-step pairs of a warp
#define X_PAIRS (INPUTS / 32)
#define ATOMS ((INPUTS + THREADS - 1) / THREADS)    // of x, per thread and chunk of eight columns
#define AHEAD (ALL > 1 ? 2 : 1)          // chunks of x on their way
#define CELL_WARPS COLUMNS               // a lane of theirs owns a cell
#define TURNS (8 / CELL_WARPS)           // of warps of X_l, which need not be the same in every step
#define PARTIAL_BYTES (COLUMNS * 512)    // of a share
// Shared memory: partial sums, two slots of h, barriers, staging, the head's weights, two chunks of x.
#define STRIDE (COLUMNS * 64)             // of a k-step pair of h
#define PARTIAL_AT 0
#define SLOT_BYTES (HIDDEN * 2 * COLUMNS)
#define SLOTS_AT (2 * SHARES * PARTIAL_BYTES)
#define BARRIERS_AT (SLOTS_AT + 2 * SLOT_BYTES)      // [share][slot]
#define STAGE_AT (BARRIERS_AT + 128)
#define DOT_AT (STAGE_AT + COLUMNS * 128)
#define HEAD_AT (DOT_AT + 128)
#define X_AT (HEAD_AT + HIDDEN * 4)
#define X_BYTES (INPUTS * 16)
#define WAVE_SHARED (X_AT + 2 * X_BYTES)

struct WaveArguments {
  const uint4* weights;      // [layer]: input, then hidden weights; [slice][share][8 tiles][k-step][lane], where the
                             // input weights of layer 0 have one share, all of K
  const float4* bias;        // [layer][HIDDEN] gates i, f, o, g
  const float* x;            // (B, T, F)
  const u32* ring_start;     // row of step 0, or null
  u8* sequences;             // [2 epochs][group][layer below the last][T][HIDDEN / 8][COLUMNS] atoms (lstm.cuh)
  u8* projections;           // [group][layer][T][HIDDEN x COLUMNS cells] float4, all ones between launches
  u32* epoch;                // one word per group
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
  u32* arrivals;             // two words: blocks that have ended, runs
  i32 B, T, F, H, L;
  i32 head_columns, is_tanh;
  i32 ends;                  // blocks that write results
};

// Features of one of the eight columns of a chunk: sequence `column % ALL` in step `column / ALL`.
DEVICE Eight load_features(const WaveArguments& a, u32 start, u32 chunk, u32 atom) {
  const u32 column = chunk * 8 + (atom & 7), t = column / ALL, b = column % ALL;
  const u32 row = start + t >= (u32)a.T ? start + t - a.T : start + t;
  return load_eight(a.x + ((u64)b * a.T + row) * a.F, (atom >> 3) * 8, a.F, t < (u32)a.T && b < (u32)a.B);
}

#define PROJECTION_BYTES (HIDDEN * COLUMNS * 16)     // of a step
DEVICE u32 groups_of(const WaveArguments& a) { return (a.B + COLUMNS - 1) / COLUMNS; }
DEVICE u8* sequence_of(const WaveArguments& a, u32 epoch, u32 group, u32 layer) {
  return a.sequences + (((u64)epoch * groups_of(a) + group) * (a.L - 1) + layer) * a.T * SLOT_BYTES; }
DEVICE u8* projection_of(const WaveArguments& a, u32 group, u32 layer) {
  return a.projections + ((u64)group * a.L + layer) * a.T * PROJECTION_BYTES; }

// Where things lie, so that the lanes of a quarter warp meet in no bank: an atom of h among those of its octet;
DEVICE u32 place_of(u32 octet, u32 column) { return COLUMNS == 1 ? 0 : column ^ (octet & 2); }
// a cell among those of its block, warp * 32 + lane of its owner;
DEVICE u32 cell_of(u32 unit, u32 column) {
  return COLUMNS == 1 ? unit : (unit >> 3) * 32 + (unit & 7) * 4 + (column ^ (unit >> 3 & 1)); }
// and what a lane of a warp owns.
DEVICE u32 unit_of(u32 warp, u32 lane) { return COLUMNS == 1 ? lane : warp * 8 + (lane >> 2); }
DEVICE u32 column_of(u32 warp, u32 lane) { return COLUMNS == 1 ? 0 : (lane & 3) ^ (warp & 1); }

DEVICE const uint4* weights_of(const WaveArguments& a, u32 layer, bool is_hidden) {
  const u64 per_hidden = (u64)HIDDEN * HIDDEN / 2, per_input = (u64)HIDDEN * INPUTS / 2;
  const u64 before = layer ? per_input + per_hidden + (layer - 1) * 2 * per_hidden : 0;
  return a.weights + before + (is_hidden ? (layer ? per_hidden : per_input) : 0);
}

// This warp's tiles and share of a layer's weights.
DEVICE void load_weights(u32 (&to)[TILES * PAIRS * 2][4], const uint4* layer) {
  const uint4* from = layer + (cluster_rank() * 2 * SHARES + warp_of()) * (TILES * PAIRS * 2 * 32) + lane_of();
  UNROLL for (int i = 0; i < TILES * PAIRS * 2; i++) {
    const uint4 w = load_global4(from + i * 32);
    to[i][0] = w.x; to[i][1] = w.y; to[i][2] = w.z; to[i][3] = w.w;
  }
}
// sum += weights times h.
DEVICE void multiply(float (&sum)[TILES][4], const u32 (&weights)[TILES * PAIRS * 2][4], const uint4 (&v)[PAIRS]) {
  UNROLL for (int p = 0; p < PAIRS; p++) {
    UNROLL for (int m = 0; m < TILES; m++) mma16(sum[m], weights[m * 2 * PAIRS + 2 * p], v[p].x, v[p].y);
    UNROLL for (int m = 0; m < TILES; m++) mma16(sum[m], weights[m * 2 * PAIRS + 2 * p + 1], v[p].z, v[p].w);
  }
}
// Of one column all eight of the tensor core are equal: lane (g, q) keeps two gates, i and f or o and g by q >> 1, of
// unit 16 half + 8 (q & 1) + g. Of four, columns 4 to 7 repeat 0 to 3: it keeps two columns, 2 (q & 1) and the next,
// of unit 16 half + 8 (q >> 1) + g.
DEVICE void store_partial(u32 buffer, const float (&sum)[TILES][4], u32 warp, u32 lane) {
  const u32 g = lane >> 2, q = lane & 3, half = warp & 1, to = buffer + (warp >> 1) * PARTIAL_BYTES;
  if (COLUMNS == 1) {
    float v[2];
    UNROLL for (int j = 0; j < 2; j++) v[j] = select(q & 1, select(q & 2, sum[3][2 * j], sum[2][2 * j]),
      select(q & 2, sum[1][2 * j], sum[0][2 * j]));
    const u32 unit = 16 * half + 8 * (q & 1) + g;
    store_shared2(to + unit * 16 + (q >> 1) * 8, bits_of(v[0]), bits_of(v[1]));
    return;
  }
  const u32 unit = 16 * half + 8 * (q >> 1) + g;
  UNROLL for (int e = 0; e < 2; e++) store_shared4(to + cell_of(unit, 2 * (q & 1) + e) * 16,
    make_uint4(bits_of(select(q & 2, sum[2][e], sum[0][e])), bits_of(select(q & 2, sum[2][2 + e], sum[0][2 + e])),
      bits_of(select(q & 2, sum[3][e], sum[1][e])), bits_of(select(q & 2, sum[3][2 + e], sum[1][2 + e]))));
}
DEVICE float sum_four(u32 a, u32 b, u32 c, u32 d) { return (float_of(a) + float_of(b)) + (float_of(c) + float_of(d)); }
// The four gates of a cell.
DEVICE float4 sum_partials(u32 buffer, u32 cell) {
  uint4 z[SHARES];
  UNROLL for (int s = 0; s < SHARES; s++) z[s] = load_shared4(buffer + s * PARTIAL_BYTES + cell * 16);
  return make_float4(sum_four(z[0].x, z[1].x, z[2].x, z[3].x), sum_four(z[0].y, z[1].y, z[2].y, z[3].y),
    sum_four(z[0].z, z[1].z, z[2].z, z[3].z), sum_four(z[0].w, z[1].w, z[2].w, z[3].w));
}

// X_0: the tensor core's eight columns are steps, or sequences, of all groups; a warp owns 16 rows.
DEVICE void project_features(const WaveArguments& a) {
  const u32 lane = lane_of(), warp = warp_of(), g = lane >> 2, q = lane & 3, slice = cluster_rank();
  u32 weights[X_PAIRS * 2][4];
  auto load_input_weights = [&]() {
    UNROLL for (int i = 0; i < X_PAIRS * 2; i++) {
      const uint4 w = load_global4(weights_of(a, 0, false) + ((slice * 8 + warp) * X_PAIRS * 2 + i) * 32 + lane);
      weights[i][0] = w.x; weights[i][1] = w.y; weights[i][2] = w.z; weights[i][3] = w.w;
    }
  };
  // A ring's newest rows are still on their way: weights first.
  if (a.ring_start) load_input_weights();
  wait_for_prior_kernel();     // which may bring x; the other clusters load their weights meanwhile
  const u32 chunks_at = shared_base() + X_AT, start = a.ring_start ? *a.ring_start : 0;
  Eight features[AHEAD][ATOMS];
  UNROLL for (int k = 0; k < AHEAD; k++) UNROLL for (int i = 0; i < ATOMS; i++)
    features[k][i] = load_features(a, start, k, threadIdx.x + i * THREADS);
  if (!a.ring_start) load_input_weights();
  const u32 unit = (warp >> 1) * 8 + g;
  const float4 bias = a.bias[slice * 32 + unit];
  const float low = warp & 1 ? bias.z : bias.x, high = warp & 1 ? bias.w : bias.y;
  for (u32 first = 0; first * 8 < a.T * ALL; first += AHEAD) UNROLL for (int k = 0; k < AHEAD; k++) {
    const u32 chunk = first + k, here = chunks_at + (chunk & 1) * X_BYTES;
    UNROLL for (int i = 0; i < ATOMS; i++) {
      const u32 atom = threadIdx.x + i * THREADS;
      if (atom < INPUTS) store_shared4(here + atom_at(atom >> 3, atom & 7), atom_of(features[k][i]));
    }
    __syncthreads();
    float even[4] = { low, low, high, high }, odd[4] = { 0.f, 0.f, 0.f, 0.f };
    UNROLL for (int p = 0; p < X_PAIRS; p++) {
      const uint4 v = load_shared4(here + atom_at(p * 4 + q, g));
      mma16(even, weights[2 * p], v.x, v.y);
      mma16(odd, weights[2 * p + 1], v.z, v.w);
    }
    UNROLL for (int e = 0; e < 2; e++) {
      const u32 column = chunk * 8 + 2 * q + e, t = column / ALL, b = column % ALL, group = b / COLUMNS;
      u8* to = projection_of(a, group, 0) + (u64)t * PROJECTION_BYTES
        + (slice * 32 * COLUMNS + cell_of(unit, b % COLUMNS)) * 16 + (warp & 1) * 8;
      if (t < (u32)a.T && group < groups_of(a))
        store_relaxed2(to, bits_of(even[e] + odd[e]), bits_of(even[2 + e] + odd[2 + e]));
    }
    UNROLL for (int i = 0; i < ATOMS; i++)
      features[k][i] = load_features(a, start, chunk + AHEAD, threadIdx.x + i * THREADS);
  }
}

// X_l: projections of layer l from the hidden states of the layer below.
DEVICE void project_layer(const WaveArguments& a, u32 group, u32 layer, u32 epoch) {
  const u32 lane = lane_of(), warp = warp_of(), slice = cluster_rank(), shared = shared_base(), q = lane & 3;
  const u32 owner = warp % CELL_WARPS, cell = owner * 32 + lane;
  u32 weights[TILES * PAIRS * 2][4];
  load_weights(weights, weights_of(a, layer, false));
  const float4 bias = a.bias[layer * HIDDEN + slice * 32 + unit_of(owner, lane)];
  const u8* from = sequence_of(a, epoch, group, layer - 1)
    + (((warp >> 1) * PAIRS * 4 + q) * COLUMNS + place_of(q, (lane >> 2) % COLUMNS)) * 16;
  u8* to = projection_of(a, group, layer) + (slice * 32 * COLUMNS + cell) * 16;
  uint4 v[PAIRS];
  UNROLL for (int p = 0; p < PAIRS; p++) v[p] = load_relaxed4(from + p * STRIDE);
  for (i32 t = 0; t < a.T; t++) {
    for (u32 n = 0;; n++) {
      bool all = true;
      UNROLL for (int p = 0; p < PAIRS; p++) all = all && has_come(v[p]);
      if (__all_sync(0xffffffffu, all)) break;
      if (n > SPIN_MAX) trap();
      UNROLL for (int p = 0; p < PAIRS; p++) v[p] = load_relaxed4(from + (u64)t * SLOT_BYTES + p * STRIDE);
    }
    float sum[TILES][4] = {};
    multiply(sum, weights, v);
    if (t + 1 < a.T)
      UNROLL for (int p = 0; p < PAIRS; p++) v[p] = load_relaxed4(from + (u64)(t + 1) * SLOT_BYTES + p * STRIDE);
    const u32 buffer = shared + PARTIAL_AT + (t & 1) * (SHARES * PARTIAL_BYTES);
    store_partial(buffer, sum, warp, lane);
    __syncthreads();
    if (warp / CELL_WARPS == (u32)t % TURNS) {
      const float4 z = sum_partials(buffer, cell);
      store_relaxed4(to + (u64)t * PROJECTION_BYTES,
        make_uint4(bits_of(z.x + bias.x), bits_of(z.y + bias.y), bits_of(z.z + bias.z), bits_of(z.w + bias.w)));
    }
  }
}

// The head's column `out` of h(T-1), which lies in the slots: the two warps of a pair take every other k-step pair.
DEVICE void store_head(const WaveArguments& a, u32 group, u32 out, u32 final_slot, bool is_staged) {
  const u32 shared = shared_base(), lane = lane_of(), warp = warp_of();
  float dot = 0.f;
  UNROLL for (int p = 0; p < PAIRS; p += 2) {
    const u32 pair = p + (warp & 1), first = ((warp >> 1) * PAIRS + pair) * 32 + (lane & 3) * 8;
    const uint4 v = load_shared4(final_slot + pair * STRIDE);
    const u32 words[4] = { v.x, v.y, v.z, v.w };
    UNROLL for (int i = 0; i < 8; i++) {
      const float w = is_staged ? float_of(load_shared(shared + HEAD_AT + (first + i) * 4))
        : a.head_weights[out * HIDDEN + first + i];
      dot = fmaf(unpack16(words[i >> 1] >> (i & 1) * 16), w, dot);
    }
  }
  dot += shuffle_xor(dot, 1);
  dot += shuffle_xor(dot, 2);
  __syncthreads();
  if (lane < 4 * COLUMNS && (lane & 3) == 0)
    store_shared(shared + DOT_AT + (warp * COLUMNS + (lane >> 2)) * 4, bits_of(dot));
  __syncthreads();
  const u32 b = group * COLUMNS + threadIdx.x;
  if (threadIdx.x < COLUMNS && b < (u32)a.B) {
    float z = a.head_bias[out];
    UNROLL for (int w = 0; w < 8; w++)
      z += float_of(load_shared(shared + DOT_AT + (w * COLUMNS + threadIdx.x) * 4));
    a.head[(u64)b * a.head_columns + out] = a.is_tanh ? tanh_fast(z) : z;
  }
}

// R_l: the recurrence of layer l.
DEVICE void recur(const WaveArguments& a, u32 group, u32 layer, u32 epoch) {
  // Held, or the compiler would read the thread's number anew in every step, on the chain.
  const u32 lane = held(lane_of()), warp = same_in_warp(warp_of()), share = warp >> 1, q = lane & 3;
  const u32 slice = cluster_rank();
  const u32 shared = shared_base(), slots = shared + SLOTS_AT;
  const u32 cell = warp * 32 + lane, unit = slice * 32 + unit_of(warp, lane);
  const u32 own_column = column_of(warp, lane), b = group * COLUMNS + own_column, column = (lane >> 2) % COLUMNS;
  const bool is_last = layer == (u32)a.L - 1, is_unit = warp < CELL_WARPS && unit < (u32)a.H && b < (u32)a.B;
  u8* projection = projection_of(a, group, layer) + (slice * 32 * COLUMNS + cell) * 16;
  uint4 below = not_yet();
  if (warp < CELL_WARPS) below = load_relaxed4(projection);
  u32 weights[TILES * PAIRS * 2][4];
  load_weights(weights, weights_of(a, layer, true));
  float c = 0.f, h = 0.f;
  if (a.c0 && is_unit) c = a.c0[((u64)layer * a.B + b) * a.H + unit];
  const bool has_head = is_last && a.head && slice < (u32)a.head_columns;
  if (has_head) for (u32 i = threadIdx.x; i < HIDDEN; i += THREADS)
    store_shared(shared + HEAD_AT + i * 4, bits_of(a.head_weights[slice * HIDDEN + i]));

  // A warp of cells stages its four atoms of h as they lie in a slot: a lane gives one half, lane (d, q) gets atom q.
  const u32 atoms = (slice * 4 * COLUMNS + warp * 4) * 16, staged = shared + STAGE_AT + warp * 64;
  const u32 own_half = staged + (COLUMNS == 1 ? lane * 2 : place_of(warp, own_column) * 16 + (lane >> 2) * 2);
  u8* own_sequence = is_last ? nullptr : sequence_of(a, epoch, group, layer) + atoms;
  u8* next_sequence = is_last ? nullptr : sequence_of(a, epoch ^ 1, group, layer) + atoms;
  // Lane (d, q) sends atom q of its warp to blocks d and d + 8.
  u32 remote[2], remote_barrier[2];
  UNROLL for (int i = 0; i < 2; i++) {
    const u32 to = ((lane >> 2) + 8 * i) % SLICES;
    remote[i] = map_shared(slots + atoms + q * 16, to);
    remote_barrier[i] = map_shared(shared + BARRIERS_AT + slice / SOURCES * 16, to);
  }
  const u32 own_barrier = shared + BARRIERS_AT + share * 16;
  const u32 own_atom = slots + ((share * PAIRS * 4 + q) * COLUMNS + place_of(q, column)) * 16;
  cluster_wait();     // all slots are ready to be written

  for (i32 t = 0; t < a.T; t++) {
    const u32 buffer = shared + PARTIAL_AT + (t & 1) * (SHARES * PARTIAL_BYTES), past = (t + 1) & 1;
    float sum[TILES][4] = {};
    MEET_AGAIN(THREADS);
    if (t > 0) {
      const u32 barrier = own_barrier + past * 8;
      uint4 v[PAIRS];
      barrier_wait(barrier, ((t - 1) >> 1) & 1);
      if (!(warp & 1) && lane == 0 && t + 1 < a.T) barrier_expect(barrier, SOURCES * 64 * COLUMNS);
      UNROLL for (int p = 0; p < PAIRS; p++) v[p] = load_shared4(own_atom + past * SLOT_BYTES + p * STRIDE);
      multiply(sum, weights, v);
    } else if (a.h0) {
      const u32 from = group * COLUMNS + column;
      const float* row = a.h0 + ((u64)layer * a.B + from) * a.H;
      uint4 v[PAIRS];
      UNROLL for (int p = 0; p < PAIRS; p++)
        v[p] = atom_of(load_eight(row, (share * PAIRS + p) * 32 + q * 8, a.H, from < (u32)a.B));
      multiply(sum, weights, v);
    }
    store_partial(buffer, sum, warp, lane);
    // Two barriers in turn. With one, a warp could arrive for t + 1 (it has h(t) of other blocks) before a slow
    // one has for t. For t + 2 it cannot: nobody has h(t + 1) before this block has sent h(t).
    if (warp >= CELL_WARPS) {
      if (past) block_barrier_arrive<1>(THREADS); else block_barrier_arrive<2>(THREADS);
      continue;
    }
    if (past) block_barrier_sync<1>(THREADS); else block_barrier_sync<2>(THREADS);
    const float4 z = sum_partials(buffer, cell);
    for (u32 n = 0; !has_come(below); n++) {
      if (n > SPIN_MAX) trap();
      below = load_relaxed4(projection + (u64)t * PROJECTION_BYTES);
    }
    h = cell_step_fast(z.x + float_of(below.x), z.y + float_of(below.y), z.z + float_of(below.z),
      z.w + float_of(below.w), c);
    const u32 stage = (t & 1) * (CELL_WARPS * 64);
    store_shared_half(own_half + stage, (u16)pack16(h, h));
    __syncwarp();
    const uint4 atom = load_shared4(staged + stage + q * 16);
    const u32 to = (t & 1) * SLOT_BYTES, barrier = (t & 1) * 8;
    // Nothing may be on its way to a block that ends: the last step's h is sent only where it is waited for.
    if (t + 1 < a.T || is_last) {
      send4(remote[0] + to, atom, remote_barrier[0] + barrier);
      if (SLICES > 8) send4(remote[1] + to, atom, remote_barrier[1] + barrier);
    }
    __syncwarp();     // or the assembler would put the stores below before the sends
    if (t + 1 < a.T) below = load_relaxed4(projection + (u64)(t + 1) * PROJECTION_BYTES);
    if (!is_last && lane < 4) {
      store_relaxed4(own_sequence + (u64)t * SLOT_BYTES + q * 16, atom);
      store_relaxed4(next_sequence + (u64)t * SLOT_BYTES + q * 16, not_yet());
    }
    store_relaxed4(projection + (u64)t * PROJECTION_BYTES, not_yet());     // for the next launch
    if (a.all && is_last && is_unit) a.all[((u64)t * a.B + b) * a.H + unit] = (u16)pack16(h, h);
  }

  if (is_unit) {
    if (a.last && is_last) a.last[(u64)b * a.H + unit] = h;
    if (a.hn) a.hn[((u64)layer * a.B + b) * a.H + unit] = h;
    if (a.cn) a.cn[((u64)layer * a.B + b) * a.H + unit] = c;
  }
  if (!is_last) return;
  // Block s computes column s of the head (and s + SLICES, ...), the first tells the next epoch.
  const u32 end = (a.T - 1) & 1;
  barrier_wait(own_barrier + end * 8, ((a.T - 1) >> 1) & 1);
  for (u32 out = slice; has_head && out < (u32)a.head_columns; out += SLICES)
    store_head(a, group, out, own_atom + end * SLOT_BYTES, out == slice);
  __syncthreads();
  if (threadIdx.x == 0) {
    if (slice == 0) a.epoch[group] = epoch ^ 1;
    if (a.last || a.all || has_head) tell_host(a.done, a.arrivals, a.ends);
  }
}

// Grid: a cluster of SLICES blocks for X_0, then R_0, X_1, R_1 ... of each group.
KERNEL(THREADS, lstm_wave, WaveArguments) {
  if (blockIdx.x < SLICES) return project_features(a);
  const u32 roles = 2 * a.L - 1, cluster = blockIdx.x / SLICES - 1;
  const u32 group = cluster / roles, role = cluster % roles + 1;
  const u32 epoch = load_relaxed(a.epoch + group) & 1;
  if (!(role & 1)) return project_layer(a, group, role >> 1, epoch);
  if (threadIdx.x < 2 * SHARES) {
    const u32 barrier = shared_base() + BARRIERS_AT + threadIdx.x * 8;
    barrier_init(barrier, 1);
    barrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x < 2 * SHARES)
    barrier_expect(shared_base() + BARRIERS_AT + threadIdx.x * 8, SOURCES * 64 * COLUMNS);
  cluster_arrive();
  recur(a, group, role >> 1, epoch);
}
