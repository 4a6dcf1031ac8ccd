/* Encoders and decoders of the weight encodings: the truth that the fast kernels are tested
 * against.  Layouts are those of formats/encodings.md. */
#include "half.h"
#include "quantise.h"
#include "tile.h"

/* The same bytes from every compiler and processor. */
#pragma STDC FP_CONTRACT OFF

/* 1 if x is finite: the exponent is not all ones. */
static int is_finite(float x) { return (vtw_bits_of_float(x) & 0x7f800000) != 0x7f800000; }

/* The largest finite f16. */
static const float F16_MAX = 65504.0f;

static void store_u16(uint8_t *out, uint16_t value) { memcpy(out, &value, 2); }

static uint16_t load_u16(const uint8_t *bytes) {
  uint16_t value;
  memcpy(&value, bytes, 2);
  return value;
}

static ptrdiff_t encode_16_bit(vtw_encoding encoding, const float *values, size_t rows,
                               size_t columns, uint8_t *out) {
  size_t per_tile = encoding == VTW_F16 ? 1 : 2;
  size_t padded = (columns + per_tile - 1) / per_tile * per_tile;
  memset(out, 0, padded * VTW_PANEL * 2);
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) {
      float x = values[r * columns + c];
      uint16_t h = encoding == VTW_F16 ? vtw_f16_of_f32(x) : vtw_bf16_of_f32(x);
      float back = encoding == VTW_F16 ? vtw_f32_of_f16(h) : vtw_f32_of_bf16(h);
      if (!is_finite(back)) return (ptrdiff_t)(r * columns + c);
      size_t tile = c / per_tile, j = c % per_tile;
      store_u16(out + 2 * (tile * VTW_PANEL * per_tile + r * per_tile + j), h);
    }
  return -1;
}

/* The importance of a group's columns in units of the largest, which keeps sums in range; equal
 * where there is none, or nothing in it but zeros or what is not finite. */
static void group_weights(const float *importance, size_t count, size_t group,
                          float weights[VTW_GROUP]) {
  float largest = 0;
  int usable = importance != NULL;
  for (size_t i = 0; usable && i < count; i++) {
    if (!is_finite(importance[i]) || importance[i] < 0) usable = 0;
    largest = importance[i] > largest ? importance[i] : largest;
  }
  /* No column is worth nothing: what calibration never saw may still come. */
  for (size_t i = 0; i < group; i++) {
    float share = !usable || largest == 0 ? 1 : i < count ? importance[i] / largest : 0;
    weights[i] = i >= count ? 0 : share < 0x1p-10f ? 0x1p-10f : share;
  }
}

/* Sixteen rows of up to 32 columns: what they become, as the bytes of four columns per row. */
typedef struct {
  uint32_t fours[VTW_GROUP / 4][VTW_LANES];
} block_integers;

/* Puts the groups of 16 rows, from column `column` of a tile on, where they belong. */
static void collect(const vtw_tile *form, const vtw_quantised *groups, size_t column, size_t half,
                    uint8_t *tile, block_integers *block) {
  int zero = form->is_affine ? 0 : form->zero;
  for (size_t l = 0; l < VTW_LANES; l++) {
    size_t at = 2 * (VTW_LANES * half + l);
    store_u16(tile + at + (column > 0 ? 64 : 0), (uint16_t)groups->scale[l]);
    if (form->is_affine) store_u16(tile + at + 64, (uint16_t)groups->minimum[l]);
  }
  for (int k = 0; k < form->group / 4; k++)
    for (size_t l = 0; l < VTW_LANES; l++) {
      uint32_t four = 0;
      for (int j = 0; j < 4; j++) four |= (uint32_t)(groups->q[4 * k + j][l] + zero) << (8 * j);
      block->fours[column / 4 + (size_t)k][l] = four;
    }
}

/* The integers of both halves of a tile's rows. */
static void store_integers(const vtw_tile *form, const block_integers halves[2], uint8_t *tile) {
  for (size_t k = 0; k < VTW_GROUP / 4; k++) {
    const uint32_t *low = halves[0].fours[k], *high = halves[1].fours[k];
    if (form->bits == 8) {
      memcpy(tile + form->header + 128 * k, low, 64);
      memcpy(tile + form->header + 128 * k + 64, high, 64);
      continue;
    }
    uint32_t line[VTW_LANES];
    for (size_t l = 0; l < VTW_LANES; l++)
      line[l] = (low[l] & 0x0f0f0f0f) | (high[l] & 0x0f0f0f0f) << 4;
    memcpy(tile + form->header + 64 * k, line, 64);
    for (int p = 0; p < form->bits - 4; p++) {
      uint64_t plane[2] = {0};
      for (int h = 0; h < 2; h++)
        for (size_t l = 0; l < VTW_LANES; l++) {
          uint32_t bits = halves[h].fours[k][l] >> (4 + p) & 0x01010101;
          plane[h] |= (uint64_t)((bits | bits >> 7 | bits >> 14 | bits >> 21) & 15) << (4 * l);
        }
      memcpy(tile + vtw_plane(form, p) + 16 * k, plane, 16);
    }
  }
}

