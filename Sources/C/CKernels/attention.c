/* Attention over a block cache with online softmax: a tile of queries walks the blocks of keys it
 * sees and keeps, per row, the running maximum, the sum of the weights and their mix of values.
 *
 * Queries of the heads that share a key/value head are rows of the same tile, query by query, so
 * that each key is read once for all of them. */
#include "half.h"
#include "kernels.h"
#include <math.h>

static size_t element_bytes(vtw_encoding precision) { return precision == VTW_F32 ? 4 : 2; }

static size_t padded_dimension(size_t dimension) {
  return (dimension + VTW_PANEL - 1) / VTW_PANEL * VTW_PANEL;
}

size_t vtw_cache_block_bytes(vtw_encoding precision, size_t heads, size_t dimension) {
  return VTW_CACHE_ROWS * heads * (dimension + padded_dimension(dimension)) *
         element_bytes(precision);
}

/* Index of element (row of the block, head, d) of the keys, and of the values. */
static size_t key_index(const vtw_cache *cache, size_t row, size_t head, size_t d) {
  size_t panel = head * (VTW_CACHE_ROWS / VTW_PANEL) + row / VTW_PANEL;
  return (panel * cache->dimension + d) * VTW_PANEL + row % VTW_PANEL;
}

static size_t value_index(const vtw_cache *cache, size_t row, size_t head, size_t d) {
  size_t padded = padded_dimension(cache->dimension);
  size_t keys = cache->heads * VTW_CACHE_ROWS * cache->dimension;
  size_t panel = head * (padded / VTW_PANEL) + d / VTW_PANEL;
  return keys + (panel * VTW_CACHE_ROWS + row) * VTW_PANEL + d % VTW_PANEL;
}

static char *block_of(const vtw_cache *cache, size_t row) {
  return (char *)cache->blocks + row / VTW_CACHE_ROWS *
    vtw_cache_block_bytes(cache->precision, cache->heads, cache->dimension);
}

void vtw_cache_store(const vtw_kernels *k, const vtw_cache *cache, size_t first, size_t rows,
                     const float *keys, const float *values) {
  size_t dimension = cache->dimension;
  for (size_t i = 0; i < rows; i++) {
    size_t row = (first + i) % VTW_CACHE_ROWS;
    char *block = block_of(cache, first + i);
    for (size_t h = 0; h < cache->heads; h++) {
      const float *key = keys + (i * cache->heads + h) * dimension;
      const float *value = values + (i * cache->heads + h) * dimension;
      if (cache->precision == VTW_F32) {
        float *to = (float *)block;
        float *column = to + key_index(cache, row, h, 0);
        for (size_t d = 0; d < dimension; d++) column[d * VTW_PANEL] = key[d];
        for (size_t d = 0; d < dimension; d++) to[value_index(cache, row, h, d)] = value[d];
      } else {
        uint16_t *to = (uint16_t *)block, half[VTW_HEAD_MAX];
        uint16_t *column = to + key_index(cache, row, h, 0);
        k->narrow_f16(key, half, dimension);
        for (size_t d = 0; d < dimension; d++) column[d * VTW_PANEL] = half[d];
        for (size_t d = 0; d < dimension; d += VTW_PANEL) {
          size_t count = dimension - d < VTW_PANEL ? dimension - d : VTW_PANEL;
          k->narrow_f16(value + d, to + value_index(cache, row, h, d), count);
        }
      }
    }
  }
}

/* Copies one row between the cache and [2][heads * dimension] at `bytes`. */
static void copy_row(const vtw_cache *cache, size_t row, char *bytes, int out) {
  size_t size = element_bytes(cache->precision), width = cache->heads * cache->dimension;
  char *block = block_of(cache, row);
  for (size_t h = 0; h < cache->heads; h++)
    for (size_t d = 0; d < cache->dimension; d++) {
      char *key = block + size * key_index(cache, row % VTW_CACHE_ROWS, h, d);
      char *value = block + size * value_index(cache, row % VTW_CACHE_ROWS, h, d);
      char *plain_key = bytes + size * (h * cache->dimension + d);
      char *plain_value = plain_key + size * width;
      memcpy(out ? plain_key : key, out ? key : plain_key, size);
      memcpy(out ? plain_value : value, out ? value : plain_value, size);
    }
}

void vtw_cache_copy_out(const vtw_cache *cache, size_t first, size_t rows, void *bytes) {
  size_t row_bytes = 2 * cache->heads * cache->dimension * element_bytes(cache->precision);
  for (size_t i = 0; i < rows; i++) copy_row(cache, first + i, (char *)bytes + i * row_bytes, 1);
}

