// A stack of LSTM layers for small batches: every layer at once, its weights on the chip for the whole run.
//
//   block (groups, layer, slice): UNITS hidden units (4 gates each) of one layer, for SETS groups of COLUMNS sequences
//
//        x(t) ----> layer 0 slices ==h0(t)==> all slices of layer 0 (step t+1) and of layer 1 (step t)
//                   layer 1 slices ==h1(t)==> ...                                    wavefront of T + L - 1 steps
//
// Blocks exchange hidden states through L2 (lstm.cuh); the launch is cooperative, so that all of them run at once.
// A warp multiplies all rows of its block by its part of K: what it polls is its own B fragments, which go from L2 to
// registers and into the tensor core. The product with the layer below (or x) runs while h(t-1) is on its way, and
// h(t-1) adds to the same accumulators. Partial sums of the warps meet in shared memory; a lane then owns one cell.
//
// An exchange takes longer than a step's arithmetic. With SETS = 1 the block waits for it. With more, it works on the
// other sets meanwhile: four further warps own the cells, so that products and cells of different sets overlap.
//
//   WARPS warps:  products of set 0 | of set 1 | of set 0 ...        4 warps:   | cells of set 0 | of set 1 | ...
//
// What bounds two sets (H = 512: 94 us for 32 sequences of 60 steps on an H200) is L2: of each step 4 MB of h are read,
// each line by 64 blocks at once, and an answer takes 1,000 cycles and more. Measured, and worse or within 1%: asking
// for h later (after half of the product, after all of it, 300 to 800 cycles after the last answer: +0 to +26 us), for
// the input earlier (+5), again only for what has not come. Half the readers, 32 units a block with the input's weights
// in shared memory, take 115: sums of eight warps and weights contend for it, wherever h is asked for in between.
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
#define COLUMNS 8     // sequences of a group: 1, 2, 4 or 8
#define WARPS 8
#define SETS 1        // groups of a block: 1, or an even number (sm_90a)
#define DELAY 500     // cycles, see multiply_step
#endif

#define UNITS (TILES * 4)
#define OCTETS (TILES / 2)
#define SLICES (HIDDEN / UNITS)
#define HALVES (COLUMNS > 4 ? 2 : 1)
#define TASKS (OCTETS * HALVES)                     // a warp's worth of cells: 8 units x 4 columns
#define CELL_WARPS (SETS > 1 ? 4 : WARPS)
#define ROUNDS ((TASKS + CELL_WARPS - 1) / CELL_WARPS)
#define REDUCERS (TASKS < CELL_WARPS ? TASKS : CELL_WARPS)
#define CONVERTERS (SETS > 1 ? 128 : THREADS)       // threads that turn x into atoms
#define THREADS ((WARPS + (SETS > 1 ? 4 : 0)) * 32)
#define PAIRS_HIDDEN (HIDDEN / (32 * WARPS))        // k-step pairs of a warp
#define PAIRS_INPUT (INPUTS / (32 * WARPS))
#define PAIRS_MAX (PAIRS_INPUT > PAIRS_HIDDEN ? PAIRS_INPUT : PAIRS_HIDDEN)
#define PARTIAL_BYTES (TASKS * 512)                 // of one warp
#define BUFFER_BYTES (WARPS * PARTIAL_BYTES)        // of all warps for one set and step
#define PARTIALS_BYTES (2 * SETS * BUFFER_BYTES)
#define STRIDE (4 * COLUMNS * 16)                   // bytes of a k-step pair of all columns
#define HOLDS_INPUT (TILES * (PAIRS_HIDDEN + PAIRS_MAX) * 8 <= 128)
#define CELL_BYTES (SETS * TASKS * 128)              // c of all cells
#define CELLS_AT PARTIALS_BYTES
#define WEIGHTS_AT (CELLS_AT + CELL_BYTES)
#define GRID_SHARED (WEIGHTS_AT + (HOLDS_INPUT ? 0 : WARPS * TILES * PAIRS_MAX * 1024))
#define DEPTH (SETS > 1 ? 2 : 1)                    // fragments under way

#if SETS > 1
#include "wgmma.cuh"
#endif

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
  u32* arrivals;             // two words: blocks that have ended, runs
  i32 B, T, F, H;            // as the caller counts them
  i32 groups, first_group;   // in all (a multiple of SETS), and of this launch
  i32 first_layer, layers, end_layer;   // this launch's layers, of end_layer in all
  i32 head_columns, is_tanh;
  i32 ends;                  // blocks that write results
};

