/*
 * One vector of floats, as wide as the machine has it, and the functions that networks are made of.
 *
 * Everything is written in the compilers' vector types; this file is compiled once with VL 16 (AVX-512) and
 * once with VL 8 (AVX2), see engine.c. Accuracy against float64, over all of float32: exp, tanh and sigmoid
 * 2e-7 relative. NaN in, NaN out.
 */
#ifndef DMN_VEC_H
#define DMN_VEC_H
#include <immintrin.h>

typedef float vf __attribute__((vector_size(VL * 4)));
typedef float vfu __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int vi __attribute__((vector_size(VL * 4)));
#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const float *at) { return *(const vfu *)at; }
INLINE void store(float *at, vf x) { *(vfu *)at = x; }
INLINE vf splat(float x) { return x - (vf){0}; }

/* The first n of VL elements; memory behind them is neither read nor written. */
#if VL == 16
INLINE __mmask16 first(long n) { return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1); }
INLINE void store_first(float *at, vf x, long n) { _mm512_mask_storeu_ps(at, first(n), (__m512)x); }
INLINE vf load_first(const float *at, long n) { return (vf)_mm512_maskz_loadu_ps(first(n), at); }
#else
INLINE __m256i first(long n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE void store_first(float *at, vf x, long n) { _mm256_maskstore_ps(at, first(n), (__m256)x); }
INLINE vf load_first(const float *at, long n) { return (vf)_mm256_maskload_ps(at, first(n)); }
#endif

/* Copies and zeros. Not memcpy and memset: a binary that runs on every libc brings its own, and those are slow. */
INLINE void copy_floats(float *to, const float *from, long n) {
  long k = 0;
  for (; k + VL <= n; k += VL) store(to + k, load(from + k));
  if (k < n) store_first(to + k, load_first(from + k, n - k), n - k);
}
INLINE void zero_floats(float *to, long n) {
  long k = 0;
  for (; k + VL <= n; k += VL) store(to + k, (vf){0});
  if (k < n) store_first(to + k, (vf){0}, n - k);
}

/* mask ? a : b, element by element; mask is all ones or all zeros. */
INLINE vf choose(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
INLINE vf larger(vf a, vf b) { return choose((a > b) | (a != a), a, b); }
INLINE vf clamp(vf x, float low, float high) {
  x = choose(x < splat(low), splat(low), x);
  return choose(x > splat(high), splat(high), x);
}

/* 1 / x to 1e-7, for 1e-30 < |x| < 1e30: an estimate and a Newton step cost a third of a division. */
INLINE vf reciprocal(vf x) {
#if VL == 16
  vf r = (vf)_mm512_rcp14_ps((__m512)x);
  return r * (2.0f - x * r);
#else
  return 1.0f / x;
#endif
}

/*
 * x = n ln 2 + r: returns e^r - 1, and 2^(n - less). |x| < 88, n - less > -127. The polynomial is a Chebyshev
 * fit on |r| <= ln(2) / 2, off by at most 8e-9.
 */
INLINE vf exp_parts(vf x, int less, vf *power) {
  const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number in the low bits */
  vf n = x * 1.44269504f + magic;
  vi whole = (vi)n - (vi)splat(magic);
  n = n - magic;
  vf r = x - n * 0.693359375f; /* ln 2 in two parts, the first of so few bits that n times it is exact */
  r = r + n * 2.12194440e-4f;
  vf p = 0.0013933645f * r + 0.008363177f;
  p = p * r + 0.041666467f;
  p = p * r + 0.16666576f;
  p = p * r + 0.5f;
  *power = (vf)((whole + (127 - less)) << 23);
  return r + r * r * p;
}

/* e^x; 0 below -86.6 (2e-38), infinity above 88.72. Made as 2 (e^x / 2), for 2^128 is no float. */
INLINE vf vexp(vf x) {
  vf power, q = exp_parts(clamp(x, -86.6f, 88.72f), 1, &power);
  vf y = power + power * q;
  y = y + y;
  y = choose(x < splat(-86.6f), (vf){0}, y);
  return choose(x > splat(88.72f), splat(__builtin_inff()), y);
}

/* 1 / (1 + e^-x) */
INLINE vf vsigmoid(vf x) {
  vf power, q = exp_parts(clamp(-x, -60.0f, 60.0f), 0, &power);
  return reciprocal(1.0f + (power + power * q));
}

/* (e^2x - 1) / (e^2x + 1) by way of e^2x - 1, so that nothing cancels near 0. */
INLINE vf vtanh(vf x) {
  vf power, q = exp_parts(clamp(x + x, -40.0f, 40.0f), 0, &power);
  vf p = power * q + (power - 1.0f);
  return p * reciprocal(p + 2.0f);
}

INLINE float sum_of(vf x) {
#if VL == 16
  return _mm512_reduce_add_ps((__m512)x);
#else
  float part[VL];
  store(part, x);
  for (int half = VL / 2; half > 0; half /= 2) for (int k = 0; k < half; k++) part[k] += part[k + half];
  return part[0];
#endif
}
INLINE float largest_of(vf x) {
  float part[VL], best;
  store(part, x);
  best = part[0];
  for (int k = 1; k < VL; k++) best = part[k] > best || part[k] != part[k] ? part[k] : best;
  return best;
}
#endif
