/*
 * The blocks `lstm` and `lstmGradient` (src/graph/blocks say the mathematics). Batch rows know nothing of
 * each other, so each thread takes its rows through all T steps without meeting the others; they meet at the
 * end, to add their weight gradients in the order of the threads.
 *
 *   units are taken 16 at a time (a "group"); a group's gates are 64 neighbouring columns, i f o g:
 *
 *     forward, step t   u = [x_t | h_{t-1}]      per group:  z (rows, 64) = u W + b, still in cache:
 *                                                gates, cell, hidden; h also into the next u
 *     backward, step t  per group: dz (rows, 64) from dh, dc and what forward kept; dz goes into panels, for it is
 *                       B of  dW += u^T dz  (all steps of a chunk at once: sums stay in registers for long)
 *                       A of  dh = dz Wh^T   and   dx = dz Wx^T
 *
 * Where H is no multiple of 16 the last group has units without weights; they are never written out.
 */
#ifndef DMN_LSTM_H
#define DMN_LSTM_H
#include "gemm.h"
#include "team.h"

/*
 * ints of both ops: T, B, F, H, then where each tensor starts in the arena; -1: not wanted. The last says whether
 * cells and gates, which only the gradient reads, are kept in the order in which they are made (`cells_at`).
 */
enum { X, WX, WH, BIAS, H0, C0, HIDDEN, LAST_HIDDEN, LAST_CELL, CELLS, GATES, D_HIDDEN, D_LAST_HIDDEN, D_LAST_CELL,
  D_X, D_WX, D_WH, D_BIAS, D_H0, D_C0, IS_PRIVATE };
typedef struct {
  long T, B, F, H, groups, U /* F + H */, ldu;
  /* Between rows of cells, rows of gates, and gates of a row. */
  long cellRow, gateRow, gate;
  const int *at;
} lstm;

#define UNITS 16
#define COLUMNS_OF_GROUP 64
/* Panels of NR columns in a group. */
#define PANELS (COLUMNS_OF_GROUP / NR)
/* Rows of dz, over several steps, that one product with u takes. */
#define CHUNK 512

INLINE lstm lstm_of(const int *ints) {
  lstm l = {ints[0], ints[1], ints[2], ints[3], 0, 0, 0, ints[3], 4L * ints[3], ints[3], ints + 4};
  l.groups = (l.H + UNITS - 1) / UNITS;
  l.U = l.F + l.H;
  /* Rows not a power of two apart: those fall into few sets of the cache. */
  l.ldu = (l.U + 15) / 16 * 16 + 16;
  if (l.at[IS_PRIVATE]) {
    l.cellRow = l.gate = UNITS;
    l.gateRow = COLUMNS_OF_GROUP;
  }
  return l;
}

/* Cells and gates of a group at a step, from batch row b on: as the graph has them, or all rows of a group one
   after the other, which is how they are written and read: 1.3 times the speed of the whole step at H 256. */
INLINE long cells_at(const lstm *l, long t, long b, long g) {
  return l->at[CELLS] + (l->at[IS_PRIVATE] ? ((t * l->groups + g) * l->B + b) * UNITS : (t * l->B + b) * l->H + g * UNITS);
}
INLINE long gates_at(const lstm *l, long t, long b, long g) {
  return l->at[GATES] + (l->at[IS_PRIVATE] ? ((t * l->groups + g) * l->B + b) * COLUMNS_OF_GROUP
    : (t * l->B + b) * 4 * l->H + g * UNITS);
}
/* The most batch rows that a thread has, and the steps of a chunk of so many rows. */
static inline long rows_of(const lstm *l, int threads) { return (l->B + threads - 1) / threads; }
static inline long steps_of(const lstm *l, long rows) {
  long steps = CHUNK / rows;
  if (steps < 1) steps = 1;
  return steps < l->T ? steps : l->T;
}
#define LINES(floats) (((floats) + 15) / 16 * 16)

