/* AVX-512 kernels: one half panel of 16 outputs per register, two registers per row of the tile.
 * Row counts are constants after inlining, so that all sums stay in registers. */
#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#define NAME(x) avx512_##x
#include "rows.inc"
#include "cache.h"

#define INLINE TARGET static inline __attribute__((always_inline))
#define TARGET_BF16                                                                       \
  __attribute__((                                                                         \
    target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c")))
#define INLINE_BF16 TARGET_BF16 static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

/* 12 rows of two sums and two registers of weights leave some to spare.  Products with q8 and q4
 * need four sums per row: 7 rows and the weights take 30 registers. */
enum { TILE = 12, Q_TILE = 7 };

/* Few rows are bound by memory: ask for the weights well before their use. */
enum { AHEAD = 4096, STREAM_ROWS = 2 };

/* Calls BODY(n) with the constant n = rows. */
#define FOR_ROWS_6(rows, BODY)                                                            \
  switch (rows) {                                                                         \
  case 1: BODY(1); break; case 2: BODY(2); break; case 3: BODY(3); break;                 \
  case 4: BODY(4); break; case 5: BODY(5); break; case 6: BODY(6); break;                 \
  }
#define FOR_ROWS_12(rows, BODY)                                                           \
  switch (rows) {                                                                         \
  case 1: BODY(1); break; case 2: BODY(2); break; case 3: BODY(3); break;                 \
  case 4: BODY(4); break; case 5: BODY(5); break; case 6: BODY(6); break;                 \
  case 7: BODY(7); break; case 8: BODY(8); break; case 9: BODY(9); break;                 \
  case 10: BODY(10); break; case 11: BODY(11); break; case 12: BODY(12); break;           \
  }

INLINE void finish(const __m512 *low, const __m512 *high, int rows, float *c, size_t ldc, int add) {
  UNROLL for (int m = 0; m < rows; m++, c += ldc) {
    __m512 a = low[m], b = high[m];
    if (add) {
      a = _mm512_add_ps(_mm512_loadu_ps(c), a);
      b = _mm512_add_ps(_mm512_loadu_ps(c + 16), b);
    }
    _mm512_storeu_ps(c, a);
    _mm512_storeu_ps(c + 16, b);
  }
}

/* The two halves of one column of 32 weights, f32 or f16. */
INLINE void load_column(const char *w, int f16, __m512 *low, __m512 *high) {
  if (f16) {
    *low = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)w));
    *high = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(w + 32)));
  } else {
    *low = _mm512_loadu_ps(w);
    *high = _mm512_loadu_ps(w + 64);
  }
}

/* Sums of columns times activations a[step * a_step + row * a_row]. */
INLINE void panel_columns(const char *w, int f16, const float *a, size_t a_step, size_t a_row,
                          int rows, size_t steps, float *c, size_t ldc, int add) {
  __m512 low[TILE], high[TILE];
  UNROLL for (int m = 0; m < rows; m++) low[m] = high[m] = _mm512_setzero_ps();
  for (size_t s = 0; s < steps; s++, a += a_step, w += f16 ? 64 : 128) {
    __m512 w0, w1;
    load_column(w, f16, &w0, &w1);
    if (rows <= STREAM_ROWS) _mm_prefetch(w + AHEAD, _MM_HINT_T0);
    UNROLL for (int m = 0; m < rows; m++) {
      __m512 x = _mm512_set1_ps(a[(size_t)m * a_row]);
      low[m] = _mm512_fmadd_ps(w0, x, low[m]);
      high[m] = _mm512_fmadd_ps(w1, x, high[m]);
    }
  }
  finish(low, high, rows, c, ldc, add);
}

#define BODY(n) panel_columns(w, 1, a, n, 1, n, steps, c, ldc, add)
TARGET static void panel_f16(const void *w, const void *a, size_t rows, size_t steps, float *c,
                             size_t ldc, int add) {
  FOR_ROWS_12(rows, BODY)
}
#undef BODY

/* ---- attention ---- */

/* How columns lie in memory. */
enum { COLUMN_F32, COLUMN_F16, COLUMN_Q8 };

/* The two halves of 32 values of a column; `scale` is that of Q8. */
INLINE void attention_column(const char *w, int kind, __m512 scale0, __m512 scale1, __m512 *low,
                             __m512 *high) {
  if (kind == COLUMN_Q8) {
    __m512i q0 = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)w));
    __m512i q1 = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(w + 16)));
    *low = _mm512_mul_ps(_mm512_cvtepi32_ps(q0), scale0);
    *high = _mm512_mul_ps(_mm512_cvtepi32_ps(q1), scale1);
  } else {
    load_column(w, kind == COLUMN_F16, low, high);
  }
}

