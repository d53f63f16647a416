// CUDA without a GPU: kernels of src/runtime/cuda/kernels compile with a plain C++ compiler and run on the CPU.
//
//   kernel.cu ──g++ -include emulator.h──> kernel.so ──launch()──> each thread is a fiber (machine.cpp)
//
// A warp's lanes run one after the other until each waits: for its warp (shuffles, mma: meet()), for a word of
// memory to change (barriers), or for news while it polls (yield()). Copies by the copy engine arrive late, as they
// may on a GPU, and dependent kernels of a graph start early, as they may; what a GPU leaves undefined is poisoned or
// faults with a sentence. Nobody can move and nothing is under way: deadlock, which is reported as a trap.
//
// Three ways to use it:
//   TypeScript   emulatedCuda()                                build.ts: paths of a fake libcuda and libnvrtc
//   TypeScript   runLaunches(openEmulated(), list, contents)   run.ts: a launch list from buffers to buffers
//   C++          g++ -std=c++17 -O1 -w -I. -x c++ kernel.cu test.cpp machine.cpp, where kernel.cu includes "ptx.cuh"
//                and test.cpp "machine.h": extern "C" void kernel(const void*);
//                emulator::launch({kernel, &arguments, {16, 1, 1}, {256, 1, 1}, 1024, 16, true})
//
// Under EMULATOR_ORDER=backwards every turn is taken from the last to the first, under random:SEED in a changing order
// in which some warps are slow: races give other bits. libcuda.cpp says which faults and which GPUs it plays.
#pragma once
#include "machine.h"

// --- the language
#define __device__
#define __global__ __attribute__((visibility("default")))
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict
#define threadIdx (emulator::current->thread)
#define blockIdx (emulator::current->block)
#define blockDim (emulator::current->block_size)
#define gridDim (emulator::current->grid_size)
#define warpSize 32

