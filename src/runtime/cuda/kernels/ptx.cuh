// The instructions that kernels are written in, one function each, so that no kernel holds inline assembly and
// nothing includes a header of the toolkit. Shared memory is addressed by 32-bit shared-window addresses.
//
// A kernel takes one struct by value:   KERNEL(threads, name, Arguments) { ... a.field ... }
// Dynamic shared memory starts at shared_base(), 128-byte aligned (1024 where the kernel says so).
#pragma once
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;

#define DEVICE static __device__ __forceinline__
#define KERNEL(threads, name, Arguments) \
  extern "C" __global__ void __launch_bounds__(threads, 1) name(const __grid_constant__ Arguments a)
// The same, with registers for that many blocks of it at once on a multiprocessor.
#define KERNEL_RESIDENT(threads, blocks, name, Arguments) \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ Arguments a)
#define UNROLL _Pragma("unroll")

// Every wait is bounded: a lost message ends in a trap that the host reports, never in a hung GPU.
#ifndef SPIN_MAX
#define SPIN_MAX (1u << 24)
#endif
DEVICE void trap() { asm volatile("trap;"); }
// The same end by one predicated store to address 0: code with a trap in it never gets the registers of
// registers_more (seen with ptxas 13.2: it spills at the count of the kernel's start).
DEVICE void fault_if_over(u32 count, u32 limit) {
  asm volatile("{ .reg .pred p; setp.gt.u32 p, %0, %1; @p st.global.u32 [%2], %0; }"
    :: "r"(count), "r"(limit), "l"(0ull) : "memory"); }

// --- where am I
DEVICE u32 lane_of() { return threadIdx.x & 31; }
DEVICE u32 warp_of() { return threadIdx.x >> 5; }
DEVICE u32 cluster_rank() { u32 r; asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(r)); return r; }
DEVICE u32 shared_base() {
  extern __shared__ __align__(1024) u8 dynamic_shared[];
  u32 r; asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(r) : "l"(dynamic_shared));
  return r;
}
DEVICE u8* shared_pointer() { extern __shared__ __align__(1024) u8 dynamic_shared[]; return dynamic_shared; }

// --- numbers
DEVICE u32 bits_of(float x) { return __float_as_uint(x); }
DEVICE float float_of(u32 x) { return __uint_as_float(x); }
DEVICE u16 to_half(float x) { u16 r; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x)); return r; }
DEVICE float from_half(u16 x) { float r; asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x)); return r; }
DEVICE u16 to_bfloat(float x) { u16 r; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(x)); return r; }
DEVICE float from_bfloat(u16 x) { return __uint_as_float((u32)x << 16); }
// Two floats as two 16-bit floats, the first in the low half.
DEVICE u32 to_half2(float low, float high) {
  u32 r; asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low)); return r; }
DEVICE u32 to_bfloat2(float low, float high) {
  u32 r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low)); return r; }