/* c[m][32 p + j] (+)= sum over the steps of w[p][step][j] * a[step * a_step + m * a_row], for panels
 * of `stride` bytes of which few rows take several at once, to have enough sums in flight.
 *   scales: of Q8, [p][scale_stride]: 32 for the columns (keys), or one for each step (values)
 *   next: what is read after these panels; asked for at the pace at which these are read */
INLINE void attention_columns(const char *w, int kind, size_t stride, int panels,
                              const float *scales, size_t scale_stride, int step_scales,
                              const float *a, size_t a_step, size_t a_row, int rows, size_t steps,
                              float *c, size_t ldc, int add, const char *next) {
  __m512 sums[4][2 * TILE], scale[4][2];
  int bytes = kind == COLUMN_F32 ? 128 : kind == COLUMN_F16 ? 64 : 32;
  UNROLL for (int p = 0; p < panels; p++) {
    UNROLL for (int m = 0; m < rows; m++) {
      float *to = c + (size_t)m * ldc + 32 * p;
      sums[p][2 * m] = add ? _mm512_loadu_ps(to) : _mm512_setzero_ps();
      sums[p][2 * m + 1] = add ? _mm512_loadu_ps(to + 16) : _mm512_setzero_ps();
    }
    if (kind == COLUMN_Q8 && !step_scales) {
      scale[p][0] = _mm512_loadu_ps(scales + (size_t)p * scale_stride);
      scale[p][1] = _mm512_loadu_ps(scales + (size_t)p * scale_stride + 16);
    }
  }
  for (size_t s = 0; s < steps; s++, a += a_step, w += bytes)
    UNROLL for (int p = 0; p < panels; p++) {
      if (kind != COLUMN_F32 && (bytes == 64 || p % 2 == 0)) {
        _mm_prefetch(next, _MM_HINT_T0);
        next += 64;
      }
      if (kind == COLUMN_Q8 && step_scales)
        scale[p][0] = scale[p][1] = _mm512_set1_ps(scales[(size_t)p * scale_stride + s]);
      __m512 w0, w1;
      attention_column(w + (size_t)p * stride, kind, scale[p][0], scale[p][1], &w0, &w1);
      UNROLL for (int m = 0; m < rows; m++) {
        __m512 x = _mm512_set1_ps(a[(size_t)m * a_row]);
        sums[p][2 * m] = _mm512_fmadd_ps(w0, x, sums[p][2 * m]);
        sums[p][2 * m + 1] = _mm512_fmadd_ps(w1, x, sums[p][2 * m + 1]);
      }
    }
  UNROLL for (int p = 0; p < panels; p++)
    UNROLL for (int m = 0; m < rows; m++) {
      _mm512_storeu_ps(c + (size_t)m * ldc + 32 * p, sums[p][2 * m]);
      _mm512_storeu_ps(c + (size_t)m * ldc + 32 * p + 16, sums[p][2 * m + 1]);
    }
}

/* Panels taken at once by `rows` rows; 8-bit columns need registers for their scales. */
#define TOGETHER(rows) ((rows) <= 3 ? 4 : (rows) <= 6 ? 2 : 1)
#define TOGETHER_Q8(rows) ((rows) <= 2 ? 4 : (rows) <= 5 ? 2 : 1)

/* COLUMNS(n, panels) for all panels, so many at once. */
#define PANELS(n, at_once, COLUMNS)                                                       \
  for (; panels - p >= at_once(n); p += at_once(n)) COLUMNS(n, at_once(n));               \
  for (; p < panels; p++) COLUMNS(n, 1)

#define COLUMNS(n, together)                                                              \
  attention_columns((const char *)(keys + p * dimension * VTW_PANEL), COLUMN_F32,         \
                    dimension * VTW_PANEL * 4, together, NULL, 0, 0, queries, TILE, 1, n, \
                    dimension, scores + p * VTW_PANEL, VTW_CACHE_ROWS, 0, NULL)
#define BODY(n) PANELS(n, TOGETHER, COLUMNS)
TARGET static void score(const float *keys, const float *queries, size_t rows, size_t dimension,
                         size_t panels, float *scores) {
  size_t p = 0;
  FOR_ROWS_12(rows, BODY)
}
#undef COLUMNS

