/*
 * Matrix products. C (M, N) = or += A (M, K) B (K, N), float32.
 *
 *   B is copied into panels of NR columns, so that the inner loop reads it in order:
 *
 *        n0 .. n0+NR                        A is read where it is, one element at a time, and spread over a
 *     k0 [ -> -> -> ]  next k follows       vector: any strides will do, also those of a transpose
 *     k1 [ -> -> -> ]
 *
 *   tile(): MR rows by NV vectors of C stay in registers while k runs. With 4 vectors, 6 rows are 24 sums,
 *   4 vectors of B and one element of A: 29 of 32 registers.
 *
 * K may come in segments (struct left), because the LSTM keeps its gate gradients in panels.
 */
#ifndef DMN_GEMM_H
#define DMN_GEMM_H
#include "vec.h"

#if VL == 16
#define NR 64
#define MOST_VECTORS 4
#else
#define NR 16
#define MOST_VECTORS 2
#endif
/* Rows of B that are multiplied at a time: a panel of them (32 KB) stays in the first cache. */
#define KC 128

/* A: element (m, s * length + k) is at[m * row + s * segment + k * column], s < segments. */
typedef struct {
  const float *at;
  long row, column, segment, segments, length;
  /* What will be read next, fetched into the second cache meanwhile: where, and how many floats; 0: nothing. */
  const float *next;
  long ahead;
} left;

/* What the sums start from. */
enum { FROM_ZERO, FROM_C, FROM_BIAS };

/*
 * C (MR, NV * VL; rows ldc apart) from rows of A and one panel of B; bias: NV * VL values, read where `from` is
 * FROM_BIAS. MR and NV are constants where it is called, so that the sums are registers.
 */
INLINE void tile(const int MR, const int NV, const left *A, const float *b, float *c, long ldc, int from,
                 const float *bias) {
  vf sum[12][MOST_VECTORS];
#pragma GCC unroll 12
  for (int m = 0; m < MR; m++) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; v++) {
      sum[m][v] = from == FROM_C ? load(c + m * ldc + v * VL)
        : from == FROM_BIAS ? load(bias + v * VL) : (vf){0};
    }
  }
  const long row = A->row, column = A->column, row3 = 3 * row;
  for (long s = 0; s < A->segments; s++) {
    const float *a = A->at + s * A->segment;
    for (long k = 0; k < A->length; k++) {
      vf bv[MOST_VECTORS];
#pragma GCC unroll 4
      for (int v = 0; v < NV; v++) bv[v] = load(b + v * VL);
      const float *at = a;
#pragma GCC unroll 12
      for (int m = 0; m < MR; m++) {
        /* Three rows from one pointer keeps the addresses in registers. */
        if (m > 0 && m % 3 == 0) at += row3;
        vf av = splat(at[(m % 3) * row]);
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) sum[m][v] += av * bv[v];
      }
      a += column;
      b += NR;
    }
  }
#pragma GCC unroll 12
  for (int m = 0; m < MR; m++) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; v++) store(c + m * ldc + v * VL, sum[m][v]);
  }
}

#define KERNEL(MR, NV) \
  static __attribute__((noinline)) void tile_##MR##_##NV(const left *A, const float *b, float *c, long ldc, \
    int from, const float *bias) { tile(MR, NV, A, b, c, ldc, from, bias); }
typedef void kernel(const left *, const float *, float *, long, int, const float *);

KERNEL(12, 1) KERNEL(6, 1) KERNEL(2, 1) KERNEL(1, 1)
KERNEL(6, 2) KERNEL(2, 2) KERNEL(1, 2)
#if VL == 16
KERNEL(12, 2)
KERNEL(6, 3) KERNEL(2, 3) KERNEL(1, 3) KERNEL(6, 4) KERNEL(4, 4) KERNEL(2, 4) KERNEL(1, 4)
#endif

typedef struct { int rows; kernel *run; } choice;
/* By number of vectors, the most rows first. */
static const choice CHOICES[MOST_VECTORS + 1][5] = {
  {{0, 0}},
  {{12, tile_12_1}, {6, tile_6_1}, {2, tile_2_1}, {1, tile_1_1}},
#if VL == 16
  {{12, tile_12_2}, {6, tile_6_2}, {2, tile_2_2}, {1, tile_1_2}},
  {{6, tile_6_3}, {2, tile_2_3}, {1, tile_1_3}},
  {{6, tile_6_4}, {4, tile_4_4}, {2, tile_2_4}, {1, tile_1_4}},
#else
  {{6, tile_6_2}, {2, tile_2_2}, {1, tile_1_2}},
#endif
};

