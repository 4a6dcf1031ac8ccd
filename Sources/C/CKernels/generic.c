/* Plain C for any processor: the readable form of every panel function. */
#define TARGET
#define NAME(x) generic_##x
#include "rows.inc"

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

/* q8 and q4: integer sums of 32 columns times both scales. */
static void panel_groups(const uint8_t *tile, int is_q4, const int8_t *quants, size_t rows,
                         size_t steps, float *c, size_t ldc, int add) {
  float acc[TILE][VTW_PANEL] = {{0}};
  for (size_t s = 0; s < steps; s++, quants += rows * (VTW_GROUP + 8)) {
    float d[VTW_PANEL];
    uint8_t weights[VTW_GROUP / 4][VTW_PANEL][4];
    vtw_widen(VTW_F16, tile, VTW_PANEL, d);
    tile += 64;
    if (is_q4) {
      for (int k = 0; k < VTW_GROUP / 4; k++)
        for (int r = 0; r < VTW_PANEL / 2; r++)
          for (int j = 0; j < 4; j++, tile++) {
            weights[k][r][j] = *tile & 15;
            weights[k][r + VTW_PANEL / 2][j] = *tile >> 4;
          }
    } else {
      memcpy(weights, tile, sizeof weights);
      tile += sizeof weights;
    }
    for (size_t m = 0; m < rows; m++) {
      int32_t start, sums[VTW_PANEL];
      float scale;
      memcpy(&start, quants + rows * VTW_GROUP + 4 * m, 4);
      memcpy(&scale, quants + rows * (VTW_GROUP + 4) + 4 * m, 4);
      for (int r = 0; r < VTW_PANEL; r++) sums[r] = start;
      for (int k = 0; k < VTW_GROUP / 4; k++) {
        const int8_t *four = quants + 4 * (rows * (size_t)k + m);
        for (int r = 0; r < VTW_PANEL; r++)
          for (int j = 0; j < 4; j++) sums[r] += weights[k][r][j] * four[j];
      }
      for (int r = 0; r < VTW_PANEL; r++) acc[m][r] += (float)sums[r] * (d[r] * scale);
    }
  }
  finish(acc, rows, c, ldc, add);
}

static void panel_q8(const void *w, const void *a, size_t rows, size_t steps, float *c, size_t ldc,
                     int add) {
  panel_groups(w, 0, a, rows, steps, c, ldc, add);
}

static void panel_q4(const void *w, const void *a, size_t rows, size_t steps, float *c, size_t ldc,
                     int add) {
  panel_groups(w, 1, a, rows, steps, c, ldc, add);
}

static void pack_q8(const float *x, size_t stride, size_t rows, size_t columns, void *packed) {
  generic_pack_groups(x, stride, rows, columns, Q8_GROUP, 128, 0, packed);
}

static void pack_q4(const float *x, size_t stride, size_t rows, size_t columns, void *packed) {
  generic_pack_groups(x, stride, rows, columns, Q4_GROUP, 8, 0, packed);
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