#define COLUMNS(n, together)                                                              \
  attention_columns((const char *)(values + p * VTW_CACHE_ROWS * VTW_PANEL), COLUMN_F32,  \
                    VTW_CACHE_ROWS * VTW_PANEL * 4, together, NULL, 0, 0, weights, 1,     \
                    VTW_CACHE_ROWS, n, count, part + p * VTW_PANEL, all * VTW_PANEL, 0, NULL)
TARGET static void mix(const float *values, const float *weights, size_t rows, size_t count,
                       size_t panels, float *part) {
  size_t p = 0, all = panels;
  FOR_ROWS_12(rows, BODY)
}
#undef COLUMNS
#undef BODY

/* `count` is a multiple of 32. */
TARGET static void widen_f16(const uint16_t *from, size_t count, float *out) {
  for (size_t i = 0; i < count; i += 16)
    _mm512_storeu_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(from + i))));
}

/* Few rows are bound by memory, so they read f16 and 8-bit blocks as they are: see attention.inc. */
enum { STORED_ROWS = 8 };
#define READS_STORED(precision, rows) ((precision) != VTW_F32 && (rows) <= STORED_ROWS)
#define READS_STORED_Q8

#define FOR_ROWS_8(rows, BODY)                                                            \
  switch (rows) {                                                                         \
  case 1: BODY(1); break; case 2: BODY(2); break; case 3: BODY(3); break;                 \
  case 4: BODY(4); break; case 5: BODY(5); break; case 6: BODY(6); break;                 \
  case 7: BODY(7); break; case 8: BODY(8); break;                                         \
  }

#define COLUMNS(n, together)                                                              \
  attention_columns(keys + p * stride, COLUMN_F16, stride, together, NULL, 0, 0, queries, \
                    TILE, 1, n, dimension, scores + p * VTW_PANEL, VTW_CACHE_ROWS, 0,     \
                    next + p * stride)
#define BODY(n) PANELS(n, TOGETHER, COLUMNS)
TARGET static void score_f16(const char *keys, const float *queries, size_t rows,
                             size_t dimension, size_t panels, float *scores, const char *next) {
  size_t p = 0, stride = dimension * VTW_PANEL * 2;
  FOR_ROWS_8(rows, BODY)
}
#undef COLUMNS

#define COLUMNS(n, together)                                                              \
  attention_columns(values + p * stride, COLUMN_F16, stride, together, NULL, 0, 0,        \
                    weights, 1, VTW_CACHE_ROWS, n, count, part + p * VTW_PANEL,           \
                    all * VTW_PANEL, 0, next + p * stride)
TARGET static void mix_f16(const char *values, const float *weights, size_t rows, size_t count,
                           size_t panels, float *part, const char *next) {
  size_t p = 0, all = panels, stride = VTW_CACHE_ROWS * VTW_PANEL * 2;
  FOR_ROWS_8(rows, BODY)
}
#undef COLUMNS
#undef BODY

/* Group by group of dimensions, as the columns of each have scales of their own. */
#define COLUMNS(n, together)                                                              \
  for (size_t g = 0; g < groups; g++)                                                     \
    attention_columns(keys + p * stride + g * VTW_GROUP * VTW_PANEL, COLUMN_Q8, stride,   \
                      together, scales + (p * groups + g) * VTW_PANEL,                    \
                      groups * VTW_PANEL, 0, queries + g * VTW_GROUP * TILE, TILE, 1, n,  \
                      dimension - g * VTW_GROUP < VTW_GROUP ? dimension - g * VTW_GROUP   \
                                                            : VTW_GROUP,                  \
                      scores + p * VTW_PANEL, VTW_CACHE_ROWS, g > 0,                      \
                      next + p * stride + g * VTW_GROUP * VTW_PANEL * together)
#define BODY(n) PANELS(n, TOGETHER_Q8, COLUMNS)
TARGET static void score_q8(const char *keys, const float *scales, const float *queries,
                            size_t rows, size_t dimension, size_t panels, float *scores,
                            const char *next) {
  size_t p = 0, stride = dimension * VTW_PANEL, groups = vtw_scale_groups(dimension);
  FOR_ROWS_8(rows, BODY)
}
#undef COLUMNS

#define COLUMNS(n, together)                                                              \
  attention_columns(values + p * stride, COLUMN_Q8, stride, together,                     \
                    scales + p * VTW_CACHE_ROWS, VTW_CACHE_ROWS, 1, weights, 1,           \
                    VTW_CACHE_ROWS, n, count, part + p * VTW_PANEL, all * VTW_PANEL, 0,   \
                    next + p * stride)
