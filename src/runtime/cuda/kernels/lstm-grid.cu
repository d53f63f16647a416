// A stack of LSTM layers for small batches: every layer at once, its weights on the chip for the whole run.
//
//   block (group, layer, slice): UNITS hidden units (4 gates each) of one layer, for COLUMNS sequences.
//
//        x(t) ----> layer 0 slices ==h0(t)==> all slices of layer 0 (step t+1) and of layer 1 (step t)
//                   layer 1 slices ==h1(t)==> ...                                    wavefront of T + L - 1 steps
//
// Blocks exchange hidden states through L2 (lstm.cuh); the launch is cooperative, so that all of them run at once.
// A warp multiplies all rows of its block by one eighth of K: what it polls is its own B fragments, which go from L2
// to registers and into the tensor core. The product with the layer below (or x) runs while h(t-1) is on its way, and
// h(t-1) adds to the same accumulators. Partial sums of the warps meet in shared memory; a lane then owns one cell.
//
// Weights of h are A fragments in registers; those of the input too where both fit (HOLDS_INPUT), else in shared
// memory. The rows of two tiles of 16 are 8 units: tile 2o has gates i (rows 0-7) and f (8-15), tile 2o+1 o and g.
//
// `sequences` holds two epochs, each: x as 16-bit atoms (every block converts a share first), then one sequence of
// hidden states per layer. A launch reads and writes epoch e and fills epoch 1-e with ones for the launch after it.
#include "ptx.cuh"
#include "lstm.cuh"

#ifndef HIDDEN
#define HIDDEN 512    // units, a multiple of 32 WARPS
#define INPUTS 256    // features, padded to a multiple of 32 WARPS
#define TILES 2       // of 16 rows; even
#define COLUMNS 8     // sequences of a group: 1, 2, 4, 8 or 16
#define WARPS 8
#endif
#ifndef DELAY
#define DELAY 0
#endif
#ifndef COPIES
#define COPIES 1
#endif
#ifndef PROFILE
#define PROFILE 0
#endif

#define UNITS (TILES * 4)
#define OCTETS (TILES / 2)
#define SLICES (HIDDEN / UNITS)
#define HALVES (COLUMNS > 4 ? COLUMNS / 4 : 1)
#define FOLDS (COLUMNS > 8 ? 2 : 1)                 // of eight columns, those of the tensor core
#define TASKS (OCTETS * HALVES)                     // a warp's worth of cells: 8 units x 4 columns
#define ROUNDS ((TASKS + WARPS - 1) / WARPS)
#define REDUCERS (TASKS < WARPS ? TASKS : WARPS)
#define THREADS (WARPS * 32)
#define PAIRS_HIDDEN (HIDDEN / (32 * WARPS))        // k-step pairs of a warp
#define PAIRS_INPUT (INPUTS / (32 * WARPS))
#define PARTIAL_BYTES (TASKS * 512)                 // of one warp
#define PARTIALS_BYTES (2 * WARPS * PARTIAL_BYTES)
#define PAIRS_MAX (PAIRS_INPUT > PAIRS_HIDDEN ? PAIRS_INPUT : PAIRS_HIDDEN)
#define STRIDE (4 * COLUMNS * 16)                   // bytes of a k-step pair of all columns
#define HOLDS_INPUT (TILES * (PAIRS_HIDDEN + PAIRS_MAX) * 8 <= 128)
#define GRID_SHARED (PARTIALS_BYTES + (HOLDS_INPUT ? 0 : WARPS * TILES * PAIRS_MAX * 1024))

struct GridArguments {
  const uint4* weights;      // per layer: input, then hidden; each [slice][warp][tile][k-step][lane]
  const float4* bias;        // [layer][HIDDEN] gates i, f, o, g
  const float* x;            // (B, T, F)
  const u32* ring_start;     // row of step 0, or null
  u8* sequences;
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
  u32* arrivals;             // counts blocks at the end
  i32 B, T, F, H;            // as the caller counts them
  i32 groups, first_group;   // in all, and of this launch
  i32 first_layer, layers, end_layer;   // this launch's layers, of end_layer in all
  i32 head_columns, is_tanh;
  i32 ends;                  // blocks that write results
#if PROFILE
  u64* stamps;
#endif
};

#define X_STEP_BYTES ((u64)INPUTS / 8 * COLUMNS * 16)
#define H_STEP_BYTES ((u64)HIDDEN / 8 * COLUMNS * 16)

