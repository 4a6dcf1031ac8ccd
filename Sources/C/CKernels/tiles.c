/* Encoders and decoders of the weight encodings: the truth that the fast kernels are tested
 * against.  Layouts are those of formats/encodings.md. */
#include "half.h"
#include "kernels.h"

/* The same bytes from every compiler and processor. */
#pragma STDC FP_CONTRACT OFF

/* 1 if x is finite: the exponent is not all ones. */
static int is_finite(float x) { return (vtw_bits_of_float(x) & 0x7f800000) != 0x7f800000; }

static void store_u16(uint8_t *out, uint16_t value) { memcpy(out, &value, 2); }

static uint16_t load_u16(const uint8_t *bytes) {
  uint16_t value;
  memcpy(&value, bytes, 2);
  return value;
}

static ptrdiff_t encode_16_bit(vtw_encoding encoding, const float *values, size_t rows,
                               size_t columns, uint8_t *out) {
  size_t per_tile = encoding == VTW_F16 ? 1 : 2;
  size_t padded = (columns + per_tile - 1) / per_tile * per_tile;
  memset(out, 0, padded * VTW_PANEL * 2);
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) {
      float x = values[r * columns + c];
      uint16_t h = encoding == VTW_F16 ? vtw_f16_of_f32(x) : vtw_bf16_of_f32(x);
      float back = encoding == VTW_F16 ? vtw_f32_of_f16(h) : vtw_f32_of_bf16(h);
      if (!is_finite(back)) return (ptrdiff_t)(r * columns + c);
      size_t tile = c / per_tile, j = c % per_tile;
      store_u16(out + 2 * (tile * VTW_PANEL * per_tile + r * per_tile + j), h);
    }
  return -1;
}

/* The largest finite f16. */
static const float F16_MAX = 65504.0f;

/* How a group of 32 values becomes integers: w = d * q with `least` <= q <= `most`. */
typedef struct {
  float least, most;
  /* The integer that plain rounding makes of the extreme value: `most`, or `least` where scales may
   * be negative. */
  float extreme;
  /* The scales tried: the largest magnitude of the group becomes the integer `first + i * step` for
   * i in 0 ..< count, or minus that. */
  float first, step;
  int count;
} integer_range;

/* 4 bits: the extreme value may become -8, whatever its sign, since scales may be negative; or lie
 * beyond the range, which can be better for the other 31.  8 bits leave little to search. */
static const integer_range NIBBLES = {-8, 7, -8, 5.0f, 0.125f, 48};
static const integer_range BYTES = {-127, 127, 127, 125.2f, 0.3f, 16};

/* Candidates run in lanes, each of which sums alone: vector code that gives the same numbers on
 * every processor. */
enum { LANES = 16 };
typedef float lanes __attribute__((ext_vector_type(LANES)));

/* Adding 1.5 * 2^23 and taking it away rounds to the nearest integer, ties to even. */
static const float ROUNDER = 12582912.0f;

static float rounded(float v, const integer_range *range) {
  v = v < range->least ? range->least : v;
  v = v > range->most ? range->most : v;
  return (v + ROUNDER) - ROUNDER;
}

/* The least-squares scale for the integers that `inverse` leads to; 0 if all of them are. */
static float fitted(const float x[VTW_GROUP], const float w[VTW_GROUP], float inverse,
                    const integer_range *range) {
  float xq = 0, qq = 0;
  for (int i = 0; i < VTW_GROUP; i++) {
    float q = rounded(x[i] * inverse, range);
    xq += w[i] * x[i] * q;
    qq += w[i] * q * q;
  }
  return qq > 0 ? xq / qq : 0;
}

/* The scale among the candidates whose integers, with the scale that fits them best, leave the
 * least squared error: sum w x^2 - (sum w x q)^2 / sum w q^2. */
static inline __attribute__((always_inline)) float scan(const float x[VTW_GROUP],
                                                        const float w[VTW_GROUP],
                                                        const integer_range *range) {
  const lanes zero = {0}, least = zero + range->least, most = zero + range->most;
  const lanes step = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  float gain = -1, best = 0;
  int signs = range->least == -range->most ? 1 : 2;
  for (int sign = 0; sign < signs; sign++)
    for (int first = 0; first < range->count; first += LANES) {
      lanes inverse = range->first + range->step * (step + (float)first);
      if (sign) inverse = -inverse;
      lanes xq = zero, qq = zero;
      for (int i = 0; i < VTW_GROUP; i++) {
        lanes q = x[i] * inverse;
        q = q < least ? least : q;
        q = q > most ? most : q;
        q = (q + ROUNDER) - ROUNDER;
        lanes wq = w[i] * q;
        xq += x[i] * wq;
        qq += q * wq;
      }
      for (int l = 0; l < LANES; l++)
        if (qq[l] > 0 && xq[l] * xq[l] > gain * qq[l]) {
          gain = xq[l] * xq[l] / qq[l];
          best = xq[l] / qq[l];
        }
    }
  return best;
}

typedef float scan_function(const float x[VTW_GROUP], const float w[VTW_GROUP],
                            const integer_range *range);

