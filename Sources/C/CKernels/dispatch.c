/* Chooses the kernel table of an instruction set. */
#include "cache.h"
#include <math.h>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

int vtw_supports(vtw_instruction_set set) {
  switch (set) {
  case VTW_GENERIC: return 1;
#if defined(__x86_64__)
  case VTW_AVX2:
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c");
  case VTW_AVX512:
    return vtw_supports(VTW_AVX2) && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  case VTW_AVX512BF16: return vtw_supports(VTW_AVX512) && __builtin_cpu_supports("avx512bf16");
#elif defined(__aarch64__)
  case VTW_NEON: return 1;
#if defined(__linux__)
  case VTW_NEON_DOT: return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
#endif
  default: return 0;
  }
}

const vtw_kernels *vtw_kernels_for(vtw_instruction_set set) {
  switch (set) {
#if defined(__x86_64__)
  case VTW_AVX2: return &vtw_kernels_avx2;
  case VTW_AVX512: return &vtw_kernels_avx512;
  case VTW_AVX512BF16: return &vtw_kernels_avx512bf16;
#elif defined(__aarch64__)
  case VTW_NEON: return &vtw_kernels_neon;
  case VTW_NEON_DOT: return &vtw_kernels_neon_dot;
#endif
  default: return &vtw_kernels_generic;
  }
}

/* ---- entry points of CKernels.h ---- */

size_t vtw_attention_rows(const vtw_kernels *k) { return k->attention_rows; }

void vtw_attend(const vtw_kernels *k, const vtw_attention *job, size_t head, size_t first,
                size_t last) {
  k->attend(job, head, first, last, 0, SIZE_MAX, NULL);
}

size_t vtw_attention_part_floats(const vtw_attention *job) {
  /* Whole lines, so that threads do not share any. */
  return vtw_padded(job->cache.dimension) + 16;
}

void vtw_attend_blocks(const vtw_kernels *k, const vtw_attention *job, size_t head,
                       size_t first_block, size_t last_block, float *parts) {
  size_t rows = job->query_count * (job->head_count / job->cache.heads);
  k->attend(job, head, 0, rows, first_block, last_block, parts);
}

void vtw_attend_merge(const vtw_kernels *k, const vtw_attention *job, size_t head,
                      const float *parts) {
  k->attend_merge(job, head, parts);
}

void vtw_rms_norm(const vtw_kernels *k, const float *x, size_t rows, size_t width,
                  const float *weight, float epsilon, float *y) {
  k->rms_norm(x, rows, width, weight, epsilon, y);
}

void vtw_layer_norm(const vtw_kernels *k, const float *x, size_t rows, size_t width,
                    const float *weight, const float *bias, float epsilon, float *y) {
  k->layer_norm(x, rows, width, weight, bias, epsilon, y);
}

void vtw_rotate(const vtw_kernels *k, float *x, size_t rows, size_t heads, size_t dimension,
                const float *cosines, const float *sines) {
  k->rotate(x, rows, heads, dimension, cosines, sines);
}

void vtw_rotation_table(int32_t position, const float *frequencies, size_t count, float *cosines,
                        float *sines) {
  for (size_t i = 0; i < count; i++) {
    /* The angle is rounded to f32 as the reference implementations do; its cosine is not. */
    float angle = (float)position * frequencies[i];
    cosines[i] = (float)cos((double)angle);
    sines[i] = (float)sin((double)angle);
  }
}

void vtw_activate(const vtw_kernels *k, vtw_activation f, float *x, size_t count) {
  k->activate(f, x, count);
}

void vtw_activate_multiply(const vtw_kernels *k, vtw_activation f, float *gate, const float *up,
                           size_t count) {
  k->activate_multiply(f, gate, up, count);
}

void vtw_add(const vtw_kernels *k, const float *x, float *y, size_t count) { k->add(x, y, count); }
