// The machine behind emulator.h: fibers, their scheduler, barriers, the copy engine, tensor-core products.
#include "machine.h"
#include <cmath>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <set>
#include <string>
#include <sys/mman.h>
#include <vector>

// --- fibers: a stack each, and the switch between two of them
static const size_t STACK = 64 << 10;
extern "C" void fiber_start();
#if defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)
// What C keeps over a call lies on the stack; the stack pointer is the whole of a fiber that waits.
extern "C" void switch_fiber(void** save, void* load);
asm(R"(
.text
.globl switch_fiber
.hidden switch_fiber
.type switch_fiber,@function
switch_fiber:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size switch_fiber,.-switch_fiber
)");
struct Fiber {
  void* at = nullptr;
  void begin(u8* stack, u32 down) {
    void** top = (void**)(stack + STACK - down);
    *--top = nullptr;                // as if fiber_start had been called: the stack is 8 off a multiple of 16
    *--top = (void*)fiber_start;
    at = top - 6;
  }
  static void change(Fiber& from, Fiber& to) { switch_fiber(&from.at, to.at); }
};
#else
#include <ucontext.h>
struct Fiber {
  ucontext_t at;
  void begin(u8* stack, u32 down) {
    getcontext(&at);
    at.uc_stack.ss_sp = stack; at.uc_stack.ss_size = STACK - down; at.uc_link = nullptr;
    makecontext(&at, fiber_start, 0);
  }
  static void change(Fiber& from, Fiber& to) { swapcontext(&from.at, &to.at); }
};
#endif

