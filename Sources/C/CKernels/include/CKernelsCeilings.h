/* What a processor can do at most, measured: the arithmetic of the kernels without their memory,
 * and memory without arithmetic.  For benchmarks that print a share of a ceiling. */
#ifndef CKERNELS_CEILINGS_H
#define CKERNELS_CEILINGS_H
#include "CKernels.h"

typedef enum {
  VTW_UNIT_INT8 = 0, /* products of 8-bit numbers, summed in 32 bits */
  VTW_UNIT_BF16 = 1, /* products of bf16 pairs, summed in f32 */
  VTW_UNIT_F32 = 2,  /* fused multiply-add */
} vtw_unit;

/* Operations of one round of vtw_run_unit, a multiply-add counted as two; 0 where `set` has no such
 * instruction or this build no loop for it. */
size_t vtw_unit_operations(vtw_instruction_set set, vtw_unit unit);

/* Keeps the arithmetic unit busy for `rounds` rounds, on registers alone.  Does nothing where
 * vtw_unit_operations gives 0. */
void vtw_run_unit(vtw_instruction_set set, vtw_unit unit, size_t rounds);

/* Reads `count` bytes once, from front to back, and returns something that depends on them. */
uint64_t vtw_read_stream(vtw_instruction_set set, const void *bytes, size_t count);

#endif