TARGET static void mix_q8(const char *values, const float *scales, const float *weights,
                          size_t rows, size_t count, size_t panels, float *part,
                          const char *next) {
  size_t p = 0, all = panels, stride = VTW_CACHE_ROWS * VTW_PANEL;
  FOR_ROWS_8(rows, BODY)
}
#undef COLUMNS
#undef BODY

/* The whole row in registers: see rows.inc for the formula. */
TARGET static inline void softmax_row(float *scores, size_t count, size_t width, float *top,
                                      float *sum) {
  const __m512 least = _mm512_set1_ps(-INFINITY), smallest = _mm512_set1_ps(-126.0f);
  __m512 x[8], m[2] = {least, least}, s[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  UNROLL for (int i = 0; i < 8; i++) {
    size_t left = count < (size_t)16 * i ? 0 : count - 16 * i;
    __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
    x[i] = _mm512_mask_loadu_ps(least, mask, scores + 16 * i);
    m[i % 2] = _mm512_max_ps(x[i], m[i % 2]);
  }
  *top = _mm512_reduce_max_ps(_mm512_max_ps(m[0], m[1]));
  __m512 largest = _mm512_set1_ps(*top);
  UNROLL for (int i = 0; i < 8; i++) {
    __m512 t = _mm512_sub_ps(x[i], largest);
    __mmask16 some = _mm512_cmp_ps_mask(t, smallest, _CMP_NLT_UQ);
    __m512 n = _mm512_roundscale_ps(t, 0), f = _mm512_sub_ps(t, n);
    __m512 p = _mm512_set1_ps(1.5252734e-5f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.5403530e-4f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.3333558e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.6181291e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.5504109e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.4022651e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.9314718e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    p = _mm512_maskz_scalef_ps(some, p, n);
    s[i % 2] = _mm512_add_ps(s[i % 2], p);
    if ((size_t)16 * i < width) _mm512_storeu_ps(scores + 16 * i, p);
  }
  *sum = _mm512_reduce_add_ps(_mm512_add_ps(s[0], s[1]));
}

/* bf16 weights without bf16 instructions: the halves of a 32-bit lane are two columns. */
INLINE void panel_pairs(const char *w, const float *a, int rows, size_t steps, float *c, size_t ldc,
                        int add) {
  __m512 low[TILE], high[TILE];
  const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
  UNROLL for (int m = 0; m < rows; m++) low[m] = high[m] = _mm512_setzero_ps();
  for (size_t s = 0; s < steps; s++, a += 2 * rows, w += 128) {
    __m512i p0 = _mm512_loadu_si512(w), p1 = _mm512_loadu_si512(w + 64);
    if (rows <= STREAM_ROWS) {
      _mm_prefetch(w + AHEAD, _MM_HINT_T0);
      _mm_prefetch(w + AHEAD + 64, _MM_HINT_T0);
    }
    UNROLL for (int j = 0; j < 2; j++) {
      __m512 w0 = _mm512_castsi512_ps(j ? _mm512_and_si512(p0, upper) : _mm512_slli_epi32(p0, 16));
      __m512 w1 = _mm512_castsi512_ps(j ? _mm512_and_si512(p1, upper) : _mm512_slli_epi32(p1, 16));
      UNROLL for (int m = 0; m < rows; m++) {
        __m512 x = _mm512_set1_ps(a[j * rows + m]);
        low[m] = _mm512_fmadd_ps(w0, x, low[m]);
        high[m] = _mm512_fmadd_ps(w1, x, high[m]);
      }
    }
  }
  finish(low, high, rows, c, ldc, add);
}

#define BODY(n) panel_pairs(w, a, n, steps, c, ldc, add)
TARGET static void panel_bf16(const void *w, const void *a, size_t rows, size_t steps, float *c,
                              size_t ldc, int add) {
  FOR_ROWS_12(rows, BODY)
}
#undef BODY

INLINE_BF16 void panel_dot_pairs(const char *w, const char *a, int rows, size_t steps, float *c,
                                 size_t ldc, int add) {
  __m512 low[TILE], high[TILE];
  UNROLL for (int m = 0; m < rows; m++) low[m] = high[m] = _mm512_setzero_ps();
  for (size_t s = 0; s < steps; s++, a += 4 * rows, w += 128) {
    __m512bh w0 = (__m512bh)_mm512_loadu_si512(w), w1 = (__m512bh)_mm512_loadu_si512(w + 64);
    if (rows <= STREAM_ROWS) {
      _mm_prefetch(w + AHEAD, _MM_HINT_T0);
      _mm_prefetch(w + AHEAD + 64, _MM_HINT_T0);
    }
    UNROLL for (int m = 0; m < rows; m++) {
      int pair;
      memcpy(&pair, a + 4 * m, 4);
      __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
      low[m] = _mm512_dpbf16_ps(low[m], w0, x);
      high[m] = _mm512_dpbf16_ps(high[m], w1, x);
    }
  }
  UNROLL for (int m = 0; m < rows; m++, c += ldc) {
    __m512 x = low[m], y = high[m];
    if (add) {
      x = _mm512_add_ps(_mm512_loadu_ps(c), x);
      y = _mm512_add_ps(_mm512_loadu_ps(c + 16), y);
    }
    _mm512_storeu_ps(c, x);
    _mm512_storeu_ps(c + 16, y);
  }
}

#define BODY(n) panel_dot_pairs(w, a, n, steps, c, ldc, add)
TARGET_BF16 static void panel_bf16_dot(const void *w, const void *a, size_t rows, size_t steps,
                                       float *c, size_t ldc, int add) {
  FOR_ROWS_12(rows, BODY)
}
#undef BODY

/* [steps][rows][2] bf16. */
TARGET_BF16 static void pack_bf16(const float *x, size_t stride, size_t rows, size_t columns,
                                  void *packed) {
  char *out = packed;
  for (size_t first = 0; first < columns; first += 32) {
    size_t count = columns - first < 32 ? columns - first : 32, pairs = (count + 1) / 2;
    for (size_t m = 0; m < rows; m++) {
      float block[32] = {0};
      uint32_t rounded[16];
      memcpy(block, x + m * stride + first, count * sizeof(float));
      _mm512_storeu_si512(rounded, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(block + 16),
                                                                _mm512_loadu_ps(block)));
      for (size_t p = 0; p < pairs; p++)
        memcpy(out + ((first / 2 + p) * rows + m) * 4, rounded + p, 4);
    }
  }
}

/* ---- q4 and q8 ----
 *
 * Integers of 32 columns are summed by instructions that multiply unsigned weights (128 + q, with
 * 4-bit q as 16 q) by signed activations.  Such a sum starts from the bits of 1.5 * 2^23 less 128
 * times the sum of the activations: so its bits are those of the float 1.5 * 2^23 + (the signed
 * sum), and no conversion is needed.  One multiplication by the weights' scale takes it to the sums
 * of an activation group, which start from minus all that 1.5 * 2^23 contributes. */
enum { OFFSET_BITS = 0x4b400000 };
static const float OFFSET = 12582912.0f;

/* A prepared step: scales f32 [32], starts f32 [32] (in the first step of a group), bytes [8][128]. */
enum { PREPARED = 128 + 128 + 1024 };

/* Where the weights of a step come from. */
enum { PREPARED_STEP, Q8_STEP, Q4_STEP };

INLINE void load_pair(const char *w, int form, int k, __m512i *low, __m512i *high) {
  if (form == Q4_STEP) {
    const __m512i upper = _mm512_set1_epi8((char)0xf0);
    __m512i x = _mm512_loadu_si512(w + 64 + 64 * k);
    *low = _mm512_and_si512(_mm512_slli_epi32(x, 4), upper);
    *high = _mm512_and_si512(x, upper);
  } else {
    const char *line = w + (form == Q8_STEP ? 64 : 256) + 128 * k;
    *low = _mm512_loadu_si512(line);
    *high = _mm512_loadu_si512(line + 64);
  }
}

/* The scales of a step of the file, for bytes as load_pair gives them. */
INLINE void load_scales(const char *w, int form, __m512 d[2]) {
  load_column(w, 1, &d[0], &d[1]);
  if (form == Q4_STEP)
    for (int h = 0; h < 2; h++) d[h] = _mm512_mul_ps(d[h], _mm512_set1_ps(0.0625f));
}

/* Minus what OFFSET contributes to `count` steps. */
INLINE void load_starts(const char *w, int form, size_t count, __m512 start[2]) {
  __m512 sum[2];
  load_scales(w, form, sum);
  for (size_t b = 1; b < count; b++) {
    __m512 d[2];
    load_scales(w + b * (form == Q4_STEP ? 576 : 1088), form, d);
    for (int h = 0; h < 2; h++) sum[h] = _mm512_add_ps(sum[h], d[h]);
  }
  for (int h = 0; h < 2; h++) start[h] = _mm512_mul_ps(sum[h], _mm512_set1_ps(-OFFSET));
}

INLINE void prepare_groups(const char *w, int form, int group, size_t steps, char *out) {
  size_t bytes = form == Q4_STEP ? 576 : 1088;
  for (size_t s = 0; s < steps; s++, w += bytes, out += PREPARED) {
    __m512 d[2], start[2];
    load_scales(w, form, d);
    for (int h = 0; h < 2; h++) _mm512_storeu_ps(out + 64 * h, d[h]);
    if (s % group == 0) {
      load_starts(w, form, steps - s < (size_t)group ? steps - s : (size_t)group, start);
      for (int h = 0; h < 2; h++) _mm512_storeu_ps(out + 128 + 64 * h, start[h]);
    }
    UNROLL for (int k = 0; k < 8; k++) {
      __m512i low, high;
      load_pair(w, form, k, &low, &high);
      _mm512_storeu_si512(out + 256 + 128 * k, low);
      _mm512_storeu_si512(out + 256 + 128 * k + 64, high);
    }
  }
}

/* sum + w . the four bytes in every lane.  A compiler would load them into a register for both
 * halves of a panel; read from memory twice, that register holds a sum, and the loads are free. */
INLINE __m512i dot_four(__m512i sum, __m512i w, const char *four) {
  __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*(const char(*)[4])four));
  return sum;
}

