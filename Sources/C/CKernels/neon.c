/* NEON kernels: an eighth of a panel, 4 outputs, per register.  Few rows hold a whole panel in
 * registers; more rows pass it in parts.  Row counts are constants after inlining.
 *
 * Two tables share all but the products of bytes: those of plain ARMv8-A multiply to 16 bits and
 * widen, those with dotprod sum four products per 32-bit lane at once. */
#if defined(__aarch64__)
#include <arm_neon.h>
#define TARGET
#define NAME(x) neon_##x
#include "rows.inc"

#define INLINE static inline __attribute__((always_inline))
#define DOT __attribute__((target("dotprod")))
#define UNROLL _Pragma("clang loop unroll(full)")

/* Registers of 4 outputs in a panel. */
enum { REGISTERS = VTW_PANEL / 4 };

/* Rows of a tile: the sums of BYTE_TILE rows take two registers for every one of the others. */
enum { TILE = 6, DOT_TILE = 6, BYTE_TILE = 4 };

/* BODY(rows, registers): rows and the registers per row that are held at once. */
#define FOR_ROWS(rows, BODY)                                                              \
  switch (rows) {                                                                         \
  case 1: BODY(1, 8); break; case 2: BODY(2, 8); break; case 3: BODY(3, 8); break;        \
  case 4: BODY(4, 4); break; case 5: BODY(5, 4); break; case 6: BODY(6, 4); break;        \
  }

INLINE void finish(float32x4_t sum, float *c, int add) {
  vst1q_f32(c, add ? vaddq_f32(vld1q_f32(c), sum) : sum);
}

INLINE float32x4_t load_f16(const char *bytes) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)(const void *)bytes)));
}

INLINE float32x4_t load_weights(const char *w, int f16) {
  return f16 ? load_f16(w) : vld1q_f32((const float *)(const void *)w);
}

/* Sums of columns of f32 or f16 times activations a[step * a_step + row * a_row]. */
INLINE void panel_columns(const char *w, int f16, const float *a, size_t a_step, size_t a_row,
                          int rows, int registers, size_t steps, float *c, size_t ldc, int add) {
  int size = f16 ? 2 : 4;
  for (int first = 0; first < REGISTERS; first += registers) {
    float32x4_t sums[TILE][REGISTERS];
    UNROLL for (int m = 0; m < rows; m++)
      UNROLL for (int q = 0; q < registers; q++) sums[m][q] = vdupq_n_f32(0);
    const char *from = w + 4 * first * size;
    const float *x = a;
    for (size_t s = 0; s < steps; s++, from += VTW_PANEL * size, x += a_step)
      UNROLL for (int q = 0; q < registers; q++) {
        float32x4_t v = load_weights(from + 4 * q * size, f16);
        UNROLL for (int m = 0; m < rows; m++)
          sums[m][q] = vfmaq_n_f32(sums[m][q], v, x[(size_t)m * a_row]);
      }
    UNROLL for (int m = 0; m < rows; m++)
      UNROLL for (int q = 0; q < registers; q++)
        finish(sums[m][q], c + (size_t)m * ldc + 4 * (first + q), add);
  }
}

#define BODY(n, r) panel_columns(w, 1, a, n, 1, n, r, steps, c, ldc, add)
static void panel_f16(const void *w, const void *a, size_t rows, size_t steps, float *c, size_t ldc,
                      int add) {
  FOR_ROWS(rows, BODY)
}
#undef BODY

#define BODY(n, r)                                                                        \
  panel_columns((const char *)keys, 0, queries, TILE, 1, n, r, dimension, scores, VTW_CACHE_ROWS, 0)
static void score(const float *keys, const float *queries, size_t rows, size_t dimension,
                  size_t panels, float *scores) {
  for (size_t p = 0; p < panels; p++, keys += dimension * VTW_PANEL, scores += VTW_PANEL)
    FOR_ROWS(rows, BODY)
}
#undef BODY

#define BODY(n, r)                                                                        \
  panel_columns((const char *)values, 0, weights, 1, VTW_CACHE_ROWS, n, r, count, part, width, 0)
static void mix(const float *values, const float *weights, size_t rows, size_t count,
                size_t panels, float *part) {
  size_t width = panels * VTW_PANEL;
  for (size_t p = 0; p < panels; p++, values += VTW_CACHE_ROWS * VTW_PANEL, part += VTW_PANEL)
    FOR_ROWS(rows, BODY)
}
#undef BODY