/* Floats of scratch that a thread needs. The packed weights lie in the scratch of thread 0. */
static long lstm_scratch(const int *ints, int isGradient, int threads) {
  const lstm l = lstm_of(ints);
  const long rows = rows_of(&l, threads), wide = l.groups * COLUMNS_OF_GROUP;
  if (!isGradient) return LINES(l.U * wide) + LINES(wide) + 2 * LINES(rows * l.ldu) + LINES(rows * COLUMNS_OF_GROUP);
  const long backPanels = panels_of(l.H) + panels_of(l.F);
  return LINES(backPanels * NR * wide) + LINES(l.U * wide) + LINES(wide)
    + LINES(rows * steps_of(&l, rows) * wide) + 2 * LINES(rows * l.groups * UNITS);
}

/* Column j (gate j / 16, unit j % 16) of group g in the graph's weights; -1: no such unit. */
INLINE long column_of(const lstm *l, long g, long j) {
  const long unit = g * UNITS + j % UNITS;
  return unit < l->H ? j / UNITS * l->H + unit : -1;
}

/* One group's panels of W = [Wx; Wh]: [panel][U][NR]. */
static void pack_group(const lstm *l, const float *wx, const float *wh, long g, float *to) {
  for (long p = 0; p < PANELS; p++) {
    for (long k = 0; k < l->U; k++, to += NR) {
      const float *row = k < l->F ? wx + k * 4 * l->H : wh + (k - l->F) * 4 * l->H;
      for (long q = 0; q < NR; q += UNITS) {
        const long first = column_of(l, g, p * NR + q), left = l->H - g * UNITS;
        const long n = left < UNITS ? left : UNITS;
        for (long v = 0; v < UNITS; v += VL) store(to + q + v, load_first(row + first + v, n - v < 0 ? 0 : n - v));
      }
    }
  }
}

/* h, c and the gates of some rows of one group, from z. */
INLINE void cell_row(const float *z, const float *c, float *gates, float *cells, float *hidden, float *u,
                     long gate, long n) {
  for (long v = 0; v < UNITS && v < n; v += VL) {
    const long m = n - v;
    const vf i = vsigmoid(load(z + v)), f = vsigmoid(load(z + UNITS + v)), o = vsigmoid(load(z + 2 * UNITS + v));
    const vf g = vtanh(load(z + 3 * UNITS + v));
    const vf cell = f * load_first(c + v, m) + i * g;
    const vf h = o * vtanh(cell);
    store_first(gates + v, i, m);
    store_first(gates + gate + v, f, m);
    store_first(gates + 2 * gate + v, o, m);
    store_first(gates + 3 * gate + v, g, m);
    store_first(cells + v, cell, m);
    store_first(hidden + v, h, m);
    store_first(u + v, h, m);
  }
}

/* Each row's `n` values from rows `from` apart to rows `to` apart. */
static void copy_rows(long rows, long n, const float *a, long from, float *b, long to) {
  for (long r = 0; r < rows; r++) copy_floats(b + r * to, a + r * from, n);
}

