// LSTM stacks at large batch on tensor cores (sm_90a), weights streaming: each step of each layer is a matrix product
// whose two operands come from L2, in tiles of 128 gate rows times COLUMNS sequences. Weights that stay on a
// multiprocessor (lstm-tile.cu) leave its products too few registers to be wide and their gates nothing to hide
// behind; where there is work enough, it pays to fetch them again.
//
//   item = (step, layer, block of columns, slice of 32 units)       wave = all items with the same step + layer
//
//           layer's input of step t            h of step t-1
//     (x, or h of the layer below)                   |
//                   v                                v
//   gates (128 x COLUMNS) = Wx . input   +   Wh . h            all from shared memory, sums in registers
//                   |  c of a cell: global memory, as each thread wants it
//                   v
//   h of step t: to global memory, then a flag
//
// Order. Pairs of blocks take items in turn, wave after wave. An item needs what items of the wave before made, and
// nobody takes an item before all its earlier ones: no wait can be for ever, as long as all blocks run at once
// (cooperative launch). Where a wave has several items a pair, what an item needs was made a good while ago.
//
// Roles. Warps 0-7, two warpgroups: warpgroup g multiplies gate rows 64 g .. 64 g + 63 and computes their gates. Warp
// 8 loads weights into the ring's slots, warp 9 sequences: half of each chunk, multicast to both blocks of the pair,
// which are neighbouring slices. Warps 10 and 11 copy h from shared to global memory, wait until all of the GPU sees
// it, and add to the flag.
//
// Layouts. Weights: per slice [K / 8][128][8], rows as in lstm-tile.cu (row 16 w + r and + 8 are gates (i, f) of unit
// 4 w + r / 2 for even r, (o, g) for odd r). Sequences: lstm-columns.cuh.
//
// Synchronisation. flags[layer][block of columns][slice] counts the warps that have written h, WRITERS a step;
// lstm_tile_input zeroes them. Every wait is bounded and faults. c of an item is stored by one thread and loaded by the
// same, or by one of another block after it has seen the flag of h, which was added to later.
//
// Defines: HIDDEN (multiple of 64), COLUMNS (64, 128, 256), CHUNK (values of k of a slot, 64), SLOTS (2 or more),
// INPUT_STEPS (the features in steps of 16, CHUNK / 16 or more), BFLOAT (0, 1).
#include "lstm-columns.cuh"

#define PAIR 2
#define UNITS 32
#define ROWS 128
#define SLICES (HIDDEN / UNITS)
#define CHUNK_STEPS (CHUNK / 16)
#define HIDDEN_STEPS (HIDDEN / 16)
// Bytes of a step of 16 values of k, and of a chunk.
#define W_STEP (16 * ROWS * 2)
#define X_STEP (16 * COLUMNS * 2)
#define SLOT_BYTES (CHUNK_STEPS * (W_STEP + X_STEP))
#define H_BYTES (HIDDEN_STEPS * X_STEP)
#define SUMS (COLUMNS / 2)
#define CELLS (COLUMNS / 8)
// 16-byte vectors of h that a warpgroup makes, and the warps that write a slice's.
#define VECTORS (2 * COLUMNS)
#define WRITERS 2
// What is left of the features after whole chunks.
#define TAIL (INPUT_STEPS % CHUNK_STEPS)

// Shared memory: the ring, h on its way out, barriers.
#define STAGE_AT (SLOTS * SLOT_BYTES)
#define STAGE_BYTES (UNITS * COLUMNS * 2)
#define BARRIERS_AT (STAGE_AT + STAGE_BYTES)

struct Layer {
  const u8* wx;
  const u8* wh;
  const float* bias; // [unit][gate]
  u8* h;             // [block of columns][ring][HIDDEN / 8][COLUMNS][8]
  u32 ring;          // steps of h that are kept: T, or 2 where nobody reads them later
};
struct Arguments {
  Layer layers[8];   // the first layers_count of them
  const u8* input;   // [block of columns][T][INPUT_STEPS * 2][COLUMNS][8]
  u32* c;            // floats: [layer][block of columns][slice][warpgroup][CELLS][thread]
  u32* flags;        // [layer][block of columns][SLICES]
  u32 T, layers_count, pairs, tiles;
};

