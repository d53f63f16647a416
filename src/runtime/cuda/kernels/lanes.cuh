// What generated kernels are written with: elements of any storage as floats, a few of them at a time, sums and
// maxima over a block in a fixed order, and the IR's functions where C's differ.
#pragma once
#include "ptx.cuh"
#define UNROLL4 _Pragma("unroll 4")

// Storage in 16 bits; arithmetic is float.
struct Half { u16 bits; };
struct Bfloat { u16 bits; };
DEVICE float get(float x) { return x; }
DEVICE float get(Half x) { return from_half(x.bits); }
DEVICE float get(Bfloat x) { return from_bfloat(x.bits); }
DEVICE void put(float* to, float x) { *to = x; }
DEVICE void put(Half* to, float x) { to->bits = to_half(x); }
DEVICE void put(Bfloat* to, float x) { to->bits = to_bfloat(x); }

// Neighbouring elements of one thread, loaded and stored in one access: the address is a multiple of their size.
template <int N> struct Lanes { float at[N]; };
DEVICE Lanes<4> load_lanes(const float* from) {
  const float4 v = *(const float4*)from;
  return {v.x, v.y, v.z, v.w};
}
DEVICE Lanes<4> load_lanes(const Half* from) {
  const uint2 v = *(const uint2*)from;
  return {from_half((u16)v.x), from_half((u16)(v.x >> 16)), from_half((u16)v.y), from_half((u16)(v.y >> 16))};
}
DEVICE Lanes<4> load_lanes(const Bfloat* from) {
  const uint2 v = *(const uint2*)from;
  return {float_of(v.x << 16), float_of(v.x & 0xffff0000u), float_of(v.y << 16), float_of(v.y & 0xffff0000u)};
}
DEVICE void store_lanes(float* to, const Lanes<4>& v) {
  float4 packed; packed.x = v.at[0]; packed.y = v.at[1]; packed.z = v.at[2]; packed.w = v.at[3];
  *(float4*)to = packed;
}
DEVICE void store_lanes(Half* to, const Lanes<4>& v) {
  uint2 packed; packed.x = to_half2(v.at[0], v.at[1]); packed.y = to_half2(v.at[2], v.at[3]);
  *(uint2*)to = packed;
}
DEVICE void store_lanes(Bfloat* to, const Lanes<4>& v) {
  uint2 packed; packed.x = to_bfloat2(v.at[0], v.at[1]); packed.y = to_bfloat2(v.at[2], v.at[3]);
  *(uint2*)to = packed;
}

// The larger; not a number if one of them is none.
DEVICE float maximum(float a, float b) { return a > b || a != a ? a : b; }
DEVICE float sign_of(float x) { return x > 0.f ? 1.f : x < 0.f ? -1.f : x; }
DEVICE float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }
DEVICE float elu(float x) { const float p = maximum(x, 0.f); return p + expf(x - p) - 1.f; }
// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) as x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3))
DEVICE float gelu(float x) { return x * sigmoid(x * (1.5957691216057308f + 0.07135481282553494f * x * x)); }

DEVICE float add(float a, float b) { return a + b; }
DEVICE float warp_maximum(float v) {
  UNROLL for (int m = 16; m; m >>= 1) v = maximum(v, shuffle_xor(v, m));
  return v;
}
// Over all threads of a block of `warps` warps, in a fixed order; every thread gets it. 128 bytes of shared memory.
DEVICE float block_sum(float v, u32 warps) {
  float* parts = (float*)shared_pointer();
  v = warp_sum(v);
  __syncthreads();
  if (lane_of() == 0) parts[warp_of()] = v;
  __syncthreads();
  return warp_sum(lane_of() < warps ? parts[lane_of()] : 0.f);
}
DEVICE float block_maximum(float v, u32 warps) {
  float* parts = (float*)shared_pointer();
  v = warp_maximum(v);
  __syncthreads();
  if (lane_of() == 0) parts[warp_of()] = v;
  __syncthreads();
  return warp_maximum(parts[lane_of() < warps ? lane_of() : 0]);
}
// Over the 8 warps of a block, lane by lane; the first warp gets it. 1024 bytes of shared memory.
DEVICE float column_sum(float v) {
  float* parts = (float*)shared_pointer();
  __syncthreads();
  parts[threadIdx.x] = v;
  __syncthreads();
  float sum = parts[lane_of()];
  UNROLL for (u32 w = 1; w < 8; w++) sum += parts[32 * w + lane_of()];
  return sum;
}
DEVICE float column_maximum(float v) {
  float* parts = (float*)shared_pointer();
  __syncthreads();
  parts[threadIdx.x] = v;
  __syncthreads();
  float most = parts[lane_of()];
  UNROLL for (u32 w = 1; w < 8; w++) most = maximum(most, parts[32 * w + lane_of()]);
  return most;
}
// Whether a stands before b in descending order; equals keep their order, what is no number is first.
DEVICE bool stands_before(float a, u32 at_a, float b, u32 at_b) {
  if (a != a || b != b) return a != a && (b == b || at_a < at_b);
  return a > b || (a == b && at_a < at_b);
}
