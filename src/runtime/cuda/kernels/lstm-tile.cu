// LSTM stacks at large batch on tensor cores (sm_90a): all layers of a pass at once, weights resident on chip.
//
//   block = (group of sequences, layer, slice of hidden units); one block per multiprocessor, for all T steps
//
//               input of step t              h of step t-1, written by the slices of this layer
//          (x, or h of the layer below)            |
//                    v                             v
//   gates (4 UNITS x COLUMNS) = Wx (in shared memory) . input  +  Wh (in registers) . h
//                    |  one thread holds or fetches i, f, o, g of a cell; c stays in its registers
//                    v
//   h of step t: to global memory, then a flag; slices of this layer and of the layer above wait for it
//
// What hides what. A block works on HALVES independent sets of COLUMNS sequences in turn: while the gates of one
// half are computed and travel, the products of the other run. The input product comes first, its data is early.
//
// Roles. Warps 0-7, two warpgroups, multiply and compute gates: warpgroup g owns gate rows 64 g .. 64 g + 63 (SPLIT
// 0), or both own the same 64 rows, each half of the chunks of K, and add up through shared memory (SPLIT 1, for
// HIDDEN 1024, where 128 rows of Wx and Wh do not fit). Warps 8-11 load chunks into one ring, which holds them in the
// order of their products; each waits for the flags of its chunks: 8 and 9 the even and odd ones of inputs, 10 and 11
// of h (SPLIT: each every fourth of both). Four, because a warp is held for 390 cycles by each bulk copy, of 2 KB or
// of 16 KB (measured). PUBLISH 1: warps 12 and 13 copy what a warpgroup left in shared memory to global memory, wait
// until all of the GPU sees it, and add to the flag; this takes 900 cycles longer than if the multiplying warps do it
// themselves (PUBLISH 0), who then miss them. COLUMNS 128: sums and Wh leave registers for 384 threads only; warps 8
// and 9 load the even and odd chunks of both, 10 and 11 publish, and one warpgroup's gates are hidden by the other's
// products (512 x 2, 512 sequences: 410 us; two halves of 64 columns: 440). PAIR blocks of a cluster (neighbouring
// slices of one layer and group) need the same chunks: each loads its share of a chunk and multicasts it, which halves
// what L2 must deliver.
//
// Layouts. All activations are in chunks that matrix products read as they lie (tile_plain): a block of COLUMNS
// sequences at one step is [K / 8][COLUMNS][8 values of k]. Buffers: [block of columns][step][K / 8][COLUMNS][8].
// Gate rows: row 16 w + r and 16 w + r + 8 of a warp's 16 are gates (i, f) of unit 4 w + r / 2 for even r, (o, g)
// for odd r, so that lanes 4 apart share a unit and trade one column each.
//
// Synchronisation. flags[layer][block of columns][slice] counts the warps that have written h, WRITERS a step;
// lstm_tile_input zeroes them. Writers: stores, __syncwarp, one red.release. Readers: ld.acquire, a proxy fence,
// bulk copies. Cooperative launch; every wait is bounded and faults.
//
// Defines: HIDDEN (multiple of 2 UNITS), COLUMNS (8 .. 128), HALVES (1, 2), SPLIT (0, 1), PAIR (1, 2), PUBLISH (0, 1),
// CHUNK (values of k, 64 or 128), SLOTS (chunks of the ring: 2 more than those of a product; even if SPLIT),
// INPUT_CHUNKS (of the pass' first layer; even if SPLIT), BFLOAT (0, 1), WX_BYTES (of shared memory for Wx). COLUMNS
// 128: HALVES 1, SPLIT 0, PUBLISH 1, SLOTS 4 or more.
#include "lstm-columns.cuh"

