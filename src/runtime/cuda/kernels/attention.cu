// softmax(q k^T scale) v per sequence and head (Vaswani et al. 2017, equation 1), scores in registers.
//
//   attention_tile   16-bit, tensor cores. grid (heads, B, tiles of 64 queries), 4 warps of 16 queries each:
//
//                      q (64, D)  k (64, D)  v (64, DV)      shared memory, rows padded by 16 bytes (no bank twice)
//                      scores (16, 64) of a warp = q k^T     two accumulators of a row pair become one A fragment of
//                      out (16, DV) += exp(scores) v         the second product, so that weights never leave registers
//
//                    More than 64 keys: tile after tile with a running maximum and sum (Milakov and Gimelshein 2018).
//                    WEIGHTS: two passes, because the weights need the final sum.
//                    One query per sequence (it sees every key): the first warp works, all four fetch.
//   attention_row    any precision and size; one warp per query.
//
// q, k, v and out are read and written where they lie: element (b, head, t, c) at b batch + head head + t row + c.
#include "element.cuh"

#define WARPS 4
#define MASKED (-1e30f)

struct Heads { u32 batch, head, row; };
struct Arguments {
  const Element* q; const Element* k; const Element* v;
  Element* out; Element* weights;      // weights (B, heads, queries, T)
  Heads q_at, k_at, v_at, out_at;
  u32 B, T, heads, queries;            // queries: T, or 1 that stands at step T - 1
  float scale;                         // times log2(e): weights are powers of two
};

#if TILED
#define D_PADDED ((D + 15) / 16 * 16)
#define DV_PADDED ((DV + 15) / 16 * 16)
#define D_STRIDE (D_PADDED * 2 + 16)
#define DV_STRIDE (DV_PADDED * 2 + 16)

// 64 rows from `first` of (T, WIDTH) to shared memory; zeros below the last row and right of the last column.
template <int WIDTH, int PADDED> DEVICE void load_rows(u32 shared, const Element* rows, u32 stride, u32 first, u32 T) {
  for (u32 i = threadIdx.x; i < 64 * (PADDED / 8); i += WARPS * 32) {
    const u32 r = i / (PADDED / 8), c = i % (PADDED / 8) * 8;
    const bool is_inside = first + r < T && c < WIDTH;
    const u64 at = is_inside ? (u64)(first + r) * stride + c : 0;
    copy_async(shared + r * (PADDED * 2 + 16) + c * 2, rows + at, is_inside ? 16 : 0);
  }
}

// This warp's 16 queries times the tile's 64 keys, scaled; masked where the key is later or past the end.
DEVICE void multiply_keys(float (&scores)[8][4], const u32 (&q)[D_PADDED / 16][4], u32 keys, u32 first_query,
                          u32 first_key, const Arguments& a) {
  const u32 lane = lane_of();
  UNROLL for (int pair = 0; pair < 4; pair++) {
    UNROLL for (int i = 0; i < 4; i++) scores[2 * pair][i] = scores[2 * pair + 1][i] = 0.f;
    if (CAUSAL && first_key + pair * 16 > first_query + 15) continue;
    UNROLL for (int step = 0; step < D_PADDED / 16; step++) {
      const uint4 b = load_matrix(keys + (pair * 16 + lane / 16 * 8 + lane % 8) * D_STRIDE + step * 32
        + lane / 8 % 2 * 16);
      MMA(scores[2 * pair], q[step], b.x, b.y);
      MMA(scores[2 * pair + 1], q[step], b.z, b.w);
    }
  }
  UNROLL for (int j = 0; j < 8; j++) UNROLL for (int i = 0; i < 4; i++) {
    const u32 key = first_key + 8 * j + lane % 4 * 2 + i % 2, query = first_query + lane / 4 + 8 * (i / 2);
    const bool is_seen = key < a.T && !(CAUSAL && key > query);
    scores[j][i] = is_seen ? scores[j][i] * a.scale : MASKED;
  }
}