INLINE void panel_groups(const char *w, int form, int group, const char *a, int rows, size_t steps,
                         float *c, size_t ldc, int add) {
  size_t bytes = form == Q4_STEP ? 576 : form == Q8_STEP ? 1088 : PREPARED;
  __m512 low[Q_TILE], high[Q_TILE];
  UNROLL for (int m = 0; m < rows; m++) low[m] = high[m] = _mm512_setzero_ps();
  for (size_t s = 0; s < steps; s += group) {
    size_t count = group == 1 ? 1 : steps - s < (size_t)group ? steps - s : (size_t)group;
    __m512 t0[Q_TILE], t1[Q_TILE], start[2];
    if (form == PREPARED_STEP)
      for (int h = 0; h < 2; h++) start[h] = _mm512_loadu_ps(w + 128 + 64 * h);
    else load_starts(w, form, count, start);
    UNROLL for (int m = 0; m < rows; m++) {
      t0[m] = start[0];
      t1[m] = start[1];
    }
    const char *scales = a + rows * (VTW_GROUP + 4);
    _Pragma("clang loop unroll(disable)")
    for (size_t b = 0; b < count; b++, w += bytes, a += rows * (VTW_GROUP + 8)) {
      __m512i i0[Q_TILE], i1[Q_TILE];
      UNROLL for (int m = 0; m < rows; m++) {
        int first;
        memcpy(&first, a + rows * VTW_GROUP + 4 * m, 4);
        i0[m] = i1[m] = _mm512_set1_epi32(first);
      }
      UNROLL for (int k = 0; k < VTW_GROUP / 4; k++) {
        __m512i w0, w1;
        load_pair(w, form, k, &w0, &w1);
        if (form != PREPARED_STEP) {
          _mm_prefetch(w + AHEAD + 64 * k, _MM_HINT_T0);
          if (form == Q8_STEP) _mm_prefetch(w + AHEAD + 64 * k + 512, _MM_HINT_T0);
        }
        UNROLL for (int m = 0; m < rows; m++) {
          const char *four = a + 4 * (k * rows + m);
          i0[m] = dot_four(i0[m], w0, four);
          i1[m] = dot_four(i1[m], w1, four);
        }
      }
      __m512 d[2];
      if (form == PREPARED_STEP)
        for (int h = 0; h < 2; h++) d[h] = _mm512_loadu_ps(w + 64 * h);
      else load_scales(w, form, d);
      UNROLL for (int m = 0; m < rows; m++) {
        t0[m] = _mm512_fmadd_ps(_mm512_castsi512_ps(i0[m]), d[0], t0[m]);
        t1[m] = _mm512_fmadd_ps(_mm512_castsi512_ps(i1[m]), d[1], t1[m]);
      }
    }
    UNROLL for (int m = 0; m < rows; m++) {
      float scale;
      memcpy(&scale, scales + 4 * m, 4);
      __m512 x = _mm512_set1_ps(scale);
      low[m] = _mm512_fmadd_ps(t0[m], x, low[m]);
      high[m] = _mm512_fmadd_ps(t1[m], x, high[m]);
    }
  }
  finish(low, high, rows, c, ldc, add);
}

