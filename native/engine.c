/*
 * Runs a tape on one thread of a team. Compiled twice, for AVX-512 (VL 16) and AVX2 (VL 8); native.c chooses.
 *
 * A tape is ints: [op, count of ints that follow, the ints] ... Offsets are in floats from the start of the
 * arena. Nothing here checks them: src/runtime/native/tape.ts makes them and asserts each.
 */
#include "team.h"
#include "vec.h"
#include "gemm.h"
#include "rows.h"
#include "move.h"
#include "lstm.h"

enum { OP_END, OP_BARRIER, OP_GEMM, OP_ROWS, OP_COPY, OP_REDUCE, OP_LSTM, OP_LSTM_GRADIENT };

/*
 * ints: M, N, K, two batch sizes; of A: offset, row, column, two batch strides; of B and C the same; bias
 * offset or -1. Batches are shared among threads; a single product by rows, or by columns where they are more.
 */
static void run_gemm(const worker *w, const int *ints) {
  product p = {ints[0], ints[1], ints[2], ints[6], ints[7], ints[11], ints[12], ints[16]};
  const long outer = ints[3], inner = ints[4], batches = outer * inner;
  const float *a = w->arena + ints[5], *b = w->arena + ints[10], *bias = ints[20] < 0 ? 0 : w->arena + ints[20];
  float *c = w->arena + ints[15];
  const int from = bias ? FROM_BIAS : FROM_ZERO;
  long start, end;
  if (batches > 1) {
    share(w, batches, 1, &start, &end);
    for (long k = start; k < end; k++) {
      const long i = k / inner, j = k % inner;
      multiply(&p, a + i * ints[8] + j * ints[9], b + i * ints[13] + j * ints[14], c + i * ints[18] + j * ints[19],
               from, bias, w->scratch);
    }
  } else if (p.M >= p.N) {
    share(w, p.M, 6, &start, &end);
    p.M = end - start;
    if (p.M > 0) multiply(&p, a + start * p.aRow, b, c + start * p.cRow, from, bias, w->scratch);
  } else {
    share(w, p.N, NR, &start, &end);
    p.N = end - start;
    if (p.N > 0) multiply(&p, a, b + start * p.bColumn, c + start, from, bias ? bias + start : 0, w->scratch);
  }
}

#define JOIN(a, b) a##b
#define PASTE(a, b) JOIN(a, b)
#define NAME(name) PASTE(name, VL)

void NAME(run_tape_)(const worker *w, const int *tape);
long NAME(scratch_of_)(const int *tape, int threads);

/* Floats of scratch that one thread needs for a tape. */
long NAME(scratch_of_)(const int *tape, int threads) {
  long most = 64;
  for (; tape[0] != OP_END; tape += 2 + tape[1]) {
    const int *ints = tape + 2;
    long need = 0;
    switch (tape[0]) {
      case OP_GEMM: need = pack_floats(ints[1], ints[2]); break;
      case OP_ROWS: need = (ints[7] + 15) / 16 * 16 + 16L * ints[4]
        + ints[3] * (((long)ints[2] * ints[1] + 31) / 16 * 16); break;
      case OP_LSTM: case OP_LSTM_GRADIENT: need = lstm_scratch(ints, tape[0] == OP_LSTM_GRADIENT, threads); break;
    }
    if (need > most) most = need;
  }
  return (most + 63) / 64 * 64 + 64;
}

void NAME(run_tape_)(const worker *w, const int *tape) {
  /* Numbers too small for a normal float are zero, as ONNX Runtime and PyTorch are told to do it. */
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | 0x8040); /* flush results to zero, take operands for zero */
  for (; tape[0] != OP_END; tape += 2 + tape[1]) {
    switch (tape[0]) {
      case OP_BARRIER: barrier(w); break;
      case OP_GEMM: run_gemm(w, tape + 2); break;
      case OP_ROWS: run_rows(w, tape + 2); break;
      case OP_COPY: run_copy(w, tape + 2); break;
      case OP_REDUCE: run_reduce(w, tape + 2); break;
      case OP_LSTM: run_lstm(w, tape + 2); break;
      case OP_LSTM_GRADIENT: run_lstm_gradient(w, tape + 2); break;
    }
  }
  _mm_setcsr(mode);
}
