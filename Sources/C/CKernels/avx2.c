/* AVX2 kernels: a quarter panel of 8 outputs per register.  Up to 3 rows hold a whole panel in
 * registers; more rows pass it in two halves.  Row counts are constants after inlining. */
#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET __attribute__((target("avx2,fma,f16c")))
#define NAME(x) avx2_##x
#include "rows.inc"

#define INLINE TARGET static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

enum { TILE = 6, Q_TILE = 4 };

/* Few rows are bound by memory: ask for the weights well before their use. */
enum { AHEAD = 2048, STREAM_ROWS = 2 };

/* BODY(rows, quarters): rows and the registers per row that are held at once. */
#define FOR_ROWS(rows, BODY)                                                              \
  switch (rows) {                                                                         \
  case 1: BODY(1, 4); break; case 2: BODY(2, 4); break; case 3: BODY(3, 4); break;        \
  case 4: BODY(4, 2); break; case 5: BODY(5, 2); break; case 6: BODY(6, 2); break;        \
  }

INLINE void finish(__m256 (*sums)[4], int rows, int quarters, float *c, size_t ldc, int add) {
  UNROLL for (int m = 0; m < rows; m++, c += ldc)
    UNROLL for (int q = 0; q < quarters; q++) {
      __m256 s = sums[m][q];
      if (add) s = _mm256_add_ps(_mm256_loadu_ps(c + 8 * q), s);
      _mm256_storeu_ps(c + 8 * q, s);
    }
}

INLINE __m256 load_quarter(const char *w, int f16) {
  return f16 ? _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)w))
             : _mm256_loadu_ps((const float *)(const void *)w);
}

/* Sums of columns of f32 or f16 times activations a[step * a_step + row * a_row]. */
INLINE void panel_columns(const char *w, int f16, const float *a, size_t a_step, size_t a_row,
                          int rows, int quarters, size_t steps, float *c, size_t ldc, int add) {
  int size = f16 ? 2 : 4;
  for (int first = 0; first < 4; first += quarters) {
    __m256 sums[TILE][4];
    UNROLL for (int m = 0; m < rows; m++)
      UNROLL for (int q = 0; q < quarters; q++) sums[m][q] = _mm256_setzero_ps();
    const char *from = w + 8 * first * size;
    const float *x = a;
    for (size_t s = 0; s < steps; s++, from += 32 * size, x += a_step) {
      __m256 v[4];
      UNROLL for (int q = 0; q < quarters; q++) v[q] = load_quarter(from + 8 * q * size, f16);
      if (rows <= STREAM_ROWS) _mm_prefetch(from + AHEAD, _MM_HINT_T0);
      UNROLL for (int m = 0; m < rows; m++) {
        __m256 y = _mm256_set1_ps(x[(size_t)m * a_row]);
        UNROLL for (int q = 0; q < quarters; q++) sums[m][q] = _mm256_fmadd_ps(v[q], y, sums[m][q]);
      }
    }
    finish(sums, rows, quarters, c + 8 * first, ldc, add);
  }
}

#define BODY(n, q) panel_columns(w, 1, a, n, 1, n, q, steps, c, ldc, add)
TARGET static void panel_f16(const void *w, const void *a, size_t rows, size_t steps, float *c,
                             size_t ldc, int add) {
  FOR_ROWS(rows, BODY)
}
#undef BODY

#define BODY(n, q) panel_columns(w, 0, queries, TILE, 1, n, q, dimension, c, VTW_CACHE_ROWS, 0)
TARGET static void score(const float *keys, const float *queries, size_t rows, size_t dimension,
                         size_t panels, float *scores) {
  for (size_t p = 0; p < panels; p++) {
    const char *w = (const char *)(keys + p * dimension * VTW_PANEL);
    float *c = scores + p * VTW_PANEL;
    FOR_ROWS(rows, BODY)
  }
}
#undef BODY

#define BODY(n, q) \
  panel_columns(w, 0, weights, 1, VTW_CACHE_ROWS, n, q, count, c, panels * VTW_PANEL, 0)
TARGET static void mix(const float *values, const float *weights, size_t rows, size_t count,
                       size_t panels, float *part) {
  for (size_t p = 0; p < panels; p++) {
    const char *w = (const char *)(values + p * VTW_CACHE_ROWS * VTW_PANEL);
    float *c = part + p * VTW_PANEL;
    FOR_ROWS(rows, BODY)
  }
}
#undef BODY

TARGET static void widen_f16(const uint16_t *from, size_t count, float *out) {
  /* `count` is a multiple of 32. */
  for (size_t i = 0; i < count; i += 8)
    _mm256_storeu_ps(out + i, load_quarter((const char *)(from + i), 1));
}

