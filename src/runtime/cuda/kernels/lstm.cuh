// What the LSTM kernels for small batches share: 16-bit numbers of the plan's precision, the cell, and how hidden
// states travel between blocks.
//
// Hidden states of one step and group (units x columns, a column is a sequence) lie in 16-byte atoms: eight
// consecutive units of one column, atom (octet, column) at index octet * COLUMNS + column. A lane's B fragment of two
// k-steps of mma.m16n8k16 is one atom, because rows of B are numbered so that a lane's values are consecutive units:
//   k-step s of pair p, lane (column, q), register j, half e  <->  unit 32 p + 8 q + 4 s + 2 j + e
// Weights are packed on the host with the same numbering (lstm/pack.ts).
//
// Atoms travel through L2 with no flags and no fences: a slot is all ones until it is written, and no 16-bit number
// that we store is all ones (conversions make NaNs 0x7fff), so a reader polls the words themselves.
#pragma once
#include "ptx.cuh"
#include "done.cuh"

#ifndef BFLOAT16
#define BFLOAT16 0
#endif

#if BFLOAT16
DEVICE void mma16(float (&d)[4], const u32* a, u32 b0, u32 b1) { mma_bfloat(d, a, b0, b1); }
DEVICE u32 pack16(float low, float high) { return to_bfloat2(low, high); }
DEVICE float unpack16(u32 x) { return from_bfloat((u16)x); }
#else
DEVICE void mma16(float (&d)[4], const u32* a, u32 b0, u32 b1) { mma_half(d, a, b0, b1); }
DEVICE u32 pack16(float low, float high) { return to_half2(low, high); }
DEVICE float unpack16(u32 x) { return from_half((u16)x); }
#endif

// A buffer is used again two steps later, by when messages have gone round through other blocks: nobody has h(t + 1)
// before all have h(t), and a block sends h(t) after it has read what h(t) is made of. A sanitizer sees barriers of one
// block only: SANITIZED puts one there.
#ifdef SANITIZED
#define MEET_AGAIN(threads) block_barrier_sync<14>(threads)
#else
#define MEET_AGAIN(threads)
#endif
#define ROLLED _Pragma("unroll 1")
#define NOT_YET 0xffffffffu

DEVICE uint4 not_yet() { return make_uint4(NOT_YET, NOT_YET, NOT_YET, NOT_YET); }
DEVICE bool has_come(const uint4& v) {
  return v.x != NOT_YET && v.y != NOT_YET && v.z != NOT_YET && v.w != NOT_YET;
}

// Eight numbers of a row of F from `first`; zeros past its end, and all zeros where there is no row.
struct Eight { float v[8]; };
DEVICE Eight load_eight(const float* row, u32 first, u32 F, bool is_row) {
  Eight r;
  if (F % 4 == 0) {
    UNROLL for (int i = 0; i < 8; i += 4) {
      const float4 q = is_row && first + i < F ? *(const float4*)(row + first + i) : make_float4(0.f, 0.f, 0.f, 0.f);
      r.v[i] = q.x; r.v[i + 1] = q.y; r.v[i + 2] = q.z; r.v[i + 3] = q.w;
    }
  } else {
    UNROLL for (int i = 0; i < 8; i++) r.v[i] = is_row && first + i < F ? row[first + i] : 0.f;
  }
  return r;
}
DEVICE uint4 atom_of(const Eight& e) {
  return make_uint4(pack16(e.v[0], e.v[1]), pack16(e.v[2], e.v[3]), pack16(e.v[4], e.v[5]), pack16(e.v[6], e.v[7]));
}
// Where an atom lies in shared memory, so that the lanes of a quarter warp meet in no bank when eight columns are read.
DEVICE u32 atom_at(u32 octet, u32 column) { return (octet * 8 + (column ^ 2 * (octet & 3))) * 16; }

// One step of a cell: pre-activations of gates i, f, o, g; c is updated, h returned.
DEVICE float cell_step(float i, float f, float o, float g, float& c) {
  const float open = sigmoid_fast(o);
  c = fmaf(sigmoid_fast(f), c, sigmoid_fast(i) * tanh_fast(g));
  return open * tanh_fast(c);
}

// The same with the hardware's tanh (5e-4 of itself), for kernels whose steps are a chain of such latencies: the 16
// bits of h lose as much.
DEVICE float cell_step_fast(float i, float f, float o, float g, float& c) {
  const float open = sigmoid_hardware(o);
  c = fmaf(sigmoid_hardware(f), c, sigmoid_hardware(i) * tanh_hardware(g));
  return open * tanh_hardware(c);
}
