// How the host learns that a run is done: a word in mapped memory that it looks at.
#pragma once
#include "ptx.cuh"

// Called by one thread of each of `parties` blocks after a barrier of its block: the last one tells the host how many
// runs are done, which thus sees what all of them wrote. It stores: an addition over PCIe is none that the host could
// trust, and one by each block would take a microsecond each. arrivals: blocks that have come (0 again), runs.
DEVICE void tell_host(u32* done, u32* arrivals, u32 parties) {
  if (done == nullptr) return;
  if (parties > 1) {
    if (add_ordered_system(arrivals, 1) != parties - 1) return;
    arrivals[0] = 0;
  }
  const u32 runs = arrivals[1] + 1;
  arrivals[1] = runs;
  store_release_system(done, runs);
}
