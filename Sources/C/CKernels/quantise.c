/* Encoders of the tiled encodings: sixteen rows side by side, for every instruction set the same
 * bytes.  Layouts are those of formats/encodings.md. */
#include "half.h"
#include "tile.h"
#include <float.h>
#include <math.h>

/* The same bytes from every compiler and processor. */
#pragma STDC FP_CONTRACT OFF

/* Rows side by side, and columns that are turned with them. */
enum { LANES = 16 };

typedef float lanes __attribute__((ext_vector_type(LANES)));
typedef int32_t masks __attribute__((ext_vector_type(LANES)));
typedef uint32_t words __attribute__((ext_vector_type(LANES)));
typedef uint16_t halves __attribute__((ext_vector_type(LANES)));
typedef uint64_t longs __attribute__((ext_vector_type(LANES)));
typedef double doubles __attribute__((ext_vector_type(LANES)));

#define INLINE static inline __attribute__((always_inline))

/* The largest finite f16. */
static const float F16_MAX = 65504.0f;

#include "scales.inc"

/* ---- rows of a matrix as lanes ---- */

/* Turns sixteen rows of sixteen numbers into columns: each pass of riffling the lower half into the
 * upper one rotates the bits of a number's place by one, and four passes swap row and column. */
INLINE void transpose(lanes x[LANES]) {
  for (int pass = 0; pass < 4; pass++) {
    lanes y[LANES];
    for (int i = 0; i < LANES / 2; i++) {
      y[2 * i] = __builtin_shufflevector(x[i], x[i + LANES / 2], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20,
                                         5, 21, 6, 22, 7, 23);
      y[2 * i + 1] = __builtin_shufflevector(x[i], x[i + LANES / 2], 8, 24, 9, 25, 10, 26, 11, 27,
                                             12, 28, 13, 29, 14, 30, 15, 31);
    }
    memcpy(x, y, sizeof y);
  }
}

/* Columns of up to sixteen rows, as far as there are any of both, and zeros. */
INLINE void load_columns(const float *values, size_t stride, size_t rows, size_t columns,
                         lanes x[LANES]) {
  if (rows == LANES && columns >= LANES) {
    for (size_t l = 0; l < LANES; l++) memcpy(&x[l], values + l * stride, sizeof x[l]);
  } else {
    float block[LANES][LANES] = {0};
    size_t count = columns < LANES ? columns : LANES;
    for (size_t l = 0; l < rows; l++) memcpy(block[l], values + l * stride, count * sizeof(float));
    memcpy(x, block, sizeof block);
  }
  transpose(x);
}

/* How many of `count` rows or columns there are from `first` on, at most `most`. */
static size_t count_from(size_t first, size_t count, size_t most) {
  size_t left = first < count ? count - first : 0;
  return left < most ? left : most;
}

/* ---- values that an encoding does not hold, and errors ---- */

/* The largest magnitude that an encoding holds. */
static float limit_of(const vtw_tile *form) {
  return form->is_affine ? F16_MAX : (float)(form->zero - 1) * F16_MAX;
}

/* Whether one of the numbers is larger than `limit` or none; magnitudes are in the order of their
 * bits. */
INLINE int is_beyond(const lanes *x, int count, float limit) {
  masks largest = {0};
  for (int i = 0; i < count; i++) {
    masks size = (masks)x[i] & 0x7fffffff;
    largest = size > largest ? size : largest;
  }
  return __builtin_reduce_max(largest) > (int32_t)vtw_bits_of_float(limit);
}

static int is_within(float x, float limit) { return x >= -limit && x <= limit; }

static ptrdiff_t first_beyond(const float *values, size_t count, float limit) {
  for (size_t i = 0; i < count; i++)
    if (!is_within(values[i], limit)) return (ptrdiff_t)i;
  return -1;
}

typedef struct {
  doubles error, power;
} error_sums;

INLINE void add_error(error_sums *sums, const lanes *value, const lanes *decoded) {
  doubles exact = __builtin_convertvector(*value, doubles);
  doubles off = __builtin_convertvector(*decoded, doubles) - exact;
  sums->error += off * off;
  sums->power += exact * exact;
}

static void total(const error_sums *sums, double error[2]) {
  for (int l = 0; l < LANES; l++) {
    error[0] += sums->error[l];
    error[1] += sums->power[l];
  }
}

/* ---- 16 bits ---- */

/* What rounds to a number larger than the largest begins above these. */
static const uint32_t F16_LIMIT = 0x477fefff, BF16_LIMIT = 0x7f7f7fff;

