/* Loops that do nothing but one instruction on registers, or nothing but read. */
#include "CKernelsCeilings.h"
#include <string.h>

/* Independent sums: more than any latency times throughput of the instructions used here, and few
 * enough for 16 registers with operands. */
enum { CHAINS = 12 };

#define UNROLL _Pragma("clang loop unroll(full)")

typedef struct {
  size_t lanes; /* operations of one instruction */
  void (*run)(size_t rounds);
} vtw_unit_loop;

#if defined(__x86_64__)
#include <immintrin.h>

/* STEP is one instruction per chain; the empty assembly takes and gives each sum, so that the
 * compiler can neither drop it nor compute it ahead. */
#define DEFINE_LOOP(name, features, type, zero, STEP)                                     \
  __attribute__((target(features))) static void name(size_t rounds) {                     \
    type sum[CHAINS];                                                                     \
    UNROLL for (int j = 0; j < CHAINS; j++) sum[j] = zero;                                \
    for (size_t i = 0; i < rounds; i++) {                                                 \
      UNROLL for (int j = 0; j < CHAINS; j++) {                                           \
        STEP                                                                              \
        __asm__ volatile("" : "+v"(sum[j]));                                              \
      }                                                                                   \
    }                                                                                     \
  }

#define AVX2 "avx2,fma"
#define AVX512 "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma"

DEFINE_LOOP(f32_avx2, AVX2, __m256, _mm256_setzero_ps(),
            sum[j] = _mm256_fmadd_ps(_mm256_set1_ps(0.5f), _mm256_set1_ps(0.25f), sum[j]);)

/* u8 times s8 without VNNI: pairs, pairs of pairs, sum. */
DEFINE_LOOP(int8_avx2, AVX2, __m256i, _mm256_setzero_si256(), {
  __m256i w = _mm256_set1_epi8(1);
  __asm__ volatile("" : "+v"(w));
  __m256i pairs = _mm256_maddubs_epi16(w, _mm256_set1_epi8(-1));
  sum[j] = _mm256_add_epi32(sum[j], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
})

DEFINE_LOOP(f32_avx512, AVX512, __m512, _mm512_setzero_ps(),
            sum[j] = _mm512_fmadd_ps(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.25f), sum[j]);)

DEFINE_LOOP(int8_avx512, AVX512, __m512i, _mm512_setzero_si512(),
            sum[j] = _mm512_dpbusd_epi32(sum[j], _mm512_set1_epi8(1), _mm512_set1_epi8(-1));)

DEFINE_LOOP(bf16_avx512, AVX512 ",avx512bf16", __m512, _mm512_setzero_ps(),
            sum[j] = _mm512_dpbf16_ps(sum[j], (__m512bh)_mm512_set1_epi32(0x3f003f00),
                                      (__m512bh)_mm512_set1_epi32(0x3e803e80));)

__attribute__((target(AVX2))) static uint64_t read_avx2(const char *bytes, size_t count) {
  __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
  for (size_t i = 0; i + 128 <= count; i += 128) {
    a = _mm256_xor_si256(a, _mm256_loadu_si256((const __m256i *)(bytes + i)));
    b = _mm256_xor_si256(b, _mm256_loadu_si256((const __m256i *)(bytes + i + 32)));
    c = _mm256_xor_si256(c, _mm256_loadu_si256((const __m256i *)(bytes + i + 64)));
    d = _mm256_xor_si256(d, _mm256_loadu_si256((const __m256i *)(bytes + i + 96)));
  }
  uint64_t words[4];
  _mm256_storeu_si256((__m256i *)words,
                      _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d)));
  return words[0] ^ words[1] ^ words[2] ^ words[3];
}

__attribute__((target(AVX512))) static uint64_t read_avx512(const char *bytes, size_t count) {
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (size_t i = 0; i + 256 <= count; i += 256) {
    a = _mm512_xor_si512(a, _mm512_loadu_si512(bytes + i));
    b = _mm512_xor_si512(b, _mm512_loadu_si512(bytes + i + 64));
    c = _mm512_xor_si512(c, _mm512_loadu_si512(bytes + i + 128));
    d = _mm512_xor_si512(d, _mm512_loadu_si512(bytes + i + 192));
  }
  __m512i all = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
  return (uint64_t)_mm512_reduce_add_epi64(all);
}
#endif

static vtw_unit_loop loop_for(vtw_instruction_set set, vtw_unit unit) {
#if defined(__x86_64__)
  static const vtw_unit_loop loops[][3] = {
      [VTW_AVX2] = {[VTW_UNIT_INT8] = {64, int8_avx2}, [VTW_UNIT_F32] = {16, f32_avx2}},
      [VTW_AVX512] = {[VTW_UNIT_INT8] = {128, int8_avx512}, [VTW_UNIT_F32] = {32, f32_avx512}},
      [VTW_AVX512BF16] = {[VTW_UNIT_INT8] = {128, int8_avx512},
                          [VTW_UNIT_BF16] = {64, bf16_avx512},
                          [VTW_UNIT_F32] = {32, f32_avx512}},
  };
  if ((size_t)set < sizeof loops / sizeof loops[0]) return loops[set][unit];
#endif
  (void)set, (void)unit;
  return (vtw_unit_loop){0, NULL};
}

size_t vtw_unit_operations(vtw_instruction_set set, vtw_unit unit) {
  return loop_for(set, unit).lanes * CHAINS;
}

void vtw_run_unit(vtw_instruction_set set, vtw_unit unit, size_t rounds) {
  vtw_unit_loop loop = loop_for(set, unit);
  if (loop.run) loop.run(rounds);
}

uint64_t vtw_read_stream(vtw_instruction_set set, const void *bytes, size_t count) {
  uint64_t sum = 0;
  size_t done = 0;
#if defined(__x86_64__)
  if (set >= VTW_AVX512) {
    done = count & ~(size_t)255;
    sum = read_avx512(bytes, done);
  } else if (set == VTW_AVX2) {
    done = count & ~(size_t)127;
    sum = read_avx2(bytes, done);
  }
#endif
  (void)set;
  for (; done + 8 <= count; done += 8) {
    uint64_t word;
    memcpy(&word, (const char *)bytes + done, 8);
    sum ^= word;
  }
  return sum;
}