#define UNITS (SPLIT ? 16 : 32)
#define ROWS (4 * UNITS)
#define SLICES (HIDDEN / UNITS)
#define CHUNK_BYTES (CHUNK * COLUMNS * 2)
#define SHARE_BYTES (CHUNK_BYTES / PAIR)
// h of one step and block of columns.
#define H_BYTES (HIDDEN * COLUMNS * 2)
#define CHUNK_STEPS (CHUNK / 16)
// Chunks of an input product under way at a time.
#define LEAD_MAX (SPLIT ? 2 : 4)
#define LEAD(chunks) ((chunks) / STRIDE < LEAD_MAX ? (chunks) / STRIDE : LEAD_MAX)
// Chunks that one warpgroup multiplies of a recurrent product, and the distance between them.
#define STRIDE (SPLIT ? 2 : 1)
// Whether a loading warp loads chunks of inputs and of h alike; such warps, and those that share a product's chunks.
#define IS_MIXED (SPLIT || COLUMNS == 128)
#define LOADING_WARPS (COLUMNS == 128 ? 2 : 4)
#define LOADERS (SPLIT ? 4 : 2)
// Chunks of an input product under way while no gates are computed.
#define RUNNING (COLUMNS == 128 ? 1 : 2)
#define OWN_CHUNKS (HIDDEN / CHUNK / STRIDE)
// Columns whose gates a warpgroup computes; 8 of them give each thread one cell.
#define OWN_COLUMNS (COLUMNS / STRIDE)
#define CELLS (OWN_COLUMNS / 8)
#define SUMS (COLUMNS / 2)
// 16-byte vectors of h that a warpgroup makes, and the warps that write them.
#define VECTORS (2 * OWN_COLUMNS)
#define WRITERS (PUBLISH || VECTORS <= 32 ? 2 : VECTORS / 16)
#define THREADS (PUBLISH && LOADING_WARPS == 4 ? 512 : 384)

// Shared memory: Wx, the ring, h on its way out (without PUBLISH, of each half), partial sums (SPLIT), barriers.
#define RING_AT WX_BYTES
#define STAGE_AT (RING_AT + SLOTS * CHUNK_BYTES)
#define STAGE_BYTES (UNITS * COLUMNS * 2)
#define PARTIAL_AT (STAGE_AT + (PUBLISH ? 1 : HALVES) * STAGE_BYTES)
#define PARTIAL_BYTES (SPLIT ? 2 * 128 * SUMS / 2 * 4 : 0)
#define BARRIERS_AT (PARTIAL_AT + PARTIAL_BYTES)
#define SHARED_BYTES (BARRIERS_AT + 16 * SLOTS + 64)

struct Layer {
  const u8* wx;      // per slice: [K / 8][ROWS][8]
  const uint4* wh;   // per slice: [warpgroup][step of 16][thread], A fragments
  const float* bias; // [unit][gate]
  u8* h;             // [block of columns][ring][HIDDEN / 8][COLUMNS][8]
  u32 ring;          // steps of h that are kept: T, or 2 where nobody reads them later
};
struct Arguments {
  Layer layers[8];   // of this pass, the first layers_count of them
  const u8* input;   // of the pass' first layer: [block of columns][T][chunks CHUNK / 8][COLUMNS][8]
  const u8* zeros;   // h of step -1, of one block of columns
  u32* flags;        // [layer of this pass][block of columns][SLICES]
  u32 T, layers_count, groups, tiles;
};

// A chunk's slot, and how often (odd or even) the ring has gone round.
struct Place { u32 slot, phase; };
DEVICE void advance(Place& place, u32 by) {
  for (place.slot += by; place.slot >= SLOTS; place.slot -= SLOTS) place.phase ^= 1;
}
DEVICE u32 chunk_at(u32 base, u32 slot) { return base + RING_AT + slot * CHUNK_BYTES; }
DEVICE u32 full_barrier(u32 base, u32 slot) { return base + BARRIERS_AT + 8 * slot; }
DEVICE u32 empty_barrier(u32 base, u32 slot) { return base + BARRIERS_AT + 8 * (SLOTS + slot); }
DEVICE u32 weights_barrier(u32 base) { return base + BARRIERS_AT + 16 * SLOTS; }
// A warpgroup's h lies in its stage; has been read from there.
DEVICE u32 staged_barrier(u32 base, u32 group) { return base + BARRIERS_AT + 16 * SLOTS + 8 + 8 * group; }
DEVICE u32 taken_barrier(u32 base, u32 group) { return base + BARRIERS_AT + 16 * SLOTS + 24 + 8 * group; }

struct Block {           // where a block is
  u32 base;              // of its shared memory
  u32 slice, layer, group, steps;
};
DEVICE u32 columns_of(const Arguments& a, const Block& at, u32 step, u32 half) {
  return ((step / a.T) * a.groups + at.group) * HALVES + half;
}

// ---------------------------------------------------------------------------------------------- the loading warps

// One bit for each slice of a layer.
template <bool Many> struct Bits { typedef u32 type; };
template <> struct Bits<true> { typedef u64 type; };
typedef Bits<(SLICES > 32)>::type Slices;