/* The activations of up to 8 rows as pack_groups of rows.inc lays them out. */
INLINE void pack_groups(const float *x, size_t stride, size_t rows, size_t columns, int group,
                        char *out) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  /* Of the dwords [rows][8], the one that comes i-th in [8][rows]. */
  int32_t order[4 * 16] = {0};
  for (size_t k = 0; k < 8; k++)
    for (size_t m = 0; m < rows; m++) order[k * rows + m] = (int32_t)(8 * m + k);
  size_t step_bytes = rows * (VTW_GROUP + 8), width = (size_t)group * VTW_GROUP;
  for (size_t from = 0; from < columns; from += width, out += (size_t)group * step_bytes) {
    size_t count = columns - from < width ? columns - from : width;
    size_t steps = (count + VTW_GROUP - 1) / VTW_GROUP;
    int8_t quants[VTW_SCALE_MAX][8][VTW_GROUP];
    for (size_t m = 0; m < rows; m++) {
      __m512 v[2 * VTW_SCALE_MAX];
      __m512i top = _mm512_setzero_si512();
      UNROLL for (int i = 0; i < 2 * group; i++) {
        size_t at = 16 * (size_t)i;
        __mmask16 mask = count >= at + 16 ? 0xffff
                         : count > at     ? (__mmask16)((1u << (count - at)) - 1)
                                          : 0;
        v[i] = _mm512_maskz_loadu_ps(mask, x + m * stride + from + at);
        /* As integers, magnitudes order like the values, infinity and NaN above all. */
        top = _mm512_max_epu32(top, _mm512_and_si512(_mm512_castps_si512(v[i]), magnitude));
      }
      uint32_t bits = _mm512_reduce_max_epu32(top);
      float largest = vtw_float_of_bits(bits), scale = largest / 127;
      /* Below 2^-100 the inverse would overflow, and the group adds nothing. */
      float inverse = bits > 0x0d800000u ? 127 / largest : 0;
      __mmask16 finite = 0xffff;
      if (bits >= 0x7f800000u) {
        scale = NAN;
        finite = 0;
      }
      __m512 factor = _mm512_set1_ps(inverse);
      UNROLL for (int s = 0; s < group; s++) {
        __m512i low = _mm512_maskz_cvtps_epi32(finite, _mm512_mul_ps(v[2 * s], factor));
        __m512i high = _mm512_maskz_cvtps_epi32(finite, _mm512_mul_ps(v[2 * s + 1], factor));
        __m256i q = _mm256_set_m128i(_mm512_cvtepi32_epi8(high), _mm512_cvtepi32_epi8(low));
        _mm256_storeu_si256((__m256i *)quants[s][m], q);
        if ((size_t)s < steps) {
          int32_t start =
              OFFSET_BITS - 128 * _mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
          char *step = out + (size_t)s * step_bytes + rows * VTW_GROUP + 4 * m;
          memcpy(step, &start, 4);
          memcpy(step + 4 * rows, &scale, 4);
        }
      }
    }
    for (size_t s = 0; s < steps; s++) {
      __m512i in[4];
      UNROLL for (int i = 0; i < 4; i++) in[i] = _mm512_loadu_si512(quants[s][2 * i]);
      for (size_t i = 0; 16 * i < 8 * rows; i++) {
        __m512i index = _mm512_loadu_si512(order + 16 * i);
        __mmask16 upper = _mm512_cmpgt_epi32_mask(index, _mm512_set1_epi32(31));
        __m512i line = _mm512_mask_blend_epi32(
            upper, _mm512_permutex2var_epi32(in[0], index, in[1]),
            _mm512_permutex2var_epi32(in[2], index, in[3]));
        size_t left = 8 * rows - 16 * i;
        __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
        _mm512_mask_storeu_epi32(out + s * step_bytes + 64 * i, mask, line);
      }
    }
  }
}

