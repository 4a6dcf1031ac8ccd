/* Plain C for any processor: the readable form of every panel function. */
#define TARGET
#define NAME(x) generic_##x
#include "rows.inc"
#include "tile.h"

enum { TILE = 4 };

static void finish(float acc[TILE][VTW_PANEL], size_t rows, float *c, size_t ldc, int add) {
  for (size_t m = 0; m < rows; m++)
    for (int r = 0; r < VTW_PANEL; r++)
      c[m * ldc + r] = (add ? c[m * ldc + r] : 0) + acc[m][r];
}

/* Sums of columns of f32 or f16 times activations a[step * a_step + row * a_row]. */
static void panel_columns(const void *w, int f16, const float *a, size_t a_step, size_t a_row,
                          size_t rows, size_t steps, float *c, size_t ldc, int add) {
  float acc[TILE][VTW_PANEL] = {{0}}, column[VTW_PANEL];
  const char *from = w;
  size_t bytes = VTW_PANEL * (f16 ? 2 : 4);
  for (size_t s = 0; s < steps; s++) {
    vtw_widen(f16 ? VTW_F16 : VTW_F32, from + s * bytes, VTW_PANEL, column);
    for (size_t m = 0; m < rows; m++)
      for (int r = 0; r < VTW_PANEL; r++) acc[m][r] += a[s * a_step + m * a_row] * column[r];
  }
  finish(acc, rows, c, ldc, add);
}

static void panel_f16(const void *w, const void *a, size_t rows, size_t steps, float *c, size_t ldc,
                      int add) {
  panel_columns(w, 1, a, rows, 1, rows, steps, c, ldc, add);
}

static void score(const float *keys, const float *queries, size_t rows, size_t dimension,
                  size_t panels, float *scores) {
  for (size_t p = 0; p < panels; p++)
    panel_columns(keys + p * dimension * VTW_PANEL, 0, queries, TILE, 1, rows, dimension,
                  scores + p * VTW_PANEL, VTW_CACHE_ROWS, 0);
}

static void mix(const float *values, const float *weights, size_t rows, size_t count,
                size_t panels, float *part) {
  for (size_t p = 0; p < panels; p++)
    panel_columns(values + p * VTW_CACHE_ROWS * VTW_PANEL, 0, weights, 1, VTW_CACHE_ROWS, rows,
                  count, part + p * VTW_PANEL, panels * VTW_PANEL, 0);
}

static void widen_f16(const uint16_t *from, size_t count, float *out) {
  for (size_t i = 0; i < count; i++) out[i] = vtw_f32_of_f16(from[i]);
}

static void panel_bf16(const void *w, const void *a, size_t rows, size_t steps, float *c,
                       size_t ldc, int add) {
  float acc[TILE][VTW_PANEL] = {{0}};
  for (size_t s = 0; s < steps; s++) {
    const uint16_t *pairs = (const uint16_t *)w + 2 * VTW_PANEL * s;
    for (int j = 0; j < 2; j++) {
      float column[VTW_PANEL];
      for (int r = 0; r < VTW_PANEL; r++) column[r] = vtw_f32_of_bf16(pairs[2 * r + j]);
      const float *x = (const float *)a + rows * (2 * s + j);
      for (size_t m = 0; m < rows; m++)
        for (int r = 0; r < VTW_PANEL; r++) acc[m][r] += x[m] * column[r];
    }
  }
  finish(acc, rows, c, ldc, add);
}

/* Quantised weights: integer sums of 16 or 32 columns times both scales.  `zero` is what packing
 * multiplied the sums of activations by, to start with minus that. */
