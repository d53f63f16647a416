/*
 * What TypeScript calls: the door of the library. One team per program; its threads sleep between runs.
 *
 *   dmn_version()                          of the tape format
 *   dmn_width()                            floats per vector on this machine: 16, 8, or 0 (cannot run here)
 *   dmn_misaligned(floats)                 floats to skip to the next cache line
 *   dmn_advise(floats, count)              asks for large pages
 *   dmn_open(threads) / dmn_close(team)    1 to 16; NULL when a thread cannot be started
 *   dmn_scratch(team, tape)                floats of scratch per thread
 *   dmn_run(team, tape, arena, scratch, scratchFloats)
 *                                          on the calling thread and the team's others; returns when all are done
 *
 * One caller at a time per team. A process that ends, however it ends, takes its threads with it: there is
 * nothing outside of its memory. Arrays are the caller's and are not kept.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>
#include "team.h"

#define EXPORT __attribute__((visibility("default")))
#define VERSION 2
#define MOST_THREADS 16
/*
 * How long a thread that waits stays awake, in ticks of the processor's clock: 30 to 50 microseconds at 2 to 3 GHz.
 * Ticks, for a pause takes 10 to 140 of them, depending on the processor. Sleeping and waking takes about as long,
 * so waiting costs at most twice the best, also when the others have no core to run on.
 */
#define SPIN_TICKS 100000

void run_tape_16(const worker *, const int *);
void run_tape_8(const worker *, const int *);
long scratch_of_16(const int *, int);
long scratch_of_8(const int *, int);

/* Threads and the job that they work on. */
typedef struct team {
  meeting meet;
  int threads;
  /* Floats per vector. Chosen once: scratch has been measured for it. */
  int width;
  /* How many runs were begun; how many of the other threads have done theirs of the last. */
  atomic_int job, done;
  int isClosing;
  worker work;
  const int *tape;
  pthread_t handles[MOST_THREADS];
} team;

/* Waits for another value than `value`: awake for a while, then asleep. */
static void wait_while(atomic_int *at, int value) {
  const unsigned long long start = __rdtsc();
  do {
    if (atomic_load_explicit(at, memory_order_acquire) != value) return;
    __builtin_ia32_pause();
  } while (__rdtsc() - start < SPIN_TICKS);
  while (atomic_load_explicit(at, memory_order_acquire) == value)
    syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, value, 0, 0, 0);
}
static void wake(atomic_int *at) { syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0); }

/* The last to arrive starts the next round and wakes the others. */
void dmn_meet(meeting *meet) {
  const int round = atomic_load(&meet->round);
  if (atomic_fetch_add(&meet->arrived, 1) + 1 == meet->threads) {
    atomic_store(&meet->arrived, 0);
    atomic_store(&meet->round, round + 1);
    wake(&meet->round);
  } else wait_while(&meet->round, round);
}

EXPORT int dmn_version(void) { return VERSION; }

/* By CPUID, and by XGETBV whether the system saves the wide registers. */
EXPORT int dmn_width(void) {
  unsigned a, b, c, d, low, high;
  if (!__get_cpuid_count(1, 0, &a, &b, &c, &d) || !(c & bit_FMA) || !(c & bit_OSXSAVE)) return 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (low & 6) != 6 || !(b & bit_AVX2)) return 0;
  /* XGETBV: 6 is SSE and AVX state, 0xe6 also the three of AVX-512. */
  const unsigned wide = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
  return (b & wide) == wide && (low & 0xe6) == 0xe6 ? 16 : 8;
}

/* DMN_NATIVE_WIDTH=8 tries the narrower half on a machine that has both. */
static int width(void) {
  const char *asked = getenv("DMN_NATIVE_WIDTH");
  const int has = dmn_width();
  return asked && asked[0] == '8' && has == 16 ? 8 : has;
}

EXPORT long dmn_scratch(const team *t, const int *tape) {
  return t->width == 16 ? scratch_of_16(tape, t->threads) : scratch_of_8(tape, t->threads);
}

/* Floats from `at` to the next whole cache line. */
EXPORT int dmn_misaligned(const float *at) { return (int)((64 - ((unsigned long)at & 63)) & 63) / 4; }

/* Asks for large pages under an array that is about to be used: fewer misses of the address cache. */
EXPORT void dmn_advise(float *at, long floats) {
  const unsigned long large = 2ul << 20, start = ((unsigned long)at + large - 1) & ~(large - 1);
  const unsigned long end = ((unsigned long)at + (unsigned long)floats * 4) & ~(large - 1);
  if (start < end) madvise((void *)start, end - start, MADV_HUGEPAGE);
}

/* The current job as one of its threads: 0 is the caller. */
static void run_as(team *t, int thread) {
  worker w = t->work;
  w.thread = thread;
  w.scratch = w.scratches + thread * w.scratchFloats;
  if (t->width == 16) run_tape_16(&w, t->tape);
  else run_tape_8(&w, t->tape);
}

typedef struct { team *t; int thread; } member;

/* What the other threads do: job after job, asleep between them. */
static void *live(void *given) {
  const member m = *(member *)given;
  free(given);
  for (int job = 0;; job++) {
    wait_while(&m.t->job, job);
    if (m.t->isClosing) return 0;
    run_as(m.t, m.thread);
    if (atomic_fetch_add(&m.t->done, 1) + 2 == m.t->threads) wake(&m.t->done);
  }
}

EXPORT void dmn_close(team *t) {
  t->isClosing = 1;
  atomic_fetch_add(&t->job, 1);
  wake(&t->job);
  for (int k = 1; k < t->threads; k++) pthread_join(t->handles[k], 0);
  free(t);
}

EXPORT team *dmn_open(int threads) {
  team *t = calloc(1, sizeof *t);
  if (!t || threads < 1 || threads > MOST_THREADS) { free(t); return 0; }
  t->width = width();
  t->threads = 1;
  for (int k = 1; k < threads; k++) {
    member *m = malloc(sizeof *m);
    if (!m) { dmn_close(t); return 0; }
    *m = (member){t, k};
    if (pthread_create(&t->handles[k], 0, live, m)) { free(m); dmn_close(t); return 0; }
    t->threads = k + 1;
  }
  t->meet.threads = threads;
  return t;
}

EXPORT void dmn_run(team *t, const int *tape, float *arena, float *scratch, long scratchFloats) {
  t->work = (worker){arena, 0, scratch, scratchFloats, 0, t->threads, &t->meet};
  t->tape = tape;
  atomic_store(&t->done, 0);
  if (t->threads > 1) {
    atomic_fetch_add(&t->job, 1);
    wake(&t->job);
  }
  run_as(t, 0);
  for (int done; (done = atomic_load(&t->done)) < t->threads - 1;) wait_while(&t->done, done);
}