/* `count` is a multiple of 32. */
static void widen_f16(const uint16_t *from, size_t count, float *out) {
  for (size_t i = 0; i < count; i += 4) vst1q_f32(out + i, load_f16((const char *)(from + i)));
}

/* bf16: the halves of a 32-bit lane are two columns. */
INLINE void panel_pairs(const char *w, const float *a, int rows, int registers, size_t steps,
                        float *c, size_t ldc, int add) {
  const uint32x4_t upper = vdupq_n_u32(0xffff0000);
  for (int first = 0; first < REGISTERS; first += registers) {
    float32x4_t sums[TILE][REGISTERS];
    UNROLL for (int m = 0; m < rows; m++)
      UNROLL for (int q = 0; q < registers; q++) sums[m][q] = vdupq_n_f32(0);
    const char *from = w + 16 * first;
    const float *x = a;
    for (size_t s = 0; s < steps; s++, from += 4 * VTW_PANEL, x += 2 * rows)
      UNROLL for (int q = 0; q < registers; q++) {
        uint32x4_t pairs = vld1q_u32((const uint32_t *)(const void *)(from + 16 * q));
        float32x4_t even = vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16));
        float32x4_t odd = vreinterpretq_f32_u32(vandq_u32(pairs, upper));
        UNROLL for (int m = 0; m < rows; m++) {
          sums[m][q] = vfmaq_n_f32(sums[m][q], even, x[m]);
          sums[m][q] = vfmaq_n_f32(sums[m][q], odd, x[rows + m]);
        }
      }
    UNROLL for (int m = 0; m < rows; m++)
      UNROLL for (int q = 0; q < registers; q++)
        finish(sums[m][q], c + (size_t)m * ldc + 4 * (first + q), add);
  }
}

#define BODY(n, r) panel_pairs(w, a, n, r, steps, c, ldc, add)
static void panel_bf16(const void *w, const void *a, size_t rows, size_t steps, float *c,
                       size_t ldc, int add) {
  FOR_ROWS(rows, BODY)
}
#undef BODY

/* ---- q8 and q4 ---- */

/* Adds to sums[m][q] the products of a tile's 32 columns with the quants of row m, for `registers`
 * registers of outputs.  `w` points at the first of them in the first line of 4 columns. */
typedef void group_function(const uint8_t *w, const int8_t *quants, int rows, int registers,
                            int32x4_t (*sums)[REGISTERS]);

/* u - 128: flipping the upper bit makes the unsigned weight a signed one. */
INLINE int8x16_t load_bytes(const uint8_t *w) {
  return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(w), vdupq_n_u8(0x80)));
}

/* The nibbles of a register of bytes: half of the outputs in the low ones, those 16 further on in
 * the high ones.  They stay unsigned: the packed start of the sum makes up for it. */
INLINE void load_nibbles(const uint8_t *w, int registers, int8x16_t *v) {
  UNROLL for (int q = 0; q < registers / 2; q++) {
    uint8x16_t both = vld1q_u8(w + 16 * q);
    v[q] = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
    v[registers / 2 + q] = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
  }
}

/* The 4 quants at `quants`, twice. */
INLINE int8x8_t four_twice(const int8_t *quants) {
  int32_t four;
  memcpy(&four, quants, 4);
  return vreinterpret_s8_s32(vdup_n_s32(four));
}

/* Products reach 128 * 127; two of them fit 16 bits, so lines of 4 columns are taken in pairs. */
INLINE void add_bytes(const uint8_t *w, const int8_t *quants, int rows, int registers,
                      int32x4_t (*sums)[REGISTERS]) {
  int32x4_t low[BYTE_TILE][REGISTERS], high[BYTE_TILE][REGISTERS];
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int q = 0; q < registers; q++) low[m][q] = high[m][q] = vdupq_n_s32(0);
  UNROLL for (int k = 0; k < VTW_GROUP / 4; k += 2)
    UNROLL for (int q = 0; q < registers; q++) {
      const uint8_t *line = w + 4 * VTW_PANEL * k + 16 * q;
      int8x16_t v = load_bytes(line), next = load_bytes(line + 4 * VTW_PANEL);
      UNROLL for (int m = 0; m < rows; m++) {
        int8x8_t x = four_twice(quants + 4 * (k * rows + m));
        int8x8_t y = four_twice(quants + 4 * ((k + 1) * rows + m));
        int16x8_t first = vmull_s8(vget_low_s8(v), x), second = vmull_s8(vget_high_s8(v), x);
        first = vmlal_s8(first, vget_low_s8(next), y);
        second = vmlal_s8(second, vget_high_s8(next), y);
        low[m][q] = vpadalq_s16(low[m][q], first);
        high[m][q] = vpadalq_s16(high[m][q], second);
      }
    }
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int q = 0; q < registers; q++)
      sums[m][q] = vaddq_s32(sums[m][q], vpaddq_s32(low[m][q], high[m][q]));
}

