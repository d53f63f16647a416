/*
 * Moves and reductions over any axes: what the fused rows do not cover. Loops over at most six axes, the last
 * one innermost.
 */
#ifndef DMN_MOVE_H
#define DMN_MOVE_H
#include "team.h"
#include "vec.h"
#define AXES 6

/* ints: offset to, offset from, sizes[6], strides to[6], strides from[6]; source stride 0 repeats. */
static void run_copy(const worker *w, const int *ints) {
  const int *size = ints + 2, *st = ints + 8, *sf = ints + 14;
  long outer = 1, start, end;
  for (int k = 0; k < AXES - 1; k++) outer *= size[k];
  share(w, outer, 1, &start, &end);
  const long n = size[5], a = st[5], b = sf[5];
  for (long row = start; row < end; row++) {
    float *to = w->arena + ints[0];
    const float *from = w->arena + ints[1];
    long rest = row;
    for (int k = AXES - 2; k >= 0; k--) {
      const long at = rest % size[k];
      rest /= size[k];
      to += at * st[k];
      from += at * sf[k];
    }
    if (a == 1 && b == 1) copy_floats(to, from, n);
    else for (long j = 0; j < n; j++) to[j * a] = from[j * b];
  }
}

/* ints: isSum, offset to, offset from, kept sizes[6], kept strides of from[6], reduced sizes[6], strides[6]. */
static void run_reduce(const worker *w, const int *ints) {
  const int isSum = ints[0], *keep = ints + 3, *ks = ints + 9, *drop = ints + 15, *ds = ints + 21;
  long outer = 1, inner = 1, start, end;
  for (int k = 0; k < AXES; k++) { outer *= keep[k]; inner *= drop[k]; }
  share(w, outer, 1, &start, &end);
  for (long row = start; row < end; row++) {
    const float *from = w->arena + ints[2];
    long rest = row;
    for (int k = AXES - 1; k >= 0; k--) { from += rest % keep[k] * ks[k]; rest /= keep[k]; }
    double sum = 0;
    float best = from[0];
    for (long j = 0; j < inner; j++) {
      const float *at = from;
      rest = j;
      for (int k = AXES - 1; k >= 0; k--) { at += rest % drop[k] * ds[k]; rest /= drop[k]; }
      if (isSum) sum += *at;
      else best = *at > best || *at != *at ? *at : best;
    }
    w->arena[ints[1] + row] = isSum ? (float)sum : best;
  }
}
#endif
