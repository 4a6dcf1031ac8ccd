/* The inner loops of Pillow's 8-bit resampling.
 *
 * Pillow adds products of 8-bit samples and 23-bit weights.  A weight is kept here as two 16-bit
 * halves, because sums of 16-bit products are what vector units do best. */
#include "CImages.h"

enum {
  precision = 22,
  /* Sums of this many products of a sample and the low half of a weight fit 32 bits. */
  block = 240
};

static inline uint8_t clipped(int32_t value) {
  return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

void vtw_split_channels(int16_t *out, const uint8_t *pixels, size_t count, size_t stride) {
  int16_t *restrict red = out, *restrict green = out + stride, *restrict blue = out + 2 * stride;
  for (size_t i = 0; i < count; i++) {
    red[i] = pixels[3 * i];
    green[i] = pixels[3 * i + 1];
    blue[i] = pixels[3 * i + 2];
  }
}

/* Eight at a time is the width at which clang finds the instruction for pairs of products. */
static inline int32_t dot(const int16_t *a, const int16_t *b, size_t count) {
  int32_t sum = 0;
#if defined(__clang__)
#pragma clang loop vectorize_width(8) interleave_count(1)
#endif
  for (size_t i = 0; i < count; i++) sum += a[i] * b[i];
  return sum;
}

void vtw_resample_across(uint8_t *out, const int16_t *row, size_t stride, const int32_t *first,
                         const int16_t *high, const int16_t *low, size_t taps, size_t outputs) {
  for (size_t i = 0; i < outputs; i++, high += taps, low += taps) {
    for (size_t c = 0; c < 3; c++) {
      const int16_t *samples = row + c * stride + first[i];
      int32_t h = 0, l = 1 << (precision - 1);
      for (size_t t = 0; t < taps; t += block) {
        size_t count = taps - t < block ? taps - t : block;
        h += dot(samples + t, high + t, count);
        l += dot(samples + t, low + t, count);
        h += l >> 16;
        l &= 0xFFFF;
      }
      out[3 * i + c] = clipped(h >> (precision - 16));
    }
  }
}

void vtw_resample_down(uint8_t *out, const uint8_t *rows, size_t stride, size_t count,
                       const int16_t *high, const int16_t *low, size_t taps) {
  enum { width = 256 };
  uint32_t sums[width]; /* unsigned, because sums on the way may wrap around */
  for (size_t start = 0; start < count; start += width) {
    size_t columns = count - start < width ? count - start : width;
    for (size_t i = 0; i < columns; i++) sums[i] = 1u << (precision - 1);
    for (size_t t = 0; t < taps; t++) {
      const uint8_t *row = rows + t * stride + start;
      uint32_t weight = (uint32_t)(high[t] * 65536 + low[t]);
      for (size_t i = 0; i < columns; i++) sums[i] += row[i] * weight;
    }
    for (size_t i = 0; i < columns; i++) out[start + i] = clipped((int32_t)sums[i] >> precision);
  }
}
