/*
 * Threads that work on one tape together. Each runs the same ops on its share of the rows; a barrier
 * separates ops of which one needs what another has written.
 */
#ifndef DMN_TEAM_H
#define DMN_TEAM_H
#include <stdatomic.h>

typedef struct {
  int threads;
  atomic_int arrived, round;
} meeting;

/* What an op sees: the arena of floats, who it is, and scratch of its own (the tape says how much). */
typedef struct {
  float *arena;
  float *scratch;
  float *scratches; /* of thread 0; that of thread k lies k * scratchFloats further */
  long scratchFloats;
  int thread, threads;
  meeting *meet;
} worker;

void dmn_meet(meeting *meet);
static inline void barrier(const worker *w) { if (w->threads > 1) dmn_meet(w->meet); }

/* Thread k's part of `count`, in whole `grain`s; a single grain is thread 0's. */
static inline void share(const worker *w, long count, long grain, long *start, long *end) {
  const long grains = (count + grain - 1) / grain, k = w->thread, n = w->threads;
  *start = (grains * k + n - 1) / n * grain;
  *end = (grains * (k + 1) + n - 1) / n * grain;
  if (*start > count) *start = count;
  if (*end > count) *end = count;
}
#endif