void vtw_cache_copy_in(const vtw_cache *cache, size_t first, size_t rows, const void *bytes) {
  size_t row_bytes = 2 * cache->heads * cache->dimension * element_bytes(cache->precision);
  for (size_t i = 0; i < rows; i++)
    copy_row(cache, first + i, (char *)(uintptr_t)bytes + i * row_bytes, 0);
}

size_t vtw_attention_tiles(const vtw_kernels *k, const vtw_attention *job) {
  size_t rows = job->query_count * (job->head_count / job->cache.heads);
  return (rows + k->attention_rows - 1) / k->attention_rows;
}

/* What a tile keeps between blocks. */
typedef struct {
  float queries[VTW_TILE_MAX * VTW_HEAD_MAX]; /* [dimension][rows], scaled */
  float scores[VTW_TILE_MAX * VTW_CACHE_ROWS];
  float mixed[VTW_TILE_MAX * VTW_HEAD_MAX];   /* [rows][padded] */
  float m[VTW_TILE_MAX], l[VTW_TILE_MAX];
  size_t visible[VTW_TILE_MAX];
  size_t offset[VTW_TILE_MAX]; /* of the row's head in queries and out */
} tile_state;

/* Keys [first, first + count) of one block. */
static void attend_block(const vtw_kernels *k, const vtw_cache *cache, size_t head, size_t first,
                         size_t count, size_t rows, tile_state *t) {
  size_t size = element_bytes(cache->precision), padded = padded_dimension(cache->dimension);
  size_t panels = (count + VTW_PANEL - 1) / VTW_PANEL;
  int f16 = cache->precision == VTW_F16;
  char *block = block_of(cache, first);
  for (size_t p = 0; p < panels; p++)
    (f16 ? k->scores_f16 : k->scores_f32)(block + size * key_index(cache, p * VTW_PANEL, head, 0),
                                          t->queries, rows, cache->dimension,
                                          t->scores + p * VTW_PANEL, VTW_CACHE_ROWS, 0);
  for (size_t m = 0; m < rows; m++) {
    size_t seen = t->visible[m] <= first ? 0 : t->visible[m] - first;
    if (seen > count) seen = count;
    float factor = k->softmax_block(t->scores + m * VTW_CACHE_ROWS, seen, panels * VTW_PANEL,
                                    &t->m[m], &t->l[m]);
    if (factor != 1)
      for (size_t d = 0; d < padded; d++) t->mixed[m * padded + d] *= factor;
  }
  for (size_t d = 0; d < padded; d += VTW_PANEL)
    (f16 ? k->mix_f16 : k->mix_f32)(block + size * value_index(cache, 0, head, d), t->scores, rows,
                                    count, t->mixed + d, padded, 1);
}

void vtw_attend_tile(const vtw_kernels *k, const vtw_attention *job, size_t head, size_t tile) {
  const vtw_cache *cache = &job->cache;
  size_t dimension = cache->dimension, padded = padded_dimension(dimension);
  size_t group = job->head_count / cache->heads, all = job->query_count * group;
  size_t tiles = vtw_attention_tiles(k, job);
  size_t start = all * tile / tiles, rows = all * (tile + 1) / tiles - start;
  tile_state t;
  size_t most = 0;
  for (size_t m = 0; m < rows; m++) {
    size_t query = (start + m) / group, h = head * group + (start + m) % group;
    t.offset[m] = (query * job->head_count + h) * dimension;
    t.visible[m] = job->visible[query] < 0 ? 0 : (size_t)job->visible[query];
    most = t.visible[m] > most ? t.visible[m] : most;
    for (size_t d = 0; d < dimension; d++)
      t.queries[d * rows + m] = job->queries[t.offset[m] + d] * job->scale;
    t.m[m] = -INFINITY;
    t.l[m] = 0;
    for (size_t d = 0; d < padded; d++) t.mixed[m * padded + d] = 0;
  }
  for (size_t first = 0; first < most; first += VTW_CACHE_ROWS) {
    size_t count = most - first < VTW_CACHE_ROWS ? most - first : VTW_CACHE_ROWS;
    attend_block(k, cache, head, first, count, rows, &t);
  }
  for (size_t m = 0; m < rows; m++) {
    float scale = t.visible[m] == 0 ? 0 : 1 / t.l[m];
    for (size_t d = 0; d < dimension; d++)
      job->out[t.offset[m] + d] = t.mixed[m * padded + d] * scale;
  }
}