DEVICE float exp2_fast(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
DEVICE float reciprocal_fast(float x) { float y; asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
DEVICE float rsqrt_fast(float x) { float y; asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
// About 1e-7 from the true value: two approximate instructions.
DEVICE float sigmoid_fast(float x) { return reciprocal_fast(1.f + exp2_fast(-1.4426950408889634f * x)); }
DEVICE float tanh_fast(float x) { return fmaf(2.f, reciprocal_fast(1.f + exp2_fast(-2.8853900817779268f * x)), -1.f); }

// One of two values without a branch (the compiler makes branches of nested choices).
DEVICE float select(bool first, float x, float y) {
  float r; asm("{ .reg .pred p; setp.ne.u32 p, %3, 0; selp.f32 %0, %1, %2, p; }"
    : "=f"(r) : "f"(x), "f"(y), "r"((u32)first)); return r; }

// One instruction, within 5e-4 of the true value.
DEVICE float tanh_hardware(float x) { float y; asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
DEVICE float sigmoid_hardware(float x) { return fmaf(0.5f, tanh_hardware(0.5f * x), 0.5f); }

// A value that the compiler may not compute anew where it is used.
DEVICE u32 held(u32 x) { asm volatile("mov.u32 %0, %0;" : "+r"(x)); return x; }

// --- warps
DEVICE float shuffle_xor(float v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
DEVICE u32 shuffle_xor(u32 v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
// For the compiler: the same in all lanes.
DEVICE u32 same_in_warp(u32 v) { return __shfl_sync(0xffffffffu, v, 0); }
DEVICE float warp_sum(float v) { UNROLL for (int m = 16; m; m >>= 1) v += shuffle_xor(v, m); return v; }
DEVICE float warp_max(float v) { UNROLL for (int m = 16; m; m >>= 1) v = fmaxf(v, shuffle_xor(v, m)); return v; }

// --- tensor cores, one warp: D (16 x 8) += A (16 x 16, row) B (16 x 8, column)
DEVICE void mma_half(float (&d)[4], const u32* a, u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1)); }
DEVICE void mma_bfloat(float (&d)[4], const u32* a, u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1)); }
// Four 8 x 8 tiles of 16-bit values; lane i gives the address of row i%8 of tile i/8.
DEVICE uint4 load_matrix(u32 address) {
  uint4 v; asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
    : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(address)); return v; }
DEVICE uint4 load_matrix_transposed(u32 address) {
  uint4 v; asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];"
    : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(address)); return v; }