// A chunk's slot, and how often (odd or even) the ring has gone round.
struct Place { u32 slot, phase; };
DEVICE void advance(Place& place) {
  if (++place.slot == SLOTS) { place.slot = 0; place.phase ^= 1; }
}
DEVICE u32 slot_at(u32 base, u32 slot) { return base + slot * SLOT_BYTES; }
DEVICE u32 full_barrier(u32 base, u32 slot) { return base + BARRIERS_AT + 8 * slot; }
DEVICE u32 empty_barrier(u32 base, u32 slot) { return base + BARRIERS_AT + 8 * (SLOTS + slot); }
// A warpgroup's h lies in its stage; has been read from there.
DEVICE u32 stage_at(u32 base, u32 group) { return base + STAGE_AT + group * (VECTORS * 16); }
DEVICE u32 staged_barrier(u32 base, u32 group) { return base + BARRIERS_AT + 16 * SLOTS + 8 * group; }
DEVICE u32 taken_barrier(u32 base, u32 group) { return base + BARRIERS_AT + 16 * SLOTS + 16 + 8 * group; }

// ------------------------------------------------------------------------------------------------- items and chunks

struct Item { u32 layer, t, tile, slice; };

// A pair's items in order: `next` is the number of the next one, of all waves.
struct Items { u32 next; };
DEVICE Items first_items() { return { blockIdx.x / PAIR }; }
// The next item, if there is one. Waves at both ends lack the layers that have no such step.
DEVICE bool take(const Arguments& a, Items& items, Item& item) {
  const u32 of_layer = SLICES / PAIR, of_tile = a.layers_count * of_layer, of_wave = of_tile * a.tiles;
  for (; items.next < (a.T + a.layers_count - 1) * of_wave; items.next += a.pairs) {
    const u32 wave = items.next / of_wave, k = items.next % of_wave;
    item.tile = k / of_tile;
    item.layer = k % of_tile / of_layer;
    item.slice = k % of_layer * PAIR + cluster_rank();
    item.t = wave - item.layer;
    if (item.t < a.T) {
      items.next += a.pairs;
      return true;
    }
  }
  return false;
}
DEVICE u32 input_steps(const Item& item) { return item.layer == 0 ? INPUT_STEPS : HIDDEN_STEPS; }

// Steps first .. first + steps - 1 of K, of the input's product or the recurrent one. The order of an item's chunks:
// what is left of the features, so that no product is under way where whole chunks begin; inputs; h, which comes last.
struct Chunk { bool is_hidden; u32 first, steps; };
DEVICE u32 tails_of(const Item& item) { return TAIL && item.layer == 0; }
DEVICE u32 inputs_of(const Item& item) { return input_steps(item) / CHUNK_STEPS; }
DEVICE u32 hiddens_of(const Item& item) { return item.t == 0 ? 0 : HIDDEN_STEPS / CHUNK_STEPS; }
DEVICE u32 chunks_of(const Item& item) { return tails_of(item) + inputs_of(item) + hiddens_of(item); }
DEVICE Chunk chunk_at(const Item& item, u32 c) {
  if (c < tails_of(item)) return { false, INPUT_STEPS - TAIL, TAIL };
  c -= tails_of(item);
  const bool is_hidden = c >= inputs_of(item);
  return { is_hidden, (is_hidden ? c - inputs_of(item) : c) * CHUNK_STEPS, CHUNK_STEPS };
}

// ---------------------------------------------------------------------------------------------- the loading warps

// One thread.
DEVICE void load_weights(const Arguments& a, u32 base) {
  Items items = first_items();
  Place next = { 0, 0 };
  for (Item item; take(a, items, item);) {
    const Layer& layer = a.layers[item.layer];
    const u8* wx = layer.wx + (u64)item.slice * (input_steps(item) * W_STEP);
    const u8* wh = layer.wh + (u64)item.slice * (HIDDEN_STEPS * W_STEP);
    const u32 chunks = chunks_of(item);
    _Pragma("unroll 1") for (u32 c = 0; c < chunks; c++, advance(next)) {
      const Chunk chunk = chunk_at(item, c);
      const u32 full = full_barrier(base, next.slot), bytes = chunk.steps * W_STEP;
      barrier_wait(empty_barrier(base, next.slot), next.phase ^ 1);
      barrier_expect(full, bytes);
      bulk_load(slot_at(base, next.slot), (chunk.is_hidden ? wh : wx) + chunk.first * W_STEP, bytes, full);
    }
  }
}