/* f16: a line of 32 rows for each column.  bf16: a line for each two, which lie side by side. */
INLINE ptrdiff_t encode_16_bit(int is_f16, const float *values, size_t rows, size_t columns,
                               uint8_t *out, double error[2]) {
  float limit = vtw_float_of_bits(is_f16 ? F16_LIMIT : BF16_LIMIT);
  error_sums sums = {0};
  for (size_t first = 0; first < columns; first += LANES)
    for (size_t half = 0; half < 2; half++) {
      lanes x[LANES];
      size_t count = count_from(first, columns, LANES), top = half * LANES;
      load_columns(values + top * columns + first, columns, count_from(top, rows, LANES), count, x);
      if (is_beyond(x, LANES, limit)) return first_beyond(values, rows * columns, limit);
      masks pair = {0};
      for (size_t c = 0; c < count; c++) {
        masks bits;
        lanes back;
        if (is_f16) {
          to_half(&x[c], &bits);
          of_half(&bits, &back);
          halves line = __builtin_convertvector(bits, halves);
          memcpy(out + 64 * (first + c) + 2 * top, &line, sizeof line);
        } else {
          bits = (masks)x[c];
          bits = (masks)((words)(bits + 0x7fff + (bits >> 16 & 1)) >> 16);
          back = (lanes)(bits << 16);
          pair = c % 2 ? pair | bits << 16 : bits;
          memcpy(out + 128 * ((first + c) / 2) + 4 * top, &pair, sizeof pair);
        }
        add_error(&sums, &x[c], &back);
      }
    }
  total(&sums, error);
  return -1;
}

/* ---- tiles ---- */

/* The importance of a group's columns in units of the largest, which keeps sums in range; equal
 * where there is none, or nothing in it but zeros or what is not finite.  Columns that are not there
 * weigh nothing. */
static void group_weights(const float *importance, size_t count, size_t group, float *weights) {
  float largest = 0;
  int usable = importance != NULL;
  for (size_t i = 0; usable && i < count; i++) {
    if (!(importance[i] >= 0 && importance[i] <= FLT_MAX)) usable = 0;
    largest = importance[i] > largest ? importance[i] : largest;
  }
  /* No column is worth nothing: what calibration never saw may still come. */
  for (size_t i = 0; i < group; i++) {
    float share = !usable || largest == 0 ? 1 : i < count ? importance[i] / largest : 0;
    weights[i] = i >= count ? 0 : share < 0x1p-10f ? 0x1p-10f : share;
  }
}

/* Enters groups of 16 rows, `column` columns into a tile: scales and minima where they belong, and
 * integers as the bytes of four columns per row. */
INLINE void store_group(const vtw_tile *form, const candidate *found, size_t column, size_t half,
                        uint8_t *tile, words fours[VTW_GROUP / 4]) {
  halves line = __builtin_convertvector(found->scale, halves);
  memcpy(tile + 32 * half + (column > 0 ? 64 : 0), &line, sizeof line);
  if (form->is_affine) {
    line = __builtin_convertvector(found->minimum, halves);
    memcpy(tile + 32 * half + 64, &line, sizeof line);
  }
  float zero = form->is_affine ? 0 : (float)form->zero;
  for (int k = 0; k < form->group / 4; k++) {
    words four = {0};
    for (int j = 0; j < 4; j++)
      four |= (words)__builtin_convertvector(found->q[4 * k + j] + zero, masks) << (8 * j);
    fours[column / 4 + (size_t)k] = four;
  }
}

/* The integers of both halves of a tile's rows. */
INLINE void store_integers(const vtw_tile *form, const words fours[2][VTW_GROUP / 4],
                           uint8_t *tile) {
  static const longs nibbles = {0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60};
  for (size_t k = 0; k < VTW_GROUP / 4; k++) {
    words low = fours[0][k], high = fours[1][k];
    if (form->bits == 8) {
      memcpy(tile + form->header + 128 * k, &low, 64);
      memcpy(tile + form->header + 128 * k + 64, &high, 64);
      continue;
    }
    words line = (low & 0x0f0f0f0f) | (high & 0x0f0f0f0f) << 4;
    memcpy(tile + form->header + 64 * k, &line, 64);
    for (int p = 0; p < form->bits - 4; p++)
      for (size_t h = 0; h < 2; h++) {
        words bits = fours[h][k] >> (4 + p) & 0x01010101;
        bits = (bits | bits >> 7 | bits >> 14 | bits >> 21) & 15;
        uint64_t plane = __builtin_reduce_or(__builtin_convertvector(bits, longs) << nibbles);
        memcpy(tile + vtw_plane(form, p) + 16 * k + 8 * h, &plane, sizeof plane);
      }
  }
}

INLINE void add_group_error(const vtw_tile *form, const lanes *x, const candidate *found,
                            size_t count, error_sums *sums) {
  lanes d, m;
  of_half(&found->scale, &d);
  if (form->is_affine) of_half(&found->minimum, &m);
  for (size_t c = 0; c < count; c++) {
    lanes decoded = d * found->q[c];
    if (form->is_affine) decoded += m;
    add_error(sums, &x[c], &decoded);
  }
}

