/* Products with tiled weights: walks row tiles, panels and blocks of columns, and leaves the
 * arithmetic to the panel function of the instruction set. */
#include "kernels.h"
#include <string.h>

static const vtw_product *product_for(const vtw_kernels *k, vtw_encoding encoding) {
  switch (encoding) {
  case VTW_BF16: return &k->bf16;
  case VTW_Q8: return &k->q8;
  case VTW_Q4: return &k->q4;
  default: return &k->f16;
  }
}

static size_t steps_for(const vtw_product *p, size_t columns) {
  return (columns + p->step_columns - 1) / p->step_columns;
}

/* Rows are spread evenly over the tiles: 13 rows become 7 and 6, not 12 and 1. */
static size_t tile_count(const vtw_product *p, size_t rows) {
  return (rows + p->tile_rows - 1) / p->tile_rows;
}

static size_t tile_start(const vtw_product *p, size_t rows, size_t tile) {
  size_t count = tile_count(p, rows);
  return count == 0 ? 0 : rows * tile / count;
}

size_t vtw_packed_row_bytes(const vtw_kernels *k, vtw_encoding encoding, size_t columns) {
  const vtw_product *p = product_for(k, encoding);
  return steps_for(p, columns) * p->step_bytes;
}

size_t vtw_panel_block_bytes(const vtw_kernels *k, vtw_encoding encoding, size_t columns) {
  const vtw_product *p = product_for(k, encoding);
  size_t steps = steps_for(p, columns);
  return (steps < p->block_steps ? steps : p->block_steps) * p->weight_bytes;
}

size_t vtw_row_tiles(const vtw_kernels *k, vtw_encoding encoding, size_t rows) {
  return tile_count(product_for(k, encoding), rows);
}

void vtw_pack_tile(const vtw_kernels *k, vtw_encoding encoding, const float *x, size_t rows,
                   size_t columns, size_t tile, void *packed) {
  const vtw_product *p = product_for(k, encoding);
  size_t first = tile_start(p, rows, tile), last = tile_start(p, rows, tile + 1);
  char *out = (char *)packed + first * steps_for(p, columns) * p->step_bytes;
  p->pack(x + first * columns, last - first, columns, out);
}

/* One tile times one panel over one block of columns; `y` points at the tile's first row. */
static void multiply_block(const vtw_product *p, const vtw_matrix *w, size_t panel, size_t step,
                           size_t steps, const char *tile, size_t rows, float *y, int add) {
  size_t total = steps_for(p, w->columns), column = panel * VTW_PANEL;
  const char *weights = (const char *)w->weights + (panel * total + step) * p->weight_bytes;
  const char *a = tile + step * p->step_bytes * rows;
  size_t width = w->rows - column < VTW_PANEL ? w->rows - column : VTW_PANEL;
  const float *bias = step == 0 && w->bias ? w->bias + column : NULL;
  float *c = y + column;
  add = add || step > 0;
  if (width == VTW_PANEL) {
    p->panel(weights, a, rows, steps, c, w->rows, add);
    if (bias)
      for (size_t m = 0; m < rows; m++)
        for (size_t j = 0; j < VTW_PANEL; j++) c[m * w->rows + j] += bias[j];
    return;
  }
  float part[VTW_TILE_MAX * VTW_PANEL];
  p->panel(weights, a, rows, steps, part, VTW_PANEL, 0);
  for (size_t m = 0; m < rows; m++)
    for (size_t j = 0; j < width; j++) {
      float *to = c + m * w->rows + j;
      *to = (add ? *to : 0) + part[m * VTW_PANEL + j];
      if (bias) *to += bias[j];
    }
}

void vtw_multiply_panels(const vtw_kernels *k, const vtw_matrix *w, size_t first, size_t last,
                         const void *packed, size_t rows, float *y, int add) {
  const vtw_product *p = product_for(k, w->encoding);
  size_t total = steps_for(p, w->columns), tiles = tile_count(p, rows);
  size_t row_bytes = total * p->step_bytes;
  /* A block of a tile's activations stays in L1 while all panels pass it; with a single tile the
   * weights are streamed once, so each panel is read from end to end. */
  size_t block = p->block_steps < total ? p->block_steps : total;
  if (block == 0) block = 1;
  size_t outer = tiles == 1 ? last - first : 1, inner = tiles == 1 ? 1 : last - first;
  for (size_t o = 0; o < outer; o++)
    for (size_t step = 0; step == 0 || step < total; step += block) {
      size_t steps = total - step < block ? total - step : block;
      for (size_t t = 0; t < tiles; t++) {
        size_t row = tile_start(p, rows, t), count = tile_start(p, rows, t + 1) - row;
        const char *tile = (const char *)packed + row * row_bytes;
        for (size_t i = 0; i < inner; i++)
          multiply_block(p, w, first + o + i, step, steps, tile, count, y + row * w->rows, add);
      }
    }
}

void vtw_multiply_f32(const vtw_kernels *k, const vtw_matrix *w, size_t first, size_t last,
                      const float *x, size_t rows, float *y, int add) {
  const float *weights = w->weights;
  for (size_t n = first; n < last; n += 4) {
    /* Behind the last row, the last row again, for sums that nobody reads. */
    size_t count = last - n < 4 ? last - n : 4;
    const float *quad[4];
    for (size_t j = 0; j < 4; j++) quad[j] = weights + (n + (j < count ? j : 0)) * w->columns;
    for (size_t row = 0; row < rows; row += VTW_QUAD) {
      size_t height = rows - row < VTW_QUAD ? rows - row : VTW_QUAD;
      float sums[4 * VTW_QUAD];
      k->dot_quad(quad, w->columns, x + row * w->columns, height, sums);
      for (size_t m = 0; m < height; m++)
        for (size_t j = 0; j < count; j++) {
          float *to = y + (row + m) * w->rows + n + j;
          *to = (add ? *to : 0) + sums[4 * m + j] + (w->bias ? w->bias[n + j] : 0);
        }
    }
  }
}
