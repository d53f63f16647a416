// The functions of src/runtime/cuda/kernels/ptx.cuh on the emulator's machine: same names, same meaning.
#pragma once
#include "emulator.h"

#define DEVICE static inline
#define KERNEL(threads, name, Arguments) \
  static void name##_body(const Arguments& a); \
  extern "C" __global__ const unsigned name##_threads = threads, name##_bytes = sizeof(Arguments); \
  extern "C" __global__ void name(const void* arguments) { name##_body(*(const Arguments*)arguments); } \
  static void name##_body(const Arguments& a)
#define KERNEL_RESIDENT(threads, blocks, name, Arguments) KERNEL(threads, name, Arguments)
#define UNROLL
#ifndef SPIN_MAX
#define SPIN_MAX (1u << 24)
#endif
DEVICE void trap() { emulator::fault("trap"); }
DEVICE void fault_if_over(u32 count, u32 limit) { if (count > limit) emulator::fault("trap"); }

// --- where am I
DEVICE u32 lane_of() { return threadIdx.x & 31; }
DEVICE u32 warp_of() { return threadIdx.x >> 5; }
DEVICE u32 cluster_rank() { return emulator::current->rank; }
DEVICE u32 shared_base() { return 1024; }
DEVICE u8* shared_pointer() { return emulator::current->shared; }

DEVICE u32 cycles_now() { return (u32)clock64(); }

// --- numbers
DEVICE u32 bits_of(float x) { return __float_as_uint(x); }
DEVICE float float_of(u32 x) { return __uint_as_float(x); }
DEVICE u16 to_half(float x) { return emulator::to_half(x); }
DEVICE float from_half(u16 x) { return emulator::from_half(x); }
DEVICE u16 to_bfloat(float x) { return emulator::to_bfloat(x); }
DEVICE float from_bfloat(u16 x) { return emulator::from_bfloat(x); }
DEVICE u32 to_half2(float low, float high) { return to_half(low) | (u32)to_half(high) << 16; }
DEVICE u32 to_bfloat2(float low, float high) { return to_bfloat(low) | (u32)to_bfloat(high) << 16; }
// The fast instructions take and give zeros for subnormal numbers.
DEVICE float flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0.f, x) : x; }
DEVICE float exp2_fast(float x) { return flushed(exp2f(flushed(x))); }
DEVICE float reciprocal_fast(float x) { return flushed(1.f / flushed(x)); }
DEVICE float rsqrt_fast(float x) { return 1.f / sqrtf(flushed(x)); }
DEVICE float select(bool first, float x, float y) { return first ? x : y; }
DEVICE float sigmoid_fast(float x) { return reciprocal_fast(1.f + exp2_fast(-1.4426950408889634f * x)); }
DEVICE float tanh_fast(float x) { return fmaf(2.f, reciprocal_fast(1.f + exp2_fast(-2.8853900817779268f * x)), -1.f); }