// An 8 x 8 matrix of 16-bit values (lane i: row i/4, columns 2(i%4) and the next), transposed across the warp.
DEVICE u32 transpose_matrix(u32 v) {
  u32 r; asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0,%1;" : "=r"(r) : "r"(v)); return r; }

// Cycles of this multiprocessor.
DEVICE u32 cycles_now() { u32 t; asm volatile("mov.u32 %0, %%clock;" : "=r"(t) :: "memory"); return t; }

// --- named barriers of a block: those that wait and those that only announce themselves, `threads` in all
template <int ID> DEVICE void block_barrier_sync(u32 threads) {
  asm volatile("bar.sync %0, %1;" :: "n"(ID), "r"(threads) : "memory"); }
template <int ID> DEVICE void block_barrier_arrive(u32 threads) {
  asm volatile("bar.arrive %0, %1;" :: "n"(ID), "r"(threads) : "memory"); }
DEVICE void block_barrier_sync(u32 id, u32 threads) {
  asm volatile("bar.sync %0, %1;" :: "r"(id), "r"(threads) : "memory"); }
DEVICE void block_barrier_arrive(u32 id, u32 threads) {
  asm volatile("bar.arrive %0, %1;" :: "r"(id), "r"(threads) : "memory"); }

// --- shared memory
DEVICE uint4 load_shared4(u32 address) {
  uint4 v; asm volatile("ld.volatile.shared.v4.u32 {%0,%1,%2,%3},[%4];"
    : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(address)); return v; }
DEVICE u32 load_shared(u32 address) {
  u32 v; asm volatile("ld.volatile.shared.u32 %0,[%1];" : "=r"(v) : "r"(address)); return v; }
DEVICE void store_shared4(u32 address, uint4 v) {
  asm volatile("st.shared.v4.u32 [%0],{%1,%2,%3,%4};" :: "r"(address), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory"); }
DEVICE void store_shared2(u32 address, u32 x, u32 y) {
  asm volatile("st.shared.v2.u32 [%0],{%1,%2};" :: "r"(address), "r"(x), "r"(y) : "memory"); }
DEVICE void store_shared(u32 address, u32 x) {
  asm volatile("st.shared.u32 [%0],%1;" :: "r"(address), "r"(x) : "memory"); }
DEVICE void store_shared_half(u32 address, u16 x) {
  asm volatile("st.shared.u16 [%0],%1;" :: "r"(address), "h"(x) : "memory"); }
// 16 bytes from global to shared memory without passing registers; zeros where `bytes` is 0.
DEVICE void copy_async(u32 shared, const void* global, u32 bytes = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(shared), "l"(global), "r"(bytes) : "memory"); }
DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> DEVICE void copy_async_wait() { asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory"); }

// --- global memory
DEVICE uint4 load_global4(const void* p) {
  uint4 v; asm volatile("ld.global.nc.v4.u32 {%0,%1,%2,%3},[%4];"
    : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p)); return v; }
DEVICE void store_global4(void* p, uint4 v) {
  asm volatile("st.global.v4.u32 [%0],{%1,%2,%3,%4};" :: "l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory"); }
// Through L2, seeing what other blocks wrote; orders nothing else.
DEVICE uint4 load_relaxed4(const void* p) {
  uint4 v; asm volatile("ld.relaxed.gpu.global.v4.u32 {%0,%1,%2,%3},[%4];"
    : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p) : "memory"); return v; }
DEVICE void store_relaxed4(void* p, uint4 v) {
  asm volatile("st.relaxed.gpu.global.v4.u32 [%0],{%1,%2,%3,%4};"
    :: "l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory"); }
DEVICE void store_relaxed2(void* p, u32 x, u32 y) {
  asm volatile("st.relaxed.gpu.global.v2.u32 [%0],{%1,%2};" :: "l"(p), "r"(x), "r"(y) : "memory"); }
DEVICE u32 load_acquire(const u32* p) {
  u32 v; asm volatile("ld.acquire.gpu.global.u32 %0,[%1];" : "=r"(v) : "l"(p) : "memory"); return v; }
DEVICE u32 load_relaxed(const u32* p) {
  u32 v; asm volatile("ld.relaxed.gpu.global.u32 %0,[%1];" : "=r"(v) : "l"(p) : "memory"); return v; }
DEVICE void store_relaxed(u32* p, u32 x) {
  asm volatile("st.relaxed.gpu.global.u32 [%0],%1;" :: "l"(p), "r"(x) : "memory"); }
DEVICE void add_release(u32* p, u32 x) {
  asm volatile("red.release.gpu.global.add.u32 [%0],%1;" :: "l"(p), "r"(x) : "memory"); }
// Adds and tells what was there before; orders this thread's (past a barrier, its block's) writes, also to the host.
DEVICE u32 add_ordered_system(u32* p, u32 x) {
  u32 v; asm volatile("atom.acq_rel.sys.global.add.u32 %0,[%1],%2;" : "=r"(v) : "l"(p), "r"(x) : "memory"); return v; }
// Seen by the host in mapped memory after everything this thread (and, past a barrier, its block) wrote.
DEVICE void store_release_system(u32* p, u32 x) {
  asm volatile("st.release.sys.global.u32 [%0],%1;" :: "l"(p), "r"(x) : "memory"); }
DEVICE void add_release_system(u32* p, u32 x) {
  asm volatile("red.release.sys.global.add.u32 [%0],%1;" :: "l"(p), "r"(x) : "memory"); }

// --- programmatic dependent launch: the next kernel of a stream may start before this one ends. GPUs before
// capability 9.0 have none of it: there each kernel starts when the one before has ended.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
DEVICE void let_dependents_start() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
DEVICE void wait_for_prior_kernel() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
#else
DEVICE void let_dependents_start() {}
DEVICE void wait_for_prior_kernel() {}
#endif

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
// --- mbarriers
DEVICE void barrier_init(u32 barrier, u32 count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(barrier), "r"(count) : "memory"); }
DEVICE void barrier_init_fence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
DEVICE void barrier_arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(barrier) : "memory"); }
DEVICE void barrier_expect(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(barrier), "r"(bytes) : "memory"); }
DEVICE bool barrier_try(u32 barrier, u32 phase) {
  u32 ok; asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0,1,0,p; }"
    : "=r"(ok) : "r"(barrier), "r"(phase) : "memory"); return ok; }
