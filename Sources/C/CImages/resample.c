/* The inner loops of Pillow's 8-bit resampling.
 *
 * Pillow adds products of 8-bit samples and 23-bit weights in 32 bits.  A weight is kept here as
 * two 16-bit halves, because the sum of 16-bit products is what vector units do best; the sums
 * are taken modulo 2^32, where both ways give the same result. */
#include "CImages.h"

enum { precision = 22 };

static inline uint8_t rounded(uint32_t high, uint32_t low) {
  int32_t value = (int32_t)((high << 16) + low + (1u << (precision - 1))) >> precision;
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

void vtw_resample_across(uint8_t *out, const int16_t *row, size_t stride, const int32_t *first,
                         const int16_t *high, const int16_t *low, size_t taps, size_t outputs) {
  for (size_t i = 0; i < outputs; i++, high += taps, low += taps) {
    for (size_t c = 0; c < 3; c++) {
      const int16_t *samples = row + c * stride + first[i];
      uint32_t h = 0, l = 0;
      for (size_t t = 0; t < taps; t++) {
        h += (uint32_t)(samples[t] * high[t]);
        l += (uint32_t)(samples[t] * low[t]);
      }
      out[3 * i + c] = rounded(h, l);
    }
  }
}

void vtw_resample_down(uint8_t *out, const uint8_t *rows, size_t stride, size_t count,
                       const int16_t *high, const int16_t *low, size_t taps) {
  enum { block = 256 };
  uint32_t sums[block];
  for (size_t start = 0; start < count; start += block) {
    size_t width = count - start < block ? count - start : block;
    for (size_t i = 0; i < width; i++) sums[i] = 0;
    for (size_t t = 0; t < taps; t++) {
      const uint8_t *row = rows + t * stride + start;
      uint32_t weight = (uint32_t)high[t] * 65536u + (uint32_t)(int32_t)low[t];
      for (size_t i = 0; i < width; i++) sums[i] += row[i] * weight;
    }
    for (size_t i = 0; i < width; i++) out[start + i] = rounded(0, sums[i]);
  }
}