// Every second (SPLIT: fourth) chunk of one product's B operand, from `own` on. flags: of the slices that write it,
// null if it is all there.
DEVICE void load_chunks(u32 base, u32 own, Place& next, const u8* source, u32 chunks, const u32* flags,
    u32 count) {
  const u32 slices = CHUNK / PAIR / UNITS, lane = lane_of(), rank = PAIR > 1 ? cluster_rank() : 0;
  Slices ready = flags ? 0 : ~(Slices)0;
  bool is_fenced = !flags;
  Place place = next;
  advance(place, own);
  _Pragma("unroll 1") for (u32 c = own; c < chunks; c += LOADERS) {
    const Slices needed = (((Slices)1 << slices) - 1) << ((c * PAIR + rank) * slices % (8 * sizeof(Slices)));
    for (u32 spins = 0; (ready & needed) != needed; spins++) {
      ready = __ballot_sync(~0u, lane < SLICES && load_acquire(flags + lane) >= count);
      if (SLICES > 32)
        ready |= (Slices)__ballot_sync(~0u, lane + 32 < SLICES && load_acquire(flags + 32 + lane) >= count) << 16 << 16;
      is_fenced = false;
      fault_if_over(spins, SPIN_MAX);
    }
    if (lane == 0) {
      barrier_wait(empty_barrier(base, place.slot), place.phase ^ 1);
      if (!is_fenced) fence_async_global();
      const u32 full = full_barrier(base, place.slot);
      barrier_expect(full, CHUNK_BYTES);
      const u32 to = chunk_at(base, place.slot) + rank * SHARE_BYTES;
      const u8* from = source + (u64)c * CHUNK_BYTES + rank * SHARE_BYTES;
      if (PAIR > 1) bulk_load_multicast(to, from, SHARE_BYTES, full, (1 << PAIR) - 1);
      else bulk_load(to, from, SHARE_BYTES, full);
    }
    is_fenced = true;
    __syncwarp();
    advance(place, LOADERS);
  }
  advance(next, chunks);
}

DEVICE void load_input(const Arguments& a, const Block& at, u32 own, Place& next, u32 step, u32 half) {
  // Begun by the last step, used by none: one input more than there are.
  const u32 columns = columns_of(a, at, min(step, at.steps - 1), half), t = step % a.T;
  if (at.layer == 0)
    load_chunks(at.base, own, next, a.input + ((u64)columns * a.T + t) * (INPUT_CHUNKS * CHUNK_BYTES), INPUT_CHUNKS,
      nullptr, 0);
  else {
    const Layer& below = a.layers[at.layer - 1];
    load_chunks(at.base, own, next, below.h + ((u64)columns * below.ring + t % below.ring) * H_BYTES, HIDDEN / CHUNK,
      a.flags + ((at.layer - 1) * (a.tiles * HALVES) + columns) * SLICES, (t + 1) * WRITERS);
  }
}

DEVICE void load_hidden(const Arguments& a, const Block& at, u32 own, Place& next, u32 step, u32 half) {
  const Layer& layer = a.layers[at.layer];
  const u32 columns = columns_of(a, at, step, half), t = step % a.T;
  const u8* h = t == 0 ? a.zeros : layer.h + ((u64)columns * layer.ring + (t - 1) % layer.ring) * H_BYTES;
  load_chunks(at.base, own, next, h, HIDDEN / CHUNK,
    t == 0 ? nullptr : a.flags + (at.layer * (a.tiles * HALVES) + columns) * SLICES, t * WRITERS);
}

// The ring's chunks in order: input of the first half; then h of a half, input of the next. A loader passes over
// others' chunks, fewer than the ring holds: parities of barriers tell one round of the ring from the next only.
DEVICE void load(const Arguments& a, const Block& at, u32 own, bool inputs, bool hiddens) {
  const u32 input_chunks = at.layer == 0 ? INPUT_CHUNKS : HIDDEN / CHUNK;
  Place next = { 0, 0 };
  if (inputs) load_input(a, at, own, next, 0, 0); else advance(next, input_chunks);
  for (u32 step = 0; step < at.steps; step++)
    _Pragma("unroll 1") for (u32 half = 0; half < HALVES; half++) {
      if (hiddens) load_hidden(a, at, own, next, step, half); else advance(next, HIDDEN / CHUNK);
      const bool wraps = half + 1 == HALVES;
      if (inputs) load_input(a, at, own, next, step + wraps, wraps ? 0 : half + 1); else advance(next, input_chunks);
    }
}

