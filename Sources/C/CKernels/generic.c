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

/* acc[m] += a[m * stride] * w for one column of 32 weights. */
static inline void add_column(float acc[TILE][VTW_PANEL], const float w[VTW_PANEL], const float *a,
                              size_t stride, size_t rows) {
  for (size_t m = 0; m < rows; m++)
    for (int r = 0; r < VTW_PANEL; r++) acc[m][r] += a[m * stride] * w[r];
}

static void panel_f32(const void *w, const void *a, size_t rows, size_t steps, float *c, size_t ldc,
                      int add) {
  float acc[TILE][VTW_PANEL] = {{0}};
  for (size_t s = 0; s < steps; s++)
    add_column(acc, (const float *)w + VTW_PANEL * s, (const float *)a + rows * s, 1, rows);
  finish(acc, rows, c, ldc, add);
}

static void panel_f16(const void *w, const void *a, size_t rows, size_t steps, float *c, size_t ldc,
                      int add) {
  float acc[TILE][VTW_PANEL] = {{0}}, column[VTW_PANEL];
  for (size_t s = 0; s < steps; s++) {
    vtw_widen(VTW_F16, (const uint16_t *)w + VTW_PANEL * s, VTW_PANEL, column);
    add_column(acc, column, (const float *)a + rows * s, 1, rows);
  }
  finish(acc, rows, c, ldc, add);
}

static void panel_bf16(const void *w, const void *a, size_t rows, size_t steps, float *c,
                       size_t ldc, int add) {
  float acc[TILE][VTW_PANEL] = {{0}};
  for (size_t s = 0; s < steps; s++) {
    const uint16_t *pairs = (const uint16_t *)w + 2 * VTW_PANEL * s;
    for (int j = 0; j < 2; j++) {
      float column[VTW_PANEL];
      for (int r = 0; r < VTW_PANEL; r++) column[r] = vtw_f32_of_bf16(pairs[2 * r + j]);
      add_column(acc, column, (const float *)a + rows * (2 * s + j), 1, rows);
    }
  }
  finish(acc, rows, c, ldc, add);
}

static void panel_q8(const void *w, const void *a, size_t rows, size_t steps, float *c, size_t ldc,
                     int add) {
  float acc[TILE][VTW_PANEL] = {{0}};
  const uint8_t *tile = w;
  const int8_t *quants = a;
  for (size_t s = 0; s < steps; s++, tile += 64 + 1024, quants += rows * (VTW_GROUP + 8)) {
    float d[VTW_PANEL];
    vtw_widen(VTW_F16, tile, VTW_PANEL, d);
    for (size_t m = 0; m < rows; m++) {
      int32_t start, sums[VTW_PANEL];
      float scale;
      memcpy(&start, quants + rows * VTW_GROUP + 4 * m, 4);
      memcpy(&scale, quants + rows * (VTW_GROUP + 4) + 4 * m, 4);
      for (int r = 0; r < VTW_PANEL; r++) sums[r] = start;
      for (int k = 0; k < VTW_GROUP / 4; k++)
        for (int r = 0; r < VTW_PANEL; r++)
          for (int j = 0; j < 4; j++)
            sums[r] += tile[64 + 128 * k + 4 * r + j] * quants[4 * (rows * (size_t)k + m) + j];
      for (int r = 0; r < VTW_PANEL; r++) acc[m][r] += (float)sums[r] * (d[r] * scale);
    }
  }
  finish(acc, rows, c, ldc, add);
}

static void mix_f32(const void *w, const void *a, size_t rows, size_t steps, float *c, size_t ldc,
                    int add) {
  float acc[TILE][VTW_PANEL] = {{0}};
  for (size_t s = 0; s < steps; s++)
    add_column(acc, (const float *)w + VTW_PANEL * s, (const float *)a + s, VTW_CACHE_ROWS, rows);
  finish(acc, rows, c, ldc, add);
}

static void mix_f16(const void *w, const void *a, size_t rows, size_t steps, float *c, size_t ldc,
                    int add) {
  float acc[TILE][VTW_PANEL] = {{0}}, column[VTW_PANEL];
  for (size_t s = 0; s < steps; s++) {
    vtw_widen(VTW_F16, (const uint16_t *)w + VTW_PANEL * s, VTW_PANEL, column);
    add_column(acc, column, (const float *)a + s, VTW_CACHE_ROWS, rows);
  }
  finish(acc, rows, c, ldc, add);
}

static void dot4(const float *w, size_t columns, const float *x, size_t rows, float *out) {
  for (size_t m = 0; m < rows; m++)
    for (int j = 0; j < 4; j++) {
      float s[LANES] = {0};
      size_t i = 0;
      for (; i + LANES <= columns; i += LANES)
        for (int l = 0; l < LANES; l++) s[l] += w[j * columns + i + l] * x[m * columns + i + l];
      for (size_t l = 0; i + l < columns; l++)
        s[l] += w[j * columns + i + l] * x[m * columns + i + l];
      out[4 * m + j] = lane_sum(s);
    }
}

static void narrow_f16(const float *x, uint16_t *out, size_t count) {
  for (size_t i = 0; i < count; i++) {
    float v = x[i] > 65504.0f ? 65504.0f : x[i];
    out[i] = vtw_f16_of_f32(v < -65504.0f ? -65504.0f : v);
  }
}

const vtw_kernels vtw_kernels_generic = {
    .f16 = {TILE, 1, 4, 64, 512, generic_pack_f32, panel_f16},
    .bf16 = {TILE, 2, 8, 128, 256, generic_pack_rounded, panel_bf16},
    .q8 = {TILE, 32, 40, 1088, SIZE_MAX, generic_pack_q8, panel_q8},
    .dot4 = dot4,
    .attention_rows = TILE,
    .scores_f32 = panel_f32,
    .scores_f16 = panel_f16,
    .mix_f32 = mix_f32,
    .mix_f16 = mix_f16,
    .softmax_block = generic_softmax_block,
    .narrow_f16 = narrow_f16,
    .rms_norm = generic_rms_norm,
    .layer_norm = generic_layer_norm,
    .rotate = generic_rotate,
    .activate = generic_activate,
    .activate_multiply = generic_activate_multiply,
    .add = generic_add,
};