// --- warps
DEVICE float shuffle_xor(float v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
DEVICE u32 shuffle_xor(u32 v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
DEVICE float tanh_hardware(float x) { return tanhf(x); }
DEVICE float sigmoid_hardware(float x) { return fmaf(0.5f, tanh_hardware(0.5f * x), 0.5f); }
DEVICE u32 held(u32 x) { return x; }
DEVICE u32 same_in_warp(u32 v) { return __shfl_sync(0xffffffffu, v, 0); }
DEVICE float warp_sum(float v) { for (int m = 16; m; m >>= 1) v += shuffle_xor(v, m); return v; }
DEVICE float warp_max(float v) { for (int m = 16; m; m >>= 1) v = fmaxf(v, shuffle_xor(v, m)); return v; }

// --- tensor cores
DEVICE void mma_half(float (&d)[4], const u32* a, u32 b0, u32 b1) {
  emulator::Mma own{d, a, b0, b1}; emulator::meet(~0u, emulator::mma_half, &own); }
DEVICE void mma_bfloat(float (&d)[4], const u32* a, u32 b0, u32 b1) {
  emulator::Mma own{d, a, b0, b1}; emulator::meet(~0u, emulator::mma_bfloat, &own); }
DEVICE uint4 load_matrix(u32 address) {
  emulator::Matrix own{address, {}}; emulator::meet(~0u, emulator::load_matrix, &own);
  return {own.words[0], own.words[1], own.words[2], own.words[3]}; }
DEVICE uint4 load_matrix_transposed(u32 address) {
  emulator::Matrix own{address, {}}; emulator::meet(~0u, emulator::load_matrix_transposed, &own);
  return {own.words[0], own.words[1], own.words[2], own.words[3]}; }

DEVICE u32 transpose_matrix(u32 v) {
  u32 own = v; emulator::meet(~0u, emulator::transpose_matrix, &own); return own; }

template <int ID> DEVICE void block_barrier_sync(u32 threads) { emulator::block_barrier(ID, threads, true); }
template <int ID> DEVICE void block_barrier_arrive(u32 threads) { emulator::block_barrier(ID, threads, false); }
DEVICE void block_barrier_sync(u32 id, u32 threads) { emulator::block_barrier(id, threads, true); }
DEVICE void block_barrier_arrive(u32 id, u32 threads) { emulator::block_barrier(id, threads, false); }

// --- memory. Loads that may be polls let others run when they find what they found before.
namespace emulator {
DEVICE void polled(const void* p, u32 value) {
  static struct { const void* p; Place* by; u32 value, count; } last;
  const bool again = last.p == p && last.by == current && last.value == value;
  last = {p, current, value, last.count + 1};
  if (again || last.count % 64 == 0) yield();
}
template <class T> T read_shared(u32 address) {
  const T* p = (const T*)shared_at(address, sizeof(T));
  polled(p, *(const u32*)p);
  return *p;
}
template <class T> void write_shared(u32 address, T v) { *(T*)shared_for_store(address, sizeof(T)) = v; progressed(); }
template <class T> T read_global(const void* p) {
  if ((u64)p % sizeof(T)) fault("a global address that is no multiple of what is accessed");
  return *(const T*)p;
}
template <class T> T poll_global(const void* p) {
  polled(p, *(const u32*)p);
  return read_global<T>(p);
}
template <class T> void write_global(void* p, T v) { read_global<T>(p); *(T*)p = v; progressed(); }
}
DEVICE uint4 load_shared4(u32 address) { return emulator::read_shared<uint4>(address); }
DEVICE u32 load_shared(u32 address) { return emulator::read_shared<u32>(address); }
DEVICE void store_shared4(u32 address, uint4 v) { emulator::write_shared(address, v); }
DEVICE void store_shared2(u32 address, u32 x, u32 y) { emulator::write_shared(address, uint2{x, y}); }
DEVICE void store_shared(u32 address, u32 x) { emulator::write_shared(address, x); }
DEVICE void store_shared_half(u32 address, u16 x) { emulator::write_shared(address, x); }
DEVICE void copy_async(u32 shared, const void* global, u32 bytes = 16) {
  emulator::group_copy(emulator::ASYNC, emulator::shared_for_store(shared, 16), global, bytes, 16 - bytes); }
DEVICE void copy_async_commit() { emulator::group_commit(emulator::ASYNC); }
template <int N> DEVICE void copy_async_wait() { emulator::group_wait(emulator::ASYNC, N); }

DEVICE uint4 load_global4(const void* p) { return emulator::read_global<uint4>(p); }
DEVICE void store_global4(void* p, uint4 v) { emulator::write_global(p, v); }
DEVICE uint4 load_relaxed4(const void* p) { return emulator::poll_global<uint4>(p); }
DEVICE void store_relaxed4(void* p, uint4 v) { emulator::write_global(p, v); }
DEVICE void store_relaxed2(void* p, u32 x, u32 y) { emulator::write_global(p, uint2{x, y}); }
DEVICE u32 load_acquire(const u32* p) { return emulator::poll_global<u32>(p); }
DEVICE u32 load_relaxed(const u32* p) { return emulator::poll_global<u32>(p); }
DEVICE void store_relaxed(u32* p, u32 x) { emulator::write_global(p, x); }
DEVICE void add_release(u32* p, u32 x) { emulator::write_global(p, *p + x); }
DEVICE void store_release_system(u32* p, u32 x) { emulator::write_global(p, x); }
DEVICE void add_release_system(u32* p, u32 x) { emulator::write_global(p, *p + x); }
DEVICE u32 add_ordered_system(u32* p, u32 x) { return atomicAdd(p, x); }

DEVICE void let_dependents_start() { emulator::let_dependents_start(); }
DEVICE void wait_for_prior_kernel() { emulator::wait_for_prior_kernel(); }

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
// --- mbarriers
DEVICE void barrier_init(u32 barrier, u32 count) { emulator::barrier_init(barrier, count); }
DEVICE void barrier_init_fence() {}
DEVICE void barrier_arrive(u32 barrier) { emulator::barrier_arrive(barrier, 0); }
DEVICE void barrier_expect(u32 barrier, u32 bytes) { emulator::barrier_arrive(barrier, bytes); }
DEVICE bool barrier_try(u32 barrier, u32 phase) { return emulator::barrier_passed(barrier, phase); }
DEVICE void barrier_wait(u32 barrier, u32 phase) { emulator::barrier_wait(barrier, phase); }

// --- clusters
DEVICE u32 map_shared(u32 address, u32 rank) { return emulator::map_shared(address, rank); }
DEVICE void barrier_arrive_remote(u32 barrier) { emulator::barrier_arrive(barrier, 0); }
DEVICE void cluster_arrive() { emulator::cluster_arrive(); }
DEVICE void cluster_arrive_relaxed() { emulator::cluster_arrive(); }
DEVICE void cluster_wait() { emulator::cluster_wait(); }
DEVICE void cluster_sync() { cluster_arrive(); cluster_wait(); }
DEVICE float4 load_remote4(u32 remote) { return *(const float4*)emulator::shared_at(remote, 16); }
DEVICE void send4(u32 remote, uint4 v, u32 remote_barrier) { emulator::send_later(remote, &v, 16, remote_barrier); }
DEVICE void send1(u32 remote, u32 v, u32 remote_barrier) { emulator::send_later(remote, &v, 4, remote_barrier); }

// --- the copy engine
DEVICE void fence_async_shared() { emulator::fence_async(); }
DEVICE void fence_async_global() {}
DEVICE void fence_async() { emulator::fence_async(); }
DEVICE void bulk_load(u32 shared, const void* global, u32 bytes, u32 barrier) {
  emulator::copy_later(shared, global, bytes, barrier); }
DEVICE void bulk_load_multicast(u32 shared, const void* global, u32 bytes, u32 barrier, u16 ranks) {
  for (u32 rank = 0; rank < 16; rank++) if (ranks >> rank & 1)
    emulator::copy_later(map_shared(shared, rank), global, bytes, map_shared(barrier, rank)); }
DEVICE void bulk_store(void* global, u32 shared, u32 bytes) {
  emulator::group_copy(emulator::BULK, global, emulator::shared_at(shared, bytes), bytes, 0); }
DEVICE void bulk_commit() { emulator::group_commit(emulator::BULK); }
template <int N> DEVICE void bulk_wait_read() { emulator::group_wait(emulator::BULK, N); }
template <int N> DEVICE void bulk_wait() { emulator::group_wait(emulator::BULK, N); }
struct alignas(64) TensorMap { u8 bytes[128]; };
DEVICE u64 map_of(const TensorMap& map) { return (u64)&map; }
DEVICE void tile_load(u32 shared, u64 map, i32 x, i32 y, u32 barrier) {
  emulator::tile_later(shared, (const void*)map, x, y, barrier); }
DEVICE void tile_load_multicast(u32 shared, u64 map, i32 x, i32 y, u32 barrier, u16 ranks) {
  for (u32 rank = 0; rank < 16; rank++) if (ranks >> rank & 1)
    emulator::tile_later(map_shared(shared, rank), (const void*)map, x, y, map_shared(barrier, rank)); }
DEVICE void tile_store(u64 map, u32 shared, i32 x, i32 y) { emulator::group_tile((const void*)map, shared, x, y); }
#endif