// ------------------------------------------------------------------------------------------- the publishing warps

DEVICE u32 stage_at(u32 base, u32 group, u32 half) {
  return base + STAGE_AT + (PUBLISH ? 0 : half * STAGE_BYTES) + group * VECTORS * 16;
}
DEVICE u8* hidden_at(const Arguments& a, const Block& at, u32 columns, u32 t) {
  const Layer& layer = a.layers[at.layer];
  return layer.h + ((u64)columns * layer.ring + t % layer.ring) * H_BYTES + at.slice * (UNITS * COLUMNS * 2);
}
DEVICE u32* flag_at(const Arguments& a, const Block& at, u32 columns) {
  return a.flags + (at.layer * (a.tiles * HALVES) + columns) * SLICES + at.slice;
}
// Where vector v of a warpgroup's belongs in h of the slice.
DEVICE u32 vector_at(u32 group, u32 v) {
  return 16 * (SPLIT ? v / OWN_COLUMNS * COLUMNS + group * OWN_COLUMNS + v % OWN_COLUMNS : group * VECTORS + v);
}

DEVICE void publish(const Arguments& a, const Block& at, u32 group) {
  const u32 stage = stage_at(at.base, group, 0), lane = lane_of();
  u32 phase = 0;
  for (u32 step = 0; step < at.steps; step++)
    _Pragma("unroll 1") for (u32 half = 0; half < HALVES; half++, phase ^= 1) {
      const u32 columns = columns_of(a, at, step, half);
      u8* h = hidden_at(a, at, columns, step % a.T);
      barrier_wait(staged_barrier(at.base, group), phase);
      _Pragma("unroll 4") for (u32 v = lane; v < VECTORS; v += 32)
        store_global4(h + vector_at(group, v), load_shared4(stage + v * 16));
      __syncwarp();
      if (lane < SPEAKERS) barrier_arrive(taken_barrier(at.base, group));
      if (lane == 0) add_release(flag_at(a, at, columns), 1);
    }
}

// -------------------------------------------------------------------------------------- the multiplying warpgroups

struct Consumer {
  u32 base, thread, group;   // thread of the warpgroup, warpgroup
  Place next, oldest;        // the next chunk to multiply, the oldest that is not given back
  u32 held;                  // chunks between them
  u32 staged;                // how often h was staged
};

// Gives back all chunks but the newest `keep`; their products have ended.
DEVICE void give_back(Consumer& w, u32 keep) {
  for (; w.held > keep; w.held--) {
    const u32 lane = w.thread & 31, barrier = empty_barrier(w.base, w.oldest.slot);
    if (PAIR == 1) { if (lane == 0) barrier_arrive(barrier); }
    else if (lane < PAIR) barrier_arrive_remote(map_shared(barrier, lane));
    advance(w.oldest, STRIDE);
  }
}
// Until at most `running` (0 .. 4) of this warpgroup's chunks are being multiplied; a constant once loops are unrolled.
DEVICE void wait_running(Consumer& w, u32 running) {
  if (running == 0) wgmma_wait<0>();
  else if (running == 1) wgmma_wait<1>();
  else if (running == 2) wgmma_wait<2>();
  else if (running == 3) wgmma_wait<3>();
  else wgmma_wait<4>();
  give_back(w, running);
}

DEVICE u32 next_chunk(const Consumer& w) {
  barrier_wait(full_barrier(w.base, w.next.slot), w.next.phase);
  return low_word(chunk_at(w.base, warp_uniform(w.next.slot)), COLUMNS);
}
DEVICE void end_chunk(Consumer& w) {
  wgmma_commit();
  advance(w.next, STRIDE);
  w.held++;
}

// Chunk c of this warpgroup's of d = Wx . input.
DEVICE void input_chunk(Consumer& w, float (&d)[SUMS], u32 c) {
  const u32 wx = low_word(w.base + warp_uniform(w.group) * (SPLIT ? CHUNK * ROWS * 2 : 64 * 16), ROWS);
  const u32 b = next_chunk(w);
  wgmma_fence();
  UNROLL for (u32 k = 0; k < CHUNK_STEPS; k++)
    wgmma_product(d, tile(wx + (c * STRIDE * CHUNK_STEPS + k) * (2 * ROWS)), tile(b + k * (2 * COLUMNS)), c + k != 0);
  end_chunk(w);
}

