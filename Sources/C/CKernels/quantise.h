/* The search for scales behind the encoders of tiles.c. */
#ifndef VTW_QUANTISE_H
#define VTW_QUANTISE_H
#include "kernels.h"

/* Rows that are quantised side by side. */
enum { VTW_LANES = 16 };

/* Groups of sixteen rows as integers q and f16 bits: values q scale (+ minimum). */
typedef struct {
  int32_t q[VTW_GROUP][VTW_LANES];
  int32_t scale[VTW_LANES], minimum[VTW_LANES];
} vtw_quantised;

/* `group` columns of an encoding at a time, [column][row], for one instruction set; all give the
 * same numbers. */
typedef struct {
  /* Quantises finite values within the encoding's limit so that the error is small, and never
   * larger than that of plain rounding.
   *   weights: [group] of the squared errors, 0 for columns that do not count */
  void (*search)(vtw_encoding encoding, const float (*values)[VTW_LANES], const float *weights,
                 vtw_quantised *out);

  /* Keeps integers whose scales (and minima) f16 holds, or nearly holds: where it does not, an
   * affine group takes the minimum, or maximum, that fits best.
   *   integers: q of the encoding;  scales, minima: [row] */
  void (*keep)(vtw_encoding encoding, const float (*integers)[VTW_LANES], const float *scales,
               const float *minima, vtw_quantised *out);
} vtw_quantiser;

vtw_quantiser vtw_best_quantiser(void);

#endif