/* f16 blocks of a tile are read as they are: see attention.inc. */
#define READS_STORED(precision, rows) ((precision) == VTW_F16 && (rows) <= TILE)

#define BODY(n, q) panel_columns(w, 1, queries, TILE, 1, n, q, dimension, c, VTW_CACHE_ROWS, 0)
TARGET static void score_f16(const char *keys, const float *queries, size_t rows,
                             size_t dimension, size_t panels, float *scores, const char *next) {
  (void)next; /* rows so few ask for what is ahead of them */
  for (size_t p = 0; p < panels; p++) {
    const char *w = keys + p * dimension * VTW_PANEL * 2;
    float *c = scores + p * VTW_PANEL;
    FOR_ROWS(rows, BODY)
  }
}
#undef BODY

#define BODY(n, q) \
  panel_columns(w, 1, weights, 1, VTW_CACHE_ROWS, n, q, count, c, panels * VTW_PANEL, 0)
TARGET static void mix_f16(const char *values, const float *weights, size_t rows, size_t count,
                           size_t panels, float *part, const char *next) {
  (void)next;
  for (size_t p = 0; p < panels; p++) {
    const char *w = values + p * VTW_CACHE_ROWS * VTW_PANEL * 2;
    float *c = part + p * VTW_PANEL;
    FOR_ROWS(rows, BODY)
  }
}
#undef BODY

/* bf16: the halves of a 32-bit lane are two columns. */
INLINE void panel_pairs(const char *w, const float *a, int rows, int quarters, size_t steps,
                        float *c, size_t ldc, int add) {
  const __m256i upper = _mm256_set1_epi32((int)0xffff0000);
  for (int first = 0; first < 4; first += quarters) {
    __m256 sums[TILE][4];
    UNROLL for (int m = 0; m < rows; m++)
      UNROLL for (int q = 0; q < quarters; q++) sums[m][q] = _mm256_setzero_ps();
    const char *from = w + 32 * first;
    const float *x = a;
    for (size_t s = 0; s < steps; s++, from += 128, x += 2 * rows) {
      if (rows <= STREAM_ROWS) {
        _mm_prefetch(from + AHEAD, _MM_HINT_T0);
        _mm_prefetch(from + AHEAD + 64, _MM_HINT_T0);
      }
      UNROLL for (int j = 0; j < 2; j++) {
        __m256 v[4];
        UNROLL for (int q = 0; q < quarters; q++) {
          __m256i pair = _mm256_loadu_si256((const __m256i *)(from + 32 * q));
          v[q] = _mm256_castsi256_ps(j ? _mm256_and_si256(pair, upper)
                                       : _mm256_slli_epi32(pair, 16));
        }
        UNROLL for (int m = 0; m < rows; m++) {
          __m256 y = _mm256_set1_ps(x[j * rows + m]);
          UNROLL for (int q = 0; q < quarters; q++)
            sums[m][q] = _mm256_fmadd_ps(v[q], y, sums[m][q]);
        }
      }
    }
    finish(sums, rows, quarters, c + 8 * first, ldc, add);
  }
}

#define BODY(n, q) panel_pairs(w, a, n, q, steps, c, ldc, add)
TARGET static void panel_bf16(const void *w, const void *a, size_t rows, size_t steps, float *c,
                              size_t ldc, int add) {
  FOR_ROWS(rows, BODY)
}
#undef BODY

/* 8-bit groups.  The product of bytes wants one unsigned factor and saturates at 16 bits:
 * |w| * (a with the sign of w) stays below 2 * 128 * 127, even for w = -128. */