// d += Wh . h, all but the last chunk of it.
DEVICE void recurrent_product(Consumer& w, float (&d)[SUMS], const u32 (&wh)[OWN_CHUNKS * CHUNK_STEPS][4]) {
  wgmma_fence();
  UNROLL for (u32 c = 0; c < OWN_CHUNKS; c++) {
    const u32 b = next_chunk(w);
    UNROLL for (u32 k = 0; k < CHUNK_STEPS; k++)
      wgmma_product(d, wh[c * CHUNK_STEPS + k], tile(b + k * (2 * COLUMNS)), true);
    end_chunk(w);
    wait_running(w, 1);
  }
}

// Adds what the other warpgroup summed over its chunks; of the columns, this warpgroup keeps its half.
DEVICE void add_partial(const Consumer& w, float (&d)[SUMS]) {
  const u32 here = w.base + PARTIAL_AT + w.thread * 4, bytes = 128 * SUMS / 2 * 4;
  named_barrier(4, 256);  // the sums before these have been read
  UNROLL for (u32 i = 0; i < SUMS / 2; i++)
    store_shared(here + (1 - w.group) * bytes + i * 512, bits_of(w.group ? d[i] : d[SUMS / 2 + i]));
  named_barrier(3, 256);
  UNROLL for (u32 i = 0; i < SUMS / 2; i++)
    d[i] = (w.group ? d[SUMS / 2 + i] : d[i]) + float_of(load_shared(here + w.group * bytes + i * 512));
}

// Gates of one half of one step: new c, and h into the stage. Half way, the other half's input product goes on: a few
// chunks are always under way, no more, because what is under way keeps its slots of the ring.
template <u32 CHUNKS> DEVICE void gates(Consumer& w, float (&d)[SUMS], float (&other)[SUMS], float (&c)[CELLS],
    const float (&bias)[4], u32 stage) {
  const u32 lane = w.thread & 31, warp = w.thread >> 5, odd = lane >> 2 & 1;
  if (SPLIT) add_partial(w, d);
  // The stage's last h has been read.
  if (!PUBLISH) named_barrier(1 + w.group, 128);
  else if (w.staged) barrier_wait(taken_barrier(w.base, w.group), (w.staged - 1) & 1);
  // Unit 4 warp + lane / 8 of the warpgroup's 16, first column 2 (lane % 4) + odd.
  const u32 to = stage + ((warp >> 1) * OWN_COLUMNS + 2 * (lane & 3) + odd) * 16 + (4 * (warp & 1) + (lane >> 3)) * 2;
  UNROLL for (u32 j = 0; j < CELLS; j++) {
    store_shared_half(to + j * 128, to_value(cell_of(d, j, bias, c[j])));
    if (HALVES == 2 && j == (CELLS - 1) / 2)
      UNROLL for (u32 k = LEAD(CHUNKS); k < CHUNKS / STRIDE; k++) {
        input_chunk(w, other, k);
        wait_running(w, LEAD(CHUNKS));
      }
  }
}

// Hands h in the stage to the publishing warp, or writes it and adds to the flag.
DEVICE void pass_on(Consumer& w, const Arguments& a, const Block& at, u32 step, u32 half, u32 stage) {
  const u32 lane = w.thread & 31;
  if (PUBLISH) {
    __syncwarp();
    if (lane < SPEAKERS) barrier_arrive(staged_barrier(w.base, w.group));
    w.staged++;
    return;
  }
  const u32 columns = columns_of(a, at, step, half);
  named_barrier(1 + w.group, 128);
  if (w.thread >= 16 * WRITERS) return;
  if (w.thread < VECTORS)
    store_global4(hidden_at(a, at, columns, step % a.T) + vector_at(w.group, w.thread),
      load_shared4(stage + w.thread * 16));
  __syncwarp();
  if (lane == 0) add_release(flag_at(a, at, columns), 1);
}