DEVICE void barrier_wait(u32 barrier, u32 phase) {
  for (u32 n = 0; !barrier_try(barrier, phase); n++) fault_if_over(n, SPIN_MAX); }

// --- clusters
DEVICE u32 map_shared(u32 address, u32 rank) {
  u32 r; asm("mapa.shared::cluster.u32 %0,%1,%2;" : "=r"(r) : "r"(address), "r"(rank)); return r; }
// On a barrier of another block, by its map_shared address. Says "I have read", not "I have written": released at
// cluster scope it would wait for all of the thread's stores in flight (a full memory barrier).
DEVICE void barrier_arrive_remote(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" :: "r"(barrier) : "memory"); }
DEVICE void cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
DEVICE void cluster_arrive_relaxed() { asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory"); }
DEVICE void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
DEVICE void cluster_sync() { cluster_arrive(); cluster_wait(); }
// From another block's shared memory; both stand at a cluster barrier after the writes and after the reads.
DEVICE float4 load_remote4(u32 remote) {
  float4 v; asm volatile("ld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [%4];"
    : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(remote) : "memory"); return v; }
// To another block's shared memory, counted by that block's barrier.
DEVICE void send4(u32 remote, uint4 v, u32 remote_barrier) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1,%2,%3,%4}, [%5];"
    :: "r"(remote), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w), "r"(remote_barrier) : "memory"); }
DEVICE void send1(u32 remote, u32 v, u32 remote_barrier) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];"
    :: "r"(remote), "r"(v), "r"(remote_barrier) : "memory"); }

// --- the copy engine; addresses and sizes are multiples of 16 bytes
DEVICE void fence_async_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
DEVICE void fence_async_global() { asm volatile("fence.proxy.async.global;" ::: "memory"); }
DEVICE void fence_async() { asm volatile("fence.proxy.async;" ::: "memory"); }
DEVICE void bulk_load(u32 shared, const void* global, u32 bytes, u32 barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0],[%1],%2,[%3];"
    :: "r"(shared), "l"(global), "r"(bytes), "r"(barrier) : "memory"); }
DEVICE void bulk_load_multicast(u32 shared, const void* global, u32 bytes, u32 barrier, u16 ranks) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0],[%1],%2,[%3],%4;"
    :: "r"(shared), "l"(global), "r"(bytes), "r"(barrier), "h"(ranks) : "memory"); }
DEVICE void bulk_store(void* global, u32 shared, u32 bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0],[%1],%2;"
    :: "l"(global), "r"(shared), "r"(bytes) : "memory"); }
DEVICE void bulk_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
template <int N> DEVICE void bulk_wait_read() { asm volatile("cp.async.bulk.wait_group.read %0;" :: "n"(N) : "memory"); }
template <int N> DEVICE void bulk_wait() { asm volatile("cp.async.bulk.wait_group %0;" :: "n"(N) : "memory"); }
// A box of a tensor map (128 bytes in the kernel's arguments, address from map_of): x is the contiguous axis.
struct alignas(64) TensorMap { u8 bytes[128]; };
DEVICE u64 map_of(const TensorMap& map) { return (u64)&map; }
DEVICE void tile_load(u32 shared, u64 map, i32 x, i32 y, u32 barrier) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0],[%1,{%2,%3}],[%4];"
    :: "r"(shared), "l"(map), "r"(x), "r"(y), "r"(barrier) : "memory"); }
DEVICE void tile_load_multicast(u32 shared, u64 map, i32 x, i32 y, u32 barrier, u16 ranks) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
    ".multicast::cluster [%0],[%1,{%2,%3}],[%4],%5;"
    :: "r"(shared), "l"(map), "r"(x), "r"(y), "r"(barrier), "h"(ranks) : "memory"); }
DEVICE void tile_store(u64 map, u32 shared, i32 x, i32 y) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0,{%1,%2}],[%3];"
    :: "l"(map), "r"(x), "r"(y), "r"(shared) : "memory"); }
#endif
