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

/* Sums that a call keeps side by side until all columns are in them: in y, where rows lie far apart
 * and often at a power of two, they would push each other out of the caches. */
enum { SUMS = 64 << 10, CHUNK_ROWS = 1024 };

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
  size_t total = steps_for(p, columns), block = block_for(p, total);
  for (size_t step = 0; step < total; step += block) {
    size_t steps = total - step < block ? total - step : block;
    size_t from = step * p->step_columns, end = (step + steps) * p->step_columns;
    p->pack(x + first * columns + from, columns, last - first,
            (end < columns ? end : columns) - from,
            (char *)packed + (step * rows + first * steps) * p->step_bytes);
  }
}

/* Ends the products of `panels` panels, whose sums are [panels][rows][32]. */
static void store_panels(const vtw_kernels *k, const vtw_matrix *w, size_t panel, size_t panels,
                         const float *sums, size_t rows, float *y, vtw_epilogue epilogue) {
  size_t column = panel * VTW_PANEL, left = w->rows - column, width = panels * VTW_PANEL;
  k->store(sums, rows, w->bias ? w->bias + column : NULL, left < width ? left : width, epilogue,
           y + column, w->rows);
}

/* One tile: the weights are streamed once, each panel from end to end. */
static void multiply_tile(const vtw_kernels *k, const vtw_matrix *w, size_t first, size_t last,
                          const char *tile, size_t rows, float *y, vtw_epilogue epilogue) {
  const vtw_product *p = product_for(k, w->encoding);
  size_t total = steps_for(p, w->columns), block = block_for(p, total);
  for (size_t panel = first; panel < last; panel++) {
    float sums[VTW_TILE_MAX * VTW_PANEL] = {0};
    for (size_t step = 0; step < total; step += block)
      p->panel((const char *)w->weights + (panel * total + step) * p->weight_bytes,
               tile + step * rows * p->step_bytes, rows,
               total - step < block ? total - step : block, sums, VTW_PANEL, step > 0);
    store_panels(k, w, panel, 1, sums, rows, y, epilogue);
  }
}

/* Asks for memory that is needed a little later. */
static void prefetch(const char *from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 2);
}

/* Tiles [first_tile, last_tile), of at most CHUNK_ROWS rows: block by block of columns, so that
 * activations come from L2; within a block panel by panel, whose weights stay in L1. */
static void multiply_tiles(const vtw_kernels *k, const vtw_matrix *w, size_t first, size_t last,
                           const char *packed, size_t rows, size_t first_tile, size_t last_tile,
                           float *y, vtw_epilogue epilogue) {
  const vtw_product *p = product_for(k, w->encoding);
  _Alignas(64) float sums[SUMS];
  _Alignas(64) char prepared[VTW_PREPARED_MAX];
  size_t total = steps_for(p, w->columns), block = block_for(p, total);
  size_t first_row = tile_start(p, rows, first_tile);
  size_t count = tile_start(p, rows, last_tile) - first_row;
  size_t at_once = SUMS / (count * VTW_PANEL);
  /* What each tile prefetches of the next block of weights. */
  size_t share = block * p->weight_bytes / (last_tile - first_tile) + 1;
  for (size_t from = first; from < last; from += at_once) {
    size_t end = last - from < at_once ? last : from + at_once;
    for (size_t step = 0; step < total; step += block) {
      size_t steps = total - step < block ? total - step : block;
      const char *activations = packed + step * rows * p->step_bytes;
      for (size_t panel = from; panel < end; panel++) {
        size_t here = panel * total + step;
        size_t next = panel + 1 < end ? here + total : from * total + step + steps;
        const char *weights = (const char *)w->weights + here * p->weight_bytes;
        const char *coming = (const char *)w->weights + next * p->weight_bytes;
        vtw_panel_function *multiply = p->panel;
        if (p->prepare) {
          p->prepare(weights, steps, prepared);
          weights = prepared;
          multiply = p->prepared_panel;
        }
        for (size_t t = first_tile; t < last_tile; t++) {
          size_t row = tile_start(p, rows, t);
          prefetch(coming + (t - first_tile) * share, share);
          multiply(weights, activations + row * steps * p->step_bytes,
                   tile_start(p, rows, t + 1) - row, steps,
                   sums + ((panel - from) * count + row - first_row) * VTW_PANEL, VTW_PANEL,
                   step > 0);
        }
      }
    }
    store_panels(k, w, from, end - from, sums, count, y + first_row * w->rows, epilogue);
  }
}

void vtw_multiply_panels(const vtw_kernels *k, const vtw_matrix *w, size_t first, size_t last,
                         const void *packed, size_t rows, float *y, vtw_epilogue epilogue) {
  const vtw_product *p = product_for(k, w->encoding);
  size_t tiles = tile_count(p, rows), at_once = CHUNK_ROWS / p->tile_rows;
  if (tiles == 1) {
    multiply_tile(k, w, first, last, packed, rows, y, epilogue);
    return;
  }
  for (size_t t = 0; t < tiles; t += at_once)
    multiply_tiles(k, w, first, last, packed, rows, t, tiles - t < at_once ? tiles : t + at_once, y,
                   epilogue);
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
