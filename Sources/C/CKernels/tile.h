/* How the tiles of the quantised encodings lie in memory: formats/encodings.md as a table. */
#ifndef VTW_TILE_H
#define VTW_TILE_H
#include "kernels.h"

/* A tile of 32 rows x 32 columns: f16 numbers, 64 bytes for each set of 32; then the integers, as
 * bytes or as nibbles; then a plane of bits for each bit above the fourth. */
typedef struct {
  int bits;      /* of an integer u */
  int group;     /* columns that share a scale: 32, or 16 with the scales of both halves */
  int is_affine; /* value = d u + m, the minima m behind the scales d; else d (u - zero) */
  int zero;      /* 2^(bits - 1) */
  size_t header; /* bytes before the integers */
  size_t bytes;
} vtw_tile;

static const vtw_tile VTW_TILE_Q8 = {8, 32, 0, 128, 64, 1088};
static const vtw_tile VTW_TILE_Q4 = {4, 32, 0, 8, 64, 576};
static const vtw_tile VTW_TILE_Q4A = {4, 32, 1, 8, 128, 640};
static const vtw_tile VTW_TILE_Q5A = {5, 32, 1, 16, 128, 768};
static const vtw_tile VTW_TILE_Q6 = {6, 16, 0, 32, 128, 896};

/* The tile of a quantised encoding; NULL for the others. */
static inline const vtw_tile *vtw_tile_of(vtw_encoding encoding) {
  switch (encoding) {
  case VTW_Q8: return &VTW_TILE_Q8;
  case VTW_Q4: return &VTW_TILE_Q4;
  case VTW_Q4A: return &VTW_TILE_Q4A;
  case VTW_Q5A: return &VTW_TILE_Q5A;
  case VTW_Q6: return &VTW_TILE_Q6;
  default: return NULL;
  }
}

/* The bytes of the integers' low four bits, and where plane `p` (of bit 4 + p) begins. */
enum { VTW_NIBBLE_BYTES = 512, VTW_PLANE_BYTES = 128 };

static inline size_t vtw_plane(const vtw_tile *form, int p) {
  return form->header + VTW_NIBBLE_BYTES + VTW_PLANE_BYTES * (size_t)p;
}

/* The integer in row r and column c of a tile. */
static inline int vtw_tile_integer(const vtw_tile *form, const uint8_t *tile, size_t r, size_t c) {
  const uint8_t *values = tile + form->header;
  if (form->bits == 8) return values[128 * (c / 4) + 4 * r + c % 4];
  int byte = values[64 * (c / 4) + 4 * (r % 16) + c % 4], u = r < 16 ? byte & 15 : byte >> 4;
  size_t bit = 4 * r + c % 4;
  for (int p = 0; p < form->bits - 4; p++)
    u |= (tile[vtw_plane(form, p) + 16 * (c / 4) + bit / 8] >> (bit % 8) & 1) << (4 + p);
  return u;
}

#endif