TARGET static void pack_q8(const float *x, size_t stride, size_t rows, size_t columns,
                           void *packed) {
  pack_groups(x, stride, rows, columns, Q8_GROUP, packed);
}

TARGET static void pack_q4(const float *x, size_t stride, size_t rows, size_t columns,
                           void *packed) {
  pack_groups(x, stride, rows, columns, Q4_GROUP, packed);
}

#define PANEL(name, form, group)                                                           \
  TARGET static void name(const void *w, const void *a, size_t rows, size_t steps, float *c, \
                          size_t ldc, int add) {                                           \
    FOR_ROWS_Q(rows, form, group)                                                          \
  }
#define BODY_Q(n, form, group)                                                             \
  case n: panel_groups(w, form, group, a, n, steps, c, ldc, add); break;
#define FOR_ROWS_Q(rows, form, group)                                                      \
  switch (rows) {                                                                          \
    BODY_Q(1, form, group) BODY_Q(2, form, group) BODY_Q(3, form, group)                   \
    BODY_Q(4, form, group) BODY_Q(5, form, group) BODY_Q(6, form, group)                   \
    BODY_Q(7, form, group)                                                                 \
  }
PANEL(panel_q8, Q8_STEP, Q8_GROUP)
PANEL(panel_q4, Q4_STEP, Q4_GROUP)
PANEL(prepared_q8, PREPARED_STEP, Q8_GROUP)
PANEL(prepared_q4, PREPARED_STEP, Q4_GROUP)