namespace emulator {
static const u32 POISON = 0x7fe57fe5;       // not a number as float32, float16 and bfloat16
static const u32 CANARY = 0x5afe5afe;       // in the last words of every stack
static const u32 BARRIER_WORD = 0x6ba72d00; // the first word of an mbarrier, plus its phase
static const u32 WINDOW = 1024;             // where a block's shared memory begins in the window
// Turns of everybody without any news: more blocks are let in, and in the end nobody will ever move.
static const u32 IDLE_TO_GROW = 3, IDLE_TO_GIVE_UP = 1000;

struct Copy { u8* to; const u8* from; u32 bytes; u32 zeros; const TileMap* map; i32 x, y; };
template <class T> struct Groups { std::vector<T> open; std::deque<std::vector<T>> closed; };
struct Begun { Groups<Copy> copies[2]; Groups<Product> products; };

enum State : u8 { READY, YIELDED, WAITS, MEETS, ENDED };
struct Thread : Place {
  Block* of; Warp* warp;
  State state;
  const u32* word; u32 old;                          // WAITS until *word is not old
  u32 mask; Perform perform; void* brought;          // MEETS
  u32 cluster_generation; bool arrived_at_cluster;
  u8* stack;
  Fiber fiber;
  Begun* begun;
};
struct Warp { std::vector<Thread> lanes; u32 alive, meeting, asleep; bool is_slow; };
struct MBarrier { u32 offset, expected, pending; long long bytes; };
struct Cluster { std::vector<Block*> blocks; u32 alive, arrived, generation, live_blocks; };
struct Block {
  Index at; Cluster* cluster; u32 rank;
  std::vector<Warp> warps;
  u8* shared; u32 alive;
  struct { u32 arrived, generation; } barriers[16];
  std::vector<MBarrier> mbarriers;
  std::vector<u32> stored;   // when each 16 bytes of shared memory were last stored to by ordinary stores
  u32 fenced;                // when a thread last fenced them from the copy engine
};
struct Message { Block* block; u8* to; const u8* from; u8 data[16]; u32 bytes, barrier; const TileMap* map; i32 x, y; };

Place* current = nullptr;
static Fiber scheduler;
static const Launch* running;
static std::vector<u8*> stacks;
static std::vector<Message> messages;
static u64 progress;
static std::string trouble;
static sigjmp_buf outside;

static Thread* self() { return (Thread*)current; }
static void leave() { Thread* t = self(); Fiber::change(t->fiber, scheduler); }
void progressed() { progress++; }

void fault(const char* why) {
  const Place& p = *current;
  char text[320];
  snprintf(text, sizeof text, "%s (block %u,%u,%u thread %u)", why, p.block.x, p.block.y, p.block.z, p.thread.x);
  if (trouble.empty()) trouble = text;
  leave();
  abort();
}

void yield() { self()->state = YIELDED; leave(); }
void wait_change(const u32* word, u32 old) {
  if (*word != old) return;
  Thread* t = self();
  t->state = WAITS; t->word = word; t->old = old;
  leave();
}

// --- warps
static bool all_there(const Warp& warp, u32 need, const Thread& like) {
  if ((warp.meeting & need) != need) return false;
  for (u32 lane = 0; lane < warp.lanes.size(); lane++)
    if (need >> lane & 1) {
      const Thread& t = warp.lanes[lane];
      if (t.mask != like.mask || t.perform != like.perform) fault("lanes of a warp meet in different operations");
    }
  return true;
}
static void conclude(Warp& warp, u32 need, Perform perform) {
  void* brought[32] = {};
  for (u32 lane = 0; lane < 32; lane++) if (need >> lane & 1) {
    Thread& t = warp.lanes[lane];
    brought[lane] = t.brought;
    t.state = READY;
  }
  warp.meeting &= ~need;
  perform(brought, need);
}
void meet(u32 mask, Perform perform, void* brought) {
  Thread* t = self();
  Warp& warp = *t->warp;
  if (!(mask >> t->lane & 1)) fault("a lane calls a warp operation whose mask leaves it out");
  t->mask = mask; t->perform = perform; t->brought = brought;
  warp.meeting |= 1u << t->lane;
  t->state = MEETS;
  const u32 need = mask & warp.alive;
  if (all_there(warp, need, *t)) conclude(warp, need, perform);
  else leave();
}

// --- barriers of a block and of a cluster
static void settle(Block& block, u32 id, u32 count) {
  auto& b = block.barriers[id];
  if (b.arrived >= count && b.arrived > 0) { b.arrived = 0; b.generation++; progress++; }
}
void block_barrier(u32 id, u32 count, bool waits) {
  Thread* t = self();
  Block& block = *t->of;
  if (id >= 16) fault("a block has 16 barriers");
  auto& b = block.barriers[id];
  const u32 generation = b.generation;
  b.arrived++;
  settle(block, id, count == 0 ? block.alive : count);
  if (waits) wait_change(&b.generation, generation);
}
static void settle(Cluster& cluster) {
  if (cluster.arrived < cluster.alive || cluster.arrived == 0) return;
  cluster.arrived = 0; cluster.generation++; progress++;
}
void cluster_arrive() {
  Thread* t = self();
  Cluster& cluster = *t->of->cluster;
  if (t->arrived_at_cluster) fault("a second arrival at the cluster's barrier without a wait");
  t->arrived_at_cluster = true; t->cluster_generation = cluster.generation;
  cluster.arrived++;
  settle(cluster);
}
void cluster_wait() {
  Thread* t = self();
  if (!t->arrived_at_cluster) fault("a wait at the cluster's barrier without an arrival");
  wait_change(&t->of->cluster->generation, t->cluster_generation);
  t->arrived_at_cluster = false;
}

// --- shared memory: block rank + 1 in the upper byte of an address that map_shared made
static Block& block_at(u32 address) {
  Thread* t = self();
  if (address >> 24 == 0) return *t->of;
  Cluster& cluster = *t->of->cluster;
  const u32 rank = (address >> 24) - 1;
  if (rank >= cluster.blocks.size()) fault("a shared address of no block of the cluster");
  if (cluster.blocks[rank]->alive == 0) fault("shared memory of a block that has ended");
  return *cluster.blocks[rank];
}
static u8* within_block(Block& block, u32 address, u32 bytes) {
  const u32 offset = (address & 0xffffff) - WINDOW;
  if (offset > running->shared_bytes || offset + bytes > running->shared_bytes) {
    char text[100];
    snprintf(text, sizeof text, "%u bytes at %d are beyond the block's shared memory of %u", bytes, (int)offset,
      running->shared_bytes);
    fault(text);
  }
  if (bytes <= 16 && offset % bytes != 0) fault("a shared address that is no multiple of what is accessed");
  return block.shared + offset;
}
u8* shared_at(u32 address, u32 bytes) { return within_block(block_at(address), address, bytes); }
static u32 now;
u8* shared_for_store(u32 address, u32 bytes) {
  Block& block = block_at(address);
  u8* place = within_block(block, address, bytes);
  block.stored[(u32)(place - block.shared) / 16] = ++now;
  return place;
}
void fence_async() { self()->of->fenced = ++now; }
// What the copy engine, or a product, is about to read.
static void check_fenced(const Block& block, u32 offset, u32 bytes) {
  for (u32 k = offset / 16; k <= (offset + bytes - 1) / 16; k++)
    if (block.stored[k] > block.fenced) fault("the copy engine or a product reads ordinary stores without a fence");
}
static void overwritten(Block& block, u32 offset, u32 bytes) {
  for (u32 k = offset / 16; k <= (offset + bytes - 1) / 16; k++) block.stored[k] = 0;
}
u32 map_shared(u32 address, u32 rank) {
  if (rank >= self()->ranks) fault("map_shared to a rank beyond the cluster");
  return (address & 0xffffff) | (rank + 1) << 24;
}

// --- mbarriers: two words of shared memory, the phase and an index into the block's list
static MBarrier& barrier_of(Block& block, u32 address) {
  u32* words = (u32*)within_block(block, address, 8);
  if ((words[0] & ~1u) != BARRIER_WORD || words[1] >= block.mbarriers.size()) fault("no barrier was made there");
  return block.mbarriers[words[1]];
}
static void settle(Block& block, MBarrier& barrier) {
  if (barrier.pending != 0 || barrier.bytes != 0) return;
  barrier.pending = barrier.expected;
  *(u32*)(block.shared + barrier.offset) ^= 1;
  progress++;
}
void barrier_init(u32 address, u32 count) {
  Block& block = *self()->of;
  u32* words = (u32*)within_block(block, address, 8);
  const u32 offset = (u32)((u8*)words - block.shared);
  u32 k = 0;
  while (k < block.mbarriers.size() && block.mbarriers[k].offset != offset) k++;
  if (k == block.mbarriers.size()) block.mbarriers.push_back({});
  block.mbarriers[k] = {offset, count, count, 0};
  words[0] = BARRIER_WORD; words[1] = k;
}
void barrier_arrive(u32 address, u32 expected_bytes) {
  Block& block = block_at(address);
  MBarrier& barrier = barrier_of(block, address);
  if (barrier.pending == 0) fault("more arrivals at a barrier than it counts");
  barrier.bytes += expected_bytes; barrier.pending--;
  settle(block, barrier);
}
static const u32* barrier_word(u32 address) {
  Block& block = *self()->of;
  if (address >> 24) fault("only a block's own barriers can be waited for");
  return (const u32*)(block.shared + barrier_of(block, address).offset);
}
bool barrier_passed(u32 address, u32 phase) {
  if (*barrier_word(address) != (BARRIER_WORD | (phase & 1))) return true;
  yield();
  return *barrier_word(address) != (BARRIER_WORD | (phase & 1));
}
void barrier_wait(u32 address, u32 phase) { wait_change(barrier_word(address), BARRIER_WORD | (phase & 1)); }

// A copy's source may be this block's shared memory.
static void check_source(const void* from, u32 bytes) {
  const Block& block = *self()->of;
  const long long offset = (const u8*)from - block.shared;
  if (offset >= 0 && offset < running->shared_bytes) check_fenced(block, (u32)offset, bytes);
}

// --- copies that arrive when every fiber has run once more
static void post(u32 to, u32 bytes, u32 barrier, Message m) {
  Block& block = block_at(to);
  if (&block != &block_at(barrier)) fault("a copy that counts at another block's barrier");
  barrier_of(block, barrier);
  m.block = &block; m.to = within_block(block, to, bytes); m.bytes = bytes; m.barrier = barrier;
  messages.push_back(m);
}
void copy_later(u32 to, const void* from, u32 bytes, u32 barrier) {
  if (bytes % 16 || to % 16 || (u64)from % 16) fault("a bulk copy of no multiple of 16 bytes");
  check_source(from, bytes);
  post(to, bytes, barrier, {nullptr, nullptr, (const u8*)from, {}, 0, 0, nullptr, 0, 0});
}
void send_later(u32 to, const void* data, u32 bytes, u32 barrier) {
  Message m{};
  memcpy(m.data, data, bytes);
  post(to, bytes, barrier, m);
}
// A box between global memory and `shared`, whose rows the map's swizzle permutes by bits of their shared address.
static void copy_tile(const TileMap& map, i32 x, i32 y, u8* shared, u32 offset, bool stores) {
  const u32 row_bytes = map.box[0] * map.element;
  const u32 pieces = map.swizzle == 0 ? 0 : map.swizzle / 16 - 1;
  for (u32 row = 0; row < (map.rank > 1 ? map.box[1] : 1); row++)
    for (u32 column = 0; column < map.box[0]; column++) {
      const u32 place = offset + row * row_bytes + column * map.element;
      u8* in_shared = shared + (place ^ ((place >> 7 & pieces) << 4)) - offset;
      const long long gx = (long long)x + column, gy = (long long)y + row;
      const bool inside = gx >= 0 && gx < map.sizes[0] && gy >= 0 && (map.rank == 1 || gy < map.sizes[1]);
      u8* in_global = map.address + gx * map.element + (map.rank > 1 ? gy * (long long)map.strides[0] : 0);
      if (!inside) { if (!stores) memset(in_shared, 0, map.element); }
      else if (stores) memcpy(in_global, in_shared, map.element);
      else memcpy(in_shared, in_global, map.element);
    }
}
static const TileMap& tile_map(const void* map) {
  const TileMap& tile = *(const TileMap*)map;
  if ((u64)map % 64 != 0 || tile.magic != TILE_MAP) fault("no tensor map lies there");
  return tile;
}
static u32 tile_bytes(const TileMap& map) { return map.box[0] * map.element * (map.rank > 1 ? map.box[1] : 1); }
void tile_later(u32 to, const void* map, i32 x, i32 y, u32 barrier) {
  const TileMap& tile = tile_map(map);
  if (to % 128) fault("a tile's shared address is no multiple of 128");
  post(to, tile_bytes(tile), barrier, {nullptr, nullptr, nullptr, {}, 0, 0, &tile, x, y});
}
static Begun& begun() {
  Begun*& begun = self()->begun;
  if (begun == nullptr) begun = new Begun;
  return *begun;
}
template <class T> static void close_group(Groups<T>& groups) {
  groups.closed.push_back(std::move(groups.open));
  groups.open.clear();
}
void group_copy(Kind kind, void* to, const void* from, u32 bytes, u32 zeros) {
  if ((u64)to % 16 || (u64)from % 16) fault("an asynchronous copy from or to no multiple of 16 bytes");
  if (kind == BULK) check_source(from, bytes);
  begun().copies[kind].open.push_back({(u8*)to, (const u8*)from, bytes, zeros, nullptr, 0, 0});
}
void group_tile(const void* map, u32 from, i32 x, i32 y) {
  const TileMap& tile = tile_map(map);
  const u8* shared = shared_at(from, tile_bytes(tile));
  check_source(shared, tile_bytes(tile));
  begun().copies[BULK].open.push_back({nullptr, shared, 0, 0, &tile, x, y});
}
void group_commit(Kind kind) {
  if (kind == PRODUCT) close_group(begun().products); else close_group(begun().copies[kind]);
}
void group_wait(Kind kind, u32 pending) {
  auto& groups = begun().copies[kind];
  for (; groups.closed.size() > pending; groups.closed.pop_front())
    for (const Copy& c : groups.closed.front()) {
      u8* shared = self()->shared;
      if (c.map != nullptr) copy_tile(*c.map, c.x, c.y, (u8*)c.from, (u32)(c.from - shared), true);
      else { memcpy(c.to, c.from, c.bytes); memset(c.to + c.bytes, 0, c.zeros); }
      progress++;
    }
}

// --- numbers
float from_half(u16 x) {
  const u32 sign = (x & 0x8000u) << 16, exponent = x >> 10 & 31, mantissa = x & 1023;
  u32 bits = sign | 0x7f800000 | mantissa << 13;
  if (exponent == 0) { const float tiny = (float)mantissa * 0x1p-24f; memcpy(&bits, &tiny, 4); bits |= sign; }
  else if (exponent < 31) bits = sign | (exponent + 112) << 23 | mantissa << 13;
  float r; memcpy(&r, &bits, 4); return r;
}
u16 to_half(float x) {
  u32 bits; memcpy(&bits, &x, 4);
  const u32 sign = bits >> 16 & 0x8000; bits &= 0x7fffffff;
  if (bits > 0x7f800000) return 0x7fff;
  if (bits >= 0x477ff000) return (u16)(sign | 0x7c00);                     // 65520 and above
  if (bits < 0x38800000) {                                                 // subnormal: units of 2^-24
    float magnitude; memcpy(&magnitude, &bits, 4);
    return (u16)(sign | (u32)rintf(magnitude * 0x1p24f));
  }
  bits += 0xfff + (bits >> 13 & 1);
  return (u16)(sign | ((bits - 0x38000000) >> 13));
}
u16 to_bfloat(float x) {
  u32 bits; memcpy(&bits, &x, 4);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static const struct HalfTable {
  float of[65536];
  HalfTable() { for (u32 k = 0; k < 65536; k++) of[k] = from_half((u16)k); }
} HALF;
static inline float half_of(u32 x) { return HALF.of[x & 0xffff]; }
static inline float bfloat_of(u32 x) { return from_bfloat((u16)x); }

// D (16 x 8) += A (16 x 16) B (16 x 8): lane 4g + q holds rows g and g + 8, columns 2q, 2q + 1 of D, the same of A
// (and 8 further columns), and of B rows 2q, 2q + 1 (and 8 further) of column g. Sums go along K, float32.
template <float (*number)(u32)> static void mma(void** brought, u32 mask) {
  if (mask != ~0u) fault("mma needs all 32 lanes");
  float A[16][16], B[16][8], D[16][8];
  for (u32 lane = 0; lane < 32; lane++) {
    const Mma& m = *(Mma*)brought[lane];
    const u32 g = lane >> 2, q = 2 * (lane & 3);
    for (u32 k = 0; k < 4; k++)
      for (u32 h = 0; h < 2; h++) A[g + 8 * (k & 1)][q + 8 * (k >> 1) + h] = number(m.a[k] >> (16 * h));
    for (u32 h = 0; h < 2; h++) {
      B[q + h][g] = number(m.b0 >> (16 * h));
      B[q + 8 + h][g] = number(m.b1 >> (16 * h));
    }
    for (u32 k = 0; k < 4; k++) D[g + 8 * (k >> 1)][q + (k & 1)] = m.d[k];
  }
  for (u32 row = 0; row < 16; row++)
    for (u32 k = 0; k < 16; k++)
      for (u32 column = 0; column < 8; column++) D[row][column] += A[row][k] * B[k][column];
  for (u32 lane = 0; lane < 32; lane++)
    for (u32 k = 0; k < 4; k++) ((Mma*)brought[lane])->d[k] = D[(lane >> 2) + 8 * (k >> 1)][2 * (lane & 3) + (k & 1)];
}
void mma_half(void** brought, u32 mask) { mma<half_of>(brought, mask); }
void mma_bfloat(void** brought, u32 mask) { mma<bfloat_of>(brought, mask); }

template <bool transposed> static void matrix(void** brought, u32 mask) {
  if (mask != ~0u) fault("load_matrix needs all 32 lanes");
  u16 tiles[4][8][8];
  for (u32 lane = 0; lane < 32; lane++)
    memcpy(tiles[lane >> 3][lane & 7], shared_at(((Matrix*)brought[lane])->address, 16), 16);
  for (u32 lane = 0; lane < 32; lane++)
    for (u32 k = 0; k < 4; k++) {
      const u32 row = lane >> 2, column = 2 * (lane & 3);
      const u32 low = transposed ? tiles[k][column][row] : tiles[k][row][column];
      const u32 high = transposed ? tiles[k][column + 1][row] : tiles[k][row][column + 1];
      ((Matrix*)brought[lane])->words[k] = low | high << 16;
    }
}
void load_matrix(void** brought, u32 mask) { matrix<false>(brought, mask); }
void load_matrix_transposed(void** brought, u32 mask) { matrix<true>(brought, mask); }
void transpose_matrix(void** brought, u32 mask) {
  if (mask != ~0u) fault("transpose_matrix needs all 32 lanes");
  u16 tile[8][8];
  for (u32 lane = 0; lane < 32; lane++) memcpy(&tile[lane >> 2][2 * (lane & 3)], brought[lane], 4);
  for (u32 lane = 0; lane < 32; lane++) {
    const u32 row = lane >> 2, column = 2 * (lane & 3);
    *(u32*)brought[lane] = tile[column][row] | (u32)tile[column + 1][row] << 16;
  }
}

// --- warpgroup products. Address of the 16-bit value (row, k) of an operand in shared memory, K-major: core matrices
// of 8 rows x 16 bytes; or N-major: rows of k, 64 values of n. Swizzled by bits 7 to 9 of the address.
static u16 tile_value(const Block& block, u64 tile, u32 row, u32 k, bool is_transposed) {
  const auto field = [tile](u32 at) { return (u32)(tile >> at & 0x3fff) << 4; };
  const u32 start = field(0), leading = field(16), stride = field(32), mode = (u32)(tile >> 62);
  u32 address;
  if (mode == 1 && is_transposed) address = start + row / 64 * leading + row % 64 * 2 + k / 8 * stride + k % 8 * 128;
  else if (mode == 1) address = start + row / 8 * stride + row % 8 * 128 + k * 2;
  else if (mode == 0 && !is_transposed) address = start + k / 8 * leading + row / 8 * stride + row % 8 * 16 + k % 8 * 2;
  else fault("a matrix descriptor that is not emulated");
  if (mode == 1) address ^= (address >> 7 & 7) << 4;
  const u8* place = within_block(const_cast<Block&>(block), address, 2);
  check_fenced(block, (u32)(place - block.shared), 2);
  u16 value;
  memcpy(&value, place, 2);
  return value;
}
static void multiply(const Product* const (&lanes)[32], u32 warp, const Block& block) {
  const Product& p = *lanes[0];
  const u32 N = p.count * 2;
  const auto number = p.is_half ? half_of : bfloat_of;
  float A[16][16], B[16][256], D[16][256];
  for (u32 row = 0; row < 16; row++) for (u32 k = 0; k < 16; k++) {
    const u32 lane = row % 8 * 4 + k % 8 / 2, word = row / 8 + 2 * (k / 8);
    A[row][k] = number(p.a_is_tile ? tile_value(block, p.a_tile, 16 * warp + row, k, false)
      : lanes[lane]->a[word] >> 16 * (k % 2));
  }
  for (u32 k = 0; k < 16; k++) for (u32 n = 0; n < N; n++)
    B[k][n] = number(tile_value(block, p.b_tile, n, k, p.b_is_transposed));
  for (u32 row = 0; row < 16; row++) for (u32 n = 0; n < N; n++)
    D[row][n] = p.accumulate ? lanes[row % 8 * 4 + n % 8 / 2]->d[n / 8 * 4 + row / 8 * 2 + n % 2] : 0.f;
  for (u32 row = 0; row < 16; row++) for (u32 k = 0; k < 16; k++)
    for (u32 n = 0; n < N; n++) D[row][n] += A[row][k] * B[k][n];
  for (u32 row = 0; row < 16; row++) for (u32 n = 0; n < N; n++)
    lanes[row % 8 * 4 + n % 8 / 2]->d[n / 8 * 4 + row / 8 * 2 + n % 2] = D[row][n];
}
void group_product(const Product& product) { begun().products.open.push_back(product); }
struct Wait { Thread* thread; u32 pending; };
static void multiply_all(void** brought, u32 mask) {
  if (mask != ~0u) fault("wgmma needs all 32 lanes");
  const u32 pending = ((Wait*)brought[0])->pending;
  auto groups = [&](u32 lane) -> auto& { return ((Wait*)brought[lane])->thread->begun->products.closed; };
  for (; groups(0).size() > pending; ) {
    for (size_t k = 0; k < groups(0).front().size(); k++) {
      const Product* lanes[32];
      for (u32 lane = 0; lane < 32; lane++) {
        if (groups(lane).size() != groups(0).size() || groups(lane).front().size() != groups(0).front().size())
          fault("lanes of a warp have begun different products");
        lanes[lane] = &groups(lane).front()[k];
      }
      const Thread& first = *((Wait*)brought[0])->thread;
      multiply(lanes, first.thread.x / 32 % 4, *first.of);
    }
    for (u32 lane = 0; lane < 32; lane++) groups(lane).pop_front();
  }
}
void products_wait(u32 pending) {
  begun();
  Wait own{self(), pending};
  meet(~0u, multiply_all, &own);
}
u64 nanoseconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

// --- the order of turns
// EMULATOR_ORDER=backwards: lanes, warps, blocks and messages take their turns from the last to the first. What
// depends on an order that nothing enforces gives other bits.
// EMULATOR_ORDER=random:SEED: they take them in an order that changes from turn to turn; besides, warps stop where
// their lanes have met, miss turns (some of them most turns), and messages are late. A warp may so come to a barrier
// again before another has come to it once.
static enum { FORWARDS, BACKWARDS, RANDOM } order;
static u64 random_state;
static u32 random_below(u32 limit) {     // splitmix64
  u64 z = random_state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return (u32)((z ^ z >> 31) >> 32) % limit;
}
template <class List, class Act> static void each(List& list, Act act) {
  static const u32 STRIDES[] = {1, 7, 11, 13, 17, 19, 23, 29};     // one, and primes: those that do not divide a length
  const size_t count = list.size();
  size_t first = order == BACKWARDS ? count - 1 : 0, stride = order == BACKWARDS ? count - 1 : 1;
  if (order == RANDOM && count > 1) {
    first = random_below((u32)count);
    do stride = STRIDES[random_below(8)]; while (stride > 1 && count % stride == 0);
  }
  for (size_t k = 0; k < count && trouble.empty(); k++) act(list[(first + k * stride) % count]);
}
static const u32 FEW_TURNS = 4, MANY_TURNS = 64;
static bool misses_turn(Warp& warp) {
  if (order != RANDOM) return false;
  if (warp.asleep > 0) { warp.asleep--; return true; }
  if (random_below(warp.is_slow ? 2 : 16) == 0) warp.asleep = random_below(random_below(2) ? FEW_TURNS : MANY_TURNS);
  return false;
}

// --- life of threads and blocks
static void end_thread() {
  Thread* t = self();
  if (*(u32*)t->stack != CANARY) fault("a thread's stack of 64 KiB was not enough");
  if (t->begun != nullptr) {
    const auto& stores = t->begun->copies[BULK];
    if (stores.open.size() || stores.closed.size()) fault("a thread ended while its bulk stores were under way");
    delete t->begun;
    t->begun = nullptr;
  }
  t->state = ENDED;
  Warp& warp = *t->warp;
  Block& block = *t->of;
  warp.alive &= ~(1u << t->lane);
  block.alive--;
  progress++;
  // Those that wait for everybody wait for one less.
  if (warp.meeting != 0) {
    u32 first = 0;
    while (!(warp.meeting >> first & 1)) first++;
    const Thread& other = warp.lanes[first];
    const u32 need = other.mask & warp.alive;
    if (all_there(warp, need, other)) conclude(warp, need, other.perform);
  }
  if (block.alive > 0) settle(block, 0, block.alive);
  if (!t->arrived_at_cluster) { block.cluster->alive--; settle(*block.cluster); }
}

static u8* take_stack() {
  if (stacks.empty()) {
    const u32 many = 256;
    u8* slab = (u8*)mmap(nullptr, STACK * many, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
      -1, 0);
    if (slab == MAP_FAILED) abort();
    for (u32 k = many; k-- > 0;) stacks.push_back(slab + k * STACK);
  }
  u8* stack = stacks.back();
  stacks.pop_back();
  *(u32*)stack = CANARY;
  return stack;
}

static Block* new_block(const Launch& launch, u32 number, Cluster* cluster, u32 rank) {
  Block* block = new Block{};
  const Index& g = launch.grid;
  block->at = {number % g.x, number / g.x % g.y, number / g.x / g.y};
  block->cluster = cluster; block->rank = rank;
  const u32 padded = (launch.shared_bytes + 1023) / 1024 * 1024 + 1024;
  block->shared = (u8*)aligned_alloc(1024, padded);
  for (u32 k = 0; k < padded / 4; k++) ((u32*)block->shared)[k] = POISON;
  block->stored.resize(padded / 16);
  const u32 count = launch.block.x * launch.block.y * launch.block.z;
  block->alive = count;
  block->warps.resize((count + 31) / 32);
  for (u32 w = 0; w < block->warps.size(); w++) {
    Warp& warp = block->warps[w];
    const u32 lanes = count - 32 * w < 32 ? count - 32 * w : 32;
    warp.alive = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warp.meeting = 0; warp.asleep = 0;
    warp.is_slow = order == RANDOM && random_below(8) == 0;
    warp.lanes.resize(lanes);
    for (u32 lane = 0; lane < lanes; lane++) {
      Thread& t = warp.lanes[lane];
      const u32 n = 32 * w + lane;
      const Index& b = launch.block;
      t.thread = {n % b.x, n / b.x % b.y, n / b.x / b.y};
      t.block = block->at; t.block_size = launch.block; t.grid_size = launch.grid;
      t.lane = lane; t.rank = rank; t.ranks = launch.cluster;
      t.shared = block->shared; t.shared_bytes = launch.shared_bytes;
      t.of = block; t.warp = &warp; t.state = READY;
      t.arrived_at_cluster = false; t.begun = nullptr;
      t.stack = take_stack();
      // Stacks start at different places of their pages, or they would all want the same lines of the caches.
      t.fiber.begin(t.stack, n * 320 % 4096 / 16 * 16);
    }
  }
  cluster->blocks.push_back(block);
  cluster->alive += count; cluster->live_blocks++;
  return block;
}
static void free_cluster(Cluster* cluster) {
  for (Block* block : cluster->blocks) {
    for (Warp& warp : block->warps) for (Thread& t : warp.lanes) { stacks.push_back(t.stack); delete t.begun; }
    free(block->shared);
    delete block;
  }
  delete cluster;
}

// --- the scheduler
static bool can_run(const Thread& t) { return t.state == READY || (t.state == WAITS && *t.word != t.old); }
static void resume(Thread& t) {
  t.state = READY;
  current = &t;
  Fiber::change(scheduler, t.fiber);
}
// A warp runs until each of its lanes waits for others; in a random order it may stop before.
static void run_warp(Warp& warp) {
  each(warp.lanes, [](Thread& t) { if (t.state == YIELDED) resume(t); });
  const u32 rounds = order == RANDOM && random_below(2) ? 1 + random_below(8) : 100000;
  for (u32 round = 0, ran = 1; ran != 0 && round < rounds; round++) {
    ran = 0;
    each(warp.lanes, [&](Thread& t) { if (can_run(t)) { resume(t); ran++; } });
  }
}

static void deliver() {
  std::vector<Message> now;
  now.swap(messages);
  each(now, [](const Message& m) {
    if (order == RANDOM && random_below(4) == 0) { messages.push_back(m); progress++; return; }
    if (m.block->alive == 0) { trouble = "a copy arrived at a block that had ended"; return; }
    if (m.map != nullptr) copy_tile(*m.map, m.x, m.y, m.to, (u32)(m.to - m.block->shared), false);
    else memcpy(m.to, m.from == nullptr ? m.data : m.from, m.bytes);
    overwritten(*m.block, (u32)(m.to - m.block->shared), m.bytes);
    MBarrier& barrier = m.block->mbarriers[((u32*)(m.block->shared + (m.barrier & 0xffffff) - WINDOW))[1]];
    barrier.bytes -= m.bytes;
    settle(*m.block, barrier);
    progress++;
  });
}

// Before what it depends on, where that lets it: kernels that were seen to let dependents start.
static std::set<void (*)(const void*)> triggers;
static u32* prior_done;
void forget_kernels() { triggers.clear(); }
void let_dependents_start() { triggers.insert(running->kernel); }
void wait_for_prior_kernel() { wait_change(prior_done, 0); }
static void run(const Launch& launch);
static void run_prior(const Launch& launch, u32& done) {
  std::vector<Message> own;
  own.swap(messages);
  run(*launch.prior);
  own.swap(messages);
  running = &launch; prior_done = &done;
  done = 1; progress++;
}

static void run(const Launch& launch) {
  const u32 blocks = launch.grid.x * launch.grid.y * launch.grid.z;
  const u32 resident = launch.is_cooperative ? blocks : launch.resident != 0 ? launch.resident : 132;
  u32 done = launch.prior == nullptr, started = 0, idle = 0;
  if (!done && triggers.count(launch.prior->kernel) == 0) run_prior(launch, done);
  running = &launch; prior_done = &done;
  u32 window = launch.is_cooperative ? blocks : done ? launch.cluster : resident;
  std::vector<Cluster*> live;
  while (trouble.empty() && (started < blocks || !live.empty())) {
    while (started < blocks && (live.size() + 1) * launch.cluster <= window) {
      Cluster* cluster = new Cluster{};
      live.push_back(cluster);
      for (u32 rank = 0; rank < launch.cluster; rank++) new_block(launch, started++, cluster, rank);
    }
    const u64 before = progress;
    each(live, [](Cluster* cluster) {
      each(cluster->blocks, [](Block* block) {
        each(block->warps, [](Warp& warp) { if (warp.alive != 0 && !misses_turn(warp)) run_warp(warp); });
      });
    });
    deliver();
    for (size_t k = live.size(); k-- > 0;) {
      u32 alive = 0;
      for (Block* block : live[k]->blocks) alive += block->alive;
      if (alive == 0) { free_cluster(live[k]); live.erase(live.begin() + (long)k); }
    }
    idle = progress == before ? idle + 1 : 0;
    if (idle > 0 && !done && trouble.empty()) run_prior(launch, done);
    // Nobody moves: on a GPU more blocks might run beside these; where there is no room, nobody ever will.
    if (idle >= IDLE_TO_GROW && started < blocks && window + launch.cluster <= resident) {
      window += launch.cluster;
      idle = 0;
    }
    if (idle >= IDLE_TO_GIVE_UP) trouble = "deadlock: every thread waits, and nothing is under way";
  }
  for (Cluster* cluster : live) free_cluster(cluster);
  if (!done && trouble.empty()) run_prior(launch, done);
}

static void on_signal(int signal) { siglongjmp(outside, signal); }
const char* launch(const Launch& given) {
  Launch launch = given;
  if (launch.cluster == 0) launch.cluster = 1;
  const char* given_order = getenv("EMULATOR_ORDER");
  const std::string asked = given_order == nullptr ? "" : given_order;
  order = asked == "backwards" ? BACKWARDS : asked.rfind("random:", 0) == 0 ? RANDOM : FORWARDS;
  if (order == RANDOM) random_state = strtoull(asked.c_str() + strlen("random:"), nullptr, 10);
  trouble.clear(); messages.clear();
  now = 0;
  // An address that no memory lies at ends the launch, not the process.
  static u8 signal_stack[64 << 10];
  stack_t old_stack, new_stack{};
  new_stack.ss_sp = signal_stack; new_stack.ss_size = sizeof signal_stack;
  struct sigaction old_segv, old_bus, action{};
  action.sa_handler = on_signal; action.sa_flags = SA_ONSTACK;
  sigaltstack(&new_stack, &old_stack);
  sigaction(SIGSEGV, &action, &old_segv);
  sigaction(SIGBUS, &action, &old_bus);
  if (sigsetjmp(outside, 1) == 0) run(launch);
  else {
    char text[200];
    snprintf(text, sizeof text, "illegal address (block %u,%u,%u thread %u)", current->block.x, current->block.y,
      current->block.z, current->thread.x);
    trouble = text;
  }
  sigaction(SIGSEGV, &old_segv, nullptr);
  sigaction(SIGBUS, &old_bus, nullptr);
  sigaltstack(&old_stack, nullptr);
  current = nullptr;
  return trouble.empty() ? nullptr : trouble.c_str();
}
}

// Where every fiber begins.
extern "C" void fiber_start() {
  emulator::running->kernel(emulator::running->arguments);
  emulator::end_thread();
  emulator::leave();
  abort();
}
