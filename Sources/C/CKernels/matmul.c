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

/* Steps of the blocks that `total` steps are cut into, at least 1. */
static size_t block_for(const vtw_product *p, size_t total) {
  size_t steps = p->block_steps < total ? p->block_steps : total;
  return steps == 0 ? 1 : steps;
}

/* Panels whose results stay in L2 while the blocks of columns follow each other: each block of
 * activations is then read that many times from there. */
static size_t panels_at_once(size_t rows) {
  size_t panels = (size_t)(768 << 10) / (rows * VTW_PANEL * sizeof(float));
  return panels == 0 ? 1 : panels;
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
  return block_for(p, steps_for(p, columns)) * p->weight_bytes;
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

/* A panel of weights over one block of columns. */
typedef struct {
  const vtw_product *product;
  const vtw_matrix *matrix;
  size_t panel, step, steps;
  vtw_panel_function *multiply;
  const char *weights; /* from `step` on, as `multiply` wants them */
} weight_block;

/* Adds a block's part to the columns of its panel; `tile` and `y` are those of the first row. */
static void multiply_block(const weight_block *b, const char *tile, size_t rows, float *y,
                           int add) {
  const vtw_matrix *w = b->matrix;
  size_t column = b->panel * VTW_PANEL;
  const char *a = tile + b->step * b->product->step_bytes * rows;
  size_t width = w->rows - column < VTW_PANEL ? w->rows - column : VTW_PANEL;
  const float *bias = b->step == 0 && w->bias ? w->bias + column : NULL;
  float *c = y + column;
  add = add || b->step > 0;
  if (width == VTW_PANEL) {
    b->multiply(b->weights, a, rows, b->steps, c, w->rows, add);
    if (bias)
      for (size_t m = 0; m < rows; m++)
        for (size_t j = 0; j < VTW_PANEL; j++) c[m * w->rows + j] += bias[j];
    return;
  }
  float part[VTW_TILE_MAX * VTW_PANEL];
  b->multiply(b->weights, a, rows, b->steps, part, VTW_PANEL, 0);
  for (size_t m = 0; m < rows; m++)
    for (size_t j = 0; j < width; j++) {
      float *to = c + m * w->rows + j;
      *to = (add ? *to : 0) + part[m * VTW_PANEL + j];
      if (bias) *to += bias[j];
    }
}

/* One tile: the weights are streamed once, each panel from end to end. */
static void multiply_tile(const vtw_product *p, const vtw_matrix *w, size_t first, size_t last,
                          const char *tile, size_t rows, float *y, int add) {
  size_t total = steps_for(p, w->columns), block = block_for(p, total);
  for (size_t panel = first; panel < last; panel++)
    for (size_t step = 0; step == 0 || step < total; step += block) {
      weight_block b = {p, w, panel, step, total - step < block ? total - step : block, p->panel,
                        (const char *)w->weights + (panel * total + step) * p->weight_bytes};
      multiply_block(&b, tile, rows, y, add);
    }
}

void vtw_multiply_panels(const vtw_kernels *k, const vtw_matrix *w, size_t first, size_t last,
                         const void *packed, size_t rows, float *y, int add) {
  const vtw_product *p = product_for(k, w->encoding);
  size_t tiles = tile_count(p, rows);
  if (tiles == 1) {
    multiply_tile(p, w, first, last, packed, rows, y, add);
    return;
  }
  _Alignas(64) char prepared[VTW_PREPARED_MAX];
  size_t total = steps_for(p, w->columns), block = block_for(p, total);
  size_t row_bytes = total * p->step_bytes;
  for (size_t from = first; from < last; from += panels_at_once(rows)) {
    size_t end = last - from < panels_at_once(rows) ? last : from + panels_at_once(rows);
    for (size_t step = 0; step == 0 || step < total; step += block)
      for (size_t panel = from; panel < end; panel++) {
        weight_block b = {p, w, panel, step, total - step < block ? total - step : block, p->panel,
                          (const char *)w->weights + (panel * total + step) * p->weight_bytes};
        if (p->prepare) {
          p->prepare(b.weights, b.steps, prepared);
          b.weights = prepared;
          b.multiply = p->prepared_panel;
        }
        for (size_t t = 0; t < tiles; t++) {
          size_t row = tile_start(p, rows, t), count = tile_start(p, rows, t + 1) - row;
          multiply_block(&b, (const char *)packed + row * row_bytes, count, y + row * w->rows, add);
        }
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