/* The largest magnitude that an encoding holds. */
static float limit_of(const vtw_tile *form) {
  return form->is_affine ? F16_MAX : (float)(form->zero - 1) * F16_MAX;
}

/* Values of 16 rows, [column][row], zeros behind the last row. */
static void gather(const float *values, size_t stride, size_t rows, size_t columns,
                   float out[VTW_GROUP][VTW_LANES]) {
  memset(out, 0, sizeof(float) * VTW_GROUP * VTW_LANES);
  for (size_t l = 0; l < rows; l++)
    for (size_t c = 0; c < columns; c++) out[c][l] = values[l * stride + c];
}

/* Rows of half `half` of a panel of `rows`. */
static size_t half_rows(size_t rows, size_t half) {
  size_t first = half * VTW_LANES;
  return rows <= first ? 0 : rows - first < VTW_LANES ? rows - first : VTW_LANES;
}

/* Quantised encodings, from values. */
static ptrdiff_t encode_groups(vtw_encoding encoding, const float *values, const float *importance,
                               size_t rows, size_t columns, uint8_t *out) {
  const vtw_tile *form = vtw_tile_of(encoding);
  vtw_quantiser quantiser = vtw_best_quantiser();
  float limit = limit_of(form);
  size_t group = (size_t)form->group;
  for (size_t i = 0; i < rows * columns; i++)
    if (!(values[i] >= -limit && values[i] <= limit)) return (ptrdiff_t)i;
  for (size_t first = 0; first < columns; first += VTW_GROUP, out += form->bytes) {
    block_integers halves[2];
    for (size_t half = 0; half < 2; half++)
      for (size_t column = 0; column < VTW_GROUP; column += group) {
        size_t at = first + column, left = at < columns ? columns - at : 0;
        size_t count = left < group ? left : group, many = half_rows(rows, half);
        float weights[VTW_GROUP], block[VTW_GROUP][VTW_LANES];
        group_weights(importance ? importance + at : NULL, count, group, weights);
        gather(values + half * VTW_LANES * columns + at, columns, many, count, block);
        /* Columns that are not there must not widen the range of an affine group. */
        for (size_t c = count; form->is_affine && c < group; c++)
          memcpy(block[c], block[0], sizeof block[c]);
        vtw_quantised groups;
        quantiser.search(encoding, (const float(*)[VTW_LANES])block, weights, &groups);
        for (size_t c = count; c < group; c++) memset(groups.q[c], 0, sizeof groups.q[c]);
        collect(form, &groups, column, half, out, &halves[half]);
      }
    store_integers(form, halves, out);
  }
  return -1;
}

ptrdiff_t vtw_encode_integers(vtw_encoding encoding, const uint8_t *integers, const float *scales,
                              const float *minima, size_t rows, size_t columns, void *out) {
  const vtw_tile *form = vtw_tile_of(encoding);
  vtw_quantiser quantiser = vtw_best_quantiser();
  float limit = limit_of(form), ones[VTW_GROUP];
  size_t group = (size_t)form->group, across = columns / group;
  int zero = form->is_affine ? 0 : form->zero;
  uint8_t *tile = out;
  for (size_t c = 0; c < VTW_GROUP; c++) ones[c] = 1;
  for (size_t first = 0; first < columns; first += VTW_GROUP, tile += form->bytes) {
    block_integers halves[2];
    for (size_t half = 0; half < 2; half++)
      for (size_t column = 0; column < VTW_GROUP; column += group) {
        size_t at = first + column, count = at < columns ? group : 0;
        size_t many = count == 0 ? 0 : half_rows(rows, half), top = half * VTW_LANES;
        float q[VTW_GROUP][VTW_LANES], d[VTW_LANES] = {0}, m[VTW_LANES] = {0};
        float values[VTW_GROUP][VTW_LANES];
        memset(q, 0, sizeof q);
        memset(values, 0, sizeof values);
        int lost = 0;
        for (size_t l = 0; l < many; l++) {
          size_t place = (top + l) * across + at / group;
          d[l] = scales[place];
          if (form->is_affine) m[l] = minima[place];
          for (size_t c = 0; c < count; c++) {
            size_t index = (top + l) * columns + at + c;
            q[c][l] = (float)(integers[index] - zero);
            values[c][l] = d[l] * q[c][l] + m[l];
            if (!(values[c][l] >= -limit && values[c][l] <= limit)) return (ptrdiff_t)index;
          }
          /* Scales that f16 holds with few bits or not at all. */
          float size = d[l] < 0 ? -d[l] : d[l], kept = vtw_f32_of_f16(vtw_f16_of_f32(d[l]));
          lost |= kept != d[l] && (size < 0x1p-14f || size > F16_MAX);
          float low = m[l] < 0 ? -m[l] : m[l];
          lost |= !(low <= F16_MAX);
        }
        vtw_quantised groups;
        if (lost) quantiser.search(encoding, (const float(*)[VTW_LANES])values, ones, &groups);
        else quantiser.keep(encoding, (const float(*)[VTW_LANES])q, d, m, &groups);
        collect(form, &groups, column, half, tile, &halves[half]);
      }
    store_integers(form, halves, tile);
  }
  return -1;
}