/* Products reach 15 * 127; the eight of a lane fit 16 bits. */
INLINE void add_nibbles(const uint8_t *w, const int8_t *quants, int rows, int registers,
                        int32x4_t (*sums)[REGISTERS]) {
  int16x8_t low[BYTE_TILE][REGISTERS], high[BYTE_TILE][REGISTERS];
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int q = 0; q < registers; q++) low[m][q] = high[m][q] = vdupq_n_s16(0);
  UNROLL for (int k = 0; k < VTW_GROUP / 4; k++) {
    int8x16_t v[REGISTERS];
    load_nibbles(w + 2 * VTW_PANEL * k, registers, v);
    UNROLL for (int m = 0; m < rows; m++) {
      int8x8_t x = four_twice(quants + 4 * (k * rows + m));
      UNROLL for (int q = 0; q < registers; q++) {
        low[m][q] = vmlal_s8(low[m][q], vget_low_s8(v[q]), x);
        high[m][q] = vmlal_s8(high[m][q], vget_high_s8(v[q]), x);
      }
    }
  }
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int q = 0; q < registers; q++)
      sums[m][q] = vaddq_s32(sums[m][q],
                             vpaddq_s32(vpaddlq_s16(low[m][q]), vpaddlq_s16(high[m][q])));
}

/* sum + w . (the 4 quants in lane `lane` of x). */
DOT INLINE int32x4_t add_dot(int32x4_t sum, int8x16_t w, int8x16_t x, int lane) {
  switch (lane) {
  case 0: return vdotq_laneq_s32(sum, w, x, 0);
  case 1: return vdotq_laneq_s32(sum, w, x, 1);
  case 2: return vdotq_laneq_s32(sum, w, x, 2);
  default: return vdotq_laneq_s32(sum, w, x, 3);
  }
}

/* One line of 4 columns.  The quants of a step fill 2 * rows registers. */
DOT INLINE void add_dots(const int8x16_t *v, const int8_t *quants, int k, int rows, int registers,
                         int32x4_t (*sums)[REGISTERS]) {
  UNROLL for (int m = 0; m < rows; m++) {
    int four = k * rows + m;
    int8x16_t x = vld1q_s8(quants + four / 4 * 16);
    UNROLL for (int q = 0; q < registers; q++)
      sums[m][q] = add_dot(sums[m][q], v[q], x, four % 4);
  }
}

DOT INLINE void dot_bytes(const uint8_t *w, const int8_t *quants, int rows, int registers,
                          int32x4_t (*sums)[REGISTERS]) {
  UNROLL for (int k = 0; k < VTW_GROUP / 4; k++) {
    int8x16_t v[REGISTERS];
    UNROLL for (int q = 0; q < registers; q++) v[q] = load_bytes(w + 4 * VTW_PANEL * k + 16 * q);
    add_dots(v, quants, k, rows, registers, sums);
  }
}

DOT INLINE void dot_nibbles(const uint8_t *w, const int8_t *quants, int rows, int registers,
                            int32x4_t (*sums)[REGISTERS]) {
  UNROLL for (int k = 0; k < VTW_GROUP / 4; k++) {
    int8x16_t v[REGISTERS];
    load_nibbles(w + 2 * VTW_PANEL * k, registers, v);
    add_dots(v, quants, k, rows, registers, sums);
  }
}