INLINE void panel_groups(const char *w, const char *a, int rows, size_t steps, float *c, size_t ldc,
                         int add) {
  float sums[Q_TILE][VTW_PANEL] = {{0}};
  const __m256i flip = _mm256_set1_epi8((char)0x80), ones = _mm256_set1_epi16(1);
  for (size_t s = 0; s < steps; s++, w += 64 + 1024, a += rows * (VTW_GROUP + 8))
    UNROLL for (int q = 0; q < 4; q++) {
      __m256i i[Q_TILE];
      UNROLL for (int m = 0; m < rows; m++) i[m] = _mm256_setzero_si256();
      UNROLL for (int k = 0; k < VTW_GROUP / 4; k++) {
        const char *line = w + 64 + 128 * k + 32 * q;
        __m256i v = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)line), flip);
        __m256i magnitude = _mm256_abs_epi8(v);
        if (rows <= STREAM_ROWS && q % 2 == 0) _mm_prefetch(line + AHEAD, _MM_HINT_T0);
        UNROLL for (int m = 0; m < rows; m++) {
          int four;
          memcpy(&four, a + 4 * (k * rows + m), 4);
          __m256i x = _mm256_sign_epi8(_mm256_set1_epi32(four), v);
          __m256i products = _mm256_maddubs_epi16(magnitude, x);
          i[m] = _mm256_add_epi32(i[m], _mm256_madd_epi16(products, ones));
        }
      }
      __m256 d = load_quarter(w + 16 * q, 1);
      UNROLL for (int m = 0; m < rows; m++) {
        float scale;
        memcpy(&scale, a + rows * (VTW_GROUP + 4) + 4 * m, 4);
        float *sum = sums[m] + 8 * q;
        _mm256_storeu_ps(sum, _mm256_fmadd_ps(_mm256_cvtepi32_ps(i[m]),
                                              _mm256_mul_ps(d, _mm256_set1_ps(scale)),
                                              _mm256_loadu_ps(sum)));
      }
    }
  for (int m = 0; m < rows; m++)
    for (int r = 0; r < VTW_PANEL; r++)
      c[(size_t)m * ldc + r] = (add ? c[(size_t)m * ldc + r] : 0) + sums[m][r];
}

TARGET static void panel_q8(const void *w, const void *a, size_t rows, size_t steps, float *c,
                            size_t ldc, int add) {
  switch (rows) {
  case 1: panel_groups(w, a, 1, steps, c, ldc, add); break;
  case 2: panel_groups(w, a, 2, steps, c, ldc, add); break;
  case 3: panel_groups(w, a, 3, steps, c, ldc, add); break;
  case 4: panel_groups(w, a, 4, steps, c, ldc, add); break;
  }
}

/* 4-bit groups: sums of products of nibbles (0...15) and activations (-127...127) over 32 columns
 * fit 16 bits: 8 * 2 * 15 * 127 < 2^15. */
INLINE void panel_nibbles(const char *w, const char *a, int rows, size_t steps, float *c,
                          size_t ldc, int add) {
  float sums[Q_TILE][VTW_PANEL] = {{0}};
  const __m256i nibble = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  for (size_t s = 0; s < steps; s++, w += 64 + 512, a += rows * (VTW_GROUP + 8))
    UNROLL for (int half = 0; half < 2; half++) {
      __m256i i[Q_TILE][2];
      UNROLL for (int m = 0; m < rows; m++) i[m][0] = i[m][1] = _mm256_setzero_si256();
      UNROLL for (int k = 0; k < VTW_GROUP / 4; k++) {
        const char *line = w + 64 + 64 * k + 32 * half;
        __m256i both = _mm256_loadu_si256((const __m256i *)line);
        __m256i low = _mm256_and_si256(both, nibble);
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
        if (rows <= STREAM_ROWS && half == 0) _mm_prefetch(line + AHEAD, _MM_HINT_T0);
        UNROLL for (int m = 0; m < rows; m++) {
          int four;
          memcpy(&four, a + 4 * (k * rows + m), 4);
          __m256i x = _mm256_set1_epi32(four);
          i[m][0] = _mm256_add_epi16(i[m][0], _mm256_maddubs_epi16(low, x));
          i[m][1] = _mm256_add_epi16(i[m][1], _mm256_maddubs_epi16(high, x));
        }
      }
      UNROLL for (int upper = 0; upper < 2; upper++) {
        int q = 2 * upper + half;
        __m256 d = load_quarter(w + 16 * q, 1);
        UNROLL for (int m = 0; m < rows; m++) {
          int start;
          float scale, *sum = sums[m] + 8 * q;
          memcpy(&start, a + rows * VTW_GROUP + 4 * m, 4);
          memcpy(&scale, a + rows * (VTW_GROUP + 4) + 4 * m, 4);
          __m256i total = _mm256_add_epi32(_mm256_madd_epi16(i[m][upper], ones),
                                           _mm256_set1_epi32(start));
          _mm256_storeu_ps(sum, _mm256_fmadd_ps(_mm256_cvtepi32_ps(total),
                                                _mm256_mul_ps(d, _mm256_set1_ps(scale)),
                                                _mm256_loadu_ps(sum)));
        }
      }
    }
  for (int m = 0; m < rows; m++)
    for (int r = 0; r < VTW_PANEL; r++)
      c[(size_t)m * ldc + r] = (add ? c[(size_t)m * ldc + r] : 0) + sums[m][r];
}