#if PROFILE
#define STAMP(on, i) if ((on) && slice == 0 && group == 0 && threadIdx.x == 0) a.stamps[layer * 128 + (i)] = cycles_now()
#define STAMP_NS(on, i) if ((on) && slice == 0 && group == 0 && threadIdx.x == 0) a.stamps[layer * 128 + (i)] = nanoseconds_now()
#else
#define STAMP(on, i)
#define STAMP_NS(on, i)
#endif

DEVICE u64 copy_bytes(const GridArguments& a) { return (X_STEP_BYTES + H_STEP_BYTES * a.end_layer) * a.T; }

// Sequence 0 is x, sequence l + 1 the hidden states of layer l; of one group, epoch and copy.
DEVICE u8* sequence_of(const GridArguments& a, u32 epoch, u32 group, u32 sequence, u32 copy) {
  const u64 x_bytes = X_STEP_BYTES * a.T, h_bytes = H_STEP_BYTES * a.T;
  return a.sequences + ((epoch * a.groups + group) * COPIES + copy) * copy_bytes(a)
    + (sequence ? x_bytes + (sequence - 1) * h_bytes : 0);
}

// --- x to 16-bit atoms
DEVICE Eight load_features(const GridArguments& a, u32 group, u32 start, u32 atom) {
  const u32 column = atom % COLUMNS, first = atom / COLUMNS % (INPUTS / 8) * 8, t = atom / (COLUMNS * (INPUTS / 8));
  const u32 b = group * COLUMNS + column, row = start + t >= (u32)a.T ? start + t - a.T : start + t;
  return load_eight(a.x + ((u64)b * a.T + row) * a.F, first, a.F, b < (u32)a.B && t < (u32)a.T && a.first_layer == 0);
}
DEVICE void publish_features(const GridArguments& a, const Eight& features, u8* to, u8* next, u32 atom) {
  const uint4 v = atom_of(features);
  UNROLL for (int copy = 0; copy < COPIES; copy++) {
    const u64 at = copy * copy_bytes(a) + (u64)atom * 16;
    store_relaxed4(to + at, v);
    store_relaxed4(next + at, not_yet());
  }
}

// --- fragments from L2
template <int PAIRS> struct Fragments { uint4 v[FOLDS][PAIRS]; };
template <int PAIRS> DEVICE void fetch(Fragments<PAIRS>& f, const u8* p) {
  UNROLL for (int i = 0; i < PAIRS; i++) UNROLL for (int j = 0; j < FOLDS; j++)
    f.v[j][i] = load_relaxed4(p + i * STRIDE + j * 128);
}
template <int PAIRS> DEVICE void await(Fragments<PAIRS>& f, const u8* p) {
  for (u32 n = 0;; n++) {
    bool all = true;
    UNROLL for (int i = 0; i < PAIRS; i++) UNROLL for (int j = 0; j < FOLDS; j++) all = all && has_come(f.v[j][i]);
    if (__all_sync(0xffffffffu, all)) return;
    if (n > SPIN_MAX) trap();
    fetch(f, p);
  }
}
typedef float Sums[FOLDS][TILES][4];
template <int PAIRS, int ROWS>
DEVICE void multiply(Sums& sum, const u32 (&weights)[ROWS][4], const Fragments<PAIRS>& f) {
  UNROLL for (int p = 0; p < PAIRS; p++) UNROLL for (int s = 0; s < 2; s++) UNROLL for (int m = 0; m < TILES; m++)
    UNROLL for (int j = 0; j < FOLDS; j++) {
      const uint4& v = f.v[j][p];
      mma16(sum[j][m], weights[m * 2 * PAIRS + 2 * p + s], s ? v.z : v.x, s ? v.w : v.y);
    }
}
template <int PAIRS> DEVICE void multiply_shared(Sums& sum, u32 weights, const Fragments<PAIRS>& f) {
  UNROLL for (int p = 0; p < PAIRS; p++) UNROLL for (int s = 0; s < 2; s++) UNROLL for (int m = 0; m < TILES; m++) {
    const uint4 w = load_shared4(weights + ((m * 2 * PAIRS + 2 * p + s) * 32) * 16);
    const u32 row[4] = { w.x, w.y, w.z, w.w };
    UNROLL for (int j = 0; j < FOLDS; j++) {
      const uint4& v = f.v[j][p];
      mma16(sum[j][m], row, s ? v.z : v.x, s ? v.w : v.y);
    }
  }
}
template <int ROWS> DEVICE void load_weights(u32 (&to)[ROWS][4], const uint4* from) {
  UNROLL for (int i = 0; i < ROWS; i++) {
    const uint4 w = load_global4(from + i * 32);
    to[i][0] = w.x; to[i][1] = w.y; to[i][2] = w.z; to[i][3] = w.w;
  }
}

