// What lstm-tile.cu and lstm-stream.cu, LSTM stacks on tensor cores, have in common: how products find their operands,
// a cell's gates, and the kernels before and after: features into the chunks that products read, and a head, the last
// hidden state or all of them out of those chunks.
//
// Activations: [block of columns][step][K / 8][COLUMNS][8 values of k], a column being a sequence.
// Defines: HIDDEN (padded units), COLUMNS (sequences of a block), BFLOAT (0, 1).
#pragma once
#include "wgmma.cuh"
#include "done.cuh"

#if BFLOAT
#define wgmma_product wgmma_bfloat
#define to_pair to_bfloat2
#define to_value to_bfloat
#define from_value from_bfloat
#else
#define wgmma_product wgmma_half
#define to_pair to_half2
#define to_value to_half
#define from_value from_half
#endif

// Lanes of a warp that say on a barrier that h was staged, or taken from there: after __syncwarp one speaks for all. A
// sanitizer holds what the others did for unsaid; with SANITIZED each speaks for itself.
#ifdef SANITIZED
#define SPEAKERS 32
#else
#define SPEAKERS 1
#endif

// The same in all lanes of a warp. The compiler then works with uniform registers, and does not foresee the value:
// else it computes all addresses of a loop ahead and keeps them, where weights should be.
DEVICE u32 warp_uniform(u32 x) { return __shfl_sync(~0u, x, 0); }
// Descriptors of tiles [K / 8][rows][8]: the low word moves with the address (in 16 bytes), the high word stays. In a
// cluster, addresses have the block's rank above bit 24.
DEVICE u32 low_word(u32 address, u32 rows) { return (address & 0x3ffff) >> 4 | rows << 16; }
DEVICE u64 tile(u32 low) { return (u64)(128 >> 4) << 32 | low; }

// c and h of one cell from its gates before activation, i, f and o halved: sigmoid(2 x) = (1 + tanh x) / 2. Five
// instructions of the unit that gates wait for (exponentials and reciprocals: seven); the hardware's tanh is off by as
// much as float16 h is.
DEVICE float cell(float i, float f, float o, float g, float& c) {
  const float input = fmaf(tanh_hardware(i), 0.5f, 0.5f), forget = fmaf(tanh_hardware(f), 0.5f, 0.5f);
  c = fmaf(forget, c, input * tanh_hardware(g));
  return fmaf(tanh_hardware(o), 0.5f, 0.5f) * tanh_hardware(c);
}
// Cell j of a thread, from its sums d of gates: new c, and h. Lanes 4 apart hold gates (i, f) and (o, g) of two columns
// of one unit, and trade one column each. bias: i, f and o halved.
template <u32 N> DEVICE float cell_of(const float (&d)[N], u32 j, const float (&bias)[4], float& c) {
  const u32 odd = lane_of() >> 2 & 1;
  const float kept0 = odd ? d[4 * j + 1] : d[4 * j], kept1 = odd ? d[4 * j + 3] : d[4 * j + 2];
  const float got0 = shuffle_xor(odd ? d[4 * j] : d[4 * j + 1], 4);
  const float got1 = shuffle_xor(odd ? d[4 * j + 2] : d[4 * j + 3], 4);
  return cell(fmaf(odd ? got0 : kept0, 0.5f, bias[0]), fmaf(odd ? got1 : kept1, 0.5f, bias[1]),
    fmaf(odd ? kept0 : got0, 0.5f, bias[2]), (odd ? kept1 : got1) + bias[3], c);
}

struct InputArguments {
  const float* x;          // (B, T, F)
  u8* input;               // [block of columns][T][K / 8][COLUMNS][8]
  const u32* ring_start;   // or null
  u32* flags;
  u32 B, T, F, eighths, flags_count;
};