/* Integer sums of 32 columns, times both scales.  `add_group` is a constant, inlined. */
INLINE void panel_groups(group_function *add_group, int is_q4, const uint8_t *w, const int8_t *a,
                         int rows, int registers, size_t steps, float *c, size_t ldc, int add) {
  size_t bytes = 64 + VTW_GROUP * (is_q4 ? VTW_PANEL / 2 : VTW_PANEL);
  for (int first = 0; first < REGISTERS; first += registers) {
    int index[REGISTERS]; /* where the registers lie in the panel */
    UNROLL for (int q = 0; q < registers; q++) {
      int half = registers / 2;
      index[q] = is_q4 ? first / 2 + q % half + q / half * (REGISTERS / 2) : first + q;
    }
    float32x4_t sums[DOT_TILE][REGISTERS];
    UNROLL for (int m = 0; m < rows; m++)
      UNROLL for (int q = 0; q < registers; q++) sums[m][q] = vdupq_n_f32(0);
    const uint8_t *tile = w;
    const int8_t *quants = a;
    for (size_t s = 0; s < steps; s++, tile += bytes, quants += rows * (VTW_GROUP + 8)) {
      int32x4_t integers[DOT_TILE][REGISTERS];
      UNROLL for (int m = 0; m < rows; m++) {
        int32_t start = 0;
        if (is_q4) memcpy(&start, quants + rows * VTW_GROUP + 4 * m, 4);
        UNROLL for (int q = 0; q < registers; q++) integers[m][q] = vdupq_n_s32(start);
      }
      add_group(tile + 64 + 16 * index[0], quants, rows, registers, integers);
      UNROLL for (int q = 0; q < registers; q++) {
        float32x4_t d = load_f16((const char *)tile + 8 * index[q]);
        UNROLL for (int m = 0; m < rows; m++) {
          float scale;
          memcpy(&scale, quants + rows * (VTW_GROUP + 4) + 4 * m, 4);
          sums[m][q] = vfmaq_f32(sums[m][q], vcvtq_f32_s32(integers[m][q]),
                                 vmulq_n_f32(d, scale));
        }
      }
    }
    UNROLL for (int m = 0; m < rows; m++)
      UNROLL for (int q = 0; q < registers; q++)
        finish(sums[m][q], c + (size_t)m * ldc + 4 * index[q], add);
  }
}

#define TO_FOUR_ROWS(BODY)                                                                \
  case 1: BODY(1, 8); break; case 2: BODY(2, 4); break;                                   \
  case 3: BODY(3, 2); break; case 4: BODY(4, 2); break;

#define BODY(n, r) panel_groups(add_bytes, 0, w, a, n, r, steps, c, ldc, add)
static void panel_q8(const void *w, const void *a, size_t rows, size_t steps, float *c, size_t ldc,
                     int add) {
  switch (rows) { TO_FOUR_ROWS(BODY) }
}
#undef BODY

#define BODY(n, r) panel_groups(add_nibbles, 1, w, a, n, r, steps, c, ldc, add)
static void panel_q4(const void *w, const void *a, size_t rows, size_t steps, float *c, size_t ldc,
                     int add) {
  switch (rows) { TO_FOUR_ROWS(BODY) }
}
#undef BODY

#define BODY(n, r) panel_groups(dot_bytes, 0, w, a, n, r, steps, c, ldc, add)
DOT static void panel_q8_dot(const void *w, const void *a, size_t rows, size_t steps, float *c,
                             size_t ldc, int add) {
  switch (rows) { TO_FOUR_ROWS(BODY) case 5: BODY(5, 2); break; case 6: BODY(6, 2); break; }
}
#undef BODY

#define BODY(n, r) panel_groups(dot_nibbles, 1, w, a, n, r, steps, c, ldc, add)
DOT static void panel_q4_dot(const void *w, const void *a, size_t rows, size_t steps, float *c,
                             size_t ldc, int add) {
  switch (rows) { TO_FOUR_ROWS(BODY) case 5: BODY(5, 2); break; case 6: BODY(6, 2); break; }
}
#undef BODY

/* The bytes of q8 become signed ones, so that their sums start from 0. */
static void pack_q8(const float *x, size_t stride, size_t rows, size_t columns, void *packed) {
  neon_pack_groups(x, stride, rows, columns, Q8_GROUP, 0, 0, packed);
}

static void pack_q4(const float *x, size_t stride, size_t rows, size_t columns, void *packed) {
  neon_pack_groups(x, stride, rows, columns, Q4_GROUP, 8, 0, packed);
}