// Until all slices of a layer have written so many steps of h for a block of columns. A warp.
DEVICE void wait_for_slices(const Arguments& a, u32 layer, u32 tile, u32 steps) {
  const u32* flags = a.flags + (layer * a.tiles + tile) * SLICES;
  const u32 lane = lane_of();
  for (u32 spins = 0; ; spins++) {
    const bool is_there = lane >= SLICES || load_acquire(flags + lane) >= steps * WRITERS;
    if (__ballot_sync(~0u, is_there) == ~0u) break;
    fault_if_over(spins, SPIN_MAX);
  }
  if (lane == 0) fence_async_global();
  __syncwarp();
}
DEVICE u8* hidden_at(const Arguments& a, u32 layer, u32 tile, u32 t) {
  const Layer& of = a.layers[layer];
  return of.h + ((u64)tile * of.ring + t % of.ring) * H_BYTES;
}

// A warp.
DEVICE void load_columns(const Arguments& a, u32 base) {
  const u32 rank = cluster_rank();
  Items items = first_items();
  Place next = { 0, 0 };
  for (Item item; take(a, items, item);) {
    const u8* input = item.layer > 0 ? hidden_at(a, item.layer - 1, item.tile, item.t)
      : a.input + ((u64)item.tile * a.T + item.t) * (INPUT_STEPS * X_STEP);
    const u8* hidden = hidden_at(a, item.layer, item.tile, item.t - 1);
    const u32 chunks = chunks_of(item);
    _Pragma("unroll 1") for (u32 c = 0; c < chunks; c++, advance(next)) {
      const Chunk chunk = chunk_at(item, c);
      if (chunk.first == 0 && chunk.is_hidden) wait_for_slices(a, item.layer, item.tile, item.t);
      else if (chunk.first == 0 && item.layer > 0) wait_for_slices(a, item.layer - 1, item.tile, item.t + 1);
      if (lane_of() == 0) {
        const u32 share = chunk.steps * X_STEP / PAIR, full = full_barrier(base, next.slot);
        barrier_wait(empty_barrier(base, next.slot), next.phase ^ 1);
        barrier_expect(full, share * PAIR);
        bulk_load_multicast(slot_at(base, next.slot) + CHUNK_STEPS * W_STEP + rank * share,
          (chunk.is_hidden ? hidden : input) + chunk.first * X_STEP + rank * share, share, full, (1 << PAIR) - 1);
      }
      __syncwarp();
    }
  }
}

// ------------------------------------------------------------------------------------------- the publishing warps

// A warp.
DEVICE void publish(const Arguments& a, u32 base, u32 group) {
  const u32 stage = stage_at(base, group), lane = lane_of();
  Items items = first_items();
  u32 phase = 0;
  for (Item item; take(a, items, item); phase ^= 1) {
    u8* h = hidden_at(a, item.layer, item.tile, item.t) + item.slice * STAGE_BYTES + group * (VECTORS * 16);
    barrier_wait(staged_barrier(base, group), phase);
    _Pragma("unroll 2") for (u32 v = lane; v < VECTORS; v += 32)
      store_global4(h + v * 16, load_shared4(stage + v * 16));
    __syncwarp();
    if (lane < SPEAKERS) barrier_arrive(taken_barrier(base, group));
    if (lane == 0) add_release(a.flags + (item.layer * a.tiles + item.tile) * SLICES + item.slice, 1);
  }
}

// -------------------------------------------------------------------------------------- the multiplying warpgroups

struct Consumer {
  u32 base, group, lane;
  Place next, oldest;   // the next chunk to multiply, the oldest that is not given back
};
// Says to both blocks that this warp has read its oldest chunk.
DEVICE void give_back(Consumer& w) {
  if (w.lane < PAIR) barrier_arrive_remote(map_shared(empty_barrier(w.base, w.oldest.slot), w.lane));
  advance(w.oldest);
}
// Begins d (+)= W . X of the next chunk.
template <u32 STEPS> DEVICE void multiply_chunk(Consumer& w, float (&d)[SUMS], bool is_sum) {
  barrier_wait(full_barrier(w.base, w.next.slot), w.next.phase);
  const u32 at = slot_at(w.base, warp_uniform(w.next.slot));
  const u32 weights = low_word(at + w.group * (64 * 16), ROWS), columns = low_word(at + CHUNK_STEPS * W_STEP, COLUMNS);
  wgmma_fence();
  UNROLL for (u32 k = 0; k < STEPS; k++)
    wgmma_product(d, tile(weights + k * (2 * ROWS)), tile(columns + k * (2 * COLUMNS)), is_sum || k != 0);
  wgmma_commit();
  advance(w.next);
}

