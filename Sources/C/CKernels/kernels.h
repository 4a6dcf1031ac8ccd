/* The kernel table behind CKernels.h: what an instruction set provides. */
#ifndef VTW_KERNELS_H
#define VTW_KERNELS_H
#include "CKernels.h"

/* Rows of a weight panel: outputs computed side by side. */
enum { VTW_PANEL = 32 };

/* Columns of a tile of the quantised encodings, and the most that share a weight scale. */
enum { VTW_GROUP = 32 };

/* Steps of 32 columns that share an activation scale in products with q4, and with the others. */
enum { Q8_GROUP = 1, Q4_GROUP = 4, VTW_SCALE_MAX = 4 };

/* Most bytes of weights that are prepared at a time. */
enum { VTW_PREPARED_MAX = 40 << 10 };

/* Most rows of x in one step of an f32 product. */
enum { VTW_QUAD = 4 };

/* Largest row tile of any instruction set. */
enum { VTW_TILE_MAX = 12 };

/* One row tile times one panel over `steps` steps of a tile's columns (1 for f32 and f16, 2 for
 * bf16, 32 for q4...q8):  c[m][0..<32] (+)= sum over the steps, summed in the order of the steps.
 *   w: the panel from its first step on;  a: the tile's packed activations from that step on
 *   c: rows of `ldc` floats, any alignment;  rows: 1 ..< tile rows + 1 */
typedef void vtw_panel_function(const void *w, const void *a, size_t rows, size_t steps, float *c,
                                size_t ldc, int add);

/* Packs `rows` rows of x, `stride` floats apart, as the panel function wants them. */
typedef void vtw_pack_function(const float *x, size_t stride, size_t rows, size_t columns,
                               void *packed);

/* Rewrites `steps` steps of a panel for its prepared panel function. */
typedef void vtw_prepare_function(const void *w, size_t steps, void *out);

typedef struct {
  size_t tile_rows;       /* most rows of a tile */
  size_t step_columns;    /* columns per step */
  size_t step_bytes;      /* packed bytes per row and step */
  size_t weight_bytes;    /* bytes of a panel per step */
  size_t block_steps;     /* steps that all tiles pass before the next ones: weights stay in L1 */
  vtw_pack_function *pack;
  vtw_panel_function *panel;
  /* Where several tiles pass, weights may be rewritten first: same sums, same bits.  0: not. */
  size_t prepared_bytes;  /* per step, at most VTW_PREPARED_MAX / block_steps */
  vtw_prepare_function *prepare;
  vtw_panel_function *prepared_panel;
} vtw_product;

struct vtw_kernels {
  vtw_product f16, bf16, q8, q4, q4a, q5a, q6;

  /* Dot products of 4 rows of f32 weights with 1...VTW_QUAD rows of x (row stride = columns):
   * out[4 * m + j] = w[j] . x[m]. */
  void (*dot_quad)(const float *const w[4], size_t columns, const float *x, size_t rows,
                   float *out);

  size_t attention_rows; /* most rows of an attention tile */
  void (*attend)(const vtw_attention *job, size_t head, size_t first, size_t last,
                 size_t first_block, size_t last_block, float *parts);
  void (*attend_merge)(const vtw_attention *job, size_t head, const float *parts);
  void (*narrow_f16)(const float *x, uint16_t *out, size_t count);
  void (*quantize)(const float *x, size_t count, int8_t *quants, uint16_t *scale);

  /* Columns [0, width) of y, rows of `ldc` floats, from the sums of their panels without the bias,
   * [panels][rows][32]. */
  void (*store)(const float *sums, size_t rows, const float *bias, size_t width,
                vtw_epilogue epilogue, float *y, size_t ldc);

  void (*rms_norm)(const float *, size_t, size_t, const float *, float, float *);
  void (*layer_norm)(const float *, size_t, size_t, const float *, const float *, float, float *);
  void (*rotate)(float *, size_t, size_t, size_t, const float *, const float *);
  void (*activate)(vtw_activation, float *, size_t);
  void (*activate_multiply)(vtw_activation, float *, const float *, size_t);
  void (*add)(const float *, float *, size_t);
};

extern const vtw_kernels vtw_kernels_generic;
#if defined(__x86_64__)
extern const vtw_kernels vtw_kernels_avx2, vtw_kernels_avx512, vtw_kernels_avx512bf16;
#elif defined(__aarch64__)
extern const vtw_kernels vtw_kernels_neon, vtw_kernels_neon_dot;
#endif

/* vtw_encode_panel and vtw_encode_integers of one instruction set; all give the same. */
typedef struct {
  ptrdiff_t (*values)(vtw_encoding, const float *values, const float *importance, size_t rows,
                      size_t columns, uint8_t *out, double error[2]);
  ptrdiff_t (*integers)(vtw_encoding, const uint8_t *integers, const float *scales,
                        const float *minima, size_t rows, size_t columns, uint8_t *out,
                        double error[2]);
} vtw_encoder;

/* The encoder of `set`, or that of VTW_GENERIC where it has none of its own. */
vtw_encoder vtw_encoder_for(vtw_instruction_set set);

#endif