static void run_lstm(const worker *w, const int *ints) {
  const lstm l = lstm_of(ints);
  const long H = l.H, B = l.B, F = l.F, wide = l.groups * COLUMNS_OF_GROUP, group = l.U * COLUMNS_OF_GROUP;
  const long most = rows_of(&l, w->threads);
  float *const A = w->arena;
  float *const packed = w->scratches, *const bias = packed + LINES(l.U * wide);
  float *u = w->scratch + LINES(l.U * wide) + LINES(wide), *next = u + LINES(most * l.ldu);
  float *const z = next + LINES(most * l.ldu);
  for (long g = w->thread; g < l.groups; g += w->threads) {
    pack_group(&l, A + l.at[WX], A + l.at[WH], g, packed + g * group);
    for (long j = 0; j < COLUMNS_OF_GROUP; j++) {
      const long column = column_of(&l, g, j);
      bias[g * COLUMNS_OF_GROUP + j] = column < 0 ? 0 : A[l.at[BIAS] + column];
    }
  }
  barrier(w);
  long start, end;
  share(w, B, 1, &start, &end);
  const long rows = end - start;
  if (rows == 0) return;
  /* Few rows at a time while a panel stays in the first cache anyway; all of them when it does not. */
  const long block = l.U * NR * 4 <= 24 * 1024 ? 24 : rows;
  copy_rows(rows, H, A + l.at[H0] + start * H, H, u + F, l.ldu);
  for (long t = 0; t < l.T; t++) {
    copy_rows(rows, F, A + l.at[X] + (t * B + start) * F, F, u, l.ldu);
    for (long g = 0; g < l.groups; g++) {
      const long n = H - g * UNITS < UNITS ? H - g * UNITS : UNITS;
      for (long r = 0; r < rows; r += block) {
        const long m = rows - r < block ? rows - r : block;
        for (long k = 0; k < l.U; k += KC) {
          const long depth = l.U - k < KC ? l.U - k : KC;
          left a = {u + r * l.ldu + k, l.ldu, 1, 0, 1, depth, 0, 0};
          for (long p = 0; p < PANELS; p++) {
            /* The weights of all groups may be more than the second cache holds. */
            const float *const next = packed + g * group + p * l.U * NR + (k + depth) * NR;
            if (block == rows && next < packed + l.U * wide) { a.next = next; a.ahead = KC * NR; }
            multiply_panel(m, a, packed + g * group + p * l.U * NR + k * NR, NR, z + p * NR, COLUMNS_OF_GROUP,
                           k == 0 ? FROM_BIAS : FROM_C, bias + g * COLUMNS_OF_GROUP + p * NR);
          }
        }
        const long b = start + r, before = t == 0 ? H : l.cellRow;
        const float *c = t == 0 ? A + l.at[C0] + b * H + g * UNITS : A + cells_at(&l, t - 1, b, g);
        float *gates = A + gates_at(&l, t, b, g), *cells = A + cells_at(&l, t, b, g);
        float *hidden = A + l.at[HIDDEN] + (t * B + b) * H + g * UNITS;
        for (long q = 0; q < m; q++)
          cell_row(z + q * COLUMNS_OF_GROUP, c + q * before, gates + q * l.gateRow, cells + q * l.cellRow,
                   hidden + q * H, next + (r + q) * l.ldu + F + g * UNITS, l.gate, n);
      }
    }
    float *const swap = u;
    u = next;
    next = swap;
  }
  const long last = ((l.T - 1) * B + start) * H, size = rows * H;
  if (l.at[LAST_HIDDEN] >= 0)
    copy_floats(A + l.at[LAST_HIDDEN] + start * H, A + l.at[HIDDEN] + last, size);
  if (l.at[LAST_CELL] < 0) return;
  for (long g = 0; g < l.groups; g++)
    copy_rows(rows, H - g * UNITS < UNITS ? H - g * UNITS : UNITS, A + cells_at(&l, l.T - 1, start, g), l.cellRow,
              A + l.at[LAST_CELL] + start * H + g * UNITS, H);
}

/* ------------------------------------------------------------------------------------------ gradient */

/*
 * One panel of W^T for dh or dx: rows k are dz's columns in panel order (group, gate, unit), columns are units
 * of h or features of x: [k][NR].
 */
static void pack_back(const lstm *l, const float *weights, long count, long panel, float *to) {
  for (long g = 0; g < l->groups; g++) {
    for (long j = 0; j < COLUMNS_OF_GROUP; j++, to += NR) {
      const long column = column_of(l, g, j);
      for (long n = 0; n < NR; n++) {
        const long unit = panel * NR + n;
        to[n] = column < 0 || unit >= count ? 0 : weights[unit * 4 * l->H + column];
      }
    }
  }
}

typedef struct { const float *gates, *cells, *before, *dy; float *dh, *dc, *dz; long rows, chunk, beforeRow; } back;

/*
 * dz of one group at one step, into its panels; dc becomes that of the step before; sums of dz are added to
 * `bias` (64). dh is the gradient that came from the step after.
 */
