/* Scalar conversions between f32 and the 16-bit formats, round to nearest even. */
#ifndef VTW_HALF_H
#define VTW_HALF_H
#include <stdint.h>
#include <string.h>

static inline float vtw_float_of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

static inline uint32_t vtw_bits_of_float(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}

static inline float vtw_f32_of_f16(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
  if (rest >= 0x7c00) return vtw_float_of_bits(sign | 0x7f800000 | (rest & 0x3ff) << 13);
  /* The exponent bias of f16 is 112 less; the product also normalises subnormals, exactly. */
  float x = vtw_float_of_bits(rest << 13) * 0x1p112f;
  return vtw_float_of_bits(sign | vtw_bits_of_float(x));
}

static inline uint16_t vtw_f16_of_f32(float x) {
  uint32_t bits = vtw_bits_of_float(x), rest = bits & 0x7fffffff;
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  if (rest > 0x7f800000) return sign | 0x7e00;
  if (rest >= 0x477ff000) return sign | 0x7c00; /* 65520 and above round to infinity */
  if (rest < 0x38800000) {
    /* Subnormal: adding 0.5 leaves the value in units of 2^-24 in the low bits, rounded. */
    float shifted = vtw_float_of_bits(rest) + 0.5f;
    return sign | (uint16_t)(vtw_bits_of_float(shifted) - 0x3f000000);
  }
  rest += 0xfff + (rest >> 13 & 1);
  return sign | (uint16_t)((rest >> 13) - (112 << 10));
}

static inline float vtw_f32_of_bf16(uint16_t h) { return vtw_float_of_bits((uint32_t)h << 16); }

static inline uint16_t vtw_bf16_of_f32(float x) {
  uint32_t bits = vtw_bits_of_float(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