static float scan_generic(const float x[VTW_GROUP], const float w[VTW_GROUP],
                          const integer_range *range) {
  return scan(x, w, range);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static float scan_avx2(const float x[VTW_GROUP],
                                                       const float w[VTW_GROUP],
                                                       const integer_range *range) {
  return scan(x, w, range);
}

__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw"))) static float
scan_avx512(const float x[VTW_GROUP], const float w[VTW_GROUP], const integer_range *range) {
  return scan(x, w, range);
}
#endif

static scan_function *best_scan(void) {
#if defined(__x86_64__)
  if (vtw_supports(VTW_AVX512)) return scan_avx512;
  if (vtw_supports(VTW_AVX2)) return scan_avx2;
#endif
  return scan_generic;
}

/* Integers and their f16 scale, and what they leave of a group: sum w (x - d q)^2. */
typedef struct {
  float q[VTW_GROUP];
  float error;
  uint16_t scale;
} quantised_group;

/* The integers nearest to 32 values for a scale that is first rounded to f16. */
static void quantise_with(const float values[VTW_GROUP], const float weights[VTW_GROUP],
                          float scale, const integer_range *range, quantised_group *group) {
  scale = scale > F16_MAX ? F16_MAX : scale < -F16_MAX ? -F16_MAX : scale;
  group->scale = vtw_f16_of_f32(scale);
  if ((group->scale & 0x7fff) == 0) group->scale |= 1; /* keep what the smallest f16 can express */
  float d = vtw_f32_of_f16(group->scale);
  group->error = 0;
  for (int i = 0; i < VTW_GROUP; i++) {
    group->q[i] = rounded(values[i] / d, range);
    float left = values[i] - d * group->q[i];
    group->error += weights[i] * left * left;
  }
}

/* Quantises 32 values, of at most |range| * F16_MAX, so that the error is small, and never larger
 * than that of plain rounding, which keeps values that are integers times an f16 as they are. */
static void quantise_group(const float values[VTW_GROUP], const float weights[VTW_GROUP],
                           const integer_range *range, scan_function *scan,
                           quantised_group *group) {
  float largest = 0, extreme = 0;
  for (int i = 0; i < VTW_GROUP; i++) {
    float magnitude = values[i] < 0 ? -values[i] : values[i];
    if (magnitude > largest) largest = magnitude, extreme = values[i];
  }
  memset(group, 0, sizeof *group);
  /* Below half of the smallest f16 there is nothing to keep but zero. */
  if (largest < 0x1p-25f) return;

  quantise_with(values, weights, extreme / range->extreme, range, group);
  if (group->error == 0) return;

  /* In units of the largest: no square overflows or vanishes. */
  float x[VTW_GROUP];
  for (int i = 0; i < VTW_GROUP; i++) x[i] = values[i] / largest;
  float scale = scan(x, weights, range);
  /* Integers and scale in turn, each the best for the other. */
  for (int turn = 0; turn < 2; turn++) {
    float next = fitted(x, weights, 1 / scale, range);
    if (next == 0) break; /* nothing but zeros: keep the scale */
    scale = next;
  }
  quantised_group searched;
  quantise_with(values, weights, scale * largest, range, &searched);
  if (searched.error < group->error) *group = searched;
}

/* The importance of a group's columns in units of the largest, which keeps sums in range; equal
 * where there is none, or nothing in it but zeros or what is not finite. */
static void group_weights(const float *importance, size_t count, float weights[VTW_GROUP]) {
  float largest = 0;
  int usable = importance != NULL;
  for (size_t i = 0; usable && i < count; i++) {
    if (!is_finite(importance[i]) || importance[i] < 0) usable = 0;
    largest = importance[i] > largest ? importance[i] : largest;
  }
  /* No column is worth nothing: what calibration never saw may still come. */
  for (size_t i = 0; i < VTW_GROUP; i++) {
    float share = !usable || largest == 0 ? 1 : i < count ? importance[i] / largest : 0;
    weights[i] = share < 0x1p-10f ? 0x1p-10f : share;
  }
}

/* Puts q into column i and row r of a tile's bytes behind the scales. */
static void store_integer(vtw_encoding encoding, uint8_t *tile, size_t r, size_t i, int q) {
  if (encoding == VTW_Q8) {
    tile[64 + 128 * (i / 4) + 4 * r + i % 4] = (uint8_t)(q + 128);
    return;
  }
  uint8_t *byte = tile + 64 + 64 * (i / 4) + 4 * (r % 16) + i % 4;
  *byte = r < 16 ? (uint8_t)((*byte & 0xf0) | (q + 8)) : (uint8_t)((*byte & 0x0f) | (q + 8) << 4);
}

/* q4 and q8. */
static ptrdiff_t encode_groups(vtw_encoding encoding, const float *values, const float *importance,
                               size_t rows, size_t columns, uint8_t *out) {
  const integer_range *range = encoding == VTW_Q4 ? &NIBBLES : &BYTES;
  size_t tile_bytes = encoding == VTW_Q4 ? 576 : 1088;
  scan_function *scan = best_scan();
  float limit = range->most * F16_MAX;
  for (size_t i = 0; i < rows * columns; i++)
    if (!(values[i] >= -limit && values[i] <= limit)) return (ptrdiff_t)i;
  for (size_t first = 0; first < columns; first += VTW_GROUP, out += tile_bytes) {
    size_t count = columns - first < VTW_GROUP ? columns - first : VTW_GROUP;
    float weights[VTW_GROUP];
    memset(out, 0, 64);
    memset(out + 64, encoding == VTW_Q4 ? 0x88 : 0x80, tile_bytes - 64);
    group_weights(importance ? importance + first : NULL, count, weights);
    for (size_t r = 0; r < rows; r++) {
      float x[VTW_GROUP] = {0};
      memcpy(x, values + r * columns + first, count * sizeof(float));
      quantised_group group;
      quantise_group(x, weights, range, scan, &group);
      store_u16(out + 2 * r, group.scale);
      for (size_t c = 0; c < count; c++) store_integer(encoding, out, r, c, (int)group.q[c]);
    }
  }
  return -1;
}

ptrdiff_t vtw_encode_panel(vtw_encoding encoding, const float *values, const float *importance,
                           size_t rows, size_t columns, void *out) {
  switch (encoding) {
  case VTW_F32:
    for (size_t i = 0; i < rows * columns; i++)
      if (!is_finite(values[i])) return (ptrdiff_t)i;
    memcpy(out, values, rows * columns * sizeof(float));
    return -1;
  case VTW_F16:
  case VTW_BF16: return encode_16_bit(encoding, values, rows, columns, out);
  case VTW_Q8:
  case VTW_Q4: return encode_groups(encoding, values, importance, rows, columns, out);
  }
  return 0;
}

void vtw_decode_row(vtw_encoding encoding, const void *weights, size_t columns, size_t row,
                    float *out) {
  const uint8_t *bytes = weights;
  size_t panel = row / VTW_PANEL, r = row % VTW_PANEL;
  switch (encoding) {
  case VTW_F32: memcpy(out, bytes + row * columns * 4, columns * 4); return;
  case VTW_F16:
    bytes += panel * columns * 64 + 2 * r;
    for (size_t c = 0; c < columns; c++) out[c] = vtw_f32_of_f16(load_u16(bytes + 64 * c));
    return;
  case VTW_BF16:
    bytes += panel * ((columns + 1) / 2) * 128 + 4 * r;
    for (size_t c = 0; c < columns; c++)
      out[c] = vtw_f32_of_bf16(load_u16(bytes + 128 * (c / 2) + 2 * (c % 2)));
    return;
  case VTW_Q8:
    bytes += panel * ((columns + VTW_GROUP - 1) / VTW_GROUP) * 1088;
    for (size_t c = 0; c < columns; c++) {
      const uint8_t *tile = bytes + c / VTW_GROUP * 1088;
      size_t i = c % VTW_GROUP;
      float d = vtw_f32_of_f16(load_u16(tile + 2 * r));
      out[c] = d * (float)((int)tile[64 + 128 * (i / 4) + 4 * r + i % 4] - 128);
    }
    return;
  case VTW_Q4:
    bytes += panel * ((columns + VTW_GROUP - 1) / VTW_GROUP) * 576;
    for (size_t c = 0; c < columns; c++) {
      const uint8_t *tile = bytes + c / VTW_GROUP * 576;
      size_t i = c % VTW_GROUP;
      float d = vtw_f32_of_f16(load_u16(tile + 2 * r));
      int byte = tile[64 + 64 * (i / 4) + 4 * (r % 16) + i % 4];
      out[c] = d * (float)((r < 16 ? byte & 15 : byte >> 4) - 8);
    }
    return;
  }
}

void vtw_panel_error(vtw_encoding encoding, const float *values, size_t rows, size_t columns,
                     const void *packed, float *row, double sums[2]) {
  /* Eight sums side by side, which vector code keeps apart. */
  double error[8] = {0}, power[8] = {0};
  for (size_t r = 0; r < rows; r++, values += columns) {
    vtw_decode_row(encoding, packed, columns, r, row);
    for (size_t c = 0; c < columns; c += 8) {
      size_t count = columns - c < 8 ? columns - c : 8;
      for (size_t i = 0; i < count; i++) {
        double value = values[c + i], off = (double)row[c + i] - value;
        error[i] += off * off;
        power[i] += value * value;
      }
    }
  }
  for (size_t i = 0; i < 8; i++) {
    sums[0] += error[i];
    sums[1] += power[i];
  }
}

void vtw_widen(vtw_encoding encoding, const void *bytes, size_t count, float *out) {
  const uint8_t *b = bytes;
  if (encoding == VTW_F32) memcpy(out, b, count * 4);
  if (encoding == VTW_F16)
    for (size_t i = 0; i < count; i++) out[i] = vtw_f32_of_f16(load_u16(b + 2 * i));
  if (encoding == VTW_BF16)
    for (size_t i = 0; i < count; i++) out[i] = vtw_f32_of_bf16(load_u16(b + 2 * i));
}