static void back_group(const lstm *l, const back *s, long n, long wide, float *bias) {
  const long H = l->H;
  for (long v = 0; v < UNITS && v < n; v += VL) {
    const long m = n - v;
    vf di = load(bias + v), df = load(bias + UNITS + v), dO = load(bias + 2 * UNITS + v);
    vf dg = load(bias + 3 * UNITS + v);
    for (long r = 0; r < s->rows; r++) {
      const float *gate = s->gates + r * l->gateRow + v;
      const vf i = load_first(gate, m), f = load_first(gate + l->gate, m), o = load_first(gate + 2 * l->gate, m);
      const vf g = load_first(gate + 3 * l->gate, m), tc = vtanh(load_first(s->cells + r * l->cellRow + v, m));
      const vf dh = load_first(s->dy + r * H + v, m) + load(s->dh + r * wide + v);
      const vf dc = load(s->dc + r * wide + v) + dh * (o - o * tc * tc);
      const vf zi = dc * g * (i - i * i), zf = dc * load_first(s->before + r * s->beforeRow + v, m) * (f - f * f);
      const vf zo = dh * tc * (o - o * o), zg = dc * (i - i * g * g);
      store(s->dc + r * wide + v, dc * f);
#define PANEL_AT(j) (s->dz + (j) / NR * s->chunk * NR + r * NR + (j) % NR)
      store(PANEL_AT(0) + v, zi);
      store(PANEL_AT(UNITS) + v, zf);
      store(PANEL_AT(2 * UNITS) + v, zo);
      store(PANEL_AT(3 * UNITS) + v, zg);
#undef PANEL_AT
      di += zi; df += zf; dO += zo; dg += zg;
    }
    store(bias + v, di); store(bias + UNITS + v, df); store(bias + 2 * UNITS + v, dO);
    store(bias + 3 * UNITS + v, dg);
  }
}

/* C (rows, N) = dz (panels `chunk` rows long) times packed W^T. */
static void back_product(const lstm *l, const float *dz, long chunk, long rows, const float *packed, long N,
                         float *c, long ldc) {
  const long K = l->groups * COLUMNS_OF_GROUP, segments = l->groups * PANELS;
  const long most = KC / NR; /* segments that keep W^T's part of a panel in the first cache */
  for (long s = 0; s < segments; s += most) {
    left a = {dz + s * chunk * NR, NR, 1, chunk * NR, segments - s < most ? segments - s : most, NR, 0, 0};
    for (long p = 0; p < panels_of(N); p++) {
      a.next = p + 1 < panels_of(N) ? packed + (p + 1) * K * NR + s * NR * NR : packed + (s + most) * NR * NR;
      a.ahead = s + most < segments || p + 1 < panels_of(N) ? KC * NR : 0;
      multiply_panel(rows, a, packed + p * K * NR + s * NR * NR, N - p * NR < NR ? N - p * NR : NR, c + p * NR, ldc,
                     s == 0 ? FROM_ZERO : FROM_C, 0);
    }
  }
}

/*
 * dW (M of U rows, in panels [group panel][U][NR]) += A^T dz, k of A going over steps and rows: as many steps at a
 * time as leave their part of a panel in the first cache.
 */
static void add_weights(const lstm *l, left a, long M, const float *dz, long chunk, float *dw) {
  const long most = KC / a.length > 1 ? KC / a.length : 1, segments = a.segments;
  for (long p = 0; p < l->groups * PANELS; p++) {
    for (long s = 0; s < segments; s += most) {
      left part = a;
      part.at = a.at + s * a.segment;
      part.segments = segments - s < most ? segments - s : most;
      multiply_panel(M, part, dz + p * chunk * NR + s * a.length * NR, NR, dw + p * l->U * NR, NR, FROM_C, 0);
    }
  }
}

static void sum_weights(const worker *w, const lstm *l, const float *dw, const float *bias) {
  long start, end;
  share(w, l->U + 1, 1, &start, &end);
  for (long k = start; k < end; k++) {
    const int isBias = k == l->U;
    const int at = isBias ? l->at[D_BIAS] : k < l->F ? l->at[D_WX] : l->at[D_WH];
    if (at < 0) continue;
    float *to = w->arena + at + (isBias ? 0 : k < l->F ? k : k - l->F) * 4 * l->H;
    for (long j = 0; j < l->groups * COLUMNS_OF_GROUP; j += UNITS) {
      const long g = j / COLUMNS_OF_GROUP, column = column_of(l, g, j % COLUMNS_OF_GROUP);
      const long n = l->H - g * UNITS < UNITS ? l->H - g * UNITS : UNITS;
      for (long v = 0; v < n; v += VL) {
        const float *from = isBias ? bias + j + v : dw + j / NR * l->U * NR + k * NR + j % NR + v;
        vf s = load(from);
        for (int t = 1; t < w->threads; t++) s += load(from + t * w->scratchFloats);
        store_first(to + column + v, s, n - v);
      }
    }
  }
}