TARGET static void prepare_q8(const void *w, size_t steps, void *out) {
  prepare_groups(w, Q8_STEP, Q8_GROUP, steps, out);
}

TARGET static void prepare_q4(const void *w, size_t steps, void *out) {
  prepare_groups(w, Q4_STEP, Q4_GROUP, steps, out);
}

INLINE void dot_rows(const float *const w[4], size_t columns, const float *x, int rows,
                     float *out) {
  __m512 sums[VTW_QUAD][4];
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int j = 0; j < 4; j++) sums[m][j] = _mm512_setzero_ps();
  for (size_t i = 0; i < columns; i += 16) {
    __mmask16 mask = columns - i >= 16 ? 0xffff : (__mmask16)((1u << (columns - i)) - 1);
    __m512 v[4];
    UNROLL for (int j = 0; j < 4; j++) {
      _mm_prefetch((const char *)(w[j] + i) + 1024, _MM_HINT_T0);
      v[j] = _mm512_maskz_loadu_ps(mask, w[j] + i);
    }
    UNROLL for (int m = 0; m < rows; m++) {
      __m512 a = _mm512_maskz_loadu_ps(mask, x + (size_t)m * columns + i);
      UNROLL for (int j = 0; j < 4; j++) sums[m][j] = _mm512_fmadd_ps(v[j], a, sums[m][j]);
    }
  }
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int j = 0; j < 4; j++) out[4 * m + j] = _mm512_reduce_add_ps(sums[m][j]);
}

TARGET static void dot_quad(const float *const w[4], size_t columns, const float *x, size_t rows,
                            float *out) {
  switch (rows) {
  case 1: dot_rows(w, columns, x, 1, out); break;
  case 2: dot_rows(w, columns, x, 2, out); break;
  case 3: dot_rows(w, columns, x, 3, out); break;
  case 4: dot_rows(w, columns, x, 4, out); break;
  }
}

TARGET static void narrow_f16(const float *x, uint16_t *out, size_t count) {
  const __m512 largest = _mm512_set1_ps(65504.0f);
  for (size_t i = 0; i < count; i += 16) {
    __mmask16 mask = count - i >= 16 ? 0xffff : (__mmask16)((1u << (count - i)) - 1);
    /* Of a NaN and a number, min and max take the second operand: NaN stays. */
    __m512 v = _mm512_min_ps(largest, _mm512_maskz_loadu_ps(mask, x + i));
    v = _mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), largest), v);
    __m256i h = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_mask_storeu_epi16(out + i, mask, h);
  }
}

#include "attention.inc"

#define COMMON                                                                            \
  .f16 = {TILE, 1, 4, 64, 512, avx512_pack_f32, panel_f16},                               \
  .q8 = {Q_TILE, 32, 40, 1088, 16, pack_q8, panel_q8, PREPARED, prepare_q8, prepared_q8}, \
  .q4 = {Q_TILE, 32, 40, 576, 16, pack_q4, panel_q4, PREPARED, prepare_q4, prepared_q4},  \
  .dot_quad = dot_quad,                                                                   \
  .attention_rows = ATTENTION_ROWS,                                                       \
  .attend = avx512_attend,                                                                \
  .attend_merge = avx512_attend_merge,                                                    \
  .narrow_f16 = narrow_f16,                                                               \
  .quantize = avx512_quantize,                                                            \
  .store = avx512_store,                                                                  \
  .rms_norm = avx512_rms_norm,                                                            \
  .layer_norm = avx512_layer_norm,                                                        \
  .rotate = avx512_rotate,                                                                \
  .activate = avx512_activate,                                                            \
  .activate_multiply = avx512_activate_multiply,                                          \
  .add = avx512_add

const vtw_kernels vtw_kernels_avx512 = {
    COMMON,
    .bf16 = {TILE, 2, 8, 128, 256, avx512_pack_rounded, panel_bf16},
};

const vtw_kernels vtw_kernels_avx512bf16 = {
    COMMON,
    .bf16 = {TILE, 2, 4, 128, 256, pack_bf16, panel_bf16_dot},
};
#endif