// The larger maxima of both rows; sums and what was summed so far shrink by the factors returned in `shrink`.
DEVICE void raise_maxima(float (&maxima)[2], float (&shrink)[2], const float (&scores)[8][4]) {
  UNROLL for (int half = 0; half < 2; half++) {
    float top = maxima[half];
    UNROLL for (int j = 0; j < 8; j++) top = fmaxf(top, fmaxf(scores[j][2 * half], scores[j][2 * half + 1]));
    top = fmaxf(top, shuffle_xor(top, 1)); top = fmaxf(top, shuffle_xor(top, 2));
    shrink[half] = exp2_fast(maxima[half] - top);
    maxima[half] = top;
  }
}
DEVICE void exponentiate(float (&scores)[8][4], const float (&maxima)[2], float (&sums)[2]) {
  UNROLL for (int half = 0; half < 2; half++) {
    float sum = 0.f;
    UNROLL for (int j = 0; j < 8; j++) UNROLL for (int i = 0; i < 2; i++) {
      const float weight = exp2_fast(scores[j][2 * half + i] - maxima[half]);
      scores[j][2 * half + i] = weight;
      sum += weight;
    }
    sums[half] += sum;   // of this lane's columns; joined at the end
  }
}
DEVICE void multiply_values(float (&out)[DV_PADDED / 8][4], const float (&weights)[8][4], u32 values, u32 first_query,
                            u32 first_key) {
  const u32 lane = lane_of();
  UNROLL for (int step = 0; step < 4; step++) {
    if (CAUSAL && first_key + step * 16 > first_query + 15) continue;
    const float (&left)[4] = weights[2 * step], (&right)[4] = weights[2 * step + 1];
    const u32 w[4] = { pack2(left[0], left[1]), pack2(left[2], left[3]), pack2(right[0], right[1]),
      pack2(right[2], right[3]) };
    UNROLL for (int pair = 0; pair < DV_PADDED / 16; pair++) {
      const uint4 b = load_matrix_transposed(values + (step * 16 + lane / 8 % 2 * 8 + lane % 8) * DV_STRIDE
        + pair * 32 + lane / 16 * 16);
      MMA(out[2 * pair], w, b.x, b.y);
      MMA(out[2 * pair + 1], w, b.z, b.w);
    }
  }
}

KERNEL_RESIDENT(WARPS * 32, BLOCKS, attention_tile, Arguments) {
  const u32 queries = shared_base(), keys = queries + 64 * (D_STRIDE > DV_STRIDE ? D_STRIDE : DV_STRIDE);
  const u32 values = keys + 64 * D_STRIDE;
  const u32 head = blockIdx.x, b = blockIdx.y, lane = lane_of();
  const u32 tile_first = blockIdx.z * 64, first_query = tile_first + warp_of() * 16;
  const Element* k = a.k + (u64)b * a.k_at.batch + head * a.k_at.head;
  const Element* v = a.v + (u64)b * a.v_at.batch + head * a.v_at.head;
  Element* shown = a.weights + (u64)(b * a.heads + head) * a.queries * a.T;
  let_dependents_start();
  wait_for_prior_kernel();
  load_rows<D, D_PADDED>(queries, a.q + (u64)b * a.q_at.batch + head * a.q_at.head, a.q_at.row, tile_first, a.queries);
  const u32 key_tiles = CAUSAL ? blockIdx.z + 1 : (a.T + 63) / 64;
  u32 q[D_PADDED / 16][4];
  float out[DV_PADDED / 8][4] = {}, maxima[2] = { MASKED, MASKED }, sums[2] = { 0.f, 0.f };
  for (u32 pass = 0; pass < 1 + WEIGHTS; pass++) for (u32 tile = 0; tile < key_tiles; tile++) {
    if (pass + tile > 0) __syncthreads();   // everybody has read the tile before
    load_rows<D, D_PADDED>(keys, k, a.k_at.row, tile * 64, a.T);
    load_rows<DV, DV_PADDED>(values, v, a.v_at.row, tile * 64, a.T);
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();
    if (pass + tile == 0) UNROLL for (int step = 0; step < D_PADDED / 16; step++) {
      const uint4 f = load_matrix(queries + (warp_of() * 16 + lane / 8 % 2 * 8 + lane % 8) * D_STRIDE + step * 32
        + lane / 16 * 16);
      q[step][0] = f.x; q[step][1] = f.y; q[step][2] = f.z; q[step][3] = f.w;
    }
    if (first_query >= a.queries) continue;   // this warp has no query; it only helps to fetch
    float scores[8][4], shrink[2];
    multiply_keys(scores, q, keys, first_query, tile * 64, a);
    if (WEIGHTS && pass == 1) {
      float ignored[2] = { 0.f, 0.f };
      exponentiate(scores, maxima, ignored);
      UNROLL for (int j = 0; j < 8; j++) UNROLL for (int i = 0; i < 4; i++) {
        const u32 key = tile * 64 + 8 * j + lane % 4 * 2 + i % 2, query = first_query + lane / 4 + 8 * (i / 2);
        if (key < a.T && query < a.queries)
          shown[(u64)query * a.T + key] = element_of(scores[j][i] / sums[i / 2]);
      }
    } else {
      raise_maxima(maxima, shrink, scores);
      UNROLL for (int half = 0; half < 2; half++) sums[half] *= shrink[half];
      UNROLL for (int j = 0; j < DV_PADDED / 8; j++) UNROLL for (int i = 0; i < 4; i++) out[j][i] *= shrink[i / 2];
      exponentiate(scores, maxima, sums);
      multiply_values(out, scores, values, first_query, tile * 64);
      if (tile + 1 == key_tiles) UNROLL for (int half = 0; half < 2; half++) {
        sums[half] += shuffle_xor(sums[half], 1); sums[half] += shuffle_xor(sums[half], 2);
      }
    }
  }
#if WEIGHTS
  // Columns that a causal mask left out of every tile.
  for (u32 key = key_tiles * 64 + lane; key < a.T; key += 32) for (u32 r = 0; r < 16; r++)
    if (first_query + r < a.queries) shown[(u64)(first_query + r) * a.T + key] = 0;
#endif
  // Through this warp's own rows of the queries' place, so that rows leave in pieces of 16 bytes.
  const u32 own = queries + warp_of() * 16 * DV_STRIDE;
  __syncthreads();
  UNROLL for (int half = 0; half < 2; half++) {
    const float share = reciprocal_fast(sums[half]);
    UNROLL for (int j = 0; j < DV_PADDED / 8; j++)
      store_shared(own + (lane / 4 + 8 * half) * DV_STRIDE + j * 16 + lane % 4 * 4,
                   pack2(out[j][2 * half] * share, out[j][2 * half + 1] * share));
  }
  __syncwarp();
  Element* to = a.out + (u64)b * a.out_at.batch + head * a.out_at.head;
  for (u32 i = lane; i < 16 * (DV / 8); i += 32) {
    const u32 r = i / (DV / 8), c = i % (DV / 8) * 8;
    if (first_query + r < a.queries)
      *(uint4*)(to + (u64)(first_query + r) * a.out_at.row + c) = load_shared4(own + r * DV_STRIDE + c * 2);
  }
}
#else