/* From values.
 *   is_plain: columns are whole groups and have no importance */
INLINE ptrdiff_t encode_groups(const search_space *s, int is_plain, const float *values,
                               const float *importance, size_t rows, size_t columns, uint8_t *tile,
                               double error[2]) {
  const vtw_tile *form = s->form;
  size_t group = (size_t)form->group;
  float limit = limit_of(form);
  error_sums sums = {0};
  for (size_t first = 0; first < columns; first += VTW_GROUP, tile += form->bytes) {
    float weights[VTW_GROUP];
    for (size_t at = 0; !is_plain && at < VTW_GROUP; at += group)
      group_weights(importance ? importance + first + at : NULL,
                    count_from(first + at, columns, group), group, weights + at);
    words fours[2][VTW_GROUP / 4];
    for (size_t half = 0; half < 2; half++) {
      size_t top = half * LANES;
      lanes x[VTW_GROUP];
      for (size_t at = 0; at < VTW_GROUP; at += LANES)
        load_columns(values + top * columns + first + at, columns, count_from(top, rows, LANES),
                     count_from(first + at, columns, LANES), x + at);
      if (is_beyond(x, VTW_GROUP, limit)) return first_beyond(values, rows * columns, limit);
      for (size_t at = 0; at < VTW_GROUP; at += group) {
        size_t count = count_from(first + at, columns, group);
        /* Columns that are not there must not widen the range of an affine group. */
        for (size_t c = count; form->is_affine && c < group; c++) x[at + c] = x[at];
        candidate found;
        search_group(s, x + at, is_plain ? NULL : weights + at, &found);
        for (size_t c = count; c < group; c++) found.q[c] = 0;
        add_group_error(form, x + at, &found, count, &sums);
        store_group(form, &found, at, half, tile, fours[half]);
      }
    }
    store_integers(form, fours, tile);
  }
  total(&sums, error);
  return -1;
}

/* Whether f16 holds scales with few bits or not at all, or minima not at all. */
INLINE int is_lossy(const lanes *d, const lanes *m) {
  masks half;
  lanes kept, size = *d < 0 ? -*d : *d, low = *m < 0 ? -*m : *m;
  to_half(d, &half);
  of_half(&half, &kept);
  masks lost = ((kept != *d) & ((size < 0x1p-14f) | (size > F16_MAX))) | !(low <= F16_MAX);
  return __builtin_reduce_or(lost) != 0;
}

static ptrdiff_t first_integer_beyond(const vtw_tile *form, const uint8_t *integers,
                                      const float *scales, const float *minima, size_t count,
                                      float limit) {
  for (size_t i = 0; i < count; i++) {
    size_t group = i / (size_t)form->group;
    float x = scales[group] * (float)(integers[i] - (form->is_affine ? 0 : form->zero));
    if (!is_within(form->is_affine ? x + minima[group] : x, limit)) return (ptrdiff_t)i;
  }
  return -1;
}

/* From integers.  Columns are whole groups, so rows are groups side by side. */
INLINE ptrdiff_t encode_integers(const search_space *s, const uint8_t *integers,
                                 const float *scales, const float *minima, size_t rows,
                                 size_t columns, uint8_t *tile, double error[2]) {
  const vtw_tile *form = s->form;
  size_t group = (size_t)form->group, across = columns / group;
  uint32_t zero = form->is_affine ? 0 : (uint32_t)form->zero;
  float limit = limit_of(form);
  error_sums sums = {0};
  for (size_t first = 0; first < columns; first += VTW_GROUP, tile += form->bytes) {
    words fours[2][VTW_GROUP / 4];
    for (size_t half = 0; half < 2; half++) {
      size_t top = half * LANES, many = count_from(top, rows, LANES);
      for (size_t at = 0; at < VTW_GROUP; at += group) {
        float scale[LANES] = {0}, minimum[LANES] = {0};
        uint32_t read[VTW_GROUP / 4][LANES];
        size_t count = count_from(first + at, columns, group);
        for (size_t k = 0; k < group / 4; k++)
          for (size_t l = 0; l < LANES; l++) read[k][l] = zero * 0x01010101;
        for (size_t l = 0; count > 0 && l < many; l++) {
          size_t place = (top + l) * across + (first + at) / group;
          scale[l] = scales[place];
          if (form->is_affine) minimum[l] = minima[place];
          for (size_t k = 0; k < group / 4; k++)
            memcpy(&read[k][l], integers + (top + l) * columns + first + at + 4 * k, 4);
        }
        lanes x[VTW_GROUP], q[VTW_GROUP], d, m;
        memcpy(&d, scale, sizeof d);
        memcpy(&m, minimum, sizeof m);
        for (size_t c = 0; c < group; c++) {
          words four;
          memcpy(&four, read[c / 4], sizeof four);
          q[c] = __builtin_convertvector((masks)(four >> (8 * (c % 4)) & 255), lanes) - (float)zero;
          x[c] = d * q[c];
          if (form->is_affine) x[c] += m;
        }
        if (is_beyond(x, form->group, limit))
          return first_integer_beyond(form, integers, scales, minima, rows * columns, limit);
        candidate found;
        if (is_lossy(&d, &m)) search_group(s, x, NULL, &found);
        else keep_group(s, x, q, &d, &m, &found);
        add_group_error(form, x, &found, count, &sums);
        store_group(form, &found, at, half, tile, fours[half]);
      }
    }
    store_integers(form, fours, tile);
  }
  total(&sums, error);
  return -1;
}

