/* Decoders of the weight encodings: the truth that the fast kernels are tested against.  Layouts are
 * those of formats/encodings.md. */
#include "half.h"
#include "tile.h"

/* The same values from every compiler and processor. */
#pragma STDC FP_CONTRACT OFF

static uint16_t load_u16(const uint8_t *bytes) {
  uint16_t value;
  memcpy(&value, bytes, 2);
  return value;
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

void vtw_widen(vtw_encoding encoding, const void *bytes, size_t count, float *out) {
  const uint8_t *b = bytes;
  if (encoding == VTW_F32) memcpy(out, b, count * 4);
  if (encoding == VTW_F16)
    for (size_t i = 0; i < count; i++) out[i] = vtw_f32_of_f16(load_u16(b + 2 * i));
  if (encoding == VTW_BF16)
    for (size_t i = 0; i < count; i++) out[i] = vtw_f32_of_bf16(load_u16(b + 2 * i));
}