ptrdiff_t vtw_encode_panel(vtw_encoding encoding, const float *values, const float *importance,
                           size_t rows, size_t columns, void *out) {
  switch (encoding) {
  case VTW_F32:
    for (size_t i = 0; i < rows * columns; i++)
      if (!is_finite(values[i])) return (ptrdiff_t)i;
    memcpy(out, values, rows * columns * sizeof(float));
    return -1;
  case VTW_F16:
  case VTW_BF16: return encode_16_bit(encoding, values, rows, columns, out);
  default: return encode_groups(encoding, values, importance, rows, columns, out);
  }
}

static void decode_groups(const vtw_tile *form, const uint8_t *bytes, size_t columns, size_t panel,
                          size_t r, float *out) {
  size_t tiles = (columns + VTW_GROUP - 1) / VTW_GROUP;
  const uint8_t *tile = bytes + panel * tiles * form->bytes;
  for (size_t first = 0; first < columns; first += VTW_GROUP, tile += form->bytes) {
    size_t count = columns - first < VTW_GROUP ? columns - first : VTW_GROUP;
    float low = vtw_f32_of_f16(load_u16(tile + 2 * r)), high = low, m = 0;
    if (form->is_affine) m = vtw_f32_of_f16(load_u16(tile + 64 + 2 * r));
    if (form->group == 16) high = vtw_f32_of_f16(load_u16(tile + 64 + 2 * r));
    for (size_t c = 0; c < count; c++) {
      int u = vtw_tile_integer(form, tile, r, c);
      float d = c < 16 ? low : high;
      out[first + c] = form->is_affine ? d * (float)u + m : d * (float)(u - form->zero);
    }
  }
}

void vtw_decode_row(vtw_encoding encoding, const void *weights, size_t columns, size_t row,
                    float *out) {
  const uint8_t *bytes = weights;
  size_t panel = row / VTW_PANEL, r = row % VTW_PANEL;
  switch (encoding) {
  case VTW_F32: memcpy(out, bytes + row * columns * 4, columns * 4); return;
  case VTW_F16:
    bytes += panel * columns * 64 + 2 * r;
    for (size_t c = 0; c < columns; c++) out[c] = vtw_f32_of_f16(load_u16(bytes + 64 * c));
    return;
  case VTW_BF16:
    bytes += panel * ((columns + 1) / 2) * 128 + 4 * r;
    for (size_t c = 0; c < columns; c++)
      out[c] = vtw_f32_of_bf16(load_u16(bytes + 128 * (c / 2) + 2 * (c % 2)));
    return;
  default: decode_groups(vtw_tile_of(encoding), bytes, columns, panel, r, out); return;
  }
}

void vtw_panel_error(vtw_encoding encoding, const float *values, size_t rows, size_t columns,
                     const void *packed, float *row, double sums[2]) {
  /* Eight sums side by side, which vector code keeps apart. */
  double error[8] = {0}, power[8] = {0};
  for (size_t r = 0; r < rows; r++, values += columns) {
    vtw_decode_row(encoding, packed, columns, r, row);
    for (size_t c = 0; c < columns; c += 8) {
      size_t count = columns - c < 8 ? columns - c : 8;
      for (size_t i = 0; i < count; i++) {
        double value = values[c + i], off = (double)row[c + i] - value;
        error[i] += off * off;
        power[i] += value * value;
      }
    }
  }
  for (size_t i = 0; i < 8; i++) {
    sums[0] += error[i];
    sums[1] += power[i];
  }
}

void vtw_widen(vtw_encoding encoding, const void *bytes, size_t count, float *out) {
  const uint8_t *b = bytes;
  if (encoding == VTW_F32) memcpy(out, b, count * 4);
  if (encoding == VTW_F16)
    for (size_t i = 0; i < count; i++) out[i] = vtw_f32_of_f16(load_u16(b + 2 * i));
  if (encoding == VTW_BF16)
    for (size_t i = 0; i < count; i++) out[i] = vtw_f32_of_bf16(load_u16(b + 2 * i));
}