template <u32 CHUNKS> DEVICE void multiply(const Arguments& a, const Block& at) {
  const Layer& layer = a.layers[at.layer];
  // The shuffle tells the compiler that a warp agrees, so that addresses stay in uniform registers.
  const u32 group = warp_uniform(threadIdx.x >> 7), thread = threadIdx.x & 127, warp = thread >> 5, lane = thread & 31;
  const Place first = { SPLIT ? group : 0, 0 };
  Consumer w = { at.base, thread, group, first, first, 0, 0 };
  u32 wh[OWN_CHUNKS * CHUNK_STEPS][4];
  UNROLL for (u32 k = 0; k < OWN_CHUNKS * CHUNK_STEPS; k++) {
    const uint4 v = load_global4(layer.wh + ((at.slice * 2 + group) * (OWN_CHUNKS * CHUNK_STEPS) + k) * 128 + thread);
    wh[k][0] = v.x; wh[k][1] = v.y; wh[k][2] = v.z; wh[k][3] = v.w;
  }
  float bias[4];
  const u32 unit = at.slice * UNITS + (SPLIT ? 0 : group * 16) + 4 * warp + (lane >> 3);
  UNROLL for (u32 g = 0; g < 4; g++) bias[g] = layer.bias[unit * 4 + g] * (g == 3 ? 1.f : 0.5f);

  float d[HALVES][SUMS], c[HALVES][CELLS];
  barrier_wait(weights_barrier(at.base), 0);
  UNROLL for (u32 k = 0; k < CHUNKS / STRIDE; k++) { input_chunk(w, d[0], k); wait_running(w, RUNNING); }
  wait_running(w, 0);
  for (u32 step = 0; step < at.steps; step++) {
    if (step % a.T == 0) UNROLL for (u32 j = 0; j < HALVES * CELLS; j++) c[j / CELLS][j % CELLS] = 0.f;
    UNROLL for (u32 half = 0; half < HALVES; half++) {
      float (&other)[SUMS] = d[HALVES - 1 - half];
      recurrent_product(w, d[half], wh);
      if (HALVES == 2) UNROLL for (u32 k = 0; k < LEAD(CHUNKS); k++) input_chunk(w, other, k);
      wait_running(w, HALVES == 2 ? LEAD(CHUNKS) : 0);
      wgmma_hold(d[half]);
      const u32 stage = stage_at(at.base, group, half);
      gates<CHUNKS>(w, d[half], other, c[half], bias, stage);
      pass_on(w, a, at, step, half, stage);
      if (HALVES == 1) UNROLL for (u32 k = 0; k < CHUNKS / STRIDE; k++) {
        input_chunk(w, d[0], k);
        wait_running(w, RUNNING);
      }
      wait_running(w, 0);
    }
  }
}

KERNEL(THREADS, lstm_tile, Arguments) {
  const u32 base = shared_base();
  Block at;
  at.base = base;
  at.slice = blockIdx.x % SLICES;
  at.layer = blockIdx.x / SLICES % a.layers_count;
  at.group = blockIdx.x / (SLICES * a.layers_count);
  at.steps = (a.tiles - at.group + a.groups - 1) / a.groups * a.T;
  if (threadIdx.x == 0) {
    for (u32 s = 0; s < SLOTS; s++) {
      barrier_init(full_barrier(base, s), 1);
      barrier_init(empty_barrier(base, s), (SPLIT ? 4 : 8) * PAIR);
    }
    for (u32 g = 0; g < 2; g++) {
      barrier_init(staged_barrier(base, g), 4 * SPEAKERS);
      barrier_init(taken_barrier(base, g), SPEAKERS);
    }
    const u32 weights = weights_barrier(base);
    barrier_init(weights, 1);
    barrier_init_fence();
    const u32 bytes = (at.layer == 0 ? INPUT_CHUNKS * CHUNK : HIDDEN) * ROWS * 2;
    barrier_expect(weights, bytes);
    const u8* wx = a.layers[at.layer].wx + (u64)at.slice * bytes;
    for (u32 k = 0; k < bytes; k += 16384) bulk_load(base + k, wx + k, min(16384, bytes - k), weights);
  }
  let_dependents_start();
  __syncthreads();
  if (PAIR > 1) cluster_sync();
  if (threadIdx.x >= 256) {
    registers_fewer<THREADS == 512 ? 32 : 40>();
    wait_for_prior_kernel();  // weights may come before; activations and flags may not
    const u32 role = warp_of() - 8;
    if (role < LOADING_WARPS) load(a, at, SPLIT ? role : role & 1, IS_MIXED || role < 2, IS_MIXED || role >= 2);
    else if (role < LOADING_WARPS + 2) publish(a, at, role - LOADING_WARPS);
  } else {
    registers_more<THREADS == 512 ? 224 : 232>();
    if (at.layer == 0) multiply<INPUT_CHUNKS>(a, at);
    else multiply<HIDDEN / CHUNK>(a, at);
  }
  __syncwarp();
  if (PAIR > 1) cluster_sync();  // nobody leaves while a neighbour may still write to or signal it
}