static inline __attribute__((always_inline)) void
panel_groups(const vtw_tile *form, int zero, const uint8_t *tile, const int8_t *quants,
                         size_t rows, size_t steps, float *c, size_t ldc, int add) {
  float acc[TILE][VTW_PANEL] = {{0}};
  size_t parts = VTW_GROUP / (size_t)form->group, fours = VTW_GROUP / 4 / parts;
  for (size_t s = 0; s < steps; s++, quants += rows * (VTW_GROUP + 8), tile += form->bytes) {
    float d[2 * VTW_PANEL];
    int8_t weights[VTW_GROUP / 4][VTW_PANEL][4];
    vtw_widen(VTW_F16, tile, form->header / 2, d);
    for (size_t column = 0; column < VTW_GROUP; column++)
      for (size_t r = 0; r < VTW_PANEL; r++)
        weights[column / 4][r][column % 4] =
            (int8_t)(vtw_tile_integer(form, tile, r, column) - form->zero);
    for (size_t m = 0; m < rows; m++) {
      int32_t start;
      float scale;
      memcpy(&start, quants + rows * VTW_GROUP + 4 * m, 4);
      memcpy(&scale, quants + rows * (VTW_GROUP + 4) + 4 * m, 4);
      for (size_t part = 0; part < parts; part++) {
        int32_t sums[VTW_PANEL] = {0};
        for (size_t k = part * fours; k < (part + 1) * fours; k++) {
          const int8_t *four = quants + 4 * (rows * k + m);
          for (int r = 0; r < VTW_PANEL; r++)
            for (int j = 0; j < 4; j++) sums[r] += weights[k][r][j] * four[j];
        }
        const float *of = d + VTW_PANEL * part;
        for (int r = 0; r < VTW_PANEL; r++) acc[m][r] += (float)sums[r] * (of[r] * scale);
      }
      /* The minimum is that of unsigned integers. */
      float sum = (float)(-start / zero) * scale;
      for (int r = 0; form->is_affine && r < VTW_PANEL; r++)
        acc[m][r] += sum * (d[VTW_PANEL + r] + (float)form->zero * d[r]);
    }
  }
  finish(acc, rows, c, ldc, add);
}

/* What packing counts an activation as in the starts of sums. */
enum { Q8_ZERO = 128, Q4_ZERO = 8 };

#define PANEL(name, form, zero)                                                           \
  static void name(const void *w, const void *a, size_t rows, size_t steps, float *c,     \
                   size_t ldc, int add) {                                                 \
    panel_groups(&form, zero, w, a, rows, steps, c, ldc, add);                            \
  }
PANEL(panel_q8, VTW_TILE_Q8, Q8_ZERO)
PANEL(panel_q4, VTW_TILE_Q4, Q4_ZERO)
PANEL(panel_q4a, VTW_TILE_Q4A, Q8_ZERO)
PANEL(panel_q5a, VTW_TILE_Q5A, Q8_ZERO)
PANEL(panel_q6, VTW_TILE_Q6, Q8_ZERO)

static void pack_q8(const float *x, size_t stride, size_t rows, size_t columns, void *packed) {
  generic_pack_groups(x, stride, rows, columns, Q8_GROUP, Q8_ZERO, 0, packed);
}

static void pack_q4(const float *x, size_t stride, size_t rows, size_t columns, void *packed) {
  generic_pack_groups(x, stride, rows, columns, Q4_GROUP, Q4_ZERO, 0, packed);
}

static void dot_quad(const float *const w[4], size_t columns, const float *x, size_t rows,
                     float *out) {
  for (size_t m = 0; m < rows; m++, x += columns)
    for (int j = 0; j < 4; j++) {
      float s[LANES] = {0};
      size_t i = 0;
      for (; i + LANES <= columns; i += LANES)
        for (int l = 0; l < LANES; l++) s[l] += w[j][i + l] * x[i + l];
      for (size_t l = 0; i + l < columns; l++) s[l] += w[j][i + l] * x[i + l];
      out[4 * m + j] = lane_sum(s);
    }
}

static void narrow_f16(const float *x, uint16_t *out, size_t count) {
  for (size_t i = 0; i < count; i++) {
    float v = x[i] > 65504.0f ? 65504.0f : x[i];
    out[i] = vtw_f16_of_f32(v < -65504.0f ? -65504.0f : v);
  }
}

#define softmax_row generic_softmax_row
#include "attention.inc"

const vtw_kernels vtw_kernels_generic = {
    .f16 = {TILE, 1, 4, 64, 512, generic_pack_f32, panel_f16},
    .bf16 = {TILE, 2, 8, 128, 256, generic_pack_rounded, panel_bf16},
    .q8 = {TILE, 32, 40, 1088, 24, pack_q8, panel_q8},
    .q4 = {TILE, 32, 40, 576, 48, pack_q4, panel_q4},
    .q4a = {TILE, 32, 40, 640, 48, pack_q8, panel_q4a},
    .q5a = {TILE, 32, 40, 768, 40, pack_q8, panel_q5a},
    .q6 = {TILE, 32, 40, 896, 32, pack_q8, panel_q6},
    .dot_quad = dot_quad,
    .attention_rows = ATTENTION_ROWS,
    .attend = generic_attend,
    .attend_merge = generic_attend_merge,
    .narrow_f16 = narrow_f16,
    .quantize = generic_quantize,
    .store = generic_store,
    .rms_norm = generic_rms_norm,
    .layer_norm = generic_layer_norm,
    .rotate = generic_rotate,
    .activate = generic_activate,
    .activate_multiply = generic_activate_multiply,
    .add = generic_add,
};