/* One panel: C (M, n) from A and B's panel b (segments * length, NR), n <= NR. Bias: n values. */
static void multiply_panel(long M, left A, const float *b, long n, float *c, long ldc, int from,
                           const float *bias) {
  const int vectors = (int)((n + VL - 1) / VL);
  const long whole = n / VL * VL;
  float edge[12 * NR], padded[NR];
  if (from == FROM_BIAS && bias && whole != n) {
    zero_floats(padded, NR);
    copy_floats(padded, bias, n);
    bias = padded;
  }
  const choice *pick = CHOICES[vectors];
  /* A share of what is fetched ahead for every block of rows, in cache lines. */
  const long share = A.ahead > 0 ? (A.ahead / 16 * pick->rows + M - 1) / M * 16 : 0;
  const float *fetch = A.next, *const fetchEnd = A.next + A.ahead;
  for (long m = 0; m < M;) {
    while (pick->rows > M - m) pick++;
    const long rows = pick->rows;
    for (const float *end = fetch + share; fetch < end && fetch < fetchEnd; fetch += 16)
      _mm_prefetch((const char *)fetch, _MM_HINT_T1);
    if (whole == n) {
      pick->run(&A, b, c, ldc, from, bias);
    } else {
      /* The last vector is not full: by way of a tile of our own. */
      if (from == FROM_C) {
        for (long r = 0; r < rows; r++) copy_floats(edge + r * NR, c + r * ldc, n);
        for (long r = 0; r < rows; r++) for (long j = n; j < vectors * VL; j++) edge[r * NR + j] = 0;
      }
      pick->run(&A, b, edge, NR, from, bias);
      for (long r = 0; r < rows; r++) copy_floats(c + r * ldc, edge + r * NR, n);
    }
    A.at += rows * A.row;
    c += rows * ldc;
    m += rows;
  }
}

/* Panel of B: (K, n) from any strides to (K, NR), the rest zero. */
static void pack_panel(const float *b, long row, long column, long K, long n, float *to) {
  if (column == 1) {
    const long whole = n / VL * VL;
    for (long k = 0; k < K; k++, b += row, to += NR) {
      long j = 0;
      for (; j < whole; j += VL) store(to + j, load(b + j));
      if (j < n) { store(to + j, load_first(b + j, n - j)); j += VL; }
      for (; j < NR; j += VL) store(to + j, (vf){0});
    }
    return;
  }
  if (n < NR) zero_floats(to, K * NR);
  /* Sixteen k at a time, so that a cache line of a transposed B is used as a whole. */
  for (long k0 = 0; k0 < K; k0 += 16) {
    const long k1 = k0 + 16 < K ? k0 + 16 : K;
    for (long j = 0; j < n; j++) {
      const float *from = b + j * column;
      for (long k = k0; k < k1; k++) to[k * NR + j] = from[k * row];
    }
  }
}

static inline long panels_of(long N) { return (N + NR - 1) / NR; }

/* Rows of B that are packed at a time, and rows of A that meet them before the next rows do. */
#define KPACK 256
#define MC 96
/* Floats that multiply() needs to pack a block of B into. */
static inline long pack_floats(long N, long K) { return panels_of(N) * NR * (K < KPACK ? K : KPACK); }

typedef struct { long M, N, K, aRow, aColumn, bRow, bColumn, cRow; } product;

/* All of C on the calling thread. pack: pack_floats(N, K). Where `from` is FROM_BIAS, bias has N values. */
static void multiply(const product *p, const float *a, const float *b, float *c, int from, const float *bias,
                     float *pack) {
  const long N = p->N, panels = panels_of(N);
  for (long kk = 0; kk < p->K; kk += KPACK) {
    const long kEnd = kk + KPACK < p->K ? kk + KPACK : p->K;
    /* A single panel that already lies as it should is used where it is. */
    const int isPacked = p->bColumn == 1 && p->bRow == NR && N == NR;
    const float *packed = isPacked ? b + kk * NR : pack;
    if (!isPacked) {
      float *to = pack;
      for (long k = kk; k < kEnd; k += KC) {
        const long depth = kEnd - k < KC ? kEnd - k : KC;
        for (long j = 0; j < panels; j++, to += depth * NR) {
          const long n = N - j * NR < NR ? N - j * NR : NR;
          pack_panel(b + k * p->bRow + j * NR * p->bColumn, p->bRow, p->bColumn, depth, n, to);
        }
      }
    }
    for (long m = 0; m < p->M; m += MC) {
      const long rows = p->M - m < MC ? p->M - m : MC;
      const float *block = packed;
      for (long k = kk; k < kEnd; k += KC) {
        const long depth = kEnd - k < KC ? kEnd - k : KC;
        const left A = {a + m * p->aRow + k * p->aColumn, p->aRow, p->aColumn, 0, 1, depth, 0, 0};
        for (long j = 0; j < panels; j++, block += depth * NR) {
          const long n = N - j * NR < NR ? N - j * NR : NR;
          multiply_panel(rows, A, block, n, c + m * p->cRow + j * NR, p->cRow, k == 0 ? from : FROM_C,
                         bias ? bias + j * NR : 0);
        }
      }
    }
  }
}
#endif