/* ---- instruction sets ---- */

/* Plain groups have code of their own, which multiplies less. */
INLINE ptrdiff_t encode_values(const search_space *s, const float *values, const float *importance,
                               size_t rows, size_t columns, uint8_t *out, double error[2]) {
  if (importance == NULL && columns % VTW_GROUP == 0)
    return encode_groups(s, 1, values, NULL, rows, columns, out, error);
  return encode_groups(s, 0, values, importance, rows, columns, out, error);
}

#define DEFINE(NAME, TARGET)                                                                  \
  TARGET static ptrdiff_t values_##NAME(vtw_encoding encoding, const float *values,           \
                                        const float *importance, size_t rows, size_t columns, \
                                        uint8_t *out, double error[2]) {                      \
    switch (encoding) {                                                                       \
    case VTW_F16: return encode_16_bit(1, values, rows, columns, out, error);                 \
    case VTW_BF16: return encode_16_bit(0, values, rows, columns, out, error);                \
    case VTW_Q4: return encode_values(&Q4, values, importance, rows, columns, out, error);    \
    case VTW_Q4A: return encode_values(&Q4A, values, importance, rows, columns, out, error);  \
    case VTW_Q5A: return encode_values(&Q5A, values, importance, rows, columns, out, error);  \
    case VTW_Q6: return encode_values(&Q6, values, importance, rows, columns, out, error);    \
    default: return encode_values(&Q8, values, importance, rows, columns, out, error);        \
    }                                                                                         \
  }                                                                                           \
  TARGET static ptrdiff_t integers_##NAME(                                                    \
      vtw_encoding encoding, const uint8_t *q, const float *scales, const float *minima,      \
      size_t rows, size_t columns, uint8_t *out, double error[2]) {                           \
    switch (encoding) {                                                                       \
    case VTW_Q4: return encode_integers(&Q4, q, scales, minima, rows, columns, out, error);   \
    case VTW_Q4A: return encode_integers(&Q4A, q, scales, minima, rows, columns, out, error); \
    case VTW_Q5A: return encode_integers(&Q5A, q, scales, minima, rows, columns, out, error); \
    case VTW_Q6: return encode_integers(&Q6, q, scales, minima, rows, columns, out, error);   \
    default: return encode_integers(&Q8, q, scales, minima, rows, columns, out, error);       \
    }                                                                                         \
  }

DEFINE(generic, )
#if defined(__x86_64__)
DEFINE(avx2, __attribute__((target("avx2,fma"))))
DEFINE(avx512, __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw"))))
#endif

vtw_encoder vtw_encoder_for(vtw_instruction_set set) {
  switch (set) {
#if defined(__x86_64__)
  case VTW_AVX2: return (vtw_encoder){values_avx2, integers_avx2};
  case VTW_AVX512:
  case VTW_AVX512BF16: return (vtw_encoder){values_avx512, integers_avx512};
#endif
  default: return (vtw_encoder){values_generic, integers_generic};
  }
}

static vtw_encoder best_encoder(void) {
  vtw_instruction_set best = vtw_supports(VTW_AVX512) ? VTW_AVX512
                             : vtw_supports(VTW_AVX2) ? VTW_AVX2
                                                      : VTW_GENERIC;
  return vtw_encoder_for(best);
}

ptrdiff_t vtw_encode_panel(vtw_encoding encoding, const float *values, const float *importance,
                           size_t rows, size_t columns, void *out, double error[2]) {
  if (encoding != VTW_F32)
    return best_encoder().values(encoding, values, importance, rows, columns, out, error);
  memcpy(out, values, rows * columns * sizeof(float));
  for (size_t i = 0; i < rows * columns; i++) error[1] += (double)values[i] * values[i];
  return first_beyond(values, rows * columns, FLT_MAX);
}

ptrdiff_t vtw_encode_integers(vtw_encoding encoding, const uint8_t *integers, const float *scales,
                              const float *minima, size_t rows, size_t columns, void *out,
                              double error[2]) {
  return best_encoder().integers(encoding, integers, scales, minima, rows, columns, out, error);
}