struct alignas(4) uchar4 { u8 x, y, z, w; };
struct alignas(4) ushort2 { u16 x, y; };
struct alignas(8) ushort4 { u16 x, y, z, w; };
struct alignas(8) uint2 { u32 x, y; };
struct alignas(16) uint4 { u32 x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
inline uint2 make_uint2(u32 x, u32 y) { return {x, y}; }
inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

extern "C" {
float fmaf(float, float, float); float fmaxf(float, float); float fminf(float, float); float fabsf(float);
float sqrtf(float); float expf(float); float exp2f(float); float logf(float); float log2f(float); float log1pf(float);
float expm1f(float); float tanhf(float); float sinf(float); float cosf(float); float tanf(float); float erff(float);
float floorf(float); float ceilf(float); float rintf(float); float truncf(float); float roundf(float);
float powf(float, float);
float fmodf(float, float); float copysignf(float, float); float asinf(float); float acosf(float); float atanf(float);
float atan2f(float, float); float sinhf(float); float coshf(float); float cbrtf(float); float log10f(float);
double fma(double, double, double); double sqrt(double); double exp(double); double log(double); double tanh(double);
double fabs(double); double fmax(double, double); double fmin(double, double); double pow(double, double);
void* memcpy(void*, const void*, size_t); void* memset(void*, int, size_t);
}
inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline bool isnan(float x) { return x != x; }
inline bool isinf(float x) { return fabsf(x) == __builtin_inff(); }
inline bool isfinite(float x) { return fabsf(x) < __builtin_inff(); }
inline u32 __float_as_uint(float x) { u32 r; __builtin_memcpy(&r, &x, 4); return r; }
inline int __float_as_int(float x) { int r; __builtin_memcpy(&r, &x, 4); return r; }
inline float __uint_as_float(u32 x) { float r; __builtin_memcpy(&r, &x, 4); return r; }
inline float __int_as_float(int x) { float r; __builtin_memcpy(&r, &x, 4); return r; }
inline int __popc(u32 x) { return __builtin_popcount(x); }
inline int __clz(u32 x) { return x ? __builtin_clz(x) : 32; }
inline int __ffs(u32 x) { return __builtin_ffs(x); }
inline u32 __umulhi(u32 x, u32 y) { return (u32)(((u64)x * y) >> 32); }
template <class T> inline T __ldg(const T* p) { return *p; }
#define EMULATOR_MINIMUM(T, A, B) \
  inline T min(A x, B y) { return (T)y < (T)x ? (T)y : (T)x; } \
  inline T max(A x, B y) { return (T)x < (T)y ? (T)y : (T)x; }
EMULATOR_MINIMUM(int, int, int)
EMULATOR_MINIMUM(u32, u32, u32)
EMULATOR_MINIMUM(u32, int, u32)
EMULATOR_MINIMUM(u32, u32, int)
EMULATOR_MINIMUM(u64, u64, u64)
EMULATOR_MINIMUM(long long, long long, long long)
inline float min(float x, float y) { return fminf(x, y); }
inline float max(float x, float y) { return fmaxf(x, y); }
inline int abs(int x) { return x < 0 ? -x : x; }

// One fiber runs at a time, so that these are atomic as they stand.
template <class T> inline T atomicAdd(T* p, T x) { T old = *p; *p += x; emulator::progressed(); return old; }
template <class T> inline T atomicExch(T* p, T x) { T old = *p; *p = x; emulator::progressed(); return old; }
template <class T> inline T atomicMax(T* p, T x) { return atomicExch(p, x > *p ? x : *p); }
template <class T> inline T atomicMin(T* p, T x) { return atomicExch(p, x < *p ? x : *p); }
template <class T> inline T atomicCAS(T* p, T is, T x) {
  T old = *p; if (old == is) *p = x; emulator::progressed(); emulator::yield(); return old; }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(u32) { emulator::yield(); }
inline long long clock64() { return (long long)emulator::nanoseconds(); }
inline void __trap() { emulator::fault("trap"); }

inline void __syncthreads() { emulator::block_barrier(0, 0, true); }
namespace emulator {
inline void nothing(void**, u32) {}
template <class T> struct Shuffle { T value, result; int from; u32 vote; };
template <class T> void shuffle(void** brought, u32 mask) {
  for (int lane = 0; lane < 32; lane++) if (mask >> lane & 1) {
    auto* own = (Shuffle<T>*)brought[lane];
    const bool given = own->from >= 0 && own->from < 32 && (mask >> own->from & 1);
    own->result = ((Shuffle<T>*)brought[given ? own->from : lane])->value;
  }
}
inline void vote(void** brought, u32 mask) {
  u32 all = 0;
  for (int lane = 0; lane < 32; lane++)
    if (mask >> lane & 1) all |= (((Shuffle<u32>*)brought[lane])->value != 0 ? 1u : 0u) << lane;
  for (int lane = 0; lane < 32; lane++) if (mask >> lane & 1) {
    auto* own = (Shuffle<u32>*)brought[lane];
    own->vote = all; own->result = mask;
  }
}
template <class T> T shuffled(u32 mask, T value, int from) {
  Shuffle<T> own{value, value, from, 0};
  meet(mask, shuffle<T>, &own);
  return own.result;
}
inline Shuffle<u32> voted(u32 mask, u32 value) {
  Shuffle<u32> own{value, 0, 0, 0};
  meet(mask, vote, &own);
  return own;
}
inline int lane() { return (int)current->lane; }
// The lane `there` where it lies in this lane's part of `width` lanes, otherwise this lane.
inline int within(int there, int width) { return (there & -width) == (lane() & -width) ? there : lane(); }
}
inline void __syncwarp(u32 mask = ~0u) { emulator::meet(mask, emulator::nothing, nullptr); }
template <class T> T __shfl_xor_sync(u32 mask, T v, int bits, int width = 32) {
  const int there = emulator::lane() ^ bits;
  return emulator::shuffled(mask, v, (there & -width) <= (emulator::lane() & -width) ? there : emulator::lane()); }
template <class T> T __shfl_sync(u32 mask, T v, int from, int width = 32) {
  return emulator::shuffled(mask, v, (emulator::lane() & -width) | (from & (width - 1))); }
template <class T> T __shfl_up_sync(u32 mask, T v, int by, int width = 32) {
  return emulator::shuffled(mask, v, emulator::within(emulator::lane() - by, width)); }
template <class T> T __shfl_down_sync(u32 mask, T v, int by, int width = 32) {
  return emulator::shuffled(mask, v, emulator::within(emulator::lane() + by, width)); }
inline u32 __ballot_sync(u32 mask, int v) { return emulator::voted(mask, (u32)v).vote; }
inline int __any_sync(u32 mask, int v) { return emulator::voted(mask, (u32)v).vote != 0; }
inline int __all_sync(u32 mask, int v) { auto own = emulator::voted(mask, (u32)v); return own.vote == own.result; }
