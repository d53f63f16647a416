/*
 * Elementwise ops, reductions along the last axis and sums over rows, fused: one pass over R rows of W values.
 *
 *     rows of a strip     r0 |####W####|     a strip is so few rows that the registers (arrays of `strip`
 *     (about 1000 values) r1 |#########|     values in scratch) stay in the first cache
 *                         ..                 every instruction runs over the strip before the next one does
 *
 * A value is full (one per element), or one per row, or the same everywhere. Places of values (3 ints each):
 *
 *     REGISTER  number                   an array in scratch
 *     MEMORY    offset, step             row r starts at offset + r * step (step W, or 1 for one per row)
 *     SPLAT     offset                   one value
 *
 * Instructions (9 ints each): code, isPerRow, target, a, b, c, three extras.
 *
 *     LOAD      fills the target's row r from row (r / div) % mod of a matrix whose rows are b apart;
 *               extras div (0: all rows alike), mod, offset
 *     EXPAND    makes one value per row full
 *     TOTAL, COLUMNS   add to accumulators in scratch, one set per thread, which are added in the order of the
 *               threads at the end; first extra: where in the set
 */
#ifndef DMN_ROWS_H
#define DMN_ROWS_H
#include <math.h>
#include "team.h"
#include "vec.h"

enum {
  NEG, EXP, LOG, SQRT, SIN, TANH, SIGMOID, ABS, SIGN, FLOOR, COPY,
  ADD, SUB, MUL, DIV, MAX, GREATER, WHERE, MULADD,
  ROW_SUM, ROW_MAX, EXPAND, LOAD, TOTAL, COLUMNS
};
enum { REGISTER, MEMORY, SPLAT, NONE };

typedef struct { float *at; long step; } place;

/* An op over n values, whole vectors first; `break` is that of the case. */
#define LOOP(loads, expression) { \
    long k = 0; \
    for (; k + VL <= n; k += VL, a += as, b += bs, c += cs) { loads; store(to + k, (expression)); } \
    if (k < n) { loads; store_first(to + k, (expression), n - k); } \
  } break
#define ONE(expression) LOOP(const vf x = load(a), expression)
#define TWO(expression) LOOP(const vf x = load(a); const vf y = load(b), expression)
#define EACH(expression) LOOP(const vf x = load(a); const vf y = load(b); const vf z = load(c), expression)

static vf scalars(vf x, float (*compute)(float)) {
  float part[VL];
  store(part, x);
  for (int k = 0; k < VL; k++) part[k] = compute(part[k]);
  return load(part);
}
INLINE vf vsqrt(vf x) {
#if VL == 16
  return (vf)_mm512_sqrt_ps((__m512)x);
#else
  return (vf)_mm256_sqrt_ps((__m256)x);
#endif
}
INLINE vf vfloor(vf x) {
#if VL == 16
  return (vf)_mm512_roundscale_ps((__m512)x, 0x09);
#else
  return (vf)_mm256_floor_ps((__m256)x);
#endif
}

/* One instruction over n values: `to` from up to three places. May read, and drops, VL - 1 floats behind a, b and c. */
static void elementwise(int code, long n, float *to, place pa, place pb, place pc) {
  const vf one = splat(1.0f), zero = {0};
  const float *a = pa.at, *b = pb.at, *c = pc.at;
  const long as = pa.step, bs = pb.step, cs = pc.step;
  switch (code) {
    case NEG: ONE(-x);
    case EXP: ONE(vexp(x));
    case LOG: ONE(scalars(x, logf));
    case SQRT: ONE(vsqrt(x));
    case SIN: ONE(scalars(x, sinf));
    case TANH: ONE(vtanh(x));
    case SIGMOID: ONE(vsigmoid(x));
    case ABS: ONE(choose(x < zero, -x, x) + zero);
    case SIGN: ONE(choose(x > zero, one, choose(x < zero, -one, x)));
    case FLOOR: ONE(vfloor(x));
    case COPY: ONE(x);
    case ADD: TWO(x + y);
    case SUB: TWO(x - y);
    case MUL: TWO(x * y);
    case DIV: TWO(x / y);
    case MAX: TWO(larger(x, y));
    case GREATER: TWO(choose(x > y, one, zero));
    case WHERE: EACH(choose(x != zero, y, z));
    case MULADD: EACH(x * y + z);
  }
}

