#include "CSystem.h"

#include <string.h>

void vtw_bf16_to_f32(float *out, const void *in, size_t count) {
  const char *bytes = in;
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, bytes + 2 * i, 2);
    uint32_t bits = (uint32_t)half << 16;
    memcpy(out + i, &bits, 4);
  }
}

#if defined(__aarch64__)

void vtw_f16_to_f32(float *out, const void *in, size_t count) {
  const char *bytes = in;
  for (size_t i = 0; i < count; i++) {
    __fp16 half;
    memcpy(&half, bytes + 2 * i, 2);
    out[i] = half;
  }
}

#else

static float value_of_f16(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3FF;
  uint32_t bits;
  if (exponent == 0) {
    /* Zero or subnormal: a whole number of 2^-24, which binary32 holds as a normal number. */
    float magnitude = (float)mantissa * 0x1p-24f;
    memcpy(&bits, &magnitude, 4);
  } else {
    bits = (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13;
  }
  bits |= sign;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

static void convert_plain(float *out, const char *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, bytes + 2 * i, 2);
    out[i] = value_of_f16(half);
  }
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx,f16c"))) static void convert_f16c(
    float *out, const char *bytes, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    __m128i halves = _mm_loadu_si128((const __m128i *)(bytes + 2 * i));
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(halves));
  }
  convert_plain(out + i, bytes + 2 * i, count - i);
}

void vtw_f16_to_f32(float *out, const void *in, size_t count) {
  if (__builtin_cpu_supports("avx") && __builtin_cpu_supports("f16c")) {
    convert_f16c(out, in, count);
  } else {
    convert_plain(out, in, count);
  }
}

#else

void vtw_f16_to_f32(float *out, const void *in, size_t count) { convert_plain(out, in, count); }

#endif
#endif
