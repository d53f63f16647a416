// The functions of src/runtime/cuda/kernels/wgmma.cuh on the emulator's machine. Products happen at the wait, as late
// as they may: what is read before it is old, and what is overwritten before it is wrong.
#pragma once
#include "ptx.cuh"
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

DEVICE void wgmma_fence() {}
DEVICE void wgmma_commit() { emulator::group_commit(emulator::PRODUCT); }
template <int N> DEVICE void wgmma_wait() { emulator::products_wait(N); }
template <int Count> DEVICE void wgmma_hold(float (&)[Count]) {}
DEVICE u64 tile_plain(u32 address, u32 k_bytes, u32 row_bytes) {
  return (u64)((address & 0x3ffff) >> 4) | (u64)(k_bytes >> 4) << 16 | (u64)(row_bytes >> 4) << 32; }
DEVICE u64 tile_swizzled(u32 address, u32 row_bytes = 1024, u32 leading_bytes = 16) {
  return (u64)((address & 0x3ffff) >> 4) | (u64)(leading_bytes >> 4) << 16 | (u64)(row_bytes >> 4) << 32 | 1ull << 62; }
template <int Count> DEVICE void registers_more() {}
template <int Count> DEVICE void registers_fewer() {}
DEVICE void named_barrier(u32 id, u32 threads) { emulator::block_barrier(id, threads, true); }

#define WGMMA(name, is_half) \
  template <int Count> DEVICE void name(float (&d)[Count], const u32 (&a)[4], u64 b, bool accumulate) { \
    emulator::group_product({d, Count, {a[0], a[1], a[2], a[3]}, 0, b, false, false, accumulate, is_half}); } \
  template <int TransposeB = 0, int Count> DEVICE void name(float (&d)[Count], u64 a, u64 b, bool accumulate) { \
    emulator::group_product({d, Count, {}, a, b, true, TransposeB != 0, accumulate, is_half}); }
WGMMA(wgmma_half, true)
WGMMA(wgmma_bfloat, false)
#undef WGMMA
#endif