/* Sum or maximum of each of n rows of W values. */
static void reduce_rows(int isSum, long n, long W, const float *a, float *to) {
  for (long r = 0; r < n; r++, a += W) {
    const long whole = W / VL * VL;
    if (isSum) {
      vf s = {0};
      for (long k = 0; k < whole; k += VL) s += load(a + k);
      if (whole < W) s += load_first(a + whole, W - whole);
      to[r] = sum_of(s);
    } else if (whole == 0) {
      float best = a[0];
      for (long k = 1; k < W; k++) best = a[k] > best || a[k] != a[k] ? a[k] : best;
      to[r] = best;
    } else {
      vf best = load(a);
      for (long k = VL; k < whole; k += VL) best = larger(load(a + k), best);
      if (whole < W) best = larger(load(a + W - VL), best); /* the same values twice change no maximum */
      to[r] = largest_of(best);
    }
  }
}

static void expand(long n, long W, const float *a, long step, float *to) {
  for (long r = 0; r < n; r++, to += W) {
    const vf x = splat(step ? a[r] : a[0]);
    for (long k = 0; k < W; k += VL) store_first(to + k, x, W - k);
  }
}

static void add_total(long n, const float *a, float *sum) {
  vf s = {0};
  for (long k = 0; k < n; k += VL) s += load_first(a + k, n - k);
  *sum += sum_of(s);
}

static void add_columns(long n, long W, const float *a, float *sums) {
  for (long k = 0; k < W; k += VL) {
    const float *at = a + k;
    vf s = {0};
    for (long r = 0; r < n; r++, at += W) s += load_first(at, W - k);
    store_first(sums + k, load_first(sums + k, W - k) + s, W - k);
  }
}

/*
 * ints: R, W, rows of a strip, registers, places, instructions, accumulators, their floats; then the tables of
 * places, instructions and accumulators (3 ints each: where in the set, floats, offset in the arena).
 */
static void run_rows(const worker *w, const int *ints) {
  const long R = ints[0], W = ints[1], strip = ints[2];
  const int operands = ints[4], instructions = ints[5], accumulators = ints[6];
  const long sums = ints[7];
  const int *operand = ints + 8, *code = operand + 3 * operands, *accumulator = code + 9 * instructions;
  const long size = (strip * W + 31) / 16 * 16;
  float *const sum = w->scratch, *const splats = sum + (sums + 15) / 16 * 16,
    *const file = splats + 16L * operands;
  if (sums > 0) zero_floats(sum, sums);
  place places[64];
  for (int k = 0; k < operands; k++) {
    const int *o = operand + 3 * k;
    if (o[0] == SPLAT) {
      for (int j = 0; j < 16; j++) splats[16 * k + j] = w->arena[o[1]];
      places[k] = (place){splats + 16 * k, 0};
    } else if (o[0] == REGISTER) places[k] = (place){file + o[1] * size, VL};
    else places[k] = (place){w->arena, VL};
  }
  long start, end;
  share(w, R, strip, &start, &end);
  for (long r = start; r < end; r += strip) {
    const long n = end - r < strip ? end - r : strip;
    for (int k = 0; k < operands; k++) {
      const int *o = operand + 3 * k;
      if (o[0] == MEMORY) places[k].at = w->arena + o[1] + r * o[2];
    }
    for (int k = 0; k < instructions; k++) {
      const int *i = code + 9 * k;
      const place a = places[i[3]];
      float *to = places[i[2]].at;
      const long count = i[1] ? n : n * W;
      switch (i[0]) {
        case ROW_SUM: reduce_rows(1, n, W, a.at, to); break;
        case ROW_MAX: reduce_rows(0, n, W, a.at, to); break;
        case EXPAND: expand(n, W, a.at, a.step, to); break;
        case TOTAL: add_total(count, a.at, sum + i[6]); break;
        case COLUMNS: add_columns(n, W, a.at, sum + i[6]); break;
        case LOAD: { /* extras: div, mod, offset; b: step from row to row */
          const long width = i[1] ? 1 : W, div = i[6], mod = i[7];
          if (div == 0 && r != start) break; /* rows that are all alike are loaded once */
          const long count0 = div == 0 ? (end - start < strip ? end - start : strip) : n;
          for (long q = 0; q < count0; q++) {
            const float *from = w->arena + i[8] + (div == 0 ? 0 : (r + q) / div % mod * i[4]);
            copy_floats(to + q * width, from, width);
          }
          break;
        }
        default: elementwise(i[0], count, to, a, places[i[4]], places[i[5]]);
      }
    }
  }
  if (accumulators == 0) return;
  const int threads = R <= strip ? 1 : w->threads;
  if (threads > 1) barrier(w);
  if (w->thread == 0) {
    for (int k = 0; k < accumulators; k++) {
      const int *a = accumulator + 3 * k;
      for (long j = 0; j < a[1]; j++) {
        float s = 0;
        for (int t = 0; t < threads; t++) s += w->scratches[t * w->scratchFloats + a[0] + j];
        w->arena[a[2] + j] = s;
      }
    }
  }
}
#endif