#define X_STEP_BYTES ((u64)INPUTS / 8 * COLUMNS * 16)
#define H_STEP_BYTES ((u64)HIDDEN / 8 * COLUMNS * 16)


// What a block is: the first of its groups, a layer of the stack, a slice of its units.
struct Place { u32 group, layer, slice, epoch; };

DEVICE u64 group_bytes(const GridArguments& a) { return (X_STEP_BYTES + H_STEP_BYTES * a.end_layer) * a.T; }
// Sequence 0 is x, sequence l + 1 the hidden states of layer l; of one epoch and group.
DEVICE u8* sequence_of(const GridArguments& a, u32 epoch, u32 group, u32 sequence) {
  const u64 before = sequence ? (X_STEP_BYTES + (sequence - 1) * H_STEP_BYTES) * a.T : 0;
  return a.sequences + (epoch * a.groups + group) * group_bytes(a) + before;
}

// --- x to 16-bit atoms, a share by each thread of the launch
DEVICE Eight load_features(const GridArguments& a, u32 group, u32 start, u32 atom) {
  const u32 column = atom % COLUMNS, first = atom / COLUMNS % (INPUTS / 8) * 8, t = atom / (COLUMNS * (INPUTS / 8));
  const u32 b = group * COLUMNS + column, row = start + t >= (u32)a.T ? start + t - a.T : start + t;
  return load_eight(a.x + ((u64)b * a.T + row) * a.F, first, a.F, b < (u32)a.B && t < (u32)a.T);
}
// A thread's first atom is asked for before the weights, which take longer, and published after them; with more sets,
// the warps of the cells do it all.
struct Conversion { u32 start, atom; Eight features; };
DEVICE void start_conversion(const GridArguments& a, const Place& at, Conversion& c, u32 thread) {
  wait_for_prior_kernel();     // which may bring x; weights do not depend on it
  c.start = a.ring_start ? *a.ring_start : 0;
  c.atom = ((at.layer - a.first_layer) * SLICES + at.slice) * CONVERTERS + thread;
  if (a.first_layer == 0) c.features = load_features(a, at.group, c.start, c.atom);
}
DEVICE void finish_conversion(const GridArguments& a, const Place& at, Conversion& c) {
  if (a.first_layer != 0) return;
  const u32 atoms = a.T * COLUMNS * (INPUTS / 8), stride = a.layers * SLICES * CONVERTERS, first = c.atom;
  for (u32 set = 0; set < SETS; set++) {
    u8* to = sequence_of(a, at.epoch, at.group + set, 0);
    u8* next = sequence_of(a, at.epoch ^ 1, at.group + set, 0);
    for (u32 atom = first; atom < atoms; atom += stride) {
      if (set > 0 || atom > first) c.features = load_features(a, at.group + set, c.start, atom);
      store_relaxed4(to + (u64)atom * 16, atom_of(c.features));
      store_relaxed4(next + (u64)atom * 16, not_yet());
    }
  }
}