TARGET static void panel_q4(const void *w, const void *a, size_t rows, size_t steps, float *c,
                            size_t ldc, int add) {
  switch (rows) {
  case 1: panel_nibbles(w, a, 1, steps, c, ldc, add); break;
  case 2: panel_nibbles(w, a, 2, steps, c, ldc, add); break;
  case 3: panel_nibbles(w, a, 3, steps, c, ldc, add); break;
  case 4: panel_nibbles(w, a, 4, steps, c, ldc, add); break;
  }
}

TARGET static void pack_q8(const float *x, size_t stride, size_t rows, size_t columns,
                           void *packed) {
  avx2_pack_groups(x, stride, rows, columns, Q8_GROUP, 128, 0, packed);
}

TARGET static void pack_q4(const float *x, size_t stride, size_t rows, size_t columns,
                           void *packed) {
  avx2_pack_groups(x, stride, rows, columns, Q4_GROUP, 8, 0, packed);
}

/* The sum of the 8 lanes, pairwise. */
INLINE float sum_of(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* Two rows of x at a time: 8 sums, 4 weights and one row of x in registers. */
INLINE void dot_rows(const float *const w[4], size_t columns, const float *x, int rows,
                     float *out) {
  static const int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  __m256 sums[2][4];
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int j = 0; j < 4; j++) sums[m][j] = _mm256_setzero_ps();
  size_t i = 0;
  for (; i + 8 <= columns; i += 8) {
    __m256 v[4];
    UNROLL for (int j = 0; j < 4; j++) {
      _mm_prefetch((const char *)(w[j] + i) + 1024, _MM_HINT_T0);
      v[j] = _mm256_loadu_ps(w[j] + i);
    }
    UNROLL for (int m = 0; m < rows; m++) {
      __m256 a = _mm256_loadu_ps(x + (size_t)m * columns + i);
      UNROLL for (int j = 0; j < 4; j++) sums[m][j] = _mm256_fmadd_ps(v[j], a, sums[m][j]);
    }
  }
  if (i < columns) {
    __m256i mask = _mm256_loadu_si256((const __m256i *)(lanes + 8 - (columns - i)));
    UNROLL for (int m = 0; m < rows; m++) {
      __m256 a = _mm256_maskload_ps(x + (size_t)m * columns + i, mask);
      UNROLL for (int j = 0; j < 4; j++)
        sums[m][j] = _mm256_fmadd_ps(_mm256_maskload_ps(w[j] + i, mask), a, sums[m][j]);
    }
  }
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int j = 0; j < 4; j++) out[4 * m + j] = sum_of(sums[m][j]);
}

TARGET static void dot_quad(const float *const w[4], size_t columns, const float *x, size_t rows,
                            float *out) {
  for (size_t m = 0; m < rows; m += 2) {
    if (rows - m >= 2) dot_rows(w, columns, x + m * columns, 2, out + 4 * m);
    else dot_rows(w, columns, x + m * columns, 1, out + 4 * m);
  }
}

TARGET static void narrow_f16(const float *x, uint16_t *out, size_t count) {
  const __m256 largest = _mm256_set1_ps(65504.0f);
  for (size_t i = 0; i < count; i += 8) {
    float block[8] = {0};
    uint16_t half[8];
    size_t width = count - i < 8 ? count - i : 8;
    memcpy(block, x + i, width * sizeof(float));
    /* Of a NaN and a number, min and max take the second operand: NaN stays. */
    __m256 v = _mm256_min_ps(largest, _mm256_loadu_ps(block));
    v = _mm256_max_ps(_mm256_sub_ps(_mm256_setzero_ps(), largest), v);
    _mm_storeu_si128((__m128i *)half,
                     _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    memcpy(out + i, half, width * sizeof(uint16_t));
  }
}

#define softmax_row avx2_softmax_row
#include "attention.inc"

const vtw_kernels vtw_kernels_avx2 = {
    .f16 = {TILE, 1, 4, 64, 512, avx2_pack_f32, panel_f16},
    .bf16 = {TILE, 2, 8, 128, 256, avx2_pack_rounded, panel_bf16},
    .q8 = {Q_TILE, 32, 40, 1088, 24, pack_q8, panel_q8},
    .q4 = {Q_TILE, 32, 40, 576, 48, pack_q4, panel_q4},
    .dot_quad = dot_quad,
    .attention_rows = ATTENTION_ROWS,
    .attend = avx2_attend,
    .attend_merge = avx2_attend_merge,
    .narrow_f16 = narrow_f16,
    .quantize = avx2_quantize,
    .store = avx2_store,
    .rms_norm = avx2_rms_norm,
    .layer_norm = avx2_layer_norm,
    .rotate = avx2_rotate,
    .activate = avx2_activate,
    .activate_multiply = avx2_activate_multiply,
    .add = avx2_add,
};
#endif
