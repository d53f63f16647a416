// What kernels ask of the machine (machine.cpp), and how a launch is asked of it. emulator.h says how to use it.
#pragma once
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;
#ifdef __SIZE_TYPE__
typedef __SIZE_TYPE__ size_t;
#endif

#pragma GCC visibility push(default)
namespace emulator {
struct Index { u32 x, y, z; };
struct Thread;
struct Warp;
struct Block;

// What a thread knows of itself; the machine keeps more of it.
struct Place {
  Index thread, block, block_size, grid_size;
  u32 lane, rank, ranks;
  u8* shared;
  u32 shared_bytes;
};
extern Place* current;

struct Launch {
  void (*kernel)(const void* arguments);
  const void* arguments;
  Index grid, block;
  u32 shared_bytes;
  u32 cluster;          // blocks of a cluster, 1: none
  bool is_cooperative;  // all blocks live at once from the start
  u32 resident;         // most blocks that live at once; 0: 132
  // The launch before a dependent one, which is not run on its own: where it lets dependents start, it runs as late as
  // they may see it, when this one's threads wait for it.
  const Launch* prior;
};
// Runs a launch to its end. Null, or what went wrong.
const char* launch(const Launch&);
// Kernels are about to be unloaded.
void forget_kernels();

[[noreturn]] void fault(const char* why);
// A poll that found nothing new: let others run.
void yield();
// Said of whatever others may be polling for.
void progressed();
// Waits until a word is another than `old`.
void wait_change(const u32* word, u32 old);
// Lanes of a warp come together: the last one runs `perform` over what each brought, by lane.
typedef void (*Perform)(void** brought, u32 mask);
void meet(u32 mask, Perform perform, void* brought);
// Block barriers by number: `count` threads (0: all), of which some only arrive.
void block_barrier(u32 id, u32 count, bool waits);
void cluster_arrive();
void cluster_wait();
void let_dependents_start();
void wait_for_prior_kernel();
// Host address of `bytes` at a shared-window address, of another block of the cluster where it is mapped there.
u8* shared_at(u32 address, u32 bytes);
// The same for an ordinary store: the copy engine and products may read it after a fence only.
u8* shared_for_store(u32 address, u32 bytes);
void fence_async();
u32 map_shared(u32 address, u32 rank);
void barrier_init(u32 address, u32 count);
void barrier_arrive(u32 address, u32 expected_bytes);
bool barrier_passed(u32 address, u32 phase);
void barrier_wait(u32 address, u32 phase);
// Copies that arrive later and count at a barrier of the same block as `to`; data up to 16 bytes travels along.
void copy_later(u32 to, const void* from, u32 bytes, u32 barrier);
void send_later(u32 to, const void* data, u32 bytes, u32 barrier);
// A box of a tensor map, which is one of these where a GPU keeps its own 128 bytes.
struct TileMap { u32 magic, element, rank, swizzle; u8* address; u64 strides[4]; u32 sizes[5], box[5]; };
static const u32 TILE_MAP = 0x7115ea9;
void tile_later(u32 to, const void* map, i32 x, i32 y, u32 barrier);
// What a thread has begun and waits for by groups: cp.async, bulk stores, warpgroup products. It happens at the wait.
enum Kind { ASYNC, BULK, PRODUCT };
void group_copy(Kind kind, void* to, const void* from, u32 bytes, u32 zeros);
void group_tile(const void* map, u32 from, i32 x, i32 y);
void group_commit(Kind kind);
void group_wait(Kind kind, u32 pending);
// D (64 x 2 count) += A (64 x 16) B, of which a warp makes 16 rows; see wgmma.cuh for descriptors.
struct Product {
  float* d;
  u32 count, a[4];
  u64 a_tile, b_tile;
  bool a_is_tile, b_is_transposed, accumulate, is_half;
};
void group_product(const Product& product);
void products_wait(u32 pending);

float from_half(u16 x);
u16 to_half(float x);
inline float from_bfloat(u16 x) { u32 bits = (u32)x << 16; float r; __builtin_memcpy(&r, &bits, 4); return r; }
u16 to_bfloat(float x);
struct Mma { float* d; const u32* a; u32 b0, b1; };
void mma_half(void** brought, u32 mask);
void mma_bfloat(void** brought, u32 mask);
struct Matrix { u32 address, words[4]; };
void load_matrix(void** brought, u32 mask);
void load_matrix_transposed(void** brought, u32 mask);
void transpose_matrix(void** brought, u32 mask);
u64 nanoseconds();
}
#pragma GCC visibility pop