static void run_lstm_gradient(const worker *w, const int *ints) {
  const lstm l = lstm_of(ints);
  const long H = l.H, B = l.B, F = l.F, wide = l.groups * COLUMNS_OF_GROUP, units = l.groups * UNITS;
  const long most = rows_of(&l, w->threads), hPanels = panels_of(H), panels = hPanels + panels_of(F);
  float *const A = w->arena, *const packed = w->scratches;
  float *const dw0 = w->scratches + LINES(panels * NR * wide), *const dw = w->scratch + (dw0 - w->scratches);
  float *const bias = dw + LINES(l.U * wide), *const dz = bias + LINES(wide);
  float *const dh = dz + LINES(most * steps_of(&l, most) * wide), *const dc = dh + LINES(most * units);
  const int hasX = l.at[D_X] >= 0;
  for (long p = w->thread; p < (hasX ? panels : hPanels); p += w->threads) {
    if (p < hPanels) pack_back(&l, A + l.at[WH], H, p, packed + p * wide * NR);
    else pack_back(&l, A + l.at[WX], F, p - hPanels, packed + p * wide * NR);
  }
  zero_floats(dw, l.U * wide);
  zero_floats(bias, wide);
  barrier(w);
  long start, end;
  share(w, B, 1, &start, &end);
  /* Steps for the most rows a thread has: with fewer rows, more steps would need more scratch than there is. */
  const long rows = end - start, steps = steps_of(&l, most), chunk = rows * steps;
  if (rows > 0) {
    zero_floats(dz, chunk * wide); /* columns of units that are not there stay zero */
    zero_floats(dh, rows * units);
    zero_floats(dc, rows * units);
    copy_rows(rows, H, A + l.at[D_LAST_HIDDEN] + start * H, H, dh, units);
    copy_rows(rows, H, A + l.at[D_LAST_CELL] + start * H, H, dc, units);
    for (long top = l.T - 1; top >= 0; top -= steps) {
      const long count = top + 1 < steps ? top + 1 : steps, low = top + 1 - count;
      /* Step low + s has place s in the chunk, so that time and rows ascend together. */
      for (long t = top; t >= low; t--) {
        const long row = t * B + start, place = (t - low) * rows;
        for (long g = 0; g < l.groups; g++) {
          const long at = g * UNITS, n = H - at < UNITS ? H - at : UNITS;
          const float *before = t == 0 ? A + l.at[C0] + start * H + at : A + cells_at(&l, t - 1, start, g);
          const back s = {A + gates_at(&l, t, start, g), A + cells_at(&l, t, start, g), before,
            A + l.at[D_HIDDEN] + row * H + at, dh + at, dc + at,
            dz + g * PANELS * chunk * NR + place * NR, rows, chunk, t == 0 ? H : l.cellRow};
          back_group(&l, &s, n, units, bias + g * COLUMNS_OF_GROUP);
        }
        if (t > 0 || l.at[D_H0] >= 0) back_product(&l, dz + place * NR, chunk, rows, packed, H, dh, units);
        if (hasX)
          back_product(&l, dz + place * NR, chunk, rows, packed + hPanels * wide * NR, F, A + l.at[D_X] + row * F, F);
      }
      const long from = low * B + start;
      const left x = {A + l.at[X] + from * F, 1, F, B * F, count, rows, 0, 0};
      add_weights(&l, x, F, dz, chunk, dw);
      if (low > 0) {
        const left h = {A + l.at[HIDDEN] + (from - B) * H, 1, H, B * H, count, rows, 0, 0};
        add_weights(&l, h, H, dz, chunk, dw + F * NR);
      } else {
        const left first = {A + l.at[H0] + start * H, 1, H, 0, 1, rows, 0, 0};
        add_weights(&l, first, H, dz, chunk, dw + F * NR);
        const left h = {A + l.at[HIDDEN] + start * H, 1, H, B * H, count - 1, rows, 0, 0};
        add_weights(&l, h, H, dz + rows * NR, chunk, dw + F * NR);
      }
    }
    if (l.at[D_H0] >= 0) copy_rows(rows, H, dh, units, A + l.at[D_H0] + start * H, H);
    if (l.at[D_C0] >= 0) copy_rows(rows, H, dc, units, A + l.at[D_C0] + start * H, H);
  }
  barrier(w);
  sum_weights(w, &l, dw0, w->scratches + (bias - w->scratch));
}
#endif