DEVICE void multiply(const Arguments& a, u32 base) {
  const u32 group = warp_uniform(threadIdx.x >> 7), thread = threadIdx.x & 127, warp = thread >> 5, lane = thread & 31;
  const u32 odd = lane >> 2 & 1;
  // Unit 4 warp + lane / 8 of the warpgroup's 16, first column 2 (lane % 4) + odd.
  const u32 to = stage_at(base, group)
    + ((warp >> 1) * COLUMNS + 2 * (lane & 3) + odd) * 16 + (4 * (warp & 1) + (lane >> 3)) * 2;
  Consumer w = { base, group, lane, { 0, 0 }, { 0, 0 } };
  Items items = first_items();
  u32 staged = 0;
  for (Item item; take(a, items, item); staged++) {
    const u64 slice = ((u64)item.layer * a.tiles + item.tile) * SLICES + item.slice;
    u32* cells = a.c + (slice * 2 + group) * (CELLS * 128) + thread;
    const float* biases = a.layers[item.layer].bias + (item.slice * UNITS + group * 16 + 4 * warp + (lane >> 3)) * 4;
    const float bias[4] = { biases[0], biases[1], biases[2], biases[3] };
    float d[SUMS], c[CELLS];
    UNROLL for (u32 j = 0; j < CELLS; j++) c[j] = 0.f;
    bool is_sum = false;
    if (tails_of(item)) {
      multiply_chunk<(TAIL ? TAIL : 1)>(w, d, false);
      wgmma_wait<0>();
      give_back(w);
      wgmma_hold(d);
      is_sum = true;
    }
    const u32 inputs = inputs_of(item), chunks = inputs + hiddens_of(item);
    u32 k = 0;
    do {
      // The first chunk of h is there: so is the last step's c, which some cycles of products now hide.
      if (k == inputs) {
        barrier_wait(full_barrier(base, w.next.slot), w.next.phase);
        UNROLL for (u32 j = 0; j < CELLS; j++) c[j] = float_of(load_relaxed(cells + j * 128));
      }
      multiply_chunk<CHUNK_STEPS>(w, d, is_sum);
      is_sum = true;
      wgmma_wait<1>();
      if (k != 0) give_back(w);
    } while (++k < chunks);
    wgmma_wait<0>();
    give_back(w);
    wgmma_hold(d);
    const float half[4] = { 0.5f * bias[0], 0.5f * bias[1], 0.5f * bias[2], bias[3] };
    // The stage's last h has been read.
    if (staged) barrier_wait(taken_barrier(base, group), (staged - 1) & 1);
    UNROLL for (u32 j = 0; j < CELLS; j++) {
      store_shared_half(to + j * 128, to_value(cell_of(d, j, half, c[j])));
      store_relaxed(cells + j * 128, bits_of(c[j]));
    }
    __syncwarp();
    if (lane < SPEAKERS) barrier_arrive(staged_barrier(base, group));
  }
}

KERNEL(384, lstm_stream, Arguments) {
  const u32 base = shared_base();
  if (threadIdx.x == 0) {
    for (u32 s = 0; s < SLOTS; s++) {
      barrier_init(full_barrier(base, s), 2);
      barrier_init(empty_barrier(base, s), 8 * PAIR);
    }
    for (u32 g = 0; g < 2; g++) {
      barrier_init(staged_barrier(base, g), 4 * SPEAKERS);
      barrier_init(taken_barrier(base, g), SPEAKERS);
    }
    barrier_init_fence();
  }
  let_dependents_start();
  __syncthreads();
  cluster_sync();
  if (threadIdx.x >= 256) {
    registers_fewer<40>();
    wait_for_prior_kernel();
    const u32 role = warp_of() - 8;
    if (role == 0) { if (lane_of() == 0) load_weights(a, base); }
    else if (role == 1) load_columns(a, base);
    else publish(a, base, role - 2);
  } else {
    registers_more<232>();
    multiply(a, base);
  }
  __syncwarp();
  cluster_sync();  // nobody leaves while its neighbour may still write to or signal it
}
