// Warpgroup matrix products (sm_90a): four warps multiply D (64 x N, float32 in registers) += A (64 x 16) B (16 x N),
// asynchronously. B lies in shared memory, A in registers or in shared memory; both are "K-major": the 16 values
// of k of one row of A, or of one column of B, are neighbours.
//
//   wgmma_fence();                                   registers and shared memory are as the products should see them
//   wgmma_half(d, a, b, true);                       any number of products; N is twice the length of d
//   wgmma_commit(); ... wgmma_wait<0>();             d may be read, A and B may be overwritten
//
// Who holds what, thread = 128 * warpgroup + 32 * warp + lane:
//   A in registers: a[0] row 16 warp + lane / 4, k 2 (lane % 4) and + 1; a[1] row + 8; a[2] k + 8; a[3] row + 8, k + 8
//   D: d[4 j + i]   row 16 warp + lane / 4 + 8 (i / 2), column 8 j + 2 (lane % 4) + i % 2
//
// Shared memory is made of core matrices: 8 rows (of A; columns of B) x 16 bytes (8 values of k).
//   tile_plain: a core matrix is 128 bytes in one piece, rows 16 bytes apart; the next 8 values of k lie
//     `k_bytes` further, the next 8 rows `row_bytes` further. Bulk copies of prepacked data land like this.
//   tile_swizzled: rows of 128 bytes (64 values of k), 8 rows = 1024 bytes (1024-byte aligned), the 16-byte
//     pieces of row r permuted by xor with r % 8, as tensor maps with swizzle 128 write it. The next 16 values
//     of k: descriptor + 2; the next 8 rows 1024 bytes further.
//
// Written by ordinary stores, shared memory needs fence_async_shared() and a barrier before a product reads it.
// With TransposeB (16-bit values, swizzled), B is "N-major" instead: rows of k, 64 values of n contiguous.
#pragma once
#include "ptx.cuh"
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until at most N of the newest committed groups are still running.
template <int N> DEVICE void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(N) : "memory"); }
// Ties registers to a wait, so that the compiler does not move their use above it.
template <int Count> DEVICE void wgmma_hold(float (&d)[Count]) {
  UNROLL for (int i = 0; i < Count; i++) asm volatile("" : "+f"(d[i]) :: "memory"); }

// Descriptors of a matrix in shared memory. To move one: add bytes / 16.
DEVICE u64 tile_plain(u32 address, u32 k_bytes, u32 row_bytes) {
  return (u64)((address & 0x3ffff) >> 4) | (u64)(k_bytes >> 4) << 16 | (u64)(row_bytes >> 4) << 32; }
DEVICE u64 tile_swizzled(u32 address, u32 row_bytes = 1024, u32 leading_bytes = 16) {
  return (u64)((address & 0x3ffff) >> 4) | (u64)(leading_bytes >> 4) << 16 | (u64)(row_bytes >> 4) << 32 | 1ull << 62; }

// More or fewer registers for the warps of a warpgroup; each calls it once, in its role's branch.
template <int Count> DEVICE void registers_more() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(Count)); }
template <int Count> DEVICE void registers_fewer() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(Count)); }
// A barrier of some warps of the block: `threads` of them, id 1 to 15.
DEVICE void named_barrier(u32 id, u32 threads) { asm volatile("bar.sync %0, %1;" :: "r"(id), "r"(threads) : "memory"); }

// One overload per N (selected by the length of d) and type: A in registers, or A in shared memory.
// accumulate = false: D is A B, whatever d held.
#define D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define D8(i) D4(i), D4(i + 4)
#define D16(i) D8(i), D8(i + 8)
#define D32(i) D16(i), D16(i + 16)
#define D64(i) D32(i), D32(i + 32)
#define R4 "%0,%1,%2,%3"
#define R8 R4 ",%4,%5,%6,%7"
#define R16 R8 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define R32 R16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define R48 R32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define R64 R48 ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define R96 R64 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79" \
  ",%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define R128 R96 ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111" \
  ",%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"

#define WGMMA(name, type, N, count, registers, outputs, i0, i1, i2, i3, i4, i5) \
  DEVICE void name(float (&d)[count], const u32 (&a)[4], u64 b, bool accumulate) { \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %" #i5 ", 0; " \
      "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." type "." type " {" registers "}, " \
      "{%" #i0 ",%" #i1 ",%" #i2 ",%" #i3 "}, %" #i4 ", p, 1, 1, 0; }" \
      : outputs : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((u32)accumulate) : "memory"); } \
  template <int TransposeB = 0> DEVICE void name(float (&d)[count], u64 a, u64 b, bool accumulate) { \
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %" #i2 ", 0; " \
      "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." type "." type " {" registers "}, " \
      "%" #i0 ", %" #i1 ", p, 1, 1, 0, %" #i3 "; }" \
      : outputs : "l"(a), "l"(b), "r"((u32)accumulate), "n"(TransposeB) : "memory"); }
#define WGMMA_BOTH(N, count, registers, outputs, i0, i1, i2, i3, i4, i5) \
  WGMMA(wgmma_half, "f16", N, count, registers, ARGUMENT(outputs), i0, i1, i2, i3, i4, i5) \
  WGMMA(wgmma_bfloat, "bf16", N, count, registers, ARGUMENT(outputs), i0, i1, i2, i3, i4, i5)
#define ARGUMENT(...) __VA_ARGS__
WGMMA_BOTH(8, 4, R4, ARGUMENT(D4(0)), 4, 5, 6, 7, 8, 9)
WGMMA_BOTH(16, 8, R8, ARGUMENT(D8(0)), 8, 9, 10, 11, 12, 13)
WGMMA_BOTH(32, 16, R16, ARGUMENT(D16(0)), 16, 17, 18, 19, 20, 21)
WGMMA_BOTH(64, 32, R32, ARGUMENT(D32(0)), 32, 33, 34, 35, 36, 37)
WGMMA_BOTH(96, 48, R48, ARGUMENT(D32(0), D16(32)), 48, 49, 50, 51, 52, 53)
WGMMA_BOTH(128, 64, R64, ARGUMENT(D64(0)), 64, 65, 66, 67, 68, 69)
WGMMA_BOTH(192, 96, R96, ARGUMENT(D64(0), D32(64)), 96, 97, 98, 99, 100, 101)
WGMMA_BOTH(256, 128, R128, ARGUMENT(D64(0), D64(64)), 128, 129, 130, 131, 132, 133)
#undef WGMMA
#undef WGMMA_BOTH
#endif
