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

/* Sums run in this many lanes, so that they are vector code and the same on every processor. */
enum { LANES = 8 };

static float lane_sum(const float s[LANES]) {
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* Rounds x[i] * inverse to -127...127. */
static void round_group(const float x[VTW_GROUP], float inverse, float q[VTW_GROUP]) {
  /* Adding 1.5 * 2^23 rounds to the nearest integer, ties to even. */
  const float magic = 12582912.0f;
  for (int i = 0; i < VTW_GROUP; i++) {
    float v = x[i] * inverse;
    v = v < -127.0f ? -127.0f : v;
    v = v > 127.0f ? 127.0f : v;
    q[i] = (v + magic) - magic;
  }
}

/* The scale in units of the present one with the least squared error for these quants. */
static float fitted(const float x[VTW_GROUP], float inverse, const float q[VTW_GROUP]) {
  float xq[LANES] = {0}, qq[LANES] = {0};
  for (int i = 0; i < VTW_GROUP; i += LANES)
    for (int l = 0; l < LANES; l++) {
      xq[l] += x[i + l] * inverse * q[i + l];
      qq[l] += q[i + l] * q[i + l];
    }
  float squares = lane_sum(qq);
  return squares > 0 ? lane_sum(xq) / squares : 1;
}

static float squared_error(const float x[VTW_GROUP], float d, const float q[VTW_GROUP]) {
  float e[LANES] = {0};
  for (int i = 0; i < VTW_GROUP; i += LANES)
    for (int l = 0; l < LANES; l++) {
      float difference = x[i + l] - d * q[i + l];
      e[l] += difference * difference;
    }
  return lane_sum(e);
}

/* Quantises 32 values of at most 127 * F16_MAX: chooses the f16 scale with the least squared error
 * among a few around absmax / 127, each refined by least squares.  Returns the scale's bits. */
static uint16_t quantise_group(const float values[VTW_GROUP], float best_q[VTW_GROUP]) {
  static const float spread[] = {1.0f, 0.985f, 0.992f, 1.008f, 1.015f};
  float largest = 0;
  for (int i = 0; i < VTW_GROUP; i++) {
    float magnitude = values[i] < 0 ? -values[i] : values[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  memset(best_q, 0, VTW_GROUP * sizeof(float));
  /* Below half of the smallest f16 there is nothing to keep but zero. */
  if (largest < 0x1p-25f) return 0;

  /* In units of the largest: no square overflows or vanishes. */
  float x[VTW_GROUP];
  for (int i = 0; i < VTW_GROUP; i++) x[i] = values[i] / largest;
  uint16_t best = 0;
  float least = -1;
  for (size_t s = 0; s < sizeof spread / sizeof *spread; s++) {
    float q[VTW_GROUP], scale = spread[s] / 127, inverse = 127 / spread[s];
    round_group(x, inverse, q);
    scale *= fitted(x, inverse, q) * largest;
    uint16_t bits = vtw_f16_of_f32(scale < F16_MAX ? scale : F16_MAX);
    if (bits == 0) bits = 1; /* below the smallest f16: keep what it can express */
    float d = vtw_f32_of_f16(bits) / largest;
    round_group(x, 1 / d, q);
    float error = squared_error(x, d, q);
    if (least < 0 || error < least) {
      least = error;
      best = bits;
      memcpy(best_q, q, sizeof q);
    }
  }
  return best;
}

static ptrdiff_t encode_q8(const float *values, size_t rows, size_t columns, uint8_t *out) {
  for (size_t i = 0; i < rows * columns; i++)
    if (!(values[i] >= -127 * F16_MAX && values[i] <= 127 * F16_MAX)) return (ptrdiff_t)i;
  for (size_t first = 0; first < columns; first += VTW_GROUP, out += 64 + 1024) {
    size_t count = columns - first < VTW_GROUP ? columns - first : VTW_GROUP;
    memset(out, 0, 64);
    memset(out + 64, 128, 1024);
    for (size_t r = 0; r < rows; r++) {
      float x[VTW_GROUP] = {0}, q[VTW_GROUP];
      memcpy(x, values + r * columns + first, count * sizeof(float));
      store_u16(out + 2 * r, quantise_group(x, q));
      for (size_t c = 0; c < count; c++)
        out[64 + 128 * (c / 4) + 4 * r + c % 4] = (uint8_t)((int)q[c] + 128);
    }
  }
  return -1;
}

ptrdiff_t vtw_encode_panel(vtw_encoding encoding, const float *values, size_t rows, size_t columns,
                           void *out) {
  switch (encoding) {
  case VTW_F32:
    for (size_t i = 0; i < rows * columns; i++)
      if (!is_finite(values[i])) return (ptrdiff_t)i;
    memcpy(out, values, rows * columns * sizeof(float));
    return -1;
  case VTW_F16:
  case VTW_BF16: return encode_16_bit(encoding, values, rows, columns, out);
  case VTW_Q8: return encode_q8(values, rows, columns, out);
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