DEVICE float dot(const float* query, const Element* key) {
  float sum = 0.f;
#if VECTOR
  UNROLL for (int c = 0; c < D; c += 16 / sizeof(Element)) {
    const uint4 piece = *(const uint4*)(key + c);
    const Element* values = (const Element*)&piece;
    UNROLL for (int i = 0; i < 16 / sizeof(Element); i++) sum = fmaf(query[c + i], value_of(values[i]), sum);
  }
#else
  for (u32 c = 0; c < D; c++) sum = fmaf(query[c], value_of(key[c]), sum);
#endif
  return sum;
}

// One warp per query; shared memory per warp: the query (D floats, padded to 4), then its weights (T).
KERNEL_RESIDENT(WARPS * 32, BLOCKS, attention_row, Arguments) {
  const u32 lane = lane_of(), index = blockIdx.x * WARPS + warp_of();
  const u32 query = index % a.queries, head = index / a.queries % a.heads, b = index / a.queries / a.heads;
  float* own_query = (float*)shared_pointer() + warp_of() * ((D + 3) / 4 * 4 + (a.T + 3) / 4 * 4);
  float* weights = own_query + (D + 3) / 4 * 4;
  let_dependents_start();
  wait_for_prior_kernel();
  if (b >= a.B) return;
  const Element* q = a.q + (u64)b * a.q_at.batch + head * a.q_at.head + (u64)query * a.q_at.row;
  const Element* k = a.k + (u64)b * a.k_at.batch + head * a.k_at.head;
  const Element* v = a.v + (u64)b * a.v_at.batch + head * a.v_at.head;
  for (u32 c = lane; c < D; c += 32) own_query[c] = value_of(q[c]) * a.scale;
  __syncwarp();
  const u32 step = a.queries == 1 ? a.T - 1 : query, seen = CAUSAL ? step + 1 : a.T;
  float top = MASKED, sum = 0.f;
  for (u32 t = lane; t < seen; t += 32) {
    weights[t] = dot(own_query, k + (u64)t * a.k_at.row);
    top = fmaxf(top, weights[t]);
  }
  top = warp_max(top);
  for (u32 t = lane; t < seen; t += 32) { weights[t] = exp2f(weights[t] - top); sum += weights[t]; }
  sum = warp_sum(sum);
  __syncwarp();
  const float share = 1.f / sum;
  Element* to = a.out + (u64)b * a.out_at.batch + head * a.out_at.head + (u64)query * a.out_at.row;
  UNROLL for (u32 c = lane; c < (DV + 31) / 32 * 32; c += 32) {
    float total = 0.f;
    if (c < DV) {
      _Pragma("unroll 8") for (u32 t = 0; t < seen; t++)
        total = fmaf(weights[t], value_of(v[(u64)t * a.v_at.row + c]), total);
      to[c] = element_of(total * share);
    }
  }
#if WEIGHTS
  for (u32 t = lane; t < a.T; t += 32)
    a.weights[(u64)index * a.T + t] = element_of(t < seen ? weights[t] * share : 0.f);
#endif
}
#endif