// x as the first layer's products read it, zeros where F and B end; and zeroed flags. One thread: 8 features of
// one sequence and step; a warp 8 sequences x 32 features. Grid (T, blocks of columns), 128 threads.
KERNEL(128, lstm_tile_input, InputArguments) {
  const u32 t = blockIdx.x, block = blockIdx.y;
  let_dependents_start();
  for (u32 k = (block * a.T + t) * 128 + threadIdx.x; k < a.flags_count; k += gridDim.x * gridDim.y * 128)
    a.flags[k] = 0;
  const u32 row = ((a.ring_start ? *a.ring_start : 0) + t) % a.T;
  const u32 fours = (a.eighths + 3) / 4, pieces = fours * (COLUMNS / 8);
  u8* to = a.input + ((u64)block * a.T + t) * a.eighths * COLUMNS * 16;
  for (u32 piece = warp_of(); piece < pieces; piece += 4) {
    const u32 column = piece / fours * 8 + (lane_of() >> 2), eighth = piece % fours * 4 + (lane_of() & 3);
    const u32 b = block * COLUMNS + column, f = eighth * 8;
    if (eighth >= a.eighths) continue;
    float v[8];
    const float* from = a.x + ((u64)b * a.T + row) * a.F + f;
    if (b < a.B && f + 8 <= a.F && (a.F & 3) == 0) {
      const float4 low = ((const float4*)from)[0], high = ((const float4*)from)[1];
      v[0] = low.x; v[1] = low.y; v[2] = low.z; v[3] = low.w;
      v[4] = high.x; v[5] = high.y; v[6] = high.z; v[7] = high.w;
    } else {
      UNROLL for (u32 k = 0; k < 8; k++) v[k] = b < a.B && f + k < a.F ? from[k] : 0.f;
    }
    store_global4(to + (eighth * COLUMNS + column) * 16,
      make_uint4(to_pair(v[0], v[1]), to_pair(v[2], v[3]), to_pair(v[4], v[5]), to_pair(v[6], v[7])));
  }
}

struct ResultArguments {
  const u8* h;         // of the last layer: [block of columns][ring][HIDDEN / 8][COLUMNS][8]
  const float* w;      // head: (columns, HIDDEN)
  const float* bias;   // head: (columns)
  void* out;           // head: float (B, columns); last: float (B, H); all: (T, B, H) of 16 bits
  u32* done;           // mapped, or null
  u32* arrivals;       // two words: blocks that have ended, runs
  u32 B, T, H, ring, columns, is_tanh;
};

DEVICE const u8* hidden_of(const ResultArguments& a, u32 b, u32 t) {
  return a.h + ((u64)(b / COLUMNS) * a.ring + t % a.ring) * (HIDDEN * COLUMNS * 2) + b % COLUMNS * 16;
}
DEVICE void unpack(uint4 v, float (&x)[8]) {
  const u32 words[4] = { v.x, v.y, v.z, v.w };
  UNROLL for (u32 k = 0; k < 4; k++) { x[2 * k] = from_value(words[k]); x[2 * k + 1] = from_value(words[k] >> 16); }
}
DEVICE void tell(const ResultArguments& a) {
  __syncthreads();
  if (threadIdx.x == 0) tell_host(a.done, a.arrivals, gridDim.x * gridDim.y * gridDim.z);
}

// One warp per sequence, 8 per block.
KERNEL(256, lstm_tile_head, ResultArguments) {
  wait_for_prior_kernel();
  const u32 b = blockIdx.x * 8 + warp_of(), lane = lane_of();
  for (u32 column = 0; column < a.columns && b < a.B; column++) {
    float sum = 0.f, x[8];
    for (u32 eighth = lane; eighth < HIDDEN / 8; eighth += 32) {
      unpack(load_global4(hidden_of(a, b, a.T - 1) + eighth * COLUMNS * 16), x);
      UNROLL for (u32 k = 0; k < 8; k++) sum += x[k] * a.w[column * HIDDEN + eighth * 8 + k];
    }
    sum = warp_sum(sum) + a.bias[column];
    if (lane == 0) ((float*)a.out)[b * a.columns + column] = a.is_tanh ? tanh_fast(sum) : sum;
  }
  tell(a);
}

// Grid (B).
KERNEL(128, lstm_tile_last, ResultArguments) {
  wait_for_prior_kernel();
  float x[8];
  for (u32 eighth = threadIdx.x; eighth < HIDDEN / 8; eighth += 128) {
    unpack(load_global4(hidden_of(a, blockIdx.x, a.T - 1) + eighth * COLUMNS * 16), x);
    UNROLL for (u32 k = 0; k < 8; k++)
      if (eighth * 8 + k < a.H) ((float*)a.out)[blockIdx.x * a.H + eighth * 8 + k] = x[k];
  }
  tell(a);
}

// Grid (B, T).
KERNEL(128, lstm_tile_all, ResultArguments) {
  wait_for_prior_kernel();
  u16* out = (u16*)a.out + ((u64)blockIdx.y * a.B + blockIdx.x) * a.H;
  for (u32 eighth = threadIdx.x; eighth < HIDDEN / 8; eighth += 128) {
    const uint4 v = load_global4(hidden_of(a, blockIdx.x, blockIdx.y) + eighth * COLUMNS * 16);
    const u32 words[4] = { v.x, v.y, v.z, v.w };
    if (eighth * 8 + 8 <= a.H && a.H % 8 == 0) store_global4(out + eighth * 8, v);
    else UNROLL for (u32 k = 0; k < 8; k++)
      if (eighth * 8 + k < a.H) out[eighth * 8 + k] = (u16)(words[k / 2] >> (k % 2 * 16));
  }
  tell(a);
}
