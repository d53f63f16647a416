// What stands before and after every model's launches: its inputs are brought into device memory, and the host is
// told when the answers can be read. The host writes `header` and the rows, then replays the graph that begins here.
//
//   mapped host memory                           device memory
//   rows                            ─ ring_step ─>  ring (B, T, F), start      only new rows travel
//   header, windows (B, T, F)       ─ copy_rows ─>  x (B, T, F)                only the first `rows` windows travel
//   done                            <─ tell_done ─  after the last launch
//
// header: [0] windows that are asked about, the first ones
#include "ptx.cuh"

// One block per window. Step t of window b lies in slot (start + t) % T. With new rows, the oldest slot takes the
// new row of each window that has one and becomes the newest; a window without a new row must still say the same,
// so its rows move one slot on with the start.
//
// A row travels as whole lines of 128 bytes, with all that its window must know before its features: what costs is how
// many lines are asked for over the link, and above all many blocks asking for the same one.
//   words [0] step that brought these features; [1] this step, or 0: no window has a new row; [2] slot of the oldest
//   row; [4...] features
#define ROW_HEAD 4
struct RingStep {
  float* ring;
  u32* start;
  const u32* rows;      // (B, stride)
  u32 T, F, stride;
};
KERNEL(256, ring_step, RingStep) {
  let_dependents_start();
  const u32 b = blockIdx.x, words = ROW_HEAD + a.F, thread = threadIdx.x;
  const u32* row = a.rows + (u64)b * a.stride;
  const u32 first = thread < words ? row[thread] : 0;
  if (thread < ROW_HEAD) store_shared(shared_base() + thread * 4, first);
  __syncthreads();
  const uint4 head = load_shared4(shared_base());
  const u32 oldest = head.z, has_new = head.y, is_fresh = head.x == head.y;
  if (b == 0 && thread == 0) *a.start = has_new ? (oldest + 1 == a.T ? 0 : oldest + 1) : oldest;
  if (!has_new) return;
  for (u32 word = thread; word < words; word += blockDim.x) {
    if (word < ROW_HEAD) continue;
    float* column = a.ring + (u64)b * a.T * a.F + word - ROW_HEAD;
    if (is_fresh) {
      column[(u64)oldest * a.F] = float_of(word == thread ? first : row[word]);
      continue;
    }
    float before = column[(u64)((oldest + a.T - 1) % a.T) * a.F];
    for (u32 t = 0, slot = oldest; t < a.T; t++, slot = slot + 1 == a.T ? 0 : slot + 1) {
      const float own = column[(u64)slot * a.F];
      column[(u64)slot * a.F] = before;
      before = own;
    }
  }
}

// The ring's windows in order, for plans that read x (B, T, F) from its beginning: one block per row of it.
struct Unroll {
  float* x;
  const float* ring;
  const u32* start;
  u32 T, F;
};
KERNEL(256, unroll_ring, Unroll) {
  let_dependents_start();
  wait_for_prior_kernel();
  const u32 b = blockIdx.y, t = blockIdx.x, slot = (*a.start + t) % a.T;
  const float* from = a.ring + ((u64)b * a.T + slot) * a.F;
  float* to = a.x + ((u64)b * a.T + t) * a.F;
  for (u32 f = threadIdx.x; f < a.F; f += blockDim.x) to[f] = from[f];
}

// Any grid of 256 threads; four 16-byte reads of each thread are under way at once, because the link is slow to
// answer. `row` floats of each window.
struct CopyRows {
  float* to;
  const float* from;
  const u32* header;
  u32 row;
};
KERNEL(256, copy_rows, CopyRows) {
  let_dependents_start();
  const u64 count = (u64)a.header[0] * a.row, whole = count / 4;
  const u64 stride = (u64)gridDim.x * blockDim.x, first = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  const uint4* from = (const uint4*)a.from;
  uint4* to = (uint4*)a.to;
  for (u64 at = first; at < whole; at += 4 * stride) {
    uint4 v[4];
    UNROLL for (u32 k = 0; k < 4; k++) if (at + k * stride < whole) v[k] = from[at + k * stride];
    UNROLL for (u32 k = 0; k < 4; k++) if (at + k * stride < whole) to[at + k * stride] = v[k];
  }
  if (first < count % 4) a.to[4 * whole + first] = a.from[4 * whole + first];
}

// One thread, after everything: tells the host, which waits for it, how many runs are done. A store of a count that the
// GPU keeps: an addition in host memory is none that the host could trust over PCIe.
struct TellDone {
  u32* done;
  u32* runs;
};
KERNEL(32, tell_done, TellDone) {
  wait_for_prior_kernel();
  if (threadIdx.x != 0) return;
  const u32 runs = *a.runs + 1;
  *a.runs = runs;
  store_release_system(a.done, runs);
}