/* ---- f32 ---- */

/* x[0 ..< count], count < 4, and zeros. */
INLINE float32x4_t load_part(const float *x, size_t count) {
  float part[4] = {0};
  memcpy(part, x, count * sizeof(float));
  return vld1q_f32(part);
}

INLINE void dot_rows(const float *const w[4], size_t columns, const float *x, int rows,
                     float *out) {
  float32x4_t sums[VTW_QUAD][4];
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int j = 0; j < 4; j++) sums[m][j] = vdupq_n_f32(0);
  size_t i = 0;
  for (; i + 4 <= columns; i += 4) {
    float32x4_t v[4];
    UNROLL for (int j = 0; j < 4; j++) v[j] = vld1q_f32(w[j] + i);
    UNROLL for (int m = 0; m < rows; m++) {
      float32x4_t a = vld1q_f32(x + (size_t)m * columns + i);
      UNROLL for (int j = 0; j < 4; j++) sums[m][j] = vfmaq_f32(sums[m][j], v[j], a);
    }
  }
  if (i < columns)
    UNROLL for (int m = 0; m < rows; m++) {
      float32x4_t a = load_part(x + (size_t)m * columns + i, columns - i);
      UNROLL for (int j = 0; j < 4; j++)
        sums[m][j] = vfmaq_f32(sums[m][j], load_part(w[j] + i, columns - i), a);
    }
  UNROLL for (int m = 0; m < rows; m++)
    UNROLL for (int j = 0; j < 4; j++) out[4 * m + j] = vaddvq_f32(sums[m][j]);
}

static void dot_quad(const float *const w[4], size_t columns, const float *x, size_t rows,
                     float *out) {
  switch (rows) {
  case 1: dot_rows(w, columns, x, 1, out); break;
  case 2: dot_rows(w, columns, x, 2, out); break;
  case 3: dot_rows(w, columns, x, 3, out); break;
  case 4: dot_rows(w, columns, x, 4, out); break;
  }
}

/* Of a NaN and a number, minimum and maximum are NaN here. */
INLINE uint16x4_t narrow(float32x4_t v) {
  v = vminq_f32(v, vdupq_n_f32(65504.0f));
  v = vmaxq_f32(v, vdupq_n_f32(-65504.0f));
  return vreinterpret_u16_f16(vcvt_f16_f32(v));
}

static void narrow_f16(const float *x, uint16_t *out, size_t count) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4) vst1_u16(out + i, narrow(vld1q_f32(x + i)));
  if (i < count) {
    uint16_t half[4];
    vst1_u16(half, narrow(load_part(x + i, count - i)));
    memcpy(out + i, half, (count - i) * sizeof(uint16_t));
  }
}

#define softmax_row neon_softmax_row
#include "attention.inc"

/* What the two tables share. */
#define SHARED                                                                            \
  .f16 = {TILE, 1, 4, 64, 512, neon_pack_f32, panel_f16},                                 \
  .bf16 = {TILE, 2, 8, 128, 256, neon_pack_rounded, panel_bf16},                          \
  .dot_quad = dot_quad,                                                                   \
  .attention_rows = ATTENTION_ROWS,                                                       \
  .attend = neon_attend,                                                                  \
  .attend_merge = neon_attend_merge,                                                      \
  .narrow_f16 = narrow_f16,                                                               \
  .quantize = neon_quantize,                                                              \
  .store = neon_store,                                                                    \
  .rms_norm = neon_rms_norm,                                                              \
  .layer_norm = neon_layer_norm,                                                          \
  .rotate = neon_rotate,                                                                  \
  .activate = neon_activate,                                                              \
  .activate_multiply = neon_activate_multiply,                                            \
  .add = neon_add

const vtw_kernels vtw_kernels_neon = {
    SHARED,
    .q8 = {BYTE_TILE, 32, 40, 1088, 24, pack_q8, panel_q8},
    .q4 = {BYTE_TILE, 32, 40, 576, 48, pack_q4, panel_q4},
};

const vtw_kernels vtw_kernels_neon_dot = {
    SHARED,
    .q8 = {DOT_TILE, 32, 40, 1088, 24, pack_q8, panel_q8_dot},
    .q4 = {DOT_TILE, 32, 40, 576, 48, pack_q4, panel_q4_dot},
};
#endif