// Where a cell's four partial gates lie, in 16-byte units: no two lanes of a quarter warp meet in a bank, neither
// when fragments are stored nor when cells are read.
DEVICE u32 cell_of(u32 octet, u32 unit, u32 column) {
  const u32 half = HALVES > 1 ? column >> 2 : 0;
  return (octet * HALVES + half) * 32 + unit * 4 + ((column & 3) ^ (half & 1));
}

template <int PAIRS> DEVICE void run_layer(const GridArguments& a, u32 group, u32 layer, u32 slice, u32 epoch) {
  constexpr int ROWS_HIDDEN = TILES * 2 * PAIRS_HIDDEN, ROWS_INPUT = TILES * 2 * PAIRS;
  const u32 lane = lane_of(), warp = warp_of(), column = lane >> 2, q = lane & 3;
  const u32 shared = shared_base(), partials = shared, shared_weights = shared + PARTIALS_BYTES;

  // Weights of one layer above the first take (2 HIDDEN) rows; layer 0 takes INPUTS + HIDDEN.
  const u64 per_hidden = (u64)HIDDEN * HIDDEN / 2, per_input = (u64)HIDDEN * INPUTS / 2;   // uint4 units: 4 H K / 8
  const uint4* input_at = a.weights + (layer ? per_input + per_hidden + (layer - 1) * 2 * per_hidden : 0);
  const uint4* hidden_at = input_at + (layer ? per_hidden : per_input);
  const u32 own = slice * WARPS + warp;

  // Its loads first: they need longest.
  const u32 start = a.ring_start ? *a.ring_start : 0;
  u8* x_to = sequence_of(a, epoch, group, 0, 0);
  u8* x_next = sequence_of(a, epoch ^ 1, group, 0, 0);
  const u32 atoms = a.first_layer == 0 ? a.T * COLUMNS * (INPUTS / 8) : 0, stride = a.layers * SLICES * THREADS;
  u32 atom = ((layer - a.first_layer) * SLICES + slice) * THREADS + threadIdx.x;
  Eight features = load_features(a, group, start, atom);

  u32 hidden_weights[ROWS_HIDDEN][4];
  u32 input_weights[HOLDS_INPUT ? ROWS_INPUT : 1][4];
  if constexpr (HOLDS_INPUT) load_weights(input_weights, input_at + (u64)own * ROWS_INPUT * 32 + lane);
  else {
    const uint4* from = input_at + (u64)own * ROWS_INPUT * 32 + lane;
    for (int i = 0; i < ROWS_INPUT; i++)
      copy_async(shared_weights + ((warp * ROWS_INPUT + i) * 32 + lane) * 16, from + i * 32);
    copy_async_commit();
  }
  load_weights(hidden_weights, hidden_at + (u64)own * ROWS_HIDDEN * 32 + lane);
  for (; atom < atoms; atom += stride) {
    publish_features(a, features, x_to, x_next, atom);
    features = load_features(a, group, start, atom + stride);
  }
  if constexpr (!HOLDS_INPUT) copy_async_wait<0>();
  const u32 own_input = shared_weights + (warp * ROWS_INPUT * 32 + lane) * 16;

  // Cells of this lane: (octet, unit), column; columns past the group repeat its first.
  float c[ROUNDS], h[ROUNDS]; float4 bias[ROUNDS];
  UNROLL for (int r = 0; r < ROUNDS; r++) {
    const u32 task = warp + r * WARPS, unit = slice * UNITS + task / HALVES * 8 + (lane >> 2);
    const u32 b = group * COLUMNS + task % HALVES * 4 + q;
    c[r] = h[r] = 0.f;
    if (task < TASKS) {
      bias[r] = a.bias[layer * HIDDEN + unit];
      if (a.c0 && q < COLUMNS && b < (u32)a.B && unit < (u32)a.H) c[r] = a.c0[((u64)layer * a.B + b) * a.H + unit];
    }
  }

  const u64 input_step = layer ? H_STEP_BYTES : X_STEP_BYTES;
  const u32 column_read = column % COLUMNS, copy = slice % COPIES;
  const u8* input_from = sequence_of(a, epoch, group, layer, copy) + ((warp * PAIRS * 4 + q) * COLUMNS + column_read) * 16;
  u8* own_sequence = sequence_of(a, epoch, group, layer + 1, 0);
  u8* next_sequence = sequence_of(a, epoch ^ 1, group, layer + 1, 0);
  const u8* hidden_from = sequence_of(a, epoch, group, layer + 1, copy) + ((warp * PAIRS_HIDDEN * 4 + q) * COLUMNS + column_read) * 16;

  u32 not_before = cycles_now();
  Fragments<PAIRS> input;
  Fragments<PAIRS_HIDDEN> hidden;
  fetch(input, input_from);
  for (i32 t = 0; t < a.T; t++) {
    STAMP_NS(t < 64, t);
    const bool probe = t == a.T / 2;
    STAMP(probe, 64);
    Sums sum;
    UNROLL for (int j = 0; j < FOLDS; j++) UNROLL for (int m = 0; m < TILES; m++)
      UNROLL for (int e = 0; e < 4; e++) sum[j][m][e] = 0.f;
    await(input, input_from + t * input_step);
    STAMP(probe, 65);
    if constexpr (HOLDS_INPUT) multiply<PAIRS>(sum, input_weights, input);
    else multiply_shared<PAIRS>(sum, own_input, input);
    STAMP(probe, 66);
    if (t > 0) {
      if (DELAY) while ((i32)(cycles_now() - not_before) < 0) {}
      fetch(hidden, hidden_from + (t - 1) * H_STEP_BYTES);
      await(hidden, hidden_from + (t - 1) * H_STEP_BYTES);
      STAMP(probe, 67);
      multiply<PAIRS_HIDDEN>(sum, hidden_weights, hidden);
    } else if (a.h0) {
      UNROLL for (int p = 0; p < PAIRS_HIDDEN; p++) {
       UNROLL for (int j = 0; j < FOLDS; j++) {
        const u32 unit = (warp * PAIRS_HIDDEN + p) * 32 + q * 8, b = group * COLUMNS + j * 8 + column_read;
        hidden.v[j][p] = atom_of(load_eight(a.h0 + ((u64)layer * a.B + b) * a.H, unit, a.H, b < (u32)a.B));
      }}
      multiply<PAIRS_HIDDEN>(sum, hidden_weights, hidden);
    }
    STAMP(probe, 68);
    const u32 buffer = partials + (t & 1) * (WARPS * PARTIAL_BYTES), mine = buffer + warp * PARTIAL_BYTES;
    UNROLL for (int j = 0; j < FOLDS; j++) UNROLL for (int o = 0; o < OCTETS; o++) UNROLL for (int e = 0; e < 2; e++) {
      const u32 n = j * 8 + 2 * q + e;
      const float (&even)[4] = sum[j][2 * o], (&odd)[4] = sum[j][2 * o + 1];
      if (n < COLUMNS) store_shared4(mine + cell_of(o, column, n) * 16,
        make_uint4(bits_of(even[e]), bits_of(even[2 + e]), bits_of(odd[e]), bits_of(odd[2 + e])));
    }
    if (t + 1 < a.T) fetch(input, input_from + (t + 1) * input_step);
    if (warp < REDUCERS || DELAY) block_barrier_sync(1 + (t & 1), THREADS);
    else block_barrier_arrive(1 + (t & 1), THREADS);
    if (DELAY) not_before = cycles_now() + DELAY;
    STAMP(probe, 69);
    UNROLL for (int r = 0; r < ROUNDS; r++) {
      const u32 task = warp + r * WARPS, octet = task / HALVES, n = task % HALVES * 4 + (COLUMNS < 4 ? q % COLUMNS : q);
      if (task >= TASKS) break;
      const u32 cell = buffer + cell_of(octet, lane >> 2, n) * 16;
      uint4 z[WARPS];
      UNROLL for (int w = 0; w < WARPS; w++) z[w] = load_shared4(cell + w * PARTIAL_BYTES);
      UNROLL for (int s = 1; s < WARPS; s *= 2) UNROLL for (int w = 0; w + s < WARPS; w += 2 * s) {
        z[w].x = bits_of(float_of(z[w].x) + float_of(z[w + s].x));
        z[w].y = bits_of(float_of(z[w].y) + float_of(z[w + s].y));
        z[w].z = bits_of(float_of(z[w].z) + float_of(z[w + s].z));
        z[w].w = bits_of(float_of(z[w].w) + float_of(z[w + s].w));
      }
      h[r] = cell_step(float_of(z[0].x) + bias[r].x, float_of(z[0].y) + bias[r].y, float_of(z[0].z) + bias[r].z,
        float_of(z[0].w) + bias[r].w, c[r]);
      STAMP(probe, 70);
      // Lane (row, q) now gets units 2q, 2q+1 of column row/2; even rows publish them, odd rows re-arm the other epoch.
      const u32 word = transpose_matrix(pack16(h[r], h[r]));
      const u32 row = lane >> 2, to_column = task % HALVES * 4 + (row >> 1);
      if (to_column < COLUMNS) {
        u8* to = (row & 1 ? next_sequence : own_sequence) + t * H_STEP_BYTES;
        UNROLL for (int copy = 0; copy < COPIES; copy++) store_relaxed((u32*)(to + copy * copy_bytes(a)
          + ((slice * OCTETS + octet) * COLUMNS + to_column) * 16) + q, row & 1 ? NOT_YET : word);
        STAMP(probe, 71);
        const u32 b = group * COLUMNS + to_column, unit = slice * UNITS + octet * 8 + 2 * q;
        if (a.all && layer == (u32)a.end_layer - 1 && !(row & 1) && b < (u32)a.B && unit < (u32)a.H)
          *(u32*)(a.all + ((u64)t * a.B + b) * a.H + unit) = word;
      }
    }
    STAMP(probe, 72);
  }
  STAMP_NS(true, 80);

  UNROLL for (int r = 0; r < ROUNDS; r++) {
    const u32 task = warp + r * WARPS, unit = slice * UNITS + task / HALVES * 8 + (lane >> 2);
    const u32 n = task % HALVES * 4 + q, b = group * COLUMNS + n;
    if (task >= TASKS || n >= COLUMNS || b >= (u32)a.B || unit >= (u32)a.H) continue;
    if (a.last && layer == (u32)a.end_layer - 1) a.last[(u64)b * a.H + unit] = h[r];
    if (a.hn) a.hn[((u64)layer * a.B + b) * a.H + unit] = h[r];
    if (a.cn) a.cn[((u64)layer * a.B + b) * a.H + unit] = c[r];
  }
  if (layer != (u32)(a.first_layer + a.layers) - 1) return;

  // The last layer of this launch. Slice s computes head columns s, s + SLICES, ...; slice 0 also learns here that all
  // blocks of its group have read the epoch.
  const bool has_head = a.head && layer == (u32)a.end_layer - 1;
  if (slice == 0 || (has_head && slice < (u32)a.head_columns)) {
    fetch(hidden, hidden_from + (a.T - 1) * H_STEP_BYTES);
    await(hidden, hidden_from + (a.T - 1) * H_STEP_BYTES);
    for (u32 out = slice; has_head && out < (u32)a.head_columns; out += SLICES) {
      const float* w = a.head_weights + (u64)out * HIDDEN + warp * PAIRS_HIDDEN * 32 + q * 8;
      __syncthreads();
      UNROLL for (int j = 0; j < FOLDS; j++) {
        float dot = 0.f;
        UNROLL for (int p = 0; p < PAIRS_HIDDEN; p++) {
          const u32 v[4] = { hidden.v[j][p].x, hidden.v[j][p].y, hidden.v[j][p].z, hidden.v[j][p].w };
          UNROLL for (int i = 0; i < 4; i++) {
            dot = fmaf(unpack16(v[i]), w[p * 32 + 2 * i], dot);
            dot = fmaf(unpack16(v[i] >> 16), w[p * 32 + 2 * i + 1], dot);
          }
        }
        dot += shuffle_xor(dot, 1);
        dot += shuffle_xor(dot, 2);
        if (q == 0) store_shared(partials + ((warp * FOLDS + j) * 8 + column) * 4, bits_of(dot));
      }
      __syncthreads();
      const u32 b = group * COLUMNS + threadIdx.x;
      if (threadIdx.x < COLUMNS && b < (u32)a.B) {
        float z = a.head_bias[out];
        UNROLL for (int w = 0; w < WARPS; w++)
          z += float_of(load_shared(partials + (w * FOLDS * 8 + threadIdx.x) * 4));
        a.head[(u64)b * a.head_columns + out] = a.is_tanh ? tanh_fast(z) : z;
      }
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    if (slice == 0) a.epoch[group] = epoch ^ 1;
    const bool ends = layer == (u32)a.end_layer - 1 && (a.last || a.all || slice < (u32)a.head_columns);
    if (ends) tell_host(a.done, a.arrivals, a.ends);
  }
  STAMP_NS(true, 81);
}

// Grid: groups x layers x SLICES blocks, slices fastest.
KERNEL(THREADS, lstm_grid, GridArguments) {
  const u32 slice = blockIdx.x % SLICES, layer = blockIdx.x / SLICES % a.layers + a.first_layer;
  const u32 group = blockIdx.x / (SLICES * a.layers) + a.first_group;
  const u32 epoch = load_relaxed(a.epoch + group) & 1;
  if (layer == 0) run_layer<PAIRS_INPUT>(a, group, layer, slice, epoch);
  else run_layer<PAIRS_HIDDEN>(a, group, layer, slice, epoch);
}