// --- products
template <int PAIRS> DEVICE void fetch(uint4 (&v)[PAIRS], const u8* p) {
  UNROLL for (int i = 0; i < PAIRS; i++) v[i] = load_relaxed4(p + i * STRIDE);
}
template <int PAIRS> DEVICE void await(uint4 (&v)[PAIRS], const u8* p) {
  for (u32 n = 0;; n++) {
    bool all = true;
    UNROLL for (int i = 0; i < PAIRS; i++) all = all && has_come(v[i]);
    if (__all_sync(0xffffffffu, all)) return;
    if (n > SPIN_MAX) trap();
    fetch(v, p);
  }
}
typedef float Sums[TILES][4];
template <int PAIRS, int ROWS> DEVICE void multiply(Sums& sum, const u32 (&weights)[ROWS][4], const uint4 (&v)[PAIRS]) {
  UNROLL for (int p = 0; p < PAIRS; p++) UNROLL for (int s = 0; s < 2; s++) UNROLL for (int m = 0; m < TILES; m++)
    mma16(sum[m], weights[m * 2 * PAIRS + 2 * p + s], s ? v[p].z : v[p].x, s ? v[p].w : v[p].y);
}
template <int PAIRS> DEVICE void multiply_shared(Sums& sum, u32 weights, const uint4 (&v)[PAIRS]) {
  UNROLL for (int p = 0; p < PAIRS; p++) UNROLL for (int s = 0; s < 2; s++) UNROLL for (int m = 0; m < TILES; m++) {
    const uint4 w = load_shared4(weights + ((m * 2 * PAIRS + 2 * p + s) * 32) * 16);
    const u32 row[4] = { w.x, w.y, w.z, w.w };
    mma16(sum[m], row, s ? v[p].z : v[p].x, s ? v[p].w : v[p].y);
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
  const u32 half = HALVES == 2 ? column >> 2 : 0;
  return (octet * HALVES + half) * 32 + unit * 4 + ((column & 3) ^ half);
}
DEVICE void store_partial(u32 to, const Sums& sum) {
  const u32 lane = lane_of(), q = lane & 3;
  UNROLL for (int o = 0; o < OCTETS; o++) UNROLL for (int e = 0; e < 2; e++) {
    const u32 n = 2 * q + e;
    const float (&even)[4] = sum[2 * o], (&odd)[4] = sum[2 * o + 1];
    if (n < COLUMNS) store_shared4(to + cell_of(o, lane >> 2, n) * 16,
      make_uint4(bits_of(even[e]), bits_of(even[2 + e]), bits_of(odd[e]), bits_of(odd[2 + e])));
  }
}
DEVICE u32 buffer_of(u32 set, u32 t) { return shared_base() + (2 * set + (t & 1)) * BUFFER_BYTES; }
DEVICE u32 barrier_of(u32 set, u32 t) { return 1 + 2 * set + (t & 1); }

// A warp's weights of one layer, and where its B fragments come from.
template <int PAIRS> struct Products {
  static constexpr int ROWS_HIDDEN = TILES * 2 * PAIRS_HIDDEN, ROWS_INPUT = TILES * 2 * PAIRS;
  u32 hidden_weights[ROWS_HIDDEN][4];
  u32 input_weights[HOLDS_INPUT ? ROWS_INPUT : 1][4];
  u32 shared_weights;
  const u8* input_from;
  const u8* hidden_from;
  uint4 input[DEPTH][PAIRS], hidden[DEPTH][PAIRS_HIDDEN];

  __device__ __forceinline__ void start(const GridArguments& a, const Place& at) {
    const u32 lane = lane_of(), warp = warp_of(), own = at.slice * WARPS + warp, column = (lane >> 2) % COLUMNS;
    const u64 per_hidden = (u64)HIDDEN * HIDDEN / 2, per_input = (u64)HIDDEN * INPUTS / 2;   // uint4: 4 H K / 8
    const u64 before = at.layer ? per_input + per_hidden + (at.layer - 1) * 2 * per_hidden : 0;
    const uint4* input_at = a.weights + before + (u64)own * ROWS_INPUT * 32 + lane;
    const u64 inputs = at.layer ? per_hidden : per_input;
    const uint4* hidden_at = a.weights + before + inputs + (u64)own * ROWS_HIDDEN * 32 + lane;
    shared_weights = shared_base() + WEIGHTS_AT + (warp * ROWS_INPUT * 32 + lane) * 16;
    if constexpr (HOLDS_INPUT) load_weights(input_weights, input_at);
    else {
      for (int i = 0; i < ROWS_INPUT; i++) copy_async(shared_weights + i * 512, input_at + i * 32);
      copy_async_commit();
    }
    load_weights(hidden_weights, hidden_at);
    if constexpr (!HOLDS_INPUT) copy_async_wait<0>();
    const u32 q = lane & 3;
    input_from = sequence_of(a, at.epoch, at.group, at.layer) + ((warp * PAIRS * 4 + q) * COLUMNS + column) * 16;
    hidden_from = sequence_of(a, at.epoch, at.group, at.layer + 1)
      + ((warp * PAIRS_HIDDEN * 4 + q) * COLUMNS + column) * 16;
  }
};

// The products of one set and step, from fragments that may still be on their way; then the next set's are asked for.
template <int PAIRS> DEVICE void multiply_step(const GridArguments& a, const Place& at, Products<PAIRS>& w, i32 t,
  u32 set, const u32 way, u32 not_before) {
  constexpr u32 LAST = SETS - 1;
  const u64 input_step = at.layer ? H_STEP_BYTES : X_STEP_BYTES, group = group_bytes(a);
  uint4 (&input)[PAIRS] = w.input[way];
  uint4 (&hidden)[PAIRS_HIDDEN] = w.hidden[way];
  const u8* hidden_from = w.hidden_from + set * group + (t - 1) * H_STEP_BYTES;
  Sums sum;
  UNROLL for (int m = 0; m < TILES; m++) UNROLL for (int e = 0; e < 4; e++) sum[m][e] = 0.f;
  await(input, w.input_from + set * group + t * input_step);
  if constexpr (HOLDS_INPUT) multiply<PAIRS>(sum, w.input_weights, input);
  else multiply_shared<PAIRS>(sum, w.shared_weights, input);
  // Asking L2 before h can have come costs a round trip, and slows the answers of others. Blocks are nearly in step:
  // one asks DELAY cycles after its own warps have met in the step before.
  if (SETS == 1 && t > 0) {
    while ((i32)(cycles_now() - not_before) < 0) {}
    fetch(hidden, hidden_from);
  }
  if (t > 0) await(hidden, hidden_from);
  else if (a.h0) {
    const u32 lane = lane_of(), b = (at.group + set) * COLUMNS + (lane >> 2) % COLUMNS;
    UNROLL for (int p = 0; p < PAIRS_HIDDEN; p++) {
      const u32 unit = (warp_of() * PAIRS_HIDDEN + p) * 32 + (lane & 3) * 8;
      hidden[p] = atom_of(load_eight(a.h0 + ((u64)at.layer * a.B + b) * a.H, unit, a.H, b < (u32)a.B));
    }
  }
  const i32 next_t = set == LAST ? t + 1 : t;
  const u32 next = set == LAST ? 0 : set + 1;
  if constexpr (SETS > 1) if (next_t < a.T) {
    fetch(w.input[way ^ 1], w.input_from + next * group + next_t * input_step);
    if (next_t > 0) fetch(w.hidden[way ^ 1], w.hidden_from + next * group + (next_t - 1) * H_STEP_BYTES);
  }
  if (t > 0 || a.h0) multiply<PAIRS_HIDDEN>(sum, w.hidden_weights, hidden);
  if (SETS == 1 && next_t < a.T) fetch(input, w.input_from + next_t * input_step);
  store_partial(buffer_of(set, t) + warp_of() * PARTIAL_BYTES, sum);
}

// --- cells: a lane owns (unit, column) of each of its warp's tasks; columns past the group repeat its first
DEVICE u32 unit_of(const Place& at, u32 task) { return at.slice * UNITS + task / HALVES * 8 + (lane_of() >> 2); }
DEVICE u32 column_of(u32 task) { return task % HALVES * 4 + (COLUMNS < 4 ? lane_of() % COLUMNS : lane_of() & 3); }

// Where a lane keeps its c.
DEVICE u32 state_of(u32 task, u32 set) {
  return shared_base() + CELLS_AT + ((set * TASKS + task) * 32 + lane_of()) * 4; }

DEVICE void start_cells(const GridArguments& a, const Place& at, u32 warp) {
  for (u32 set = 0; set < SETS; set++) for (u32 task = warp; task < TASKS; task += CELL_WARPS) {
    const u32 b = (at.group + set) * COLUMNS + column_of(task), unit = unit_of(at, task);
    const bool is_given = a.c0 && b < (u32)a.B && unit < (u32)a.H;
    store_shared(state_of(task, set), is_given ? bits_of(a.c0[((u64)at.layer * a.B + b) * a.H + unit]) : 0);
  }
}
DEVICE void load_bias(const GridArguments& a, const Place& at, float4 (&bias)[ROUNDS], u32 warp) {
  UNROLL for (int r = 0; r < ROUNDS; r++) {
    const u32 task = warp + r * CELL_WARPS;
    if (task < TASKS) bias[r] = a.bias[at.layer * HIDDEN + unit_of(at, task)];
  }
}

DEVICE void store_states(const GridArguments& a, const Place& at, u32 task, u32 set, float h, float c) {
  const u32 unit = unit_of(at, task), n = task % HALVES * 4 + (lane_of() & 3), b = (at.group + set) * COLUMNS + n;
  if (n >= COLUMNS || b >= (u32)a.B || unit >= (u32)a.H) return;
  const u64 state = ((u64)at.layer * a.B + b) * a.H + unit;
  if (a.last && at.layer == (u32)a.end_layer - 1) a.last[(u64)b * a.H + unit] = h;
  if (a.hn) a.hn[state] = h;
  if (a.cn) a.cn[state] = c;
}

// Sums what the warps found, steps the cells and publishes h(t).
DEVICE void step_cells(const GridArguments& a, const Place& at, const float4 (&biases)[ROUNDS], u32 warp, i32 t,
  u32 set) {
  const u32 lane = lane_of(), q = lane & 3;
  UNROLL for (int r = 0; r < ROUNDS; r++) {
    const u32 task = warp + r * CELL_WARPS, octet = task / HALVES;
    if (task >= TASKS) break;
    const u32 from = buffer_of(set, t) + cell_of(octet, lane >> 2, column_of(task)) * 16;
    float c = float_of(load_shared(state_of(task, set)));
    uint4 z[WARPS];
    UNROLL for (int w = 0; w < WARPS; w++) z[w] = load_shared4(from + w * PARTIAL_BYTES);
    UNROLL for (int s = 1; s < WARPS; s *= 2) UNROLL for (int w = 0; w + s < WARPS; w += 2 * s) {
      z[w].x = bits_of(float_of(z[w].x) + float_of(z[w + s].x));
      z[w].y = bits_of(float_of(z[w].y) + float_of(z[w + s].y));
      z[w].z = bits_of(float_of(z[w].z) + float_of(z[w + s].z));
      z[w].w = bits_of(float_of(z[w].w) + float_of(z[w + s].w));
    }
    const float4 bias = biases[r];
    const float h = cell_step_fast(float_of(z[0].x) + bias.x, float_of(z[0].y) + bias.y, float_of(z[0].z) + bias.z,
      float_of(z[0].w) + bias.w, c);
    store_shared(state_of(task, set), bits_of(c));
    if (t == a.T - 1) store_states(a, at, task, set, h, c);
    // Lane (row, q) now gets units 2q, 2q+1 of column row/2; even rows publish them, odd rows re-arm the other epoch.
    const u32 word = transpose_matrix(pack16(h, h)), row = lane >> 2, column = task % HALVES * 4 + (row >> 1);
    if (column >= COLUMNS) continue;
    u8* to = sequence_of(a, at.epoch ^ (row & 1), at.group + set, at.layer + 1) + t * H_STEP_BYTES;
    store_relaxed((u32*)(to + ((at.slice * OCTETS + octet) * COLUMNS + column) * 16) + q, row & 1 ? NOT_YET : word);
    const u32 b = (at.group + set) * COLUMNS + column, unit = at.slice * UNITS + octet * 8 + 2 * q;
    if (a.all && at.layer == (u32)a.end_layer - 1 && !(row & 1) && b < (u32)a.B && unit < (u32)a.H)
      *(u32*)(a.all + ((u64)t * a.B + b) * a.H + unit) = word;
  }
}

// The last layer of a launch, once all its blocks have h(T-1): slice s computes head columns s, s + SLICES, ...; slice
// 0 has learnt that all blocks of its groups have read the epoch.
template <int PAIRS> DEVICE void finish(const GridArguments& a, const Place& at, Products<PAIRS>& w) {
  const bool has_head = a.head && at.layer == (u32)a.end_layer - 1;
  if (at.slice != 0 && !(has_head && at.slice < (u32)a.head_columns)) return;
  const u32 lane = lane_of(), warp = warp_of(), q = lane & 3, sums = shared_base();
  for (u32 set = 0; set < SETS; set++) {
    uint4 (&hidden)[PAIRS_HIDDEN] = w.hidden[0];
    const u8* from = w.hidden_from + set * group_bytes(a) + (a.T - 1) * H_STEP_BYTES;
    fetch(hidden, from);
    await(hidden, from);
    for (u32 out = at.slice; has_head && out < (u32)a.head_columns; out += SLICES) {
      const float* weights = a.head_weights + (u64)out * HIDDEN + warp * PAIRS_HIDDEN * 32 + q * 8;
      float dot = 0.f;
      UNROLL for (int p = 0; p < PAIRS_HIDDEN; p++) {
        const u32 v[4] = { hidden[p].x, hidden[p].y, hidden[p].z, hidden[p].w };
        UNROLL for (int i = 0; i < 8; i++)
          dot = fmaf(unpack16(v[i >> 1] >> (i & 1) * 16), weights[p * 32 + i], dot);
      }
      dot += shuffle_xor(dot, 1);
      dot += shuffle_xor(dot, 2);
      block_barrier_sync(15, WARPS * 32);
      if (q == 0) store_shared(sums + (warp * 8 + (lane >> 2)) * 4, bits_of(dot));
      block_barrier_sync(15, WARPS * 32);
      const u32 b = (at.group + set) * COLUMNS + threadIdx.x;
      if (threadIdx.x < COLUMNS && b < (u32)a.B) {
        float z = a.head_bias[out];
        UNROLL for (int other = 0; other < WARPS; other++)
          z += float_of(load_shared(sums + (other * 8 + threadIdx.x) * 4));
        a.head[(u64)b * a.head_columns + out] = a.is_tanh ? tanh_fast(z) : z;
      }
    }
  }
}

template <int PAIRS> DEVICE void run_layer(const GridArguments& a, const Place& at) {
  const u32 warp = warp_of();
  const bool is_last = at.layer == (u32)(a.first_layer + a.layers) - 1;
  Conversion conversion;
#if SETS > 1
  if (warp >= WARPS) {
    registers_fewer<88>();
    start_conversion(a, at, conversion, threadIdx.x - WARPS * 32);
    finish_conversion(a, at, conversion);
    float4 bias[ROUNDS];
    load_bias(a, at, bias, warp - WARPS);
    start_cells(a, at, warp - WARPS);
    for (i32 t = 0; t < a.T; t++) ROLLED for (u32 set = 0; set < SETS; set++) {
      MEET_AGAIN(THREADS);
      block_barrier_sync(barrier_of(set, t), THREADS);
      step_cells(a, at, bias, warp - WARPS, t, set);
    }
  } else {
    registers_more<208>();
    Products<PAIRS> w;
    w.start(a, at);
    fetch(w.input[0], w.input_from);
    for (i32 t = 0; t < a.T; t++) {
      ROLLED for (u32 pair = 0; pair < SETS; pair += 2) UNROLL for (u32 i = 0; i < 2; i++) {
        MEET_AGAIN(THREADS);
        multiply_step<PAIRS>(a, at, w, t, pair + i, i, 0);
        block_barrier_arrive(barrier_of(pair + i, t), THREADS);
      }
    }
    if (is_last) finish<PAIRS>(a, at, w);
  }
#else
  Products<PAIRS> w;
  float4 bias[ROUNDS];
  // A ring's newest rows are still on their way: weights first.
  if (!a.ring_start) start_conversion(a, at, conversion, threadIdx.x);
  w.start(a, at);
  if (a.ring_start) start_conversion(a, at, conversion, threadIdx.x);
  finish_conversion(a, at, conversion);
  load_bias(a, at, bias, warp);
  start_cells(a, at, warp);
  fetch(w.input[0], w.input_from);
  u32 not_before = cycles_now();
  for (i32 t = 0; t < a.T; t++) {
    MEET_AGAIN(THREADS);
    multiply_step<PAIRS>(a, at, w, t, 0, 0, not_before);
    block_barrier_sync(barrier_of(0, t), THREADS);
    not_before = cycles_now() + DELAY;
    if (warp < REDUCERS) step_cells(a, at, bias, warp, t, 0);
  }
  if (is_last) finish<PAIRS>(a, at, w);
#endif
  if (!is_last) return;
  __syncthreads();
  if (threadIdx.x == 0) {
    if (at.slice == 0) UNROLL for (int set = 0; set < SETS; set++) a.epoch[at.group + set] = at.epoch ^ 1;
    const bool ends = at.layer == (u32)a.end_layer - 1 && (a.last || a.all || at.slice < (u32)a.head_columns);
    if (ends) tell_host(a.done, a.arrivals, a.ends);
  }
}

// Grid: groups / SETS x layers x SLICES blocks, slices fastest.
KERNEL(THREADS, lstm_grid, GridArguments) {
  Place at;
  at.slice = blockIdx.x % SLICES;
  at.layer = blockIdx.x / SLICES % a.layers + a.first_layer;
  at.group = blockIdx.x / (SLICES * a.layers) * SETS + a.first_group;
  at.epoch = load_relaxed(a.epoch + at.group) & 1;
  if (at.layer == 0) run_layer<PAIRS_INPUT>(a, at);
  else run_layer<PAIRS_HIDDEN>(a, at);
}
